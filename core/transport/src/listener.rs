//! Where connections come in.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockRef, Socket, Type};

#[cfg(feature = "quic")]
use crate::quic::QuicListener;
use crate::stream::Stream;

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// At an IP address.
    Tcp(mio::net::TcpListener),
    /// At a file.
    Unix(UnixListener),
    /// At an IP address, over UDP.
    #[cfg(feature = "quic")]
    Quic(QuicListener),
}

/// A Unix socket that accepts connections. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct UnixListener {
    pub(crate) socket: mio::net::UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. An address that a stopped listener has just
    /// left can be taken at once (SO_REUSEADDR).
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        mio::net::TcpListener::bind(address).map(Self::Tcp)
    }

    /// The same at an address that overlaps with those of `others`, such as all addresses of this machine and
    /// one of them at the same port: they go on, and both listen until one is dropped. Only for listeners of
    /// this process; anybody else's refuse it as ever.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_beside(address: SocketAddr, others: &[&Self]) -> io::Result<Self> {
        let share = |on: bool| {
            let tcp = others.iter().filter_map(|other| match other {
                Self::Tcp(tcp) => Some(tcp),
                _ => None,
            });
            // Where it can't be set, binding says so.
            tcp.for_each(|tcp| drop(SockRef::from(tcp).set_reuse_port(on)));
        };
        share(true);
        let bound = bind_shared(address);
        share(false);
        bound.map(Self::Tcp)
    }

    /// Listens on a Unix socket whose file is `path`, with the permissions `mode` (as in 0o660: who
    /// may write the file may connect). A socket's file that nobody listens at any more, as a crash
    /// leaves it, is replaced.
    ///
    /// # Errors
    /// Somebody listens there, the file is something else, or the folder is not there or not ours.
    pub fn bind_unix(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            _ => {}
        }
        // Under its own name only once it has its permissions: nobody slips in between.
        let mut unready = path.as_os_str().to_owned();
        unready.push(format!(".{}", std::process::id()));
        let unready = PathBuf::from(unready);
        let _ = fs::remove_file(&unready);
        let socket = mio::net::UnixListener::bind(&unready)?;
        let ready = fs::set_permissions(&unready, fs::Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&unready, path));
        if let Err(error) = ready {
            let _ = fs::remove_file(&unready);
            return Err(error);
        }
        let path = path.to_owned();
        Ok(Self::Unix(UnixListener { socket, path }))
    }

    /// The IP address it listens on, with the port it got; `None` for a Unix socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map(Some),
            Self::Unix(_) => Ok(None),
            #[cfg(feature = "quic")]
            Self::Quic(quic) => Ok(Some(quic.local_addr())),
        }
    }

    /// The next connection that waits, `None` when none does; with its address, if it has one.
    ///
    /// # Errors
    /// The process or system is out of descriptors or memory: connections go on waiting, and nothing
    /// will be reported for them again, so try later.
    pub fn accept(&self) -> io::Result<Option<(Stream, Option<SocketAddr>)>> {
        loop {
            match self.accept_one() {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The connection went away while it waited; the next one may not have.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn accept_one(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, address) = listener.accept()?;
                // A connection that is gone by now shows when it is read.
                let _ = tcp.set_nodelay(true);
                Ok((Stream::Tcp(tcp), Some(address)))
            }
            Self::Unix(listener) => {
                let (unix, _) = listener.socket.accept()?;
                Ok((Stream::Unix(unix), None))
            }
            #[cfg(feature = "quic")]
            Self::Quic(quic) => {
                let (stream, peer) = quic.accept().ok_or(io::ErrorKind::WouldBlock)?;
                Ok((stream, Some(peer)))
            }
        }
    }
}

/// Connections that may wait to be accepted, as the standard library and mio have it.
const BACKLOG: i32 = 1024;

/// Binds where another listener has the port that allows for it, and allows for no more.
fn bind_shared(address: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Best effort: a file that is left over is replaced by the next one to listen there.
        let _ = fs::remove_file(&self.path);
    }
}
