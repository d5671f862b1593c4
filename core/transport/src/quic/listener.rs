//! Where QUIC connections come in.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{Endpoint, EndpointConfig, ServerConfig};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Suite;

use super::engine::{Engine, Handle, Order};
use super::port::Port;
use super::settings::QuicOptions;
use super::stream::lock;
use crate::pipe::ReadyList;
use crate::poller::Ready;
use crate::stream::Stream;
use crate::tls::{TlsError, TlsServer, TlsServerOptions};

/// QUIC for servers, ready for use and for a change of its files.
pub struct QuicServer {
    tls: TlsServer,
    options: QuicOptions,
    handshake_bytes: usize,
    config: RwLock<Arc<ServerConfig>>,
}

/// A UDP socket at which QUIC connections come in. When it is dropped nobody comes in any more; the
/// connections that are there go on, and until the last of them is over the socket stays bound.
pub struct QuicListener {
    gate: Arc<Gate>,
    engine: Arc<Handle>,
}

/// What a listener has counted, whatever became of it since. Clones count on together.
#[derive(Clone, Default)]
pub struct QuicCounts(pub(super) Arc<Counters>);

#[derive(Default)]
pub(super) struct Counters {
    pub(super) retried: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) strays: AtomicU64,
    pub(super) moved: AtomicU64,
}

/// What the engine and the listener share.
pub(super) struct Gate {
    pub(super) handshakes: AtomicUsize,
    pub(super) retry_from: AtomicUsize,
    pub(super) counts: QuicCounts,
    address: SocketAddr,
    /// Connections that nobody has taken: never more than may be without a stream.
    queue: Mutex<VecDeque<(Stream, SocketAddr)>>,
    reports_to: Mutex<Option<(Arc<ReadyList>, usize)>>,
}

impl QuicServer {
    /// Reads all files and checks that everything fits together. `handshake_bytes` of a client's handshake
    /// may wait for what comes before them.
    ///
    /// # Errors
    /// What can't be read, is missing or doesn't fit; no TLS 1.3.
    pub fn new(
        tls: TlsServerOptions,
        options: QuicOptions,
        handshake_bytes: usize,
    ) -> Result<Self, TlsError> {
        let tls = tls.build()?;
        let config = RwLock::new(config(&tls, &options, handshake_bytes)?);
        Ok(Self {
            tls,
            options,
            handshake_bytes,
            config,
        })
    }

    /// As [`TlsServer::reload`].
    ///
    /// # Errors
    /// As there.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.take(self.again()?);
        Ok(())
    }

    /// The same, made of what is in its files now.
    ///
    /// # Errors
    /// As [`QuicServer::new`].
    pub fn again(&self) -> Result<Self, TlsError> {
        let tls = self.tls.again()?;
        let config = RwLock::new(config(&tls, &self.options, self.handshake_bytes)?);
        Ok(Self {
            tls,
            options: self.options.clone(),
            handshake_bytes: self.handshake_bytes,
            config,
        })
    }

    /// Goes on as `new`, which was made by [`QuicServer::again`]: so several servers change together or
    /// not at all.
    pub fn take(&self, new: Self) {
        self.tls.take(new.tls);
        let new = new.config.into_inner();
        let new = new.unwrap_or_else(PoisonError::into_inner);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Listens on `address`; port 0 takes a free one. Starts a thread, which ends when the listener is
    /// dropped and the last connection is over.
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed; no thread.
    pub fn listen(&self, address: SocketAddr, counts: QuicCounts) -> io::Result<QuicListener> {
        let socket = mio::net::UdpSocket::bind(address)?;
        let gate = Arc::new(Gate {
            handshakes: self.options.handshakes.into(),
            retry_from: self.options.retry_from.into(),
            counts,
            address: socket.local_addr()?,
            queue: Mutex::default(),
            reports_to: Mutex::default(),
        });
        let endpoint = Endpoint::new(
            Arc::new(EndpointConfig::default()),
            Some(self.config()),
            true,
            None,
        );
        let engine = Engine::new()?;
        let handle = engine.handle();
        engine.start(Some(Port::listen(socket, endpoint, gate.clone())?))?;
        Ok(QuicListener {
            gate,
            engine: handle,
        })
    }

    /// Lets a connection in that a listener has accepted: its handshake begins. Whoever drops it instead
    /// refuses it, before anything of it has cost much. Other streams stay as they are.
    pub fn accept(&self, stream: Stream) -> Stream {
        if let Stream::Quic(quic) = &stream {
            let begin = Order::Begin(quic.line.clone(), self.config());
            quic.engine.send(begin);
        }
        stream
    }

    fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }
}

