//! Properties of MQTT 5.0 (section 2.2.2).
//!
//! Properties stay in their encoded form: checked once when they are read, walked when somebody
//! asks, copied as one piece when they are passed on. So a packet with properties costs no
//! allocation, and forwarding them costs one `memcpy`.

use super::primitive::{
    MAX_VARIABLE_BYTE_INTEGER, Reader, binary_len, utf8_len, variable_byte_integer_len,
    write_binary, write_variable_byte_integer,
};
use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::topic::TopicName;

pub use super::property_id::{Place, PropertyId, ValueType};

/// The value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    Byte(u8),
    TwoByteInteger(u16),
    FourByteInteger(u32),
    VariableByteInteger(u32),
    BinaryData(&'a [u8]),
    Utf8String(&'a str),
    Utf8StringPair(&'a str, &'a str),
}

/// One property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Which one.
    pub id: PropertyId,
    /// Its value; the variant is the one that [`PropertyId::value_type`] names.
    pub value: Value<'a>,
}

/// The properties of a packet, checked and still encoded. The length before them is not included.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Properties<'static> = Properties { bytes: &[] };

    /// Checks encoded properties (without the length before them) as `place` demands: one walk, which
    /// costs as much as there are bytes, whatever a peer repeats in them.
    ///
    /// # Errors
    /// Malformed Packet for an unknown identifier, one that the place doesn't allow or a value
    /// that can't be read; Protocol Error for a property that stands twice or a value that the
    /// standard forbids.
    pub fn parse(bytes: &'a [u8], place: Place) -> Result<Self, PeerError> {
        let mut reader = Reader::new(bytes);
        let mut seen = 0u64;
        while !reader.is_empty() {
            let property = read(&mut reader)?;
            let id = property.id;
            if id.places() & place as u16 == 0 {
                // Section 2.2.2.2.
                return Err(PeerError::malformed(
                    "a property not allowed in this packet",
                ));
            }
            let repeatable = id == PropertyId::UserProperty
                || (id == PropertyId::SubscriptionIdentifier && place == Place::Publish);
            if seen & 1 << id as u8 != 0 && !repeatable {
                return Err(PeerError::protocol("a property stands twice"));
            }
            seen |= 1 << id as u8;
            check_value(property)?;
        }
        Ok(Self { bytes })
    }

    /// The encoded form, without the length before it.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Walks them in the order they stand.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader::new(self.bytes);
        // Checked when they were made, so reading again can't fail.
        std::iter::from_fn(move || read(&mut reader).ok())
    }

    /// The property that stands at a byte of the encoded form, and where the next one begins; for whoever
    /// walks them in steps. `None` at the end, and where none begins.
    pub fn read_at(self, position: usize) -> Option<(Property<'a>, usize)> {
        let mut reader = Reader::new(self.bytes.get(position..)?);
        let property = read(&mut reader).ok()?;
        Some((property, self.bytes.len() - reader.rest().len()))
    }

    /// The first property of this kind.
    pub fn get(self, id: PropertyId) -> Option<Value<'a>> {
        if self.is_empty() {
            return None;
        }
        self.iter().find(|p| p.id == id).map(|p| p.value)
    }

    /// The value of a Byte, Two Byte, Four Byte or Variable Byte Integer property.
    pub fn number(self, id: PropertyId) -> Option<u32> {
        match self.get(id)? {
            Value::Byte(v) => Some(v.into()),
            Value::TwoByteInteger(v) => Some(v.into()),
            Value::FourByteInteger(v) | Value::VariableByteInteger(v) => Some(v),
            _ => None,
        }
    }

    /// The value of a UTF-8 string property.
    pub fn text(self, id: PropertyId) -> Option<&'a str> {
        match self.get(id)? {
            Value::Utf8String(v) => Some(v),
            _ => None,
        }
    }

    /// The value of a binary property.
    pub fn binary(self, id: PropertyId) -> Option<&'a [u8]> {
        match self.get(id)? {
            Value::BinaryData(v) => Some(v),
            _ => None,
        }
    }

    /// The user properties, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|p| match p.value {
            Value::Utf8StringPair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Appends the encoded form of the properties that `keep` says yes to, in their order.
    pub(crate) fn copy_to(self, out: &mut Vec<u8>, mut keep: impl FnMut(Property<'a>) -> bool) {
        let mut reader = Reader::new(self.bytes);
        let mut rest = self.bytes;
        while let Ok(property) = read(&mut reader) {
            let (encoded, tail) = rest.split_at(rest.len() - reader.rest().len());
            rest = tail;
            if keep(property) {
                out.extend_from_slice(encoded);
            }
        }
    }

    /// Bytes that [`Properties::parse`] has accepted before, as those of a stored message.
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Reads the length and the properties it announces.
    pub(crate) fn read(reader: &mut Reader<'a>, place: Place) -> Result<Self, PeerError> {
        let len = reader.variable_byte_integer()?;
        if len == 0 {
            return Ok(Properties { bytes: &[] });
        }
        Self::parse(reader.take(len as usize)?, place)
    }

    /// Bytes that [`Properties::write`] takes, after checking that they may stand at `place`.
    pub(crate) fn wire_len(self, place: Place) -> Result<usize, EncodeError> {
        if self.bytes.len() > MAX_VARIABLE_BYTE_INTEGER as usize {
            return Err(EncodeError::PacketTooLarge);
        }
        Self::parse(self.bytes, place).map_err(|e| EncodeError::Invalid(e.what))?;
        Ok(variable_byte_integer_len(self.bytes.len() as u32) + self.bytes.len())
    }

    /// Writes the length, also when it is zero [MQTT-2.2.2-1], and the properties.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        write_variable_byte_integer(self.bytes.len() as u32, out);
        out.extend_from_slice(self.bytes);
    }
}

