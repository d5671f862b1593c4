//! Users come in by SCRAM and by user name and password, over sockets and two shards.

mod support;

use std::net::Ipv4Addr;

use support::{ANY_PORT, publish, silent, start, subscribe, until};
use ternmq_broker::auth::{Credentials, Hash, MIN_ITERATIONS, User};
use ternmq_broker::{Broker, Config, ListenerConfig, Placement};
use ternmq_test_broker_wire::{Line, RawPeer, Scram};

fn user(name: &str, password: &str, hashes: &[Hash]) -> User {
    let derive = |hash: &Hash| Credentials::new(*hash, password, MIN_ITERATIONS).expect("made");
    User {
        name: name.into(),
        credentials: hashes.iter().map(derive).collect(),
    }
}

fn config() -> Config {
    let closed = ListenerConfig {
        anonymous: false,
        ..ListenerConfig::anonymous(ANY_PORT)
    };
    Config {
        listeners: vec![closed, ListenerConfig::anonymous(ANY_PORT)],
        shards: 2,
        placement: Placement::ByClientId,
        users: vec![
            user("anna", "secret", &Hash::ALL),
            user("ben", "geheim", &[Hash::Sha256]),
        ],
        ..Config::default()
    }
}

/// Two shards; the first listener is for users, the second for everybody.
fn broker() -> Broker {
    start(config())
}

fn connect(client_id: &str, scram: &Scram) -> Line {
    let connect = format!("CONNECT client_id={client_id}");
    let connect = Line::parse(&connect).expect("a line");
    connect
        .with("auth_method", scram.method)
        .with("auth_data", scram.first())
}

fn auth(reason: &str, scram: &Scram, data: &str) -> Line {
    Line::of(&["AUTH"])
        .with("reason", reason)
        .with("auth_method", scram.method)
        .with("auth_data", data)
}

/// Takes the server's question; the client's answer to it, and what the server must say to that.
fn asked(peer: &mut RawPeer, scram: &Scram) -> (String, String) {
    let question = format!("AUTH reason=0x18 auth_method={}", scram.method);
    let question = peer.expect(&question).expect("a question");
    scram.last(question.get("auth_data").expect("data"))
}

/// Sends CONNECT and answers the question; the next packet is the outcome.
fn attempt(broker: &Broker, client_id: &str, scram: &Scram) -> (RawPeer, String) {
    let mut peer = silent(broker, 5);
    peer.send_line(&connect(client_id, scram)).expect("sent");
    let (last, answer) = asked(&mut peer, scram);
    peer.send_line(&auth("0x18", scram, &last)).expect("sent");
    (peer, answer)
}

fn entered(broker: &Broker, client_id: &str, scram: &Scram) -> RawPeer {
    let (mut peer, answer) = attempt(broker, client_id, scram);
    let connack = Line::parse("CONNACK reason=0").expect("a line");
    let connack = connack
        .with("auth_method", scram.method)
        .with("auth_data", answer);
    peer.expect_line(&connack).expect("CONNACK");
    peer
}

fn refused(mut peer: RawPeer, reason: &str) {
    peer.expect_refusal(&format!("CONNACK reason={reason} auth_data=!"))
        .expect("refused");
}

fn anna() -> Scram {
    Scram::sha_256("anna", "secret", "fyko")
}

// [MQTT-4.12.0-2] [MQTT-4.12.0-5]
#[test]
fn users_come_in_by_scram_wherever_their_session_lives() {
    let broker = broker();
    // The shards of sessions are chosen by a seed of the broker: until some moved and some stayed.
    let mut n = 0;
    let stats = loop {
        let scram = match n % 3 {
            0 => anna(),
            1 => Scram::sha_512("anna", "secret", "fyko"),
            _ => Scram::sha_256("ben", "geheim", "fyko").header("y,,"),
        };
        let mut peer = entered(&broker, &format!("c{n}"), &scram);
        subscribe(&mut peer, "t", 1);
        publish(&mut peer, "u", 2, "x");
        n += 1;
        let stats = broker.stats();
        if n >= 8 && stats.moved > 0 && stats.moved < n {
            break stats;
        }
        assert!(n < 64, "{} of {n} moved", stats.moved);
    };
    assert_eq!(stats.mqtt.authentications, n);
    assert_eq!(stats.passwords_checked, 0);
}

