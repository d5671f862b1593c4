//! The table `[shared_subscriptions]` of the configuration file.

use serde::Deserialize;
use ternmq_broker::{ShareStrategies, ShareStrategy};

/// Which member of a group gets a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    strategy: Strategy,
    group: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    name: String,
    strategy: Strategy,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Strategy {
    #[default]
    #[serde(rename = "round_robin")]
    RoundRobin,
    #[serde(rename = "random")]
    Random,
    #[serde(rename = "sticky")]
    Sticky,
    #[serde(rename = "hash_clientid")]
    HashClientId,
    #[serde(rename = "hash_topic")]
    HashTopic,
    #[serde(rename = "least_inflight")]
    LeastInflight,
}

impl From<Strategy> for ShareStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::RoundRobin => Self::RoundRobin,
            Strategy::Random => Self::Random,
            Strategy::Sticky => Self::Sticky,
            Strategy::HashClientId => Self::HashClientId,
            Strategy::HashTopic => Self::HashTopic,
            Strategy::LeastInflight => Self::LeastInflight,
        }
    }
}

impl From<Table> for ShareStrategies {
    fn from(table: Table) -> Self {
        let groups = table.group.into_iter();
        Self {
            default: table.strategy.into(),
            by_name: groups
                .map(|group| (group.name.into(), group.strategy.into()))
                .collect(),
        }
    }
}
