//! Memory, counted and not timed: what reading, keeping and writing packets allocates.
#![forbid(unsafe_code)]

use allocation_counter::measure;
use ternmq_protocol::ProtocolVersion::{V3_1_1, V5_0};
use ternmq_protocol::codec::{
    Ack, FrameBuffer, MAX_PACKET_SIZE, Packet, PropertiesBuf, PropertyId, Publish, QoS, Split,
    Value, split,
};
use ternmq_protocol::message::{Delivery, Message, Origin};
use ternmq_protocol::outbound::{Outbound, SPLICE_FROM};
use ternmq_protocol::{EncodeError, ProtocolVersion, ReasonCode, Time};

/// What a client sends in one go: PUBLISHes of all kinds, acknowledgements, pings.
fn batch(version: ProtocolVersion) -> (Vec<u8>, usize) {
    let mut properties = PropertiesBuf::default();
    properties
        .push(PropertyId::ContentType, Value::Utf8String("text/plain"))
        .and_then(|p| p.push(PropertyId::UserProperty, Value::Utf8StringPair("k", "v")))
        .unwrap();
    let mut out = Vec::new();
    let payload = [7; 300];
    for i in 0..200usize {
        let mut publish = Publish::new("sensors/42/temperature", &payload[..i]);
        if i % 3 > 0 {
            publish.qos = QoS::from_bits((i % 3) as u8).unwrap();
            publish.packet_id = i as u16;
        }
        if i % 2 == 0 {
            publish.properties = properties.get();
        }
        Packet::Publish(publish).encode(version, &mut out).unwrap();
        let ack = Ack::new(i as u16 + 1, ReasonCode::SUCCESS);
        Packet::PubAck(ack).encode(version, &mut out).unwrap();
        Packet::PingReq.encode(version, &mut out).unwrap();
    }
    (out, 600)
}

/// Reads all frames of a batch and returns how many there were.
fn read_all(frames: &mut FrameBuffer, mut input: &[u8], version: ProtocolVersion) -> usize {
    let mut count = 0;
    while let Some(frame) = frames.next(&mut input, MAX_PACKET_SIZE).unwrap() {
        let packet = Packet::decode(frame, version).unwrap();
        if let Packet::Publish(publish) = packet {
            std::hint::black_box(publish.properties.iter().count());
        }
        count += 1;
    }
    count
}

fn publish(bytes: &[u8], version: ProtocolVersion) -> Publish<'_> {
    let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
        panic!("not a frame");
    };
    let Ok(Packet::Publish(publish)) = Packet::decode(frame, version) else {
        panic!("not a PUBLISH");
    };
    publish
}

#[test]
fn reading_a_batch_allocates_nothing() {
    for version in [V3_1_1, V5_0] {
        let (bytes, packets) = batch(version);
        let mut frames = FrameBuffer::default();
        let info = measure(|| assert_eq!(read_all(&mut frames, &bytes, version), packets));
        assert_eq!(info.count_total, 0);
    }
}

#[test]
fn a_batch_that_ends_inside_a_packet_allocates_for_that_packet_only() {
    let (bytes, packets) = batch(V5_0);
    let mut frames = FrameBuffer::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let info = measure(|| {
        let count = read_all(&mut frames, first, V5_0) + read_all(&mut frames, second, V5_0);
        assert_eq!(count, packets);
    });
    assert!(info.count_total <= 2, "{info:?}");
    assert_eq!((info.count_current, frames.capacity()), (0, 0));
}

#[test]
fn a_message_is_one_allocation() {
    let mut own = PropertiesBuf::default();
    own.push(
        PropertyId::MessageExpiryInterval,
        Value::FourByteInteger(60),
    )
    .and_then(|p| p.push(PropertyId::ContentType, Value::Utf8String("c")))
    .and_then(|p| p.push(PropertyId::TopicAlias, Value::TwoByteInteger(1)))
    .unwrap();
    let mut scratch = Vec::with_capacity(1 << 20);
    for len in [0, 1, 127, 4096, 500_000] {
        let payload = vec![7; len];
        for (topic, with_properties) in [("a/b", false), ("a/b", true), ("", true)] {
            let mut sent = Publish::new(topic, &payload);
            if with_properties {
                sent.properties = own.get();
            }
            let mut bytes = Vec::new();
            Packet::Publish(sent).encode(V5_0, &mut bytes).unwrap();
            let publish = publish(&bytes, V5_0);
            let mut message = None;
            let info = measure(|| {
                let made = Message::from_publish(&publish, "a/b", Time(0), Origin(1), &mut scratch);
                message = Some(made);
            });
            assert_eq!(info.count_total, 1, "{topic:?} {with_properties} {len}");
            let message = message.unwrap();
            assert_eq!((message.topic(), message.payload()), ("a/b", &payload[..]));
            assert!(info.bytes_total <= message.memory() as u64 + 8, "{info:?}");
            let info = measure(|| drop(message.clone()));
            assert_eq!(info.count_total, 0, "a clone counts up");
        }
    }
}

