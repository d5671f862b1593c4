//! Flow control, sizes, aliases: what limits a connection in either direction.

use super::desk::*;
use crate::codec::{Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish};
use crate::codec::{QoS, Value};
use crate::reason::ReasonCode;

// [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]
#[test]
fn the_clients_receive_maximum_is_kept_and_blocks_nothing_else() {
    let mut desk = Desk::new();
    let client = client_with(&mut desk, "c", &[(PropertyId::ReceiveMaximum, 2)]);
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V5_0, "p");
    for n in 0..6u16 {
        let qos = if n % 2 == 0 { Q1 } else { Q2 };
        desk.publish(publisher, "t", &n.to_string(), qos, n + 1);
    }
    let mut order = Vec::new();
    let mut open = desk.messages(client);
    assert_eq!(open.len(), 2);
    desk.send(client, Packet::PingReq);
    assert_eq!(desk.take(client), Got::PingResp);
    desk.publish(publisher, "t", "overtakes", Q0, 0);
    assert_eq!(desk.texts(client), ["overtakes"]);
    while let Some(message) = open.pop() {
        order.push(message.text().to_owned());
        if message.qos == Q1 {
            desk.ack(client, PacketType::PubAck, message.id);
        } else {
            desk.ack(client, PacketType::PubRec, message.id);
            desk.take(client);
            assert!(desk.got(client).is_empty(), "PUBREC gives no quota back");
            desk.ack(client, PacketType::PubComp, message.id);
        }
        open.extend(desk.messages(client));
        assert!(open.len() <= 2);
    }
    assert_eq!((order.len(), desk.stats().queued), (6, 0));
    desk.check_books();
}

// [MQTT-4.4.0-2]
#[test]
fn a_refusing_pubrec_ends_the_delivery_and_frees_quota() {
    let mut desk = Desk::new();
    let client = client_with(&mut desk, "c", &[(PropertyId::ReceiveMaximum, 1)]);
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V5_0, "p");
    desk.publish(publisher, "t", "a", Q2, 1);
    desk.publish(publisher, "t", "b", Q2, 2);
    let id = desk.messages(client)[0].id;
    let reason = ReasonCode::QUOTA_EXCEEDED;
    desk.ack_with(client, PacketType::PubRec, id, reason);
    assert_eq!(desk.texts(client), ["b"], "and no PUBREL");
    assert_eq!(desk.stats().acknowledged, 1);
}

#[test]
fn acknowledgements_of_nothing_do_no_harm() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.ack(client, PacketType::PubAck, 9);
    desk.ack(client, PacketType::PubComp, 9);
    assert!(desk.got(client).is_empty());
    desk.ack(client, PacketType::PubRec, 9);
    let unknown = Got::Ack(
        PacketType::PubRel,
        9,
        ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
    );
    assert_eq!(desk.take(client), unknown);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    for (qos, kind) in [
        (Q1, PacketType::PubRec),
        (Q1, PacketType::PubComp),
        (Q2, PacketType::PubAck),
        (Q2, PacketType::PubComp),
    ] {
        let mut desk = Desk::new();
        let client = desk.client(V5_0, "c");
        desk.subscribe(client, "t", Q2);
        desk.publish(client, "t", "x", qos, 1);
        let Got::Publish(message) = desk.take(client) else {
            panic!("no PUBLISH");
        };
        desk.take(client);
        desk.ack(client, kind, message.id);
        let error = Got::Disconnect(ReasonCode::PROTOCOL_ERROR);
        assert_eq!(desk.take_all(client), [error]);
    }
}

