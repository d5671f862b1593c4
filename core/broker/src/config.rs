//! What a broker is started with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

pub use ternmq_protocol::broker::Limits as SessionLimits;
pub use ternmq_protocol::broker::retained::RetainedLimits;
pub use ternmq_protocol::broker::{DelayedLimits, ShareStrategies, ShareStrategy, Topics};
pub use ternmq_protocol::broker::{Latency, Priorities, Rates, SlowLimits, SumLimits};
pub use ternmq_protocol::session::rate::Rate;

use ternmq_protocol::ProtocolVersion;
pub use ternmq_protocol::broker::durable::Durability;
use ternmq_protocol::broker::{ClientEvent, ListenerLimits, MAX_SLOW_SUBSCRIBERS, MountPoint};
use ternmq_protocol::network::Network;
#[cfg(feature = "quic")]
use ternmq_transport::quic::QuicOptions;
#[cfg(feature = "tls")]
use ternmq_transport::tls::TlsServerOptions;
#[cfg(feature = "websocket")]
use ternmq_transport::websocket::WebSocketServer;

use crate::auth::User;
use crate::bans::{Ban, BanLimits};
use crate::error::StartError;
use crate::event::Event;
use crate::flapping::Flapping;
use crate::hooks::Access;
use crate::listener::{Address, CertificateUser};
use crate::placement::Placement;
pub use crate::store::LogLimits;
use crate::store::Store;

/// How a broker runs. The default has no listener: only [`Broker::connect`](crate::Broker::connect)
/// reaches it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect, in the order of [`Broker::local_addrs`](crate::Broker::local_addrs).
    pub listeners: Vec<ListenerConfig>,
    /// Shard threads; 0 means one per core.
    pub shards: usize,
    /// Who may log in, by SCRAM or by user name and password.
    pub users: Vec<User>,
    /// Who else has a say in who may come in, and who may do what.
    pub access: Access,
    /// Which shard gets a new session.
    pub placement: Placement,
    /// The limits of the broker as a whole.
    pub limits: Limits,
    /// The limits of a shard and of each session and connection on it.
    pub session: SessionLimits,
    /// What clients may do with topics, and what is made of theirs.
    pub topics: Topics,
    /// How shared subscriptions choose among their members.
    pub shares: ShareStrategies,
    /// How long a stop waits for clients to take what they have still to get. A client that takes it
    /// at once ends its part at once.
    pub stop_grace: Duration,
    /// How often the broker publishes what it tells of itself ([`sys_topics`](crate::sys_topics)), as
    /// retained messages, and only what has changed; `None`: never.
    pub sys_interval: Option<Duration>,
    /// Where what is to outlive the broker is kept: sessions that do not end with their connections, the
    /// messages that they are due, retained and delayed messages; `None`: nowhere. It is written while
    /// the broker runs, and nothing is acknowledged before (see [`Durability`]). Several brokers, one
    /// after the other, may be given the same store.
    pub store: Option<Arc<Store>>,
    /// What is promised for messages by their topics: the first filter that fits holds, before
    /// [`ListenerConfig::durability`].
    pub durability: Vec<(Box<str>, Durability)>,
    /// Who is banned from the start.
    pub bans: Vec<Ban>,
    /// Whether clients that connect over and over are banned, `None`: they aren't.
    pub flapping: Option<Flapping>,
    /// Whether the broker lists the clients that get their messages late
    /// ([`Broker::slow_subscribers`](crate::Broker::slow_subscribers)), and which they are; `None`: it
    /// measures nothing.
    pub slow: Option<SlowLimits>,
    /// Where the broker tells what its operator should know. The channel is the bound: what finds no
    /// room is lost, and counted.
    pub events: Option<SyncSender<Event>>,
    /// Whether things may be made to go wrong ([`Broker::inject`](crate::Broker::inject)), which is for
    /// tests. It costs each connection a look at its packets' lengths, and half a kilobyte; without it
    /// nothing.
    pub faults: bool,
    /// Where it tells what clients do. The channel is the bound: what finds no room is lost, and counted
    /// ([`Stats::client_events_lost`](crate::Stats::client_events_lost)).
    pub client_events: Option<SyncSender<ClientEvent>>,
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The socket.
    pub address: Address,
    /// Connections come through proxies of these networks, which begin each with the PROXY protocol
    /// (version 1 or 2, before TLS and everything else), and the address that they tell counts as the
    /// client's: for bans, rules, hooks and events. Who is of none of these networks is closed at once,
    /// or anybody could claim any address; on a Unix socket the permissions of its file say who may.
    /// What a proxy tells besides (certificates, names) is passed over. It has
    /// [`SessionLimits::connect_timeout_ms`] for its introduction, and the client as much again.
    /// `None`: nobody speaks for others.
    pub proxies: Option<Vec<Network>>,
    /// TLS above it. Its files are read when the broker starts, and by
    /// [`Broker::reload_certificates`](crate::Broker::reload_certificates).
    #[cfg(feature = "tls")]
    pub tls: Option<TlsServerOptions>,
    /// QUIC over UDP in place of TCP: each connection is the first stream of its QUIC connection. Needs
    /// [`ListenerConfig::tls`], which is 1.3 there, and an IP address.
    #[cfg(feature = "quic")]
    pub quic: Option<QuicOptions>,
    /// A WebSocket above that.
    #[cfg(feature = "websocket")]
    pub websocket: Option<WebSocketServer>,
    /// What a client's certificate says about the user.
    pub certificate_user: CertificateUser,
    /// Bytes that a client may send in the handshake of TLS; with more the connection is closed. How
    /// long all handshakes may take, CONNECT included, is
    /// [`SessionLimits::connect_timeout_ms`].
    pub handshake_bytes: usize,
    /// Whether clients are let in that name no user. If not, they are refused: Not authorized (0x87;
    /// return code 5 before MQTT 5.0). Who sends a user name or a password has to be one of
    /// [`Config::users`], else: Bad User Name or Password (0x86; return code 4). Only where there
    /// are no users at all, names and passwords are not looked at.
    pub anonymous: bool,
    /// Open connections that came in here; [`Limits::connections`] holds as well. One more is closed
    /// at once.
    pub connections: usize,
    /// What stands before all topics of the clients that come in here, of which they know nothing: what
    /// they publish, their wills, what they subscribe to and what is subscribed to for them. Rules, hooks,
    /// rewriting, `Broker::subscribe` and everything else in the broker see whole topics. It is made for
    /// each client when it is let in, once it has shown who it is, and stays that for its connection; who
    /// can't have one is refused, and told why. `None`: the whole tree.
    pub mount_point: Option<MountPoint>,
    /// New connections a second, 0 without limit. After a pause one second's worth may come at once;
    /// one that comes too early is closed at once.
    pub connection_rate: u32,
    /// How fast each client that came in here may send and receive.
    pub client_rates: Rates,
    /// How fast all of them together may.
    pub rates: Rates,
    /// Which versions are spoken here. Others are refused: Unsupported Protocol Version (0x84; return
    /// code 1 before MQTT 5.0).
    pub versions: Versions,
    /// What is promised for the messages that come in here, with a [`Config::store`].
    pub durability: Durability,
}

