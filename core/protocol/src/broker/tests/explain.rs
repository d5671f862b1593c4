//! Reason Strings: where they stand, and where they don't.

use super::desk::{Desk, Got, Q1, Q2, V3_1_1, V5_0};
use crate::broker::{Admission, ConnId};
use crate::codec::{
    Ack, Connect, Packet, PacketType, PropertiesBuf, PropertyId, Unsubscribe, Value,
};
use crate::reason::ReasonCode;

/// A CONNECT with these numbers as properties.
fn connect_with(desk: &mut Desk, numbers: &[(PropertyId, u32)]) -> ConnId {
    let mut properties = PropertiesBuf::default();
    for (id, number) in numbers {
        properties.push_number(*id, *number);
    }
    let mut connect = Connect::new(V5_0, "c");
    connect.properties = properties.get();
    desk.connect(connect)
}

/// One failure of each kind that leaves the connection open.
fn fail_softly(desk: &mut Desk, conn: ConnId) {
    assert_eq!(desk.subscribe(conn, "a#", Q1), 0x8F);
    assert_eq!(desk.unsubscribe(conn, &["a#"]), [0x8F]);
    desk.ack(conn, PacketType::PubRec, 77);
    desk.ack(conn, PacketType::PubRel, 78);
}

const SOFT: [PacketType; 4] = [
    PacketType::SubAck,
    PacketType::UnsubAck,
    PacketType::PubRel,
    PacketType::PubComp,
];

#[test]
fn each_failure_is_explained() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    fail_softly(&mut desk, conn);
    desk.input(conn, &[0x10, 0]);
    let kinds: Vec<PacketType> = desk.said.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [&SOFT[..], &[PacketType::Disconnect]].concat());
    assert!(desk.said.iter().all(|(_, text)| text.len() > 10));
    desk.admission = Some(Admission::Refuse(ReasonCode::NOT_AUTHORIZED));
    desk.connect(Connect::new(V5_0, "d"));
    let (kind, text) = desk.said.pop().unwrap();
    assert_eq!(kind, PacketType::ConnAck);
    assert!(text.contains("does not let"), "{text}");
}

#[test]
fn successes_and_older_clients_get_no_reason_string() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    assert_eq!(desk.subscribe(conn, "a", Q2), 2);
    desk.publish(conn, "b", "", Q1, 1);
    desk.publish(conn, "b", "", Q2, 1);
    desk.ack(conn, PacketType::PubRel, 1);
    desk.take_all(conn);
    assert_eq!(desk.unsubscribe(conn, &["a", "x"]), [0, 0x11]);
    desk.disconnect(conn, ReasonCode::NORMAL_DISCONNECTION);
    let old = desk.client(V3_1_1, "old");
    assert_eq!(desk.subscribe(old, "a#", Q1), 0x80);
    desk.ack(old, PacketType::PubRel, 78);
    assert_eq!(desk.said, []);
}

// [MQTT-3.1.2-29]
#[test]
fn a_client_that_declined_gets_no_reason_string() {
    let mut desk = Desk::new();
    let conn = connect_with(&mut desk, &[(PropertyId::RequestProblemInformation, 0)]);
    desk.connack(conn);
    fail_softly(&mut desk, conn);
    desk.input(conn, &[0x10, 0]);
    assert!(matches!(
        desk.take_all(conn).last(),
        Some(Got::Disconnect(_))
    ));
    desk.admission = Some(Admission::Refuse(ReasonCode::NOT_AUTHORIZED));
    connect_with(&mut desk, &[(PropertyId::RequestProblemInformation, 0)]);
    assert_eq!(desk.said, []);
    // Saying 1 is the same as saying nothing.
    connect_with(&mut desk, &[(PropertyId::RequestProblemInformation, 1)]);
    assert_eq!(desk.said.len(), 1);
}

// [MQTT-3.2.2-19] [MQTT-3.9.2-1] [MQTT-3.11.2-1] [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.14.2-3]
#[test]
fn a_reason_string_that_does_not_fit_is_left_out() {
    let mut desk = Desk::new();
    let conn = connect_with(&mut desk, &[(PropertyId::MaximumPacketSize, 20)]);
    desk.connack(conn);
    fail_softly(&mut desk, conn);
    let kinds = desk.take_all(conn);
    assert!(
        matches!(
            kinds[..],
            [
                Got::Ack(PacketType::PubRel, 77, ReasonCode(0x92)),
                Got::Ack(PacketType::PubComp, 78, ReasonCode(0x92))
            ]
        ),
        "{kinds:?}"
    );
    desk.input(conn, &[0x10, 0]);
    assert_eq!(
        desk.take(conn),
        Got::Disconnect(ReasonCode::MALFORMED_PACKET)
    );
    desk.admission = Some(Admission::Refuse(ReasonCode::NOT_AUTHORIZED));
    let refused = connect_with(&mut desk, &[(PropertyId::MaximumPacketSize, 20)]);
    assert!(matches!(
        desk.take(refused),
        Got::ConnAck {
            reason: ReasonCode::NOT_AUTHORIZED,
            ..
        }
    ));
    assert_eq!(desk.said, []);
}

