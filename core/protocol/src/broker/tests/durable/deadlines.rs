//! Deadlines of who was there when the power failed.

use super::hall::*;
use super::plain::subscriber;
use crate::broker::tests::desk::*;
use crate::codec::{Connect, Packet, PropertiesBuf, PropertyId, Will};

/// Connects with a session of so many seconds, and a will that is to come so many after the connection.
fn mortal(hall: &mut Hall, expiry: u32, delay: u32) {
    let mut of_connect = PropertiesBuf::default();
    of_connect.push_number(PropertyId::SessionExpiryInterval, expiry);
    let mut of_will = PropertiesBuf::default();
    of_will.push_number(PropertyId::WillDelayInterval, delay);
    let mut connect = Connect::new(V5_0, "mortal");
    connect.clean_start = false;
    connect.properties = of_connect.get();
    connect.will = Some(Will {
        topic: "gone",
        payload: b"bye",
        qos: Q1,
        retain: false,
        properties: of_will.get(),
    });
    let client = hall.open(hall.home_of("mortal"), V5_0);
    hall.send(client, Packet::Connect(connect));
    hall.quiet();
    assert!(!hall.connack(client));
}

/// So many crashes, with so many seconds behind each.
fn crashes(hall: &mut Hall, count: u32, seconds: u64) {
    for _ in 0..count {
        hall.crash(2, 10);
        for _ in 0..seconds {
            hall.wait(1_000);
            hall.quiet();
        }
    }
}

// [MQTT-3.1.2-8]
#[test]
fn deadlines_count_from_the_first_start_however_often_it_crashes_again() {
    // The will's own delay, and the end of the session, which publishes it as well.
    for (expiry, delay, there) in [(10_000, 5, true), (5, 10_000, false)] {
        let mut hall = Hall::new(2);
        let sub = subscriber(&mut hall, "sub", "gone", Q1);
        hall.cut(sub);
        mortal(&mut hall, expiry, delay);
        crashes(&mut hall, 1, 4);
        let (sub, present) = hall.durable(V5_0, "sub");
        hall.quiet();
        assert!(present && hall.texts(sub).is_empty(), "after four seconds");
        crashes(&mut hall, 1, 2);
        let (sub, _) = hall.durable(V5_0, "sub");
        hall.quiet();
        assert_eq!(hall.texts(sub), ["bye"], "after six seconds");
        assert_eq!(hall.durable(V5_0, "mortal").1, there);
        hall.check_books();
    }
}

#[test]
fn of_very_many_who_were_there_some_are_written_at_a_time() {
    const MANY: usize = 2_500;
    let mut hall = Hall::new(1);
    for number in 0..MANY {
        hall.connect(V5_0, &format!("c{number}"), false, 1_000);
    }
    hall.quiet();
    hall.crash(1, 10);
    hall.quiet();
    hall.wait(1_000);
    let mut turns = Vec::new();
    while hall.waits() > 0 {
        turns.push(hall.sessions_that_wait());
        hall.quiet();
        hall.wait(10);
    }
    assert_eq!(turns.iter().sum::<usize>(), MANY);
    assert!(turns.len() > 1, "{turns:?}");
}
