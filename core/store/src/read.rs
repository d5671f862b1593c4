//! Pages of what is kept.

use std::collections::HashSet;

use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::{Counted, DelayedKey, LogPage, ReadRequest, StreamKey};
use ternmq_protocol::broker::record::{
    DelayedRecord, LogPos, RecordError, SessKey, SessionRecord, SubscriptionRecord, decode_message,
    decode_retained,
};
use ternmq_protocol::time::Clock;

use crate::block::Block;
use crate::engine::{Flow, View};
use crate::error::StoreError;
use crate::index::{self, Lowest};
use crate::row::{self, kind, take_number};
use crate::store::Store;

/// What is counted of a stream is read so many messages,
const COUNTED_AT_ONCE: usize = 4096;

/// or about so many bytes at a time.
const COUNTED_BYTES: usize = 4 << 20;

/// Sessions as they were stored, with their subscriptions.
#[derive(Clone, Debug, Default)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionRecord>,
    /// Where to go on; `None` at the end.
    pub next: Option<SessKey>,
    /// Sessions and subscriptions left out because they are damaged.
    pub damaged: u64,
}

/// Retained messages.
#[derive(Clone, Debug, Default)]
pub struct RetainedPage {
    /// The messages, in the order of their topics.
    pub messages: Vec<Message>,
    /// Where to go on; `None` at the end.
    pub next: Option<Box<str>>,
    /// Messages left out because they are damaged.
    pub damaged: u64,
}

/// Messages that are to be published later.
#[derive(Clone, Debug, Default)]
pub struct DelayedPage {
    /// The messages.
    pub messages: Vec<(DelayedKey, DelayedRecord)>,
    /// Where to go on; `None` at the end.
    pub next: Option<DelayedKey>,
    /// Messages left out because they are damaged.
    pub damaged: u64,
}

impl Store {
    /// The next messages of some streams, each once, in the order of the log. Any thread may ask,
    /// also while another commits; what it finds is one state of the store.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all. Messages that can't be are counted in
    /// [`LogPage::lost`].
    pub fn read(&self, request: &ReadRequest, clock: Clock) -> Result<LogPage, StoreError> {
        let mut page = self.next_page(request, clock)?;
        if request.count_to > request.after {
            page.counted = Some(self.count(request, clock)?);
        }
        Ok(page)
    }

    /// Counts what a request asks to be counted, a page in memory at a time.
    fn count(&self, request: &ReadRequest, clock: Clock) -> Result<Counted, StoreError> {
        let mut counted = Counted::default();
        let mut next = ReadRequest {
            messages: COUNTED_AT_ONCE,
            bytes: COUNTED_BYTES,
            ..request.clone()
        };
        while next.after < request.count_to {
            let page = self.next_page(&next, clock)?;
            counted.add(&page, request.count_to);
            if page.reached <= next.after {
                break;
            }
            next.after = page.reached;
        }
        Ok(counted)
    }

    fn next_page(&self, request: &ReadRequest, clock: Clock) -> Result<LogPage, StoreError> {
        if let (true, Some((stream, since))) = (request.undone, request.streams.first()) {
            let after = request.after.max(*since);
            return self.undone(*stream, after, (request.messages, request.bytes), clock);
        }
        let mut lowest = Lowest::new(request.messages);
        let (head, floor) = {
            // Before the view, which then has at least what the tail has.
            let tail = self.tail();
            for (stream, since) in &request.streams {
                let after = request.after.max(*since).max(tail.floor);
                index::from_tail(&tail, *stream, after, &mut lowest);
            }
            (tail.head, tail.floor)
        };
        let view = self.engine.view()?;
        let mut damaged = Vec::new();
        for (stream, since) in &request.streams {
            let after = request.after.max(*since).max(floor);
            let take = |seq| seq <= head && lowest.put(seq);
            index::from_rows(&view, *stream, after, take, &mut damaged)?;
        }
        let mut page = LogPage::default();
        self.damaged(damaged);
        self.fetch(&view, &lowest, request.bytes, clock, &mut page)?;
        let all = page.reached == lowest.iter().last().unwrap_or_default();
        if all && !lowest.more {
            page.reached = head.max(request.after);
        }
        Ok(page)
    }

    /// The messages at these places of the log; `None` for what is not there or can't be read.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all.
    pub fn messages_at(
        &self,
        seqs: &[u64],
        clock: Clock,
    ) -> Result<Vec<Option<Message>>, StoreError> {
        let view = self.engine.view()?;
        let mut messages = Vec::with_capacity(seqs.len());
        for seq in seqs {
            messages.push(message_at(&view, *seq, clock)?);
        }
        Ok(messages)
    }

