//! The requests that have not ended, by token.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{BuildHasherDefault, Hasher};

use ternmq_protocol::client::Token;
use ternmq_protocol::codec::{PacketType, PropertiesBuf, QoS};
use ternmq_protocol::{Message, ReasonCode};

use super::outcome::{Failure, Response, Success, last_packet};
use crate::types::async_::*;

/// What a request is told by: its token, or from here on the note of a QoS 0 message.
pub(super) type Key = u32;

/// The first note: behind all tokens.
const NOTES: Key = 1 << 16;

/// A request that has not ended.
pub(super) struct Request {
    pub(super) response: Response,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// The message only where its success is told.
    Publish(QoS, Option<Message>),
    /// Whether there was a list of topics.
    Subscribe(bool),
    Unsubscribe,
}

/// At most one for each packet identifier, and one for each QoS 0 message in the outbox whose end is
/// told: the limits of the session hold here too.
#[derive(Default)]
pub(super) struct Requests {
    open: HashMap<Key, Entry, BuildHasherDefault<Spread>>,
    /// The newest note.
    note: Key,
    /// The one whose end is being told.
    finishing: Option<Key>,
}

/// The oldest request of a token. A token is free for the next one when its end has come, and that
/// may be before it was told: then the younger ones wait behind.
struct Entry {
    request: Request,
    next: Option<Box<Entry>>,
}

impl Requests {
    /// A number for a QoS 0 message.
    pub(super) fn next_note(&mut self) -> Key {
        self.note = self.note.wrapping_add(1).max(NOTES);
        self.note
    }

    pub(super) fn insert(&mut self, key: Key, request: Request) {
        let entry = Entry {
            request,
            next: None,
        };
        match self.open.entry(key) {
            MapEntry::Vacant(place) => _ = place.insert(entry),
            MapEntry::Occupied(place) => {
                let mut last = &mut place.into_mut().next;
                while let Some(next) = last {
                    last = &mut next.next;
                }
                *last = Some(Box::new(entry));
            }
        }
    }

    /// Takes a request whose end is told now. It counts as open until [`finished`](Self::finished).
    pub(super) fn finish(&mut self, key: Key) -> Option<Request> {
        self.finishing = Some(key);
        let Entry { request, next } = self.open.remove(&key)?;
        if let Some(next) = next {
            self.open.insert(key, *next);
        }
        Some(request)
    }

    pub(super) fn finished(&mut self) {
        self.finishing = None;
    }

    /// Whether the end of a request has not been told, as others see it than the callback itself.
    pub(super) fn is_open(&self, token: MQTTAsync_token) -> bool {
        let Ok(key @ 1..NOTES) = Key::try_from(token) else {
            return false;
        };
        self.open.contains_key(&key) || self.finishing == Some(key)
    }

    /// The tokens of publishes, sorted.
    pub(super) fn publishes(&self) -> Vec<MQTTAsync_token> {
        let publishes = self.open.iter().filter(|(key, entry)| {
            **key < NOTES && matches!(entry.request.kind, Kind::Publish(..))
        });
        let mut tokens: Vec<_> = publishes.map(|(key, _)| token_of(*key)).collect();
        tokens.sort_unstable();
        tokens
    }

    /// Takes all, sorted by key.
    pub(super) fn take_all(&mut self) -> Vec<(Key, Request)> {
        let mut all = Vec::new();
        for (key, entry) in self.open.drain() {
            let mut entry = Some(Box::new(entry));
            while let Some(current) = entry {
                all.push((key, current.request));
                entry = current.next;
            }
        }
        all.sort_by_key(|(key, _)| *key);
        all
    }
}

