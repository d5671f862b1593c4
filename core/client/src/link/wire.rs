//! The socket of a link and the bytes that are on their way into it.

use std::io::{self, IoSlice};

use ternmq_protocol::outbound::Outbound;
use ternmq_transport::Stream;

/// Slices handed to one `writev`.
const SLICES: usize = 64;

/// Locked for a system call at a time, and never while the session is waited for: the lock of the
/// session may be held when this one is taken, not the other way round.
#[derive(Default)]
pub(crate) struct Wire {
    /// The connection, from the moment the transport is open.
    pub(crate) stream: Option<Stream>,
    /// Taken from the session and being written. The session fills its own buffer meanwhile.
    pub(crate) sending: Outbound,
}

/// What a flush did.
pub(crate) struct Written {
    /// How it ended: `WouldBlock` means that the rest waits for room.
    pub(crate) end: io::Result<()>,
    /// Bytes that went out.
    pub(crate) bytes: usize,
    /// System calls that it took.
    pub(crate) calls: u64,
}

impl Wire {
    /// Writes as much as there is room for.
    pub(crate) fn write(&mut self) -> Written {
        let mut written = Written {
            end: Ok(()),
            bytes: 0,
            calls: 0,
        };
        let Some(stream) = &mut self.stream else {
            written.end = Err(io::ErrorKind::NotConnected.into());
            return written;
        };
        while !self.sending.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.sending.gather(&mut slices);
            written.calls += 1;
            match stream.write_vectored(&slices[..count]) {
                Ok(bytes) => {
                    written.bytes += bytes;
                    self.sending.advance(bytes);
                }
                Err(error) => {
                    written.end = Err(error);
                    break;
                }
            }
        }
        written
    }

    /// Ends what we say on a connection of QUIC. Whether it is one, and there is somebody to hear it.
    pub(crate) fn part(&mut self) -> bool {
        match &mut self.stream {
            #[cfg(feature = "quic")]
            Some(stream @ Stream::Quic(_)) => stream.shutdown_write().is_ok(),
            _ => false,
        }
    }

    /// Gives the socket away and forgets what was not written.
    pub(crate) fn close(&mut self) -> Option<Stream> {
        self.sending.clear();
        self.stream.take()
    }
}
