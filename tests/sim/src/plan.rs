//! The dice of a run that are thrown once: sizes, limits, delays, and what goes on in it.

use std::sync::Arc;

use ternmq_broker::Config;
use ternmq_protocol::broker::{
    DelayedLimits, Limits, ListenerLimits, Priorities, Rates, Rewrite, RewriteOn, ShardConfig,
    ShareStrategies, ShareStrategy, SlowLimits, Topics,
};
use ternmq_protocol::session::queue::{OverflowPolicy, QueueLimits};
use ternmq_protocol::session::rate::Rate;

use crate::ledger::matches;
use crate::random::Random;

/// Largest payload that is published.
pub(crate) const LARGEST: usize = 20_000;

/// What stands before a topic or filter that the server rewrites to what stands behind it.
pub(crate) const REWRITTEN: &str = "alt/";

const STRATEGIES: [ShareStrategy; 6] = [
    ShareStrategy::RoundRobin,
    ShareStrategy::Random,
    ShareStrategy::Sticky,
    ShareStrategy::HashClientId,
    ShareStrategy::HashTopic,
    ShareStrategy::LeastInflight,
];

/// Queues that nothing is dropped from.
const ENDLESS: QueueLimits = QueueLimits {
    items: 1_000_000,
    bytes: 1 << 30,
    policy: OverflowPolicy::DropNewest,
};

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
    /// What groups and topics are like, when somebody else has chosen.
    pub(crate) given: Option<(ShareStrategies, Topics)>,
    /// Clients join groups, which choose their members in this way.
    pub(crate) shares: Option<ShareStrategy>,
    /// Clients ask for messages to be published later; so many may wait.
    pub(crate) delayed: Option<usize>,
    /// Clients use names that the server rewrites.
    pub(crate) rewrites: bool,
    /// Clients ask for subscriptions of which there is one at a time.
    pub(crate) exclusive: bool,
    /// How fast one client may be, and all of them together.
    pub(crate) rates: Option<[Rates; 2]>,
    /// Clients have a Maximum Packet Size.
    pub(crate) small_packets: bool,
    /// The clock jumps: the machine was asleep.
    pub(crate) jumps: bool,
    /// Mailboxes are full now and then: what is for them stays with its sender for a while.
    pub(crate) full_mailboxes: bool,
    /// Clients that keep to no rule, beside the others.
    pub(crate) hostiles: usize,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let rates = random.one_in(6).then(|| [rates(random), rates(random)]);
        Self {
            shards: 1 + random.below(4),
            clients: 3 + random.below(6),
            acts: 150 + random.below(250) as u32,
            pause_ms: random.pick(&[20, 200, 2_000]),
            latency_ms: random.pick(&[0, 5, 100]),
            pipe: random.pick(&[50, 1_000, 60_000]),
            limits: limits(random),
            given: None,
            shares: (!random.one_in(3)).then(|| random.pick(&STRATEGIES)),
            // What is due and what was held back for a rate may happen in either order.
            delayed: (rates.is_none() && random.one_in(3)).then(|| random.pick(&[2, 1_000])),
            rewrites: random.one_in(4),
            exclusive: random.one_in(4),
            rates,
            small_packets: random.one_in(4),
            // Whether what waited for its rate or what was due came first, a jump leaves open.
            jumps: random.one_in(3) && rates.is_none(),
            full_mailboxes: random.one_in(3),
            // Whose packets a shard held back for their rate is known of the others only.
            hostiles: match rates.is_none() && random.one_in(4) {
                true => 1 + random.below(3),
                false => 0,
            },
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
            given: Some((config.shares.clone(), config.topics.clone())),
            shares: None,
            delayed: None,
            rewrites: false,
            exclusive: false,
            rates: None,
            small_packets: false,
            jumps: false,
            full_mailboxes: false,
            hostiles: 0,
        }
    }

    /// What each shard is made from.
    pub(crate) fn config(
        &self,
        number: usize,
        seed: u64,
        rates: &Arc<ListenerLimits>,
    ) -> ShardConfig {
        let shares = ShareStrategies {
            default: self.shares.unwrap_or_default(),
            by_name: Vec::new(),
        };
        let (shares, topics) = self.given.clone().unwrap_or((shares, self.topics()));
        ShardConfig {
            number: number as u16,
            seed,
            limits: self.limits.clone(),
            listeners: vec![rates.clone()],
            shares,
            topics,
            // Every other world knows who is late, and is the same but for that.
            slow: seed.is_multiple_of(2).then(|| SlowLimits {
                threshold_ms: 1,
                entries: 2,
                ..SlowLimits::default()
            }),
            ..ShardConfig::default()
        }
    }

    fn topics(&self) -> Topics {
        let rule = |source: String| {
            let expression = format!("^{REWRITTEN}(.*)$");
            Rewrite::new(RewriteOn::All, &source, Some(&expression), "$1").expect("a valid rule")
        };
        Topics {
            delayed: self.delayed.map(|messages| DelayedLimits {
                messages,
                ..DelayedLimits::default()
            }),
            rewrite: match self.rewrites {
                true => vec![rule(format!("{REWRITTEN}#"))],
                false => Vec::new(),
            },
            exclusive: self.exclusive,
            ..Topics::default()
        }
    }

    /// The limits of the one listener.
    pub(crate) fn listener(&self) -> Arc<ListenerLimits> {
        let [each, all] = self.rates.unwrap_or_default();
        Arc::new(ListenerLimits::new(each, all))
    }

    /// Whether queues may be too small for what is published.
    pub(crate) fn has_small_queues(&self) -> bool {
        self.limits.queue != ENDLESS
    }

    /// The priority of messages to a topic.
    pub(crate) fn priority(&self, topic: &str) -> u8 {
        let Priorities { filters, default } = &self.limits.priorities;
        let mut filters = filters.iter();
        match filters.len() {
            0 => 0,
            _ => filters
                .find(|(filter, _)| matches(filter, topic))
                .map_or(*default, |(_, priority)| *priority),
        }
    }

    /// Most bytes that may wait for one client: twice the mark, for answers, and the answers to one
    /// read or one message beyond it.
    pub(crate) fn most_outbound(&self) -> usize {
        2 * self.limits.outbound_bytes + 2 * 4_096 + LARGEST + 1_000
    }
}

