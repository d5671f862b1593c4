//! What clients may do with topics, and what a server makes of theirs.

use super::auto_subscribe::AutoSubscription;
use super::delayed::DelayedLimits;
use super::publish::{RESERVED, is_reserved};
use super::rewrite::Rewrite;
use super::template::{Filling, Template};
use crate::codec::{Connect, Properties, PropertiesBuf, PropertyId, QoS, Value};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;

/// What a server offers and what it does with topics. The default offers everything that the standard
/// has and changes nothing.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Highest QoS, announced when it is not 2. Subscriptions are granted no more [MQTT-3.2.2-10].
    /// An MQTT 5.0 client that publishes with more is disconnected (0x9B) and one whose will has more
    /// refused; of an older client, which can't be told, the message is taken and delivered with this.
    pub maximum_qos: QoS,
    /// Whether messages are retained, announced when not. An MQTT 5.0 client that asks for it is
    /// disconnected (0x9A) or refused with its will; of an older one the message is taken and not
    /// kept.
    pub retain_available: bool,
    /// Whether filters may have wildcards, announced when not. Beyond it: DISCONNECT with 0xA2,
    /// before MQTT 5.0 the filter fails (0x80).
    pub wildcard_subscriptions: bool,
    /// Whether subscriptions may have identifiers, announced when not. Beyond it: DISCONNECT with
    /// 0xA1.
    pub subscription_identifiers: bool,
    /// Whether there are shared subscriptions, announced when not. Beyond it: DISCONNECT with 0x9E,
    /// before MQTT 5.0 the filter fails (0x80).
    pub shared_subscriptions: bool,
    /// Whether a payload that its Payload Format Indicator calls UTF-8 is checked. One that is not is
    /// refused with 0x99; with QoS 0, which has no answer, it is dropped and counted.
    pub check_payload_format: bool,
    /// Whether a message to `$delayed/{seconds}/{topic}` is published to that topic later, and what
    /// may wait. `None`: these are topics like others. Beyond it: 0x97; not of this form: 0x90.
    pub delayed: Option<DelayedLimits>,
    /// Rules that make another topic of the one a client names, before anything else is done with it.
    /// The first that is for a topic holds. What a rule makes no valid topic of is refused: 0x90, and
    /// 0x8F for a filter.
    pub rewrite: Vec<Rewrite>,
    /// Whether `$exclusive/{filter}` is a subscription to the filter that one client at a time may
    /// have; others get 0x97, before MQTT 5.0 0x80. It is free again when the client unsubscribes or
    /// its session ends. If not, these are filters like others.
    pub exclusive: bool,
    /// Subscriptions made for every new session. They can't be exclusive.
    pub auto_subscribe: Vec<AutoSubscription>,
    /// What a client is told that asks for Response Information: a prefix for its response topics. A
    /// client whose identifier or user name has a separator or a wildcard in it gets none.
    pub response_information: Option<Template>,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscriptions: true,
            subscription_identifiers: true,
            shared_subscriptions: true,
            check_payload_format: false,
            delayed: None,
            rewrite: Vec::new(),
            exclusive: false,
            auto_subscribe: Vec::new(),
            response_information: None,
        }
    }
}

impl Topics {
    /// What CONNACK says of what is not offered (3.2.2.3) [MQTT-3.2.2-9].
    pub(super) fn announce(&self, properties: &mut PropertiesBuf) {
        if self.maximum_qos != QoS::ExactlyOnce {
            properties.push_number(PropertyId::MaximumQoS, self.maximum_qos as u32);
        }
        for (id, offered) in [
            (PropertyId::RetainAvailable, self.retain_available),
            (
                PropertyId::WildcardSubscriptionAvailable,
                self.wildcard_subscriptions,
            ),
            (
                PropertyId::SubscriptionIdentifierAvailable,
                self.subscription_identifiers,
            ),
            (
                PropertyId::SharedSubscriptionAvailable,
                self.shared_subscriptions,
            ),
        ] {
            if !offered {
                properties.push_number(id, 0);
            }
        }
    }

    /// The Response Information for a client that asks for it [MQTT-3.1.2-28].
    pub(super) fn respond(
        &self,
        connect: &Connect<'_>,
        filling: &Filling<'_>,
        properties: &mut PropertiesBuf,
    ) {
        let asks = connect
            .properties
            .number(PropertyId::RequestResponseInformation);
        if let (Some(1), Some(template)) = (asks, &self.response_information) {
            let mut text = String::new();
            if template.fill(filling, &mut text).is_ok() {
                // One that is too long is left out.
                let _ = properties.push(
                    PropertyId::ResponseInformation,
                    Value::Utf8String(text.as_str()),
                );
            }
        }
    }

    /// Whether a message asks for what is not offered. Clients before MQTT 5.0 don't know, so that
    /// nothing is wrong with theirs.
    pub(super) fn check_offered(&self, qos: QoS, retain: bool, v5: bool) -> Result<(), PeerError> {
        if v5 && qos > self.maximum_qos {
            return Err(PeerError::new(
                ReasonCode::QOS_NOT_SUPPORTED,
                "a QoS above the Maximum QoS that was announced",
            ));
        }
        if v5 && retain && !self.retain_available {
            return Err(PeerError::new(
                ReasonCode::RETAIN_NOT_SUPPORTED,
                "retained messages are not available",
            ));
        }
        Ok(())
    }

    /// Whether a will is one that could be published [MQTT-3.2.2-12] [MQTT-3.2.2-13].
    pub(super) fn check_will(&self, connect: &Connect<'_>) -> Result<(), PeerError> {
        let Some(will) = &connect.will else {
            return Ok(());
        };
        if is_reserved(will.topic) {
            return Err(RESERVED);
        }
        self.check_offered(will.qos, will.retain, connect.version.is_v5())?;
        self.delay_of(will.topic)?;
        self.check_payload(will.properties, will.payload)
    }

    /// Whether a payload is what its Payload Format Indicator says.
    pub(super) fn check_payload(
        &self,
        properties: Properties<'_>,
        payload: &[u8],
    ) -> Result<(), PeerError> {
        if self.check_payload_format
            && properties.number(PropertyId::PayloadFormatIndicator) == Some(1)
            && std::str::from_utf8(payload).is_err()
        {
            return Err(PeerError::new(
                ReasonCode::PAYLOAD_FORMAT_INVALID,
                "the payload is not UTF-8, which its format indicator says",
            ));
        }
        Ok(())
    }

    /// Whether a subscription asks for what is not offered.
    pub(super) fn check_filter(
        &self,
        filter: TopicFilter<'_>,
        identifier: bool,
        shared: bool,
    ) -> Result<(), PeerError> {
        if identifier && !self.subscription_identifiers {
            return Err(PeerError::new(
                ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                "subscription identifiers are not available",
            ));
        }
        if shared && !self.shared_subscriptions {
            return Err(PeerError::new(
                ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
                "shared subscriptions are not available",
            ));
        }
        if !self.wildcard_subscriptions && !filter.is_exact() {
            return Err(PeerError::new(
                ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
                "filters with wildcards are not available",
            ));
        }
        Ok(())
    }
}
