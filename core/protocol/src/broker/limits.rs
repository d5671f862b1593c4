//! What one shard allows, each limit with its unit and what happens beyond it.

use super::ranking::Priorities;
use super::sums::SumLimits;
use crate::session::queue::{OverflowPolicy, QueueLimits};

/// Limits of a shard. All of them hold per shard, the per-session ones for each session.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, those that have not sent CONNECT included. Beyond it
    /// [`Shard::open`](super::Shard::open) refuses.
    pub connections: usize,
    /// Sessions kept, with or without a connection. Beyond it CONNECT is answered with Server busy.
    pub sessions: usize,
    /// Milliseconds from opening a connection until its CONNACK; after them it is closed, however
    /// many bytes dripped in.
    pub connect_timeout_ms: u64,
    /// Longest Keep Alive in seconds, 0 for no limit. An MQTT 5.0 client that asks for more, or for
    /// none, is told to use this one (Server Keep Alive); older clients can't be told and keep theirs.
    pub keep_alive: u16,
    /// Largest CONNECT taken, in bytes. Beyond it the connection is closed.
    pub connect_size: u32,
    /// Largest packet taken, in bytes, announced as Maximum Packet Size. Beyond it: 0x95.
    pub packet_size: u32,
    /// QoS 1 and 2 messages of an MQTT 5.0 client that may be unacknowledged at a time, announced as
    /// Receive Maximum. Beyond it: 0x93.
    pub receive_maximum: u16,
    /// QoS 2 messages of a client before MQTT 5.0, which knows no Receive Maximum, that may be
    /// unreleased at a time; two bytes each. Beyond it the connection is closed.
    pub open_qos2: u16,
    /// Topic aliases a client may set, announced as Topic Alias Maximum. Beyond it: 0x94.
    pub topic_aliases: u16,
    /// Topic aliases that the shard sets on one connection, or the client's Topic Alias Maximum if
    /// that is lower; 0 for none. Further topics are sent in full.
    pub outgoing_aliases: u16,
    /// Bytes of the topics behind the aliases of one connection, for each direction. A client that
    /// sets more is told 0x97; topics that would exceed them on their way out are sent in full.
    pub alias_bytes: usize,
    /// Most QoS 1 and 2 messages sent to a client and not acknowledged, or its Receive Maximum if
    /// that is lower. Further ones wait in the session's queue.
    pub inflight: u16,
    /// Bytes of these messages. Further ones wait in the session's queue; one may always be sent.
    pub inflight_bytes: usize,
    /// What waits for one session, connected or not. Dropped messages are counted.
    pub queue: QueueLimits,
    /// Which topics come first in it and are dropped last. None by default.
    pub priorities: Priorities,
    /// Whether QoS 0 messages are queued for a session whose client is away too.
    pub queue_qos0_offline: bool,
    /// Longest Session Expiry Interval in seconds; `u32::MAX` for none. Sessions of clients before
    /// MQTT 5.0 with Clean Session 0 are kept this long.
    pub session_expiry: u32,
    /// Subscriptions of one session. Beyond it: 0x97, before MQTT 5.0 0x80.
    pub subscriptions: usize,
    /// Bytes of them: of each its filter, 128 for what it takes besides, and 96 for each level of one with
    /// wildcards; shared and exclusive ones a few hundred more. Beyond it: 0x97, before MQTT 5.0 0x80.
    pub filter_bytes: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE, which is not cut in two, so that the others wait
    /// for all of it. Beyond it the connection is ended: 0x97.
    pub packet_filters: usize,
    /// Bytes of the properties of a PUBLISH, or of a CONNECT or its will: each subscriber's copy has
    /// them. Beyond it: 0x97; a PUBLISH with QoS 0 is dropped and counted.
    pub property_bytes: usize,
    /// Levels of a topic name or filter.
    pub topic_levels: usize,
    /// Bytes waiting in a connection's outbound buffer from which on messages stay in the session's
    /// queue. At twice this, in answers the client does not read, its socket is not read either.
    pub outbound_bytes: usize,
    /// Bytes kept for a client that sends on before its CONNECT is answered; then its socket is not
    /// read until it is.
    pub early_input: usize,
    /// Bytes of Authentication Data in one CONNECT or AUTH. Beyond it: 0x97.
    pub auth_data: usize,
    /// Subscriptions and nodes of filters that the packets of one client may have looked at before the
    /// others have their turn: the rest of its input waits for the next one. A packet is never cut in two.
    pub turn_work: u64,
    /// Acknowledgements that may wait for one connection until what they promise is kept; then its
    /// socket is not read until they are written. Large ones count as one for each 24 bytes.
    pub owed_acks: u32,
    /// Clients without a connection of which is remembered, until it is paid for, what they have used of
    /// their listener's rates for each client. Beyond it those are forgotten that have paid first: their
    /// next connection has a new burst.
    pub rate_debts: usize,
    /// Bytes of empty buffers kept for the next connection that has something to send.
    pub spare_buffers: usize,
    /// Retained messages asked for at a time for a new subscription.
    pub retained_page: usize,
    /// What all clients of the shard may hold together.
    pub sums: SumLimits,
}

impl Limits {
    /// Takes from `new` what can change while clients are here: not what they have been told
    /// (`packet_size`, `receive_maximum`, `topic_aliases`), nor what was made by it (`outgoing_aliases`,
    /// `alias_bytes`, `priorities`, `queue_qos0_offline`, `topic_levels`, `spare_buffers`).
    pub fn take_live(&mut self, new: &Self) {
        *self = Self {
            packet_size: self.packet_size,
            receive_maximum: self.receive_maximum,
            topic_aliases: self.topic_aliases,
            outgoing_aliases: self.outgoing_aliases,
            alias_bytes: self.alias_bytes,
            priorities: std::mem::take(&mut self.priorities),
            queue_qos0_offline: self.queue_qos0_offline,
            topic_levels: self.topic_levels,
            spare_buffers: self.spare_buffers,
            ..new.clone()
        };
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            sessions: 2_000_000,
            connect_timeout_ms: 10_000,
            keep_alive: 0,
            connect_size: 1 << 20,
            packet_size: 16 << 20,
            receive_maximum: 1024,
            open_qos2: u16::MAX,
            topic_aliases: 64,
            outgoing_aliases: 32,
            alias_bytes: 256 << 10,
            inflight: 1024,
            inflight_bytes: 64 << 20,
            queue: QueueLimits {
                items: 500_000,
                bytes: 64 << 20,
                policy: OverflowPolicy::DropNewest,
            },
            priorities: Priorities::default(),
            queue_qos0_offline: false,
            session_expiry: u32::MAX,
            subscriptions: 100_000,
            filter_bytes: 32 << 20,
            packet_filters: 262_144,
            property_bytes: 64 << 10,
            topic_levels: crate::topic::MAX_TOPIC_LEVELS,
            outbound_bytes: 256 << 10,
            early_input: 64 << 10,
            auth_data: 4 << 10,
            turn_work: 16_384,
            owed_acks: 65_536,
            rate_debts: 65_536,
            spare_buffers: 32 << 20,
            retained_page: 256,
            sums: SumLimits::default(),
        }
    }
}
