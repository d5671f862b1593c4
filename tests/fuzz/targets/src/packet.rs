use crate::{VERSIONS, choice};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::{MAX_PACKET_SIZE, Packet, Split, split};

/// A packet that decodes can be encoded, the length returned is the length written, and decoding
/// that gives the same packet. Encoding a second time gives the same bytes.
///
/// The first byte chooses the version, the rest is a stream of packets.
pub fn packet(data: &[u8]) {
    let Some((version, mut stream)) = choice(data) else {
        return;
    };
    let version = VERSIONS[version % 3];
    while let Ok(Split::Frame(frame)) = split(stream, MAX_PACKET_SIZE) {
        stream = &stream[frame.len..];
        match Packet::decode(frame, version) {
            Ok(packet) => round_trip(&packet, version),
            Err(e) => assert!(e.reason.0 >= 0x80, "an error with a good reason code"),
        }
    }
}

fn round_trip(packet: &Packet<'_>, version: ProtocolVersion) {
    let before = b"before";
    let mut bytes = before.to_vec();
    let written = packet
        .encode(version, &mut bytes)
        .unwrap_or_else(|e| panic!("{packet:?} was decoded and can't be encoded: {e}"));
    assert_eq!(
        written,
        bytes.len() - before.len(),
        "the length of {packet:?}"
    );
    let (head, encoded) = bytes.split_at(before.len());
    assert_eq!(head, before, "encoding touched what was there");
    let Ok(Split::Frame(frame)) = split(encoded, MAX_PACKET_SIZE) else {
        panic!("{packet:?} was encoded to no frame: {encoded:?}");
    };
    assert_eq!(frame.len, encoded.len());
    let again = Packet::decode(frame, version)
        .unwrap_or_else(|e| panic!("{packet:?} was encoded to what can't be decoded: {e:?}"));
    assert_eq!(*packet, again);
    let mut second = Vec::new();
    again.encode(version, &mut second).expect("encoded before");
    assert_eq!(encoded, second, "two encodings of {packet:?}");
}
