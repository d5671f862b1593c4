//! Packets to and from lines.
//!
//! | packet | fields (with their defaults) |
//! |---|---|
//! | `CONNECT` | `protocol_name` `level` `clean_start=1` `keep_alive=60` `client_id=` `will_topic` `will_payload` `will_qos` `will_retain` `username` `password`, properties, will properties with `will.` before the name |
//! | `CONNACK` | `session_present=0` `reason=0`, properties |
//! | `PUBLISH` | `dup=0` `qos=0` `retain=0` `topic=` `id` `payload=`, properties |
//! | `PUBACK` `PUBREC` `PUBREL` `PUBCOMP` | `id` `reason=0`, properties |
//! | `SUBSCRIBE` | `id`, then `filter` and `options=0` for each filter (the options byte), properties |
//! | `SUBACK` `UNSUBACK` | `id`, `code` for each filter, properties |
//! | `UNSUBSCRIBE` | `id`, `filter` for each, properties |
//! | `PINGREQ` `PINGRESP` | |
//! | `DISCONNECT` `AUTH` | `reason=0`, properties |
//!
//! Every packet takes `flags`, the low half of its first byte, to write it wrong on purpose.
//! Properties have the names of the standard in short form: `topic_alias=3`, `user=key:value`.

use crate::line::Line;
use crate::property;

/// MQTT 3.1, 3.1.1 and 5.0 by the protocol level on the wire.
pub const LEVELS: [u8; 3] = [3, 4, 5];

const NAMES: [&str; 16] = [
    "RESERVED",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// Bytes being written.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn byte(&mut self, b: u8) {
        self.0.push(b);
    }

    pub(crate) fn two(&mut self, n: u16) {
        self.0.extend(n.to_be_bytes());
    }

    pub(crate) fn four(&mut self, n: u32) {
        self.0.extend(n.to_be_bytes());
    }

    pub(crate) fn variable(&mut self, mut n: u32) {
        loop {
            let low = (n % 128) as u8;
            n /= 128;
            self.0.push(if n > 0 { low | 0x80 } else { low });
            if n == 0 {
                return;
            }
        }
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.two(text.len() as u16);
        self.0.extend(text);
    }
}

/// Bytes being read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        if self.0.len() < n {
            return Err(format!("{n} bytes wanted, {} left", self.0.len()));
        }
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn two(&mut self) -> Result<u16, String> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn four(&mut self) -> Result<u32, String> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn variable(&mut self) -> Result<u32, String> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let b = self.byte()?;
            value |= u32::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a variable byte integer of more than 4 bytes".into())
    }

    pub(crate) fn text(&mut self) -> Result<&'a [u8], String> {
        let n = self.two()?;
        self.take(usize::from(n))
    }
}

/// The bytes of a packet in MQTT `level`.
///
/// # Panics
/// When the line names no packet or an unknown field: the script is wrong.
pub fn encode(level: u8, line: &Line) -> Vec<u8> {
    let name = line.word(0);
    let kind = NAMES.iter().position(|n| *n == name);
    let kind = kind.unwrap_or_else(|| panic!("`{line}` names no packet")) as u8;
    check_fields(kind, line);
    let mut body = Bytes::default();
    let flags = match name {
        "CONNECT" => write_connect(level, line, &mut body),
        "CONNACK" => {
            body.byte(line.number("session_present", 0) as u8);
            write_reason(level, line, &mut body);
            0
        }
        "PUBLISH" => write_publish(level, line, &mut body),
        "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" => {
            body.two(line.number("id", 0) as u16);
            write_short_reason(level, line, &mut body);
            if name == "PUBREL" { 2 } else { 0 }
        }
        "SUBSCRIBE" | "UNSUBSCRIBE" | "SUBACK" | "UNSUBACK" => {
            write_filters(level, name, line, &mut body)
        }
        "DISCONNECT" | "AUTH" => {
            write_short_reason(level, line, &mut body);
            0
        }
        _ => 0,
    };
    let flags = line.number("flags", flags) as u8;
    let mut packet = Bytes::default();
    packet.byte(kind << 4 | flags);
    packet.variable(body.0.len() as u32);
    packet.0.extend(body.0);
    packet.0
}