    /// The messages of a shared subscription's stream that are not [done](
    /// ternmq_protocol::broker::durable::StoreOp::Done), behind a place in the log; so many at most,
    /// and about so many bytes.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all.
    pub fn undone(
        &self,
        stream: StreamKey,
        after: u64,
        (messages, bytes): (usize, usize),
        clock: Clock,
    ) -> Result<LogPage, StoreError> {
        let mut waiting = Lowest::new(usize::MAX);
        let (head, floor) = {
            let tail = self.tail();
            index::from_tail(&tail, stream, after.max(tail.floor), &mut waiting);
            (tail.head, tail.floor)
        };
        let view = self.engine.view()?;
        let mut damaged = Vec::new();
        let done = done(&view, stream, &mut damaged)?;
        let mut lowest = Lowest::new(messages);
        let mut take = |seq| seq <= head && (done.contains(seq) || lowest.put(seq));
        let from = after.max(floor).max(done.up_to);
        index::from_rows(&view, stream, from, &mut take, &mut damaged)?;
        for seq in waiting.iter() {
            if !take(seq) {
                break;
            }
        }
        let mut page = LogPage::default();
        self.damaged(damaged);
        self.fetch(&view, &lowest, bytes, clock, &mut page)?;
        if page.reached == lowest.iter().last().unwrap_or_default() && !lowest.more {
            page.reached = head.max(after);
        }
        Ok(page)
    }

    /// Where a shared subscription's stream begins and ends to be done: the place before the first message that
    /// is not, and that of the last one that is.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all.
    pub fn cursor(&self, stream: StreamKey) -> Result<(u64, u64), StoreError> {
        let mut waiting = Lowest::new(usize::MAX);
        let (head, floor) = {
            let tail = self.tail();
            index::from_tail(&tail, stream, tail.floor, &mut waiting);
            (tail.head, tail.floor)
        };
        let view = self.engine.view()?;
        let mut damaged = Vec::new();
        let done = done(&view, stream, &mut damaged)?;
        let mut first = None;
        let mut take = |seq| {
            if seq <= head && !done.contains(seq) {
                first = Some(first.map_or(seq, |first: u64| first.min(seq)));
            }
            first.is_none()
        };
        index::from_rows(
            &view,
            stream,
            floor.max(done.up_to),
            &mut take,
            &mut damaged,
        )?;
        for seq in waiting.iter() {
            take(seq);
        }
        self.damaged(damaged);
        Ok((first.map_or(head, |first| first - 1), done.last()))
    }

    /// Sessions from a key on, `None` at first; ends when there are `max` of sessions, subscriptions and
    /// copies together. No session is cut in two.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all, or a record is of a newer version.
    pub fn sessions(
        &self,
        from: Option<SessKey>,
        max: usize,
        clock: Clock,
    ) -> Result<SessionPage, StoreError> {
        let view = self.engine.view()?;
        let mut page = SessionPage::default();
        let mut damaged = Vec::new();
        let mut key = row::session(from.unwrap_or(SessKey([0; 16])));
        let end = row::end(&[kind::SESSION]);
        let mut work = 0;
        while work < max.max(1) {
            let mut found = None;
            view.scan(&key, &end, |key, value| {
                found = Some((key.to_vec(), value.to_vec()));
                Flow::Break(())
            })?;
            let Some((at, value)) = found else {
                page.damaged = damaged.len() as u64;
                self.damaged(damaged);
                return Ok(page);
            };
            match read_session(&view, &at, &value, clock)? {
                Some(mut record) => {
                    record.set_subscriptions(subscriptions(&view, &at[1..], &mut damaged)?);
                    work += 1 + record.subscriptions.len() + record.messages().count();
                    page.sessions.push(record);
                }
                None => damaged.push(at.clone()),
            }
            key = row::behind(&at);
        }
        page.damaged = damaged.len() as u64;
        self.damaged(damaged);
        view.scan(&key, &end, |key, _| {
            page.next = key[1..].try_into().ok().map(SessKey);
            Flow::Break(())
        })?;
        Ok(page)
    }

