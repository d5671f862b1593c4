//! What the broker tells of itself under `$SYS/broker`, with the names and meanings that mosquitto gave
//! them, as far as they can be told truthfully.

use std::collections::HashMap;

use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::{Message, Time};

use crate::shared::Shared;
use crate::stats::Stats;

/// Where everything stands.
const ROOT: &str = "$SYS/broker/";

/// All that the topics are made from.
struct View<'a> {
    stats: &'a Stats,
    /// The retained store: messages and bytes.
    retained: (u64, u64),
    /// Most clients that were connected when somebody looked.
    maximum: u64,
}

/// A topic, what it tells, and how that is found.
type Topic = (&'static str, &'static str, fn(&View<'_>) -> u64);

const NUMBERS: &[Topic] = &[
    ("clients/connected", "clients connected now", |v| {
        v.stats.mqtt.connected
    }),
    ("clients/active", "the same, by its older name", |v| {
        v.stats.mqtt.connected
    }),
    (
        "clients/disconnected",
        "sessions kept for clients that are away",
        away,
    ),
    ("clients/inactive", "the same, by its older name", away),
    (
        "clients/total",
        "sessions, with or without a connection",
        |v| v.stats.mqtt.sessions,
    ),
    (
        "clients/maximum",
        "the largest clients/connected that was found when these were published",
        |v| v.maximum,
    ),
    (
        "clients/expired",
        "sessions that have ended because their expiry had passed",
        |v| v.stats.mqtt.sessions_expired,
    ),
    ("messages/received", "packets of any kind received", |v| {
        v.stats.mqtt.packets_received
    }),
    ("messages/sent", "packets of any kind sent", packets_sent),
    (
        "messages/stored",
        "store/messages/count, by its older name",
        stored,
    ),
    (
        "store/messages/count",
        "retained messages, and copies that wait in the queues of sessions",
        stored,
    ),
    (
        "store/messages/bytes",
        "memory that these take, in bytes",
        |v| v.retained.1 + v.stats.mqtt.queued_bytes,
    ),
    ("retained messages/count", "retained messages", |v| {
        v.retained.0
    }),
    (
        "subscriptions/count",
        "subscriptions of all sessions",
        |v| v.stats.mqtt.subscriptions,
    ),
    (
        "shared_subscriptions/count",
        "shared subscriptions: groups, however many members each has",
        |v| v.stats.groups,
    ),
    (
        "publish/messages/received",
        "messages received from clients; repeated ones of QoS 2 count once",
        received,
    ),
    (
        "publish/messages/sent",
        "PUBLISH packets sent, repeated ones included",
        sent,
    ),
    (
        "publish/messages/dropped",
        "copies of messages that some session was due and will not get, for whatever reason",
        dropped,
    ),
    (
        "publish/bytes/received",
        "bytes of the payloads of publish/messages/received",
        |v| v.stats.mqtt.received_payload,
    ),
    (
        "publish/bytes/sent",
        "bytes of the payloads of publish/messages/sent",
        |v| v.stats.mqtt.sent_payload,
    ),
    ("bytes/received", "bytes read from connections", |v| {
        v.stats.bytes_in
    }),
    ("bytes/sent", "bytes written to connections", |v| {
        v.stats.bytes_out
    }),
    ("log/messages/bytes", "bytes of these", |v| {
        v.stats.store.log_bytes
    }),
    ("log/messages/stored", "messages written to the log", |v| {
        v.stats.store.appended
    }),
    (
        "log/messages/refused",
        "messages refused because the log could not be written",
        |v| v.stats.store.refused,
    ),
    (
        "log/messages/removed",
        "messages taken out of the log, for whatever reason",
        |v| v.stats.store.swept(),
    ),
    (
        "log/messages/read",
        "messages read from the log for sessions",
        |v| v.stats.store.read,
    ),
    ("log/commits", "commits of the store", |v| {
        v.stats.store.commits
    }),
    ("log/syncs", "those that waited for the disk", |v| {
        v.stats.store.syncs
    }),
    ("log/failures", "commits that failed", |v| {
        v.stats.store.failures
    }),
];

/// What grows, as how much of it there was in a minute, averaged over some minutes.
const LOADS: &[Topic] = &[
    ("load/messages/received", "packets received", |v| {
        v.stats.mqtt.packets_received
    }),
    ("load/messages/sent", "packets sent", packets_sent),
    ("load/publish/received", "messages received", received),
    ("load/publish/sent", "PUBLISH packets sent", sent),
    (
        "load/publish/dropped",
        "copies of messages dropped",
        dropped,
    ),
    ("load/bytes/received", "bytes received", |v| {
        v.stats.bytes_in
    }),
    ("load/bytes/sent", "bytes sent", |v| v.stats.bytes_out),
    ("load/sockets", "connections accepted by listeners", |v| {
        v.stats.accepted
    }),
    ("load/connections", "CONNECT packets answered", |v| {
        v.stats.mqtt.connects + v.stats.mqtt.connects_refused
    }),
];

/// The minutes that loads are averaged over, each with decreasing weight of what is longer ago.
const OVER: [(&str, f64); 3] = [("1min", 1.0), ("5min", 5.0), ("15min", 15.0)];

/// The topics that a broker publishes while [`Config::sys_interval`](crate::Config::sys_interval) is
/// set, each with what it tells. Numbers are counted from the start of the broker, or are of now.
pub fn sys_topics() -> impl Iterator<Item = (String, String)> {
    let texts = [
        ("version", "name and version of the broker"),
        ("uptime", "seconds since it started, as in `12 seconds`"),
    ];
    let texts = texts.map(|(name, what)| (format!("{ROOT}{name}"), what.to_owned()));
    let numbers = NUMBERS
        .iter()
        .map(|(name, what, _)| (format!("{ROOT}{name}"), (*what).to_owned()));
    let loads = LOADS.iter().flat_map(|(name, what, _)| {
        OVER.map(|(over, _)| {
            (
                format!("{ROOT}{name}/{over}"),
                format!("{what} in a minute, average over {over}"),
            )
        })
    });
    texts.into_iter().chain(numbers).chain(loads)
}

/// Publishes at intervals what has changed.
pub(crate) struct Sys {
    every_ms: u64,
    next: Time,
    /// Counters that are being gathered, and how many shards have still to tell theirs.
    gathering: Option<(Stats, usize)>,
    loads: Vec<Load>,
    measured_at: Time,
    maximum: u64,
    /// What was published last.
    last: HashMap<String, String>,
    began: Time,
}

#[derive(Clone, Copy, Default)]
struct Load {
    total: u64,
    averages: [f64; OVER.len()],
}

impl Sys {
    pub(crate) fn new(every_ms: u64, now: Time) -> Self {
        Self {
            every_ms: every_ms.max(1),
            began: now,
            next: now,
            gathering: None,
            loads: vec![Load::default(); LOADS.len()],
            measured_at: now,
            maximum: 0,
            last: HashMap::new(),
        }
    }

    /// When it is time to ask the shards. `None` while they are being asked: who is slow to answer is
    /// not asked again.
    pub(crate) fn next(&self) -> Option<Time> {
        self.gathering.is_none().then_some(self.next)
    }

    /// Begins with the counters of this shard; `others` will tell theirs.
    pub(crate) fn gather(&mut self, own: Stats, others: usize, now: Time) {
        self.next = now.after(self.every_ms);
        self.gathering = Some((own, others));
    }

    /// Another shard tells its counters.
    pub(crate) fn add(&mut self, stats: &Stats) {
        if let Some((sum, left)) = &mut self.gathering {
            sum.add(stats);
            *left = left.saturating_sub(1);
        }
    }

    /// Publishes when all have told. Returns how many topics nobody could take; they follow the next
    /// time.
    pub(crate) fn publish(&mut self, shared: &Shared, now: Time) -> u64 {
        let Some((mut stats, _)) = self.gathering.take_if(|(_, left)| *left == 0) else {
            return 0;
        };
        shared.count(&mut stats);
        let store = shared.retained.lock();
        let retained = (store.len() as u64, store.bytes() as u64);
        drop(store);
        self.maximum = self.maximum.max(stats.mqtt.connected);
        let mut missed = 0;
        for (topic, value) in self.values(&stats, retained, now) {
            if self.last.get(&topic) == Some(&value) {
                continue;
            }
            let (qos, none) = (QoS::ExactlyOnce, Properties::EMPTY);
            let message = Message::new(&topic, value.as_bytes(), qos, true, none, now);
            if message.is_ok_and(|message| shared.publish(&message).is_ok()) {
                self.last.insert(topic, value);
            } else {
                missed += 1;
            }
        }
        missed
    }

    fn values(&mut self, stats: &Stats, retained: (u64, u64), now: Time) -> Vec<(String, String)> {
        let view = View {
            stats,
            retained,
            maximum: self.maximum,
        };
        let version = format!("ternmq version {}", env!("CARGO_PKG_VERSION"));
        let mut values = vec![
            (format!("{ROOT}version"), version),
            (
                format!("{ROOT}uptime"),
                format!("{} seconds", now.since(self.began) / 1000),
            ),
        ];
        for (name, _, number) in NUMBERS {
            values.push((format!("{ROOT}{name}"), number(&view).to_string()));
        }
        let minutes = now.since(self.measured_at) as f64 / 60_000.0;
        self.measured_at = now;
        for ((name, _, number), load) in LOADS.iter().zip(&mut self.loads) {
            load.measure(number(&view), minutes);
            for ((over, _), average) in OVER.iter().zip(load.averages) {
                values.push((format!("{ROOT}{name}/{over}"), format!("{average:.2}")));
            }
        }
        values
    }
}

impl Load {
    /// `total` after so many minutes more.
    fn measure(&mut self, total: u64, minutes: f64) {
        if minutes <= 0.0 {
            return;
        }
        let per_minute = total.saturating_sub(self.total) as f64 / minutes;
        self.total = total;
        for ((_, over), average) in OVER.iter().zip(&mut self.averages) {
            let kept = (-minutes / over).exp();
            *average = per_minute + kept * (*average - per_minute);
        }
    }
}

fn away(view: &View<'_>) -> u64 {
    let mqtt = &view.stats.mqtt;
    mqtt.sessions.saturating_sub(mqtt.connected)
}

fn packets_sent(view: &View<'_>) -> u64 {
    sent(view) + view.stats.mqtt.control_sent
}

fn stored(view: &View<'_>) -> u64 {
    view.retained.0 + view.stats.mqtt.queued
}

fn received(view: &View<'_>) -> u64 {
    view.stats.mqtt.received.iter().sum()
}

fn sent(view: &View<'_>) -> u64 {
    view.stats.mqtt.sent() + view.stats.mqtt.sent_again
}

fn dropped(view: &View<'_>) -> u64 {
    view.stats.mqtt.dropped.total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_comes_to_what_there_is_and_forgets_what_was() {
        let mut load = Load::default();
        for second in 1..=60 {
            load.measure(second * 10, 1.0 / 60.0);
        }
        // 600 a minute for one minute: 1 - 1/e of it in the first average.
        assert!((load.averages[0] - 600.0 * (1.0 - (-1.0_f64).exp())).abs() < 0.01);
        assert!((load.averages[2] - 600.0 * (1.0 - (-1.0_f64 / 15.0).exp())).abs() < 0.01);
        load.measure(600, 30.0);
        assert!(load.averages[0] < 0.01 && load.averages[2] > 1.0);
    }

    #[test]
    fn every_topic_is_one_and_says_what_it_tells() {
        let topics: Vec<(String, String)> = sys_topics().collect();
        let mut sys = Sys::new(1, Time(0));
        let values = sys.values(&Stats::default(), (0, 0), Time(1000));
        let names = values.iter().map(|(topic, _)| topic);
        assert!(topics.iter().map(|(topic, _)| topic).eq(names));
        assert!(topics.iter().all(|(_, what)| !what.is_empty()));
        let mut once: Vec<&String> = topics.iter().map(|(topic, _)| topic).collect();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), topics.len());
    }
}
