//! `ternmq pub`.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::{PublishError, Publishing};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::PublishRefused;
use ternmq_protocol::codec::{PropertyId, Value};

use crate::cli::{Connection, Publish, Version};
use crate::connection;
use crate::properties::Said;

/// Publishes what the options say, waits for the acknowledgements, and disconnects.
pub(crate) fn run(args: &Publish) -> Result<u8, String> {
    if args.connection.protocol_version != Version::V5_0 && has_properties(args) {
        return Err("properties need MQTT 5.0".to_owned());
    }
    let delay = Duration::try_from_secs_f64(args.repeat_delay)
        .map_err(|_| "--repeat-delay is not a number of seconds".to_owned())?;
    // Before connecting: a file that isn't there should cost nobody a connection.
    let single = payload(args)?;
    let topic = topic(args.topic.as_deref(), &args.connection)?;
    let said = Said::read(&args.connection.property)?;
    let client = connection::connect(&args.connection)?;
    let mut sender = Sender {
        args,
        topic,
        said: &said,
        client: &client,
        outstanding: VecDeque::new(),
    };
    match &single {
        Some(payload) => {
            for n in 0..args.repeat {
                if n > 0 && !delay.is_zero() {
                    std::thread::sleep(delay);
                }
                sender.send(payload)?;
            }
        }
        None => {
            for line in io::stdin().lock().split(b'\n') {
                let line = line.map_err(|e| format!("cannot read standard input: {e}"))?;
                for _ in 0..args.repeat {
                    sender.send(&line)?;
                }
            }
        }
    }
    sender.finish()?;
    let ended = client.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, &said.disconnect);
    ended.map_err(|error| error.to_string())?;
    Ok(crate::SUCCESS)
}

/// Where it goes, by option or in the URL.
pub(crate) fn topic<'a>(
    option: Option<&'a str>,
    connection: &'a Connection,
) -> Result<&'a str, String> {
    let topic = option.or(connection::url_and_topic(connection).1);
    topic.ok_or_else(|| "a topic is missing: --topic, or one in the URL".to_owned())
}

/// The one payload to publish, `None` for the lines of standard input.
fn payload(args: &Publish) -> Result<Option<Vec<u8>>, String> {
    let source = &args.source;
    if source.stdin_line {
        return Ok(None);
    }
    let (message, file) = (source.message.as_deref(), source.file.as_deref());
    read(message, file, source.stdin_file).map(Some)
}

/// A payload of one of these, or an empty one.
pub(crate) fn read(
    message: Option<&str>,
    file: Option<&Path>,
    stdin: bool,
) -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    if let Some(message) = message {
        payload = message.as_bytes().to_vec();
    } else if let Some(path) = file {
        payload =
            std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    } else if stdin {
        io::stdin()
            .lock()
            .read_to_end(&mut payload)
            .map_err(|e| format!("cannot read standard input: {e}"))?;
    }
    Ok(payload)
}

fn has_properties(args: &Publish) -> bool {
    args.expiry.is_some()
        || args.content_type.is_some()
        || args.response_topic.is_some()
        || args.correlation_data.is_some()
        || !args.user_property.is_empty()
}

/// Keeps many publishes on their way, so that a line costs no round trip.
struct Sender<'a> {
    args: &'a Publish,
    topic: &'a str,
    said: &'a Said,
    client: &'a Client,
    outstanding: VecDeque<Publishing>,
}

impl Sender<'_> {
    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        if self.outstanding.len() >= self.args.max_inflight.into() {
            self.wait_for_oldest()?;
        }
        loop {
            match self.client.publish_nowait(self.publish(payload)) {
                Ok(publishing) => {
                    let (bytes, topic) = (payload.len(), self.topic);
                    let what = format_args!("published {bytes} bytes to {topic}");
                    connection::debug(&self.args.connection, &what);
                    self.outstanding.push_back(publishing);
                    return Ok(());
                }
                Err(PublishError::NotTaken(PublishRefused::Full)) => {
                    if !self.wait_for_oldest()? {
                        return Err("the outbox is full".to_owned());
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn publish<'p>(&'p self, payload: &'p [u8]) -> ternmq_client::Publish<'p> {
        let args = self.args;
        let mut publish = ternmq_client::Publish::new(self.topic, payload)
            .qos(args.qos)
            .retain(args.retain);
        if let Some(seconds) = args.expiry {
            let value = Value::FourByteInteger(seconds);
            publish = publish.property(PropertyId::MessageExpiryInterval, value);
        }
        if let Some(content_type) = &args.content_type {
            publish = publish.content_type(content_type);
        }
        if let Some(topic) = &args.response_topic {
            publish = publish.response_topic(topic);
        }
        if let Some(data) = &args.correlation_data {
            publish = publish.correlation_data(data.as_bytes());
        }
        for (name, value) in &args.user_property {
            publish = publish.user_property(name, value);
        }
        for property in self.said.publish.get().iter() {
            publish = publish.property(property.id, property.value);
        }
        publish
    }

    fn finish(&mut self) -> Result<(), String> {
        while self.wait_for_oldest()? {}
        Ok(())
    }

    /// False when there is none.
    fn wait_for_oldest(&mut self) -> Result<bool, String> {
        let Some(oldest) = self.outstanding.pop_front() else {
            return Ok(false);
        };
        self.client.wait(oldest).map_err(|e| e.to_string())?;
        Ok(true)
    }
}
