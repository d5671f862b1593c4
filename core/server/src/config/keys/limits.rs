//! The table `[limits]`.

use super::reads;
use crate::config::schema::{Key, Table, boolean, bytes, count, integer, one_of};

const U16: i64 = u16::MAX as i64;
const U32: i64 = u32::MAX as i64;

/// Something of which there has to be one.
const fn some(name: &'static str, doc: &'static str) -> Key {
    integer(name, 1, i64::MAX, doc)
}

pub(super) static LIMITS: Table = Table {
    check: reads::<crate::config::Limits>,
    groups: &[],
    keys: &[
        some("connections", "Open connections; one more is closed at once.")
            .unit("connections")
            .default("1000000").live(),
        some("shard_connections", "The same for each shard.").unit("connections").default("1000000").live(),
        some("sessions", "Sessions on each shard, connected or not. Beyond it: Server busy.")
            .unit("sessions")
            .default("2000000").live(),
        some("connect_timeout", "From opening a connection until it is let in.")
            .unit("seconds")
            .default("10").live(),
        integer(
            "keep_alive",
            0,
            U16,
            "Longest Keep Alive, 0 without limit. MQTT 5.0 clients that want more are told this one.",
        )
        .unit("seconds")
        .default("0").live(),
        integer(
            "session_expiry",
            0,
            U32,
            "Longest Session Expiry Interval; 4294967295 without limit.",
        )
        .unit("seconds")
        .default("4294967295").live(),
        count("subscriptions", "Subscriptions of one session. Beyond it: Quota exceeded.")
            .unit("subscriptions")
            .default("100000").live(),
        bytes(
            "filter_bytes",
            "Size of them: each filter, 128 besides, and 96 for each level of one with wildcards. Beyond it: \
             Quota exceeded.",
        )
        .default("33554432").live(),
        count("packet_filters", "Filters in one packet. Beyond it the connection ends.")
            .unit("filters")
            .default("262144").live(),
        count(
            "exclusive_subscriptions",
            "Exclusive subscriptions of all clients together. Beyond it: Quota exceeded.",
        )
        .unit("subscriptions")
        .default("100000"),
        count("topic_levels", "Levels of a topic.").unit("levels").default("200"),
        integer("connect_size", 1024, U32, "Largest CONNECT. Beyond it the connection ends.")
            .unit("bytes")
            .default("1048576").live(),
        integer("packet_size", 1024, U32, "Largest packet. Beyond it the connection ends.")
            .unit("bytes")
            .default("16777216"),
        bytes(
            "property_bytes",
            "Size of the properties of a PUBLISH, a CONNECT or a will. Beyond it: Quota exceeded.",
        )
        .default("65536").live(),
        integer(
            "receive_maximum",
            1,
            U16,
            "QoS 1 and 2 messages that a client may send without having their acknowledgement.",
        )
        .unit("messages")
        .default("1024"),
        integer(
            "open_qos2",
            0,
            U16,
            "QoS 2 messages that a client before MQTT 5.0 may have open. Beyond it the connection ends.",
        )
        .unit("messages")
        .default("65535").live(),
        integer("topic_aliases", 0, U16, "Topic aliases that a client may set.")
            .unit("aliases")
            .default("64"),
        integer("outgoing_aliases", 0, U16, "Topic aliases that are set towards a client.")
            .unit("aliases")
            .default("32"),
        bytes("alias_bytes", "Size of the topics behind them, for each direction.").default("262144"),
        integer(
            "inflight",
            1,
            U16,
            "QoS 1 and 2 messages sent to a client that it has not acknowledged.",
        )
        .unit("messages")
        .default("1024").live(),
        bytes("inflight_bytes", "The same in bytes.").default("67108864").live(),
        count("queue_messages", "What waits for one session.")
            .unit("messages")
            .default("500000").live(),
        bytes("queue_bytes", "The same in bytes.").default("67108864").live(),
        one_of(
            "queue_policy",
            &["drop_newest", "drop_oldest"],
            "What is dropped when that is full.",
        )
        .default("\"drop_newest\"").live(),
        boolean("queue_qos0_offline", "Whether QoS 0 messages wait for clients that are away.")
            .default("false"),
        integer("default_priority", 0, 255, "The priority of topics without a [[priority]].").default("0"),
        bytes(
            "queued_bytes",
            "What is kept for all sessions together, of which each gets its share as with \
             shard_queued_bytes. Beyond it: Server busy.",
        )
        .default("2147483648").live(),
        bytes(
            "outbound_bytes",
            "On their way to one client, from which on messages wait in its queue.",
        )
        .default("262144").live(),
        bytes("early_input", "What a client may send before it is let in.").default("65536").live(),
        bytes("auth_data", "Size of one step of an authentication.").default("4096").live(),
        some("password_queue", "Passwords that wait to be checked. Beyond it: Server busy.")
            .unit("passwords")
            .default("256"),
        integer("password_threads", 1, 64, "Threads that check them.")
            .unit("threads")
            .default("1"),
        count(
            "turn_work",
            "Subscriptions and nodes of filters looked at for one client before the others have their turn.",
        )
        .default("16384").live(),
        integer(
            "owed_acks",
            0,
            U32,
            "Acknowledgements that a connection waits for before it is read no more.",
        )
        .unit("acknowledgements")
        .default("65536").live(),
        count(
            "rate_debts",
            "Clients that went away over their client_rates and are remembered for it. Beyond it those with \
             the least to wait are forgotten.",
        )
        .unit("clients")
        .default("65536").live(),
        bytes("spare_buffers", "Empty buffers that are kept on each shard.").default("33554432"),
        bytes(
            "shard_input_bytes",
            "Packets of all clients of a shard that have come in part, and what waits its turn. Each client \
             always has 4096 bytes of this and of every other sum of a shard; beyond that it gets no more \
             than would then still be free for the others. Here who has most is ended.",
        )
        .default("268435456").live(),
        bytes(
            "shard_outbound_bytes",
            "What is written for all clients of a shard and not sent. Beyond a share, messages wait in queues.",
        )
        .default("536870912").live(),
        bytes(
            "shard_queued_bytes",
            "Queues and unacknowledged messages of a shard. Beyond a share, messages are dropped as \
             queue_policy says.",
        )
        .default("1073741824").live(),
        bytes(
            "shard_filter_bytes",
            "Subscriptions of a shard, as filter_bytes counts them. Beyond a share: Quota exceeded.",
        )
        .default("1073741824").live(),
        bytes("shard_will_bytes", "Wills of a shard. Beyond a share CONNECT is refused: Quota exceeded.")
            .default("268435456").live(),
        bytes(
            "shard_name_bytes",
            "Client identifiers and user names of a shard. Beyond a share CONNECT is refused: Quota exceeded.",
        )
        .default("268435456").live(),
        bytes(
            "shard_alias_bytes",
            "Topics behind the topic aliases of a shard. Beyond a share the connection ends, or topics are \
             sent in full.",
        )
        .default("268435456").live(),
        count(
            "retained_messages",
            "Retained messages; one more is delivered and not kept, and its publisher told Quota exceeded.",
        )
        .unit("messages")
        .default("10000000"),
        bytes("retained_bytes", "The same in bytes.").default("1073741824"),
        count("retained_page", "Retained messages looked up at a time.")
            .unit("messages")
            .default("256").live(),
        some(
            "mailbox_messages",
            "Messages on their way from one shard to another. Beyond it publishers wait.",
        )
        .unit("messages")
        .default("65536"),
        some("mailbox_bytes", "The same in bytes.").unit("bytes").default("67108864"),
        some("store_bytes", "What waits to be written to the data folder. Beyond it publishers wait.")
            .unit("bytes")
            .default("67108864"),
        count(
            "log_age",
            "Messages in the data folder that sessions have not had: how old they may be (0: any age). Beyond \
             it the oldest go.",
        )
        .unit("seconds")
        .default("0")
        .live(),
        bytes(
            "log_bytes",
            "How many bytes all of them together may have (0: without limit). No listener is open, and clients are refused, while a start reads the file of the data folder, one to two seconds for each gigabyte: after a crash always, else unless `store.verify` is off.",
        )
        .default("17179869184").live(),
        integer("log_sweep", 1, U32, "How often it is looked for what may go.")
            .unit("seconds")
            .default("5")
            .live(),
        integer(
            "log_session_messages",
            0,
            U32,
            "The same for one session, counted while it is away or too slow (0: without limit).",
        )
        .unit("messages")
        .default("0")
        .live(),
        bytes("log_session_bytes", "The same in bytes.").default("0").live(),
        count("bans", "Bans. One more is refused.").unit("bans").default("100000"),
        bytes("ban_bytes", "The texts of them.").default("67108864"),
        count(
            "flapping_clients",
            "Clients whose connections are counted for [flapping]. Beyond it the longest away are forgotten.",
        )
        .unit("clients")
        .default("65536"),
    ],
};
