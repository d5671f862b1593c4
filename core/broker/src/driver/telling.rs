//! Telling what clients do, and what is done to them, at a pace that strangers can't set.

use std::io;
use std::net::IpAddr;

use ternmq_protocol::Time;
use ternmq_protocol::broker::{ClientEvent, ConnId, ListenerId};

use super::Driver;
use crate::pace::Pace;

/// Refused connections told of in a second: whoever listens is to learn what is wrong, and not to drown.
const REFUSED_PER_SECOND: u32 = 20;

/// Milliseconds until those that were left out are told of in one number, and between two tellings of what
/// was dropped.
const SUM_EVERY_MS: u64 = 1_000;

/// Milliseconds until the look at all sessions goes on, and clients that each part of it tells of.
const GO_ON_MS: u64 = 50;
const DROPS_AT_ONCE: usize = 64;

/// What was told of clients, and what is still to be told.
pub(crate) struct Telling {
    /// `None`: nobody listens.
    refusals: Option<Pace>,
    /// Refused and not told of.
    left_out: u64,
    left_out_at: Time,
    drops_at: Time,
}

impl Telling {
    pub(super) fn new(listened: bool, now: Time) -> Self {
        Self {
            refusals: Pace::per_second(REFUSED_PER_SECOND).filter(|_| listened),
            left_out: 0,
            left_out_at: Time::NEVER,
            drops_at: now,
        }
    }

    fn listened(&self) -> bool {
        self.refusals.is_some()
    }
}

impl Driver {
    /// Passes on what the shard has told.
    pub(super) fn tell_of_clients(&mut self) {
        for event in self.out.told.drain(..) {
            if matches!(event, ClientEvent::Refused { .. })
                && let Some(pace) = &mut self.telling.refusals
                && pace.take(self.now).is_err()
            {
                if self.telling.left_out == 0 {
                    self.telling.left_out_at = self.now.after(SUM_EVERY_MS);
                }
                self.telling.left_out += 1;
                self.counters.refusals_untold += 1;
                continue;
            }
            self.shared.tell_of_client(event);
        }
    }

    /// When there is something to tell that nothing else brings about.
    pub(super) fn next_client_telling(&self) -> Option<Time> {
        if !self.telling.listened() {
            return None;
        }
        let sum = (self.telling.left_out > 0).then_some(self.telling.left_out_at);
        let drops = (self.shard.has_untold_drops()).then_some(self.telling.drops_at);
        sum.into_iter().chain(drops).min()
    }

    pub(super) fn tell_of_sums(&mut self) {
        if self.telling.left_out_at <= self.now {
            self.tell_how_many_more();
        }
        if self.telling.drops_at <= self.now && self.shard.has_untold_drops() {
            let more = self.shard.tell_drops(DROPS_AT_ONCE, &mut self.out);
            let wait = if more { GO_ON_MS } else { SUM_EVERY_MS };
            self.telling.drops_at = self.now.after(wait);
        }
    }

    /// How many were refused beyond those that were told of.
    pub(super) fn tell_how_many_more(&mut self) {
        self.telling.left_out_at = Time::NEVER;
        let more = std::mem::take(&mut self.telling.left_out);
        if more > 0 {
            self.shared.tell_of_client(ClientEvent::RefusedMore(more));
        }
    }

    /// A connection ended before MQTT began.
    pub(super) fn tell_refused(
        &mut self,
        listener: ListenerId,
        peer: Option<IpAddr>,
        what: impl FnOnce() -> String,
    ) {
        if self.telling.listened() {
            self.out.told.push(ClientEvent::Refused {
                client_id: "".into(),
                user_name: None,
                listener,
                peer,
                reason: None,
                what: what().into(),
            });
        }
    }

    /// The same of one whose TLS or WebSocket has failed; of those that were there, their ends tell.
    pub(super) fn tell_failed(&mut self, conn: ConnId, error: &io::Error) {
        let Some(slot) = self.slots.get(conn).filter(|_| self.telling.listened()) else {
            return;
        };
        if !slot.stream.is_established() {
            let peer = slot.stream.peer_addr();
            let peer = peer.map(|address| address.ip().to_canonical());
            self.tell_refused(slot.listener, peer, || error.to_string());
        }
    }
}
