//! The property list that C sees: building, copying, releasing and searching it.

mod wire;

use std::ffi::{CStr, c_int};

use ternmq_protocol::codec::{PropertyId, ValueType};

use crate::alloc;
use crate::types::properties::*;

pub(crate) use wire::{decode, encode, from_wire, to_wire};

/// What `getNumericValue` answers when the list does not hold the property.
pub(crate) const ABSENT: i64 = -9_999_999;
/// What `getNumericValue` answers for a property that is not a number.
pub(crate) const NOT_NUMERIC: i64 = -999_999;

/// By how many places the array of a list grows.
const GROWTH: usize = 10;
/// The longest string or binary value (section 1.5.4).
const LONGEST: c_int = 65_535;
/// The largest variable byte integer (section 1.5.5).
const LARGEST_VARIABLE: u32 = 268_435_455;

/// The names as C programs see them, by identifier.
const NAMES: &[(PropertyId, &CStr)] = &[
    (
        PropertyId::PayloadFormatIndicator,
        c"PAYLOAD_FORMAT_INDICATOR",
    ),
    (
        PropertyId::MessageExpiryInterval,
        c"MESSAGE_EXPIRY_INTERVAL",
    ),
    (PropertyId::ContentType, c"CONTENT_TYPE"),
    (PropertyId::ResponseTopic, c"RESPONSE_TOPIC"),
    (PropertyId::CorrelationData, c"CORRELATION_DATA"),
    (
        PropertyId::SubscriptionIdentifier,
        c"SUBSCRIPTION_IDENTIFIER",
    ),
    (
        PropertyId::SessionExpiryInterval,
        c"SESSION_EXPIRY_INTERVAL",
    ),
    // One letter short: programs written against Paho compare this spelling.
    (
        PropertyId::AssignedClientIdentifier,
        c"ASSIGNED_CLIENT_IDENTIFER",
    ),
    (PropertyId::ServerKeepAlive, c"SERVER_KEEP_ALIVE"),
    (PropertyId::AuthenticationMethod, c"AUTHENTICATION_METHOD"),
    (PropertyId::AuthenticationData, c"AUTHENTICATION_DATA"),
    (
        PropertyId::RequestProblemInformation,
        c"REQUEST_PROBLEM_INFORMATION",
    ),
    (PropertyId::WillDelayInterval, c"WILL_DELAY_INTERVAL"),
    (
        PropertyId::RequestResponseInformation,
        c"REQUEST_RESPONSE_INFORMATION",
    ),
    (PropertyId::ResponseInformation, c"RESPONSE_INFORMATION"),
    (PropertyId::ServerReference, c"SERVER_REFERENCE"),
    (PropertyId::ReasonString, c"REASON_STRING"),
    (PropertyId::ReceiveMaximum, c"RECEIVE_MAXIMUM"),
    (PropertyId::TopicAliasMaximum, c"TOPIC_ALIAS_MAXIMUM"),
    (PropertyId::TopicAlias, c"TOPIC_ALIAS"),
    (PropertyId::MaximumQoS, c"MAXIMUM_QOS"),
    (PropertyId::RetainAvailable, c"RETAIN_AVAILABLE"),
    (PropertyId::UserProperty, c"USER_PROPERTY"),
    (PropertyId::MaximumPacketSize, c"MAXIMUM_PACKET_SIZE"),
    (
        PropertyId::WildcardSubscriptionAvailable,
        c"WILDCARD_SUBSCRIPTION_AVAILABLE",
    ),
    (
        PropertyId::SubscriptionIdentifierAvailable,
        c"SUBSCRIPTION_IDENTIFIERS_AVAILABLE",
    ),
    (
        PropertyId::SharedSubscriptionAvailable,
        c"SHARED_SUBSCRIPTION_AVAILABLE",
    ),
];

/// The value of a property, with the union resolved by the identifier's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Byte(u8),
    TwoByte(u16),
    FourByte(u32),
    Variable(u32),
    Binary(&'a [u8]),
    String(&'a [u8]),
    Pair(&'a [u8], &'a [u8]),
}

/// Why a property can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The standard does not list the identifier.
    UnknownIdentifier,
    /// A length or a number is out of range, or a NULL string has a length.
    BadValue,
    /// Memory is exhausted.
    OutOfMemory,
}

/// The name of an identifier.
pub(crate) fn name_of(identifier: MQTTPropertyCodes) -> Option<&'static CStr> {
    let id = id_of(identifier)?;
    let row = NAMES.binary_search_by_key(&id, |row| row.0).ok()?;
    Some(NAMES[row].1)
}

