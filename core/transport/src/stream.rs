//! A stream of bytes to a peer, whatever lies below it.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::path::Path;

use socket2::{Domain, Socket, Type};

use crate::introduction::Introduced;
use crate::layer::Layered;
use crate::pipe::PipeEnd;
use crate::proxy::Tunnel;
#[cfg(feature = "quic")]
use crate::quic::QuicStream;
#[cfg(feature = "tls")]
use crate::tls::TlsStream;
#[cfg(feature = "websocket")]
use crate::websocket::WebSocketStream;

/// A connection to a peer. Reading and writing never block: [`io::ErrorKind::WouldBlock`] says that
/// the [`Poller`](crate::Poller) will tell when to try again.
///
/// A layer (TLS, WebSocket, a proxy's tunnel) is a stream above another one, in a box of its own: a
/// plain connection pays nothing for what it doesn't use. Three things hold for every kind:
///
/// - After a read, [`Stream::is_drained`] says whether the poller will tell of more.
/// - What a write has taken may still be held back by a layer. When the poller says that there is
///   room, the driver writes on or, if it has nothing more to say, calls [`Stream::flush`].
/// - The handshakes of the layers happen as bytes come and go: in [`Stream::connected`] where we
///   connect, in [`Stream::read`] where we accept.
#[derive(Debug)]
pub enum Stream {
    /// A TCP socket, with TCP_NODELAY: the drivers gather what belongs together.
    Tcp(mio::net::TcpStream),
    /// A Unix socket.
    Unix(mio::net::UnixStream),
    /// One end of an in-process pipe.
    Pipe(PipeEnd),
    /// A way through an HTTP proxy that is being opened.
    Tunnel(Box<Tunnel>),
    /// TLS above another stream.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    /// A WebSocket above another stream.
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocketStream>),
    /// A stream of a QUIC connection, whose engine is at the other end of a pipe.
    #[cfg(feature = "quic")]
    Quic(Box<QuicStream>),
    /// A layer of somebody else's above another stream.
    Layered(Box<Layered>),
    /// A stream whose peer is another one than the socket's: a proxy has said so.
    Introduced(Box<Introduced>),
}

// Every idle connection holds one.
const _: () = assert!(cfg!(debug_assertions) || size_of::<Stream>() <= 16);

