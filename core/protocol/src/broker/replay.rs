//! Retained messages for new subscriptions (3.3.1.3), page by page as the connection takes them.
//!
//! A subscription is due what is retained when it is made, and what is published from then on, each once. Both
//! are looked up at different times, so what is retained meanwhile is in both: in the log, and where the replay
//! comes by. So each replay has a place in the log behind which all that it could find comes from there. Of a
//! session that a store keeps that is known once its SUBSCRIBE is stored: then all shards know what to put into
//! its stream. The place is stored before SUBACK is out, and the first page is asked for then.

use super::index::FilterId;
use super::links::Copy;
use super::out::{Out, Page, RetainedOp, RetainedTicket};
use super::record::{Rev, SubscriptionRecord};
use super::retained::Cursor;
use super::shard::Shard;
use super::source::Source;
use super::unstored::Written;
use crate::codec::QoS;
use crate::message::Message;
use crate::time::Time;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

/// Retained messages that a session is still due for one subscription.
#[derive(Debug)]
pub(super) struct Replay {
    /// Good as long as the replay: the subscription ends it with itself.
    filter: FilterId,
    cursor: Cursor,
    identifier: Option<NonZeroU32>,
    qos: QoS,
    no_local: bool,
    /// What has a later place in the log than this was published for the subscription, and comes from there:
    /// where the log was when the subscription was made, or when it was stored. `u64::MAX` without a log.
    until: u64,
    /// The session has had the subscription before, so all of its messages since are in its stream.
    again: bool,
}

impl Replay {
    /// Whether a retained message is one that the session has, or will have, from the log.
    fn is_from_the_log(&self, message: &Message) -> bool {
        let logged = self.qos.min(message.qos()) > QoS::AtMostOnce;
        logged
            && self.until != u64::MAX
            && (message.log_seq() > self.until || message.is_for_the_log())
    }
}

/// The replays of a session, one after the other. Boxed: most sessions have none.
///
/// Subscriptions may come and go by the hundred thousand in one packet while their replays wait, so
/// each is found by its filter and not by a walk.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// By the number under which each was added.
    list: BTreeMap<u64, Replay>,
    numbers: HashMap<FilterId, u64>,
    added: u64,
    /// Those with a lower number may go on; the others wait until they are stored.
    opened: u64,
    /// In which record of the session those with lower numbers are, as far as they wait.
    waiting: VecDeque<(u64, Rev)>,
    /// Since the first of those that wait was made, the session was behind: it may not have had what came by.
    behind: bool,
    /// A page has been asked for.
    asked: bool,
}

impl Replays {
    fn add(&mut self, replay: Replay) {
        self.numbers.insert(replay.filter, self.added);
        self.list.insert(self.added, replay);
        self.added += 1;
    }

    /// Where the retained messages for a filter go on, if they do, and behind which place in the log they don't
    /// matter, if that is known.
    pub(super) fn place(&self, filter: FilterId) -> Option<(&Cursor, Option<u64>)> {
        let number = self.numbers.get(&filter)?;
        let replay = self.list.get(number)?;
        let known = *number < self.opened || replay.again || !self.behind;
        let until = (known && replay.until != u64::MAX).then_some(replay.until);
        Some((&replay.cursor, until))
    }

    /// The session has fallen behind.
    pub(super) fn fall_behind(&mut self) {
        self.behind = !self.waiting.is_empty();
    }

    /// The next one, if it may go on.
    fn first(&self) -> Option<&Replay> {
        let (number, replay) = self.list.first_key_value()?;
        (*number < self.opened).then_some(replay)
    }

    /// The last one waits for a record of its session.
    fn wait(&mut self, rev: Rev) {
        match self.waiting.back_mut() {
            Some((upto, last)) if *last == rev => *upto = self.added,
            _ => self.waiting.push_back((self.added, rev)),
        }
    }

    /// A record of the session is stored, or never will be: those that stand in it may go on. Whether there are
    /// any, and whether the next record says anything else of them. Without having been behind the session has
    /// had all that has come by since they were made, whatever the streams it was put into.
    fn open(&mut self, rev: Rev, seen: u64, stored: bool) -> (bool, bool) {
        let (before, mut changed) = (self.opened, false);
        while let Some((upto, _)) = self.waiting.front().filter(|(_, last)| *last <= rev) {
            self.opened = *upto;
            self.waiting.pop_front();
        }
        if self.behind || !stored {
            for (_, replay) in self.list.range_mut(before..self.opened) {
                if !replay.again {
                    (replay.until, changed) = (seen, true);
                }
            }
        }
        self.behind &= !self.waiting.is_empty();
        (self.opened > before, changed)
    }

