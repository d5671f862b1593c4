//! The table `[access]`.

use ternmq_access::binding::ClientIds;

use super::{FILE, reads};
use crate::config::schema::{Form, Table, one_of, text};

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
    ],
};

const CLIENT_IDS: Form = Form {
    what: "a pattern with %u and *",
    check: |text| text.parse::<ClientIds>().map(drop).map_err(str::to_owned),
};
