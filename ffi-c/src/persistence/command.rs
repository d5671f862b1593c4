//! Commands of the non-blocking client that were accepted and not sent yet, and the building blocks
//! that their records share with those of messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ternmq_protocol::codec::primitive::{read_variable_byte_integer, write_variable_byte_integer};
use ternmq_protocol::codec::{PacketType, Place, Properties, PropertiesBuf};

use super::keys::Kind;
use super::{Failed, Inner, Parts, Store};

impl Store {
    /// A command was sent, or is given up.
    pub(crate) fn forget_command(&self, number: u32) {
        self.lock().forget(Kind::Command, number);
    }

    /// The commands that an earlier process has left, in their order. Unreadable ones are removed.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn commands(&self) -> Result<Vec<(u32, Command)>, Failed> {
        self.lock().commands()
    }
}

impl Inner {
    fn commands(&mut self) -> Result<Vec<(u32, Command)>, Failed> {
        let mut commands = BTreeMap::new();
        for key in self.records.keys()? {
            let Some((Kind::Command, v5, number)) = Kind::of(&key) else {
                continue;
            };
            let record = self.get(&key)?;
            match Command::decode(&record, v5) {
                Some(command) => _ = commands.insert(number, command),
                None => self.remove(&key),
            }
        }
        if let Some((last, _)) = commands.last_key_value() {
            self.last_command = *last;
        }
        Ok(commands.into_iter().collect())
    }
}

/// A command as it is kept. Properties are empty before MQTT 5.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Publish {
        token: i32,
        topic: String,
        payload: Vec<u8>,
        qos: i32,
        retained: bool,
        properties: PropertiesBuf,
    },
    Subscribe {
        token: i32,
        topics: Vec<Subscription>,
        properties: PropertiesBuf,
    },
    Unsubscribe {
        token: i32,
        topics: Vec<String>,
        properties: PropertiesBuf,
    },
}

/// A topic filter with what was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topic: String,
    pub(crate) qos: i32,
    /// No Local, Retain As Published, Retain Handling. MQTT 5.0 only.
    pub(crate) options: [u8; 3],
}

/// Topic filters that one record may hold; more can't stand in one packet.
const MOST_TOPICS: i32 = 65_536;

impl Command {
    /// The record of a command, in the pieces in which Paho gives it to a store.
    pub(super) fn encode(&self, is_v5: bool) -> Parts<'_> {
        let (kind, token, all) = match self {
            Self::Publish {
                token, properties, ..
            } => (PacketType::Publish, token, properties),
            Self::Subscribe {
                token, properties, ..
            } => (PacketType::Subscribe, token, properties),
            Self::Unsubscribe {
                token, properties, ..
            } => (PacketType::Unsubscribe, token, properties),
        };
        let mut parts = vec![number(kind as i32), number(*token)];
        match self {
            Self::Publish {
                topic,
                payload,
                qos,
                retained,
                ..
            } => parts.extend([
                string(topic.as_bytes()),
                number(payload.len() as i32),
                Cow::Borrowed(&payload[..]),
                number(*qos),
                number((*retained).into()),
            ]),
            Self::Subscribe { topics, .. } => {
                parts.push(number(topics.len() as i32));
                for subscription in topics {
                    parts.push(string(subscription.topic.as_bytes()));
                    parts.push(number(subscription.qos));
                    if is_v5 {
                        parts.push(options(subscription.options));
                    }
                }
            }
            Self::Unsubscribe { topics, .. } => {
                parts.push(number(topics.len() as i32));
                parts.extend(topics.iter().map(|topic| string(topic.as_bytes())));
            }
        }
        if is_v5 {
            parts.push(properties(all.get()));
        }
        parts
    }

    /// Reads a record; `None` for one that is cut or holds something else.
    pub(super) fn decode(record: &[u8], is_v5: bool) -> Option<Self> {
        let mut reader = Reader(record);
        let kind = u8::try_from(reader.number()?).ok()?;
        let token = reader.number()?;
        let all = |reader: &mut Reader<'_>, place| match is_v5 {
            true => reader.properties(place),
            false => Some(PropertiesBuf::default()),
        };
        Some(match PacketType::from_nibble(kind)? {
            PacketType::Publish => Self::Publish {
                token,
                topic: reader.string()?.to_owned(),
                payload: reader.sized()?.to_vec(),
                qos: reader.number()?,
                retained: reader.number()? != 0,
                properties: all(&mut reader, Place::Publish)?,
            },
            PacketType::Subscribe => Self::Subscribe {
                token,
                topics: reader.list(|reader| {
                    Some(Subscription {
                        topic: reader.string()?.to_owned(),
                        qos: reader.number()?,
                        options: match is_v5 {
                            true => reader.options()?,
                            false => [0; 3],
                        },
                    })
                })?,
                properties: all(&mut reader, Place::Subscribe)?,
            },
            PacketType::Unsubscribe => Self::Unsubscribe {
                token,
                topics: reader.list(|reader| Some(reader.string()?.to_owned()))?,
                properties: all(&mut reader, Place::Unsubscribe)?,
            },
            _ => return None,
        })
    }
}

