//! The tables `[[access.step]]`.

use ternmq_access::backends::http::Url;
use ternmq_access::backends::{redis, sql};
use ternmq_access::chain::Template;

use super::{ANY, FILE, reads};
use crate::config::schema::{Form, Group, Kind, Table, count, integer, key, one_of, text};

pub(super) static STEP: Table = Table {
    check: reads::<crate::steps::StepLine>,
    groups: &[
        Group {
            name: "passwords",
            doc: "A file of passwords, as `password_file` of [access] names one.",
            lines: &["name = \"staff\"", "kind = \"passwords\""],
        },
        Group {
            name: "jwt",
            doc: "Tokens, as [jwt] has them: audience, issuer, user_claim, client_id_claim, acl_claim and leeway \
                  mean the same.",
            lines: &["name = \"tokens\"", "kind = \"jwt\""],
        },
        Group {
            name: "sql",
            doc: "A data base: PostgreSQL, MySQL or MariaDB, SQLite. It has the limits of \"http\" above, and needs a `url`, as postgres://NAME:PASSWORD@HOST/BASE. What \
                  placeholders stand for goes as parameters of prepared statements, never as text.",
            lines: &["name = \"data\"", "kind = \"sql\""],
        },
        Group {
            name: "redis",
            doc: "Redis, with the limits of \"http\" above; it needs a `url`, as redis://:PASSWORD@HOST/0.",
            lines: &["name = \"cache\"", "kind = \"redis\""],
        },
    ],
    keys: &[
        text("name", NAME, "What it is called by listeners, in the log and in /metrics.")
            .example("\"web\""),
        one_of(
            "kind",
            &["certificate", "passwords", "jwt", "http", "sql", "redis"],
            "What it is. \"certificate\" lets in whoever has shown by one who it is, so that no later step is \
             asked. \"http\" asks somebody: 200 to 299 without a body allows, with one it is JSON: {\"result\": \
             \"allow\"}, \"deny\" or \"ignore\", and of who wants in also `expire_at` (when the connection \
             ends, in Unix time) and `acl` ([{\"permission\": \"allow\", \"action\": \"publish\", \
             \"topic\": \"a/#\"}]). 400 to 499 denies, except 408 and 429, which like all else are no answer.",
        )
        .example("\"http\""),
        one_of(
            "when_down",
            &["deny", "ignore"],
            "What becomes of a client while a back end is down, slow or can't be understood: it is refused \
             (CONNACK 0x88, return code 3), or the next step is asked.",
        )
        .default("\"deny\""),
        integer("timeout_ms", 1, 60_000, "How long a back end has for an answer.")
            .unit("milliseconds")
            .default("2000"),
        integer(
            "failures",
            0,
            u32::MAX as i64,
            "Failures in a row after which it is left alone for `pause`; 0: never.",
        )
        .default("5"),
        integer(
            "pause",
            1,
            86_400,
            "How long it is left alone; then one client tries it, while `when_down` holds for the others.",
        )
        .unit("seconds")
        .default("5"),
        key(
            "cache",
            Kind::Table(&CACHE),
            "Answers of a back end that are kept: off unless `time` is more than 0.",
        )
        .example("{ time = 60 }"),
        text("file", FILE, "The file.")
            .example("\"/etc/ternmq/staff\"")
            .group("passwords"),
        text("keys", FILE, "The file of the keys.")
            .example("\"/etc/ternmq/jwks.json\"")
            .group("jwt"),
        text("audience", ANY, "What `aud` has to name.")
            .example("\"mqtt\"")
            .group("jwt"),
        text("issuer", ANY, "What `iss` has to be.")
            .otherwise("any")
            .example("\"https://login.example\"")
            .group("jwt"),
        text("user_claim", ANY, "The claim with the user name.")
            .default("\"sub\"")
            .group("jwt"),
        text("client_id_claim", ANY, "The claim that has to be the client identifier.")
            .otherwise("any client identifier will do")
            .example("\"client_id\"")
            .group("jwt"),
        text("acl_claim", ANY, "The claim with what a client may do.")
            .default("\"acl\"")
            .group("jwt"),
        integer("leeway", 0, 86_400, "By how much clocks may differ.")
            .unit("seconds")
            .default("0")
            .group("jwt"),
        text(
            "authenticate",
            URL,
            "Where it is asked who may come in; behind the host there may be placeholders, as in `fields`.",
        )
        .otherwise("it is not asked")
        .example("\"https://auth.example/mqtt/user\""),
        text("authorise", URL, "Where it is asked who may do what.")
            .otherwise("it is not asked")
            .example("\"https://auth.example/mqtt/acl\""),
        one_of(
            "method",
            &["post_json", "post_form", "get"],
            "How; with \"get\" passwords stand in the URL, which others write into their logs.",
        )
        .default("\"post_json\""),
        key(
            "fields",
            Kind::List(&Kind::Text(FIELD)),
            "What is sent to ask who may come in: ${clientid}, ${username}, ${password}, ${peerhost}, \
             ${cert_subject} and ${cert_common_name} stand for what is known, escaped.",
        )
        .otherwise("clientid, username, password, peerhost and cert_subject")
        .example("[\"user=${username}\", \"pass=${password}\"]"),
        key(
            "authorise_fields",
            Kind::List(&Kind::Text(FIELD)),
            "What is sent to ask who may do what: also ${action} (publish, subscribe), ${topic}, ${qos} and \
             ${retain}.",
        )
        .otherwise("clientid, username, peerhost, action, topic, qos and retain")
        .example("[\"user=${username}\", \"do=${action}\", \"topic=${topic}\"]"),
        key(
            "headers",
            Kind::List(&Kind::Text(HEADER)),
            "Lines of the head, such as Authorization.",
        )
        .secret(),
        text("ca", FILE, "File of the certificates, in PEM, that https trusts.")
            .otherwise("those that the system trusts")
            .example("\"/etc/ternmq/auth-ca.pem\""),
        text(
            "url",
            DATA,
            "Where a data base or Redis is, with its password: postgres://, mysql://, mariadb://, sqlite:; \
             redis://, rediss://, redis+unix://.",
        )
        .secret()
        .group("(of sql and redis)"),
        text(
            "password_query",
            QUERY,
            "The hash of a user's password, as `password_file` has it, in the first column of the first row; \
             without a row the user is not known.",
        )
        .otherwise("it is not asked who may come in")
        .example("\"SELECT hash FROM users WHERE name = ${username}\"")
        .group("sql"),
        text(
            "acl_query",
            QUERY,
            "Rules for a client, the first that applies decides: columns `permission` (allow, deny), `action` \
             (publish, subscribe, all) and `topic` (a filter, with %u and %c). Without one that applies the next \
             step is asked.",
        )
        .otherwise("it is not asked who may do what")
        .example("\"SELECT permission, action, topic FROM acl WHERE name = ${username} ORDER BY id\"")
        .group("sql"),
        text(
            "user_key",
            TEMPLATE,
            "The key of a hash whose field `password_hash` is the hash of a user's password, as `password_file` \
             has it.",
        )
        .otherwise("it is not asked who may come in")
        .example("\"mqtt:user:${username}\"")
        .group("redis"),
        text(
            "acl_key",
            TEMPLATE,
            "The key of a hash whose fields are filters, with %u and %c, and whose values are what is allowed \
             there: publish, subscribe or all.",
        )
        .otherwise("it is not asked who may do what")
        .example("\"mqtt:acl:${username}\"")
        .group("redis"),
    ],
};

