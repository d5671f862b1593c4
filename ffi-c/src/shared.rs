//! A message that came in, as C shares it: its topic, payload and properties stay where the client has
//! put them, and C's struct holds a reference.
//!
//! The struct is C's own memory. What it holds is the client's value itself, moved there bit by bit: so
//! handing a message out costs no allocation, and a copy of the bytes moves it as Rust would.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::QoS;

use crate::properties::Value;
use crate::types::beyond::*;
use crate::types::client::{MQTTCLIENT_BAD_STRUCTURE, MQTTCLIENT_NULL_PARAMETER};
use crate::types::properties::MQTTPropertyCodes;
use crate::{ptr, sized};

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
        struct_size: size_of::<Self>(),
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
        unsafe { (&raw mut result.held).cast::<Incoming>().write(incoming) };
        result
    }
}

/// A struct of C's of whatever version, or the library's own that was lent to C: nothing outside its size is
/// touched.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    message: *mut ternmq_message,
    size: usize,
}

impl Place {
    /// The struct that C gives, checked.
    ///
    /// # Errors
    /// `MQTTCLIENT_NULL_PARAMETER`, `MQTTCLIENT_BAD_STRUCTURE`.
    ///
    /// # Safety
    /// `message` is NULL or leads to its size, and to a struct that the initializer or the library has made
    /// if that is right.
    pub(crate) unsafe fn new(message: *mut ternmq_message) -> Result<Self, c_int> {
        if message.is_null() {
            return Err(MQTTCLIENT_NULL_PARAMETER);
        }
        // SAFETY: as the caller promises.
        let size = unsafe { sized::size(message) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        Ok(Self { message, size })
    }

    /// A struct of the library itself.
    pub(crate) fn own(message: &mut ternmq_message) -> Self {
        Self {
            message,
            size: size_of::<ternmq_message>(),
        }
    }

    pub(crate) fn size(self) -> usize {
        self.size
    }

    /// Fills in an empty struct, whose size stays as it is.
    ///
    /// # Safety
    /// The struct is there, and as the library or the initializer has made it.
    pub(crate) unsafe fn fill(self, message: &ternmq_message) {
        // SAFETY: as the caller promises.
        unsafe { sized::fill(self.message, self.size, message) };
    }

    /// Takes the message out; the struct is empty then.
    ///
    /// # Safety
    /// As [`fill`](Self::fill).
    pub(crate) unsafe fn take(self) -> Option<Incoming> {
        // SAFETY: as the caller promises; nobody sees the bits that stay behind.
        unsafe {
            let incoming = self.held()?.read();
            self.fill(&ternmq_message::EMPTY);
            Some(incoming)
        }
    }

    /// A second reference to what the struct holds, if it holds something.
    ///
    /// # Safety
    /// As [`fill`](Self::fill).
    pub(crate) unsafe fn share(self) -> Option<ternmq_message> {
        // SAFETY: as the caller promises.
        unsafe {
            let incoming = (*self.held()?).clone();
            Some(ternmq_message::holding(incoming, self.expires_in()))
        }
    }

    /// A property at a position, and the position of the next: first the subscription identifiers, then
    /// the expiry, then what travels with the message, by its bytes.
    ///
    /// # Safety
    /// As [`fill`](Self::fill). The strings are valid as long as a struct holds the message.
    pub(crate) unsafe fn property<'a>(
        self,
        position: usize,
    ) -> Option<(MQTTPropertyCodes, Value<'a>, usize)> {
        // SAFETY: as the caller promises.
        let (incoming, expires_in) = unsafe { (&*self.held()?, self.expires_in()) };
        property(incoming, expires_in, position)
    }

    /// What it holds, put there by [`ternmq_message::holding`] and not taken out since.
    ///
    /// # Safety
    /// As [`fill`](Self::fill).
    unsafe fn held(self) -> Option<*const Incoming> {
        // SAFETY: as the caller promises. Every version has these members.
        unsafe {
            let is_held = !ptr::member!(self.message, topic).is_null();
            is_held.then(|| (&raw const (*self.message).held).cast())
        }
    }

    /// # Safety
    /// As [`fill`](Self::fill).
    unsafe fn expires_in(self) -> Option<u32> {
        // SAFETY: as the caller promises.
        u32::try_from(unsafe { ptr::member!(self.message, expires_in) }).ok()
    }
}

fn property(
    incoming: &Incoming,
    expires_in: Option<u32>,
    position: usize,
) -> Option<(MQTTPropertyCodes, Value<'_>, usize)> {
    let ids = incoming.subscription_ids.as_slice();
    if let Some(id) = ids.get(position) {
        return Some((SUBSCRIPTION_IDENTIFIER, Value::Variable(*id), position + 1));
    }
    let mut begin = ids.len();
    if let Some(seconds) = expires_in {
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
