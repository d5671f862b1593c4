//! The tables `[[access.step]]`.

use ternmq_access::backends::http::Url;
use ternmq_access::backends::{ldap, redis, sql};
use ternmq_access::chain::Template;

use super::jwt::{JWKS_CA, JWKS_REFRESH, JWKS_RETRY, JWKS_TIMEOUT, JWKS_URL};
use super::{ANY, FILE, reads};
use crate::config::schema::{Form, Group, Kind, Table, boolean, count, integer, key, one_of, text};

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
            doc: "Tokens, as [jwt] has them: jwks_url and what begins like it, audience, issuer, user_claim, client_id_claim, acl_claim and leeway \
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
        Group {
            name: "ldap",
            doc: "A directory, with the limits of \"http\" above; it needs a `url`, as ldaps://ldap.example. Who it \
                  is that wants in says `dn`, or `base` and `filter`, and its password is tried by a bind; an \
                  empty one never is. Who is not found is left to the next step, who can't log in is refused. \
                  ${clientid}, ${username}, ${peerhost}, ${cert_subject} and ${cert_common_name} stand for what is \
                  known, escaped; what stands for nothing finds nobody.",
            lines: &["name = \"directory\"", "kind = \"ldap\""],
        },
        Group {
            name: "ldap, by name",
            doc: "A directory without a search: who wants in has a name that can be told, and its groups stand in its \
                  entry.",
            lines: &[
                "name = \"people\"",
                "kind = \"ldap\"",
                "groups = [{ group = \"staff\" }]",
            ],
        },
    ],
    keys: &[
        text("name", NAME, "What it is called by listeners, in the log and in /metrics.")
            .example("\"web\""),
        one_of(
            "kind",
            &["certificate", "passwords", "jwt", "http", "sql", "redis", "ldap"],
            "What it is. \"certificate\" lets in whoever has shown by one who it is, so that no later step is \
             asked. \"http\" asks somebody: 200 to 299 without a body allows, with one it is JSON: {\"result\": \
             \"allow\"}, \"deny\" or \"ignore\", and of who wants in also `expire_at` (when the connection \
             ends, in Unix time), `is_superuser` (true: it may publish and subscribe to everything, whatever rules \
             and steps say) and `acl` ([{\"permission\": \"allow\", \"action\": \"publish\", \
             \"topic\": \"a/#\"}]). 400 to 499 denies, except 408 and 429, which like all else are no answer. What of an \
             answer means nothing, and 500, are counted by themselves and no `failures`; one of the three that can't \
             be used refuses the client.",
        )
        .example("\"http\""),
        one_of(
            "when_down",
            &["deny", "ignore"],
            "What becomes of a client while a back end is down, slow, busy or can't be understood: it is refused \
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
        integer(
            "concurrency",
            0,
            64,
            "Questions that it is asked at a time; 0: as many as there are `threads`. With `waiting` this is how many \
             of them it can hold up.",
        )
        .unit("questions")
        .default("0"),
        integer(
            "waiting",
            0,
            64,
            "Questions that wait while `concurrency` others are asked, for `timeout_ms` at most, each on one of the \
             `threads`. For one more `when_down` holds (CONNACK 0x89, return code 3).",
        )
        .unit("questions")
        .default("8"),
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
        JWKS_URL.group("jwt"),
        JWKS_CA.group("jwt"),
        JWKS_REFRESH.group("jwt"),
        JWKS_RETRY.group("jwt"),
        JWKS_TIMEOUT.group("jwt"),
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
        text(
            "ca",
            FILE,
            "File of the certificates, in PEM, that https trusts, or ldaps, or rediss; PostgreSQL, MySQL and MariaDB \
             besides those that the system trusts.",
        )
            .otherwise("those that the system trusts")
            .example("\"/etc/ternmq/auth-ca.pem\""),
        text(
            "url",
            DATA,
            "Where a data base, Redis or a directory is, with the password of the first two: postgres://, mysql://, \
             mariadb://, sqlite:; redis://, rediss://, redis+unix://; ldaps://HOST, ldap://HOST, \
             ldapi://%2Fpath%2Fof%2Fsocket. Data bases speak TLS, and their certificates have to be for their host: \
             less only if `sslmode` says so (of PostgreSQL verify-ca, require, prefer, disable, of the others \
             VERIFY_CA, REQUIRED, PREFERRED, DISABLED), as in postgres://HOST/BASE?sslmode=verify-ca, or without \
             it and without `ca` on a loopback address, as \"localhost\" or through a Unix socket. redis:// and \
             ldap:// (without `start_tls`) send passwords for all to read on the way.",
        )
        .secret()
        .group("(of sql, redis and ldap)"),
        text(
            "password_query",
            QUERY,
            "The hash of a user's password, as `password_file` has it, in the first column of the first row; \
             without a row the user is not known. A column `is_superuser` (true, 1) lets it do everything.",
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
             has it, and whose field `is_superuser` (true, 1) lets it do everything.",
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
        boolean(
            "start_tls",
            "Whether ldap:// goes on by TLS before anything is said. Without it passwords can be read on the way.",
        )
        .default("false")
        .group("ldap"),
        text(
            "dn",
            DN,
            "Instead of `base` and `filter`: the name of the entry that a client is, with placeholders for values.",
        )
        .example("\"uid=${username},ou=people,dc=example,dc=org\"")
        .group("ldap, by name"),
        text("base", ANY, "The entry below which `filter` finds the one that a client is.")
            .example("\"ou=people,dc=example,dc=org\"")
            .group("ldap"),
        text(
            "filter",
            FILTER,
            "By which it is found. More than one entry is none: the client is refused, and the log says so.",
        )
        .example("\"(&(objectClass=person)(uid=${username}))\"")
        .group("ldap"),
        text("bind_dn", ANY, "The name of the account that searches.")
            .otherwise("nobody in particular searches for clients, and a client for its own groups")
            .example("\"cn=ternmq,ou=services,dc=example,dc=org\"")
            .group("ldap"),
        text("bind_password", ANY, "Its password.").secret().group("ldap"),
        text("bind_password_file", FILE, "Instead of it, a file with the password as its first line.")
            .example("\"/etc/ternmq/ldap-password\"")
            .group("ldap"),
        text(
            "user_attribute",
            ATTRIBUTE,
            "The attribute of a client's entry with the name that its user has from then on, for rules and %u; an \
             entry with several is refused. Directories take Anna, ANNA and anna for the same.",
        )
        .otherwise("the name that it sent")
        .example("\"uid\"")
        .group("ldap"),
        text(
            "group_attribute",
            ATTRIBUTE,
            "Instead of `group_base` and `group_filter`: the attribute of a client's entry with the names of its groups.",
        )
        .otherwise("groups are searched for, or mean nothing")
        .example("\"memberOf\"")
        .group("ldap, by name"),
        text(
            "group_base",
            ANY,
            "The entry below which `group_filter` finds the groups of a client.",
        )
        .example("\"ou=groups,dc=example,dc=org\"")
        .group("ldap"),
        text(
            "group_filter",
            FILTER,
            "By which they are found; ${dn} is the name of the client's entry.",
        )
        .example("\"(member=${dn})\"")
        .group("ldap"),
        key(
            "groups",
            Kind::Tables(&GROUP),
            "What members may do. Who is in several has the rules of all, in this order; the first that applies \
             decides, and what none of them allows is denied. `rules` of [access] may still deny what they allow.",
        )
        .example("[{ group = \"sensors\", rules = [\"allow publish topic sensors/%u/#\"] }]")
        .group("ldap"),
        one_of(
            "without_group",
            &["deny", "allow"],
            "What becomes of a client that is in none of `groups`: it is refused (CONNACK 0x87), or let in and may \
             do what others may.",
        )
        .default("\"deny\"")
        .group("ldap"),
    ],
};

static GROUP: Table = Table {
    check: reads::<crate::steps::GroupLine>,
    groups: &[],
    keys: &[
        text(
            "group",
            ANY,
            "The name of a group: that of its entry, or its `cn` alone, wherever a group of that `cn` is.",
        )
        .example("\"cn=sensors,ou=groups,dc=example,dc=org\""),
        key(
            "rules",
            Kind::List(&Kind::Text(ANY)),
            "Rules for its members, as lines of `rules` of [access].",
        )
        .otherwise("members may do what others may")
        .example("[\"allow publish topic sensors/%u/#\", \"allow subscribe topic news/#\"]"),
        boolean(
            "superuser",
            "Members may do everything, whatever other groups, the rules of [access] and other steps say.",
        )
        .default("false"),
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

/// What a URL of a data base is depends on the kind; those of Redis and of directories have no other.
const DATA: Form = Form {
    what: "a URL of a data base, of Redis or of a directory",
    check: |text| {
        if text.starts_with("ldap") {
            return text.parse::<ldap::Url>().map(drop);
        }
        let redis = text.parse::<redis::Url>().map(drop);
        redis.or_else(|_| text.parse::<sql::Url>().map(drop))
    },
};

const QUERY: Form = Form {
    what: "a statement of SQL",
    check: |text| text.parse::<sql::Query>().map(drop),
};

const DN: Form = Form {
    what: "a name of an entry with placeholders",
    check: |text| text.parse::<ldap::EntryName>().map(drop),
};

const FILTER: Form = Form {
    what: "a filter of LDAP",
    check: |text| text.parse::<ldap::Filter>().map(drop),
};

const ATTRIBUTE: Form = Form {
    what: "a name of an attribute",
    check: |text| {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte);
        match !text.is_empty() && text.bytes().all(named) {
            true => Ok(()),
            false => Err("expected a name of an attribute, such as memberOf".to_owned()),
        }
    },
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
