//! The client and the broker over every transport there is, and what goes wrong on the way.
#![cfg(all(feature = "quic", feature = "tls", feature = "websocket"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{ClientCertificates, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Address, Broker, CertificateUser, Config, ListenerConfig, Stats};
use ternmq_client::blocking::Client;
use ternmq_client::tls::{CertificateProblem, Identity, Roots, TlsError, TlsOptions, Verify};
use ternmq_client::websocket::{WebSocketError, WebSocketOptions};
use ternmq_client::{
    ConnectError, ConnectOptions, ProtocolVersion, Publish, QoS, SubscribeOptions, Target,
    TransportError,
};
use ternmq_test_certificates::{Authority, Issued, authority};
use ternmq_transport::Stream;

const PATIENCE: Duration = Duration::from_secs(20);

fn identity(issued: Issued) -> Identity {
    Identity::pem(issued.chain, issued.key)
}

fn roots(authority: &Authority) -> Vec<Roots> {
    vec![Roots::Pem(authority.pem().as_bytes().to_vec())]
}

fn trusting() -> TlsOptions {
    TlsOptions {
        roots: roots(authority()),
        ..TlsOptions::default()
    }
}

/// A broker that listens in every way there is.
struct Everywhere {
    broker: Broker,
    socket: PathBuf,
}

impl Everywhere {
    fn start(name: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("ternmq-{name}-{}", std::process::id()));
        let plain = ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap());
        let tls = TlsServerOptions::new(identity(authority().issue(&["localhost", "127.0.0.1"])));
        let mut web = tls.clone();
        web.alpn.clear();
        let listeners = vec![
            plain.clone(),
            ListenerConfig {
                tls: Some(tls.clone()),
                ..plain.clone()
            },
            ListenerConfig {
                websocket: Some(WebSocketServer::default()),
                ..plain.clone()
            },
            ListenerConfig {
                tls: Some(web),
                websocket: Some(WebSocketServer::default()),
                ..plain.clone()
            },
            ListenerConfig {
                tls: Some(tls.clone()),
                quic: Some(QuicOptions::default()),
                ..plain
            },
            ListenerConfig::unix(&socket, 0o600),
        ];
        let config = Config {
            listeners,
            shards: 2,
            ..Config::default()
        };
        let broker = Broker::start(config).unwrap();
        Self { broker, socket }
    }

    fn port(&self, at: usize) -> u16 {
        self.broker.local_addrs()[at].port()
    }

    fn urls(&self) -> Vec<String> {
        let urls = ["mqtt", "mqtts", "ws", "wss", "quic"]
            .into_iter()
            .enumerate();
        let urls = urls.map(|(at, scheme)| format!("{scheme}://localhost:{}", self.port(at)));
        urls.chain([format!("unix://{}", self.socket.display())])
            .collect()
    }
}

fn options(url: &str) -> ConnectOptions {
    let options = ConnectOptions::from_uri(url).unwrap();
    options.connect_timeout(PATIENCE).tls(&trusting()).unwrap()
}

/// What a failed attempt says.
fn refused(options: ConnectOptions) -> ConnectError {
    match Client::connect(options) {
        Err(error) => error,
        Ok(_) => panic!("connected"),
    }
}

