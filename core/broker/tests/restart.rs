//! The broker is stopped at each packet boundary and started again on the same store.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use support::{ANY_PORT, client, publish, start, subscribe, until};
use ternmq_broker::store::{Options, Store, StoreError};
use ternmq_broker::{Broker, Config, Placement, StopError};
use ternmq_protocol::broker::{DelayedLimits, Topics};
use ternmq_test_broker_wire::{Line, RawPeer};

/// What happens to a conversation in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// The connection is cut.
    Cut,
    /// The broker stops, and starts on the same store in memory.
    Memory,
    /// The same in a folder, and with another number of shards.
    Folder,
}

const BREAKS: [Break; 3] = [Break::Cut, Break::Memory, Break::Folder];

/// A folder for this test alone, empty.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("restart-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// A broker that can be stopped and started again.
struct House {
    broker: Option<Broker>,
    store: Arc<Store>,
    shards: usize,
    delayed: Option<DelayedLimits>,
}

impl House {
    fn new(store: Arc<Store>, shards: usize) -> Self {
        let mut house = Self {
            broker: None,
            store,
            shards,
            delayed: None,
        };
        house.start();
        house
    }

    fn start(&mut self) {
        let topics = Topics {
            delayed: self.delayed,
            exclusive: true,
            ..Topics::default()
        };
        self.broker = Some(start(Config {
            shards: self.shards,
            placement: Placement::ByClientId,
            store: Some(self.store.clone()),
            topics,
            ..Config::listen(ANY_PORT)
        }));
    }

    fn stop(&mut self) {
        let broker = self.broker.take().expect("a broker");
        broker.stop().expect("stopped and saved");
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("a broker")
    }

    /// A client that keeps its session, and whether it was there.
    fn durable(&self, level: u8, client_id: &str, more: &str) -> (RawPeer, bool) {
        let expiry = if level == 5 {
            "session_expiry=1000"
        } else {
            ""
        };
        let mut peer = support::silent(self.broker(), level);
        let connect = format!("CONNECT client_id={client_id} clean_start=0 {expiry} {more}");
        peer.send(&connect).expect("sent");
        let connack = peer.expect("CONNACK reason=0").expect("CONNACK");
        (peer, connack.number("session_present", 0) == 1)
    }

    /// Breaks the conversation of `peer` and gives the client a new connection.
    fn break_off(&mut self, how: Break, level: u8, client_id: &str, peer: RawPeer) -> RawPeer {
        match how {
            Break::Cut => drop(peer),
            Break::Memory => {
                self.restart();
                drop(peer);
            }
            Break::Folder => {
                self.shards = 3 - self.shards;
                self.restart();
                drop(peer);
            }
        }
        let (peer, present) = self.durable(level, client_id, "");
        assert!(present, "{client_id} has a session");
        peer
    }
}

fn house(how: Break, name: &str) -> House {
    let store = match how {
        Break::Folder => in_folder(&folder(name)),
        _ => in_memory(),
    };
    House::new(store, 1)
}

fn in_memory() -> Arc<Store> {
    Arc::new(Store::memory().expect("a store"))
}

fn in_folder(path: &Path) -> Arc<Store> {
    let options = Options {
        verify: false,
        ..Options::default()
    };
    Arc::new(Store::open(path, &options).expect("a folder"))
}

/// Returns when the broker has handled all that was sent.
fn settle(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("PINGRESP");
}

/// What waits for the reader, up to a last message that is published now.
fn payloads(house: &House, level: u8, qos: u8) -> Vec<String> {
    let mut publisher = client(house.broker(), 4, "last");
    publish(&mut publisher, "a", qos, "the-end");
    let (mut reader, present) = house.durable(level, "reader", "");
    assert!(present);
    let mut all = Vec::new();
    loop {
        let packet = reader.next_packet().expect("a packet").expect("not closed");
        assert_eq!(packet.word(0), "PUBLISH", "{packet}");
        let payload = text(&packet);
        if payload == "the-end" {
            return all;
        }
        all.push(payload);
    }
}

fn text(packet: &Line) -> String {
    String::from_utf8_lossy(packet.get("payload").unwrap_or_default()).into_owned()
}

