//! The way to a directory: TCP or a Unix socket, in plain or by TLS, with one end of time for everything.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Where a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub(super) place: Place,
    /// By TLS from the first byte on.
    pub(super) secure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host(String, u16),
    Path(PathBuf),
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("ldapi://") {
            let path = decoded(path).ok_or("expected ldapi://%2Fpath%2Fof%2Fa%2Fsocket")?;
            return Ok(Self {
                place: Place::Path(path.into()),
                secure: false,
            });
        }
        let (secure, port, rest) =
            match (text.strip_prefix("ldap://"), text.strip_prefix("ldaps://")) {
                (Some(rest), _) => (false, 389, rest),
                (_, Some(rest)) => (true, 636, rest),
                _ => return Err("expected ldap://, ldaps:// or ldapi://".to_owned()),
            };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '@']) {
            return Err(
                "behind the host stands nothing but a port; names, filters and passwords have keys of \
                 their own"
                    .to_owned(),
            );
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, digits)) if !digits.contains(']') => {
                let port = digits.parse().ok().filter(|port| *port > 0);
                (host, port.ok_or("a port is a number from 1 to 65535")?)
            }
            _ => (rest, port),
        };
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            None if !host.contains([':', '[', ']']) => host,
            _ => return Err("an address of IPv6 stands in brackets".to_owned()),
        };
        if ServerName::try_from(host).is_err() {
            return Err("a host is missing, or no name of one".to_owned());
        }
        Ok(Self {
            place: Place::Host(host.to_owned(), port),
            secure,
        })
    }
}

/// An absolute path with `%2F` for `/`.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() => {
                let pair = [*a, *b];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
                after
            }
            (b'%' | b'/' | b'?', _) => return None,
            (byte, after) => {
                bytes.push(*byte);
                after
            }
        };
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|path| path.starts_with('/'))
}

/// What TLS trusts, and whom it expects.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// `ca`: the file of the certificates that are trusted, else the system's.
    pub(super) fn new(host: &str, ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|_| wrong(&"no certificates in PEM"))?;
                    roots.add(certificate).map_err(|error| wrong(&error))?;
                }
                if roots.is_empty() {
                    return Err(wrong(&"there is no certificate in it"));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned());
        Ok(Self {
            config: Arc::new(config),
            name: name.map_err(|_| "no name of a host".to_owned())?,
        })
    }
}

/// A stream of bytes.
pub(super) enum Stream {
    Plain(Socket),
    Secure(Box<StreamOwned<ClientConnection, Socket>>),
    /// On its way from the first to the second.
    Between,
}

/// A socket on which nothing waits beyond a point in time.
pub(super) struct Socket {
    inner: Inner,
    end: Instant,
}

enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Threads that wait for names and Unix sockets, which know no limit of time.
pub(super) type Waiting = Arc<AtomicUsize>;

impl Stream {
    /// A connection, before a byte of it.
    pub(super) fn connect(
        place: &Place,
        waiting: &Waiting,
        most: usize,
        end: Instant,
    ) -> io::Result<Self> {
        let inner = match place {
            Place::Path(path) => {
                let path = path.clone();
                Inner::Unix(aside(waiting, most, end, move || {
                    UnixStream::connect(path)
                })?)
            }
            Place::Host(host, port) => {
                let addresses = match host.parse::<IpAddr>() {
                    Ok(address) => vec![SocketAddr::new(address, *port)],
                    Err(_) => {
                        let asked = (host.clone(), *port);
                        aside(waiting, most, end, move || {
                            asked.to_socket_addrs().map(Iterator::collect)
                        })?
                    }
                };
                Inner::Tcp(first_of(&addresses, end)?)
            }
        };
        Ok(Self::Plain(Socket { inner, end }))
    }

