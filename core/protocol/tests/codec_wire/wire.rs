//! How the tests write bytes down, and what they ask of the codec.

use ternmq_protocol::codec::{Frame, MAX_PACKET_SIZE, Packet, Split, split};
use ternmq_protocol::{PeerError, ProtocolVersion, ReasonCode};

pub(crate) use ternmq_protocol::ProtocolVersion::{V3_1, V3_1_1, V5_0};

/// All versions, oldest first.
pub(crate) const ALL: [ProtocolVersion; 3] = [V3_1, V3_1_1, V5_0];
/// The versions without properties.
pub(crate) const OLD: [ProtocolVersion; 2] = [V3_1, V3_1_1];

/// Bytes in the notation of these tests: pairs of hex digits, and text of one byte per character in
/// single quotes. Blanks and `|` part the fields.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let (mut out, mut quoted, mut high) = (Vec::new(), false, None);
    for byte in text.bytes() {
        match (byte, high) {
            (b'\'', _) => quoted = !quoted,
            _ if quoted => out.push(byte),
            (b' ' | b'|' | b'\n', None) => {}
            (digit, None) => high = Some(hex(digit)),
            (digit, Some(value)) => {
                out.push(value << 4 | hex(digit));
                high = None;
            }
        }
    }
    assert!(!quoted && high.is_none(), "not the notation: {text}");
    out
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).expect("a hex digit") as u8
}

/// A packet: first byte, Remaining Length in its shortest form, body.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let (mut out, mut left) = (vec![first], body.len());
    loop {
        let byte = (left & 0x7F) as u8;
        left >>= 7;
        out.push(byte | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// A text or binary field: its length in two bytes, then itself.
pub(crate) fn field(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a field of at most 65535 bytes");
    [&len.to_be_bytes()[..], content].concat()
}

/// The one frame that `bytes` are.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    match split(bytes, MAX_PACKET_SIZE) {
        Ok(Split::Frame(frame)) if frame.len == bytes.len() => frame,
        other => panic!("not one frame: {bytes:02X?}: {other:?}"),
    }
}

/// What the bytes mean.
pub(crate) fn read(bytes: &[u8], version: ProtocolVersion) -> Result<Packet<'_>, PeerError> {
    Packet::decode(frame(bytes), version)
}

/// The packet as bytes, and that the length given is the length written.
pub(crate) fn written(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let len = packet
        .encode(version, &mut out)
        .unwrap_or_else(|e| panic!("{packet:?}: {e}"));
    assert_eq!(&out[..6], b"before");
    let out = out.split_off(6);
    assert_eq!(out.len(), len, "{packet:?}");
    out
}

/// The bytes mean the packet and the packet is written as these bytes.
#[track_caller]
pub(crate) fn same(version: ProtocolVersion, text: &str, packet: &Packet<'_>) {
    let bytes = bytes(text);
    assert_eq!(
        read(&bytes, version).as_ref(),
        Ok(packet),
        "{version} {text}"
    );
    assert_eq!(written(packet, version), bytes, "{version} {text}");
}

/// The bytes mean the packet, in a form that is allowed but not the one we write.
#[track_caller]
pub(crate) fn means(version: ProtocolVersion, text: &str, packet: &Packet<'_>) {
    let bytes = bytes(text);
    assert_eq!(
        read(&bytes, version).as_ref(),
        Ok(packet),
        "{version} {text}"
    );
    assert_ne!(written(packet, version), bytes, "{version} {text}");
}

/// The bytes are refused with this reason.
#[track_caller]
pub(crate) fn refused(version: ProtocolVersion, bytes: &[u8], reason: ReasonCode) {
    match read(bytes, version) {
        Ok(packet) => panic!("{version} {bytes:02X?} was read as {packet:?}"),
        Err(error) => assert_eq!(error.reason, reason, "{version} {bytes:02X?} {error}"),
    }
}

/// [`refused`] as Malformed Packet.
#[track_caller]
pub(crate) fn malformed(version: ProtocolVersion, text: &str) {
    refused(version, &bytes(text), ReasonCode::MALFORMED_PACKET);
}

/// [`refused`] as Protocol Error.
#[track_caller]
pub(crate) fn protocol_error(version: ProtocolVersion, text: &str) {
    refused(version, &bytes(text), ReasonCode::PROTOCOL_ERROR);
}

/// The packet can't be written, and trying leaves the buffer as it was.
#[track_caller]
pub(crate) fn unwritable(version: ProtocolVersion, packet: &Packet<'_>) {
    let mut out = b"before".to_vec();
    let result = packet.encode(version, &mut out);
    assert!(
        result.is_err(),
        "{version} {packet:?} became {:02X?}",
        &out[6..]
    );
    assert_eq!(out, b"before", "{version} {packet:?}");
}
