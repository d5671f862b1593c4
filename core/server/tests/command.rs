//! The command as a user runs it: real processes, real sockets.

mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::program::program;

/// `ternmq serve` on a free port, in a folder of its own.
struct Server {
    child: Child,
    url: String,
    stderr: ChildStderr,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut child = ternmq()
            .arg("serve")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = child.stderr.take().unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or(&line);
        Self {
            url: url.to_owned(),
            child,
            stderr,
            _stdout: stdout,
        }
    }

    fn on_free_port() -> Self {
        Self::start(&["--listen", "127.0.0.1:0"])
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = ternmq();
        command
            .arg(args[0])
            .args(["--url", &self.url])
            .args(&args[1..]);
        command
    }

    /// The next line on standard error: byte by byte, so that what follows is left there.
    fn line_of_stderr(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.stderr.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        text(&line)
    }

    /// Sends a signal, and returns what the server said on standard error until it ended.
    fn stop(mut self, signal: &str) -> (ExitStatus, String) {
        send_signal(&self.child, signal);
        let status = self.child.wait().unwrap();
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        (status, text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone in tests that stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ternmq() -> Command {
    let mut command = Command::new(program());
    command.env_remove("TERNMQ_PASSWORD").stdin(Stdio::null());
    command
}

fn send_signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(status.unwrap().success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// `ternmq sub` that is subscribed, which a retained message proves.
fn subscribed(server: &Server, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let marker = ["pub", "-t", "test/ready", "-m", "ready", "-r", "-q", "1"];
    assert!(server.run(&marker).status.success());
    let mut args = args.to_vec();
    args.extend(["-t", "test/ready"]);
    let mut child = server
        .command(&args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    (child, stdout)
}

#[test]
fn a_password_in_a_url_is_never_quoted() {
    for url in [
        "http://u:secret@h",
        "mqtt://u:secret#1@h:x",
        "mqtt://u:secret@127.0.0.1:0/",
    ] {
        let output = ternmq()
            .args(["pub", "-t", "t", "-n", "-L", url])
            .output()
            .unwrap();
        let text = text(&output.stderr);
        assert!(!output.status.success() && text.contains("--url"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_time_without_end_is_no_limit() {
    let server = Server::on_free_port();
    let forever = u64::MAX.to_string();
    let (mut child, _) = subscribed(&server, &["sub", "-W", &forever, "-C", "1"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_message_goes_from_pub_to_sub_in_every_version_and_qos() {
    let server = Server::on_free_port();
    for version in ["3.1", "3.1.1", "5"] {
        for qos in ["0", "1", "2"] {
            let sub = [
                "sub", "-t", "a/+", "-q", qos, "-C", "2", "-v", "-V", version,
            ];
            let (mut child, mut stdout) = subscribed(&server, &sub);
            let publish = ["pub", "-t", "a/b", "-m", "hällo", "-q", qos, "-V", version];
            assert!(server.run(&publish).status.success());
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "a/b hällo\n", "version {version}, QoS {qos}");
            assert!(child.wait().unwrap().success());
        }
    }
}

#[test]
fn lines_of_standard_input_arrive_in_order() {
    let server = Server::on_free_port();
    let (mut child, stdout) = subscribed(&server, &["sub", "-t", "n", "-q", "1", "-C", "5001"]);
    let mut publisher = server
        .command(&["pub", "-t", "n", "-l", "-q", "1"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = (0..5000).map(|n| format!("{n}\n")).collect();
    let mut stdin = publisher.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let seen: Vec<usize> = stdout
        .lines()
        .map(|l| l.unwrap().parse().unwrap())
        .collect();
    assert_eq!(seen, (0..5000).collect::<Vec<_>>());
    writer.join().unwrap();
    assert!(publisher.wait().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn json_has_everything_about_a_message() {
    let server = Server::on_free_port();
    let publish = [
        "pub",
        "-t",
        "j",
        "-m",
        "{}",
        "-r",
        "-q",
        "1",
        "--content-type",
        "application/json",
        "--user-property",
        "a=b",
        "--response-topic",
        "r",
        "--expiry",
        "1000",
    ];
    assert!(server.run(&publish).status.success());
    let output = server.run(&["sub", "-t", "j", "-q", "1", "-C", "1", "--json", "-W", "20"]);
    let message: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(message["topic"], "j");
    assert_eq!(message["payload"], "{}");
    assert_eq!(message["retain"], true);
    assert_eq!(message["properties"]["content_type"], "application/json");
    assert_eq!(message["properties"]["user_property"][0][1], "b");
    let left = &message["properties"]["message_expiry_interval"];
    assert!((900..=1000).contains(&left.as_u64().unwrap()), "{left}");
}

#[test]
fn a_time_limit_ends_sub_with_a_status_of_its_own() {
    let server = Server::on_free_port();
    let output = server.run(&["sub", "-t", "never", "-C", "1", "-W", "1"]);
    assert_eq!(output.status.code(), Some(27));
    let output = server.run(&["sub", "-t", "never", "-W", "0.3"]);
    assert_eq!(output.status.code(), Some(27));
    for wrong in ["-1", "inf", "1e3", "soon", "."] {
        let output = server.run(&["sub", "-t", "never", &format!("-W={wrong}")]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("a number such as 5 or 0.3"),
            "{wrong}: {said}"
        );
    }
}

#[test]
fn signals_end_server_and_subscriber_cleanly() {
    for signal in ["INT", "TERM"] {
        let server = Server::on_free_port();
        let (mut sub, _) = subscribed(&server, &["sub", "-t", "x"]);
        send_signal(&sub, signal);
        assert!(sub.wait().unwrap().success(), "sub, SIG{signal}");
        let (status, said) = server.stop(signal);
        assert!(status.success(), "serve, SIG{signal}: {said}");
        assert!(
            said.contains("stopping") && said.contains("stopped"),
            "{said}"
        );
    }
}

#[test]
fn a_subscriber_ends_with_an_error_when_the_server_goes_away() {
    let server = Server::on_free_port();
    let (mut sub, _) = subscribed(&server, &["sub", "-t", "x"]);
    server.stop("TERM");
    assert_eq!(sub.wait().unwrap().code(), Some(1));
}

#[test]
fn a_data_folder_has_one_server_and_names_its_listeners() {
    let folder = folder("one-server");
    let path = folder.to_str().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--data", path];
    let server = Server::start(&args);
    let named = || std::fs::read_to_string(folder.join("listeners"));
    // Written right after the line that says where it listens.
    while named().is_err() {
        std::thread::yield_now();
    }
    assert_eq!(named().unwrap().trim(), server.url);
    let second = ternmq().arg("serve").args(args).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("in use by another server"));
    server.stop("TERM");
    assert!(named().is_err());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = Server::on_free_port();
    let address = server.url.strip_prefix("mqtt://").unwrap();
    let output = ternmq().args(["serve", "-l", address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(address) && said.starts_with("error:"),
        "{said}"
    );
}

#[test]
fn a_listener_that_others_can_reach_refuses_and_says_how_to_change_it() {
    let server = Server::start(&["--listen", "0.0.0.0:0"]);
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    for (version, code) in [("5", "Not authorized"), ("3.1.1", "Not authorized")] {
        let output = ternmq()
            .args([
                "pub",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-t",
                "a",
                "-m",
                "b",
                "-V",
                version,
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains(code),
            "{}",
            text(&output.stderr)
        );
    }
    let (_, said) = server.stop("TERM");
    assert!(said.contains("anonymous = true"), "{said}");
}

#[test]
fn a_configuration_opens_it_and_a_wrong_one_is_refused_by_line() {
    let folder = folder("configuration");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ternmq.toml");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        "[[listener]]\naddress = '0.0.0.0:0'\nanonymous = true\n",
    )
    .unwrap();
    let server = Server::start(&["--config", path]);
    let port = server.url.rsplit_once(':').unwrap().1;
    let args = [
        "pub",
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-t",
        "a",
        "-m",
        "b",
        "-q",
        "1",
    ];
    assert!(ternmq().args(args).output().unwrap().status.success());
    std::fs::write(&file, "shards = 1\nanonymus = true\n").unwrap();
    let output = ternmq().args(["serve", "--config", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("line 2") && said.contains("anonymus"),
        "{said}"
    );
}

#[test]
fn nonsense_is_refused_with_a_message_and_status_2() {
    for args in [
        &["pub", "-t", "a"][..],
        &["pub", "-t", "a", "-m", "b", "-q", "3"],
        &["sub"],
        &["serve", "--listen", "nowhere"],
        &["fly"],
    ] {
        let output = ternmq().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["pub", "--help"],
        &["sub", "--help"],
    ] {
        let output = ternmq().args(args).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("Usage:"));
    }
    let output = ternmq()
        .args(["pub", "-t", "a/#", "-m", "x", "-p", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_json_server_speaks_json_only() {
    let mut child = ternmq()
        .args(["serve", "-l", "127.0.0.1:0", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["event"], "listening");
    let url = event["url"].as_str().unwrap();
    let publish = ["pub", "-L", url, "-t", "a", "-m", "b", "-q", "1"];
    assert!(ternmq().args(publish).status().unwrap().success());
    send_signal(&child, "TERM");
    let events: Vec<serde_json::Value> = stdout
        .lines()
        .map(|l| serde_json::from_str(&l.unwrap()).unwrap())
        .collect();
    let sums = events.last().unwrap();
    assert_eq!(sums["event"], "stopped");
    assert_eq!(
        (&sums["connections"], &sums["received"]),
        (&1.into(), &1.into())
    );
    // Every reason is there, also one that nothing was dropped for.
    let dropped = sums["dropped"].as_object().unwrap();
    assert!(dropped.len() >= 6 && dropped["queue_items"] == 0);
    assert!(dropped.contains_key("session_ended"), "{sums}");
    assert!(child.wait().unwrap().success());
}

/// A raw MQTT 5.0 client that is let in.
fn raw_client(url: &str) -> std::net::TcpStream {
    let address = url.strip_prefix("mqtt://").unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket
        .write_all(b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01r")
        .unwrap();
    let packet = packet(&mut socket);
    assert_eq!((packet[0], packet[3]), (0x20, 0));
    socket
}

/// The next packet, which has less than 128 bytes.
fn packet(socket: &mut impl Read) -> Vec<u8> {
    let mut packet = vec![0; 2];
    socket.read_exact(&mut packet).unwrap();
    let length = usize::from(packet[1]);
    packet.resize(2 + length, 0);
    socket.read_exact(&mut packet[2..]).unwrap();
    packet
}

#[test]
fn sigusr1_sends_clients_to_the_other_server_and_ends() {
    let folder = folder("drain");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ternmq.toml");
    std::fs::write(&file, "server_reference = 'other:1883'\n").unwrap();
    let path = file.to_str().unwrap();
    let server = Server::start(&["--config", path, "--listen", "127.0.0.1:0"]);
    let mut client = raw_client(&server.url);
    send_signal(&server.child, "USR1");
    let goodbye = packet(&mut client);
    assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x9c));
    let reference = b"\x1c\0\x0aother:1883";
    assert!(goodbye.windows(reference.len()).any(|w| w == reference));
    drop(client);
    // It ends by itself.
    let mut server = server;
    assert!(server.child.wait().unwrap().success());
    let mut said = String::new();
    server.stderr.read_to_string(&mut said).unwrap();
    for words in ["SIGUSR1", "other:1883", "drained: stopping"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_ban_is_there_again_after_a_restart() {
    let folder = folder("bans");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ternmq.toml");
    std::fs::write(&file, "[flapping]\nmax = 2\n").unwrap();
    let (config, data) = (file.to_str().unwrap(), folder.join("data"));
    let data = data.to_str().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--data", data];
    let server = Server::start(&[&args[..], &["--config", config]].concat());
    let publish = ["pub", "-i", "mad", "-t", "a", "-m", "b", "-q", "1"];
    let refused = (0..5).any(|_| !server.run(&publish).status.success());
    assert!(refused);
    let (status, said) = server.stop("TERM");
    assert!(
        status.success() && said.contains("banned client \"mad\""),
        "{said}"
    );

    let server = Server::start(&args);
    let output = server.run(&publish);
    assert!(!output.status.success() && text(&output.stderr).contains("0x8A"));
    let sane = ["pub", "-i", "sane", "-t", "a", "-m", "b", "-q", "1"];
    assert!(server.run(&sane).status.success());
    assert!(server.stop("TERM").0.success());

    std::fs::write(folder.join("data/bans.json"), "[").unwrap();
    let output = ternmq().arg("serve").args(args).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("bans.json") && said.contains("line 1"),
        "{said}"
    );
}

/// Events and signals reach the server's main thread by different threads, and nobody reads what it says
/// before the end: there are more bans to be told than it lets wait in one place, when the signal comes. Of
/// all its lines, four for a ban, none is more than the log lets wait.
#[test]
fn what_was_decided_before_a_stop_is_told_and_kept() {
    const BANS: usize = 1_900;
    let folder = folder("many-bans");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ternmq.toml");
    std::fs::write(&file, "[flapping]\nmax = 1\n[log]\nlines_per_second = 0\n").unwrap();
    let (config, data) = (file.to_str().unwrap(), folder.join("data"));
    let data = data.to_str().unwrap();
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
        "--config",
        config,
    ];
    let mut server = Server::start(&args);
    for n in 0..BANS {
        let id = format!("md-{n:04}");
        assert_eq!(connect_as(&server.url, &id), 0);
        assert_eq!(connect_as(&server.url, &id), 0x8a);
    }
    send_signal(&server.child, "TERM");
    let mut said = String::new();
    server.stderr.read_to_string(&mut said).unwrap();
    assert!(server.child.wait().unwrap().success(), "{said}");
    assert_eq!(said.matches("banned client \"md-").count(), BANS);
    let kept = std::fs::read_to_string(folder.join("data/bans.json")).unwrap();
    assert_eq!(kept.matches("\"client_id\": \"md-").count(), BANS);
}

/// The reason code of the CONNACK for a client with a name of 7 bytes.
fn connect_as(url: &str, client_id: &str) -> u8 {
    let address = url.strip_prefix("mqtt://").unwrap();
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    let connect = [
        b"\x10\x14\0\x04MQTT\x05\x02\0\0\0\0\x07",
        client_id.as_bytes(),
    ];
    socket.write_all(&connect.concat()).unwrap();
    packet(&mut socket)[3]
}

/// A client that gets a message and acknowledges it 50 ms later.
fn be_late(url: &str) {
    let mut client = raw_client(url);
    client.write_all(b"\x82\x07\0\x01\0\0\x01t\x01").unwrap();
    assert_eq!(packet(&mut client)[0], 0x90);
    let publish = ["pub", "-L", url, "-t", "t", "-m", "x", "-q", "1"];
    assert!(ternmq().args(publish).status().unwrap().success());
    let message = packet(&mut client);
    assert_eq!((message[0], &message[2..5]), (0x32, &b"\0\x01t"[..]));
    let got = Instant::now();
    while got.elapsed() < Duration::from_millis(50) {
        ping(&mut client);
    }
    client
        .write_all(&[0x40, 2, message[5], message[6]])
        .unwrap();
    // The acknowledgement has been handled when this is answered.
    ping(&mut client);
}

fn ping(client: &mut std::net::TcpStream) {
    client.write_all(b"\xc0\0").unwrap();
    assert_eq!(packet(client)[0], 0xd0);
}

#[test]
fn a_slow_subscriber_is_told_of_to_people_and_to_programs() {
    let folder = folder("slow");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("ternmq.toml");
    let lines = "[slow_subscribers]\nthreshold_ms = 20\n[[listener]]\naddress = '127.0.0.1:0'";
    std::fs::write(&file, lines).unwrap();
    let config = file.to_str().unwrap();
    let mut server = Server::start(&["--config", config]);
    be_late(&server.url);
    let mut told = String::new();
    while !told.contains("slow subscriber") {
        told = server.line_of_stderr();
    }
    assert!(told.contains(" INFO slow subscriber \"r\": "), "{told}");
    assert!(told.ends_with(" ms for \"t\"\n"), "{told}");
    let (status, said) = server.stop("TERM");
    assert!(status.success());
    assert!(said.contains(", 1 late (slowest: \"r\", "), "{said}");

    let mut child = ternmq()
        .args(["serve", "--json", "--config", config])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    let listening = next();
    be_late(listening["url"].as_str().unwrap());
    let told = next();
    assert_eq!(told["event"], "slow_subscriber");
    assert_eq!(
        (&told["client_id"], &told["topic"]),
        (&"r".into(), &"t".into())
    );
    assert!(told["latency_ms"].as_u64().unwrap() >= 50, "{told}");
    assert_eq!(told["late"], 1);
    send_signal(&child, "TERM");
    // Whose connection is not known to be lost yet is let go first.
    let told = std::iter::repeat_with(&mut next).find(|told| told["event"] != "draining");
    assert_eq!(told.unwrap()["event"], "stopping");
    let sums = next();
    assert_eq!(
        (&sums["event"], &sums["late"]),
        (&"stopped".into(), &1.into())
    );
    let list = sums["slow_subscribers"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["client_id"]), (1, &"r".into()));
    assert!(child.wait().unwrap().success());
}
