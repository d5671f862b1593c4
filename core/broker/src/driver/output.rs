//! Writing: one `writev` for each connection that has something to send, and closing.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use ternmq_protocol::Time;
use ternmq_protocol::broker::ConnId;

use super::Driver;
use crate::slots::{Slot, Slots};

/// Slices of one `writev`. Only payloads from 4 KiB on are slices of their own, so that 64 of them
/// and what stands between is more than most sockets take at once.
const SLICES: usize = 64;

/// Milliseconds that a peer has to read the last words before its socket is closed under it. A
/// socket closed with input unread, or that gets more, resets the connection, and a reset may take
/// those words (a CONNACK that refuses, a DISCONNECT that says why) out of the peer's hands.
const GOODBYE_MS: u64 = 1_000;

/// Connections on their way out, the one that has waited longest in front.
#[derive(Default)]
pub(crate) struct Goodbyes(VecDeque<(Time, ConnId, u32)>);

impl Goodbyes {
    fn push(&mut self, until: Time, conn: ConnId, slot: &Slot) {
        self.0.push_back((until, conn, slot.generation));
    }

    /// When the next one is to be cut.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.front().map(|(until, ..)| *until)
    }

    /// Gives each so many milliseconds more.
    pub(super) fn postpone(&mut self, ms: u64) {
        for (until, ..) in &mut self.0 {
            *until = until.after(ms);
        }
    }

    /// The next one whose time is up and that is still there.
    pub(super) fn overdue(&mut self, now: Time, slots: &Slots) -> Option<ConnId> {
        loop {
            let (until, conn, generation) = *self.0.front()?;
            if until > now {
                return None;
            }
            self.0.pop_front();
            if slots.get(conn).is_some_and(|s| s.generation == generation) {
                return Some(conn);
            }
        }
    }
}

impl Driver {
    /// Flushes whatever has something to send.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.out.dirty);
        for conn in dirty.drain(..) {
            if self.slots.get(conn).is_some_and(|slot| !slot.blocked) {
                self.flush(conn);
            }
        }
        // What the flushes made dirty again has gone into a new list.
        if self.out.dirty.is_empty() {
            self.out.dirty = dirty;
        }
    }

    /// Writes until nothing is left or the socket takes no more.
    pub(super) fn flush(&mut self, conn: ConnId) {
        match self.write_all(conn) {
            Ok(true) => {
                if self.shard.flushed(conn) {
                    self.shard.handle_writable(conn, self.now, &mut self.out);
                }
                if self.slots.get(conn).is_some_and(|slot| slot.closing) {
                    self.finish_closing(conn);
                }
            }
            Ok(false) => {}
            Err(_) => self.lose(conn),
        }
        if self.suffers(conn) {
            self.close(conn);
        }
    }

    /// The peer takes no more. What it has said is handled all the same, in its turn: reading on, which
    /// waits for that, finds the end.
    fn lose(&mut self, conn: ConnId) {
        match self.slots.get_mut(conn) {
            Some(slot) if self.shard.holds_input(conn) => {
                slot.lost = true;
                self.remember_unread(conn);
                self.flush(conn);
            }
            _ => self.close(conn),
        }
    }

    /// The socket has room: writes what the layers above it hold back.
    pub(super) fn flush_layers(&mut self, conn: ConnId) {
        let flushed = self.slots.get_mut(conn).map(|slot| slot.stream.flush());
        if let Some(Err(error)) = flushed
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.lose(conn);
        } else if self.suffers(conn) {
            self.close(conn);
        }
    }

    /// Whether all is written; if not, the poller will tell when to go on.
    fn write_all(&mut self, conn: ConnId) -> io::Result<bool> {
        let (Some(slot), Some(outbound)) = (self.slots.get_mut(conn), self.shard.outbound(conn))
        else {
            return Ok(true);
        };
        if slot.lost {
            outbound.advance(outbound.len());
        }
        self.counters.flushes += u64::from(!outbound.is_empty());
        while !outbound.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = outbound.gather(&mut slices);
            let slices = &slices[..filled];
            let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
            self.counters.writes += 1;
            let written = match slot.stream.write_vectored(slices) {
                Ok(written) => written,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
                Err(e) => return Err(e),
            };
            if let Some(tracing) = &mut self.tracing {
                tracing.sent(conn, slices, written);
            }
            outbound.advance(written);
            self.counters.bytes_out += written as u64;
            slot.said_goodbye |= slot.closing;
            if written < wanted {
                // A full socket: asking again would only be told so.
                slot.blocked = true;
                self.counters.blocked += 1;
                return Ok(false);
            }
        }
        if let Some(tracing) = &mut self.tracing {
            tracing.has_sent_all(conn);
        }
        Ok(true)
    }

    /// Closes what the shard wants closed, as soon as its last words are out.
    pub(super) fn close_all(&mut self) {
        let mut closing = std::mem::take(&mut self.out.closing);
        for conn in closing.drain(..) {
            let Some(slot) = self.slots.get_mut(conn) else {
                continue;
            };
            slot.closing = true;
            let blocked = slot.blocked;
            self.end_pause(conn);
            if !blocked {
                self.flush(conn);
            }
            // Whoever stops the broker says how long that may take.
            let until = self.stops_at.unwrap_or(self.now.after(GOODBYE_MS));
            if let Some(slot) = self.slots.get(conn) {
                self.goodbyes.push(until, conn, slot);
            }
        }
        if self.out.closing.is_empty() {
            self.out.closing = closing;
        }
    }

    /// All is said. Who was told something gets the time to read it, and who speaks TLS or a WebSocket
    /// the time to end that too.
    fn finish_closing(&mut self, conn: ConnId) {
        let stopping = self.stops_at.is_some();
        let waits = self.slots.get_mut(conn).is_some_and(|slot| {
            let layered = slot.stream.is_layered();
            let told = (layered || (slot.said_goodbye && !stopping))
                && slot.stream.shutdown_write().is_ok();
            told && !stopping
        });
        if waits {
            self.remember_unread(conn);
        } else {
            self.close(conn);
        }
    }

    /// Closes the socket, whatever it still had to say.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.authenticating.forget(conn);
        self.trace_closed(conn);
        // Closing the socket takes it from the poller too.
        if let Some(slot) = self.slots.remove(conn) {
            self.shared.connections.leave(slot.listener);
            self.counters.closed += 1;
            self.counters.handshakes_unfinished += u64::from(!slot.stream.is_established());
            self.policy.leaves(conn);
            self.bury(slot.stream);
        }
        // There may be a will, and somebody elsewhere who waits for it.
        self.look_at_peers();
        self.shard.handle_closed(conn, self.now, &mut self.out);
    }
}