fn tls_refused(options: ConnectOptions) -> TlsError {
    match refused(options) {
        ConnectError::Transport(TransportError::Tls(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn until(broker: &Broker, what: impl Fn(&Stats) -> bool) -> Stats {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let stats = broker.stats();
        if what(&stats) {
            return stats;
        }
        assert!(std::time::Instant::now() < end, "{stats:#?}");
        std::thread::yield_now();
    }
}

/// Messages of all sizes, each way, whatever frames and records they come in.
#[test]
fn messages_of_all_sizes_travel_over_every_transport() {
    let everywhere = Everywhere::start("sizes");
    for url in everywhere.urls() {
        for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5_0] {
            let client = Client::connect(options(&url).version(version)).unwrap();
            let qos = SubscribeOptions::new(QoS::ExactlyOnce);
            let mut inbox = client.subscribe("sizes/#", qos).unwrap();
            for (at, size) in [0, 1, 125, 126, 5_000, 65_535, 65_536, 3_000_000]
                .into_iter()
                .enumerate()
            {
                let payload: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][at % 3];
                client
                    .publish(Publish::new("sizes/x", &payload).qos(qos))
                    .unwrap();
                let got = inbox.next_timeout(PATIENCE).unwrap();
                assert!(got.payload() == payload, "{url} {size}");
            }
            client.disconnect();
        }
    }
    let stats = until(&everywhere.broker, |stats| stats.closed == 12);
    assert_eq!(
        stats.tls_failed + stats.websocket_failed + stats.quic_failed,
        0
    );
    assert_eq!(stats.handshakes_unfinished + stats.mqtt.peer_errors, 0);
    let socket = everywhere.socket;
    assert!(socket.exists());
    everywhere.broker.stop().unwrap();
    assert!(!socket.exists());
}

#[test]
fn many_messages_at_once_arrive_in_order_over_every_transport() {
    let everywhere = Everywhere::start("many");
    for url in everywhere.urls() {
        let client = Client::connect(options(&url)).unwrap();
        let qos = SubscribeOptions::new(QoS::AtLeastOnce).queue(100_000);
        let mut inbox = client.subscribe("many", qos).unwrap();
        let publisher = Client::connect(options(&url)).unwrap();
        let mut waiting = Vec::new();
        for number in 0..5_000u32 {
            let payload = number.to_be_bytes().repeat(1 + (number % 100) as usize);
            let publish = Publish::new("many", &payload).qos(QoS::AtLeastOnce);
            waiting.push(publisher.publish_nowait(publish).unwrap());
            if waiting.len() == 500 {
                for publishing in waiting.drain(..) {
                    publisher.wait(publishing).unwrap();
                }
            }
        }
        for number in 0..5_000u32 {
            let got = inbox.next_timeout(PATIENCE).unwrap();
            assert_eq!(&got.payload()[..4], number.to_be_bytes(), "{url}");
        }
    }
}

#[test]
fn a_certificate_that_is_not_accepted_is_told_with_its_reason() {
    let everywhere = Everywhere::start("reasons");
    let url = &everywhere.urls()[1];
    let with = |tls: TlsOptions| options(url).tls(&tls).unwrap();
    let stranger = Authority::new("a stranger");
    let unknown = with(TlsOptions {
        roots: roots(&stranger),
        ..TlsOptions::default()
    });
    let error = tls_refused(unknown);
    let issuer = CertificateProblem::UnknownIssuer;
    assert_eq!(error, TlsError::Certificate(issuer));
    assert!(error.to_string().contains("unknown issuer"), "{error}");
    let named = with(TlsOptions {
        server_name: Some("example.com".into()),
        ..trusting()
    });
    let error = tls_refused(named).to_string();
    assert!(error.contains("not for example.com"), "{error}");
    let chain = with(TlsOptions {
        server_name: Some("example.com".into()),
        verify: Verify::Chain,
        ..trusting()
    });
    Client::connect(chain).unwrap();
    let anything = with(TlsOptions {
        roots: Vec::new(),
        verify: Verify::Nothing,
        ..TlsOptions::default()
    });
    Client::connect(anything).unwrap();
    let stats = until(&everywhere.broker, |stats| stats.tls_failed == 2);
    assert_eq!(stats.handshakes_unfinished, 2);
}

#[test]
fn a_server_that_speaks_something_else_is_told_apart() {
    let everywhere = Everywhere::start("else");
    let port = |at| everywhere.port(at);
    let tls_to_plain = options(&format!("mqtts://localhost:{}", port(0)));
    // The broker takes a ClientHello for a broken packet.
    let error = tls_refused(tls_to_plain);
    assert_eq!(error, TlsError::Truncated);
    let plain_to_tls = options(&format!("mqtt://localhost:{}", port(1)));
    assert!(matches!(
        refused(plain_to_tls),
        ConnectError::Closed | ConnectError::Protocol(_)
    ));
    let elsewhere = options(&format!("ws://localhost:{}/elsewhere", port(2)));
    let error = refused(elsewhere);
    let status = WebSocketError::Refused(404, "Not Found".into());
    assert!(
        matches!(&error, ConnectError::Transport(TransportError::WebSocket(e)) if *e == status),
        "{error:?}"
    );
    let nobody = options("unix:///no/such/socket");
    assert!(matches!(refused(nobody), ConnectError::Io(_)));
    let stats = until(&everywhere.broker, |stats| stats.closed == 3);
    assert_eq!((stats.tls_failed, stats.websocket_failed), (1, 1));
}

#[test]
fn the_certificate_of_a_client_says_who_it_is() {
    let clients = Authority::new("clients");
    let mut tls = TlsServerOptions::new(identity(authority().issue(&["localhost"])));
    tls.clients = ClientCertificates::Required(roots(&clients));
    let listener = |certificate_user| ListenerConfig {
        anonymous: false,
        tls: Some(tls.clone()),
        certificate_user,
        ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
    };
    let broker = Broker::start(Config {
        listeners: [
            CertificateUser::CommonName,
            CertificateUser::DistinguishedName,
            CertificateUser::Nothing,
            CertificateUser::Dns,
            CertificateUser::Email,
            CertificateUser::Uri,
        ]
        .map(listener)
        .to_vec(),
        shards: 3,
        placement: ternmq_broker::Placement::ByClientId,
        ..Config::default()
    })
    .unwrap();
    let url = |at: usize| format!("mqtts://localhost:{}", broker.local_addrs()[at].port());
    let known = TlsOptions {
        identity: Some(identity(clients.client("thermometer"))),
        ..trusting()
    };
    for at in 3..6 {
        let error = refused(options(&url(at)).tls(&known).unwrap());
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    }
    let known = TlsOptions {
        identity: Some(identity(clients.many_names("thermometer"))),
        ..trusting()
    };
    for (at, user) in [
        (0, "thermometer"),
        (1, "CN=thermometer,O=Example"),
        (3, "t.example"),
        (4, "t@example"),
        (5, "spiffe://example/t"),
    ] {
        // Some of them move to another shard.
        let known = options(&url(at)).tls(&known).unwrap();
        // From the second on they come back with a ticket, which stands for the certificate.
        for id in ["a", "b", "c", "d"] {
            let options = known.clone().client_id(id);
            let client = Client::connect(options.credentials("other", "x")).unwrap();
            let info = broker.client(id).unwrap().connection.unwrap();
            assert_eq!(info.user_name.as_deref(), Some(user));
            client.disconnect();
            until(&broker, |stats| stats.mqtt.connections == 0);
        }
    }
    let error = refused(options(&url(2)).tls(&known).unwrap());
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let error = tls_refused(options(&url(0)));
    assert_eq!(error, TlsError::Alert("certificate required".into()));
}

/// An HTTP proxy that knows one user, and how many ways it has opened.
struct Proxy {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let count = count.clone();
                std::thread::spawn(move || serve(client, &count));
            }
        });
        Self { address, opened }
    }
}

