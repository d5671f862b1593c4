//! What a shard does for a store that keeps a log: which sessions are to be written, what waits until
//! something is stored, and how far the log has come by.
//!
//! A session's record is written whole, once a turn however much has changed: at the end of the turn if
//! anything waits for it, else a while later.

use super::acks::{Acks, Owed, Ticket};
use super::arena::NONE;
use super::durable::{DelayedKey, Durability, DurabilityRule, DurableConfig, StoreOp, StreamKey};
use super::links::Links;
use super::out::{ListenerId, Out, StoreCut};
use super::record::{Epoch, SessKey};
use super::session::{Dirty, Kept, Session};
use super::shard::Shard;
use super::unstored::{Then, Written};
use crate::message::Message;
use crate::time::{Clock, Time, UnixMs};
use crate::topic::{TopicFilter, TopicName};
use crate::wheel::Timer;
use std::collections::VecDeque;

/// Changes of a session after which it is written though nobody waits for it.
const MOST_UNWRITTEN: u16 = 256;

/// Sessions for which nobody waits that are written with one turn, and the milliseconds between two such turns:
/// after a crash all who were there are, and their records would be in memory at once.
const WRITTEN_AT_ONCE: usize = 1_024;
const BETWEEN_WRITES_MS: u64 = 10;

#[derive(Debug)]
pub(super) struct Journal {
    /// There is a store.
    pub(super) on: bool,
    pub(super) config: DurableConfig,
    pub(super) epoch: Epoch,
    /// Delayed messages given to the store so far.
    pub(super) delayed: u64,
    /// The last message of the log that has come by, or would have.
    pub(super) seen: u64,
    /// Refusals of the store so far.
    pub(super) turn: u64,
    /// What waits until it is stored.
    pub(super) line: Acks,
    /// How much of it is for each connection. Not in the connection, which is no larger for it where there is
    /// no store.
    unstored: Vec<u32>,
    /// Sessions behind whose clients are away, that messages were found to come by for.
    pub(super) drowsy: Vec<u32>,
    /// Sessions that are to be written with this turn.
    dirty: Vec<u32>,
    /// Sessions that are to be written by a time, each with its serial.
    lazy: VecDeque<(Time, u32, u64)>,
    timer: Option<Timer>,
    /// Clients whose sessions ended, which is not stored though it should be.
    ends: Vec<Box<str>>,
    /// Messages of groups that are done.
    pub(super) done: Vec<(StreamKey, u64)>,
    /// The same, refused once.
    done_later: Vec<(StreamKey, u64)>,
    /// Groups that have begun or ended, and up to where nothing is theirs.
    pub(super) passed: Vec<(StreamKey, u64)>,
    passed_later: Vec<(StreamKey, u64)>,
    /// Streams that groups hold from now on, or not any more.
    pub(super) holds: Vec<(StreamKey, bool)>,
    /// Delayed messages that were published, whose removal was refused.
    unremoved: Vec<DelayedKey>,
    /// The time of what was refused has come.
    again: bool,
    /// As of the last turn.
    pub(super) clock: Clock,
    /// The listener of whoever publishes now.
    pub(super) listener: Option<ListenerId>,
    /// What is promised of the message that is published now.
    pub(super) promised: Option<Durability>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::new(None, Epoch(0))
    }
}

impl Journal {
    pub(super) fn new(config: Option<DurableConfig>, epoch: Epoch) -> Self {
        Self {
            on: config.is_some(),
            config: config.unwrap_or_default(),
            epoch,
            delayed: 0,
            seen: 0,
            turn: 0,
            line: Acks::default(),
            unstored: Vec::new(),
            drowsy: Vec::new(),
            dirty: Vec::new(),
            lazy: VecDeque::new(),
            timer: None,
            ends: Vec::new(),
            done: Vec::new(),
            done_later: Vec::new(),
            passed: Vec::new(),
            passed_later: Vec::new(),
            holds: Vec::new(),
            unremoved: Vec::new(),
            again: false,
            clock: Clock::at(Time(0), UnixMs(0)),
            listener: None,
            promised: None,
        }
    }

    /// Whether something in the line is for this connection, or for one that had its number.
    #[inline]
    pub(super) fn is_waited_for(&self, id: u32) -> bool {
        self.on
            && self
                .unstored
                .get(id as usize)
                .is_some_and(|count| *count > 0)
    }

    /// Puts something for a connection into the line.
    pub(super) fn wait(&mut self, owed: Owed) -> Ticket {
        if owed.conn != NONE {
            let at = owed.conn as usize;
            if self.unstored.len() <= at {
                self.unstored.resize(at + 1, 0);
            }
            self.unstored[at] += 1;
        }
        self.line.push(owed).of_stored()
    }

