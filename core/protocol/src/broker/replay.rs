//! Retained messages for new subscriptions (3.3.1.3), page by page as the connection takes them.

use super::index::FilterId;
use super::links::Copy;
use super::out::{Out, Page, RetainedOp, RetainedTicket};
use super::record::SubscriptionRecord;
use super::retained::Cursor;
use super::shard::Shard;
use super::source::Source;
use crate::codec::QoS;
use crate::message::Message;
use crate::time::Time;
use hashbrown::HashMap;
use std::collections::BTreeMap;
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
    /// What has a later place in the log than this was published for the subscription, and comes from there.
    until: u64,
}

impl Replay {
    /// Whether a retained message is one that the session has, or will have, from the log.
    fn is_from_the_log(&self, message: &Message) -> bool {
        let logged = self.qos.min(message.qos()) > QoS::AtMostOnce;
        logged && message.log_seq() > self.until
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
    /// A page has been asked for.
    asked: bool,
}

impl Replays {
    fn add(&mut self, replay: Replay) {
        self.numbers.insert(replay.filter, self.added);
        self.list.insert(self.added, replay);
        self.added += 1;
    }

    /// Where the retained messages for a filter go on, if they do.
    pub(super) fn cursor(&self, filter: FilterId) -> Option<&Cursor> {
        let number = self.numbers.get(&filter)?;
        self.list.get(number).map(|replay| &replay.cursor)
    }

    fn first(&self) -> Option<&Replay> {
        self.list.first_key_value().map(|(_, replay)| replay)
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
        let is_over = page.next.is_none();
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
        match is_over {
            // Before SUBACK is out if this is the first page: what is published from then on comes to the
            // store later, and after a crash it is not looked for among the retained messages as well.
            true => self.links.touch(ticket.session),
            false => self.links.touch_lazily(ticket.session, now),
        }
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

    /// A subscription was made, or made anew: its retained messages are due.
    pub(super) fn add_replay(
        &mut self,
        session: u32,
        filter: FilterId,
        identifier: Option<NonZeroU32>,
        qos: QoS,
        no_local: bool,
    ) {
        let replay = Replay {
            filter,
            cursor: Cursor::default(),
            identifier,
            qos,
            no_local,
            until: u64::MAX,
        };
        self.put_replay(session, replay);
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
        let replay = Replay {
            filter,
            cursor,
            identifier: record.identifier,
            qos: record.options.qos,
            no_local: record.options.no_local,
            until: match self.links.journal.on {
                true => self.links.journal.seen,
                false => u64::MAX,
            },
        };
        self.put_replay(session, replay);
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
            let waits = |replays: &Replays| !replays.asked && !replays.list.is_empty();
            session.replays.as_deref().is_some_and(waits)
                && session.queue.is_empty()
                && self.conns.get(session.conn).is_some_and(|conn| {
                    conn.outbound_len() < self.outbound_room() && !conn.is_blocked()
                })
        })
    }
}