impl std::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|p| (p.id, p.value)))
            .finish()
    }
}

/// Properties being put together, in their encoded form.
///
/// ```
/// use ternmq_protocol::codec::{PropertiesBuf, PropertyId, Value};
/// let mut properties = PropertiesBuf::default();
/// properties.push(PropertyId::ContentType, Value::Utf8String("text/plain")).unwrap();
/// assert_eq!(properties.get().text(PropertyId::ContentType), Some("text/plain"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    bytes: Vec<u8>,
}

impl PropertiesBuf {
    /// Appends a property.
    ///
    /// # Errors
    /// The value is of another type than the identifier's, too long, or one that the standard
    /// forbids. Nothing is appended then. Whether the property may stand in a packet or stand
    /// twice is checked by [`Properties::parse`] and by the peer.
    pub fn push(&mut self, id: PropertyId, value: Value<'_>) -> Result<&mut Self, EncodeError> {
        check_type(id, value)?;
        check_value(Property { id, value }).map_err(|e| EncodeError::Invalid(e.what))?;
        let out = &mut self.bytes;
        match value {
            Value::Utf8String(s) => utf8_len(s)?,
            Value::BinaryData(b) => binary_len(b)?,
            Value::Utf8StringPair(a, b) => utf8_len(a)? + utf8_len(b)?,
            _ => 0,
        };
        out.push(id as u8);
        match value {
            Value::Byte(v) => out.push(v),
            Value::TwoByteInteger(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::FourByteInteger(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::VariableByteInteger(v) => write_variable_byte_integer(v, out),
            Value::BinaryData(v) => write_binary(v, out),
            Value::Utf8String(v) => write_binary(v.as_bytes(), out),
            Value::Utf8StringPair(a, b) => {
                write_binary(a.as_bytes(), out);
                write_binary(b.as_bytes(), out);
            }
        }
        Ok(self)
    }

    /// Appends a property by a number that is known to be right for it.
    pub(crate) fn push_number(&mut self, id: PropertyId, number: u32) {
        let value = match id.value_type() {
            ValueType::Byte => Value::Byte(number as u8),
            ValueType::TwoByteInteger => Value::TwoByteInteger(number as u16),
            ValueType::FourByteInteger => Value::FourByteInteger(number),
            _ => Value::VariableByteInteger(number),
        };
        let pushed = self.push(id, value);
        debug_assert!(pushed.is_ok(), "{id:?} {number}: {pushed:?}");
    }

    /// What has been put together.
    pub fn get(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes }
    }

    /// Checks that all of it may stand at `place`.
    ///
    /// # Errors
    /// What the peer would say of it.
    pub fn check(&self, place: Place) -> Result<(), PeerError> {
        Properties::parse(&self.bytes, place).map(drop)
    }

    /// Whether nothing has been put in.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Keeps the properties that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(Property<'_>) -> bool) {
        let old = std::mem::take(self);
        old.get().copy_to(&mut self.bytes, &mut keep);
    }
}