// [MQTT-4.12.0-1] [MQTT-4.12.0-4] [MQTT-3.1.4-2]
#[test]
fn who_does_not_know_the_password_stays_outside() {
    let broker = broker();
    let (wrong, nobody) = (
        Scram::sha_256("anna", "Secret", "fyko"),
        Scram::sha_256("carl", "secret", "fyko"),
    );
    for scram in [
        wrong,
        nobody,
        // A user, but not by this mechanism.
        Scram::sha_512("ben", "geheim", "fyko"),
    ] {
        let (peer, _) = attempt(&broker, "c", &scram);
        refused(peer, "0x87");
    }
    let no_message = [
        ("SCRAM-SHA-1", "n,,n=anna,r=x", "0x8c"),
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=anna,r=x", "0x8c"),
        ("scram-sha-256", "n,,n=anna,r=x", "0x8c"),
        ("SCRAM-SHA-256", "p=tls-exporter,,n=anna,r=x", "0x87"),
        ("SCRAM-SHA-256", "n,,n=anna", "0x87"),
        ("SCRAM-SHA-256", "%ff", "0x87"),
    ];
    for (method, data, reason) in no_message {
        let mut peer = silent(&broker, 5);
        let line = format!("CONNECT client_id=c auth_method={method} auth_data={data}");
        peer.send(&line).expect("sent");
        refused(peer, reason);
    }
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c auth_method=SCRAM-SHA-256")
        .expect("sent");
    refused(peer, "0x87");
    let stats = until(&broker, |stats| stats.mqtt.connections == 0);
    assert_eq!(stats.mqtt.authentications_failed, 10);
    assert_eq!((stats.mqtt.sessions, stats.routed), (0, 0));
}

#[test]
fn an_answer_that_was_heard_once_is_worth_nothing_afterwards() {
    let broker = broker();
    let scram = anna();
    let mut peer = silent(&broker, 5);
    peer.send_line(&connect("c", &scram)).expect("sent");
    let (heard, _) = asked(&mut peer, &scram);
    peer.send_line(&auth("0x18", &scram, &heard)).expect("sent");
    peer.expect("CONNACK reason=0").expect("CONNACK");
    let mut thief = silent(&broker, 5);
    thief.send_line(&connect("c", &scram)).expect("sent");
    let (due, _) = asked(&mut thief, &scram);
    assert_ne!(due, heard, "the same nonce twice");
    thief
        .send_line(&auth("0x18", &scram, &heard))
        .expect("sent");
    refused(thief, "0x87");
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("still there");
}

/// What the question to somebody says, except for the nonce.
fn question(broker: &Broker, name: &str) -> (String, String, String) {
    let scram = Scram::sha_256(name, "guess", "fyko");
    let mut peer = silent(broker, 5);
    peer.send_line(&connect("c", &scram)).expect("sent");
    let said = peer.expect("AUTH reason=0x18").expect("a question");
    let said = said.text("auth_data", "");
    let mut parts = said.split(',').map(String::from);
    let mut next = || parts.next().expect("an attribute");
    (next(), next(), next())
}

#[test]
fn nobody_learns_by_asking_who_is_a_user() {
    let broker = broker();
    let shapes = ["anna", "ben", "carl", "dora"].map(|name| {
        let (nonce, salt, iterations) = question(&broker, name);
        let (again, same_salt, _) = question(&broker, name);
        assert_eq!(salt, same_salt, "{name}");
        assert_ne!(nonce, again);
        (nonce.len(), salt.len(), iterations)
    });
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    // Nor does a restart tell: the users are the same, and so is what is made up.
    let config = config();
    let same = [start(config.clone()), start(config)].map(|broker| question(&broker, "carl").1);
    assert_eq!(same[0], same[1]);
}

#[test]
fn users_come_in_by_name_and_password_in_every_version() {
    let broker = broker();
    let (closed, open) = (broker.local_addrs()[0], broker.local_addrs()[1]);
    for level in [3, 4, 5] {
        let reasons = match level {
            5 => ["0x86", "0x87"],
            _ => ["4", "5"],
        };
        let cases = [
            (closed, "username=anna password=secret", "0"),
            (closed, "username=ben password=geheim", "0"),
            (closed, "username=anna password=geheim", reasons[0]),
            (closed, "username=carl password=secret", reasons[0]),
            (closed, "username=anna", reasons[0]),
            (closed, "", reasons[1]),
            (open, "", "0"),
            (open, "username=anna password=secret", "0"),
            // Who names somebody has to be it, also where nobody has to be named.
            (open, "username=anna password=wrong", reasons[0]),
            (open, "username=anna", reasons[0]),
        ];
        for (at, (address, who, reason)) in cases.into_iter().enumerate() {
            let mut peer = RawPeer::connect(address, level).expect("a connection");
            peer.send(&format!("CONNECT client_id=c{at} {who}"))
                .expect("sent");
            peer.expect(&format!("CONNACK reason={reason}"))
                .unwrap_or_else(|failure| panic!("{level} {who}: {failure}"));
        }
    }
    let stats = broker.stats();
    assert_eq!((stats.passwords_checked, stats.passwords_wrong), (18, 9));
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c password=secret")
        .expect("sent");
    refused(peer, "0x86");
}