/// The line of a packet in MQTT `level`, from its first byte and everything after the length.
///
/// # Errors
/// What is wrong with the packet.
pub fn decode(level: u8, first: u8, body: &[u8]) -> Result<Line, String> {
    let name = NAMES[usize::from(first >> 4)];
    let mut line = Line::of(&[name]);
    let mut reader = Reader(body);
    let flags = first & 0x0f;
    match name {
        "CONNECT" => read_connect(&mut reader, &mut line)?,
        "CONNACK" => {
            number(&mut line, "session_present", reader.byte()?);
            number(&mut line, "reason", reader.byte()?);
            if level == 5 {
                property::read(&mut reader, "", &mut line)?;
            }
        }
        "PUBLISH" => read_publish(level, flags, &mut reader, &mut line)?,
        "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" => {
            number(&mut line, "id", reader.two()?);
            read_short_reason(level, &mut reader, &mut line)?;
        }
        "SUBSCRIBE" | "UNSUBSCRIBE" | "SUBACK" | "UNSUBACK" => {
            read_filters(level, name, &mut reader, &mut line)?;
        }
        "DISCONNECT" | "AUTH" => read_short_reason(level, &mut reader, &mut line)?,
        "PINGREQ" | "PINGRESP" => {}
        _ => return Err(format!("packet type {} is reserved", first >> 4)),
    }
    let wanted = match name {
        "PUBLISH" => flags,
        "PUBREL" | "SUBSCRIBE" | "UNSUBSCRIBE" => 2,
        _ => 0,
    };
    if flags != wanted {
        return Err(format!("{name} with flags {flags:#x}"));
    }
    if !reader.0.is_empty() {
        return Err(format!(
            "{} bytes after the end of `{line}`",
            reader.0.len()
        ));
    }
    Ok(line)
}

fn number(line: &mut Line, name: &str, value: impl ToString) {
    line.fields
        .push((name.to_string(), value.to_string().into_bytes()));
}

fn check_fields(kind: u8, line: &Line) {
    let known: &[&str] = match NAMES[usize::from(kind)] {
        "CONNECT" => &[
            "protocol_name",
            "level",
            "clean_start",
            "keep_alive",
            "client_id",
            "will_topic",
            "will_payload",
            "will_qos",
            "will_retain",
            "username",
            "password",
            "connect_flags",
        ],
        "CONNACK" => &["session_present", "reason"],
        "PUBLISH" => &["dup", "qos", "retain", "topic", "id", "payload"],
        "SUBSCRIBE" => &["id", "filter", "options"],
        "UNSUBSCRIBE" => &["id", "filter"],
        "SUBACK" | "UNSUBACK" => &["id", "code"],
        "DISCONNECT" | "AUTH" => &["reason"],
        "PINGREQ" | "PINGRESP" => &[],
        _ => &["id", "reason"],
    };
    for (name, _) in &line.fields {
        let good = name == "flags"
            || known.contains(&name.as_str())
            || property::is_property(name, "")
            || property::is_property(name, "will.");
        assert!(good, "`{line}` has the unknown field {name}");
    }
}

fn write_connect(level: u8, line: &Line, body: &mut Bytes) -> u32 {
    let name = if level == 3 { "MQIsdp" } else { "MQTT" };
    body.text(line.text("protocol_name", name).as_bytes());
    body.byte(line.number("level", u32::from(level)) as u8);
    let mut flags = line.number("clean_start", 1) << 1;
    if line.get("will_topic").is_some() {
        flags |= 0x04 | line.number("will_qos", 0) << 3 | line.number("will_retain", 0) << 5;
    }
    flags |= u32::from(line.get("password").is_some()) << 6;
    flags |= u32::from(line.get("username").is_some()) << 7;
    body.byte(line.number("connect_flags", flags) as u8);
    body.two(line.number("keep_alive", 60) as u16);
    if level == 5 {
        property::write(line, "", body);
    }
    body.text(line.get("client_id").unwrap_or(b""));
    if let Some(topic) = line.get("will_topic") {
        if level == 5 {
            property::write(line, "will.", body);
        }
        body.text(topic);
        body.text(line.get("will_payload").unwrap_or(b""));
    }
    for name in ["username", "password"] {
        if let Some(value) = line.get(name) {
            body.text(value);
        }
    }
    0
}

