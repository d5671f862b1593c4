//! The command line clients of mosquitto against our broker: a client of another make, as users have
//! it. `make test` installs them.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use ternmq_broker::{Broker, Config};
use ternmq_test_broker_wire::PATIENCE;

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

// in MQTT 3.1.1 [MQTT-7.0.0-2]
#[test]
fn every_qos_in_every_version() {
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let broker = broker();
            let common = ["-V", version, "-q", qos];
            let sub =
                Subscriber::start(&broker, &[&common[..], &["-t", "+/x", "-C", "2"]].concat());
            until_subscribed(&broker, 1);
            publish(
                &broker,
                &[&common[..], &["-t", "a/x", "-m", "first"]].concat(),
            );
            publish(
                &broker,
                &[&common[..], &["-t", "b/x", "-m", "second"]].concat(),
            );
            assert_eq!(
                sub.finish(),
                ["a/x first", "b/x second"],
                "{version} QoS {qos}"
            );
        }
    }
}

#[test]
fn versions_talk_to_each_other() {
    for from in VERSIONS {
        for to in VERSIONS {
            let broker = broker();
            let sub = Subscriber::start(&broker, &["-V", to, "-q", "2", "-t", "a", "-C", "1"]);
            until_subscribed(&broker, 1);
            publish(&broker, &["-V", from, "-q", "2", "-t", "a", "-m", "hello"]);
            assert_eq!(sub.finish(), ["a hello"], "from {from} to {to}");
        }
    }
}

// in MQTT 3.1.1 [MQTT-3.3.1-6] [MQTT-3.3.1-8]
#[test]
fn a_retained_message_waits_for_its_subscriber() {
    let broker = broker();
    publish(
        &broker,
        &["-q", "1", "-r", "-t", "state/door", "-m", "closed"],
    );
    let options = ["-t", "state/#", "-C", "1", "-F", "%t %p %r"];
    let sub = Subscriber::start(&broker, &options);
    assert_eq!(sub.finish(), ["state/door closed 1"]);
}

// in MQTT 3.1.1 [MQTT-3.1.2-8]
#[test]
fn a_killed_client_leaves_its_will() {
    let broker = broker();
    let sub = Subscriber::start(&broker, &["-t", "will/#", "-C", "1"]);
    until_subscribed(&broker, 1);
    let will = [
        "--will-topic",
        "will/gone",
        "--will-payload",
        "bye",
        "-t",
        "other",
    ];
    let mut dying = Subscriber::start(&broker, &will);
    until_subscribed(&broker, 2);
    dying.kill();
    assert_eq!(sub.finish(), ["will/gone bye"]);
}

// [MQTT-3.1.2-5] in MQTT 3.1.1 [MQTT-3.1.2-5]
#[test]
fn a_kept_session_collects_messages() {
    for (version, more) in [("mqttv311", &[][..]), ("mqttv5", &["-x", "600"][..])] {
        let broker = broker();
        let options = ["-V", version, "-c", "-i", "kept", "-q", "1", "-t", "post"];
        let options = [&options[..], more].concat();
        let mut away = Subscriber::start(&broker, &options);
        until_subscribed(&broker, 1);
        away.kill();
        publish(&broker, &["-q", "1", "-t", "post", "-m", "one"]);
        publish(&broker, &["-q", "1", "-t", "post", "-m", "two"]);
        let back = Subscriber::start(&broker, &[&options[..], &["-C", "2"]].concat());
        assert_eq!(back.finish(), ["post one", "post two"], "{version}");
    }
}

fn broker() -> Broker {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Broker::start(Config::listen(address)).expect("a broker")
}

fn command(program: &str, broker: &Broker) -> Command {
    let port = broker.local_addrs()[0].port().to_string();
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port]);
    command
}

fn publish(broker: &Broker, options: &[&str]) {
    let status = command("mosquitto_pub", broker).args(options).status();
    let status = status.expect("mosquitto_pub, which `make test` installs");
    assert!(status.success(), "mosquitto_pub {options:?}: {status}");
}

/// Waits until the broker has this many subscriptions; each answer takes a turn of every shard.
fn until_subscribed(broker: &Broker, count: u64) {
    let begun = Instant::now();
    while broker.stats().mqtt.subscriptions != count {
        assert!(
            begun.elapsed() < PATIENCE,
            "mosquitto_sub does not subscribe"
        );
    }
}

/// A `mosquitto_sub` that runs. It prints when it ends, unless its output is a terminal.
struct Subscriber(Child);

impl Subscriber {
    fn start(broker: &Broker, options: &[&str]) -> Self {
        let mut command = command("mosquitto_sub", broker);
        // -W ends a subscriber that waits in vain.
        let patience = PATIENCE.as_secs().to_string();
        command.args(["-v", "-W", &patience]).args(options);
        let process = command.stdout(Stdio::piped()).spawn();
        Self(process.expect("mosquitto_sub, which `make test` installs"))
    }

    /// What arrived until the program ended by itself.
    fn finish(mut self) -> Vec<String> {
        let output = self.0.stdout.take().expect("a pipe");
        let arrived = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .collect();
        let status = self.0.wait().expect("its status");
        assert!(
            status.success(),
            "mosquitto_sub: {status}, after {arrived:?}"
        );
        arrived
    }

    fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // Nothing to do about a process that is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
