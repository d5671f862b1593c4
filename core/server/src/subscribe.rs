//! `ternmq sub`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};
use ternmq_client::link::{Event, Link, Notify, Status};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, Event as Session, Incoming};
use ternmq_protocol::codec::{
    Properties, Property, PropertyId, Request, SubscriptionOptions, Value,
};

use crate::cli::Subscribe;
use crate::connection;

/// The exit status when the time is up before enough messages came, as that of mosquitto_sub.
const TIMED_OUT: u8 = 27;

/// Prints what arrives until enough did, the time is up, a signal comes or the connection ends.
pub(crate) fn run(args: &Subscribe) -> Result<u8, String> {
    // A time beyond what the clock can tell is none.
    let deadline = args
        .timeout
        .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let options = connection::options(&args.connection)?;
    let link = Link::open(options, Arc::new(Unnoticed)).map_err(|e| e.to_string())?;
    link.connect().map_err(|e| e.to_string())?;
    let stopping = link.clone();
    connection::at_signal(move || stop(&stopping))?;
    let mut printer = Printer {
        args,
        left: args.count.unwrap_or(u64::MAX),
    };
    let mut events = Vec::new();
    loop {
        // The only thread that takes events waits for them right here.
        let waited = link.wait(deadline, |view| view.has_events().then_some(()));
        if waited.is_none() {
            stop(&link);
            return Ok(args.count.map_or(crate::SUCCESS, |_| TIMED_OUT));
        }
        link.take_events(&mut events);
        for event in events.drain(..) {
            if let Some(exit) = printer.handle(&link, event)? {
                stop(&link);
                return Ok(exit);
            }
        }
    }
}

/// The link need not call: `run` waits for events.
struct Unnoticed;

impl Notify for Unnoticed {
    fn notify(&self) {}
}

/// Disconnects and waits until that is over. There is nothing to say when it was over before.
fn stop(link: &Link) {
    if link.disconnect(ReasonCode::NORMAL_DISCONNECTION, Properties::EMPTY) == Ok(true) {
        link.wait(None, |view| (view.status() == Status::Closed).then_some(()));
    }
}

struct Printer<'a> {
    args: &'a Subscribe,
    /// Messages to print before it is enough.
    left: u64,
}

impl Printer<'_> {
    /// The exit status once the end has come.
    fn handle(&mut self, link: &Link, event: Event) -> Result<Option<u8>, String> {
        match event {
            Event::ConnectFailed { error, .. } => Err(error.to_string()),
            Event::Session(Session::Connected(_)) => self.subscribe(link).map(|()| None),
            Event::Session(Session::Subscribed { codes, .. }) => {
                for (filter, code) in self.args.topic.iter().zip(&codes) {
                    if code.is_error() {
                        return Err(format!("the server refused {filter:?}: {code}"));
                    }
                }
                Ok(None)
            }
            Event::Session(Session::Message(message)) => Ok(self.message(link, &message)),
            Event::Session(Session::Disconnected { cause, reason, .. }) => match cause {
                Cause::Local => Ok(Some(crate::SUCCESS)),
                Cause::Server => Err(format!("the server ended the connection: {reason}")),
                _ => Err(cause.to_string()),
            },
            _ => Ok(None),
        }
    }

    fn subscribe(&self, link: &Link) -> Result<(), String> {
        let options = SubscriptionOptions {
            qos: self.args.qos,
            ..SubscriptionOptions::default()
        };
        let filters = self.args.topic.iter();
        let requests: Vec<Request<'_>> = filters.map(|f| (f.as_str(), options)).collect();
        let sent = link.subscribe(&requests, Properties::EMPTY);
        sent.map(drop).map_err(|e| e.to_string())
    }

    fn message(&mut self, link: &Link, message: &Incoming) -> Option<u8> {
        if self.left > 0 && !(self.args.no_retained && message.retain) {
            let expiry = || message.message.expiry_left(link.session(|now, _| now));
            if print(self.args, message, expiry).is_err() {
                // Nobody reads any more: the way that `head` ends a pipeline.
                return Some(crate::SUCCESS);
            }
            self.left -= 1;
        }
        (self.left == 0).then_some(crate::SUCCESS)
    }
}

fn print(
    args: &Subscribe,
    message: &Incoming,
    expiry: impl FnOnce() -> Option<u32>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(message, expiry()))?;
    } else {
        if args.verbose {
            write!(out, "{} ", message.message.topic())?;
        }
        out.write_all(message.message.payload())?;
        if !args.no_newline {
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

/// A payload that is text stands as `payload`, any other as `payload_hex`. `expiry` is what is left of
/// the Message Expiry Interval, which a message keeps apart from its other properties.
fn as_json(message: &Incoming, expiry: Option<u32>) -> Json {
    let mut object = json!({
        "topic": message.message.topic(),
        "qos": message.qos as u8,
        "retain": message.retain,
        "dup": message.dup,
    });
    match std::str::from_utf8(message.message.payload()) {
        Ok(text) => object["payload"] = text.into(),
        Err(_) => object["payload_hex"] = hex(message.message.payload()).into(),
    }
    let mut properties = Map::new();
    let mut user = Vec::new();
    if let Some(seconds) = expiry {
        properties.insert(key(PropertyId::MessageExpiryInterval), seconds.into());
    }
    for property in message.message.properties().iter() {
        match property.value {
            Value::Utf8StringPair(name, value) => user.push(json!([name, value])),
            _ => {
                properties.insert(key(property.id), value(property));
            }
        }
    }
    if !user.is_empty() {
        properties.insert(key(PropertyId::UserProperty), user.into());
    }
    if !properties.is_empty() {
        object["properties"] = properties.into();
    }
    object
}

fn key(id: PropertyId) -> String {
    id.name().to_lowercase().replace(' ', "_")
}

fn value(property: Property<'_>) -> Json {
    match property.value {
        Value::Byte(v) => v.into(),
        Value::TwoByteInteger(v) => v.into(),
        Value::FourByteInteger(v) | Value::VariableByteInteger(v) => v.into(),
        Value::Utf8String(v) => v.into(),
        Value::BinaryData(v) => match std::str::from_utf8(v) {
            Ok(text) => text.into(),
            Err(_) => json!({ "hex": hex(v) }),
        },
        Value::Utf8StringPair(name, value) => json!([name, value]),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
