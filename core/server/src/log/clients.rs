//! What clients do, as lines of the log.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use serde_json::{Map, Value, json};
use ternmq_broker::{ClientEvent, Departure, ListenerId};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::{Level, Log, write as write_line};

/// Events that wait to be written down. What finds no room is lost and counted.
const WAITING: usize = 8_192;

/// How often what was left out is told of, while nothing else is to be written.
const TICK: Duration = Duration::from_secs(1);

/// How long others gather once something was written: who tells of a client is a shard, which wakes nobody
/// while this thread rests.
const GATHER: Duration = Duration::from_millis(10);

/// The thread that writes them down.
pub(crate) struct ClientLog(JoinHandle<()>);

impl ClientLog {
    /// Waits until all is written that the broker has told, which has ended.
    pub(crate) fn end(self) {
        // It panics with nobody's help but a mistake of ours, and then there is nothing to wait for.
        let _ = self.0.join();
    }
}

/// Writes down what a broker tells through the sender, until that is gone.
///
/// # Errors
/// There can be no thread for it.
pub(crate) fn follow(log: Log) -> std::io::Result<(SyncSender<ClientEvent>, ClientLog)> {
    let (sender, events) = sync_channel(WAITING);
    let thread = Builder::new()
        .name("ternmq-clients".into())
        .spawn(move || run(&log, &events))?;
    Ok((sender, ClientLog(thread)))
}

fn run(log: &Log, events: &Receiver<ClientEvent>) {
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                write(log, &event);
                events.try_iter().for_each(|event| write(log, &event));
                sleep(GATHER);
            }
            Err(RecvTimeoutError::Timeout) => log.tick(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What becomes a line.
struct Said {
    text: String,
    fields: Value,
}

/// Only what has a place in this second is put into words: most of a storm has none.
fn write(log: &Log, event: &ClientEvent) {
    let (level, kind) = (level_of(event), kind_of(event));
    if level > Level::Warn && !log.may_want(level) {
        return;
    }
    let client = Some(event.client_id()).filter(|id| !id.is_empty());
    if !log.takes(level, kind, client) {
        return;
    }
    let said = say(event);
    let mut fields = match said.fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Some(client) = client {
        fields.insert("client_id".to_owned(), client.into());
    }
    write_line(level, kind, &said.text, &fields);
}

const fn kind_of(event: &ClientEvent) -> &'static str {
    match event {
        ClientEvent::Connected { .. } => "client_connected",
        ClientEvent::Refused { .. } => "client_refused",
        ClientEvent::RefusedMore(_) => "more_refused",
        ClientEvent::Disconnected { .. } => "client_disconnected",
        ClientEvent::Subscribed { .. } => "subscribed",
        ClientEvent::Unsubscribed { .. } => "unsubscribed",
        ClientEvent::SessionEnded { .. } => "session_ended",
        ClientEvent::Dropped { .. } => "messages_dropped",
        _ => "other",
    }
}

/// How much an event matters, as far as its kind says.
fn level_of(event: &ClientEvent) -> Level {
    match event {
        ClientEvent::Subscribed { .. }
        | ClientEvent::Unsubscribed { .. }
        | ClientEvent::SessionEnded { expired: false, .. } => Level::Debug,
        ClientEvent::Connected { .. } | ClientEvent::SessionEnded { .. } => Level::Info,
        ClientEvent::Disconnected { departure, .. } => match departure {
            Departure::Ended(reason) if is_a_fault(*reason) => Level::Warn,
            _ => Level::Info,
        },
        // QoS 0 for who is away, what has expired and what went with its session was meant to.
        ClientEvent::Dropped { dropped, .. } => {
            let expected = dropped.offline + dropped.expired + dropped.session_ended;
            match dropped.total() > expected {
                true => Level::Warn,
                false => Level::Info,
            }
        }
        _ => Level::Warn,
    }
}

/// Whether a connection that the broker has ended for this reason had a client that did something wrong.
const fn is_a_fault(reason: ReasonCode) -> bool {
    !matches!(
        reason,
        ReasonCode::SERVER_SHUTTING_DOWN
            | ReasonCode::SESSION_TAKEN_OVER
            | ReasonCode::KEEP_ALIVE_TIMEOUT
            | ReasonCode::ADMINISTRATIVE_ACTION
            | ReasonCode::USE_ANOTHER_SERVER
            | ReasonCode::SERVER_MOVED
    )
}

