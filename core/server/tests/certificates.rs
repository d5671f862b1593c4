//! Several certificates of a listener, lists of what is revoked, and secrets that are written down.

mod program;
#[path = "program/server.rs"]
mod server;
#[path = "program/tshark.rs"]
mod tshark;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ternmq_client::blocking::Client;
use ternmq_client::tls::{CertificateProblem, Identity, Roots, TlsError, TlsOptions};
use ternmq_client::{ConnectError, ConnectOptions, TransportError};
use ternmq_test_certificates::{Authority, authority, numbered};

use crate::server::{Server, folder, ternmq};
use crate::tshark::{text2pcap, tshark};

/// A listener of each type that has TLS, with these lines.
fn config(lines: &str) -> String {
    let listener = |kind| {
        format!(
            "[[listener]]\ntype = '{kind}'\naddress = '127.0.0.1:0'\ncertificate = 'first.pem'\n\
             key = 'first.key'\n{lines}\n"
        )
    };
    ["tls", "wss", "quic"].map(listener).concat()
}

/// Starts it, and where it listens by type.
fn start(folder: &Path, config: &str) -> (Server, HashMap<String, String>) {
    fs::write(folder.join("ternmq.toml"), config).unwrap();
    fs::write(folder.join("ca.pem"), authority().pem()).unwrap();
    let mut server = Server::start(folder);
    let mut urls = HashMap::new();
    let mut add = |event: &serde_json::Value| {
        let url = event["url"].as_str().unwrap();
        let (scheme, _) = url.split_once("://").unwrap();
        urls.insert(scheme.to_owned(), url.to_owned());
        urls.len() < 3
    };
    let mut more = add(&server.listening);
    while more {
        let event = server.event();
        more = event["event"] != "listening" || add(&event);
    }
    (server, urls)
}

fn options() -> TlsOptions {
    TlsOptions {
        roots: vec![Roots::Pem(authority().pem().into())],
        ..TlsOptions::default()
    }
}

fn connect(url: &str, tls: &TlsOptions) -> Result<(), TlsError> {
    let options = ConnectOptions::from_uri(url).unwrap().tls(tls).unwrap();
    let options = options.connect_timeout(Duration::from_secs(20));
    match Client::connect(options) {
        Ok(client) => {
            client.disconnect();
            Ok(())
        }
        Err(ConnectError::Transport(TransportError::Tls(error))) => Err(error),
        Err(other) => panic!("{url}: {other:?}"),
    }
}

/// What a client sees that asks for a host: nothing wrong, or a certificate for these others.
fn asked(url: &str, host: &str) -> Result<(), Vec<String>> {
    let tls = TlsOptions {
        server_name: Some(host.to_owned()),
        ..options()
    };
    match connect(url, &tls) {
        Ok(()) => Ok(()),
        Err(TlsError::Certificate(CertificateProblem::WrongName { presented, .. })) => {
            Err(presented)
        }
        Err(TlsError::Alert(what)) => Err(vec![what]),
        Err(other) => panic!("{url}, {host}: {other:?}"),
    }
}

fn issue(folder: &Path, file: &str, hosts: &[&str]) {
    authority().issue(hosts).write(folder, file);
}

const TWO_MORE: &str = "[[listener.certificates]]\ncertificate = 'a.pem'\nkey = 'a.key'\n\
                        [[listener.certificates]]\ncertificate = 'b.pem'\nkey = 'b.key'\n";

#[test]
fn the_host_that_a_client_names_says_which_certificate_it_sees_on_every_listener() {
    let folder = folder("names");
    issue(&folder, "first", &["localhost"]);
    issue(&folder, "a", &["a.example"]);
    issue(&folder, "b", &["*.b.example"]);
    let (mut server, urls) = start(&folder, &config(TWO_MORE));
    for url in urls.values() {
        for host in ["localhost", "a.example", "x.b.example"] {
            assert_eq!(asked(url, host), Ok(()), "{url}");
        }
        for host in ["c.example", "b.example", "127.0.0.1"] {
            assert_eq!(asked(url, host), Err(vec!["localhost".to_owned()]), "{url}");
        }
    }
    // Of all files one is wrong: nothing changes, and its line is told.
    issue(&folder, "first", &["new.example"]);
    fs::write(folder.join("b.key"), "no key").unwrap();
    let again = config(TWO_MORE);
    let told = server.reload("ternmq.toml", &again);
    let refused = told.last().unwrap();
    assert_eq!(refused["what"], "not_reloaded", "{told:?}");
    let problems = refused["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (at, problem) in problems.iter().enumerate() {
        assert_eq!(problem["key"], format!("listener[{at}].certificates"));
        assert!(
            problem.to_string().contains("no private key in b.key"),
            "{problem}"
        );
    }
    for url in urls.values() {
        assert_eq!(asked(url, "localhost"), Ok(()), "{url}");
        assert_eq!(asked(url, "x.b.example"), Ok(()), "{url}");
    }
    issue(&folder, "b", &["c.example"]);
    let strict = config(&format!("unknown_name = 'refuse'\n{TWO_MORE}"));
    let told = server.reload("ternmq.toml", &strict);
    assert_eq!(
        told.last().unwrap()["event"],
        "certificates_reloaded",
        "{told:?}"
    );
    for url in urls.values() {
        assert_eq!(asked(url, "new.example"), Ok(()), "{url}");
        assert_eq!(asked(url, "c.example"), Ok(()), "{url}");
        for host in ["localhost", "x.b.example", "127.0.0.1"] {
            assert_eq!(
                asked(url, host),
                Err(vec!["access denied".to_owned()]),
                "{url}"
            );
        }
    }
}

