//! Stores as a stream of frames, and copies of them.
//!
//! # The stream
//! Frames as [`ternmq_protocol::broker::record`] describes them: a start, messages, sessions,
//! retained and delayed messages, an end with their number. What `ternmq` wrote into the file
//! `records` before it had a log is one too, so an old folder is taken in the same way. Of a store
//! with a log:
//!
//! * A message's frame is named by its number in the log. Its record has one more field,
//!   [`STREAMS`]: the streams in which somebody may still wait for it, eight bytes each, the highest
//!   first. A message without that field is there only for sessions that refer to it.
//! * A session's record holds its subscriptions, and messages that have no place in the log by
//!   value.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::{DelayedKey, StreamKey};
use ternmq_protocol::broker::record::{
    DelayedRecord, FRAME_HEAD, Found, Frame, FrameKind, LogPos, Owner, RecordError, SessKey,
    SessionRecord, Start, decode_message, decode_retained, next_marker, topic_partition,
};
use ternmq_protocol::time::Clock;

use crate::backend::Backend;
use crate::block::{BLOCK_BYTES, Block, BlockWriter};
use crate::engine::{Change, Engine, Flow, View};
use crate::error::StoreError;
use crate::folder::whole;
use crate::meta::Log;
use crate::read;
use crate::row::{self, kind, put_number};
use crate::salvage::reindex;
use crate::store::Store;
use crate::watch::{Pass, Stage};

/// The field of a message's record that names its streams.
pub const STREAMS: u8 = 200;

/// Bytes of rows that are written in one transaction, and read at once.
const BATCH: usize = 1 << 20;

/// What was written or taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Messages of the log, or, of an old folder, messages that sessions waited for.
    pub messages: u64,
    /// Sessions.
    pub sessions: u64,
    /// Retained messages.
    pub retained: u64,
    /// Messages that are to be published later.
    pub delayed: u64,
    /// Rows or frames that were left out because they are damaged.
    pub damaged: u64,
    /// The stream has an end, so nothing is missing from it but what is counted as damaged.
    pub complete: bool,
}

impl Store {
    /// Writes all there is as frames, as it is now, whatever is committed meanwhile. Returns how
    /// many there were.
    ///
    /// # Errors
    /// [`StoreError`], also that of `out`.
    pub fn export(
        &self,
        owner: Owner,
        clock: Clock,
        out: &mut dyn Write,
    ) -> Result<Transferred, StoreError> {
        let view = self.engine.view()?;
        let mut output = Output {
            out,
            bytes: Vec::new(),
            frames: 0,
            pass: self.watch.begin(Stage::Reading, view.rows()?),
            sum: Transferred::default(),
        };
        let start = Start {
            owner,
            written: clock.utc_now(),
        };
        let mut body = Vec::new();
        start.encode(&mut body);
        output.frame(&Frame::start(&body))?;
        output.messages(&view)?;
        output.sessions(&view, clock)?;
        output.retained(&view, clock)?;
        output.delayed(&view, clock)?;
        output.frame(&Frame::end(output.frames))?;
        output.out.flush().map_err(wrote)?;
        output.sum.complete = true;
        Ok(output.sum)
    }

    /// Takes in what [`export`](Self::export), or a `ternmq` without a log, has written. The store must
    /// have nothing so far, or a part of the same from a time when this did not end.
    ///
    /// # Errors
    /// [`StoreError`], also that of `input`. What was taken in by then is there.
    pub fn import(
        &self,
        owner: Owner,
        clock: Clock,
        input: &mut dyn Read,
    ) -> Result<Transferred, StoreError> {
        let mut writer = self.writer();
        if writer.epoch != owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        let marker = row::meta("import");
        let view = self.engine.view()?;
        if view.get(&marker, |_| ())?.is_none() && has_any(&view)? {
            return Err(StoreError::NotEmpty);
        }
        drop(view);
        let value = row::seal(&marker, |_| {});
        self.engine
            .commit(vec![(marker.clone(), Some(value))], true)?;
        let mut taking = Taking::new(&self.engine, clock);
        take_frames(input, &mut taking)?;
        let sum = taking.end()?;
        reindex(&self.engine, 0)?;
        self.engine.commit(vec![(marker, None)], true)?;
        self.resume(&mut writer)?;
        Ok(sum)
    }

