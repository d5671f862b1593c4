//! What a shard counts.

use crate::codec::QoS;
use crate::reason::ReasonCode;
use crate::session::queue::Overflow;

/// Counters and gauges of one shard.
///
/// The books balance at any moment: every copy of a message that some subscriber was due is sent,
/// queued, or dropped for a counted reason: `copies() == sent() + queued + dropped.total()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections now.
    pub connections: u64,
    /// Connections that were refused because of [`Limits::connections`](super::Limits).
    pub connections_refused: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// CONNECTs refused.
    pub connects_refused: u64,
    /// Exchanges of enhanced authentication that succeeded, before CONNACK and after it.
    pub authentications: u64,
    /// Those that failed; each has ended its connection.
    pub authentications_failed: u64,
    /// Connections ended because the peer broke the protocol or a limit.
    pub peer_errors: u64,
    /// Connections ended because nothing came in for one and a half times Keep Alive, or no CONNECT
    /// in time.
    pub timeouts: u64,
    /// Connections taken over by a newer one of the same client.
    pub taken_over: u64,
    /// Sessions now, connected or not.
    pub sessions: u64,
    /// Clients connected now: sessions with a connection.
    pub connected: u64,
    /// Sessions that ended because their Session Expiry Interval had passed.
    pub sessions_expired: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Application messages that came in from clients, by QoS; repeated QoS 2 ones once.
    pub received: [u64; 3],
    /// Bytes of their payloads.
    pub received_payload: u64,
    /// Packets of any kind that came in whole.
    pub packets_received: u64,
    /// Packets other than PUBLISH written.
    pub control_sent: u64,
    /// QoS 2 messages that came in again before their PUBREL.
    pub received_again: u64,
    /// Application messages among `received` that were not taken, each for the reason it was told
    /// where there is a word for that.
    pub publishes_refused: Refused,
    /// Application messages that came in from other shards.
    pub received_from_peers: u64,
    /// Exclusive subscriptions now.
    pub exclusive: u64,
    /// Exclusive subscriptions that another client had.
    pub exclusive_refused: u64,
    /// Subscriptions refused because the client may not, or nobody could be asked.
    pub subscriptions_denied: u64,
    /// Questions about what clients may do that were put to the driver.
    pub access_asked: u64,
    /// Copies handed to observers in this process.
    pub observed: u64,
    /// Subscriptions made for new sessions.
    pub auto_subscribed: u64,
    /// Such subscriptions that a client could not have.
    pub auto_subscribe_refused: u64,
    /// Delayed messages that wait now.
    pub delayed: u64,
    /// Bytes of them.
    pub delayed_bytes: u64,
    /// Delayed messages published.
    pub delayed_published: u64,
    /// Delayed messages not kept because of [`DelayedLimits`](super::DelayedLimits).
    pub delayed_refused: u64,
    /// Delayed messages that had expired when they could be published.
    pub delayed_expired: u64,
    /// Wills published.
    pub wills: u64,
    /// Copies that matching subscriptions were due.
    pub matched: u64,
    /// Copies that waited for a member of a shared subscription and went back to the group, because it
    /// left, its client went away, or its queue was full.
    pub given_back: u64,
    /// Messages that members gave back and other members got.
    pub picked_again: u64,
    /// Subscriptions and nodes of filters looked at for messages, SUBSCRIBE and UNSUBSCRIBE.
    pub work: u64,
    /// Messages given to the store.
    pub appended: u64,
    /// Copies that were left in the log when they came by, or given back to it, to be read later.
    pub unread: u64,
    /// Copies of retained messages that new subscriptions were due.
    pub retained: u64,
    /// Copies that came back into queues with sessions that a store had kept.
    pub restored: u64,
    /// PUBLISH packets written for the first time, by QoS.
    pub sent: [u64; 3],
    /// PUBLISH packets written again after a reconnection.
    pub sent_again: u64,
    /// Bytes of the payloads of both.
    pub sent_payload: u64,
    /// QoS 1 and 2 messages that were sent once and could not be sent again, because the client came
    /// back with a lower Maximum Packet Size, or with a mount point that they are not below.
    pub given_up: u64,
    /// QoS 1 and 2 deliveries that the client acknowledged in full, with whatever reason code.
    pub acknowledged: u64,
    /// Deliveries that took longer than [`SlowLimits::threshold_ms`](super::SlowLimits::threshold_ms).
    pub late_deliveries: u64,
    /// Clients that left a full list of [`SlowLimits::entries`](super::SlowLimits::entries) for one that
    /// is slower.
    pub slow_displaced: u64,
    /// Late deliveries of clients that were not put on a full list, because all on it are slower.
    pub slow_unlisted: u64,
    /// Times that a client was not read because it, or its listener, had sent more than its rate.
    pub rate_pauses: u64,
    /// Times that messages began to wait because their receiver's rate, or its listener's, was used up.
    pub rate_waits: u64,
    /// Clients that were gone with a rate used up and whose next connection has a new burst, because of
    /// [`Limits::rate_debts`](super::Limits::rate_debts).
    pub rate_debts_forgotten: u64,
    /// Copies that wait in sessions' queues now.
    pub queued: u64,
    /// Bytes of them.
    pub queued_bytes: u64,
    /// Bytes of QoS 1 and 2 messages sent and not acknowledged now.
    pub inflight_bytes: u64,
    /// Bytes of input that is kept now: beginnings of packets, CONNECTs that are not answered, and what
    /// waits its turn.
    pub input_bytes: u64,
    /// Bytes of subscriptions now, as [`Limits::filter_bytes`](super::Limits::filter_bytes) counts them.
    pub filter_bytes: u64,
    /// Bytes of wills now.
    pub will_bytes: u64,
    /// Bytes of the client identifiers of sessions, and of the user names of connected clients, now.
    pub name_bytes: u64,
    /// Bytes of the topics behind topic aliases now.
    pub alias_bytes: u64,
    /// Copies that will never be sent.
    pub dropped: Dropped,
    /// What clients did not get because of a limit.
    pub over_limit: OverLimit,
}

