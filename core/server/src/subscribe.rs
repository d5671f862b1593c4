//! `ternmq sub`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use serde_json::{Map, Value as Json, json};
use ternmq_client::link::{Event, Link, Notify, Status};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, Event as Session, Incoming};
use ternmq_protocol::codec::{
    Properties, PropertiesBuf, Property, PropertyId, QoS, Request, SubscriptionOptions, Value,
};
use ternmq_protocol::message::Message;
use ternmq_protocol::topic::{TopicFilter, TopicName};

use crate::cli::{Connection, Output, Subscribe, Version};
use crate::connection;
use crate::output::Printed;
use crate::properties::Said;

/// The exit status when the time is up, as that of mosquitto_sub.
const TIMED_OUT: u8 = 27;

/// Prints what arrives until enough did, the time is up, a signal comes or the connection ends.
pub(crate) fn run(args: &Subscribe) -> Result<u8, String> {
    let in_url = connection::url_and_topic(&args.connection).1;
    let topics = args.topic.iter().map(String::as_str).chain(in_url);
    let task = Task {
        connection: &args.connection,
        said: Said::read(&args.connection.property)?,
        topics: topics.collect(),
        unsubscribe: args.unsubscribe.iter().map(String::as_str).collect(),
        filter_out: filters(&args.filter_out)?,
        options: SubscriptionOptions {
            qos: args.qos,
            retain_as_published: args.retain_as_published,
            ..SubscriptionOptions::default()
        },
        exit_subscribed: args.exit_subscribed,
        retained_only: args.retained_only,
        remove_retained: args.remove_retained,
        probability: args.random_filter,
        output: &args.output,
        json: args.json,
        request: None,
        count: args.count,
        timeout: args.timeout,
    };
    if task.topics.is_empty() && task.unsubscribe.is_empty() {
        return Err("a topic filter is missing: --topic, or one in the URL".to_owned());
    }
    if args.retain_as_published && args.connection.protocol_version != Version::V5_0 {
        return Err("--retain-as-published needs MQTT 5.0".to_owned());
    }
    follow(&task)
}

/// What is to be subscribed to and printed.
pub(crate) struct Task<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) said: Said,
    pub(crate) topics: Vec<&'a str>,
    pub(crate) unsubscribe: Vec<&'a str>,
    pub(crate) filter_out: Vec<TopicFilter<'a>>,
    pub(crate) options: SubscriptionOptions,
    pub(crate) exit_subscribed: bool,
    pub(crate) retained_only: bool,
    pub(crate) remove_retained: bool,
    /// In percent; `None` prints all.
    pub(crate) probability: Option<f64>,
    pub(crate) output: &'a Output,
    pub(crate) json: bool,
    /// Published once the subscriptions are made.
    pub(crate) request: Option<Asked<'a>>,
    pub(crate) count: Option<u64>,
    pub(crate) timeout: Option<Duration>,
}

/// A request; its properties are those that are said of PUBLISH.
pub(crate) struct Asked<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
}

fn filters(texts: &[String]) -> Result<Vec<TopicFilter<'_>>, String> {
    let filters = texts.iter().map(|text| {
        TopicFilter::parse(text, usize::MAX).map_err(|e| format!("--filter-out {text:?}: {e}"))
    });
    filters.collect()
}

