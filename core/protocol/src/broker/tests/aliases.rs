//! Topic aliases that the shard sets.

use super::desk::*;
use crate::broker::ConnId;
use crate::codec::{PacketType, PropertiesBuf, PropertyId, Request, SubscriptionOptions};
use crate::session::alias::AliasesIn;

/// The receiving end of aliases.
struct Reader {
    aliases: AliasesIn,
    /// For each message: the alias, and whether the topic came with it.
    forms: Vec<(Option<u32>, bool)>,
}

impl Reader {
    fn new(maximum: u16) -> Self {
        Self {
            aliases: AliasesIn::new(maximum),
            forms: Vec::new(),
        }
    }

    /// Takes a client's messages; each payload must be its topic, whatever follows a colon aside.
    fn read(&mut self, desk: &mut Desk, conn: ConnId) -> Vec<Delivered> {
        let messages = desk.messages(conn);
        for message in &messages {
            let alias = message.properties.get().number(PropertyId::TopicAlias);
            let topic = match alias {
                None => message.topic.clone(),
                Some(alias) if message.topic.is_empty() => {
                    self.aliases.get(alias as u16).unwrap().to_owned()
                }
                Some(alias) => {
                    self.aliases.set(alias as u16, &message.topic).unwrap();
                    message.topic.clone()
                }
            };
            assert_eq!(topic, message.text().split(':').next().unwrap());
            self.forms.push((alias, !message.topic.is_empty()));
        }
        messages
    }
}

fn subscriber(desk: &mut Desk, name: &str, maximum: u32) -> ConnId {
    let client = client_with(desk, name, &[(PropertyId::TopicAliasMaximum, maximum)]);
    desk.subscribe(client, "#", Q2);
    client
}

// [MQTT-3.1.2-26] [MQTT-3.3.2-8] [MQTT-3.3.2-11]
#[test]
fn the_first_topics_get_aliases_up_to_the_clients_maximum() {
    let mut desk = Desk::with(|limits| limits.outgoing_aliases = 3);
    for (maximum, given) in [(1, 1), (2, 2), (3, 3), (9, 3), (65_535, 3)] {
        let client = subscriber(&mut desk, "c", maximum);
        let publisher = desk.client(V3_1_1, "p");
        let mut reader = Reader::new(maximum as u16);
        for round in 0..2 {
            for topic in ["news/1", "news/2", "news/3", "news/4"] {
                desk.publish(publisher, topic, topic, Q0, 0);
                reader.read(&mut desk, client);
                let (alias, with_topic) = *reader.forms.last().unwrap();
                let number = topic.as_bytes()[5] - b'0';
                let expected = (number <= given).then_some(u32::from(number));
                assert_eq!(alias, expected, "{topic} of {maximum}");
                assert_eq!(with_topic, round == 0 || alias.is_none());
            }
        }
    }
}

// [MQTT-3.1.2-27]
#[test]
fn who_asks_for_no_aliases_gets_none() {
    let mut desk = Desk::new();
    let clients = [
        subscriber(&mut desk, "zero", 0),
        desk.client(V5_0, "absent"),
        desk.client(V3_1_1, "old"),
    ];
    for client in &clients[1..] {
        desk.subscribe(*client, "#", Q2);
    }
    let publisher = desk.client(V5_0, "p");
    for (qos, id) in [(Q0, 0), (Q0, 0), (Q1, 1), (Q2, 2)] {
        desk.publish(publisher, "some/topic", "x", qos, id);
    }
    for client in clients {
        for message in desk.messages(client) {
            assert_eq!(message.topic, "some/topic");
            assert!(message.properties.get().is_empty());
        }
    }
}

#[test]
fn an_alias_that_would_be_longer_than_the_topic_is_not_set() {
    let mut desk = Desk::new();
    let client = subscriber(&mut desk, "c", 10);
    let publisher = desk.client(V5_0, "p");
    let mut reader = Reader::new(10);
    for topic in ["abc", "abc", "abcd", "abcd"] {
        desk.publish(publisher, topic, topic, Q1, 1);
    }
    reader.read(&mut desk, client);
    let expected = [
        (None, true),
        (None, true),
        (Some(1), true),
        (Some(1), false),
    ];
    assert_eq!(reader.forms, expected);
}

