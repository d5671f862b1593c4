//! QUIC: moves, bad networks, bad peers.
#![cfg(feature = "quic")]

mod relay;

use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use relay::{Relay, Weather};
use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{ClientCertificates, TlsServerOptions};
use ternmq_broker::{Broker, CertificateUser, Config, ListenerConfig, Stats};
use ternmq_client::blocking::Client;
use ternmq_client::quic::QuicError;
use ternmq_client::tls::{CertificateProblem, Identity, Roots, TlsError, TlsOptions, TlsVersion};
use ternmq_client::{
    Backoff, ConnectError, ConnectOptions, ProtocolVersion, Publish, QoS, Status, SubscribeOptions,
    TransportError,
};
use ternmq_test_certificates::{Authority, Issued, authority};

const PATIENCE: Duration = Duration::from_secs(30);

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

fn server_tls() -> TlsServerOptions {
    TlsServerOptions::new(identity(authority().issue(&["localhost", "127.0.0.1"])))
}

fn quic(options: QuicOptions) -> ListenerConfig {
    ListenerConfig {
        tls: Some(server_tls()),
        quic: Some(options),
        ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
    }
}

/// A broker with a listener of QUIC, and one of TCP for whoever only looks on.
fn start(listener: ListenerConfig) -> Broker {
    let plain = ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap());
    let mut config = Config {
        listeners: vec![listener, plain],
        shards: 2,
        ..Config::default()
    };
    config.session.connect_timeout_ms = 2_000;
    Broker::start(config).unwrap()
}

fn options(port: u16) -> ConnectOptions {
    let options = ConnectOptions::from_uri(&format!("quic://127.0.0.1:{port}")).unwrap();
    let options = options.connect_timeout(PATIENCE);
    options
        .version(ProtocolVersion::V5_0)
        .tls(&trusting())
        .unwrap()
}

fn port(broker: &Broker) -> u16 {
    broker.local_addrs()[0].port()
}

/// Somebody on TCP whom none of it concerns.
struct Bystander(Client);

impl Bystander {
    fn at(broker: &Broker) -> Self {
        let uri = format!("mqtt://127.0.0.1:{}", broker.local_addrs()[1].port());
        Self(Client::connect(ConnectOptions::from_uri(&uri).unwrap()).unwrap())
    }

