//! What `programs/outbox_publisher.c` does, in Rust.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::time::Duration;

use ternmq_client::blocking::block_on;
use ternmq_client::{
    Backoff, Client, ConnectOptions, FileOutbox, Opening, OutboxOptions, PropertyId, Publish,
    PublishError, QoS, Value,
};
use ternmq_protocol::client::PublishRefused;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [uri, file, life, _, what] = &arguments[..] else {
        return Err("usage: outbox_publisher URI FILE LIFE rust publish|synced|drain".into());
    };
    let mut how = OutboxOptions::default();
    how.sync = what == "synced";
    let opening = Opening {
        outbox: Some(FileOutbox::open_with(Path::new(file), how)?),
        ..Opening::default()
    };
    let mut options = ConnectOptions::from_uri(uri)?
        .client_id("publisher")
        .clean_start(false)
        .reconnect(Backoff {
            min: Duration::from_millis(10),
            max: Duration::from_millis(10),
            first_connect: true,
            ..Backoff::default()
        });
    let day = Value::FourByteInteger(86_400);
    options.session.max_queued_messages = 1000;
    let properties = &mut options.session.properties;
    properties.push(PropertyId::SessionExpiryInterval, day)?;
    let (client, _) = Client::open_with(options, opening)?;
    match what.as_str() {
        "drain" => drain(&client),
        _ => publish(&client, life),
    }
}

fn publish(client: &Client, life: &str) -> Result<(), Box<dyn Error>> {
    for n in 0u64.. {
        let (topic, qos) = match n % 2 {
            0 => ("out/1", QoS::AtLeastOnce),
            _ => ("out/2", QoS::ExactlyOnce),
        };
        let payload = format!("{life}.{n}");
        match client.publish_nowait(Publish::new(topic, payload.as_str()).qos(qos)) {
            Err(PublishError::NotTaken(PublishRefused::Full)) => {
                stdout().write_all(b"full\n")?;
                std::thread::park();
            }
            taken => drop(taken?),
        }
        stdout().write_all(format!("{payload}\n").as_bytes())?;
    }
    Ok(())
}

fn drain(client: &Client) -> Result<(), Box<dyn Error>> {
    let outbox = client.outbox().ok_or("no outbox")?;
    block_on(client.publish(Publish::new("out/2", "end").qos(QoS::ExactlyOnce)))?;
    // Acknowledgements come in order.
    if outbox.kept() > 0 {
        return Err(format!("{} messages are left", outbox.kept()).into());
    }
    block_on(client.disconnect());
    Ok(())
}
