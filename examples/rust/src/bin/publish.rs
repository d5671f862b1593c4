//! Publishes one message and waits until the server has it.
//!
//! Usage: `publish URI TOPIC TEXT`
#![forbid(unsafe_code)]

use std::error::Error;

use ternmq_client::blocking::Client;
use ternmq_client::{ConnectOptions, Publish, QoS};

fn main() -> Result<(), Box<dyn Error>> {
    let [uri, topic, text] = ternmq_examples::arguments("URI TOPIC TEXT");
    // An empty client identifier has the server choose one.
    let client = Client::connect(ConnectOptions::from_uri(&uri)?)?;
    client.publish(Publish::new(&topic, &text).qos(QoS::AtLeastOnce))?;
    println!("delivered: {text}");
    client.disconnect();
    Ok(())
}
