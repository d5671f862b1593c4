//! What is published, and what comes of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ternmq_protocol::codec::{PropertiesBuf, PropertyId, QoS, Value};
use ternmq_protocol::{EncodeError, Message, ReasonCode, Time};

use super::hub::{Completion, Outcome};
use crate::error::PublishError;

/// A message to be published.
///
/// ```
/// use ternmq_client::{Publish, QoS};
/// let publish = Publish::new("room/7/temperature", "21.5")
///     .qos(QoS::AtLeastOnce)
///     .retain(true)
///     .content_type("text/plain");
/// ```
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    topic: &'a str,
    payload: &'a [u8],
    qos: QoS,
    retain: bool,
    properties: PropertiesBuf,
    /// The first property that could not be added; told when the message is published.
    error: Option<EncodeError>,
}

impl<'a> Publish<'a> {
    /// A message of QoS 0, not retained.
    pub fn new(topic: &'a str, payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            topic,
            payload: payload.as_ref(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PropertiesBuf::default(),
            error: None,
        }
    }

    /// The Quality of Service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Whether the server keeps the message for later subscribers.
    #[must_use]
    pub fn retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// How long the message is worth delivering, in whole seconds, rounded up (MQTT 5.0).
    #[must_use]
    pub fn expiry(self, expiry: Duration) -> Self {
        let seconds = expiry.as_secs() + u64::from(expiry.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let value = Value::FourByteInteger(seconds);
        self.property(PropertyId::MessageExpiryInterval, value)
    }

    /// What the payload is, a MIME type usually (MQTT 5.0).
    #[must_use]
    pub fn content_type(self, content_type: &str) -> Self {
        self.property(PropertyId::ContentType, Value::Utf8String(content_type))
    }

    /// Where the answer is to be published (MQTT 5.0).
    #[must_use]
    pub fn response_topic(self, topic: &str) -> Self {
        self.property(PropertyId::ResponseTopic, Value::Utf8String(topic))
    }

    /// What the answer is to carry, so that it is known which request it answers (MQTT 5.0).
    #[must_use]
    pub fn correlation_data(self, data: &[u8]) -> Self {
        self.property(PropertyId::CorrelationData, Value::BinaryData(data))
    }

    /// A name and a value of the application's own (MQTT 5.0); may be given several times.
    #[must_use]
    pub fn user_property(self, name: &str, value: &str) -> Self {
        self.property(PropertyId::UserProperty, Value::Utf8StringPair(name, value))
    }

    /// Any property that a PUBLISH may carry (MQTT 5.0). Properties are left out on connections of
    /// older versions.
    #[must_use]
    pub fn property(mut self, id: PropertyId, value: Value<'_>) -> Self {
        if let Err(error) = self.properties.push(id, value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// The message, made for publishing at `now`.
    pub(crate) fn into_message(self, now: Time) -> Result<Message, EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None => Message::new(
                self.topic,
                self.payload,
                self.qos,
                self.retain,
                self.properties.get(),
                now,
            ),
        }
    }
}

/// What the server said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Success, or [`ReasonCode::NO_MATCHING_SUBSCRIBERS`]; Success for QoS 0, which is not
    /// answered.
    pub reason: ReasonCode,
    /// The properties of the answer.
    pub properties: PropertiesBuf,
}

/// The way of a published message to its last acknowledgement. Dropping it changes nothing about
/// the message.
#[derive(Debug)]
pub struct Publishing(Option<Completion>);

impl Publishing {
    /// `None` for QoS 0, which is complete.
    pub(crate) fn new(completion: Option<Completion>) -> Self {
        Self(completion)
    }
}

impl Future for Publishing {
    type Output = Result<PublishOutcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(completion) = &mut self.0 else {
            return Poll::Ready(Ok(PublishOutcome {
                reason: ReasonCode::SUCCESS,
                properties: PropertiesBuf::default(),
            }));
        };
        completion.poll(context).map(|outcome| match outcome {
            Outcome::Published { reason, properties } if reason.is_error() => {
                Err(PublishError::Rejected { reason, properties })
            }
            Outcome::Published { reason, properties } => Ok(PublishOutcome { reason, properties }),
            Outcome::Dropped(why) => Err(PublishError::Dropped(why)),
            Outcome::Answered { .. } | Outcome::Ended => Err(PublishError::Closed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_was_asked_for() {
        let publish = Publish::new("a/b", "payload")
            .qos(QoS::ExactlyOnce)
            .retain(true)
            .expiry(Duration::from_millis(1500))
            .user_property("k", "v");
        let message = publish.into_message(Time(10_000)).unwrap();
        assert_eq!(
            (message.topic(), message.payload()),
            ("a/b", &b"payload"[..])
        );
        assert_eq!((message.qos(), message.retain()), (QoS::ExactlyOnce, true));
        assert_eq!(message.expires(), Time(12_000));
        let pairs: Vec<_> = message.properties().user_properties().collect();
        assert_eq!(pairs, [("k", "v")]);
    }

    #[test]
    fn what_can_not_be_published_is_told() {
        let bad = [
            Publish::new("a/#", ""),
            Publish::new("a", "").response_topic("b/+"),
            Publish::new("a", "").property(PropertyId::ServerKeepAlive, Value::TwoByteInteger(1)),
        ];
        for publish in bad {
            let what = format!("{publish:?}");
            assert!(publish.into_message(Time(0)).is_err(), "{what}");
        }
    }
}