    /// Takes the next one out of the line, if the ticket covers it.
    pub(super) fn next(&mut self, ticket: Ticket) -> Option<Owed> {
        let owed = self.line.pop(ticket.in_line())?;
        if let Some(count) = self.unstored.get_mut(owed.conn as usize) {
            *count -= 1;
        }
        Some(owed)
    }

    /// A session is to be written at the end of the turn.
    pub(super) fn mark(&mut self, slot: u32, kept: &mut Kept) {
        if kept.dirty != Dirty::Now {
            kept.dirty = Dirty::Now;
            self.dirty.push(slot);
        }
    }

    /// What is promised to the publisher of a message.
    pub(super) fn durability_of(&self, topic: &str) -> Durability {
        let fits = |rule: &&DurabilityRule| {
            let listener = rule.listener.is_none() || rule.listener == self.listener;
            let matches =
                |filter: &str| TopicFilter::assume(filter).matches(TopicName::assume(topic));
            listener && rule.filter.as_deref().is_none_or(matches)
        };
        let rule = self.config.rules.iter().find(fits);
        rule.map_or(Durability::default(), |rule| rule.durability)
    }
}

impl Shard {
    /// Adds the sessions that have changed to [`Out::store`]. To be called at the end of each round, before
    /// `Out::store` is handed over. The clock is also that of what the next turn writes.
    pub fn collect(&mut self, clock: Clock, out: &mut Out) {
        self.links.journal.clock = clock;
        // With whatever else is written: nothing may be stored that follows from what was refused alone.
        let cut = out.cuts.last().map_or(0, |cut| cut.end);
        let writes = !self.links.journal.dirty.is_empty() || out.store.len() > cut;
        if std::mem::take(&mut self.links.journal.again) || writes {
            let journal = &mut self.links.journal;
            journal.done.append(&mut journal.done_later);
            journal.passed.append(&mut journal.passed_later);
            for key in std::mem::take(&mut journal.unremoved) {
                self.links.remove_delayed(key, None, out);
            }
            for client_id in std::mem::take(&mut self.links.journal.ends) {
                self.end_again(client_id, out);
            }
        }
        out.holds.append(&mut self.links.journal.holds);
        let done = std::mem::take(&mut self.links.journal.done);
        if !done.is_empty() {
            let ops = done
                .iter()
                .map(|(stream, seq)| StoreOp::Done(*stream, *seq));
            out.store.extend(ops);
            self.links.after_stored(Then::Done(done), out);
        }
        let passed = std::mem::take(&mut self.links.journal.passed);
        if !passed.is_empty() {
            let ops = passed.iter();
            let ops = ops.map(|(stream, seq)| StoreOp::DoneUpTo(*stream, *seq));
            out.store.extend(ops);
            self.links.after_stored(Then::Passed(passed), out);
        }
        self.collect_sessions(clock, out);
        if out.store.len() > cut && out.owed_stored.is_none() {
            self.links.after_stored(Then::Nothing, out);
        }
    }

    /// Ends a batch of changes: what stands in it is kept or refused whatever becomes of what follows. So all
    /// that belongs to it has to be in it, sessions that have changed above all.
    pub(super) fn cut(&mut self, out: &mut Out) {
        self.collect(self.links.journal.clock, out);
        let end = out.store.len();
        let ticket = out.owed_stored.take();
        out.cuts.push(StoreCut { end, ticket });
    }

    fn collect_sessions(&mut self, clock: Clock, out: &mut Out) {
        if self.links.journal.dirty.is_empty() {
            return;
        }
        let mut written = Vec::new();
        for slot in std::mem::take(&mut self.links.journal.dirty) {
            let Some(session) = self.links.sessions.get_mut(slot) else {
                continue;
            };
            let serial = session.serial;
            let Some(kept) = session.log().filter(|kept| kept.dirty == Dirty::Now) else {
                continue;
            };
            (kept.dirty, kept.unwritten) = (Dirty::Clean, 0);
            kept.rev.0 += 1;
            let rev = kept.rev;
            let record = self.stored_record(slot, clock);
            out.store.push(StoreOp::PutSession(Box::new(record)));
            written.push((slot, serial, rev));
        }
        if !written.is_empty() {
            self.links.after_stored(Then::Written(written), out);
        }
    }

    /// The end of a session was refused once: says it again, and what the client's session of today is.
    fn end_again(&mut self, client_id: Box<str>, out: &mut Out) {
        let today = self.find_session(&client_id);
        let key = SessKey::new("", &client_id);
        self.links.tell_ended(client_id, out);
        let Some(slot) = today.filter(|slot| self.links.is_durable(*slot)) else {
            return;
        };
        for record in self.subscriptions_of(slot) {
            out.store.push(StoreOp::Subscribe(key, Box::new(record)));
        }
        self.links.touch(slot);
    }

    /// All messages of the log up to here have come by, or are for nobody on this shard. To be called at the
    /// start with the last that the store has, and later for those that the shard is not given.
    pub fn set_log_seen(&mut self, seq: u64) {
        self.links.journal.seen = self.links.journal.seen.max(seq);
    }
}

