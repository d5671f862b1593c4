//! Retained messages for new subscriptions (3.3.1.3), page by page as the connection takes them.

use super::links::Copy;
use super::out::{Out, Page, RetainedOp, RetainedTicket};
use super::retained::Cursor;
use super::shard::Shard;
use super::source::Source;
use crate::codec::QoS;
use crate::time::Time;
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// Retained messages that a session is still due for one subscription.
#[derive(Debug)]
pub(super) struct Replay {
    filter: Box<str>,
    cursor: Cursor,
    identifier: Option<NonZeroU32>,
    qos: QoS,
    no_local: bool,
}

/// The replays of a session, one after the other. Boxed: most sessions have none.
#[derive(Debug, Default)]
pub(super) struct Replays {
    list: VecDeque<Replay>,
    /// A page has been asked for.
    asked: bool,
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
        let origin = session.origin;
        let Some(replays) = &mut session.replays else {
            return;
        };
        if origin != ticket.origin || session.replay_turn != ticket.turn {
            return;
        }
        session.replay_turn = session.replay_turn.wrapping_add(1);
        replays.asked = false;
        let Some(replay) = replays.list.front_mut() else {
            return;
        };
        let (qos, no_local) = (replay.qos, replay.no_local);
        let id = replay.identifier.map(|id| [id.get()]);
        match page.next {
            Some(next) => replay.cursor = next,
            None => {
                replays.list.pop_front();
                if replays.list.is_empty() {
                    session.replays = None;
                }
            }
        }
        self.links.frames.begin(false);
        for message in &page.messages {
            if no_local && message.origin() == origin {
                continue;
            }
            self.links.stats.retained += 1;
            let copy = Copy {
                session: ticket.session,
                qos: qos.min(message.qos()),
                retain: true,
                ids: id.as_ref().map_or(&[], |id| &id[..]),
            };
            self.links
                .deliver(copy, &mut Source::made(message), now, out);
        }
        self.ask_for_retained(ticket.session, out);
    }

    /// Asks for the next page when the last one is on its way to the client.
    pub(super) fn ask_for_retained(&mut self, session: u32, out: &mut Out) {
        let max = self.links.limits.retained_page;
        if !self.links.wants_retained(session) {
            return;
        }
        let found = &mut self.links.sessions[session];
        let origin = found.origin;
        let Some(replays) = &mut found.replays else {
            return;
        };
        let Some(replay) = replays.list.front() else {
            return;
        };
        replays.asked = true;
        out.retained.push(RetainedOp::Page {
            ticket: RetainedTicket {
                session,
                origin,
                turn: found.replay_turn,
            },
            filter: replay.filter.clone(),
            cursor: replay.cursor.clone(),
            max,
        });
    }

    /// A subscription was made: its retained messages are due. One that is made anew is cancelled
    /// first; looking for it here would make many subscriptions at once cost their square.
    pub(super) fn add_replay(
        &mut self,
        session: u32,
        filter: &str,
        identifier: Option<NonZeroU32>,
        qos: QoS,
        no_local: bool,
    ) {
        let replays = self.links.sessions[session].replays.get_or_insert_default();
        replays.list.push_back(Replay {
            filter: filter.into(),
            cursor: Cursor::default(),
            identifier,
            qos,
            no_local,
        });
    }

    /// A subscription is no more [MQTT-3.10.4-2], or is about to be made anew.
    pub(super) fn cancel_replay(&mut self, session: u32, filter: &str) {
        let session = &mut self.links.sessions[session];
        let Some(replays) = &mut session.replays else {
            return;
        };
        if replays
            .list
            .front()
            .is_some_and(|first| *first.filter == *filter)
        {
            session.replay_turn = session.replay_turn.wrapping_add(1);
            replays.asked = false;
        }
        replays.list.retain(|replay| *replay.filter != *filter);
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
                && self
                    .conns
                    .get(session.conn)
                    .is_some_and(|conn| conn.outbound_len() < self.limits.outbound_bytes)
        })
    }
}
