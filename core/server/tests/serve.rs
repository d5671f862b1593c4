//! `ternmq serve` with a configuration, watched by what it tells programs of itself.

mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use ternmq_broker::store::{Options, Store, export};
use ternmq_test_broker_wire::RawPeer;

use crate::program::program;

/// A server with a configuration file, that speaks JSON.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    /// What it told before it listened.
    before: Vec<Value>,
}

impl Server {
    fn start(folder: &Path, config: &str) -> Self {
        std::fs::write(folder.join("ternmq.toml"), config).unwrap();
        let mut command = Command::new(program());
        command.args(["serve", "--config"]).arg("ternmq.toml");
        Self::spawn(command.current_dir(folder))
    }

    fn spawn(command: &mut Command) -> Self {
        command.args(["--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            child,
            stdout,
            address: SocketAddr::from(([0; 4], 0)),
            before: Vec::new(),
        };
        let listening = loop {
            match server.event() {
                event if event["event"] == "listening" => break event,
                other => server.before.push(other),
            }
        };
        server.address = listening["address"].as_str().unwrap().parse().unwrap();
        server
    }

    fn client(&self, client_id: &str) -> RawPeer {
        let connect = format!("CONNECT client_id={client_id}");
        RawPeer::introduced(self.address, 5, &connect).unwrap()
    }

    /// The next thing that it tells.
    fn event(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    /// What it tells once all of its data folder is there again.
    fn restored(&mut self) -> Value {
        self.told("event", "restored")
    }

    /// The first event of which this is so; it may have come before that it listens.
    fn told(&mut self, key: &str, value: &str) -> Value {
        let is_it = |event: &&Value| event[key] == value;
        if let Some(event) = self.before.iter().find(is_it) {
            return event.clone();
        }
        loop {
            let event = self.event();
            if is_it(&&event) {
                return event;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// What it tells until it has ended.
    fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while events
            .last()
            .is_none_or(|event: &Value| event["event"] != "stopped")
        {
            events.push(self.event());
        }
        assert!(self.child.wait().unwrap().success());
        events
    }

    fn stop(self) -> Vec<Value> {
        self.signal("TERM");
        self.rest()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone in tests that stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Members of one group, and what they do with it.
struct Group {
    members: Vec<RawPeer>,
    publishers: Vec<RawPeer>,
}

/// What a member got: publisher and topic of each message, in order.
type Got = Vec<(usize, String)>;

impl Group {
    fn of(server: &Server, share_name: &str) -> Self {
        let member = |n| {
            let mut member = server.client(&format!("m{n}"));
            let filter = format!("$share/{share_name}/t/#");
            member
                .send(&format!("SUBSCRIBE id=1 filter={filter} options=1"))
                .unwrap();
            member.expect("SUBACK id=1 code=1").unwrap();
            member
        };
        Self {
            members: (0..3).map(member).collect(),
            publishers: (0..4).map(|n| server.client(&format!("p{n}"))).collect(),
        }
    }

    fn publish(&mut self, publisher: usize, topic: usize) {
        let peer = &mut self.publishers[publisher];
        peer.send(&format!(
            "PUBLISH topic=t/{topic} qos=1 id=1 payload={publisher}"
        ))
        .unwrap();
        peer.expect("PUBACK id=1").unwrap();
    }

    /// Takes all that has come to a member; with one shard that is all there is.
    fn take(&mut self, member: usize, acknowledge: bool) -> Got {
        let peer = &mut self.members[member];
        peer.send("PINGREQ").unwrap();
        let mut got = Got::new();
        loop {
            let packet = peer.next_packet().unwrap().expect("a connection");
            if packet.word(0) == "PINGRESP" {
                return got;
            }
            let publisher = packet.number("payload", 0) as usize;
            got.push((publisher, packet.text("topic", "")));
            if acknowledge {
                let id = packet.number("id", 0);
                peer.send(&format!("PUBACK id={id}")).unwrap();
            }
        }
    }
}

/// 96 messages of 4 publishers to 24 topics.
fn shared(server: &Server, share_name: &str) -> [Got; 3] {
    let mut group = Group::of(server, share_name);
    for n in 0..96 {
        group.publish(n % 4, n / 4);
    }
    let got = [0, 1, 2].map(|member| group.take(member, true));
    assert_eq!(got.iter().map(Got::len).sum::<usize>(), 96);
    got
}

/// That no two members got the same `what`.
fn are_apart<T: PartialEq>(got: &[Got; 3], what: impl Fn(&(usize, String)) -> T) -> bool {
    let has = |member: usize, value: &T| got[member].iter().any(|one| what(one) == *value);
    let alone = |member: usize, one| (0..3).all(|m| m == member || !has(m, &what(one)));
    (0..3).all(|member| got[member].iter().all(|one| alone(member, one)))
}

#[test]
fn groups_choose_their_members_as_the_configuration_says() {
    let folder = folder("strategies");
    let lengths = |got: &[Got; 3]| got.each_ref().map(Vec::len);
    let by_default = |strategy: &str, check: &dyn Fn(&[Got; 3]) -> bool| {
        let config = format!(
            "shards = 1\n[shared_subscriptions]\nstrategy = \"{strategy}\"\n\
             [[shared_subscriptions.group]]\nname = \"turns\"\nstrategy = \"round_robin\"\n"
        );
        let server = Server::start(&folder, &config);
        let got = shared(&server, "any");
        assert!(check(&got), "{strategy}: {got:?}");
        // The group that is named keeps its own, whatever the others have.
        drop(server);
        let server = Server::start(&folder, &config);
        assert_eq!(lengths(&shared(&server, "turns")), [32; 3], "{strategy}");
    };
    by_default("round_robin", &|got| lengths(got) == [32; 3]);
    by_default("random", &|got| {
        lengths(got).iter().all(|n| *n > 5) && !are_apart(got, |(publisher, _)| *publisher)
    });
    by_default("sticky", &|got| lengths(got).contains(&96));
    by_default("hash_clientid", &|got| {
        are_apart(got, |(publisher, _)| *publisher)
    });
    by_default("hash_topic", &|got| {
        are_apart(got, |(_, topic)| topic.clone()) && lengths(got).iter().all(|n| *n < 96)
    });
}

#[test]
fn the_member_with_the_least_to_do_gets_the_next_message() {
    let config = "shards = 1\n[[shared_subscriptions.group]]\nname = \"w\"\n\
                  strategy = \"least_inflight\"\n";
    let server = Server::start(&folder("least"), config);
    let mut group = Group::of(&server, "w");
    let mut counts = [0; 3];
    for n in 0..30 {
        group.publish(0, n);
        for (member, count) in counts.iter_mut().enumerate() {
            // The first one never acknowledges what it got.
            *count += group.take(member, member > 0).len();
        }
    }
    assert_eq!(counts[0], 1);
    assert_eq!(counts.iter().sum::<usize>(), 30);
}

#[test]
fn a_drain_and_a_ban_are_told() {
    let folder = folder("told");
    let config = "server_reference = \"other:1883\"\nserver_moved = true\ndrain_rate = 0\n\
                  [flapping]\nmax = 1\nban_for = 7\n";
    let mut server = Server::start(&folder, config);
    let quiet = server.client("quiet");
    drop(server.client("mad"));
    let mut again = RawPeer::connect(server.address, 5).unwrap();
    again.send("CONNECT client_id=mad").unwrap();
    again.expect_refusal("CONNACK reason=0x8a").unwrap();
    let banned = server.event();
    let until = banned["until"].as_str().unwrap();
    assert!(until.ends_with('Z') && until.contains('T'), "{until}");
    let reason = "more than 1 connections within 60 s";
    assert_eq!(
        banned,
        json!({ "event": "banned", "who": "client \"mad\"", "reason": reason, "by": "flapping",
            "until": until })
    );
    server.signal("USR1");
    let draining = json!({ "event": "draining", "by": "SIGUSR1", "server_reference": "other:1883",
        "moved": true, "rate": 0, "seconds": 0 });
    assert_eq!(server.event(), draining);
    drop(quiet);
    let [stopping, stopped] = &server.rest()[..] else {
        panic!("more than an end");
    };
    assert_eq!(*stopping, json!({ "event": "stopping", "by": "drained" }));
    assert_eq!(
        (&stopped["connections"], &stopped["refused"]),
        (&json!(3), &json!(1))
    );
}

#[test]
fn what_a_data_folder_gives_back_is_told() {
    let folder = folder("kept");
    let spawn = || {
        let mut command = Command::new(program());
        let command = command
            .current_dir(&folder)
            .args(["serve", "--data", "data"]);
        Server::spawn(command)
    };
    let mut server = spawn();
    server.restored();
    let mut keeper = RawPeer::connect(server.address, 5).unwrap();
    keeper
        .send("CONNECT client_id=keeper session_expiry=1000")
        .unwrap();
    keeper.expect("CONNACK reason=0").unwrap();
    keeper
        .send("PUBLISH topic=a retain=1 qos=1 id=1 payload=x")
        .unwrap();
    keeper.expect("PUBACK id=1").unwrap();
    // A client that is there is let go of first.
    let [draining, stopping, stopped] = &server.stop()[..] else {
        panic!("more than an end");
    };
    assert_eq!(
        (&draining["event"], &draining["by"]),
        (&json!("draining"), &json!("SIGTERM"))
    );
    assert_eq!(*stopping, json!({ "event": "stopping", "by": "SIGTERM" }));
    assert_eq!(stopped["received"], 1);
    let mut server = spawn();
    let restored = json!({ "event": "restored", "sessions": 1, "retained": 1, "delayed": 0 });
    assert_eq!(server.restored(), restored);
    server.stop();
}

#[test]
fn the_records_of_an_older_server_are_taken_in() {
    let folder = folder("older");
    let server = keeping(&folder);
    let (mut reader, _) = kept(&server, "reader");
    reader.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    reader.expect("SUBACK id=1 code=1").unwrap();
    drop(reader);
    let mut publisher = server.client("publisher");
    publisher
        .send("PUBLISH topic=t qos=1 id=7 retain=1 payload=waits")
        .unwrap();
    publisher.expect("PUBACK id=7").unwrap();
    server.stop();
    let data = folder.join("data");
    let store = Store::open(&data, &Options::default()).unwrap();
    let mut records = std::fs::File::create(folder.join("records")).unwrap();
    export(&store, &mut records).unwrap();
    drop((store, records));
    std::fs::remove_file(data.join("store.redb")).unwrap();
    std::fs::rename(folder.join("records"), data.join("records")).unwrap();
    let mut server = keeping(&folder);
    let restored = json!({ "event": "restored", "sessions": 1, "retained": 1, "delayed": 0 });
    assert_eq!(server.restored(), restored);
    assert_eq!(payloads_of(&server, "reader"), ["waits"]);
    server.stop();
    assert!(data.join("records.taken").exists() && !data.join("records").exists());
    // The same file without its end: what is missing is told, and the file is kept.
    std::fs::remove_file(data.join("store.redb")).unwrap();
    let whole = std::fs::read(data.join("records.taken")).unwrap();
    let cut = &whole[..whole.len() - 3];
    std::fs::write(data.join("records"), cut).unwrap();
    let mut server = keeping(&folder);
    let told = server.told("what", "old_records");
    assert_eq!(
        (&told["complete"], &told["sessions"]),
        (&json!(false), &json!(1))
    );
    assert!(told["aside"].as_str().unwrap().ends_with("records.taken"));
    server.stop();
    assert_eq!(std::fs::read(data.join("records.taken")).unwrap(), cut);
}

fn payloads_of(server: &Server, client_id: &str) -> Vec<String> {
    let (mut reader, present) = kept(server, client_id);
    assert!(present);
    let message = reader.expect("PUBLISH topic=t qos=1").unwrap();
    vec![message.text("payload", "").to_owned()]
}

/// A server that keeps its state in a folder.
fn keeping(folder: &Path) -> Server {
    let mut command = Command::new(program());
    command.args(["serve", "--data", "data"]);
    Server::spawn(command.current_dir(folder))
}

/// A connection of a client that keeps its session, and whether it was there.
fn kept(server: &Server, client_id: &str) -> (RawPeer, bool) {
    let mut peer = RawPeer::connect(server.address, 4).unwrap();
    peer.send(&format!("CONNECT client_id={client_id} clean_start=0"))
        .unwrap();
    let connack = peer.expect("CONNACK reason=0").unwrap();
    (peer, connack.number("session_present", 0) == 1)
}

/// Publishes numbers until the server is killed. Returns how many were sent, and how many acknowledged.
fn publish_until_killed(server: &Server, qos: u8) -> (u32, u32) {
    let mut publisher = server.client(&format!("publisher-{qos}"));
    let (mut sent, mut acknowledged) = (0, 0);
    loop {
        // Some are always on their way.
        while sent < acknowledged + 20 {
            let id = sent % 60_000 + 1;
            let publish = format!("PUBLISH topic=t/{qos} qos={qos} id={id} payload={sent}");
            if publisher.send(&publish).is_err() {
                return (sent, acknowledged);
            }
            sent += 1;
        }
        let Ok(Some(packet)) = publisher.next_packet() else {
            return (sent, acknowledged);
        };
        match packet.word(0) {
            "PUBACK" | "PUBREC" => acknowledged += 1,
            _ => continue,
        }
        if packet.word(0) == "PUBREC" {
            // It may be gone by now, which the next packet shows.
            let id = packet.number("id", 0);
            let _ = publisher.send(&format!("PUBREL id={id}"));
        }
    }
}

/// The numbers that the reader gets with a QoS, in their order.
fn numbers(server: &Server, client_id: &str, least: u32) -> Vec<u32> {
    let (mut reader, present) = kept(server, client_id);
    assert!(present);
    let mut got = Vec::new();
    let mut settled = false;
    loop {
        if got.len() as u32 >= least && !settled {
            settled = true;
            reader.send("PINGREQ").unwrap();
        }
        let packet = reader.next_packet().unwrap().unwrap();
        let id = packet.number("id", 0);
        match (packet.word(0), packet.number("qos", 0)) {
            ("PINGRESP", _) => return got,
            ("PUBLISH", qos) => {
                got.push(packet.text("payload", "").parse().unwrap());
                let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
                reader.send(&format!("{answer} id={id}")).unwrap();
            }
            _ => reader.send(&format!("PUBCOMP id={id}")).unwrap(),
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_in_the_middle_of_it() {
    let folder = folder("killed");
    for qos in [1, 2] {
        let mut server = keeping(&folder);
        let name = format!("reader-{qos}");
        let (mut reader, present) = kept(&server, &name);
        assert!(!present);
        let filter = format!("t/{qos}");
        reader
            .send(&format!("SUBSCRIBE id=1 filter={filter} options={qos}"))
            .unwrap();
        reader.expect(&format!("SUBACK id=1 code={qos}")).unwrap();
        drop(reader);
        let (sent, acknowledged) = std::thread::scope(|scope| {
            let publisher = scope.spawn(|| publish_until_killed(&server, qos));
            let mut watcher = server.client("watcher");
            watcher
                .send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                .unwrap();
            watcher.expect("SUBACK id=1").unwrap();
            for _ in 0..300 {
                watcher.expect("PUBLISH").unwrap();
            }
            let pid = server.child.id().to_string();
            let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
            assert!(killed.success());
            publisher.join().unwrap()
        });
        server.child.wait().unwrap();
        assert!(acknowledged > 100, "{acknowledged}");
        let server = keeping(&folder);
        let got = numbers(&server, &name, acknowledged);
        // All that was acknowledged and nothing that was never sent, each once and in order.
        let all: Vec<u32> = (0..got.len() as u32).collect();
        assert_eq!(got, all);
        assert!((acknowledged..=sent).contains(&(got.len() as u32)));
        server.stop();
    }
}

#[test]
fn the_printed_configuration_is_one() {
    let folder = folder("printed");
    let output = Command::new(program())
        .args(["serve", "--print-config"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, include_str!("../src/default.toml"));
    // As it is, and with everything said that holds anyway.
    let said = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with([' ', '#']) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    for config in [printed.clone(), printed.lines().map(said).collect()] {
        let server = Server::start(&folder, &config);
        drop(server.client("anna"));
        server.stop();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 70 && exec \"$@\"", "sh"]);
    command.arg(program()).arg("serve");
    let server = Server::spawn(&mut command);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard limit");
    assert_ne!(words[3], "70");
    // More clients than the lower limit would let in.
    let clients: Vec<RawPeer> = (0..100).map(|n| server.client(&format!("c{n}"))).collect();
    assert_eq!(clients.len(), 100);
    let stopped = server.stop().pop().unwrap();
    assert_eq!(stopped["refused"], 0);
}

/// The system does not let the server's files grow, which is as good as a full disk.
#[test]
#[cfg(target_os = "linux")]
fn the_limit_of_a_file_s_size_is_told_to_publishers_and_ends_nothing() {
    let folder = folder("file-size");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sf 12288 && exec \"$@\"", "sh"]);
    command.arg(program()).args(["serve", "--data", "data"]);
    let server = Server::spawn(command.current_dir(&folder));
    let (mut away, _) = kept(&server, "away");
    away.send("SUBSCRIBE id=1 filter=t/# options=1").unwrap();
    away.expect("SUBACK id=1").unwrap();
    drop(away);
    let mut live = server.client("live");
    live.send("SUBSCRIBE id=1 filter=live options=0").unwrap();
    live.expect("SUBACK id=1").unwrap();
    let mut publisher = server.client("publisher");
    let publish = format!(
        "PUBLISH topic=t/1 qos=1 id=1 payload={}",
        "x".repeat(50_000)
    );
    let mut taken = 0;
    loop {
        publisher.send(&publish).unwrap();
        let answer = publisher.expect("PUBACK id=1").unwrap();
        match &*answer.text("reason", "0") {
            "0x97" | "151" => break,
            _ => taken += 1,
        }
        assert!(taken < 1_000, "nothing limits the file");
    }
    assert!(taken > 0);
    publisher
        .send("PUBLISH topic=live payload=goes-on")
        .unwrap();
    live.expect("PUBLISH topic=live payload=goes-on").unwrap();
    server.stop();
}

#[test]
fn sighup_has_the_bans_of_the_data_folder_read_again() {
    let folder = folder("bans-again");
    let file = folder.join("data/bans.json");
    std::fs::create_dir(folder.join("data")).unwrap();
    let edit = |text: &str| std::fs::write(&file, text).unwrap();
    edit("[{\"client_id\": \"early\"}]");
    let config = "[flapping]\nmax = 2\n[[ban]]\nclient_id = \"never\"\n";
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    let mut command = Command::new(program());
    command.args(["serve", "--config", "ternmq.toml", "--data", "data"]);
    let mut server = Server::spawn(command.current_dir(&folder));
    server.restored();
    let refuses = |server: &Server, client_id: &str| {
        let mut peer = RawPeer::connect(server.address, 5).unwrap();
        peer.send(&format!("CONNECT client_id={client_id}"))
            .unwrap();
        peer.expect_refusal("CONNACK reason=0x8a").unwrap();
    };
    let hang_up = |server: &mut Server| {
        server.signal("HUP");
        let told = server.event();
        if told["event"] == "bans_reloaded" {
            assert_eq!(server.event()["event"], "certificates_reloaded");
        }
        told
    };
    refuses(&server, "early");
    let mut there = server.client("there");

    edit("[{\"client_id\": \"there\"}]");
    let reloaded = json!({ "event": "bans_reloaded", "banned": 1, "lifted": 1 });
    assert_eq!(hang_up(&mut server), reloaded);
    there.expect_refusal("DISCONNECT reason=0x98").unwrap();
    drop(server.client("early"));

    edit("[");
    let warning = hang_up(&mut server);
    assert_eq!(warning["what"], "bans_not_reloaded");
    assert!(warning["error"].as_str().unwrap().contains("line 1"));
    refuses(&server, "there");

    // What the server itself has to say does not destroy what the operator has written.
    for _ in 0..2 {
        drop(server.client("mad"));
    }
    refuses(&server, "mad");
    assert_eq!(server.event()["event"], "banned");
    assert_eq!(server.event()["what"], "bans_not_saved");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[");

    edit("[]");
    let reloaded = json!({ "event": "bans_reloaded", "banned": 0, "lifted": 1 });
    assert_eq!(hang_up(&mut server), reloaded);
    drop(server.client("there"));
    refuses(&server, "mad");
    refuses(&server, "never");
    server.stop();
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(kept[0]["client_id"], "mad");
}

/// What a command about a folder says, as JSON, and its exit status.
fn store_command(folder: &Path, args: &[&str]) -> (Vec<Value>, i32) {
    let mut command = Command::new(program());
    command.arg("store").args(args).arg("--json");
    let output = command.current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), output.status.code().unwrap())
}

#[test]
fn an_import_that_takes_nothing_leaves_no_folder_behind() {
    let folder = folder("imported");
    std::fs::write(folder.join("strange"), "this is no export").unwrap();
    std::fs::create_dir_all(folder.join("mine")).unwrap();
    for (data, stays) in [("new", false), ("mine", true)] {
        let (_, status) = store_command(&folder, &["import", data, "strange"]);
        assert_ne!(status, 0);
        assert_eq!(folder.join(data).exists(), stays, "{data}");
    }
    let (_, status) = store_command(&folder, &["import", "new", "absent"]);
    assert!(status == 1 && !folder.join("new").exists());
    // What was taken of a file that ends too early stays, and so does one that is whole.
    let (_, status) = store_command(&folder, &["check", "mine"]);
    assert_eq!(status, 0);
    let (_, status) = store_command(&folder, &["export", "mine", "whole"]);
    assert_eq!(status, 0);
    let (said, status) = store_command(&folder, &["import", "new", "whole"]);
    assert_eq!((said[0]["complete"].as_bool(), status), (Some(true), 0));
    assert!(folder.join("new").exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_data_folder_is_backed_up_while_it_is_used_and_looked_after_when_it_is_not() {
    let folder = folder("looked-after");
    let server = keeping(&folder);
    let (mut reader, _) = kept(&server, "reader");
    reader.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    reader.expect("SUBACK id=1 code=1").unwrap();
    drop(reader);
    let mut publisher = server.client("publisher");
    publisher
        .send("PUBLISH topic=t qos=1 id=7 payload=waits")
        .unwrap();
    publisher.expect("PUBACK id=7").unwrap();
    // The server has it: what needs it alone is refused, a backup is not.
    for command in ["check", "dump", "compact"] {
        let (said, status) = store_command(&folder, &[command, "data"]);
        assert_eq!((said, status), (Vec::new(), 1), "{command}");
    }
    let (said, status) = store_command(&folder, &["backup", "data", "backup.redb"]);
    assert!(
        status == 0 && said[0]["rows"].as_u64() > Some(3),
        "{said:?}"
    );
    let (_, status) = store_command(&folder, &["backup", "data", "backup.redb"]);
    assert_eq!(status, 1, "it is there already");
    let mut command = Command::new(program());
    command.args(["store", "backup", "data", "backup.redb"]);
    let says = command.current_dir(&folder).output().unwrap().stderr;
    let says = String::from_utf8(says).unwrap();
    assert!(says.contains("give another name, or remove it"), "{says}");
    server.stop();
    // The backup is a folder's file, and what was exported makes another.
    let restored = folder.join("restored/data");
    std::fs::create_dir_all(&restored).unwrap();
    std::fs::rename(folder.join("backup.redb"), restored.join("store.redb")).unwrap();
    let (said, status) = store_command(&folder, &["export", "data", "all"]);
    assert_eq!((&said[0]["sessions"], status), (&json!(1), 0));
    std::fs::create_dir(folder.join("imported")).unwrap();
    let (said, status) = store_command(&folder, &["import", "imported/data", "all"]);
    assert_eq!((&said[0]["messages"], status), (&json!(1), 0));
    for place in ["data", "restored/data", "imported/data"] {
        let (said, status) = store_command(&folder, &["check", place]);
        assert_eq!((&said[0]["whole"], status), (&json!(true), 0), "{place}");
        let (said, status) = store_command(&folder, &["compact", place]);
        assert!(status == 0 && said[0]["after"].as_u64() > Some(0));
        let (said, status) = store_command(&folder, &["dump", place]);
        assert!(status == 0 && said.iter().any(|row| row["kind"] == "sessions"));
    }
    for place in ["restored", "imported"] {
        let server = keeping(&folder.join(place));
        assert_eq!(payloads_of(&server, "reader"), ["waits"], "{place}");
        server.stop();
    }
    let (_, status) = store_command(&folder, &["check", "nowhere"]);
    assert_eq!(status, 1);
    assert!(!folder.join("nowhere").exists());
}

/// Flips a bit in whatever a folder's file says of something. How often it did.
fn damage(folder: &Path, words: &str) -> usize {
    let file = folder.join("data/store.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    let places: Vec<usize> = bytes
        .windows(words.len())
        .enumerate()
        .filter(|(_, text)| *text == words.as_bytes())
        .map(|(at, _)| at)
        .collect();
    places.iter().for_each(|at| bytes[*at] ^= 0x10);
    std::fs::write(&file, bytes).unwrap();
    places.len()
}

/// A folder whose server has stopped: two sessions, with two messages that one of them is due.
fn damaged(name: &str) -> PathBuf {
    let folder = folder(name);
    let server = keeping(&folder);
    let (mut reader, _) = kept(&server, "reader");
    reader.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    reader.expect("SUBACK id=1 code=1").unwrap();
    drop((reader, kept(&server, "forgotten")));
    let mut publisher = server.client("publisher");
    for payload in ["unreadable", "waits"] {
        let publish = format!("PUBLISH topic=t qos=1 id=7 payload={payload}");
        publisher.send(&publish).unwrap();
        publisher.expect("PUBACK id=7").unwrap();
    }
    server.stop();
    assert!(damage(&folder, "forgotten") > 0 && damage(&folder, "unreadable") > 0);
    folder
}

#[test]
fn damage_is_told_of_by_the_server_and_the_command() {
    // What the engine checks whole at the start it can't use: the rest is saved into another file.
    let data = damaged("saved");
    let mut server = keeping(&data);
    let told = server.told("what", "salvaged");
    assert_eq!(
        (&told["event"], &told["damaged"]),
        (&json!("warning"), &json!(2))
    );
    assert!(Path::new(told["aside"].as_str().unwrap()).ends_with("store.redb.damaged-1"));
    assert_eq!(payloads_of(&server, "reader"), ["waits"]);
    assert!(!kept(&server, "forgotten").1);
    server.stop();
    let data = damaged("checked");
    let (said, status) = store_command(&data, &["check", "data"]);
    assert_eq!((&said[0]["salvaged"], status), (&json!(true), 3));
    // Without that, damage is met by whoever reads.
    let data = damaged("met");
    std::fs::write(data.join("ternmq.toml"), "[store]\nverify = false\n").unwrap();
    let mut command = Command::new(program());
    let command = command
        .args(["serve", "--config", "ternmq.toml", "--data", "data"])
        .current_dir(&data);
    let server = Server::spawn(command);
    assert_eq!(payloads_of(&server, "reader"), ["waits"]);
    let told = [server.before.clone(), server.stop()].concat();
    let last = told.iter().rfind(|event| event["what"] == "unreadable");
    assert_eq!(
        last.map(|event| &event["records"]),
        Some(&json!(2)),
        "{told:?}"
    );
}
