//! Connections that proxies introduce by the PROXY protocol, over real sockets.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, sync_channel};

use support::{ANY_PORT, silent, start, until};
use ternmq_broker::{
    Ban, Banned, Broker, ClientEvent, Config, ListenerConfig, Placement, StartError,
};
use ternmq_test_broker_wire::{Line, PATIENCE, RawPeer, packet};

const ANNA: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 8080 1883\r\n";
const BEN: &str = "PROXY TCP6 2001:db8::7 ::1 8080 1883\r\n";

fn behind_proxies(networks: &[&str]) -> ListenerConfig {
    ListenerConfig {
        proxies: Some(networks.iter().map(|text| text.parse().unwrap()).collect()),
        ..ListenerConfig::anonymous(ANY_PORT)
    }
}

/// One listener for proxies, one for everybody; each client on a shard of its own choice.
fn listening(change: impl FnOnce(&mut Config)) -> (Broker, Receiver<ClientEvent>) {
    let (sender, events) = sync_channel(1_000);
    let mut config = Config {
        shards: 4,
        placement: Placement::ByClientId,
        client_events: Some(sender),
        listeners: vec![
            behind_proxies(&["127.0.0.0/8"]),
            ListenerConfig::anonymous(ANY_PORT),
        ],
        ..Config::default()
    };
    change(&mut config);
    (start(config), events)
}

/// Where the next client that comes or is refused is, and why it is refused.
fn told(events: &Receiver<ClientEvent>) -> (String, String) {
    loop {
        let (peer, what) = match events.recv_timeout(PATIENCE).expect("an event") {
            ClientEvent::Connected { peer, .. } => (peer, "".into()),
            ClientEvent::Refused { peer, what, .. } => (peer, what),
            _ => continue,
        };
        return (
            peer.map_or("nowhere".into(), |peer| peer.to_string()),
            what.into(),
        );
    }
}

fn introduced(broker: &Broker, introduction: &[u8], client_id: &str) -> RawPeer {
    let mut peer = silent(broker, 5);
    peer.send_bytes(introduction).expect("sent");
    peer.send(&format!("CONNECT client_id={client_id}"))
        .expect("sent");
    peer.expect("CONNACK reason=0").expect("let in");
    peer
}

fn at(peer: &str) -> (String, String) {
    (peer.to_owned(), String::new())
}

