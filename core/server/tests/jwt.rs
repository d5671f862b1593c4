//! A server that lets in whoever has a token: configured, read again, and explained.

mod program;
#[path = "../../access/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::{Pair, folder};
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, config: &str) -> Self {
        let config = format!("[[listener]]\naddress = '127.0.0.1:0'\n{config}");
        std::fs::write(folder.join("ternmq.toml"), config).unwrap();
        let mut child = ternmq(folder, &["serve", "--json", "--config", "ternmq.toml"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            address: SocketAddr::from(([0; 4], 0)),
        };
        let listening = server.event();
        server.address = listening["address"].as_str().unwrap().parse().unwrap();
        server
    }

    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// What SIGHUP comes to.
    fn reload(&mut self) -> Value {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(status.unwrap().success());
        loop {
            let event = self.event();
            if event["event"] == "certificates_reloaded" || event["what"] == "not_reloaded" {
                return event;
            }
        }
    }

    fn expect(&self, connect: &str, reason: &str) {
        let mut peer = RawPeer::connect(self.address, 5).unwrap();
        peer.send(&format!("CONNECT client_id=c {connect}"))
            .unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ternmq(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn claims(more: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = json!({ "name": "anna", "aud": "mqtt", "exp": now.as_secs() + 3600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The verdict of `ternmq explain connect`, who said it, and why.
fn explain(folder: &Path, words: &[&str]) -> [String; 3] {
    let mut args = vec!["explain", "connect", "--json", "-c", "ternmq.toml"];
    args.extend(words);
    let output = ternmq(folder, &args).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    ["verdict", "by", "text"].map(|key| told[key].as_str().unwrap().to_owned())
}

fn keys(folder: &Path) -> (PathBuf, [Pair; 2]) {
    let pairs = [("old", "EdDSA"), ("new", "ES256")];
    let pairs = pairs.map(|(name, algorithm)| Pair::new(folder, name, algorithm));
    (folder.join("jwks.json"), pairs)
}

fn write(file: &Path, keys: &[Value]) {
    std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
}

#[test]
fn keys_are_read_again_and_while_they_are_wrong_the_old_ones_hold() {
    let folder = folder("server_jwt_reload");
    let (file, [old, new]) = keys(&folder);
    write(&file, &[old.jwk("a")]);
    let config = "[jwt]\nkeys = 'jwks.json'\naudience = 'mqtt'\nuser_claim = 'name'\n";
    let mut server = Server::start(&folder, config);
    let first = old.token(Some("a"), &claims(&json!({})));
    let second = new.token(Some("b"), &claims(&json!({})));
    server.expect(&format!("password={first}"), "0");
    server.expect(&format!("username=anna password={first}"), "0");
    server.expect(&format!("username=ben password={first}"), "0x86");
    server.expect(&format!("password={second}"), "0x86");
    server.expect("username=anna password=x", "0x86");
    // This machine's address, and no name.
    server.expect("", "0");
    std::fs::write(&file, "{\"keys\": 7}").unwrap();
    let told = server.reload();
    assert_eq!(told["what"], "not_reloaded");
    assert!(told.to_string().contains("jwks.json"), "{told}");
    server.expect(&format!("password={first}"), "0");
    write(&file, &[new.jwk("b")]);
    assert_eq!(server.reload()["event"], "certificates_reloaded");
    server.expect(&format!("password={second}"), "0");
    server.expect(&format!("password={first}"), "0x86");
    std::fs::write(&file, "short").unwrap();
    let check = ternmq(&folder, &["config", "check", "ternmq.toml"]);
    let check = { check }.output().unwrap();
    let text = format!("{check:?}");
    assert!(
        !check.status.success() && text.contains("jwks.json"),
        "{text}"
    );
    assert!(!text.contains("\"short\""), "{text}");
    std::fs::write(folder.join("none.toml"), "[jwt]\naudience = 'mqtt'\n").unwrap();
    let serve = ternmq(&folder, &["serve", "--config", "none.toml"]).output();
    let serve = format!("{:?}", serve.unwrap());
    assert!(serve.contains("`jwt.keys` is missing"), "{serve}");
}

#[test]
fn tokens_and_passwords_go_side_by_side_and_are_explained() {
    let folder = folder("server_jwt_both");
    let (file, [own, other]) = keys(&folder);
    write(&file, &[own.jwk("a")]);
    let made = ternmq(
        &folder,
        &["passwd", "-c", "-b", "passwords", "ben", "geheim"],
    )
    .output();
    assert!(made.unwrap().status.success());
    let config = "[access]\npassword_file = 'passwords'\nclient_id = '%u*'\n\
                  [jwt]\nkeys = 'jwks.json'\naudience = 'mqtt'\nuser_claim = 'name'\n";
    let server = Server::start(&folder, config);
    let good = own.token(Some("a"), &claims(&json!({})));
    let late = own.token(Some("a"), &claims(&json!({ "exp": 1 })));
    let elsewhere = own.token(Some("a"), &claims(&json!({ "aud": "web" })));
    let forged = other.token(Some("a"), &claims(&json!({})));
    let peer = |id: &str, user: &str, password: &str, reason: &str| {
        let mut peer = RawPeer::connect(server.address, 5).unwrap();
        let connect = format!("CONNECT client_id={id} username={user} password={password}");
        peer.send(&connect).unwrap();
        let got = peer.expect(&format!("CONNACK reason={reason}"));
        got.unwrap_or_else(|error| panic!("{connect}: {error:?}"));
    };
    for (user, password, reason, by, why) in [
        ("anna", &*good, "0", "jwt", "is good"),
        ("anna", &*late, "0x86", "jwt", "expired"),
        ("anna", &*elsewhere, "0x86", "jwt", "audience"),
        ("anna", &*forged, "0x86", "jwt", "no key"),
        ("ben", &*good, "0x86", "jwt", "another user"),
        ("ben", "geheim", "0", "password_file", "the user's password"),
        ("ben", "x", "0x86", "password_file", "not this"),
        ("anna", "x", "0x86", "password_file", "no user"),
    ] {
        peer(&format!("{user}1"), user, password, reason);
        let [verdict, said, text] = explain(
            &folder,
            &["-i", &format!("{user}1"), "-u", user, "-P", password],
        );
        let expected = if reason == "0" { "allowed" } else { "denied" };
        assert_eq!((&*verdict, &*said), (expected, by), "{user}: {text}");
        assert!(text.contains(why), "{text}");
        assert!(!text.contains(password) || password.len() < 8, "{text}");
    }
    // Nobody takes another's session over with a token of their own.
    peer("ben1", "anna", &good, "0x85");
    peer("ben1", "ben", &good, "0x86");
}
