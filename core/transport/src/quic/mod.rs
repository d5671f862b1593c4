//! QUIC (RFC 9000), one stream of which is one MQTT connection.
//!
//! Everything about datagrams happens on a thread of its own, the engine: one for each listener, and one
//! for the clients of a process. It owns the UDP sockets, the timers and the cryptography, and moves bytes
//! between each connection's one bidirectional stream and a pipe, whose other end is the [`Stream`] that
//! drivers hold. So those have a stream as any other: bounded, reported by their poller, at home on any
//! thread.
//!
//! A client that moves to another address keeps its connection (RFC 9000 section 9): connection ids say
//! whose a datagram is, and the new way is validated before much is sent there.
//!
//! [`Stream`]: crate::Stream

mod client;
mod connection;
mod engine;
mod error;
mod listener;
mod port;
mod settings;
mod stream;

pub use client::{QuicClients, QuicSocket};
pub use error::QuicError;
pub use listener::{QuicCounts, QuicEngine, QuicListener, QuicServer};
pub use settings::QuicOptions;
pub use stream::QuicStream;
