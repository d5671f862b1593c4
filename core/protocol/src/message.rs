//! An application message: one allocation, shared by every queue that holds it.

use std::sync::atomic::{AtomicU64, Ordering};

use triomphe::ThinArc;

use crate::codec::primitive::{
    MAX_VARIABLE_BYTE_INTEGER, variable_byte_integer_len, write_variable_byte_integer,
};
use crate::codec::property::{Properties, Property, PropertyId};
use crate::codec::publish::{Publish, first_byte};
use crate::codec::{Place, QoS};
use crate::error::EncodeError;
use crate::time::Time;
use crate::topic::TopicName;
use crate::version::ProtocolVersion;
use crate::weight::Weight;

/// Who published a message, as far as No Local needs to know [MQTT-3.8.3-3]: 64 bits of a hash of the
/// client identifier; [`Origin::NONE`] for messages that no client published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(pub u64);

impl Origin {
    /// Not published by a session.
    pub const NONE: Origin = Origin(u64::MAX);
}

/// An application message with its topic and the properties that travel with it.
///
/// A clone is one counter increment and 8 bytes, so a message for 1,000 subscribers exists once.
/// Topic Alias, Subscription Identifier and Message Expiry Interval are not among
/// [`Message::properties`]: they belong to one delivery, and are written again for each.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

/// In the place of a place: given to a store, which has not said where it is.
const FOR_THE_LOG: u64 = u64::MAX;

/// Stands before the bytes, which are: topic length and topic as on the wire, anything that was
/// between them and the properties, properties, payload.
struct Head {
    origin: Origin,
    expires: Time,
    /// Its place in the log of a store, 0 before it has one, [`FOR_THE_LOG`] while it is on its way there.
    log_seq: AtomicU64,
    properties_at: u32,
    payload_at: u32,
    /// Low bits of the milliseconds.
    arrived: u32,
    topic_len: u16,
    qos: QoS,
    retain: bool,
}

impl Head {
    fn new(flags: Flags, topic: &str, properties_at: usize, payload_at: usize) -> Self {
        Self {
            origin: flags.origin,
            expires: flags.expires,
            log_seq: AtomicU64::new(0),
            properties_at: properties_at as u32,
            payload_at: payload_at as u32,
            arrived: flags.arrived.0 as u32,
            topic_len: topic.len() as u16,
            qos: flags.qos,
            retain: flags.retain,
        }
    }
}

impl Weight for Message {
    fn weight(&self) -> usize {
        self.memory()
    }
}

/// What differs between the deliveries of one message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery<'a> {
    /// Sent before on an earlier connection.
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The RETAIN flag of this delivery.
    pub retain: bool,
    /// Not 0 with QoS 1 and 2.
    pub packet_id: u16,
    /// Identifiers of the subscriptions that matched (MQTT 5.0).
    pub subscription_ids: &'a [u32],
    /// A topic alias to send, and whether the topic goes with it (MQTT 5.0).
    pub topic_alias: Option<TopicAlias>,
    /// Seconds of life left, when the message expires (MQTT 5.0) [MQTT-3.3.2-6].
    pub expiry: Option<u32>,
    /// Bytes at the front of the topic that the receiver is not told. Less than the topic has, and a whole
    /// number of characters.
    pub mount_len: u16,
}

/// All there is to a message, for [`Message::from_parts`].
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// A topic name.
    pub topic: &'a str,
    /// The application message.
    pub payload: &'a [u8],
    /// The QoS it was published with.
    pub qos: QoS,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// What a PUBLISH may have; of them, those that travel are kept.
    pub properties: Properties<'a>,
    /// When it expires, [`Time::NEVER`] for never.
    pub expires: Time,
    /// From when on its [`age`](Message::age) counts.
    pub arrived: Time,
    /// Which session published it.
    pub origin: Origin,
}

/// Milliseconds that a message may be from the future, 4.6 hours: shards read their clocks one after
/// the other, so that one may get a message from a turn that began later than its own.
const AHEAD: u32 = 1 << 24;

/// What a PUBLISH may have besides topic, properties and payload in every delivery: lengths, packet
/// identifier, expiry and alias, with room for some subscription identifiers.
const LONGEST_HEAD: usize = 64;

/// A topic alias of one delivery (section 3.3.2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicAlias {
    /// 1 to the receiver's Topic Alias Maximum.
    pub number: u16,
    /// The receiver doesn't know the alias yet, or it changes its meaning.
    pub with_topic: bool,
}

