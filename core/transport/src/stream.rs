//! A stream of bytes to a peer, and the listener that accepts them.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};

use crate::pipe::PipeEnd;

/// A connection to a peer. Reading and writing never block: [`io::ErrorKind::WouldBlock`] says that
/// the [`Poller`](crate::Poller) will tell when to try again.
#[derive(Debug)]
pub enum Stream {
    /// A TCP socket, with TCP_NODELAY: the drivers gather what belongs together.
    Tcp(mio::net::TcpStream),
    /// One end of an in-process pipe.
    Pipe(PipeEnd),
}

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

    /// How the connection attempt stands: `true` connected, `false` still trying.
    ///
    /// # Errors
    /// Why it failed.
    pub fn connected(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(tcp) => {
                if let Some(error) = tcp.take_error()? {
                    return Err(error);
                }
                match tcp.peer_addr() {
                    Ok(_) => Ok(true),
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
                    Err(e) => Err(e),
                }
            }
            Self::Pipe(_) => Ok(true),
        }
    }

    /// The peer's address, `None` in process.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Pipe(_) => None,
        }
    }

    /// Our own address, `None` in process.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().ok(),
            Self::Pipe(_) => None,
        }
    }

    /// Reads what is there, up to the length of `target`; 0 means that the peer has closed.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the connection has failed.
    pub fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(tcp) => tcp.read(target),
            Self::Pipe(pipe) => pipe.read(target),
        })
    }

    /// Writes as much of `slices` as there is room for, as one piece, and returns how much.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; otherwise the connection has failed.
    pub fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        retry(|| match self {
            Self::Tcp(tcp) => tcp.write_vectored(slices),
            Self::Pipe(pipe) => pipe.write_vectored(slices),
        })
    }

    /// Says that nothing more will be written. What was written still arrives.
    ///
    /// # Errors
    /// The connection has failed already.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Self::Pipe(pipe) => {
                pipe.shutdown_write();
                Ok(())
            }
        }
    }
}

/// A TCP socket that accepts connections.
#[derive(Debug)]
pub struct Listener(pub(crate) mio::net::TcpListener);

impl Listener {
    /// Listens on `address`; port 0 takes a free one. An address that a stopped listener has just
    /// left can be taken at once (SO_REUSEADDR).
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        mio::net::TcpListener::bind(address).map(Self)
    }

    /// The address it listens on, with the port it got.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection that waits, `None` when none does.
    ///
    /// # Errors
    /// The process or system is out of descriptors or memory: connections go on waiting, and nothing
    /// will be reported for them again, so try later.
    pub fn accept(&self) -> io::Result<Option<(Stream, SocketAddr)>> {
        loop {
            match self.0.accept() {
                Ok((tcp, address)) => {
                    // A connection that is gone by now shows when it is read.
                    let _ = tcp.set_nodelay(true);
                    return Ok(Some((Stream::Tcp(tcp), address)));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The connection went away while it waited; the next one may not have.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
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
