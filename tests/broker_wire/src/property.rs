//! The properties of MQTT 5.0: a field name, an identifier and a type each (2.2.2.2, table 2-4).

use crate::line::Line;
use crate::packet::{Bytes, Reader};

#[derive(Clone, Copy)]
enum Kind {
    Byte,
    Two,
    Four,
    Variable,
    Text,
    Pair,
}

use Kind::{Byte, Four, Pair, Text, Two, Variable};

const PROPERTIES: [(&str, u8, Kind); 27] = [
    ("payload_format", 1, Byte),
    ("message_expiry", 2, Four),
    ("content_type", 3, Text),
    ("response_topic", 8, Text),
    ("correlation", 9, Text),
    ("subscription_id", 11, Variable),
    ("session_expiry", 17, Four),
    ("assigned_client_id", 18, Text),
    ("server_keep_alive", 19, Two),
    ("auth_method", 21, Text),
    ("auth_data", 22, Text),
    ("request_problem_info", 23, Byte),
    ("will_delay", 24, Four),
    ("request_response_info", 25, Byte),
    ("response_info", 26, Text),
    ("server_reference", 28, Text),
    ("reason_string", 31, Text),
    ("receive_maximum", 33, Two),
    ("topic_alias_maximum", 34, Two),
    ("topic_alias", 35, Two),
    ("maximum_qos", 36, Byte),
    ("retain_available", 37, Byte),
    ("user", 38, Pair),
    ("maximum_packet_size", 39, Four),
    ("wildcard_available", 40, Byte),
    ("subscription_ids_available", 41, Byte),
    ("shared_available", 42, Byte),
];

/// The identifier of the property that fields call `name`.
pub fn identifier(name: &str) -> Option<u8> {
    PROPERTIES.iter().find(|p| p.0 == name).map(|p| p.1)
}

/// What fields call the property with this identifier.
pub fn name(identifier: u8) -> Option<&'static str> {
    PROPERTIES.iter().find(|p| p.1 == identifier).map(|p| p.0)
}

/// Whether `field`, without `prefix`, names a property.
pub(crate) fn is_property(field: &str, prefix: &str) -> bool {
    field
        .strip_prefix(prefix)
        .is_some_and(|name| PROPERTIES.iter().any(|p| p.0 == name))
}

/// Writes the length and every property whose field carries `prefix`.
pub(crate) fn write(line: &Line, prefix: &str, out: &mut Bytes) {
    let mut body = Bytes::default();
    for (field, value) in &line.fields {
        let row = field
            .strip_prefix(prefix)
            .and_then(|name| PROPERTIES.iter().find(|p| p.0 == name));
        let Some(&(_, id, kind)) = row else {
            continue;
        };
        body.byte(id);
        let number = || {
            let one = Line::default().with("n", value);
            one.number("n", 0)
        };
        match kind {
            Byte => body.byte(number() as u8),
            Two => body.two(number() as u16),
            Four => body.four(number()),
            Variable => body.variable(number()),
            Text => body.text(value),
            Pair => {
                let at = value.iter().position(|b| *b == b':').unwrap_or(value.len());
                body.text(&value[..at]);
                body.text(value.get(at + 1..).unwrap_or(b""));
            }
        }
    }
    out.variable(body.0.len() as u32);
    out.0.extend(body.0);
}

/// Reads the length and the properties into fields that carry `prefix`.
pub(crate) fn read(reader: &mut Reader<'_>, prefix: &str, line: &mut Line) -> Result<(), String> {
    let length = reader.variable()? as usize;
    let mut inner = Reader(reader.take(length)?);
    while !inner.0.is_empty() {
        let id = inner.byte()?;
        let row = PROPERTIES.iter().find(|p| p.1 == id);
        let (name, _, kind) = row.ok_or_else(|| format!("property {id:#04x} does not exist"))?;
        let value = match kind {
            Byte => inner.byte()?.to_string().into_bytes(),
            Two => inner.two()?.to_string().into_bytes(),
            Four => inner.four()?.to_string().into_bytes(),
            Variable => inner.variable()?.to_string().into_bytes(),
            Text => inner.text()?.to_vec(),
            Pair => [inner.text()?, b":", inner.text()?].concat(),
        };
        line.fields.push((format!("{prefix}{name}"), value));
    }
    Ok(())
}
