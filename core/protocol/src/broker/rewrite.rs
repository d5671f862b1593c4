//! Topic rewrite: rules of the server that make another topic of the one a client names.

use super::access::Client;
use super::delayed::DELAYED_PREFIX;
use super::exclusive::EXCLUSIVE_PREFIX;
use super::mount::MountPoint;
use super::publish::is_reserved;
use super::shard::Shard;
use super::template::{Filling, Template, TemplateError};
use super::topics::Topics;
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::topic::{MAX_TOPIC_LEVELS, SHARE_PREFIX, TopicError, TopicFilter, TopicName};
use regex::{Regex, RegexBuilder};
use std::fmt;

/// Captures that a target may use: `$1` to `$9`.
const CAPTURES: usize = 9;

/// Bytes that a compiled expression may take.
const EXPRESSION_BYTES: usize = 1 << 20;

/// What a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RewriteOn {
    /// Topics of messages, wills included.
    Publish,
    /// Filters of SUBSCRIBE and UNSUBSCRIBE, and of subscriptions that the server makes.
    Subscribe,
    /// Both.
    #[default]
    All,
}

/// A rule. It is for topics that its source filter matches and, if it has one, its expression too.
///
/// A filter that a client subscribes to is compared by its text: `a/+` is a topic of two levels,
/// the second of which a `+` of the source matches. What stands for `$1` to `$9` is what the groups
/// of the expression match; without one, what the wildcards of the source filter stand for.
#[derive(Clone, Debug)]
pub struct Rewrite {
    on: RewriteOn,
    source: Box<str>,
    expression: Option<Regex>,
    target: Template,
}

/// Why there is no such rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RewriteError {
    /// The source is not a topic filter.
    Source(TopicError),
    /// The expression is none, or larger than 1 MiB when it is compiled.
    Expression(Box<str>),
    /// The target is not a template.
    Target(TemplateError),
    /// The target uses a capture that source or expression do not have.
    Capture(usize),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the source: {error}"),
            Self::Expression(error) => write!(f, "the expression: {error}"),
            Self::Target(error) => write!(f, "the target: {error}"),
            Self::Capture(number) => write!(f, "the target: nothing is captured for ${number}"),
        }
    }
}

impl std::error::Error for RewriteError {}

impl Rewrite {
    /// Makes a rule.
    ///
    /// # Errors
    /// [`RewriteError`].
    pub fn new(
        on: RewriteOn,
        source: &str,
        expression: Option<&str>,
        target: &str,
    ) -> Result<Self, RewriteError> {
        let filter = TopicFilter::parse(source, MAX_TOPIC_LEVELS).map_err(RewriteError::Source)?;
        let target: Template = target.parse().map_err(RewriteError::Target)?;
        let build = |text| {
            let built = RegexBuilder::new(text).size_limit(EXPRESSION_BYTES).build();
            built.map_err(|error| RewriteError::Expression(error.to_string().into()))
        };
        let expression = expression.map(build).transpose()?;
        let captured = match &expression {
            Some(expression) => expression.captures_len() - 1,
            None => filter.levels().filter(|l| matches!(*l, "+" | "#")).count(),
        };
        if target.captures() > captured {
            return Err(RewriteError::Capture(target.captures()));
        }
        Ok(Self {
            on,
            source: source.into(),
            expression,
            target,
        })
    }

    /// What the target's places stand for, when the rule is for this topic: how many are captured.
    fn capture<'a>(&self, topic: &'a str, captures: &mut [&'a str; CAPTURES]) -> Option<usize> {
        let mut count = 0;
        let mut add = |text| {
            if let Some(place) = captures.get_mut(count) {
                *place = text;
                count += 1;
            }
        };
        let mut rest = Some(topic);
        for level in self.source.split('/') {
            if level == "#" {
                add(rest.take().unwrap_or_default());
                break;
            }
            let text = rest?;
            let (head, tail) = match text.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (text, None),
            };
            match level {
                "+" => add(head),
                literal if literal == head => {}
                _ => return None,
            }
            rest = tail;
        }
        if rest.is_some() {
            return None;
        }
        if let Some(expression) = &self.expression {
            let groups = expression.captures(topic)?;
            let text = |at| groups.get(at).map_or("", |group| group.as_str());
            count = CAPTURES.min(groups.len() - 1);
            for (at, place) in captures[..count].iter_mut().enumerate() {
                *place = text(at + 1);
            }
        }
        Some(count)
    }

    fn is_for(&self, on: RewriteOn) -> bool {
        self.on == RewriteOn::All || self.on == on
    }
}

