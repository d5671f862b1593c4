//! Open connections: of the whole broker, and of each listener by itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use ternmq_protocol::broker::durable::DurabilityRule;
use ternmq_protocol::broker::{ListenerId, ListenerLimits};
use ternmq_protocol::{ProtocolVersion, Time};
#[cfg(feature = "quic")]
use ternmq_transport::quic::{QuicCounts, QuicEngine};
use ternmq_transport::{Listener, Stream};

use crate::config::ListenerConfig;
use crate::error::StartError;
use crate::listener::{Address, Layers};
use crate::pace::Pace;
use crate::stats::Stats;

/// The listener number of in-process connections, which are always let in.
pub(crate) const IN_PROCESS: ListenerId = ListenerId(u16::MAX);

/// Who may come in, and how many have.
pub(crate) struct Connections {
    open: AtomicUsize,
    limit: AtomicUsize,
    refused: AtomicU64,
    doors: RwLock<Doors>,
}

/// All listeners, and those that there were while somebody is still here who came in through them.
#[derive(Clone, Default)]
pub(crate) struct Doors {
    /// By their numbers.
    pub(crate) all: Vec<Arc<Door>>,
    /// Those that are open, in the order of the configuration.
    pub(crate) order: Vec<ListenerId>,
}

/// One listener.
pub(crate) struct Door {
    pub(crate) config: ListenerConfig,
    /// Where it listens, if that is an IP address.
    pub(crate) address: Option<SocketAddr>,
    /// Its socket, which is the first shard's.
    pub(crate) socket: Weak<Listener>,
    layers: Arc<Layers>,
    /// What still ends after the listener is gone.
    #[cfg(feature = "quic")]
    engine: Option<QuicEngine>,
    limits: Arc<ListenerLimits>,
    pub(crate) counts: Arc<Counts>,
    /// `None` without a limit: then no lock is taken.
    pace: Option<Mutex<Pace>>,
}

/// Whether somebody else tells who a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByProxy {
    No,
    Yes,
    /// Somebody else would have to, and this is not one who may.
    Stranger,
}

/// What stays with a number, whatever becomes of its listener.
#[derive(Default)]
pub(crate) struct Counts {
    open: AtomicUsize,
    refused_full: AtomicU64,
    refused_rate: AtomicU64,
    #[cfg(feature = "quic")]
    pub(crate) quic: QuicCounts,
}

impl Connections {
    pub(crate) fn new(limit: usize, doors: Doors) -> Self {
        Self {
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            refused: AtomicU64::new(0),
            doors: RwLock::new(doors),
        }
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
            door.counts.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections of the whole broker. Those that are open beyond it stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The listeners as they are now.
    pub(crate) fn doors(&self) -> Doors {
        let doors = self.doors.read();
        doors.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with others.
    pub(crate) fn set_doors(&self, doors: Doors) {
        #[cfg(feature = "quic")]
        for door in doors.open() {
            if let (Some(engine), Some(quic)) = (&door.engine, &door.config.quic) {
                engine.set_limits(quic);
            }
        }
        *self.doors.write().unwrap_or_else(PoisonError::into_inner) = doors;
    }

    /// Reads the files of all certificates again; the first failure, and then nothing has changed.
    #[cfg(feature = "tls")]
    pub(crate) fn reload_certificates(
        &self,
    ) -> Result<(), (usize, ternmq_transport::tls::TlsError)> {
        let doors = self.doors();
        let mut read = Vec::new();
        for (at, door) in doors.open().enumerate() {
            let again = door.layers.again().map_err(|error| (at, error))?;
            read.push((door, again));
        }
        for (door, again) in read {
            door.layers.take(again);
        }
        Ok(())
    }

    /// Puts above an accepted socket what is spoken at its listener, for packets of at most `largest` bytes.
    ///
    /// # Errors
    /// TLS can't begin.
    pub(crate) fn put_on(
        &self,
        listener: ListenerId,
        stream: Stream,
        largest: u32,
    ) -> io::Result<Stream> {
        match self.door(listener) {
            Some(door) => door.layers.put_on(stream, largest),
            None => Ok(stream),
        }
    }

    /// Whether a proxy has to say who a connection from `peer` comes from.
    pub(crate) fn comes_by_proxy(&self, listener: ListenerId, peer: Option<IpAddr>) -> ByProxy {
        let door = self.door(listener);
        let proxies = door.as_ref().and_then(|door| door.config.proxies.as_ref());
        match (proxies, peer) {
            (None, _) => ByProxy::No,
            // Who may connect to a Unix socket is said by the permissions of its file.
            (Some(_), None) => ByProxy::Yes,
            (Some(proxies), Some(peer)) => match proxies.iter().any(|net| net.contains(peer)) {
                true => ByProxy::Yes,
                false => ByProxy::Stranger,
            },
        }
    }

    /// Whether clients of this version may come in there.
    pub(crate) fn speaks(&self, listener: ListenerId, version: ProtocolVersion) -> bool {
        self.door(listener)
            .is_none_or(|door| door.config.versions.contain(version))
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.connections_refused += load(&self.refused);
        for door in &self.doors().all {
            stats.connections_refused_listener += load(&door.counts.refused_full);
            stats.connections_refused_rate += load(&door.counts.refused_rate);
            #[cfg(feature = "quic")]
            {
                let quic = &door.counts.quic;
                stats.quic_refused += quic.refused();
                stats.quic_retried += quic.retried();
                stats.quic_strays += quic.strays();
                stats.quic_moved += quic.moved();
            }
        }
    }

    /// What a listener is; `None` for connections made in process.
    pub(crate) fn door(&self, listener: ListenerId) -> Option<Arc<Door>> {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.all.get(usize::from(listener.0)).cloned()
    }
}

impl Doors {
    /// Those that are open, in the order of the configuration.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Arc<Door>> {
        let by_number = |number: &ListenerId| self.all.get(usize::from(number.0));
        self.order.iter().filter_map(by_number)
    }

    /// What clients of each number may send and get.
    pub(crate) fn limits(&self) -> Vec<Arc<ListenerLimits>> {
        self.all.iter().map(|door| door.limits.clone()).collect()
    }

    /// What is promised to publishers of each number.
    pub(crate) fn promises(&self) -> impl Iterator<Item = DurabilityRule> {
        let doors = self.all.iter().enumerate();
        doors.map(|(number, door)| DurabilityRule {
            listener: Some(ListenerId(number as u16)),
            filter: None,
            durability: door.config.durability,
        })
    }
}

impl Door {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`StartError::Tls`], [`StartError::Listen`].
    pub(crate) fn open(
        config: &ListenerConfig,
        counts: Arc<Counts>,
        going: &[Arc<Listener>],
    ) -> Result<(Self, Listener), StartError> {
        let layers = Layers::new(config)?;
        let failed = |error| StartError::Listen(config.address.clone(), error);
        let listener = layers.bind(&config.address, &counts, going);
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let door = Self {
            #[cfg(feature = "quic")]
            engine: match &listener {
                Listener::Quic(quic) => Some(quic.engine()),
                _ => None,
            },
            ..Self::with(config, layers, address, counts)
        };
        Ok((door, listener))
    }

