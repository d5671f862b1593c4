//! The `[topics]` table of the configuration file.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::Topics;
use ternmq_protocol::broker::{AutoSubscription, Rewrite, RewriteError, RewriteOn, Template};
use ternmq_protocol::codec::{QoS, RetainHandling, SubscriptionOptions};

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
    shared_subscriptions: Option<bool>,
    /// Whether `$exclusive/{filter}` is for one client at a time.
    exclusive: Option<bool>,
    /// Whether `$delayed/{seconds}/{topic}` publishes later.
    delayed: bool,
    /// Delayed messages of each shard.
    delayed_messages: Option<usize>,
    /// The same in bytes.
    delayed_bytes: Option<usize>,
    /// Seconds of the longest delay.
    delayed_seconds: Option<u32>,
    /// Rules in order.
    rewrite: Vec<RewriteLine>,
    auto_subscribe: Vec<AutoLine>,
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
        set(&mut topics.shared_subscriptions, self.shared_subscriptions);
        set(&mut topics.exclusive, self.exclusive);
        if self.delayed {
            let delayed = topics.delayed.get_or_insert_default();
            set(&mut delayed.messages, self.delayed_messages);
            set(&mut delayed.bytes, self.delayed_bytes);
            set(&mut delayed.seconds, self.delayed_seconds);
        }
        topics.rewrite = self.rewrite.into_iter().map(|line| line.0).collect();
        let made = self.auto_subscribe.into_iter();
        topics.auto_subscribe = made.map(|line| line.0).collect();
        topics.response_information = self.response_information;
    }
}

/// A rule that could be made, so that what is wrong with one has its place.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RewriteTable")]
pub(crate) struct RewriteLine(Rewrite);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RewriteTable {
    #[serde(default)]
    on: On,
    /// A topic filter.
    source: String,
    /// A regular expression.
    expression: Option<String>,
    /// With places: `b/$1/${clientid}`.
    target: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum On {
    Publish,
    Subscribe,
    #[default]
    All,
}

impl TryFrom<RewriteTable> for RewriteLine {
    type Error = RewriteError;

    fn try_from(table: RewriteTable) -> Result<Self, RewriteError> {
        let on = match table.on {
            On::Publish => RewriteOn::Publish,
            On::Subscribe => RewriteOn::Subscribe,
            On::All => RewriteOn::All,
        };
        let expression = table.expression.as_deref();
        Rewrite::new(on, &table.source, expression, &table.target).map(Self)
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "AutoTable")]
pub(crate) struct AutoLine(AutoSubscription);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoTable {
    /// With places: `in/${clientid}/#`.
    filter: String,
    #[serde(default, deserialize_with = "qos")]
    qos: Option<QoS>,
    #[serde(default)]
    no_local: bool,
    #[serde(default)]
    retain_as_published: bool,
    /// 0, 1 or 2.
    #[serde(default)]
    retain_handling: u8,
}

impl TryFrom<AutoTable> for AutoLine {
    type Error = String;

    fn try_from(table: AutoTable) -> Result<Self, String> {
        let retain_handling = match table.retain_handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            other => return Err(format!("retain_handling: {other} is not 0, 1 or 2")),
        };
        let options = SubscriptionOptions {
            qos: table.qos.unwrap_or_default(),
            no_local: table.no_local,
            retain_as_published: table.retain_as_published,
            retain_handling,
        };
        let made = AutoSubscription::new(&table.filter, options);
        made.map(Self).map_err(|error| error.to_string())
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
