//! Enhanced authentication (3.15, 4.12), with the test in the place of the driver that knows a method.

use super::desk::*;
use crate::broker::{Admission, AuthAnswer, ConnId};
use crate::codec::{
    Auth, Connect, Disconnect, Packet, PacketType, PropertiesBuf, PropertyId, Publish, Value,
};
use crate::reason::ReasonCode;

const CONTINUE: ReasonCode = ReasonCode::CONTINUE_AUTHENTICATION;
const AGAIN: ReasonCode = ReasonCode::RE_AUTHENTICATE;
const BROKEN: ReasonCode = ReasonCode::PROTOCOL_ERROR;

fn properties(method: &str, data: &[u8]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    let method = Value::Utf8String(method);
    properties
        .push(PropertyId::AuthenticationMethod, method)
        .unwrap();
    if !data.is_empty() {
        let data = Value::BinaryData(data);
        properties
            .push(PropertyId::AuthenticationData, data)
            .unwrap();
    }
    properties
}

fn auth_bytes(reason: ReasonCode, method: &str, data: &[u8]) -> Vec<u8> {
    let (all, mut bytes) = (properties(method, data), Vec::new());
    let properties = all.get();
    let packet = Packet::Auth(Auth { reason, properties });
    packet.encode(V5_0, &mut bytes).unwrap();
    bytes
}

/// A client has sent CONNECT with method "m" and data "first".
fn begun(desk: &mut Desk, client_id: &str) -> ConnId {
    let all = properties("m", b"first");
    let mut connect = Connect::new(V5_0, client_id);
    connect.properties = all.get();
    desk.connect(connect)
}

/// The same client has been asked for more.
fn asked(desk: &mut Desk, client_id: &str) -> ConnId {
    let conn = begun(desk, client_id);
    desk.asked.clear();
    desk.authenticate(conn, AuthAnswer::Continue(Box::from(*b"more")));
    desk.take_all(conn);
    conn
}

/// The same client is connected as user "u", by an exchange of one step.
fn connected(desk: &mut Desk, client_id: &str) -> ConnId {
    let conn = begun(desk, client_id);
    desk.asked.clear();
    desk.authenticate(conn, success(b""));
    desk.connack(conn);
    conn
}

fn success(data: &[u8]) -> AuthAnswer {
    AuthAnswer::Success {
        user: "u".into(),
        data: data.into(),
    }
}

fn refused(desk: &mut Desk, conn: ConnId) -> ReasonCode {
    let got = desk.take_all(conn);
    let [
        Got::ConnAck {
            present, reason, ..
        },
    ] = &got[..]
    else {
        panic!("not a refusal alone: {got:?}");
    };
    assert!(!present && reason.is_error() && !desk.is_open(conn));
    *reason
}

// [MQTT-4.12.0-2] [MQTT-4.12.0-5] [MQTT-3.2.0-1]
#[test]
fn the_exchange_goes_to_and_fro_until_connack_says_the_last_word() {
    let mut desk = Desk::new();
    let conn = begun(&mut desk, "c");
    let request = desk.asked.pop().unwrap();
    assert!(request.begins && request.user.is_none());
    assert_eq!((&*request.method, &*request.data), ("m", &b"first"[..]));
    assert!(!format!("{request:?}").contains("first"), "data in logs");
    for step in [&b"1"[..], b"2"] {
        assert!(desk.got(conn).is_empty());
        desk.authenticate(conn, AuthAnswer::Continue(step.into()));
        assert_eq!(desk.take(conn), Got::Auth(CONTINUE, properties("m", step)));
        desk.input(conn, &auth_bytes(CONTINUE, "m", step));
        let request = desk.asked.pop().unwrap();
        assert_eq!((request.begins, &*request.data), (false, step));
    }
    assert_eq!(desk.stats().sessions, 0);
    desk.authenticate(conn, success(b"bye"));
    let Got::ConnAck {
        reason, properties, ..
    } = desk.take(conn)
    else {
        panic!("no CONNACK");
    };
    assert_eq!(reason, ReasonCode::SUCCESS);
    let said = properties.get();
    assert_eq!(said.text(PropertyId::AuthenticationMethod), Some("m"));
    assert_eq!(
        said.binary(PropertyId::AuthenticationData),
        Some(&b"bye"[..])
    );
    assert_eq!(
        (desk.stats().authentications, desk.stats().sessions),
        (1, 1)
    );
    assert!(desk.got(conn).is_empty() && desk.is_open(conn));
}