    fn is_served(&self) {
        let publish = Publish::new("bystander", b"x").qos(QoS::AtLeastOnce);
        self.0.publish(publish).unwrap();
    }
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

/// Publishes numbered messages and gets each of them once, in order; `between` comes before each.
fn flow(client: &Client, qos: QoS, count: u32, size: usize, between: impl Fn(u32)) {
    let granted = SubscribeOptions::new(qos).queue(100_000);
    let mut inbox = client.subscribe("flow", granted).unwrap();
    let mut waiting = Vec::new();
    for number in 0..count {
        between(number);
        let mut payload = vec![7; size.max(4)];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let publish = Publish::new("flow", &payload).qos(qos);
        waiting.push(client.publish_nowait(publish).unwrap());
        if waiting.len() == 10 {
            for publishing in waiting.drain(..) {
                client.wait(publishing).unwrap();
            }
        }
    }
    for publishing in waiting {
        client.wait(publishing).unwrap();
    }
    for number in 0..count {
        let got = inbox.next_timeout(PATIENCE).unwrap();
        assert_eq!(&got.payload()[..4], number.to_be_bytes());
    }
    assert_eq!(inbox.waiting(), 0);
}

#[test]
fn a_client_goes_on_from_another_port_in_the_middle_of_qos_2() {
    let broker = start(quic(QuicOptions::default()));
    let server = broker.local_addrs()[0];
    let relay = Relay::to(server, Weather::default());
    let client = Client::connect(options(relay.port())).unwrap();
    flow(&client, QoS::ExactlyOnce, 200, 100, |number| {
        if number % 50 == 25 {
            relay.moves();
        }
    });
    let stats = broker.stats();
    assert!(stats.quic_moved >= 1, "{}", stats.quic_moved);
    // It was one connection all the time.
    assert_eq!(
        (stats.accepted, stats.closed, stats.mqtt.connects),
        (1, 0, 1)
    );
}

#[test]
fn lost_and_swapped_datagrams_change_nothing() {
    let broker = start(quic(QuicOptions::default()));
    let weather = Weather { loses: 9, swaps: 4 };
    let relay = Relay::to(broker.local_addrs()[0], weather);
    let client = Client::connect(options(relay.port())).unwrap();
    flow(&client, QoS::ExactlyOnce, 100, 4_000, |_| {});
    let stats = broker.stats();
    assert_eq!((stats.accepted, stats.quic_failed), (1, 0));
}

#[test]
fn garbage_is_counted_and_harms_nobody() {
    let broker = start(quic(QuicOptions::default()));
    let server = broker.local_addrs()[0];
    let bystander = Bystander::at(&broker);
    let client = Client::connect(options(server.port())).unwrap();
    let before = broker.stats().quic_strays;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    for first in 0..=255u8 {
        for len in [1, 20, 1_200] {
            let byte = |at: usize| first.wrapping_add((at as u8).wrapping_mul(31));
            let datagram: Vec<u8> = (0..len).map(byte).collect();
            socket.send_to(&datagram, server).unwrap();
            sent += 1;
        }
        // What is there is read before more comes than the socket holds.
        bystander.is_served();
        flow(&client, QoS::AtMostOnce, 1, 4, |_| {});
    }
    let stats = until(&broker, |stats| stats.quic_strays >= before + sent);
    assert_eq!((stats.accepted, stats.closed), (2, 0));
}

#[test]
fn who_may_not_be_trusted_and_who_is_not_there_are_told_apart() {
    let broker = start(quic(QuicOptions::default()));
    let with = |tls: TlsOptions| options(port(&broker)).tls(&tls).unwrap();
    let stranger = Authority::new("a stranger");
    let tls_error = |options| match refused(options) {
        ConnectError::Transport(TransportError::Tls(error)) => error,
        other => panic!("{other:?}"),
    };
    let unknown = with(TlsOptions {
        roots: roots(&stranger),
        ..TlsOptions::default()
    });
    let issuer = CertificateProblem::UnknownIssuer;
    assert_eq!(tls_error(unknown), TlsError::Certificate(issuer));
    let named = with(TlsOptions {
        server_name: Some("example.com".into()),
        ..trusting()
    });
    let error = tls_error(named).to_string();
    assert!(error.contains("not for example.com"), "{error}");
    let old = with(TlsOptions {
        max_version: TlsVersion::V1_2,
        ..trusting()
    });
    assert!(tls_error(old).to_string().contains("TLS 1.3"));
    let alien = with(TlsOptions {
        alpn: vec![b"h3".to_vec()],
        ..trusting()
    });
    assert!(matches!(tls_error(alien), TlsError::Alert(_)));
    // A port of TCP is none of UDP, and the other way round.
    let elsewhere = refused(options(broker.local_addrs()[1].port()));
    let ConnectError::Io(error) = &elsewhere else {
        panic!("{elsewhere:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let tls = ConnectOptions::from_uri(&format!("mqtts://127.0.0.1:{}", port(&broker))).unwrap();
    let refusal = refused(tls.tls(&trusting()).unwrap());
    assert!(matches!(refusal, ConnectError::Io(_)), "{refusal:?}");
    let proxied = options(port(&broker)).proxy("http://127.0.0.1:1").unwrap();
    assert!(
        refused(proxied)
            .to_string()
            .contains("no proxy carries QUIC")
    );
    let stats = until(&broker, |stats| stats.tls_failed == 3);
    assert_eq!(stats.handshakes_unfinished, 3);
    Client::connect(options(port(&broker))).unwrap();
}

#[test]
fn the_certificate_of_a_client_says_who_it_is() {
    let clients = Authority::new("clients");
    let mut listener = quic(QuicOptions::default());
    let tls = listener.tls.as_mut().unwrap();
    tls.clients = ClientCertificates::Required(roots(&clients));
    listener.anonymous = false;
    listener.certificate_user = CertificateUser::CommonName;
    let broker = start(listener);
    let shows = |issued: Issued| {
        let tls = TlsOptions {
            identity: Some(identity(issued)),
            ..trusting()
        };
        options(port(&broker)).tls(&tls).unwrap()
    };
    let client = Client::connect(shows(clients.client("alice")).client_id("a")).unwrap();
    flow(&client, QoS::AtLeastOnce, 1, 4, |_| {});
    let connection = broker.client("a").unwrap().connection.unwrap();
    assert_eq!(connection.user_name.as_deref(), Some("alice"));
    for options in [
        options(port(&broker)),
        shows(Authority::new("others").client("alice")),
    ] {
        let error = refused(options);
        assert!(
            matches!(
                error,
                ConnectError::Transport(TransportError::Tls(TlsError::Alert(_)))
            ),
            "{error:?}"
        );
    }
    until(&broker, |stats| stats.tls_failed == 2);
}

#[test]
fn limits_of_the_listener_hold_before_the_handshake() {
    let mut listener = quic(QuicOptions::default());
    listener.connections = 1;
    let broker = start(listener);
    let first = Client::connect(options(port(&broker))).unwrap();
    let error = refused(options(port(&broker)));
    assert!(
        matches!(
            error,
            ConnectError::Transport(TransportError::Quic(QuicError::Refused))
        ),
        "{error:?}"
    );
    assert_eq!(broker.stats().connections_refused_listener, 1);
    flow(&first, QoS::AtLeastOnce, 3, 4, |_| {});
    first.disconnect();
    until(&broker, |stats| stats.closed == 1);
    Client::connect(options(port(&broker))).unwrap();
}

#[test]
fn new_certificates_are_for_new_connections() {
    let folder = std::env::temp_dir().join(format!("ternmq-quic-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (chain, key) = authority().issue(&["127.0.0.1"]).write(&folder, "server");
    let mut listener = quic(QuicOptions::default());
    listener.tls = Some(TlsServerOptions::new(Identity::files(&chain, &key)));
    let broker = start(listener);
    let before = Client::connect(options(port(&broker))).unwrap();
    authority().issue(&["elsewhere"]).write(&folder, "server");
    broker.reload_certificates().unwrap();
    let error = refused(options(port(&broker))).to_string();
    assert!(error.contains("but for elsewhere"), "{error}");
    flow(&before, QoS::AtLeastOnce, 3, 4, |_| {});
    std::fs::remove_dir_all(folder).unwrap();
}

/// The second listener's files are wrong, so the first one's stay as they were.
#[test]
fn certificates_of_all_listeners_change_together() {
    let folder = std::env::temp_dir().join(format!("ternmq-together-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, host: &str| {
        let (chain, key) = authority().issue(&[host]).write(&folder, name);
        TlsServerOptions::new(Identity::files(chain, key))
    };
    let tcp = ListenerConfig {
        tls: Some(write("tcp", "old.example")),
        ..ListenerConfig::anonymous("127.0.0.1:0".parse().unwrap())
    };
    let udp = ListenerConfig {
        tls: Some(write("udp", "old.example")),
        ..quic(QuicOptions::default())
    };
    let broker = Broker::start(Config {
        listeners: vec![tcp, udp],
        ..Config::default()
    })
    .unwrap();
    let shows = |host: &str| {
        let addresses = broker.local_addrs();
        for (scheme, address) in [("mqtts", addresses[0]), ("quic", addresses[1])] {
            let tls = TlsOptions {
                server_name: Some(host.to_owned()),
                ..trusting()
            };
            let options = ConnectOptions::from_uri(&format!("{scheme}://{address}")).unwrap();
            Client::connect(options.connect_timeout(PATIENCE).tls(&tls).unwrap()).unwrap();
        }
    };
    shows("old.example");
    write("tcp", "new.example");
    write("udp", "new.example");
    let key = std::fs::read(folder.join("udp.key")).unwrap();
    std::fs::write(folder.join("udp.key"), "no key").unwrap();
    let (at, error) = broker.reload_certificates().unwrap_err();
    assert!(at == 1 && error.to_string().contains("udp.key"), "{error}");
    shows("old.example");
    std::fs::write(folder.join("udp.key"), key).unwrap();
    broker.reload_certificates().unwrap();
    shows("new.example");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_client_comes_back_to_a_broker_that_has_begun_anew() {
    let broker = start(quic(QuicOptions::default()));
    let at = port(&broker);
    let backoff = Backoff {
        min: Duration::from_millis(10),
        ..Backoff::default()
    };
    let client = Client::connect(options(at).reconnect(backoff)).unwrap();
    broker.stop().unwrap();
    client
        .wait_for(|status| status != Status::Connected)
        .unwrap();
    let mut listener = quic(QuicOptions::default());
    listener.address = SocketAddr::from(([127, 0, 0, 1], at)).into();
    let broker = start(listener);
    client
        .wait_for(|status| status == Status::Connected)
        .unwrap();
    flow(&client, QoS::ExactlyOnce, 5, 4, |_| {});
    assert_eq!(broker.stats().accepted, 1);
}

#[test]
fn what_was_said_last_arrives() {
    let broker = start(quic(QuicOptions::default()));
    let subscriber = Client::connect(options(port(&broker))).unwrap();
    let qos = SubscribeOptions::new(QoS::AtMostOnce).queue(1_000);
    let mut inbox = subscriber.subscribe("last", qos).unwrap();
    let client = Client::connect(options(port(&broker))).unwrap();
    let payload = vec![1; 10_000];
    for _ in 0..50 {
        let publish = Publish::new("last", &payload).qos(QoS::AtMostOnce);
        client.publish(publish).unwrap();
    }
    client.disconnect();
    for _ in 0..50 {
        assert_eq!(inbox.next_timeout(PATIENCE).unwrap().payload(), payload);
    }
    let stats = until(&broker, |stats| stats.closed == 1);
    assert_eq!((stats.mqtt.peer_errors, stats.quic_failed), (0, 0));
}

/// First datagrams of clients that never say more, each from a socket of its own.
fn half_open(server: SocketAddr, count: usize) -> Vec<UdpSocket> {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(alien_tls()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = || {
        let config = Arc::new(quinn::EndpointConfig::default());
        quinn_proto::Endpoint::new(config, None, false, None)
    };
    let begin = |_| {
        let now = Instant::now();
        let (_, mut connection) = endpoint()
            .connect(now, config.clone(), server, "localhost")
            .unwrap();
        let mut datagram = Vec::new();
        let transmit = connection.poll_transmit(now, 1, &mut datagram).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&datagram[..transmit.size], server).unwrap();
        socket
    };
    (0..count).map(begin).collect()
}

/// The TLS of a client that is none of ours.
fn alien_tls() -> rustls::ClientConfig {
    let mut store = rustls::RootCertStore::empty();
    let pem = authority().pem();
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
    store.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let mut config = builder.with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config
}

#[test]
fn many_who_only_begin_have_to_show_where_they_are() {
    let broker = start(quic(QuicOptions {
        retry_from: 4,
        ..QuicOptions::default()
    }));
    let bystander = Bystander::at(&broker);
    let served = Client::connect(options(port(&broker))).unwrap();
    let sockets = half_open(broker.local_addrs()[0], 100);
    until(&broker, |stats| stats.quic_retried == 96);
    bystander.is_served();
    flow(&served, QoS::AtLeastOnce, 3, 4, |_| {});
    // Whoever is where it says to be comes in, in the middle of it.
    let honest = Client::connect(options(port(&broker))).unwrap();
    flow(&honest, QoS::AtLeastOnce, 3, 4, |_| {});
    let stats = broker.stats();
    assert_eq!(stats.quic_refused, 0);
    drop(sockets);
}

#[test]
fn no_more_may_only_begin_than_the_limit_says() {
    let broker = start(quic(QuicOptions {
        retry_from: usize::MAX,
        handshakes: 8,
        ..QuicOptions::default()
    }));
    let bystander = Bystander::at(&broker);
    let served = Client::connect(options(port(&broker))).unwrap();
    let sockets = half_open(broker.local_addrs()[0], 50);
    until(&broker, |stats| stats.quic_refused == 42);
    bystander.is_served();
    flow(&served, QoS::AtLeastOnce, 3, 4, |_| {});
    // Their time is that of CONNECT; then others may come.
    until(&broker, |stats| stats.handshakes_unfinished == 8);
    Client::connect(options(port(&broker))).unwrap();
    drop(sockets);
}

/// Looks at a future once.
fn is_ready(future: impl Future) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    matches!(pin!(future).poll(&mut context), Poll::Ready(_))
}

#[test]
fn a_connection_has_one_stream_and_no_more() {
    let broker = start(quic(QuicOptions::default()));
    let server = broker.local_addrs()[0];
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(alien_tls()).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connection = endpoint
            .connect(server, "localhost")
            .unwrap()
            .await
            .unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        let connect = [
            0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'q',
        ];
        send.write_all(&connect).await.unwrap();
        let mut answer = [0; 4];
        receive.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0]);
        // It is never given another one, of neither kind, and goes on with the first.
        for _ in 0..3 {
            assert!(!is_ready(connection.open_bi()));
            assert!(!is_ready(connection.open_uni()));
            send.write_all(&[0xc0, 0]).await.unwrap();
            let mut pong = [0; 2];
            receive.read_exact(&mut pong).await.unwrap();
            assert_eq!(pong, [0xd0, 0]);
        }
        assert_eq!(connection.max_datagram_size(), None);
        // A word of the end and the end at once: it is read, and no will is sent.
        send.write_all(&[0xe0, 0]).await.unwrap();
        send.finish().unwrap();
        assert_eq!(receive.read(&mut answer).await.unwrap(), None);
        connection.close(0u32.into(), b"");
        endpoint.wait_idle().await;
    });
    let stats = until(&broker, |stats| stats.closed == 1);
    assert_eq!((stats.quic_failed, stats.mqtt.peer_errors), (0, 0));
}

#[test]
fn a_peer_that_breaks_off_the_stream_is_counted() {
    let broker = start(quic(QuicOptions::default()));
    let server = broker.local_addrs()[0];
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(async {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(alien_tls()).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connection = endpoint
            .connect(server, "localhost")
            .unwrap()
            .await
            .unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&[0x10]).await.unwrap();
        connection.close(77u32.into(), b"something is wrong");
        endpoint.wait_idle().await;
    });
    until(&broker, |stats| stats.quic_failed == 1);
}

#[test]
fn limits_are_changed_while_it_runs() {
    let listener = quic(QuicOptions::default());
    let config = |retry_from| Config {
        listeners: vec![ListenerConfig {
            quic: Some(QuicOptions {
                retry_from,
                ..QuicOptions::default()
            }),
            ..listener.clone()
        }],
        ..Config::default()
    };
    let broker = Broker::start(config(64)).unwrap();
    let before = Client::connect(options(port(&broker))).unwrap();
    assert_eq!(broker.stats().quic_retried, 0);
    broker.reconfigure(&config(0)).unwrap().apply();
    Client::connect(options(port(&broker))).unwrap();
    assert_eq!(broker.stats().quic_retried, 1);
    flow(&before, QoS::AtLeastOnce, 3, 4, |_| {});
}

/// Of QUIC nobody but this process sees to it that what was written arrives, so that it could end behind a
/// disconnect and take its last messages along.
#[test]
fn whoever_has_disconnected_has_been_heard() {
    let broker = start(quic(QuicOptions::default()));
    for count in 1..=20 {
        let client = Client::connect(options(port(&broker))).unwrap();
        client.publish(Publish::new("last", &[7; 100_000])).unwrap();
        client.disconnect();
        let stats = broker.stats().mqtt;
        assert_eq!(stats.received_payload, count * 100_000, "{stats:#?}");
    }
}
