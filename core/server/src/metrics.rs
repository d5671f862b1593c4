//! The counters of a server in the text format of Prometheus (version 0.0.4). [`FAMILIES`] is the one list of
//! names; the manual of the configuration prints it, and a test finds every counter of the broker in it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use ternmq_access::chain::{Chain, StepStats};
use ternmq_broker::Stats;

/// Some samples of one name.
pub(crate) struct Family {
    /// Behind `ternmq_`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    /// What tells the samples apart; nothing where there is only one.
    pub(crate) label: Option<&'static str>,
    samples: Samples,
}

/// What may be done with the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows while the server runs.
    Counter,
    Gauge,
}

type Read = fn(&Stats) -> f64;
type ReadAll = fn(&Stats) -> Vec<(&'static str, u64)>;

enum Samples {
    /// Value of the label, the field that it is, and how it is read.
    Fields(&'static [(&'static str, &'static str, Read)]),
    /// A list by reason; the field that it is.
    ByReason(
        #[cfg_attr(not(test), expect(dead_code))] &'static str,
        ReadAll,
    ),
}

macro_rules! families {
    ($($kind:ident $name:literal $help:literal $([$label:literal])? {
        $($value:literal => $($field:ident).+ $([$at:literal])? $(/ $scale:literal)?,)*
    })*) => {
        &[$(Family {
            name: $name,
            kind: Kind::$kind,
            help: $help,
            label: families!(@label $($label)?),
            samples: Samples::Fields(&[$((
                $value,
                stringify!($($field).+),
                |stats| stats.$($field).+ $([$at])? as f64 $(/ $scale)?,
            )),*]),
        }),*]
    };
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}

macro_rules! by_reason {
    ($($name:literal $help:literal $($field:ident).+;)*) => {
        &[$(Family {
            name: $name,
            kind: Kind::Counter,
            help: $help,
            label: Some("reason"),
            samples: Samples::ByReason(stringify!($($field).+), |stats| stats.$($field).+.by_reason().collect()),
        }),*]
    };
}

/// Connections and clients.
static CLIENTS: &[Family] = families! {
    Counter "connections_accepted_total" "Connections accepted by the listeners, those closed at once included." {
        "" => accepted,
    }
    Counter "connections_closed_total" "Connections closed, by whomever." { "" => closed, }
    Gauge "connections" "Connections now, those without a client included." { "" => mqtt.connections, }
    Counter "connections_refused_total" "Connections closed at once." ["reason"] {
        "limit" => connections_refused,
        "listener_limit" => connections_refused_listener,
        "listener_rate" => connections_refused_rate,
        "banned" => connections_refused_banned,
        "proxy" => connections_refused_proxy,
        "quic_handshakes" => quic_refused,
        "shard_limit" => mqtt.connections_refused,
    }
    Counter "connections_failed_total" "Connections that could not be accepted, or whose handshake failed." ["reason"] {
        "accept" => accept_errors,
        "tls" => tls_failed,
        "websocket" => websocket_failed,
        "quic" => quic_failed,
        "unfinished" => handshakes_unfinished,
    }
    Counter "quic_retries_total" "Clients of QUIC that had to show first that they are where they say to be." {
        "" => quic_retried,
    }
    Counter "quic_strays_total" "Datagrams to listeners of QUIC that were no connection's." { "" => quic_strays, }
    Counter "quic_moves_total" "Times that a client of QUIC has gone on from another address." {
        "" => quic_moved,
    }
    Gauge "clients" "Clients connected now." { "" => mqtt.connected, }
    Gauge "sessions" "Sessions now, connected or not." { "" => mqtt.sessions, }
    Counter "sessions_expired_total" "Sessions that ended because their expiry interval had passed." {
        "" => mqtt.sessions_expired,
    }
    Counter "connects_total" "CONNECTs accepted." { "" => mqtt.connects, }
    Counter "connects_refused_total" "CONNECTs refused, for whatever reason." { "" => mqtt.connects_refused, }
    Counter "connects_refused_by_server_total" "Those of them, by what the server has decided." ["reason"] {
        "banned" => connects_refused_banned,
        "draining" => connects_refused_draining,
        "queues_full" => connects_refused_full,
        "password_queue_full" => passwords_refused_full,
        "hook" => hooks_denied,
        "will" => wills_denied,
    }
    Counter "connections_ended_total" "Connections of clients ended by the server." ["reason"] {
        "protocol" => mqtt.peer_errors,
        "timeout" => mqtt.timeouts,
        "taken_over" => mqtt.taken_over,
        "kicked" => kicked,
        "banned" => banned_connections,
        "drained" => drained,
    }
    Counter "refusals_untold_total" "Refused connections that were told of in sum only." { "" => refusals_untold, }
    Counter "flapping_total" "Clients found to connect over and over." { "" => flapping, }
    Counter "flapping_forgotten_total" "Clients whose connections were no longer counted for that." {
        "" => flapping_forgotten,
    }
    Counter "bans_refused_total" "Bans that a full list had no room for." { "" => bans_refused, }
    Counter "authentications_total" "Exchanges of enhanced authentication." ["result"] {
        "success" => mqtt.authentications,
        "failure" => mqtt.authentications_failed,
    }
    Counter "passwords_checked_total" "Passwords checked." { "" => passwords_checked, }
    Counter "passwords_wrong_total" "Those of them that were wrong." { "" => passwords_wrong, }
    Counter "access_asked_total" "Questions about what clients may do that rules left open." { "" => mqtt.access_asked, }
    Counter "hooks_full_total" "Clients refused something because too many questions waited." { "" => hooks_full, }
};

/// Messages.
static MESSAGES: &[Family] = families! {
    Counter "messages_received_total" "Application messages that came in from clients; repeated ones once." ["qos"] {
        "0" => mqtt.received[0],
        "1" => mqtt.received[1],
        "2" => mqtt.received[2],
    }
    Counter "messages_sent_total" "Application messages sent for the first time." ["qos"] {
        "0" => mqtt.sent[0],
        "1" => mqtt.sent[1],
        "2" => mqtt.sent[2],
    }
    Counter "messages_sent_again_total" "Application messages sent again after a reconnection." { "" => mqtt.sent_again, }
    Counter "messages_received_again_total" "QoS 2 messages that came in again." { "" => mqtt.received_again, }
    Counter "messages_acknowledged_total" "QoS 1 and 2 deliveries acknowledged in full." { "" => mqtt.acknowledged, }
    Counter "messages_given_up_total" "QoS 1 and 2 messages that could not be sent again." { "" => mqtt.given_up, }
    Counter "messages_matched_total" "Copies that matching subscriptions were due." { "" => mqtt.matched, }
    Counter "messages_restored_total" "Copies that came back with sessions of a store." { "" => mqtt.restored, }
    Counter "messages_from_shards_total" "Application messages that came from other shards." {
        "" => mqtt.received_from_peers,
    }
    Counter "payload_received_bytes_total" "Bytes of payloads that came in." { "" => mqtt.received_payload, }
    Counter "payload_sent_bytes_total" "Bytes of payloads sent." { "" => mqtt.sent_payload, }
    Counter "packets_received_total" "Packets of any kind that came in whole." { "" => mqtt.packets_received, }
    Counter "control_packets_sent_total" "Packets other than PUBLISH sent." { "" => mqtt.control_sent, }
    Counter "wills_published_total" "Wills published." { "" => mqtt.wills, }
    Gauge "queued_messages" "Copies that wait in queues of sessions now." { "" => mqtt.queued, }
    Gauge "queued_bytes" "Bytes of them." { "" => mqtt.queued_bytes, }
    Gauge "inflight_bytes" "Bytes of QoS 1 and 2 messages sent and not acknowledged now." { "" => mqtt.inflight_bytes, }
    Counter "late_deliveries_total" "Deliveries slower than the threshold of slow_subscribers." {
        "" => mqtt.late_deliveries,
    }
    Counter "slow_subscribers_left_out_total" "Slow clients that a full list had no room for." ["reason"] {
        "displaced" => mqtt.slow_displaced,
        "unlisted" => mqtt.slow_unlisted,
    }
    Counter "rate_limited_total" "Times that a rate held messages back." ["direction"] {
        "in" => mqtt.rate_pauses,
        "out" => mqtt.rate_waits,
    }
    Counter "rate_debts_forgotten_total" "Clients whose used up rate was forgotten." { "" => mqtt.rate_debts_forgotten, }
    Gauge "delayed_messages" "Delayed messages that wait now." { "" => mqtt.delayed, }
    Gauge "delayed_bytes" "Bytes of them." { "" => mqtt.delayed_bytes, }
    Counter "delayed_total" "Delayed messages that wait no more, or never did." ["result"] {
        "published" => mqtt.delayed_published,
        "refused" => mqtt.delayed_refused,
        "expired" => mqtt.delayed_expired,
    }
    Counter "retained_sent_total" "Copies of retained messages that new subscriptions were due." { "" => mqtt.retained, }
    Counter "retained_lost_total" "Retained messages that are kept no more, or never were." ["reason"] {
        "full" => retained_refused,
        "expired" => retained_expired,
    }
    Counter "local_observed_total" "Copies handed to subscriptions of the process." { "" => mqtt.observed, }
    Counter "local_dropped_total" "Messages that those had no room for." { "" => local_dropped, }
};

/// Subscriptions.
static SUBSCRIPTIONS: &[Family] = families! {
    Gauge "subscriptions" "Subscriptions of clients now." { "" => mqtt.subscriptions, }
    Gauge "local_subscriptions" "Subscriptions of the process now." { "" => local_subscriptions, }
    Gauge "shared_groups" "Groups of shared subscriptions now." { "" => groups, }
    Gauge "exclusive_subscriptions" "Exclusive subscriptions now." { "" => mqtt.exclusive, }
    Counter "subscriptions_refused_total" "Subscriptions refused." ["reason"] {
        "not_allowed" => mqtt.subscriptions_denied,
        "exclusive" => mqtt.exclusive_refused,
        "automatic" => mqtt.auto_subscribe_refused,
    }
    Counter "auto_subscribed_total" "Subscriptions made for new sessions." { "" => mqtt.auto_subscribed, }
    Counter "shared_given_back_total" "Copies that members of shared subscriptions gave back." { "" => mqtt.given_back, }
    Counter "shared_picked_again_total" "Those of them that other members got." { "" => mqtt.picked_again, }
    Counter "matching_work_total" "Subscriptions and nodes of filters looked at." { "" => mqtt.work, }
};

/// What the server itself does.
static SERVER: &[Family] = families! {
    Counter "network_received_bytes_total" "Bytes read." { "" => bytes_in, }
    Counter "network_sent_bytes_total" "Bytes written." { "" => bytes_out, }
    Counter "network_reads_total" "Reads that gave something." { "" => reads, }
    Counter "network_writes_total" "Writes." { "" => writes, }
    Counter "network_flushes_total" "Connections flushed." { "" => flushes, }
    Counter "network_blocked_total" "Writes that found the socket full." { "" => blocked, }
    Gauge "outbound_bytes" "Bytes that wait to be written to clients now." { "" => outbound_bytes, }
    Gauge "held_bytes" "Bytes that clients make the server hold now." ["kind"] {
        "input" => mqtt.input_bytes,
        "filters" => mqtt.filter_bytes,
        "wills" => mqtt.will_bytes,
        "names" => mqtt.name_bytes,
        "aliases" => mqtt.alias_bytes,
    }
    Counter "turns_total" "Turns of the shard threads." { "" => turns, }
    Counter "looks_total" "Connections looked at again." { "" => looks, }
    Counter "moved_total" "Connections handed to the shard of their session." { "" => moved, }
    Gauge "routed" "Entries of the directory of sessions now." { "" => routed, }
    Counter "mail_batches_total" "Batches of messages from shard to shard." { "" => mail_batches, }
    Counter "mail_messages_total" "Messages in them." { "" => mail_messages, }
    Counter "mail_lost_total" "Messages for a shard that had ended." { "" => mail_lost, }
    Counter "stalls_total" "Times that publishers were not read because a mailbox was nearly full." { "" => stalls, }
    Counter "events_lost_total" "Events that nobody took in time." ["kind"] {
        "server" => events_lost,
        "client" => client_events_lost,
    }
    Counter "sys_missed_total" "$SYS topics that were not published when it was their time." { "" => sys_missed, }
};

/// The data folder.
static STORE: &[Family] = families! {
    Gauge "store_log_bytes" "Bytes of messages in the log, as of the last sweep." { "" => store.log_bytes, }
    Gauge "store_waiting_bytes" "Bytes that wait to be written now." { "" => store.waiting_bytes, }
    Counter "store_commits_total" "Commits." { "" => store.commits, }
    Counter "store_syncs_total" "Commits that waited until the disk had all of it." { "" => store.syncs, }
    Counter "store_commit_failures_total" "Commits that failed." { "" => store.failures, }
    Counter "store_commit_seconds_total" "Time that all commits took." { "" => store.commit_us / 1e6, }
    Gauge "store_commit_seconds_max" "Time that the longest took." { "" => store.slowest_us / 1e6, }
    Counter "store_operations_total" "Operations of all commits." { "" => store.operations, }
    Gauge "store_operations_max" "Most operations of one commit." { "" => store.largest, }
    Counter "store_messages_given_total" "Messages given to the store." { "" => mqtt.appended, }
    Counter "store_messages_written_total" "Messages written to the log." { "" => store.appended, }
    Counter "store_messages_refused_total" "Messages refused because the disk was full or failed." {
        "" => store.refused,
    }
    Counter "store_lost_total" "Changes that could not be written, and that nobody could be told of." {
        "" => store.lost,
    }
    Counter "store_messages_left_total" "Copies left in the log, to be read later." { "" => mqtt.unread, }
    Counter "store_pages_total" "Pages of the log read for sessions." { "" => store.pages, }
    Counter "store_messages_read_total" "Messages in them." { "" => store.read, }
    Counter "store_unreadable_total" "Messages that can't be read: they are damaged." { "" => store.unreadable, }
    Counter "store_reads_failed_total" "Reads that failed, and were tried again." { "" => store.reads_failed, }
    Gauge "store_damaged_rows" "Rows that can't be read, as of the last sweep." { "" => store.damaged, }
    Counter "store_swept_total" "Messages taken out of the log." ["reason"] {
        "passed" => store.swept_passed,
        "old" => store.swept_old,
        "full" => store.swept_full,
        "session_messages" => store.swept_session_messages,
        "session_bytes" => store.swept_session_bytes,
    }
};

static REASONS: &[Family] = by_reason! {
    "messages_dropped_total" "Copies of messages that will never be sent." mqtt.dropped;
    "messages_refused_total" "Application messages of clients that were not taken." mqtt.publishes_refused;
    "over_limit_total" "What clients asked for and did not get, by the limit in the way." mqtt.over_limit;
};

/// All of them, in the order in which they are told.
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    let all = [CLIENTS, MESSAGES, REASONS, SUBSCRIPTIONS, SERVER, STORE];
    all.into_iter().flatten()
}

/// What the numbers are, for people.
pub(crate) fn reference() -> String {
    let mut out = "
# Metrics

What `/metrics` tells where there is `[http]`, each with `ternmq_` before its name, in the text format of \
Prometheus. Counters begin at 0 with the server; all are sums over its shards.

| name | type | label | what it is |
|---|---|---|---|
"
    .to_owned();
    let own = [
        (
            "build_info",
            Some("version"),
            "The version of the server; always 1.",
        ),
        (
            "start_time_seconds",
            None,
            "When the server was started, in Unix time.",
        ),
        ("ready", None, "1 where `/health/ready` says so, else 0."),
    ];
    let own = own.map(|(name, label, help)| (name, Kind::Gauge, label, help));
    let steps = STEPS.into_iter().chain(KEYS);
    let steps = steps.map(|(name, kind, label, help)| (name, kind, Some(label), help));
    let rest = families().map(|family| (family.name, family.kind, family.label, family.help));
    for (name, kind, label, help) in own.into_iter().chain(rest).chain(steps) {
        let (kind, label) = (kind.name(), label.unwrap_or_default());
        // A string has room for anything.
        let _ = writeln!(out, "| `{name}` | {kind} | {label} | {help} |");
    }
    out
}

/// Everything, as one page.
pub(crate) fn text(stats: &Stats, started: SystemTime, ready: bool) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let version = env!("CARGO_PKG_VERSION");
    head(
        &mut page,
        "build_info",
        Kind::Gauge,
        "The version of the server.",
    );
    let _ = writeln!(page, "ternmq_build_info{{version=\"{version}\"}} 1");
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    head(
        &mut page,
        "start_time_seconds",
        Kind::Gauge,
        "When the server was started, in Unix time.",
    );
    let _ = writeln!(page, "ternmq_start_time_seconds {}", since.as_secs_f64());
    head(
        &mut page,
        "ready",
        Kind::Gauge,
        "Whether /health/ready says so.",
    );
    let _ = writeln!(page, "ternmq_ready {}", u8::from(ready));
    for family in families() {
        head(&mut page, family.name, family.kind, family.help);
        for (value, number) in family.read(stats) {
            let name = family.name;
            // A string has room for anything.
            let _ = match family.label {
                Some(label) => writeln!(page, "ternmq_{name}{{{label}=\"{value}\"}} {number}"),
                None => writeln!(page, "ternmq_{name} {number}"),
            };
        }
    }
    page
}

