//! A message to publish, as C gives it and as the client takes it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void};

use ternmq_protocol::codec::{Place, PropertiesBuf, PropertyId, QoS};
use ternmq_protocol::{EncodeError, Message, Time};

use crate::types::client::*;
use crate::types::properties::MQTTProperties;
use crate::{options, properties, ptr};

/// What the publishing calls of both APIs are given.
pub(crate) struct Given {
    pub(crate) topic: *const c_char,
    pub(crate) payloadlen: c_int,
    pub(crate) payload: *const c_void,
    pub(crate) qos: c_int,
    pub(crate) retained: c_int,
    pub(crate) properties: *const MQTTProperties,
}

impl Given {
    /// The parts of a struct, which is the same in both APIs.
    ///
    /// # Errors
    /// `MQTTCLIENT_NULL_PARAMETER`, `MQTTCLIENT_BAD_STRUCTURE`.
    ///
    /// # Safety
    /// `message` is NULL or leads to a message, complete up to its version.
    pub(crate) unsafe fn from_message(
        topic: *const c_char,
        message: *const MQTTClient_message,
    ) -> Result<Self, c_int> {
        if message.is_null() {
            return Err(MQTTCLIENT_NULL_PARAMETER);
        }
        // SAFETY: as the caller promises, and each member is read only from the version on that has
        // it.
        unsafe {
            let version =
                ptr::struct_version(message, b"MQTM", 1).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
            Ok(Self {
                topic,
                payloadlen: ptr::member!(message, payloadlen),
                payload: ptr::member!(message, payload),
                qos: ptr::member!(message, qos),
                retained: ptr::member!(message, retained),
                properties: match version {
                    0 => std::ptr::null(),
                    _ => &raw const (*message).properties,
                },
            })
        }
    }

    /// The message, checked in the order of Paho.
    ///
    /// # Errors
    /// The code that names what is wrong; it is the same in both APIs.
    ///
    /// # Safety
    /// The pointers lead to what C programs put there.
    pub(crate) unsafe fn read<'a>(&self, is_v5: bool) -> Result<Outgoing<'a>, c_int> {
        // SAFETY: as the caller promises.
        unsafe {
            let topic = ptr::text(self.topic).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING)?;
            let qos = options::qos(self.qos);
            let payload = ptr::slice(self.payload.cast::<u8>(), self.payloadlen);
            Ok(Outgoing {
                topic: topic.ok_or(MQTTCLIENT_NULL_PARAMETER)?,
                qos: qos?,
                payload: payload.ok_or(MQTTCLIENT_NULL_PARAMETER)?,
                retain: self.retained != 0,
                properties: match is_v5 {
                    true => publish_properties(self.properties)?,
                    false => PropertiesBuf::default(),
                },
            })
        }
    }
}

/// A message to publish, as the application gave it.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: PropertiesBuf,
}

impl Outgoing<'_> {
    /// The message. The clock is read only for one that expires, the aliases only for one with an
    /// alias; `scratch` is memory that several messages may share.
    ///
    /// # Errors
    /// The topic is none, or the packet would be too large.
    pub(crate) fn message(
        &self,
        now: impl FnOnce() -> Time,
        resolve: impl FnOnce(u32, &str) -> String,
        scratch: &mut Vec<u8>,
    ) -> Result<Message, EncodeError> {
        let properties = self.properties.get();
        let now = match properties.number(PropertyId::MessageExpiryInterval) {
            Some(_) => now(),
            None => Time::default(),
        };
        let topic = match properties.number(PropertyId::TopicAlias) {
            Some(alias) => Cow::Owned(resolve(alias, self.topic)),
            None => Cow::Borrowed(self.topic),
        };
        let flags = (self.qos, self.retain);
        Message::new_with(&topic, self.payload, flags, properties, now, scratch)
    }
}

/// The topic aliases that the application has set on this connection. The session makes its own, so
/// a message with an alias and no topic gets its topic back here.
#[derive(Default)]
pub(crate) struct Aliases(HashMap<u32, String>);

impl Aliases {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The topic of a message with an alias, which may stand for it.
    pub(crate) fn resolve(&mut self, alias: u32, topic: &str) -> String {
        if topic.is_empty() {
            return self.0.get(&alias).cloned().unwrap_or_default();
        }
        self.0.insert(alias, topic.to_owned());
        topic.to_owned()
    }
}

/// # Safety
/// `list` is NULL or leads to a list.
unsafe fn publish_properties(list: *const MQTTProperties) -> Result<PropertiesBuf, c_int> {
    // SAFETY: as the caller promises.
    let properties = unsafe { properties::to_wire(list, Place::Publish)? };
    // Only a server sends this one in a PUBLISH [MQTT-3.3.4-6].
    match properties.get().number(PropertyId::SubscriptionIdentifier) {
        Some(_) => Err(MQTTCLIENT_BAD_MQTT_OPTION),
        None => Ok(properties),
    }
}