#[test]
fn without_users_there_is_no_mechanism_and_names_mean_nothing() {
    let broker = start(Config::listen((Ipv4Addr::LOCALHOST, 0).into()));
    let mut peer = silent(&broker, 5);
    peer.send_line(&connect("c", &anna())).expect("sent");
    refused(peer, "0x8c");
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c username=anna password=x")
        .expect("sent");
    peer.expect("CONNACK reason=0").expect("let in");
}

#[test]
fn a_session_is_taken_over_by_who_has_authenticated_and_not_before() {
    let broker = broker();
    for n in 0..4 {
        let client_id = format!("c{n}");
        let mut old = entered(&broker, &client_id, &anna());
        let scram = anna();
        let mut new = silent(&broker, 5);
        new.send_line(&connect(&client_id, &scram)).expect("sent");
        let (last, _) = asked(&mut new, &scram);
        old.send("PINGREQ").expect("sent");
        old.expect("PINGRESP").expect("still there");
        let (failing, _) = attempt(
            &broker,
            &client_id,
            &Scram::sha_256("anna", "wrong", "fyko"),
        );
        refused(failing, "0x87");
        old.send("PINGREQ").expect("sent");
        old.expect("PINGRESP").expect("still there");
        new.send_line(&auth("0x18", &scram, &last)).expect("sent");
        new.expect("CONNACK reason=0").expect("CONNACK");
        old.expect_refusal("DISCONNECT reason=0x8e")
            .expect("taken over");
    }
}

#[test]
fn a_client_that_dies_in_an_exchange_leaves_nothing_behind() {
    let broker = broker();
    for n in 0..20 {
        let mut peer = silent(&broker, 5);
        peer.send_line(&connect("c", &anna())).expect("sent");
        asked(&mut peer, &anna());
        match n % 2 {
            0 => peer.cut(),
            _ => {
                peer.send("DISCONNECT").expect("sent");
                peer.expect_close().expect("closed");
            }
        }
    }
    let stats = until(&broker, |stats| stats.mqtt.connections == 0);
    assert_eq!((stats.mqtt.sessions, stats.routed), (0, 0));
    // Connections have the same numbers again, and nothing of what was said on the old ones.
    let scram = anna();
    let mut peer = silent(&broker, 5);
    peer.send_line(&connect("c", &scram)).expect("sent");
    let (last, _) = asked(&mut peer, &scram);
    peer.cut();
    until(&broker, |stats| stats.mqtt.connections == 0);
    let mut peer = silent(&broker, 5);
    peer.send_line(&connect("c", &scram)).expect("sent");
    asked(&mut peer, &scram);
    peer.send_line(&auth("0x18", &scram, &last)).expect("sent");
    refused(peer, "0x87");
    entered(&broker, "c", &anna());
}

// [MQTT-3.1.2-30] [MQTT-4.12.0-5]
#[test]
fn nothing_but_auth_of_the_same_method_is_taken_before_connack() {
    let broker = broker();
    let other = Scram::sha_512("anna", "secret", "fyko");
    let lines = [
        Line::of(&["PINGREQ"]),
        Line::parse("PUBLISH topic=t payload=x").expect("a line"),
        auth("0x19", &anna(), "x"),
        auth("0x18", &other, "x"),
    ];
    for line in lines {
        let mut peer = silent(&broker, 5);
        peer.send_line(&connect("c", &anna())).expect("sent");
        asked(&mut peer, &anna());
        peer.send_line(&line).expect("sent");
        refused(peer, "0x82");
    }
    let mut peer = silent(&broker, 5);
    peer.send_line(&connect("c", &anna())).expect("sent");
    asked(&mut peer, &anna());
    let long = "x".repeat(10_000);
    peer.send_line(&auth("0x18", &anna(), &long)).expect("sent");
    refused(peer, "0x97");
}

// [MQTT-4.12.1-1] [MQTT-4.12.0-2] [MQTT-4.12.0-5]
#[test]
fn a_client_authenticates_anew_while_its_messages_flow() {
    let broker = broker();
    let mut peer = entered(&broker, "c", &anna());
    subscribe(&mut peer, "to/c", 2);
    let mut sender = entered(&broker, "sender", &anna());
    publish(&mut sender, "to/c", 2, "before");
    peer.expect("PUBLISH topic=to/c qos=2 id=<p> payload=before")
        .expect("PUBLISH");
    peer.send("PUBLISH topic=u qos=2 id=5").expect("sent");
    peer.expect("PUBREC id=5").expect("PUBREC");
    for round in 0..2 {
        let scram = Scram::sha_256("anna", "secret", &format!("round{round}"));
        peer.send_line(&auth("0x19", &scram, &scram.first()))
            .expect("sent");
        let (last, answer) = asked(&mut peer, &scram);
        publish(&mut sender, "to/c", 1, "between");
        peer.expect(&format!(
            "PUBLISH topic=to/c qos=1 id=<q{round}> payload=between"
        ))
        .expect("PUBLISH");
        peer.send(&format!("PUBACK id=<q{round}>")).expect("sent");
        peer.send_line(&auth("0x18", &scram, &last)).expect("sent");
        peer.expect_line(&auth("0", &scram, &answer))
            .expect("success");
    }
    peer.send("PUBREC id=<p>").expect("sent");
    peer.expect("PUBREL id=<p>").expect("PUBREL");
    peer.send("PUBCOMP id=<p>").expect("sent");
    peer.send("PUBREL id=5").expect("sent");
    peer.expect("PUBCOMP id=5").expect("PUBCOMP");
    let stats = broker.stats();
    assert_eq!(stats.mqtt.authentications, 4);
    assert_eq!(stats.mqtt.acknowledged, 3);
}