// [MQTT-4.3.2-1] [MQTT-4.3.3-2] [MQTT-4.4.0-1]
#[test]
fn what_a_client_publishes_survives_a_break_at_every_packet() {
    for how in BREAKS {
        for level in [4, 5] {
            for qos in [1, 2] {
                // Packets before the break, each side's counted.
                for packets in 0..=if qos == 1 { 2 } else { 4 } {
                    for settled in [false, true] {
                        if settled && packets % 2 == 0 {
                            continue;
                        }
                        publishes(how, level, qos, packets, settled);
                    }
                }
            }
        }
    }
}

/// One message, with a break behind so many packets. `settled`: what the client sent last has been
/// handled, and not answered as far as the client knows.
fn publishes(how: Break, level: u8, qos: u8, packets: usize, settled: bool) {
    let what = format!("{how:?}, level {level}, QoS {qos}, {packets} packets, settled {settled}");
    let mut house = house(how, "publishes");
    let (mut reader, _) = house.durable(level, "reader", "");
    subscribe(&mut reader, "a", 2);
    drop(reader);
    until(house.broker(), |stats| stats.mqtt.connections == 0);
    let (mut peer, _) = house.durable(level, "writer", "");
    let message = format!("topic=a qos={qos} id=7 payload=once");
    let script: &[&str] = match qos {
        1 => &["PUBLISH", "PUBACK"],
        _ => &["PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"],
    };
    for (at, packet) in script[..packets].iter().enumerate() {
        match (at % 2, *packet) {
            (0, "PUBLISH") => peer.send(&format!("PUBLISH {message}")).expect(&what),
            (0, _) => peer.send("PUBREL id=7").expect(&what),
            _ => drop(peer.expect(&format!("{packet} id=7")).expect(&what)),
        }
    }
    if settled {
        peer.send("PINGREQ").expect(&what);
        while peer.next_packet().expect(&what).expect(&what).word(0) != "PINGRESP" {}
    }
    let mut peer = house.break_off(how, level, "writer", peer);
    // The client has what it read: it goes on as the standard says.
    let acknowledged = packets / 2;
    if acknowledged == 0 {
        peer.send(&format!("PUBLISH dup=1 {message}")).expect(&what);
        peer.expect(&format!("{} id=7", script[1])).expect(&what);
    }
    if qos == 2 && acknowledged < 2 {
        peer.send("PUBREL id=7").expect(&what);
        peer.expect("PUBCOMP id=7").expect(&what);
    }
    let got = payloads(&house, level, qos);
    let count = got.len();
    assert!(
        got.iter().all(|payload| payload == "once"),
        "{what}: {got:?}"
    );
    if qos == 2 || acknowledged > 0 || packets == 0 {
        assert_eq!(count, 1, "{what}");
    } else {
        assert!((1..=2).contains(&count), "{what}: {count}");
    }
}

// [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
fn what_a_client_receives_survives_a_break_at_every_packet() {
    for how in BREAKS {
        for level in [4, 5] {
            for qos in [1, 2] {
                for packets in 0..=if qos == 1 { 2 } else { 4 } {
                    for settled in [false, true] {
                        if settled && packets % 2 == 1 {
                            continue;
                        }
                        receives(how, level, qos, packets, settled);
                    }
                }
            }
        }
    }
}

/// Two messages, the first with a break behind so many packets of its own.
fn receives(how: Break, level: u8, qos: u8, packets: usize, settled: bool) {
    let what = format!("{how:?}, level {level}, QoS {qos}, {packets} packets, settled {settled}");
    let mut house = house(how, "receives");
    let (mut peer, _) = house.durable(level, "reader", "");
    subscribe(&mut peer, "a", qos);
    if packets == 0 {
        drop(peer);
        until(house.broker(), |stats| stats.mqtt.connections == 0);
        let mut publisher = client(house.broker(), 5, "writer");
        publish(&mut publisher, "a", qos, "first");
        publish(&mut publisher, "a", qos, "second");
        peer = house.durable(level, "reader", "").0;
    } else {
        let mut publisher = client(house.broker(), 5, "writer");
        publish(&mut publisher, "a", qos, "first");
        publish(&mut publisher, "a", qos, "second");
    }
    let mut client = Receiver::default();
    let mut done = 0;
    while done < packets {
        let packet = peer.next_packet().expect(&what).expect(&what);
        if packet.number("id", 0) != 1 {
            continue; // the second one is read, and not answered
        }
        done += 1;
        if let Some(answer) = client.handle(&packet, qos)
            && done < packets
        {
            peer.send(&answer).expect(&what);
            done += 1;
        }
    }
    if settled {
        peer.send("PINGREQ").expect(&what);
        while peer.next_packet().expect(&what).expect(&what).word(0) != "PINGRESP" {}
    }
    let mut peer = house.break_off(how, level, "reader", peer);
    // Everything that is still owed comes with the identifiers that it had.
    let mut ids = Vec::new();
    while !client.has("second") || !client.open.is_empty() {
        let packet = peer.next_packet().expect(&what).expect(&what);
        ids.push(packet.number("id", 0));
        if let Some(answer) = client.handle(&packet, qos) {
            peer.send(&answer).expect(&what);
        }
    }
    settle(&mut peer);
    assert!(ids.iter().all(|id| [1, 2].contains(id)), "{what}: {ids:?}");
    match qos {
        2 => assert_eq!(client.taken, ["first", "second"], "{what}"),
        _ => {
            client.taken.dedup();
            assert_eq!(client.taken, ["first", "second"], "{what}");
        }
    }
    let stats = until(house.broker(), |stats| stats.mqtt.queued == 0);
    let accounted = stats.mqtt.sent() + stats.mqtt.dropped.total();
    assert_eq!(stats.mqtt.copies(), accounted, "{what}");
}

