//! The names of records.

use std::ffi::{CStr, CString};

/// Numbers go up to here, then begin again; so no key has more than ten characters.
const LIMIT: u32 = 1_000_000;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sent,
    Released,
    Received,
    Command,
    Queued,
}

impl Kind {
    /// The name of a record.
    pub(super) fn key(self, v5: bool, number: u32) -> CString {
        let prefix = self.prefix();
        let version = if v5 { "5" } else { "" };
        // Nothing of it is a NUL.
        CString::new(format!("{prefix}{version}-{number}")).unwrap_or_default()
    }

    /// What a name says: the kind, whether it is of MQTT 5.0, and the number. `None` for a name that is
    /// no record's.
    pub(super) fn of(key: &CStr) -> Option<(Self, bool, u32)> {
        let (prefix, number) = key.to_str().ok()?.split_once('-')?;
        let (prefix, v5) = match prefix.strip_suffix('5') {
            Some(prefix) => (prefix, true),
            None => (prefix, false),
        };
        let all = [
            Self::Sent,
            Self::Released,
            Self::Received,
            Self::Command,
            Self::Queued,
        ];
        let kind = all.into_iter().find(|kind| kind.prefix() == prefix)?;
        Some((kind, v5, number.parse().ok()?))
    }

    /// Part of a message in flight.
    pub(super) fn is_flight(self) -> bool {
        matches!(self, Self::Sent | Self::Released | Self::Received)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Sent => "s",
            Self::Released => "sc",
            Self::Received => "r",
            Self::Command => "c",
            Self::Queued => "q",
        }
    }
}

/// The number after this one.
pub(super) fn next(number: u32) -> u32 {
    match number + 1 {
        LIMIT.. => 0,
        next => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (kind, v5, number, name) in [
            (Kind::Sent, false, 1, c"s-1"),
            (Kind::Released, true, 65_535, c"sc5-65535"),
            (Kind::Received, true, 7, c"r5-7"),
            (Kind::Command, false, 999_999, c"c-999999"),
            (Kind::Queued, true, 0, c"q5-0"),
        ] {
            assert_eq!(kind.key(v5, number).as_c_str(), name);
            assert_eq!(Kind::of(name), Some((kind, v5, number)));
        }
        for name in [
            c"", c"s", c"s-", c"s-x", c"x-1", c"5-1", c"s6-1", c"s--1", c"\xff-1",
        ] {
            assert_eq!(Kind::of(name), None, "{name:?}");
        }
        assert_eq!((next(0), next(999_999)), (1, 0));
    }
}