    /// Goes on by TLS.
    pub(super) fn secure(&mut self, tls: &Tls) -> io::Result<()> {
        let Self::Plain(mut socket) = std::mem::replace(self, Self::Between) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let connection = ClientConnection::new(tls.config.clone(), tls.name.clone());
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        *self = Self::Secure(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    /// Nothing waits beyond this any more.
    pub(super) fn until(&mut self, end: Instant) {
        match self {
            Self::Plain(socket) => socket.end = end,
            Self::Secure(stream) => stream.sock.end = end,
            Self::Between => {}
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
            Self::Between => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
            Self::Between => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Secure(stream) => stream.flush(),
            Self::Between => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(left(self.end)?);
        let read = match &mut self.inner {
            Inner::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Inner::Unix(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        };
        read.map_err(in_time)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = Some(left(self.end)?);
        let written = match &mut self.inner {
            Inner::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
            Inner::Unix(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
        };
        written.map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket whose limit of time is over says that it would block.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    // Sockets take a zero for no limit, and round down.
    match left < Duration::from_micros(1) {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// The first address that takes a connection.
fn first_of(addresses: &[SocketAddr], end: Instant) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // Each of them has its part of the time, so that one that is silent does not take it all.
        let left = left(end)? / (addresses.len() - at) as u32;
        match TcpStream::connect_timeout(address, left.max(Duration::from_micros(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(why) => error = why,
        }
    }
    Err(error)
}

/// Does what knows no limit of time on a thread of its own, which is left to itself when it takes too long; `most`
/// such threads there are at once.
fn aside<T: Send + 'static>(
    waiting: &Waiting,
    most: usize,
    end: Instant,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let own = waiting.clone();
    if own.fetch_add(1, Ordering::Relaxed) >= most {
        own.fetch_sub(1, Ordering::Relaxed);
        return Err(io::ErrorKind::TimedOut.into());
    }
    let (done, result) = sync_channel(1);
    let started = std::thread::Builder::new()
        .name("ternmq-ldap".to_owned())
        .spawn(move || {
            // Nobody may wait for it any more.
            let _ = done.send(work());
            own.fetch_sub(1, Ordering::Relaxed);
        });
    if let Err(error) = started {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(error);
    }
    match result.recv_timeout(left(end)?) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("it can't be looked up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str, port: u16, secure: bool) -> Result<Url, String> {
        Ok(Url {
            place: Place::Host(host.to_owned(), port),
            secure,
        })
    }

    #[test]
    fn urls_have_a_host_and_a_port_or_a_path() {
        for (text, url) in [
            ("ldap://ldap.example", host("ldap.example", 389, false)),
            ("ldaps://ldap.example/", host("ldap.example", 636, true)),
            ("ldap://192.0.2.1:3890", host("192.0.2.1", 3890, false)),
            ("ldaps://[2001:db8::1]", host("2001:db8::1", 636, true)),
            ("ldap://[::1]:389", host("::1", 389, false)),
            (
                "ldapi://%2Frun%2fldapi",
                Ok(Url {
                    place: Place::Path("/run/ldapi".into()),
                    secure: false,
                }),
            ),
        ] {
            assert_eq!(text.parse(), url, "{text}");
        }
        for wrong in [
            "ldap.example",
            "http://ldap.example",
            "ldap://",
            "ldap://:389",
            "ldap://a:0",
            "ldap://a:x",
            "ldap://a:70000",
            "ldap://::1",
            "ldap://[::1",
            "ldap://u:geheim@a",
            "ldap://a/dc=x??sub",
            "ldapi:///run/ldapi",
            "ldapi://run",
            "ldapi://%2",
            "ldapi://%zz",
        ] {
            let error = wrong.parse::<Url>().unwrap_err();
            assert!(!error.contains("geheim"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_takes_too_long_aside_is_left_and_few_do_so_at_once() {
        let waiting = Waiting::default();
        let (go, held) = sync_channel::<()>(0);
        let soon = Instant::now() + Duration::from_millis(20);
        let held = move || {
            // Until the test ends.
            let _ = held.recv();
            Ok(())
        };
        let late = aside(&waiting, 1, soon, held).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let later = Instant::now() + Duration::from_secs(60);
        let full = aside(&waiting, 1, later, || Ok(())).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
        drop(go);
        while waiting.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(aside(&waiting, 1, later, || Ok(5)).unwrap(), 5);
    }
}
