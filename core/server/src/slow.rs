//! The table `[slow_subscribers]` of the configuration file, and how its list is told.

use serde::Deserialize;
use serde_json::{Value, json};
use ternmq_broker::{Latency, SlowLimits, SlowSubscriber};

use crate::report::Report;

/// Which clients get their messages late. There: they are listed.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    latency: Measured,
    threshold_ms: u64,
    entries: usize,
    /// Seconds.
    keep_for: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Measured {
    Whole,
    Internal,
    Response,
}

impl Default for Table {
    fn default() -> Self {
        let limits = SlowLimits::default();
        Self {
            latency: Measured::Whole,
            threshold_ms: limits.threshold_ms,
            entries: limits.entries,
            keep_for: limits.expire_ms / 1000,
        }
    }
}

impl From<Table> for SlowLimits {
    fn from(table: Table) -> Self {
        Self {
            latency: match table.latency {
                Measured::Whole => Latency::Whole,
                Measured::Internal => Latency::Internal,
                Measured::Response => Latency::Response,
            },
            threshold_ms: table.threshold_ms,
            entries: table.entries,
            expire_ms: table.keep_for.saturating_mul(1000),
        }
    }
}

/// A client has come on the list.
pub(crate) fn tell(report: Report, subscriber: &SlowSubscriber) {
    let SlowSubscriber {
        client_id,
        topic,
        latency_ms,
        ..
    } = subscriber;
    let mut fields = fields(subscriber);
    fields["event"] = "slow_subscriber".into();
    // Whatever is in them: quoted, they can't write on somebody's terminal.
    let text = format!("slow subscriber {client_id:?}: {latency_ms} ms for {topic:?}");
    report.event(&text, fields);
}

/// What the sums say of late deliveries: nothing without any.
pub(crate) fn sum(late: u64, subscribers: &[SlowSubscriber]) -> String {
    match subscribers.first() {
        None if late == 0 => String::new(),
        None => format!(", {late} late"),
        Some(SlowSubscriber {
            client_id,
            latency_ms,
            ..
        }) => format!(", {late} late (slowest: {client_id:?}, {latency_ms} ms)"),
    }
}

/// The list as programs read it.
pub(crate) fn list(subscribers: &[SlowSubscriber]) -> Value {
    subscribers.iter().map(fields).collect()
}

fn fields(subscriber: &SlowSubscriber) -> Value {
    json!({ "client_id": subscriber.client_id, "topic": subscriber.topic,
        "latency_ms": subscriber.latency_ms, "late": subscriber.late })
}
