//! PUBLISH and its acknowledgements over sockets (3.3 to 3.7, 4.3, 4.4): both roles of the server in
//! each QoS, cut off at each step.
#![allow(missing_docs)]

mod support;

use support::{Scene, durable, let_in, nothing_more, subscribe};
use ternmq_test_broker_wire::RawPeer;

const LEVELS: [u8; 2] = [4, 5];

// [MQTT-3.3.1-3] [MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-3.3.1-2] [MQTT-4.3.1-1] [MQTT-2.2.1-2] [MQTT-3.3.2-1]
// in MQTT 3.1.1 [MQTT-3.3.1-3] [MQTT-3.3.1-2] [MQTT-4.3.1-1] [MQTT-2.3.1-5] [MQTT-3.3.2-1]
#[test]
fn a_message_goes_out_with_dup_0_however_it_came_in() {
    let scene = Scene::new();
    for (from, to) in [(4, 4), (4, 5), (5, 4), (5, 5)] {
        for granted in 0..=2 {
            let mut subscriber = scene.client(to, "CONNECT client_id=subscriber");
            subscribe(&mut subscriber, "t", granted);
            let mut publisher = scene.client(from, "CONNECT client_id=publisher");
            for qos in 1..=2 {
                publisher
                    .send(&format!("PUBLISH topic=t qos={qos} id=1 dup=1 payload=x"))
                    .expect("sent");
                let lower = granted.min(qos);
                let id = if lower == 0 { "!" } else { "*" };
                subscriber
                    .expect(&format!(
                        "PUBLISH topic=t qos={lower} dup=0 id={id} payload=x"
                    ))
                    .expect("a first delivery");
            }
        }
    }
}

/// What the server sends at QoS 1: with the same id until PUBACK, on each connection once.
// [MQTT-4.3.2-3] [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-2.2.1-4]
// in MQTT 3.1.1 [MQTT-4.3.2-1] [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-2.3.1-4]
#[test]
fn a_qos_1_delivery_comes_again_until_it_is_acknowledged() {
    for level in LEVELS {
        let scene = Scene::new();
        let connect = durable(level, "anna");
        let mut peer = let_in(&scene, level, &connect, "session_present=0");
        subscribe(&mut peer, "t", 1);
        publish(&scene, 1, "one");
        publish(&scene, 1, "two");
        let first = peer
            .expect("PUBLISH topic=t dup=0 payload=one")
            .expect("one");
        let second = peer
            .expect("PUBLISH topic=t dup=0 payload=two")
            .expect("two");
        let (first, second) = (first.number("id", 0), second.number("id", 0));
        assert!(first != 0 && second != 0 && first != second);
        nothing_more(&mut peer);
        for _ in 0..2 {
            peer.cut();
            peer = let_in(&scene, level, &connect, "session_present=1");
            for (id, payload) in [(first, "one"), (second, "two")] {
                peer.expect(&format!("PUBLISH id={id} qos=1 dup=1 payload={payload}"))
                    .expect("again");
            }
            nothing_more(&mut peer);
        }
        peer.send(&format!("PUBACK id={second}")).expect("sent");
        nothing_more(&mut peer);
        peer.cut();
        peer = let_in(&scene, level, &connect, "session_present=1");
        peer.expect(&format!("PUBLISH id={first} dup=1 payload=one"))
            .expect("the other one");
        peer.send(&format!("PUBACK id={first}")).expect("sent");
        nothing_more(&mut peer);
        peer.cut();
        peer = let_in(&scene, level, &connect, "session_present=1");
        nothing_more(&mut peer);
    }
}

