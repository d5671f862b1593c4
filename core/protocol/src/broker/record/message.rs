//! A message as a record: on its own, as the retained one of its topic, or waiting for sessions.

use super::fields::{Reader, put_bytes, put_number, put_option};
use super::{RECORD_VERSION, RecordError, open};
use crate::codec::{Properties, QoS};
use crate::error::EncodeError;
use crate::message::{Message, Origin, Parts};
use crate::time::{Clock, Time, UnixMs};

const TOPIC: u8 = 1;
const PROPERTIES: u8 = 2;
const PAYLOAD: u8 = 3;
const FLAGS: u8 = 4;
const EXPIRES: u8 = 5;
const ORIGIN: u8 = 6;
const DUE: u8 = 7;
const HOME: u8 = 8;
const PLACE: u8 = 9;

/// QoS and RETAIN as one number.
pub(super) fn flags(qos: QoS, retain: bool) -> u64 {
    qos as u64 | u64::from(retain) << 2
}

/// What [`flags`] made.
pub(super) fn read_flags(flags: u8) -> Result<(QoS, bool), RecordError> {
    match (QoS::from_bits(flags & 3), flags >> 2) {
        (Some(qos), retain @ 0..=1) => Ok((qos, retain == 1)),
        _ => Err(RecordError::Damaged("flags that do not exist")),
    }
}

/// Appends the record of a message.
pub fn encode_message(message: &Message, clock: Clock, out: &mut Vec<u8>) {
    out.push(RECORD_VERSION);
    put_bytes(out, TOPIC, message.topic_bytes());
    put_bytes(out, PROPERTIES, message.properties().as_bytes());
    put_bytes(out, PAYLOAD, message.payload());
    put_number(out, FLAGS, flags(message.qos(), message.retain()));
    put_option(out, EXPIRES, clock.utc(message.expires()).map(|at| at.0));
    let origin = message.origin();
    put_option(out, ORIGIN, (origin != Origin::NONE).then_some(origin.0));
}

/// Appends the record of a retained message, with its place in the log of the same store, 0 if it has none.
pub fn encode_retained(message: &Message, place: u64, clock: Clock, out: &mut Vec<u8>) {
    encode_message(message, clock, out);
    put_option(out, PLACE, (place > 0).then_some(place));
}

/// A message that is to be published later.
#[derive(Clone, Debug)]
pub struct DelayedRecord {
    /// The message, its expiry counted already.
    pub message: Message,
    /// When it is to be published.
    pub due: UnixMs,
    /// On which shard it waited: a hint for the same node. On one shard those due at the same time
    /// keep their order.
    pub home: u16,
}

impl DelayedRecord {
    /// Appends the record.
    pub fn encode(&self, clock: Clock, out: &mut Vec<u8>) {
        encode_message(&self.message, clock, out);
        put_number(out, DUE, self.due.0);
        put_number(out, HOME, self.home.into());
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8], clock: Clock) -> Result<Self, RecordError> {
        let (mut due, mut home) = (0, 0);
        let mut fields = open(bytes)?;
        while !fields.is_empty() {
            match fields.field()? {
                (DUE, field) => due = field.whole()?,
                (HOME, field) => home = field.whole()?,
                _ => {}
            }
        }
        let due = UnixMs(due);
        // One that was due while nothing ran comes in now.
        let arrived = clock.time(Some(due)).max(clock.now());
        let message = read_message(bytes, clock, arrived)?;
        Ok(Self { message, due, home })
    }
}

/// Reads the record of a message. Fields that this version does not know are lost here: a message is
/// never written again from what was read, only forwarded. Its age counts from now.
///
/// # Errors
/// [`RecordError`].
pub fn decode_message(bytes: &[u8], clock: Clock) -> Result<Message, RecordError> {
    read_message(bytes, clock, clock.now())
}

/// Reads the record of a retained message. It has its [place](Message::log_seq) in the log, if the record says
/// so: one of an older program does not.
///
/// # Errors
/// [`RecordError`].
pub fn decode_retained(bytes: &[u8], clock: Clock) -> Result<Message, RecordError> {
    let mut place = 0;
    let mut fields = open(bytes)?;
    while !fields.is_empty() {
        if let (PLACE, field) = fields.field()? {
            place = field.whole()?;
        }
    }
    let message = decode_message(bytes, clock)?;
    message.set_log_seq(place);
    Ok(message)
}

fn read_message(bytes: &[u8], clock: Clock, arrived: Time) -> Result<Message, RecordError> {
    let mut fields = open(bytes)?;
    let (mut topic, mut payload, mut properties) = ("", &[][..], &[][..]);
    let (mut bits, mut expires, mut origin) = (0, None, Origin::NONE);
    while !fields.is_empty() {
        match fields.field()? {
            (TOPIC, field) => topic = field.text()?,
            (PROPERTIES, Reader(bytes)) => properties = bytes,
            (PAYLOAD, Reader(bytes)) => payload = bytes,
            (FLAGS, field) => bits = field.whole()?,
            (EXPIRES, field) => expires = Some(UnixMs(field.whole()?)),
            (ORIGIN, field) => origin = Origin(field.whole()?),
            _ => {}
        }
    }
    let (qos, retain) = read_flags(bits)?;
    let parts = Parts {
        topic,
        payload,
        qos,
        retain,
        // Checked by the message.
        properties: Properties::trusted(properties),
        expires: clock.time(expires),
        arrived,
        origin,
    };
    Message::from_parts(parts).map_err(|error| {
        RecordError::Damaged(match error {
            EncodeError::Invalid(what) => what,
            _ => "larger than a packet",
        })
    })
}
