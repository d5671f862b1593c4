//! How a message is printed where the user says it, `-F`: the sequences of mosquitto's clients.

use std::io::{self, Write};

use jiff::ZonedDateTime;
use serde::de::IgnoredAny;
use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::{PropertyId, Value};

/// A text in which sequences stand for what a message brings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Field(Field),
    /// For strftime, with its `%`.
    Time(String),
    Nanoseconds,
}

/// `%`, flags, width and maximum, and a letter.
#[derive(Clone, Debug, Default, PartialEq)]
struct Field {
    letter: char,
    zero: bool,
    left: bool,
    width: usize,
    most: Option<usize>,
}

/// A message, and when it came.
pub(crate) struct Printed<'a> {
    pub(crate) message: &'a Incoming,
    pub(crate) now: &'a ZonedDateTime,
    /// What is left of its Message Expiry Interval.
    pub(crate) expiry: Option<u32>,
    /// JSON on several lines.
    pub(crate) pretty: bool,
}

const LETTERS: &str = "%ACDEFIJUPRSXjlmpqrtx";

/// Widths beyond this are a mistake.
const WIDEST: usize = 10_000;

impl Template {
    /// # Errors
    /// Which sequence is unknown.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '%' => parts.push(Part::Field(field(&mut chars)?)),
                '@' => parts.push(time(chars.next())?),
                '\\' => parts.push(Part::Text(vec![escaped(chars.next())?])),
                _ => push(&mut parts, char),
            }
        }
        Ok(Self(parts))
    }

    pub(crate) fn write(&self, out: &mut impl Write, printed: &Printed<'_>) -> io::Result<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Field(field) => field.write(out, printed)?,
                Part::Nanoseconds => write!(out, "{:09}", printed.now.subsec_nanosecond())?,
                Part::Time(format) => match jiff::fmt::strtime::format(format, printed.now) {
                    Ok(text) => out.write_all(text.as_bytes())?,
                    Err(error) => return Err(io::Error::other(error.to_string())),
                },
            }
        }
        Ok(())
    }
}

fn push(parts: &mut Vec<Part>, char: char) {
    let mut bytes = [0; 4];
    let bytes = char.encode_utf8(&mut bytes).as_bytes();
    match parts.last_mut() {
        Some(Part::Text(text)) => text.extend_from_slice(bytes),
        _ => parts.push(Part::Text(bytes.to_vec())),
    }
}

fn field(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Field, String> {
    let mut field = Field::default();
    while let Some(flag) = chars.next_if(|char| matches!(char, '0' | '-')) {
        match flag {
            '0' => field.zero = true,
            _ => field.left = true,
        }
    }
    let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        let mut sum = 0usize;
        while let Some(digit) = chars.peek().and_then(|char| char.to_digit(10)) {
            chars.next();
            sum = (sum * 10 + digit as usize).min(WIDEST + 1);
        }
        match sum > WIDEST {
            true => Err(format!("-F: a width of more than {WIDEST}")),
            false => Ok(sum),
        }
    };
    field.width = number(chars)?;
    if chars.next_if_eq(&'.').is_some() {
        field.most = Some(number(chars)?);
    }
    match chars.next() {
        Some(letter) if LETTERS.contains(letter) => field.letter = letter,
        Some(letter) => return Err(format!("-F: unknown sequence %{letter}")),
        None => return Err("-F: ends with a single %".to_owned()),
    }
    Ok(field)
}

fn time(letter: Option<char>) -> Result<Part, String> {
    match letter {
        Some('@') => Ok(Part::Text(b"@".to_vec())),
        Some('N') => Ok(Part::Nanoseconds),
        Some(letter) => {
            let format = format!("%{letter}");
            match jiff::fmt::strtime::format(&format, &ZonedDateTime::now()) {
                Ok(_) => Ok(Part::Time(format)),
                Err(_) => Err(format!("-F: unknown sequence @{letter}")),
            }
        }
        None => Err("-F: ends with a single @".to_owned()),
    }
}

fn escaped(letter: Option<char>) -> Result<u8, String> {
    Ok(match letter {
        Some('\\') => b'\\',
        Some('0') => 0,
        Some('a') => 7,
        Some('e') => 27,
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('v') => 11,
        Some(letter) => return Err(format!("-F: unknown sequence \\{letter}")),
        None => return Err("-F: ends with a single \\".to_owned()),
    })
}

impl Field {
    fn write(&self, out: &mut impl Write, printed: &Printed<'_>) -> io::Result<()> {
        let message = &printed.message.message;
        let text = |id| message.properties().text(id).map(str::to_owned);
        let number = |id| message.properties().number(id).map(|n| n.to_string());
        let words = match self.letter {
            '%' => return out.write_all(b"%"),
            'D' => {
                let data = message.properties().binary(PropertyId::CorrelationData);
                return out.write_all(data.unwrap_or_default());
            }
            'P' => return out.write_all(user_properties(printed).as_bytes()),
            'p' => return self.padded(out, message.payload()),
            'j' | 'J' => return self.json(out, printed),
            'U' => {
                let (seconds, nanos) = (
                    printed.now.timestamp().as_second(),
                    printed.now.subsec_nanosecond(),
                );
                return write!(out, "{seconds}.{nanos:09}");
            }
            'A' => number(PropertyId::TopicAlias),
            'C' => text(PropertyId::ContentType),
            'E' => printed.expiry.map(|seconds| seconds.to_string()),
            'F' => number(PropertyId::PayloadFormatIndicator),
            'I' => Some(printed.now.strftime("%Y-%m-%dT%H:%M:%S%z").to_string()),
            'l' => Some(message.payload().len().to_string()),
            'm' => Some(printed.message.packet_id.to_string()),
            'q' => return write!(out, "{}", printed.message.qos as u8),
            'r' => return write!(out, "{}", u8::from(printed.message.retain)),
            'R' => text(PropertyId::ResponseTopic),
            'S' => subscription_id(printed),
            't' => Some(message.topic().to_owned()),
            'x' => Some(
                message
                    .payload()
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect(),
            ),
            _ => Some(
                message
                    .payload()
                    .iter()
                    .map(|b| format!("{b:02X}"))
                    .collect(),
            ),
        };
        match words {
            Some(words) => self.padded(out, words.as_bytes()),
            None => Ok(()),
        }
    }