/// Does it; the exit status.
pub(crate) fn follow(task: &Task<'_>) -> Result<u8, String> {
    // A time beyond what the clock can tell is none.
    let deadline = task
        .timeout
        .and_then(|time| Instant::now().checked_add(time));
    let options = connection::options(task.connection)?;
    let link = Link::open(options, Arc::new(Unnoticed)).map_err(|e| e.to_string())?;
    link.connect().map_err(|e| e.to_string())?;
    let stopping = link.clone();
    let goodbye = task.said.disconnect.clone();
    connection::at_signal(move || stop(&stopping, &goodbye))?;
    let mut printer = Printer {
        task,
        left: task.count.unwrap_or(u64::MAX),
    };
    let mut events = Vec::new();
    loop {
        // The only thread that takes events waits for them right here.
        let waited = link.wait(deadline, |view| view.has_events().then_some(()));
        if waited.is_none() {
            stop(&link, &task.said.disconnect);
            return Ok(TIMED_OUT);
        }
        link.take_events(&mut events);
        for event in events.drain(..) {
            if task.connection.debug {
                anstream::eprintln!("{event:?}");
            }
            if let Some(exit) = printer.handle(&link, event)? {
                stop(&link, &task.said.disconnect);
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
fn stop(link: &Link, goodbye: &PropertiesBuf) {
    if link.disconnect(ReasonCode::NORMAL_DISCONNECTION, goodbye.get()) == Ok(true) {
        link.wait(None, |view| (view.status() == Status::Closed).then_some(()));
    }
}

struct Printer<'a> {
    task: &'a Task<'a>,
    /// Messages to print before it is enough.
    left: u64,
}

impl Printer<'_> {
    /// The exit status once the end has come.
    fn handle(&mut self, link: &Link, event: Event) -> Result<Option<u8>, String> {
        match event {
            Event::ConnectFailed { error, .. } => Err(error.to_string()),
            Event::Session(Session::Connected(_)) => self.subscribe(link).map(|()| None),
            Event::Session(Session::Subscribed { codes, .. }) => self.subscribed(link, &codes),
            Event::Session(Session::Unsubscribed { .. }) if self.task.topics.is_empty() => {
                Ok(Some(crate::SUCCESS))
            }
            Event::Session(Session::Published { reason, .. })
                if reason.is_error() && self.task.request.is_some() =>
            {
                Err(format!("the server refused the request: {reason}"))
            }
            Event::Session(Session::Message(message)) => self.message(link, &message),
            Event::Session(Session::Disconnected { cause, reason, .. }) => match cause {
                Cause::Local => Ok(Some(crate::SUCCESS)),
                Cause::Server => Err(format!("the server ended the connection: {reason}")),
                _ => Err(cause.to_string()),
            },
            _ => Ok(None),
        }
    }

    fn subscribe(&self, link: &Link) -> Result<(), String> {
        let task = self.task;
        if !task.topics.is_empty() {
            let filters = task.topics.iter();
            let requests: Vec<Request<'_>> = filters.map(|f| (*f, task.options)).collect();
            let sent = link.subscribe(&requests, task.said.subscribe.get());
            sent.map_err(|e| e.to_string())?;
        }
        if !task.unsubscribe.is_empty() {
            let sent = link.unsubscribe(&task.unsubscribe, task.said.unsubscribe.get());
            sent.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn subscribed(&self, link: &Link, codes: &[ReasonCode]) -> Result<Option<u8>, String> {
        for (filter, code) in self.task.topics.iter().zip(codes) {
            if code.is_error() {
                return Err(format!("the server refused {filter:?}: {code}"));
            }
        }
        if let Some(asked) = &self.task.request {
            let (qos, properties) = (self.task.options.qos, self.task.said.publish.get());
            let now = link.session(|now, _| now);
            let request = Message::new(asked.topic, asked.payload, qos, false, properties, now);
            let sent = link.publish(request.map_err(|e| e.to_string())?);
            sent.map_err(|e| e.to_string())?;
        }
        Ok(self.task.exit_subscribed.then_some(crate::SUCCESS))
    }

    fn message(&mut self, link: &Link, message: &Incoming) -> Result<Option<u8>, String> {
        let task = self.task;
        if self.left == 0 || !self.is_wanted(message) {
            return Ok(None);
        }
        if task.retained_only && !message.retain {
            return Ok(Some(crate::SUCCESS));
        }
        if task.remove_retained && message.retain {
            remove(link, message)?;
        }
        if task.output.no_retained && message.retain {
            return Ok(None);
        }
        if task
            .probability
            .is_some_and(|percent| random() * 100.0 >= percent)
        {
            return Ok(None);
        }
        let expiry = message.message.expiry_left(link.session(|now, _| now));
        if print(task, message, expiry).is_err() {
            // Nobody reads any more: the way that `head` ends a pipeline.
            return Ok(Some(crate::SUCCESS));
        }
        self.left -= 1;
        Ok((self.left == 0).then_some(crate::SUCCESS))
    }

    /// What is not filtered out, and of answers those to another request.
    fn is_wanted(&self, message: &Incoming) -> bool {
        let topic = TopicName::assume(message.message.topic());
        let out = self
            .task
            .filter_out
            .iter()
            .any(|filter| filter.matches(topic));
        let data = |properties: Properties<'_>| {
            let data = properties.binary(PropertyId::CorrelationData);
            data.map(<[u8]>::to_vec)
        };
        let asked = match self.task.request {
            Some(_) => data(self.task.said.publish.get()),
            None => None,
        };
        let answered = data(message.message.properties());
        !out && (asked.is_none() || answered.is_none() || asked == answered)
    }
}

fn remove(link: &Link, message: &Incoming) -> Result<(), String> {
    let topic = message.message.topic();
    let empty = Message::new(
        topic,
        &[],
        QoS::AtLeastOnce,
        true,
        Properties::EMPTY,
        link.session(|now, _| now),
    );
    let sent = link.publish(empty.map_err(|e| e.to_string())?);
    sent.map(drop).map_err(|e| e.to_string())
}

/// From 0 up to, not including, 1: the keys of the standard library's hash tables are random.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

fn print(task: &Task<'_>, message: &Incoming, expiry: Option<u32>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if task.json {
        writeln!(out, "{}", as_json(message, expiry))?;
        return out.flush();
    }
    let output = task.output;
    if let Some(template) = &output.format {
        let printed = Printed {
            message,
            now: &ZonedDateTime::now(),
            expiry,
            pretty: output.pretty,
        };
        template.write(&mut out, &printed)?;
    } else {
        if output.verbose {
            write!(out, "{} ", message.message.topic())?;
        }
        out.write_all(message.message.payload())?;
    }
    if !output.no_newline {
        out.write_all(b"\n")?;
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