impl Message {
    /// The message that a PUBLISH carries: one allocation, and one copy where neither an alias nor
    /// an expiry has to be taken out.
    ///
    /// `topic` is the name after the alias was resolved. `scratch` is reused memory for the messages
    /// that have to be put together first.
    pub fn from_publish(
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        origin: Origin,
        scratch: &mut Vec<u8>,
    ) -> Self {
        let (qos, retain) = (publish.qos, publish.retain);
        let flags = Flags {
            qos,
            retain,
            expires: expiry(publish.properties, now),
            arrived: now,
            origin,
        };
        if !stands_on_the_wire(publish, topic) {
            return Self::assemble(topic, publish.properties, publish.payload, flags, scratch);
        }
        let wire = publish.wire();
        let payload_at = wire.len() - publish.payload.len();
        let properties_at = payload_at - publish.properties.as_bytes().len();
        let head = Head::new(flags, topic, properties_at, payload_at);
        Self(ThinArc::from_header_and_slice(head, wire))
    }

    /// A message made here and not read from the wire. `properties` may hold anything that a PUBLISH
    /// may; a Message Expiry Interval counts from `now`.
    ///
    /// # Errors
    /// The topic is not a topic name, the properties don't belong into a PUBLISH, or the packet
    /// would exceed what MQTT can express. Nothing is allocated then.
    pub fn new(
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        properties: Properties<'_>,
        now: Time,
    ) -> Result<Self, EncodeError> {
        let mut scratch = Vec::new();
        Self::new_with(topic, payload, (qos, retain), properties, now, &mut scratch)
    }