// [MQTT-4.12.0-6]
#[test]
fn without_a_method_there_is_neither_auth_nor_a_method_in_connack() {
    let mut desk = Desk::new();
    let conn = desk.connect(Connect::new(V5_0, "c"));
    let Got::ConnAck { properties, .. } = desk.take(conn) else {
        panic!("no CONNACK");
    };
    let said = properties.get();
    assert!(said.get(PropertyId::AuthenticationMethod).is_none());
    assert!(said.get(PropertyId::AuthenticationData).is_none());
    assert!(desk.asked.is_empty());
    // Nobody asked, so the answer is none.
    desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
    assert!(desk.got(conn).is_empty());
}

// [MQTT-4.12.0-1] [MQTT-4.12.0-4] [MQTT-3.1.4-2] [MQTT-3.1.4-6]
#[test]
fn who_does_not_authenticate_is_told_so_and_closed_at_every_step() {
    let reasons = [
        (ReasonCode::BAD_AUTHENTICATION_METHOD, 0x8C),
        (ReasonCode::NOT_AUTHORIZED, 0x87),
        // None that CONNACK may carry.
        (ReasonCode::SUCCESS, 0x80),
        (ReasonCode::KEEP_ALIVE_TIMEOUT, 0x80),
    ];
    for (reason, said) in reasons {
        for steps in 0..2 {
            let mut desk = Desk::new();
            let watcher = desk.client(V5_0, "w");
            desk.subscribe(watcher, "#", Q0);
            let conn = match steps {
                0 => begun(&mut desk, "c"),
                _ => asked(&mut desk, "c"),
            };
            if steps > 0 {
                desk.input(conn, &auth_bytes(CONTINUE, "m", b"x"));
            }
            let mut behind = Vec::new();
            let publish = Packet::Publish(Publish::new("t", b"x"));
            publish.encode(V5_0, &mut behind).unwrap();
            desk.input(conn, &behind);
            desk.authenticate(conn, AuthAnswer::Failure(reason));
            assert_eq!(refused(&mut desk, conn), ReasonCode(said));
            assert!(desk.got(watcher).is_empty());
            let stats = desk.stats();
            assert_eq!((stats.sessions, stats.authentications_failed), (1, 1));
        }
    }
}

// [MQTT-3.1.2-30] [MQTT-4.12.0-5] [MQTT-3.15.1-1] [MQTT-3.15.2-1]
#[test]
fn whatever_else_comes_in_an_exchange_before_connack_ends_it() {
    let publish = [0x30, 4, 0, 1, b't', 0];
    let mut flags = auth_bytes(CONTINUE, "m", b"x");
    flags[0] |= 1;
    let mut success = auth_bytes(CONTINUE, "m", b"x");
    success[2] = 0x01;
    let cases: [(&[u8], u8); 12] = [
        (&publish, 0x82),
        (&[0xC0, 0], 0x82),
        (&[0x82, 7, 0, 1, 0, 0, 1, b'#', 0], 0x82),
        (
            &[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 0],
            0x82,
        ),
        (&auth_bytes(CONTINUE, "other", b"x"), 0x82),
        (&auth_bytes(AGAIN, "m", b"x"), 0x82),
        (&auth_bytes(ReasonCode::SUCCESS, "m", b"x"), 0x82),
        (&[0xF0, 0], 0x82),
        (&[0xF0, 2, 0x18, 0], 0x82),
        (&flags, 0x81),
        (&success, 0x82),
        (&[0xF0, 1, 0x18], 0x81),
    ];
    for (bytes, reason) in cases {
        let mut desk = Desk::new();
        let conn = asked(&mut desk, "c");
        desk.input(conn, bytes);
        assert_eq!(refused(&mut desk, conn), ReasonCode(reason), "{bytes:02x?}");
        assert!(desk.asked.is_empty());
        assert_eq!(desk.stats().connections, 0);
    }
}

#[test]
fn a_client_may_leave_in_the_middle_by_disconnect_or_without_a_word() {
    let mut desk = Desk::new();
    let conn = asked(&mut desk, "c");
    desk.send(
        conn,
        Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)),
    );
    assert!(!desk.is_open(conn) && desk.take_all(conn).is_empty());
    let conn = begun(&mut desk, "c");
    desk.cut(conn);
    // The answer comes late, and to nobody.
    desk.authenticate(conn, success(b""));
    assert_eq!((desk.stats().connections, desk.stats().sessions), (0, 0));
    assert_eq!(desk.stats().authentications, 0);
}

