//! A session whose time runs on while its server is killed again and again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::{Failure, RawPeer};

use crate::wire::Stage;

/// How long the session of the mortal client outlives it: longer than most lives of the server, so that a
/// deadline that begins anew with each of them is never reached.
const EXPIRY: Duration = Duration::from_secs(3);

/// Clocks of two processes, and a deadline in whole seconds.
const SLACK: Duration = Duration::from_millis(500);

/// The client, and what is known of its session.
pub(crate) struct Mortal {
    left: Instant,
    /// From when on the present life of the server counts: it began, or the client left.
    since: Instant,
    /// The server has lived for long: a deadline that begins anew with each start is not found out.
    weak: bool,
    /// How often it was looked for where a deadline that begins anew would have been found out.
    looked: u32,
}

impl Mortal {
    /// Comes and leaves.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, String> {
        let now = Instant::now();
        let mut mortal = Self {
            left: now,
            since: now,
            weak: false,
            looked: 0,
        };
        mortal.visit(address)?;
        Ok(mortal)
    }

    /// How often a deadline that begins anew would have been found out.
    pub(crate) fn looked(&self) -> u32 {
        self.looked
    }

    /// The server is going to be taken away, or its disk.
    pub(crate) fn server_ends(&mut self) {
        self.weak |= self.since.elapsed() >= EXPIRY;
    }

    /// The server is there again, or nearly, since `started`: if it should, the session is over.
    pub(crate) fn server_begins(
        &mut self,
        stage: &Stage,
        address: SocketAddr,
        started: Instant,
    ) -> Result<(), String> {
        self.since = started;
        if self.left.elapsed() < EXPIRY + SLACK {
            return match self.weak {
                true => self.visit(address).map(drop),
                false => Ok(()),
            };
        }
        let strong = !self.weak;
        if self.visit(address)? {
            stage.complain("a session came back after it had expired".into());
        }
        self.looked += u32::from(strong && self.left.duration_since(started) < EXPIRY);
        Ok(())
    }

    /// Whether its session was there.
    fn visit(&mut self, address: SocketAddr) -> Result<bool, String> {
        let connect = format!(
            "CONNECT client_id=mortal clean_start=0 session_expiry={}",
            EXPIRY.as_secs()
        );
        let visit = || {
            let mut peer = RawPeer::connect(address, 5).map_err(|e| Failure(e.to_string()))?;
            peer.send(&connect)?;
            let answer = peer.expect("CONNACK reason=0")?;
            peer.send("SUBSCRIBE id=1 filter=mortal options=2")?;
            peer.expect("SUBACK")?;
            peer.send("DISCONNECT")?;
            peer.expect_close()?;
            let left = Instant::now();
            settle(address)?;
            Ok((answer.number("session_present", 0) == 1, left))
        };
        let (present, left) = visit().map_err(|failure: Failure| failure.0)?;
        self.left = left;
        (self.since, self.weak) = (self.left, false);
        Ok(present)
    }
}

/// What nobody waits for may be a second on its way to the disk. It is there with what is waited for later, CONNACK
/// with a session: a shard hands in that a client has gone before it closes the socket.
pub(crate) fn settle(address: SocketAddr) -> Result<(), Failure> {
    let mut peer = RawPeer::connect(address, 5).map_err(|e| Failure(e.to_string()))?;
    peer.send("CONNECT client_id=settling clean_start=0 session_expiry=1")?;
    peer.expect("CONNACK reason=0")?;
    peer.send("DISCONNECT")?;
    peer.expect_close()
}