impl fmt::Debug for QuicServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuicServer").field(&self.options).finish()
    }
}

impl QuicListener {
    /// Where it listens, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.gate.address
    }

    /// A handle to the listener's engine for whoever does not accept.
    pub fn engine(&self) -> QuicEngine {
        QuicEngine {
            gate: self.gate.clone(),
            handle: self.engine.clone(),
        }
    }

    pub(crate) fn accept(&self) -> Option<(Stream, SocketAddr)> {
        lock(&self.gate.queue).pop_front()
    }

    pub(crate) fn register(&self, list: &Arc<ReadyList>, token: usize) {
        *lock(&self.gate.reports_to) = Some((list.clone(), token));
        if !lock(&self.gate.queue).is_empty() {
            self.gate.report();
        }
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        *lock(&self.gate.reports_to) = None;
        self.engine.send(Order::End);
        // Whoever waits is refused; the engine lets nobody else in.
        let waiting = std::mem::take(&mut *lock(&self.gate.queue));
        drop(waiting);
    }
}

impl fmt::Debug for QuicListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuicListener")
            .field(&self.gate.address)
            .finish()
    }
}

/// The engine of a listener, which outlives it.
#[derive(Clone)]
pub struct QuicEngine {
    gate: Arc<Gate>,
    handle: Arc<Handle>,
}

impl QuicEngine {
    /// Waits until the listener has been dropped and the last connection has said what it had to say, or
    /// until `timeout` has passed; then the socket is free, or false is returned.
    pub fn wait_for_end(&self, timeout: Duration) -> bool {
        self.handle.wait_for_end(timeout)
    }

    /// [`QuicOptions::handshakes`] and [`QuicOptions::retry_from`] are these from now on. The rest is for
    /// [`QuicServer::accept`] to say.
    pub fn set_limits(&self, options: &QuicOptions) {
        let gate = &self.gate;
        gate.handshakes.store(options.handshakes, Ordering::Relaxed);
        gate.retry_from.store(options.retry_from, Ordering::Relaxed);
    }
}

impl fmt::Debug for QuicEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuicEngine")
            .field(&self.gate.address)
            .finish()
    }
}

impl QuicCounts {
    /// Connections that had to show first that they are where they say to be.
    pub fn retried(&self) -> u64 {
        self.0.retried.load(Ordering::Relaxed)
    }

    /// Connections refused because of [`QuicOptions::handshakes`].
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Datagrams that were no connection's: garbage, other protocols and versions, what comes late. Those
    /// for a connection that nobody has taken yet count too.
    pub fn strays(&self) -> u64 {
        self.0.strays.load(Ordering::Relaxed)
    }

    /// Times that a client has gone on from another address.
    pub fn moved(&self) -> u64 {
        self.0.moved.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for QuicCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicCounts")
    }
}

impl Gate {
    /// Has whoever accepts look at one more.
    pub(super) fn offer(&self, stream: Stream, peer: SocketAddr) {
        let mut queue = lock(&self.queue);
        let first = queue.is_empty();
        queue.push_back((stream, peer));
        drop(queue);
        if first {
            self.report();
        }
    }

    fn report(&self) {
        if let Some((list, token)) = &*lock(&self.reports_to) {
            list.push(Ready {
                token: *token,
                readable: true,
                ..Ready::default()
            });
        }
    }
}

/// The cryptography of first packets, which everybody can read (RFC 9001 section 5): of no consequence for
/// what is chosen for the rest.
pub(super) fn first_packets() -> Result<Suite, TlsError> {
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite());
    suite.ok_or(TlsError::NothingToOffer("no cryptography for QUIC"))
}

fn config(
    tls: &TlsServer,
    options: &QuicOptions,
    handshake_bytes: usize,
) -> Result<Arc<ServerConfig>, TlsError> {
    let crypto = QuicServerConfig::with_initial(tls.for_quic()?, first_packets()?)
        .map_err(|_| TlsError::NothingToOffer("no cryptography for QUIC"))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(options.transport(handshake_bytes));
    // Ours is met first, and counted.
    config.max_incoming(usize::MAX);
    Ok(Arc::new(config))
}
