//! MQTT 5 properties as a Python mapping: the standard's names in lower case with underscores.

use std::collections::HashMap;
use std::sync::LazyLock;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use ternmq_protocol::codec::{Place, Properties, PropertiesBuf, PropertyId, Value, ValueType};

use crate::argument::named;
use crate::bytes::Payload;

/// What `publish` and a will can say beside topic and payload.
pub(crate) struct PublishProperties<'a, 'py> {
    pub(crate) expiry: Option<u32>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation_data: Option<&'a [u8]>,
    pub(crate) user: Option<Bound<'py, PyAny>>,
    pub(crate) payload_format: Option<u8>,
}

impl PublishProperties<'_, '_> {
    /// The encoded form. Costs no allocation when there are none.
    pub(crate) fn encode(&self) -> PyResult<PropertiesBuf> {
        let mut buf = PropertiesBuf::default();
        let values = [
            (
                "payload_format",
                PropertyId::PayloadFormatIndicator,
                self.payload_format.map(Value::Byte),
            ),
            (
                "expiry",
                PropertyId::MessageExpiryInterval,
                self.expiry.map(Value::FourByteInteger),
            ),
            (
                "content_type",
                PropertyId::ContentType,
                self.content_type.map(Value::Utf8String),
            ),
            (
                "response_topic",
                PropertyId::ResponseTopic,
                self.response_topic.map(Value::Utf8String),
            ),
            (
                "correlation_data",
                PropertyId::CorrelationData,
                self.correlation_data.map(Value::BinaryData),
            ),
        ];
        for (name, id, value) in values {
            if let Some(value) = value {
                push(&mut buf, name, id, value)?;
            }
        }
        if let Some(user) = &self.user {
            push_pairs(&mut buf, user)?;
        }
        Ok(buf)
    }
}

/// User Properties alone.
pub(crate) fn user_properties(user: Option<Bound<'_, PyAny>>) -> PyResult<PropertiesBuf> {
    let (expiry, payload_format) = (None, None);
    let (content_type, response_topic, correlation_data) = (None, None, None);
    PublishProperties {
        expiry,
        content_type,
        response_topic,
        correlation_data,
        user,
        payload_format,
    }
    .encode()
}

/// All properties as a dict; User Property and Subscription Identifier are lists.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    properties: Properties<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for property in properties.iter() {
        let name = &NAMES.of[&property.id];
        match property.value {
            Value::Byte(v) => dict.set_item(name, v)?,
            Value::TwoByteInteger(v) => dict.set_item(name, v)?,
            Value::FourByteInteger(v) => dict.set_item(name, v)?,
            Value::BinaryData(v) => dict.set_item(name, PyBytes::new(py, v))?,
            Value::Utf8String(v) => dict.set_item(name, v)?,
            Value::VariableByteInteger(v) => append(&dict, name, v)?,
            Value::Utf8StringPair(a, b) => append(&dict, name, (a, b))?,
        }
    }
    Ok(dict)
}

/// A mapping as properties that may stand at `place`.
pub(crate) fn from_mapping(mapping: &Bound<'_, PyDict>, place: Place) -> PyResult<PropertiesBuf> {
    let mut buf = PropertiesBuf::default();
    for (key, value) in mapping {
        let key = key
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("properties: their names are str"))?;
        let name = key.to_str()?;
        let Some(id) = NAMES.id.get(name) else {
            return Err(PyValueError::new_err(format!(
                "properties: there is no {name}"
            )));
        };
        let mut alone = PropertiesBuf::default();
        push_object(&mut alone, name, *id, &value)?;
        alone
            .check(place)
            .map_err(|e| PyValueError::new_err(format!("properties: {name}: {}", e.what)))?;
        push_object(&mut buf, name, *id, &value)?;
    }
    buf.check(place)
        .map_err(|e| PyValueError::new_err(e.what))?;
    Ok(buf)
}

/// Those of a client's DISCONNECT.
pub(crate) fn of_farewell(mapping: Option<&Bound<'_, PyDict>>) -> PyResult<PropertiesBuf> {
    let none = PropertiesBuf::default();
    let given = mapping.map_or(Ok(none), |mapping| from_mapping(mapping, Place::Disconnect))?;
    if given.get().get(PropertyId::ServerReference).is_some() {
        let text = "properties: server_reference is for servers to send";
        return Err(PyValueError::new_err(text));
    }
    Ok(given)
}

