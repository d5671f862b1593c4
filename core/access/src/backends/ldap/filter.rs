//! Filters of searches, as RFC 4515 writes them. They are read once, into what is sent; what placeholders stand
//! for becomes a value there and is never a text of a filter.

use std::str::FromStr;

use super::ber::{OCTETS, SEQUENCE, put};
use super::names::{Known, Part};

/// How deep filters may nest.
const MAX_DEPTH: usize = 32;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const AT_LEAST: u8 = 0xa5;
const AT_MOST: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const LIKE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// What every entry fits: `(objectClass=*)`.
pub(super) const ANYTHING: &[u8] = b"\x87\x0bobjectClass";

/// A filter whose values may have placeholders, such as `(&(objectClass=person)(uid=${username}))`; `${dn}` is
/// the name of the client's own entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(Node);

type Value = Vec<Part>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// AND or OR.
    All(u8, Vec<Node>),
    Not(Box<Node>),
    /// One of the four comparisons.
    Compare(u8, String, Value),
    Present(String),
    /// What stands between the stars; the first and the last may be empty.
    Substrings(String, Vec<Value>),
    Extensible {
        rule: Option<String>,
        attribute: Option<String>,
        value: Value,
        of_name: bool,
    },
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reading = Reading { rest: text };
        let node = reading.node(0)?;
        match reading.rest.is_empty() {
            true => Ok(Self(node)),
            false => Err(format!("{:?} is left over", reading.rest)),
        }
    }
}

impl Filter {
    /// Whether it can say who a client is: it needs something of the client, and does not need its entry.
    #[must_use]
    pub fn finds_clients(&self) -> bool {
        self.has_placeholder() && !self.0.has(&Part::Entry)
    }

    /// Whether it can say which groups a client is in.
    #[must_use]
    pub fn finds_groups(&self) -> bool {
        self.has_placeholder()
    }

    /// What is sent; `None`: a placeholder stands for nothing, so that nobody can be meant.
    pub(super) fn fill(&self, known: &Known<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write(&self.0, known, &mut out)?;
        Some(out)
    }

    /// Whether anything of a client is in it.
    fn has_placeholder(&self) -> bool {
        self.0.values().iter().any(|value| {
            let mut parts = value.iter();
            parts.any(|part| !matches!(part, Part::Own(_)))
        })
    }
}

impl Node {
    fn values(&self) -> Vec<&Value> {
        match self {
            Self::All(_, nodes) => nodes.iter().flat_map(Self::values).collect(),
            Self::Not(node) => node.values(),
            Self::Present(_) => Vec::new(),
            Self::Substrings(_, values) => values.iter().collect(),
            Self::Compare(_, _, value) | Self::Extensible { value, .. } => vec![value],
        }
    }

    fn has(&self, part: &Part) -> bool {
        self.values().iter().any(|value| value.contains(part))
    }
}

fn write(node: &Node, known: &Known<'_>, out: &mut Vec<u8>) -> Option<()> {
    let mut inner = Vec::new();
    let tag = match node {
        Node::All(tag, nodes) => {
            for node in nodes {
                write(node, known, &mut inner)?;
            }
            *tag
        }
        Node::Not(node) => {
            write(node, known, &mut inner)?;
            NOT
        }
        Node::Present(attribute) => {
            inner.extend_from_slice(attribute.as_bytes());
            PRESENT
        }
        Node::Compare(tag, attribute, value) => {
            put(&mut inner, OCTETS, attribute.as_bytes());
            put(&mut inner, OCTETS, &filled(value, known)?);
            *tag
        }
        Node::Substrings(attribute, values) => {
            put(&mut inner, OCTETS, attribute.as_bytes());
            let mut parts = Vec::new();
            for (at, value) in values.iter().enumerate() {
                let tag = match at {
                    0 => 0x80,
                    at if at + 1 == values.len() => 0x82,
                    _ => 0x81,
                };
                if !value.is_empty() {
                    put(&mut parts, tag, &filled(value, known)?);
                }
            }
            put(&mut inner, SEQUENCE, &parts);
            SUBSTRINGS
        }
        Node::Extensible {
            rule,
            attribute,
            value,
            of_name,
        } => {
            let value = filled(value, known)?;
            let texts = [(0x81, rule), (0x82, attribute)];
            for (tag, text) in texts {
                if let Some(text) = text {
                    put(&mut inner, tag, text.as_bytes());
                }
            }
            put(&mut inner, 0x83, &value);
            if *of_name {
                put(&mut inner, 0x84, &[0xff]);
            }
            EXTENSIBLE
        }
    };
    put(out, tag, &inner);
    Some(())
}

