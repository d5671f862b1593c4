//! Which client identifiers a user may have.

use std::str::FromStr;

use ternmq_broker::hooks::{Authenticate, Connecting, Decision};
use ternmq_protocol::ReasonCode;

/// What client identifiers look like: `%u` is the user name, `*` stands for any characters, all others for
/// themselves. What stands in a user name is compared, never understood: `*` in it is a character.
///
/// As a hook it refuses all others with Client Identifier not valid (0x85; return code 2 before MQTT 5.0),
/// those whose identifier the broker makes up included, and has no opinion of the rest. With `%u` who names
/// no user is refused.
///
/// With `*` behind `%u` users whose names begin alike can have the same identifiers: `a-b-1` is one of `a` and of `a-b`
/// for `%u-*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIds {
    /// What stands between the stars.
    pieces: Box<[Box<str>]>,
}

impl FromStr for ClientIds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.is_empty() {
            true => Err("a pattern for client identifiers is empty"),
            false => Ok(Self {
                pieces: text.split('*').map(Into::into).collect(),
            }),
        }
    }
}

impl ClientIds {
    /// Whether a user may have this one.
    #[must_use]
    pub fn fits(&self, client_id: &str, user_name: Option<&str>) -> bool {
        let user = user_name.filter(|name| !name.is_empty());
        if user.is_none() && self.pieces.iter().any(|piece| piece.contains("%u")) {
            return false;
        }
        // The stars are gone already: those of a name are not looked at.
        let filled = |piece: &str| piece.replace("%u", user.unwrap_or_default());
        let Some((first, rest)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut left) = client_id.strip_prefix(&*filled(first)) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        for piece in middle {
            let piece = filled(piece);
            match left.find(&piece) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        left.ends_with(&*filled(last))
    }
}

impl Authenticate for ClientIds {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        match self.fits(connecting.client_id, connecting.user_name) {
            true => Decision::Ignore,
            false => Decision::Deny(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_fits_its_user_and_no_name_widens_the_pattern() {
        for (pattern, id, user, fits) in [
            ("%u", "anna", Some("anna"), true),
            ("%u", "ben", Some("anna"), false),
            ("%u", "anna2", Some("anna"), false),
            ("%u", "", None, false),
            ("%u", "", Some(""), false),
            ("%u", "anna", Some("*"), false),
            ("%u", "*", Some("*"), true),
            ("%u", "anna", Some("%u"), false),
            ("%u-*", "anna-1", Some("anna"), true),
            ("%u-*", "anna", Some("anna"), false),
            ("%u-*", "ben-1", Some("*"), false),
            ("*-%u-*", "x-anna-1", Some("anna"), true),
            ("*-%u-*-z", "x-anna-z", Some("anna"), false),
            ("dev-*", "dev-1", None, true),
            ("dev-*", "ops-1", None, false),
            ("%u%u", "aa", Some("a"), true),
        ] {
            let ids: ClientIds = pattern.parse().unwrap();
            assert_eq!(ids.fits(id, user), fits, "{pattern} {id} {user:?}");
        }
        assert!("".parse::<ClientIds>().is_err());
    }
}
