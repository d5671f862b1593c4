//! What stands between a session and a socket that Python owns: a WebSocket around its bytes, and the
//! dialogue with a proxy before there are any. Both are the layers of `ternmq-transport`, above a pipe
//! whose other end is emptied and filled by hand: what lies below them is none of their business.

use std::io::{self, IoSlice};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ternmq_protocol::outbound::Outbound;
use ternmq_transport::websocket::WebSocketOptions;
use ternmq_transport::{Endpoint, Proxy, Stream, pipe};

use crate::reach::Compression;

/// What a WebSocket is opened with: authority, path, whether TLS is below, header lines, compression.
pub(crate) type Opening = (
    String,
    String,
    bool,
    Vec<(String, String)>,
    Option<Compression>,
);

/// ValueError for header lines with which no WebSocket can be opened.
#[pyfunction]
pub(crate) fn check_opening(opening: Opening) -> PyResult<()> {
    let opened = WebSocket::new(opening, u32::MAX).map(drop);
    opened.map_err(|error| PyValueError::new_err(format!("headers: {error}")))
}

/// Bytes that are taken out of a layer at a time.
const CHUNK: usize = 16 << 10;

/// Slices of one write into a layer.
const SLICES: usize = 64;

/// A WebSocket above bytes that come and go by hand.
pub(crate) struct WebSocket {
    above: Stream,
    wire: Stream,
    /// For the socket.
    out: Vec<u8>,
    chunk: Vec<u8>,
    open: bool,
    /// We have sent our Close frame.
    closed: bool,
    /// The server's has come.
    peer_closed: bool,
}

impl WebSocket {
    /// Begins to open one, for packets of at most `largest` bytes.
    ///
    /// # Errors
    /// A header line that can't be one.
    pub(crate) fn new(opening: Opening, largest: u32) -> io::Result<Self> {
        let (authority, path, secure, headers, compression) = opening;
        // Whoever fills a pipe empties it before the next read, so its limit is never met.
        let (below, wire) = pipe(usize::MAX);
        let options = WebSocketOptions {
            headers,
            deflate: compression.map(|c| c.deflate().for_packets(largest.into())),
            ..WebSocketOptions::default()
        };
        let mut websocket = Self {
            above: options.connect(below, secure, &authority, &path)?,
            wire,
            out: Vec::new(),
            chunk: vec![0; CHUNK],
            open: false,
            closed: false,
            peer_closed: false,
        };
        websocket.receive(&[])?;
        Ok(websocket)
    }

    /// Takes what came from the socket. True when the WebSocket is open.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            let taken = self.wire.write_vectored(&[IoSlice::new(bytes)])?;
            bytes = &bytes[taken..];
        }
        if !self.open {
            self.open = self.above.connected()?;
            self.collect();
        }
        Ok(self.open)
    }

    /// The next piece of what the frames carried; `None` when there is nothing more now.
    pub(crate) fn read(&mut self) -> io::Result<Option<&[u8]>> {
        let read = self.above.read(&mut self.chunk);
        self.collect();
        match read {
            Ok(0) => {
                self.peer_closed = true;
                if std::mem::replace(&mut self.closed, true) {
                    return Ok(None);
                }
                let text = "the server closed the WebSocket";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
            Ok(read) => Ok(Some(&self.chunk[..read])),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts frames around what a session has to send.
    pub(crate) fn send(&mut self, outbound: &mut Outbound) -> io::Result<()> {
        while self.open && !outbound.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = outbound.gather(&mut slices);
            let taken = self.above.write_vectored(&slices[..count])?;
            outbound.advance(taken);
        }
        self.collect();
        Ok(())
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&mut self) {
        if self.open && !std::mem::replace(&mut self.closed, true) {
            // What fails here fails for lack of a peer.
            let _ = self.above.shutdown_write();
            self.collect();
        }
    }

    /// Whether our Close frame was sent and the server's has not come.
    pub(crate) fn awaits_close(&self) -> bool {
        self.open && self.closed && !self.peer_closed
    }

    /// Whether both have said that nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.open && self.closed && self.peer_closed
    }

    /// What is for the socket.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    fn collect(&mut self) {
        let mut part = [0; CHUNK];
        while let Ok(read @ 1..) = self.wire.read(&mut part) {
            self.out.extend_from_slice(&part[..read]);
        }
    }
}

/// The dialogue with a proxy that opens a way to a server. The socket is the caller's.
#[pyclass(module = "ternmq._ternmq")]
pub(crate) struct Tunnel {
    proxy: Proxy,
    above: Stream,
    wire: Stream,
}

#[pymethods]
impl Tunnel {
    /// `proxy`: `http://[user[:password]@]host[:port]` or `socks5://`.
    #[new]
    fn new(proxy: &str, host: &str, port: u16) -> PyResult<Self> {
        let proxy: Proxy = proxy
            .parse()
            .map_err(|error| PyValueError::new_err(format!("proxy: {error}")))?;
        let (below, wire) = pipe(usize::MAX);
        let above = proxy
            .connect(below, &Endpoint::new(host, port))
            .map_err(|error| PyValueError::new_err(format!("proxy: {error}")))?;
        let mut tunnel = Self { proxy, above, wire };
        tunnel.go_on()?;
        Ok(tunnel)
    }

    /// Host and port of the proxy.
    #[getter]
    fn address(&self) -> (&str, u16) {
        (&self.proxy.host, self.proxy.port)
    }

    /// What is to be sent to the proxy now.
    fn take<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut part = [0; 1024];
        let mut bytes = Vec::new();
        while let Ok(read @ 1..) = self.wire.read(&mut part) {
            bytes.extend_from_slice(&part[..read]);
        }
        PyBytes::new(py, &bytes)
    }

    /// The proxy has said this; empty: it closed. True when the way is open.
    fn feed(&mut self, bytes: &[u8]) -> PyResult<bool> {
        match bytes {
            [] => self.wire.shutdown_write()?,
            bytes => {
                self.wire.write_vectored(&[IoSlice::new(bytes)])?;
            }
        }
        self.go_on()
    }
}

impl Tunnel {
    fn go_on(&mut self) -> PyResult<bool> {
        self.above
            .connected()
            .map_err(|error| PyOSError::new_err(error.to_string()))
    }
}