/// A CONNECT that is refused before anybody was asked has said what the client takes too.
#[test]
fn a_broken_connect_is_answered_within_what_it_declared() {
    for (declined, said) in [(0, 0), (1, 1)] {
        let mut desk = Desk::with(|limits| limits.auth_data = 1);
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::RequestProblemInformation, declined);
        let method = Value::Utf8String("unknown");
        properties
            .push(PropertyId::AuthenticationMethod, method)
            .unwrap();
        let data = Value::BinaryData(b"too long");
        properties
            .push(PropertyId::AuthenticationData, data)
            .unwrap();
        let mut connect = Connect::new(V5_0, "c");
        connect.properties = properties.get();
        let conn = desk.connect(connect);
        assert!(matches!(
            desk.take(conn),
            Got::ConnAck {
                reason: ReasonCode::QUOTA_EXCEEDED,
                ..
            }
        ));
        assert_eq!(desk.said.len(), said);
    }
}

/// The same where it can't even be read: by its properties, if it is not broken in front of them.
// [MQTT-3.2.2-19]
#[test]
fn a_connect_that_cannot_be_read_is_answered_within_what_it_declared() {
    // Properties: their length and a Maximum Packet Size, or what is no property.
    for (properties, said) in [
        (&b"\x05\x27\x00\x00\x00\x14"[..], 0),
        (b"\x05\x27\x00\x00\x03\xe8", 1),
        (b"\x02\x17\x00", 0),
        (b"\x00", 1),
        (b"\x01\x7f", 0),
    ] {
        let body = [b"\0\x04MQTT\x05\x02\0\0", properties, b"\0\x01\xff"].concat();
        let mut desk = Desk::new();
        let conn = desk.open(V5_0);
        desk.input(conn, &[&[0x10, body.len() as u8], &body[..]].concat());
        let Got::ConnAck { reason, .. } = desk.take(conn) else {
            panic!("no CONNACK");
        };
        assert_eq!(reason, ReasonCode::MALFORMED_PACKET);
        assert_eq!(desk.said.len(), said, "{properties:x?}");
    }
}

/// The text of a SUBACK is about the first filter that failed.
#[test]
fn many_failures_are_explained_once() {
    let mut desk = Desk::new();
    let conn = desk.client(V5_0, "c");
    let filters: Vec<&str> = vec!["a#"; 100];
    let packet = Unsubscribe::new(1, crate::codec::Properties::EMPTY, &filters);
    desk.send(conn, Packet::Unsubscribe(packet));
    assert_eq!(desk.said.len(), 1);
    let ack = Ack::new(3, ReasonCode::SUCCESS);
    desk.send(conn, Packet::PubRel(ack));
    assert_eq!(desk.said.len(), 2);
}

/// Where to go instead is worth more than words, and both stand back before the packet that is too
/// large.
// [MQTT-3.1.2-24]
#[test]
fn a_server_reference_is_told_where_it_may_stand_and_fits() {
    let moved = [ReasonCode::USE_ANOTHER_SERVER, ReasonCode::SERVER_MOVED];
    for (reason, most, place, words) in [
        (moved[0], None, true, true),
        (moved[1], Some(40), true, false),
        (moved[1], Some(12), false, false),
        (ReasonCode::SERVER_BUSY, None, false, true),
    ] {
        let mut desk = Desk::new();
        desk.shard
            .set_server_reference(Some("other.example:1883".into()));
        let limit = most.map(|most| (PropertyId::MaximumPacketSize, most));
        desk.admission = Some(Admission::Refuse(reason));
        let refused = connect_with(&mut desk, limit.as_slice());
        let Got::ConnAck {
            reason: code,
            properties,
            ..
        } = desk.take(refused)
        else {
            panic!("no CONNACK");
        };
        let told = properties.get().get(PropertyId::ServerReference);
        let wanted = place.then_some(Value::Utf8String("other.example:1883"));
        assert_eq!(
            (code, told, desk.said.len()),
            (reason, wanted, usize::from(words))
        );
    }
}

#[test]
fn a_client_that_is_let_go_leaves_its_session_and_is_no_error() {
    let mut desk = Desk::new();
    let (conn, _) = desk.durable(V5_0, "c");
    let stats = desk.shard.stats();
    assert_eq!(
        (stats.connected, desk.shard.connected_client(conn)),
        (1, Some("c"))
    );
    let Desk {
        shard, out, now, ..
    } = &mut desk;
    shard.end_connection(conn, ReasonCode::USE_ANOTHER_SERVER, *now, out);
    desk.settle();
    assert_eq!(
        desk.take(conn),
        Got::Disconnect(ReasonCode::USE_ANOTHER_SERVER)
    );
    let stats = desk.shard.stats();
    assert_eq!(
        (stats.connected, stats.sessions, stats.peer_errors),
        (0, 1, 0)
    );
    assert!(desk.durable(V5_0, "c").1);
}