fn read_connect(reader: &mut Reader<'_>, line: &mut Line) -> Result<(), String> {
    line.fields
        .push(("protocol_name".into(), reader.text()?.to_vec()));
    let level = reader.byte()?;
    number(line, "level", level);
    let flags = reader.byte()?;
    number(line, "connect_flags", flags);
    number(line, "clean_start", flags >> 1 & 1);
    number(line, "keep_alive", reader.two()?);
    if level == 5 {
        property::read(reader, "", line)?;
    }
    let text = |name: &str, line: &mut Line, reader: &mut Reader<'_>| {
        let value = reader.text()?.to_vec();
        line.fields.push((name.to_string(), value));
        Ok::<(), String>(())
    };
    text("client_id", line, reader)?;
    if flags & 0x04 != 0 {
        if level == 5 {
            property::read(reader, "will.", line)?;
        }
        text("will_topic", line, reader)?;
        text("will_payload", line, reader)?;
        number(line, "will_qos", flags >> 3 & 3);
        number(line, "will_retain", flags >> 5 & 1);
    }
    if flags & 0x80 != 0 {
        text("username", line, reader)?;
    }
    if flags & 0x40 != 0 {
        text("password", line, reader)?;
    }
    Ok(())
}

fn write_publish(level: u8, line: &Line, body: &mut Bytes) -> u32 {
    let qos = line.number("qos", 0);
    body.text(line.get("topic").unwrap_or(b""));
    if qos > 0 {
        body.two(line.number("id", 0) as u16);
    }
    if level == 5 {
        property::write(line, "", body);
    }
    body.0.extend(line.get("payload").unwrap_or(b""));
    line.number("dup", 0) << 3 | qos << 1 | line.number("retain", 0)
}

fn read_publish(
    level: u8,
    flags: u8,
    reader: &mut Reader<'_>,
    line: &mut Line,
) -> Result<(), String> {
    number(line, "dup", flags >> 3);
    number(line, "qos", flags >> 1 & 3);
    number(line, "retain", flags & 1);
    line.fields.push(("topic".into(), reader.text()?.to_vec()));
    if flags & 0x06 != 0 {
        number(line, "id", reader.two()?);
    }
    if level == 5 {
        property::read(reader, "", line)?;
    }
    let payload = std::mem::take(&mut reader.0);
    line.fields.push(("payload".into(), payload.to_vec()));
    Ok(())
}

fn write_filters(level: u8, name: &str, line: &Line, body: &mut Bytes) -> u32 {
    body.two(line.number("id", 0) as u16);
    if level == 5 {
        property::write(line, "", body);
    }
    for (at, (field, value)) in line.fields.iter().enumerate() {
        match field.as_str() {
            "filter" => {
                body.text(value);
                let next = line.fields.get(at + 1).filter(|f| f.0 == "options");
                let options = next.map_or(0, |f| Line::default().with("n", &f.1).number("n", 0));
                if name == "SUBSCRIBE" {
                    body.byte(options as u8);
                }
            }
            // MQTT 3 has no codes in UNSUBACK (3.1.1, 3.11.3).
            "code" if name == "SUBACK" || level == 5 => {
                body.byte(Line::default().with("n", value).number("n", 0) as u8);
            }
            _ => {}
        }
    }
    if name.ends_with("SCRIBE") { 2 } else { 0 }
}

fn read_filters(
    level: u8,
    name: &str,
    reader: &mut Reader<'_>,
    line: &mut Line,
) -> Result<(), String> {
    number(line, "id", reader.two()?);
    if level == 5 {
        property::read(reader, "", line)?;
    }
    while !reader.0.is_empty() {
        if name.ends_with("ACK") {
            number(line, "code", reader.byte()?);
        } else {
            line.fields.push(("filter".into(), reader.text()?.to_vec()));
        }
        if name == "SUBSCRIBE" {
            number(line, "options", reader.byte()?);
        }
    }
    Ok(())
}

fn write_reason(level: u8, line: &Line, body: &mut Bytes) {
    body.byte(line.number("reason", 0) as u8);
    if level == 5 {
        property::write(line, "", body);
    }
}

