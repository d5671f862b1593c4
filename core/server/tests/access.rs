//! Who may do what by the files of rules that a configuration names.

mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

/// A server in a folder of its own, with files in it.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn start(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = folder(name, files);
        let mut child = ternmq(&folder, &["serve", "--json", "--config", "ternmq.toml"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            address: SocketAddr::from(([0; 4], 0)),
            folder,
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

    /// What it says of a file that has changed: the first event that is about rules, or a refusal.
    fn reload(&mut self, file: &str, text: &str) -> Value {
        std::fs::write(self.folder.join(file), text).unwrap();
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(status.unwrap().success());
        loop {
            let event = self.event();
            if event["event"] == "rules_reloaded" || event["what"] == "not_reloaded" {
                return event;
            }
        }
    }

    fn client(&self, client_id: &str, user: &str) -> RawPeer {
        let connect = format!("CONNECT client_id={client_id} username={user} password=x");
        RawPeer::introduced(self.address, 5, &connect).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn ternmq(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn output(folder: &Path, args: &[&str]) -> Output {
    ternmq(folder, args).output().unwrap()
}

/// Publishes and subscribes, and compares the reason codes.
fn expect(peer: &mut RawPeer, line: &str, reason: &str) {
    let (kind, rest) = line.split_once(' ').unwrap();
    let answer = match kind {
        "publish" => {
            peer.send(&format!("PUBLISH qos=1 id=1 payload=x {rest}"))
                .unwrap();
            format!("PUBACK id=1 reason={reason}")
        }
        _ => {
            peer.send(&format!("SUBSCRIBE id=1 {rest}")).unwrap();
            format!("SUBACK id=1 code={reason}")
        }
    };
    let got = peer.expect(&answer);
    got.unwrap_or_else(|error| panic!("{line}: {error:?}"));
}

const CONFIG: &str = "[[listener]]\naddress = '127.0.0.1:0'\n[access]\nrules = 'rules'\n";

const RULES: &str = "\
group sensors = s1 \"s*\"
allow group sensors publish qos 1 topic sensors/%u/%c/#
deny client bad-* topic #
allow subscribe topic public/#
allow address 192.0.2.0/24
";

/// Allowed, though nobody subscribes.
const YES: &str = "0x10";
const NO: &str = "0x87";

#[test]
fn a_file_of_rules_decides_and_what_it_does_not_name_is_denied() {
    let server = Server::start("rules", &[("ternmq.toml", CONFIG), ("rules", RULES)]);
    let mut one = server.client("c1", "s1");
    expect(&mut one, "publish topic=sensors/s1/c1/t", YES);
    expect(&mut one, "publish topic=sensors/s1/c2/t", NO);
    expect(&mut one, "publish topic=other", NO);
    expect(&mut one, "subscribe filter=public/# options=0", "0");
    expect(&mut one, "subscribe filter=# options=0", NO);
    let mut bad = server.client("bad-1", "s1");
    expect(&mut bad, "subscribe filter=public/# options=0", NO);
    // Names that would be wildcards or more than a level, were they not compared.
    for (id, user) in [("+", "+"), ("#", "s1"), ("c1/x", "s*"), ("c1", "#")] {
        let mut peer = server.client(id, user);
        for topic in [
            "sensors/s1/c1/t",
            "sensors/+",
            "sensors/s1/c1/x/t",
            "sensors/s*/c1",
        ] {
            if !topic.contains('+') {
                expect(&mut peer, &format!("publish topic={topic}"), NO);
            }
        }
        for filter in ["sensors/#", "sensors/+/+/#", "sensors/+/c1"] {
            expect(
                &mut peer,
                &format!("subscribe filter={filter} options=0"),
                NO,
            );
        }
    }
}

#[test]
fn a_reload_takes_all_of_a_file_or_nothing_and_says_where_it_is_wrong() {
    let files = [("ternmq.toml", CONFIG), ("rules", RULES)];
    let mut server = Server::start("rules_again", &files);
    let mut peer = server.client("c1", "s1");
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
    // The line in front of the wrong one does not hold either.
    let told = server.reload("rules", "allow\n\n  deny publsh topic x\n");
    let place = &told["problems"][0]["where"];
    assert_eq!(told["what"], "not_reloaded");
    assert_eq!((&place["line"], &place["column"]), (&3.into(), &8.into()));
    assert!(place["file"].as_str().unwrap().ends_with("rules"), "{told}");
    expect(&mut peer, "publish topic=other", NO);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
    // A file that is gone keeps the rules as well.
    std::fs::remove_file(server.folder.join("rules")).unwrap();
    let told = server.reload("ternmq.toml", CONFIG);
    assert!(
        told["problems"][0]["what"]
            .as_str()
            .unwrap()
            .contains("rules"),
        "{told}"
    );
    expect(&mut peer, "publish topic=other", NO);
    let told = server.reload("rules", "allow publish topic other\n");
    assert_eq!(told["rules"], 1);
    expect(&mut peer, "publish topic=other", YES);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", NO);
    // What holds where no rule does is read again with the rest.
    let allow = format!("{CONFIG}default = 'allow'\n");
    assert_eq!(server.reload("ternmq.toml", &allow)["rules"], 1);
    expect(&mut peer, "publish topic=sensors/s1/c1/t", YES);
}

#[test]
fn an_acl_file_of_mosquitto_is_read_as_it_is() {
    let config = CONFIG.replace("rules = 'rules'", "mosquitto_acl_file = 'aclfile'");
    let acl = "topic read news/#\n\nuser anna\ntopic lab/#\ntopic deny lab/secret\n\n# all\npattern write %u/%c\n";
    let server = Server::start("aclfile", &[("ternmq.toml", &config), ("aclfile", acl)]);
    let mut anna = server.client("c1", "anna");
    expect(&mut anna, "publish topic=lab/x", YES);
    expect(&mut anna, "publish topic=lab/secret", NO);
    expect(&mut anna, "subscribe filter=lab/# options=0", NO);
    expect(&mut anna, "subscribe filter=lab/x/# options=0", "0");
    expect(&mut anna, "publish topic=anna/c1", YES);
    expect(&mut anna, "publish topic=ben/c1", NO);
    expect(&mut anna, "subscribe filter=news/# options=0", NO);
    let nobody = RawPeer::introduced(server.address, 5, "CONNECT client_id=c2");
    let mut nobody = nobody.unwrap();
    expect(&mut nobody, "subscribe filter=news/# options=0", "0");
    expect(&mut nobody, "publish topic=lab/x", NO);
}

#[test]
fn a_server_does_not_start_without_the_rules_that_it_is_to_follow() {
    let wrong = folder(
        "rules_wrong",
        &[("ternmq.toml", CONFIG), ("rules", "allow\nallow usr x")],
    );
    let none = folder("rules_none", &[("ternmq.toml", CONFIG)]);
    let _ = std::fs::remove_file(none.join("rules"));
    for (folder, told) in [
        (&wrong, "rules, line 2, column 7: expected `user`"),
        (&none, "rules"),
    ] {
        for args in [
            &["serve", "--config", "ternmq.toml"][..],
            &["config", "check", "ternmq.toml"],
        ] {
            let output = output(folder, args);
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(
                !output.status.success() && text.contains(told),
                "{args:?}: {text}"
            );
        }
    }
}