impl Topics {
    /// The topic that the first rule which is for `topic` makes of it, put into `text`; `topic`
    /// itself when none is.
    fn rewrite<'a>(
        &self,
        on: RewriteOn,
        levels: usize,
        who: Filling<'_>,
        topic: &'a str,
        text: &'a mut String,
    ) -> Result<&'a str, PeerError> {
        if self.rewrite.is_empty() {
            return Ok(topic);
        }
        let (prefix, bare) = split_prefix(on, topic);
        for rule in self.rewrite.iter().filter(|rule| rule.is_for(on)) {
            // What begins with `$` is not for rules that begin with a wildcard [MQTT-4.7.2-1].
            if bare.starts_with('$') && rule.source.starts_with(['+', '#']) {
                continue;
            }
            let mut captures = [""; CAPTURES];
            let Some(count) = rule.capture(bare, &mut captures) else {
                continue;
            };
            let filling = Filling {
                captures: &captures[..count],
                ..who
            };
            let filled = rule.target.fill(&filling, text);
            let (fits, reason) = match on {
                RewriteOn::Subscribe => (
                    TopicFilter::parse(text, levels).is_ok(),
                    ReasonCode::TOPIC_FILTER_INVALID,
                ),
                _ => (
                    TopicName::parse(text, levels).is_ok(),
                    ReasonCode::TOPIC_NAME_INVALID,
                ),
            };
            if filled.is_err() || !fits {
                return Err(PeerError::new(reason, "the server makes no topic of this"));
            }
            text.insert_str(0, prefix);
            return Ok(text);
        }
        Ok(topic)
    }

    /// What a client means that wants to publish to this topic, from behind a mount point if there is one:
    /// what its messages are decided by. `None` where it can't be published to, whoever it is, or this client
    /// can't have the mount point.
    #[must_use]
    pub fn meant_topic(
        &self,
        client: Client<'_>,
        mount_point: Option<&MountPoint>,
        topic: &str,
    ) -> Option<Box<str>> {
        TopicName::parse(topic, MAX_TOPIC_LEVELS).ok()?;
        let (on, levels) = (RewriteOn::Publish, MAX_TOPIC_LEVELS);
        let (mut mounted, mut text) = (String::new(), String::new());
        let who = filling_of(client);
        let mount = mount_point.map(|point| point.of(&who)).transpose().ok()?;
        let topic = self.mounted(on, mount.as_ref(), levels, topic, &mut mounted);
        let rewritten = self.rewrite(on, levels, who, topic.ok()?, &mut text);
        let topic = rewritten.ok().filter(|topic| !is_reserved(topic))?;
        Some(match self.delay_of(topic).ok()? {
            Some(delay) => delay.topic.into(),
            None => topic.into(),
        })
    }

    /// The same of a filter: what is decided about, without `$share/{ShareName}/` and `$exclusive/`.
    #[must_use]
    pub fn meant_filter(
        &self,
        client: Client<'_>,
        mount_point: Option<&MountPoint>,
        filter: &str,
    ) -> Option<Box<str>> {
        TopicFilter::parse(filter, MAX_TOPIC_LEVELS).ok()?;
        let (on, levels) = (RewriteOn::Subscribe, MAX_TOPIC_LEVELS);
        let (mut mounted, mut text) = (String::new(), String::new());
        let who = filling_of(client);
        let mount = mount_point.map(|point| point.of(&who)).transpose().ok()?;
        let filter = self.mounted(on, mount.as_ref(), levels, filter, &mut mounted);
        let rewritten = self.rewrite(on, levels, who, filter.ok()?, &mut text);
        let (filter, _) = self.split_filter(rewritten.ok()?, MAX_TOPIC_LEVELS)?;
        Some(filter.into())
    }
}