/// A choice of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// MQTT 3.1.
    pub v3_1: bool,
    /// MQTT 3.1.1.
    pub v3_1_1: bool,
    /// MQTT 5.0.
    pub v5_0: bool,
}

/// The limits of a broker. What happens beyond each is written at it, and counted in
/// [`Stats`](crate::Stats).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. One more is closed at once.
    pub connections: usize,
    /// Messages that wait in the mailbox of one shard for being delivered there. From three quarters
    /// on, the publishers of the sending shard are not read until there is room.
    pub mailbox_messages: usize,
    /// The same in bytes.
    pub mailbox_bytes: usize,
    /// Bytes of messages that are kept for all sessions together, connected or not: in their queues, and
    /// sent and not acknowledged. A session gets no more than would then still be free for the others, as
    /// with [`SumLimits::queued_bytes`] of each shard, so that a few don't use up all of it. Where it is
    /// used up all the same, by very many, CONNECT is answered with Server busy (0x89; return code 3
    /// before MQTT 5.0).
    pub queued_bytes: usize,
    /// Clients that wait for their password to be checked, 64 KiB of password each at most. Beyond it
    /// CONNECT is answered with Server busy (0x89; return code 3 before MQTT 5.0). One thread checks
    /// some tens a second, so that who is further behind would not be let in before
    /// [`SessionLimits::connect_timeout_ms`] anyway.
    pub password_queue: usize,
    /// Threads that check passwords; they are there only if there are users. SCRAM needs none.
    pub password_threads: usize,
    /// Exclusive subscriptions of all clients together. One more is refused: 0x97, before MQTT 5.0
    /// 0x80.
    pub exclusive: usize,
    /// Retained messages, for as many topics and in as many bytes. One more is delivered but not kept,
    /// and its publisher told Quota exceeded (0x97), if it speaks MQTT 5.0 and used QoS 1 or 2.
    pub retained: RetainedLimits,
    /// Bytes that wait to be written to the store. From three quarters on, publishers are not read until
    /// there is room. Up to twice as much is in memory: what waits and what is being written.
    pub store_bytes: usize,
    /// The log of messages in the store.
    pub log: LogLimits,
    /// Bytes that an in-process connection holds each way.
    pub pipe_bytes: usize,
    /// The ban list. One more ban is refused.
    pub bans: BanLimits,
    /// Clients whose last connections are remembered on each shard while [`Config::flapping`] is set.
    /// Beyond it those are forgotten that have not connected for longest.
    pub flapping_clients: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            shards: 0,
            users: Vec::new(),
            access: Access::default(),
            placement: Placement::default(),
            limits: Limits::default(),
            session: SessionLimits::default(),
            topics: Topics::default(),
            shares: ShareStrategies::default(),
            stop_grace: Duration::from_secs(2),
            sys_interval: None,
            store: None,
            durability: Vec::new(),
            bans: Vec::new(),
            flapping: None,
            slow: None,
            events: None,
            faults: false,
            client_events: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            mailbox_messages: 65_536,
            mailbox_bytes: 64 << 20,
            queued_bytes: 2 << 30,
            exclusive: 100_000,
            password_queue: 256,
            password_threads: 1,
            retained: RetainedLimits {
                messages: 10_000_000,
                bytes: 1 << 30,
            },
            store_bytes: 64 << 20,
            log: LogLimits::default(),
            pipe_bytes: ternmq_transport::DEFAULT_PIPE_CAPACITY,
            bans: BanLimits {
                entries: 100_000,
                bytes: 64 << 20,
            },
            flapping_clients: 65_536,
        }
    }
}