fn filled(value: &Value, known: &Known<'_>) -> Option<Vec<u8>> {
    let parts: Option<Vec<Vec<u8>>> = value.iter().map(|part| part.fill(known)).collect();
    Some(parts?.concat())
}

struct Reading<'a> {
    rest: &'a str,
}

impl<'a> Reading<'a> {
    fn node(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err("it nests too deep".to_owned());
        }
        self.take("(")?;
        let node = match self.rest.chars().next() {
            Some(c @ ('&' | '|')) => {
                self.rest = &self.rest[1..];
                let mut nodes = Vec::new();
                while self.rest.starts_with('(') {
                    nodes.push(self.node(depth + 1)?);
                }
                if nodes.is_empty() {
                    return Err(format!("nothing stands behind `{c}`"));
                }
                Node::All(if c == '&' { AND } else { OR }, nodes)
            }
            Some('!') => {
                self.rest = &self.rest[1..];
                Node::Not(Box::new(self.node(depth + 1)?))
            }
            _ => self.item()?,
        };
        self.take(")")?;
        Ok(node)
    }

    fn item(&mut self) -> Result<Node, String> {
        let attribute = self.name();
        for (sign, tag) in [("~=", LIKE), (">=", AT_LEAST), ("<=", AT_MOST)] {
            if self.take(sign).is_ok() {
                return Ok(Node::Compare(tag, needed(attribute)?, self.one_value()?));
            }
        }
        if self.take("=").is_ok() {
            let attribute = needed(attribute)?;
            let mut values = self.values()?;
            return Ok(match values.len() {
                1 => Node::Compare(EQUAL, attribute, values.remove(0)),
                2 if values.iter().all(Vec::is_empty) => Node::Present(attribute),
                _ if values.iter().all(Vec::is_empty) => return Err("stars alone".to_owned()),
                _ => Node::Substrings(attribute, values),
            });
        }
        let of_name = self.take(":dn").is_ok();
        let rule = match self.rest.starts_with(":=") {
            true => "",
            false => {
                self.take(":")?;
                self.name()
            }
        };
        self.take(":=")?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        if rule.is_empty() && attribute.is_empty() {
            return Err("an attribute is missing before `:=`".to_owned());
        }
        Ok(Node::Extensible {
            rule: some(rule),
            attribute: some(attribute),
            value: self.one_value()?,
            of_name,
        })
    }

    /// Of an attribute, with its options, or of a rule.
    fn name(&mut self) -> &'a str {
        let named = |c: char| c.is_ascii_alphanumeric() || "-.;".contains(c);
        let end = self.rest.find(|c| !named(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn one_value(&mut self) -> Result<Value, String> {
        let mut values = self.values()?;
        match values.len() {
            1 => Ok(values.remove(0)),
            _ => Err("`*` stands behind `=` only; as a character it is \\2a".to_owned()),
        }
    }

    /// What stands between stars, up to the end of the value.
    fn values(&mut self) -> Result<Vec<Value>, String> {
        let (mut values, mut own) = (vec![Value::new()], Vec::new());
        loop {
            let c = self.rest.chars().next().ok_or("`)` is missing")?;
            let last = values.len() - 1;
            match c {
                ')' | '*' => {
                    if !own.is_empty() {
                        values[last].push(Part::Own(std::mem::take(&mut own)));
                    }
                    if c == ')' {
                        return Ok(values);
                    }
                    values.push(Value::new());
                    self.rest = &self.rest[1..];
                }
                '(' => return Err("`(` in a value is \\28".to_owned()),
                '\\' => {
                    let digits = |hex: &&str| hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let hex = self.rest.get(1..3).filter(digits);
                    let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    own.push(byte.ok_or("two digits are missing behind `\\`, as in \\2a")?);
                    self.rest = &self.rest[3..];
                }
                '$' if self.rest.starts_with("${") => {
                    let end = self.rest.find('}');
                    let end = end.ok_or("a placeholder does not end: `}` is missing")?;
                    if !own.is_empty() {
                        values[last].push(Part::Own(std::mem::take(&mut own)));
                    }
                    values[last].push(Part::named(&self.rest[2..end])?);
                    self.rest = &self.rest[end + 1..];
                }
                c => {
                    own.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.rest = &self.rest[c.len_utf8()..];
                }
            }
        }
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(format!(
                "expected `{text}`, as in (&(objectClass=person)(uid=${{username}}))"
            )),
        }
    }
}

