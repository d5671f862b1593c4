//! What rules are written with: patterns of names, and of topics with places for names.

use crate::topic::{MAX_TOPIC_LEVELS, TopicError, TopicFilter};
use std::fmt;
use std::str::FromStr;

/// A pattern for user names or client identifiers: `*` stands for any characters, all others for
/// themselves. What a client calls itself is matched against it and never is one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    text: Box<str>,
    /// `*` is a character like others.
    exact: bool,
}

/// A topic filter with `%c` for the client identifier and `%u` for the user name, also within a level.
/// `%` before anything else is itself.
///
/// A value never reaches beyond its level: one that is missing, empty, or has `/`, `+` or `#` fits
/// nowhere in a rule that allows, and everywhere in one that denies. So no name gives its client more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPattern {
    text: Box<str>,
    /// It has places.
    fills: bool,
    /// Bytes that stand for themselves in front, without a `/` at their end. Most rules are told apart
    /// by these.
    lead: usize,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// A pattern for names without a character.
    Empty,
    /// Not a topic filter.
    Topic(TopicError),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a pattern for names is empty"),
            Self::Topic(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PatternError {}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text.is_empty() {
            true => Err(PatternError::Empty),
            false => Ok(Self {
                text: text.into(),
                exact: !text.contains('*'),
            }),
        }
    }
}

impl NamePattern {
    /// A pattern that only this name fits, whatever characters it has.
    ///
    /// # Errors
    /// [`PatternError::Empty`].
    pub fn exact(name: &str) -> Result<Self, PatternError> {
        let pattern: Self = name.parse()?;
        Ok(Self {
            exact: true,
            ..pattern
        })
    }

    /// The one name that fits, if there is no more than one.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        self.exact.then_some(&self.text)
    }

    /// Whether a name fits. Takes time in proportion to the length of both, multiplied, at worst.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.exact {
            return *self.text == *name;
        }
        let Some((first, rest)) = self.text.split_once('*') else {
            return false;
        };
        let Some(mut name) = name.strip_prefix(first) else {
            return false;
        };
        // Each piece at its first place: what is left is the longest there can be.
        let mut pieces = rest.split('*').peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return name.ends_with(piece);
            }
            match name.find(piece) {
                Some(at) => name = &name[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::new(text, text.contains("%c") || text.contains("%u"))
    }
}

impl TopicPattern {
    /// A topic filter in which `%` is a character like others.
    ///
    /// # Errors
    /// [`PatternError::Topic`].
    pub fn plain(filter: &str) -> Result<Self, PatternError> {
        Self::new(filter, false)
    }

    fn new(text: &str, fills: bool) -> Result<Self, PatternError> {
        TopicFilter::parse(text, MAX_TOPIC_LEVELS).map_err(PatternError::Topic)?;
        let ends: &[char] = if fills { &['+', '#', '%'] } else { &['+', '#'] };
        let lead = &text[..text.find(ends).unwrap_or(text.len())];
        Ok(Self {
            text: text.into(),
            fills,
            lead: lead.strip_suffix('/').unwrap_or(lead).len(),
        })
    }
}

/// What is put in the places: `None` for a value that fits nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    client_id: Option<&'a str>,
    user_name: Option<&'a str>,
}

/// Which names of a client may stand in a topic, found once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fits {
    client_id: bool,
    user_name: bool,
}

impl Fits {
    pub(super) fn new(client_id: &str, user_name: Option<&str>) -> Self {
        let fit = |value: &str| !value.is_empty() && !value.contains(['/', '+', '#']);
        Self {
            client_id: fit(client_id),
            user_name: user_name.is_some_and(fit),
        }
    }

    /// The names that do.
    pub(super) fn values<'a>(self, client_id: &'a str, user_name: Option<&'a str>) -> Values<'a> {
        Values {
            client_id: self.client_id.then_some(client_id),
            user_name: user_name.filter(|_| self.user_name),
        }
    }
}

impl TopicPattern {
    /// Whether it matches every topic that a filter matches. A topic name is a filter that matches
    /// itself.
    pub(super) fn covers(&self, filter: &str, values: Values<'_>) -> bool {
        if !self.leads(filter) || hides(&self.text, filter) {
            return false;
        }
        let mut levels = Levels(Some(filter));
        for own in Levels(Some(&self.text)) {
            match (own, levels.next()) {
                ("#", _) => return true,
                ("+", Some(level)) if level != "#" => {}
                ("+", _) | (_, None | Some("+" | "#")) => return false,
                (own, Some(level)) => {
                    let same = match self.fills {
                        true => is_filled(own, level, values) == Some(true),
                        false => own == level,
                    };
                    if !same {
                        return false;
                    }
                }
            }
        }
        levels.next().is_none()
    }

    /// Whether a topic begins as all do that it matches; a filter, as all that it covers. Costs next to
    /// nothing.
    #[inline]
    pub(super) fn leads(&self, topic: &str) -> bool {
        topic
            .as_bytes()
            .starts_with(&self.text.as_bytes()[..self.lead])
    }

    /// Whether there is a topic that both it and a filter match.
    pub(super) fn meets(&self, filter: &str, values: Values<'_>) -> bool {
        if hides(&self.text, filter) || hides(filter, &self.text) {
            return false;
        }
        let (mut owns, mut levels) = (Levels(Some(&self.text)), Levels(Some(filter)));
        loop {
            match (owns.next(), levels.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (None, _) | (_, None) => return false,
                (Some("+"), _) | (_, Some("+")) => {}
                (Some(own), Some(level)) => {
                    let same = match self.fills {
                        true => is_filled(own, level, values) != Some(false),
                        false => own == level,
                    };
                    if !same {
                        return false;
                    }
                }
            }
        }
    }
}