    /// One session with its subscriptions.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub fn session(&self, of: SessKey, clock: Clock) -> Result<Option<SessionRecord>, StoreError> {
        let view = self.engine.view()?;
        let key = row::session(of);
        let Some(value) = view.get(&key, <[u8]>::to_vec)? else {
            return Ok(None);
        };
        let mut damaged = Vec::new();
        let Some(mut record) = read_session(&view, &key, &value, clock)? else {
            self.damaged(vec![key]);
            return Ok(None);
        };
        record.set_subscriptions(subscriptions(&view, &of.0, &mut damaged)?);
        self.damaged(damaged);
        Ok(Some(record))
    }

    /// Retained messages from a topic on, `""` at first, so many at most.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub fn retained(
        &self,
        from: &str,
        max: usize,
        clock: Clock,
    ) -> Result<RetainedPage, StoreError> {
        let (mut page, head) = (RetainedPage::default(), self.head());
        let mut next = None;
        page.damaged = self.page(
            (row::retained(from), &[kind::RETAINED]),
            max,
            |key, body| {
                let message = decode_retained(body, clock)?;
                if message.log_seq() > head {
                    message.set_log_seq(0); // of a log that is no more
                }
                match row::retained(message.topic()) == key {
                    true => page.messages.push(message),
                    false => return Err(RecordError::Damaged("of another topic")),
                }
                Ok(())
            },
            |key| next = std::str::from_utf8(&key[1..]).ok().map(Box::from),
        )?;
        page.next = next;
        Ok(page)
    }

    /// Messages that are to be published later from a key on, `None` at first, so many at most.
    ///
    /// # Errors
    /// As [`sessions`](Self::sessions).
    pub fn delayed(
        &self,
        from: Option<DelayedKey>,
        max: usize,
        clock: Clock,
    ) -> Result<DelayedPage, StoreError> {
        let mut page = DelayedPage::default();
        let mut next = None;
        page.damaged = self.page(
            (
                from.map_or(vec![kind::DELAYED], row::delayed),
                &[kind::DELAYED],
            ),
            max,
            |key, body| {
                let record = DelayedRecord::decode(body, clock)?;
                let key = row::delayed_key(key).ok_or(RecordError::Damaged("no key"))?;
                page.messages.push((key, record));
                Ok(())
            },
            |key| next = row::delayed_key(key),
        )?;
        page.next = next;
        Ok(page)
    }

    /// Passes on up to `max` rows and the key of the one behind. Returns how many are damaged.
    fn page(
        &self,
        (from, kind): (Vec<u8>, &[u8]),
        max: usize,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), RecordError>,
        mut next: impl FnMut(&[u8]),
    ) -> Result<u64, StoreError> {
        let view = self.engine.view()?;
        let (mut damaged, mut newer, mut left) = (Vec::new(), None, max.max(1));
        view.scan(&from, &row::end(kind), |key, value| {
            if left == 0 {
                next(key);
                return Flow::Break(());
            }
            left -= 1;
            let read = match row::unseal(key, value) {
                Ok(body) => each(key, body),
                Err(StoreError::Newer(version)) => Err(RecordError::Newer(version as u8)),
                Err(_) => Err(RecordError::Damaged("its checksum is wrong")),
            };
            match read {
                Ok(()) => Flow::Continue(()),
                Err(RecordError::Damaged(_)) => {
                    damaged.push(key.to_vec());
                    Flow::Continue(())
                }
                Err(RecordError::Newer(version)) => {
                    newer = Some(version);
                    Flow::Break(())
                }
            }
        })?;
        if let Some(version) = newer {
            return Err(StoreError::Newer(version.into()));
        }
        let count = damaged.len() as u64;
        self.damaged(damaged);
        Ok(count)
    }

    /// Reads messages into a page, up to so many bytes.
    fn fetch(
        &self,
        view: &View<'_>,
        seqs: &Lowest,
        bytes: usize,
        clock: Clock,
        page: &mut LogPage,
    ) -> Result<(), StoreError> {
        let mut left = bytes;
        let mut seqs = seqs.iter().peekable();
        while let Some(first) = seqs.peek().copied() {
            let (from, last) = (row::block(0), row::block(first));
            let mut damaged = None;
            let found = view.last(&from, &last, |key, block| {
                let block = Block::new(block).ok();
                // Those that stand in this block, each after a look at what is not there.
                while let Some(seq) = seqs.peek().copied() {
                    let record = block.and_then(|block| block.find(seq));
                    if record.is_none() && seq != first {
                        break;
                    }
                    seqs.next();
                    page.reached = seq;
                    let message = record.and_then(|record| decode_message(record.body, clock).ok());
                    let Some(message) = message else {
                        damaged = Some(key.to_vec());
                        page.lost += 1;
                        continue;
                    };
                    message.set_log_seq(seq);
                    left = left.saturating_sub(message.memory());
                    page.messages.push(message);
                    if left == 0 {
                        return true;
                    }
                }
                false
            })?;
            self.damaged(damaged.into_iter().collect());
            match found {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => {
                    seqs.next();
                    page.reached = first;
                    page.lost += 1;
                }
            }
        }
        Ok(())
    }
}

