//! A message that came in, as C shares it: its topic, payload and properties stay where the client has
//! put them, and C's struct holds a reference.
//!
//! The struct is C's own memory. What it holds is the client's value itself, moved there bit by bit: so
//! handing a message out costs no allocation, and a copy of the bytes moves it as Rust would.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;

use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::QoS;

use crate::properties::Value;
use crate::ptr;
use crate::types::beyond::*;
use crate::types::client::{MQTTCLIENT_BAD_STRUCTURE, MQTTCLIENT_NULL_PARAMETER};
use crate::types::properties::MQTTPropertyCodes;

const ID: &[u8; 4] = b"TQMG";
const SUBSCRIPTION_IDENTIFIER: MQTTPropertyCodes = 11;
const MESSAGE_EXPIRY_INTERVAL: MQTTPropertyCodes = 2;
/// What `expires_in` says of a message that lives for ever.
const NEVER: i64 = -1;

const _: () = {
    assert!(size_of::<Incoming>() <= size_of::<[u64; TERNMQ_HELD]>());
    assert!(align_of::<Incoming>() <= align_of::<u64>());
};

impl ternmq_message {
    /// `ternmq_message_initializer`.
    pub(crate) const EMPTY: Self = Self {
        struct_id: [
            ID[0] as c_char,
            ID[1] as c_char,
            ID[2] as c_char,
            ID[3] as c_char,
        ],
        struct_version: 0,
        topic: std::ptr::null(),
        topic_len: 0,
        payload: std::ptr::null(),
        payload_len: 0,
        qos: 0,
        retained: 0,
        dup: 0,
        packet_id: 0,
        delivery: 0,
        expires_in: NEVER,
        held: [MaybeUninit::new(0); TERNMQ_HELD],
    };

    /// The struct that holds a message; `expires_in` as its seconds of life are known.
    pub(crate) fn holding(incoming: Incoming, expires_in: Option<u32>) -> Self {
        let (topic, payload) = (incoming.message.topic_bytes(), incoming.message.payload());
        let mut result = Self {
            topic: topic.as_ptr().cast(),
            topic_len: topic.len(),
            payload: payload.as_ptr().cast::<c_void>(),
            payload_len: payload.len(),
            qos: incoming.qos as c_int,
            retained: incoming.retain.into(),
            // The session gives a QoS 2 message out once, so none is a duplicate.
            dup: (incoming.dup && incoming.qos != QoS::ExactlyOnce).into(),
            packet_id: incoming.packet_id.into(),
            delivery: match incoming.qos {
                QoS::AtMostOnce => 0,
                _ => incoming.delivery.0,
            },
            expires_in: expires_in.map_or(NEVER, i64::from),
            ..Self::EMPTY
        };
        // SAFETY: the memory is large enough and aligned, as was asserted. The pointers above lead into
        // the shared allocation, which does not move.
        unsafe { result.place().write(incoming) };
        result
    }

    /// Whether it holds a message.
    fn is_held(&self) -> bool {
        !self.topic.is_null()
    }

    /// The message that it holds.
    ///
    /// # Safety
    /// The struct is as the library or the initializer has made it.
    unsafe fn incoming(&self) -> Option<&Incoming> {
        // SAFETY: what is held was put there by `holding`, and not taken out since.
        self.is_held()
            .then(|| unsafe { &*(&raw const self.held).cast::<Incoming>() })
    }

    /// Takes the message out; the struct is empty then.
    ///
    /// # Safety
    /// As [`incoming`](Self::incoming).
    pub(crate) unsafe fn take(&mut self) -> Option<Incoming> {
        if !self.is_held() {
            return None;
        }
        // SAFETY: as above; nobody sees the bits that stay behind.
        let incoming = unsafe { self.place().read() };
        *self = Self::EMPTY;
        Some(incoming)
    }

    fn place(&mut self) -> *mut Incoming {
        (&raw mut self.held).cast()
    }
}

/// The struct that C gives, checked.
///
/// # Errors
/// `MQTTCLIENT_NULL_PARAMETER`, `MQTTCLIENT_BAD_STRUCTURE`.
///
/// # Safety
/// `message` is NULL or leads to at least its identifier and version; to the rest, as the initializer or
/// the library has made it, if these are right.
pub(crate) unsafe fn checked<'a>(
    message: *mut ternmq_message,
) -> Result<&'a mut ternmq_message, c_int> {
    if message.is_null() {
        return Err(MQTTCLIENT_NULL_PARAMETER);
    }
    // SAFETY: as the caller promises.
    unsafe {
        ptr::struct_version(message, ID, 0).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        Ok(&mut *message)
    }
}

/// A second reference to what a struct holds, if it holds something.
///
/// # Safety
/// `from` is as the library or the initializer has made it.
pub(crate) unsafe fn clone(from: &ternmq_message) -> Option<ternmq_message> {
    // SAFETY: as the caller promises.
    let incoming = unsafe { from.incoming() }?;
    let expires_in = u32::try_from(from.expires_in).ok();
    Some(ternmq_message::holding(incoming.clone(), expires_in))
}

/// A property at a position, and the position of the next: first the subscription identifiers, then the
/// expiry, then what travels with the message, by its bytes.
///
/// # Safety
/// As [`clone`]. The strings are valid as long as a struct holds the message.
pub(crate) unsafe fn property(
    message: &ternmq_message,
    position: usize,
) -> Option<(MQTTPropertyCodes, Value<'_>, usize)> {
    // SAFETY: as the caller promises.
    let incoming = unsafe { message.incoming() }?;
    let ids = incoming.subscription_ids.as_slice();
    if let Some(id) = ids.get(position) {
        return Some((SUBSCRIPTION_IDENTIFIER, Value::Variable(*id), position + 1));
    }
    let mut begin = ids.len();
    if let Ok(seconds) = u32::try_from(message.expires_in) {
        if position == begin {
            let expiry = Value::FourByte(seconds);
            return Some((MESSAGE_EXPIRY_INTERVAL, expiry, position + 1));
        }
        begin += 1;
    }
    let properties = incoming.message.properties();
    let (property, next) = properties.read_at(position - begin)?;
    let value = Value::from_wire(property.value);
    Some((property.id as MQTTPropertyCodes, value, begin + next))
}
