//! Prints a number of messages as they arrive, then ends.
//!
//! Usage: `subscribe URI FILTER COUNT`
#![forbid(unsafe_code)]

use std::error::Error;

use ternmq_client::blocking::block_on;
use ternmq_client::{Client, ConnectOptions, QoS};

async fn run() -> Result<(), Box<dyn Error>> {
    let [uri, filter, count] = ternmq_examples::arguments("URI FILTER COUNT");
    let client = Client::connect(ConnectOptions::from_uri(&uri)?).await?;
    let mut messages = client.subscribe(&filter, QoS::AtLeastOnce).await?;
    println!("subscribed to {filter}");
    for _ in 0..count.parse()? {
        let message = messages.next().await.ok_or("the connection is lost")?;
        let text = String::from_utf8_lossy(message.payload());
        println!("{}: {text}", message.topic());
    }
    client.disconnect().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // Any executor will do.
    block_on(run())
}
