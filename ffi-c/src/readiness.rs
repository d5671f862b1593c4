//! A file descriptor that is readable while something waits.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Two ends of a stream, of which the application polls one: with a byte in it, it is readable. A pair
/// of sockets and no eventfd, which only Linux has: the cost is two system calls for each time that
/// something begins to wait, however much it is.
pub(crate) struct Readiness {
    polled: UnixStream,
    other: UnixStream,
    is_set: bool,
}

impl Readiness {
    /// One that is not readable.
    pub(crate) fn new() -> io::Result<Self> {
        let (polled, other) = UnixStream::pair()?;
        polled.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok(Self {
            polled,
            other,
            is_set: false,
        })
    }

    /// What to poll, for as long as the value lives.
    pub(crate) fn fd(&self) -> RawFd {
        self.polled.as_raw_fd()
    }

    /// Makes it readable, or not.
    pub(crate) fn set(&mut self, readable: bool) {
        if self.is_set == readable {
            return;
        }
        // There is room for the one byte, and it is there to be read: neither can fail, unless the
        // application has closed what is ours. Then it is told nothing, as it has asked for.
        let _ = match readable {
            true => self.other.write(&[1]),
            false => self.polled.read(&mut [0]),
        };
        self.is_set = readable;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(readiness: &Readiness) -> bool {
        let mut polled = libc::pollfd {
            fd: readiness.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, which lives until the call returns.
        unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
    }

    #[test]
    fn it_is_readable_exactly_while_it_is_set() {
        let mut readiness = Readiness::new().unwrap();
        for readable in [false, true, true, false, false, true] {
            readiness.set(readable);
            assert_eq!(is_readable(&readiness), readable);
        }
    }
}