// [MQTT-3.3.4-7]: a client that sends more is cut off, 0x93.
#[test]
fn the_servers_receive_maximum_counts_what_is_not_acknowledged() {
    for qos in [Q1, Q2] {
        let mut desk = Desk::with(|limits| limits.receive_maximum = 2);
        let client = desk.client(V5_0, "c");
        desk.publish(client, "t", "x", Q2, 1);
        for id in 3..=30 {
            desk.publish(client, "t", "x", Q1, id);
        }
        desk.publish(client, "t", "x", Q2, 2);
        desk.ack(client, PacketType::PubRel, 1);
        desk.publish(client, "t", "x", Q2, 40);
        assert!(desk.is_open(client));
        desk.take_all(client);
        desk.publish(client, "t", "x", qos, 41);
        let error = Got::Disconnect(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
        assert_eq!(desk.take_all(client), [error]);
    }
    let mut desk = Desk::with(|limits| limits.receive_maximum = 2);
    let old = desk.client(V3_1_1, "o");
    for id in 1..=100 {
        desk.publish(old, "t", "x", Q2, id);
    }
    assert!(desk.is_open(old), "there was no such limit before 5.0");
    // Without PUBREL for ever: a limit of ours.
    let mut desk = Desk::with(|limits| limits.open_qos2 = 50);
    let old = desk.client(V3_1_1, "o");
    let bystander = desk.client(V3_1_1, "b");
    for id in 1..=50 {
        desk.publish(old, "t", "x", Q2, id);
    }
    desk.publish(old, "t", "x", Q2, 50);
    assert!(desk.is_open(old), "the last one again");
    desk.publish(old, "t", "x", Q2, 51);
    assert!(!desk.is_open(old) && desk.is_open(bystander));
    assert_eq!(desk.stats().peer_errors, 1);
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[test]
fn nothing_larger_than_the_clients_maximum_is_sent() {
    for qos in [Q0, Q1] {
        let mut desk = Desk::new();
        let client = client_with(&mut desk, "c", &[(PropertyId::MaximumPacketSize, 40)]);
        desk.subscribe(client, "t", qos);
        let publisher = desk.client(V5_0, "p");
        // Fixed header 2, topic 3, identifier 2 or 0, property length 1.
        let most = 40 - 6 - if qos == Q1 { 2 } else { 0 };
        for len in [most - 1, most, most + 1, 200, 3] {
            desk.publish(publisher, "t", &"x".repeat(len), qos, u16::from(qos == Q1));
        }
        let lengths: Vec<_> = desk
            .messages(client)
            .iter()
            .map(|m| m.payload.len())
            .collect();
        assert_eq!(lengths, [most - 1, most, 3]);
        assert_eq!(desk.stats().dropped.too_large, 2);
        desk.check_books();
    }
    // An answer that does not fit ends the connection, which is all that is left to do.
    let mut desk = Desk::new();
    let client = client_with(&mut desk, "c", &[(PropertyId::MaximumPacketSize, 30)]);
    let options = Default::default();
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let requests: Vec<_> = names.iter().map(|name| (&**name, options)).collect();
    let packet = crate::codec::Subscribe::new(1, Properties::EMPTY, &requests);
    desk.send(client, Packet::Subscribe(packet));
    let error = Got::Disconnect(ReasonCode::PACKET_TOO_LARGE);
    assert_eq!(desk.take_all(client), [error]);
}

// [MQTT-3.1.2-25]
#[test]
fn what_a_client_does_not_take_any_more_is_given_up() {
    let mut desk = Desk::with(|limits| limits.inflight = 2);
    let (client, _) = desk.durable(V5_0, "c");
    desk.subscribe(client, "t", Q2);
    let publisher = desk.client(V5_0, "p");
    for qos in [Q1, Q2] {
        desk.publish(publisher, "t", &"x".repeat(200), qos, 1);
    }
    desk.publish(publisher, "t", "small", Q2, 2);
    assert_eq!(desk.messages(client).len(), 2);
    desk.cut(client);
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MaximumPacketSize, 50);
    let mut connect = Connect::new(V5_0, "c");
    (connect.clean_start, connect.properties) = (false, properties.get());
    let client = desk.connect(connect);
    assert!(desk.connack(client));
    assert_eq!(desk.texts(client), ["small"]);
    assert_eq!(desk.stats().given_up, 2);
    desk.check_books();
}

// [MQTT-3.1.2-24] [MQTT-3.14.0-1]
#[test]
fn a_client_that_takes_no_connack_is_closed_without_a_word() {
    let mut desk = Desk::new();
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::MaximumPacketSize, 4);
    let mut connect = Connect::new(V5_0, "c");
    connect.properties = properties.get();
    let conn = desk.connect(connect);
    assert!(!desk.is_open(conn) && desk.got(conn).is_empty());
    assert_eq!(desk.stats().sessions, 0);
}

