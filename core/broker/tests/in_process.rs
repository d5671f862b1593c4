//! Connections without a socket.

mod support;

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use support::{client, publish, spread, start, subscribe, until};
use ternmq_broker::Config;
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::{Connect, FrameBuffer, MAX_PACKET_SIZE, Packet, PacketType};
use ternmq_test_broker_wire::PATIENCE;
use ternmq_transport::{Poller, Stream};

/// A client on one end of a pipe, which waits as a driver would.
struct Inside {
    stream: Stream,
    poller: Poller,
    version: ProtocolVersion,
}

impl Inside {
    fn new(mut stream: Stream) -> Self {
        let poller = Poller::new(8).expect("a poller");
        poller.register(&mut stream, 0).expect("registered");
        Self {
            stream,
            poller,
            version: ProtocolVersion::V5_0,
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet");
        let written = self.stream.write_vectored(&[IoSlice::new(&bytes)]);
        assert_eq!(written.expect("written"), bytes.len());
    }

    /// Reads until `count` packets have come; returns their types, fewer at the end of the stream.
    fn read(&mut self, count: usize) -> Vec<PacketType> {
        let (mut frames, mut types) = (FrameBuffer::default(), Vec::new());
        let mut scratch = [0; 4096];
        let deadline = std::time::Instant::now() + PATIENCE;
        while types.len() < count {
            match self.stream.read(&mut scratch) {
                Ok(0) => break,
                Ok(n) => {
                    let mut input = &scratch[..n];
                    while let Some(frame) = frames.next(&mut input, MAX_PACKET_SIZE).expect("MQTT")
                    {
                        types.push(frame.packet_type);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    assert!(std::time::Instant::now() < deadline, "nothing came");
                    let wait = Some(Duration::from_secs(1));
                    self.poller.wait(wait, &mut Vec::new()).expect("waited");
                }
                Err(e) => panic!("{e}"),
            }
        }
        types
    }
}

#[test]
fn a_client_in_process_is_one_like_others() {
    let broker = spread(3);
    for n in 0..6 {
        let id = format!("inside-{n}");
        let mut inside = Inside::new(broker.connect());
        let version = inside.version;
        inside.send(&Packet::Connect(Connect::new(version, &id)));
        assert_eq!(inside.read(1), [PacketType::ConnAck]);
        let mut outside = client(&broker, 4, "outside");
        subscribe(&mut outside, "from/inside", 0);
        let publish = ternmq_protocol::codec::Publish::new("from/inside", b"x");
        inside.send(&Packet::Publish(publish));
        outside
            .expect("PUBLISH topic=from/inside payload=x")
            .expect("the message");
        inside.send(&Packet::PingReq);
        assert_eq!(inside.read(1), [PacketType::PingResp]);
    }
    until(&broker, |stats| stats.mqtt.connections <= 1);
}

#[test]
fn a_pipe_that_is_full_waits_as_a_socket_does() {
    let mut config = Config::listen(support::ANY_PORT);
    config.limits.pipe_bytes = 1_000;
    let broker = start(config);
    let mut inside = Inside::new(broker.connect());
    let version = inside.version;
    inside.send(&Packet::Connect(Connect::new(version, "inside")));
    assert_eq!(inside.read(1), [PacketType::ConnAck]);
    let subscribe_all = [0x82, 0x07, 0x00, 0x01, 0x00, 0x00, 0x01, b'#', 0x00];
    let written = inside
        .stream
        .write_vectored(&[IoSlice::new(&subscribe_all)]);
    assert_eq!(written.expect("written"), subscribe_all.len());
    assert_eq!(inside.read(1), [PacketType::SubAck]);
    let mut outside = client(&broker, 4, "outside");
    for _ in 0..100 {
        publish(&mut outside, "t", 1, &"x".repeat(100));
    }
    assert!(broker.stats().blocked > 0);
    assert_eq!(inside.read(100), [PacketType::Publish; 100]);
}

#[test]
fn a_stopped_broker_is_the_end_of_the_stream() {
    let broker = start(Config::default());
    let mut inside = Inside::new(broker.connect());
    let version = inside.version;
    inside.send(&Packet::Connect(Connect::new(version, "inside")));
    assert_eq!(inside.read(1), [PacketType::ConnAck]);
    broker.stop().expect("no failure");
    assert_eq!(inside.read(2), [PacketType::Disconnect]);
}
