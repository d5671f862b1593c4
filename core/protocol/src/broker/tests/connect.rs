//! CONNECT: who gets in, under which name and rules, and who takes whose place.

use super::desk::*;
use crate::broker::{Admission, ListenerId};
use crate::codec::{Connect, Packet, PropertiesBuf, PropertyId, Publish};
use crate::reason::ReasonCode;

fn refused(desk: &mut Desk, connect: Connect<'_>) -> Option<ReasonCode> {
    let conn = desk.connect(connect);
    assert!(!desk.is_open(conn));
    let got = desk.take_all(conn);
    match &got[..] {
        [] => None,
        [
            Got::ConnAck {
                present: false,
                reason,
                ..
            },
        ] => Some(*reason),
        other => panic!("{other:?}"),
    }
}

// [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.1.4-5] in MQTT 3.1.1 [MQTT-3.1.4-4]
// 3.1.1 [MQTT-3.2.0-1] [MQTT-3.2.2-1]
#[test]
fn connack_is_the_first_and_only_answer_to_connect() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let conn = desk.connect(Connect::new(version, "c"));
        let got = desk.take_all(conn);
        assert!(
            matches!(
                &got[..],
                [Got::ConnAck {
                    present: false,
                    reason: ReasonCode::SUCCESS,
                    ..
                }]
            ),
            "{got:?}"
        );
        assert_eq!((desk.stats().connections, desk.stats().sessions), (1, 1));
    }
}

// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] in MQTT 3.1.1 [MQTT-3.1.3-6]
#[test]
fn an_empty_client_id_is_replaced_by_a_fresh_one() {
    let mut desk = Desk::new();
    let mut seen = Vec::new();
    for _ in 0..50 {
        let conn = desk.connect(Connect::new(V5_0, ""));
        let Got::ConnAck { properties, .. } = desk.take(conn) else {
            panic!("no CONNACK");
        };
        let id = properties.get();
        let id = id.text(PropertyId::AssignedClientIdentifier).unwrap();
        assert!(id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!seen.contains(&id.to_owned()));
        seen.push(id.to_owned());
    }
    desk.client(V3_1_1, "");
    assert_eq!(desk.stats().sessions, 51);
}

// in MQTT 3.1.1 [MQTT-3.1.3-8] [MQTT-3.1.3-9] [MQTT-3.2.2-4] [MQTT-3.2.2-5]
#[test]
fn an_empty_client_id_needs_a_clean_session_before_5() {
    let mut desk = Desk::new();
    let mut connect = Connect::new(V3_1_1, "");
    connect.clean_start = false;
    let invalid = Some(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    assert_eq!(refused(&mut desk, connect), invalid);
    assert_eq!(refused(&mut desk, Connect::new(V3_1, "")), invalid);
    assert_eq!(desk.stats().connects_refused, 2);
}

// [MQTT-3.1.3-8] [MQTT-3.2.2-7] in MQTT 3.1.1 [MQTT-3.1.3-9] [MQTT-3.2.2-5]
#[test]
fn a_client_id_that_is_not_wanted_is_refused_as_that() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let invalid = ReasonCode::CLIENT_IDENTIFIER_NOT_VALID;
        desk.admission = Some(Admission::Refuse(invalid));
        let connect = Connect::new(version, "unwanted");
        assert_eq!(refused(&mut desk, connect), Some(invalid));
        assert_eq!((desk.stats().sessions, desk.stats().connections), (0, 0));
    }
}

// [MQTT-3.1.3-5] in MQTT 3.1.1 [MQTT-3.1.3-5]
#[test]
fn letters_and_digits_are_always_taken() {
    let mut desk = Desk::new();
    desk.client(V3_1_1, "0");
    desk.client(V3_1_1, "0123456789abcdefghijklm");
    desk.client(V5_0, "nopqrstuvwxyzABCDEFGHIJ");
    desk.client(V5_0, &"x".repeat(65_535));
}