static CACHE: Table = Table {
    check: reads::<crate::steps::Cache>,
    groups: &[],
    keys: &[
        count("entries", "Answers of each kind; beyond it the oldest gives way.")
            .unit("answers")
            .default("10000"),
        integer(
            "time",
            0,
            86_400,
            "How long an answer holds, a denial as well; who is taken out of the back end still comes in for \
             so long. 0: nothing is kept.",
        )
        .unit("seconds")
        .default("0"),
    ],
};

/// Names that can stand everywhere.
pub(super) const NAME: Form = Form {
    what: "a name of letters, digits, _ and -",
    check: |text| {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        match (1..=64).contains(&text.len()) && text.bytes().all(named) {
            true => Ok(()),
            false => Err("expected 1 to 64 letters, digits, _ and -".to_owned()),
        }
    },
};

const URL: Form = Form {
    what: "a URL",
    check: |text| text.parse::<Url>().map(drop),
};

/// What a URL of a data base is depends on the kind; that of Redis has no other.
const DATA: Form = Form {
    what: "a URL of a data base or of Redis",
    check: |text| {
        let redis = text.parse::<redis::Url>().map(drop);
        redis.or_else(|_| text.parse::<sql::Url>().map(drop))
    },
};

const QUERY: Form = Form {
    what: "a statement of SQL",
    check: |text| text.parse::<sql::Query>().map(drop),
};

const TEMPLATE: Form = Form {
    what: "a text with placeholders",
    check: |text| text.parse::<Template>().map(drop),
};

const FIELD: Form = Form {
    what: "NAME=TEXT",
    check: |text| crate::steps::field(text).map(drop),
};

const HEADER: Form = Form {
    what: "NAME: VALUE",
    check: |text| crate::steps::header(text).map(drop),
};
