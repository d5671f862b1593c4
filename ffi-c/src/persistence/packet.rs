//! Records that are packets as they stand on the wire.

use std::borrow::Cow;

use ternmq_protocol::client::{Delivery as Number, Incoming, SubscriptionIds};
use ternmq_protocol::codec::{
    MAX_PACKET_SIZE, Packet, Properties, PropertyId, Split, Value, split,
};
use ternmq_protocol::message::{Delivery, Origin};
use ternmq_protocol::{Message, ProtocolVersion, Time};

use super::Parts;

/// A record that was read.
pub(super) enum Record {
    Publish(Incoming),
    Pubrel(u16),
}

/// A PUBLISH that is sent for the first time: fixed header, length of the topic, topic, Packet
/// Identifier with properties, payload.
pub(super) fn publish<'a>(
    message: &'a Message,
    packet_id: u16,
    is_v5: bool,
    now: Time,
    head: &'a mut Vec<u8>,
) -> Parts<'a> {
    let delivery = Delivery {
        qos: message.qos(),
        retain: message.retain(),
        packet_id,
        expiry: message.expiry_left(now),
        ..Delivery::default()
    };
    message.write_publish_head(version(is_v5), &delivery, head);
    let (fixed, rest) = head.split_at(fixed_header(head));
    let (topic_len, rest) = rest.split_at(2);
    let (topic, rest) = rest.split_at(message.topic_bytes().len());
    [fixed, topic_len, topic, rest, message.payload()]
        .map(Cow::Borrowed)
        .into()
}

/// A PUBLISH that came in: fixed header, the rest.
pub(super) fn received<'a>(
    incoming: &Incoming,
    is_v5: bool,
    now: Time,
    head: &'a mut Vec<u8>,
) -> Parts<'a> {
    let message = &incoming.message;
    let delivery = Delivery {
        dup: incoming.dup,
        qos: incoming.qos,
        retain: incoming.retain,
        packet_id: incoming.packet_id,
        subscription_ids: incoming.subscription_ids.as_slice(),
        topic_alias: None,
        expiry: message.expiry_left(now),
        mount_len: 0,
    };
    message.write_publish_head(version(is_v5), &delivery, head);
    head.extend_from_slice(message.payload());
    let (fixed, rest) = head.split_at(fixed_header(head));
    [fixed, rest].map(Cow::Borrowed).into()
}

/// A PUBREL: fixed header, Packet Identifier.
pub(super) fn pubrel(packet_id: u16) -> Parts<'static> {
    let [high, low] = packet_id.to_be_bytes();
    vec![Cow::Owned(vec![0x62, 2]), Cow::Owned(vec![high, low])]
}

/// Reads a record; `None` for one that is no whole PUBLISH with a Packet Identifier, nor PUBREL.
pub(super) fn decode(record: &[u8], is_v5: bool, now: Time) -> Option<Record> {
    let Ok(Split::Frame(frame)) = split(record, MAX_PACKET_SIZE) else {
        return None;
    };
    if frame.len != record.len() {
        return None;
    }
    match Packet::decode(frame, version(is_v5)).ok()? {
        // A topic that is only an alias died with its connection.
        Packet::Publish(publish) if publish.packet_id != 0 && !publish.topic.is_empty() => {
            let mut scratch = Vec::new();
            let (topic, none) = (publish.topic, Origin::NONE);
            Some(Record::Publish(Incoming {
                message: Message::from_publish(&publish, topic, now, none, &mut scratch),
                packet_id: publish.packet_id,
                delivery: Number(0),
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                subscription_ids: subscription_ids(publish.properties),
            }))
        }
        Packet::PubRel(ack) => Some(Record::Pubrel(ack.packet_id)),
        _ => None,
    }
}

/// The subscriptions that a message came by.
pub(super) fn subscription_ids(properties: Properties<'_>) -> SubscriptionIds {
    let ids: Vec<u32> = properties
        .iter()
        .filter(|property| property.id == PropertyId::SubscriptionIdentifier)
        .filter_map(|property| match property.value {
            Value::VariableByteInteger(id) => Some(id),
            _ => None,
        })
        .collect();
    match ids[..] {
        [] => SubscriptionIds::None,
        [id] => SubscriptionIds::One(id),
        _ => SubscriptionIds::Many(ids.into()),
    }
}

/// All versions before MQTT 5.0 write these packets alike.
fn version(is_v5: bool) -> ProtocolVersion {
    match is_v5 {
        true => ProtocolVersion::V5_0,
        false => ProtocolVersion::V3_1_1,
    }
}

/// Bytes of the fixed header at the beginning of a packet of ours.
fn fixed_header(packet: &[u8]) -> usize {
    let more = packet[1..].iter().take_while(|byte| **byte >= 0x80).count();
    2 + more
}