/// What the server sends at QoS 2: PUBLISH until PUBREC, then PUBREL until PUBCOMP, and never the
/// PUBLISH again.
// [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-3.6.1-1]
// [MQTT-2.2.1-5] [MQTT-4.4.0-1] [MQTT-3.3.1-1]
// in MQTT 3.1.1 [MQTT-4.3.3-1] [MQTT-3.6.1-1] [MQTT-2.3.1-6] [MQTT-4.4.0-1] [MQTT-3.3.1-1]
#[test]
fn a_qos_2_delivery_goes_on_where_it_was_cut() {
    for level in LEVELS {
        let scene = Scene::new();
        let connect = durable(level, "anna");
        let mut peer = let_in(&scene, level, &connect, "session_present=0");
        subscribe(&mut peer, "t", 2);
        publish(&scene, 2, "x");
        let message = peer.expect("PUBLISH topic=t qos=2 dup=0").expect("x");
        let id = message.number("id", 0);
        assert_ne!(id, 0);
        let again = |peer: RawPeer| {
            peer.cut();
            let_in(&scene, level, &connect, "session_present=1")
        };
        peer = again(peer);
        peer.expect(&format!("PUBLISH topic=t qos=2 dup=1 id={id} payload=x"))
            .expect("the PUBLISH again");
        // PUBREC is sent, and its PUBREL read or not: only PUBREL comes again.
        for read in [true, false] {
            peer.send(&format!("PUBREC id={id}")).expect("sent");
            if read {
                peer.expect(&format!("PUBREL id={id}")).expect("PUBREL");
                nothing_more(&mut peer);
            } else {
                peer.stop_sending().expect("half closed");
                peer.read_to_end().expect("closed");
            }
            peer = again(peer);
            peer.expect(&format!("PUBREL id={id}"))
                .expect("PUBREL again");
            nothing_more(&mut peer);
        }
        peer.send(&format!("PUBCOMP id={id}")).expect("sent");
        nothing_more(&mut peer);
        peer = again(peer);
        nothing_more(&mut peer);
    }
}

// [MQTT-4.3.2-4] [MQTT-4.3.2-5] [MQTT-3.3.4-1] [MQTT-2.2.1-5] [MQTT-3.4.2-1] in MQTT 3.1.1 [MQTT-4.3.2-2]
// 3.1.1 [MQTT-3.3.4-1] [MQTT-2.3.1-6]
#[test]
fn an_id_that_was_acknowledged_at_qos_1_names_a_new_message() {
    for level in LEVELS {
        let scene = Scene::new();
        let mut peer = scene.client(level, "CONNECT client_id=anna");
        subscribe(&mut peer, "t", 0);
        // DUP makes no difference: it is a new message all the same.
        for (dup, payload) in [(0, "one"), (0, "two"), (1, "three")] {
            peer.send(&format!(
                "PUBLISH topic=t qos=1 id=65535 dup={dup} payload={payload}"
            ))
            .expect("sent");
            peer.expect(&format!("PUBLISH topic=t qos=0 payload={payload}"))
                .expect("each is delivered");
            peer.expect("PUBACK id=65535").expect("PUBACK");
        }
    }
}

/// What the server receives at QoS 2: delivered once, however often it comes before PUBREL and on
/// however many connections.
// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-3.5.2-1]
// [MQTT-3.7.2-1] in MQTT 3.1.1 [MQTT-4.3.3-2] [MQTT-3.3.4-1] [MQTT-2.3.1-6]
#[test]
fn a_qos_2_message_that_comes_again_is_delivered_once() {
    for level in LEVELS {
        let scene = Scene::new();
        let mut watcher = scene.client(4, "CONNECT client_id=watcher");
        subscribe(&mut watcher, "t", 0);
        let connect = durable(level, "anna");
        let mut peer = let_in(&scene, level, &connect, "session_present=0");
        for dup in [0, 1, 1] {
            peer.send(&format!(
                "PUBLISH topic=t qos=2 id=7 dup={dup} payload=once"
            ))
            .expect("sent");
            peer.expect("PUBREC id=7").expect("PUBREC");
            peer.cut();
            peer = let_in(&scene, level, &connect, "session_present=1");
        }
        peer.send("PUBREL id=7").expect("sent");
        peer.expect("PUBCOMP id=7").expect("PUBCOMP");
        watcher.expect("PUBLISH payload=once").expect("it");
        nothing_more(&mut watcher);
        peer.send("PUBLISH topic=t qos=2 id=7 payload=new")
            .expect("sent");
        peer.expect("PUBREC id=7").expect("PUBREC");
        watcher
            .expect("PUBLISH payload=new")
            .expect("a new message");
    }
}

