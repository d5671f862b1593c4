//! What is subscribed to.

use ternmq_protocol::codec::{PropertiesBuf, PropertyId, SubscriptionOptions, Value};
use ternmq_protocol::topic::TopicFilter;
use ternmq_protocol::{EncodeError, ReasonCode};

use super::hub::Outcome;
use super::subscription::SubscribeOptions;
use crate::error::SubscribeError;

/// What one SUBSCRIBE asks for: topic filters that share a queue.
///
/// ```
/// use ternmq_client::{QoS, Subscribe};
/// let subscribe = Subscribe::new("room/+/temperature", QoS::AtLeastOnce)
///     .filter("room/+/alarm", QoS::ExactlyOnce)
///     .user_property("for", "the logbook")
///     .keep();
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe<'a> {
    filters: Vec<(&'a str, SubscriptionOptions)>,
    queue: usize,
    identifier: Option<u32>,
    properties: PropertiesBuf,
    keep: bool,
    /// The first property that could not be added; told when it is subscribed to.
    error: Option<EncodeError>,
}

impl<'a> Subscribe<'a> {
    /// One topic filter. Its options say how long the queue may become.
    pub fn new(filter: &'a str, options: impl Into<SubscribeOptions>) -> Self {
        let options = options.into();
        Self {
            filters: vec![(filter, options.wire)],
            queue: options.queue,
            identifier: None,
            properties: PropertiesBuf::default(),
            keep: false,
            error: None,
        }
    }

    /// Another topic filter. Its `queue` counts for nothing: that of the first is for all.
    #[must_use]
    pub fn filter(mut self, filter: &'a str, options: impl Into<SubscribeOptions>) -> Self {
        self.filters.push((filter, options.into().wire));
        self
    }

    /// The Subscription Identifier, from 1 to 268,435,455: it comes with each message (MQTT 5.0), and
    /// subscribing fails where the server has none. Without this the client gives numbers from 16,384
    /// on, where the server takes them.
    #[must_use]
    pub fn identifier(mut self, identifier: u32) -> Self {
        self.identifier = Some(identifier);
        self
    }

    /// A name and a value of the application's own (MQTT 5.0); may be given several times.
    #[must_use]
    pub fn user_property(mut self, name: &str, value: &str) -> Self {
        let pair = Value::Utf8StringPair(name, value);
        if let Err(error) = self.properties.push(PropertyId::UserProperty, pair) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Dropping the [`Subscription`](super::Subscription) does not unsubscribe: for sessions that
    /// outlive the connection, so that the server goes on collecting messages. What is in its queue
    /// waits for the next subscription of this client that it matches, and so does what comes
    /// meanwhile if the session outlives the connection, up to
    /// [`Limits::unclaimed`](crate::Limits::unclaimed) messages in all.
    /// [`Client::unsubscribe`](super::Client::unsubscribe) ends it all the same.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    pub(super) fn queue(&self) -> usize {
        self.queue
    }

    pub(super) fn asked(&self) -> Option<u32> {
        self.identifier
    }

    pub(super) fn is_kept(&self) -> bool {
        self.keep
    }

    pub(super) fn requests(&self) -> &[(&'a str, SubscriptionOptions)] {
        &self.filters
    }

    /// The filters, if all that was said is valid.
    pub(super) fn parse(&self) -> Result<Vec<TopicFilter<'a>>, SubscribeError> {
        let parse = |(filter, _): &(&'a str, _)| TopicFilter::parse(filter, usize::MAX);
        let filters: Result<Vec<_>, _> = self.filters.iter().map(parse).collect();
        let filters = filters.map_err(SubscribeError::Filter)?;
        if let Some(error) = self.error {
            return Err(SubscribeError::NotSent(error.into()));
        }
        if let Some(identifier) = self.identifier {
            self.properties(Some(identifier))?;
        }
        Ok(filters)
    }

    /// The properties of the packet; with this Subscription Identifier.
    pub(super) fn properties(&self, id: Option<u32>) -> Result<PropertiesBuf, SubscribeError> {
        let mut properties = self.properties.clone();
        if let Some(id) = id {
            let value = Value::VariableByteInteger(id);
            let pushed = properties.push(PropertyId::SubscriptionIdentifier, value);
            pushed.map_err(|error| SubscribeError::NotSent(error.into()))?;
        }
        Ok(properties)
    }
}

/// The answers to a request, one for each filter, unless all are refusals.
pub(super) fn answers(outcome: Outcome) -> Result<Vec<ReasonCode>, SubscribeError> {
    match outcome {
        Outcome::Answered { codes, properties } => {
            if codes.iter().all(|code| code.is_error()) {
                let reason = codes.first().copied();
                return Err(SubscribeError::Rejected {
                    reason: reason.unwrap_or(ReasonCode::UNSPECIFIED_ERROR),
                    codes,
                    properties,
                });
            }
            Ok(codes)
        }
        Outcome::Dropped(why) => Err(SubscribeError::Dropped(why)),
        Outcome::Published { .. } | Outcome::Ended => Err(SubscribeError::Closed),
    }
}
