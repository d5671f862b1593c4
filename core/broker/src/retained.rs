//! The retained store that all shards share: one map behind one lock, which only retained messages and
//! new subscriptions take.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::retained::{Retained, RetainedLimits};
use ternmq_protocol::broker::{Applied, RetainedOp};
use ternmq_protocol::topic::TopicName;
use ternmq_protocol::{Message, Time};

use crate::shared::Shared;

/// Topics looked at in one sweep: a fraction of a millisecond.
const SWEPT_AT_ONCE: usize = 1024;

/// Milliseconds between two sweeps while there are messages that expire.
pub(crate) const SWEEP_EVERY_MS: u64 = 5_000;

pub(crate) struct Store {
    retained: Mutex<Retained<Message>>,
    loading: Mutex<Loading>,
    loaded: Condvar,
}

/// While what outlived the last broker is being read, which takes longer than clients want to wait.
#[derive(Default)]
struct Loading {
    /// Topics that have changed since it began: what is read of them is old. `None`: all is there.
    changed: Option<HashSet<Box<str>>>,
}

impl Store {
    pub(crate) fn new(limits: RetainedLimits) -> Self {
        Self {
            retained: Mutex::new(Retained::new(limits)),
            loading: Mutex::default(),
            loaded: Condvar::new(),
        }
    }

    /// For who puts messages in or looks at those that are there.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Retained<Message>> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, once all messages are there.
    pub(crate) fn lock_whole(&self) -> MutexGuard<'_, Retained<Message>> {
        let going_on = |loading: &mut Loading| loading.changed.is_some();
        let waited = self.loaded.wait_while(self.loading(), going_on);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.lock()
    }

    /// Messages are going to be [loaded](Self::load).
    pub(crate) fn begin_loading(&self) {
        self.loading().changed = Some(HashSet::new());
    }

    /// A topic changes, of which an old message may still be read. For who holds the lock.
    pub(crate) fn changes(&self, topic: &str) {
        if let Some(changed) = &mut self.loading().changed {
            changed.insert(topic.into());
        }
    }

    /// Puts in some messages that were read. Returns how many are there, and how many the limits don't
    /// allow.
    pub(crate) fn load(&self, messages: Vec<Message>, now: Time) -> (u64, u64) {
        let mut retained = self.lock();
        let loading = self.loading();
        let old = |message: &Message| {
            let changed = loading.changed.as_ref();
            changed.is_some_and(|changed| changed.contains(message.topic()))
        };
        let (mut there, mut beyond) = (0, 0);
        for message in messages {
            let expires = message.expires();
            if old(&message) || (expires != Time::NEVER && message.is_expired(now)) {
                continue;
            }
            let kept = message.clone();
            match retained.put(TopicName::assume(kept.topic()), message, expires) {
                Ok(_) => there += 1,
                Err(_) => beyond += 1,
            }
        }
        (there, beyond)
    }

    /// All messages are there: to be told to every shard.
    pub(crate) fn end_loading(&self) {
        self.loading().changed = None;
        self.loaded.notify_all();
    }

    /// Whether all messages are there. If not, the shards will be told.
    pub(crate) fn is_whole(&self) -> bool {
        self.loading().changed.is_none()
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets messages that have expired, some at a time; returns how many, and whether there are
    /// more that will.
    pub(crate) fn sweep(&self, now: Time, mut gone: impl FnMut(Message)) -> (u64, bool) {
        let mut expired = 0;
        let more = self.lock().sweep(now, SWEPT_AT_ONCE, |message| {
            expired += 1;
            gone(message);
        });
        (expired, more)
    }

    /// Forgets all that have expired.
    pub(crate) fn sweep_all(&self, now: Time, mut gone: impl FnMut(Message)) -> (u64, bool) {
        let mut expired = 0;
        let mut count = |message| {
            expired += 1;
            gone(message);
        };
        let mut retained = self.lock();
        // It goes on where it has stopped: to the end, and then from the beginning.
        retained.sweep(now, usize::MAX, &mut count);
        let more = retained.sweep(now, usize::MAX, &mut count);
        (expired, more)
    }
}

impl Shared {
    /// Carries out an operation on the retained store, whose lock the caller holds, and has it kept where
    /// it outlives the broker. What the broker tells of itself need not: the next start has its own to
    /// tell.
    pub(crate) fn change_retained(
        &self,
        op: RetainedOp,
        retained: &mut Retained<Message>,
        now: Time,
    ) -> Applied {
        let change = self.desk.as_ref().and_then(|_| match &op {
            RetainedOp::Put { message, .. } => Some(StoreOp::PutRetained(message.clone())),
            RetainedOp::Remove(topic) => Some(StoreOp::RemoveRetained(topic.clone())),
            RetainedOp::Page { .. } => None,
        });
        let applied = op.apply(retained, now);
        if let (Some(desk), Some(change), Applied::Done) = (&self.desk, change, &applied) {
            let topic = match &change {
                StoreOp::PutRetained(message) => message.topic(),
                StoreOp::RemoveRetained(topic) => topic,
                _ => return applied,
            };
            self.retained.changes(topic);
            if !is_own(topic) {
                desk.intake.hand_in_one(change);
            }
        }
        applied
    }

    /// Forgets retained messages that have expired, also where they outlive the broker. How many, and
    /// whether more will.
    pub(crate) fn sweep_retained(&self, now: Time, all: bool) -> (u64, bool) {
        let gone = |message: Message| {
            if let Some(desk) = &self.desk
                && !is_own(message.topic())
            {
                let topic = message.topic().into();
                desk.intake.hand_in_one(StoreOp::RemoveRetained(topic));
            }
        };
        match all {
            true => self.retained.sweep_all(now, gone),
            false => self.retained.sweep(now, gone),
        }
    }
}

/// Whether it is about the broker itself.
pub(crate) fn is_own(topic: &str) -> bool {
    topic.starts_with("$SYS/")
}
