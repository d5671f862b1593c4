//! Looking at the bytes of a link as they pass.

use ternmq_protocol::outbound::Outbound;

/// Sees what a link sends and receives, for a trace. Its methods run under the lock of the link, for
/// each system call that reads or writes, so they must be quick and must not call the link.
pub trait Tap: Send + Sync {
    /// Whole packets are about to be written.
    fn sending(&self, packets: &Outbound);

    /// Bytes came in. `begins`: with the beginning of a packet.
    fn received(&self, bytes: &[u8], begins: bool);
}
