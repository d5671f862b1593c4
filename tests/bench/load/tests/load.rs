//! The load generator against our broker, where all is well, and against a relay that sends things to the
//! wrong place: a measurement is worth what notices that it is void.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use ternmq_broker::{Broker, Config};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bench-load");

fn load(words: &str, address: SocketAddr) -> (Value, Option<i32>) {
    let output = Command::new(PROGRAM)
        .args(words.split(' '))
        .args(["--port", &address.port().to_string()])
        .args([
            "--broker-pid",
            &std::process::id().to_string(),
            "--settle",
            "0",
        ])
        .output()
        .expect("the load generator");
    let text = String::from_utf8(output.stdout).expect("text");
    let told = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{words}: {text:?}"));
    (told, output.status.code())
}

/// A load, and what it has to count.
const EVERY: [(&str, &str, &str, u64); 12] = [
    (
        "fanin --conns 5 --count 2000 --warmup 100",
        "messages",
        "received",
        2000,
    ),
    (
        "fanout --conns 5 --qos 1 --count 200 --warmup 10",
        "messages",
        "received",
        1000,
    ),
    (
        "pairs --conns 5 --qos 2 --version 5 --count 500",
        "messages",
        "acked",
        500,
    ),
    (
        "pairs --conns 2 --qos 1 --version 3 --count 100 --batch 1",
        "messages",
        "received",
        100,
    ),
    (
        "latency --qos 1 --count 100 --warmup 10",
        "messages",
        "received",
        100,
    ),
    (
        "fanin --conns 2 --size 100000 --count 50 --warmup 2",
        "messages",
        "received",
        50,
    ),
    ("retained --count 500", "delivery", "received", 500),
    (
        "subs --conns 3 --subscriptions 1000 --count 500",
        "messages",
        "received",
        500,
    ),
    ("offline --count 500 --version 5", "drain", "received", 500),
    (
        "conns --conns 20 --ping --subscribe",
        "connections",
        "ping_answered",
        20,
    ),
    ("churn --conns 4 --count 50", "connections", "finished", 50),
    (
        "churn --conns 4 --count 50 --subscribe",
        "connections",
        "finished",
        50,
    ),
];

/// A relay of this shape, which ends with the value.
struct Relay(Child, SocketAddr);

impl Relay {
    fn new(shape: &str) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["relay", "--port", "0", "--shape", shape])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the relay");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().parse().expect("an address");
        Self(child, address)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_scenario_is_correct_with_our_broker() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(any)).expect("a broker");
    let address = broker.local_addrs()[0];
    for (words, part, key, count) in EVERY {
        let (told, status) = load(words, address);
        assert_eq!(told["verdict"]["correct"], true, "{words}: {told}");
        assert_eq!(told[part][key], count, "{words}: {told}");
        assert!(
            told["costs"]["broker"]["cpu_s"].as_f64() > Some(0.0),
            "{words}: {told}"
        );
        assert_eq!(status, Some(0), "{words}");
    }
}

#[test]
fn the_relay_is_as_good_as_a_broker_where_its_shape_fits() {
    for shape in ["fanin", "fanout", "pairs"] {
        let relay = Relay::new(shape);
        for qos in 0..3 {
            let words = format!("{shape} --conns 4 --qos {qos} --count 500 --warmup 50");
            let (told, status) = load(&words, relay.1);
            assert_eq!(
                (status, &told["verdict"]["correct"]),
                (Some(0), &Value::Bool(true)),
                "{told}"
            );
        }
    }
}

#[test]
fn what_goes_to_the_wrong_place_or_nowhere_is_told() {
    let everywhere = Relay::new("fanin");
    let (told, status) = load(
        "pairs --conns 3 --count 30 --warmup 0 --stall-timeout 0.3",
        everywhere.1,
    );
    assert_eq!(status, Some(3), "{told}");
    assert_eq!(told["messages"]["misrouted"], 60, "{told}");

    // Nobody asks for a topic with a number: there is nowhere to go.
    let nowhere = Relay::new("pairs");
    let (told, status) = load(
        "fanin --conns 3 --count 30 --warmup 0 --stall-timeout 0.3",
        nowhere.1,
    );
    assert_eq!(status, Some(3), "{told}");
    assert_eq!(
        (&told["messages"]["lost"], &told["messages"]["stalled"]),
        (&30.into(), &true.into())
    );
}

#[test]
fn what_cannot_be_measured_has_a_status_of_its_own() {
    let gone = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("its address")
    };
    let (told, status) = load("fanin --conns 2 --count 10 --stall-timeout 0.3", gone);
    assert_eq!(
        (status, &told["verdict"]["finished"]),
        (Some(2), &Value::Bool(false)),
        "{told}"
    );
}