/// The receiving side of a client that outlives its connections.
#[derive(Default)]
struct Receiver {
    /// Messages given to the application.
    taken: Vec<String>,
    /// QoS 2: identifiers whose PUBREL has not come.
    open: Vec<u32>,
}

impl Receiver {
    fn has(&self, payload: &str) -> bool {
        self.taken.iter().any(|taken| taken == payload)
    }

    /// The answer to a packet.
    fn handle(&mut self, packet: &Line, qos: u8) -> Option<String> {
        let id = packet.number("id", 0);
        match (packet.word(0), qos) {
            ("PUBLISH", 1) => {
                self.taken.push(text(packet));
                Some(format!("PUBACK id={id}"))
            }
            ("PUBLISH", _) => {
                if !self.open.contains(&id) {
                    self.open.push(id);
                    self.taken.push(text(packet));
                }
                Some(format!("PUBREC id={id}"))
            }
            ("PUBREL", _) => {
                self.open.retain(|open| *open != id);
                Some(format!("PUBCOMP id={id}"))
            }
            other => panic!("{other:?}: {packet}"),
        }
    }
}

// [MQTT-4.3.3-8]
#[test]
fn an_owed_pubrel_is_sent_again_with_its_identifier_and_before_what_waits() {
    for how in [Break::Memory, Break::Folder] {
        for level in [4, 5] {
            let mut house = house(how, "pubrel");
            let (mut peer, _) = house.durable(level, "reader", "");
            subscribe(&mut peer, "a", 2);
            let mut publisher = client(house.broker(), 4, "writer");
            for payload in ["one", "two", "three"] {
                publish(&mut publisher, "a", 2, payload);
            }
            for id in 1..=3 {
                peer.expect(&format!("PUBLISH id={id} qos=2")).expect("it");
            }
            for id in [2, 1] {
                peer.send(&format!("PUBREC id={id}")).expect("sent");
                peer.expect(&format!("PUBREL id={id}")).expect("PUBREL");
            }
            let mut peer = house.break_off(how, level, "reader", peer);
            peer.expect("PUBREL id=2").expect("in the order of PUBREC");
            peer.expect("PUBREL id=1").expect("and the other");
            peer.expect("PUBLISH id=3 qos=2 dup=1 payload=three")
                .expect("then what was not acknowledged");
        }
    }
}

#[test]
fn retained_messages_and_their_expiry_come_back() {
    for how in [Break::Memory, Break::Folder] {
        let mut house = house(how, "retained");
        let mut publisher = client(house.broker(), 5, "writer");
        for (topic, more) in [
            ("r/a", "message_expiry=1000 content_type=text user=k:v"),
            ("r/b", ""),
            ("$r/c", ""),
            ("r/gone", "message_expiry=1"),
        ] {
            publisher
                .send(&format!(
                    "PUBLISH topic={topic} retain=1 qos=1 id=3 payload=kept {more}"
                ))
                .expect("sent");
            publisher.expect("PUBACK id=3").expect("PUBACK");
        }
        house.restart();
        // The one that expires does so now, whether it came back or not.
        let expired = |stats: &ternmq_broker::Stats| stats.retained_expired >= 1;
        let found = house.broker().restoration().expect("a store").retained;
        assert!((3..=4).contains(&found), "{found}");
        if found == 4 {
            until(house.broker(), expired);
        }
        let mut reader = client(house.broker(), 5, "reader");
        reader
            .send("SUBSCRIBE id=1 filter=r/# options=1 filter=$r/# options=1")
            .expect("sent");
        reader.expect("SUBACK id=1").expect("SUBACK");
        let first = reader.expect("PUBLISH topic=r/a retain=1 content_type=text payload=kept");
        let left = first.expect("the first").number("message_expiry", 0);
        assert!((900..=1000).contains(&left), "{left}");
        reader.expect("PUBLISH topic=r/b retain=1").expect("it");
        reader.expect("PUBLISH topic=$r/c retain=1").expect("it");
        settle(&mut reader);
    }
}

