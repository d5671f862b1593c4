//! Topic names and topic filters: what is valid (4.7, 4.8.2) and what matches what.

use crate::utf8;
use std::fmt;

/// Longest topic name or filter in bytes [MQTT-4.7.3-3].
pub const MAX_TOPIC_BYTES: usize = 65_535;

/// Levels a topic name or filter may have unless the caller says otherwise.
///
/// The standard has no such limit; without one a single filter of 65,535 slashes costs as many
/// trie nodes. Pass [`usize::MAX`] where depth costs nothing, as in a client.
pub const MAX_TOPIC_LEVELS: usize = 200;

/// The first level of a shared subscription's filter, with its separator (4.8.2).
pub const SHARE_PREFIX: &str = "$share/";

/// Why a text is no topic name, topic filter or shared filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// No character at all [MQTT-4.7.3-1].
    Empty,
    /// More than [`MAX_TOPIC_BYTES`] bytes [MQTT-4.7.3-3].
    TooLong,
    /// More levels than the limit that was passed.
    TooManyLevels,
    /// Not an MQTT string: ill-formed UTF-8 or U+0000 [MQTT-4.7.3-2].
    Utf8(utf8::Utf8Error),
    /// A wildcard in a topic name [MQTT-4.7.0-1].
    WildcardInName,
    /// `#` or `+` that does not fill its level, or `#` before the last [MQTT-4.7.1-1] [MQTT-4.7.1-2].
    MisplacedWildcard,
    /// Share name empty or with a wildcard [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    ShareName,
    /// Nothing behind the share name [MQTT-4.8.2-2].
    ShareWithoutFilter,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "topic is empty",
            Self::TooLong => "topic is longer than 65,535 bytes",
            Self::TooManyLevels => "topic has too many levels",
            Self::Utf8(utf8::Utf8Error::Malformed) => "topic is not well-formed UTF-8",
            Self::Utf8(utf8::Utf8Error::Null) => "topic contains U+0000",
            Self::WildcardInName => "topic name contains a wildcard",
            Self::MisplacedWildcard => "wildcard does not fill a level, or # is not last",
            Self::ShareName => "share name is empty or contains a wildcard",
            Self::ShareWithoutFilter => "share name is not followed by a topic filter",
        })
    }
}

impl std::error::Error for TopicError {}

impl From<utf8::Utf8Error> for TopicError {
    fn from(error: utf8::Utf8Error) -> Self {
        Self::Utf8(error)
    }
}

/// A valid topic name: what a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks text that is known to be UTF-8. `max_levels` is a limit such as [`MAX_TOPIC_LEVELS`].
    pub fn parse(text: &'a str, max_levels: usize) -> Result<Self, TopicError> {
        if scan(text, max_levels)? {
            Err(TopicError::WildcardInName)
        } else {
            Ok(Self(text))
        }
    }

    /// Checks bytes from the wire, UTF-8 included.
    pub fn parse_bytes(bytes: &'a [u8], max_levels: usize) -> Result<Self, TopicError> {
        Self::parse(to_text(bytes)?, max_levels)
    }

    /// Takes a text that went through [`parse`](Self::parse) before, as that of a stored message.
    ///
    /// An invalid text does no harm beyond matching oddly.
    #[must_use]
    pub fn assume(text: &'a str) -> Self {
        debug_assert!(
            Self::parse(text, usize::MAX).is_ok(),
            "not a topic name: {text:?}"
        );
        Self(text)
    }

    /// The text as it was given, never normalised [MQTT-4.7.3-4].
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels between the separators, empty ones included; at least one.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// True for a name that begins with `$`, which leading wildcards never match [MQTT-4.7.2-1].
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        matches!(self.0.as_bytes(), [b'$', ..])
    }
}

