//! The property list that C sees, to and from the form that packets carry.

use std::ffi::c_int;

use ternmq_protocol::codec::primitive::read_variable_byte_integer;
use ternmq_protocol::codec::{Place, Properties, PropertiesBuf, Value as Wire};

use super::{Value, add, id_of, list, value};
use crate::ptr;
use crate::types::client::{MQTTCLIENT_BAD_MQTT_OPTION, MQTTCLIENT_BAD_UTF8_STRING};
use crate::types::properties::{MQTTProperties, MQTTPropertyCodes};

/// The list as a packet carries it; empty for NULL.
///
/// # Errors
/// `MQTTCLIENT_BAD_UTF8_STRING` for a string that is none, `MQTTCLIENT_BAD_MQTT_OPTION` for a
/// property that the packet can't carry or whose value is forbidden.
///
/// # Safety
/// `properties` is NULL or as [`list`] says.
pub(crate) unsafe fn to_wire(
    properties: *const MQTTProperties,
    place: Place,
) -> Result<PropertiesBuf, c_int> {
    // SAFETY: as the caller promises.
    let buf = unsafe { encode(properties) }?;
    buf.check(place).map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
    Ok(buf)
}

/// The list as packets carry it, without a look at which of them may.
///
/// # Errors
/// As [`to_wire`].
///
/// # Safety
/// As [`to_wire`].
pub(crate) unsafe fn encode(properties: *const MQTTProperties) -> Result<PropertiesBuf, c_int> {
    let mut buf = PropertiesBuf::default();
    // SAFETY: as the caller promises.
    let all = unsafe { ptr::get(properties).map_or(&[][..], |all| list(all)) };
    for property in all {
        // SAFETY: the property is part of the list.
        let value = unsafe { value(property) }.map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
        let id = id_of(property.identifier).ok_or(MQTTCLIENT_BAD_MQTT_OPTION)?;
        buf.push(id, value.to_wire()?)
            .map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
    }
    Ok(buf)
}

/// The list that stands at the beginning of `bytes`, with its length before it, and how many bytes that
/// takes; `None` where there is none that any packet may have.
pub(crate) fn decode(bytes: &[u8]) -> Option<(MQTTProperties, usize)> {
    let (length, head) = read_variable_byte_integer(bytes).ok()??;
    let len = head + length as usize;
    let encoded = bytes.get(head..len)?;
    let read = |place: &Place| Properties::parse(encoded, *place).ok();
    let properties = EVERYWHERE.iter().find_map(read)?;
    Some((from_wire(properties), len))
}

/// Where properties may stand.
const EVERYWHERE: [Place; 10] = [
    Place::Connect,
    Place::Will,
    Place::ConnAck,
    Place::Publish,
    Place::Ack,
    Place::Subscribe,
    Place::SubAck,
    Place::Unsubscribe,
    Place::Disconnect,
    Place::Auth,
];

/// A list with copies of what came in a packet. When memory is exhausted the rest is left out.
pub(crate) fn from_wire(properties: Properties<'_>) -> MQTTProperties {
    let mut list = MQTTProperties::EMPTY;
    for property in properties.iter() {
        let value = Value::from_wire(property.value);
        // SAFETY: the list is ours alone.
        let _ = unsafe { add(&mut list, property.id as MQTTPropertyCodes, value) };
    }
    list
}

impl<'a> Value<'a> {
    fn to_wire(self) -> Result<Wire<'a>, c_int> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING);
        Ok(match self {
            Self::Byte(n) => Wire::Byte(n),
            Self::TwoByte(n) => Wire::TwoByteInteger(n),
            Self::FourByte(n) => Wire::FourByteInteger(n),
            Self::Variable(n) => Wire::VariableByteInteger(n),
            Self::Binary(bytes) => Wire::BinaryData(bytes),
            Self::String(bytes) => Wire::Utf8String(text(bytes)?),
            Self::Pair(name, value) => Wire::Utf8StringPair(text(name)?, text(value)?),
        })
    }

    pub(crate) fn from_wire(value: Wire<'a>) -> Self {
        match value {
            Wire::Byte(n) => Self::Byte(n),
            Wire::TwoByteInteger(n) => Self::TwoByte(n),
            Wire::FourByteInteger(n) => Self::FourByte(n),
            Wire::VariableByteInteger(n) => Self::Variable(n),
            Wire::BinaryData(bytes) => Self::Binary(bytes),
            Wire::Utf8String(text) => Self::String(text.as_bytes()),
            Wire::Utf8StringPair(name, value) => Self::Pair(name.as_bytes(), value.as_bytes()),
        }
    }
}