fn serve(mut client: TcpStream, opened: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?;
    if !head.contains("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n") {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        return client.write_all(refusal).ok();
    }
    let Ok(server) = TcpStream::connect(target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").ok();
    };
    opened.fetch_add(1, Ordering::SeqCst);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut &server, &mut client);
    client.shutdown(std::net::Shutdown::Write).ok()
}

#[test]
fn servers_are_reached_through_a_proxy() {
    let everywhere = Everywhere::start("proxied");
    let proxy = Proxy::start();
    let through = format!("http://user:p%40ss@{}", proxy.address);
    let urls = everywhere.urls();
    // UDP goes through none of them.
    for url in urls.iter().filter(|url| !url.starts_with("quic")) {
        let client = Client::connect(options(url).proxy(&through).unwrap()).unwrap();
        let qos = SubscribeOptions::new(QoS::AtLeastOnce);
        let mut inbox = client.subscribe("through", qos).unwrap();
        let publish = Publish::new("through", "x").qos(QoS::AtLeastOnce);
        client.publish(publish).unwrap();
        assert_eq!(inbox.next_timeout(PATIENCE).unwrap().payload(), b"x");
    }
    // Not to the socket of this machine.
    assert_eq!(proxy.opened.load(Ordering::SeqCst), 4);
    let url = &everywhere.urls()[0];
    let stranger = format!("http://{}", proxy.address);
    let error = refused(options(url).proxy(&stranger).unwrap());
    assert!(error.to_string().contains("407"), "{error}");
    let nowhere = options("mqtt://127.0.0.1:1").proxy(&through).unwrap();
    let error = refused(nowhere);
    assert!(error.to_string().contains("502 Bad Gateway"), "{error}");
}

