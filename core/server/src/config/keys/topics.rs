//! The table `[topics]`.

use ternmq_protocol::broker::Template;

use super::{ANY, reads};
use crate::config::schema::{Form, Kind, Table, boolean, bytes, count, integer, key, one_of, text};

pub(super) static TOPICS: Table = Table {
    check: reads::<crate::topics::Table>,
    groups: &[],
    keys: &[
        integer("maximum_qos", 0, 2, "Highest QoS.").default("2"),
        boolean("retain", "Whether there are retained messages.").default("true"),
        boolean(
            "wildcard_subscriptions",
            "Whether there are wildcards in filters.",
        )
        .default("true"),
        boolean(
            "subscription_identifiers",
            "Whether subscriptions may have identifiers.",
        )
        .default("true"),
        boolean(
            "check_payload_format",
            "Whether payloads that are said to be UTF-8 are checked.",
        )
        .default("false")
        .live(),
        boolean(
            "shared_subscriptions",
            "Whether there are $share/GROUP/FILTER.",
        )
        .default("true"),
        boolean(
            "exclusive",
            "Whether $exclusive/TOPIC is for one client at a time.",
        )
        .default("false"),
        boolean("delayed", "Whether $delayed/SECONDS/TOPIC publishes later.").default("false"),
        count(
            "delayed_messages",
            "What may wait for that on each shard. Beyond it: Quota exceeded.",
        )
        .unit("messages")
        .default("100000"),
        bytes("delayed_bytes", "The same in bytes.").default("67108864"),
        integer("delayed_seconds", 0, u32::MAX as i64, "The longest delay.")
            .unit("seconds")
            .default("4294967"),
        text(
            "response_information",
            TEMPLATE,
            "What clients are told that ask for a place for responses.",
        )
        .example("\"response/${clientid}\"")
        .live(),
        key(
            "rewrite",
            Kind::Tables(&REWRITE),
            "Rules that make another topic of the one a client names; the first that fits holds.",
        )
        .live(),
        key(
            "auto_subscribe",
            Kind::Tables(&AUTO),
            "Subscriptions that every new session has.",
        )
        .live(),
    ],
};

static REWRITE: Table = Table {
    check: reads::<crate::topics::RewriteLine>,
    groups: &[],
    keys: &[
        one_of(
            "on",
            &["publish", "subscribe", "all"],
            "What it is for.",
        )
        .default("\"all\""),
        text("source", ANY, "Topic filter of what it is for.").example("\"old/+/x\""),
        text(
            "expression",
            ANY,
            "Regular expression that the topic has to match as well, and whose groups are $1 and so on; \
             without it the wildcards are.",
        )
        .example("'^old/(.+)/x$'"),
        text("target", ANY, "What is made of it, with ${clientid} and ${username} too.")
            .example("\"new/$1\""),
    ],
};

static AUTO: Table = Table {
    check: reads::<crate::topics::AutoLine>,
    groups: &[],
    keys: &[
        text(
            "filter",
            ANY,
            "Topic filter, with ${clientid} and ${username}.",
        )
        .example("\"in/${clientid}/#\""),
        integer("qos", 0, 2, "Highest QoS to be sent with.")
            .default("0")
            .example("1"),
        boolean(
            "no_local",
            "Whether what a client publishes is not sent to itself.",
        )
        .default("false"),
        boolean(
            "retain_as_published",
            "Whether messages keep their RETAIN flag.",
        )
        .default("false"),
        integer(
            "retain_handling",
            0,
            2,
            "Whether retained messages are sent: 0 yes, 1 if the subscription is new, 2 no.",
        )
        .default("0"),
    ],
};

const TEMPLATE: Form = Form {
    what: "a text with ${clientid} or ${username} in it",
    check: |text| {
        let parsed = text.parse::<Template>();
        parsed.map(drop).map_err(|error| error.to_string())
    },
};