#[test]
fn the_address_that_a_proxy_tells_is_the_clients_on_whichever_shard() {
    let (broker, events) = listening(|_| {});
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    for n in 0..8 {
        for (introduction, peer) in [
            (ANNA.as_bytes(), "192.0.2.7"),
            (BEN.as_bytes(), "2001:db8::7"),
            (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            (local, "127.0.0.1"),
        ] {
            introduced(&broker, introduction, &format!("c{n}"));
            assert_eq!(told(&events), at(peer));
        }
    }
    assert!(broker.stats().moved > 0);
    // What comes with it in one piece is not lost, and one that comes byte by byte is no worse.
    let connect = Line::parse("CONNECT client_id=one-piece").expect("a line");
    let bytes = [ANNA.as_bytes(), &packet::encode(5, &connect)].concat();
    let mut peer = silent(&broker, 5);
    peer.send_bytes(&bytes).expect("sent");
    peer.expect("CONNACK reason=0").expect("let in");
    let mut peer = silent(&broker, 5);
    for byte in bytes {
        peer.send_bytes(&[byte]).expect("sent");
    }
    peer.expect("CONNACK reason=0").expect("let in");
}

#[test]
fn bans_meet_the_client_and_not_its_proxy() {
    let (broker, events) = listening(|_| {});
    let ban = |network: &str| Ban {
        who: Banned::Network(network.parse().unwrap()),
        until: None,
        reason: "on purpose".into(),
        by: "test".into(),
    };
    let mut there = introduced(&broker, ANNA.as_bytes(), "anna");
    let mut other = introduced(&broker, BEN.as_bytes(), "ben");
    assert_eq!(
        [told(&events), told(&events)],
        [at("192.0.2.7"), at("2001:db8::7")]
    );
    broker.ban(ban("192.0.2.0/24")).expect("room");
    there
        .expect_refusal("DISCONNECT reason=0x98")
        .expect("ended");
    let mut again = silent(&broker, 5);
    again.send_bytes(ANNA.as_bytes()).expect("sent");
    again.expect_close().expect("kept out");
    assert_eq!(
        told(&events),
        ("192.0.2.7".into(), "its address is banned".into())
    );
    // The proxy itself may be on the list: those it speaks for are not.
    broker.ban(ban("127.0.0.1")).expect("room");
    other.send("PINGREQ").expect("sent");
    other.expect("PINGRESP").expect("still there");
    introduced(&broker, BEN.as_bytes(), "ben-2");
    assert_eq!(broker.stats().connections_refused_banned, 1);
}

#[test]
fn who_is_no_proxy_is_refused_before_it_says_anything() {
    let (broker, events) = listening(|config| {
        config.listeners[0] = behind_proxies(&["192.0.2.0/24", "::1"]);
    });
    silent(&broker, 5).expect_close().expect("closed");
    let stranger = (
        "127.0.0.1".to_owned(),
        "it is none of the proxies".to_owned(),
    );
    assert_eq!(told(&events), stranger);
    assert_eq!(broker.stats().connections_refused_proxy, 1);
    // And nobody is believed where no proxy is expected.
    let mut liar = RawPeer::connect(broker.local_addrs()[1], 4).expect("a connection");
    liar.send_bytes(ANNA.as_bytes()).expect("sent");
    liar.read_to_end().expect("closed");
    assert_eq!(told(&events).0, "127.0.0.1");
}

/// Each introduction cut anywhere and followed by an end or by nonsense; a bystander notices nothing, and
/// every place is free again.
#[test]
fn hostile_bytes_at_each_cut_harm_nobody() {
    let (broker, events) = listening(|config| config.limits.connections = 3);
    let mut bystander = introduced(&broker, ANNA.as_bytes(), "bystander");
    told(&events);
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13".to_vec();
    binary.extend([192, 0, 2, 7, 10, 0, 0, 1, 0x1F, 0x90, 0x07, 0x5B]);
    binary.extend([3, 0, 4, 1, 2, 3, 4]);
    let mut refused = 0;
    for introduction in [ANNA.as_bytes(), &binary] {
        for cut in 0..introduction.len() {
            for nonsense in [&b""[..], b"\xff\xff\xff\xff", b"\x11\0\0\0"] {
                let mut peer = silent(&broker, 5);
                peer.send_bytes(&introduction[..cut]).expect("sent");
                peer.send_bytes(nonsense).expect("sent");
                // It may be gone by now.
                let _ = peer.stop_sending();
                peer.expect_close().expect("closed");
                refused += 1;
            }
        }
        bystander.send("PINGREQ").expect("sent");
        bystander.expect("PINGRESP").expect("untouched");
    }
    // Whole, but with a checksum that is wrong.
    let mut peer = silent(&broker, 5);
    peer.send_bytes(&binary).expect("sent");
    peer.expect_close().expect("closed");
    let stats = until(&broker, |stats| {
        stats.connections_refused_proxy == refused + 1
    });
    assert_eq!(stats.connections_refused, 0);
    let (peer, what) = told(&events);
    assert_eq!(
        (&*peer, &*what),
        ("127.0.0.1", "it ended inside its PROXY protocol")
    );
    introduced(&broker, ANNA.as_bytes(), "after-all");
}

#[test]
fn an_introduction_has_as_long_as_a_connect() {
    let (broker, events) = listening(|config| config.session.connect_timeout_ms = 200);
    let mut bystander = introduced(&broker, ANNA.as_bytes(), "bystander");
    told(&events);
    let mut half = silent(&broker, 4);
    half.send_bytes(&ANNA.as_bytes()[..20]).expect("sent");
    half.expect_close().expect("cut");
    let late = (
        "127.0.0.1".to_owned(),
        "no PROXY protocol came in time".to_owned(),
    );
    assert_eq!(told(&events), late);
    bystander.send("PINGREQ").expect("sent");
    bystander.expect("PINGRESP").expect("untouched");
}

#[test]
fn a_stop_does_not_wait_for_introductions() {
    let (broker, _events) = listening(|_| {});
    let mut half = silent(&broker, 4);
    half.send_bytes(b"PROXY").expect("sent");
    until(&broker, |stats| stats.accepted == 1);
    broker.stop().expect("stopped");
    half.expect_close().expect("closed");
}

#[test]
fn on_a_unix_socket_its_file_says_who_may_introduce() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("proxies-{}", std::process::id()));
    let (_broker, events) = listening(|config| {
        config.listeners[0] = ListenerConfig {
            proxies: Some(Vec::new()),
            ..ListenerConfig::unix(&path, 0o600)
        };
    });
    let mut stream = UnixStream::connect(&path).expect("a connection");
    let connect = Line::parse("CONNECT client_id=unix").expect("a line");
    let bytes = [ANNA.as_bytes(), &packet::encode(4, &connect)].concat();
    stream.write_all(&bytes).expect("sent");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!(connack, [0x20, 2, 0, 0]);
    assert_eq!(told(&events), at("192.0.2.7"));
}

#[test]
fn a_listener_for_proxies_needs_some() {
    let config = Config {
        listeners: vec![behind_proxies(&[])],
        ..Config::default()
    };
    assert!(matches!(Broker::start(config), Err(StartError::Config(_))));
}