    /// As [`new`](Self::new), with `scratch` as memory that is reused for several messages; QoS and the
    /// RETAIN flag stand together.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_with(
        topic: &str,
        payload: &[u8],
        (qos, retain): (QoS, bool),
        properties: Properties<'_>,
        now: Time,
        scratch: &mut Vec<u8>,
    ) -> Result<Self, EncodeError> {
        let parts = Parts {
            topic,
            payload,
            qos,
            retain,
            properties,
            expires: expiry(properties, now),
            arrived: now,
            origin: Origin::NONE,
        };
        Self::from_parts_with(parts, scratch)
    }

    /// A message from its parts, as a store kept them.
    ///
    /// # Errors
    /// As [`Message::new`].
    pub fn from_parts(parts: Parts<'_>) -> Result<Self, EncodeError> {
        Self::from_parts_with(parts, &mut Vec::new())
    }

    /// As [`from_parts`](Self::from_parts), with `scratch` as memory that is reused for several messages.
    ///
    /// # Errors
    /// As [`Message::new`].
    pub fn from_parts_with(parts: Parts<'_>, scratch: &mut Vec<u8>) -> Result<Self, EncodeError> {
        let Parts {
            topic,
            payload,
            properties,
            ..
        } = parts;
        let len = topic.len() + properties.as_bytes().len() + payload.len();
        if len + LONGEST_HEAD > MAX_VARIABLE_BYTE_INTEGER as usize {
            return Err(EncodeError::PacketTooLarge);
        }
        TopicName::parse(topic, usize::MAX)
            .map_err(|_| EncodeError::Invalid("not a valid topic name"))?;
        Properties::parse(properties.as_bytes(), Place::Publish)
            .map_err(|e| EncodeError::Invalid(e.what))?;
        let flags = Flags {
            qos: parts.qos,
            retain: parts.retain,
            expires: parts.expires,
            arrived: parts.arrived,
            origin: parts.origin,
        };
        scratch.clear();
        scratch.reserve(2 + len);
        Ok(Self::assemble(topic, properties, payload, flags, scratch))
    }

    /// The same message as if it came in at `now`, for one that was made long before it is published:
    /// a copy of it.
    #[must_use]
    pub fn arriving(&self, now: Time) -> Self {
        let of = self.head();
        let head = Head {
            origin: of.origin,
            expires: of.expires,
            log_seq: AtomicU64::new(0),
            properties_at: of.properties_at,
            payload_at: of.payload_at,
            arrived: now.0 as u32,
            topic_len: of.topic_len,
            qos: of.qos,
            retain: of.retain,
        };
        Self(ThinArc::from_header_and_slice(head, &self.0.slice))
    }

    /// Tells this message from others that are alive, whatever they hold: clones have the same.
    #[must_use]
    pub fn identity(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        // It was a &str when the message was made.
        std::str::from_utf8(self.topic_bytes()).unwrap_or_default()
    }

    /// The topic name as bytes, without looking at them.
    pub fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[2..2 + usize::from(self.head().topic_len)]
    }

    /// The properties that travel with the message.
    pub fn properties(&self) -> Properties<'_> {
        Properties::trusted(self.properties_bytes())
    }

    /// The application message itself.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.0.slice[self.head().payload_at as usize..]
    }

    /// The QoS it was published with.
    pub fn qos(&self) -> QoS {
        self.head().qos
    }

    /// The RETAIN flag it was published with.
    pub fn retain(&self) -> bool {
        self.head().retain
    }

    /// Which session published it.
    pub fn origin(&self) -> Origin {
        self.head().origin
    }

    /// When it expires; [`Time::NEVER`] when it doesn't.
    pub fn expires(&self) -> Time {
        self.head().expires
    }

    /// Whether it has expired [MQTT-3.3.2-5].
    pub fn is_expired(&self, now: Time) -> bool {
        self.head().expires <= now
    }

    /// Seconds of life left, `None` when it lives for ever.
    pub fn expiry_left(&self, now: Time) -> Option<u32> {
        let expires = self.head().expires;
        (expires != Time::NEVER).then(|| expires.seconds_left(now).min(u32::MAX.into()) as u32)
    }

    /// Milliseconds since it came in, or since the time it was made with: 0 when that is later than
    /// `now`. Counted modulo 49.7 days.
    pub fn age(&self, now: Time) -> u64 {
        let passed = (now.0 as u32).wrapping_sub(self.head().arrived);
        if passed > u32::MAX - AHEAD {
            return 0;
        }
        passed.into()
    }

    /// The message's place in the log of a store, counted from 1; 0 when it is in none.
    pub fn log_seq(&self) -> u64 {
        match self.head().log_seq.load(Ordering::Relaxed) {
            FOR_THE_LOG => 0,
            seq => seq,
        }
    }

    /// Whether the message was given to a store for its log, which has neither kept nor refused it so far.
    pub fn is_for_the_log(&self) -> bool {
        self.head().log_seq.load(Ordering::Relaxed) == FOR_THE_LOG
    }

    /// The message is given to a store for its log. Said by the shard that does so, before anybody else can
    /// find the message; it is for the log until it has its [place](Self::set_log_seq), or
    /// [is refused](crate::broker::durable::StoreOp::refuse).
    pub fn set_for_the_log(&self) {
        self.head().log_seq.store(FOR_THE_LOG, Ordering::Relaxed);
    }

    /// The message has this place in the log. Said by the store alone, once, before any shard gets the
    /// message from it: whoever passes the message on makes it visible.
    pub fn set_log_seq(&self, seq: u64) {
        self.head().log_seq.store(seq, Ordering::Relaxed);
    }

    /// Bytes that the message keeps in memory.
    pub fn memory(&self) -> usize {
        self.0.slice.len() + size_of::<Head>() + 2 * size_of::<usize>()
    }

    /// Length of the whole PUBLISH for this delivery. One over the receiver's Maximum Packet Size, or
    /// over [`MAX_PACKET_SIZE`](crate::codec::MAX_PACKET_SIZE), must not be written [MQTT-3.1.2-25].
    pub fn publish_len(&self, version: ProtocolVersion, delivery: &Delivery<'_>) -> usize {
        let len = self.remaining_length(version, delivery);
        1 + variable_byte_integer_len(len as u32) + len
    }

    /// Appends the PUBLISH for this delivery up to its payload, which the caller appends or sends
    /// as its own slice: that is what saves copying large payloads.
    pub fn write_publish_head(
        &self,
        version: ProtocolVersion,
        delivery: &Delivery<'_>,
        out: &mut Vec<u8>,
    ) {
        let head = self.head();
        out.push(first_byte(delivery.dup, delivery.qos, delivery.retain));
        write_variable_byte_integer(self.remaining_length(version, delivery) as u32, out);
        if !sends_topic(version, delivery) {
            out.extend_from_slice(&[0, 0]);
        } else if delivery.mount_len == 0 {
            out.extend_from_slice(&self.0.slice[..2 + usize::from(head.topic_len)]);
        } else {
            let topic = &self.topic_bytes()[usize::from(delivery.mount_len)..];
            out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
            out.extend_from_slice(topic);
        }
        if delivery.packet_id != 0 {
            out.extend_from_slice(&delivery.packet_id.to_be_bytes());
        }
        if version.is_v5() {
            let len = self.properties_len(delivery);
            write_variable_byte_integer(len as u32, out);
            if len > 0 {
                write_own_properties(delivery, out);
                out.extend_from_slice(self.properties_bytes());
            }
        }
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    fn properties_bytes(&self) -> &[u8] {
        let head = self.head();
        &self.0.slice[head.properties_at as usize..head.payload_at as usize]
    }

    fn remaining_length(&self, version: ProtocolVersion, delivery: &Delivery<'_>) -> usize {
        let mut len = 2 + self.payload().len();
        if sends_topic(version, delivery) {
            len += usize::from(self.head().topic_len - delivery.mount_len);
        }
        if delivery.packet_id != 0 {
            len += 2;
        }
        if version.is_v5() {
            let properties = self.properties_len(delivery);
            len += variable_byte_integer_len(properties as u32) + properties;
        }
        len
    }

    fn properties_len(&self, delivery: &Delivery<'_>) -> usize {
        let mut len = self.properties_bytes().len();
        if delivery.expiry.is_some() {
            len += 5;
        }
        if delivery.topic_alias.is_some() {
            len += 3;
        }
        for id in delivery.subscription_ids {
            len += 1 + variable_byte_integer_len(*id);
        }
        len
    }

    /// Puts the bytes together, with those of the properties that travel.
    fn assemble(
        topic: &str,
        properties: Properties<'_>,
        payload: &[u8],
        flags: Flags,
        scratch: &mut Vec<u8>,
    ) -> Self {
        debug_assert!(topic.len() <= usize::from(u16::MAX));
        scratch.clear();
        scratch.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        scratch.extend_from_slice(topic.as_bytes());
        let properties_at = scratch.len();
        properties.copy_to(scratch, travels);
        let payload_at = scratch.len();
        scratch.extend_from_slice(payload);
        let head = Head::new(flags, topic, properties_at, payload_at);
        Self(ThinArc::from_header_and_slice(head, scratch))
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos())
            .field("retain", &self.retain())
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}

