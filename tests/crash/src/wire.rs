//! A client's way to the server, which is somebody else after each crash.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::{Line, RawPeer};

use crate::notes::Notes;

/// What all threads of a run share.
#[derive(Default)]
pub(crate) struct Stage {
    scene: Mutex<Scene>,
    /// The scene has changed.
    changed: Condvar,
    /// No new messages any more.
    finishing: AtomicBool,
    /// Everybody goes home.
    over: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Scene {
    /// Where the server is, while it is there.
    at: Option<Addresses>,
    /// Packets that clients have received so far: the clock by which the server is killed.
    packets: u64,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) main: SocketAddr,
    /// With a [mount point](MOUNT_POINT).
    pub(crate) tenant: SocketAddr,
}

/// What stands before all topics of tenants.
pub(crate) const MOUNT_POINT: &str = "m/";

/// Quota exceeded: what a server says that can't keep what it is given.
pub(crate) const REFUSED: u32 = 0x97;

/// How long a client tries to reach a server: one that starts again reads its store first.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stage {
    pub(crate) fn set_address(&self, at: Option<Addresses>) {
        lock(&self.scene).at = at;
        self.changed.notify_all();
    }

    pub(crate) fn packets(&self) -> u64 {
        lock(&self.scene).packets
    }

    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    pub(crate) fn complain(&self, what: String) {
        self.notes().complaints.push(what);
    }

    /// Connects, sends `connect` and waits for the CONNACK, as often as it takes: whether the session was
    /// there, and the connection. `None` when the run is over, or nobody lets it in.
    pub(crate) fn connect(
        &self,
        tenant: bool,
        level: u8,
        connect: &str,
    ) -> Option<(bool, Wire<'_>)> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_over() {
            if Instant::now() > deadline {
                self.complain(format!("`{connect}`: nobody let it in for {PATIENCE:?}"));
                return None;
            }
            let at = lock(&self.scene).at;
            let peer = at.and_then(|at| {
                let address = if tenant { at.tenant } else { at.main };
                RawPeer::connect(address, level).ok()
            });
            let Some(peer) = peer else {
                // The server is dead, or not there again.
                self.wait(Duration::from_millis(10), |scene| scene.at != at);
                continue;
            };
            let mut wire = Wire { peer, stage: self };
            if !wire.send(connect) {
                continue;
            }
            let Some(answer) = wire.receive() else {
                continue;
            };
            let reason = answer.number("reason", 0);
            // Server unavailable, in either version, while its disk is gone or it stops.
            if answer.word(0) == "CONNACK" && matches!(reason, 3 | 0x88 | REFUSED) {
                continue;
            }
            if answer.word(0) != "CONNACK" || reason != 0 {
                self.complain(format!("`{connect}` was answered with `{answer}`"));
                return None;
            }
            return Some((answer.number("session_present", 0) == 1, wire));
        }
        None
    }

    /// Waits until clients have received `more` packets, or the run is over, so long at most. Whether
    /// they have.
    pub(crate) fn wait_for_packets(&self, more: u64, at_most: Duration) -> bool {
        let aim = self.packets() + more;
        self.wait(at_most, |scene| scene.packets >= aim)
    }

    fn wait(&self, at_most: Duration, mut until: impl FnMut(&Scene) -> bool) -> bool {
        let scene = lock(&self.scene);
        let goes_on = |scene: &mut Scene| !until(scene) && !self.is_over();
        let waited = self.changed.wait_timeout_while(scene, at_most, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn count_packet(&self) {
        lock(&self.scene).packets += 1;
        self.changed.notify_all();
    }
}

/// One connection.
pub(crate) struct Wire<'a> {
    peer: RawPeer,
    stage: &'a Stage,
}

impl Wire<'_> {
    /// Sends a packet; false when the connection is over.
    pub(crate) fn send(&mut self, line: &str) -> bool {
        self.peer.send(line).is_ok()
    }

    /// The next packet; `None` when the connection is over.
    pub(crate) fn receive(&mut self) -> Option<Line> {
        loop {
            match self.peer.next_packet() {
                // It stops, or its disk has just gone: the end of the connection.
                Ok(Some(packet))
                    if packet.word(0) == "DISCONNECT"
                        && matches!(packet.number("reason", 0), 0x8B | REFUSED) =>
                {
                    return None;
                }
                Ok(Some(packet)) => {
                    self.stage.count_packet();
                    return Some(packet);
                }
                Ok(None) => return None,
                // Nothing to say for long: a subscriber waits on.
                Err(failure) if failure.0.starts_with("nothing came") => {
                    if self.stage.is_over() {
                        return None;
                    }
                }
                // Half a packet at the end of a killed process is its right.
                Err(failure) if failure.0.starts_with("closed after") => return None,
                Err(failure) => {
                    self.stage.complain(failure.0);
                    return None;
                }
            }
        }
    }

    /// Closes the connection without a word.
    pub(crate) fn cut(self) {
        self.peer.cut();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