#[test]
fn a_client_refuses_a_revoked_server_on_every_listener() {
    let folder = folder("revoked-servers");
    let issued = authority().issue_with("s", &["127.0.0.1"], |params| {
        params.serial_number = Some(77.into());
    });
    issued.write(&folder, "first");
    let (_server, urls) = start(&folder, &config(""));
    let publish = |url: &str| -> Output {
        let args = [
            "pub", "-L", url, "-t", "t", "-m", "m", "--cafile", "ca.pem", "--crl", "list.crl",
        ];
        ternmq(&folder, &args).output().unwrap()
    };
    for url in urls.values() {
        fs::write(folder.join("list.crl"), authority().revoke(&[1], 2200)).unwrap();
        let fine = publish(url);
        assert!(fine.status.success(), "{fine:?}");
        fs::write(folder.join("list.crl"), authority().revoke(&[77], 2200)).unwrap();
        let refused = publish(url);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("it is revoked"),
            "{url}: {said}"
        );
        fs::write(folder.join("list.crl"), "-----BEGIN").unwrap();
        let said = String::from_utf8(publish(url).stderr).unwrap();
        assert!(said.contains("list.crl: there is none in it"), "{said}");
    }
}

#[test]
fn a_revoked_client_is_refused_on_every_listener() {
    let folder = folder("revoked-clients");
    let clients = Authority::new("clients");
    issue(&folder, "first", &["127.0.0.1"]);
    fs::write(folder.join("clients.pem"), clients.pem()).unwrap();
    fs::write(folder.join("list.crl"), clients.revoke(&[7], 2200)).unwrap();
    let lines = "client_ca = 'clients.pem'\nclient_crl = ['list.crl']\n";
    let (_server, urls) = start(&folder, &config(lines));
    let known = [7, 8].map(|number| {
        let issued = clients.issue_with("c", &[], numbered(number));
        TlsOptions {
            identity: Some(Identity::pem(issued.chain, issued.key)),
            ..options()
        }
    });
    for url in urls.values() {
        assert_eq!(connect(url, &known[1]), Ok(()), "{url}");
        let refused = connect(url, &known[0]).unwrap_err().to_string();
        assert!(refused.contains("certificate revoked"), "{url}: {refused}");
    }
}

/// What goes over a connection, in its order: whether the client has sent it, and what.
type Record = Arc<Mutex<Vec<(bool, Vec<u8>)>>>;