// [MQTT-3.2.2-15]: a client that sends more is cut off, 0x95.
#[test]
fn a_packet_over_the_servers_maximum_is_refused_by_its_header() {
    let mut desk = Desk::with(|limits| (limits.packet_size, limits.connect_size) = (1000, 500));
    let client = desk.client(V5_0, "c");
    desk.input(client, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    let error = Got::Disconnect(ReasonCode::PACKET_TOO_LARGE);
    assert_eq!(desk.take_all(client), [error]);
    let conn = desk.open(V5_0);
    desk.input(conn, &[0x10, 0xF5, 0x03]);
    assert!(!desk.is_open(conn), "a CONNECT of 504 bytes");
}

// [MQTT-3.3.2-7] [MQTT-3.3.2-8] [MQTT-3.3.2-12]
#[test]
fn topic_aliases_stand_for_topics_on_one_connection() {
    let mut desk = Desk::with(|limits| limits.topic_aliases = 3);
    let watcher = desk.client(V3_1_1, "w");
    desk.subscribe(watcher, "#", Q0);
    let (client, _) = desk.durable(V5_0, "c");
    let send = |desk: &mut Desk, client, topic: &str, alias: u32| {
        let mut properties = PropertiesBuf::default();
        properties.push_number(PropertyId::TopicAlias, alias);
        let mut publish = Publish::new(topic, topic.as_bytes());
        publish.properties = properties.get();
        desk.send(client, Packet::Publish(publish));
    };
    for (topic, alias) in [("a", 1), ("b", 3), ("", 1), ("", 3), ("c", 1), ("", 1)] {
        send(&mut desk, client, topic, alias);
    }
    let topics: Vec<_> = desk
        .messages(watcher)
        .into_iter()
        .map(|m| m.topic)
        .collect();
    assert_eq!(topics, ["a", "b", "a", "b", "c", "c"]);
    send(&mut desk, client, "", 2);
    let error = Got::Disconnect(ReasonCode::PROTOCOL_ERROR);
    assert_eq!(desk.take_all(client), [error]);
    for (topic, alias, reason) in [
        ("", 1, ReasonCode::PROTOCOL_ERROR),
        ("x", 4, ReasonCode::TOPIC_ALIAS_INVALID),
    ] {
        let (client, present) = desk.durable(V5_0, "c");
        assert!(present, "aliases don't come back with the session");
        send(&mut desk, client, topic, alias);
        assert_eq!(desk.take_all(client), [Got::Disconnect(reason)]);
    }
}

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[test]
fn properties_of_the_message_are_passed_on_unaltered() {
    for qos in [Q0, Q1] {
        let mut desk = Desk::new();
        let (client, old) = (desk.client(V5_0, "c"), desk.client(V3_1_1, "o"));
        desk.subscribe(client, "t", Q1);
        desk.subscribe(old, "t", Q1);
        let mut properties = PropertiesBuf::default();
        for (id, value) in [
            (PropertyId::UserProperty, Value::Utf8StringPair("k", "2")),
            (PropertyId::PayloadFormatIndicator, Value::Byte(1)),
            (PropertyId::ContentType, Value::Utf8String("text/plain")),
            (PropertyId::ResponseTopic, Value::Utf8String("r/t")),
            (PropertyId::CorrelationData, Value::BinaryData(b"\0\xFF")),
            (PropertyId::UserProperty, Value::Utf8StringPair("k", "1")),
        ] {
            properties.push(id, value).unwrap();
        }
        let mut publish = Publish::new("t", b"x");
        (publish.qos, publish.packet_id) = (qos, u16::from(qos != QoS::AtMostOnce));
        publish.properties = properties.get();
        let publisher = desk.client(V5_0, "p");
        desk.send(publisher, Packet::Publish(publish));
        assert_eq!(desk.messages(client)[0].properties, properties);
        assert!(desk.messages(old)[0].properties.is_empty());
    }
}

// [MQTT-3.3.4-6]
#[test]
fn a_client_must_not_send_subscription_identifiers() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    let mut properties = PropertiesBuf::default();
    properties.push_number(PropertyId::SubscriptionIdentifier, 1);
    let mut publish = Publish::new("t", b"x");
    publish.properties = properties.get();
    desk.send(client, Packet::Publish(publish));
    let error = Got::Disconnect(ReasonCode::PROTOCOL_ERROR);
    assert_eq!(desk.take_all(client), [error]);
}

