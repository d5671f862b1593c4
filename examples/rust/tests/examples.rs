//! The examples are for readers; here they prove that what they show is true.
#![allow(missing_docs)]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use ternmq_broker::{Broker, Config};

const PUBLISH: &str = env!("CARGO_BIN_EXE_publish");

fn broker() -> (Broker, String) {
    let broker = Broker::start(Config::listen("127.0.0.1:0".parse().unwrap())).unwrap();
    let uri = format!("mqtt://{}", broker.local_addrs()[0]);
    (broker, uri)
}

/// What a program says until it ends well.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn start(program: &str, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = Command::new(program);
    let mut child = command
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn expect(lines: &mut Lines<BufReader<ChildStdout>>, line: &str) {
    assert_eq!(lines.next().expect("a line").unwrap(), line);
}

#[test]
fn publish_and_subscribe() {
    let (_broker, uri) = broker();
    let (mut child, mut lines) = start(env!("CARGO_BIN_EXE_subscribe"), &[&uri, "a/+", "2"]);
    expect(&mut lines, "subscribed to a/+");
    for text in ["one", "two"] {
        let said = output(PUBLISH, &[&uri, "a/b", text]);
        assert_eq!(said, format!("delivered: {text}\n"));
        expect(&mut lines, &format!("a/b: {text}"));
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn request_reply() {
    let (_broker, uri) = broker();
    let said = output(env!("CARGO_BIN_EXE_request_reply"), &[&uri, "how are you"]);
    assert_eq!(said, "reply: HOW ARE YOU\n");
}

#[test]
fn last_will() {
    let (_broker, uri) = broker();
    let said = output(env!("CARGO_BIN_EXE_last_will"), &[&uri]);
    assert_eq!(said, "last will: gone without a word\n");
}

#[test]
fn offline() {
    // A port that is free, until the broker comes.
    let address = broker().0.local_addrs()[0];
    let uri = format!("mqtt://{address}");
    let (mut child, mut lines) = start(env!("CARGO_BIN_EXE_offline"), &[&uri, "a", "hello"]);
    expect(&mut lines, "published: 3 messages");
    let _broker = Broker::start(Config::listen(address)).unwrap();
    for n in 1..=3 {
        expect(&mut lines, &format!("delivered: hello {n}"));
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn embedded_broker() {
    let said = output(
        env!("CARGO_BIN_EXE_embedded_broker"),
        &["127.0.0.1:0", "hello"],
    );
    assert_eq!(said, "example/greeting: hello\n");
}

#[test]
fn wrong_arguments_are_told() {
    let output = Command::new(PUBLISH).arg("one").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("URI TOPIC TEXT"));
}
