//! A broker inside the program: reached from here without a socket, and by others at an address.
//!
//! Usage: `embedded_broker ADDRESS TEXT`, where ADDRESS may have port 0 for a free one
#![forbid(unsafe_code)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ternmq_broker::{Broker, Config};
use ternmq_client::blocking::Client;
use ternmq_client::{ConnectOptions, Publish, QoS};

fn main() -> Result<(), Box<dyn Error>> {
    let [address, text] = ternmq_examples::arguments("ADDRESS TEXT");
    let broker = Arc::new(Broker::start(Config::listen(address.parse()?))?);

    let inside = broker.clone();
    let options = ConnectOptions::in_process(move || Ok(inside.connect()));
    let here = Client::connect(options)?;
    let mut messages = here.subscribe("example/#", QoS::AtLeastOnce)?;

    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    let outside = Client::connect(ConnectOptions::from_uri(&uri)?)?;
    outside.publish(Publish::new("example/greeting", &text).qos(QoS::AtLeastOnce))?;

    let message = messages.next_timeout(Duration::from_secs(10))?;
    println!(
        "{}: {}",
        message.topic(),
        String::from_utf8_lossy(message.payload())
    );
    outside.disconnect();
    here.disconnect();
    Ok(())
}