#[test]
fn the_connect_timeout_bounds_the_whole_exchange() {
    let mut desk = Desk::with(|limits| limits.connect_timeout_ms = 1000);
    let conn = begun(&mut desk, "c");
    for _ in 0..9 {
        desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
        desk.wait(100);
        desk.input(conn, &auth_bytes(CONTINUE, "m", b"x"));
        assert!(desk.is_open(conn));
    }
    desk.wait(100);
    assert!(!desk.is_open(conn));
    assert_eq!((desk.stats().timeouts, desk.stats().connections), (1, 0));
    let conn = asked(&mut desk, "d");
    desk.wait(1000);
    assert!(!desk.is_open(conn));
}

#[test]
fn an_answer_ahead_of_its_question_waits_and_what_follows_waits_for_the_next() {
    let mut desk = Desk::new();
    let conn = begun(&mut desk, "c");
    let mut bytes = auth_bytes(CONTINUE, "m", b"early");
    bytes.extend([0xC0, 0]);
    desk.input(conn, &bytes);
    assert_eq!(desk.asked.len(), 1);
    desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
    assert_eq!(&*desk.asked.pop().unwrap().data, b"early");
    desk.authenticate(conn, success(b""));
    assert!(matches!(desk.take(conn), Got::Auth(..)));
    desk.connack(conn);
    assert_eq!(desk.take_all(conn), [Got::PingResp]);
}

#[test]
fn nobody_gets_in_or_moves_before_the_exchange_is_over() {
    let mut desk = Desk::new();
    let conn = begun(&mut desk, "c");
    for _ in 0..2 {
        desk.shard
            .admit(conn, desk.now, Admission::Accept, &mut desk.out);
        assert!(desk.shard.release(conn).is_none());
        desk.settle();
        assert_eq!(desk.stats().sessions, 0);
        desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
    }
    assert!(desk.is_open(conn));
}

#[test]
fn the_last_words_move_to_another_shard_and_so_does_the_method() {
    let (mut from, mut to) = (Desk::new(), Desk::new());
    let conn = begun(&mut from, "c");
    from.admission = None;
    from.authenticate(conn, success(b"bye"));
    let request = from.out.admissions.pop().unwrap();
    assert!(request.authenticated && request.password.is_none());
    assert_eq!(request.user_name.as_deref(), Some("u"));
    let parked = from.shard.release(conn).unwrap();
    let conn = to.shard.adopt(to.now, parked).unwrap();
    to.add_line(conn, V5_0);
    to.shard.admit(conn, to.now, Admission::Accept, &mut to.out);
    to.settle();
    let Got::ConnAck { properties, .. } = to.take(conn) else {
        panic!("no CONNACK");
    };
    let said = properties.get();
    assert_eq!(said.text(PropertyId::AuthenticationMethod), Some("m"));
    let data = said.binary(PropertyId::AuthenticationData);
    assert_eq!(data, Some(&b"bye"[..]));
    to.input(conn, &auth_bytes(AGAIN, "m", b""));
    assert_eq!(to.asked.pop().unwrap().user.as_deref(), Some("u"));
}

#[test]
fn the_session_stays_with_its_client_until_another_has_authenticated() {
    let mut desk = Desk::new();
    let old = desk.client(V5_0, "c");
    let thief = begun(&mut desk, "c");
    desk.authenticate(thief, AuthAnswer::Failure(ReasonCode::NOT_AUTHORIZED));
    assert!(desk.is_open(old) && desk.got(old).is_empty());
    let new = asked(&mut desk, "c");
    assert!(desk.is_open(old));
    desk.input(new, &auth_bytes(CONTINUE, "m", b"x"));
    desk.authenticate(new, success(b""));
    let taken = Got::Disconnect(ReasonCode::SESSION_TAKEN_OVER);
    assert_eq!(desk.take_all(old), [taken]);
    desk.connack(new);
}

#[test]
fn data_is_taken_up_to_its_limit() {
    let mut desk = Desk::with(|limits| limits.auth_data = 5);
    let reason = ReasonCode::QUOTA_EXCEEDED;
    let conn = begun(&mut desk, "fits");
    desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
    desk.take_all(conn);
    desk.input(conn, &auth_bytes(CONTINUE, "m", b"123456"));
    assert_eq!(refused(&mut desk, conn), reason);
    let all = properties("m", b"123456");
    let mut connect = Connect::new(V5_0, "c");
    connect.properties = all.get();
    let conn = desk.connect(connect);
    assert_eq!(refused(&mut desk, conn), reason);
    let conn = connected(&mut desk, "c");
    desk.input(conn, &auth_bytes(AGAIN, "m", b"123456"));
    assert_eq!(desk.take_all(conn), [Got::Disconnect(reason)]);
}

