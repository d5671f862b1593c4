//! `ternmq trace`, read by tshark.

mod program;
#[path = "program/tshark.rs"]
mod tshark;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_certificates::authority;

use crate::program::program;
use crate::tshark::tshark;

const CONFIG: &str = "
[[listener]]
address = '127.0.0.1:0'

[[listener]]
address = '[::1]:0'
type = 'ws'

[[listener]]
type = 'unix'
path = 'socket'
";

/// A server in a folder of its own, ended with this.
struct Server(PathBuf);

impl Server {
    fn start(name: &str) -> Self {
        Self::start_with(name, CONFIG, |_| {})
    }

    /// With another configuration, and what it needs in the folder.
    fn start_with(name: &str, config: &str, prepare: impl Fn(&Path)) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trace-{name}"));
        // Left over from an earlier run, or not there.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        prepare(&folder);
        std::fs::write(folder.join("ternmq.toml"), config).unwrap();
        let server = Self(folder);
        let started = server.run(&["start", "--config", "ternmq.toml"]);
        assert!(started.status.success(), "{started:?}");
        server
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Where it listens, each as a URL.
    fn urls(&self) -> Vec<String> {
        let status = self.run(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_slice(&status).unwrap();
        let urls = status["listeners"].as_array().unwrap().iter();
        urls.map(|url| url.as_str().unwrap().to_owned()).collect()
    }

    /// A client of mosquitto, or ours where that knows no such transport, which publishes a message.
    fn publish(&self, url: &str, version: &str) {
        let mut command = self.command(&["pub"]);
        let address = url.strip_prefix("mqtt://");
        match address.and_then(|address| address.rsplit_once(':')) {
            Some((_, port)) => {
                command = Command::new("mosquitto_pub");
                command.args(["-h", "127.0.0.1", "-p", port]);
            }
            None => drop(command.args(["-L", url])),
        }
        let said = ["-i", "dev", "-u", "anna", "-P", "secret", "-q", "1"];
        command
            .args(said)
            .args(["-V", version, "-t", "a/b", "-m", "hello"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.run(&["stop"]);
    }
}

/// A trace that has begun: what it has written is read from its standard output.
struct Running {
    child: Child,
    bytes: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn begin(server: &Server, args: &[&str]) -> Self {
        let mut command = server.command(&["trace", "-i", "dev", "-o", "-"]);
        let command = command.args(args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut bytes = BufReader::new(child.stdout.take().unwrap());
        // The file's beginning comes when it has begun.
        bytes.fill_buf().unwrap();
        Self { child, bytes }
    }

    /// What it has written, and what it says.
    fn end(mut self, by_signal: bool) -> (Vec<u8>, String) {
        if by_signal {
            let pid = self.child.id().to_string();
            let status = Command::new("kill").args(["-s", "INT", &pid]).status();
            assert!(status.unwrap().success());
        }
        let mut bytes = Vec::new();
        self.bytes.read_to_end(&mut bytes).unwrap();
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (bytes, said)
    }
}

fn port(url: &str) -> &str {
    let address = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    address.rsplit(':').next().unwrap()
}

#[test]
fn wireshark_reads_what_a_client_said_and_heard_over_every_transport() {
    let server = Server::start("tshark");
    let urls = server.urls();
    let trace = Running::begin(&server, &[]);
    server.publish(&urls[0], "mqttv311");
    server.publish(&urls[0], "mqttv5");
    server.publish(&urls[1], "mqttv5");
    server.publish(&urls[2], "mqttv5");
    let (bytes, said) = trace.end(true);
    assert!(said.contains("traced client \"dev\": "), "{said}");
    assert!(!said.contains("missing"), "{said}");
    assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    let file = server.0.join("trace.pcapng");
    std::fs::write(&file, &bytes).unwrap();
    let as_mqtt = urls[..2].iter();
    let as_mqtt: Vec<String> = as_mqtt
        .map(|url| format!("tcp.port=={},mqtt", port(url)))
        .collect();
    let mut options = vec![
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
    ];
    options.extend(as_mqtt.iter().flat_map(|rule| ["-d", rule.as_str()]));
    let fields = [
        "mqtt.msgtype",
        "mqtt.clientid",
        "mqtt.passwd",
        "mqtt.topic",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "tcp.dstport",
    ];
    let of_mqtt = [&options[..], &["-Y", "mqtt"]].concat();
    let packets = tshark(&file, &of_mqtt, &fields);
    let types: Vec<&str> = packets.iter().map(|packet| &*packet[0]).collect();
    // CONNECT, CONNACK, PUBLISH, PUBACK, DISCONNECT; some may come in one segment.
    let types = types.join(",");
    assert_eq!(types, ["1,2,3,4,14"; 4].join(","), "{packets:?}");
    let connects: Vec<_> = packets.iter().filter(|packet| packet[0] == "1").collect();
    for connect in &connects {
        assert_eq!((&*connect[1], &*connect[2]), ("dev", "******"));
    }
    assert_eq!(connects[0][4], "127.0.0.1");
    assert_eq!(connects[2][5], "::1");
    assert_eq!(connects[0][7], port(&urls[0]));
    assert_eq!(connects[2][7], port(&urls[1]));
    // The Unix socket has no port: one is made up.
    assert_eq!(connects[3][7], "1883");
    let strange = "tcp.checksum.status != \"Good\" || ip.checksum.status != \"Good\" || \
                   tcp.analysis.flags || _ws.malformed";
    let strange = tshark(
        &file,
        &[&options[..], &["-Y", strange]].concat(),
        &["frame.number"],
    );
    assert!(strange.is_empty(), "{strange:?}");
    let said = ["frame.comment", "frame.interface_name"];
    let first = tshark(&file, &["-Y", "frame.comment"], &said);
    assert_eq!(first.len(), 4);
    assert_eq!(first[0][1], "ternmq");
    assert!(first[0][0].contains("client \"dev\", through listener 0"));
    assert!(first[3][0].contains("made up"));
}

/// Below it there is TLS, or QUIC, of which nothing is in the file.
#[test]
fn wireshark_reads_what_goes_over_tls_without_a_secret() {
    let listener = |kind: &str| {
        format!(
            "[[listener]]\ntype = '{kind}'\naddress = '127.0.0.1:0'\ncertificate = 's.pem'\nkey = 's.key'\n"
        )
    };
    let config = ["tls", "wss", "quic"].map(listener).concat();
    let server = Server::start_with("tls", &config, |folder| {
        authority().issue(&["127.0.0.1"]).write(folder, "s");
        std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    });
    let urls = server.urls();
    let trace = Running::begin(&server, &[]);
    for url in &urls {
        let args = [
            "pub", "-L", url, "--cafile", "ca.pem", "-i", "dev", "-q", "1",
        ];
        let sent = server.run(
            &[
                &args[..],
                &["-t", "a/b", "-m", "hello", "-u", "u", "-P", "secret"],
            ]
            .concat(),
        );
        assert!(sent.status.success(), "{sent:?}");
    }
    let (bytes, said) = trace.end(true);
    assert!(!said.contains("missing"), "{said}");
    assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    let file = server.0.join("trace.pcapng");
    std::fs::write(&file, &bytes).unwrap();
    let rules: Vec<String> = urls
        .iter()
        .map(|url| format!("tcp.port=={},mqtt", port(url)))
        .collect();
    let rules: Vec<&str> = rules
        .iter()
        .flat_map(|rule| ["-d", rule.as_str()])
        .collect();
    let fields = ["mqtt.msgtype", "mqtt.topic", "mqtt.clientid", "tcp.dstport"];
    let packets = tshark(&file, &[&rules[..], &["-Y", "mqtt"]].concat(), &fields);
    let of = |at: usize| packets.iter().map(move |packet| &*packet[at]);
    assert_eq!(
        of(0).collect::<Vec<_>>().join(","),
        ["1,2,3,4,14"; 3].join(","),
        "{packets:?}"
    );
    assert_eq!(of(1).filter(|topic| *topic == "a/b").count(), 3);
    let connects = packets.iter().filter(|packet| packet[2] == "dev");
    let ports: Vec<&str> = connects.map(|packet| &*packet[3]).collect();
    assert_eq!(ports, urls.iter().map(|url| port(url)).collect::<Vec<_>>());
    let strange = tshark(
        &file,
        &[&rules[..], &["-Y", "_ws.malformed || tls"]].concat(),
        &["frame.number"],
    );
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn a_trace_is_as_long_as_it_may_be_and_its_file_is_for_its_owner() {
    let server = Server::start("bounds");
    let urls = server.urls();
    let trace = Running::begin(&server, &["--bytes", "4096"]);
    for _ in 0..10 {
        server.publish(&urls[0], "mqttv5");
    }
    let (bytes, _) = trace.end(false);
    assert!((3000..4096 + 100).contains(&bytes.len()), "{}", bytes.len());
    let args = ["trace", "-i", "dev", "-o", "t.pcapng", "--seconds", "1"];
    let traced = server.run(&args);
    let stderr = String::from_utf8(traced.stderr).unwrap();
    assert!(stderr.contains(": 0 packets, "), "{stderr}");
    let file = server.0.join("t.pcapng");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nothing is written over.
    let again = server.run(&args);
    assert_eq!(again.status.code(), Some(1));
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert!(stderr.contains("t.pcapng: File exists"), "{stderr}");
}

#[test]
fn without_a_server_or_room_for_one_more_there_is_no_trace() {
    let server = Server::start("refused");
    let running: Vec<Running> = (0..4).map(|_| Running::begin(&server, &[])).collect();
    let refused = server.run(&["trace", "-i", "x", "-o", "x.pcapng"]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(stderr.contains("there are 4 traces already"), "{stderr}");
    assert!(!server.0.join("x.pcapng").exists());
    for trace in running {
        trace.end(true);
    }
    server.run(&["stop"]);
    let nobody = server.run(&["trace", "-i", "x", "-o", "x.pcapng"]);
    assert_eq!(nobody.status.code(), Some(3));
}
