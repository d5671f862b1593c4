//! Clients that are slow, silent, unwanted or too many, and what the others notice of it.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::{ANY_PORT, broker, client, publish, silent, start, subscribe, until};
use ternmq_broker::{Config, ListenerConfig};
use ternmq_test_broker_wire::{Line, RawPeer, packet};

#[test]
fn a_reader_that_stops_reading_harms_nobody() {
    let mut config = Config::listen(ANY_PORT);
    config.session.queue.items = 100;
    let broker = start(config);
    let mut stuck = client(&broker, 4, "stuck");
    subscribe(&mut stuck, "big", 0);
    let mut reading = client(&broker, 4, "reading");
    subscribe(&mut reading, "big", 0);
    let mut publisher = client(&broker, 4, "publisher");
    let payload = "x".repeat(60_000);
    // Far beyond what both sockets and the queue of the stuck one hold.
    for _ in 0..400 {
        publish(&mut publisher, "big", 1, &payload);
        reading.expect("PUBLISH topic=big").expect("the message");
    }
    let stats = broker.stats();
    assert!(stats.blocked > 0 && stats.mqtt.dropped.queue_items > 0);
    // What was not dropped still comes, whole.
    let left = 400 - stats.mqtt.dropped.total();
    for _ in 0..left {
        stuck.expect("PUBLISH topic=big").expect("what was kept");
    }
    stuck.send("PINGREQ").expect("sent");
    stuck.expect("PINGRESP").expect("alive");
    let stats = broker.stats();
    assert_eq!(stats.mqtt.queued, 0);
    assert_eq!(
        stats.mqtt.copies(),
        stats.mqtt.sent() + stats.mqtt.dropped.total()
    );
}

#[test]
fn who_drips_bytes_is_cut_when_its_time_is_up() {
    let mut config = Config::listen(ANY_PORT);
    config.session.connect_timeout_ms = 200;
    let broker = start(config);
    let mut quiet = silent(&broker, 4);
    let mut half = silent(&broker, 4);
    half.send_bytes(&[0x10, 0x20, 0x00, 0x04]).expect("sent");
    let mut let_in = client(&broker, 4, "let-in");
    quiet.expect_close().expect("cut");
    half.expect_close().expect("cut");
    let_in.send("PINGREQ").expect("sent");
    let_in.expect("PINGRESP").expect("alive");
    until(&broker, |stats| stats.mqtt.connections == 1);
}

// [MQTT-3.1.2-22]
#[test]
fn who_is_silent_for_one_and_a_half_keep_alives_is_cut() {
    let broker = broker();
    let mut peer = silent(&broker, 5);
    peer.send("CONNECT client_id=a keep_alive=1").expect("sent");
    peer.expect("CONNACK reason=0").expect("CONNACK");
    peer.expect("DISCONNECT reason=0x8D")
        .expect("Keep Alive timeout");
    peer.expect_close().expect("closed");
}

#[test]
fn a_listener_may_refuse_who_names_nobody() {
    let closed = ListenerConfig {
        anonymous: false,
        ..ListenerConfig::anonymous(ANY_PORT)
    };
    let broker = start(Config {
        listeners: vec![closed, ListenerConfig::anonymous(ANY_PORT)],
        ..Config::default()
    });
    for (level, reason) in [(3, 5), (4, 5), (5, 0x87)] {
        let mut peer = RawPeer::connect(broker.local_addrs()[0], level).expect("a connection");
        peer.send("CONNECT client_id=a").expect("sent");
        peer.expect(&format!("CONNACK reason={reason}"))
            .expect("a refusal");
        peer.expect_close().expect("closed");
        RawPeer::introduced(broker.local_addrs()[1], level, "CONNECT client_id=a")
            .expect("the other listener lets it in");
    }
}

#[test]
fn one_connection_too_many_is_closed_and_makes_room_when_another_goes() {
    let mut config = Config::listen(ANY_PORT);
    config.limits.connections = 3;
    let broker = start(config);
    let mut held: Vec<RawPeer> = (0..3)
        .map(|n| client(&broker, 4, &format!("c{n}")))
        .collect();
    silent(&broker, 4).expect_close().expect("closed at once");
    assert_eq!(broker.stats().connections_refused, 1);
    held.pop().expect("one").cut();
    until(&broker, |stats| stats.mqtt.connections == 2);
    client(&broker, 4, "again");
}

/// Which takes many: each session has its share of it.
#[test]
fn a_broker_that_holds_too_much_takes_no_new_clients() {
    let mut config = Config::listen(ANY_PORT);
    config.shards = 2;
    config.limits.queued_bytes = 10_000;
    let broker = start(config);
    let address = broker.local_addrs()[0];
    let mut publisher = client(&broker, 4, "publisher");
    let refused = |level: u8| {
        let mut peer = RawPeer::connect(address, level).expect("a connection");
        peer.send("CONNECT client_id=b").expect("sent");
        let connack = peer.next_packet().expect("a packet").expect("CONNACK");
        connack.number("reason", 99)
    };
    for n in 0..3 {
        assert_eq!((refused(4), refused(5)), (0, 0), "{n}");
        let away = format!("CONNECT client_id=away{n} clean_start=0");
        let mut peer = RawPeer::introduced(address, 4, &away).expect("CONNACK");
        subscribe(&mut peer, &format!("t/{n}"), 1);
        peer.cut();
        until(&broker, |stats| stats.mqtt.connections == 1);
        for _ in 0..20 {
            publish(&mut publisher, &format!("t/{n}"), 1, &"x".repeat(1000));
        }
    }
    assert_eq!((refused(4), refused(5)), (3, 0x89));
    let stats = broker.stats();
    assert_eq!(stats.connects_refused_full, 2);
    // Half of it, what is always allowed, and that once more.
    assert!(stats.mqtt.queued_bytes < 5_000 + 2 * 4096);
    assert_eq!(stats.mqtt.dropped.queue_share + stats.mqtt.queued, 60);
}