impl ListenerConfig {
    /// A TCP listener that lets everybody in and has no limits of its own.
    pub const fn anonymous(address: SocketAddr) -> Self {
        Self {
            address: Address::Ip(address),
            proxies: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "quic")]
            quic: None,
            #[cfg(feature = "websocket")]
            websocket: None,
            certificate_user: CertificateUser::Nothing,
            handshake_bytes: HANDSHAKE_BYTES,
            anonymous: true,
            connections: usize::MAX,
            mount_point: None,
            connection_rate: 0,
            client_rates: Rates::UNLIMITED,
            rates: Rates::UNLIMITED,
            versions: Versions::ALL,
            durability: Durability::Group,
        }
    }
}

impl ListenerConfig {
    /// The same on a Unix socket.
    pub fn unix(path: impl Into<PathBuf>, mode: u32) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            address: Address::Unix {
                path: path.into(),
                mode,
            },
            ..Self::anonymous(nowhere)
        }
    }

    fn lacks_proxies(&self) -> bool {
        self.address.ip().is_some() && self.proxies.as_ref().is_some_and(Vec::is_empty)
    }

    pub(crate) fn limits(&self) -> Arc<ListenerLimits> {
        let limits = ListenerLimits::new(self.client_rates, self.rates);
        Arc::new(limits.with_mount_point(self.mount_point.clone()))
    }
}

impl Versions {
    /// 3.1, 3.1.1 and 5.0.
    pub const ALL: Self = Self {
        v3_1: true,
        v3_1_1: true,
        v5_0: true,
    };

    /// None of them: a beginning for a list.
    pub const NONE: Self = Self {
        v3_1: false,
        v3_1_1: false,
        v5_0: false,
    };

    pub(crate) const fn contain(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::V3_1 => self.v3_1,
            ProtocolVersion::V3_1_1 => self.v3_1_1,
            ProtocolVersion::V5_0 => self.v5_0,
        }
    }
}

impl Config {
    /// A broker that listens on `address` and lets everybody in.
    pub fn listen(address: SocketAddr) -> Self {
        Self {
            listeners: vec![ListenerConfig::anonymous(address)],
            ..Self::default()
        }
    }

