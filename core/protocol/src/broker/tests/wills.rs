//! Wills: when they are published, when they are not, and as what.

use super::desk::*;
use crate::broker::ConnId;
use crate::codec::{Connect, Disconnect, Packet, PropertiesBuf, PropertyId, Value, Will};
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;

/// A watcher for wills and a client with one: `delay` and `expiry` in seconds, MQTT 5.0.
fn with_will(
    desk: &mut Desk,
    version: ProtocolVersion,
    delay: u32,
    expiry: u32,
) -> (ConnId, ConnId) {
    let watcher = desk.client(V5_0, "watcher");
    desk.subscribe(watcher, "will/#", Q2);
    (watcher, client_with_will(desk, version, delay, expiry))
}

fn client_with_will(desk: &mut Desk, version: ProtocolVersion, delay: u32, expiry: u32) -> ConnId {
    let (mut properties, mut of_will) = (PropertiesBuf::default(), PropertiesBuf::default());
    if version.is_v5() {
        properties.push_number(PropertyId::SessionExpiryInterval, expiry);
        if delay > 0 {
            of_will.push_number(PropertyId::WillDelayInterval, delay);
        }
        of_will.push_number(PropertyId::MessageExpiryInterval, 100);
    }
    let mut connect = Connect::new(version, "c");
    connect.clean_start = expiry == 0;
    connect.keep_alive = 10;
    connect.properties = properties.get();
    connect.will = Some(Will {
        topic: "will/c",
        payload: b"gone",
        qos: Q1,
        retain: false,
        properties: of_will.get(),
    });
    let conn = desk.connect(connect);
    desk.connack(conn);
    conn
}

fn wills(desk: &mut Desk, watcher: ConnId) -> usize {
    let got = desk.messages(watcher);
    for will in &got {
        assert_eq!(
            (&*will.topic, will.text(), will.qos),
            ("will/c", "gone", Q1)
        );
        assert!(!will.retain);
        let properties = will.properties.get();
        assert!(properties.get(PropertyId::WillDelayInterval).is_none());
    }
    got.len()
}

// [MQTT-3.1.2-8] [MQTT-3.1.2-7] [MQTT-3.1.2-10] [MQTT-3.1.2-14] in MQTT 3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-16]
// 3.1.1 [MQTT-3.1.2-10]
#[test]
fn every_bad_end_publishes_it_once() {
    type End = fn(&mut Desk, ConnId);
    let ends: [(&str, End); 6] = [
        ("network", |desk, conn| desk.cut(conn)),
        ("keep alive", |desk, _| desk.wait(15_000)),
        ("protocol error", |desk, conn| desk.input(conn, &[0xD0, 0])),
        ("malformed", |desk, conn| desk.input(conn, &[0x36, 0])),
        ("taken over", |desk, _| {
            desk.client(V5_0, "c");
        }),
        ("sent away", |desk, _| {
            let reason = ReasonCode::ADMINISTRATIVE_ACTION;
            desk.shard.disconnect("c", reason, desk.now, &mut desk.out);
            desk.settle();
        }),
    ];
    for version in [V3_1, V3_1_1, V5_0] {
        for (name, end) in ends {
            for expiry in [0, 1000] {
                let mut desk = Desk::new();
                let (watcher, conn) = with_will(&mut desk, version, 0, expiry);
                end(&mut desk, conn);
                assert_eq!(wills(&mut desk, watcher), 1, "{name} {version} {expiry}");
                assert!(!desk.is_open(conn));
                desk.wait(10_000_000);
                assert_eq!(wills(&mut desk, watcher), 0, "{name} again");
                assert_eq!(desk.stats().wills, 1);
            }
        }
    }
}

// [MQTT-3.14.4-3] [MQTT-3.1.2-10] in MQTT 3.1.1 [MQTT-3.1.2-10] [MQTT-3.14.4-3]
#[test]
fn a_normal_disconnect_discards_it() {
    for version in [V3_1, V3_1_1, V5_0] {
        for expiry in [0, 10] {
            let mut desk = Desk::new();
            let (watcher, conn) = with_will(&mut desk, version, 0, expiry);
            desk.disconnect(conn, ReasonCode::NORMAL_DISCONNECTION);
            assert!(!desk.is_open(conn));
            desk.wait(10_000_000);
            assert_eq!(wills(&mut desk, watcher), 0);
        }
    }
}