#[test]
fn a_client_that_does_not_read_fills_its_queue_and_nothing_else() {
    let mut desk = Desk::with(|limits| {
        (limits.outbound_bytes, limits.queue.items) = (1000, 50);
    });
    let (slow, quick) = (desk.client(V3_1_1, "slow"), desk.client(V3_1_1, "quick"));
    desk.subscribe(slow, "t", Q0);
    desk.subscribe(quick, "t", Q0);
    desk.stick(slow, true);
    let publisher = desk.client(V3_1_1, "p");
    for n in 0..200 {
        desk.publish(publisher, "t", &format!("{n:0>50}"), Q0, 0);
        desk.check_books();
    }
    assert_eq!(desk.messages(quick).len(), 200);
    let held = desk.shard.outbound(slow).unwrap().len();
    assert!((1000..1100).contains(&held), "{held}");
    assert_eq!(desk.stats().queued, 50);
    assert!(desk.stats().dropped.queue_items > 100);
    desk.stick(slow, false);
    assert_eq!(desk.stats().queued, 0);
    let got: Vec<usize> = desk
        .texts(slow)
        .iter()
        .map(|t| t.parse().unwrap())
        .collect();
    assert!(got.is_sorted() && got.len() == 200 - desk.stats().dropped.queue_items as usize);
    desk.publish(publisher, "t", "more", Q0, 0);
    assert_eq!(desk.texts(slow), ["more"]);
}

// [MQTT-4.6.0-5]
#[test]
fn what_waits_goes_before_what_comes_while_room_is_made() {
    // An acknowledgement and a new message in one read.
    let mut desk = Desk::with(|limits| (limits.inflight, limits.outbound_bytes) = (1, 100));
    let client = desk.client(V3_1_1, "c");
    desk.subscribe(client, "t", Q1);
    let publisher = desk.client(V3_1_1, "p");
    for text in ["a", "b"] {
        desk.publish(publisher, "t", text, Q1, 1);
    }
    let id = desk.messages(client)[0].id;
    let [high, low] = id.to_be_bytes();
    let mut publish = Publish::new("t", b"c");
    (publish.qos, publish.packet_id) = (Q1, 9);
    let mut bytes = vec![0x40, 2, high, low];
    Packet::Publish(publish).encode(V3_1_1, &mut bytes).unwrap();
    desk.input(client, &bytes);
    let mut order = Vec::new();
    loop {
        let got = desk.take_all(client);
        let published = |got| match got {
            Got::Publish(message) => Some(message),
            _ => None,
        };
        let Some(message) = got.into_iter().find_map(published) else {
            break;
        };
        desk.ack(client, PacketType::PubAck, message.id);
        order.push(message.text().to_owned());
    }
    assert_eq!(order, ["b", "c"]);
    // A socket that took a part, and a new message before it is asked again.
    desk.subscribe(client, "t", Q0);
    desk.stick(client, true);
    for n in 0..9 {
        desk.publish(publisher, "t", &format!("{n:0>30}"), Q0, 0);
    }
    assert!(desk.stats().queued > 3);
    let mut sent = vec![0; 50];
    assert_eq!(desk.shard.outbound(client).unwrap().read(&mut sent), 50);
    desk.publish(publisher, "t", "9", Q0, 0);
    let mut bytes = Vec::new();
    let outbound = desk.shard.outbound(client).unwrap();
    outbound.drain_into(&mut bytes);
    assert!(!bytes.ends_with(b"t9"), "it waits behind the others");
}