/// Counters by reason: one list, so that no reason is left out of the sum, or of what is told.
macro_rules! by_reason {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $reason:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$meaning])* pub $reason: u64,)*
        }

        impl $name {
            /// All of them.
            #[must_use]
            pub const fn total(&self) -> u64 {
                0 $(+ self.$reason)*
            }

            /// Each reason by its name.
            pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($reason), self.$reason)),*].into_iter()
            }

            /// What has come to it since it was like `before`.
            #[must_use]
            pub const fn since(&self, before: &Self) -> Self {
                Self { $($reason: self.$reason - before.$reason,)* }
            }

            pub(super) fn add(&mut self, other: &Self) {
                $(self.$reason += other.$reason;)*
            }
        }
    };
}

by_reason! {
    /// Messages of clients that were not published, by reason.
    Refused {
        /// The client may not publish to that topic.
        not_allowed,
        /// The payload is not what its Payload Format Indicator says.
        payload_format,
        /// Its properties, or something else of it, exceed a limit.
        quota,
        /// Any other.
        other,
    }
}

by_reason! {
    /// Copies that were not sent, by reason.
    Dropped {
        /// The session's queue was full by count.
        queue_items,
        /// The session's queue was full by bytes.
        queue_bytes,
        /// The session had its share of what all queues of the shard may hold.
        queue_share,
        /// QoS 0, and the client was away.
        offline,
        /// The message expired while it waited [MQTT-3.3.2-5].
        expired,
        /// Larger than the client's Maximum Packet Size [MQTT-3.1.2-25].
        too_large,
        /// Not below the [`MountPoint`](super::MountPoint) of the client.
        outside_mount,
        /// The session ended while the message waited.
        session_ended,
        /// The last member of a shared subscription left while the message was on its way to one. What was in the
        /// log by then, or found there after a crash with nobody left, is counted when it goes from there, by the
        /// driver: not by a shard.
        no_member,
        /// The log held the message and could not be read.
        unreadable,
    }
}

by_reason! {
    /// What clients asked for and did not get, by the limit that it would have exceeded. Messages are not
    /// among it: see [`Dropped`] and [`Refused`].
    OverLimit {
        /// CONNECTs refused: [`Limits::sessions`](super::Limits::sessions).
        sessions,
        /// CONNECTs refused: [`Limits::property_bytes`](super::Limits::property_bytes).
        property_bytes,
        /// CONNECTs refused: [`SumLimits::will_bytes`](super::SumLimits::will_bytes).
        shard_will_bytes,
        /// CONNECTs refused: [`SumLimits::name_bytes`](super::SumLimits::name_bytes).
        shard_name_bytes,
        /// Connections ended: [`SumLimits::input_bytes`](super::SumLimits::input_bytes).
        shard_input_bytes,
        /// Connections ended: [`Limits::alias_bytes`](super::Limits::alias_bytes).
        alias_bytes,
        /// Connections ended: [`SumLimits::alias_bytes`](super::SumLimits::alias_bytes).
        shard_alias_bytes,
        /// Connections ended: [`Limits::packet_filters`](super::Limits::packet_filters).
        packet_filters,
        /// Subscriptions refused: [`Limits::subscriptions`](super::Limits::subscriptions).
        subscriptions,
        /// Subscriptions refused: [`Limits::filter_bytes`](super::Limits::filter_bytes).
        filter_bytes,
        /// Subscriptions refused: [`SumLimits::filter_bytes`](super::SumLimits::filter_bytes).
        shard_filter_bytes,
    }
}

impl Dropped {
    /// The counter of what did not fit into a queue.
    pub(super) fn overflow(overflow: Overflow) -> fn(&mut Self) -> &mut u64 {
        match overflow {
            Overflow::Share => |dropped| &mut dropped.queue_share,
            Overflow::Items => |dropped| &mut dropped.queue_items,
            Overflow::Bytes => |dropped| &mut dropped.queue_bytes,
        }
    }
}

