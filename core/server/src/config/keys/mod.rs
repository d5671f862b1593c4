//! Every key that a configuration may have: the one place where its meaning, type, unit, default and range
//! stand. The tables that are read into ([`File`](super::File)) know the same names, which a test compares;
//! all that is printed about the configuration is made of this.

mod access;
mod jwt;
mod limits;
mod listener;
mod operations;
mod step;
mod topics;

use serde::de::DeserializeOwned;
use ternmq_broker::auth::{Credentials, Hash};
use ternmq_protocol::topic::TopicFilter;
use toml::Value;

use super::schema::{
    Form, Group, Kind, Table, anything, boolean, bytes, integer, key, one_of, text,
};

/// The whole.
pub(crate) static ROOT: Table = Table {
    check: anything,
    groups: &[],
    keys: &[
        integer("shards", 0, 256, "Shard threads; 0 takes one per core.").default("0"),
        integer("sys_interval", 0, u32::MAX as i64, "How often $SYS/broker/... is published; 0: never.")
            .unit("seconds")
            .default("10"),
        integer(
            "drain_rate",
            0,
            u32::MAX as i64,
            "Clients that are let go of in a second (0: all at once), by SIGUSR1 and when the server stops.",
        )
        .unit("clients a second")
        .default("100").live(),
        integer(
            "drain_seconds",
            0,
            3600,
            "SIGTERM and Ctrl-C let go of all clients at `drain_rate`, and faster where it would take longer \
             than this. Clients whose messages wait leave last. 0: the server stops at once.",
        )
        .unit("seconds")
        .default("5").live(),
        boolean(
            "server_moved",
            "Whether clients that are let go of are told that they have moved to `server_reference` for good.",
        )
        .default("false").live(),
        text(
            "server_reference",
            ANY,
            "Where clients that speak MQTT 5.0 are told to go when they are let go of; without it, that \
             this server shuts down.",
        )
        .example("\"other.example:1883\"").live(),
        key(
            "listener",
            Kind::Tables(&listener::LISTENER),
            "Where clients connect, once for each address.",
        ).live(),
        key(
            "topics",
            Kind::Table(&topics::TOPICS),
            "What clients may use, and what is made of their topics.",
        ),
        key(
            "access",
            Kind::Table(&access::ACCESS),
            "Who may publish and subscribe to what.",
        ),
        key(
            "jwt",
            Kind::Switch(&jwt::JWT),
            "JSON Web Tokens, which clients send as their passwords. They are looked at before other passwords, \
             need an `exp`, and end their connections then.",
        ),
        key(
            "durability",
            Kind::Tables(&DURABILITY),
            "What is promised by topic, whatever the listener; the first filter that fits holds.",
        ).live(),
        key("store", Kind::Table(&STORE), "The data folder of --data."),
        key(
            "log",
            Kind::Table(&operations::LOG),
            "What is written on standard error.",
        ),
        key(
            "http",
            Kind::Switch(&operations::HTTP),
            "A listener for programs that watch the server: /metrics for Prometheus, /health/live and \
             /health/ready. Without this table there is none.",
        ),
        key(
            "shared_subscriptions",
            Kind::Table(&SHARED),
            "Which member of a shared subscription gets a message.",
        ),
        key(
            "limits",
            Kind::Table(&limits::LIMITS),
            "What clients may use up, by themselves and together.",
        ),
        key(
            "user",
            Kind::Tables(&USER),
            "Who may come in by a password: the lines that `ternmq passwd NAME` prints.",
        ).live(),
        key(
            "priority",
            Kind::Tables(&PRIORITY),
            "Messages that are sent first and dropped last when they have to wait, by the first filter that fits.",
        ),
        key(
            "slow_subscribers",
            Kind::Switch(&SLOW),
            "Clients that get their messages late: the slowest are told of when they come on the list, and \
             when the server stops.",
        ),
        key(
            "flapping",
            Kind::Switch(&FLAPPING),
            "Clients that connect more than `max` times within `window` are banned for `ban_for`.",
        ),
        key(
            "ban",
            Kind::Tables(&BAN),
            "Who is kept out: one of `client_id`, `user_name` and `address`.",
        ).live(),
    ],
};

static DURABILITY: Table = Table {
    check: reads::<super::DurabilityLine>,
    groups: &[],
    keys: &[
        text("filter", FILTER, "Topic filter.").example("\"telemetry/#\""),
        one_of(
            "mode",
            MODES,
            "When a message is acknowledged, as `durability` of a listener says it.",
        )
        .example("\"none\""),
    ],
};

const MODES: &[&str] = &["none", "group", "each"];

static STORE: Table = Table {
    check: reads::<crate::data::Table>,
    groups: &[],
    keys: &[
        bytes(
            "cache",
            "Memory for what was read from its file and what is to be written: half of it holds them, the \
             rest is what threads that read leave unused of their parts of the heap.",
        )
        .default("67108864"),
        boolean(
            "verify",
            "Whether all of the file is read and checked at the start, about a second for each gigabyte, \
             and not only after a crash.",
        )
        .default("true"),
    ],
};

const STRATEGIES: &[&str] = &[
    "round_robin",
    "random",
    "sticky",
    "hash_clientid",
    "hash_topic",
    "least_inflight",
];

