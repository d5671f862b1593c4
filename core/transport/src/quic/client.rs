//! QUIC as clients set it up.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{ClientConfig, Endpoint, EndpointConfig};

use super::engine::{Engine, Handle, Order};
use super::listener::first_packets;
use super::port::Port;
use super::settings::of_clients;
use super::stream::{Line, QuicStream};
use crate::pipe::pipe;
use crate::stream::Stream;
use crate::tls::{TlsClient, TlsError};

/// Bytes that a pipe to the engine holds each way.
pub(super) const PIPE: usize = 64 * 1024;

/// The engine of clients: a thread that serves all their connections, and ends once this is dropped and
/// the last connection is over.
pub struct QuicClients {
    engine: Arc<Handle>,
}

/// A connection whose bytes go through a socket: for a loop that takes nothing else.
pub struct QuicSocket {
    line: Arc<Line>,
    engine: Arc<Handle>,
}

/// What an engine needs to begin.
pub(super) struct Connecting {
    pub(super) port: Port,
    pub(super) connection: quinn_proto::Connection,
    pub(super) handle: quinn_proto::ConnectionHandle,
    pub(super) near: Stream,
    pub(super) line: Arc<Line>,
    pub(super) greets: bool,
}

impl QuicClients {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or no descriptor.
    pub fn start() -> io::Result<Self> {
        let engine = Engine::new()?;
        let handle = engine.handle();
        engine.start(None)?;
        Ok(Self { engine: handle })
    }

    /// Whether the thread is there no more, because of a panic: then another one has to be started.
    pub fn has_ended(&self) -> bool {
        self.engine.wait_for_end(Duration::ZERO)
    }

    /// Begins to connect to `server`, whose certificate is to be for `host`.
    ///
    /// # Errors
    /// No way there, no descriptor; TLS can't be set up.
    pub fn connect(&self, server: SocketAddr, host: &str, tls: &TlsClient) -> io::Result<Stream> {
        self.connect_from(server, None, host, tls)
    }

    /// The same from this address of our own, which it then keeps: it takes no other one when that is gone.
    ///
    /// # Errors
    /// As [`QuicClients::connect`]; the address is none of this machine's, or of another family than the server's.
    pub fn connect_from(
        &self,
        server: SocketAddr,
        local: Option<IpAddr>,
        host: &str,
        tls: &TlsClient,
    ) -> io::Result<Stream> {
        let (below, near) = pipe(PIPE);
        let line = self.begin((server, local), host, tls, near, false)?;
        Ok(Stream::Quic(Box::new(QuicStream {
            below,
            line,
            engine: self.engine.clone(),
        })))
    }

    /// The same with one of a pair of Unix sockets in place of a pipe. When the connection is there, one
    /// byte comes out of the other one before anything that the server says; when there is none, its end.
    ///
    /// # Errors
    /// As [`QuicClients::connect`].
    pub fn connect_socket(
        &self,
        server: SocketAddr,
        host: &str,
        tls: &TlsClient,
        socket: UnixStream,
    ) -> io::Result<QuicSocket> {
        let near = Stream::from_unix(socket)?;
        Ok(QuicSocket {
            line: self.begin((server, None), host, tls, near, true)?,
            engine: self.engine.clone(),
        })
    }

    fn begin(
        &self,
        (server, local): (SocketAddr, Option<IpAddr>),
        host: &str,
        tls: &TlsClient,
        near: Stream,
        greets: bool,
    ) -> io::Result<Arc<Line>> {
        let (tls, name) = tls.for_quic(host)?;
        let crypto = QuicClientConfig::with_initial(tls, first_packets()?)
            .map_err(|_| TlsError::NothingToOffer("no cryptography for QUIC"))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(of_clients());
        let own = Arc::new(EndpointConfig::default());
        let mut port = Port::connect(server, local, Endpoint::new(own, None, true, None))?;
        let (handle, connection) = port
            .endpoint
            .connect(Instant::now(), config, server, &name)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let line = Line::new(server);
        self.engine.send(Order::Connect(Box::new(Connecting {
            port,
            connection,
            handle,
            near,
            line: line.clone(),
            greets,
        })));
        Ok(line)
    }
}

impl Drop for QuicClients {
    fn drop(&mut self) {
        self.engine.send(Order::End);
    }
}

impl fmt::Debug for QuicClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicClients")
    }
}

impl QuicSocket {
    /// Why the connection has ended, once the socket has; `None` when nothing is wrong with that.
    pub fn error(&self) -> Option<io::Error> {
        self.line.error()
    }

    /// As [`QuicStream::rebind`].
    pub fn rebind(&self) {
        self.engine.send(Order::Rebind(self.line.clone()));
    }
}

impl fmt::Debug for QuicSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QuicSocket")
    }
}
