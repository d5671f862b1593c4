//! MQTT client for 3.1, 3.1.1 and 5.0: drivers over the pure
//! [`ClientSession`](ternmq_protocol::client::ClientSession).
//!
//! [`Client`] is asynchronous and works with every executor, [`blocking::Client`] has the same names
//! for programs without one. [`link`] is the layer below both, which the C and Python faces stand on
//! too, with [`executor`] for those that call the application back.
//!
//! All clients of a process share one [IO thread](io). It sleeps until there is something to do, and
//! runs no code of the application. Publishing happens on the caller's thread: on a quiet connection
//! up to the system call, on a busy one up to a buffer that leaves in one `writev` with others.
//!
//! Nothing is dropped silently. A full outbox is an error or makes the publisher wait; a full queue
//! of received messages stops the reading of the socket, and with it the server.
#![forbid(unsafe_code)]

pub mod blocking;
mod client;
mod clock;
mod error;
pub mod executor;
mod fork;
pub mod io;
pub mod link;
mod options;
mod outbox;
mod pool;

pub use client::{
    Challenge, Client, Ended, Follower, FollowerEnd, News, Opening, Publish, PublishOutcome,
    Publishing, Received, Status, Subscribe, SubscribeOptions, Subscription,
};
pub use error::{ConnectError, PublishError, SubscribeError};
pub use fork::forked;
pub use options::{Backoff, ConnectOptions, Limits, Proxies, Target};
pub use outbox::{Damage, FileOutbox, OutboxOptions, OutboxStatus};
pub use ternmq_protocol::client::{Acknowledge, Will};
pub use ternmq_protocol::codec::{PropertiesBuf, PropertyId, QoS, RetainHandling, Value};
pub use ternmq_protocol::{ProtocolVersion, ReasonCode};
#[cfg(feature = "quic")]
pub use ternmq_transport::quic;
#[cfg(feature = "tls")]
pub use ternmq_transport::tls;
#[cfg(feature = "websocket")]
pub use ternmq_transport::websocket;
pub use ternmq_transport::{Endpoint, Proxy, ProxyKind, Scheme, TransportError};
