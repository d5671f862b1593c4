//! The fields of a step as what the client takes, and back.

use crate::failed;
use std::time::Duration;
use ternmq_client::ConnectOptions;
use ternmq_client::tls::{Roots, TlsOptions};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::Will;
use ternmq_protocol::codec::{
    Properties, PropertiesBuf, PropertyId, QoS, RetainHandling, SubscriptionOptions, Value,
    ValueType,
};
use ternmq_test_broker_wire::{Line, property};

/// What `connects` asks for.
pub(crate) fn options(line: &Line) -> Result<ConnectOptions, Line> {
    let scheme = line.text("scheme", "mqtt");
    let uri = format!(
        "{scheme}://{}:{}",
        line.text("host", ""),
        line.text("port", "")
    );
    let version = match line.number("version", 5) {
        3 => ProtocolVersion::V3_1,
        4 => ProtocolVersion::V3_1_1,
        _ => ProtocolVersion::V5_0,
    };
    let mut options = ConnectOptions::from_uri(&uri)
        .map_err(failed)?
        .client_id(line.text("client_id", ""))
        .version(version)
        .clean_start(line.number("clean_start", 1) == 1)
        .keep_alive(Duration::from_secs(line.number("keep_alive", 60).into()));
    if line.get("cafile").is_some() {
        let tls = TlsOptions {
            roots: vec![Roots::File(line.text("cafile", "").into())],
            ..TlsOptions::default()
        };
        options = options.tls(&tls).map_err(failed)?;
    }
    options.session.user_name = line.get("username").map(|_| line.text("username", ""));
    options.session.password = line.get("password").map(<[u8]>::to_vec);
    options.session.properties = properties(line, "")?;
    options.session.will = match line.get("will_topic") {
        None => None,
        Some(_) => Some(Will {
            topic: line.text("will_topic", ""),
            payload: line.get("will_payload").unwrap_or(b"").to_vec(),
            qos: qos(line.number("will_qos", 0)),
            retain: line.number("will_retain", 0) == 1,
            properties: properties(line, "will.")?,
        }),
    };
    Ok(options)
}

/// The filters of `subscribes`, each with the fields that follow it.
pub(crate) fn requests(line: &Line) -> Vec<(&str, SubscriptionOptions)> {
    let mut requests: Vec<(&str, SubscriptionOptions)> = Vec::new();
    for (name, value) in &line.fields {
        let text = std::str::from_utf8(value).unwrap_or("");
        if name == "filter" {
            requests.push((text, SubscriptionOptions::default()));
        } else if let Some((_, options)) = requests.last_mut() {
            let number = text.parse().unwrap_or(0);
            match name.as_str() {
                "qos" => options.qos = qos(number),
                "no_local" => options.no_local = number == 1,
                "retain_as_published" => options.retain_as_published = number == 1,
                "retain_handling" => {
                    options.retain_handling = match number {
                        0 => RetainHandling::SendAtSubscribe,
                        1 => RetainHandling::SendIfNew,
                        _ => RetainHandling::DoNotSend,
                    };
                }
                _ => {}
            }
        }
    }
    requests
}

/// The fields that carry `prefix` and the name of a property.
pub(crate) fn properties(line: &Line, prefix: &str) -> Result<PropertiesBuf, Line> {
    let mut properties = PropertiesBuf::default();
    for (name, value) in &line.fields {
        let known = name.strip_prefix(prefix).and_then(property::identifier);
        let Some(id) = known.and_then(|id| PropertyId::from_wire(id.into())) else {
            continue;
        };
        let text = std::str::from_utf8(value).unwrap_or("");
        let number = Line::default().with("n", value);
        let number = || number.number("n", 0);
        let value = match id.value_type() {
            ValueType::Byte => Value::Byte(number() as u8),
            ValueType::TwoByteInteger => Value::TwoByteInteger(number() as u16),
            ValueType::FourByteInteger => Value::FourByteInteger(number()),
            ValueType::VariableByteInteger => Value::VariableByteInteger(number()),
            ValueType::BinaryData => Value::BinaryData(value),
            ValueType::Utf8String => Value::Utf8String(text),
            ValueType::Utf8StringPair => {
                let (name, value) = text.split_once(':').unwrap_or((text, ""));
                Value::Utf8StringPair(name, value)
            }
        };
        properties.push(id, value).map_err(failed)?;
    }
    Ok(properties)
}

/// The line with a field for each property.
pub(crate) fn push_properties(line: Line, properties: Properties<'_>) -> Line {
    properties.iter().fold(line, |line, property| {
        let name = property::name(property.id as u8).unwrap_or("unknown");
        match property.value {
            Value::Byte(n) => line.with(name, n.to_string()),
            Value::TwoByteInteger(n) => line.with(name, n.to_string()),
            Value::FourByteInteger(n) | Value::VariableByteInteger(n) => {
                line.with(name, n.to_string())
            }
            Value::BinaryData(bytes) => line.with(name, bytes),
            Value::Utf8String(text) => line.with(name, text),
            Value::Utf8StringPair(key, value) => line.with(name, format!("{key}:{value}")),
        }
    })
}

fn qos(number: u32) -> QoS {
    QoS::from_bits(number as u8).unwrap_or_default()
}
