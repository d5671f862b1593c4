//! The table `[jwt]`.

use ternmq_access::jwt::remote::Url;

use super::{ANY, FILE, reads};
use crate::config::schema::{Form, Key, Table, integer, text};

pub(super) static JWT: Table = Table {
    check: reads::<crate::jwt::Tokens>,
    groups: &[],
    keys: &[
        text(
            "keys",
            FILE,
            "File of the keys that tokens are signed with: a set of JSON Web Keys (JWKS, looked up by `kid`), a \
             public key in PEM (RS, PS, ES256, ES384, EdDSA), or else a secret of 32 bytes at least (HS). \
             SIGHUP has it read again.",
        )
        .example("\"/etc/ternmq/jwks.json\""),
        JWKS_URL,
        JWKS_CA,
        JWKS_REFRESH,
        JWKS_RETRY,
        JWKS_TIMEOUT,
        text(
            "audience",
            ANY,
            "What `aud` of a token has to name. Without it a token that names any is refused.",
        )
        .example("\"mqtt\""),
        text("issuer", ANY, "What `iss` of a token has to be.")
            .otherwise("any")
            .example("\"https://login.example\""),
        text(
            "user_claim",
            ANY,
            "The claim with the user name. If a client sends one too it has to be the same.",
        )
        .default("\"sub\""),
        text(
            "client_id_claim",
            ANY,
            "The claim that has to be the client identifier.",
        )
        .otherwise("any client identifier will do")
        .example("\"client_id\""),
        text(
            "acl_claim",
            ANY,
            "The claim with all that a client may do: { publish = [filters], subscribe = [filters], all = \
             [filters] }, with %u and %c as in `rules` of [access], which may still deny some of it. Without \
             the claim a client may do what those rules say.",
        )
        .default("\"acl\""),
        integer(
            "leeway",
            0,
            3600,
            "By how much the clock of whoever makes the tokens may differ, for `exp` and `nbf`.",
        )
        .unit("seconds")
        .default("0"),
    ],
};

pub(super) const JWKS_URL: Key = text(
    "jwks_url",
    KEYS,
    "Where the keys are instead, as a set of JSON Web Keys. They are looked at when the server starts, which waits \
     for them, then every `jwks_refresh`, and when a token comes with a `kid` that is not among them. While they \
     can't be had, those that were there hold, and tokens with another `kid` are refused (CONNACK 0x88). SIGHUP has \
     them looked at.",
)
.otherwise("they are in the file `keys`")
.example("\"https://login.example/jwks.json\"");

pub(super) const JWKS_CA: Key = text(
    "jwks_ca",
    FILE,
    "File of the certificates, in PEM, that https trusts for `jwks_url`.",
)
.otherwise("those that the system trusts")
.example("\"/etc/ternmq/login-ca.pem\"");

pub(super) const JWKS_REFRESH: Key = integer(
    "jwks_refresh",
    1,
    86_400,
    "From one look at `jwks_url` to the next: for so long a key that is taken out there still holds.",
)
.unit("seconds")
.default("300");

pub(super) const JWKS_RETRY: Key = integer(
    "jwks_retry",
    1,
    3600,
    "From a look at `jwks_url` that failed to the next, and from any look to one for a `kid` that is not known.",
)
.unit("seconds")
.default("10");

pub(super) const JWKS_TIMEOUT: Key = integer(
    "jwks_timeout_ms",
    1,
    60_000,
    "How long `jwks_url` has for an answer.",
)
.unit("milliseconds")
.default("2000");

const KEYS: Form = Form {
    what: "a URL of http or https",
    check: |text| text.parse::<Url>().map(drop),
};