// [MQTT-3.1.2-8] [MQTT-3.1.3-9]
#[test]
fn wills_and_ends_of_sessions_wait_over_a_restart() {
    for how in [Break::Memory, Break::Folder] {
        let mut house = house(how, "wills");
        let (mut reader, _) = house.durable(4, "reader", "");
        subscribe(&mut reader, "w", 1);
        let will = |house: &House, id: &str, more: &str| {
            let mut peer = support::silent(house.broker(), 5);
            peer.send(&format!(
                "CONNECT client_id={id} clean_start=0 will_topic=w will_qos=1 will_payload={id} {more}"
            ))
            .expect("sent");
            peer.expect("CONNACK reason=0").expect("CONNACK");
            peer
        };
        let delayed = will(&house, "delayed", "session_expiry=1000 will.will_delay=1");
        let ends = will(&house, "ends", "session_expiry=2 will.will_delay=100");
        let back = will(&house, "back", "session_expiry=1000 will.will_delay=900");
        house.restart();
        drop((delayed, ends, back, reader));
        let (mut reader, present) = house.durable(4, "reader", "");
        assert!(present);
        let mut back = will(&house, "back", "session_expiry=1000");
        for payload in ["delayed", "ends"] {
            let publish = reader.expect(&format!("PUBLISH topic=w payload={payload}"));
            let id = publish.expect("a will").number("id", 0);
            reader.send(&format!("PUBACK id={id}")).expect("sent");
        }
        until(house.broker(), |stats| stats.mqtt.sessions == 3);
        back.send("DISCONNECT").expect("sent");
        settle(&mut reader);
    }
}

#[test]
fn another_number_of_shards_gets_every_session_and_every_subscription() {
    let mut house = House::new(in_memory(), 1);
    for n in 0..40 {
        let (mut peer, _) = house.durable(5, &format!("client-{n}"), "");
        subscribe(&mut peer, &format!("to/{n}"), 1);
    }
    for shards in [4, 2, 1, 3] {
        house.shards = shards;
        house.restart();
        let restoration = house.broker().restoration().expect("a store");
        assert_eq!(restoration.sessions, 40, "{restoration:?}");
        let mut publisher = client(house.broker(), 4, "writer");
        for n in 0..40 {
            publish(&mut publisher, &format!("to/{n}"), 1, "x");
        }
        for n in 0..40 {
            let (mut peer, present) = house.durable(5, &format!("client-{n}"), "");
            assert!(present, "{n} of {shards}");
            let message = peer.expect(&format!("PUBLISH topic=to/{n}"));
            let id = message.expect("its message").number("id", 0);
            peer.send(&format!("PUBACK id={id}")).expect("sent");
            settle(&mut peer);
        }
        assert_eq!(house.broker().stats().mqtt.subscriptions, 40);
    }
}

// [MQTT-4.8.2-4]
#[test]
fn groups_and_delayed_messages_are_there_again_on_any_number_of_shards() {
    for how in [Break::Memory, Break::Folder] {
        let mut house = house(how, "groups");
        let delayed = DelayedLimits::default();
        house.delayed = Some(delayed);
        house.restart();
        for n in 0..4 {
            let (mut peer, _) = house.durable(4, &format!("member-{n}"), "");
            peer.send("SUBSCRIBE id=1 filter=$share/g/t/# options=1")
                .expect("sent");
            peer.expect("SUBACK id=1 code=1").expect("SUBACK");
        }
        until(house.broker(), |stats| stats.mqtt.connections == 0);
        let mut publisher = client(house.broker(), 5, "writer");
        publish(&mut publisher, "t/1", 1, "before");
        publish(&mut publisher, "$delayed/1/t/2", 1, "delayed");
        for shards in [3, 1, 2] {
            house.shards = shards;
            house.restart();
        }
        let restoration = house.broker().restoration().expect("a store");
        assert_eq!((restoration.sessions, restoration.over_limits), (4, 0));
        let mut publisher = client(house.broker(), 5, "writer");
        publish(&mut publisher, "t/3", 1, "after");
        until(house.broker(), |stats| stats.mqtt.delayed == 0);
        let (mut peer, present) = house.durable(4, "member-2", "");
        assert!(present);
        let mut got: Vec<String> = (0..3)
            .map(|_| text(&peer.expect("PUBLISH qos=1").expect("a message")))
            .collect();
        got.sort();
        assert_eq!(got, ["after", "before", "delayed"]);
        settle(&mut peer);
    }
}

