//! What each end makes of one that it must not trust, or that does not do its part, over `mqtts` and `wss`
//! alike: a client of a bad server, a broker of bad clients.
#![cfg(all(feature = "tls", feature = "websocket"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ternmq_broker::tls::{ClientCertificates, PemSource, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Broker, Config, ListenerConfig, Stats};
use ternmq_client::blocking::Client;
use ternmq_client::tls::{CertificateProblem, Identity, Roots, TlsError, TlsOptions};
use ternmq_client::{ConnectError, ConnectOptions, Publish, QoS, TransportError};
use ternmq_test_certificates::{
    Authority, Issued, authority, expired, not_yet_valid, numbered, self_signed,
};

const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMES: [&str; 2] = ["mqtts", "wss"];

fn identity(issued: Issued) -> Identity {
    Identity::pem(issued.chain, issued.key)
}

fn roots(authority: &Authority) -> Vec<Roots> {
    vec![Roots::Pem(authority.pem().as_bytes().to_vec())]
}

fn plain() -> ListenerConfig {
    ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
}

/// Listeners for both schemes.
fn secure(tls: &TlsServerOptions) -> [ListenerConfig; 2] {
    let mut web = tls.clone();
    web.alpn.clear();
    let tls = ListenerConfig {
        tls: Some(tls.clone()),
        ..plain()
    };
    let web = ListenerConfig {
        tls: Some(web),
        websocket: Some(WebSocketServer::default()),
        ..plain()
    };
    [tls, web]
}

fn start(listeners: Vec<ListenerConfig>) -> Broker {
    let config = Config {
        listeners,
        shards: 1,
        ..Config::default()
    };
    Broker::start(config).unwrap()
}

fn url(broker: &Broker, at: usize, scheme: &str) -> String {
    format!("{scheme}://localhost:{}", broker.local_addrs()[at].port())
}

fn options(url: &str, identity: Option<Identity>) -> ConnectOptions {
    let tls = TlsOptions {
        roots: roots(authority()),
        identity,
        ..TlsOptions::default()
    };
    let options = ConnectOptions::from_uri(url).unwrap();
    options.connect_timeout(PATIENCE).tls(&tls).unwrap()
}

fn refused(options: ConnectOptions) -> ConnectError {
    match Client::connect(options) {
        Err(error) => error,
        Ok(_) => panic!("connected"),
    }
}

fn until(broker: &Broker, what: impl Fn(&Stats) -> bool) -> Stats {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = broker.stats();
        if what(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "{stats:#?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_client_refuses_a_server_whose_certificate_is_wrong() {
    let authority = authority();
    let presented = vec!["example.com".to_owned()];
    let expected = "localhost".to_owned();
    let bad = [
        (
            authority.issue_with("x", &["localhost"], expired),
            CertificateProblem::Expired,
        ),
        (
            authority.issue_with("x", &["localhost"], not_yet_valid),
            CertificateProblem::NotYetValid,
        ),
        (self_signed("localhost"), CertificateProblem::UnknownIssuer),
        (
            Authority::new("a stranger").issue(&["localhost"]),
            CertificateProblem::UnknownIssuer,
        ),
        (
            authority.issue(&["example.com"]),
            CertificateProblem::WrongName {
                expected,
                presented,
            },
        ),
    ];
    let (issued, problems): (Vec<_>, Vec<_>) = bad.into_iter().unzip();
    let listeners = issued.into_iter().flat_map(|issued| {
        let tls = TlsServerOptions::new(identity(issued));
        secure(&tls)
    });
    let broker = start(listeners.collect());
    for (at, problem) in problems.iter().enumerate() {
        for (kind, scheme) in SCHEMES.into_iter().enumerate() {
            let error = refused(options(&url(&broker, 2 * at + kind, scheme), None));
            match error {
                ConnectError::Transport(TransportError::Tls(TlsError::Certificate(said))) => {
                    assert_eq!(&said, problem, "{scheme}");
                }
                other => panic!("{scheme}, {problem:?}: {other:?}"),
            }
        }
    }
    let all = 2 * problems.len() as u64;
    let stats = until(&broker, |stats| stats.closed == all);
    assert_eq!((stats.tls_failed, stats.handshakes_unfinished), (all, all));
}

#[test]
fn a_broker_refuses_a_client_whose_certificate_is_wrong() {
    let clients = Authority::new("clients");
    let tls = TlsServerOptions {
        clients: ClientCertificates::Required(roots(&clients)),
        revoked: vec![PemSource::Bytes(clients.revoke(&[7], 2200).into_bytes())],
        ..TlsServerOptions::new(identity(authority().issue(&["localhost"])))
    };
    let broker = start(secure(&tls).to_vec());
    let bad = || {
        [
            Some(clients.issue_with("c", &[], expired)),
            Some(clients.issue_with("c", &[], not_yet_valid)),
            Some(clients.issue_with("c", &[], numbered(7))),
            Some(self_signed("c")),
            Some(Authority::new("a stranger").client("c")),
            // That of a server.
            Some(authority().issue(&["localhost"])),
            None,
        ]
    };
    let mut all = 0;
    for (at, scheme) in SCHEMES.into_iter().enumerate() {
        let url = url(&broker, at, scheme);
        let good = || options(&url, Some(identity(clients.client("good"))));
        let bystander = Client::connect(good()).unwrap();
        for issued in bad() {
            all += 1;
            let error = refused(options(&url, issued.map(identity)));
            assert!(
                matches!(
                    error,
                    ConnectError::Transport(TransportError::Tls(_))
                        | ConnectError::Closed
                        | ConnectError::Io(_)
                ),
                "{scheme}: {error:?}"
            );
            until(&broker, |stats| stats.tls_failed == all);
            let message = Publish::new("t", "x").qos(QoS::AtLeastOnce);
            bystander.publish(message).unwrap();
        }
    }
    let stats = broker.stats();
    assert_eq!(stats.handshakes_unfinished, all);
    assert_eq!(stats.mqtt.peer_errors, 0);
}

#[test]
fn who_speaks_tls_to_the_wrong_door_is_told_at_once() {
    let tls = TlsServerOptions::new(identity(authority().issue(&["localhost"])));
    let [secure, web] = secure(&tls);
    let websocket = ListenerConfig {
        websocket: Some(WebSocketServer::default()),
        ..plain()
    };
    let mut no_alpn = secure;
    no_alpn.tls.as_mut().unwrap().alpn.clear();
    let broker = start(vec![plain(), no_alpn, websocket, web]);
    let right = ["mqtt", "mqtts", "ws", "wss"];
    let mut refusals = 0;
    for (at, speaks) in right.into_iter().enumerate() {
        for scheme in right {
            let options = options(&url(&broker, at, scheme), None);
            if scheme == speaks {
                Client::connect(options).unwrap().disconnect();
                continue;
            }
            refusals += 1;
            let error = refused(options);
            assert!(
                !matches!(error, ConnectError::Timeout),
                "{scheme} to {speaks}"
            );
        }
    }
    let stats = until(&broker, |stats| stats.closed == refusals + 4);
    // Each was told why, and none had to wait for the end of its time.
    assert_eq!((stats.tls_failed, stats.websocket_failed), (4, 4));
}

/// A server that says this, and then one byte after the other without an end.
fn dripping(beginning: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        // It has to ask first.
        let _ = socket.read(&mut [0; 64]);
        let mut alive = socket.write_all(beginning).is_ok();
        while alive {
            alive = socket.write_all(b"a").is_ok();
            std::thread::yield_now();
        }
    });
    address
}

