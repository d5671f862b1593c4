//! A client ends without a DISCONNECT, and the server publishes its will.
//!
//! Usage: `last_will URI`
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::{Command, exit};
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::{ConnectOptions, QoS, Will};

const TOPIC: &str = "example/status";

fn main() -> Result<(), Box<dyn Error>> {
    let [uri] = ternmq_examples::arguments("URI");
    if let Some(uri) = std::env::var_os("LAST_WILL_OF") {
        return live_and_vanish(&uri.to_string_lossy());
    }
    let watcher = Client::connect(ConnectOptions::from_uri(&uri)?)?;
    let mut wills = watcher.subscribe(TOPIC, QoS::AtLeastOnce)?;

    let program = std::env::current_exe()?;
    Command::new(program)
        .arg(&uri)
        .env("LAST_WILL_OF", &uri)
        .status()?;
    let will = wills.next_timeout(Duration::from_secs(10))?;
    println!("last will: {}", String::from_utf8_lossy(will.payload()));
    watcher.disconnect();
    Ok(())
}

/// What the other process does: it connects and ends.
fn live_and_vanish(uri: &str) -> Result<(), Box<dyn Error>> {
    let mut will = Will::new(TOPIC, "gone without a word");
    will.qos = QoS::AtLeastOnce;
    let _client = Client::connect(ConnectOptions::from_uri(uri)?.will(will))?;
    exit(0) // drops nothing: the system closes the connection
}
