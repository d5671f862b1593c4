//! Mount points: the place in the tree of topics that the clients of a listener take for the whole tree.

use super::delayed::DELAYED_PREFIX;
use super::exclusive::EXCLUSIVE_PREFIX;
use super::rewrite::RewriteOn;
use super::shard::Shard;
use super::template::{Filling, Template, TemplateError, Unfit};
use super::topics::Topics;
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::session::alias::AliasesOut;
use crate::topic::{MAX_TOPIC_BYTES, MAX_TOPIC_LEVELS, SHARE_PREFIX, TopicError, TopicName};
use std::fmt;

/// What stands before all topics of a client and is never told to it, with places for its identifier, user
/// name and address: `tenants/${username}/`. It ends with `/`, so that no topic of one place begins like
/// those of another, and can't begin with `$`.
///
/// Who can't have one, because a value is missing or has a separator or a wildcard in it, is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint(Template);

/// Why a text is no mount point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountPointError {
    /// Not a template.
    Template(TemplateError),
    /// Nothing is captured here.
    Capture(usize),
    /// Not a topic name when it is filled in.
    Topic(TopicError),
    /// It begins with `$`: such topics mean other things.
    Dollar,
    /// It does not end with `/`.
    Open,
}

impl fmt::Display for MountPointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Capture(number) => write!(f, "nothing is captured for ${number}"),
            Self::Topic(error) => error.fmt(f),
            Self::Dollar => f.write_str("it begins with `$`, as topics do that mean other things"),
            Self::Open => f.write_str(
                "it does not end with `/`: clients would reach topics of others that begin like theirs",
            ),
        }
    }
}

impl std::error::Error for MountPointError {}

impl std::str::FromStr for MountPoint {
    type Err = MountPointError;

    fn from_str(text: &str) -> Result<Self, MountPointError> {
        use MountPointError as Error;
        let template: Template = text.parse().map_err(Error::Template)?;
        if template.captures() > 0 {
            return Err(Error::Capture(template.captures()));
        }
        if text.starts_with('$') && !text.starts_with("${") {
            return Err(Error::Dollar);
        }
        if !text.ends_with('/') {
            return Err(Error::Open);
        }
        let sample = Filling {
            client_id: "c",
            user_name: Some("u"),
            host: Some([0; 4].into()),
            captures: &[],
        };
        let mut filled = String::new();
        // Nothing is missing, and nothing begins with `$`.
        if template.fill(&sample, &mut filled).is_ok() {
            TopicName::parse(&filled, MAX_TOPIC_LEVELS).map_err(Error::Topic)?;
        }
        Ok(Self(template))
    }
}

impl MountPoint {
    /// The one of a client.
    pub(super) fn of(&self, who: &Filling<'_>) -> Result<Mount, PeerError> {
        let mut text = String::new();
        self.0.fill(who, &mut text).map_err(|unfit| match unfit {
            Unfit::ClientId => PeerError::new(
                ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
                "the listener's mount point needs a client identifier without / + # and a leading $",
            ),
            Unfit::UserName => PeerError::new(
                ReasonCode::NOT_AUTHORIZED,
                "the listener's mount point needs a user name without / + # and a leading $",
            ),
            Unfit::Host | Unfit::Capture => PeerError::new(
                ReasonCode::NOT_AUTHORIZED,
                "the listener's mount point needs the client's IP address, and it has none",
            ),
        })?;
        match text.len() < MAX_TOPIC_BYTES {
            true => Ok(Mount(text.into())),
            false => Err(PeerError::new(
                ReasonCode::NOT_AUTHORIZED,
                "the listener's mount point leaves no room for topics of this client",
            )),
        }
    }
}

/// The mount point of one client.
#[derive(Debug)]
pub(super) struct Mount(Box<str>);

impl Mount {
    /// Bytes at the front of a topic that its client is not told; `None` if the topic is not below.
    pub(super) fn left_out(&self, topic: &[u8]) -> Option<u16> {
        let below = topic.len() > self.0.len() && topic.starts_with(self.0.as_bytes());
        // Shorter than a topic.
        below.then_some(self.0.len() as u16)
    }

    /// Bytes of it.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts what a client means by a topic or filter into `text`: with its mount point behind what only says
    /// what is to be done with it.
    fn put_on(
        &self,
        on: RewriteOn,
        topics: &Topics,
        levels: usize,
        topic: &str,
        text: &mut String,
    ) -> Result<(), PeerError> {
        let reason = match on {
            RewriteOn::Subscribe => ReasonCode::TOPIC_FILTER_INVALID,
            _ => ReasonCode::TOPIC_NAME_INVALID,
        };
        let (head, bare) = topics.split_head(on, topic).unwrap_or_default();
        // A topic that is none does not become one by what stands before it.
        if bare.is_empty() {
            let what = "nothing follows that could be behind the listener's mount point";
            return Err(PeerError::new(reason, what));
        }
        text.clear();
        if head.len() + self.0.len() + bare.len() > MAX_TOPIC_BYTES {
            let what = "the topic is too long behind the listener's mount point";
            return Err(PeerError::new(reason, what));
        }
        for part in [head, &self.0, bare] {
            text.push_str(part);
        }
        if text.len() >= levels && text.split('/').count() > levels {
            let what = "the topic has too many levels behind the listener's mount point";
            return Err(PeerError::new(reason, what));
        }
        Ok(())
    }
}