/// What back ends of steps have said; there only with such steps.
static STEPS: [(&str, Kind, &str, &str); 4] = [
    (
        "access_step_total",
        Kind::Counter,
        "step, result",
        "Questions to the back end of a step: what it said (allowed, denied, ignored, of which cached were kept \
         from before, and bad_record denied for a record that can't be used), or why it said nothing (late, down, garbled, \
         not_asked while it is left alone, busy when too many wait).",
    ),
    (
        "access_step_left_alone",
        Kind::Gauge,
        "step",
        "1 while the back end of a step is left alone because it has failed.",
    ),
    (
        "access_step_asking",
        Kind::Gauge,
        "step",
        "Questions that the back end of a step is asked now.",
    ),
    (
        "access_step_waiting",
        Kind::Gauge,
        "step",
        "Questions that wait until the back end of a step may be asked.",
    ),
];

/// What has become of the keys of tokens under URLs; there only with such keys.
static KEYS: [(&str, Kind, &str, &str); 3] = [
    (
        "access_keys_total",
        Kind::Counter,
        "step, result",
        "Looks at the keys of a step of tokens: fetched, or why there were none (late, down, garbled); and tokens \
         of an unknown kid that brought no look (not_asked), because the last one was a moment ago.",
    ),
    (
        "access_keys",
        Kind::Gauge,
        "step",
        "Keys that a step of tokens has from its URL.",
    ),
    (
        "access_keys_time_seconds",
        Kind::Gauge,
        "step",
        "When a step of tokens last had them, in Unix time; 0: never.",
    ),
];