    /// Copies the store into a new file, which is a store's when it is called `store.redb` in a folder;
    /// as it is now, whatever is committed meanwhile. Nothing is committed while the disk fails. Until all of
    /// it is synced it has `.part` behind its name; what is left of one that was killed is written over.
    ///
    /// # Errors
    /// [`StoreError`], such as a file that is there already.
    pub fn backup(&self, path: &Path) -> Result<u64, StoreError> {
        whole(path, |file| self.backup_into(Arc::new(file)))
    }

    /// Copies the store into an empty backend. Returns how many rows it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn backup_into(&self, into: Arc<dyn Backend>) -> Result<u64, StoreError> {
        let engine = Engine::open(into, 4 << 20, false)?;
        let view = self.engine.view()?;
        let (mut from, mut rows) = (vec![0], 0);
        let mut pass = self.watch.begin(Stage::Reading, view.rows()?);
        loop {
            let (mut changes, mut bytes): (Vec<Change>, usize) = (Vec::new(), 0);
            view.scan(&from, &[u8::MAX], |key, value| {
                bytes += key.len() + value.len();
                changes.push((key.to_vec(), Some(value.to_vec())));
                match bytes < BATCH {
                    true => Flow::Continue(()),
                    false => Flow::Break(()),
                }
            })?;
            let Some((last, _)) = changes.last() else {
                break;
            };
            from = row::behind(last);
            rows += changes.len() as u64;
            pass.step(changes.len() as u64);
            engine.commit(changes, false)?;
        }
        engine.commit(Vec::new(), true)?;
        Ok(rows)
    }
}

fn wrote(error: io::Error) -> StoreError {
    StoreError::Io("write the frames".into(), error)
}

/// Whether there is anything that an import could mix with.
fn has_any(view: &View<'_>) -> Result<bool, StoreError> {
    let mut any = false;
    let kinds = [
        kind::BLOCK,
        kind::SESSION,
        kind::SUBSCRIPTION,
        kind::RETAINED,
        kind::DELAYED,
    ];
    for kind in kinds {
        view.scan(&[kind], &row::end(&[kind]), |_, _| {
            any = true;
            Flow::Break(())
        })?;
    }
    Ok(any)
}

struct Output<'a> {
    out: &'a mut dyn Write,
    bytes: Vec<u8>,
    frames: u64,
    pass: Pass,
    sum: Transferred,
}