/// The `MQTTPROPERTY_TYPE_*` of an identifier.
pub(crate) fn type_of(identifier: MQTTPropertyCodes) -> Option<c_int> {
    id_of(identifier).map(|id| match id.value_type() {
        ValueType::Byte => MQTTPROPERTY_TYPE_BYTE,
        ValueType::TwoByteInteger => MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER,
        ValueType::FourByteInteger => MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER,
        ValueType::VariableByteInteger => MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER,
        ValueType::BinaryData => MQTTPROPERTY_TYPE_BINARY_DATA,
        ValueType::Utf8String => MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING,
        ValueType::Utf8StringPair => MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR,
    })
}

/// The properties of a list.
///
/// # Safety
/// The list was built by this library, or by hand to the same rules, and stays as it is during `'a`.
pub(crate) unsafe fn list<'a>(properties: &MQTTProperties) -> &'a [MQTTProperty] {
    // SAFETY: as the caller promises.
    unsafe { crate::ptr::slice(properties.array, properties.count) }.unwrap_or(&[])
}

/// Resolves the value of a property.
///
/// # Safety
/// The strings of the property are valid for their lengths during `'a`.
pub(crate) unsafe fn value<'a>(property: &MQTTProperty) -> Result<Value<'a>, Refused> {
    let kind = type_of(property.identifier).ok_or(Refused::UnknownIdentifier)?;
    // SAFETY: every member of the union is plain data for which any bits are a value, and the type
    // says which one was set. Members are read one by one, never the whole union: what lies behind
    // a small member need not be initialised.
    unsafe {
        Ok(match kind {
            MQTTPROPERTY_TYPE_BYTE => Value::Byte(property.value.byte),
            MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER => Value::TwoByte(property.value.integer2),
            MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER => Value::FourByte(property.value.integer4),
            MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER => match property.value.integer4 {
                ..=LARGEST_VARIABLE => Value::Variable(property.value.integer4),
                _ => return Err(Refused::BadValue),
            },
            MQTTPROPERTY_TYPE_BINARY_DATA => Value::Binary(bytes(&property.value.strings.data)?),
            MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING => {
                Value::String(bytes(&property.value.strings.data)?)
            }
            _ => Value::Pair(
                bytes(&property.value.strings.data)?,
                bytes(&property.value.strings.value)?,
            ),
        })
    }
}

/// A property whose strings are where the value has them, not copied.
pub(crate) fn borrowed(identifier: MQTTPropertyCodes, value: Value<'_>) -> MQTTProperty {
    let text = |bytes: &[u8]| MQTTLenString {
        len: bytes.len() as c_int,
        data: bytes.as_ptr().cast_mut().cast(),
    };
    let nothing = text(&[]);
    // All of the union is written first, for whoever copies it as a whole.
    let mut result = MQTTPropertyValue {
        strings: MQTTPropertyStrings {
            data: nothing,
            value: nothing,
        },
    };
    match value {
        Value::Byte(n) => result.byte = n,
        Value::TwoByte(n) => result.integer2 = n,
        Value::FourByte(n) | Value::Variable(n) => result.integer4 = n,
        Value::Binary(bytes) | Value::String(bytes) => {
            result.strings = MQTTPropertyStrings {
                data: text(bytes),
                value: nothing,
            };
        }
        Value::Pair(name, bytes) => {
            result.strings = MQTTPropertyStrings {
                data: text(name),
                value: text(bytes),
            };
        }
    }
    MQTTProperty {
        identifier,
        value: result,
    }
}

/// Appends a copy of a value. On failure the list is unchanged.
///
/// # Safety
/// As [`list`], and nobody else uses the list meanwhile.
pub(crate) unsafe fn add(
    properties: &mut MQTTProperties,
    identifier: MQTTPropertyCodes,
    value: Value<'_>,
) -> Result<(), Refused> {
    // SAFETY: as the caller promises.
    unsafe { reserve(properties)? };
    let owned = own(identifier, value)?;
    // SAFETY: reserve made room for one more.
    unsafe { properties.array.add(properties.count as usize).write(owned) };
    properties.count += 1;
    properties.length += encoded_len(value) as c_int;
    Ok(())
}

/// A deep copy. Properties that can't be copied are left out, which only exhausted memory and lists
/// built by hand against the rules can cause.
///
/// # Safety
/// As [`list`].
pub(crate) unsafe fn copy(properties: &MQTTProperties) -> MQTTProperties {
    let mut result = MQTTProperties::EMPTY;
    // SAFETY: as the caller promises; the new list is ours.
    unsafe {
        for property in list(properties) {
            if let Ok(value) = value(property) {
                let _ = add(&mut result, property.identifier, value);
            }
        }
    }
    result
}

/// Releases everything and leaves the list empty.
///
/// # Safety
/// As [`list`], every string came from this library, and nobody else uses the list meanwhile.
pub(crate) unsafe fn free(properties: &mut MQTTProperties) {
    // SAFETY: as the caller promises.
    unsafe {
        for property in list(properties) {
            free_value(property);
        }
        alloc::free(properties.array);
    }
    *properties = MQTTProperties::EMPTY;
}