#[test]
fn an_exclusive_subscription_is_still_its_clients_own() {
    let mut house = House::new(in_memory(), 2);
    let (mut owner, _) = house.durable(5, "owner", "");
    owner
        .send("SUBSCRIBE id=1 filter=$exclusive/t options=1")
        .expect("sent");
    owner.expect("SUBACK id=1 code=1").expect("SUBACK");
    house.restart();
    let mut other = client(house.broker(), 5, "other");
    let ask = "SUBSCRIBE id=1 filter=$exclusive/t options=1";
    other.send(ask).expect("sent");
    other.expect("SUBACK id=1 code=0x97").expect("refused");
    publish(&mut other, "t", 1, "for-the-owner");
    let (mut owner, present) = house.durable(5, "owner", "");
    assert!(present);
    owner
        .expect("PUBLISH topic=t payload=for-the-owner")
        .expect("what waited");
    owner
        .send("UNSUBSCRIBE id=2 filter=$exclusive/t")
        .expect("sent");
    until(house.broker(), |stats| stats.mqtt.exclusive == 0);
    other.send(ask).expect("sent");
    other.expect("SUBACK id=1 code=1").expect("free");
}

#[test]
fn who_opens_a_store_fences_whoever_had_it() {
    let store = in_memory();
    let mut first = House::new(store.clone(), 1);
    let (mut peer, _) = first.durable(4, "first", "");
    subscribe(&mut peer, "a", 1);
    drop(peer);
    let mut second = House::new(store, 1);
    // What the first one is given now it can't keep, and says so.
    let mut publisher = client(first.broker(), 5, "publisher");
    publisher
        .send("PUBLISH topic=kept qos=1 id=1 retain=1 payload=x")
        .expect("sent");
    publisher
        .expect("PUBACK id=1 reason=0x97")
        .expect("refused");
    let broker = first.broker.take().expect("a broker");
    assert_eq!(broker.stop(), Err(StopError::NotSaved(StoreError::Fenced)));
    let (peer, present) = second.durable(4, "second", "");
    assert!(!present);
    drop(peer);
    second.restart();
    // What the first one was given before.
    assert_eq!(second.broker().restoration().map(|r| r.sessions), Some(2));
}

#[test]
fn a_damaged_record_is_reported_and_the_rest_is_there() {
    let path = folder("damaged");
    let mut house = House::new(in_folder(&path), 1);
    let names: Vec<String> = (0..20).map(|n| format!("one-of-twenty-{n}")).collect();
    for name in &names {
        let (mut peer, _) = house.durable(4, name, "");
        subscribe(&mut peer, "a", 1);
    }
    house.stop();
    // Nobody has the folder any more.
    house.store = in_memory();
    let file = path.join("store.redb");
    let mut bytes = std::fs::read(&file).expect("a store");
    let places: Vec<usize> = bytes
        .windows(names[7].len() + 1)
        .enumerate()
        .filter(|(_, text)| {
            text.starts_with(names[7].as_bytes()) && !text[text.len() - 1].is_ascii_digit()
        })
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] ^= 0x10;
    }
    std::fs::write(&file, &bytes).expect("written");
    house.store = in_folder(&path);
    house.start();
    let found = house.broker().restoration().expect("a store");
    assert_eq!((found.sessions, found.damaged), (19, 1), "{found:?}");
    let (_, present) = house.durable(4, &names[7], "");
    assert!(!present);
    let (_, present) = house.durable(4, &names[8], "");
    assert!(present);
}

#[test]
fn a_folder_in_use_is_refused() {
    let path = folder("refused");
    let store = in_folder(&path);
    let error = Store::open(&path, &Options::default()).expect_err("in use");
    assert!(error.to_string().contains("in use by another"), "{error}");
    drop(store);
    drop(in_folder(&path));
}