impl Request {
    /// The server has acknowledged a publish, or a QoS 0 message has been sent.
    pub(super) fn published(&self, key: Key, reason: ReasonCode, properties: &PropertiesBuf) {
        let Kind::Publish(qos, message) = &self.kind else {
            return;
        };
        if reason.is_error() {
            self.response.fail(&Failure {
                token: token_of(key),
                code: 0,
                reason,
                packet: Some(last_packet(*qos, reason)),
                properties,
                message: None,
            });
        } else if let Some(message) = message {
            // As with Paho: programs take any other reason code for an error, and find the properties
            // of their message here. Those of the server go before.
            let reason = ReasonCode::SUCCESS;
            let own = properties.is_empty().then(|| message.properties().into());
            let properties = own.as_ref().unwrap_or(properties);
            let success = Success::Published(message);
            self.response
                .succeed(token_of(key), reason, properties, &success);
        }
    }

    /// The server has answered a subscribe or unsubscribe.
    pub(super) fn answered(&self, key: Key, codes: &[ReasonCode], properties: &PropertiesBuf) {
        let (token, first) = (
            token_of(key),
            codes.first().copied().unwrap_or(ReasonCode::SUCCESS),
        );
        let success = match self.kind {
            // A single refusal is a failure, one of several is not.
            Kind::Subscribe(_) if codes.len() == 1 && first.is_error() => {
                return self.response.fail(&Failure {
                    token,
                    code: 0,
                    reason: first,
                    packet: Some(PacketType::SubAck),
                    properties,
                    message: None,
                });
            }
            Kind::Subscribe(many) => Success::Subscribed(codes, many),
            Kind::Unsubscribe => Success::Unsubscribed(codes),
            Kind::Publish(..) => return,
        };
        self.response.succeed(token, first, properties, &success);
    }

    /// The request ends without an answer.
    pub(super) fn drop_with(&self, key: Key, code: i32) {
        self.response.fail_with(token_of(key), code);
    }

    /// The client ends before the request.
    pub(super) fn abandon(&self, key: Key) {
        self.drop_with(key, MQTTASYNC_OPERATION_INCOMPLETE);
    }
}

pub(super) fn key_of(token: Token) -> Key {
    token.0.into()
}

/// 0 for a QoS 0 message.
fn token_of(key: Key) -> MQTTAsync_token {
    match key {
        NOTES.. => 0,
        _ => key as MQTTAsync_token,
    }
}

/// Keys are numbers in a row that nobody else chooses: an odd factor spreads them.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32((*byte).into());
        }
    }

    fn write_u32(&mut self, key: u32) {
        self.0 = (self.0 ^ u64::from(key)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(qos: QoS) -> Request {
        Request {
            response: Response::default(),
            kind: Kind::Publish(qos, None),
        }
    }

    fn qos(request: Option<Request>) -> Option<QoS> {
        match request?.kind {
            Kind::Publish(qos, _) => Some(qos),
            _ => None,
        }
    }

    #[test]
    fn a_token_that_is_in_use_again_ends_in_order() {
        let mut requests = Requests::default();
        requests.insert(1, request(QoS::AtLeastOnce));
        requests.insert(1, request(QoS::ExactlyOnce));
        assert_eq!(qos(requests.finish(1)), Some(QoS::AtLeastOnce));
        assert!(requests.is_open(1));
        assert_eq!(qos(requests.finish(1)), Some(QoS::ExactlyOnce));
        assert!(requests.is_open(1), "until it has been told");
        requests.finished();
        assert!(!requests.is_open(1) && requests.finish(1).is_none());
    }

    #[test]
    fn notes_are_no_tokens() {
        let mut requests = Requests::default();
        let note = requests.next_note();
        requests.insert(note, request(QoS::AtMostOnce));
        assert_ne!(requests.next_note(), note);
        assert!(requests.publishes().is_empty());
        assert!(!requests.is_open(0) && !requests.is_open(note as MQTTAsync_token));
        requests.insert(7, request(QoS::AtLeastOnce));
        requests.insert(7, request(QoS::ExactlyOnce));
        assert_eq!(requests.publishes(), [7]);
        assert_eq!(requests.take_all().len(), 3);
    }
}