/// The number of bytes that the list takes in a packet, its length field included.
pub(crate) fn packet_len(properties: &MQTTProperties) -> c_int {
    properties.length + variable_len(properties.length.max(0) as u32) as c_int
}

/// The numeric value of one property.
///
/// # Safety
/// As [`value`].
pub(crate) unsafe fn number(property: &MQTTProperty) -> i64 {
    // SAFETY: as the caller promises.
    match unsafe { value(property) } {
        Ok(Value::Byte(n)) => n.into(),
        Ok(Value::TwoByte(n)) => n.into(),
        Ok(Value::FourByte(n) | Value::Variable(n)) => n.into(),
        _ => NOT_NUMERIC,
    }
}

fn id_of(identifier: MQTTPropertyCodes) -> Option<PropertyId> {
    PropertyId::from_wire(u32::try_from(identifier).ok()?)
}

/// # Safety
/// The string is valid for its length during `'a`.
unsafe fn bytes<'a>(string: &MQTTLenString) -> Result<&'a [u8], Refused> {
    if string.len > LONGEST {
        return Err(Refused::BadValue);
    }
    // SAFETY: as the caller promises.
    unsafe { crate::ptr::slice(string.data.cast::<u8>(), string.len) }.ok_or(Refused::BadValue)
}

/// Makes room for one more property.
///
/// # Safety
/// As [`add`].
unsafe fn reserve(properties: &mut MQTTProperties) -> Result<(), Refused> {
    if properties.count < properties.max_count {
        return Ok(());
    }
    let places = properties.count as usize + GROWTH;
    // SAFETY: array is NULL or came from malloc.
    let array =
        unsafe { libc::realloc(properties.array.cast(), places * size_of::<MQTTProperty>()) };
    if array.is_null() {
        return Err(Refused::OutOfMemory);
    }
    properties.array = array.cast();
    properties.max_count = places as c_int;
    Ok(())
}

/// The property with copies of the strings.
fn own(identifier: MQTTPropertyCodes, value: Value<'_>) -> Result<MQTTProperty, Refused> {
    const NONE: MQTTLenString = MQTTLenString {
        len: 0,
        data: std::ptr::null_mut(),
    };
    // All bytes are set, so that a C program that compares whole structs sees no garbage.
    let mut result = MQTTPropertyValue {
        strings: MQTTPropertyStrings {
            data: NONE,
            value: NONE,
        },
    };
    match value {
        Value::Byte(n) => result.byte = n,
        Value::TwoByte(n) => result.integer2 = n,
        Value::FourByte(n) | Value::Variable(n) => result.integer4 = n,
        Value::Binary(bytes) | Value::String(bytes) => {
            result.strings = MQTTPropertyStrings {
                data: own_string(bytes)?,
                value: NONE,
            };
        }
        Value::Pair(name, text) => {
            let data = own_string(name)?;
            let value = own_string(text).inspect_err(|_| {
                // SAFETY: the line above allocated it and nobody else has it.
                unsafe { alloc::free(data.data) }
            })?;
            result.strings = MQTTPropertyStrings { data, value };
        }
    }
    Ok(MQTTProperty {
        identifier,
        value: result,
    })
}

fn own_string(bytes: &[u8]) -> Result<MQTTLenString, Refused> {
    if bytes.len() > LONGEST as usize {
        return Err(Refused::BadValue);
    }
    let data = alloc::string(bytes);
    if data.is_null() {
        return Err(Refused::OutOfMemory);
    }
    Ok(MQTTLenString {
        len: bytes.len() as c_int,
        data,
    })
}

/// # Safety
/// The strings came from this library and are not used afterwards.
unsafe fn free_value(property: &MQTTProperty) {
    // SAFETY: as the caller promises; the type says which pointers are set.
    unsafe {
        match type_of(property.identifier) {
            Some(MQTTPROPERTY_TYPE_BINARY_DATA | MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING) => {
                alloc::free(property.value.strings.data.data);
            }
            Some(MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR) => {
                alloc::free(property.value.strings.data.data);
                alloc::free(property.value.strings.value.data);
            }
            _ => {}
        }
    }
}

/// Bytes of one property in a packet, its identifier included.
fn encoded_len(value: Value<'_>) -> usize {
    1 + match value {
        Value::Byte(_) => 1,
        Value::TwoByte(_) => 2,
        Value::FourByte(_) => 4,
        Value::Variable(n) => variable_len(n),
        Value::Binary(bytes) | Value::String(bytes) => 2 + bytes.len(),
        Value::Pair(name, text) => 4 + name.len() + text.len(),
    }
}

fn variable_len(n: u32) -> usize {
    match n {
        ..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}