// [MQTT-3.1.2-2] in MQTT 3.1.1 [MQTT-3.1.2-2]
#[test]
fn an_unknown_version_is_told_so() {
    for (level, expected) in [(6, vec![0x20, 3, 0, 0x84, 0]), (2, vec![0x20, 2, 0, 1])] {
        let mut desk = Desk::new();
        let conn = desk.open(if level > 5 { V5_0 } else { V3_1_1 });
        let (shard, out) = (&mut desk.shard, &mut desk.out);
        let bytes = [
            0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 0, 0, 1, b'c',
        ];
        shard.handle_input(conn, desk.now, &bytes, out);
        let mut sent = Vec::new();
        shard.outbound(conn).unwrap().drain_into(&mut sent);
        assert_eq!(sent, expected);
        assert_eq!((&out.closing, out.admissions.len()), (&vec![conn], 0));
    }
}

// [MQTT-3.1.0-1] [MQTT-3.14.0-1] in MQTT 3.1.1 [MQTT-3.1.0-1]
#[test]
fn anything_but_connect_first_is_cut_off_without_a_word() {
    for bytes in [
        &[0xC0, 0][..],
        &[0x30, 3, 0, 1, b'a'],
        &[0xE0, 0],
        &[0x00, 0],
        &[0xF0, 0],
        // A TLS ClientHello; and HTTP, whose first packet would be one of 71 bytes to wait for.
        &[0x16, 3, 1, 2, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut desk = Desk::new();
        let conn = desk.open(V5_0);
        desk.input(conn, bytes);
        assert!(!desk.is_open(conn) && desk.got(conn).is_empty());
        assert_eq!((desk.stats().peer_errors, desk.stats().connections), (1, 0));
    }
}

// [MQTT-3.1.0-2] in MQTT 3.1.1 [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let conn = desk.client(version, "c");
        desk.send(conn, Packet::Connect(Connect::new(version, "c")));
        assert!(!desk.is_open(conn));
        let expected = version
            .is_v5()
            .then_some(Got::Disconnect(ReasonCode::PROTOCOL_ERROR));
        assert_eq!(desk.take_all(conn), Vec::from_iter(expected));
    }
    // Also one of a version that nobody knows, which a CONNACK would answer with 0x84.
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    desk.input(conn, b"\x10\x07\0\x04MQTT\x09");
    let expected = Got::Disconnect(ReasonCode::PROTOCOL_ERROR);
    assert_eq!(desk.take_all(conn), [expected]);
}

// [MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7] in MQTT 3.1.1 [MQTT-3.1.4-5] [MQTT-3.2.2-4]
// 3.1.1 [MQTT-3.2.2-5]
#[test]
fn a_refused_client_is_told_why_and_nothing_it_sent_counts() {
    for version in [V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let watcher = desk.client(V5_0, "w");
        desk.subscribe(watcher, "#", Q0);
        desk.admission = Some(Admission::Refuse(ReasonCode::NOT_AUTHORIZED));
        let conn = desk.open(version);
        let mut bytes = Vec::new();
        let connect = Packet::Connect(Connect::new(version, "c"));
        connect.encode(version, &mut bytes).unwrap();
        let publish = Packet::Publish(Publish::new("a", b"x"));
        publish.encode(version, &mut bytes).unwrap();
        desk.input(conn, &bytes);
        let got = desk.take_all(conn);
        let reason = ReasonCode::NOT_AUTHORIZED;
        assert!(
            matches!(&got[..], [Got::ConnAck { present: false, reason: r, .. }] if *r == reason)
        );
        assert!(!desk.is_open(conn) && desk.got(watcher).is_empty());
        assert_eq!(desk.stats().sessions, 1);
    }
}