#[test]
fn a_message_that_is_too_large_is_refused_before_it_is_copied() {
    let payload = vec![0; 268_435_455];
    let info = measure(|| {
        let none = ternmq_protocol::codec::Properties::EMPTY;
        let message = Message::new("t", &payload, QoS::AtMostOnce, false, none, Time(0));
        assert_eq!(message.unwrap_err(), EncodeError::PacketTooLarge);
        let mut out = Vec::new();
        let packet = Packet::Publish(Publish::new("t", &payload));
        for version in [V3_1_1, V5_0] {
            let result = packet.encode(version, &mut out);
            assert_eq!(result, Err(EncodeError::PacketTooLarge));
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn writing_into_memory_that_is_there_allocates_nothing() {
    let small = Message::new(
        "t",
        b"x",
        QoS::AtLeastOnce,
        false,
        Default::default(),
        Time(0),
    );
    let large = vec![7; SPLICE_FROM];
    let large = Message::new(
        "t",
        &large,
        QoS::AtLeastOnce,
        false,
        Default::default(),
        Time(0),
    );
    let (small, large) = (small.unwrap(), large.unwrap());
    let mut outbound = Outbound::default();
    let mut send = || {
        for packet_id in 1..100 {
            let delivery = Delivery {
                qos: QoS::AtLeastOnce,
                packet_id,
                subscription_ids: &[1, 2],
                ..Delivery::default()
            };
            outbound.publish(V5_0, &small, &delivery);
            outbound.publish(V5_0, &large, &delivery);
            outbound.append(|out| {
                let ack = Packet::PubAck(Ack::new(packet_id, ReasonCode::SUCCESS));
                ack.encode(V5_0, out).unwrap()
            });
        }
        outbound.clear();
    };
    send();
    assert_eq!(measure(send).count_total, 0);
}

#[test]
fn a_reader_that_is_always_behind_holds_only_what_is_not_sent() {
    let mut outbound = Outbound::default();
    let payload = vec![7; 10_000];
    let mut step = |sent: usize| {
        let none = ternmq_protocol::codec::Properties::EMPTY;
        let message = Message::new("t", &payload, QoS::AtMostOnce, false, none, Time(0)).unwrap();
        outbound.publish(V5_0, &message, &Delivery::default());
        outbound.advance(sent);
    };
    // Header byte, two of the Remaining Length, topic, Property Length.
    let wire_len = 1 + 2 + 3 + 1 + 10_000;
    let info = measure(|| {
        // Five messages behind, and always in the middle of a payload.
        (0..5).for_each(|_| step(0));
        step(10_005);
        (0..2000).for_each(|_| step(wire_len));
    });
    assert!(info.bytes_max < 20 * 10_000, "{info:?}");
    assert!(info.bytes_current < 12 * 10_000, "{info:?}");
    assert!(outbound.capacity() < 2000, "{}", outbound.capacity());
}

#[test]
fn an_announced_length_takes_no_memory() {
    let mut frames = FrameBuffer::default();
    let mut input = &[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0x00][..];
    let info = measure(|| assert!(frames.next(&mut input, MAX_PACKET_SIZE).unwrap().is_none()));
    assert!(info.bytes_max <= 64, "{info:?}");
    assert!(frames.is_partial());
}

#[test]
fn a_packet_in_pieces_takes_its_own_size_and_moves_each_byte_about_once() {
    const PIECE: usize = 1460;
    let payload = vec![7; 5_000_000];
    let mut bytes = Vec::new();
    Packet::Publish(Publish::new("t", &payload))
        .encode(V3_1_1, &mut bytes)
        .unwrap();
    let mut frames = FrameBuffer::default();
    let (mut whole, mut came) = (0, 0);
    let info = measure(|| {
        for piece in bytes.chunks(PIECE) {
            let mut input = piece;
            came += piece.len();
            whole += usize::from(frames.next(&mut input, MAX_PACKET_SIZE).unwrap().is_some());
            assert!(input.is_empty());
            assert!(frames.capacity() <= 2 * came && frames.capacity() <= bytes.len());
        }
    });
    assert_eq!(whole, 1);
    assert_eq!(frames.capacity(), bytes.len());
    // 12 doublings from one piece to the whole.
    assert!(info.count_total <= 13, "{info:?}");
    assert!(info.bytes_total <= 3 * bytes.len() as u64, "{info:?}");
    assert!(
        frames
            .next(&mut &[][..], MAX_PACKET_SIZE)
            .unwrap()
            .is_none()
    );
    assert_eq!(frames.capacity(), 0, "the memory goes with the packet");
}

#[test]
fn a_peer_that_sends_byte_by_byte_costs_a_handful_of_allocations() {
    let (bytes, packets) = batch(V5_0);
    let mut frames = FrameBuffer::default();
    let mut count = 0;
    let info = measure(|| {
        for byte in &bytes {
            count += read_all(&mut frames, std::slice::from_ref(byte), V5_0);
        }
    });
    assert_eq!(count, packets);
    assert!(info.count_total <= 10 * packets as u64, "{info:?}");
    assert!(info.bytes_max <= 1024, "{info:?}");
}
