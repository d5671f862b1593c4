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
        mio::net::TcpListener::bind(address).map(prepared)
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
        bound.map(prepared)
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

/// Connections that may wait to be accepted, which the system limits besides (net.core.somaxconn, 4096 where
/// nobody has set it). One that finds no room is tried again by its client's system after a second: all
/// that come back at once after a restart should find some.
const BACKLOG: i32 = 65_535;

/// A listener with room for all who wait. What it accepts sends small packets at once (TCP_NODELAY), which
/// connections have from their listener, so that none costs a system call for it.
fn prepared(tcp: mio::net::TcpListener) -> Listener {
    let socket = SockRef::from(&tcp);
    // Fails where there is no such thing only. Who listens again changes how many may wait.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.listen(BACKLOG);
    Listener::Tcp(tcp)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether what is accepted at `listener` has TCP_NODELAY.
    fn is_without_delay(listener: &Listener) -> bool {
        let port = listener.local_addr().unwrap().unwrap().port();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (stream, _) = listener.accept().unwrap().unwrap();
        matches!(stream, Stream::Tcp(tcp) if tcp.nodelay().unwrap())
    }

    #[test]
    fn connections_send_without_delay_as_their_listener_was_told() {
        let bound = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        assert!(is_without_delay(&bound));
        let port = bound.local_addr().unwrap().unwrap().port();
        let everywhere = SocketAddr::from(([0, 0, 0, 0], port));
        let beside = Listener::bind_beside(everywhere, &[&bound]).unwrap();
        drop(bound);
        assert!(is_without_delay(&beside));
    }

    /// More than the 1,024 that mio asks for; whoever finds no room is not let in by trying again either.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_crowd_finds_room_to_wait() {
        let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let crowd = allowed.trim().parse::<usize>().unwrap().min(1_200);
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap().unwrap();
        let patience = std::time::Duration::from_secs(10);
        let connect = |_| std::net::TcpStream::connect_timeout(&address, patience).unwrap();
        let waiting: Vec<_> = (0..crowd).map(connect).collect();
        for _ in &waiting {
            assert!(listener.accept().unwrap().is_some());
        }
    }
}
