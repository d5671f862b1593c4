//! A store as the design has it, in memory: what is committed is there as bytes, all else is gone with a
//! crash.

use crate::broker::GroupStart;
use crate::broker::durable::{
    Append, Counted, DelayedKey, LogPage, ReadRequest, StoreOp, StreamKey,
};
use crate::broker::record::{
    DelayedRecord, LogPos, SessKey, SessionRecord, SubscriptionRecord, decode_message,
    decode_retained, encode_message, encode_retained,
};
use crate::message::Message;
use crate::time::Clock;
use std::collections::{BTreeMap, BTreeSet};

struct Entry {
    bytes: Vec<u8>,
    streams: Vec<StreamKey>,
}

#[derive(Default)]
pub(super) struct Disk {
    /// The first has the place 1.
    log: Vec<Entry>,
    sessions: BTreeMap<SessKey, (u64, Vec<u8>)>,
    subscriptions: BTreeMap<(SessKey, Box<str>), Vec<u8>>,
    delayed: BTreeMap<DelayedKey, Vec<u8>>,
    /// Which message, and its record.
    retained: BTreeMap<Box<str>, (usize, Vec<u8>)>,
    done: BTreeSet<(StreamKey, u64)>,
    /// Up to where all of a stream is.
    pub(super) passed: BTreeMap<StreamKey, u64>,
    /// Records of sessions written so far.
    pub(super) written: usize,
}