#[test]
fn a_disconnect_with_will_publishes_it() {
    for reason in [
        ReasonCode::DISCONNECT_WITH_WILL,
        ReasonCode::UNSPECIFIED_ERROR,
    ] {
        let mut desk = Desk::new();
        let (watcher, conn) = with_will(&mut desk, V5_0, 0, 10);
        desk.disconnect(conn, reason);
        assert_eq!(wills(&mut desk, watcher), 1);
    }
}

// [MQTT-3.1.2-8]
#[test]
fn it_waits_for_its_delay_or_the_end_of_the_session() {
    for (delay, expiry, at) in [(20, 1000, 20), (20, 20, 20), (50, 30, 30), (50, 0, 0)] {
        let mut desk = Desk::new();
        let (watcher, conn) = with_will(&mut desk, V5_0, delay, expiry);
        desk.cut(conn);
        if at > 0 {
            desk.wait(at * 1000 - 1);
            assert_eq!(wills(&mut desk, watcher), 0, "{delay} {expiry}");
            desk.wait(1);
        }
        assert_eq!(wills(&mut desk, watcher), 1, "{delay} {expiry}");
        desk.wait(10_000_000);
        assert_eq!(wills(&mut desk, watcher), 0);
        assert_eq!(desk.stats().sessions, 1);
    }
}

// [MQTT-3.1.3-9]
#[test]
fn a_client_that_comes_back_in_time_cancels_it() {
    let mut desk = Desk::new();
    let (watcher, conn) = with_will(&mut desk, V5_0, 20, 1000);
    desk.cut(conn);
    desk.wait(19_999);
    let (conn, present) = desk.durable(V5_0, "c");
    assert!(present);
    desk.wait(1_000_000);
    assert_eq!(wills(&mut desk, watcher), 0);
    // Nor is the old will left for the next end.
    desk.cut(conn);
    desk.wait(1_000_000);
    assert_eq!(wills(&mut desk, watcher), 0);
}

// [MQTT-3.1.2-4] [MQTT-3.1.2-8]
#[test]
fn a_clean_start_ends_the_session_and_so_publishes_it() {
    let mut desk = Desk::new();
    let (watcher, conn) = with_will(&mut desk, V5_0, 20, 1000);
    desk.cut(conn);
    desk.wait(5_000);
    desk.client(V5_0, "c");
    assert_eq!(wills(&mut desk, watcher), 1);
}

#[test]
fn a_takeover_publishes_it_unless_it_waits() {
    for (delay, clean, expected) in [(0, false, 1), (20, false, 0), (20, true, 1)] {
        let mut desk = Desk::new();
        let (watcher, _) = with_will(&mut desk, V5_0, delay, 1000);
        if clean {
            desk.client(V5_0, "c");
        } else {
            assert!(desk.durable(V5_0, "c").1);
        }
        desk.wait(100_000_000);
        assert_eq!(wills(&mut desk, watcher), expected, "{delay} {clean}");
    }
}

// [MQTT-3.1.2-15] in MQTT 3.1.1 [MQTT-3.1.2-17]
#[test]
fn a_retained_will_is_kept() {
    let mut desk = Desk::new();
    let mut connect = Connect::new(V3_1_1, "c");
    connect.will = Some(Will {
        topic: "state",
        payload: b"offline",
        qos: Q1,
        retain: true,
        properties: Default::default(),
    });
    let conn = desk.connect(connect);
    desk.cut(conn);
    let late = desk.client(V5_0, "late");
    desk.subscribe(late, "state", Q1);
    let got = desk.messages(late);
    assert_eq!(
        (got[0].text(), got[0].retain, got[0].qos),
        ("offline", true, Q1)
    );
}

#[test]
fn its_expiry_counts_from_its_publication() {
    let mut desk = Desk::new();
    let (watcher, conn) = with_will(&mut desk, V5_0, 20, 1000);
    desk.cut(conn);
    desk.wait(20_000);
    let got = desk.messages(watcher);
    let left = got[0]
        .properties
        .get()
        .number(PropertyId::MessageExpiryInterval);
    assert_eq!(left, Some(100));
}

