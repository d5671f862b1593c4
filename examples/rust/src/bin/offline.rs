//! Publishes before there is a connection: the messages wait in the client until the server comes.
//! Start it first and a server later, or the other way round.
//!
//! Usage: `offline URI TOPIC TEXT`
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::{Backoff, ConnectOptions, Publish, QoS};

/// How long the server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let [uri, topic, text] = ternmq_examples::arguments("URI TOPIC TEXT");
    let backoff = Backoff {
        min: Duration::from_millis(100),
        max: Duration::from_secs(5),
        first_connect: true,
        ..Backoff::default()
    };
    let options = ConnectOptions::from_uri(&uri)?.reconnect(backoff);
    let client = Client::open(options)?.with_timeout(PATIENCE);
    let mut waiting = Vec::new();
    for n in 1..=3 {
        let text = format!("{text} {n}");
        let publish = Publish::new(&topic, &text).qos(QoS::AtLeastOnce);
        waiting.push((client.publish_nowait(publish)?, text));
    }
    println!("published: {} messages", waiting.len());
    for (publishing, text) in waiting {
        client.wait(publishing)?;
        println!("delivered: {text}");
    }
    client.disconnect();
    Ok(())
}
