//! Operations become rows.

use std::collections::{BTreeMap, HashMap};

use ternmq_protocol::broker::durable::{Append, StoreOp, StreamKey};
use ternmq_protocol::broker::record::{SessKey, SessionRecord, encode_message, encode_retained};
use ternmq_protocol::time::Clock;

use crate::block::{BLOCK_BYTES, BlockWriter};
use crate::engine::{Change, Flow, View};
use crate::error::StoreError;
use crate::row::{self, put_number, seal};

/// What is to be written in one transaction.
pub(crate) struct Batch<'a> {
    clock: Clock,
    view: &'a View<'a>,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    block: Option<BlockWriter>,
    done: HashMap<StreamKey, Vec<u64>>,
    /// Rows of retained messages whose place in the log is not known: which message each holds.
    placeless: HashMap<Vec<u8>, usize>,
    next: u64,
    /// Which message is in which stream.
    pub(crate) entries: Vec<(StreamKey, u64)>,
    /// The numbers of the messages, in the order of the operations.
    pub(crate) seqs: Vec<u64>,
    /// Bytes of finished blocks.
    pub(crate) bytes: u64,
    /// Sessions whose record is newer than what was to replace it.
    pub(crate) fenced: Vec<SessKey>,
}

impl<'a> Batch<'a> {
    /// An empty one whose first message gets the number `next`.
    pub(crate) fn new(clock: Clock, view: &'a View<'a>, next: u64) -> Self {
        Self {
            clock,
            view,
            rows: BTreeMap::new(),
            block: None,
            done: HashMap::new(),
            placeless: HashMap::new(),
            next,
            entries: Vec::new(),
            seqs: Vec::new(),
            bytes: 0,
            fenced: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, op: &StoreOp) -> Result<(), StoreError> {
        match op {
            StoreOp::Append(append) => self.append(append)?,
            StoreOp::PutSession(record) => self.put_session(record)?,
            StoreOp::EndSession(session) => self.end_session(*session)?,
            StoreOp::Subscribe(session, record) => {
                let key = row::subscription(*session, &record.filter);
                self.set(key, |out| record.write(out));
            }
            StoreOp::Unsubscribe(session, filter) => {
                self.rows.insert(row::subscription(*session, filter), None);
            }
            StoreOp::PutRetained(message) => {
                let clock = self.clock;
                let key = row::retained(message.topic());
                let place = message.log_seq();
                // It may be given one by what follows.
                match message.is_for_the_log() {
                    true => drop(self.placeless.insert(key.clone(), message.identity())),
                    false => drop(self.placeless.remove(&key)),
                }
                self.set(key, |out| encode_retained(message, place, clock, out));
            }
            StoreOp::RemoveRetained(topic) => {
                let key = row::retained(topic);
                self.placeless.remove(&key);
                self.rows.insert(key, None);
            }
            StoreOp::PutDelayed(key, record) => {
                let clock = self.clock;
                self.set(row::delayed(*key), |out| record.encode(clock, out));
            }
            StoreOp::RemoveDelayed(key) => {
                self.rows.insert(row::delayed(*key), None);
            }
            StoreOp::Done(stream, seq) => self.done.entry(*stream).or_default().push(*seq),
            StoreOp::DoneUpTo(stream, seq) => self.pass(*stream, *seq)?,
        }
        Ok(())
    }

    /// The rows, in the order of their keys. Rows of what is done have names that `name` gives.
    pub(crate) fn finish(&mut self, mut name: impl FnMut(StreamKey) -> Vec<u8>) -> Vec<Change> {
        self.end_block();
        for (stream, mut seqs) in std::mem::take(&mut self.done) {
            seqs.sort_unstable();
            seqs.dedup();
            seqs.retain(|seq| *seq > 0);
            self.set(name(stream), |out| row::put_rising(out, &seqs));
        }
        std::mem::take(&mut self.rows).into_iter().collect()
    }

    fn set(&mut self, key: Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let value = seal(&key, write);
        self.rows.insert(key, Some(value));
    }

    /// A message that has a number is in the log already.
    fn append(&mut self, append: &Append) -> Result<(), StoreError> {
        let (message, streams) = (&append.message, &append.streams);
        if message.log_seq() != 0 {
            self.seqs.push(message.log_seq());
            return Ok(());
        }
        let wanted = message.memory() + streams.len() * size_of::<StreamKey>();
        let full = |block: &BlockWriter| !block.is_empty() && block.len() + wanted > BLOCK_BYTES;
        if self.block.as_ref().is_some_and(full) {
            self.end_block();
        }
        let (seq, clock) = (self.next, self.clock);
        let block = self
            .block
            .get_or_insert_with(|| BlockWriter::new(seq, clock.utc_now().0));
        if !block.push(seq, streams, |out| encode_message(message, clock, out)) {
            return Err(StoreError::TooLarge);
        }
        self.entries
            .extend(streams.iter().map(|stream| (*stream, seq)));
        self.seqs.push(seq);
        self.next += 1;
        if message.retain() && !self.placeless.is_empty() {
            let key = row::retained(message.topic());
            if self.placeless.get(&key) == Some(&message.identity()) {
                self.placeless.remove(&key);
                self.set(key, |out| encode_retained(message, seq, clock, out));
            }
        }
        Ok(())
    }

    fn end_block(&mut self) {
        if let Some(block) = self.block.take() {
            let key = row::block(block.first());
            let value = block.finish();
            self.bytes += value.len() as u64;
            self.rows.insert(key, Some(value));
        }
    }

    fn put_session(&mut self, record: &SessionRecord) -> Result<(), StoreError> {
        let session = SessKey::new("", &record.client_id);
        let key = row::session(session);
        let newer = self.first_number(&key)?;
        if newer.is_some_and(|rev| rev > record.rev.0) {
            self.fenced.push(session);
            return Ok(());
        }
        let clock = self.clock;
        self.set(key, |out| {
            put_number(out, record.rev.0);
            record.encode_whole(clock, out);
        });
        Ok(())
    }

    /// All of a group's stream is done up to a place, if it was not already up to a later one. There is a row of
    /// that for each group, if only up to the beginning.
    fn pass(&mut self, stream: StreamKey, seq: u64) -> Result<(), StoreError> {
        let key = row::passed(stream);
        if self.first_number(&key)?.is_none_or(|before| seq > before) {
            self.set(key, |out| put_number(out, seq));
        }
        Ok(())
    }

    /// The number that a row begins with; `None` if it is not there or damaged, so that anything replaces it.
    fn first_number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        let read = |value: &[u8]| {
            let mut body = row::unseal(key, value).ok()?;
            row::take_number(&mut body)
        };
        Ok(match self.rows.get(key) {
            Some(value) => value.as_deref().and_then(read),
            None => self.view.get(key, read)?.flatten(),
        })
    }

    fn end_session(&mut self, session: SessKey) -> Result<(), StoreError> {
        let prefix = row::subscriptions(session);
        let end = row::end(&prefix);
        let pending: Vec<Vec<u8>> = self
            .rows
            .range(prefix.clone()..end.clone())
            .map(|(key, _)| key.clone())
            .collect();
        let mut gone = pending;
        self.view.scan(&prefix, &end, |key, _| {
            gone.push(key.to_vec());
            Flow::Continue(())
        })?;
        gone.push(row::session(session));
        self.rows.extend(gone.into_iter().map(|key| (key, None)));
        Ok(())
    }
}