/// Adds what has become of the keys of tokens under URLs.
pub(crate) fn add_keys(page: &mut String, steps: Option<&Chain>) {
    let stats = steps.map(Chain::key_stats).unwrap_or_default();
    if stats.is_empty() {
        return;
    }
    let [total, keys, time] = KEYS;
    head(page, total.0, total.1, total.3);
    for (step, stats) in &stats {
        for (result, number) in [
            ("fetched", stats.fetched),
            ("late", stats.late),
            ("down", stats.down),
            ("garbled", stats.garbled),
            ("not_asked", stats.not_asked),
        ] {
            // A string has room for anything.
            let _ = writeln!(
                page,
                "ternmq_access_keys_total{{step=\"{step}\",result=\"{result}\"}} {number}"
            );
        }
    }
    head(page, keys.0, keys.1, keys.3);
    for (step, stats) in &stats {
        let _ = writeln!(page, "ternmq_access_keys{{step=\"{step}\"}} {}", stats.keys);
    }
    head(page, time.0, time.1, time.3);
    for (step, stats) in &stats {
        let since = stats
            .since
            .and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        let since = since.unwrap_or_default().as_secs_f64();
        let _ = writeln!(
            page,
            "ternmq_access_keys_time_seconds{{step=\"{step}\"}} {since}"
        );
    }
}

