//! `ternmq config`, and what a server makes of file, environment and command line.

mod program;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::program::program;

fn ternmq(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.into_string().unwrap_or_default();
        if name.starts_with("TERNMQ_") {
            command.env_remove(name);
        }
    }
    command
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_all_that_is_wrong_and_where() {
    let text = "shards = 300\n[limits]\nqueue_mesages = 5\n[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\n";
    let path = file("wrong.toml", text);
    let path = path.to_str().unwrap();
    let output = ternmq(&["config", "check", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = err(&output);
    let lines: Vec<&str> = told.lines().collect();
    let places = ["line 1, column 1", "line 3, column 1", "line 4, column 1"];
    assert_eq!(lines.len(), 3, "{told}");
    for (line, place) in lines.iter().zip(places) {
        assert!(line.contains(path) && line.contains(place), "{told}");
    }
    assert!(
        lines[1].contains("did you mean `queue_messages`?"),
        "{told}"
    );

    let output = ternmq(&["config", "check", path, "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(told["problems"][1]["key"], "limits.queue_mesages");
    assert_eq!(told["problems"][1]["where"]["line"], 3);
    assert_eq!(told["problems"][1]["where"]["file"], path);

    // What is right by itself may name what is not there, or not go together.
    let text = "[[listener]]\ntype = 'tls'\naddress = '127.0.0.1:0'\ncertificate = 'none.pem'\n\
        key = 'none.key'\n[limits]\nshard_input_bytes = 2000\n";
    let path = file("absent.toml", text);
    let output = ternmq(&["config", "check"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = err(&output);
    assert!(
        told.contains("none.pem") && told.contains("largest packet"),
        "{told}"
    );

    let path = file("right.toml", "shards = 1\n");
    let output = ternmq(&["config", "check"]).arg(&path).output().unwrap();
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );
    let output = ternmq(&["config", "check"])
        .arg("no-such-file")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("no-such-file"));
}

#[test]
fn what_is_printed_by_default_is_right() {
    let printed = ternmq(&["config", "default"]).output().unwrap();
    let old = ternmq(&["serve", "--print-config"]).output().unwrap();
    assert_eq!(printed.stdout, old.stdout);
    let path = file("default.toml", &out(&printed));
    let checked = ternmq(&["config", "check"]).arg(&path).status().unwrap();
    assert!(checked.success());
    let schema = ternmq(&["config", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let queue = &schema["properties"]["limits"]["properties"]["queue_messages"];
    assert_eq!(queue["default"], 500_000);
    assert_eq!(
        (&queue["type"], &queue["x-unit"]),
        (&"integer".into(), &"messages".into())
    );
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn explain_says_where_a_value_comes_from() {
    let path = file(
        "explain.toml",
        "\n[limits]\nqueue_messages = 9\nkeep_alive = 3\n",
    );
    let explain = |key: &str| {
        let mut command = ternmq(&["config", "explain", key, "--config"]);
        command.arg(&path).env("TERNMQ_LIMITS__KEEP_ALIVE", "4");
        command
    };
    let told = out(&explain("limits.queue_messages").output().unwrap());
    for words in [
        "default: 500000",
        "in messages",
        "now: limits.queue_messages = 9 (",
        "line 3",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = out(&explain("keep_alive").output().unwrap());
    assert!(
        told.contains("= 4 (environment variable TERNMQ_LIMITS__KEEP_ALIVE)"),
        "{told}"
    );
    let told = out(&explain("limits.sessions").output().unwrap());
    assert!(told.contains("now: 2000000 (default)"), "{told}");
    let told = out(&explain("listener.address")
        .args(["-l", "127.0.0.1:7"])
        .output()
        .unwrap());
    assert!(
        told.contains("listener[0].address = \"127.0.0.1:7\" (command line, --listen)"),
        "{told}"
    );
    let told = out(&explain("limits.queue").output().unwrap());
    assert!(told.contains("limits.queue_messages\n") && told.contains("limits.queue_policy\n"));
    let output = explain("limits.queue_mesages").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("did you mean `limits.queue_messages`?"));
    let told = explain("limits.keep_alive").arg("--json").output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        (&told[0]["default"], &told[0]["now"][0]["value"]),
        (&0.into(), &4.into())
    );
    assert_eq!(
        told[0]["now"][0]["where"]["variable"],
        "TERNMQ_LIMITS__KEEP_ALIVE"
    );
}

#[test]
fn no_secret_is_shown() {
    let mut passwd = ternmq(&[
        "passwd",
        "anna",
        "--iterations",
        "4096",
        "--hash",
        "sha-256",
    ]);
    passwd.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = passwd.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"geheim\n").unwrap();
    drop(stdin);
    let lines = out(&child.wait_with_output().unwrap());
    let secret = lines.rsplit_once(':').unwrap().1.trim().trim_matches('"');
    assert!(secret.len() > 20, "{lines}");
    let path = file("secret.toml", &lines);
    for args in [
        &["config", "show", "--config"][..],
        &["config", "explain", "user", "--config"],
        &["config", "explain", "user", "--json", "--config"],
    ] {
        let told = out(&ternmq(args).arg(&path).output().unwrap());
        assert!(told.contains("anna") && !told.contains(secret), "{told}");
    }
}

#[test]
fn a_server_takes_the_command_line_before_the_environment_before_the_file() {
    let path = file("order.toml", "[[listener]]\naddress = '127.0.0.1:1'\n");
    let start = |args: &[&str]| {
        let mut command = ternmq(&["serve", "--json", "--config"]);
        command.arg(&path).args(args).stdout(Stdio::piped());
        command.env("TERNMQ_LISTENER", "[{ address = '127.0.0.2:0' }]");
        command.env("TERNMQ_SHARD", "1");
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let events: Vec<Value> = (0..2)
            .map(|_| {
                let mut line = String::new();
                stdout.read_line(&mut line).unwrap();
                serde_json::from_str(&line).unwrap()
            })
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        events
    };
    let events = start(&[]);
    assert!(
        events[0]["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.2:")
    );
    assert_eq!(events[1]["what"], "configuration");
    assert_eq!(events[1]["problem"]["hint"], "did you mean TERNMQ_SHARDS?");
    let events = start(&["--listen", "127.0.0.3:0"]);
    assert!(
        events[0]["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.3:")
    );

    let mut command = ternmq(&["serve", "--listen", "127.0.0.1:0"]);
    let output = command
        .env("TERNMQ_LIMITS__QUEUE_MESAGES", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("did you mean TERNMQ_LIMITS__QUEUE_MESSAGES?"));
}