/// AUTH packets carry neither reason strings nor user properties, so they can't make one too large.
// [MQTT-3.1.2-24] [MQTT-3.15.2-2] [MQTT-3.15.2-3]
#[test]
fn a_client_that_takes_no_auth_of_that_size_is_refused() {
    for (most, fits) in [(40, true), (14, true), (13, false)] {
        let mut desk = Desk::new();
        let mut all = properties("m", b"first");
        all.push_number(PropertyId::MaximumPacketSize, most);
        let mut connect = Connect::new(V5_0, "c");
        connect.properties = all.get();
        let conn = desk.connect(connect);
        desk.authenticate(conn, AuthAnswer::Continue(Box::from(*b"abc")));
        if fits {
            let got = Got::Auth(CONTINUE, properties("m", b"abc"));
            assert_eq!(desk.take_all(conn), [got], "{most}");
        } else {
            let reason = ReasonCode::UNSPECIFIED_ERROR;
            assert_eq!(refused(&mut desk, conn), reason);
        }
    }
}

// [MQTT-4.12.1-1] [MQTT-4.12.0-5] [MQTT-4.12.0-2]
#[test]
fn a_connected_client_authenticates_anew_while_messages_flow() {
    let mut desk = Desk::new();
    let conn = connected(&mut desk, "c");
    let sender = desk.client(V5_0, "s");
    desk.subscribe(conn, "t", Q2);
    desk.publish(sender, "t", "before", Q2, 1);
    desk.take_all(sender);
    desk.publish(conn, "u", "mine", Q2, 7);
    let received = PacketType::PubRec;
    let mut got = desk.take_all(conn);
    let Got::Publish(before) = got.remove(0) else {
        panic!("no PUBLISH");
    };
    assert!(matches!(got[..], [Got::Ack(PacketType::PubRec, 7, _)]));
    desk.input(conn, &auth_bytes(AGAIN, "m", b"a"));
    let request = desk.asked.pop().unwrap();
    assert!(request.begins);
    assert_eq!(
        (&*request.data, request.user.as_deref()),
        (&b"a"[..], Some("u"))
    );
    // Everything else goes on, whoever's turn it is.
    desk.ack(conn, received, before.id);
    assert!(matches!(desk.take(conn), Got::Ack(PacketType::PubRel, ..)));
    desk.authenticate(conn, AuthAnswer::Continue(Box::from(*b"b")));
    assert_eq!(desk.take(conn), Got::Auth(CONTINUE, properties("m", b"b")));
    desk.publish(sender, "t", "between", Q1, 2);
    assert_eq!(desk.texts(conn), ["between"]);
    desk.ack(conn, PacketType::PubRel, 7);
    assert!(matches!(
        desk.take(conn),
        Got::Ack(PacketType::PubComp, 7, _)
    ));
    desk.input(conn, &auth_bytes(CONTINUE, "m", b"c"));
    assert!(!desk.asked.pop().unwrap().begins);
    desk.authenticate(conn, success(b"d"));
    let done = Got::Auth(ReasonCode::SUCCESS, properties("m", b"d"));
    assert_eq!(desk.take_all(conn), [done]);
    desk.ack(conn, PacketType::PubComp, before.id);
    assert!(desk.is_open(conn) && desk.stats().authentications == 2);
    // And once more.
    desk.input(conn, &auth_bytes(AGAIN, "m", b""));
    assert_eq!(desk.asked.len(), 1);
    desk.check_books();
}

// [MQTT-4.12.1-2]
#[test]
fn a_failed_reauthentication_ends_the_connection_and_not_the_session() {
    for (reason, said) in [
        (ReasonCode::NOT_AUTHORIZED, 0x87),
        (ReasonCode::BANNED, 0x87),
    ] {
        let mut desk = Desk::new();
        let mut all = properties("m", b"first");
        all.push_number(PropertyId::SessionExpiryInterval, 100);
        let mut connect = Connect::new(V5_0, "c");
        connect.properties = all.get();
        let conn = desk.connect(connect);
        desk.authenticate(conn, success(b""));
        desk.connack(conn);
        desk.input(conn, &auth_bytes(AGAIN, "m", b"x"));
        desk.authenticate(conn, AuthAnswer::Failure(reason));
        assert_eq!(desk.take_all(conn), [Got::Disconnect(ReasonCode(said))]);
        assert!(!desk.is_open(conn));
        let stats = desk.stats();
        assert_eq!((stats.sessions, stats.authentications_failed), (1, 1));
    }
}

