//! Properties of MQTT 5.0 on the command line: `-D PACKET NAME VALUE`, as mosquitto's clients take them.

use ternmq_protocol::codec::{Place, PropertiesBuf, PropertyId, Value, ValueType};

/// What was said, by packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) connect: PropertiesBuf,
    pub(crate) publish: PropertiesBuf,
    pub(crate) subscribe: PropertiesBuf,
    pub(crate) unsubscribe: PropertiesBuf,
    pub(crate) disconnect: PropertiesBuf,
    pub(crate) will: PropertiesBuf,
}

impl Said {
    /// All words of all `-D`, one after the other.
    ///
    /// # Errors
    /// What is wrong with the first wrong one, in words.
    pub(crate) fn read(words: &[String]) -> Result<Self, String> {
        let mut said = Self::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(packet) = words.next() {
            let mut next = || words.next().ok_or("-D: a value is missing");
            let name = next()?;
            let property = format!("-D {packet} {name}");
            let id = id(name).ok_or_else(|| format!("{property}: there is no such property"))?;
            let first = next()?;
            let second = match id {
                PropertyId::UserProperty => next()?,
                _ => "",
            };
            let (properties, place) = said.of(packet).ok_or_else(|| {
                format!("{property}: packets are connect, publish, subscribe, unsubscribe, disconnect and will")
            })?;
            let value = value(id, first, second).map_err(|e| format!("{property}: {e}"))?;
            properties
                .push(id, value)
                .map_err(|error| format!("{property}: {error}"))?
                .check(place)
                .map_err(|error| format!("{property}: {error}"))?;
        }
        Ok(said)
    }

    fn of(&mut self, packet: &str) -> Option<(&mut PropertiesBuf, Place)> {
        Some(match packet.to_ascii_lowercase().as_str() {
            "connect" => (&mut self.connect, Place::Connect),
            "publish" => (&mut self.publish, Place::Publish),
            "subscribe" => (&mut self.subscribe, Place::Subscribe),
            "unsubscribe" => (&mut self.unsubscribe, Place::Unsubscribe),
            "disconnect" => (&mut self.disconnect, Place::Disconnect),
            "will" => (&mut self.will, Place::Will),
            _ => return None,
        })
    }
}

fn id(name: &str) -> Option<PropertyId> {
    let is_it = |id: &&PropertyId| id.name().replace(' ', "-").eq_ignore_ascii_case(name);
    PropertyId::ALL.iter().find(is_it).copied()
}

fn value<'a>(id: PropertyId, text: &'a str, second: &'a str) -> Result<Value<'a>, String> {
    fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is not a number that fits"))
    }
    Ok(match id.value_type() {
        ValueType::Byte => Value::Byte(number(text)?),
        ValueType::TwoByteInteger => Value::TwoByteInteger(number(text)?),
        ValueType::FourByteInteger => Value::FourByteInteger(number(text)?),
        ValueType::VariableByteInteger => Value::VariableByteInteger(number(text)?),
        ValueType::BinaryData => Value::BinaryData(text.as_bytes()),
        ValueType::Utf8String => Value::Utf8String(text),
        ValueType::Utf8StringPair => Value::Utf8StringPair(text, second),
    })
}
