//! An embeddable MQTT broker: shard threads over the pure [`Shard`](ternmq_protocol::broker::Shard).
//!
//! [`Broker::start`] with a [`Config`] runs a whole broker inside the process: one thread per shard,
//! no runtime, nothing global. Each session lives on one shard, and everything about it happens
//! there without a lock. A message is matched on the shard that reads it and offered to the others
//! in batches; retained messages are kept in one store that all shards share.
#![forbid(unsafe_code)]

pub mod auth;
pub mod hooks;

mod advance;
mod bans;
mod broker;
mod clients;
mod config;
mod connections;
mod control;
mod drain;
mod driver;
mod ending;
mod error;
mod event;
mod faults;
mod flapping;
mod listener;
mod local;
mod mailbox;
mod pace;
mod placement;
mod pool;
mod reconfigure;
mod relisten;
mod retained;
mod shared;
mod slots;
mod slow;
mod stats;
pub mod store;
mod sys;
mod trace;

pub use bans::{Ban, BanChanges, BanError, BanLimits, Banned};
pub use broker::Broker;
pub use clients::{ClientCursor, Clients};
pub use config::{
    Config, DelayedLimits, Durability, Latency, Limits, ListenerConfig, LogLimits, Priorities,
    Rate, Rates, RetainedLimits, SessionLimits, ShareStrategies, ShareStrategy, SlowLimits,
    SumLimits, Topics, Versions,
};
pub use control::RetainedPage;
pub use drain::Drain;
pub use ending::Ending;
pub use error::{Failure, PublishError, StartError, StopError};
pub use event::Event;
pub use faults::{Fault, FaultError, FaultId, Harm, MAX_FAULTS, PacketType, Packets, Way};
pub use flapping::Flapping;
pub use listener::{Address, CertificateUser};
pub use local::{
    LocalOptions, LocalOverflow, LocalSubscription, MAX_LOCAL_SUBSCRIPTIONS, Received,
    SubscribeError,
};
pub use placement::Placement;
pub use reconfigure::Reconfiguration;
pub use stats::{Stats, StoreStats};
pub use sys::sys_topics;
pub use ternmq_protocol::broker::access;
pub use ternmq_protocol::broker::{ClientConnection, ClientCounters, ClientInfo, SlowSubscriber};
pub use ternmq_protocol::broker::{ClientEvent, Departure, Dropped, ListenerId};
pub use ternmq_protocol::broker::{MountPoint, MountPointError};
pub use ternmq_protocol::network::{Network, NetworkError};
#[cfg(feature = "quic")]
pub use ternmq_transport::quic;
#[cfg(feature = "tls")]
pub use ternmq_transport::tls;
#[cfg(feature = "websocket")]
pub use ternmq_transport::websocket;
pub use trace::{MAX_TRACES, Trace, TraceError, Traced, TracedPart, Tracer};
