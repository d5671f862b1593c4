//! This shard's part in letting go of all clients.

use ternmq_protocol::broker::{Admission, ConnId};
use ternmq_protocol::{ReasonCode, Time};

use super::Driver;
use crate::event::Event;

/// Clients that this shard has still to let go of.
pub(crate) struct Departures {
    clients: Vec<ConnId>,
    /// Of them, those that are first to get what waits for them.
    behind: Vec<ConnId>,
    next: Time,
}

impl Driver {
    /// Lets nobody in any more, and begins to let go of those that are here. Where there is a place
    /// to send them to, listeners go on accepting, to tell it; else the kernel refuses, so that
    /// clients try their next address at once.
    pub(super) fn begin_drain(&mut self) {
        let shared = self.shared.clone();
        let Some(drain) = shared.drain.get() else {
            return;
        };
        if drain.server_reference.is_none() {
            self.stop_listening();
        }
        self.shard
            .set_server_reference(drain.server_reference.clone());
        let connected = |(conn, _)| self.shard.connected_client(conn).map(|_| conn);
        self.departures = Some(Departures {
            clients: self.slots.iter().filter_map(connected).collect(),
            behind: Vec::new(),
            next: self.now,
        });
        self.let_go();
    }

    /// When the next client is to be let go.
    pub(super) fn next_departure(&self) -> Option<Time> {
        self.departures.as_ref().map(|departures| departures.next)
    }

    /// Lets go of as many as the rate allows. Their sessions stay as long as their expiry says, and
    /// their wills are published like those of any connection that the server ends: other clients
    /// learn that they are gone from here, and a will with a delay gives them time to come back.
    pub(super) fn let_go(&mut self) {
        let shared = self.shared.clone();
        let (Some(drain), Some(mut departures)) = (shared.drain.get(), self.departures.take())
        else {
            return;
        };
        self.look_at_peers();
        while let Some(conn) = departures.clients.last().copied() {
            // Those that have gone by themselves don't count.
            if self.shard.connected_client(conn).is_some() {
                if drain.looks_again(self.now).is_some() && self.shard.has_waiting(conn) {
                    departures.behind.push(conn);
                    departures.clients.pop();
                    continue;
                }
                if let Err(at) = drain.take(self.now) {
                    departures.next = at;
                    self.departures = Some(departures);
                    return;
                }
                self.counters.drained += 1;
                self.shard
                    .end_connection(conn, drain.goodbye, self.now, &mut self.out);
            }
            departures.clients.pop();
        }
        if let (Some(at), false) = (drain.looks_again(self.now), departures.behind.is_empty()) {
            std::mem::swap(&mut departures.clients, &mut departures.behind);
            departures.next = at;
            self.departures = Some(departures);
            return;
        }
        if drain.shard_is_done() {
            shared.tell(Event::Drained);
        }
    }

    /// The answer to a client that would be let in, if it weren't too late.
    pub(super) fn unless_draining(&mut self, answer: Admission) -> Admission {
        match (self.drain_refusal(), answer) {
            (Some(reason), Admission::Accept) => Admission::Refuse(reason),
            (_, answer) => answer,
        }
    }

    /// Why nobody is let in any more, if so. Counted.
    pub(super) fn drain_refusal(&mut self) -> Option<ReasonCode> {
        let shared = self.shared.clone();
        let drain = shared.drain.get()?;
        self.counters.connects_refused_draining += 1;
        if self.departures.is_none() {
            // This shard has not begun; the client shall know where to go all the same.
            self.shard
                .set_server_reference(drain.server_reference.clone());
        }
        Some(drain.refusal)
    }
}