    fn with(
        config: &ListenerConfig,
        layers: Layers,
        address: Option<SocketAddr>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            config: config.clone(),
            address,
            socket: Weak::new(),
            layers: Arc::new(layers),
            #[cfg(feature = "quic")]
            engine: None,
            limits: config.limits(),
            counts,
            pace: Pace::per_second(config.connection_rate).map(Mutex::new),
        }
    }

    /// Waits until a listener that is closed has said its last words, which go on behind the shards.
    #[cfg(feature = "quic")]
    pub(crate) fn wait_for_end(&self, timeout: std::time::Duration) {
        if let Some(engine) = &self.engine {
            engine.wait_for_end(timeout);
        }
    }

    /// The same with another configuration for who comes from now on.
    ///
    /// # Errors
    /// [`StartError::Tls`].
    pub(crate) fn changed(&self, config: &ListenerConfig) -> Result<Self, StartError> {
        let same_rates = (self.config.client_rates, self.config.rates)
            == (config.client_rates, config.rates)
            && self.config.mount_point == config.mount_point;
        Ok(Self {
            config: config.clone(),
            address: self.address,
            socket: self.socket.clone(),
            // Tickets and what was read of files stay good.
            layers: match self.config.has_layers_of(config) {
                true => self.layers.clone(),
                false => Arc::new(Layers::new(config)?),
            },
            #[cfg(feature = "quic")]
            engine: self.engine.clone(),
            limits: match same_rates {
                true => self.limits.clone(),
                false => config.limits(),
            },
            counts: self.counts.clone(),
            pace: Pace::per_second(config.connection_rate).map(Mutex::new),
        })
    }

    /// Where it listens, with the port that it got.
    pub(crate) fn place(&self) -> Address {
        self.address
            .map_or_else(|| self.config.address.clone(), Address::Ip)
    }

    /// Whether somebody is here who came in through it.
    pub(crate) fn is_used(&self) -> bool {
        self.counts.open.load(Ordering::Relaxed) > 0
    }

    fn enter(&self, now: Time) -> bool {
        if !take(&self.counts.open, self.config.connections) {
            self.counts.refused_full.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let in_time = self.pace.as_ref().is_none_or(|pace| {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(now).is_ok()
        });
        if !in_time {
            self.counts.open.fetch_sub(1, Ordering::Relaxed);
            self.counts.refused_rate.fetch_add(1, Ordering::Relaxed);
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
        let door = |config| {
            let layers = Layers::new(config).unwrap();
            Arc::new(Door::with(config, layers, None, Arc::default()))
        };
        let doors = Doors {
            all: vec![door(&narrow), door(&wide)],
            order: vec![ListenerId(0), ListenerId(1)],
        };
        let connections = Connections::new(2, doors);
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
