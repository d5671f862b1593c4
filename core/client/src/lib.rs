//! MQTT client: drivers over the pure client session.
#![forbid(unsafe_code)]

pub mod blocking;
mod client;
mod clock;
mod error;
pub mod executor;
pub mod io;
pub mod link;
mod options;
mod pool;

pub use client::{
    Client, Ended, Publish, PublishOutcome, Publishing, Received, Status, SubscribeOptions,
    Subscription,
};
pub use error::{ConnectError, PublishError, SubscribeError};
pub use options::{Backoff, ConnectOptions, Limits, Target};
pub use ternmq_protocol::codec::QoS;
pub use ternmq_protocol::{ProtocolVersion, ReasonCode};
