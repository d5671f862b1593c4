//! From sessions and messages to frames.

use std::collections::HashMap;

use ternmq_protocol::Message;
use ternmq_protocol::broker::Shard;
use ternmq_protocol::broker::record::{
    DelayedRecord, Frame, LogPos, Owner, PARTITIONS, SessKey, SessionRecord, Start, encode_message,
    topic_partition,
};
use ternmq_protocol::broker::retained::{Cursor, Retained};
use ternmq_protocol::time::{Clock, UnixMs};

use super::{Saving, Store, StoreError};

/// Sessions exported at a time.
pub(crate) const PAGE: usize = 256;

/// Saves one state of a broker: sessions and retained messages in any order, each message once.
pub(crate) struct Saver<'a> {
    saving: Box<dyn Saving + 'a>,
    clock: Clock,
    frames: u64,
    /// Messages that have a place, by identity; held, so that no other message gets it meanwhile.
    places: HashMap<usize, (LogPos, Message)>,
    /// The next place in each partition.
    next: [u64; PARTITIONS as usize],
    body: Vec<u8>,
}

impl<'a> Saver<'a> {
    pub(crate) fn begin(
        store: &'a dyn Store,
        owner: Owner,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let mut saver = Self {
            saving: store.save(owner)?,
            clock,
            frames: 0,
            places: HashMap::new(),
            next: [0; PARTITIONS as usize],
            body: Vec::new(),
        };
        let written = clock.utc_now();
        Start { owner, written }.encode(&mut saver.body);
        saver.saving.put(Frame::start(&saver.body))?;
        saver.frames += 1;
        Ok(saver)
    }

    /// All sessions of a shard, and the messages that it is to publish later.
    pub(crate) fn shard(&mut self, number: u16, shard: &mut Shard) -> Result<(), StoreError> {
        for (at, (due, message)) in shard.delayed().enumerate() {
            let record = DelayedRecord {
                message: message.clone(),
                due: self.clock.utc(due).unwrap_or(UnixMs(u64::MAX)),
                home: number,
            };
            self.body.clear();
            record.encode(self.clock, &mut self.body);
            let frame = Frame::delayed(message.topic(), at as u64, &self.body);
            self.saving.put(frame)?;
            self.frames += 1;
        }
        let (mut page, mut from) = (Vec::with_capacity(PAGE), Some(0));
        while let Some(slot) = from {
            from = shard.export(slot, PAGE, self.clock, &mut page);
            for record in page.drain(..) {
                self.session(&record)?;
            }
        }
        Ok(())
    }

    /// A session, behind the messages that nobody before it has had.
    pub(crate) fn session(&mut self, record: &SessionRecord) -> Result<(), StoreError> {
        for message in record.messages() {
            self.message(message)?;
        }
        let Self {
            places,
            body,
            saving,
            ..
        } = self;
        body.clear();
        let place = |message: &Message| places[&message.identity()].0;
        record.encode(place, body);
        let key = SessKey::new("", &record.client_id);
        saving.put(Frame::session(key, body))?;
        self.frames += 1;
        Ok(())
    }

    /// All retained messages of a store, but for what the broker tells of itself: the next start has
    /// its own to tell.
    pub(crate) fn retained(&mut self, retained: &Retained<Message>) -> Result<(), StoreError> {
        let mut from = Some(Cursor::default());
        let now = self.clock.now();
        while let Some(cursor) = from {
            let mut page = Vec::new();
            from = retained.walk(&cursor, now, PAGE, |message| page.push(message.clone()));
            for message in page.into_iter().filter(|m| !m.topic().starts_with("$SYS/")) {
                self.body.clear();
                encode_message(&message, self.clock, &mut self.body);
                let frame = Frame::retained(message.topic(), &self.body);
                self.saving.put(frame)?;
                self.frames += 1;
            }
        }
        Ok(())
    }

    /// Makes it the state that the next start finds.
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        self.saving.put(Frame::end(self.frames))?;
        self.saving.commit()
    }

    fn message(&mut self, message: &Message) -> Result<(), StoreError> {
        if self.places.contains_key(&message.identity()) {
            return Ok(());
        }
        let partition = topic_partition(message.topic());
        let next = &mut self.next[usize::from(partition)];
        let at = LogPos {
            partition,
            seq: *next,
        };
        *next += 1;
        self.places
            .insert(message.identity(), (at, message.clone()));
        self.body.clear();
        encode_message(message, self.clock, &mut self.body);
        self.saving.put(Frame::message(at, &self.body))?;
        self.frames += 1;
        Ok(())
    }
}
