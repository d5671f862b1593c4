//! `ternmq pub`.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::{PublishError, Publishing};
use ternmq_protocol::client::PublishRefused;
use ternmq_protocol::codec::{PropertyId, Value};

use crate::cli::{Publish, Version};
use crate::connection;

/// Publishes that are not acknowledged yet. One more waits for the oldest.
const OUTSTANDING: usize = 1000;

/// Publishes what the options say, waits for the acknowledgements, and disconnects.
pub(crate) fn run(args: &Publish) -> Result<u8, String> {
    if args.connection.protocol_version != Version::V5_0 && has_properties(args) {
        return Err("properties need MQTT 5.0".to_owned());
    }
    let delay = Duration::try_from_secs_f64(args.repeat_delay)
        .map_err(|_| "--repeat-delay is not a number of seconds".to_owned())?;
    // Before connecting: a file that isn't there should cost nobody a connection.
    let single = payload(args)?;
    let client = connection::connect(&args.connection)?;
    let mut sender = Sender {
        args,
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
    client.disconnect();
    Ok(crate::SUCCESS)
}

/// The one payload to publish, `None` for the lines of standard input.
fn payload(args: &Publish) -> Result<Option<Vec<u8>>, String> {
    let source = &args.source;
    if source.stdin_line {
        return Ok(None);
    }
    let mut payload = Vec::new();
    if let Some(message) = &source.message {
        payload = message.clone().into_bytes();
    } else if let Some(path) = &source.file {
        payload =
            std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    } else if source.stdin_file {
        io::stdin()
            .lock()
            .read_to_end(&mut payload)
            .map_err(|e| format!("cannot read standard input: {e}"))?;
    }
    Ok(Some(payload))
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
    client: &'a Client,
    outstanding: VecDeque<Publishing>,
}

impl Sender<'_> {
    fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        if self.outstanding.len() >= OUTSTANDING {
            self.wait_for_oldest()?;
        }
        loop {
            match self.client.publish_nowait(self.publish(payload)) {
                Ok(publishing) => {
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
        let mut publish = ternmq_client::Publish::new(&args.topic, payload)
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