fn limits(random: &mut Random) -> Limits {
    Limits {
        connect_timeout_ms: 10_000,
        receive_maximum: random.pick(&[1, 2, 5, 20, 1024]),
        topic_aliases: random.pick(&[0, 1, 4]),
        outgoing_aliases: random.pick(&[0, 1, 3, 32]),
        alias_bytes: random.pick(&[200, 10_000]),
        inflight: random.pick(&[1, 2, 7, 50, 1024]),
        queue: match random.one_in(3) {
            true => small_queue(random),
            false => ENDLESS,
        },
        priorities: match random.one_in(3) {
            true => priorities(random),
            false => Priorities::default(),
        },
        queue_qos0_offline: random.one_in(2),
        turn_work: random.pick(&[1, 5, 10_000]),
        outbound_bytes: random.pick(&[200, 1_000, 10_000, 100_000]),
        early_input: random.pick(&[100, 10_000]),
        owed_acks: random.pick(&[1, 3, 65_536]),
        subscriptions: 1_000,
        spare_buffers: random.pick(&[0, 10_000]),
        retained_page: random.pick(&[1, 2, 10]),
        ..Limits::default()
    }
}

fn small_queue(random: &mut Random) -> QueueLimits {
    QueueLimits {
        items: random.pick(&[0, 1, 3, 20, 1_000_000]),
        bytes: random.pick(&[300, 2_000, 30_000, 1 << 30]),
        policy: random.pick(&[
            OverflowPolicy::DropNewest,
            OverflowPolicy::DropOldest,
            OverflowPolicy::Refuse,
        ]),
    }
}

fn priorities(random: &mut Random) -> Priorities {
    let mut filters = Vec::new();
    for filter in ["a/#", "+/b", "will/+", "b"] {
        if random.one_in(2) {
            filters.push((filter.into(), random.pick(&[0, 1, 7, 255])));
        }
    }
    Priorities {
        filters,
        default: random.pick(&[0, 3]),
    }
}

/// Low enough to be felt, high enough for a run to come to an end.
fn rates(random: &mut Random) -> Rates {
    let mut rate = |per_second: &[u64], bursts: &[u64]| Rate {
        per_second: random.pick(per_second),
        burst: random.pick(bursts),
    };
    Rates {
        messages_in: rate(&[0, 20, 200], &[0, 1, 5]),
        bytes_in: rate(&[0, 0, 20_000], &[0, 500]),
        messages_out: rate(&[0, 20, 200], &[0, 1, 5]),
        bytes_out: rate(&[0, 0, 20_000], &[0, 500]),
    }
}
