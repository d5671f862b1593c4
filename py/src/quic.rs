//! QUIC for the asyncio client. An event loop has no QUIC, and Python no TLS without a socket below it. So a
//! thread of ours owns the UDP socket, and the event loop gets one of a pair of sockets, out of which come
//! the bytes of the stream.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, Weak};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use ternmq_client::ConnectError;
use ternmq_client::quic::{QuicClients, QuicSocket};

use crate::blocking::lock;
use crate::errors;
use crate::reach::Tls;

/// The thread that serves all connections of this process, while there is one, and after how many forks it
/// was started: in a child it is not there.
static ENGINE: Mutex<(u32, Weak<QuicClients>)> = Mutex::new((0, Weak::new()));

/// A connection that is being made, or is there.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct QuicConnection {
    near: Mutex<Option<UnixStream>>,
    /// None in a child of a fork, where nobody serves it.
    held: Option<(QuicSocket, Arc<QuicClients>)>,
    forks: u32,
}

#[pymethods]
impl QuicConnection {
    /// Begins to connect to an address, which is that of `host`.
    #[new]
    fn new(
        py: Python<'_>,
        address: &str,
        port: u16,
        scope: u32,
        host: &str,
        tls: Tls<'_>,
    ) -> PyResult<Self> {
        let server = address_of(address, port, scope)?;
        let tls = tls.options().build().map_err(ConnectError::from);
        let tls = tls.map_err(|error| errors::connect_error(py, &error))?;
        // With the interpreter lock, so that no fork finds the engine's lock taken. Nothing here waits.
        let begin = || {
            let (near, far) = UnixStream::pair()?;
            near.set_nonblocking(true)?;
            let engine = engine()?;
            let socket = engine.connect_socket(server, host, &tls, far)?;
            Ok::<_, std::io::Error>((near, socket, engine))
        };
        let (near, socket, engine) = begin().map_err(|e| PyOSError::new_err(e.to_string()))?;
        Ok(Self {
            near: Some(near).into(),
            held: Some((socket, engine)),
            forks: errors::forks(),
        })
    }

    /// The descriptor of a socket that is the caller's from now on, None when it was taken before. One byte
    /// comes out of it when the connection is there, then what the server says; its end when there is none.
    fn take(&self) -> Option<RawFd> {
        lock(&self.near).take().map(IntoRawFd::into_raw_fd)
    }

    /// Why the connection has ended, once the socket has; None when nothing is wrong with that.
    #[getter]
    fn error(&self) -> Option<String> {
        let (socket, _) = self.held.as_ref().filter(|_| self.is_ours())?;
        socket.error().map(|error| error.to_string())
    }
}

impl QuicConnection {
    fn is_ours(&self) -> bool {
        self.forks == errors::forks()
    }
}

impl Drop for QuicConnection {
    fn drop(&mut self) {
        if !self.is_ours() {
            // The thread is the parent's: what would tell it to end may be locked here for ever.
            std::mem::forget(self.held.take());
        }
    }
}

/// The one that there is, or a new one.
fn engine() -> std::io::Result<Arc<QuicClients>> {
    let mut kept = lock(&ENGINE);
    let forks = errors::forks();
    if kept.0 == forks
        && let Some(engine) = kept.1.upgrade()
        && !engine.has_ended()
    {
        return Ok(engine);
    }
    let engine = Arc::new(QuicClients::start()?);
    *kept = (forks, Arc::downgrade(&engine));
    Ok(engine)
}

fn address_of(address: &str, port: u16, scope: u32) -> PyResult<SocketAddr> {
    let bare = address.split('%').next().unwrap_or_default();
    match bare.parse() {
        Ok(IpAddr::V6(ip)) => Ok(SocketAddrV6::new(ip, port, 0, scope).into()),
        Ok(ip) => Ok(SocketAddr::new(ip, port)),
        Err(_) => Err(PyValueError::new_err(format!("{address:?} is no address"))),
    }
}
