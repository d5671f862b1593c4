//! Input that waits its turn: of a client whose packets made so much work that the others come first,
//! of one whose packet waits for the driver's answer, or of one that has sent more than its rate.

use super::out::{ConnId, Out};
use super::shard::Shard;
use crate::codec::subscribe::SubscriptionOptions;
use crate::time::Time;
use std::num::NonZeroU32;

/// What came in and is not handled yet: at most what one read gave, for while there is any the
/// connection is not read. So its end is not seen before all of it is handled; a driver that learns of
/// the end otherwise asks [`Shard::holds_input`].
#[derive(Debug, Default)]
pub(super) struct Held {
    input: Vec<u8>,
    /// Nothing goes on before the driver has answered.
    asked: bool,
    /// What asked.
    pub(super) waiting: Option<Waiting>,
}

/// A SUBSCRIBE that waits for the driver's answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) packet_id: u16,
    pub(super) identifier: Option<NonZeroU32>,
    pub(super) requests: Vec<(Box<str>, SubscriptionOptions)>,
}

impl Held {
    /// What the input takes.
    pub(super) fn bytes(&self) -> usize {
        self.input.capacity()
    }
}

impl Shard {
    /// Whether input of this connection waits its turn. A driver whose peer is gone waits until it does
    /// not before it calls [`handle_closed`](Self::handle_closed), and throws away meanwhile what the
    /// connection has to send: what came in before the end counts.
    #[must_use]
    pub fn holds_input(&self, conn: ConnId) -> bool {
        let connection = self.links.conns.get(conn.0);
        connection.is_some_and(|connection| connection.held.is_some())
    }

    /// Goes on with the input of a connection in [`Out::unfinished`].
    pub fn resume(&mut self, conn: ConnId, now: Time, out: &mut Out) {
        let Some(connection) = self.links.conns.get_mut(conn.0) else {
            return;
        };
        if connection.is_paused() {
            return; // and so a timer runs
        }
        if let Some(held) = connection.held.take_if(|held| !held.asked) {
            self.links.count_input(conn.0);
            self.handle_input(conn, now, &held.input, out);
        }
    }

    /// Handles no more input of this connection, what stands behind the current packet included, until
    /// [`answered`](Self::answered) is called for it.
    pub(super) fn ask(&mut self, id: u32, waiting: Waiting) {
        let held = self.links.conns[id].held.get_or_insert_default();
        held.asked = true;
        held.waiting = Some(waiting);
    }

    /// The driver has answered: goes on with what came in meanwhile.
    pub(super) fn answered(&mut self, id: u32, now: Time, out: &mut Out) {
        let held = self.links.conns.get_mut(id).and_then(|c| c.held.as_mut());
        if let Some(held) = held {
            held.asked = false;
            self.resume(ConnId(id), now, out);
        }
    }

    /// Keeps input for later.
    pub(super) fn hold(&mut self, id: u32, input: &[u8], out: &mut Out) {
        let conn = &mut self.links.conns[id];
        let first = conn.held.is_none() && !conn.is_paused();
        conn.held
            .get_or_insert_default()
            .input
            .extend_from_slice(input);
        if first {
            out.unfinished.push(ConnId(id));
        }
    }
}