#[test]
fn what_comes_behind_connect_waits_for_the_answer_within_its_limit() {
    let mut desk = Desk::with(|limits| limits.early_input = 10);
    desk.admission = None;
    let conn = desk.open(V3_1_1);
    let mut bytes = Vec::new();
    let connect = Packet::Connect(Connect::new(V3_1_1, "c"));
    connect.encode(V3_1_1, &mut bytes).unwrap();
    Packet::PingReq.encode(V3_1_1, &mut bytes).unwrap();
    desk.input(conn, &bytes);
    assert!(desk.got(conn).is_empty() && desk.shard.wants_input(conn));
    desk.input(conn, &[0xC0, 0, 0xC0, 0, 0xC0, 0, 0xC0]);
    assert!(desk.shard.wants_input(conn));
    desk.input(conn, &[0]);
    assert!(!desk.shard.wants_input(conn));
    let request = desk.out.admissions.pop().unwrap();
    assert_eq!(
        (&*request.client_id, request.listener),
        ("c", ListenerId(7))
    );
    desk.shard
        .admit(conn, desk.now, Admission::Accept, &mut desk.out);
    desk.settle();
    assert!(desk.shard.wants_input(conn));
    let got = desk.take_all(conn);
    assert_eq!(got.len(), 6);
    assert!(got[1..].iter().all(|got| *got == Got::PingResp));
}

#[test]
fn a_connection_moves_to_another_shard_with_all_it_sent() {
    let (mut from, mut to) = (Desk::new(), Desk::new());
    let name = b"user";
    from.admission = None;
    from.peer = Some([192, 0, 2, 7].into());
    let conn = from.open(V5_0);
    let mut bytes = Vec::new();
    let mut connect = Connect::new(V5_0, "");
    connect.user_name = Some("user");
    connect.password = Some(name);
    Packet::Connect(connect).encode(V5_0, &mut bytes).unwrap();
    Packet::PingReq.encode(V5_0, &mut bytes).unwrap();
    from.input(conn, &bytes);
    let request = from.out.admissions.pop().unwrap();
    assert_eq!(request.peer, from.peer);
    assert_eq!(request.user_name.as_deref(), Some("user"));
    assert_eq!(request.password.as_deref(), Some(&name[..]));
    assert!(
        !format!("{request:?}").contains("117"),
        "no password in logs"
    );
    let parked = from.shard.release(conn).unwrap();
    assert_eq!(parked.client_id(), &*request.client_id);
    assert!(from.shard.release(conn).is_none());
    assert_eq!(from.stats().connections, 0);
    let conn = to.shard.adopt(to.now, parked).unwrap();
    to.add_line(conn, V5_0);
    to.shard.admit(conn, to.now, Admission::Accept, &mut to.out);
    to.settle();
    let Got::ConnAck { properties, .. } = to.take(conn) else {
        panic!("no CONNACK");
    };
    let assigned = properties.get();
    let assigned = assigned.text(PropertyId::AssignedClientIdentifier);
    assert_eq!(assigned, Some(&*request.client_id));
    assert_eq!(to.take_all(conn), [Got::PingResp]);
}

