//! A configuration of mosquitto becomes one of ours, and says the same to the same clients.

mod program;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use ternmq_test_broker_wire::RawPeer;
use ternmq_test_certificates::authority;

use crate::program::program;

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    for (file, text) in files {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn ternmq(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command.output().unwrap()
}

/// What `ternmq import --json` says, and its exit status.
fn import(folder: &Path) -> (Value, i32) {
    let output = ternmq(folder, &["import", "mosquitto.conf", "--json"]);
    let told = serde_json::from_slice(&output.stdout);
    let told = told.unwrap_or_else(|_| panic!("{output:?}"));
    (told, output.status.code().unwrap())
}

fn told(list: &Value) -> Vec<(String, u64, String)> {
    let told = list.as_array().unwrap().iter();
    let told = told.map(|told| {
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        (text("file"), told["line"].as_u64().unwrap(), text("key"))
    });
    told.collect()
}

/// A process that listens. Ended when it is dropped.
struct Server(Child);

impl Server {
    /// Waits for a line with `ready` in it.
    fn start(mut command: Command, ready: &str) -> Self {
        let piped = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.stdout(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (tell, told) = std::sync::mpsc::sync_channel(64);
        read_all(err, tell.clone());
        read_all(out, tell);
        assert!(
            told.iter().any(|line: String| line.contains(ready)),
            "not ready"
        );
        Self(child)
    }

    fn ternmq(folder: &Path) -> Self {
        let mut command = Command::new(program());
        command
            .args(["serve", "--config", "ternmq.toml"])
            .current_dir(folder);
        Self::start(command, "listening on")
    }

    fn mosquitto(folder: &Path) -> Self {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mosquitto");
        let mut command = match Path::new("/usr/sbin/mosquitto") {
            installed if installed.exists() => Command::new(installed),
            _ => {
                let mut command = Command::new(unpacked.join("usr/sbin/mosquitto"));
                command.env("LD_LIBRARY_PATH", libraries(&unpacked));
                command
            }
        };
        command
            .args(["-v", "-c", "mosquitto.conf"])
            .current_dir(folder);
        Self::start(command, " running")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It waits when nobody reads what it says.
fn read_all(from: impl std::io::Read + Send + 'static, tell: std::sync::mpsc::SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
}

/// The folders of libraries, as tests/setup unpacks them.
fn libraries(unpacked: &Path) -> String {
    let mut found = Vec::new();
    for lib in ["lib", "usr/lib"] {
        for entry in std::fs::read_dir(unpacked.join(lib)).into_iter().flatten() {
            found.push(entry.unwrap().path().display().to_string());
        }
    }
    found.join(":")
}

/// mosquitto takes none by itself; the kernel does not give this one out again so soon.
fn free_port() -> u16 {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    taken.local_addr().unwrap().port()
}

/// What clients are told, in words.
fn answers(address: SocketAddr) -> Vec<String> {
    let mut answers = Vec::new();
    for connect in [
        "",
        "username=anna password=geheim",
        "username=anna password=secret",
        "username=ben password=secret",
        "username=ben password=",
        "username=carl password=geheim",
        "username=anna",
    ] {
        let mut peer = RawPeer::connect(address, 4).unwrap();
        peer.send(&format!("CONNECT client_id=c {connect}"))
            .unwrap();
        let connack = peer.next_packet().unwrap().expect("an answer");
        let code = connack.number("reason", 99);
        answers.push(format!(
            "{connect}: {}",
            if code == 0 { "in" } else { "refused" }
        ));
        if code != 0 {
            continue;
        }
        for filter in ["own/anna/x", "public/x", "other"] {
            peer.send(&format!("SUBSCRIBE id=1 filter={filter} options=0"))
                .unwrap();
            drop(peer.expect("SUBACK id=1").unwrap());
            peer.send(&format!("PUBLISH id=2 qos=1 topic={filter} payload=x"))
                .unwrap();
            let mut came = false;
            loop {
                let packet = peer.next_packet().unwrap().expect("a packet");
                match packet.word(0) {
                    "PUBLISH" => came = true,
                    "PUBACK" => {}
                    "PINGRESP" => break,
                    other => panic!("{other}"),
                }
                if packet.word(0) == "PUBACK" {
                    peer.send("PINGREQ").unwrap();
                }
            }
            answers.push(format!("{connect}: {filter} {came}"));
        }
    }
    answers
}

/// Made by mosquitto_passwd 2.0.11: geheim, secret.
const PASSWORDS: &str = "\
anna:$7$101$nRDaCZ9lJFprLAJy$I1mnL4zy2CmRxsWgo7Hrn1y0H8UonNK8s/H/y+Txz9naa6oS3TtvmrD0W0jwIeytrCIvvCInGhDj6uotEw7Alw==
ben:$6$L/Np5sw8moPM406t$TSy1THVmSa3bzkWyhmITEGaSnDhfCdl40yZPZvLjQy4jndIOKZk/p7nyN0U4JluBHBVUuqaC0URPzYFEagtRmw==
";

const ACL: &str = "topic readwrite public/#\nuser anna\ntopic readwrite own/anna/#\n";

#[test]
fn the_same_clients_are_let_in_and_may_do_the_same() {
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listener = format!("listener {port} 127.0.0.1\n");
    let all = "password_file passwords\nacl_file acl\n";
    for (name, config) in [
        ("closed", format!("{listener}{all}allow_anonymous false\n")),
        ("open", format!("allow_anonymous true\n{all}{listener}")),
        ("default", listener.clone()),
        ("anonymous", format!("{listener}allow_anonymous true\n")),
        (
            "each",
            format!("per_listener_settings true\n{listener}{all}allow_anonymous true\n"),
        ),
        (
            "mounted-open",
            format!("{listener}mount_point public/\n{all}allow_anonymous true\n"),
        ),
        (
            "mounted-own",
            format!("{listener}mount_point own/anna/\n{all}allow_anonymous true\n"),
        ),
        ("old", format!("port {port}\nbind_address 127.0.0.1\n{all}")),
    ] {
        let files = [
            ("mosquitto.conf", &*config),
            ("passwords", PASSWORDS),
            ("acl", ACL),
        ];
        let folder = folder(&format!("import-{name}"), &files);
        let output = ternmq(&folder, &["import", "mosquitto.conf", "-o", "ternmq.toml"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        let check = ternmq(&folder, &["config", "check", "ternmq.toml"]);
        assert!(check.status.success(), "{name}: {check:?}");
        let theirs = {
            let _server = Server::mosquitto(&folder);
            answers(address)
        };
        let _server = Server::ternmq(&folder);
        assert_eq!(answers(address), theirs, "{name}");
    }
}

#[test]
fn what_can_not_be_taken_over_is_named_with_its_line() {
    let config = "\
# A comment
persistence true
log_dest stdout
include_dir more
listener 1883 127.0.0.1
max_connections -1
listener 1884 127.0.0.1
mount_point site
listener 1885 127.0.0.1
mount_point ${username}/
";
    let more = [
        ("more/b.conf", "connection up\naddress other:1883\n"),
        (
            "more/a.conf",
            "max_queued_messages 0\nmax_inflight_messages 7\nnonsense x\n",
        ),
        ("more/a.txt", "listener 9\n"),
    ];
    let files = [&[("mosquitto.conf", config)][..], &more].concat();
    let folder = folder("import-left", &files);
    let (all, status) = import(&folder);
    assert_eq!((status, &all["ok"]), (3, &false.into()));
    let place = |file: &str, line, key: &str| (file.to_owned(), line, key.to_owned());
    let left = told(&all["left"]);
    assert_eq!(
        left,
        [
            place("mosquitto.conf", 3, "log_dest"),
            place("more/a.conf", 3, "nonsense"),
            place("more/b.conf", 1, "connection"),
            place("more/b.conf", 2, "address"),
            place("mosquitto.conf", 8, "mount_point"),
            place("mosquitto.conf", 10, "mount_point"),
        ]
    );
    assert_eq!(
        told(&all["notes"]),
        [place("mosquitto.conf", 2, "persistence")]
    );
    let text = all["config"].as_str().unwrap();
    for line in [
        "inflight = 7",
        "queue_messages = 9223372036854775807",
        "127.0.0.1:1883",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for port in ["1884", "1885"] {
        assert!(!text.contains(port), "it would mix what was apart: {text}");
    }
}

#[test]
fn rules_that_are_wrong_are_told() {
    let config = "listener 1 127.0.0.1\nacl_file acl\n";
    let files = [("mosquitto.conf", config), ("acl", "nonsense line\n")];
    let folder = folder("import-acl", &files);
    let (all, status) = import(&folder);
    assert_eq!(status, 3);
    let left = [("mosquitto.conf".to_owned(), 2, "acl_file".to_owned())];
    assert_eq!(told(&all["left"]), left);
    assert!(
        all["left"][0]["why"].to_string().contains("line 1"),
        "{all}"
    );
}

#[test]
fn passwords_that_can_not_be_read_are_told() {
    for (name, file, place) in [
        ("clear", "passwords", "passwords, line 1, column 6"),
        ("missing", "no/such/file", "cannot read no/such/file"),
    ] {
        let config = format!("listener 1 127.0.0.1\nallow_anonymous true\npassword_file {file}\n");
        let files = [("mosquitto.conf", &*config), ("passwords", "carl:plain\n")];
        let folder = folder(&format!("import-{name}"), &files);
        let (all, status) = import(&folder);
        let left = [("mosquitto.conf".to_owned(), 3, "password_file".to_owned())];
        assert_eq!((status, told(&all["left"])), (3, left.to_vec()));
        let why = all["left"][0]["why"].as_str().unwrap();
        assert!(why.contains(place) && !why.contains("plain"), "{why}");
        // Nobody gets in by what is missing: no server starts with it.
        std::fs::write(folder.join("ternmq.toml"), all["config"].as_str().unwrap()).unwrap();
        let server = ternmq(&folder, &["serve", "--config", "ternmq.toml"]);
        assert!(!server.status.success(), "{server:?}");
        assert!(
            String::from_utf8_lossy(&server.stderr).contains(place),
            "{server:?}"
        );
    }
}

#[test]
fn every_kind_of_listener_is_one_of_ours() {
    let config = "\
listener 1 127.0.0.1
accept_protocol_versions 3,5
listener 0 socket
listener 2 127.0.0.1
protocol websockets
websockets_origin https://a.example
listener 3 127.0.0.1
certfile server.pem
keyfile server.key
cafile ca.pem
crlfile clients.crl
require_certificate true
use_identity_as_username true
tls_version tlsv1.3
persistent_client_expiration 2d
max_packet_size 20000
retain_available false
";
    let folder = folder("import-kinds", &[("mosquitto.conf", config)]);
    authority().issue(&["127.0.0.1"]).write(&folder, "server");
    std::fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    std::fs::write(folder.join("clients.crl"), authority().revoke(&[7], 2200)).unwrap();
    let output = ternmq(&folder, &["import", "mosquitto.conf", "-o", "ternmq.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let check = ternmq(&folder, &["config", "check", "ternmq.toml"]);
    assert!(check.status.success(), "{check:?}");
    let text = std::fs::read_to_string(folder.join("ternmq.toml")).unwrap();
    let read: toml::Table = text.parse().unwrap();
    let listeners = read["listener"].as_array().unwrap();
    let kinds: Vec<&str> = (listeners.iter())
        .map(|listener| listener["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["tcp", "unix", "ws", "tls"]);
    assert!(
        listeners
            .iter()
            .all(|listener| listener["anonymous"] == false.into())
    );
    assert_eq!(listeners[0]["versions"], ["3.1", "5"].to_vec().into());
    assert_eq!(
        listeners[2]["origins"],
        ["https://a.example"].to_vec().into()
    );
    assert_eq!(listeners[3]["identity"], "cn".into());
    assert_eq!(listeners[3]["min_tls"], "1.3".into());
    assert_eq!(listeners[3]["client_crl"][0], "clients.crl".into());
    assert_eq!(read["limits"]["session_expiry"], 172_800.into());
    assert_eq!(read["limits"]["packet_size"], 20_000.into());
    assert_eq!(read["topics"]["retain"], false.into());
    // What is there is not written over.
    let again = ternmq(&folder, &["import", "mosquitto.conf", "-o", "ternmq.toml"]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn nothing_is_more_open_than_it_was() {
    let one = "listener 1 127.0.0.1\n";
    for (name, config, holds) in [
        (
            "plugin",
            format!("{one}allow_anonymous true\nplugin x.so\n"),
            "anonymous = false",
        ),
        (
            "passwords",
            format!("{one}allow_anonymous true\npassword_file nobody\n"),
            "password_file = \"nobody\"",
        ),
        (
            "acl",
            format!("per_listener_settings true\n{one}acl_file a\nlistener 2 127.0.0.1\n"),
            "default = \"deny\"",
        ),
    ] {
        let files = [
            ("mosquitto.conf", &*config),
            ("nobody", "carl:plain\n"),
            ("a", ACL),
        ];
        let folder = folder(&format!("import-not-{name}"), &files);
        let (all, status) = import(&folder);
        let text = all["config"].as_str().unwrap();
        assert!(status == 3 && text.contains(holds), "{name}: {all}");
    }
    for (name, config) in [
        ("none", format!("{one}tls_engine x\n")),
        ("psk", format!("{one}psk_hint x\n")),
        ("half", format!("{one}certfile x\n")),
        ("port", "listener 70000\n".to_owned()),
    ] {
        let folder = folder(
            &format!("import-fails-{name}"),
            &[("mosquitto.conf", &config)],
        );
        let output = ternmq(&folder, &["import", "mosquitto.conf"]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        assert!(output.stdout.is_empty());
    }
}