fn needed(attribute: &str) -> Result<String, String> {
    match attribute.is_empty() {
        true => Err("an attribute is missing".to_owned()),
        false => Ok(attribute.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::template::Facts;

    fn sent(filter: &str, user_name: &str) -> Option<Vec<u8>> {
        let facts = Facts {
            user_name: Some(user_name),
            ..Facts::NOBODY
        };
        let entry = "uid=x,dc=y";
        let filter: Filter = filter.parse().unwrap_or_else(|e| panic!("{filter}: {e}"));
        filter.fill(&Known { facts, entry })
    }

    /// An element of BER, with a length of one byte.
    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        [&[tag, contents.len() as u8], contents].concat()
    }

    fn equal(attribute: &str, value: &str) -> Vec<u8> {
        let both = [
            element(4, attribute.as_bytes()),
            element(4, value.as_bytes()),
        ];
        element(EQUAL, &both.concat())
    }

    #[test]
    fn whatever_a_user_is_called_it_is_one_value() {
        for evil in [
            "anna",
            "*",
            "a*",
            "anna)(uid=*",
            "*)(|(uid=*))",
            "a\\2a",
            "\\",
            "(&)",
            "a\0b",
            "${clientid}",
            "\u{e4}",
        ] {
            assert_eq!(sent("(uid=${username})", evil), Some(equal("uid", evil)));
        }
        assert_eq!(sent("(uid=${username})", ""), None);
        assert_eq!(sent("(!(uid=${clientid}))", "anna"), None);
        let member = sent("(member=${dn})", "anna");
        assert_eq!(member, Some(equal("member", "uid=x,dc=y")));
    }

    #[test]
    fn every_kind_of_filter_is_sent_as_the_standard_has_it() {
        let both = [equal("a", "b*\u{e4}"), element(PRESENT, b"c")].concat();
        assert_eq!(
            sent("(&(a=b\\2a\u{e4})(c=*))", "u"),
            Some(element(AND, &both))
        );
        let inner = element(OR, &equal("a", "xuy"));
        assert_eq!(
            sent("(!(|(a=x${username}y)))", "u"),
            Some(element(NOT, &inner))
        );
        for (sign, tag) in [(">=", AT_LEAST), ("<=", AT_MOST), ("~=", LIKE)] {
            let both = [element(4, b"a;x-y"), element(4, b"5")].concat();
            let filter = format!("(a;x-y{sign}5)");
            assert_eq!(sent(&filter, "u"), Some(element(tag, &both)));
        }
        let parts = [
            element(0x80, b"1"),
            element(0x81, b"u*"),
            element(0x82, b"3"),
        ];
        let both = [element(4, b"a"), element(0x30, &parts.concat())].concat();
        let whole = Some(element(SUBSTRINGS, &both));
        assert_eq!(sent("(a=1*${username}*3)", "u*"), whole);
        let both = [element(4, b"a"), element(0x30, &element(0x81, b"u"))].concat();
        assert_eq!(sent("(a=*u*)", "u"), Some(element(SUBSTRINGS, &both)));
        // The rule of Active Directory for groups in groups.
        let parts = [
            element(0x81, b"1.2.3"),
            element(0x82, b"member"),
            element(0x83, b"uid=x,dc=y"),
            element(0x84, &[0xff]),
        ];
        let whole = Some(element(EXTENSIBLE, &parts.concat()));
        assert_eq!(sent("(member:dn:1.2.3:=${dn})", "u"), whole);
        let parts = [element(0x82, b"a"), element(0x83, b"b")].concat();
        assert_eq!(sent("(a:=b)", "u"), Some(element(EXTENSIBLE, &parts)));
    }

    #[test]
    fn what_fits_every_entry_is_sent_as_such() {
        assert_eq!(sent("(objectClass=*)", "u").as_deref(), Some(ANYTHING));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}(a=b){}", "(!".repeat(50), ")".repeat(50));
        for wrong in [
            "",
            "uid=a",
            "(uid=a",
            "(uid=a))",
            "(uid)",
            "(=a)",
            "(&)",
            "(!(a=b)(c=d))",
            "(a=**)",
            "(a>=b*)",
            "(a=\\2)",
            "(a=\\zz)",
            "(a=\\+1)",
            "(a=\\\u{e4})",
            "(a=(b))",
            "(a=${user})",
            "(a=${username)",
            "(a=${password})",
            "(a=${topic})",
            "(${username}=a)",
            "(:=a)",
            "(a:b=c)",
            &deep,
        ] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
    }
}