// [MQTT-3.1.4-3] in MQTT 3.1.1 [MQTT-3.1.4-2]
#[test]
fn the_newer_connection_of_a_client_takes_over() {
    for (old, new) in [(V5_0, V5_0), (V3_1_1, V5_0), (V5_0, V3_1_1)] {
        let mut desk = Desk::new();
        let first = desk.client(old, "c");
        let second = desk.client(new, "c");
        assert!(!desk.is_open(first) && desk.is_open(second));
        let expected = old
            .is_v5()
            .then_some(Got::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
        assert_eq!(desk.take_all(first), Vec::from_iter(expected));
        assert_eq!((desk.stats().sessions, desk.stats().taken_over), (1, 1));
        assert!(desk.ended.is_empty(), "the name goes on");
        desk.send(second, Packet::PingReq);
        assert_eq!(desk.take(second), Got::PingResp);
    }
}

// [MQTT-3.1.3-2] in MQTT 3.1.1 [MQTT-3.1.3-2]
#[test]
fn another_client_id_is_another_client() {
    let mut desk = Desk::new();
    let (a, b) = (desk.client(V3_1_1, "c"), desk.client(V3_1_1, "C"));
    assert!(desk.is_open(a) && desk.is_open(b));
}

// [MQTT-3.1.2-22] in MQTT 3.1.1 [MQTT-3.1.2-24]
#[test]
fn silence_for_one_and_a_half_times_keep_alive_ends_a_connection() {
    for version in [V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let mut connect = Connect::new(version, "c");
        connect.keep_alive = 10;
        let conn = desk.connect(connect);
        desk.connack(conn);
        for _ in 0..5 {
            desk.wait(14_999);
            assert!(desk.is_open(conn));
            desk.send(conn, Packet::PingReq);
            desk.take(conn);
        }
        desk.input(conn, &[0xC0]);
        desk.wait(14_999);
        assert!(desk.is_open(conn));
        desk.wait(1);
        assert!(!desk.is_open(conn), "half a packet is no packet");
        let expected = version
            .is_v5()
            .then_some(Got::Disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
        assert_eq!(desk.take_all(conn), Vec::from_iter(expected));
        assert_eq!(desk.stats().timeouts, 1);
        let patient = desk.client(version, "p");
        desk.wait(1_000_000_000);
        assert!(desk.is_open(patient), "Keep Alive 0 is off");
    }
}

// [MQTT-3.2.2-22]
#[test]
fn the_servers_limit_of_keep_alive_is_told_and_kept() {
    let mut desk = Desk::with(|limits| limits.keep_alive = 60);
    for (asked, told) in [(0, Some(60)), (61, Some(60)), (60, None), (5, None)] {
        let mut connect = Connect::new(V5_0, "c");
        connect.keep_alive = asked;
        let conn = desk.connect(connect);
        let Got::ConnAck { properties, .. } = desk.take(conn) else {
            panic!("no CONNACK");
        };
        assert_eq!(properties.get().number(PropertyId::ServerKeepAlive), told);
        let limit = u64::from(told.unwrap_or(asked.into())) * 1500;
        desk.wait(limit - 1);
        assert!(desk.is_open(conn));
        desk.wait(1);
        assert!(!desk.is_open(conn));
    }
}

#[test]
fn a_connect_that_does_not_come_ends_the_connection_however_it_drips() {
    let mut desk = Desk::with(|limits| limits.connect_timeout_ms = 5000);
    let (silent, slow) = (desk.open(V5_0), desk.open(V5_0));
    let mut bytes = Vec::new();
    Packet::Connect(Connect::new(V5_0, &"c".repeat(1000)))
        .encode(V5_0, &mut bytes)
        .unwrap();
    for byte in &bytes[..49] {
        desk.input(slow, &[*byte]);
        desk.wait(100);
    }
    assert!(desk.is_open(silent) && desk.is_open(slow));
    desk.wait(100);
    assert!(!desk.is_open(silent) && !desk.is_open(slow));
    assert!(desk.got(slow).is_empty());
    assert_eq!((desk.stats().timeouts, desk.stats().connections), (2, 0));
}

#[test]
fn limits_of_connections_and_sessions_are_kept_and_counted() {
    let mut desk = Desk::with(|limits| (limits.connections, limits.sessions) = (3, 2));
    let (a, _) = desk.durable(V5_0, "a");
    desk.durable(V5_0, "b");
    let busy = Some(ReasonCode::SERVER_BUSY);
    assert_eq!(refused(&mut desk, Connect::new(V5_0, "c")), busy);
    desk.open(V5_0);
    assert!(desk.shard.open(desk.now, ListenerId(0), None).is_none());
    assert_eq!(desk.stats().connections_refused, 1);
    desk.cut(a);
    assert!(
        desk.durable(V5_0, "a").1,
        "a known session is always let in"
    );
}

#[test]
fn the_server_says_what_it_can() {
    let mut desk = Desk::with(|limits| {
        (limits.packet_size, limits.receive_maximum) = (5000, 17);
        (limits.topic_aliases, limits.session_expiry) = (9, 100);
    });
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SessionExpiryInterval, 500);
    let mut connect = Connect::new(V5_0, "c");
    connect.properties = properties.get();
    let conn = desk.connect(connect);
    let Got::ConnAck { properties, .. } = desk.take(conn) else {
        panic!("no CONNACK");
    };
    let said = |id| properties.get().number(id);
    assert_eq!(said(PropertyId::MaximumPacketSize), Some(5000));
    assert_eq!(said(PropertyId::ReceiveMaximum), Some(17));
    assert_eq!(said(PropertyId::TopicAliasMaximum), Some(9));
    assert_eq!(said(PropertyId::SessionExpiryInterval), Some(100));
    assert_eq!(said(PropertyId::SharedSubscriptionAvailable), None);
    assert_eq!(said(PropertyId::ServerKeepAlive), None);
}

#[test]
fn at_shutdown_all_are_told_and_closed() {
    let mut desk = Desk::new();
    let (old, new) = (desk.client(V3_1_1, "old"), desk.client(V5_0, "new"));
    let opened = desk.open(V5_0);
    desk.shard.shutdown(desk.now, &mut desk.out);
    desk.settle();
    for conn in [old, new, opened] {
        assert!(!desk.is_open(conn));
    }
    let said = Got::Disconnect(ReasonCode::SERVER_SHUTTING_DOWN);
    assert_eq!(
        (desk.take_all(new), desk.take_all(old)),
        (vec![said], vec![])
    );
    assert_eq!((desk.stats().connections, desk.stats().sessions), (0, 0));
    assert_eq!(desk.ended.len(), 2);
}

#[test]
fn a_client_can_be_sent_away_by_name() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    let reason = ReasonCode::ADMINISTRATIVE_ACTION;
    assert!(!desk.shard.disconnect("d", reason, desk.now, &mut desk.out));
    assert!(desk.shard.disconnect("c", reason, desk.now, &mut desk.out));
    desk.settle();
    assert_eq!(desk.take_all(conn), [Got::Disconnect(reason)]);
    assert!(!desk.shard.disconnect("c", reason, desk.now, &mut desk.out));
}