// [MQTT-3.3.1-5] [MQTT-3.3.1-7] [MQTT-3.3.1-8] in MQTT 3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-7] [MQTT-3.3.1-11]
// 3.1.1 [MQTT-3.3.1-12] [MQTT-3.3.1-6] [MQTT-3.3.1-8]
#[test]
fn the_last_retained_message_of_a_topic_is_kept_with_its_qos() {
    for level in LEVELS {
        let scene = Scene::new();
        let mut publisher = scene.client(level, "CONNECT client_id=publisher");
        let mut send = |text: &str| {
            publisher
                .send(&format!("PUBLISH topic=t {text}"))
                .expect("sent");
            if text.contains("qos=1") {
                publisher.expect("PUBACK id=1").expect("PUBACK");
            }
            nothing_more(&mut publisher);
        };
        let found = |client_id: &str| {
            let connect = format!("CONNECT client_id={client_id}");
            let mut peer = scene.client(level, &connect);
            subscribe(&mut peer, "#", 2);
            peer
        };
        send("retain=1 qos=1 id=1 payload=one");
        found("a")
            .expect("PUBLISH topic=t retain=1 qos=1 payload=one")
            .expect("the first");
        send("retain=1 qos=0 payload=two");
        send("retain=0 qos=1 id=1 payload=passing");
        let mut peer = found("b");
        peer.expect("PUBLISH topic=t retain=1 qos=0 payload=two")
            .expect("QoS 0 took the place of QoS 1");
        nothing_more(&mut peer);
        send("retain=1 qos=1 id=1 payload=");
        peer.expect("PUBLISH topic=t retain=0 qos=1 payload=")
            .expect("the empty message itself");
        nothing_more(&mut found("c"));
    }
}

/// Retained messages come once for each subscription that asked for them, and each copy says for which.
// [MQTT-3.3.4-5] [MQTT-3.3.1-9]
#[test]
fn each_of_several_copies_has_the_identifier_of_its_own_subscription() {
    let scene = Scene::new();
    let mut peer = scene.client(5, "CONNECT client_id=anna");
    peer.send("PUBLISH topic=a/b retain=1 payload=x")
        .expect("sent");
    for (filter, identifier) in [("a/b", 7), ("a/+", 300)] {
        peer.send(&format!(
            "SUBSCRIBE id=1 filter={filter} subscription_id={identifier}"
        ))
        .expect("sent");
        peer.expect("SUBACK id=1 code=0").expect("SUBACK");
        let copy = peer
            .expect(&format!(
                "PUBLISH topic=a/b retain=1 payload=x subscription_id={identifier}"
            ))
            .expect("a copy for this subscription");
        assert_eq!(copy.all("subscription_id").count(), 1, "{copy}");
    }
    nothing_more(&mut peer);
}

// [MQTT-1.5.4-3] [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
// [MQTT-2.2.2-1] in MQTT 3.1.1 [MQTT-1.5.3-3]
#[test]
fn what_a_publisher_says_of_its_message_is_passed_on_as_it_is() {
    let scene = Scene::new();
    let (mut old, mut new) = (
        scene.client(4, "CONNECT client_id=old"),
        scene.client(5, "CONNECT client_id=new"),
    );
    for peer in [&mut old, &mut new] {
        subscribe(peer, "#", 0);
    }
    // A topic that begins with U+FEFF.
    let said = "topic=%ef%bb%bft payload=%00%ff user=b:1 user=a:2 user=b:1 payload_format=1 \
                content_type=text/plain response_topic=r/%ef%bb%bft correlation=%00%ff";
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    publisher.send(&format!("PUBLISH {said}")).expect("sent");
    let got = new.expect(&format!("PUBLISH {said}")).expect("all of it");
    let pairs: Vec<&[u8]> = got.all("user").collect();
    assert_eq!(pairs, [b"b:1", b"a:2", b"b:1"]);
    old.expect("PUBLISH topic=%ef%bb%bft payload=%00%ff")
        .expect("what MQTT 3 has");
    publisher.send("PUBLISH topic=t payload=x").expect("sent");
    // The raw peer reads a property length in every PUBLISH, also where there is nothing to say.
    new.expect("PUBLISH topic=t payload=x user=! content_type=!")
        .expect("no properties");
}

/// A publisher of its own, which goes when its message is the server's.
fn publish(scene: &Scene, qos: u8, payload: &str) {
    let mut publisher = scene.client(5, "CONNECT client_id=publisher");
    publisher
        .send(&format!("PUBLISH topic=t qos={qos} id=1 payload={payload}"))
        .expect("sent");
    let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
    publisher
        .expect(&format!("{answer} id=1 reason=0"))
        .expect("the answer");
}