/// Adds what the back ends of steps have said.
pub(crate) fn add_steps(page: &mut String, steps: Option<&Chain>) {
    let stats = steps.map(Chain::stats).unwrap_or_default();
    if stats.is_empty() {
        return;
    }
    let [total, alone, asking, waiting] = STEPS;
    head(page, total.0, total.1, total.3);
    for (step, stats) in &stats {
        let StepStats {
            allowed,
            denied,
            ignored,
            cached,
            late,
            down,
            garbled,
            not_asked,
            bad_record,
            busy,
            ..
        } = *stats;
        for (result, number) in [
            ("allowed", allowed),
            ("denied", denied),
            ("ignored", ignored),
            ("cached", cached),
            ("late", late),
            ("down", down),
            ("garbled", garbled),
            ("not_asked", not_asked),
            ("bad_record", bad_record),
            ("busy", busy),
        ] {
            // A string has room for anything.
            let _ = writeln!(
                page,
                "ternmq_access_step_total{{step=\"{step}\",result=\"{result}\"}} {number}"
            );
        }
    }
    for (at, (name, kind, _, help)) in [alone, asking, waiting].into_iter().enumerate() {
        head(page, name, kind, help);
        for (step, stats) in &stats {
            let number = [stats.open.into(), stats.asking, stats.waiting][at];
            let _ = writeln!(page, "ternmq_{name}{{step=\"{step}\"}} {number}");
        }
    }
}

