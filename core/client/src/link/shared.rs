//! One link as its handles and the IO thread share it: locks, flushing, telling.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ternmq_protocol::Time;
use ternmq_transport::Stream;

use super::Notify;
use super::inner::{Inner, Orders, Status};
use super::wire::Wire;
use crate::clock;
use crate::error::ConnectError;
use crate::io::Reactor;

/// A connection on which nothing was written for this long is quiet: the thread that has something
/// to say writes it itself, which saves waking the IO thread. On a busy one the IO thread gathers
/// what comes while it writes. Nanoseconds; well below a round trip on loopback.
const QUIET: u64 = 20_000;

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    wire: Mutex<Wire>,
    notify: Arc<dyn Notify>,
}

/// Who writes what has been put into the outbound buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flush {
    /// This thread on a quiet connection, the IO thread on a busy one.
    Auto,
    /// This thread.
    Now,
    /// The IO thread.
    Later,
}

impl Shared {
    pub(crate) fn new(inner: Inner, notify: Arc<dyn Notify>) -> Self {
        Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            wire: Mutex::default(),
            notify,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.reactor.is_here() {
            self.begin_anew(&mut inner);
        }
        inner
    }

    /// Ends a call of an application's thread: what the session has to tell is told, what it has
    /// to send is sent or will be.
    pub(crate) fn finish<'a>(self: &'a Arc<Self>, mut inner: MutexGuard<'a, Inner>, flush: Flush) {
        let nanos = clock::nanos();
        inner.collect(clock::from_nanos(nanos));
        if inner.can_flush() {
            let quiet = nanos.saturating_sub(inner.written_at) > QUIET;
            if flush == Flush::Now || (flush == Flush::Auto && quiet) {
                inner = self.flush(inner);
            } else {
                inner.orders.attend = true;
            }
        }
        self.call_attention(&mut inner);
        self.tell(inner);
    }

    /// Has the IO thread look at the link, if there is anything for it to do.
    pub(crate) fn call_attention(self: &Arc<Self>, inner: &mut Inner) {
        let orders = inner.orders;
        let ordered = orders.connect || orders.abort || orders.remove || orders.attend;
        let due = inner.deadline() < inner.armed || inner.may_close();
        if (ordered || due || inner.broken.is_some()) && !inner.queued {
            inner.queued = true;
            inner.reactor.attend(self.clone());
        }
    }

    /// Releases the lock, then tells whoever wants to know that something has changed.
    pub(crate) fn tell(&self, mut inner: MutexGuard<'_, Inner>) {
        let news = !inner.events.is_empty() && !inner.told;
        inner.told |= news;
        let waiters = inner.waiters > 0;
        drop(inner);
        if waiters {
            self.changed.notify_all();
        }
        if news {
            // The IO thread serves other clients too: it survives a panic in there.
            let notify = std::panic::AssertUnwindSafe(|| self.notify.notify());
            let _ = std::panic::catch_unwind(notify);
        }
    }

    /// Waits until something has changed or the deadline has passed; false when it has.
    pub(crate) fn wait_for_change<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, Inner>, bool) {
        inner.waiters += 1;
        let (mut inner, in_time) = match deadline {
            None => {
                let inner = self.changed.wait(inner);
                (inner.unwrap_or_else(PoisonError::into_inner), true)
            }
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let waited = self.changed.wait_timeout(inner, left);
                let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
                (inner, !left.is_zero())
            }
        };
        inner.waiters -= 1;
        (inner, in_time)
    }

    /// Writes what there is, as far as the socket takes it. The lock is released while the system
    /// call runs; what other threads add meanwhile goes along.
    pub(crate) fn flush<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        if !inner.can_flush() {
            return inner;
        }
        inner.flushing = true;
        loop {
            inner.writable = false;
            let epoch = inner.epoch;
            let mut wire = self.wire();
            if wire.sending.is_empty() && inner.online {
                std::mem::swap(inner.session.outbound(), &mut wire.sending);
                if let Some(tap) = &inner.observers.tap {
                    tap.sending(&wire.sending);
                }
                if inner.session.outbound_taken() {
                    inner.collect(clock::now());
                }
            }
            inner.unsent = wire.sending.len();
            if inner.unsent == 0 || !inner.online {
                break;
            }
            drop(inner);
            let written = wire.write();
            let left = wire.sending.len();
            drop(wire);
            inner = self.lock();
            inner.stats.writes += written.calls;
            inner.stats.bytes_sent += written.bytes as u64;
            if inner.epoch != epoch {
                continue; // the transport was replaced meanwhile
            }
            inner.written_at = clock::nanos();
            inner.unsent = left;
            match written.end {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    inner.blocked = !inner.writable;
                    if inner.blocked {
                        break;
                    }
                }
                Err(error) => {
                    inner.broken = Some(ConnectError::io(error));
                    inner.blocked = true;
                    break;
                }
            }
        }
        inner.flushing = false;
        inner
    }

    /// Reads once; how much, and whether the poller will tell of more. `None` when there is no
    /// transport.
    pub(crate) fn read(&self, target: &mut [u8]) -> Option<io::Result<(usize, bool)>> {
        let mut wire = self.wire();
        let stream = wire.stream.as_mut()?;
        let read = stream.read(target);
        Some(read.map(|count| (count, stream.is_drained(count, target.len()))))
    }

    /// The socket has room: writes what the layers above it hold back.
    pub(crate) fn flush_layers(&self) {
        let flushed = self.wire().stream.as_mut().map(Stream::flush);
        if let Some(Err(error)) = flushed
            && error.kind() != io::ErrorKind::WouldBlock
        {
            let mut inner = self.lock();
            inner.broken.get_or_insert(ConnectError::io(error));
            inner.blocked = true;
        }
    }

    /// The transport is open: CONNECT goes out.
    pub(crate) fn open(&self, stream: Stream, now: Time) {
        let mut inner = self.lock();
        self.wire().stream = Some(stream);
        inner.epoch += 1;
        inner.online = true;
        inner.blocked = false;
        inner.starved = false;
        inner.broken = None;
        inner.failed = None;
        inner.handshaking = true;
        inner.session.handle_open(now);
        let inner = self.flush(inner);
        self.tell(inner);
    }

    /// The transport is over: the session learns of it, the socket is given back.
    pub(crate) fn close(&self, inner: &mut Inner, now: Time) -> Option<Stream> {
        let mut wire = self.wire();
        inner.stats.unsent_bytes += wire.sending.len() as u64;
        let stream = wire.close();
        drop(wire);
        inner.epoch += 1;
        inner.online = false;
        inner.unsent = 0;
        inner.blocked = false;
        inner.session.handle_closed(now);
        inner.collect(now);
        inner.handshaking = false;
        stream
    }

    /// This process is a fork of the one that the link was opened in: the connection and the thread
    /// that served it are the parent's. Our copy of the socket is closed without a word on it.
    fn begin_anew(&self, inner: &mut Inner) {
        if let Ok(reactor) = Reactor::get() {
            inner.reactor = reactor;
        }
        (inner.slot, inner.queued, inner.armed) = (None, false, Time::NEVER);
        inner.orders = Orders::default();
        (inner.flushing, inner.waiters) = (false, 0);
        let now = clock::now();
        if inner.online {
            drop(self.close(inner, now));
        }
        inner.failed = None;
        if inner.status == Status::Connecting {
            inner.attempt_failed(now, ConnectError::Cancelled);
        }
    }

    /// Says to a peer by QUIC that nothing more will come. Whether it is one.
    pub(crate) fn part(&self) -> bool {
        self.wire().part()
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