/// Appends Authentication Data, if there is any.
pub(crate) fn push_data(buf: &mut PropertiesBuf, data: Option<&[u8]>) -> PyResult<()> {
    match data {
        None => Ok(()),
        Some(data) => {
            let id = PropertyId::AuthenticationData;
            push(buf, "authentication_data", id, Value::BinaryData(data))
        }
    }
}

/// The same properties with other Authentication Data.
pub(crate) fn with_data(
    properties: &PropertiesBuf,
    data: Option<&[u8]>,
) -> PyResult<PropertiesBuf> {
    let mut buf = PropertiesBuf::default();
    for property in properties.get().iter() {
        if property.id != PropertyId::AuthenticationData {
            push(&mut buf, name_of(property.id), property.id, property.value)?;
        }
    }
    push_data(&mut buf, data)?;
    Ok(buf)
}

/// Appends an integer property.
pub(crate) fn push_number(buf: &mut PropertiesBuf, id: PropertyId, number: u32) -> PyResult<()> {
    let value = match id.value_type() {
        ValueType::Byte => u8::try_from(number).ok().map(Value::Byte),
        ValueType::TwoByteInteger => u16::try_from(number).ok().map(Value::TwoByteInteger),
        ValueType::VariableByteInteger => Some(Value::VariableByteInteger(number)),
        _ => Some(Value::FourByteInteger(number)),
    };
    let name = name_of(id);
    match value {
        Some(value) => push(buf, name, id, value),
        None => Err(PyValueError::new_err(format!("{name} is out of range"))),
    }
}

fn push(buf: &mut PropertiesBuf, name: &str, id: PropertyId, value: Value<'_>) -> PyResult<()> {
    match buf.push(id, value) {
        Ok(_) => Ok(()),
        Err(error) => Err(PyValueError::new_err(format!("{name}: {error}"))),
    }
}

fn push_object(
    buf: &mut PropertiesBuf,
    name: &str,
    id: PropertyId,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let value = match id.value_type() {
        ValueType::Utf8StringPair => return push_pairs(buf, object),
        ValueType::Utf8String => Value::Utf8String(named(object, name)?),
        ValueType::BinaryData => {
            let bytes: Payload<'_> = named(object, name)?;
            return push(buf, name, id, Value::BinaryData(bytes.as_slice()));
        }
        ValueType::Byte => Value::Byte(named(object, name)?),
        ValueType::TwoByteInteger => Value::TwoByteInteger(named(object, name)?),
        ValueType::FourByteInteger => Value::FourByteInteger(named(object, name)?),
        ValueType::VariableByteInteger => Value::VariableByteInteger(named(object, name)?),
    };
    push(buf, name, id, value)
}

/// Pairs of str, or a mapping of str to str.
fn push_pairs(buf: &mut PropertiesBuf, pairs: &Bound<'_, PyAny>) -> PyResult<()> {
    let items = match pairs.cast::<PyDict>() {
        Ok(dict) => dict.items().into_any(),
        Err(_) => pairs.clone(),
    };
    let wrong = |_: PyErr| PyTypeError::new_err("user properties are pairs of str");
    for pair in items.try_iter().map_err(wrong)? {
        let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) =
            pair?.extract().map_err(wrong)?;
        push(
            buf,
            "user",
            PropertyId::UserProperty,
            Value::Utf8StringPair(name.to_str()?, value.to_str()?),
        )?;
    }
    Ok(())
}

fn append<'py>(
    dict: &Bound<'py, PyDict>,
    name: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<()> {
    match dict.get_item(name)? {
        Some(list) => list.cast::<PyList>()?.append(value),
        None => dict.set_item(name, PyList::new(dict.py(), [value])?),
    }
}

fn name_of(id: PropertyId) -> &'static str {
    &NAMES.of[&id]
}

struct Names {
    of: HashMap<PropertyId, String>,
    id: HashMap<String, PropertyId>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let name = |id: PropertyId| id.name().to_lowercase().replace(' ', "_");
    Names {
        of: PropertyId::ALL.iter().map(|id| (*id, name(*id))).collect(),
        id: PropertyId::ALL.iter().map(|id| (name(*id), *id)).collect(),
    }
});