static SHARED: Table = Table {
    check: reads::<crate::shares::Table>,
    groups: &[],
    keys: &[
        one_of(
            "strategy",
            STRATEGIES,
            "How a member is chosen; \"hash_clientid\" goes by the publisher.",
        )
        .default("\"round_robin\""),
        key(
            "group",
            Kind::Tables(&GROUP),
            "Groups for which it is another one.",
        ),
    ],
};

static GROUP: Table = Table {
    check: reads::<crate::shares::Group>,
    groups: &[],
    keys: &[
        text("name", ANY, "The name behind $share/.").example("\"workers\""),
        one_of("strategy", STRATEGIES, "How a member is chosen.").example("\"least_inflight\""),
    ],
};

static USER: Table = Table {
    check: reads::<crate::users::Line>,
    groups: &[],
    keys: &[
        text("name", ANY, "The user name.").example("\"anna\""),
        text(
            "scram_sha_256",
            SHA_256,
            "What is stored of the password, for SCRAM-SHA-256 and for plain passwords.",
        )
        .secret(),
        text("scram_sha_512", SHA_512, "The same for SCRAM-SHA-512.").secret(),
    ],
};

static PRIORITY: Table = Table {
    check: reads::<super::Priority>,
    groups: &[],
    keys: &[
        text("filter", FILTER, "Topic filter.").example("\"alarm/#\""),
        integer("priority", 0, 255, "The higher, the sooner.").example("9"),
    ],
};

static SLOW: Table = Table {
    check: reads::<crate::slow::Table>,
    groups: &[],
    keys: &[
        one_of(
            "latency",
            &["whole", "internal", "response"],
            "What is measured: from a message's arrival until its QoS is done, until it is written, or from \
             then until it is acknowledged.",
        )
        .default("\"whole\""),
        integer("threshold_ms", 1, i64::MAX, "From which on it is late.")
            .unit("milliseconds")
            .default("500"),
        integer(
            "entries",
            1,
            1000,
            "Length of the list; the fastest makes room for a slower one.",
        )
        .unit("clients")
        .default("10"),
        integer(
            "keep_for",
            1,
            i64::MAX,
            "How long a client stays on it after its last late message.",
        )
        .unit("seconds")
        .default("300"),
    ],
};

static FLAPPING: Table = Table {
    check: reads::<super::FlappingTable>,
    groups: &[],
    keys: &[
        integer(
            "max",
            1,
            1000,
            "Connections that are allowed within `window`.",
        )
        .unit("connections")
        .default("15"),
        integer(
            "window",
            0,
            u32::MAX as i64,
            "The time in which they are counted.",
        )
        .unit("seconds")
        .default("60"),
        integer("ban_for", 0, u32::MAX as i64, "How long a ban lasts.")
            .unit("seconds")
            .default("300"),
    ],
};

static BAN: Table = Table {
    check: reads::<crate::bans::Configured>,
    groups: &[
        Group {
            name: "client",
            doc: "By client identifier.",
            lines: &[],
        },
        Group {
            name: "user",
            doc: "By user name.",
            lines: &[],
        },
    ],
    keys: &[
        text("address", NETWORK, "An address or a network.").example("\"192.0.2.0/24\""),
        key(
            "until",
            Kind::Time,
            "When it ends; without this line it does not.",
        )
        .example("2099-12-31T23:59:59Z"),
        text("reason", ANY, "Why, for whoever reads it.")
            .default("\"\"")
            .example("\"scans our ports\""),
        text("client_id", ANY, "A client identifier.")
            .example("\"thief\"")
            .group("client"),
        text("user_name", ANY, "A user name.")
            .example("\"mallory\"")
            .group("user"),
    ],
};

pub(super) const ANY: Form = Form {
    what: "a text",
    check: |_| Ok(()),
};

pub(super) const FILE: Form = Form {
    what: "a path",
    check: |text| match text.is_empty() {
        true => Err("an empty path".to_owned()),
        false => Ok(()),
    },
};

pub(super) const FILTER: Form = Form {
    what: "a topic filter",
    check: |text| {
        let parsed = TopicFilter::parse(text, usize::MAX);
        parsed.map(drop).map_err(|error| error.to_string())
    },
};

const NETWORK: Form = Form {
    what: "an IP address or a network, as in 192.0.2.0/24",
    check: |text| {
        let parsed = text.parse::<ternmq_broker::Network>();
        parsed.map(drop).map_err(|error| error.to_string())
    },
};

const SHA_256: Form = Form {
    what: "a line of `ternmq passwd`",
    check: |text| credentials(Hash::Sha256, text),
};

const SHA_512: Form = Form {
    what: "a line of `ternmq passwd`",
    check: |text| credentials(Hash::Sha512, text),
};

fn credentials(hash: Hash, text: &str) -> Result<(), String> {
    let credentials: Credentials = text.parse().map_err(|error| format!("{error}"))?;
    match credentials.hash() == hash {
        true => Ok(()),
        false => Err("credentials of the other mechanism".to_owned()),
    }
}

/// What is wrong with a table whose keys are right by themselves.
fn reads<T: DeserializeOwned>(table: &Value) -> Result<(), String> {
    let read: Result<T, _> = table.clone().try_into();
    read.map(drop).map_err(|error| error.message().to_owned())
}