/// Stands before a server for one connection of TCP.
fn record_tcp(server: SocketAddr) -> (SocketAddr, Record) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, record) = (door.local_addr().unwrap(), Record::default());
    let all = record.clone();
    std::thread::spawn(move || {
        let client = door.accept().unwrap().0;
        let server = TcpStream::connect(server).unwrap();
        let ends = [
            (client.try_clone().unwrap(), server.try_clone().unwrap()),
            (server, client),
        ];
        for (at, (mut from, mut to)) in ends.into_iter().enumerate() {
            let record = all.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 16_384];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    // Written down before it is answered.
                    record
                        .lock()
                        .unwrap()
                        .push((at == 0, buffer[..length].to_vec()));
                    if to.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
                // The other side may have gone before.
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    (address, record)
}

/// Stands before a server for one client of UDP.
fn record_udp(server: SocketAddr) -> (SocketAddr, Record) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, record) = (near.local_addr().unwrap(), Record::default());
    let all = record.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        let (length, client) = near.recv_from(&mut buffer).unwrap();
        near.connect(client).unwrap();
        far.connect(server).unwrap();
        let first = buffer[..length].to_vec();
        far.send(&first).unwrap();
        all.lock().unwrap().push((true, first));
        let ends = [
            (near.try_clone().unwrap(), far.try_clone().unwrap()),
            (far, near),
        ];
        for (at, (from, to)) in ends.into_iter().enumerate() {
            let record = all.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(length) = from.recv(&mut buffer) {
                    record
                        .lock()
                        .unwrap()
                        .push((at == 0, buffer[..length].to_vec()));
                    if to.send(&buffer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, record)
}

/// The topics that tshark reads in a recorded connection with the help of a file of secrets.
fn topics(folder: &Path, scheme: &str, record: &Record, secrets: &str) -> Vec<String> {
    let recorded = record.lock().unwrap().clone();
    let kind = if scheme == "quic" { "-u" } else { "-T" };
    let file = text2pcap(folder, kind, "8883,50000", &recorded);
    let keys = format!("tls.keylog_file:{}", folder.join(secrets).display());
    let keys = ["-o", &*keys];
    // Wireshark takes MQTT in WebSockets and QUIC not apart, but shows its bytes.
    let (rules, field) = match scheme {
        "wss" => (&["tls.port==8883,http", "tcp.port==8883,tls"][..], "data"),
        "quic" => (&["udp.port==8883,quic"][..], "quic.stream_data"),
        _ => (
            &["tls.port==8883,mqtt", "tcp.port==8883,tls"][..],
            "mqtt.topic",
        ),
    };
    let rules: Vec<&str> = rules.iter().flat_map(|rule| ["-d", rule]).collect();
    let options = [&keys[..], &rules, &["-Y", field]].concat();
    let found = tshark(&file, &options, &[field]);
    let found = found
        .into_iter()
        .map(|line| line[0].replace([':', ','], ""));
    let topic = "topic/of";
    let hex: String = topic.bytes().map(|byte| format!("{byte:02x}")).collect();
    found
        .filter(|text| text == topic || text.contains(&hex))
        .map(|_| topic.to_owned())
        .collect()
}

#[test]
fn wireshark_reads_recorded_traffic_with_what_was_written_down_and_only_then() {
    let folder = folder("secrets");
    issue(&folder, "first", &["127.0.0.1"]);
    let keyed = config("key_log = 'server.keys'\n");
    let (mut server, urls) = start(&folder, &keyed);
    // Warned of for each listener, at the start and whenever there is occasion.
    let told = server.reload("ternmq.toml", &keyed);
    let warned = told.iter().filter(|event| event["what"] == "key_log");
    assert_eq!(warned.count(), 6, "{told:?}");
    let publish = |url: &str, keys: &[&str]| {
        let mut command = ternmq(
            &folder,
            &["pub", "-L", url, "-q", "1", "-t", "topic/of", "-m", "m"],
        );
        command.args(["--cafile", "ca.pem"]).args(keys);
        // Of no consequence.
        command.env("SSLKEYLOGFILE", folder.join("environment"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (scheme, url) in &urls {
        for version in ["tlsv1.3", "tlsv1.2"] {
            if scheme == "quic" && version == "tlsv1.2" {
                continue;
            }
            let address: SocketAddr = address_of(url).parse().unwrap();
            let (relay, record) = match scheme.as_str() {
                "quic" => record_udp(address),
                _ => record_tcp(address),
            };
            let url = url.replace(&address.to_string(), &relay.to_string());
            let said = publish(
                &url,
                &["--tls-version", version, "--tls-keylog", "client.keys"],
            );
            assert!(said.contains("whoever has client.keys reads all"), "{said}");
            fs::write(folder.join("none"), "").unwrap();
            assert!(topics(&folder, scheme, &record, "none").is_empty());
            for keys in ["client.keys", "server.keys"] {
                let found = topics(&folder, scheme, &record, keys);
                assert_eq!(found, ["topic/of"], "{scheme}, {version}, {keys}");
                let mode = fs::metadata(folder.join(keys))
                    .unwrap()
                    .permissions()
                    .mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
    }
    // Nobody is asked.
    fs::remove_file(folder.join("server.keys")).unwrap();
    let told = server.reload("ternmq.toml", &config(""));
    assert!(
        told.iter().all(|event| event["what"] != "key_log"),
        "{told:?}"
    );
    for url in urls.values() {
        assert_eq!(publish(url, &[]), "");
    }
    for file in ["environment", "server.keys"] {
        assert!(!folder.join(file).exists(), "{file}");
    }
}

fn address_of(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    rest.split('/').next().unwrap()
}

#[test]
fn a_file_of_secrets_that_others_may_read_ends_the_start_and_looking_makes_none() {
    let folder = folder("secrets-of-all");
    issue(&folder, "first", &["127.0.0.1"]);
    fs::write(folder.join("ternmq.toml"), config("key_log = 'keys'\n")).unwrap();
    let checked = |folder: &Path| {
        let args = ["config", "check", "ternmq.toml"];
        ternmq(folder, &args).output().unwrap()
    };
    assert!(checked(&folder).status.success());
    assert!(!folder.join("keys").exists());
    fs::write(folder.join("keys"), "").unwrap();
    let chmod = Command::new("chmod")
        .arg("644")
        .arg(folder.join("keys"))
        .status();
    assert!(chmod.unwrap().success());
    let serve = ternmq(&folder, &["serve", "--config", "ternmq.toml"]).output();
    for output in [checked(&folder), serve.unwrap()] {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("key_log"),
            "{said}"
        );
        assert!(said.contains("others may read it"), "{said}");
    }
}