    /// Whether a broker could work with it, as far as that can be told without starting one.
    ///
    /// # Errors
    /// [`StartError::Config`].
    pub fn check(&self) -> Result<(), StartError> {
        let (limits, session) = (&self.limits, &self.session);
        let what = if self.listeners.len() >= usize::from(u16::MAX) {
            "too many listeners"
        } else if self.listeners.iter().any(|l| l.versions == Versions::NONE) {
            "a listener that speaks no version"
        } else if self.listeners.iter().any(|l| l.connections == 0) {
            "a listener that allows no connection"
        } else if self.listeners.iter().any(ListenerConfig::lacks_proxies) {
            "a listener for proxies, and no proxy that may come there"
        } else if self.listeners.iter().any(ListenerConfig::has_odd_window) {
            "compression of WebSockets with a window that is none of 9 to 15 bits"
        } else if !self.listeners.iter().all(ListenerConfig::suits_quic) {
            "QUIC needs TLS and an IP address, and has neither WebSockets nor proxies that introduce"
        } else if self.shards > MAX_SHARDS {
            "more than 256 shards"
        } else if limits.store_bytes == 0 || limits.log.sweep_ms == 0 {
            "nothing may wait for the store, or its log is swept without a pause"
        } else if limits.connections == 0 {
            "no connection is allowed"
        } else if limits.mailbox_messages == 0 || limits.mailbox_bytes == 0 {
            "a mailbox that holds nothing"
        } else if self
            .flapping
            .is_some_and(|f| f.max == 0 || f.max > MAX_FLAPPING)
        {
            "flapping is counted from 1 connection to 1,000"
        } else if self.slow.is_some_and(|slow| !is_sound(&slow)) {
            "slow subscribers: 1 to 1,000 entries, and a threshold and an expiry above 0"
        } else if session.connections == 0 || session.sessions == 0 {
            "no session is allowed"
        } else if session.connect_timeout_ms == 0 {
            "no time for a CONNECT"
        } else if session.packet_size < MIN_PACKET_SIZE || session.connect_size < MIN_PACKET_SIZE {
            "packets of less than 1 KiB at most"
        } else if session.sums.input_bytes < session.packet_size.max(session.connect_size) as usize
        {
            "a largest packet for which there is no room"
        } else if limits.password_queue == 0 || !(1..=64).contains(&limits.password_threads) {
            "nobody to check passwords, or more than 64 threads"
        } else if self.access.queue == 0 || !(1..=64).contains(&self.access.threads) {
            "nobody to run hooks, or more than 64 threads"
        } else if session.inflight == 0 || session.receive_maximum == 0 {
            "no message may be on its way" // and 0 can't be announced (3.2.2.3.3)
        } else {
            return Ok(());
        };
        Err(StartError::Config(what))
    }

    pub(crate) fn shard_count(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_SHARDS)),
            n => n,
        }
    }
}

fn is_sound(slow: &SlowLimits) -> bool {
    (1..=MAX_SLOW_SUBSCRIBERS).contains(&slow.entries)
        && slow.threshold_ms > 0
        && slow.expire_ms > 0
}

/// A chain of long certificates fits; the standard allows for 16 MiB of them.
const HANDSHAKE_BYTES: usize = 64 * 1024;

/// What every client must be able to send: a CONNECT with a client identifier and a will, a
/// SUBSCRIBE.
const MIN_PACKET_SIZE: u32 = 1024;

/// The times of that many connections are kept for each client.
const MAX_FLAPPING: u16 = 1_000;

/// A shard offers each message to every other one that has subscriptions, so that very many of them
/// would cost more than they bring.
const MAX_SHARDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_with_which_nothing_works_are_refused() {
        assert!(Config::default().check().is_ok());
        let slow = SlowLimits::default();
        let breaks: [&dyn Fn(&mut Config); 22] = [
            &|config: &mut Config| config.access.queue = 0,
            &|config: &mut Config| config.access.threads = 0,
            &|config: &mut Config| config.access.threads = 65,
            &|config: &mut Config| config.limits.store_bytes = 0,
            &|config: &mut Config| config.shards = MAX_SHARDS + 1,
            &|config: &mut Config| config.limits.connections = 0,
            &|config: &mut Config| config.limits.mailbox_messages = 0,
            &|config: &mut Config| config.limits.mailbox_bytes = 0,
            &|config: &mut Config| config.limits.password_queue = 0,
            &|config: &mut Config| config.limits.password_threads = 0,
            &|config: &mut Config| config.limits.password_threads = 65,
            &|config: &mut Config| config.session.sessions = 0,
            &|config: &mut Config| config.session.connect_timeout_ms = 0,
            &|config: &mut Config| config.session.packet_size = 0,
            &|config: &mut Config| config.session.connect_size = 100,
            &|config: &mut Config| config.session.sums.input_bytes = 1 << 20,
            &|config: &mut Config| config.session.inflight = 0,
            &|config: &mut Config| config.session.receive_maximum = 0,
            &|config: &mut Config| config.slow = Some(SlowLimits { entries: 0, ..slow }),
            &|config: &mut Config| {
                let entries = MAX_SLOW_SUBSCRIBERS + 1;
                config.slow = Some(SlowLimits { entries, ..slow });
            },
            &|config: &mut Config| {
                config.slow = Some(SlowLimits {
                    threshold_ms: 0,
                    ..slow
                })
            },
            &|config: &mut Config| {
                config.slow = Some(SlowLimits {
                    expire_ms: 0,
                    ..slow
                })
            },
        ];
        for (at, make) in breaks.into_iter().enumerate() {
            let mut config = Config::default();
            make(&mut config);
            assert!(matches!(config.check(), Err(StartError::Config(_))), "{at}");
        }
    }
}
