//! Heads of HTTP/1.1 messages, as far as opening a WebSocket or a proxy's tunnel needs them.

use std::io;

use crate::held::Held;
use crate::stream::Stream;

/// Header lines of one head.
pub(crate) const HEADERS: usize = 64;

/// A head that comes in: bytes until the empty line, and what follows it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    /// Where the empty line has not been found yet.
    seen: usize,
}

/// Why there is no head.
#[derive(Debug)]
pub(crate) enum HeadError {
    /// Longer than allowed.
    TooLarge,
    /// The peer has closed before its end.
    Closed,
    Io(io::Error),
}

impl Head {
    /// Reads on until the head is complete, and returns where it ends.
    ///
    /// # Errors
    /// [`HeadError`]; [`HeadError::Io`] with `WouldBlock` while it is not complete.
    pub(crate) fn read(&mut self, stream: &mut Stream, limit: usize) -> Result<usize, HeadError> {
        loop {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            if self.bytes.len() >= limit {
                return Err(HeadError::TooLarge);
            }
            let mut part = [0; 2048];
            let room = part.len().min(limit - self.bytes.len());
            match stream.read(&mut part[..room]) {
                Ok(0) => return Err(HeadError::Closed),
                Ok(read) => self.bytes.extend_from_slice(&part[..read]),
                Err(error) => return Err(HeadError::Io(error)),
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it can't become a request, which begins with a letter: there is no need to wait for its end.
    #[cfg(feature = "websocket")]
    pub(crate) fn is_no_request(&self) -> bool {
        self.bytes
            .first()
            .is_some_and(|byte| !byte.is_ascii_alphabetic())
    }

    /// What came after the head that ends at `end`.
    #[cfg(feature = "websocket")]
    pub(crate) fn into_rest(mut self, end: usize) -> Vec<u8> {
        self.bytes.drain(..end);
        self.bytes
    }

    fn end(&mut self) -> Option<usize> {
        let from = self.seen.saturating_sub(3);
        let found = self.bytes[from..].windows(4).position(|w| w == b"\r\n\r\n");
        self.seen = self.bytes.len();
        found.map(|at| from + at + 4)
    }
}

/// Writes what is held, as far as there is room. Whether all is written.
pub(crate) fn send(held: &mut Held, stream: &mut Stream) -> io::Result<bool> {
    match held.write_to(stream) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e),
    }
}
