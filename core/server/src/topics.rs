//! The `[topics]` table of the configuration file.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::Topics;
use ternmq_protocol::broker::Template;
use ternmq_protocol::codec::QoS;

/// What each line does stands in the documentation of `ternmq_broker::Topics`, whose defaults hold
/// for every line that isn't there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    /// 0, 1 or 2.
    #[serde(deserialize_with = "qos")]
    maximum_qos: Option<QoS>,
    retain: Option<bool>,
    wildcard_subscriptions: Option<bool>,
    subscription_identifiers: Option<bool>,
    check_payload_format: Option<bool>,
    /// Whether `$delayed/{seconds}/{topic}` publishes later.
    delayed: bool,
    /// Delayed messages of each shard.
    delayed_messages: Option<usize>,
    /// The same in bytes.
    delayed_bytes: Option<usize>,
    /// Seconds of the longest delay.
    delayed_seconds: Option<u32>,
    /// With places: `response/${clientid}`.
    #[serde(deserialize_with = "template")]
    response_information: Option<Template>,
}

impl Table {
    pub(crate) fn apply(self, topics: &mut Topics) {
        fn set<T>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        set(&mut topics.maximum_qos, self.maximum_qos);
        set(&mut topics.retain_available, self.retain);
        let wildcards = self.wildcard_subscriptions;
        set(&mut topics.wildcard_subscriptions, wildcards);
        let identifiers = self.subscription_identifiers;
        set(&mut topics.subscription_identifiers, identifiers);
        set(&mut topics.check_payload_format, self.check_payload_format);
        if self.delayed {
            let delayed = topics.delayed.get_or_insert_default();
            set(&mut delayed.messages, self.delayed_messages);
            set(&mut delayed.bytes, self.delayed_bytes);
            set(&mut delayed.seconds, self.delayed_seconds);
        }
        topics.response_information = self.response_information;
    }
}

fn qos<'de, D: Deserializer<'de>>(source: D) -> Result<Option<QoS>, D::Error> {
    let number = u8::deserialize(source)?;
    let qos = QoS::from_bits(number);
    let error = || D::Error::custom(format!("{number} is no QoS: 0, 1 or 2"));
    qos.ok_or_else(error).map(Some)
}

fn template<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Template>, D::Error> {
    let text = String::deserialize(source)?;
    text.parse().map(Some).map_err(D::Error::custom)
}