impl From<Properties<'_>> for PropertiesBuf {
    fn from(properties: Properties<'_>) -> Self {
        Self {
            bytes: properties.bytes.to_vec(),
        }
    }
}

fn read<'a>(reader: &mut Reader<'a>) -> Result<Property<'a>, PeerError> {
    let id = PropertyId::from_wire(reader.variable_byte_integer()?)
        .ok_or(PeerError::malformed("unknown property identifier"))?;
    let value = match id.value_type() {
        ValueType::Byte => Value::Byte(reader.u8()?),
        ValueType::TwoByteInteger => Value::TwoByteInteger(reader.u16()?),
        ValueType::FourByteInteger => Value::FourByteInteger(reader.u32()?),
        ValueType::VariableByteInteger => {
            Value::VariableByteInteger(reader.variable_byte_integer()?)
        }
        ValueType::BinaryData => Value::BinaryData(reader.binary()?),
        ValueType::Utf8String => Value::Utf8String(reader.utf8()?),
        ValueType::Utf8StringPair => Value::Utf8StringPair(reader.utf8()?, reader.utf8()?),
    };
    Ok(Property { id, value })
}

/// What the standard says of single values.
fn check_value(property: Property<'_>) -> Result<(), PeerError> {
    use PropertyId as Id;
    match (property.id, property.value) {
        (_, Value::Byte(v)) if v > 1 => {
            Err(PeerError::protocol("a property that must be 0 or 1 is not"))
        }
        (Id::ReceiveMaximum, Value::TwoByteInteger(0)) => {
            Err(PeerError::protocol("Receive Maximum 0"))
        }
        (Id::MaximumPacketSize, Value::FourByteInteger(0)) => {
            Err(PeerError::protocol("Maximum Packet Size 0"))
        }
        (Id::SubscriptionIdentifier, Value::VariableByteInteger(0)) => {
            Err(PeerError::protocol("Subscription Identifier 0"))
        }
        (_, Value::VariableByteInteger(v)) if v > MAX_VARIABLE_BYTE_INTEGER => Err(
            PeerError::protocol("Subscription Identifier over 268435455"),
        ),
        (Id::TopicAlias, Value::TwoByteInteger(0)) => Err(PeerError::new(
            ReasonCode::TOPIC_ALIAS_INVALID,
            "Topic Alias 0",
        )),
        (Id::ResponseTopic, Value::Utf8String(topic)) => {
            match TopicName::parse(topic, usize::MAX) {
                Ok(_) => Ok(()),
                Err(_) => Err(PeerError::protocol(
                    "Response Topic is not a valid topic name",
                )),
            }
        }
        _ => Ok(()),
    }
}

fn check_type(id: PropertyId, value: Value<'_>) -> Result<(), EncodeError> {
    let value_type = match value {
        Value::Byte(_) => ValueType::Byte,
        Value::TwoByteInteger(_) => ValueType::TwoByteInteger,
        Value::FourByteInteger(_) => ValueType::FourByteInteger,
        Value::VariableByteInteger(_) => ValueType::VariableByteInteger,
        Value::BinaryData(_) => ValueType::BinaryData,
        Value::Utf8String(_) => ValueType::Utf8String,
        Value::Utf8StringPair(..) => ValueType::Utf8StringPair,
    };
    if value_type == id.value_type() {
        Ok(())
    } else {
        Err(EncodeError::Invalid("a property value of another type"))
    }
}
