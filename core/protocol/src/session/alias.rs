//! Topic Aliases of one direction of one connection (3.3.2.3.4). They end with it [MQTT-3.3.2-7].

use crate::error::PeerError;
use crate::reason::ReasonCode;
use hashbrown::HashMap;
use std::fmt;

/// Why a Topic Alias that came in is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasError {
    /// 0, or above the maximum this side announced: 0x94 [MQTT-3.3.2-8].
    OutOfRange,
    /// An empty Topic Name with an alias that was never set: 0x82.
    Unset,
    /// The topics behind the aliases would take more bytes than this side keeps: 0x97.
    TooLong,
}

impl fmt::Display for AliasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "topic alias is 0 or above the maximum",
            Self::Unset => "topic alias was not set on this connection",
            Self::TooLong => "the topics behind the aliases are too long",
        })
    }
}

impl std::error::Error for AliasError {}

impl From<AliasError> for PeerError {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::OutOfRange => Self::new(
                ReasonCode::TOPIC_ALIAS_INVALID,
                "topic alias is 0 or above the maximum",
            ),
            AliasError::Unset => Self::protocol("topic alias was not set on this connection"),
            AliasError::TooLong => Self::new(
                ReasonCode::QUOTA_EXCEEDED,
                "the topics behind the aliases are too long",
            ),
        }
    }
}

/// Aliases the peer set: alias to topic.
///
/// Memory grows to the highest alias in use; the announced maximum bounds it, at most 65,535 bytes
/// of topic for each, or as many bytes for all as [`bounded`](Self::bounded) says. Nothing is held
/// before the first alias.
#[derive(Clone, Debug, Default)]
pub struct AliasesIn {
    topics: Vec<Box<str>>,
    /// Bytes of all topics, and the most that they may be.
    bytes: usize,
    most_bytes: usize,
    maximum: u16,
}

impl AliasesIn {
    /// For a connection on which this side announced Topic Alias Maximum `maximum`; 0 is none.
    #[must_use]
    pub const fn new(maximum: u16) -> Self {
        Self::bounded(maximum, usize::MAX)
    }

    /// The same, but the topics may take `most_bytes` together and no more.
    #[must_use]
    pub const fn bounded(maximum: u16, most_bytes: usize) -> Self {
        Self {
            topics: Vec::new(),
            bytes: 0,
            most_bytes,
            maximum,
        }
    }

    /// Bytes of the topics that are kept.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A PUBLISH came in with a Topic Name and an alias: the alias means that topic from now on.
    pub fn set(&mut self, alias: u16, topic: &str) -> Result<(), AliasError> {
        let place = self.place(alias)?;
        if self.topics.len() <= place {
            self.topics.resize_with(place + 1, Box::default);
        }
        let known = &mut self.topics[place];
        if **known != *topic {
            let bytes = self.bytes - known.len() + topic.len();
            if bytes > self.most_bytes {
                return Err(AliasError::TooLong);
            }
            self.bytes = bytes;
            *known = topic.into();
        }
        Ok(())
    }

    /// A PUBLISH came in with an empty Topic Name: the topic its alias stands for.
    pub fn get(&self, alias: u16) -> Result<&str, AliasError> {
        let place = self.place(alias)?;
        match self.topics.get(place) {
            Some(topic) if !topic.is_empty() => Ok(topic),
            _ => Err(AliasError::Unset),
        }
    }

    fn place(&self, alias: u16) -> Result<usize, AliasError> {
        match alias {
            0 => Err(AliasError::OutOfRange),
            alias if alias > self.maximum => Err(AliasError::OutOfRange),
            alias => Ok(usize::from(alias) - 1),
        }
    }
}

/// How the topic of an outgoing PUBLISH is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicForm {
    /// In full, without an alias.
    Full,
    /// In full, with this alias, which the peer does not know yet.
    FullWithAlias(u16),
    /// Empty, with this alias.
    AliasOnly(u16),
}

/// Aliases this side sets: topic to alias.
///
/// First come, first served: the first topics up to the maximum get an alias and keep it. Giving
/// aliases to the latest topics instead would, for a subscriber to ten thousand topics, cost a
/// lookup, an allocation and three more bytes per message, and save nothing.
#[derive(Clone, Debug, Default)]
pub struct AliasesOut {
    aliases: HashMap<Box<str>, u16>,
    /// Bytes of the topics that have an alias, and the most that they may be.
    bytes: usize,
    most_bytes: usize,
    maximum: u16,
}

impl AliasesOut {
    /// For a connection whose peer announced Topic Alias Maximum `maximum`, or to this side's own
    /// limit if that is lower; 0 is none [MQTT-3.1.2-27].
    #[must_use]
    pub fn new(maximum: u16) -> Self {
        Self::bounded(maximum, usize::MAX)
    }

    /// The same, but the topics with an alias take `most_bytes` together and no more: one that would
    /// exceed them gets none.
    #[must_use]
    pub fn bounded(maximum: u16, most_bytes: usize) -> Self {
        Self {
            aliases: HashMap::new(),
            bytes: 0,
            most_bytes,
            maximum,
        }
    }

    /// Bytes of the topics that have an alias.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same as [`form`](Self::form) for who must not set an alias more.
    #[must_use]
    pub fn known_form(&self, topic: &str) -> TopicForm {
        match self.aliases.get(topic) {
            Some(alias) => TopicForm::AliasOnly(*alias),
            None => TopicForm::Full,
        }
    }

