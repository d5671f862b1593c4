//! Counters of a client session.

use super::DropReason;

/// What a session counted since it was made. Counters never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets of any kind that came in whole.
    pub packets_received: u64,
    /// Packets of any kind that were written to the outbound buffer.
    pub packets_sent: u64,
    /// Messages that came in and were given out.
    pub messages_received: u64,
    /// QoS 2 messages that came in again and were not given out again.
    pub duplicates: u64,
    /// PUBLISH packets written, those sent again not counted.
    pub messages_sent: u64,
    /// PUBLISH packets written again after a reconnection.
    pub messages_resent: u64,
    /// Calls of `publish` that were refused, for whatever reason.
    pub publishes_refused: u64,
    /// Acknowledgements for Packet Identifiers that nothing waited for.
    pub unknown_acknowledgements: u64,
    /// PINGREQ packets written.
    pub pings: u64,
    /// Milliseconds from the newest PINGREQ that was answered to its PINGRESP.
    pub ping_round_trip_ms: Option<u64>,
    /// Bytes that were written to the outbound buffer and still there when the connection ended:
    /// QoS 0 messages among them are lost.
    pub unsent_bytes: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// Messages and requests that ended with [`Event::Dropped`](super::Event::Dropped), QoS 0
    /// messages, which have no event, included.
    pub fn dropped(&self, why: DropReason) -> u64 {
        self.dropped[why as usize]
    }

    pub(super) fn count_dropped(&mut self, why: DropReason) {
        self.dropped[why as usize] += 1;
    }
}
