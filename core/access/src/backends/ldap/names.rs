//! Names of entries (DN) as RFC 4514 writes them, and values with places for what is known of a client.

use std::str::FromStr;

use crate::chain::Template;
use crate::chain::template::{Facts, Field, Piece};

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Own(Vec<u8>),
    Field(Field),
    /// The name of the client's own entry.
    Entry,
}

/// What is known of the client that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) facts: Facts<'a>,
    /// The name of its entry, once that is known.
    pub(super) entry: &'a str,
}

impl Part {
    /// A placeholder by its name.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if name == "dn" {
            return Ok(Self::Entry);
        }
        let template: Template = format!("${{{name}}}").parse()?;
        match template.pieces() {
            [Piece::Field(Field::Password)] => {
                Err("a password is sent to log in and for nothing else".to_owned())
            }
            [Piece::Field(Field::Action | Field::Topic | Field::Qos | Field::Retain)] => {
                Err(format!("who may come in has no ${{{name}}} yet"))
            }
            [Piece::Field(field)] => Ok(Self::Field(*field)),
            _ => Err("no placeholder".to_owned()),
        }
    }

    /// What it stands for; `None`: for nothing, so that nobody can be meant.
    pub(super) fn fill(&self, known: &Known<'_>) -> Option<Vec<u8>> {
        let text = match self {
            Self::Own(bytes) => return Some(bytes.clone()),
            Self::Field(field) => known.facts.get(*field).into_owned(),
            Self::Entry => known.entry.to_owned(),
        };
        (!text.is_empty()).then(|| text.into_bytes())
    }
}

/// A name of an entry with placeholders in its values, such as `uid=${username},ou=people,dc=example,dc=org`.
/// What they stand for is escaped, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName(Template);

impl FromStr for EntryName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let template: Template = text.parse()?;
        let later = [Field::Action, Field::Topic, Field::Qos, Field::Retain];
        if template.has(Field::Password) || later.iter().any(|field| template.has(*field)) {
            return Err("a name is made of what is known of who wants in".to_owned());
        }
        let mut in_value = false;
        let mut placed = false;
        for piece in template.pieces() {
            match piece {
                Piece::Text(own) => {
                    let mut chars = own.chars();
                    while let Some(c) = chars.next() {
                        match c {
                            '\\' if chars.next().is_none() => {
                                return Err("`\\` before a placeholder".to_owned());
                            }
                            '"' => return Err("quotes have to be escaped: \\\"".to_owned()),
                            '=' => in_value = true,
                            ',' | '+' | ';' => in_value = false,
                            _ => {}
                        }
                    }
                }
                Piece::Field(_) if !in_value => {
                    return Err(
                        "a placeholder stands for a value, as in uid=${username}".to_owned()
                    );
                }
                Piece::Field(_) => placed = true,
            }
        }
        // With nothing filled in it has to be a name, too.
        let plain = template.fill(&Facts::NOBODY, |_| "x".to_owned());
        match (placed, canonical(&plain)) {
            (false, _) => Err("without a placeholder everybody would be the same".to_owned()),
            (true, None) => Err("no name of an entry".to_owned()),
            (true, Some(_)) => Ok(Self(template)),
        }
    }
}

impl EntryName {
    /// The name of a client's entry; `None`: what it is made of is not known.
    pub(super) fn fill(&self, facts: &Facts<'_>) -> Option<String> {
        let fields = self.0.pieces().iter().filter_map(|piece| match piece {
            Piece::Field(field) => Some(facts.get(*field)),
            Piece::Text(_) => None,
        });
        let all = { fields }.all(|value| !value.is_empty());
        all.then(|| self.0.fill(facts, escaped))
    }
}

/// All ASCII but letters, digits and what means nothing anywhere, by its number (RFC 4514, 2.4).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '-' | '.' | '_' | '@' => out.push(c),
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => out.push(c),
            c => out.push_str(&format!("\\{:02X}", u32::from(c))),
        }
    }
    out
}