/// Every way by which a PUBLISH is written: from the wire, as a copied frame, with identifiers, from
/// the queue, and again on a new connection.
#[test]
fn every_way_of_writing_agrees_on_the_aliases() {
    let mut desk = Desk::with(|limits| {
        limits.outgoing_aliases = 2;
        limits.outbound_bytes = 120;
    });
    let mut clients = Vec::new();
    for n in 0..6u32 {
        let client = subscriber(&mut desk, &format!("c{n}"), n);
        if n % 2 == 1 {
            let mut properties = PropertiesBuf::default();
            properties.push_number(PropertyId::SubscriptionIdentifier, 200 + n);
            let options = SubscriptionOptions {
                qos: Q1,
                ..SubscriptionOptions::default()
            };
            let request: Request<'_> = ("+/+", options);
            desk.subscribe_with(client, &[request], properties.get());
        }
        clients.push((client, Reader::new(n as u16)));
    }
    let publisher = desk.client(V5_0, "p");
    let topics = ["one/topic", "another/topic", "one/more", "short"];
    for round in 0..31 {
        let stuck = round % 4 == 1;
        for (client, _) in &clients {
            desk.stick(*client, stuck);
        }
        for (n, topic) in topics.iter().enumerate() {
            let qos = [Q0, Q1, Q2][(n + round) % 3];
            let payload = match round % 5 {
                // Long enough to be sent from the message itself.
                0 => format!("{topic}:{}", "x".repeat(5000)),
                _ => format!("{topic}:{round}"),
            };
            desk.publish(publisher, topic, &payload, qos, u16::from(qos != Q0));
            desk.ack(publisher, PacketType::PubRel, 1);
        }
        for (client, reader) in &mut clients {
            while !desk.got(*client).is_empty() {
                for message in reader.read(&mut desk, *client) {
                    match message.qos {
                        Q0 => {}
                        Q1 => desk.ack(*client, PacketType::PubAck, message.id),
                        Q2 => desk.ack_with(
                            *client,
                            PacketType::PubRec,
                            message.id,
                            crate::reason::ReasonCode::QUOTA_EXCEEDED,
                        ),
                    }
                }
            }
        }
        desk.check_books();
    }
    for (n, (_, reader)) in clients.iter().enumerate() {
        assert_eq!(reader.forms.len(), 124, "c{n}");
        let aliased = reader.forms.iter().filter(|(alias, _)| alias.is_some());
        let full = reader.forms.iter().filter(|(_, topic)| *topic).count();
        assert_eq!(aliased.count(), [0, 31, 62, 62, 62, 62][n], "c{n}");
        assert_eq!(full, [124, 94, 64, 64, 64, 64][n], "c{n}");
    }
}