impl Disk {
    /// The place of the last message.
    pub(super) fn tail(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of the only session.
    pub(super) fn session_bytes(&self) -> usize {
        assert_eq!(self.sessions.len(), 1);
        self.sessions.values().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Keeps an operation; a message that has got its place by that.
    pub(super) fn apply(&mut self, op: StoreOp, clock: Clock) -> Option<Message> {
        match op {
            StoreOp::Append(Append {
                message, streams, ..
            }) => {
                assert!(!streams.is_empty());
                let unique: BTreeSet<_> = streams.iter().collect();
                assert_eq!(unique.len(), streams.len());
                let mut bytes = Vec::new();
                encode_message(&message, clock, &mut bytes);
                let streams = streams.into_vec();
                self.log.push(Entry { bytes, streams });
                assert_eq!(message.log_seq(), 0);
                message.set_log_seq(self.tail());
                let kept = self.retained.get(message.topic());
                if kept.is_some_and(|(which, _)| *which == message.identity()) {
                    self.retain(&message, clock);
                }
                return Some(message);
            }
            StoreOp::PutSession(record) => {
                let key = SessKey::new("", &record.client_id);
                let mut bytes = Vec::new();
                record.encode_whole(clock, &mut bytes);
                let before = self.sessions.insert(key, (record.rev.0, bytes));
                assert!(before.is_none_or(|(rev, _)| rev < record.rev.0), "fenced");
                self.written += 1;
            }
            StoreOp::EndSession(key) => {
                self.sessions.remove(&key);
                self.subscriptions.retain(|(of, _), _| *of != key);
            }
            StoreOp::Subscribe(key, record) => {
                let mut bytes = Vec::new();
                record.write(&mut bytes);
                self.subscriptions
                    .insert((key, record.filter.clone()), bytes);
            }
            StoreOp::Unsubscribe(key, filter) => {
                self.subscriptions.remove(&(key, filter));
            }
            StoreOp::PutDelayed(key, record) => {
                let mut bytes = Vec::new();
                record.encode(clock, &mut bytes);
                self.delayed.insert(key, bytes);
            }
            StoreOp::RemoveDelayed(key) => {
                self.delayed.remove(&key);
            }
            StoreOp::Done(stream, seq) => {
                self.done.insert((stream, seq));
            }
            StoreOp::DoneUpTo(stream, seq) => {
                let passed = self.passed.entry(stream).or_default();
                *passed = seq.max(*passed);
            }
            StoreOp::PutRetained(message) => self.retain(&message, clock),
            StoreOp::RemoveRetained(topic) => {
                self.retained.remove(&topic);
            }
        }
        None
    }

    fn retain(&mut self, message: &Message, clock: Clock) {
        let mut bytes = Vec::new();
        encode_retained(message, message.log_seq(), clock, &mut bytes);
        let kept = (message.identity(), bytes);
        self.retained.insert(message.topic().into(), kept);
    }

    pub(super) fn retained(&self, clock: Clock) -> Vec<Message> {
        let all = self.retained.values();
        all.map(|(_, bytes)| decode_retained(bytes, clock).unwrap())
            .collect()
    }

    fn is_done(&self, stream: StreamKey, seq: u64) -> bool {
        let passed = self.passed.get(&stream);
        passed.is_some_and(|passed| seq <= *passed) || self.done.contains(&(stream, seq))
    }

    /// Takes out what nobody waits for in the streams of groups, but for those that are held. Returns how much of
    /// it was not done.
    pub(super) fn sweep(&mut self, settled: u64, held: impl Fn(StreamKey) -> bool) -> u64 {
        let filters = self.subscriptions.keys().map(|(_, filter)| filter);
        let subscribed: BTreeSet<_> = filters.map(|filter| StreamKey::of(filter)).collect();
        let mut left = 0;
        for seq in 1..=settled {
            let mut streams = std::mem::take(&mut self.log[seq as usize - 1].streams);
            streams.retain(|stream| {
                let kept = subscribed.contains(stream) || held(*stream);
                let waits = kept && !self.is_done(*stream, seq);
                let is_group = self.passed.contains_key(stream);
                left += u64::from(is_group && !waits && !self.done.contains(&(*stream, seq)));
                waits || !is_group
            });
            self.log[seq as usize - 1].streams = streams;
        }
        left
    }

    /// How many messages are in the stream of a filter.
    pub(super) fn entries_of(&self, filter: &str) -> usize {
        let stream = StreamKey::of(filter);
        let has = |entry: &&Entry| entry.streams.contains(&stream);
        self.log.iter().filter(has).count()
    }

    fn message(&self, seq: u64, clock: Clock) -> Option<Message> {
        let entry = self.log.get(seq.checked_sub(1)? as usize)?;
        let message = decode_message(&entry.bytes, clock).unwrap();
        message.set_log_seq(seq);
        Some(message)
    }

    pub(super) fn read(&self, request: &ReadRequest, clock: Clock) -> LogPage {
        let mut page = LogPage {
            reached: self.tail(),
            ..LogPage::default()
        };
        let mut bytes = 0;
        for seq in request.after + 1..=self.tail() {
            let entry = &self.log[seq as usize - 1];
            let due =
                |(stream, since): &(StreamKey, u64)| seq > *since && entry.streams.contains(stream);
            let done = |(stream, _): &(StreamKey, u64)| self.is_done(*stream, seq);
            if !request.streams.iter().any(due) || request.undone && done(&request.streams[0]) {
                continue;
            }
            if page.messages.len() == request.messages || bytes > request.bytes {
                page.reached = seq - 1;
                break;
            }
            let message = self.message(seq, clock).unwrap();
            bytes += message.memory();
            page.messages.push(message);
        }
        if request.count_to > request.after {
            let all = ReadRequest {
                messages: usize::MAX,
                bytes: usize::MAX,
                count_to: 0,
                ..request.clone()
            };
            let mut counted = Counted::default();
            counted.add(&self.read(&all, clock), request.count_to);
            page.counted = Some(counted);
        }
        page
    }

    /// All sessions with their subscriptions.
    pub(super) fn restore(&self, clock: Clock) -> Vec<SessionRecord> {
        let records = self.sessions.iter().map(|(key, (_, bytes))| {
            let find = |at: LogPos| self.message(at.seq, clock);
            let mut record = SessionRecord::decode_whole(bytes, clock, find).unwrap();
            assert_eq!(record.lost, 0);
            let rows = self.subscriptions.iter().filter(|((of, _), _)| of == key);
            let rows = rows.map(|(_, bytes)| SubscriptionRecord::read(bytes).unwrap());
            record.set_subscriptions(rows.collect());
            record
        });
        records.collect()
    }

    pub(super) fn delayed(&self, clock: Clock) -> Vec<(DelayedKey, DelayedRecord)> {
        let all = self.delayed.iter();
        all.map(|(key, bytes)| (*key, DelayedRecord::decode(bytes, clock).unwrap()))
            .collect()
    }

    /// Where a group goes on.
    pub(super) fn group_start(&self, stream: StreamKey, records: &[SessionRecord]) -> GroupStart {
        let is_undone = |seq: &u64| {
            let streams = &self.log[*seq as usize - 1].streams;
            streams.contains(&stream) && !self.is_done(stream, *seq)
        };
        let first = (1..=self.tail()).find(is_undone);
        let done = self.done.iter().filter(|(of, _)| *of == stream);
        let done = done.map(|(_, seq)| *seq);
        let passed = self.passed.get(&stream).copied();
        let held = records.iter().flat_map(SessionRecord::in_flight_of_groups);
        GroupStart {
            reached: first.map_or(self.tail(), |first| first - 1),
            done: done.chain(passed).max().unwrap_or_default(),
            held: held
                .filter(|(of, _)| *of == stream)
                .map(|(_, seq)| seq)
                .collect(),
        }
    }
}
