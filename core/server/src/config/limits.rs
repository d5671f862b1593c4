//! The `[limits]` table of the configuration file.

use serde::Deserialize;
use ternmq_broker::Config;
use ternmq_protocol::session::queue::OverflowPolicy;

/// Each key with its type, the field that it sets, and what is made of its value on the way.
macro_rules! limits {
    ($($key:ident: $kind:ty => $($field:ident).+ $(, $made:ident($with:expr))?;)*) => {
        /// What happens at each limit stands in `ternmq serve --print-config`, and at the fields in
        /// the documentation of `ternmq_broker`, whose defaults hold for every line that isn't there.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Limits {
            $($key: Option<$kind>,)*
        }

        impl Limits {
            pub(crate) fn apply(self, config: &mut Config) {
                $(if let Some(value) = self.$key {
                    config.$($field).+ = value $(.$made($with))?;
                })*
            }
        }

        /// The keys, and the fields that they set.
        #[cfg(test)]
        pub(crate) const FIELDS: &[(&str, &str)] =
            &[$((stringify!($key), stringify!($($field).+))),*];
    };
}

limits! {
    connections: usize => limits.connections;
    shard_connections: usize => session.connections;
    sessions: usize => session.sessions;
    connect_timeout: u64 => session.connect_timeout_ms, saturating_mul(1000);
    keep_alive: u16 => session.keep_alive;
    session_expiry: u32 => session.session_expiry;
    subscriptions: usize => session.subscriptions;
    filter_bytes: usize => session.filter_bytes;
    packet_filters: usize => session.packet_filters;
    exclusive_subscriptions: usize => limits.exclusive;
    topic_levels: usize => session.topic_levels;
    connect_size: u32 => session.connect_size;
    packet_size: u32 => session.packet_size;
    property_bytes: usize => session.property_bytes;
    receive_maximum: u16 => session.receive_maximum;
    open_qos2: u16 => session.open_qos2;
    topic_aliases: u16 => session.topic_aliases;
    outgoing_aliases: u16 => session.outgoing_aliases;
    alias_bytes: usize => session.alias_bytes;
    inflight: u16 => session.inflight;
    inflight_bytes: usize => session.inflight_bytes;
    queue_messages: usize => session.queue.items;
    queue_bytes: usize => session.queue.bytes;
    queue_policy: Policy => session.queue.policy, into_policy(());
    queue_qos0_offline: bool => session.queue_qos0_offline;
    default_priority: u8 => session.priorities.default;
    queued_bytes: usize => limits.queued_bytes;
    outbound_bytes: usize => session.outbound_bytes;
    early_input: usize => session.early_input;
    auth_data: usize => session.auth_data;
    password_queue: usize => limits.password_queue;
    password_threads: usize => limits.password_threads;
    turn_work: u64 => session.turn_work;
    owed_acks: u32 => session.owed_acks;
    rate_debts: usize => session.rate_debts;
    spare_buffers: usize => session.spare_buffers;
    shard_input_bytes: usize => session.sums.input_bytes;
    shard_outbound_bytes: usize => session.sums.outbound_bytes;
    shard_queued_bytes: usize => session.sums.queued_bytes;
    shard_filter_bytes: usize => session.sums.filter_bytes;
    shard_will_bytes: usize => session.sums.will_bytes;
    shard_name_bytes: usize => session.sums.name_bytes;
    shard_alias_bytes: usize => session.sums.alias_bytes;
    retained_messages: usize => limits.retained.messages;
    retained_bytes: usize => limits.retained.bytes;
    retained_page: usize => session.retained_page;
    mailbox_messages: usize => limits.mailbox_messages;
    mailbox_bytes: usize => limits.mailbox_bytes;
    store_bytes: usize => limits.store_bytes;
    log_age: u64 => limits.log.age_seconds;
    log_bytes: u64 => limits.log.bytes;
    log_session_messages: u32 => limits.log.session_messages;
    log_session_bytes: u64 => limits.log.session_bytes;
    log_sweep: u64 => limits.log.sweep_ms, saturating_mul(1000);
    bans: usize => limits.bans.entries;
    ban_bytes: usize => limits.bans.bytes;
    flapping_clients: usize => limits.flapping_clients;
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    DropOldest,
    DropNewest,
}

impl Policy {
    const fn into_policy(self, (): ()) -> OverflowPolicy {
        match self {
            Self::DropOldest => OverflowPolicy::DropOldest,
            Self::DropNewest => OverflowPolicy::DropNewest,
        }
    }
}