struct Flags {
    qos: QoS,
    retain: bool,
    expires: Time,
    arrived: Time,
    origin: Origin,
}

/// Whether the body as it came from the wire is the message: nothing in it is a matter of one
/// delivery, and no field of `publish` was replaced since it was decoded.
#[inline]
pub(crate) fn stands_on_the_wire(publish: &Publish<'_>, topic: &str) -> bool {
    let wire = publish.wire().as_ptr_range();
    let payload = publish.payload.as_ptr_range();
    let properties = publish.properties.as_bytes().as_ptr_range();
    let topic_len = (topic.len() as u16).to_be_bytes();
    publish.wire().starts_with(&topic_len)
        && publish.wire()[2..].starts_with(topic.as_bytes())
        && payload.end == wire.end
        && (publish.properties.is_empty() || properties.end == payload.start)
        && publish.properties.iter().all(travels)
}

/// Without MQTT 5.0 there are no aliases, so the topic always goes.
fn sends_topic(version: ProtocolVersion, delivery: &Delivery<'_>) -> bool {
    !version.is_v5() || delivery.topic_alias.is_none_or(|alias| alias.with_topic)
}

/// Whether a property goes on with the message, and is not written anew for each delivery.
fn travels(property: Property<'_>) -> bool {
    !matches!(
        property.id,
        PropertyId::TopicAlias
            | PropertyId::MessageExpiryInterval
            | PropertyId::SubscriptionIdentifier
    )
}

fn expiry(properties: Properties<'_>, now: Time) -> Time {
    properties
        .number(PropertyId::MessageExpiryInterval)
        .map_or(Time::NEVER, |seconds| now.after_seconds(seconds.into()))
}

fn write_own_properties(delivery: &Delivery<'_>, out: &mut Vec<u8>) {
    if let Some(seconds) = delivery.expiry {
        out.push(PropertyId::MessageExpiryInterval as u8);
        out.extend_from_slice(&seconds.to_be_bytes());
    }
    if let Some(alias) = delivery.topic_alias {
        out.push(PropertyId::TopicAlias as u8);
        out.extend_from_slice(&alias.number.to_be_bytes());
    }
    for id in delivery.subscription_ids {
        out.push(PropertyId::SubscriptionIdentifier as u8);
        write_variable_byte_integer(*id, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(now: Time) -> Message {
        let none = Properties::EMPTY;
        Message::new("a/b", b"x", QoS::AtLeastOnce, true, none, now).unwrap()
    }

    #[test]
    fn the_head_takes_40_bytes() {
        assert_eq!(size_of::<Head>(), 40);
    }

    #[test]
    fn age_counts_over_the_end_of_32_bits_and_is_never_negative() {
        for start in [0, 5_000, u64::from(u32::MAX) - 10, 1 << 40] {
            let message = message(Time(start));
            for age in [0, 1, 500, 1_000_000, 3_000_000_000] {
                assert_eq!(message.age(Time(start + age)), age, "{start}");
            }
            for ahead in [1, 1_000, 1 << 23] {
                assert_eq!(message.age(Time(start.wrapping_sub(ahead))), 0, "{start}");
            }
        }
    }

    #[test]
    fn one_that_arrives_later_is_the_same_but_for_its_age() {
        let made = message(Time(1_000));
        let now = Time(90_000);
        let arriving = made.arriving(now);
        assert_eq!((made.age(now), arriving.age(now)), (89_000, 0));
        assert_eq!(arriving.topic(), made.topic());
        assert_eq!(arriving.payload(), made.payload());
        assert_eq!((arriving.qos(), arriving.retain()), (made.qos(), true));
        assert_ne!(arriving.identity(), made.identity());
    }
}
