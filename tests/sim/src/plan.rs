//! The dice of a run that are thrown once: sizes, limits, delays.

use ternmq_broker::Config;
use ternmq_protocol::broker::{Limits, ShareStrategies, ShareStrategy, Topics};
use ternmq_protocol::session::queue::{OverflowPolicy, QueueLimits};

use crate::random::Random;

/// Largest payload that is published.
pub(crate) const LARGEST: usize = 20_000;

const STRATEGIES: [ShareStrategy; 6] = [
    ShareStrategy::RoundRobin,
    ShareStrategy::Random,
    ShareStrategy::Sticky,
    ShareStrategy::HashClientId,
    ShareStrategy::HashTopic,
    ShareStrategy::LeastInflight,
];

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) clients: usize,
    /// Things that clients do before it gets quiet.
    pub(crate) acts: u32,
    /// Milliseconds between two things that one client does, at most.
    pub(crate) pause_ms: u64,
    pub(crate) latency_ms: u64,
    /// Bytes that a direction of a connection holds.
    pub(crate) pipe: usize,
    pub(crate) limits: Limits,
    /// How groups choose their members.
    pub(crate) shares: ShareStrategies,
    pub(crate) topics: Topics,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let limits = Limits {
            connect_timeout_ms: 10_000,
            receive_maximum: random.pick(&[1, 2, 5, 20, 1024]),
            topic_aliases: random.pick(&[0, 1, 4]),
            inflight: random.pick(&[1, 2, 7, 50, 1024]),
            // Nothing may be dropped here: what is published has to arrive.
            queue: QueueLimits {
                items: 1_000_000,
                bytes: 1 << 30,
                policy: OverflowPolicy::DropNewest,
            },
            turn_work: random.pick(&[1, 5, 10_000]),
            outbound_bytes: random.pick(&[200, 1_000, 10_000, 100_000]),
            early_input: random.pick(&[100, 10_000]),
            spare_buffers: random.pick(&[0, 10_000]),
            retained_page: random.pick(&[1, 2, 10]),
            ..Limits::default()
        };
        Self {
            shards: 1 + random.below(4),
            clients: 3 + random.below(6),
            acts: 150 + random.below(250) as u32,
            pause_ms: random.pick(&[20, 200, 2_000]),
            latency_ms: random.pick(&[0, 5, 100]),
            pipe: random.pick(&[50, 1_000, 60_000]),
            limits,
            shares: ShareStrategies {
                default: random.pick(&STRATEGIES),
                by_name: Vec::new(),
            },
            topics: Topics::default(),
        }
    }

    /// For raw clients: some shards, a network whose pieces and delays are up to chance, and limits
    /// that somebody else has chosen.
    pub(crate) fn bench(random: &mut Random, config: &Config) -> Self {
        Self {
            shards: 1 + random.below(4),
            clients: 0,
            acts: 0,
            pause_ms: 0,
            latency_ms: random.pick(&[0, 5, 20]),
            pipe: random.pick(&[4_000, 60_000]),
            limits: config.session.clone(),
            shares: config.shares.clone(),
            topics: config.topics.clone(),
        }
    }

    /// Most bytes that may wait for one client: twice the mark, for answers, and the answers to one
    /// read or one message beyond it.
    pub(crate) fn most_outbound(&self) -> usize {
        2 * self.limits.outbound_bytes + 2 * 4_096 + LARGEST + 1_000
    }
}
