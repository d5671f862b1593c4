//! What whoever runs a server sees of it: its log, and what programs ask by HTTP.

mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

use crate::program::program;

/// A server whose log is read.
struct Server {
    child: Child,
    folder: PathBuf,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    mqtt: String,
}

impl Server {
    fn start(name: &str, config: &str) -> Self {
        Self::start_with(name, config, &[])
    }

    fn start_with(name: &str, config: &str, args: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("operations-{name}"));
        // Left over from an earlier run, or not there.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ternmq.toml"), config).unwrap();
        let mut child = Command::new(program())
            .args(["serve", "--config", "ternmq.toml"])
            .args(args)
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let mqtt = line.trim().trim_start_matches("listening on mqtt://");
        Self {
            mqtt: mqtt.to_owned(),
            child,
            folder,
            stdout,
            stderr,
        }
    }

    /// The next line of the log of which this is so.
    fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "the log has ended"
            );
            if wanted(&line) {
                return line;
            }
        }
    }

    /// The next object of the log of this kind.
    fn object(&mut self, event: &str) -> Value {
        let is_it = |line: &str| {
            let object: Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
            object["event"] == event
        };
        serde_json::from_str(&self.line(is_it)).unwrap()
    }

    /// Where it answers by HTTP, from the log.
    fn http(&mut self) -> String {
        let line = self.line(|line| line.contains("metrics and health on "));
        line.trim().rsplit(' ').next().unwrap().to_owned()
    }

    fn peer(&self) -> RawPeer {
        RawPeer::connect(self.mqtt.parse().unwrap(), 5).unwrap()
    }

    fn client(&self, client_id: &str) -> RawPeer {
        let connect = format!("CONNECT client_id={client_id}");
        RawPeer::introduced(self.mqtt.parse().unwrap(), 5, &connect).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Stops it; the rest of the log.
    fn stop(mut self) -> String {
        self.signal("TERM");
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone in tests that stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PLAIN: &str = "[[listener]]\naddress = '127.0.0.1:0'\n";
const CLOSED: &str = "[[listener]]\naddress = '127.0.0.1:0'\nanonymous = false\n";
const HTTP: &str = "[http]\naddress = '127.0.0.1:0'\n";

/// Status, type and text of an answer, of whatever status.
fn get(url: &str) -> (u16, String, String) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build();
    let mut answer = ureq::Agent::new_with_config(config)
        .get(url)
        .call()
        .unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), kind, text)
}

/// Samples by name and labels, as Prometheus reads them; strictly.
fn parse(page: &str) -> BTreeMap<String, f64> {
    assert!(page.ends_with('\n') && !page.contains("\r"));
    let is_name = |name: &str| {
        let first = name.as_bytes().first();
        first.is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let (mut samples, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut family: Option<(String, bool)> = None;
    let mut helped: Option<String> = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a text");
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(seen.insert(name.to_owned()), "{name} comes twice");
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(helped.as_deref(), Some(name), "HELP before TYPE");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            family = Some((name.to_owned(), kind == "counter"));
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap();
            let (of, counter) = family.as_ref().expect("TYPE before samples");
            assert_eq!(name, of, "{line}");
            if let Some(labels) = series
                .strip_prefix(name)
                .filter(|labels| !labels.is_empty())
            {
                let inner = labels
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'));
                let (label, text) = inner
                    .and_then(|inner| inner.split_once('='))
                    .expect("a label");
                assert!(is_name(label) && !label.starts_with("__"), "{line}");
                let text = text
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                assert!(
                    text.is_some_and(|text| !text.contains(['"', '\\', ','])),
                    "{line}"
                );
            }
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && !(*counter && value < 0.0), "{line}");
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{series} comes twice"
            );
        }
    }
    samples
}