#[test]
fn it_goes_to_the_other_shards_too() {
    let mut desk = Desk::new();
    desk.shard.set_peers_interested(true);
    let conn = client_with_will(&mut desk, V3_1_1, 0, 0);
    desk.cut(conn);
    assert_eq!(desk.offered.len(), 1);
    assert_eq!(desk.offered[0].topic(), "will/c");
}

#[test]
fn shutting_down_publishes_it_to_those_still_there() {
    let mut desk = Desk::new();
    let (watcher, _) = with_will(&mut desk, V5_0, 0, 1000);
    desk.shard.shutdown(desk.now, &mut desk.out);
    desk.settle();
    let got = desk.take_all(watcher);
    assert!(
        matches!(&got[..], [Got::Publish(_), Got::Disconnect(_)]),
        "{got:?}"
    );
}

#[test]
fn session_expiry_in_disconnect_moves_the_end() {
    let mut desk = Desk::new();
    let (watcher, conn) = with_will(&mut desk, V5_0, 500, 1000);
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SessionExpiryInterval, 3);
    desk.send(
        conn,
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::DISCONNECT_WITH_WILL,
            properties: properties.get(),
        }),
    );
    desk.wait(2_999);
    assert_eq!((wills(&mut desk, watcher), desk.stats().sessions), (0, 2));
    desk.wait(1);
    assert_eq!((wills(&mut desk, watcher), desk.stats().sessions), (1, 1));
    // From 0 it can't be raised.
    let conn = client_with_will(&mut desk, V5_0, 0, 0);
    desk.send(
        conn,
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties: properties.get(),
        }),
    );
    assert_eq!(
        desk.take_all(conn),
        [Got::Disconnect(ReasonCode::PROTOCOL_ERROR)]
    );
    assert_eq!(wills(&mut desk, watcher), 1);
}

// [MQTT-3.1.3-9]
#[test]
fn one_whose_delay_is_over_is_published_though_its_client_comes_before_the_timers() {
    for (late, count) in [(4_999, 0), (5_000, 1)] {
        let mut desk = Desk::new();
        let (watcher, conn) = with_will(&mut desk, V5_0, 5, 1000);
        desk.cut(conn);
        desk.now = desk.now.after(late);
        assert!(desk.durable(V5_0, "c").1);
        desk.wait(0);
        assert_eq!(wills(&mut desk, watcher), count);
    }
}

// [MQTT-3.1.3-10]
#[test]
fn its_user_properties_keep_their_order() {
    let mut desk = Desk::new();
    let watcher = desk.client(V5_0, "watcher");
    desk.subscribe(watcher, "will", Q1);
    let pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")];
    let mut properties = PropertiesBuf::default();
    for (name, value) in pairs {
        let pair = Value::Utf8StringPair(name, value);
        properties.push(PropertyId::UserProperty, pair).unwrap();
    }
    let mut connect = Connect::new(V5_0, "c");
    connect.will = Some(Will {
        topic: "will",
        payload: b"gone",
        qos: Q0,
        retain: false,
        properties: properties.get(),
    });
    let conn = desk.connect(connect);
    desk.cut(conn);
    let got = desk.messages(watcher);
    let sent: Vec<_> = got[0].properties.get().user_properties().collect();
    assert_eq!(sent, pairs);
}

// [MQTT-3.1.2-7] in MQTT 3.1.1 [MQTT-3.1.2-12]
#[test]
fn a_connection_without_one_leaves_none_even_if_the_last_had_one() {
    for version in [V3_1, V3_1_1, V5_0] {
        let mut desk = Desk::new();
        let (watcher, conn) = with_will(&mut desk, version, 0, 1000);
        desk.disconnect(conn, ReasonCode::NORMAL_DISCONNECTION);
        let (conn, present) = desk.durable(version, "c");
        assert!(present || version == V3_1);
        desk.cut(conn);
        desk.wait(10_000_000);
        assert_eq!(wills(&mut desk, watcher), 0);
    }
}