#[test]
fn a_server_that_answers_byte_by_byte_has_the_time_of_the_attempt_or_its_bounds() {
    for (scheme, beginning) in [
        // A record of handshake of 16 KiB, with a ServerHello of as much as there can be.
        (
            "mqtts",
            &b"\x16\x03\x03\x40\x00\x02\xff\xff\xff\x03\x03"[..],
        ),
        ("wss", b"\x16\x03\x03\x40\x00\x02\xff\xff\xff\x03\x03"),
        ("ws", b"HTTP/1.1 101 Switching Protocols\r\nX: "),
    ] {
        let address = dripping(beginning);
        let tls = options(&format!("{scheme}://{address}"), None);
        let error = refused(tls.connect_timeout(Duration::from_millis(500)));
        assert!(
            matches!(error, ConnectError::Timeout | ConnectError::Transport(_)),
            "{scheme}: {error:?}"
        );
    }
}

#[test]
fn a_storm_at_secure_doors_keeps_nobody_waiting() {
    const EACH: usize = 1_000;
    let tls = TlsServerOptions::new(identity(authority().issue(&["localhost"])));
    let broker = start(secure(&tls).to_vec());
    let witness = Client::connect(options(&url(&broker, 0, "mqtts"), None)).unwrap();
    let addresses = broker.local_addrs();
    let mut round_trips = 0;
    std::thread::scope(|scope| {
        let storms: Vec<_> = (addresses.iter().copied())
            .map(|address| {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let mut socket = TcpStream::connect(address).unwrap();
                        let piece: &[u8] = match number % 3 {
                            0 => b"",
                            // Half a ClientHello, and no TLS at all.
                            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                            _ => b"\x10\x0c\x00\x04MQTT",
                        };
                        // It may be refused meanwhile.
                        let _ = socket.write_all(piece);
                    }
                })
            })
            .collect();
        while !storms.iter().all(|storm| storm.is_finished()) || round_trips == 0 {
            let message = Publish::new("t", "x").qos(QoS::AtLeastOnce);
            witness.publish(message).unwrap();
            round_trips += 1;
        }
    });
    let all = 2 * EACH as u64;
    let stats = until(&broker, |stats| stats.closed == all);
    assert_eq!(stats.handshakes_unfinished, all);
    assert_eq!(stats.mqtt.connections, 1);
    for (at, scheme) in SCHEMES.into_iter().enumerate() {
        Client::connect(options(&url(&broker, at, scheme), None)).unwrap();
    }
}
