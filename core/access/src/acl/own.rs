//! TernMQ's own rules, one a line.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use ternmq_broker::access::{Group, Name, NamePattern, Rule, TopicPattern, Verdict};

use super::Reading;
use super::words::{Word, split};

const EXPECTED: &str = "expected `user`, `group`, `nobody`, `client`, `address`, `publish`, \
                        `subscribe`, `qos`, `retain` or `topic`";

type Groups = HashMap<String, Arc<Group>>;

/// What is wrong, and in which column.
type Wrong = (usize, String);

pub(super) fn read(text: &str, reading: &mut Reading) {
    let mut lines = Vec::new();
    // Groups first: a rule may stand before the group that it is for.
    let mut groups = Groups::new();
    for (line, number) in text.lines().zip(1..) {
        let words = match split(line) {
            Ok(words) => words,
            Err((column, what)) => {
                reading.error(number, column, what);
                continue;
            }
        };
        match words.split_first() {
            None => {}
            Some((first, rest)) if first.is("group") => {
                if let Err((column, what)) = group(first, rest, &mut groups) {
                    reading.error(number, column, what);
                }
            }
            Some(_) => lines.push((number, line, words)),
        }
    }
    for (number, line, words) in lines {
        match rule(&words, &groups) {
            Ok(rule) => reading.rule(number, line, rule),
            Err((column, what)) => reading.error(number, column, what),
        }
    }
    reading.errors.sort_by_key(|error| error.at);
}

/// `group NAME = MEMBER...`
fn group(first: &Word, rest: &[Word], groups: &mut Groups) -> Result<(), Wrong> {
    let [name, equals, members @ ..] = rest else {
        return Err((first.column, "expected `group NAME = MEMBER...`".into()));
    };
    if !equals.is("=") {
        return Err((equals.column, "expected `=`".into()));
    }
    let members = (members.iter()).map(name_pattern);
    let group: Group = members.collect::<Result<_, _>>()?;
    match groups.insert(name.text.clone(), Arc::new(group)) {
        Some(_) => Err((name.column, format!("there are two groups {:?}", name.text))),
        None => Ok(()),
    }
}

fn rule(words: &[Word], groups: &Groups) -> Result<Rule, Wrong> {
    let mut words = Words { words, at: 0 };
    let first = words.next().ok_or((1, "nothing".to_owned()))?;
    let verdict = match first {
        word if word.is("allow") => Verdict::Allow,
        word if word.is("deny") => Verdict::Deny,
        word => {
            let what = "a line begins with `allow`, `deny` or `group`";
            return Err((word.column, what.into()));
        }
    };
    let mut rule = Rule {
        verdict,
        publish: false,
        subscribe: false,
        ..Rule::default()
    };
    let mut seen: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        let name = match word.text.as_str() {
            // Two ways to say who.
            "group" | "nobody" => "user",
            name => name,
        };
        if seen.contains(&name) {
            return Err((word.column, format!("a second `{}`", word.text)));
        }
        seen.push(name);
        condition(word, &mut words, groups, &mut rule)?;
    }
    if !rule.publish && !rule.subscribe {
        // A rule about RETAIN alone is one about messages.
        (rule.publish, rule.subscribe) = (true, rule.retain.is_none());
    }
    Ok(rule)
}

fn condition(
    word: &Word,
    words: &mut Words<'_>,
    groups: &Groups,
    rule: &mut Rule,
) -> Result<(), Wrong> {
    if word.quoted {
        return Err((word.column, EXPECTED.into()));
    }
    match word.text.as_str() {
        "user" => rule.who.user = Name::Like(name_pattern(words.value(word)?)?),
        "nobody" => rule.who.user = Name::Nobody,
        "group" => {
            let name = words.value(word)?;
            let group = groups.get(&name.text);
            let unknown = || (name.column, format!("there is no group {:?}", name.text));
            rule.who.user = Name::Among(group.ok_or_else(unknown)?.clone());
        }
        "client" => rule.who.client_id = Some(name_pattern(words.value(word)?)?),
        "address" => rule.who.address = Some(parsed(words.value(word)?)?),
        "publish" => rule.publish = true,
        "subscribe" => rule.subscribe = true,
        "qos" => rule.qos = qos(words.value(word)?)?,
        "retain" => {
            let value = words.value(word)?;
            rule.retain = Some(match value.text.as_str() {
                "yes" => true,
                "no" => false,
                _ => return Err((value.column, "expected `yes` or `no`".into())),
            });
        }
        "topic" => {
            // All that is left.
            words.value(word)?;
            let topics = &words.words[words.at - 1..];
            rule.topics = (topics.iter())
                .map(parsed::<TopicPattern>)
                .collect::<Result<_, _>>()?;
            words.at = words.words.len();
        }
        _ => return Err((word.column, EXPECTED.into())),
    }
    Ok(())
}

/// `*` in quotes is a character like others.
fn name_pattern(word: &Word) -> Result<NamePattern, Wrong> {
    let pattern = match word.quoted {
        true => NamePattern::exact(&word.text),
        false => word.text.parse(),
    };
    pattern.map_err(|error| (word.column, error.to_string()))
}

fn qos(word: &Word) -> Result<[bool; 3], Wrong> {
    let mut levels = [false; 3];
    for level in word.text.split(',') {
        let at = level
            .parse::<usize>()
            .ok()
            .and_then(|at| levels.get_mut(at));
        let wrong = || {
            (
                word.column,
                "expected 0, 1, 2, or some of them as in 0,1".into(),
            )
        };
        *at.ok_or_else(wrong)? = true;
    }
    Ok(levels)
}

fn parsed<T: FromStr<Err: Display>>(word: &Word) -> Result<T, Wrong> {
    let parsed = word.text.parse();
    parsed.map_err(|error: T::Err| (word.column, format!("{:?}: {error}", word.text)))
}

struct Words<'a> {
    words: &'a [Word],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// What stands behind a word that says nothing alone.
    fn value(&mut self, of: &Word) -> Result<&'a Word, Wrong> {
        let missing = || {
            (
                of.column,
                format!("something is missing behind `{}`", of.text),
            )
        };
        self.next().ok_or_else(missing)
    }
}
