//! CONNACK waits for the session to be stored; and what is left of one that is not.

use super::hall::*;
use super::plain::subscriber;
use crate::broker::durable::NotStored;
use crate::broker::tests::desk::*;
use crate::codec::{Connect, Packet, Properties, PropertiesBuf, PropertyId, Will};
use crate::reason::ReasonCode;

// [MQTT-3.2.2-3] [MQTT-3.1.2-4]
#[test]
fn connack_waits_for_the_session_and_a_refused_one_lets_nobody_in() {
    let mut hall = Hall::new(1);
    let client = hall.connect(V5_0, "c", false, 100);
    hall.deliver_all();
    assert_eq!(hall.take(client), None);
    hall.commit(9, None);
    hall.deliver_all();
    assert!(!hall.connack(client));
    // A second one of the same client, refused.
    let other = hall.connect(V5_0, "c", true, 100);
    hall.commit(9, Some(NotStored::Failed));
    hall.deliver_all();
    let Some(Got::ConnAck { reason, .. }) = hall.take(other) else {
        panic!("no CONNACK");
    };
    assert_eq!(reason, ReasonCode::QUOTA_EXCEEDED);
    assert!(!hall.is_open(other) && !hall.is_open(client));
    // Who says more before CONNACK is out is not heard before.
    let third = hall.connect(V5_0, "c", false, 100);
    hall.send(
        third,
        crate::codec::Packet::Connect(crate::codec::Connect::new(V5_0, "c")),
    );
    assert_eq!(hall.take(third), None, "closed without a word");
    assert!(!hall.is_open(third));
    hall.check_books();
}

fn will<'a>(payload: &'a [u8], properties: Properties<'a>) -> Will<'a> {
    Will {
        topic: "will",
        payload,
        qos: Q1,
        retain: false,
        properties,
    }
}

/// A client is let in and then not, for the store refuses its session.
fn refused(hall: &mut Hall, client: u32) {
    hall.commit(9, Some(NotStored::Full));
    hall.deliver_all();
    let Some(Got::ConnAck { reason, .. }) = hall.take(client) else {
        panic!("no CONNACK");
    };
    assert_eq!(reason, ReasonCode::QUOTA_EXCEEDED);
    assert!(!hall.is_open(client));
}

// [MQTT-3.2.2-3]
#[test]
fn a_session_that_was_refused_when_it_was_new_is_gone_with_its_subscriptions_and_will() {
    let mut hall = Hall::new(2);
    let sub = subscriber(&mut hall, "sub", "#", Q1);
    for twice in [false, true] {
        let mut connect = Connect::new(V5_0, "new");
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::SessionExpiryInterval, 100);
        connect.clean_start = false;
        connect.properties = properties.get();
        connect.will = Some(will(b"nobody's", Properties::EMPTY));
        let mut client = 0;
        // Somebody who comes again before the first answer has no session either.
        for _ in 0..=u8::from(twice) {
            client = hall.open(hall.home_of("new"), V5_0);
            hall.send(client, Packet::Connect(connect));
            hall.subscribe(client, "a/#", Q1);
        }
        refused(&mut hall, client);
        hall.quiet();
        assert_eq!(hall.texts(sub), [""; 0]);
        let interested = |hall: &Hall| {
            hall.shards
                .iter()
                .map(|s| s.stats().subscriptions)
                .sum::<u64>()
        };
        assert_eq!((interested(&hall), hall.disk.sessions()), (1, 1));
        hall.check_books();
        let (client, present) = hall.durable(V5_0, "new");
        assert!(!present);
        hall.cut(client);
        let clean = hall.connect(V5_0, "new", true, 0);
        hall.quiet();
        assert!(!hall.connack(clean));
        hall.cut(clean);
        hall.quiet();
    }
}

// [MQTT-3.2.2-3] [MQTT-3.1.3-9]
#[test]
fn a_session_that_was_there_is_what_it_was_after_its_client_was_refused() {
    for here in [false, true] {
        let mut hall = Hall::new(2);
        let sub = subscriber(&mut hall, "sub", "will", Q1);
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::SessionExpiryInterval, 100);
        let mut delay = PropertiesBuf::default();
        delay.push_number(PropertyId::WillDelayInterval, 50);
        let mut connect = Connect::new(V5_0, "old");
        connect.properties = properties.get();
        connect.will = Some(will(b"late", delay.get()));
        let old = hall.open(hall.home_of("old"), V5_0);
        hall.send(old, Packet::Connect(connect));
        hall.subscribe(old, "a", Q1);
        hall.quiet();
        if !here {
            hall.cut(old);
            hall.quiet();
            hall.wait(20_000);
        }
        // Neither what it asks for, to end with its connection, nor that it was here counts.
        let other = hall.connect(V5_0, "old", false, 0);
        refused(&mut hall, other);
        hall.quiet();
        let left = if here { 50_000 } else { 30_000 };
        hall.wait(left - 1_000);
        hall.quiet();
        assert_eq!(hall.texts(sub), [""; 0]);
        hall.wait(2_000);
        hall.quiet();
        assert_eq!(hall.texts(sub), ["late"]);
        hall.wait(48_000);
        hall.quiet();
        assert_eq!(hall.disk.sessions(), 2);
        hall.wait(2_000);
        hall.quiet();
        assert_eq!(hall.disk.sessions(), 1);
        hall.check_books();
    }
}
