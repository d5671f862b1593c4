//! Input that waits its turn: of a client whose packets made so much work that the others come first,
//! of one whose packet waits for the driver's answer, or of one that has sent more than its rate.

use super::authorise::Publishing;
use super::out::{ConnId, Out};
use super::shard::Shard;
use super::subscribe::Subscribing;
use crate::time::Time;

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

/// A packet that waits for the driver's answer.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A SUBSCRIBE, until it is known who has the exclusive filters among it. That is answered before
    /// anything else comes in, so it counts as nothing.
    Claims(Subscribing),
    /// A SUBSCRIBE, until it is known whether the client may do it.
    Subscribe(Subscribing),
    /// A PUBLISH, until it is known whether the client may do it.
    Publish(Publishing),
}

impl Held {
    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        let waiting = match &self.waiting {
            None | Some(Waiting::Claims(_)) => 0,
            Some(Waiting::Subscribe(subscribing)) => subscribing.bytes(),
            Some(Waiting::Publish(publishing)) => publishing.bytes(),
        };
        self.input.capacity() + waiting
    }

    /// Nothing goes on before the driver has answered.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
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

    /// Whether the next input of this connection begins a packet.
    #[must_use]
    pub fn is_between_packets(&self, conn: ConnId) -> bool {
        let connection = self.links.conns.get(conn.0);
        connection
            .is_some_and(|connection| connection.held.is_none() && !connection.frames.is_partial())
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
        let Some(conn) = self.links.conns.get_mut(id) else {
            return;
        };
        let Some(held) = &mut conn.held else {
            return;
        };
        held.asked = false;
        // Whom we didn't read can't be blamed for its silence.
        conn.last_packet = now;
        self.links.arm(id);
        self.resume(ConnId(id), now, out);
    }

    /// Whether a packet waits for the driver's answer.
    pub(super) fn waits_for_driver(&self, id: u32) -> bool {
        let conn = self.links.conns.get(id);
        let held = conn.and_then(|conn| conn.held.as_ref());
        held.is_some_and(|held| held.waiting.is_some())
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
