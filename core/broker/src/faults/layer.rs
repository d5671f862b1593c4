//! The layer above the stream of a connection, below MQTT.

use std::io::{self, IoSlice};
use std::sync::Arc;

use ternmq_protocol::Time;
use ternmq_transport::{Layer, Stream};

use super::Way;
use super::lane::{End, Lane};
use super::rules::{Faults, Strike};

/// What stands above the stream of each connection while faults may be injected.
#[derive(Debug)]
pub(crate) struct Faulty {
    faults: Arc<Faults>,
    client_id: Option<Box<str>>,
    incoming: Lane,
    outgoing: Lane,
    end: Option<End>,
    /// The peer has ended; told when what it sent before has come through.
    hung_up: bool,
    /// There may be more below of which nobody will tell.
    unread: bool,
    /// The last words are out, when nothing waits any more.
    shut: bool,
}

impl Faulty {
    /// Puts one above a stream.
    pub(crate) fn above(stream: Stream, faults: Arc<Faults>) -> Stream {
        stream.layered(Self {
            faults,
            client_id: None,
            incoming: Lane::new(Way::In),
            outgoing: Lane::new(Way::Out),
            end: None,
            hung_up: false,
            unread: false,
            shut: false,
        })
    }

    /// The client is this one, whatever it said.
    pub(crate) fn set_client(&mut self, client_id: &str) {
        if self.client_id.as_deref() != Some(client_id) {
            self.client_id = Some(client_id.into());
        }
    }

    pub(crate) fn is_of(&self, client_id: Option<&str>) -> bool {
        client_id.is_none() || self.client_id.as_deref() == client_id
    }

    pub(crate) fn strike(&mut self, strike: Strike) {
        self.end = Some(match strike {
            Strike::Cut => End::Cut,
            Strike::Vanish => End::Vanished,
        });
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.end == Some(End::Cut)
    }

    pub(crate) fn has_vanished(&self) -> bool {
        self.end == Some(End::Vanished)
    }

    /// Whether something waits here.
    pub(crate) fn waits(&self) -> bool {
        !(self.incoming.is_empty() && self.outgoing.is_empty())
    }

    /// Takes note of what has waited long enough.
    pub(crate) fn ripen(&mut self) {
        self.incoming.ripen(&self.faults);
        self.outgoing.ripen(&self.faults);
    }

    /// When the next of it goes on.
    pub(crate) fn next_due(&self) -> Option<Time> {
        let both = [self.incoming.next_due(), self.outgoing.next_due()];
        both.into_iter().flatten().min()
    }

    /// Gives what has come in and may go on; 0 when there is nothing.
    fn deliver(&mut self, target: &mut [u8]) -> usize {
        let mut given = 0;
        while given < target.len() && self.end.is_none() {
            let Some((bytes, end)) = self.incoming.front(&self.faults) else {
                break;
            };
            let n = bytes.len().min(target.len() - given);
            target[given..given + n].copy_from_slice(&bytes[..n]);
            given += n;
            if self.incoming.advance(n) {
                self.end = end;
            }
        }
        given
    }

    /// Writes what may go on.
    fn push(&mut self, below: &mut Stream) -> io::Result<()> {
        while self.end.is_none() {
            let Some((bytes, end)) = self.outgoing.front(&self.faults) else {
                break;
            };
            let all = bytes.len();
            let written = match all {
                0 => 0,
                _ => below.write_vectored(&[IoSlice::new(bytes)])?,
            };
            if self.outgoing.advance(written) {
                self.end = end;
            } else if written < all {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        below.flush()?;
        if self.shut && self.outgoing.is_empty() {
            self.shut = false;
            below.shutdown_write()?;
        }
        Ok(())
    }

    /// An error unless bytes come through.
    fn check(&self) -> io::Result<()> {
        match self.end {
            Some(End::Cut) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(End::Vanished) => Err(io::ErrorKind::WouldBlock.into()),
            None => Ok(()),
        }
    }
}

impl Layer for Faulty {
    fn read(&mut self, below: &mut Stream, target: &mut [u8]) -> io::Result<usize> {
        loop {
            self.check()?;
            let given = self.deliver(target);
            if given > 0 {
                return Ok(given);
            }
            self.check()?;
            if self.incoming.room() == 0 {
                self.unread = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if self.hung_up {
                return match self.incoming.is_empty() {
                    true => Ok(0),
                    false => Err(io::ErrorKind::WouldBlock.into()),
                };
            }
            let read = below.read(target).inspect_err(|_| self.unread = false)?;
            if read == 0 {
                self.hung_up = true;
                continue;
            }
            if self.incoming.is_clear() && !self.faults.are_active() {
                self.incoming.pass(&target[..read]);
                return Ok(read);
            }
            // Whatever comes of it, there may be more.
            self.unread = true;
            self.incoming
                .feed(&target[..read], &mut self.client_id, &self.faults);
        }
    }

    fn is_drained(&self, below: &Stream, read: usize, asked: usize) -> bool {
        !self.unread && self.incoming.is_empty() && !self.hung_up && below.is_drained(read, asked)
    }

    fn write_vectored(&mut self, below: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.has_vanished() {
            return Ok(slices.iter().map(|slice| slice.len()).sum());
        }
        self.check()?;
        if self.outgoing.is_clear() && !self.faults.are_active() {
            let written = below.write_vectored(slices)?;
            let mut left = written;
            for slice in slices {
                let n = slice.len().min(left);
                self.outgoing.pass(&slice[..n]);
                left -= n;
            }
            return Ok(written);
        }
        let mut taken = 0;
        for slice in slices {
            let n = slice.len().min(self.outgoing.room());
            self.outgoing
                .feed(&slice[..n], &mut self.client_id, &self.faults);
            taken += n;
            if n < slice.len() {
                break;
            }
        }
        match self.push(below) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ if taken == 0 && !slices.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self, below: &mut Stream) -> io::Result<()> {
        if self.has_vanished() {
            return Ok(());
        }
        self.check()?;
        self.push(below)
    }

    fn shutdown_write(&mut self, below: &mut Stream) -> io::Result<()> {
        match self.end {
            Some(_) => Ok(()),
            None if self.outgoing.is_empty() => below.shutdown_write(),
            None => {
                self.shut = true;
                Ok(())
            }
        }
    }
}