/// The levels of a topic or filter, which are a few characters long: looking at each costs less than the
/// machinery for long texts.
struct Levels<'a>(Option<&'a str>);

impl<'a> Iterator for Levels<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        let end = text.bytes().position(|byte| byte == b'/');
        let (level, rest) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        self.0 = rest;
        Some(level)
    }
}

/// Wildcards in front do not reach names that begin with `$` [MQTT-4.7.2-1].
fn hides(wild: &str, other: &str) -> bool {
    wild.starts_with(['+', '#']) && other.starts_with('$')
}

/// Whether a level of a pattern is this level of a topic, once its places are filled; `None` when a
/// value for one of them fits nowhere.
fn is_filled(own: &str, level: &str, values: Values<'_>) -> Option<bool> {
    let (mut own, mut level) = (own, level);
    loop {
        let Some(at) = own.find('%') else {
            return Some(own == level);
        };
        let value = match own.as_bytes().get(at + 1) {
            Some(b'c') => values.client_id?,
            Some(b'u') => values.user_name?,
            _ => "%",
        };
        let len = if matches!(own.as_bytes().get(at + 1), Some(b'c' | b'u')) {
            2
        } else {
            1
        };
        let rest = level
            .strip_prefix(&own[..at])
            .and_then(|rest| rest.strip_prefix(value));
        match rest {
            // Whether what follows has a value that fits nowhere still counts.
            None => return has_values(&own[at + len..], values).then_some(false),
            Some(rest) => (own, level) = (&own[at + len..], rest),
        }
    }
}

fn has_values(own: &str, values: Values<'_>) -> bool {
    (!own.contains("%c") || values.client_id.is_some())
        && (!own.contains("%u") || values.user_name.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        text.parse().unwrap()
    }

    fn values_of<'a>(client_id: &'a str, user_name: Option<&'a str>) -> Values<'a> {
        Fits::new(client_id, user_name).values(client_id, user_name)
    }

    #[test]
    fn a_name_pattern_matches_what_its_stars_allow() {
        let matches = |pattern: &str, name| pattern.parse::<NamePattern>().unwrap().matches(name);
        for (pattern, yes, no) in [
            ("ab", &["ab"][..], &["", "abc", "a*"][..]),
            ("a*", &["a", "a*", "abc"], &["", "ba"]),
            ("*b", &["b", "ab", "bab"], &["", "ba"]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ac", "acb", "abcd"]),
            ("a*a", &["aa", "axa"], &["a", "ab"]),
            ("*", &["", "x", "*"], &[]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
        assert_eq!("".parse::<NamePattern>(), Err(PatternError::Empty));
    }

    #[test]
    fn a_pattern_covers_filters_that_reach_no_further_and_meets_those_that_share_a_topic() {
        let values = values_of("c", Some("u"));
        for (own, filter, covers, meets) in [
            ("a/b", "a/b", true, true),
            ("a/b", "a/c", false, false),
            ("a/+", "a/b", true, true),
            ("a/+", "a/+", true, true),
            ("a/+", "a/#", false, true),
            ("a/#", "a", true, true),
            ("a/#", "a/b/c", true, true),
            ("a/#", "a/#", true, true),
            ("a/#", "#", false, true),
            ("a/#", "+/b", false, true),
            ("a/b", "+/b", false, true),
            ("a/b", "+/c", false, false),
            ("a/+/c", "a/#", false, true),
            ("a", "a/#", false, true),
            ("a/b", "a", false, false),
            ("#", "a/b", true, true),
            ("#", "#", true, true),
            ("#", "$SYS/#", false, false),
            ("+/a", "$SYS/a", false, false),
            ("$SYS/#", "#", false, false),
            ("$SYS/#", "$SYS/+", true, true),
            ("a/%c/#", "a/c/x", true, true),
            ("a/%c/#", "a/d/x", false, false),
            ("a/%c/#", "a/+/x", false, true),
            ("a/x-%u-%c", "a/x-u-c", true, true),
            ("a/x-%u-%c", "a/x-u-d", false, false),
            ("a/100%/%c", "a/100%/c", true, true),
            ("a/100%/%c", "a/100/c", false, false),
        ] {
            let pattern = pattern(own);
            assert_eq!(pattern.covers(filter, values), covers, "{own} {filter}");
            assert_eq!(pattern.meets(filter, values), meets, "{own} {filter}");
        }
    }

    #[test]
    fn a_value_that_fits_nowhere_allows_nothing_and_denies_everything() {
        for value in ["+", "#", "a/b", "", "x+", "/"] {
            let values = values_of(value, Some(value));
            for own in ["a/%c", "a/%u", "a/x%c", "a/%cx%u"] {
                let pattern = pattern(own);
                for filter in ["a/b", "a/+", "a/x", "a/xyz"] {
                    assert!(!pattern.covers(filter, values), "{value} {own} {filter}");
                    assert!(pattern.meets(filter, values), "{value} {own} {filter}");
                }
                assert!(!pattern.meets("b/b", values), "{value} {own}");
            }
        }
        let nobody = values_of("c", None);
        assert!(!pattern("%u/x").covers("a/x", nobody));
        assert!(pattern("%u/x").meets("a/x", nobody));
        assert!(pattern("%c/x").covers("c/x", nobody));
    }
}
