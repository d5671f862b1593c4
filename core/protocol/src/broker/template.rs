//! Topics of the configuration with places that are filled in for each client.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

/// A topic name, filter or prefix with places: `${clientid}`, `${username}`, `${host}`, and `$1` to
/// `$9` where something was captured. Every other `$` stands for itself.
///
/// What is filled in comes from outside, so it may never make another topic of it than the one that
/// was meant: a value that is missing, empty, or has a separator or a wildcard in it fits nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    ClientId,
    UserName,
    Host,
    /// From 0 on.
    Capture(u8),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// No character at all.
    Empty,
    /// `${` without `}`.
    Unclosed,
    /// `${...}` with a name that means nothing.
    Unknown(Box<str>),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Unclosed => f.write_str("`${` without `}`"),
            Self::Unknown(name) => write!(
                f,
                "`${{{name}}}` is none of `${{clientid}}`, `${{username}}` and `${{host}}`"
            ),
        }
    }
}

impl std::error::Error for TemplateError {}

/// What a template is filled in with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filling<'a> {
    pub(super) client_id: &'a str,
    pub(super) user_name: Option<&'a str>,
    pub(super) host: Option<IpAddr>,
    /// What `$1` and so on stand for; those beyond stand for nothing.
    pub(super) captures: &'a [&'a str],
}

/// The value that is missing, or would change what the template means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    ClientId,
    UserName,
    Host,
    Capture,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('$') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            plain.push_str(before);
            let (part, tail) = match after.as_bytes() {
                [b'{', ..] => {
                    let (name, tail) = after[1..].split_once('}').ok_or(TemplateError::Unclosed)?;
                    let part = match name {
                        "clientid" => Part::ClientId,
                        "username" => Part::UserName,
                        "host" => Part::Host,
                        other => return Err(TemplateError::Unknown(other.into())),
                    };
                    (part, tail)
                }
                [digit @ b'1'..=b'9', ..] => (Part::Capture(digit - b'1'), &after[1..]),
                _ => {
                    plain.push('$');
                    rest = after;
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(part);
            rest = tail;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self {
            parts: parts.into(),
        })
    }
}

impl Template {
    /// The highest capture it has a place for, 0 for none.
    pub(super) fn captures(&self) -> usize {
        let number = |part: &Part| match part {
            Part::Capture(at) => usize::from(*at) + 1,
            _ => 0,
        };
        self.parts.iter().map(number).max().unwrap_or(0)
    }

    /// Writes the text for this client into `text`.
    ///
    /// A client's own values fill a part of one level: one that is missing, empty, or has `/`, `+` or
    /// `#` in it is unfit. Captures were part of a topic before and may have all that a topic may.
    /// Nothing that is filled in may begin the text with `$`: those topics are the server's.
    pub(super) fn fill(&self, filling: &Filling<'_>, text: &mut String) -> Result<(), Unfit> {
        text.clear();
        for part in &self.parts {
            let (value, unfit) = match part {
                Part::Text(plain) => {
                    text.push_str(plain);
                    continue;
                }
                Part::Host => {
                    let host = filling.host.ok_or(Unfit::Host)?;
                    write!(text, "{host}").map_err(|_| Unfit::Host)?;
                    continue;
                }
                Part::ClientId => of_one_level(filling.client_id, Unfit::ClientId)?,
                Part::UserName => {
                    of_one_level(filling.user_name.unwrap_or_default(), Unfit::UserName)?
                }
                Part::Capture(at) => {
                    let value = filling.captures.get(usize::from(*at));
                    (value.copied().unwrap_or_default(), Unfit::Capture)
                }
            };
            if text.is_empty() && value.starts_with('$') {
                return Err(unfit);
            }
            text.push_str(value);
        }
        Ok(())
    }
}

fn of_one_level(value: &str, unfit: Unfit) -> Result<(&str, Unfit), Unfit> {
    if value.is_empty() || value.contains(['/', '+', '#', '\0']) {
        return Err(unfit);
    }
    Ok((value, unfit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, filling: &Filling<'_>) -> Option<String> {
        let template: Template = template.parse().unwrap();
        let mut text = "of the last time".to_owned();
        template.fill(filling, &mut text).ok().map(|()| text)
    }

    #[test]
    fn places_are_filled_and_everything_else_stays() {
        let filling = Filling {
            client_id: "c1",
            user_name: Some("ann"),
            host: Some([192, 0, 2, 1].into()),
            captures: &["x/y", "z"],
        };
        for (template, text) in [
            ("a/b", "a/b"),
            ("${clientid}", "c1"),
            ("in/${clientid}/${username}/#", "in/c1/ann/#"),
            ("${host}", "192.0.2.1"),
            ("$2/$1/$3", "z/x/y/"),
            ("$SYS/$0/a$", "$SYS/$0/a$"),
            ("$$1", "$x/y"),
            ("é${clientid}é", "éc1é"),
        ] {
            assert_eq!(
                fill(template, &filling).as_deref(),
                Some(text),
                "{template}"
            );
        }
    }

    #[test]
    fn no_value_makes_another_topic_of_it() {
        for value in ["", "a/b", "+", "#", "a+", "x#", "/"] {
            let filling = Filling {
                client_id: value,
                user_name: Some(value),
                ..Filling::default()
            };
            assert_eq!(fill("a/${clientid}", &filling), None, "{value}");
            assert_eq!(fill("a/${username}", &filling), None, "{value}");
        }
        let filling = Filling {
            client_id: "$SYS",
            captures: &["$share", "b"],
            ..Filling::default()
        };
        assert_eq!(fill("${clientid}/#", &filling), None);
        assert_eq!(fill("$1/#", &filling), None);
        assert_eq!(fill("$3$1/#", &filling), None, "nothing stands before it");
        assert_eq!(fill("a/${clientid}", &filling).unwrap(), "a/$SYS");
        assert_eq!(fill("a/${username}", &filling), None);
        assert_eq!(fill("a/${host}", &filling), None);
    }

    #[test]
    fn what_is_no_template_says_why() {
        let error = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert_eq!(error(""), "it is empty");
        assert_eq!(error("a/${clientid"), "`${` without `}`");
        assert!(error("a/${client}").contains("`${client}` is none of `${clientid}`"));
    }
}
