//! The tables `[log]` and `[http]`.

use super::{ANY, reads};
use crate::config::schema::{Form, Kind, Table, integer, key, one_of, text};

pub(super) static LOG: Table = Table {
    check: reads::<crate::log::Table>,
    groups: &[],
    keys: &[
        one_of(
            "format",
            &["text", "json"],
            "Lines for people, or JSON objects, one a line.",
        )
        .default("\"text\""),
        one_of(
            "level",
            LEVELS,
            "What is written: \"warn\" is refused clients, broken rules of the protocol and dropped messages too, \
             \"info\" also connections and their ends, \"debug\" also subscriptions.",
        )
        .default("\"info\"")
        .live(),
        integer(
            "lines_per_second",
            0,
            u32::MAX as i64,
            "Lines of one kind in a second; 0: without limit. How many were left out is told.",
        )
        .unit("lines a second")
        .default("100")
        .live(),
        key(
            "client",
            Kind::Tables(&CLIENT),
            "Clients of which more is written, or less.",
        )
        .live(),
    ],
};

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug"];

static CLIENT: Table = Table {
    check: reads::<crate::log::ClientLevel>,
    groups: &[],
    keys: &[
        text("client_id", ANY, "The client identifier.").example("\"lamp-7\""),
        one_of("level", LEVELS, "As `log.level`, of this client.").example("\"debug\""),
    ],
};

pub(super) static HTTP: Table = Table {
    check: reads::<crate::http::Table>,
    groups: &[],
    keys: &[
        text(
            "address",
            ADDRESS,
            "IP address and port; port 0 takes a free one. Whoever reaches it can read the counters; no secret, \
             topic or client identifier is among them.",
        )
        .default("\"127.0.0.1:9234\""),
        integer(
            "connections",
            1,
            1000,
            "Connections at a time, a thread each; one more is answered with 503.",
        )
        .unit("connections")
        .default("16"),
        integer(
            "timeout",
            1,
            3600,
            "How long one may take, from its first byte to the last one of the answer.",
        )
        .unit("seconds")
        .default("5"),
    ],
};

const ADDRESS: Form = Form {
    what: "an IP address and a port",
    check: |text| crate::cli::address(text).map(drop),
};