#[test]
fn a_server_that_says_nothing_takes_the_time_of_the_attempt_and_no_more() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    for scheme in ["mqtts", "ws", "wss"] {
        let options = options(&format!("{scheme}://{address}"));
        let error = refused(options.connect_timeout(Duration::from_millis(200)));
        assert!(
            matches!(error, ConnectError::Timeout),
            "{scheme}: {error:?}"
        );
    }
    let options = options("mqtt://localhost").proxy(&address.to_string());
    let error = refused(options.unwrap().connect_timeout(Duration::from_millis(200)));
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

#[test]
fn certificates_change_while_clients_stay() {
    let folder = std::env::temp_dir().join(format!("ternmq-reload-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (chain, key) = authority().issue(&["localhost"]).write(&folder, "server");
    let broker = Broker::start(Config {
        listeners: vec![ListenerConfig {
            tls: Some(TlsServerOptions::new(Identity::files(&chain, &key))),
            ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
        }],
        ..Config::default()
    })
    .unwrap();
    let url = format!("mqtts://localhost:{}", broker.local_addrs()[0].port());
    let client = Client::connect(options(&url)).unwrap();
    let other = Authority::new("another authority");
    other.issue(&["localhost"]).write(&folder, "server");
    broker.reload_certificates().unwrap();
    client
        .publish(Publish::new("t", "still here").qos(QoS::AtLeastOnce))
        .unwrap();
    let issuer = TlsError::Certificate(CertificateProblem::UnknownIssuer);
    assert_eq!(tls_refused(options(&url)), issuer);
    let trusting_other = TlsOptions {
        roots: roots(&other),
        ..TlsOptions::default()
    };
    Client::connect(options(&url).tls(&trusting_other).unwrap()).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let (at, error) = broker.reload_certificates().unwrap_err();
    assert_eq!(at, 0);
    assert!(error.to_string().contains("server.pem"), "{error}");
    Client::connect(options(&url).tls(&trusting_other).unwrap()).unwrap();
}

#[test]
fn a_listener_without_its_certificate_does_not_start() {
    let missing = TlsServerOptions::new(Identity::files("/no/such.pem", "/no/such.key"));
    let listener = ListenerConfig {
        tls: Some(missing),
        ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
    };
    let config = Config {
        listeners: vec![listener],
        ..Config::default()
    };
    let error = Broker::start(config).unwrap_err().to_string();
    assert!(
        error.contains("/no/such.pem") && error.contains("127.0.0.1:0"),
        "{error}"
    );
    let taken = Address::Unix {
        path: "/no/such/folder/socket".into(),
        mode: 0o600,
    };
    let listener = ListenerConfig {
        address: taken,
        ..ListenerConfig::unix("x", 0)
    };
    let config = Config {
        listeners: vec![listener],
        ..Config::default()
    };
    let error = Broker::start(config).unwrap_err().to_string();
    assert!(error.contains("unix:///no/such/folder/socket"), "{error}");
}

/// Whoever makes the stream puts layers on it, and the client waits for them.
#[test]
fn a_stream_of_the_applications_own_may_still_be_opening() {
    let everywhere = Everywhere::start("own");
    let port = everywhere.port(2);
    let through = |path: &'static str| {
        let connect = move || {
            let stream = Stream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
            WebSocketOptions::default().connect(stream, false, "localhost", path)
        };
        let target = Target::InProcess(Arc::new(connect));
        ConnectOptions::new(vec![target]).connect_timeout(PATIENCE)
    };
    let client = Client::connect(through("/mqtt")).unwrap();
    let mut inbox = client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.publish(Publish::new("t", "1")).unwrap();
    assert_eq!(inbox.next_timeout(PATIENCE).unwrap().text(), Some("1"));
    client.disconnect();
    match refused(through("/nowhere")) {
        ConnectError::Transport(TransportError::WebSocket(error)) => {
            assert!(error.to_string().contains("404"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
