//! Records of messages that wait for the application: numbers of the machine's own size and order,
//! and the topic with a NUL.

use std::borrow::Cow;

use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::codec::{Place, Properties, PropertiesBuf, PropertyId, QoS, Value};
use ternmq_protocol::{Message, Time};

use super::Parts;
use super::command::{Reader, number, properties, string};
use super::packet::subscription_ids;

/// The record of a message.
pub(super) fn encode(incoming: &Incoming, is_v5: bool, now: Time) -> Parts<'_> {
    let message = &incoming.message;
    let (topic, payload) = (message.topic_bytes(), message.payload());
    // The session gives a QoS 2 message out once, so none is a duplicate.
    let dup = incoming.dup && incoming.qos != QoS::ExactlyOnce;
    let mut parts = vec![
        number(payload.len() as i32),
        Cow::Borrowed(payload),
        number(incoming.qos as i32),
        number(incoming.retain.into()),
        number(dup.into()),
        number(incoming.packet_id.into()),
        string(topic),
        number(topic.len() as i32),
    ];
    if is_v5 {
        parts.push(properties(all_properties(incoming, now).get()));
    }
    parts
}

/// Reads a record; `None` for one that is cut or holds no valid message.
pub(super) fn decode(record: &[u8], is_v5: bool, now: Time) -> Option<Incoming> {
    let mut reader = Reader(record);
    let payload = reader.sized()?;
    let qos = QoS::from_bits(u8::try_from(reader.number()?).ok()?)?;
    let retain = reader.number()? != 0;
    let dup = reader.number()? != 0;
    let packet_id = u16::try_from(reader.number()?).ok()?;
    let topic = reader.string()?;
    let _topic_len = reader.number()?;
    let properties = match is_v5 {
        true => reader.properties(Place::Publish)?,
        false => PropertiesBuf::default(),
    };
    let listed = properties.get();
    Some(Incoming {
        message: Message::new(topic, payload, qos, retain, listed, now).ok()?,
        packet_id,
        delivery: Delivery(0),
        dup,
        qos,
        retain,
        subscription_ids: subscription_ids(listed),
    })
}

/// The properties that the PUBLISH had, but for the alias.
fn all_properties(incoming: &Incoming, now: Time) -> PropertiesBuf {
    let mut all = PropertiesBuf::default();
    // They were valid in the packet that brought them.
    for id in incoming.subscription_ids.as_slice() {
        let _ = all.push(
            PropertyId::SubscriptionIdentifier,
            Value::VariableByteInteger(*id),
        );
    }
    if let Some(seconds) = incoming.message.expiry_left(now) {
        let _ = all.push(
            PropertyId::MessageExpiryInterval,
            Value::FourByteInteger(seconds),
        );
    }
    let travelling: Properties<'_> = incoming.message.properties();
    for property in travelling.iter() {
        let _ = all.push(property.id, property.value);
    }
    all
}
