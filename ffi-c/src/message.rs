//! A message that came in, as C owns it.

use std::ffi::{c_char, c_int};

use ternmq_protocol::Time;
use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::QoS;

use crate::callback::Callback;
use crate::properties::{self, Value};
use crate::shared::Place;
use crate::types::beyond::{ternmq_message, ternmq_messageArrived};
use crate::types::client::{MQTTClient_message, MQTTClient_messageArrived};
use crate::types::properties::{MQTTProperties, MQTTPropertyCodes};
use crate::{alloc, ptr};

const SUBSCRIPTION_IDENTIFIER: MQTTPropertyCodes = 11;
const MESSAGE_EXPIRY_INTERVAL: MQTTPropertyCodes = 2;

/// Who takes messages, and as what.
#[derive(Clone, Copy)]
pub(crate) enum Arrived {
    /// A copy, which the application frees. The functions of both APIs are of one type.
    Copied(Callback<MQTTClient_messageArrived>),
    /// A reference to the message itself.
    Shared(Callback<ternmq_messageArrived>),
}

impl Arrived {
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Offers a message; gives it back when it is refused. `topic_len` is what the function of the
    /// copy is told of the topic. The clock is read only for a message that expires.
    pub(crate) fn offer(
        self,
        incoming: Incoming,
        topic_len: c_int,
        now: impl FnOnce() -> Time,
    ) -> Result<(), Incoming> {
        match self {
            Self::Copied(Callback { function, context }) => {
                // Without memory for the copy it is as if the application had none.
                let Some(copy) = CMessage::new(&incoming, now) else {
                    return Err(incoming);
                };
                // SAFETY: the application registered the function for this; it owns the message once
                // it returns anything but 0.
                if unsafe { function(context, copy.topic, topic_len, copy.message) } == 0 {
                    return Err(incoming);
                }
                copy.release();
                Ok(())
            }
            Self::Shared(Callback { function, context }) => {
                let mut message = share(incoming, now);
                // SAFETY: as above; the struct is the library's, and valid during the call.
                let taken = unsafe { function(context, &raw mut message) };
                // SAFETY: the struct is as the library has made it, or empty if the function has
                // released what was lent to it, which is to take it.
                match unsafe { Place::own(&mut message).take() } {
                    Some(incoming) if taken == 0 => Err(incoming),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// A message as C shares it.
pub(crate) fn share(incoming: Incoming, now: impl FnOnce() -> Time) -> ternmq_message {
    let expires = incoming.message.expires() != Time::NEVER;
    let left = expires.then(|| incoming.message.expiry_left(now()).unwrap_or_default());
    ternmq_message::holding(incoming, left)
}

/// A message and its topic in memory from `malloc`. Released when dropped, unless C takes it.
pub(crate) struct CMessage {
    pub(crate) topic: *mut c_char,
    /// Bytes of the topic.
    pub(crate) topic_len: c_int,
    pub(crate) message: *mut MQTTClient_message,
}

impl CMessage {
    /// A copy of what came in; `None` when memory is exhausted. The clock is read only for a message
    /// that expires.
    pub(crate) fn new(incoming: &Incoming, now: impl FnOnce() -> Time) -> Option<Self> {
        let topic = incoming.message.topic_bytes();
        let payload = incoming.message.payload();
        let message = MQTTClient_message {
            struct_id: b"MQTM".map(|byte| byte as c_char),
            struct_version: 1,
            payloadlen: c_int::try_from(payload.len()).ok()?,
            payload: alloc::string(payload).cast(),
            qos: incoming.qos as c_int,
            retained: incoming.retain.into(),
            // The session gives a QoS 2 message out once, so none is a duplicate.
            dup: (incoming.dup && incoming.qos != QoS::ExactlyOnce).into(),
            msgid: incoming.packet_id.into(),
            properties: properties_of(incoming, now),
        };
        let result = Self {
            topic: alloc::string(topic),
            topic_len: topic.len() as c_int,
            message: alloc::boxed(message),
        };
        if result.message.is_null() {
            // SAFETY: both were made above and nobody else has them.
            unsafe {
                alloc::free(message.payload);
                properties::free(&mut { message.properties });
            }
            return None;
        }
        // Dropping the result releases whatever was made.
        (!result.topic.is_null() && !message.payload.is_null()).then_some(result)
    }

    /// C owns the message and the topic from now on.
    pub(crate) fn release(self) -> (*mut c_char, *mut MQTTClient_message) {
        let this = std::mem::ManuallyDrop::new(self);
        (this.topic, this.message)
    }
}

impl Drop for CMessage {
    fn drop(&mut self) {
        // SAFETY: the pointers are NULL or ours alone.
        unsafe {
            free(self.message);
            alloc::free(self.topic);
        }
    }
}

/// Releases a message with all it holds. NULL is ignored.
///
/// # Safety
/// `message` is NULL or a message of ours that nobody has freed yet.
pub(crate) unsafe fn free(message: *mut MQTTClient_message) {
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(parts) = ptr::get_mut(message) {
            properties::free(&mut parts.properties);
            alloc::free(parts.payload);
        }
        alloc::free(message);
    }
}

/// The properties that the PUBLISH had, but for the alias, which the client has resolved.
fn properties_of(incoming: &Incoming, now: impl FnOnce() -> Time) -> MQTTProperties {
    let mut list = MQTTProperties::EMPTY;
    let mut add = |id, value| {
        // SAFETY: the list is ours alone. When memory is exhausted the property is left out.
        let _ = unsafe { properties::add(&mut list, id, value) };
    };
    for id in incoming.subscription_ids.as_slice() {
        add(SUBSCRIPTION_IDENTIFIER, Value::Variable(*id));
    }
    if incoming.message.expires() != Time::NEVER {
        let seconds = incoming.message.expiry_left(now()).unwrap_or_default();
        add(MESSAGE_EXPIRY_INTERVAL, Value::FourByte(seconds));
    }
    for property in incoming.message.properties().iter() {
        add(
            property.id as MQTTPropertyCodes,
            Value::from_wire(property.value),
        );
    }
    list
}