impl Links {
    /// Whether a store keeps a session.
    pub(super) fn is_durable(&self, slot: u32) -> bool {
        self.journal.on && self.sessions.get(slot).is_some_and(Session::is_durable)
    }

    /// A session has changed, and something waits until that is stored.
    pub(super) fn touch(&mut self, slot: u32) {
        if !self.journal.on {
            return;
        }
        if let Some(kept) = self.sessions.get_mut(slot).and_then(Session::log) {
            self.journal.mark(slot, kept);
        }
    }

    /// A session that is read at the start is to be written before anything else happens, unless many are, whose
    /// records would be in memory at once.
    pub(super) fn touch_soon(&mut self, slot: u32) {
        if self.journal.dirty.len() < WRITTEN_AT_ONCE {
            self.touch(slot);
        }
    }

    /// A session has changed, and nothing waits for it.
    pub(super) fn touch_lazily(&mut self, slot: u32, now: Time) {
        if !self.journal.on {
            return;
        }
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        let serial = session.serial;
        let Some(kept) = session.log() else {
            return;
        };
        kept.unwritten += 1;
        let many = kept.unwritten >= MOST_UNWRITTEN;
        if kept.dirty == Dirty::Clean {
            kept.dirty = Dirty::Lazy;
            let due = now.after(self.journal.config.lazy_ms);
            self.journal.lazy.push_back((due, slot, serial));
            self.arm_journal(due);
        }
        if many {
            self.touch(slot);
        }
    }

    /// A session that a store keeps has ended.
    pub(super) fn tell_ended(&mut self, client_id: Box<str>, out: &mut Out) {
        out.store
            .push(StoreOp::EndSession(SessKey::new("", &client_id)));
        self.after_stored(Then::Ended(client_id), out);
    }

    /// That was refused: it is said again a while later.
    pub(super) fn end_later(&mut self, client_id: Box<str>, now: Time) {
        self.journal.ends.push(client_id);
        let due = now.after(self.journal.config.lazy_ms);
        self.arm_journal(due);
    }

    /// A delayed message is published; if that is not stored, so is what is `appended` of it.
    pub(super) fn remove_delayed(
        &mut self,
        key: DelayedKey,
        appended: Option<Message>,
        out: &mut Out,
    ) {
        out.store.push(StoreOp::RemoveDelayed(key));
        self.after_stored(Then::Released(key, appended), out);
    }

    /// The removal of a delayed message was refused, which was delivered all the same: it is said again a
    /// while later.
    pub(super) fn remove_later(&mut self, key: DelayedKey, now: Time) {
        self.journal.unremoved.push(key);
        let due = now.after(self.journal.config.lazy_ms);
        self.arm_journal(due);
    }

    /// That these messages are done was refused: it is said again a while later.
    pub(super) fn done_again(&mut self, mut done: Vec<(StreamKey, u64)>, now: Time) {
        self.journal.done_later.append(&mut done);
        let due = now.after(self.journal.config.lazy_ms);
        self.arm_journal(due);
    }

    /// The same for what groups have passed.
    pub(super) fn pass_again(&mut self, mut passed: Vec<(StreamKey, u64)>, now: Time) {
        self.journal.passed_later.append(&mut passed);
        let due = now.after(self.journal.config.lazy_ms);
        self.arm_journal(due);
    }

    /// Records of these sessions were refused: they are written again a while later.
    pub(super) fn write_again(&mut self, sessions: &[Written], now: Time) {
        for (slot, serial, _) in sessions {
            let session = self.sessions.get(*slot);
            if session.is_some_and(|session| session.serial == *serial) {
                self.touch_lazily(*slot, now);
            }
        }
    }

    fn arm_journal(&mut self, due: Time) {
        if self.journal.timer.is_none() {
            let timer = self.timers.set(super::timers::Due::Journal, due);
            self.journal.timer = Some(timer);
        }
    }

    /// Sessions that have waited long enough are written with this turn, if they are not too many.
    pub(super) fn journal_due(&mut self, now: Time) {
        self.journal.timer = None;
        self.journal.again = true;
        while let Some((due, slot, serial)) = self.journal.lazy.front().copied() {
            if due > now {
                self.arm_journal(due);
                return;
            }
            if self.journal.dirty.len() >= WRITTEN_AT_ONCE {
                self.arm_journal(now.after(BETWEEN_WRITES_MS));
                return;
            }
            self.journal.lazy.pop_front();
            let session = self.sessions.get_mut(slot);
            let session = session.filter(|session| session.serial == serial);
            if session.is_some_and(|session| {
                session
                    .kept
                    .as_ref()
                    .is_some_and(|k| k.dirty == Dirty::Lazy)
            }) {
                self.touch(slot);
            }
        }
    }
}
