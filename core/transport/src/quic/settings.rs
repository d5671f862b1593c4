//! What of QUIC can be chosen, and what is chosen for all.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{IdleTimeout, TransportConfig, VarInt};

/// How a server speaks QUIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicOptions {
    /// How long nothing may come before a connection is over; zero waits for ever. A third of it without
    /// a word, and the server asks whether the peer is still there. So it is never in the way of MQTT's
    /// keep alive, however long that is: a peer that answers stays, one that is gone goes after this at
    /// the latest. The shorter one of both sides counts. At most a day.
    pub idle_timeout: Duration,
    /// Bytes each way that may be on their way, or wait for whoever reads them, on each connection.
    pub window_bytes: u32,
    /// Connections that have no stream yet, or that nobody has taken; more are refused.
    pub handshakes: usize,
    /// From so many of these on, whoever comes next has to show first that it is where it says to be
    /// (Retry, RFC 9000 section 8.1), which costs it a round trip and us nothing. 0: always.
    pub retry_from: usize,
}

/// The longest idle timeout.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A client's: names of the way through NATs for UDP are forgotten after half a minute, so it speaks
/// earlier; and gives up after three times that.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

/// Bytes each way of a client.
const CLIENT_WINDOW: u32 = 1024 * 1024;

/// What a handshake may send us, in a client.
const CLIENT_HANDSHAKE: usize = 64 * 1024;

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(600),
            window_bytes: 256 * 1024,
            handshakes: 1_000,
            retry_from: 64,
        }
    }
}

impl QuicOptions {
    pub(super) fn transport(&self, handshake_bytes: usize) -> Arc<TransportConfig> {
        transport(self.idle_timeout, self.window_bytes, handshake_bytes, true)
    }
}

pub(super) fn of_clients() -> Arc<TransportConfig> {
    transport(CLIENT_IDLE, CLIENT_WINDOW, CLIENT_HANDSHAKE, false)
}

fn transport(
    idle: Duration,
    window: u32,
    handshake_bytes: usize,
    server: bool,
) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle = idle.min(LONGEST);
    let timeout = IdleTimeout::try_from(idle).ok().filter(|_| !idle.is_zero());
    config.max_idle_timeout(timeout);
    config.keep_alive_interval(timeout.map(|_| idle / 3));
    config.max_concurrent_bidi_streams(VarInt::from_u32(server.into()));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(None);
    config.stream_receive_window(VarInt::from_u32(window));
    config.receive_window(VarInt::from_u32(window));
    config.send_window(window.into());
    config.crypto_buffer_size(handshake_bytes);
    Arc::new(config)
}
