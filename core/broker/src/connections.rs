//! Open connections: of the whole broker, and of each listener by itself.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ternmq_protocol::broker::ListenerId;
use ternmq_protocol::{ProtocolVersion, Time};
use ternmq_transport::Stream;

use crate::config::ListenerConfig;
use crate::error::StartError;
use crate::listener::Layers;
use crate::pace::Pace;
use crate::stats::Stats;

/// The listener number of in-process connections, which are always let in.
pub(crate) const IN_PROCESS: ListenerId = ListenerId(u16::MAX);

/// Who may come in, and how many have.
pub(crate) struct Connections {
    open: AtomicUsize,
    limit: AtomicUsize,
    refused: AtomicU64,
    doors: Vec<Door>,
}

/// One listener.
struct Door {
    config: ListenerConfig,
    layers: Layers,
    open: AtomicUsize,
    refused_full: AtomicU64,
    refused_rate: AtomicU64,
    /// `None` without a limit: then no lock is taken.
    pace: Option<Mutex<Pace>>,
}

impl Connections {
    /// # Errors
    /// [`StartError::Tls`].
    pub(crate) fn new(limit: usize, listeners: &[ListenerConfig]) -> Result<Self, StartError> {
        let door = |config: &ListenerConfig| {
            Ok(Door {
                layers: Layers::new(config)?,
                config: config.clone(),
                open: AtomicUsize::new(0),
                refused_full: AtomicU64::new(0),
                refused_rate: AtomicU64::new(0),
                pace: Pace::per_second(config.connection_rate).map(Mutex::new),
            })
        };
        Ok(Self {
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            refused: AtomicU64::new(0),
            doors: listeners
                .iter()
                .map(door)
                .collect::<Result<_, StartError>>()?,
        })
    }

    /// Takes a place for one more, or counts why not. [`Connections::leave`] gives it back.
    pub(crate) fn enter(&self, listener: ListenerId, now: Time) -> bool {
        if !take(&self.open, self.limit.load(Ordering::Relaxed)) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let entered = self.door(listener).is_none_or(|door| door.enter(now));
        if !entered {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    pub(crate) fn leave(&self, listener: ListenerId) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(door) = self.door(listener) {
            door.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections of the whole broker. Those that are open beyond it stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// How a listener was configured; `None` for connections made in process.
    pub(crate) fn listener(&self, listener: ListenerId) -> Option<&ListenerConfig> {
        self.door(listener).map(|door| &door.config)
    }

    /// Reads the files of all certificates again; the first failure.
    #[cfg(feature = "tls")]
    pub(crate) fn reload_certificates(
        &self,
    ) -> Result<(), (usize, ternmq_transport::tls::TlsError)> {
        let mut failed = Ok(());
        for (at, door) in self.doors.iter().enumerate() {
            if let Err(error) = door.layers.reload()
                && failed.is_ok()
            {
                failed = Err((at, error));
            }
        }
        failed
    }

    /// Puts above an accepted socket what is spoken at its listener.
    ///
    /// # Errors
    /// TLS can't begin.
    pub(crate) fn put_on(&self, listener: ListenerId, stream: Stream) -> io::Result<Stream> {
        match self.door(listener) {
            Some(door) => door.layers.put_on(stream),
            None => Ok(stream),
        }
    }

    /// Whether clients of this version may come in there.
    pub(crate) fn speaks(&self, listener: ListenerId, version: ProtocolVersion) -> bool {
        self.listener(listener)
            .is_none_or(|config| config.versions.contain(version))
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.connections_refused += load(&self.refused);
        for door in &self.doors {
            stats.connections_refused_listener += load(&door.refused_full);
            stats.connections_refused_rate += load(&door.refused_rate);
        }
    }

    fn door(&self, listener: ListenerId) -> Option<&Door> {
        self.doors.get(usize::from(listener.0))
    }
}

impl Door {
    fn enter(&self, now: Time) -> bool {
        if !take(&self.open, self.config.connections) {
            self.refused_full.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let in_time = self.pace.as_ref().is_none_or(|pace| {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(now).is_ok()
        });
        if !in_time {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.refused_rate.fetch_add(1, Ordering::Relaxed);
        }
        in_time
    }
}

/// One place more of at most `limit`.
fn take(open: &AtomicUsize, limit: usize) -> bool {
    let taken = open.fetch_add(1, Ordering::Relaxed) < limit;
    if !taken {
        open.fetch_sub(1, Ordering::Relaxed);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_refused_at_the_door_is_none_of_the_broker() {
        let address = "127.0.0.1:0".parse().unwrap();
        let narrow = ListenerConfig {
            connections: 1,
            ..ListenerConfig::anonymous(address)
        };
        let wide = ListenerConfig::anonymous(address);
        let connections = Connections::new(2, &[narrow, wide]).unwrap();
        let enter = |door| connections.enter(ListenerId(door), Time(0));
        assert_eq!(
            [enter(0), enter(0), enter(1), enter(1)],
            [true, false, true, false]
        );
        connections.leave(ListenerId(0));
        assert!(connections.enter(IN_PROCESS, Time(0)));
        connections.leave(IN_PROCESS);
        assert!(enter(0));
        let mut stats = Stats::default();
        connections.count(&mut stats);
        assert_eq!(
            (
                stats.connections_refused,
                stats.connections_refused_listener
            ),
            (1, 1)
        );
    }
}