impl Stream {
    /// Begins to connect. The stream is writable when the attempt has ended;
    /// [`Stream::connected`] tells how.
    ///
    /// # Errors
    /// No descriptor or no route.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let tcp = mio::net::TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        Ok(Self::Tcp(tcp))
    }

    /// The same from this address of our own, whatever its port.
    ///
    /// # Errors
    /// As [`Stream::connect`]; the address is none of this machine's, or of another family than the peer's.
    pub fn connect_from(address: SocketAddr, local: IpAddr) -> io::Result<Self> {
        let local = same_family(address, local)?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&local.into())?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let tcp = mio::net::TcpStream::from_std(socket.into());
        tcp.set_nodelay(true)?;
        Ok(Self::Tcp(tcp))
    }

    /// Begins to connect to the Unix socket with this file.
    ///
    /// # Errors
    /// No descriptor, no such socket, or nobody who listens there.
    pub fn connect_unix(path: &Path) -> io::Result<Self> {
        mio::net::UnixStream::connect(path).map(Self::Unix)
    }

    /// A connected Unix socket, such as one of a pair.
    ///
    /// # Errors
    /// It can't be made non-blocking.
    pub fn from_unix(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self::Unix(mio::net::UnixStream::from_std(socket)))
    }

    /// How the connection attempt stands, the handshakes of all layers included: `true` connected,
    /// `false` still trying. To be called whenever the poller has news.
    ///
    /// # Errors
    /// Why it failed; [`TransportError::of`](crate::TransportError::of) finds what a layer says.
    pub fn connected(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(tcp) => connected(tcp.take_error()?, tcp.peer_addr().map(drop)),
            Self::Unix(unix) => connected(unix.take_error()?, unix.peer_addr().map(drop)),
            Self::Pipe(_) => Ok(true),
            Self::Tunnel(tunnel) => {
                let open = tunnel.connected()?;
                if let Some(through) = open {
                    *self = through;
                    return Ok(true);
                }
                Ok(false)
            }
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.connected(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.connected(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.connected(),
            Self::Layered(layered) => layered.below.connected(),
            Self::Introduced(introduced) => introduced.below.connected(),
        }
    }

    /// The peer's address, or the one that [`Stream::introduced`] was given; `None` in process and for a
    /// Unix socket.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Introduced(introduced) => introduced.peer(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => Some(quic.peer_addr()),
            other => other.below()?.peer_addr(),
        }
    }

    /// Our own address; `None` in process and for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().ok(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.local_addr(),
            other => other.below()?.local_addr(),
        }
    }

    /// Reads what is there, up to the length of `target`; 0 means that the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the connection has failed.
    pub fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(tcp) => tcp.read(target),
            Self::Unix(unix) => unix.read(target),
            Self::Pipe(pipe) => pipe.read(target),
            Self::Tunnel(_) => Err(io::ErrorKind::NotConnected.into()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read(target),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.read(target),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.read(target),
            Self::Layered(layered) => layered.read(target),
            Self::Introduced(introduced) => introduced.below.read(target),
        })
    }

    /// Whether the read that has just given `read` of `asked` bytes took all there was, so that the
    /// poller will tell of more. A socket is drained when it gives less than asked, which saves the
    /// system call that would say so; a layer knows what it still has.
    pub fn is_drained(&self, read: usize, asked: usize) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) | Self::Tunnel(_) => read < asked,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_drained(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.is_drained(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.below.is_drained(read, asked),
            Self::Layered(layered) => layered.is_drained(read, asked),
            Self::Introduced(introduced) => introduced.below.is_drained(read, asked),
        }
    }

    /// Writes as much of `slices` as there is room for, as one piece, and returns how much. When it
    /// is less than all, the poller tells of room. What was taken may be held back by a layer:
    /// [`Stream::flush`].
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; otherwise the connection has failed.
    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(tcp) => tcp.write_vectored(slices),
            Self::Unix(unix) => unix.write_vectored(slices),
            Self::Pipe(pipe) => pipe.write_vectored(slices),
            Self::Tunnel(_) => Err(io::ErrorKind::NotConnected.into()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_vectored(slices),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.write_vectored(slices),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.write_vectored(slices),
            Self::Layered(layered) => layered.write_vectored(slices),
            Self::Introduced(introduced) => introduced.below.write_vectored(slices),
        })
    }

    /// Writes what layers hold back. Costs nothing where there are none.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for all of it; otherwise the connection has failed.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) | Self::Tunnel(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.flush(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.below.flush(),
            Self::Layered(layered) => layered.flush(),
            Self::Introduced(introduced) => introduced.below.flush(),
        }
    }

    /// Says that nothing more will be written. What was written still arrives; where there is no
    /// room for that yet, [`Stream::flush`] goes on with it.
    ///
    /// # Errors
    /// The connection has failed already.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Self::Unix(unix) => unix.shutdown(Shutdown::Write),
            Self::Pipe(pipe) => {
                pipe.shutdown_write();
                Ok(())
            }
            Self::Tunnel(_) => Err(io::ErrorKind::NotConnected.into()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shutdown_write(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.shutdown_write(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.below.shutdown_write(),
            Self::Layered(layered) => layered.shutdown_write(),
            Self::Introduced(introduced) => introduced.below.shutdown_write(),
        }
    }

    /// Whether something lies between the socket and whoever drives it.
    pub fn is_layered(&self) -> bool {
        self.below().is_some()
    }

    /// Whether all handshakes are over. `true` for sockets, once they are connected.
    pub fn is_established(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => true,
            Self::Tunnel(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.is_established(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.is_established(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.is_established(),
            Self::Layered(layered) => layered.below.is_established(),
            Self::Introduced(introduced) => introduced.below.is_established(),
        }
    }

    /// Whether a way through a proxy is being opened.
    pub fn is_tunnelling(&self) -> bool {
        matches!(self, Self::Tunnel(_)) || self.below().is_some_and(Self::is_tunnelling)
    }

    /// The TLS layer, if there is one.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Tls(tls) => Some(tls),
            other => other.below()?.tls(),
        }
    }

    /// The first certificate that the peer has shown, in DER, as soon as the handshake is over.
    #[cfg(feature = "tls")]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(tls) => tls.peer_certificate(),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => quic.peer_certificate(),
            other => other.below()?.peer_certificate(),
        }
    }

    /// The QUIC connection, if there is one.
    #[cfg(feature = "quic")]
    pub fn quic(&self) -> Option<&QuicStream> {
        match self {
            Self::Quic(quic) => Some(quic),
            other => other.below()?.quic(),
        }
    }

    /// The stream below a layer.
    fn below(&self) -> Option<&Self> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => None,
            Self::Tunnel(tunnel) => Some(&tunnel.below),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Some(tls.below()),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => Some(websocket.below()),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => Some(&quic.below),
            Self::Layered(layered) => Some(&layered.below),
            Self::Introduced(introduced) => Some(&introduced.below),
        }
    }

    pub(crate) fn below_mut(&mut self) -> Option<&mut Self> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Pipe(_) => None,
            Self::Tunnel(tunnel) => Some(&mut tunnel.below),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Some(tls.below_mut()),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => Some(websocket.below_mut()),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => Some(&mut quic.below),
            Self::Layered(layered) => Some(&mut layered.below),
            Self::Introduced(introduced) => Some(&mut introduced.below),
        }
    }
}

/// Our address for a socket to this peer, with any port.
pub(crate) fn same_family(peer: SocketAddr, local: IpAddr) -> io::Result<SocketAddr> {
    match peer.is_ipv4() == local.is_ipv4() {
        true => Ok(SocketAddr::new(local, 0)),
        false => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "the address to come from is of another family than the peer's",
        )),
    }
}

fn connected(error: Option<io::Error>, peer: io::Result<()>) -> io::Result<bool> {
    match (error, peer) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(true),
        (None, Err(e)) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
        (None, Err(e)) => Err(e),
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