/// An `int` as the machine has it.
pub(super) fn number(number: i32) -> Cow<'static, [u8]> {
    Cow::Owned(number.to_ne_bytes().into())
}

/// Text with a NUL behind it.
pub(super) fn string(text: &[u8]) -> Cow<'static, [u8]> {
    Cow::Owned([text, &[0]].concat())
}

/// Properties with their length, as in a packet.
pub(super) fn properties(properties: Properties<'_>) -> Cow<'static, [u8]> {
    let bytes = properties.as_bytes();
    let mut encoded = Vec::with_capacity(4 + bytes.len());
    write_variable_byte_integer(bytes.len() as u32, &mut encoded);
    encoded.extend_from_slice(bytes);
    Cow::Owned(encoded)
}

/// The struct `MQTTSubscribe_options`, whose last byte is padding.
fn options(options: [u8; 3]) -> Cow<'static, [u8]> {
    Cow::Owned([&b"MQSO"[..], &0i32.to_ne_bytes(), &options, &[0]].concat())
}

/// Reads a record from its beginning.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn number(&mut self) -> Option<i32> {
        let bytes = self.take(4)?;
        Some(i32::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// A length and so many bytes.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn string(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        std::str::from_utf8(text).ok()
    }

    pub(super) fn properties(&mut self, place: Place) -> Option<PropertiesBuf> {
        let (length, bytes) = read_variable_byte_integer(self.0).ok()??;
        self.take(bytes)?;
        let listed = Properties::parse(self.take(length as usize)?, place).ok()?;
        Some(listed.into())
    }

    fn options(&mut self) -> Option<[u8; 3]> {
        let bytes = self.take(12)?;
        bytes.get(8..11)?.try_into().ok()
    }

    /// A count and so many things.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        if !(0..=MOST_TOPICS).contains(&count) {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::codec::{PropertyId, Value};

    fn commands() -> [Command; 3] {
        let mut properties = PropertiesBuf::default();
        let (name, value) = ("name", "value");
        let pair = Value::Utf8StringPair(name, value);
        properties.push(PropertyId::UserProperty, pair).unwrap();
        let subscription = |topic: &str, qos| Subscription {
            topic: topic.to_owned(),
            qos,
            options: [1, 0, 2],
        };
        [
            Command::Publish {
                token: 7,
                topic: "a/b".to_owned(),
                payload: b"one".to_vec(),
                qos: 2,
                retained: true,
                properties: properties.clone(),
            },
            Command::Subscribe {
                token: 8,
                topics: vec![subscription("a/#", 1), subscription("+", 0)],
                properties: properties.clone(),
            },
            Command::Unsubscribe {
                token: 9,
                topics: vec!["a/#".to_owned(), "+".to_owned()],
                properties,
            },
        ]
    }

    /// What this version does not have is left out.
    fn without_v5(mut command: Command) -> Command {
        match &mut command {
            Command::Publish { properties, .. } | Command::Unsubscribe { properties, .. } => {
                properties.clear();
            }
            Command::Subscribe {
                properties, topics, ..
            } => {
                properties.clear();
                topics.iter_mut().for_each(|topic| topic.options = [0; 3]);
            }
        }
        command
    }

    #[test]
    fn commands_are_read_as_they_were_written() {
        for command in commands() {
            let record = command.encode(true).concat();
            assert_eq!(Command::decode(&record, true), Some(command.clone()));
            let record = command.encode(false).concat();
            assert_eq!(Command::decode(&record, false), Some(without_v5(command)));
        }
    }

    #[test]
    fn a_publish_has_the_bytes_of_paho() {
        let [publish, ..] = commands();
        let record = publish.encode(false);
        let ints = [3, 7, 3, 2, 1].map(i32::to_ne_bytes);
        let [kind, token, length, qos, retained] = &ints;
        let expected: [&[u8]; 7] = [kind, token, b"a/b\0", length, b"one", qos, retained];
        assert_eq!(record, expected.map(Cow::Borrowed));
    }

    #[test]
    fn cut_and_foreign_records_are_not_read() {
        for command in commands() {
            for is_v5 in [false, true] {
                let record = command.encode(is_v5).concat();
                for len in 0..record.len() {
                    assert_eq!(Command::decode(&record[..len], is_v5), None);
                }
            }
        }
        for foreign in [&[0xff; 64][..], &[0; 64]] {
            assert_eq!(Command::decode(foreign, true), None);
        }
    }
}
