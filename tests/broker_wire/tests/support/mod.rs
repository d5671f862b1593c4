//! A broker with a bystander on it: whatever a bad client does, the bystander goes on.
#![allow(dead_code)]

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;
use ternmq_broker::{Broker, Config, Stats};
use ternmq_test_broker_wire::{Line, PATIENCE, RawPeer, packet as writer};

/// A broker on a free port and two clients that are not to notice anything.
pub(crate) struct Scene {
    broker: Broker,
    publisher: RawPeer,
    subscriber: RawPeer,
    passed_on: usize,
}

impl Scene {
    /// With limits as they come, but a connect timeout so long that it ends no connection that
    /// should have been ended for another reason.
    pub(crate) fn new() -> Self {
        Self::with(|config| config.session.connect_timeout_ms = 10 * PATIENCE.as_millis() as u64)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.shards = 2;
        change(&mut config);
        let broker = Broker::start(config).expect("a broker");
        let client = |id: &str| {
            let connect = format!("CONNECT client_id={id}");
            RawPeer::introduced(broker.local_addrs()[0], 4, &connect).expect("a bystander")
        };
        let (publisher, mut subscriber) = (client("by-publisher"), client("by-subscriber"));
        subscriber
            .send("SUBSCRIBE id=1 filter=by/stander options=1")
            .expect("sent");
        subscriber.expect("SUBACK id=1 code=1").expect("SUBACK");
        Self {
            broker,
            publisher,
            subscriber,
            passed_on: 0,
        }
    }

    /// A connection that has said nothing yet.
    pub(crate) fn silent(&self, level: u8) -> RawPeer {
        RawPeer::connect(self.broker.local_addrs()[0], level).expect("a connection")
    }

    /// A connection whose CONNECT was accepted.
    pub(crate) fn client(&self, level: u8, connect: &str) -> RawPeer {
        let address = self.broker.local_addrs()[0];
        RawPeer::introduced(address, level, connect).expect("CONNACK")
    }

    /// One more message passes from bystander to bystander.
    pub(crate) fn goes_on(&mut self) {
        self.passed_on += 1;
        let n = self.passed_on;
        let publish = format!("PUBLISH topic=by/stander qos=1 id=1 payload={n}");
        self.publisher
            .send(&publish)
            .expect("the publisher goes on");
        self.publisher
            .expect("PUBACK id=1")
            .expect("the publisher goes on");
        let wanted = format!("PUBLISH topic=by/stander qos=1 id=<p{n}> payload={n} dup=0");
        self.subscriber
            .expect(&wanted)
            .expect("the subscriber goes on");
        self.subscriber
            .send(&format!("PUBACK id=<p{n}>"))
            .expect("the subscriber goes on");
    }

    /// Waits until only the bystanders are connected, and checks that they got what was theirs and
    /// no message was lost anywhere. Returns the counters.
    pub(crate) fn finish(mut self) -> Stats {
        self.goes_on();
        let stats =
            self.until(|s| s.mqtt.connections == 2 && s.mqtt.acknowledged == self.passed_on as u64);
        assert_eq!(stats.mqtt.dropped.total(), 0, "{stats:#?}");
        assert!(self.broker.failure().is_none());
        stats
    }

    /// The broker itself.
    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker's counters.
    pub(crate) fn stats(&self) -> Stats {
        self.broker.stats()
    }

    /// Asks for the counters until they are as wanted; each answer takes a turn of every shard.
    pub(crate) fn until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        let begun = Instant::now();
        loop {
            let stats = self.broker.stats();
            if wanted(&stats) {
                return stats;
            }
            assert!(begun.elapsed() < PATIENCE, "still not: {stats:#?}");
        }
    }
}

/// Connects, and requires a CONNACK with these fields.
pub(crate) fn let_in(scene: &Scene, level: u8, connect: &str, connack: &str) -> RawPeer {
    let mut peer = scene.silent(level);
    peer.send(connect).expect("sent");
    peer.expect(&format!("CONNACK reason=0 {connack}"))
        .unwrap_or_else(|e| panic!("{connect} in {level}: {e}"));
    peer
}

/// A CONNECT of a client whose session outlives its connection.
pub(crate) fn durable(level: u8, client_id: &str) -> String {
    let expiry = if level == 5 {
        "session_expiry=1000"
    } else {
        ""
    };
    format!("CONNECT client_id={client_id} clean_start=0 {expiry}")
}

pub(crate) fn subscribe(peer: &mut RawPeer, filter: &str, qos: u8) {
    peer.send(&format!("SUBSCRIBE id=9 filter={filter} options={qos}"))
        .expect("sent");
    peer.expect(&format!("SUBACK id=9 code={qos}"))
        .expect("SUBACK");
}

/// Shows that nothing more has been sent to a client up to now.
pub(crate) fn nothing_more(peer: &mut RawPeer) {
    peer.send("PINGREQ").expect("sent");
    peer.expect("PINGRESP").expect("nothing but the answer");
}

/// The bytes of a packet.
pub(crate) fn bytes(level: u8, text: &str) -> Vec<u8> {
    writer::encode(level, &Line::parse(text).expect(text))
}

/// One packet: its first byte, then its length, then `body`.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut bytes, mut left) = (vec![first], body.len());
    loop {
        let more = if left > 127 { 0x80 } else { 0 };
        bytes.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            bytes.extend_from_slice(body);
            return bytes;
        }
    }
}

/// The codes of the answer that comes next.
pub(crate) fn codes(peer: &mut RawPeer, name: &str) -> Vec<String> {
    let answer = peer.next_packet().expect("a packet").expect("it is open");
    assert_eq!(answer.word(0), name);
    let codes = answer.all("code");
    codes
        .map(|code| String::from_utf8_lossy(code).into_owned())
        .collect()
}

/// What a broker says before it closes: `None` when it closes without a word.
pub(crate) fn last_words(peer: &mut RawPeer, case: impl Display) -> Option<Line> {
    let packet = peer.next_packet().unwrap_or_else(|e| panic!("{case}: {e}"));
    if packet.is_some() {
        peer.expect_close()
            .unwrap_or_else(|e| panic!("{case}: {e}"));
    }
    packet
}