    /// Bytes and not characters are counted: a payload need not be text.
    fn padded(&self, out: &mut impl Write, text: &[u8]) -> io::Result<()> {
        let cut = matches!(self.letter, 'C' | 'I' | 'R' | 't');
        let text = match self.most.filter(|_| cut) {
            Some(most) if most < text.len() => text.get(..most).unwrap_or(text),
            _ => text,
        };
        let missing = self.width.saturating_sub(text.len());
        let zero =
            self.zero && matches!(self.letter, 'A' | 'E' | 'F' | 'l' | 'm' | 'S' | 'X' | 'x');
        let fill = if zero && !self.left { "0" } else { " " };
        if self.left {
            out.write_all(text)?;
        }
        out.write_all(fill.repeat(missing).as_bytes())?;
        if !self.left {
            out.write_all(text)?;
        }
        Ok(())
    }

    fn json(&self, out: &mut impl Write, printed: &Printed<'_>) -> io::Result<()> {
        let payload = printed.message.message.payload();
        let text = String::from_utf8_lossy(payload);
        let payload = match self.letter {
            _ if payload.is_empty() => "null".to_owned(),
            'j' => quoted(&text),
            _ if serde_json::from_slice::<IgnoredAny>(payload).is_ok() => text.into_owned(),
            _ => {
                let topic = printed.message.message.topic();
                crate::report::error(&format!("the payload is not valid JSON on topic {topic}"));
                return Ok(());
            }
        };
        out.write_all(laid_out(&object(printed, &payload), printed.pretty).as_bytes())
    }
}

/// In the order of mosquitto's.
fn object(printed: &Printed<'_>, payload: &str) -> String {
    let message = printed.message;
    let mut object = format!(
        "{{\"tst\":\"{}\",\"topic\":{},\"qos\":{},\"retain\":{},\"payloadlen\":{},",
        printed.now.strftime("%Y-%m-%dT%H:%M:%S.%6f%z"),
        quoted(message.message.topic()),
        message.qos as u8,
        u8::from(message.retain),
        message.message.payload().len(),
    );
    if message.packet_id != 0 {
        object += &format!("\"mid\":{},", message.packet_id);
    }
    let properties = properties(printed);
    if !properties.is_empty() {
        object += &format!("\"properties\":{{{properties}}},");
    }
    object + &format!("\"payload\":{payload}}}")
}

fn properties(printed: &Printed<'_>) -> String {
    let mut all = Vec::new();
    let mut users = Vec::new();
    let mut add = |id: PropertyId, text: String| {
        let name = id.name().to_lowercase().replace(' ', "-");
        all.push(format!("\"{name}\":{text}"));
    };
    if let Some(seconds) = printed.expiry {
        add(PropertyId::MessageExpiryInterval, seconds.to_string());
    }
    for property in printed.message.message.properties().iter() {
        match property.value {
            Value::Byte(n) => add(property.id, n.to_string()),
            Value::TwoByteInteger(n) => add(property.id, n.to_string()),
            Value::FourByteInteger(n) | Value::VariableByteInteger(n) => {
                add(property.id, n.to_string());
            }
            Value::Utf8String(text) => add(property.id, quoted(text)),
            Value::BinaryData(data) => add(property.id, quoted(&String::from_utf8_lossy(data))),
            Value::Utf8StringPair(name, value) => {
                users.push(format!("{}:{}", quoted(name), quoted(value)));
            }
        }
    }
    if let Some(id) = subscription_id(printed) {
        add(PropertyId::SubscriptionIdentifier, id);
    }
    if !users.is_empty() {
        all.push(format!("\"user-properties\":{{{}}}", users.join(",")));
    }
    all.join(",")
}

fn user_properties(printed: &Printed<'_>) -> String {
    let pairs = printed.message.message.properties().user_properties();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    pairs.join(" ")
}

fn subscription_id(printed: &Printed<'_>) -> Option<String> {
    let ids = printed.message.subscription_ids.as_slice();
    ids.first().map(u32::to_string)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// JSON without blanks, or on lines of their own and indented by tabs. Strings stay as they are.
fn laid_out(json: &str, pretty: bool) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut depth, mut in_string, mut escaped, mut lists) = (0usize, false, false, Vec::new());
    let line = |out: &mut String, depth: usize| {
        if pretty {
            out.push('\n');
            out.extend(std::iter::repeat_n('\t', depth));
        }
    };
    for char in json.chars() {
        if in_string {
            out.push(char);
            in_string = escaped || char != '"';
            escaped = char == '\\' && !escaped;
            continue;
        }
        match char {
            '"' => in_string = true,
            '{' => {
                depth += 1;
                lists.push(false);
                out.push(char);
                line(&mut out, depth);
                continue;
            }
            '}' => {
                lists.pop();
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
            }
            '[' => lists.push(true),
            ']' => drop(lists.pop()),
            ' ' | '\n' | '\r' | '\t' => continue,
            _ => {}
        }
        out.push(char);
        match char {
            ',' if lists.last() == Some(&true) && pretty => out.push(' '),
            ',' => line(&mut out, depth),
            ':' if pretty => out.push('\t'),
            _ => {}
        }
    }
    out
}