impl Output<'_> {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        self.bytes.clear();
        if !frame.write(&mut self.bytes) {
            return Err(StoreError::TooLarge);
        }
        self.frames += 1;
        self.out.write_all(&self.bytes).map_err(wrote)
    }

    /// A scan whose work may fail.
    fn each(
        &mut self,
        view: &View<'_>,
        kind: u8,
        mut f: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        view.scan(&[kind], &row::end(&[kind]), |key, value| {
            self.pass.step(1);
            match f(self, key, value) {
                Ok(()) => Flow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    Flow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn messages(&mut self, view: &View<'_>) -> Result<(), StoreError> {
        let mut done = HashMap::new();
        let mut groups = HashSet::new();
        for kind in [kind::DONE, kind::PASSED] {
            view.scan(&[kind], &row::end(&[kind]), |key, _| {
                groups.insert(StreamKey(row::number(key, 1).unwrap_or_default()));
                Flow::Continue(())
            })?;
        }
        for stream in groups {
            done.insert(stream, read::done(view, stream, &mut Vec::new())?);
        }
        let mut body = Vec::new();
        self.each(view, kind::BLOCK, |this, _, value| {
            let Ok(block) = Block::new(value) else {
                return Err(StoreError::Newer(
                    value.first().copied().unwrap_or(0).into(),
                ));
            };
            let mut read = 0;
            for record in block.records() {
                read += 1;
                let is_done = |stream: &StreamKey| {
                    done.get(stream)
                        .is_some_and(|done| done.contains(record.seq))
                };
                body.clear();
                body.extend_from_slice(record.body);
                let streams = record.streams().filter(|stream| !is_done(stream));
                put_streams(streams, &mut body);
                let topic = decode_message(
                    record.body,
                    Clock::at(Default::default(), Default::default()),
                );
                let partition = topic.map_or(0, |message| topic_partition(message.topic()));
                let seq = record.seq;
                this.frame(&Frame::message(LogPos { partition, seq }, &body))?;
                this.sum.messages += 1;
            }
            let count = block.count().unwrap_or(read);
            this.sum.damaged += count.saturating_sub(read) as u64;
            Ok(())
        })
    }

    fn sessions(&mut self, view: &View<'_>, clock: Clock) -> Result<(), StoreError> {
        let mut body = Vec::new();
        self.each(view, kind::SESSION, |this, key, value| {
            let Some(mut record) = read::read_session(view, key, value, clock)? else {
                this.sum.damaged += 1;
                return Ok(());
            };
            let mut damaged = Vec::new();
            record.set_subscriptions(read::subscriptions(view, &key[1..], &mut damaged)?);
            this.sum.damaged += damaged.len() as u64;
            body.clear();
            record.encode_whole(clock, &mut body);
            this.sum.sessions += 1;
            this.frame(&Frame::session(SessKey::new("", &record.client_id), &body))
        })
    }

    fn retained(&mut self, view: &View<'_>, clock: Clock) -> Result<(), StoreError> {
        self.each(view, kind::RETAINED, |this, key, value| {
            let body = row::unseal(key, value);
            let message = body.as_ref().map(|body| decode_message(body, clock));
            let (Ok(body), Ok(Ok(message))) = (&body, message) else {
                this.sum.damaged += 1;
                return Ok(());
            };
            this.sum.retained += 1;
            this.frame(&Frame::retained(message.topic(), body))
        })
    }

    fn delayed(&mut self, view: &View<'_>, clock: Clock) -> Result<(), StoreError> {
        self.each(view, kind::DELAYED, |this, key, value| {
            let body = row::unseal(key, value);
            let record = body.as_ref().map(|body| DelayedRecord::decode(body, clock));
            let (Ok(body), Ok(Ok(record))) = (&body, record) else {
                this.sum.damaged += 1;
                return Ok(());
            };
            this.sum.delayed += 1;
            let number = this.sum.delayed;
            this.frame(&Frame::delayed(record.message.topic(), number, body))
        })
    }
}

/// Appends the field of a message's streams: a tag, a length of seven bits a byte, the streams.
fn put_streams(streams: impl Iterator<Item = StreamKey>, body: &mut Vec<u8>) {
    let streams: Vec<u8> = streams.flat_map(|stream| stream.0.to_be_bytes()).collect();
    body.push(STREAMS);
    put_number(body, streams.len() as u64);
    body.extend_from_slice(&streams);
}

/// Takes that field off; `None` if there is none.
fn split_streams(body: &[u8]) -> Option<(&[u8], Vec<StreamKey>)> {
    let mut rest = body.get(1..)?;
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        let (tag, after) = rest.split_first()?;
        rest = after;
        let len = usize::try_from(row::take_number(&mut rest)?).ok()?;
        let (field, after) = rest.split_at_checked(len)?;
        rest = after;
        if *tag == STREAMS {
            let keys = field.chunks_exact(8).filter_map(|key| key.try_into().ok());
            let streams = keys.map(|key| StreamKey(u64::from_be_bytes(key)));
            return Some((&body[..at], streams.collect()));
        }
    }
    None
}

/// Passes frames on, and steps over what is damaged.
fn take_frames(input: &mut dyn Read, taking: &mut Taking<'_>) -> Result<(), StoreError> {
    let failed = |error| StoreError::Io("read the frames".into(), error);
    let (mut bytes, mut ended, mut damaged_here) = (Vec::new(), false, false);
    loop {
        let mut used = 0;
        let mut wanted = FRAME_HEAD;
        while used < bytes.len() {
            let rest = &bytes[used..];
            used += match Frame::split(rest) {
                Found::Whole(frame, len) => {
                    taking.frame(&frame)?;
                    damaged_here = false;
                    len
                }
                Found::Needs(len) if !ended => {
                    wanted = len;
                    break;
                }
                Found::Needs(_) | Found::Damaged(_) => {
                    taking.sum.damaged += u64::from(!damaged_here);
                    taking.places += u64::from(!damaged_here);
                    damaged_here = true;
                    next_marker(rest)
                }
            };
        }
        bytes.drain(..used);
        if ended && bytes.is_empty() {
            return Ok(());
        }
        // No more than there is, whatever a length says.
        let missing = wanted.saturating_sub(bytes.len()).max(BATCH) as u64;
        let read = input
            .take(missing)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        ended = (read as u64) < missing;
    }
}

/// Frames on their way into a store.
struct Taking<'a> {
    engine: &'a Engine,
    clock: Clock,
    changes: Vec<Change>,
    bytes: usize,
    block: Option<BlockWriter>,
    last: u64,
    /// The last place in the log that anything names.
    named: u64,
    /// Messages of an old folder, which are in no stream.
    loose: HashMap<LogPos, Message>,
    frames: u64,
    /// Places at which there was no frame.
    places: u64,
    sum: Transferred,
}

impl<'a> Taking<'a> {
    fn new(engine: &'a Engine, clock: Clock) -> Self {
        Self {
            engine,
            clock,
            changes: Vec::new(),
            bytes: 0,
            block: None,
            last: 0,
            named: 0,
            loose: HashMap::new(),
            frames: 0,
            places: 0,
            sum: Transferred::default(),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        if frame.kind == FrameKind::End {
            // A damaged place has taken one frame along, or more if it was a length.
            let missing = frame.position().seq.saturating_sub(self.frames);
            self.sum.complete = missing == 0 || self.places > 0;
            self.sum.damaged += missing.saturating_sub(self.places);
            return Ok(());
        }
        self.frames += 1;
        let taken = match frame.kind {
            FrameKind::Start => Start::decode(frame.body).map(drop),
            FrameKind::Message => return self.message(frame),
            FrameKind::Session => return self.session(frame),
            FrameKind::Retained => decode_retained(frame.body, self.clock).map(|message| {
                self.sum.retained += 1;
                self.named = self.named.max(message.log_seq());
                self.put(row::retained(message.topic()), frame.body);
            }),
            FrameKind::Delayed => DelayedRecord::decode(frame.body, self.clock).map(|record| {
                self.sum.delayed += 1;
                let key = DelayedKey {
                    shard: record.home,
                    epoch: 0,
                    number: self.frames,
                };
                self.put(row::delayed(key), frame.body);
            }),
            FrameKind::End => Ok(()),
        };
        self.damaged(taken)?;
        self.flush(BATCH)
    }

    fn damaged(&mut self, taken: Result<(), RecordError>) -> Result<(), StoreError> {
        match taken {
            Ok(()) => Ok(()),
            Err(RecordError::Newer(version)) => Err(StoreError::Newer(version.into())),
            Err(RecordError::Damaged(_)) => {
                self.sum.damaged += 1;
                Ok(())
            }
        }
    }

    fn put(&mut self, key: Vec<u8>, body: &[u8]) {
        let value = row::seal(&key, |out| out.extend_from_slice(body));
        self.bytes += key.len() + value.len();
        self.changes.push((key, Some(value)));
    }

    fn flush(&mut self, above: usize) -> Result<(), StoreError> {
        if self.bytes <= above {
            return Ok(());
        }
        self.bytes = 0;
        self.engine.commit(std::mem::take(&mut self.changes), false)
    }

    fn message(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        let place = frame.position();
        let Some((body, streams)) = split_streams(frame.body) else {
            let message = decode_message(frame.body, self.clock);
            let taken = message.map(|message| {
                self.sum.messages += 1;
                self.loose.insert(place, message);
            });
            return self.damaged(taken);
        };
        let read = decode_message(body, self.clock).map(drop);
        if read.is_err() || place.seq <= self.last {
            let twice = RecordError::Damaged("out of order");
            return self.damaged(read.and(Err(twice)));
        }
        let full = |block: &BlockWriter| block.len() + body.len() > BLOCK_BYTES;
        if self.block.as_ref().is_some_and(full) {
            self.end_block();
        }
        let written = self.clock.utc_now().0;
        let mut block = self
            .block
            .take()
            .unwrap_or_else(|| BlockWriter::new(place.seq, written));
        if !block.push(place.seq, &streams, |out| out.extend_from_slice(body)) {
            // Too far behind the first one.
            self.block = Some(block);
            self.end_block();
            block = BlockWriter::new(place.seq, written);
            if !block.push(place.seq, &streams, |out| out.extend_from_slice(body)) {
                return Err(StoreError::TooLarge);
            }
        }
        self.block = Some(block);
        self.last = place.seq;
        self.sum.messages += 1;
        self.flush(BATCH)
    }

    fn end_block(&mut self) {
        if let Some(block) = self.block.take().filter(|block| !block.is_empty()) {
            let key = row::block(block.first());
            let value = block.finish();
            self.bytes += value.len();
            self.changes.push((key, Some(value)));
        }
    }

    fn session(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        // What it refers to has to be found.
        self.end_block();
        self.flush(0)?;
        let view = self.engine.view()?;
        let mut failed = None;
        let find = |place: LogPos| match self.loose.get(&place) {
            Some(message) => Some(message.clone()),
            None => read::message_at(&view, place.seq, self.clock).unwrap_or_else(|error| {
                failed = Some(error);
                None
            }),
        };
        let record = SessionRecord::decode_whole(frame.body, self.clock, find);
        drop(view);
        if let Some(error) = failed {
            return Err(error);
        }
        let taken = record.map(|mut record| {
            let session = SessKey::new("", &record.client_id);
            self.sum.sessions += 1;
            self.sum.damaged += record.lost as u64;
            self.named = self.named.max(record.cursor);
            name_groups(&mut record);
            for subscription in &record.subscriptions {
                let mut body = Vec::new();
                subscription.write(&mut body);
                let until = subscription.replay_until.unwrap_or(0);
                self.named = self.named.max(subscription.since).max(until);
                self.put(row::subscription(session, &subscription.filter), &body);
            }
            record.subscriptions.retain(|one| one.replay.is_some());
            let mut body = Vec::new();
            put_number(&mut body, record.rev.0);
            record.encode_whole(self.clock, &mut body);
            self.put(row::session(session), &body);
        });
        self.damaged(taken)?;
        self.flush(BATCH)
    }

    fn end(mut self) -> Result<Transferred, StoreError> {
        self.end_block();
        // What is swept away has its places all the same: nothing new may stand where a session has been.
        let log = Log {
            next: self.named.saturating_add(1),
            ..Log::default()
        };
        self.changes.push(log.row());
        self.bytes += 1;
        self.flush(0)?;
        Ok(self.sum)
    }
}

/// Copies name their shared subscription by its place among the others, which rows don't have; they
/// may name it as one that has ended, too.
fn name_groups(record: &mut SessionRecord) {
    let filters: Vec<Box<str>> = record
        .subscriptions
        .iter()
        .map(|one| one.filter.clone())
        .collect();
    let in_flight = record
        .in_flight
        .iter_mut()
        .filter_map(|one| one.copy.as_mut());
    for copy in in_flight.chain(&mut record.queue) {
        if let Some(place) = copy.shared.take() {
            let filter = filters.get(usize::from(place));
            let group = filter.and_then(|filter| filter.strip_prefix("$share/"));
            copy.left = group.map(Into::into).or(copy.left.take());
        }
    }
}