impl Stats {
    /// Copies of messages that some session was due and has not given back to its group, nor to the log.
    #[must_use]
    pub const fn copies(&self) -> u64 {
        self.matched + self.retained + self.restored - self.given_back - self.unread
    }

    /// Copies sent for the first time.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent[0] + self.sent[1] + self.sent[2]
    }

    /// Adds the counters of another shard, which makes sums for the whole broker.
    pub fn add(&mut self, other: &Self) {
        let Self {
            received,
            sent,
            dropped,
            over_limit,
            ..
        } = self;
        for (sum, more) in received.iter_mut().zip(other.received) {
            *sum += more;
        }
        for (sum, more) in sent.iter_mut().zip(other.sent) {
            *sum += more;
        }
        dropped.add(&other.dropped);
        over_limit.add(&other.over_limit);
        self.connections += other.connections;
        self.connections_refused += other.connections_refused;
        self.connects += other.connects;
        self.connects_refused += other.connects_refused;
        self.authentications += other.authentications;
        self.authentications_failed += other.authentications_failed;
        self.peer_errors += other.peer_errors;
        self.timeouts += other.timeouts;
        self.taken_over += other.taken_over;
        self.sessions += other.sessions;
        self.connected += other.connected;
        self.sessions_expired += other.sessions_expired;
        self.subscriptions += other.subscriptions;
        self.received_again += other.received_again;
        self.publishes_refused.add(&other.publishes_refused);
        self.received_from_peers += other.received_from_peers;
        self.wills += other.wills;
        self.exclusive += other.exclusive;
        self.exclusive_refused += other.exclusive_refused;
        self.subscriptions_denied += other.subscriptions_denied;
        self.access_asked += other.access_asked;
        self.observed += other.observed;
        self.auto_subscribed += other.auto_subscribed;
        self.auto_subscribe_refused += other.auto_subscribe_refused;
        self.delayed += other.delayed;
        self.delayed_bytes += other.delayed_bytes;
        self.delayed_published += other.delayed_published;
        self.delayed_refused += other.delayed_refused;
        self.delayed_expired += other.delayed_expired;
        self.matched += other.matched;
        self.appended += other.appended;
        self.unread += other.unread;
        self.work += other.work;
        self.given_back += other.given_back;
        self.picked_again += other.picked_again;
        self.retained += other.retained;
        self.restored += other.restored;
        self.sent_again += other.sent_again;
        self.sent_payload += other.sent_payload;
        self.received_payload += other.received_payload;
        self.packets_received += other.packets_received;
        self.control_sent += other.control_sent;
        self.given_up += other.given_up;
        self.acknowledged += other.acknowledged;
        self.late_deliveries += other.late_deliveries;
        self.slow_displaced += other.slow_displaced;
        self.slow_unlisted += other.slow_unlisted;
        self.rate_pauses += other.rate_pauses;
        self.rate_waits += other.rate_waits;
        self.rate_debts_forgotten += other.rate_debts_forgotten;
        self.add_gauges(other);
    }

    fn add_gauges(&mut self, other: &Self) {
        self.queued += other.queued;
        self.queued_bytes += other.queued_bytes;
        self.inflight_bytes += other.inflight_bytes;
        self.input_bytes += other.input_bytes;
        self.filter_bytes += other.filter_bytes;
        self.will_bytes += other.will_bytes;
        self.name_bytes += other.name_bytes;
        self.alias_bytes += other.alias_bytes;
    }

    pub(super) fn count_received(&mut self, qos: QoS, payload: usize) {
        self.received[qos as usize] += 1;
        self.received_payload += payload as u64;
    }

    pub(super) fn count_refused(&mut self, reason: ReasonCode) {
        let refused = &mut self.publishes_refused;
        match reason {
            ReasonCode::NOT_AUTHORIZED => refused.not_allowed += 1,
            ReasonCode::PAYLOAD_FORMAT_INVALID => refused.payload_format += 1,
            ReasonCode::QUOTA_EXCEEDED => refused.quota += 1,
            _ => refused.other += 1,
        }
    }

    pub(super) fn count_sent(&mut self, qos: QoS, payload: usize) {
        self.sent[qos as usize] += 1;
        self.sent_payload += payload as u64;
    }

    pub(super) fn count_ending(&mut self, reason: ReasonCode) {
        match reason {
            ReasonCode::KEEP_ALIVE_TIMEOUT => self.timeouts += 1,
            ReasonCode::SESSION_TAKEN_OVER => self.taken_over += 1,
            ReasonCode::ADMINISTRATIVE_ACTION
            | ReasonCode::SERVER_SHUTTING_DOWN
            | ReasonCode::USE_ANOTHER_SERVER
            | ReasonCode::SERVER_MOVED => {}
            _ => self.peer_errors += 1,
        }
    }
}
