//! The end of a connection's pipe that drivers hold.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::engine::{Handle, Order};
use super::error::Failure;
use crate::stream::Stream;

/// A stream of a QUIC connection. Dropping it ends the connection, once what was written is there.
pub struct QuicStream {
    /// A pipe to the engine.
    pub(crate) below: Stream,
    pub(super) line: Arc<Line>,
    pub(super) engine: Arc<Handle>,
}

/// What both ends of the pipe know of the connection.
pub(super) struct Line {
    /// Its place in the engine.
    pub(super) place: AtomicUsize,
    pub(super) peer: Mutex<SocketAddr>,
    pub(super) local: Mutex<Option<SocketAddr>>,
    pub(super) established: OnceLock<Established>,
    pub(super) failure: OnceLock<Failure>,
}

/// What a handshake has brought.
pub(super) struct Established {
    pub(super) certificate: Option<Vec<u8>>,
}

impl Line {
    pub(super) fn new(peer: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            place: AtomicUsize::new(usize::MAX),
            peer: Mutex::new(peer),
            local: Mutex::new(None),
            established: OnceLock::new(),
            failure: OnceLock::new(),
        })
    }

    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// What was wrong with the end of the connection.
    pub(super) fn error(&self) -> Option<io::Error> {
        self.failure.get().map(Failure::to_io)
    }
}

impl QuicStream {
    /// The peer's address now; it may move.
    pub fn peer_addr(&self) -> SocketAddr {
        *lock(&self.line.peer)
    }

    /// The address of our socket now.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        *lock(&self.line.local)
    }

    /// The first certificate that the peer has shown, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.line.established.get()?.certificate.as_deref()
    }

    /// Has a client's connection go on from another local port, as it does by itself when the system has
    /// no way from the address it had. Nothing of what is on its way is lost. Servers stay where they are.
    pub fn rebind(&self) {
        self.engine.send(Order::Rebind(self.line.clone()));
    }

    pub(crate) fn is_established(&self) -> bool {
        self.line.established.get().is_some()
    }

    pub(crate) fn connected(&self) -> io::Result<bool> {
        match self.line.error() {
            Some(error) => Err(error),
            None => Ok(self.is_established()),
        }
    }

    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        match self.below.read(target) {
            Ok(0) if !target.is_empty() => self.line.error().map_or(Ok(0), Err),
            read => read,
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.below.write_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(self.line.error().unwrap_or(error))
            }
            written => written,
        }
    }
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Quic").field(&self.peer_addr()).finish()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