/// A name in the one form in which names are compared, without regard to case and blanks; `None`: it is none.
///
/// Values that mean case are rare in names of groups, and directories compare those of `cn` and `ou` so.
pub(super) fn canonical(name: &str) -> Option<Vec<(String, String)>> {
    let mut parts = Vec::new();
    for part in split(name)? {
        let (attribute, value) = part.split_once('=')?;
        let attribute = attribute.trim().to_lowercase();
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if attribute.is_empty() || !attribute.bytes().all(named) {
            return None;
        }
        parts.push((attribute, plain(value)?));
    }
    (!parts.is_empty()).then_some(parts)
}

/// The parts of a name; those of one level, which `+` joins, are parts as well.
fn split(name: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in name.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' | ';' | '+' => {
                parts.push(&name[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&name[from..]);
    (!escaped).then_some(parts)
}

/// A value without its escapes, in lower case, with single blanks.
fn plain(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.trim_start_matches(' ').as_bytes();
    // Up to here blanks are a part of it.
    let mut kept = 0;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                let pair = [*a, *b];
                let pair = std::str::from_utf8(&pair).ok()?;
                bytes.push(u8::from_str_radix(pair, 16).ok()?);
                kept = bytes.len();
                after
            }
            (b'\\', [c, after @ ..]) => {
                bytes.push(*c);
                kept = bytes.len();
                after
            }
            (b'\\', []) => return None,
            (c, after) => {
                bytes.push(*c);
                after
            }
        };
    }
    while bytes.len() > kept && bytes.last() == Some(&b' ') {
        bytes.pop();
    }
    let text = String::from_utf8(bytes).ok()?.to_lowercase();
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(user_name: &str) -> Facts<'_> {
        Facts {
            user_name: Some(user_name),
            ..Facts::NOBODY
        }
    }

    #[test]
    fn no_user_name_is_more_than_a_value() {
        let name: EntryName = "uid=${username},ou=people,dc=x".parse().unwrap();
        for evil in [
            "anna,ou=admins",
            "anna+cn=x",
            "#04024869",
            " anna ",
            "a\\",
            "\"a\"",
            "a=b;c<d>e",
            "x\u{e4}\0y",
            "${username}",
        ] {
            let filled = name.fill(&facts(evil)).unwrap();
            let parts = canonical(&filled).unwrap();
            assert_eq!(parts.len(), 3, "{filled}");
            let expected = evil.trim().to_lowercase();
            assert_eq!(parts[0], ("uid".to_owned(), expected), "{filled}");
        }
        let filled = name.fill(&facts("anna,ou=admins")).unwrap();
        assert_eq!(filled, "uid=anna\\2Cou\\3Dadmins,ou=people,dc=x");
        assert_eq!(name.fill(&facts("")), None);
        assert_eq!(name.fill(&Facts::NOBODY), None);
    }

    #[test]
    fn a_placeholder_is_a_value_of_a_name() {
        for wrong in [
            "${username}",
            "${username}=x",
            "uid=x,${username}",
            "uid=\"${username}\"",
            "uid=\\${username}",
            "uid=${password}",
            "uid=${dn}",
            "uid=${topic}",
            "uid=x",
            "uid=${username},people",
            "",
        ] {
            assert!(wrong.parse::<EntryName>().is_err(), "{wrong}");
        }
        // An escaped comma is one of the characters of a value.
        assert!("uid=x\\,${username}".parse::<EntryName>().is_ok());
    }

    #[test]
    fn names_are_the_same_whatever_their_blanks_cases_and_escapes() {
        let one = canonical("CN=Field  Staff,OU=Groups,DC=x");
        for same in [
            "cn=field staff,ou=groups,dc=x",
            "cn = Field Staff , ou=groups;dc=x",
            "cn=\\46ield\\20staff,ou=groups,dc=x",
        ] {
            assert_eq!(canonical(same), one, "{same}");
        }
        for other in [
            "cn=fieldstaff,ou=groups,dc=x",
            "cn=field staff\\,ou=groups,dc=x",
            "cn=field staff,ou=groups",
            "cn=field staff,ou=groups,dc=x,dc=y",
        ] {
            assert_ne!(canonical(other), one, "{other}");
        }
        for wrong in ["", "staff", "cn=a,", "=a", "cn=a\\", "c n=a"] {
            assert_eq!(canonical(wrong), None, "{wrong}");
        }
    }
}
