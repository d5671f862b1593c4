//! The table `[jwt]`.

use super::{ANY, FILE, reads};
use crate::config::schema::{Table, integer, text};

pub(super) static JWT: Table = Table {
    check: reads::<crate::jwt::Table>,
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