/// A valid topic filter: what a client subscribes to.
///
/// One that begins with `$share/` is a filter by its characters; [`SharedFilter`] takes it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks text that is known to be UTF-8. `max_levels` is a limit such as [`MAX_TOPIC_LEVELS`].
    pub fn parse(text: &'a str, max_levels: usize) -> Result<Self, TopicError> {
        if scan(text, max_levels)? {
            let mut levels = text.split('/').peekable();
            while let Some(level) = levels.next() {
                let fits = match level {
                    "#" => levels.peek().is_none(),
                    "+" => true,
                    _ => !level.bytes().any(|byte| matches!(byte, b'+' | b'#')),
                };
                if !fits {
                    return Err(TopicError::MisplacedWildcard);
                }
            }
        }
        Ok(Self(text))
    }

    /// Checks bytes from the wire, UTF-8 included.
    pub fn parse_bytes(bytes: &'a [u8], max_levels: usize) -> Result<Self, TopicError> {
        Self::parse(to_text(bytes)?, max_levels)
    }

    /// Takes a text that went through [`parse`](Self::parse) before, as that of a stored subscription.
    ///
    /// An invalid text does no harm beyond matching oddly.
    #[must_use]
    pub fn assume(text: &'a str) -> Self {
        debug_assert!(
            Self::parse(text, usize::MAX).is_ok(),
            "not a topic filter: {text:?}"
        );
        Self(text)
    }

    /// The text as it was given, never normalised [MQTT-4.7.3-4].
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels between the separators, empty ones included; at least one.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// True when the filter names one topic only.
    #[must_use]
    pub fn is_exact(self) -> bool {
        !self.0.bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// True when the filter begins with a wildcard, and so never matches a name with `$` in front.
    #[must_use]
    pub const fn has_leading_wildcard(self) -> bool {
        matches!(self.0.as_bytes(), [b'+' | b'#', ..])
    }

    /// Whether some name may match both. Says so too of two that only names with `$` would tell apart.
    #[must_use]
    pub fn overlaps(self, other: TopicFilter<'_>) -> bool {
        let (mut ours, mut theirs) = (self.levels(), other.levels());
        loop {
            match (ours.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    /// Does `name` match? `a/#` matches `a` too; `$` as [MQTT-4.7.2-1] says.
    ///
    /// For one filter against one name; many filters belong in `broker::index`.
    #[must_use]
    pub fn matches(self, name: TopicName<'_>) -> bool {
        if name.is_reserved() && self.has_leading_wildcard() {
            return false;
        }
        let mut names = name.levels();
        for level in self.levels() {
            match (level, names.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(name)) if literal == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// The filter of a shared subscription, `$share/{ShareName}/{filter}`, taken apart (4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedFilter<'a> {
    /// The ShareName: at least one character, no `/`, `+` or `#`.
    pub share_name: &'a str,
    /// What the group subscribes to.
    pub filter: TopicFilter<'a>,
}

impl<'a> SharedFilter<'a> {
    /// Takes a filter apart; `None` for one that asks for no sharing.
    ///
    /// A plain `$share` without a separator is an ordinary filter.
    pub fn parse(filter: TopicFilter<'a>) -> Result<Option<Self>, TopicError> {
        let Some(rest) = filter.0.strip_prefix(SHARE_PREFIX) else {
            return Ok(None);
        };
        let (share_name, inner) = rest.split_once('/').unwrap_or((rest, ""));
        if share_name.is_empty() || !TopicFilter(share_name).is_exact() {
            return Err(TopicError::ShareName);
        }
        if inner.is_empty() {
            return Err(TopicError::ShareWithoutFilter);
        }
        // A tail of whole levels of a valid filter is a valid filter.
        Ok(Some(Self {
            share_name,
            filter: TopicFilter(inner),
        }))
    }
}

fn to_text(bytes: &[u8]) -> Result<&str, TopicError> {
    // U+0000 is left to `scan`, which looks at each byte anyway.
    std::str::from_utf8(bytes).map_err(|_| TopicError::Utf8(utf8::Utf8Error::Malformed))
}

/// Checks what names and filters share, and tells whether there is a wildcard character.
///
/// Runs for each PUBLISH: no branch per byte, and counters of one byte each, so that the compiler
/// turns the inner loop into vector code.
fn scan(text: &str, max_levels: usize) -> Result<bool, TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > MAX_TOPIC_BYTES {
        return Err(TopicError::TooLong);
    }
    let (mut null, mut wildcard, mut separators) = (false, false, 0usize);
    for chunk in text.as_bytes().chunks(255) {
        let (mut nulls, mut wildcards, mut slashes) = (0u8, 0u8, 0u8);
        for &byte in chunk {
            nulls |= u8::from(byte == 0);
            wildcards |= u8::from(byte == b'+') | u8::from(byte == b'#');
            slashes += u8::from(byte == b'/');
        }
        null |= nulls != 0;
        wildcard |= wildcards != 0;
        separators += usize::from(slashes);
    }
    if null {
        return Err(TopicError::Utf8(utf8::Utf8Error::Null));
    }
    if separators >= max_levels {
        return Err(TopicError::TooManyLevels);
    }
    Ok(wildcard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    fn name(text: &str) -> Result<TopicName<'_>, TopicError> {
        TopicName::parse(text, MAX_TOPIC_LEVELS)
    }

    fn filter(text: &str) -> Result<TopicFilter<'_>, TopicError> {
        TopicFilter::parse(text, MAX_TOPIC_LEVELS)
    }

    fn matches(of: &str, to: &str) -> bool {
        filter(of).unwrap().matches(name(to).unwrap())
    }

    #[test]
    fn two_filters_overlap_that_match_one_name() {
        let overlap = |one: &str, other: &str| {
            let (one, other) = (filter(one).unwrap(), filter(other).unwrap());
            assert_eq!(one.overlaps(other), other.overlaps(one));
            one.overlaps(other)
        };
        for (one, other) in [
            ("a/b", "a/+"),
            ("a", "a/#"),
            ("+/b", "a/+"),
            ("#", "a/b"),
            ("a/b", "a/b"),
        ] {
            assert!(overlap(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("a/b", "a/c"),
            ("a", "a/+"),
            ("+/b", "a/c"),
            ("a/#", "b/#"),
            ("+", "+/+"),
        ] {
            assert!(!overlap(one, other), "{one} {other}");
        }
        let mut seeded = Seeded::new(3);
        let mut both = 0;
        for _ in 0..20_000 {
            let (one, other, topic) = (seeded.filter(3), seeded.filter(3), seeded.topic(3));
            if matches(&one, &topic) && matches(&other, &topic) {
                both += 1;
                assert!(overlap(&one, &other), "{one} {other} {topic}");
            }
        }
        assert!(both > 100, "{both}");
    }

    // [MQTT-4.7.0-1] in MQTT 3.1.1 [MQTT-4.7.1-1]
    #[test]
    fn wildcards_stand_in_filters_only() {
        for text in ["#", "+", "a/+", "a/#", "a+b", "a#"] {
            assert_eq!(name(text), Err(TopicError::WildcardInName), "{text}");
        }
    }

    // [MQTT-4.7.1-1] in MQTT 3.1.1 [MQTT-4.7.1-2]
    #[test]
    fn multi_level_wildcard_stands_alone_and_last() {
        for text in ["#", "a/#", "/#", "+/#"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["a#", "#a", "a/#/b", "#/", "##", "a/b#", "+#"] {
            assert_eq!(filter(text), Err(TopicError::MisplacedWildcard), "{text}");
        }
    }

    // [MQTT-4.7.1-2] in MQTT 3.1.1 [MQTT-4.7.1-3]
    #[test]
    fn single_level_wildcard_fills_a_level() {
        for text in ["+", "+/", "/+", "a/+/b", "+/+", "+/tennis/#"] {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["a+", "+a", "++", "a/b+/c", "é+"] {
            assert_eq!(filter(text), Err(TopicError::MisplacedWildcard), "{text}");
        }
    }

    // [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    #[test]
    fn matches_as_the_examples_of_the_standard_say() {
        let player = "sport/tennis/player1";
        for to in [
            player,
            "sport/tennis/player1/ranking",
            "sport/tennis/player1/score/wimbledon",
        ] {
            assert!(matches("sport/tennis/player1/#", to), "{to}");
        }
        assert!(matches("sport/#", "sport"));
        assert!(matches("#", "a/b/c") && matches("#", "/"));
        assert!(matches("sport/tennis/+", player));
        assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
        assert!(!matches("sport/+", "sport") && matches("sport/+", "sport/"));
        assert!(matches("+/+", "/finance") && matches("/+", "/finance"));
        assert!(!matches("+", "/finance"));
        assert!(!matches("a/b/#", "a") && !matches("a", "a/") && !matches("a/", "a"));
    }

    // [MQTT-4.7.2-1]
    #[test]
    fn leading_wildcards_do_not_match_reserved_names() {
        for of in ["#", "+/monitor/Clients", "+/#", "+"] {
            assert!(!matches(of, "$SYS/monitor/Clients"), "{of}");
        }
        assert!(!matches("+", "$SYS"));
        assert!(matches("$SYS/#", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/monitor/+", "$SYS/monitor/Clients"));
        assert!(matches("$SYS/#", "$SYS"));
        assert!(matches("a/+", "a/$b"), "only the first level is special");
    }

    // [MQTT-4.7.3-1]
    #[test]
    fn at_least_one_character() {
        assert_eq!(name(""), Err(TopicError::Empty));
        assert_eq!(filter(""), Err(TopicError::Empty));
        assert_eq!(name("/").unwrap().levels().count(), 2);
    }

    // [MQTT-4.7.3-2] [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    #[test]
    fn no_null_and_no_broken_text() {
        let null = Err(TopicError::Utf8(utf8::Utf8Error::Null));
        let long = format!("{}\0", "x".repeat(600));
        assert_eq!(name("a\0b"), null);
        assert_eq!(name(&long), null);
        assert_eq!(filter("a\0/+").err(), null.err());
        let broken = Some(TopicError::Utf8(utf8::Utf8Error::Malformed));
        assert_eq!(TopicName::parse_bytes(b"\xed\xa0\x80", 9).err(), broken);
        assert_eq!(TopicFilter::parse_bytes(b"a/\xff", 9).err(), broken);
    }

    // [MQTT-4.7.3-3]
    #[test]
    fn at_most_65535_bytes() {
        assert!(name(&"x".repeat(65_535)).is_ok());
        assert_eq!(name(&"x".repeat(65_536)), Err(TopicError::TooLong));
        assert_eq!(filter(&"x".repeat(65_536)), Err(TopicError::TooLong));
    }

    // [MQTT-4.7.3-4] [MQTT-1.5.4-3]
    #[test]
    fn compares_without_normalising() {
        assert!(!matches("Accounts", "ACCOUNTS"));
        assert!(!matches("\u{e9}", "e\u{301}"));
        assert!(!matches("a", "\u{feff}a"));
        assert!(matches("a b/+", "a b/ "));
    }

    #[test]
    fn counts_levels_against_the_limit() {
        assert!(TopicName::parse("a/b/c", 3).is_ok());
        assert_eq!(TopicName::parse("a/b/c", 2), Err(TopicError::TooManyLevels));
        assert_eq!(
            TopicFilter::parse(&"/".repeat(600), 600),
            Err(TopicError::TooManyLevels)
        );
        assert!(TopicFilter::parse(&"/".repeat(600), 601).is_ok());
    }

    fn shared(text: &str) -> Result<Option<SharedFilter<'_>>, TopicError> {
        SharedFilter::parse(filter(text)?)
    }

    // [MQTT-4.8.2-1]
    #[test]
    fn share_name_is_not_empty() {
        assert_eq!(shared("$share//a"), Err(TopicError::ShareName));
        assert_eq!(shared("$share/"), Err(TopicError::ShareName));
        let got = shared("$share/g/a/+").unwrap().unwrap();
        assert_eq!((got.share_name, got.filter.as_str()), ("g", "a/+"));
    }

    // [MQTT-4.8.2-2]
    #[test]
    fn share_name_has_no_wildcard_and_a_filter_behind() {
        assert_eq!(shared("$share/+/a"), Err(TopicError::ShareName));
        assert_eq!(shared("$share/#"), Err(TopicError::ShareName));
        assert_eq!(shared("$share/g+/a"), Err(TopicError::MisplacedWildcard));
        assert_eq!(shared("$share/g"), Err(TopicError::ShareWithoutFilter));
        assert_eq!(shared("$share/g/"), Err(TopicError::ShareWithoutFilter));
        assert_eq!(shared("$share/g//").unwrap().unwrap().filter.as_str(), "/");
        assert_eq!(shared("$share/g/#").unwrap().unwrap().filter.as_str(), "#");
    }

    #[test]
    fn what_is_not_shared() {
        for text in ["$share", "$shared/g/a", "share/g/a", "/$share/g/a"] {
            assert_eq!(shared(text), Ok(None), "{text}");
        }
    }

    /// Matching by the recursive definition, as far from the real one as can be.
    fn naive(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            ([], []) => true,
            (["#"], _) => true,
            (["+", filter @ ..], [_, name @ ..]) => naive(filter, name),
            ([a, filter @ ..], [b, name @ ..]) => a == b && naive(filter, name),
            _ => false,
        }
    }

    #[test]
    fn agrees_with_the_naive_definition() {
        let mut seeded = Seeded::new(1);
        for _ in 0..50_000 {
            let (of, to) = (seeded.filter(4), seeded.topic(4));
            let levels: Vec<_> = of.split('/').collect();
            let hidden = to.starts_with('$') && matches!(levels[0], "+" | "#");
            let expected = !hidden && naive(&levels, &to.split('/').collect::<Vec<_>>());
            assert_eq!(matches(&of, &to), expected, "{of} {to}");
        }
    }

    #[test]
    fn never_panics_on_bytes() {
        let mut seeded = Seeded::new(2);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..seeded.below(12))
                .map(|_| {
                    *seeded
                        .pick(&[b"a", b"/", b"+", b"#", b"$", b"\0", b"\xc3", b"\xa9"])
                        .first()
                        .unwrap()
                })
                .collect();
            let name = TopicName::parse_bytes(&bytes, 5);
            if let Ok(filter) = TopicFilter::parse_bytes(&bytes, 5) {
                assert_eq!(name.is_ok(), filter.is_exact());
                let _ = SharedFilter::parse(filter);
            }
        }
    }
}
