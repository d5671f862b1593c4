//! Connections that Python makes for the IO thread, for what only Python knows how to make: those with an
//! `ssl.SSLContext`. Each is a pair of sockets; Python has the other end, and carries the bytes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use ternmq_client::websocket::WebSocketOptions;
use ternmq_client::{Endpoint, Target};
use ternmq_transport::Stream;

use crate::blocking::lock;

/// Where the IO thread asks for connections, without touching Python.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct Relay {
    asked: Arc<Asked>,
    bell: Mutex<Option<UnixStream>>,
}

struct Asked {
    ends: Mutex<VecDeque<OwnedFd>>,
    bell: UnixStream,
}

#[pymethods]
impl Relay {
    #[new]
    fn new() -> io::Result<Self> {
        let (rings, hears) = UnixStream::pair()?;
        rings.set_nonblocking(true)?;
        let asked = Arc::new(Asked {
            ends: Mutex::default(),
            bell: rings,
        });
        Ok(Self {
            asked,
            bell: Some(hears).into(),
        })
    }

    /// The descriptor of a socket from which a byte can be read for each connection that is asked for.
    /// It is the caller's from now on; None when it was taken before.
    fn bell(&self) -> Option<RawFd> {
        lock(&self.bell).take().map(IntoRawFd::into_raw_fd)
    }

    /// The descriptor of the end of a connection that was asked for, the caller's from now on.
    fn take(&self) -> Option<RawFd> {
        let end = lock(&self.asked.ends).pop_front();
        end.map(IntoRawFd::into_raw_fd)
    }
}

impl Relay {
    /// `above`: a WebSocket to this server, whose frames are the IO thread's to make; Python carries
    /// what is below them.
    pub(crate) fn target(&self, above: Option<(WebSocketOptions, Endpoint)>) -> Target {
        let asked = self.asked.clone();
        Target::InProcess(Arc::new(move || {
            let (ours, theirs) = UnixStream::pair()?;
            theirs.set_nonblocking(true)?;
            lock(&asked.ends).push_back(theirs.into());
            // A bell that is full has been rung.
            match (&asked.bell).write(&[1]) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            let stream = Stream::from_unix(ours)?;
            match &above {
                None => Ok(stream),
                Some((websocket, endpoint)) => {
                    let (secure, authority) = (endpoint.scheme.is_secure(), endpoint.authority());
                    websocket.connect(stream, secure, &authority, &endpoint.path)
                }
            }
        }))
    }
}