// [MQTT-3.2.2-8]
#[test]
fn a_refusal_with_a_code_of_another_packet_says_unspecified() {
    for reason in [ReasonCode::KEEP_ALIVE_TIMEOUT, ReasonCode::SUCCESS] {
        let mut desk = Desk::new();
        desk.admission = Some(Admission::Refuse(reason));
        let unspecified = Some(ReasonCode::UNSPECIFIED_ERROR);
        assert_eq!(refused(&mut desk, Connect::new(V5_0, "c")), unspecified);
    }
}

/// The server sends no reason strings and no user properties of its own, asked for or not.
// [MQTT-3.1.2-28] [MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.9.2-1] [MQTT-3.9.2-2]
// [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn a_client_that_declines_gets_answers_without_additions() {
    let mut desk = Desk::new();
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::RequestProblemInformation, 0);
    properties.push_number(PropertyId::RequestResponseInformation, 0);
    let mut connect = Connect::new(V5_0, "c");
    connect.properties = properties.get();
    let conn = desk.connect(connect);
    let Got::ConnAck { properties, .. } = desk.take(conn) else {
        panic!("no CONNACK");
    };
    for id in [
        PropertyId::ReasonString,
        PropertyId::UserProperty,
        PropertyId::ResponseInformation,
    ] {
        assert!(properties.get().get(id).is_none());
    }
    let mut answer = |bytes: &[u8]| {
        let (shard, out) = (&mut desk.shard, &mut desk.out);
        shard.handle_input(conn, desk.now, bytes, out);
        if let Some(ticket) = out.owed.take() {
            shard.complete(ticket, out);
        }
        let mut sent = Vec::new();
        shard.outbound(conn).unwrap().drain_into(&mut sent);
        sent
    };
    assert_eq!(
        answer(&[0x82, 7, 0, 1, 0, 0, 1, b'#', 9]),
        [0x90, 4, 0, 1, 0, 1]
    );
    assert_eq!(
        answer(&[0xA2, 6, 0, 2, 0, 0, 1, b'x']),
        [0xB0, 4, 0, 2, 0, 0x11]
    );
    assert_eq!(answer(&[0x62, 2, 0, 3]), [0x70, 3, 0, 3, 0x92]);
    assert_eq!(answer(&[0x50, 2, 0, 4]), [0x62, 3, 0, 4, 0x92]);
    assert_eq!(
        answer(&[0xA2, 6, 0, 5, 0, 0, 1, b'#']),
        [0xB0, 4, 0, 5, 0, 0]
    );
    let refused = answer(&[0x32, 6, 0, 1, b't', 0, 6, 0]);
    assert_eq!(refused, [0x40, 3, 0, 6, 0x10]);
    assert_eq!(answer(&[0xD0, 0]), [0xE0, 1, 0x82]);
}
