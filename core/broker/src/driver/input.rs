//! Reading: one read of the scratch buffer for each connection in its turn.

use std::io;

use ternmq_protocol::broker::ConnId;
use ternmq_protocol::broker::durable::StoreOp;
use ternmq_transport::TransportError;

use super::{Driver, TURN_BYTES};
use crate::slots::Unread;

impl Driver {
    /// Handles what the poller has reported, then those that had more than one turn could take.
    pub(super) fn handle_ready(&mut self) {
        let mut earlier = std::mem::take(&mut self.unread);
        for at in 0..self.ready.len() {
            let ready = self.ready[at];
            if let Some(listener) = Self::listener_of(ready.token) {
                self.accept(listener);
                continue;
            }
            if let Some(arrival) = Self::arrival_of(ready.token) {
                self.hear_arrival(arrival);
                continue;
            }
            let conn = ConnId(ready.token as u32);
            let Some(slot) = self.slots.get_mut(conn) else {
                continue;
            };
            slot.hung_up |= ready.closed;
            if ready.writable {
                if std::mem::take(&mut slot.blocked) {
                    self.flush(conn);
                } else if slot.stream.is_layered() {
                    self.flush_layers(conn);
                }
            }
            if ready.readable || ready.closed {
                self.read_or_remember(conn);
            }
        }
        self.ready.clear();
        self.counters.looks += earlier.len() as u64;
        for conn in earlier.drain(..) {
            if let Some(slot) = self.slots.get_mut(conn)
                && slot.unread == Unread::Listed
            {
                slot.unread = Unread::No;
                self.read_or_remember(conn);
            }
        }
        if self.unread.is_empty() {
            self.unread = earlier;
        }
    }

    /// Goes on with those whose input of an earlier turn made too much work for it.
    pub(super) fn resume_unfinished(&mut self) {
        let unfinished = std::mem::take(&mut self.unfinished);
        for conn in unfinished {
            self.look_at_peers();
            self.handle(conn, 0, |driver| {
                driver.shard.resume(conn, driver.now, &mut driver.out);
            });
        }
    }

    /// Whether a connection that has something to read may be read now.
    pub(super) fn may_read(&self, conn: ConnId) -> bool {
        self.slots.get(conn).is_some_and(|slot| {
            slot.closing
                || (self.shard.wants_input(conn) && !(slot.publisher && self.post.is_stalled()))
        })
    }

    fn read_or_remember(&mut self, conn: ConnId) {
        if self.may_read(conn) {
            self.read(conn);
        } else {
            self.remember_unread(conn);
        }
        if self.unsettled >= TURN_BYTES {
            self.settle();
        }
    }

    /// So that very many who are over their rate, or publish while a mailbox is full, cost nothing, they
    /// are not in the list meanwhile.
    pub(super) fn remember_unread(&mut self, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        if slot.unread == Unread::Listed {
            return;
        }
        if !slot.closing && self.shard.is_paused(conn) {
            slot.unread = Unread::Waits;
        } else if !slot.closing && slot.publisher && self.post.is_stalled() {
            if slot.unread != Unread::Stalled {
                slot.unread = Unread::Stalled;
                self.post.hold_back(conn, &self.slots);
            }
        } else {
            slot.unread = Unread::Listed;
            self.unread.push(conn);
        }
    }

    /// Every mailbox has room again: publishers are read on.
    pub(super) fn end_stall(&mut self) {
        for conn in self.post.held_back() {
            if let Some(slot) = self.slots.get_mut(conn)
                && slot.unread == Unread::Stalled
            {
                slot.unread = Unread::Listed;
                self.unread.push(conn);
            }
        }
    }

    /// A connection may be read again, or what has kept it from that does not matter any more.
    pub(super) fn end_pause(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn)
            && (slot.unread == Unread::Waits || slot.closing && slot.unread == Unread::Stalled)
        {
            slot.unread = Unread::Listed;
            self.unread.push(conn);
        }
    }

    fn read(&mut self, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        match slot.stream.read(&mut self.scratch) {
            Ok(0) => {
                // A peer that has only stopped sending gets the answers to what it sent before.
                self.settle();
                self.flush(conn);
                self.close(conn);
            }
            Ok(n) => {
                let more = !slot.stream.is_drained(n, self.scratch.len()) || slot.hung_up;
                self.counters.reads += 1;
                self.counters.bytes_in += n as u64;
                if !slot.closing {
                    self.trace_received(conn, n);
                    self.take_input(conn, n);
                }
                if more {
                    self.remember_unread(conn);
                }
            }
            // Whatever was reported, it was not this connection's.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => slot.hung_up = false,
            Err(error) => {
                self.count_failure(conn, &error);
                self.close(conn);
            }
        }
        // A cut is found by the next read.
        self.suffers(conn);
    }

    /// What goes wrong in a layer says more about the peer than a connection that is lost.
    fn count_failure(&mut self, conn: ConnId, error: &io::Error) {
        match TransportError::of(error) {
            #[cfg(feature = "tls")]
            Some(TransportError::Tls(_)) => self.counters.tls_failed += 1,
            #[cfg(feature = "websocket")]
            Some(TransportError::WebSocket(_)) => self.counters.websocket_failed += 1,
            #[cfg(feature = "quic")]
            Some(TransportError::Quic(_)) => self.counters.quic_failed += 1,
            _ => return,
        }
        self.tell_failed(conn, error);
    }

    fn take_input(&mut self, conn: ConnId, len: usize) {
        self.look_at_peers();
        self.handle(conn, len, |driver| {
            let input = &driver.scratch[..len];
            driver
                .shard
                .handle_input(conn, driver.now, input, &mut driver.out);
        });
        self.unsettled += len;
    }

    /// Lets the shard handle so many new bytes of a client, or what is left of earlier ones, and notes
    /// what comes of it.
    pub(super) fn handle(&mut self, conn: ConnId, bytes: usize, handle: impl FnOnce(&mut Self)) {
        let before = (self.out.publishes.len(), self.out.store.len());
        let retained = self.out.retained.len();
        let (dirty, work) = (self.out.dirty.len(), self.shard.stats().work);
        handle(self);
        let keeps = self.shared.desk.is_some() && self.out.retained.len() > retained;
        self.note_publisher(conn, before, keeps);
        self.gather(conn, dirty, work, bytes);
    }

    /// Who has published something for other shards or for the store is not read while they have enough.
    fn note_publisher(&mut self, conn: ConnId, before: (usize, usize), keeps: bool) {
        let ops = self.out.store.get(before.1..).unwrap_or_default();
        let appends = ops.iter().any(|op| matches!(op, StoreOp::Append(_)));
        if (keeps || appends || self.out.publishes.len() > before.0)
            && let Some(slot) = self.slots.get_mut(conn)
        {
            slot.publisher = true;
        }
    }
}