    fn first_mut(&mut self) -> Option<&mut Replay> {
        self.list.first_entry().map(|entry| entry.into_mut())
    }

    fn get_mut(&mut self, filter: FilterId) -> Option<&mut Replay> {
        let number = self.numbers.get(&filter)?;
        self.list.get_mut(number)
    }

    /// Takes a filter's replay out; true when it was the first one.
    fn remove(&mut self, filter: FilterId) -> bool {
        let Some(number) = self.numbers.remove(&filter) else {
            return false;
        };
        let was_first = self.list.keys().next() == Some(&number);
        self.list.remove(&number);
        was_first
    }
}

impl Shard {
    /// A page of retained messages, the answer to [`RetainedOp::Page`].
    pub fn handle_retained(
        &mut self,
        ticket: RetainedTicket,
        page: Page,
        now: Time,
        out: &mut Out,
    ) {
        let Some(session) = self.links.sessions.get_mut(ticket.session) else {
            return;
        };
        let (origin, serial) = (session.origin, session.serial);
        let Some(replays) = &mut session.replays else {
            return;
        };
        if serial != ticket.serial || session.replay_turn != ticket.turn {
            return;
        }
        session.replay_turn = session.replay_turn.wrapping_add(1);
        replays.asked = false;
        let Some(replay) = replays.first_mut() else {
            return;
        };
        let (qos, no_local, filter) = (replay.qos, replay.no_local, replay.filter);
        let id = replay.identifier.map(|id| [id.get()]);
        let mut messages = page.messages;
        messages.retain(|message| !replay.is_from_the_log(message));
        match page.next {
            Some(next) => replay.cursor = next,
            None => {
                replays.remove(filter);
                if replays.list.is_empty() {
                    session.replays = None;
                }
            }
        }
        self.links.frames.begin(false);
        for message in &messages {
            if no_local && message.origin() == origin {
                continue;
            }
            self.links.stats.retained += 1;
            let copy = Copy {
                session: ticket.session,
                qos: qos.min(message.qos()),
                retain: true,
                ids: id.as_ref().map_or(&[], |id| &id[..]),
                share: 0,
            };
            self.links
                .deliver(copy, &mut Source::handed(message), now, out);
        }
        self.links.touch_lazily(ticket.session, now);
        self.ask_for_retained(ticket.session, out);
    }

    /// Asks for the next page when the last one is on its way to the client, and for the next one of the log.
    pub(super) fn ask_for_retained(&mut self, session: u32, out: &mut Out) {
        self.read_on(session, out);
        let max = self.links.limits.retained_page;
        if !self.links.wants_retained(session) {
            return;
        }
        let found = &mut self.links.sessions[session];
        let serial = found.serial;
        let Some(replays) = &mut found.replays else {
            return;
        };
        let Some(replay) = replays.first() else {
            return;
        };
        let (filter, cursor) = (self.index.text(replay.filter), replay.cursor.clone());
        replays.asked = true;
        out.retained.push(RetainedOp::Page {
            ticket: RetainedTicket {
                session,
                serial,
                turn: found.replay_turn,
            },
            filter: filter.into(),
            cursor,
            max,
        });
    }

    /// A subscription was made, or made anew after it was granted `before`: its retained messages are due.
    pub(super) fn add_replay(
        &mut self,
        session: u32,
        filter: FilterId,
        (identifier, before): (Option<NonZeroU32>, Option<QoS>),
        qos: QoS,
        no_local: bool,
    ) {
        let (on, begin) = (self.links.journal.on, self.since(session));
        let found = &mut self.links.sessions[session];
        let known = |replays: &Replays| {
            let number = replays.numbers.get(&filter);
            number.is_none_or(|number| *number < replays.opened)
        };
        let known = found.replays.as_deref().is_none_or(known);
        let replay = Replay {
            filter,
            cursor: Cursor::default(),
            identifier,
            qos,
            no_local,
            until: if on { begin } else { u64::MAX },
            again: known && before.is_some_and(|qos| qos > QoS::AtMostOnce),
        };
        let waits = found.log().map(|kept| (Rev(kept.rev.0 + 1), kept.behind));
        self.put_replay(session, replay);
        let replays = self.links.sessions[session].replays.get_or_insert_default();
        match waits {
            Some((rev, behind)) => {
                replays.wait(rev);
                replays.behind |= behind;
            }
            // It gets all that comes by, and nothing else.
            None => replays.opened = replays.added,
        }
    }