/// The message of this number.
pub(crate) fn message_at(
    view: &View<'_>,
    seq: u64,
    clock: Clock,
) -> Result<Option<Message>, StoreError> {
    let found = view.last(&row::block(0), &row::block(seq), |_, block| {
        let record = Block::new(block).ok()?.find(seq)?;
        decode_message(record.body, clock).ok()
    })?;
    let message = found.flatten();
    if let Some(message) = &message {
        message.set_log_seq(seq);
    }
    Ok(message)
}

/// What of a group's stream is done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// All up to here.
    pub(crate) up_to: u64,
    pub(crate) seqs: HashSet<u64>,
}

impl Done {
    pub(crate) fn contains(&self, seq: u64) -> bool {
        seq <= self.up_to || self.seqs.contains(&seq)
    }

    /// Behind here nothing is.
    fn last(&self) -> u64 {
        let last = self.seqs.iter().max().copied();
        last.unwrap_or_default().max(self.up_to)
    }
}

/// What of a stream is done.
pub(crate) fn done(
    view: &View<'_>,
    stream: StreamKey,
    damaged: &mut Vec<Vec<u8>>,
) -> Result<Done, StoreError> {
    let mut done = Done::default();
    let prefix = row::key(kind::DONE, &[&stream.0.to_be_bytes()]);
    view.scan(&prefix, &row::end(&prefix), |key, value| {
        let whole = row::unseal(key, value).is_ok_and(|seqs| {
            row::rising(seqs, |seq| {
                done.seqs.insert(seq);
                true
            })
        });
        if !whole {
            damaged.push(key.to_vec());
        }
        Flow::Continue(())
    })?;
    let passed = row::passed(stream);
    let up_to = view.get(&passed, |value| {
        let mut body = row::unseal(&passed, value).ok()?;
        row::take_number(&mut body)
    })?;
    match up_to {
        Some(Some(up_to)) => done.up_to = up_to,
        Some(None) => damaged.push(passed),
        None => {}
    }
    Ok(done)
}

/// A session without its subscriptions; `None` if it is damaged.
pub(crate) fn read_session(
    view: &View<'_>,
    key: &[u8],
    value: &[u8],
    clock: Clock,
) -> Result<Option<SessionRecord>, StoreError> {
    let mut body = match row::unseal(key, value) {
        Ok(body) => body,
        Err(StoreError::Newer(version)) => return Err(StoreError::Newer(version)),
        Err(_) => return Ok(None),
    };
    if take_number(&mut body).is_none() {
        return Ok(None);
    }
    let mut failed = None;
    let find = |at: LogPos| {
        message_at(view, at.seq, clock).unwrap_or_else(|error| {
            failed = Some(error);
            None
        })
    };
    let record = SessionRecord::decode_whole(body, clock, find);
    if let Some(error) = failed {
        return Err(error);
    }
    match record {
        Ok(record) if SessKey::new("", &record.client_id).0[..] == key[1..] => Ok(Some(record)),
        Ok(_) | Err(RecordError::Damaged(_)) => Ok(None),
        Err(RecordError::Newer(version)) => Err(StoreError::Newer(version.into())),
    }
}

/// The subscriptions of a session.
pub(crate) fn subscriptions(
    view: &View<'_>,
    session: &[u8],
    damaged: &mut Vec<Vec<u8>>,
) -> Result<Vec<SubscriptionRecord>, StoreError> {
    let mut subscriptions = Vec::new();
    let mut newer = None;
    let prefix = row::key(kind::SUBSCRIPTION, &[session]);
    view.scan(&prefix, &row::end(&prefix), |key, value| {
        let read = row::unseal(key, value).map(SubscriptionRecord::read);
        match read {
            Ok(Ok(record)) => subscriptions.push(record),
            Ok(Err(RecordError::Newer(version))) => newer = Some(version.into()),
            Err(StoreError::Newer(version)) => newer = Some(version),
            Ok(Err(RecordError::Damaged(_))) | Err(_) => damaged.push(key.to_vec()),
        }
        Flow::Continue(())
    })?;
    match newer {
        Some(version) => Err(StoreError::Newer(version)),
        None => Ok(subscriptions),
    }
}
