//! Whatever a client sends wrong ends its own connection, with the right code, and nothing else.

use super::desk::*;
use crate::codec::{Connect, Packet, Publish};
use crate::reason::ReasonCode;
use crate::seeded::Seeded;

// [MQTT-4.13.1-1] [MQTT-2.1.3-1] [MQTT-3.3.1-4] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.3.2-2]
// [MQTT-3.8.3-5] [MQTT-3.15.1-1] [MQTT-3.14.1-1] in MQTT 3.1.1 [MQTT-4.8.0-1] [MQTT-2.2.2-1] [MQTT-2.2.2-2]
// 3.1.1 [MQTT-3.3.1-4] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.3.2-2]
#[test]
fn each_error_has_its_code_in_5_and_closes_before() {
    let malformed = ReasonCode::MALFORMED_PACKET;
    let protocol = ReasonCode::PROTOCOL_ERROR;
    let cases: &[(&[u8], ReasonCode)] = &[
        (&[0x00, 0], malformed),
        (&[0x36, 5, 0, 1, b't', 0, 1], malformed),
        (&[0x60, 2, 0, 1], malformed),
        (&[0x80, 6, 0, 1, 0, 1, b'a', 0], malformed),
        (&[0xA0, 5, 0, 1, 0, 1, b'a'], malformed),
        (&[0xC1, 0], malformed),
        (&[0xE1, 0], malformed),
        (&[0xF1, 0], malformed),
        (&[0xC0, 1, 0], malformed),
        (&[0x30, 0x80, 0x80, 0x80, 0x80], malformed),
        (&[0x30, 4, 0, 1, b'+', 0], protocol),
        (&[0x32, 6, 0, 1, b't', 0, 0, 0], protocol),
        (&[0x20, 3, 0, 0, 0], protocol),
        (&[0xD0, 0], protocol),
        (&[0x90, 4, 0, 1, 0, 0], protocol),
        (&[0xB0, 4, 0, 1, 0, 0], protocol),
        (&[0x82, 7, 0, 1, 0, 0, 1, b'a', 0xC0], malformed),
    ];
    for (bytes, reason) in cases {
        for version in [V3_1_1, V5_0] {
            let mut desk = Desk::new();
            let (bystander, conn) = (desk.client(V5_0, "b"), desk.client(version, "c"));
            desk.subscribe(bystander, "#", Q0);
            desk.input(conn, bytes);
            assert!(!desk.is_open(conn), "{version} {bytes:x?}");
            if version.is_v5() {
                assert_eq!(
                    desk.take_all(conn),
                    [Got::Disconnect(*reason)],
                    "{bytes:x?}"
                );
            } else {
                assert!(desk.take_all(conn).is_empty(), "{bytes:x?}");
            }
            desk.publish(bystander, "t", "well", Q0, 0);
            assert_eq!(desk.texts(bystander), ["well"]);
        }
    }
}

// [MQTT-3.1.4-1] [MQTT-3.1.2-3] in MQTT 3.1.1 [MQTT-3.1.4-1] [MQTT-3.1.2-3] [MQTT-3.2.2-6]
#[test]
fn a_broken_connect_is_answered_in_5_and_closed_before() {
    for version in [V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let conn = desk.open(version);
        let mut bytes = Vec::new();
        let connect = Packet::Connect(Connect::new(version, "c"));
        connect.encode(version, &mut bytes).unwrap();
        bytes[9] |= 1; // the reserved flag
        desk.input(conn, &bytes);
        assert!(!desk.is_open(conn));
        match &desk.take_all(conn)[..] {
            [] => assert_eq!(version, V3_1_1),
            [Got::ConnAck { reason, .. }] => {
                assert_eq!((version, *reason), (V5_0, ReasonCode::MALFORMED_PACKET));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_is_handled_behind_an_error_or_a_disconnect() {
    for first in [&[0xE0, 0][..], &[0xD0, 0]] {
        let mut desk = Desk::new();
        let (watcher, conn) = (desk.client(V5_0, "w"), desk.client(V5_0, "c"));
        desk.subscribe(watcher, "#", Q0);
        let mut bytes = first.to_vec();
        let publish = Packet::Publish(Publish::new("t", b"x"));
        publish.encode(V5_0, &mut bytes).unwrap();
        desk.input(conn, &bytes);
        assert!(desk.texts(watcher).is_empty());
    }
}

#[test]
fn calls_for_connections_that_are_gone_do_nothing() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    desk.cut(conn);
    let (shard, now, out) = (&mut desk.shard, desk.now, &mut desk.out);
    shard.handle_input(conn, now, &[0xC0, 0], out);
    shard.handle_closed(conn, now, out);
    shard.handle_writable(conn, now, out);
    shard.admit(conn, now, crate::broker::Admission::Accept, out);
    assert!(!shard.flushed(conn) && !shard.wants_input(conn) && shard.outbound(conn).is_none());
    assert!(shard.release(conn).is_none());
    out.ended.clear();
    assert!(out.is_empty());
}

/// Any bytes, cut anywhere, from many connections: no panic, no effect on a bystander, and all is
/// freed in the end.
#[test]
fn garbage_harms_nobody_else() {
    let mut seeded = Seeded::new(11);
    let mut desk = Desk::with(|limits| limits.connect_timeout_ms = 1000);
    let bystander = desk.client(V5_0, "bystander");
    desk.subscribe(bystander, "safe/#", Q1);
    let mut samples: Vec<Vec<u8>> = Vec::new();
    for version in [V3_1, V3_1_1, V5_0] {
        let mut bytes = Vec::new();
        for packet in [
            Packet::Connect(Connect::new(version, "x")),
            Packet::Publish(Publish::new("a/b", b"payload")),
            Packet::PingReq,
        ] {
            packet.encode(version, &mut bytes).unwrap();
        }
        bytes.extend([0x82, 9, 0, 1, 0, 4, b'#', b'/', b'a', b'b', 1]);
        bytes.extend([0x34, 6, 0, 1, b't', 0, 1, 0, 0x62, 2, 0, 1]);
        samples.push(bytes);
    }
    for round in 0..3000 {
        let mut bytes = samples[seeded.below(3)].clone();
        for _ in 0..seeded.below(4) {
            let at = seeded.below(bytes.len());
            bytes[at] = seeded.next() as u8;
        }
        let Some(conn) = desk.shard.open(desk.now, Default::default(), None) else {
            panic!("a connection leaked");
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(1 + seeded.below(rest.len()));
            desk.shard.handle_input(conn, desk.now, head, &mut desk.out);
            desk.settle();
            rest = tail;
        }
        if seeded.one_in(2) {
            desk.shard.handle_closed(conn, desk.now, &mut desk.out);
            desk.settle();
        } else if round % 50 == 0 {
            desk.wait(100_000_000);
        }
        desk.check_books();
    }
    desk.wait(200_000_000_000);
    assert!(desk.is_open(bystander));
    desk.publish(bystander, "safe/x", "well", Q0, 0);
    let got = desk.take_all(bystander);
    assert!(matches!(&got[..], [.., Got::Publish(m)] if m.text() == "well"));
}