fn filling_of(client: Client<'_>) -> Filling<'_> {
    Filling {
        client_id: client.client_id,
        user_name: client.user_name,
        host: client.peer,
        captures: &[],
    }
}

impl Shard {
    /// The topic that the first rule which is for `topic` makes of it, put into `text`; `topic`
    /// itself when none is.
    pub(super) fn rewrite<'a>(
        &self,
        on: RewriteOn,
        who: Filling<'_>,
        topic: &'a str,
        text: &'a mut String,
    ) -> Result<&'a str, PeerError> {
        let levels = self.links.limits.topic_levels;
        self.topics.rewrite(on, levels, who, topic, text)
    }

    /// Who a connection is, for what is filled in.
    pub(super) fn filling(&self, id: u32) -> Filling<'_> {
        let conn = &self.links.conns[id];
        let session = self.links.sessions.get(conn.session);
        Filling {
            client_id: session.map_or("", |session| &session.client_id),
            user_name: conn.user_name(),
            host: conn.peer,
            captures: &[],
        }
    }
}

/// Rules are about the topic that is meant, not about what is to be done with it.
fn split_prefix(on: RewriteOn, topic: &str) -> (&str, &str) {
    let head = match on {
        RewriteOn::Subscribe if topic.starts_with(SHARE_PREFIX) => SHARE_PREFIX,
        RewriteOn::Subscribe if topic.starts_with(EXCLUSIVE_PREFIX) => {
            return topic.split_at(EXCLUSIVE_PREFIX.len());
        }
        RewriteOn::Publish if topic.starts_with(DELAYED_PREFIX) => DELAYED_PREFIX,
        _ => return ("", topic),
    };
    match topic[head.len()..].find('/') {
        Some(at) => topic.split_at(head.len() + at + 1),
        None => ("", topic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(source: &str, expression: Option<&str>, topic: &str) -> Option<Vec<String>> {
        let rule = Rewrite::new(RewriteOn::All, source, expression, "x").unwrap();
        let mut captures = [""; CAPTURES];
        let count = rule.capture(topic, &mut captures)?;
        Some(captures[..count].iter().map(|c| (*c).to_owned()).collect())
    }

    #[test]
    fn wildcards_and_groups_capture() {
        let some = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(captures("a/+/c/#", None, "a/b/c/d/e"), some(&["b", "d/e"]));
        assert_eq!(captures("a/#", None, "a"), some(&[""]));
        assert_eq!(captures("a/+", None, "a/"), some(&[""]));
        assert_eq!(captures("a/+", None, "a/#"), some(&["#"]));
        assert_eq!(captures("a/b", None, "a/b"), some(&[]));
        for (source, topic) in [("a/+", "a"), ("a/+", "a/b/c"), ("a", "b"), ("a/b", "a")] {
            assert_eq!(captures(source, None, topic), None, "{source} {topic}");
        }
        let expression = Some("^a/(x.*)/(z)?$");
        assert_eq!(captures("a/#", expression, "a/xy/"), some(&["xy", ""]));
        assert_eq!(captures("a/#", expression, "a/y/"), None);
        assert_eq!(captures("b/#", expression, "a/x/"), None);
        let many = "+/".repeat(10) + "+";
        assert_eq!(
            captures(&many, None, "1/2/3/4/5/6/7/8/9/10/11")
                .unwrap()
                .len(),
            9
        );
    }

    #[test]
    fn a_rule_that_could_not_work_says_why() {
        let error = |source, expression, target| {
            let rule = Rewrite::new(RewriteOn::All, source, expression, target);
            rule.unwrap_err().to_string()
        };
        assert!(error("a#", None, "b").contains("the source: wildcard"));
        assert!(error("a/#", Some("("), "b").contains("the expression: "));
        assert!(error("#", Some("(a{1000}){1000}"), "b").contains("the expression: "));
        assert!(error("a/+", None, "${x}").contains("the target: `${x}`"));
        assert!(error("a/+", None, "b/$2").contains("nothing is captured for $2"));
        assert!(error("a/+", Some("a"), "b/$1").contains("nothing is captured for $1"));
    }
}
