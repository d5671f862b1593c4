//! Bytes that a layer holds for a while, and no memory when it holds none.

use std::io::{self, IoSlice};

use crate::stream::Stream;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// Gone already.
    start: usize,
    /// Something was held once.
    #[cfg(feature = "tls")]
    touched: bool,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing was ever held.
    #[cfg(feature = "tls")]
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        #[cfg(feature = "tls")]
        {
            self.touched = true;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Prepares for this many more.
    #[cfg(feature = "websocket")]
    pub(crate) fn reserve(&mut self, len: usize) {
        self.bytes.reserve(len);
    }

    /// Room for `len` bytes at the end, to be followed by [`Held::grown`].
    #[cfg(feature = "tls")]
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        self.touched = true;
        let end = self.bytes.len();
        self.bytes.resize(end + len, 0);
        &mut self.bytes[end..]
    }

    /// Of the room that there was, `used` bytes are taken.
    #[cfg(feature = "tls")]
    pub(crate) fn grown(&mut self, room: usize, used: usize) {
        let end = self.bytes.len() - (room - used);
        self.bytes.truncate(end);
    }

    /// Takes bytes from the front, as many as `target` has room for.
    #[cfg(any(feature = "tls", feature = "websocket"))]
    pub(crate) fn take(&mut self, target: &mut [u8]) -> usize {
        let count = self.len().min(target.len());
        target[..count].copy_from_slice(&self.as_slice()[..count]);
        self.advance(count);
        count
    }

    /// Forgets bytes of the front.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        if self.start == self.bytes.len() {
            (self.bytes, self.start) = (Vec::new(), 0);
        }
    }

    /// Writes all there is.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for the rest, or the stream's.
    pub(crate) fn write_to(&mut self, stream: &mut Stream) -> io::Result<()> {
        while !self.is_empty() {
            let written = stream.write_vectored(&[IoSlice::new(self.as_slice())])?;
            self.advance(written);
        }
        Ok(())
    }
}
