//! From sessions and messages to frames.

use std::collections::HashMap;

use ternmq_protocol::broker::record::{
    DelayedRecord, Frame, LogPos, Owner, PARTITIONS, SessKey, SessionRecord, Start, encode_message,
    topic_partition,
};
use ternmq_protocol::broker::retained::Cursor;
use ternmq_protocol::broker::{DelayedPlace, Shard};
use ternmq_protocol::time::{Clock, UnixMs};
use ternmq_protocol::{Message, Time};

use super::{Saving, Store, StoreError};
use crate::retained::Store as RetainedStore;

/// Sessions, their subscriptions and messages, retained and delayed messages that are looked up at a
/// time: what takes a shard, or whoever wants the retained store, in the order of a millisecond.
pub(crate) const PAGE: usize = 2_048;

/// Where the next page of a shard begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Behind this message that is to be published later.
    Delayed(DelayedPlace),
    /// With the session in this slot.
    Session(u32),
}

/// Some of what a shard holds.
#[derive(Debug, Default)]
pub(crate) struct Page {
    sessions: Vec<SessionRecord>,
    delayed: Vec<(Time, Message)>,
    /// `None` at the end.
    pub(crate) next: Option<Place>,
}

impl Place {
    /// Before all that a shard holds.
    pub(crate) const START: Self = Self::Delayed(DelayedPlace::START);
}

impl Page {
    /// Looks up to [`PAGE`] of what a shard holds, from a place on.
    pub(crate) fn of(shard: &mut Shard, from: Place, clock: Clock) -> Self {
        let mut page = Self::default();
        match from {
            Place::Delayed(place) => {
                let mut last = place;
                for (place, message) in shard.delayed_behind(place).take(PAGE) {
                    page.delayed.push((place.due(), message.clone()));
                    last = place;
                }
                page.next = Some(match page.delayed.len() < PAGE {
                    true => Place::Session(0),
                    false => Place::Delayed(last),
                });
            }
            Place::Session(slot) => {
                let next = shard.export(slot, PAGE, clock, &mut page.sessions);
                page.next = next.map(Place::Session);
            }
        }
        page
    }
}

/// What was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Sessions.
    pub sessions: u64,
    /// Retained messages.
    pub retained: u64,
    /// Messages that are to be published later.
    pub delayed: u64,
}

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
    saved: Saved,
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
            saved: Saved::default(),
        };
        let written = clock.utc_now();
        Start { owner, written }.encode(&mut saver.body);
        saver.saving.put(Frame::start(&saver.body))?;
        saver.frames += 1;
        Ok(saver)
    }

    /// All that a shard holds.
    pub(crate) fn shard(&mut self, number: u16, shard: &mut Shard) -> Result<(), StoreError> {
        let mut place = Some(Place::START);
        while let Some(from) = place {
            let page = Page::of(shard, from, self.clock);
            place = page.next;
            self.page(number, page)?;
        }
        Ok(())
    }

    /// Some of what a shard holds.
    pub(crate) fn page(&mut self, number: u16, page: Page) -> Result<(), StoreError> {
        for (due, message) in page.delayed {
            let record = DelayedRecord {
                due: self.clock.utc(due).unwrap_or(UnixMs(u64::MAX)),
                message,
                home: number,
            };
            self.body.clear();
            record.encode(self.clock, &mut self.body);
            let (topic, place) = (record.message.topic(), self.saved.delayed);
            self.saving.put(Frame::delayed(topic, place, &self.body))?;
            self.saved.delayed += 1;
            self.frames += 1;
        }
        for record in &page.sessions {
            self.session(record)?;
        }
        Ok(())
    }

    /// A session, behind the messages that nobody before it has had.
    fn session(&mut self, record: &SessionRecord) -> Result<(), StoreError> {
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
        self.saved.sessions += 1;
        self.frames += 1;
        Ok(())
    }

    /// All retained messages, but for what the broker tells of itself: the next start has its own to
    /// tell. The store is locked for a page at a time; what changes meanwhile is saved in its old state
    /// or its new one.
    pub(crate) fn retained(&mut self, retained: &RetainedStore) -> Result<(), StoreError> {
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from {
            from = self.retained_page(retained, &cursor)?;
        }
        Ok(())
    }

    /// Some of them, and where the next ones begin.
    pub(crate) fn retained_page(
        &mut self,
        retained: &RetainedStore,
        from: &Cursor,
    ) -> Result<Option<Cursor>, StoreError> {
        let (mut page, now) = (Vec::new(), self.clock.now());
        let next = retained
            .lock()
            .walk(from, now, PAGE, |message| page.push(message.clone()));
        for message in page.iter().filter(|m| !m.topic().starts_with("$SYS/")) {
            self.body.clear();
            encode_message(message, self.clock, &mut self.body);
            let frame = Frame::retained(message.topic(), &self.body);
            self.saving.put(frame)?;
            self.saved.retained += 1;
            self.frames += 1;
        }
        Ok(next)
    }

    /// Makes it the state that the next start finds.
    pub(crate) fn commit(mut self) -> Result<Saved, StoreError> {
        self.saving.put(Frame::end(self.frames))?;
        self.saving.commit()?;
        Ok(self.saved)
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