#[test]
fn a_refusal_arrives_although_more_was_sent_behind_it() {
    let broker = broker();
    for _ in 0..20 {
        let mut peer = silent(&broker, 5);
        // Broken, and so much behind it that the broker closes with input unread.
        let mut bytes = vec![0x10, 0x02, 0xFF, 0xFF];
        bytes.extend(vec![0; 200_000]);
        peer.send_bytes(&bytes).expect("sent");
        peer.expect_close().expect("closed");
        let mut peer = client(&broker, 5, "a");
        let mut bytes = vec![0x62, 0x02, 0x00, 0x00];
        bytes.extend(vec![0xC0; 200_000]);
        peer.send_bytes(&bytes).expect("sent");
        let line = peer.next_packet().expect("a packet").expect("open");
        assert_eq!(line.word(0), "DISCONNECT");
        peer.expect_close().expect("closed");
    }
}

// [MQTT-3.1.2-8]
#[test]
fn a_will_reaches_who_subscribed_on_another_shard() {
    let broker = support::spread(4);
    for n in 0..8 {
        let mut subscriber = client(&broker, 5, &format!("subscriber-{n}"));
        subscribe(&mut subscriber, "wills", 0);
        let will = "CONNECT client_id=mortal will_topic=wills will_payload=gone";
        let mortal = RawPeer::introduced(broker.local_addrs()[0], 5, will).expect("CONNACK");
        mortal.cut();
        subscriber
            .expect("PUBLISH topic=wills payload=gone")
            .expect("the will");
    }
}

#[test]
fn a_half_closed_connection_gets_its_answers() {
    let broker = broker();
    let mut peer = client(&broker, 4, "a");
    peer.send("SUBSCRIBE id=1 filter=t options=1")
        .expect("sent");
    peer.stop_sending().expect("half closed");
    peer.expect("SUBACK id=1").expect("the answer");
    peer.expect_close().expect("closed");
}

#[test]
fn a_thousand_connections_come_at_once_and_go_at_once() {
    let broker = broker();
    let address = broker.local_addrs()[0];
    let mut sockets: Vec<TcpStream> = (0..1000)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    for (n, socket) in sockets.iter_mut().enumerate() {
        let mut connect = vec![0x10, 16, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 4];
        connect.extend(format!("{n:04}").bytes());
        socket.write_all(&connect).expect("sent");
    }
    for socket in &mut sockets {
        let mut connack = [0; 4];
        socket.read_exact(&mut connack).expect("CONNACK");
        assert_eq!(connack, [0x20, 2, 0, 0]);
    }
    drop(sockets);
    until(&broker, |stats| {
        stats.mqtt.connections == 0 && stats.mqtt.sessions == 0
    });
}

/// A client whose connection is reset: it is closed with answers unread.
fn reset(broker: &ternmq_broker::Broker, client_id: &str, packets: &[String]) {
    let line = |text: &str| Line::parse(text).expect(text);
    let mut bytes = packet::encode(5, &line(&format!("CONNECT client_id={client_id}")));
    let mut stream = TcpStream::connect(broker.local_addrs()[0]).expect("a connection");
    stream.write_all(&bytes).expect("sent");
    // CONNACK, and nothing after it.
    let mut connack = [0; 2];
    stream.read_exact(&mut connack).expect("CONNACK");
    let mut rest = vec![0; usize::from(connack[1])];
    stream.read_exact(&mut rest).expect("the rest of it");
    bytes.clear();
    for text in packets {
        bytes.extend(packet::encode(5, &line(text)));
    }
    stream.write_all(&bytes).expect("sent");
    // Once there is an answer, all was read: it is less than one read takes.
    stream.peek(&mut [0]).expect("the first answer");
}

#[test]
fn what_came_in_before_a_reset_is_handled_in_its_turn() {
    let mut config = Config::listen(ANY_PORT);
    config.topics.exclusive = true;
    config.session.turn_work = 1;
    let broker = start(config);
    let mut reader = client(&broker, 5, "reader");
    subscribe(&mut reader, "t/#", 1);
    let publishes = (1..=2000).map(|n| format!("PUBLISH topic=t/{n} qos=1 id={n}"));
    let publishes: Vec<String> = publishes.collect();
    let exclusive = "SUBSCRIBE id=3000 filter=$exclusive/e options=1".to_owned();
    for (name, first) in [("plain", None), ("exclusive", Some(exclusive))] {
        let packets: Vec<String> = first.into_iter().chain(publishes.clone()).collect();
        reset(&broker, name, &packets);
        for n in 1..=2000 {
            let got = reader.expect(&format!("PUBLISH topic=t/{n}"));
            let id = got.expect(name).number("id", 0);
            reader.send(&format!("PUBACK id={id}")).expect("sent");
        }
    }
    // Nobody is there any more, and nothing is kept for them.
    let stats = until(&broker, |stats| stats.mqtt.connections == 1);
    assert_eq!(stats.mqtt.exclusive, 0);
    let mut next = client(&broker, 5, "next");
    subscribe(&mut next, "$exclusive/e", 1);
}
