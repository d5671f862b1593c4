//! What lies between a listener's sockets and MQTT.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "websocket")]
use ternmq_protocol::codec::FixedHeader;
#[cfg(feature = "quic")]
use ternmq_transport::quic::QuicServer;
#[cfg(feature = "tls")]
use ternmq_transport::tls::{TlsError, TlsServer};
#[cfg(feature = "websocket")]
use ternmq_transport::websocket::WebSocketServer;
use ternmq_transport::{Listener, Scheme, Stream};

use crate::config::ListenerConfig;
use crate::connections::Counts;
use crate::error::StartError;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6; port 0 takes a free one.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its file. One that a crash has left behind is replaced.
        path: PathBuf,
        /// Its permissions, as in 0o660: who may write the file may connect.
        mode: u32,
    },
}

/// What a client's certificate says about the user. Certificates are shown only where
/// [`TlsServerOptions::clients`](ternmq_transport::tls::TlsServerOptions) asks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CertificateUser {
    /// Nothing: user names and passwords count as anywhere else.
    #[default]
    Nothing,
    /// The common name of its subject is the user name, whatever CONNECT says, and needs no password.
    /// A certificate that has none is refused: Not authorized (0x87; return code 5 before MQTT 5.0).
    CommonName,
    /// The same with the whole name of its subject, as RFC 4514 writes it.
    DistinguishedName,
    /// The same with the first DNS name among its alternative names.
    Dns,
    /// The same with the first mail address among them.
    Email,
    /// The same with the first URI among them.
    Uri,
}

impl Address {
    /// The IP address, if it is one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix { .. } => None,
        }
    }

    /// Whether only one of them can be listened at. Port 0 stands for what it has become.
    fn is_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            _ => self == other,
        }
    }

    fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Ip(address) => Listener::bind(*address),
            Self::Unix { path, mode } => Listener::bind_unix(path, *mode),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// What is put above accepted sockets, ready for use.
pub(crate) struct Layers {
    #[cfg(feature = "tls")]
    tls: Option<TlsServer>,
    #[cfg(feature = "tls")]
    handshake_bytes: usize,
    /// TLS is inside of it.
    #[cfg(feature = "quic")]
    quic: Option<QuicServer>,
    #[cfg(feature = "websocket")]
    websocket: Option<WebSocketServer>,
}

/// What of them is made of files, read again.
#[cfg(feature = "tls")]
pub(crate) struct Again {
    tls: Option<TlsServer>,
    #[cfg(feature = "quic")]
    quic: Option<QuicServer>,
}

impl Layers {
    /// # Errors
    /// Something is wrong with the files of TLS.
    pub(crate) fn new(config: &ListenerConfig) -> Result<Self, StartError> {
        #[cfg(not(any(feature = "tls", feature = "websocket")))]
        let _ = config;
        #[cfg(feature = "tls")]
        let failed = |error| StartError::Tls(config.address.clone(), error);
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: match &config.tls {
                Some(options) if !config.is_quic() => {
                    Some(options.clone().build().map_err(failed)?)
                }
                _ => None,
            },
            #[cfg(feature = "quic")]
            quic: match (&config.quic, &config.tls) {
                (Some(quic), Some(tls)) => {
                    let server = QuicServer::new(tls.clone(), quic.clone(), config.handshake_bytes);
                    Some(server.map_err(failed)?)
                }
                _ => None,
            },
            #[cfg(feature = "tls")]
            handshake_bytes: config.handshake_bytes,
            #[cfg(feature = "websocket")]
            websocket: config.websocket.clone(),
        })
    }

    /// Begins to listen, in place of those that are to go and have the same port.
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed.
    pub(crate) fn bind(
        &self,
        address: &Address,
        counts: &Counts,
        going: &[Arc<Listener>],
    ) -> io::Result<Listener> {
        #[cfg(feature = "quic")]
        if let (Some(quic), Address::Ip(address)) = (&self.quic, address) {
            return Ok(Listener::Quic(quic.listen(*address, counts.quic.clone())?));
        }
        let _ = counts;
        match (address.bind(), address) {
            // They listen until the new one does, and if it can't, as if nothing had been.
            (Err(error), Address::Ip(address))
                if error.kind() == io::ErrorKind::AddrInUse && !going.is_empty() =>
            {
                let going: Vec<&Listener> = going.iter().map(AsRef::as_ref).collect();
                Listener::bind_beside(*address, &going)
            }
            (bound, _) => bound,
        }
    }

    /// Puts them above a socket, for packets of at most `largest` bytes.
    ///
    /// # Errors
    /// TLS can't begin.
    pub(crate) fn put_on(&self, stream: Stream, largest: u32) -> io::Result<Stream> {
        #[cfg(feature = "quic")]
        let stream = match &self.quic {
            Some(quic) => quic.accept(stream),
            None => stream,
        };
        #[cfg(feature = "tls")]
        let stream = match &self.tls {
            Some(tls) => tls.accept(stream, self.handshake_bytes)?,
            None => stream,
        };
        #[cfg(feature = "websocket")]
        let stream = match &self.websocket {
            // Paho C 1.3.12 notices the second packet of a frame when the next frame comes.
            Some(websocket) => match websocket.deflate {
                None => websocket.accept_units(stream, packet_len),
                Some(deflate) => {
                    let deflate = Some(deflate.for_packets(u64::from(largest)));
                    let websocket = WebSocketServer {
                        deflate,
                        ..websocket.clone()
                    };
                    websocket.accept_units(stream, packet_len)
                }
            },
            None => stream,
        };
        #[cfg(not(feature = "websocket"))]
        let _ = largest;
        Ok(stream)
    }

    /// Reads the files of TLS again, and changes nothing yet.
    #[cfg(feature = "tls")]
    pub(crate) fn again(&self) -> Result<Again, TlsError> {
        Ok(Again {
            tls: self.tls.as_ref().map(TlsServer::again).transpose()?,
            #[cfg(feature = "quic")]
            quic: self.quic.as_ref().map(QuicServer::again).transpose()?,
        })
    }

    /// Goes on with what was read.
    #[cfg(feature = "tls")]
    pub(crate) fn take(&self, again: Again) {
        if let (Some(tls), Some(new)) = (&self.tls, again.tls) {
            tls.take(new);
        }
        #[cfg(feature = "quic")]
        if let (Some(quic), Some(new)) = (&self.quic, again.quic) {
            quic.take(new);
        }
    }
}