#[test]
fn a_client_that_only_asks_is_not_read_on() {
    let mut desk = Desk::with(|limits| limits.outbound_bytes = 100);
    let client = desk.client(V3_1_1, "c");
    desk.stick(client, true);
    let mut sent = 0;
    while desk.shard.wants_input(client) {
        desk.send(client, Packet::PingReq);
        sent += 1;
    }
    assert_eq!(sent, 100);
    desk.stick(client, false);
    assert!(desk.shard.wants_input(client));
    assert_eq!(desk.take_all(client).len(), 100);
}

#[test]
fn each_connection_is_dirty_once_and_idle_ones_own_no_buffer() {
    let mut desk = Desk::new();
    let (a, b) = (desk.client(V3_1_1, "a"), desk.client(V3_1_1, "b"));
    desk.subscribe(a, "#", Q1);
    assert!(desk.shard.outbound(a).is_none() && desk.shard.outbound(b).is_none());
    let mut bytes = Vec::new();
    for id in 1..50 {
        let mut publish = Publish::new("t", b"x");
        (publish.qos, publish.packet_id) = (Q1, id);
        Packet::Publish(publish).encode(V3_1_1, &mut bytes).unwrap();
    }
    desk.shard.handle_input(b, desk.now, &bytes, &mut desk.out);
    assert_eq!(desk.out.dirty, [a]);
    let ticket = desk.out.owed.take().unwrap();
    desk.shard.complete(ticket, &mut desk.out);
    assert_eq!(desk.out.dirty, [a, b]);
    assert!(desk.out.publishes.is_empty(), "no other shard wants them");
    desk.settle();
    assert_eq!(desk.messages(a).len(), 49);
}

#[test]
fn messages_between_shards_are_offered_once_and_delivered_here_only() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    desk.shard.set_peers_interested(true);
    desk.publish(client, "t", "x", Q1, 3);
    let sent = Got::Ack(PacketType::PubAck, 3, ReasonCode::SUCCESS);
    assert_eq!(desk.take(client), sent, "somebody there may want it");
    let messages = std::mem::take(&mut desk.offered);
    assert_eq!(messages.len(), 1);
    desk.subscribe(client, "t", Q2);
    desk.shard
        .handle_publishes(desk.now, &messages, &mut desk.out);
    desk.settle();
    assert_eq!(desk.texts(client), ["x"]);
    assert!(desk.offered.is_empty());
    assert_eq!(
        (desk.stats().received_from_peers, desk.stats().matched),
        (1, 1)
    );
    desk.shard.set_peers_interested(false);
    desk.publish(client, "nobody", "x", Q1, 4);
    let nobody = ReasonCode::NO_MATCHING_SUBSCRIBERS;
    assert_eq!(desk.take(client), Got::Ack(PacketType::PubAck, 4, nobody));
}

// [MQTT-4.6.0-2] [MQTT-4.6.0-3]: in the order of the packets they answer, and not before the driver has
// said that what they promise is kept.
#[test]
fn acknowledgements_wait_for_what_they_promise() {
    let mut desk = Desk::with(|limits| limits.owed_acks = 3);
    let (client, other) = (desk.client(V5_0, "c"), desk.client(V5_0, "o"));
    desk.shard.set_peers_interested(true);
    let packets = [
        &[0x32, 6, 0, 1, b't', 0, 1, 0][..],
        &[0x34, 6, 0, 1, b't', 0, 2, 0],
        &[0x82, 7, 0, 3, 0, 0, 1, b's', 1],
    ];
    for bytes in packets {
        assert!(desk.shard.wants_input(client));
        desk.shard
            .handle_input(client, desk.now, bytes, &mut desk.out);
    }
    assert!(!desk.shard.wants_input(client), "three are owed");
    assert!(desk.shard.wants_input(other));
    let first = desk.out.owed.take().unwrap();
    assert!(desk.out.dirty.is_empty() && desk.shard.outbound(client).is_none());
    // A PINGREQ needs no promise, and a later message is not covered by the earlier ticket.
    desk.shard
        .handle_input(client, desk.now, &[0xC0, 0], &mut desk.out);
    let late = [0x32, 6, 0, 1, b't', 0, 4, 0];
    desk.shard
        .handle_input(client, desk.now, &late, &mut desk.out);
    let second = desk.out.owed.take().unwrap();
    desk.shard.complete(first, &mut desk.out);
    desk.shard.complete(first, &mut desk.out);
    desk.settle();
    let ack = |kind, id| Got::Ack(kind, id, ReasonCode::SUCCESS);
    let got = desk.take_all(client);
    assert_eq!(got[0], Got::PingResp);
    assert_eq!(got[1], ack(PacketType::PubAck, 1));
    assert_eq!(got[2], ack(PacketType::PubRec, 2));
    assert_eq!(got[3], Got::SubAck(3, vec![1]));
    assert_eq!(got.len(), 4, "the fourth is not covered");
    desk.shard.complete(second, &mut desk.out);
    desk.settle();
    assert_eq!(desk.take_all(client), [ack(PacketType::PubAck, 4)]);
}

