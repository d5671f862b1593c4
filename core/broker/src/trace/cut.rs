//! The bytes of one direction, cut where packets begin, without what is secret in them.

use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::{
    Connect, FixedHeader, Packet, PacketType, PropertyId, Split, Value, split,
};

/// What stands for a byte of a secret: as many of them as it has, so that lengths stay right.
const HIDDEN: u8 = b'*';

/// The largest packet with a secret that is kept until it is whole. Of a larger one all is hidden.
const KEPT: usize = 256 * 1024;

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Cut {
    /// The beginning of a packet that can't be told of before more of it is there.
    kept: Vec<u8>,
    /// How many bytes of it there have to be.
    wanted: usize,
    /// Bytes left of a packet whose beginning was told of.
    left: usize,
    /// They are all secret.
    hides: bool,
    /// These are no packets of MQTT; what follows is told of as it is.
    lost: bool,
}

/// What a CONNECT says.
pub(crate) struct Introduction(pub(crate) Box<str>);

impl Cut {
    /// Appends to `out` what can be told of the next bytes. Returns the first CONNECT among them.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Introduction> {
        if self.kept.is_empty() {
            return self.cut(bytes, out);
        }
        self.kept.extend_from_slice(bytes);
        if self.kept.len() < self.wanted {
            return None;
        }
        let kept = std::mem::take(&mut self.kept);
        self.cut(&kept, out)
    }

    /// Packet by packet, until there is only the beginning of one, which is kept.
    fn cut(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<Introduction> {
        let mut said = None;
        loop {
            bytes = self.pass(bytes, out);
            let header = match FixedHeader::read(bytes) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.wanted = 0;
                    break;
                }
                Err(_) => {
                    self.lost = true;
                    continue;
                }
            };
            let secret = matches!(header.packet_type, PacketType::Connect | PacketType::Auth);
            if secret && header.len <= KEPT {
                let Some(whole) = bytes.get(..header.len) else {
                    self.wanted = header.len;
                    break;
                };
                let found = tell(whole, header.header, out);
                said = said.or(found);
                bytes = &bytes[header.len..];
            } else {
                out.extend_from_slice(&bytes[..header.header]);
                bytes = &bytes[header.header..];
                (self.left, self.hides) = (header.len - header.header, secret);
            }
        }
        self.kept.extend_from_slice(bytes);
        said
    }

    /// Appends what belongs to a packet that was told of before; the rest.
    fn pass<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let known = match self.lost {
            true => bytes.len(),
            false => self.left.min(bytes.len()),
        };
        let (known, rest) = bytes.split_at(known);
        match self.hides {
            true => out.resize(out.len() + known.len(), HIDDEN),
            false => out.extend_from_slice(known),
        }
        self.left = self.left.saturating_sub(known.len());
        rest
    }
}

/// Appends a CONNECT or an AUTH without its secrets. One that can't be read may hold them anywhere.
fn tell(packet: &[u8], header: usize, out: &mut Vec<u8>) -> Option<Introduction> {
    let begins = out.len();
    out.extend_from_slice(packet);
    let mut hide = |secret: &[u8]| {
        // What is not there has no place either.
        if secret.is_empty() {
            return;
        }
        // Both are slices of the same packet.
        let at = begins + secret.as_ptr() as usize - packet.as_ptr() as usize;
        out[at..at + secret.len()].fill(HIDDEN);
    };
    let body = &packet[header..];
    let read = match split(packet, u32::MAX) {
        Ok(Split::Frame(frame)) => Packet::decode(frame, ProtocolVersion::V5_0).ok(),
        _ => None,
    };
    let properties = match &read {
        Some(Packet::Connect(connect)) => {
            hide(connect.password.unwrap_or_default());
            connect.properties
        }
        Some(Packet::Auth(auth)) => auth.properties,
        _ => {
            hide(body);
            return None;
        }
    };
    for property in properties.iter() {
        if let (PropertyId::AuthenticationData, Value::BinaryData(data)) =
            (property.id, property.value)
        {
            hide(data);
        }
    }
    match read {
        Some(Packet::Connect(Connect { client_id, .. })) => Some(Introduction(client_id.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect() -> Vec<u8> {
        let mut bytes = vec![0x10, 0];
        bytes.extend_from_slice(b"\0\x04MQTT\x05\xc2\0\x3c");
        // Authentication Method and Data.
        bytes.extend_from_slice(b"\x0d\x15\0\x01x\x16\0\x06tokens");
        bytes.extend_from_slice(b"\0\x02me\0\x04anna\0\x06secret");
        bytes[1] = (bytes.len() - 2) as u8;
        bytes
    }

    #[test]
    fn secrets_are_hidden_wherever_the_bytes_are_split() {
        let mut bytes = connect();
        bytes.extend_from_slice(b"\x30\x05\0\x01t\0x\xc0\0");
        bytes.extend_from_slice(b"\xf0\x0c\x18\x0a\x15\0\x01x\x16\0\x03key");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let hidden = text.replace("secret", "******");
        let hidden = hidden.replace("tokens", "******").replace("key", "***");
        for at in 0..=bytes.len() {
            let (mut cut, mut out) = (Cut::default(), Vec::new());
            let first = cut.feed(&bytes[..at], &mut out);
            let second = cut.feed(&bytes[at..], &mut out);
            assert_eq!(String::from_utf8_lossy(&out), hidden, "{at}");
            let said = first.or(second).expect("a CONNECT").0;
            assert_eq!(&*said, "me");
        }
    }

    #[test]
    fn of_what_can_not_be_read_nothing_is_told() {
        let mut broken = connect();
        // No such flags.
        broken[9] = 0xC3;
        let (mut cut, mut out) = (Cut::default(), Vec::new());
        assert!(cut.feed(&broken, &mut out).is_none());
        assert_eq!(out.len(), broken.len());
        assert!(out[2..].iter().all(|byte| *byte == HIDDEN));
        // One that is too large to be kept is hidden as it comes.
        let mut large = vec![0x10, 0xFF, 0xFF, 0x7F];
        large.extend_from_slice(b"secret");
        let (mut cut, mut out) = (Cut::default(), Vec::new());
        assert!(cut.feed(&large, &mut out).is_none());
        assert_eq!(out, b"\x10\xff\xff\x7f******");
    }

    #[test]
    fn a_client_without_secrets_has_none_to_hide() {
        let bytes = b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02me";
        let (mut cut, mut out) = (Cut::default(), Vec::new());
        assert_eq!(&*cut.feed(bytes, &mut out).expect("a CONNECT").0, "me");
        assert_eq!(out, bytes);
    }

    #[test]
    fn what_is_no_mqtt_goes_through() {
        let (mut cut, mut out) = (Cut::default(), Vec::new());
        cut.feed(b"\x00GET", &mut out);
        cut.feed(b" / HTTP", &mut out);
        assert_eq!(out, b"\x00GET / HTTP");
    }
}