// [MQTT-4.12.0-5] [MQTT-4.12.0-7] [MQTT-4.12.1-1] [MQTT-3.15.1-1] [MQTT-3.15.2-1]
#[test]
fn auth_out_of_turn_ends_an_accepted_connection() {
    type Enter = fn(&mut Desk) -> ConnId;
    let none: Enter = |desk| desk.client(V5_0, "c");
    let idle: Enter = |desk| connected(desk, "c");
    let driver: Enter = |desk| {
        let conn = connected(desk, "c");
        desk.input(conn, &auth_bytes(AGAIN, "m", b"x"));
        desk.asked.clear();
        conn
    };
    let client: Enter = |desk| {
        let conn = connected(desk, "c");
        desk.input(conn, &auth_bytes(AGAIN, "m", b"x"));
        desk.asked.clear();
        desk.authenticate(conn, AuthAnswer::Continue(Box::default()));
        desk.take_all(conn);
        conn
    };
    let mut flags = auth_bytes(AGAIN, "m", b"x");
    flags[0] |= 8;
    let mut unknown = auth_bytes(AGAIN, "m", b"x");
    unknown[2] = 0x87;
    let malformed = ReasonCode::MALFORMED_PACKET;
    let cases: [(Enter, Vec<u8>, ReasonCode); 14] = [
        (none, auth_bytes(AGAIN, "m", b""), BROKEN),
        (none, auth_bytes(CONTINUE, "m", b""), BROKEN),
        (none, vec![0xF0, 0], BROKEN),
        (idle, auth_bytes(AGAIN, "other", b""), BROKEN),
        (idle, auth_bytes(CONTINUE, "m", b""), BROKEN),
        (idle, auth_bytes(ReasonCode::SUCCESS, "m", b""), BROKEN),
        (idle, vec![0xF0, 0], BROKEN),
        (idle, flags, malformed),
        (idle, unknown, BROKEN),
        (driver, auth_bytes(AGAIN, "m", b""), BROKEN),
        (driver, auth_bytes(CONTINUE, "m", b""), BROKEN),
        (client, auth_bytes(AGAIN, "m", b""), BROKEN),
        (client, auth_bytes(CONTINUE, "M", b""), BROKEN),
        (client, auth_bytes(ReasonCode::SUCCESS, "m", b""), BROKEN),
    ];
    for (at, (enter, bytes, reason)) in cases.into_iter().enumerate() {
        let mut desk = Desk::new();
        let conn = enter(&mut desk);
        desk.input(conn, &bytes);
        assert_eq!(desk.take_all(conn), [Got::Disconnect(reason)], "{at}");
        assert!(!desk.is_open(conn) && desk.asked.is_empty());
        // What the driver answers now is for nobody.
        desk.authenticate(conn, success(b""));
        assert!(desk.out.is_empty());
    }
}

#[test]
fn a_client_before_mqtt_5_has_no_auth() {
    for version in [V3_1, V3_1_1] {
        let mut desk = Desk::new();
        let conn = desk.client(version, "c");
        desk.input(conn, &auth_bytes(AGAIN, "m", b""));
        assert!(!desk.is_open(conn) && desk.take_all(conn).is_empty());
    }
}

#[test]
fn a_shutdown_ends_an_exchange_too() {
    let mut desk = Desk::new();
    let (one, two) = (begun(&mut desk, "a"), asked(&mut desk, "b"));
    desk.shard.shutdown(desk.now, &mut desk.out);
    desk.settle();
    assert!(!desk.is_open(one) && !desk.is_open(two));
    assert!(desk.take_all(one).is_empty() && desk.take_all(two).is_empty());
    assert_eq!(desk.stats().connections, 0);
}

/// What a client says does not change when the network cuts it elsewhere.
#[test]
fn an_exchange_may_come_in_single_bytes() {
    let mut desk = Desk::new();
    let conn = asked(&mut desk, "c");
    for byte in auth_bytes(CONTINUE, "m", b"x") {
        assert!(desk.asked.is_empty());
        desk.input(conn, &[byte]);
    }
    assert_eq!(&*desk.asked.pop().unwrap().data, b"x");
    desk.authenticate(conn, success(b""));
    desk.connack(conn);
}
