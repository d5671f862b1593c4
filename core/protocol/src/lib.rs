//! MQTT 3.1, 3.1.1 and 5.0 as pure state machines.
//!
//! Nothing here does IO, reads a clock, starts a thread or draws a random number: bytes and time
//! go in, bytes and events come out. So the same code runs behind any socket, in a test with a
//! virtual clock and in the simulator.
//!
//! From the bottom up: [`codec`] and [`topic`], [`message`], [`session`] (what both roles need),
//! then [`client`] and [`broker`], which never know of each other.
#![forbid(unsafe_code)]

pub mod broker;
pub mod client;
pub mod codec;
pub mod error;
pub mod message;
pub mod network;
pub mod outbound;
pub mod reason;
pub mod session;
pub mod time;
pub mod topic;
pub mod utf8;
pub mod version;
pub mod weight;
pub mod wheel;

#[cfg(test)]
mod seeded;

pub use error::{EncodeError, PeerError};
pub use message::Message;
pub use reason::ReasonCode;
pub use time::Time;
pub use version::ProtocolVersion;
