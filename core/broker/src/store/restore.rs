//! From frames to sessions and messages.

use std::collections::HashMap;
use std::path::PathBuf;

use ternmq_protocol::broker::record::{
    DelayedRecord, Frame, FrameKind, LogPos, RecordError, Restored, SessKey, SessionRecord, Start,
    decode_message,
};
use ternmq_protocol::broker::retained::Retained;
use ternmq_protocol::broker::{Out, Shard};
use ternmq_protocol::time::Clock;
use ternmq_protocol::topic::TopicName;
use ternmq_protocol::{Message, Time};

use super::{Damage, Store, StoreError};
use crate::placement::Directory;

/// What a broker found in its store when it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Sessions that are there again; those whose time has passed meanwhile are among them.
    pub sessions: u64,
    /// Retained messages that are there again.
    pub retained: u64,
    /// Messages that are to be published later, and will be.
    pub delayed: u64,
    /// Sessions, retained and delayed messages beyond the limits of today: they are gone.
    pub over_limits: u64,
    /// Records that are damaged, and places between them: they are gone.
    pub damaged: u64,
    /// Copies of messages in flight or queued whose message was damaged: they are gone.
    pub copies_lost: u64,
    /// The end of the records is missing.
    pub cut: bool,
    /// Where the records are kept as they were, when some were damaged or the end was missing.
    pub set_aside: Option<PathBuf>,
}

/// Puts what a store holds into shards and the retained store. Returns what each shard asks for.
pub(crate) fn restore(
    store: &dyn Store,
    shards: &mut [Shard],
    directory: &Directory,
    retained: &mut Retained<Message>,
    clock: Clock,
) -> Result<(Restoration, Vec<Out>), StoreError> {
    let outs = shards.iter().map(|_| Out::default()).collect();
    let mut loading = Loading {
        shards,
        directory,
        retained,
        clock,
        messages: HashMap::new(),
        frames: 0,
        ended: false,
        outs,
        done: Restoration::default(),
    };
    let Damage { places, .. } = store.load(&mut |frame| loading.take(frame))?;
    let mut done = loading.done;
    done.damaged += places;
    done.cut = loading.frames > 0 && !loading.ended;
    if done.damaged > 0 || done.cut {
        done.set_aside = store.set_aside()?;
    }
    Ok((done, loading.outs))
}

struct Loading<'a> {
    shards: &'a mut [Shard],
    directory: &'a Directory,
    retained: &'a mut Retained<Message>,
    clock: Clock,
    messages: HashMap<LogPos, Message>,
    frames: u64,
    ended: bool,
    /// What each shard has to tell the others.
    outs: Vec<Out>,
    done: Restoration,
}

impl Loading<'_> {
    fn take(&mut self, frame: Frame<'_>) -> Result<(), StoreError> {
        self.frames += 1;
        let taken = match frame.kind {
            FrameKind::Start => Start::decode(frame.body).map(drop),
            FrameKind::Message => decode_message(frame.body, self.clock).map(|message| {
                self.messages.insert(frame.position(), message);
            }),
            FrameKind::Session => self.session(&frame),
            FrameKind::Retained => decode_message(frame.body, self.clock).map(|m| self.retain(m)),
            FrameKind::Delayed => {
                DelayedRecord::decode(frame.body, self.clock).map(|delayed| self.delay(delayed))
            }
            FrameKind::End => {
                self.ended = true;
                Ok(())
            }
        };
        match taken {
            Ok(()) => Ok(()),
            // Whoever goes on would lose what a newer program has kept.
            Err(newer @ RecordError::Newer(_)) => Err(StoreError::Newer(newer)),
            Err(RecordError::Damaged(_)) => {
                self.done.damaged += 1;
                Ok(())
            }
        }
    }

    fn session(&mut self, frame: &Frame<'_>) -> Result<(), RecordError> {
        let find = |at| self.messages.get(&at).cloned();
        let record = SessionRecord::decode(frame.body, find)?;
        if SessKey::new("", &record.client_id).0 != frame.name {
            return Err(RecordError::Damaged("another session's name"));
        }
        self.done.copies_lost += record.lost as u64;
        let client_id = record.client_id.clone();
        let shard = self.directory.place_restored(&client_id, record.home);
        let out = &mut self.outs[shard];
        match self.shards[shard].restore(record, self.clock, out) {
            Restored::Taken => {
                self.directory.restored(&client_id, shard);
                self.done.sessions += 1;
            }
            // A session that ended and began again while it was being saved is there twice: one is good.
            Restored::NotNewer => {}
            Restored::Connected => self.done.damaged += 1,
            Restored::Full => self.done.over_limits += 1,
        }
        Ok(())
    }

    fn delay(&mut self, delayed: DelayedRecord) {
        let shard = usize::from(delayed.home) % self.shards.len();
        let due = self.clock.time(Some(delayed.due));
        match self.shards[shard].insert_delayed(due, delayed.message) {
            true => self.done.delayed += 1,
            false => self.done.over_limits += 1,
        }
    }

    fn retain(&mut self, message: Message) {
        let expires = message.expires();
        if expires != Time::NEVER && message.is_expired(self.clock.now()) {
            return;
        }
        let kept = message.clone();
        let put = self
            .retained
            .put(TopicName::assume(kept.topic()), message, expires);
        match put {
            Ok(_) => self.done.retained += 1,
            Err(_) => self.done.over_limits += 1,
        }
    }
}
