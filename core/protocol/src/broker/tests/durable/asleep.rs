//! Sessions whose clients are away are counted together, and each has its own all the same.

use super::hall::*;
use crate::broker::ClientInfo;
use crate::broker::tests::desk::*;
use crate::codec::{PacketType, Properties, QoS};
use crate::message::Message;
use crate::seeded::Seeded;
use crate::topic::{TopicFilter, TopicName};
use std::collections::BTreeMap;

/// The bytes of a message here, which is kept as it came in: with a Packet Identifier and the length of its
/// properties.
fn bytes(topic: &str) -> usize {
    let now = crate::time::Time(1);
    let message = Message::new(topic, b"x", Q1, false, Properties::EMPTY, now);
    message.unwrap().memory() + 3
}

fn publisher(hall: &mut Hall) -> u32 {
    let publisher = hall.connect(V5_0, "pub", true, 0);
    hall.quiet();
    hall.connack(publisher);
    publisher
}

fn info(hall: &Hall, client_id: &str) -> ClientInfo {
    let home = &hall.shards[hall.home_of(client_id)];
    let all = home.clients(0, 1000).clients;
    let one = all.into_iter().find(|one| &*one.client_id == client_id);
    one.unwrap()
}

/// Takes and acknowledges all there is for a client.
fn drain(hall: &mut Hall, client: u32) -> usize {
    let mut count = 0;
    loop {
        hall.quiet();
        let all = hall.take_all(client);
        if all.is_empty() {
            return count;
        }
        for got in all {
            if let Got::Publish(message) = got {
                count += 1;
                if message.qos == Q1 {
                    hall.ack(client, PacketType::PubAck, message.id);
                }
            }
        }
    }
}

fn send(hall: &mut Hall, publisher: u32, topic: &str) {
    hall.publish(publisher, topic, "x", Q1, 1);
    hall.quiet();
    hall.take_all(publisher);
}

#[test]
fn a_message_is_counted_once_for_all_who_are_away() {
    let mut hall = Hall::new(1);
    let names: Vec<String> = (0..300).map(|n| format!("s{n}")).collect();
    for name in &names {
        let (client, _) = hall.durable(V5_0, name);
        hall.subscribe(client, "all/+", Q1);
        hall.subscribe(client, &format!("own/{name}"), Q1);
        hall.quiet();
        hall.cut(client);
    }
    let (live, _) = hall.durable(V5_0, "live");
    hall.subscribe(live, "all/+", Q1);
    let publisher = publisher(&mut hall);
    let mut prices = Vec::new();
    for n in 1..=10 {
        let before = hall.shards[0].stats().work;
        send(&mut hall, publisher, "all/1");
        prices.push(hall.shards[0].stats().work - before);
        assert_eq!(drain(&mut hall, live), 1);
        for name in [&names[0], &names[299]] {
            let info = info(&hall, name);
            assert_eq!((info.queued, info.queued_bytes), (n, n * bytes("all/1")));
        }
    }
    // They are found away, and are set apart; then they cost nothing.
    assert!(prices[0] >= 300 && prices[2] < 20, "{prices:?}");
    assert_eq!(hall.shards[0].stats().unread, 3000);
    hall.check_books();
    for name in &names {
        let (client, _) = hall.durable(V5_0, name);
        assert_eq!(drain(&mut hall, client), 10);
        assert_eq!(info(&hall, name).queued, 0);
    }
    hall.check_books();
}

struct Someone {
    client: Option<u32>,
    filters: BTreeMap<&'static str, QoS>,
    waits: usize,
}

impl Someone {
    fn is_due(&self, topic: &str) -> bool {
        self.filters.iter().any(|(filter, qos)| {
            let matches = TopicFilter::assume(filter).matches(TopicName::assume(topic));
            *qos > Q0 && matches
        })
    }

    fn change(&mut self, hall: &mut Hall, name: &str, seeded: &mut Seeded) {
        let Some(client) = self.client else {
            let (client, _) = hall.durable(V5_0, name);
            assert_eq!(drain(hall, client), self.waits);
            (self.client, self.waits) = (Some(client), 0);
            return;
        };
        let filter = FILTERS[seeded.below(FILTERS.len())];
        match seeded.below(4) {
            0 => {
                hall.cut(client);
                self.client = None;
            }
            1 => {
                hall.unsubscribe(client, filter);
                self.filters.remove(filter);
            }
            n => {
                let qos = if n == 2 {
                    Q1
                } else {
                    [Q0, Q1][seeded.below(2)]
                };
                hall.subscribe(client, filter, qos);
                self.filters.insert(filter, qos);
            }
        }
        hall.quiet();
    }
}

const FILTERS: [&str; 7] = ["a/b", "a/+", "b/#", "b/c", "+/d", "c/+/#", "c/d"];

#[test]
fn everybody_knows_what_waits_for_whom_whatever_the_filters() {
    for seed in 0..4 {
        let mut seeded = Seeded::new(seed);
        let mut hall = Hall::new(1 + seed as usize % 2);
        let publisher = publisher(&mut hall);
        let mut all: BTreeMap<String, Someone> = BTreeMap::new();
        for n in 0..40 {
            let name = format!("s{n}");
            let client = Some(hall.durable(V5_0, &name).0);
            let filters = BTreeMap::new();
            let waits = 0;
            all.insert(
                name,
                Someone {
                    client,
                    filters,
                    waits,
                },
            );
        }
        for _ in 0..250 {
            for _ in 0..3 {
                let name = format!("s{}", seeded.below(40));
                let one = all.get_mut(&name).unwrap();
                one.change(&mut hall, &name, &mut seeded);
            }
            let topic = seeded.pick(&["a/b", "a/c", "b/c", "b/d", "c/d", "c/e"]);
            send(&mut hall, publisher, topic);
            for (name, one) in &mut all {
                match one.client {
                    Some(client) => drop(drain(&mut hall, client)),
                    None => one.waits += usize::from(one.is_due(topic)),
                }
                let info = info(&hall, name);
                let expected = (one.waits, one.waits * bytes("a/b"));
                assert_eq!((info.queued, info.queued_bytes), expected, "{seed} {name}");
            }
            hall.check_books();
        }
    }
}
