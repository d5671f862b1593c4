//! One line of a script: bare words, then `name=value` fields in order.
//!
//! A value runs to the next space. `%` and two hex digits stand for one byte (`%20` is a space,
//! `%25` the per cent sign itself), so that a value holds any bytes. A field may be repeated.

use std::collections::BTreeMap;
use std::fmt;

/// A parsed line; displays as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The words before the first field.
    pub words: Vec<String>,
    /// The fields, in the order written.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// Values that earlier lines have put under a name: `id=<first>` sets or requires `first`.
pub type Bindings = BTreeMap<String, Vec<u8>>;

impl Line {
    /// A line of words without fields yet.
    pub fn of(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(ToString::to_string).collect(),
            fields: Vec::new(),
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// A word after a field, a field without a name, or a `%` without two hex digits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut line = Self::default();
        for part in text.split_whitespace() {
            match part.split_once('=') {
                None if line.fields.is_empty() => line.words.push(part.to_string()),
                None => return Err(format!("`{part}` stands after the fields in `{text}`")),
                Some(("", _)) => return Err(format!("`{part}` has no name in `{text}`")),
                Some((name, value)) => line.fields.push((name.to_string(), unescape(value)?)),
            }
        }
        Ok(line)
    }

    /// The word at `at`, empty when there are fewer.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// The same line with one more field at its end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields
            .push((name.to_string(), value.as_ref().to_vec()));
        self
    }

    /// The bytes of the first field of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.iter().find(|(n, _)| n == name);
        field.map(|(_, v)| v.as_slice())
    }

    /// The bytes of every field of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_slice())
    }

    /// The field as text; `default` when it is absent.
    pub fn text(&self, name: &str, default: &str) -> String {
        self.get(name).map_or_else(
            || default.to_string(),
            |v| String::from_utf8_lossy(v).into_owned(),
        )
    }

    /// The field as a number (decimal or `0x`); `default` when it is absent.
    ///
    /// # Panics
    /// When the field is no number: the script is wrong.
    pub fn number(&self, name: &str, default: u32) -> u32 {
        self.get(name).map_or(default, |v| {
            number(v).unwrap_or_else(|| panic!("{name} is no number in `{self}`"))
        })
    }

    /// The same line with every `<name>` value replaced by what is bound to it.
    ///
    /// # Errors
    /// A name nothing is bound to.
    pub fn bound(&self, bindings: &Bindings) -> Result<Self, String> {
        let mut line = self.clone();
        for (_, value) in &mut line.fields {
            if let Some(name) = variable(value) {
                *value = bindings
                    .get(&name)
                    .cloned()
                    .ok_or_else(|| format!("nothing is bound to <{name}> in `{self}`"))?;
            }
        }
        Ok(line)
    }

    /// Whether `actual` has every word and field of `self`; it may have more fields. Numbers are
    /// equal however they are written, `3..5` takes those from 3 to 5, `<name>` takes any value the
    /// first time, `*` every time, and `!` requires that there be no such field.
    ///
    /// # Errors
    /// What differs, in words.
    pub fn matches(&self, actual: &Self, bindings: &mut Bindings) -> Result<(), String> {
        if self.words != actual.words {
            return Err(format!("expected `{self}`, got `{actual}`"));
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, wanted) in &self.fields {
            let nth = seen.entry(name).or_default();
            let found = actual.all(name).nth(*nth);
            *nth += 1;
            let good = match (found, variable(wanted)) {
                (None, _) => wanted == b"!",
                (Some(found), Some(name)) => {
                    bindings.entry(name).or_insert_with(|| found.to_vec()) == found
                }
                (Some(found), None) => wanted == b"*" || same(wanted, found),
            };
            if !good {
                let wanted = escape(wanted);
                return Err(format!("expected {name}={wanted}, got `{actual}`"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))?;
        for (at, (name, value)) in self.fields.iter().enumerate() {
            let gap = if at == 0 && self.words.is_empty() {
                ""
            } else {
                " "
            };
            write!(f, "{gap}{name}={}", escape(value))?;
        }
        Ok(())
    }
}

/// A value as it stands on a line.
pub fn escape(value: &[u8]) -> String {
    let mut text = String::new();
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_whitespace() || c.is_control() || c == '%' {
                let mut bytes = [0; 4];
                for b in c.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("%{b:02x}"));
                }
            } else {
                text.push(c);
            }
        }
        for b in chunk.invalid() {
            text.push_str(&format!("%{b:02x}"));
        }
    }
    text
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or_else(|| format!("`%` without two hex digits in `{text}`"))?);
        rest = &rest[2..];
    }
    Ok(bytes)
}

fn variable(value: &[u8]) -> Option<String> {
    let inner = value.strip_prefix(b"<")?.strip_suffix(b">")?;
    String::from_utf8(inner.to_vec()).ok()
}

fn same(wanted: &[u8], found: &[u8]) -> bool {
    wanted == found
        || (wanted.starts_with(b"0x") && number(wanted) == number(found))
        || range(wanted).is_some_and(|(first, last)| {
            number(found).is_some_and(|found| (first..=last).contains(&found))
        })
}

fn range(value: &[u8]) -> Option<(u32, u32)> {
    let (first, last) = std::str::from_utf8(value).ok()?.split_once("..")?;
    Some((number(first.as_bytes())?, number(last.as_bytes())?))
}

fn number(value: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(value).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for text in [
            "PUBLISH topic=a/b payload=%00%ff%20x id=7",
            "anna connects",
            "topic=$SYS/é/+",
        ] {
            assert_eq!(Line::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_bad_line_is_refused() {
        for bad in ["a b=1 c", "=1", "a=%0", "a=%zz"] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn matching_allows_more_binds_names_and_refuses_differences() {
        let mut bindings = Bindings::new();
        let mut check = |wanted: &str, actual: &str| {
            let actual = Line::parse(actual).expect(actual);
            Line::parse(wanted)
                .expect(wanted)
                .matches(&actual, &mut bindings)
                .is_ok()
        };
        assert!(check("PUBLISH id=<p> qos=1", "PUBLISH qos=1 id=7 topic=a"));
        assert!(check("PUBACK id=<p>", "PUBACK id=7"));
        assert!(!check("PUBACK id=<p>", "PUBACK id=8"));
        assert!(check("CONNACK reason=0x87", "CONNACK reason=135"));
        assert!(!check("CONNACK reason=0", "CONNACK reason=1"));
        assert!(check("PUBLISH alias=!", "PUBLISH topic=a"));
        assert!(!check("PUBLISH alias=!", "PUBLISH alias=1"));
        assert!(check("SUBACK code=1 code=2", "SUBACK code=1 code=2"));
        assert!(!check("SUBACK code=1 code=2", "SUBACK code=1"));
        assert!(!check("PUBACK", "PUBREC"));
        assert!(check(
            "PUBLISH message_expiry=8..10",
            "PUBLISH message_expiry=9"
        ));
        assert!(!check(
            "PUBLISH message_expiry=8..10",
            "PUBLISH message_expiry=11"
        ));
    }
}