    /// A record of a session is stored, or refused.
    pub(super) fn open_replays(&mut self, (slot, serial, rev): Written, stored: bool) -> bool {
        let seen = self.links.journal.seen;
        let session = self.links.sessions.get_mut(slot);
        let session = session.filter(|session| session.serial == serial);
        let replays = session.and_then(|session| session.replays.as_deref_mut());
        let (opened, changed) =
            replays.map_or((false, false), |replays| replays.open(rev, seen, stored));
        if changed && stored {
            // Before SUBACK is out: what is published from then on comes to the store later, and after a crash it
            // is not looked for among the retained messages as well.
            self.links.touch(slot);
        }
        opened
    }

    /// The same after a start, for what is still due behind a cursor. What the log gets from now on all shards
    /// know to be for this subscription. Of a new one that is not so before its SUBACK.
    pub(super) fn add_replay_again(
        &mut self,
        cursor: Cursor,
        session: u32,
        subscription: (FilterId, &SubscriptionRecord),
    ) {
        let (filter, record) = subscription;
        let (on, seen) = (self.links.journal.on, self.links.journal.seen);
        let replay = Replay {
            filter,
            cursor,
            identifier: record.identifier,
            qos: record.options.qos,
            no_local: record.options.no_local,
            until: match on {
                // Of a record that doesn't say it nobody has heard, or an older program has written it.
                true => record.replay_until.unwrap_or(seen),
                false => u64::MAX,
            },
            again: true,
        };
        self.put_replay(session, replay);
        let replays = self.links.sessions[session].replays.get_or_insert_default();
        replays.opened = replays.added;
        if on && record.replay_until.is_none() {
            self.links.touch_soon(session);
        }
    }

    fn put_replay(&mut self, session: u32, replay: Replay) {
        self.cancel_replay(session, replay.filter);
        let replays = self.links.sessions[session].replays.get_or_insert_default();
        replays.add(replay);
    }

    /// A subscription was replaced and its retained messages are not due again: what is still due of
    /// them is for the new one [MQTT-3.8.4-3], with the QoS that it grants [MQTT-3.8.4-8].
    pub(super) fn change_replay(
        &mut self,
        session: u32,
        filter: FilterId,
        identifier: Option<NonZeroU32>,
        qos: QoS,
        no_local: bool,
    ) {
        let replays = self.links.sessions[session].replays.as_deref_mut();
        if let Some(replay) = replays.and_then(|replays| replays.get_mut(filter)) {
            if replay.qos == QoS::AtMostOnce {
                replay.until = u64::MAX; // until now it had nothing from the log
            }
            (replay.identifier, replay.qos, replay.no_local) = (identifier, qos, no_local);
        }
    }

    /// A subscription is no more [MQTT-3.10.4-2], or is made anew.
    pub(super) fn cancel_replay(&mut self, session: u32, filter: FilterId) {
        let session = &mut self.links.sessions[session];
        let Some(replays) = &mut session.replays else {
            return;
        };
        if replays.remove(filter) {
            session.replay_turn = session.replay_turn.wrapping_add(1);
            replays.asked = false;
        }
        if replays.list.is_empty() {
            session.replays = None;
        }
    }
}

impl super::links::Links {
    /// Whether the next page of retained messages would go out at once.
    pub(super) fn wants_retained(&self, session: u32) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            let waits = |replays: &Replays| !replays.asked && replays.first().is_some();
            session.replays.as_deref().is_some_and(waits)
                && session.queue.is_empty()
                && self.conns.get(session.conn).is_some_and(|conn| {
                    conn.outbound_len() < self.outbound_room() && !conn.is_blocked()
                })
        })
    }
}