#[cfg(feature = "websocket")]
fn packet_len(bytes: &[u8]) -> Option<usize> {
    FixedHeader::read(bytes).ok()?.map(|header| header.len)
}

impl ListenerConfig {
    /// How a URL of this listener begins.
    pub fn scheme(&self) -> Scheme {
        #[cfg(feature = "tls")]
        let secure = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let secure = false;
        #[cfg(feature = "websocket")]
        let websocket = self.websocket.is_some();
        #[cfg(not(feature = "websocket"))]
        let websocket = false;
        match (secure, websocket) {
            _ if self.is_quic() => Scheme::Quic,
            (false, false) if self.address.ip().is_none() => Scheme::Unix,
            (false, false) => Scheme::Tcp,
            (true, false) => Scheme::Tls,
            (false, true) => Scheme::WebSocket,
            (true, true) => Scheme::SecureWebSocket,
        }
    }

    /// Whether it compresses with a window that there is not.
    pub(crate) fn has_odd_window(&self) -> bool {
        #[cfg(feature = "websocket")]
        if let Some(deflate) = (self.websocket.as_ref()).and_then(|websocket| websocket.deflate) {
            return !deflate.is_possible();
        }
        false
    }

    /// Whether it is one of UDP.
    pub(crate) fn is_quic(&self) -> bool {
        #[cfg(feature = "quic")]
        return self.quic.is_some();
        #[cfg(not(feature = "quic"))]
        false
    }

    /// Whether it is none of QUIC, or one that can be.
    pub(crate) fn suits_quic(&self) -> bool {
        let tcp = !self.is_quic();
        let secure = matches!(self.scheme(), Scheme::Quic) && self.proxies.is_none();
        #[cfg(feature = "tls")]
        let secure = secure && self.tls.is_some();
        #[cfg(feature = "websocket")]
        let secure = secure && self.websocket.is_none();
        tcp || (secure && self.address.ip().is_some())
    }

    /// Whether only one of them can be there.
    pub(crate) fn is_at_place_of(&self, other: &Self) -> bool {
        self.is_quic() == other.is_quic() && self.address.is_place_of(&other.address)
    }

    /// Whether the same is put above its sockets.
    pub(crate) fn has_layers_of(&self, other: &Self) -> bool {
        #[cfg(feature = "tls")]
        if (&self.tls, self.handshake_bytes) != (&other.tls, other.handshake_bytes) {
            return false;
        }
        #[cfg(feature = "quic")]
        if self.quic != other.quic {
            return false;
        }
        #[cfg(feature = "websocket")]
        if self.websocket != other.websocket {
            return false;
        }
        let _ = other;
        true
    }

    /// The user that a client has shown to be by its certificate: `None` where that says nothing, and
    /// `Err` where it should and doesn't.
    pub(crate) fn user_of(&self, stream: &Stream) -> Result<Option<Box<str>>, ()> {
        #[cfg(feature = "tls")]
        if self.certificate_user != CertificateUser::Nothing
            && let Some(certificate) = stream.peer_certificate()
        {
            let names = ternmq_transport::tls::CertificateNames::of(certificate).ok_or(())?;
            let name = match self.certificate_user {
                CertificateUser::Nothing => None,
                CertificateUser::CommonName => names.common_name,
                CertificateUser::DistinguishedName => Some(names.distinguished_name),
                CertificateUser::Dns => names.dns,
                CertificateUser::Email => names.email,
                CertificateUser::Uri => names.uri,
            };
            let name = name.filter(|name| !name.is_empty()).ok_or(())?;
            return Ok(Some(name.into()));
        }
        let _ = stream;
        Ok(None)
    }
}

/// The subject of the certificate that a client has shown, as RFC 4514 writes it.
pub(crate) fn subject_of(stream: &Stream) -> Option<Box<str>> {
    #[cfg(feature = "tls")]
    if let Some(certificate) = stream.peer_certificate() {
        let names = ternmq_transport::tls::CertificateNames::of(certificate)?;
        return Some(names.distinguished_name.into());
    }
    let _ = stream;
    None
}