    /// The form for a PUBLISH to `topic`. It must then be written in this form and in this order.
    ///
    /// Costs a hash of the topic, and nothing with a maximum of 0.
    pub fn form(&mut self, topic: &str) -> TopicForm {
        if self.maximum == 0 {
            return TopicForm::Full;
        }
        if let Some(alias) = self.aliases.get(topic) {
            return TopicForm::AliasOnly(*alias);
        }
        if self.aliases.len() >= usize::from(self.maximum)
            || topic.len() > self.most_bytes - self.bytes
        {
            return TopicForm::Full;
        }
        self.bytes += topic.len();
        let alias = self.aliases.len() as u16 + 1;
        self.aliases.insert(topic.into(), alias);
        TopicForm::FullWithAlias(alias)
    }

    /// Takes back the alias that [`form`](Self::form) just gave, for a PUBLISH that was not sent
    /// after all.
    pub fn revoke(&mut self, topic: &str) {
        if self
            .aliases
            .get(topic)
            .is_some_and(|alias| usize::from(*alias) == self.aliases.len())
        {
            self.aliases.remove(topic);
            self.bytes -= topic.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;

    // [MQTT-3.3.2-8]
    #[test]
    fn zero_is_no_alias() {
        assert_eq!(AliasesIn::new(5).set(0, "a"), Err(AliasError::OutOfRange));
        assert_eq!(AliasesIn::new(5).get(0), Err(AliasError::OutOfRange));
    }

    #[test]
    fn refuses_above_the_maximum() {
        assert_eq!(AliasesIn::new(5).set(6, "a"), Err(AliasError::OutOfRange));
        assert_eq!(AliasesIn::new(0).set(1, "a"), Err(AliasError::OutOfRange));
    }

    // [MQTT-3.3.2-10] [MQTT-3.3.2-12]
    #[test]
    fn takes_each_alias_up_to_the_maximum() {
        let mut aliases = AliasesIn::new(u16::MAX);
        for alias in (1..=u16::MAX).rev() {
            aliases.set(alias, &alias.to_string()).unwrap();
        }
        assert!((1..=u16::MAX).all(|alias| aliases.get(alias) == Ok(&alias.to_string())));
        aliases.set(7, "other").unwrap();
        assert_eq!(aliases.get(7), Ok("other"));
    }

    #[test]
    fn an_alias_never_set_is_an_error() {
        let mut aliases = AliasesIn::new(9);
        aliases.set(3, "a").unwrap();
        assert_eq!(aliases.get(2), Err(AliasError::Unset));
        assert_eq!(aliases.get(9), Err(AliasError::Unset));
    }

    // [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-9] [MQTT-3.3.2-11]
    #[test]
    fn sets_no_alias_above_the_peers_maximum() {
        let mut none = AliasesOut::new(0);
        assert_eq!(
            (none.form("a"), none.form("a")),
            (TopicForm::Full, TopicForm::Full)
        );
        let mut two = AliasesOut::new(2);
        assert_eq!(two.form("a"), TopicForm::FullWithAlias(1));
        assert_eq!(two.form("b"), TopicForm::FullWithAlias(2));
        assert_eq!(two.form("c"), TopicForm::Full);
        assert_eq!(
            (two.form("a"), two.form("b")),
            (TopicForm::AliasOnly(1), TopicForm::AliasOnly(2))
        );
    }

    #[test]
    fn a_revoked_alias_is_given_anew() {
        let mut aliases = AliasesOut::new(9);
        aliases.form("a");
        aliases.form("b");
        aliases.revoke("a");
        assert_eq!(
            aliases.form("a"),
            TopicForm::AliasOnly(1),
            "only the last can be taken back"
        );
        aliases.revoke("b");
        assert_eq!(aliases.form("c"), TopicForm::FullWithAlias(2));
    }

    #[test]
    fn the_topics_behind_aliases_are_bounded_in_bytes() {
        let mut aliases = AliasesIn::bounded(9, 10);
        aliases.set(1, "12345").unwrap();
        aliases.set(2, "12345").unwrap();
        assert_eq!(aliases.set(3, "1"), Err(AliasError::TooLong));
        aliases.set(2, "1234").unwrap();
        aliases.set(3, "1").unwrap();
        assert_eq!((aliases.bytes(), aliases.get(3)), (10, Ok("1")));

        let mut aliases = AliasesOut::bounded(9, 10);
        assert_eq!(aliases.form("12345"), TopicForm::FullWithAlias(1));
        assert_eq!(aliases.form("123456"), TopicForm::Full);
        assert_eq!(aliases.form("54321"), TopicForm::FullWithAlias(2));
        assert_eq!(aliases.form("1"), TopicForm::Full);
        aliases.revoke("54321");
        assert_eq!(aliases.form("1"), TopicForm::FullWithAlias(2));
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let mut seeded = Seeded::new(5);
        for maximum in [0, 1, 5, 40] {
            let (mut ours, mut theirs) = (AliasesOut::new(maximum), AliasesIn::new(maximum));
            for _ in 0..2_000 {
                let topic = seeded.topic(3);
                match ours.form(&topic) {
                    TopicForm::Full => {}
                    TopicForm::FullWithAlias(alias) => theirs.set(alias, &topic).unwrap(),
                    TopicForm::AliasOnly(alias) => assert_eq!(theirs.get(alias), Ok(&*topic)),
                }
            }
        }
    }
}