#[test]
fn metrics_are_what_prometheus_reads_and_what_has_happened() {
    let mut server = Server::start("metrics", &format!("{HTTP}{PLAIN}"));
    let http = server.http();
    let mut client = server.client("c");
    client.send("SUBSCRIBE id=1 filter=t options=0").unwrap();
    client.expect("SUBACK").unwrap();
    client
        .send("PUBLISH topic=t qos=1 id=2 payload=hello")
        .unwrap();
    client.expect("PUBLISH topic=t").unwrap();
    client.expect("PUBACK id=2").unwrap();
    let mut broken = server.client("b");
    broken.send("PUBLISH topic=a/+ qos=0 payload=x").unwrap();
    broken.expect("DISCONNECT").unwrap();
    let (status, kind, page) = get(&format!("{http}/metrics"));
    assert_eq!(
        (status, &*kind),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    let samples = parse(&page);
    assert!(samples.len() > 120, "{}", samples.len());
    for (name, value) in [
        ("ternmq_ready", 1.0),
        ("ternmq_clients", 1.0),
        ("ternmq_subscriptions", 1.0),
        ("ternmq_connects_total", 2.0),
        ("ternmq_messages_received_total{qos=\"1\"}", 1.0),
        ("ternmq_messages_sent_total{qos=\"0\"}", 1.0),
        ("ternmq_payload_received_bytes_total", 5.0),
        ("ternmq_connections_ended_total{reason=\"protocol\"}", 1.0),
        ("ternmq_messages_dropped_total{reason=\"queue_items\"}", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
    // No name that a client has chosen is among them.
    assert!(!page.contains("a/+") && !page.contains("\"c\""));
    server.stop();
}

#[test]
fn health_says_how_far_the_server_is() {
    let config = format!("drain_rate = 1\nserver_reference = 'other'\n{HTTP}{PLAIN}");
    let mut server = Server::start_with("health", &config, &["--data", "data"]);
    let http = server.http();
    let ask = |path: &str| {
        let (status, _, text) = get(&format!("{http}{path}"));
        (status, text)
    };
    server.line(|line| line.contains("restored 0 sessions"));
    while ask("/health/ready").0 == 503 {
        assert_eq!(ask("/health/ready").1, "restoring\n");
    }
    assert_eq!(ask("/health/ready"), (200, "ready\n".into()));
    assert_eq!(ask("/health/live"), (200, "live\n".into()));
    assert_eq!(ask("/").0, 404);
    let _clients: Vec<RawPeer> = (0..20).map(|n| server.client(&format!("c{n}"))).collect();
    server.signal("USR1");
    server.line(|line| line.contains("letting go of all clients"));
    assert_eq!(ask("/health/ready"), (503, "draining\n".into()));
    assert_eq!(ask("/health/live"), (200, "draining\n".into()));
    let (status, _, page) = get(&format!("{http}/metrics"));
    assert_eq!((status, parse(&page)["ternmq_ready"]), (200, 0.0));
    server.stop();
}

#[test]
fn sigterm_lets_clients_go_within_its_time_and_tells_how_far_it_is() {
    // By its rate alone it would take half a minute.
    let config = format!("drain_rate = 1\ndrain_seconds = 3\n{HTTP}{PLAIN}");
    let mut server = Server::start("sigterm", &config);
    let http = server.http();
    let mut clients: Vec<(u8, RawPeer)> = (0..30)
        .map(|n| (3 + n % 3, n))
        .map(|(level, n)| {
            let at = server.mqtt.parse().unwrap();
            let connect = format!("CONNECT client_id=c{n}");
            (level, RawPeer::introduced(at, level, &connect).unwrap())
        })
        .collect();
    server.signal("TERM");
    server.line(|line| line.contains("SIGTERM: letting go of all clients within 3 s"));
    let (status, _, text) = get(&format!("{http}/health/ready"));
    assert_eq!((status, text.as_str()), (503, "draining\n"));
    // Nobody is let in any more, and where nobody listens another address is tried at once.
    assert!(TcpStream::connect(&server.mqtt).is_err());
    let progress = server.line(|line| line.contains("letting go: "));
    assert!(!progress.contains(" 0 left"), "{progress}");
    for (level, client) in &mut clients {
        if *level == 5 {
            client.expect("DISCONNECT reason=0x8B").unwrap();
        }
        client.expect_close().unwrap();
    }
    let stopping = server.line(|line| line.contains(": stopping"));
    assert!(stopping.contains("SIGTERM: stopping"), "{stopping}");
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn sigterm_sends_clients_elsewhere() {
    let config =
        format!("drain_rate = 1\ndrain_seconds = 600\nserver_reference = 'b:1883'\n{PLAIN}");
    let mut server = Server::start("sigterm-elsewhere", &config);
    let mut first = server.client("first");
    server.signal("TERM");
    first
        .expect("DISCONNECT reason=0x9C server_reference=b:1883")
        .unwrap();
    first.expect_close().unwrap();
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let config = format!("drain_rate = 1\ndrain_seconds = 3600\n{PLAIN}");
    let mut server = Server::start("twice", &config);
    // Who does not take its messages is waited for.
    let mut busy = server.peer();
    busy.send("CONNECT client_id=busy receive_maximum=1")
        .unwrap();
    busy.expect("CONNACK").unwrap();
    busy.send("SUBSCRIBE id=1 filter=t options=1").unwrap();
    busy.expect("SUBACK").unwrap();
    for n in 2..=3 {
        busy.send(&format!("PUBLISH topic=t qos=1 id={n} payload={n}"))
            .unwrap();
    }
    busy.expect("PUBLISH payload=2").unwrap();
    server.signal("TERM");
    server.line(|line| line.contains("once more ends at once"));
    server.line(|line| line.contains("0 clients are gone, 1 left"));
    server.signal("TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(128 + 15));
}

fn connect(http: &str) -> TcpStream {
    let socket = TcpStream::connect(http.trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// All that comes until the end.
fn said(mut socket: TcpStream) -> String {
    let mut all = String::new();
    socket.read_to_string(&mut all).unwrap();
    all
}

#[test]
fn whoever_speaks_http_badly_is_told() {
    let mut server = Server::start("badly", &format!("{HTTP}{PLAIN}"));
    let http = server.http();
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("GET /metrics HTTP/9\r\n\r\n", "400"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", "400"),
        (&*format!("GET /{} HTTP/1.1\r\n", "x".repeat(9_000)), "431"),
    ] {
        let mut socket = connect(&http);
        socket.write_all(request.as_bytes()).unwrap();
        let answer = said(socket);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:?}: {answer}"
        );
    }
    let mut head = connect(&http);
    head.write_all(b"HEAD /health/ready HTTP/1.0\r\n\r\n")
        .unwrap();
    let answer = said(head);
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    server.stop();
}

#[test]
fn who_says_nothing_by_http_has_a_place_for_a_while_only() {
    let config = format!("{HTTP}connections = 2\ntimeout = 2\n{PLAIN}");
    let mut server = Server::start("slow", &config);
    let http = server.http();
    let silent: Vec<TcpStream> = (0..6).map(|_| connect(&http)).collect();
    let answers: Vec<String> = silent.into_iter().map(said).collect();
    let status = |status: &str| {
        let begins = |answer: &&String| answer.starts_with(&format!("HTTP/1.1 {status} "));
        answers.iter().filter(begins).count()
    };
    assert_eq!((status("408"), status("503")), (2, 4), "{answers:?}");
    // The last of them may not have left yet.
    let ask = || {
        let mut socket = connect(&http);
        socket.set_nodelay(true).unwrap();
        let mut answer = String::new();
        let _ = socket.write_all(b"GET /health/live HTTP/1.1\r\n\r\n");
        let _ = socket.read_to_string(&mut answer);
        answer
    };
    let tries = std::iter::repeat_with(ask).take(1_000);
    assert!(
        tries
            .into_iter()
            .any(|answer| answer.starts_with("HTTP/1.1 200 "))
    );
    server.stop();
}

#[test]
fn an_address_that_is_taken_ends_the_server_with_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut server = Server::start("taken", &format!("[http]\naddress = '{at}'\n{PLAIN}"));
    let line = server.line(|line| line.contains("error"));
    assert!(
        line.contains(&format!("http: cannot listen on {at}")),
        "{line}"
    );
    assert_eq!(server.child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_log_tells_of_clients_with_time_and_level_and_without_colour_or_secrets() {
    let mut server = Server::start("text", CLOSED);
    let mut peer = server.peer();
    peer.send("CONNECT client_id=liar username=anna password=geheim")
        .unwrap();
    peer.expect("CONNACK").unwrap();
    let line = server.line(|line| line.contains("liar"));
    let (time, rest) = line.split_once(' ').unwrap();
    humantime::parse_rfc3339(time).expect("a time");
    assert!(
        rest.starts_with(" WARN client \"liar\" from 127.0.0.1 as \"anna\" was refused: "),
        "{rest:?}"
    );
    let rest = line + &server.stop();
    assert!(
        !rest.contains("geheim") && !rest.contains('\u{1b}'),
        "{rest}"
    );
    assert!(rest.contains(" INFO stopped: 1 connections"), "{rest}");
}

#[test]
fn as_json_each_line_is_an_object_with_what_programs_want() {
    let mut server = Server::start("json", &format!("[log]\nformat = 'json'\n{PLAIN}"));
    assert!(server.object("listening")["address"].is_string());
    let mut first = server.client("c");
    let came = server.object("client_connected");
    assert_eq!(
        (&came["client_id"], &came["version"]),
        (&"c".into(), &"5.0".into())
    );
    assert_eq!(
        (&came["level"], &came["listener"]),
        (&"info".into(), &0.into())
    );
    assert!(humantime::parse_rfc3339(came["time"].as_str().unwrap()).is_ok());
    let _second = server.client("c");
    first.expect("DISCONNECT reason=0x8E").unwrap();
    let gone = server.object("client_disconnected");
    assert_eq!(
        (&gone["by"], &gone["reason"]),
        (&"server".into(), &0x8e.into())
    );
    let mut broken = server.client("b\\n");
    broken.send("PUBLISH topic=a/+ qos=0 payload=x").unwrap();
    let ended = server.object("client_disconnected");
    assert_eq!(
        (&ended["level"], &ended["reason"]),
        (&"warn".into(), &0x82.into())
    );
    assert_eq!(ended["words"], "not a valid topic name");
    for line in server.stop().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    }
}

#[test]
fn sighup_changes_what_is_written_of_one_client() {
    let mut server = Server::start("levels", &format!("[log]\nlevel = 'warn'\n{PLAIN}"));
    let subscribe = |server: &Server, id: &str| {
        let mut client = server.client(id);
        client.send("SUBSCRIBE id=1 filter=t options=0").unwrap();
        client.expect("SUBACK").unwrap();
        client.send("DISCONNECT").unwrap();
        client.expect_close().unwrap();
    };
    subscribe(&server, "before");
    let lines = "[log]\nlevel = 'info'\n[[log.client]]\nclient_id = 'loud'\nlevel = 'debug'\n\
                 [[log.client]]\nclient_id = 'mute'\nlevel = 'off'\n";
    std::fs::write(server.folder.join("ternmq.toml"), format!("{lines}{PLAIN}")).unwrap();
    server.signal("HUP");
    let changed = server.line(|line| line.contains("SIGHUP: changed"));
    assert!(
        changed.contains("log.level") && changed.contains("log.client"),
        "{changed}"
    );
    for id in ["mute", "quiet", "loud"] {
        subscribe(&server, id);
    }
    let mut text = server.line(|line| line.contains("\"quiet\"")).to_owned();
    text += &server.line(|line| line.contains("\"loud\" subscribed"));
    text += &server.stop();
    assert!(!text.contains("mute") && !text.contains("before"), "{text}");
    assert!(!text.contains("\"quiet\" subscribed"), "{text}");
    assert!(
        text.contains("\"loud\" subscribed to \"t\" with QoS 0"),
        "{text}"
    );
}

#[test]
fn many_lines_of_a_kind_are_written_in_sum() {
    let config = format!("[log]\nformat = 'json'\nlines_per_second = 5\n{PLAIN}");
    let mut server = Server::start("bound", &config);
    let clients: Vec<RawPeer> = (0..200).map(|n| server.client(&format!("c{n}"))).collect();
    let left_out = server.object("lines_left_out");
    assert_eq!(
        (&left_out["level"], &left_out["of"]),
        (&"warn".into(), &"client_connected".into())
    );
    assert!(left_out["lines"].as_u64().unwrap() > 0);
    drop(clients);
    server.stop();
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let config = format!("[log]\nlevel = 'debug'\nlines_per_second = 0\n{PLAIN}");
    let mut server = Server::start("unread", &config);
    let mut client = server.client("c");
    let filter = "x".repeat(1_000);
    // More than a pipe and all that waits for it hold.
    for n in 0..3_000 {
        client
            .send(&format!("SUBSCRIBE id=1 filter={filter}/{n} options=0"))
            .unwrap();
        client.expect("SUBACK").unwrap();
        client
            .send(&format!("UNSUBSCRIBE id=1 filter={filter}/{n}"))
            .unwrap();
        client.expect("UNSUBACK").unwrap();
    }
    server.signal("TERM");
    client.expect("DISCONNECT").unwrap();
    let _ = server.stdout.read_to_end(&mut Vec::new());
    assert!(server.child.wait().unwrap().success());
}
