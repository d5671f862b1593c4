//! The table `[access]`.

use ternmq_access::binding::ClientIds;

use super::{FILE, reads};
use crate::config::schema::{Form, Kind, Table, integer, key, one_of, text};

pub(super) static ACCESS: Table = Table {
    check: reads::<crate::access::Table>,
    groups: &[],
    keys: &[
        text(
            "password_file",
            FILE,
            "Who may come in by a password: a line NAME:HASH for each, as `ternmq passwd FILE NAME` and \
             mosquitto_passwd write them (argon2id, bcrypt, pbkdf2-sha512, $6$, $7$). SIGHUP has it read again.",
        )
        .example("\"/etc/ternmq/passwords\""),
        text(
            "client_id",
            CLIENT_IDS,
            "Which client identifiers are let in: %u is the user name, * any characters. \"%u\" binds each \
             user to one session, and keeps others from taking it over; who names no user is refused then.",
        )
        .otherwise("all")
        .example("\"%u\""),
        text(
            "rules",
            FILE,
            "File of rules, one a line, of which the first that applies decides: allow group sensors publish \
             qos 0,1 topic sensors/%u/#. %u is the user name and %c the client identifier; one with /, + or # \
             in it fits nowhere. SIGHUP has it read again.",
        )
        .example("\"/etc/ternmq/rules\"")
        .live(),
        text(
            "mosquitto_acl_file",
            FILE,
            "An acl_file of mosquitto, which is asked behind `rules`. What a filter matches must all be \
             readable, or the subscription is refused.",
        )
        .example("\"/etc/mosquitto/aclfile\"")
        .live(),
        one_of(
            "default",
            &["allow", "deny"],
            "What holds where no rule applies.",
        )
        .default("\"allow\"")
        .otherwise("\"deny\" with a file of rules, \"allow\" without one")
        .live(),
        one_of(
            "denied",
            &["drop", "disconnect"],
            "What becomes of a client that publishes what it may not: the message is dropped and MQTT 5.0 says \
             so, or the connection ends.",
        )
        .default("\"drop\""),
        integer(
            "threads",
            1,
            64,
            "Threads on which clients are looked at, and as many again for what they want to do. One that waits \
             for a back end does nothing else meanwhile; `password_queue` of [limits] clients wait for them.",
        )
        .unit("threads")
        .otherwise("8 where there are back ends, else `password_threads` of [limits]")
        .example("16"),
        key(
            "step",
            Kind::Tables(&super::step::STEP),
            "Who says who may come in, one after the other until one allows or denies: first [jwt] (named \
             \"jwt\") and `password_file` (\"passwords\"), if they are there, then these in their order; a \
             listener may name others in `steps`. Who names a user that no step and no [[user]] knows is \
             refused. Steps that are asked who may do what are asked where no rule applies, and without \
             `default` what none of them knows is denied.",
        ),
    ],
};

const CLIENT_IDS: Form = Form {
    what: "a pattern with %u and *",
    check: |text| text.parse::<ClientIds>().map(drop).map_err(str::to_owned),
};