#[test]
fn what_is_owed_to_a_connection_that_ended_goes_nowhere() {
    let mut desk = Desk::new();
    let client = desk.client(V5_0, "c");
    let bytes = [0x32, 6, 0, 1, b't', 0, 1, 0];
    desk.shard
        .handle_input(client, desk.now, &bytes, &mut desk.out);
    let ticket = desk.out.owed.take().unwrap();
    desk.cut(client);
    let next = desk.client(V5_0, "n");
    assert_eq!(next, client, "the number is given out again");
    desk.shard.complete(ticket, &mut desk.out);
    desk.settle();
    assert!(desk.got(next).is_empty());
}

#[test]
fn a_client_whose_packets_make_much_work_lets_the_others_have_their_turn() {
    let mut desk = Desk::with(|limits| limits.turn_work = 100);
    let (busy, other) = (desk.client(V3_1_1, "busy"), desk.client(V3_1_1, "other"));
    for n in 0..50 {
        desk.subscribe(busy, &format!("{}/#", "+/".repeat(n) + "+"), Q0);
    }
    desk.subscribe(other, "t", Q1);
    let topic = "a/".repeat(60);
    let mut bytes = Vec::new();
    for n in 0..10u8 {
        let publish = Publish::new(&topic, std::slice::from_ref(&n));
        Packet::Publish(publish).encode(V3_1_1, &mut bytes).unwrap();
    }
    bytes.extend_from_slice(&[0xC0, 0]);
    let before = desk.stats().work;
    let handle = |desk: &mut Desk, conn, bytes: &[u8]| {
        desk.shard
            .handle_input(conn, desk.now, bytes, &mut desk.out);
    };
    handle(&mut desk, busy, &bytes);
    assert_eq!(
        desk.stats().work - before,
        151,
        "51 nodes, and then a message of 50 filters and 50 subscribers"
    );
    assert_eq!(desk.out.unfinished, [busy]);
    assert!(!desk.shard.wants_input(busy) && desk.shard.wants_input(other));
    // More input than was asked for goes behind the rest.
    handle(&mut desk, busy, &[0x30, 3, 0, 1, b't']);
    handle(&mut desk, other, &[0xC0, 0]);
    assert_eq!(desk.out.unfinished, [busy]);
    desk.settle();
    assert!(desk.shard.wants_input(busy));
    assert_eq!(desk.take(other), Got::PingResp);
    let got = desk.take_all(busy);
    let texts = got.iter().filter_map(|got| match got {
        Got::Publish(delivered) => delivered.payload.first().copied(),
        _ => None,
    });
    assert!(texts.eq(0..10), "{got:?}");
    assert_eq!(got[10], Got::PingResp);
    assert_eq!(desk.messages(other).len(), 1);
    // A client that is gone is resumed by nobody.
    handle(&mut desk, busy, &bytes);
    desk.cut(busy);
    assert_eq!(desk.stats().connections, 1);
}