// [MQTT-4.12.1-2] [MQTT-4.12.0-5]
#[test]
fn who_fails_to_authenticate_anew_is_let_go() {
    let broker = broker();
    for scram in [
        Scram::sha_256("anna", "wrong", "fyko"),
        // Right, but somebody else than before.
        Scram::sha_256("ben", "geheim", "fyko"),
    ] {
        let mut peer = entered(&broker, "c", &anna());
        peer.send_line(&auth("0x19", &scram, &scram.first()))
            .expect("sent");
        let (last, _) = asked(&mut peer, &scram);
        peer.send_line(&auth("0x18", &scram, &last)).expect("sent");
        peer.expect_refusal("DISCONNECT reason=0x87")
            .expect("let go");
    }
    let other = Scram::sha_512("anna", "secret", "fyko");
    let mut peer = entered(&broker, "c", &anna());
    peer.send_line(&auth("0x19", &other, &other.first()))
        .expect("sent");
    peer.expect_refusal("DISCONNECT reason=0x82")
        .expect("let go");
    // A password is no method.
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c username=anna password=secret")
        .expect("sent");
    peer.expect("CONNACK reason=0 auth_method=!")
        .expect("CONNACK");
    peer.send_line(&auth("0x19", &anna(), &anna().first()))
        .expect("sent");
    peer.expect_refusal("DISCONNECT reason=0x82")
        .expect("let go");
}

/// A broker with one place for a password to wait, and passwords that take their time.
fn slow() -> Broker {
    let mut config = config();
    let slow = Credentials::derive(Hash::Sha256, "secret", &[7; 16], 400_000);
    config.users[0].credentials = vec![slow.expect("made")];
    config.limits.password_queue = 1;
    start(config)
}

#[test]
fn beyond_the_queue_of_passwords_the_server_is_busy_and_serves_the_others() {
    let broker = slow();
    let mut bystander = entered(&broker, "b", &Scram::sha_256("ben", "geheim", "fyko"));
    let mut peers: Vec<RawPeer> = (0..6).map(|_| silent(&broker, 5)).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.send(&format!(
            "CONNECT client_id=c{n} username=anna password=secret"
        ))
        .expect("sent");
    }
    bystander.send("PINGREQ").expect("sent");
    bystander.expect("PINGRESP").expect("nobody waits");
    let (mut entered, mut busy) = (0, 0);
    for peer in &mut peers {
        let connack = peer.next_packet().expect("a packet").expect("CONNACK");
        match connack.number("reason", 99) {
            0 => entered += 1,
            0x89 => busy += 1,
            other => panic!("CONNACK with {other}"),
        }
    }
    assert!(entered >= 1 && busy >= 1, "{entered} {busy}");
    let stats = broker.stats();
    assert_eq!(stats.passwords_refused_full, busy);
    assert_eq!(stats.passwords_checked, entered);
    broker.stop().expect("stopped");
}

#[test]
fn a_client_that_is_gone_before_its_password_is_checked_does_no_harm() {
    let broker = slow();
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=c username=anna password=secret")
        .expect("sent");
    until(&broker, |stats| {
        stats.mqtt.connections == 1 && stats.reads > 0
    });
    peer.cut();
    until(&broker, |stats| stats.mqtt.connections == 0);
    // This one has the same number of a connection, and is not who the answer is for.
    let mut next = silent(&broker, 5);
    next.send_line(&connect("c", &Scram::sha_256("ben", "geheim", "fyko")))
        .expect("sent");
    let question = next.expect("AUTH reason=0x18").expect("a question");
    let stats = until(&broker, |stats| stats.passwords_checked == 1);
    assert_eq!((stats.mqtt.sessions, stats.mqtt.connects), (0, 0));
    let scram = Scram::sha_256("ben", "geheim", "fyko");
    let (last, _) = scram.last(question.get("auth_data").expect("data"));
    next.send_line(&auth("0x18", &scram, &last)).expect("sent");
    next.expect("CONNACK reason=0").expect("CONNACK");
}
