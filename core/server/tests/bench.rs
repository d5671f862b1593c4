//! `ternmq bench` against our server and mosquitto's.

mod program;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::{Listener, RawPeer};

use crate::program::program;

/// A broker, ended when it is dropped.
struct Broker {
    child: Child,
    url: String,
}

impl Broker {
    fn ours() -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        Self { child, url }
    }

    /// It takes no free port by itself; the kernel does not give this one out again so soon.
    fn mosquitto() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mosquitto");
        let mut command = match Path::new("/usr/sbin/mosquitto") {
            installed if installed.exists() => Command::new(installed),
            _ => {
                let mut command = Command::new(unpacked.join("usr/sbin/mosquitto"));
                command.env("LD_LIBRARY_PATH", unpacked.join("usr/lib/x86_64-linux-gnu"));
                command
            }
        };
        let mut child = command
            .args(["-v", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("running")));
        std::thread::spawn(move || lines.for_each(drop));
        let url = format!("mqtt://127.0.0.1:{port}");
        Self { child, url }
    }

    fn bench(&self, args: &[&str]) -> Command {
        bench(&self.url, args)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bench(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["bench", args[0], "-L", url]).args(&args[1..]);
    command.stdin(Stdio::null()).env_remove("TERNMQ_PASSWORD");
    command
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn every_scenario_counts_what_it_sends_on_every_broker() {
    for broker in [Broker::ours(), Broker::mosquitto()] {
        for (scenario, qos, arrived, clients) in [
            ("fanin", "0", 200, 5),
            ("fanin", "2", 200, 5),
            ("fanout", "1", 800, 5),
            ("pairs", "1", 200, 8),
            ("pairs", "0", 200, 8),
        ] {
            let args = [
                scenario,
                "-n",
                "4",
                "--count",
                "200",
                "-q",
                qos,
                "--json",
                "--inflight",
                "10",
            ];
            let output = broker.bench(&args).output().unwrap();
            let measured = json(&output);
            assert_eq!(output.status.code(), Some(0), "{measured}");
            let messages = &measured["messages"];
            assert_eq!(measured["scenario"], scenario);
            assert_eq!(measured["clients"], clients, "{measured}");
            assert_eq!(messages["published"], 200, "{measured}");
            assert_eq!(messages["expected"], arrived, "{measured}");
            assert_eq!(messages["arrived"], arrived, "{measured}");
            for count in ["lost", "duplicates", "out_of_order"] {
                assert_eq!(messages[count], 0, "{measured}");
            }
            let latency = |name: &str| measured["latency_us"][name].as_u64().unwrap();
            assert!(latency("min") <= latency("p50") && latency("p50") <= latency("p99.9"));
            assert!(latency("p99.99") <= latency("max"));
        }
    }
}

#[test]
fn threads_share_the_work_and_nothing_is_counted_twice_or_not() {
    let broker = Broker::ours();
    for (scenario, clients, threads) in [
        ("fanin", 7, "3"),
        ("fanout", 7, "3"),
        ("pairs", 7, "3"),
        ("pairs", 2, "9"),
        ("fanin", 1, "4"),
        ("fanout", 5, "1"),
    ] {
        let hdr = file("bench-threads.hgrm");
        let number = clients.to_string();
        let args = [
            &[scenario, "-n", &number, "--threads", threads][..],
            &["--count", "1001", "-q", "1", "--inflight", "7", "--json"],
            &["--hdr", hdr.to_str().unwrap()],
        ];
        let output = broker.bench(&args.concat()).output().unwrap();
        let measured = json(&output);
        assert_eq!(output.status.code(), Some(0), "{measured}");
        let messages = &measured["messages"];
        let arrived = if scenario == "fanout" {
            1001 * clients
        } else {
            1001
        };
        assert_eq!(messages["published"], 1001, "{measured}");
        assert_eq!(messages["expected"], arrived, "{measured}");
        assert_eq!(messages["arrived"], arrived, "{measured}");
        for count in ["lost", "duplicates", "out_of_order"] {
            assert_eq!(messages[count], 0, "{measured}");
        }
        // All that arrived is in one histogram.
        let distribution = std::fs::read_to_string(&hdr).unwrap();
        let total = format!("Total count    = {arrived:>12}]");
        assert!(distribution.contains(&total), "{distribution}");
    }
    let args = ["connections", "-n", "20", "--threads", "3", "--json"];
    let measured = json(&broker.bench(&args).output().unwrap());
    assert_eq!(measured["clients"], 20, "{measured}");
    let args = ["fanin", "--threads", "0"];
    assert_eq!(broker.bench(&args).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_rate_is_of_all_threads_together() {
    let broker = Broker::ours();
    let args = "pairs -n 4 --threads 4 --rate 100 --duration 1 --json";
    let args: Vec<&str> = args.split(' ').collect();
    let measured = json(&broker.bench(&args).output().unwrap());
    let published = measured["messages"]["published"].as_u64().unwrap();
    assert!((1..=104).contains(&published), "{measured}");
}

#[test]
fn a_rate_a_size_and_a_time_are_kept() {
    let broker = Broker::ours();
    let args = [
        "fanin",
        "-n",
        "2",
        "--rate",
        "100",
        "--duration",
        "1",
        "--size",
        "1000",
        "--json",
    ];
    let output = broker.bench(&args).output().unwrap();
    let measured = json(&output);
    let published = measured["messages"]["published"].as_u64().unwrap();
    // The rate is a bound; how near it comes is for the machine.
    assert!((1..=101).contains(&published), "{measured}");
    assert_eq!(measured["messages"]["size"], 1000);
    for (args, hint) in [
        (["fanin", "--size", "23"], "23 is not in 24"),
        (["fanin", "-n", "0"], "0 is not in 1"),
        (["fanin", "--inflight", "0"], "0 is not in 1"),
    ] {
        let output = broker.bench(&args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains(hint), "{stderr}");
    }
}

#[test]
fn connections_are_made_and_kept() {
    for broker in [Broker::ours(), Broker::mosquitto()] {
        let hdr = file("bench-connections.hgrm");
        let args = [
            "connections",
            "-n",
            "50",
            "--connect-rate",
            "0",
            "--hdr",
            hdr.to_str().unwrap(),
        ];
        let output = broker.bench(&args).output().unwrap();
        let table = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(
            table.contains("clients          50\n") && table.contains("p99 "),
            "{table}"
        );
        // No bar and no colour but on a terminal.
        assert!(output.stderr.is_empty(), "{output:?}");
        let distribution = std::fs::read_to_string(&hdr).unwrap();
        let mut lines = distribution.lines();
        let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(
            heads,
            ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        );
        let last = lines.rfind(|line| !line.is_empty() && !line.starts_with('#'));
        let last: Vec<&str> = last.unwrap().split_whitespace().collect();
        assert_eq!(last[1..], ["1.000000000000", "50"]);
        assert!(
            distribution.contains("Total count    =           50]"),
            "{distribution}"
        );
    }
    let nobody = bench("mqtt://127.0.0.1:1", &["connections", "-n", "2"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    let nobody = bench("mqtt://127.0.0.1:1", &["pairs", "-n", "2"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn ctrl_c_prints_what_was_measured() {
    let broker = Broker::ours();
    let mut watcher = RawPeer::introduced(
        broker.url.trim_start_matches("mqtt://").parse().unwrap(),
        5,
        "CONNECT client_id=watcher",
    )
    .unwrap();
    watcher
        .send("SUBSCRIBE id=1 filter=mine/# options=0")
        .unwrap();
    watcher.expect("SUBACK id=1").unwrap();
    let args = [
        "pairs",
        "-n",
        "2",
        "--duration",
        "600",
        "--prefix",
        "mine",
        "--rate",
        "50",
        "--json",
    ];
    let mut child = broker.bench(&args).stdout(Stdio::piped()).spawn().unwrap();
    // It has begun when its messages come.
    for _ in 0..10 {
        watcher.next_packet().unwrap().unwrap();
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    let measured: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(measured["interrupted"], true);
    assert!(
        measured["messages"]["published"].as_u64().unwrap() >= 10,
        "{measured}"
    );
}

/// A broker that hands the second message on twice, the fourth before the third, and loses the last one.
#[test]
fn a_broker_that_loses_repeats_and_reorders_is_found_out() {
    let listener = Listener::bind().unwrap();
    let url = format!("mqtt://{}", listener.address().unwrap());
    let args = [
        "fanin",
        "-n",
        "1",
        "--count",
        "5",
        "--json",
        "--connect-rate",
        "1",
    ];
    let child = bench(&url, &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = listener.accept(5).unwrap();
        peer.expect("CONNECT").unwrap();
        peer.send("CONNACK session_present=0 reason=0").unwrap();
        peers.push(peer);
    }
    let [publisher, subscriber] = &mut peers[..] else {
        panic!("two clients");
    };
    subscriber.expect("SUBSCRIBE id=1").unwrap();
    subscriber.send("SUBACK id=1 code=0").unwrap();
    let mut sent: Vec<_> = (0..5)
        .map(|_| publisher.expect("PUBLISH").unwrap())
        .collect();
    sent.truncate(4);
    for at in [0, 1, 1, 3, 2] {
        subscriber.send_line(&sent[at]).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let measured = json(&output);
    assert_eq!(output.status.code(), Some(3), "{measured}");
    let messages = &measured["messages"];
    assert_eq!(messages["arrived"], 4, "{measured}");
    assert_eq!(messages["lost"], 1);
    assert_eq!(messages["duplicates"], 1);
    assert_eq!(messages["out_of_order"], 1);
}