impl Topics {
    /// What is to be done with a topic, and the topic; `None` if there is no topic.
    fn split_head<'a>(&self, on: RewriteOn, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let head = match on {
            RewriteOn::Subscribe if topic.starts_with(SHARE_PREFIX) => SHARE_PREFIX,
            RewriteOn::Subscribe if self.exclusive && topic.starts_with(EXCLUSIVE_PREFIX) => {
                return Some(topic.split_at(EXCLUSIVE_PREFIX.len()));
            }
            RewriteOn::Publish if self.delayed.is_some() && topic.starts_with(DELAYED_PREFIX) => {
                DELAYED_PREFIX
            }
            _ => return Some(("", topic)),
        };
        let at = topic[head.len()..].find('/')?;
        Some(topic.split_at(head.len() + at + 1))
    }

    /// What a client behind a mount point means by a topic or filter, before it is rewritten.
    pub(super) fn mounted<'a>(
        &self,
        on: RewriteOn,
        mount: Option<&Mount>,
        levels: usize,
        topic: &'a str,
        text: &'a mut String,
    ) -> Result<&'a str, PeerError> {
        let Some(mount) = mount else {
            return Ok(topic);
        };
        mount.put_on(on, self, levels, topic, text)?;
        Ok(text)
    }
}

/// By which names a client is told topics, where it is not their whole ones each time.
///
/// One box for both, so that who has neither pays one look for nothing.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// There when the client takes aliases.
    pub(super) aliases: Option<AliasesOut>,
    pub(super) mount: Option<Mount>,
}

impl Naming {
    /// Bytes of the topics behind aliases.
    pub(super) fn alias_bytes(&self) -> usize {
        self.aliases.as_ref().map_or(0, AliasesOut::bytes)
    }
}

/// Memory for what becomes of a topic on its way to what is meant.
#[derive(Debug, Default)]
pub(super) struct Texts {
    mounted: String,
    rewritten: String,
}

impl Shard {
    /// Gives a client that is let in its mount point, if its listener has one.
    pub(super) fn mount(&self, id: u32, client_id: &str) -> Result<Option<Mount>, PeerError> {
        let Some(point) = self.mount_point(id) else {
            return Ok(None);
        };
        let who = Filling {
            client_id,
            ..self.filling(id)
        };
        point.of(&who).map(Some)
    }

    /// The one of the listener through which a connection came.
    pub(super) fn mount_point(&self, id: u32) -> Option<&MountPoint> {
        let listener = self.links.conns[id].listener;
        self.listeners.get(usize::from(listener.0))?.mount_point()
    }

    /// What the topic of a will means, for a client that waits for its admission: behind its mount point and
    /// rewritten.
    pub(super) fn meant_will<'a>(
        &self,
        id: u32,
        client_id: &str,
        mount: Option<&Mount>,
        topic: &'a str,
        texts: &'a mut Texts,
    ) -> Result<&'a str, PeerError> {
        let (on, levels) = (RewriteOn::Publish, self.links.limits.topic_levels);
        let topic = self
            .topics
            .mounted(on, mount, levels, topic, &mut texts.mounted)?;
        let who = Filling {
            client_id,
            ..self.filling(id)
        };
        self.rewrite(on, who, topic, &mut texts.rewritten)
    }

    /// The same of a filter that a client names.
    pub(super) fn filter_of<'a>(
        &self,
        id: u32,
        filter: &'a str,
        texts: &'a mut Texts,
    ) -> Result<&'a str, PeerError> {
        let (on, levels) = (RewriteOn::Subscribe, self.links.limits.topic_levels);
        let mount = self.links.conns[id].mount();
        let filter = self
            .topics
            .mounted(on, mount, levels, filter, &mut texts.mounted)?;
        self.rewrite(on, self.filling(id), filter, &mut texts.rewritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mount_point_says_why() {
        let error = |text: &str| text.parse::<MountPoint>().unwrap_err().to_string();
        assert_eq!(error(""), "it is empty");
        assert!(error("a").contains("does not end with `/`"));
        assert!(error("$SYS/").contains("begins with `$`"));
        assert!(error("$share/g/").contains("begins with `$`"));
        assert!(error("a/$1/").contains("nothing is captured for $1"));
        assert!(error("a/+/").contains("wildcard"));
        assert!(error("a/#/").contains("wildcard"));
        assert!(error("${user}/").contains("`${user}` is none of"));
        assert!(error(&"a/".repeat(MAX_TOPIC_LEVELS)).contains("too many levels"));
        for good in ["a/", "/", "${clientid}/", "a/${username}/${host}/", "a$/"] {
            assert!(good.parse::<MountPoint>().is_ok(), "{good}");
        }
    }

    #[test]
    fn nothing_but_what_is_below_has_a_name() {
        let mount = Mount("a/b/".into());
        for (topic, left_out) in [
            ("a/b/c", Some(4)),
            ("a/b//", Some(4)),
            ("a/b/", None),
            ("a/b", None),
            ("a/bc", None),
            ("x/b/c", None),
        ] {
            assert_eq!(mount.left_out(topic.as_bytes()), left_out, "{topic}");
        }
    }
}