fn say(event: &ClientEvent) -> Said {
    let said = |text, fields| Said { text, fields };
    let id = event.client_id();
    match event {
        ClientEvent::Connected {
            user_name,
            listener,
            peer,
            version,
            session_present,
            ..
        } => {
            let (from, user) = (place(*peer), user(user_name.as_deref()));
            let (version, present) = (number(*version), session_present);
            said(
                format!(
                    "client {id:?} connected from {from}{user}, MQTT {version}, session present: {present}"
                ),
                json!({ "user_name": user_name, "peer": peer, "listener": through(*listener),
                    "version": version, "session_present": present }),
            )
        }
        ClientEvent::Refused {
            user_name,
            listener,
            peer,
            reason,
            what,
            ..
        } => {
            let who = match id.is_empty() {
                true => "a connection".to_owned(),
                false => format!("client {id:?}"),
            };
            let (from, user) = (place(*peer), user(user_name.as_deref()));
            said(
                format!(
                    "{who} from {from}{user} was refused: {}",
                    why(*reason, what)
                ),
                json!({ "user_name": user_name, "peer": peer, "listener": through(*listener),
                    "reason": reason.map(|reason| reason.0), "words": what }),
            )
        }
        ClientEvent::RefusedMore(count) => said(
            format!("{count} more connections were refused"),
            json!({ "count": count }),
        ),
        ClientEvent::Disconnected {
            departure, what, ..
        } => {
            let (text, fields) = say_of_the_end(id, *departure, what);
            said(text, fields)
        }
        other => say_of_session(id, other),
    }
}

fn say_of_the_end(id: &str, departure: Departure, what: &str) -> (String, Value) {
    let (by, reason) = match departure {
        Departure::Own(reason) => ("client", Some(reason)),
        Departure::Ended(reason) => ("server", Some(reason)),
        Departure::Lost => ("lost", None),
    };
    let why = why(reason, what);
    let text = match departure {
        Departure::Own(_) => format!("client {id:?} disconnected: {why}"),
        Departure::Ended(_) => format!("client {id:?}: the connection was ended: {why}"),
        Departure::Lost => format!("client {id:?}: the connection was lost"),
    };
    let reason = reason.map(|reason| reason.0);
    (text, json!({ "by": by, "reason": reason, "words": what }))
}

/// What a session has or loses.
fn say_of_session(id: &str, event: &ClientEvent) -> Said {
    let (text, fields) = match event {
        ClientEvent::Subscribed { filter, qos, .. } => (
            format!(
                "client {id:?} subscribed to {filter:?} with QoS {}",
                *qos as u8
            ),
            json!({ "filter": filter, "qos": *qos as u8 }),
        ),
        ClientEvent::Unsubscribed { filter, .. } => (
            format!("client {id:?} unsubscribed from {filter:?}"),
            json!({ "filter": filter }),
        ),
        ClientEvent::SessionEnded { expired, .. } => (
            match expired {
                true => format!("client {id:?}: the session has expired"),
                false => format!("client {id:?}: the session has ended"),
            },
            json!({ "expired": expired }),
        ),
        ClientEvent::Dropped { dropped, .. } => {
            let all: Vec<_> = dropped
                .by_reason()
                .filter(|(_, count)| *count > 0)
                .collect();
            let list: Vec<String> = (all.iter())
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            let by_reason: Map<String, Value> = all
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), (*count).into()))
                .collect();
            let (total, list) = (dropped.total(), list.join(", "));
            (
                format!("client {id:?}: {total} messages dropped: {list}"),
                json!({ "dropped": by_reason }),
            )
        }
        other => (format!("client {id:?}: {other:?}"), Value::Null),
    };
    Said { text, fields }
}

/// The words, and the reason code where there is one.
fn why(reason: Option<ReasonCode>, what: &str) -> String {
    match reason {
        None => what.to_owned(),
        Some(reason) if what.is_empty() => reason.to_string(),
        Some(reason) => format!("{what} ({reason})"),
    }
}

fn place(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "this machine".to_owned(), |peer| peer.to_string())
}

fn user(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" as {name:?}"))
}

/// The number of a listener in the configuration; none is in process.
fn through(listener: ListenerId) -> Option<u16> {
    (listener.0 != u16::MAX).then_some(listener.0)
}

const fn number(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V3_1 => "3.1",
        ProtocolVersion::V3_1_1 => "3.1.1",
        ProtocolVersion::V5_0 => "5.0",
    }
}