/// Reason and properties of the packets that may leave both out; MQTT 3 has neither.
fn write_short_reason(level: u8, line: &Line, body: &mut Bytes) {
    let properties = line.fields.iter().any(|f| property::is_property(&f.0, ""));
    if level == 5 && (line.get("reason").is_some() || properties) {
        write_reason(level, line, body);
    }
}

fn read_short_reason(level: u8, reader: &mut Reader<'_>, line: &mut Line) -> Result<(), String> {
    if level != 5 {
        return Ok(());
    }
    let reason = if reader.0.is_empty() {
        0
    } else {
        reader.byte()?
    };
    number(line, "reason", reason);
    if reader.0.is_empty() {
        return Ok(());
    }
    property::read(reader, "", line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(level: u8, text: &str) -> Vec<u8> {
        encode(level, &Line::parse(text).expect(text))
    }

    // The bytes are worked out by hand from the figures of the standard.
    #[test]
    fn packets_are_written_as_the_figures_of_the_standard_show() {
        let cases: [(u8, &str, &[u8]); 9] = [
            (
                4,
                "CONNECT client_id=a keep_alive=10",
                b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01a",
            ),
            (
                3,
                "CONNECT client_id=a clean_start=0",
                b"\x10\x0f\x00\x06MQIsdp\x03\x00\x00\x3c\x00\x01a",
            ),
            (
                5,
                "CONNECT receive_maximum=9",
                b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x09\x00\x00",
            ),
            (
                4,
                "PUBLISH topic=a/b qos=1 id=10 payload=x",
                b"\x32\x08\x00\x03a/b\x00\x0ax",
            ),
            (5, "PUBLISH topic=a payload=x", b"\x30\x05\x00\x01a\x00x"),
            (5, "PUBACK id=1 reason=0x10", b"\x40\x04\x00\x01\x10\x00"),
            (
                4,
                "SUBSCRIBE id=10 filter=a/b options=1 filter=c",
                b"\x82\x0c\x00\x0a\x00\x03a/b\x01\x00\x01c\x00",
            ),
            (4, "PUBREL id=2", b"\x62\x02\x00\x02"),
            (5, "DISCONNECT", b"\xe0\x00"),
        ];
        for (level, text, wanted) in cases {
            assert_eq!(bytes(level, text), wanted, "{text}");
        }
    }

    #[test]
    fn every_packet_reads_back_what_was_written() {
        for level in LEVELS {
            for text in [
                "CONNECT client_id=x will_topic=w will_payload=%00 will_qos=2 username=u password=p",
                "CONNACK session_present=1 reason=5",
                "PUBLISH dup=1 qos=2 retain=1 topic=a id=65535 payload=%ff",
                "PUBREC id=7",
                "SUBSCRIBE id=3 filter=a options=1 filter=b/# options=2",
                "SUBACK id=3 code=1 code=128",
                "UNSUBSCRIBE id=4 filter=a filter=b",
                "PINGREQ",
                "DISCONNECT",
            ] {
                let packet = bytes(level, text);
                let read = decode(level, packet[0], &packet[2..]).expect(text);
                let wanted = Line::parse(text).expect(text);
                wanted.matches(&read, &mut Default::default()).expect(text);
            }
        }
    }

    #[test]
    fn properties_read_back_what_was_written() {
        let text = "CONNACK session_present=0 reason=0 session_expiry=4294967295 receive_maximum=2 \
                    topic_alias_maximum=3 assigned_client_id=x user=a:b user=c:d maximum_qos=1";
        let packet = bytes(5, text);
        let read = decode(5, packet[0], &packet[2..]).expect("a CONNACK");
        assert_eq!(
            read.to_string(),
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }

    #[test]
    fn packets_that_break_the_standard_are_refused() {
        assert!(decode(4, 0x60, b"\x00\x01").is_err(), "PUBREL flags");
        assert!(decode(4, 0xd0, b"\x00").is_err(), "bytes after PINGRESP");
        assert!(decode(4, 0x20, b"\x00").is_err(), "a short CONNACK");
        assert!(
            decode(5, 0x20, b"\x00\x00\x02\x7f\x00").is_err(),
            "property 0x7f"
        );
    }
}
