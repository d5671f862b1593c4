//! What has to be put above a socket before MQTT is spoken.

use std::io;
use std::net::SocketAddr;

#[cfg(feature = "quic")]
use ternmq_transport::quic::QuicClients;
#[cfg(feature = "websocket")]
use ternmq_transport::websocket::WebSocketOptions;
use ternmq_transport::{Endpoint, Scheme, Stream};

use crate::options::ConnectOptions;

/// The layers to one server.
pub(super) struct Layers {
    endpoint: Endpoint,
    /// They are on.
    on: bool,
}

impl Layers {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            on: false,
        }
    }

    /// A new socket is bare.
    pub(super) fn take_off(&mut self) {
        self.on = false;
    }

    pub(super) fn are_on(&self) -> bool {
        self.on
    }

    /// Whether there is no socket to put them on: QUIC has everything inside.
    pub(super) fn are_quic(&self) -> bool {
        self.endpoint.scheme == Scheme::Quic
    }

    /// Begins to connect by QUIC; its engine is started by the first one.
    ///
    /// # Errors
    /// No way there, no thread, or TLS can't be set up.
    #[cfg(feature = "quic")]
    pub(super) fn connect_quic(
        &self,
        engine: &mut Option<QuicClients>,
        address: SocketAddr,
        options: &ConnectOptions,
    ) -> io::Result<Stream> {
        use ternmq_transport::tls::TlsClient;
        let engine = match engine {
            Some(engine) if !engine.has_ended() => engine,
            none => none.insert(QuicClients::start()?),
        };
        let local = options.local_address;
        match &options.tls {
            Some(tls) => engine.connect_from(address, local, &self.endpoint.host, tls),
            // Only a redirection leads here: otherwise it was seen to before the attempt.
            None => engine.connect_from(address, local, &self.endpoint.host, &TlsClient::system()?),
        }
    }

    #[cfg(not(feature = "quic"))]
    pub(super) fn connect_quic(
        &self,
        _: &mut (),
        _: SocketAddr,
        _: &ConnectOptions,
    ) -> io::Result<Stream> {
        Err(unsupported("QUIC"))
    }

    /// Puts them above a socket that is connected to the server or to its proxy, for packets of at most
    /// `largest` bytes. True when there are
    /// any: then the connection is made once they say so.
    ///
    /// # Errors
    /// TLS or the WebSocket can't be set up, or this build has none.
    pub(super) fn put_on(
        &mut self,
        mut stream: Stream,
        options: &ConnectOptions,
        largest: u32,
    ) -> io::Result<(Stream, bool)> {
        self.on = true;
        let mut any = false;
        if self.are_quic() {
            return Ok((stream, any));
        }
        let endpoint = &self.endpoint;
        if let Some(proxy) = options.proxies.of(endpoint) {
            stream = proxy.connect(stream, endpoint)?;
            any = true;
        }
        if endpoint.scheme.is_secure() {
            stream = secure(stream, options, &endpoint.host)?;
            any = true;
        }
        if endpoint.scheme.is_websocket() {
            stream = websocket(stream, options, endpoint, largest)?;
            any = true;
        }
        Ok((stream, any))
    }
}

#[cfg(feature = "tls")]
fn secure(stream: Stream, options: &ConnectOptions, host: &str) -> io::Result<Stream> {
    use ternmq_transport::tls::TlsClient;
    match &options.tls {
        Some(tls) => tls.connect(stream, host),
        // Only a redirection leads here: otherwise it was seen to before the attempt.
        None => TlsClient::system()?.connect(stream, host),
    }
}

#[cfg(not(feature = "tls"))]
fn secure(_: Stream, _: &ConnectOptions, _: &str) -> io::Result<Stream> {
    Err(unsupported("TLS"))
}

#[cfg(feature = "websocket")]
fn websocket(
    stream: Stream,
    options: &ConnectOptions,
    endpoint: &Endpoint,
    largest: u32,
) -> io::Result<Stream> {
    let secure = endpoint.scheme.is_secure();
    let authority = endpoint.authority();
    let path = &endpoint.path;
    let Some(deflate) = options.websocket.deflate else {
        return options.websocket.connect(stream, secure, &authority, path);
    };
    // A compressed message holds no more than the server may send in a packet.
    let websocket = WebSocketOptions {
        deflate: Some(deflate.for_packets(u64::from(largest))),
        ..options.websocket.clone()
    };
    websocket.connect(stream, secure, &authority, path)
}

#[cfg(not(feature = "websocket"))]
fn websocket(_: Stream, _: &ConnectOptions, _: &Endpoint, _: u32) -> io::Result<Stream> {
    Err(unsupported("WebSockets"))
}

#[cfg(not(all(feature = "quic", feature = "websocket")))]
fn unsupported(what: &str) -> io::Error {
    let why = format!("this build has no {what}");
    io::Error::new(io::ErrorKind::Unsupported, why)
}
