//! What goes over the connections of one client, for whoever looks for what is wrong with it.
//!
//! Shards that trace nothing pay one comparison for each read and write. While there is a trace, each read and
//! write of any connection costs a look into a small table, and those of the client a copy.

mod cut;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use ternmq_protocol::broker::ListenerId;

use crate::broker::Broker;
use crate::shared::{Parcel, Shared};
pub(crate) use cut::Cut;

/// Traces at a time. One more is refused.
pub const MAX_TRACES: usize = 4;

/// Parts, and bytes, of a trace that wait for whoever reads it. What finds no room is counted as lost.
const WAITING: usize = 4_096;
const WAITING_BYTES: usize = 8 << 20;

/// What a part weighs beside its bytes.
const PART: usize = 128;

/// Begins traces; outlives its broker, and does not keep it.
#[derive(Clone)]
pub struct Tracer(Weak<Shared>);

/// Why there is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceError {
    /// There are [`MAX_TRACES`].
    TooMany,
    /// The broker has ended.
    Ended,
}

/// A part of what goes over a traced connection.
#[derive(Clone, Debug)]
pub struct Traced {
    /// When it was read or written.
    pub at: SystemTime,
    /// Counts the connections of this trace, from 0.
    pub connection: u64,
    /// The listener that it came in through.
    pub listener: ListenerId,
    /// The broker's address; `None` for Unix sockets and in process.
    pub local: Option<SocketAddr>,
    /// The client's, as a proxy in between has told it.
    pub peer: Option<SocketAddr>,
    /// What it is.
    pub what: TracedPart,
}

/// What a part of a trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TracedPart {
    /// The client's connection has begun; connections that were there before the trace have none.
    Opened,
    /// Bytes from the client, behind so many earlier ones of this trace: MQTT, without TLS and frames of
    /// WebSockets.
    Received(u64, Box<[u8]>),
    /// Bytes to the client.
    Sent(u64, Box<[u8]>),
    /// It has ended.
    Closed,
}

/// A trace that goes on until it is dropped, or the broker has ended. Passwords and authentication data are
/// written over with asterisks.
pub struct Trace {
    shared: Weak<Shared>,
    target: Arc<Target>,
    parts: Receiver<Traced>,
}

/// Whom a trace is about, and where it goes.
pub(crate) struct Target {
    client_id: Box<str>,
    tell: Mutex<Option<SyncSender<Traced>>>,
    connections: AtomicU64,
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    over: AtomicBool,
}

/// All traces of a broker.
pub(crate) type Targets = Arc<[Arc<Target>]>;

/// The list of them.
#[derive(Default)]
pub(crate) struct Traces(Mutex<Vec<Arc<Target>>>);

impl Broker {
    /// What begins traces of this broker, from any thread.
    pub fn tracer(&self) -> Tracer {
        Tracer(Arc::downgrade(&self.shared))
    }
}

impl Tracer {
    /// Has everything told that goes over connections of this client from now on: those that it has, from the
    /// next packet on, and those that it makes. One whose CONNECT is refused is among them.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn trace(&self, client_id: &str) -> Result<Trace, TraceError> {
        let shared = self.0.upgrade().ok_or(TraceError::Ended)?;
        let (tell, parts) = sync_channel(WAITING);
        let target = Arc::new(Target {
            client_id: client_id.into(),
            tell: Mutex::new(Some(tell)),
            connections: AtomicU64::new(0),
            waiting_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let mut list = shared.traces.lock();
        if list.len() >= MAX_TRACES {
            return Err(TraceError::TooMany);
        }
        list.push(target.clone());
        shared.tell_of_traces(&list);
        drop(list);
        Ok(Trace {
            shared: self.0.clone(),
            target,
            parts,
        })
    }
}

impl Trace {
    /// The next part, in the order of each connection.
    ///
    /// # Errors
    /// There is none until then; or there will be none, as the broker has ended.
    pub fn next(&self, until: Instant) -> Result<Traced, RecvTimeoutError> {
        let left = until.saturating_duration_since(Instant::now());
        let part = self.parts.recv_timeout(left)?;
        let waiting = &self.target.waiting_bytes;
        waiting.fetch_sub(part.what.weight(), Ordering::Relaxed);
        Ok(part)
    }

    /// Parts that are missing: they had no room while others waited to be read.
    pub fn lost(&self) -> u64 {
        self.target.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.target.over.store(true, Ordering::Relaxed);
        if let Some(shared) = self.shared.upgrade() {
            let mut list = shared.traces.lock();
            list.retain(|target| !Arc::ptr_eq(target, &self.target));
            shared.tell_of_traces(&list);
        }
    }
}

impl Target {
    pub(crate) fn is_about(&self, client_id: &str) -> bool {
        *self.client_id == *client_id && !self.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Never waits: a shard must not.
    pub(crate) fn tell(&self, part: Traced) {
        let weight = part.what.weight();
        let before = self.waiting_bytes.fetch_add(weight, Ordering::Relaxed);
        let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner);
        let told = before + weight <= WAITING_BYTES
            && tell
                .as_ref()
                .is_some_and(|tell| tell.try_send(part).is_ok());
        if !told {
            self.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something could not be followed.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl TracedPart {
    fn weight(&self) -> usize {
        match self {
            Self::Received(_, bytes) | Self::Sent(_, bytes) => PART + bytes.len(),
            Self::Opened | Self::Closed => PART,
        }
    }
}

impl Traces {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Target>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker has ended: whoever reads is to know.
    pub(crate) fn end(&self) {
        for target in self.lock().drain(..) {
            *target.tell.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Shared {
    /// To all shards, while the list is locked: they hear of changes in their order.
    fn tell_of_traces(&self, list: &[Arc<Target>]) {
        let targets: Targets = list.into();
        for mailbox in &self.mailboxes {
            // A shard that has ended has nothing to trace.
            let _ = mailbox.send(Parcel::Trace(targets.clone()));
        }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "there are {MAX_TRACES} traces already"),
            Self::Ended => f.write_str("the broker has ended"),
        }
    }
}

impl std::error::Error for TraceError {}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("client_id", &self.target.client_id)
            .finish_non_exhaustive()
    }
}