impl Family {
    fn read(&self, stats: &Stats) -> Vec<(&'static str, f64)> {
        match &self.samples {
            Samples::Fields(fields) => {
                let read = |(value, _, read): &(&'static str, _, Read)| (*value, read(stats));
                fields.iter().map(read).collect()
            }
            Samples::ByReason(_, read) => {
                let all = read(stats).into_iter();
                all.map(|(reason, number)| (reason, number as f64))
                    .collect()
            }
        }
    }

    #[cfg(test)]
    fn fields(&self) -> Vec<&'static str> {
        match &self.samples {
            Samples::Fields(fields) => fields.iter().map(|(_, field, _)| *field).collect(),
            Samples::ByReason(field, _) => vec![field],
        }
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

fn head(page: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = kind.name();
    let _ = write!(
        page,
        "# HELP ternmq_{name} {help}\n# TYPE ternmq_{name} {kind}\n"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths of all numbers, as `Debug` shows them.
    fn counters(stats: &Stats) -> BTreeSet<String> {
        let shown = format!("{stats:#?}");
        let mut path: Vec<String> = Vec::new();
        let mut all = BTreeSet::new();
        for line in shown.lines().skip(1) {
            let line = line.trim();
            match line.split_once(": ") {
                Some((name, value)) if value.ends_with('{') || value.ends_with('[') => {
                    path.push(name.to_owned());
                }
                Some((name, _)) => {
                    all.insert([&path[..], &[name.to_owned()]].concat().join("."));
                }
                None if line.starts_with(['}', ']']) => {
                    let list = path.join(".");
                    if line.starts_with(']') {
                        all.insert(list);
                    }
                    path.pop();
                }
                None => {}
            }
        }
        all
    }

    #[test]
    fn every_counter_of_the_broker_is_told_once() {
        let mut told: Vec<String> = families()
            .flat_map(Family::fields)
            .map(|field| field.replace(' ', ""))
            .collect();
        told.sort();
        // Three of a kind by QoS are one field.
        let by_qos = ["mqtt.received", "mqtt.sent"];
        for field in by_qos {
            assert_eq!(told.iter().filter(|name| *name == field).count(), 3);
        }
        let mut once = told.clone();
        once.dedup();
        assert_eq!(told.len() - once.len(), 4, "a counter is told twice");
        let all = counters(&Stats::default());
        assert!(all.len() > 100, "{all:?}");
        // Sums of single clients, which are in the sums of all.
        let missing: Vec<&String> = all
            .iter()
            .filter(|name| !name.starts_with("ended_clients."))
            .filter(|name| {
                !told
                    .iter()
                    .any(|told| name.as_str() == told || name.starts_with(&format!("{told}.")))
            })
            .collect();
        assert!(missing.is_empty(), "not told: {missing:?}");
    }

    #[test]
    fn names_are_those_that_prometheus_wants() {
        let mut names = BTreeSet::new();
        for family in families() {
            let name = family.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                family.kind == Kind::Counter,
                "{name}"
            );
            assert!(!family.help.contains(['\\', '\n']), "{name}");
        }
    }
}
