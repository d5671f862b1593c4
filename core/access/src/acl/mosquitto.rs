//! mosquitto's `acl_file`: lists of topics for users, for who names none, and patterns for all.

use std::collections::HashMap;

use ternmq_broker::access::{Name, NamePattern, Rule, TopicPattern, Verdict, Who};

use super::Reading;

/// Some lines of a file, in its order.
#[derive(Default)]
struct Lines {
    /// Those that deny come before those that allow, wherever they stand.
    denied: Vec<Line>,
    allowed: Vec<Line>,
}

struct Line {
    number: usize,
    text: Box<str>,
    rule: Rule,
}

/// Whose topics are being listed.
type User = Option<Box<str>>;

pub(super) fn read(text: &str, reading: &mut Reading) {
    let mut lists: Vec<Lines> = vec![Lines::default()];
    let mut list_of: HashMap<Box<str>, usize> = HashMap::new();
    let mut patterns = Lines::default();
    let (mut user, mut list): (User, usize) = (None, 0);
    for (line, number) in text.lines().zip(1..) {
        let trimmed = line.trim();
        // A comment begins in the first column there; nobody means a rule by one further right.
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (word, rest) = cut(trimmed);
        let column = |part: &str| column_of(line, part);
        match word {
            "user" if rest.is_empty() => reading.error(number, 1, "a user name is missing"),
            "user" => {
                list = *list_of.entry(rest.into()).or_insert_with(|| {
                    lists.push(Lines::default());
                    lists.len() - 1
                });
                user = Some(rest.into());
            }
            "topic" | "pattern" => match rule(word == "pattern", rest, &user) {
                Ok(rule) => {
                    let lines = if word == "pattern" {
                        &mut patterns
                    } else {
                        &mut lists[list]
                    };
                    lines.add(number, line, rule);
                }
                Err((part, what)) => reading.error(number, column(part), what),
            },
            word => {
                let what = "a line begins with `user`, `topic` or `pattern`";
                reading.error(number, column(word), what);
            }
        }
    }
    for list in lists.into_iter().chain([patterns]) {
        for line in list.denied.into_iter().chain(list.allowed) {
            reading.rule(line.number, &line.text, line.rule);
        }
    }
}

impl Lines {
    fn add(&mut self, number: usize, text: &str, rule: Rule) {
        let lines = match rule.verdict {
            Verdict::Deny => &mut self.denied,
            Verdict::Allow => &mut self.allowed,
        };
        lines.push(Line {
            number,
            text: text.into(),
            rule,
        });
    }
}

/// `[read|write|readwrite|deny] TOPIC`. What is wrong, with the part of the line that is.
fn rule<'a>(pattern: bool, rest: &'a str, user: &User) -> Result<Rule, (&'a str, String)> {
    let (access, topic) = match cut(rest) {
        ("", _) => return Err((rest, "a topic is missing".into())),
        (topic, "") => ("readwrite", topic),
        (access, topic) => (access, topic),
    };
    let (publish, subscribe, verdict) = match access {
        "read" => (false, true, Verdict::Allow),
        "write" => (true, false, Verdict::Allow),
        "readwrite" => (true, true, Verdict::Allow),
        "deny" => (true, true, Verdict::Deny),
        other => {
            let what = format!("{other:?} is none of `read`, `write`, `readwrite` and `deny`");
            return Err((access, what));
        }
    };
    let parsed = match pattern {
        true => topic.parse(),
        false => TopicPattern::plain(topic),
    };
    let name = match (pattern, user) {
        (true, _) => Name::Any,
        (false, None) => Name::Nobody,
        (false, Some(name)) => {
            // It is not empty.
            let exact = NamePattern::exact(name);
            Name::Like(exact.map_err(|error| (rest, error.to_string()))?)
        }
    };
    Ok(Rule {
        who: Who {
            user: name,
            ..Who::default()
        },
        publish,
        subscribe,
        topics: vec![parsed.map_err(|error| (topic, error.to_string()))?],
        verdict,
        ..Rule::default()
    })
}

/// The first word, and the rest without blanks at its ends.
fn cut(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

/// Where a part of a line begins: in characters, from 1; the line's end for what is missing.
fn column_of(line: &str, part: &str) -> usize {
    let at = (part.as_ptr() as usize).checked_sub(line.as_ptr() as usize);
    let before = at.and_then(|at| line.get(..at)).unwrap_or(line);
    before.chars().count() + 1
}