// [MQTT-3.3.2-7]
#[test]
fn what_is_sent_again_uses_the_aliases_of_the_new_connection() {
    let mut desk = Desk::new();
    let connect = |desk: &mut Desk, maximum: u32| {
        let properties = [
            (PropertyId::SessionExpiryInterval, 100),
            (PropertyId::TopicAliasMaximum, maximum),
        ];
        client_resuming(desk, "c", &properties)
    };
    let client = connect(&mut desk, 5);
    desk.subscribe(client, "#", Q2);
    let publisher = desk.client(V3_1_1, "p");
    for topic in ["first/topic", "second/topic", "first/topic"] {
        desk.publish(publisher, topic, topic, Q1, 1);
    }
    let mut reader = Reader::new(5);
    reader.read(&mut desk, client);
    assert_eq!(
        reader.forms,
        [(Some(1), true), (Some(2), true), (Some(1), false)]
    );
    for maximum in [5, 1, 0] {
        desk.cut(client);
        let client = connect(&mut desk, maximum);
        let mut reader = Reader::new(maximum as u16);
        let again = reader.read(&mut desk, client);
        assert!(again.iter().all(|message| message.dup) && again.len() == 3);
        let expected = match maximum {
            5 => [(Some(1), true), (Some(2), true), (Some(1), false)],
            1 => [(Some(1), true), (None, true), (Some(1), false)],
            _ => [(None, true); 3],
        };
        assert_eq!(reader.forms, expected, "{maximum}");
    }
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn what_is_too_large_sets_no_alias() {
    for qos in [Q0, Q1] {
        for stuck in [false, true] {
            let mut desk = Desk::with(|limits| limits.outbound_bytes = 1);
            let properties = [
                (PropertyId::TopicAliasMaximum, 5),
                (PropertyId::MaximumPacketSize, 60),
            ];
            let client = client_with(&mut desk, "c", &properties);
            desk.subscribe(client, "#", qos);
            let publisher = desk.client(V5_0, "p");
            if stuck {
                desk.publish(publisher, "t", "t", Q1, 1);
                desk.take(client);
                desk.stick(client, true);
                desk.publish(publisher, "t", "t", Q1, 1);
            }
            // Fixed header 2, topic 12, identifier 2 or 0, property length 1.
            let most = 60 - 15 - if qos == Q1 { 2 } else { 0 };
            let topic = "long/topic";
            let payload = |len: usize| format!("{topic}:{}", "x".repeat(len - topic.len() - 1));
            for len in [most + 1, most, most - 2, most - 3, most + 7, most + 8, most] {
                desk.publish(publisher, topic, &payload(len), qos, u16::from(qos == Q1));
            }
            desk.stick(client, false);
            let mut lengths = Vec::new();
            let mut reader = Reader::new(5);
            loop {
                let read = reader.read(&mut desk, client);
                if read.is_empty() {
                    break;
                }
                for message in read.iter().filter(|m| m.text() != "t") {
                    lengths.push(message.payload.len());
                }
            }
            reader.forms.drain(..usize::from(stuck));
            assert_eq!(lengths, [most, most - 2, most - 3, most + 7, most]);
            let expected = [
                (None, true),
                (None, true),
                (Some(1), true),
                (Some(1), false),
                (Some(1), false),
            ];
            assert_eq!(reader.forms, expected, "{qos:?}, {stuck}");
            assert_eq!(desk.stats().dropped.too_large, 2);
            desk.check_books();
        }
    }
}

#[test]
fn the_topics_behind_aliases_are_bounded_in_both_directions() {
    use crate::codec::{Packet, Publish};
    use crate::reason::ReasonCode;
    let mut desk = Desk::with(|limits| limits.alias_bytes = 20);
    let client = subscriber(&mut desk, "c", 10);
    let publisher = desk.client(V5_0, "p");
    for (alias, topic) in [
        (1, "12345/7890"),
        (2, "1234567"),
        (3, "a/b"),
        (2, "longer/topic"),
    ] {
        assert!(desk.is_open(publisher));
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::TopicAlias, alias);
        let mut publish = Publish::new(topic, topic.as_bytes());
        publish.properties = properties.get();
        desk.send(publisher, Packet::Publish(publish));
    }
    let error = Got::Disconnect(ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(desk.take_all(publisher), [error]);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "another/topic", "another/topic", Q0, 0);
    let mut reader = Reader::new(10);
    reader.read(&mut desk, client);
    let expected = [(Some(1), true), (Some(2), true), (None, true), (None, true)];
    assert_eq!(reader.forms, expected);
}

fn client_resuming(desk: &mut Desk, name: &str, properties: &[(PropertyId, u32)]) -> ConnId {
    let mut buf = PropertiesBuf::default();
    for (id, number) in properties {
        buf.push_number(*id, *number);
    }
    let mut connect = crate::codec::Connect::new(V5_0, name);
    connect.clean_start = false;
    connect.properties = buf.get();
    let conn = desk.connect(connect);
    desk.connack(conn);
    conn
}
