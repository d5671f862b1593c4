//! Frames out of a stream that comes in pieces.
#![forbid(unsafe_code)]

use ternmq_protocol::ProtocolVersion::V3_1_1;
use ternmq_protocol::codec::{FrameBuffer, MAX_PACKET_SIZE, Packet, PacketType, Publish};
use ternmq_protocol::{PeerError, ReasonCode};

/// What came out: type, flags and body of each packet.
type Seen = Vec<(PacketType, u8, Vec<u8>)>;

fn read(pieces: &[&[u8]], limit: u32) -> Result<(Seen, FrameBuffer), PeerError> {
    let (mut frames, mut seen) = (FrameBuffer::default(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        while let Some(frame) = frames.next(&mut input, limit)? {
            seen.push((frame.packet_type, frame.flags, frame.body.to_vec()));
        }
        assert!(input.is_empty(), "all of it is used or kept");
    }
    Ok((seen, frames))
}

/// PUBLISHes around the borders of the Remaining Length, with pings between.
fn stream() -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let lengths = [0, 1, 123, 124, 125, 126, 16_379, 16_380, 16_381];
    for len in lengths {
        let payload = vec![len as u8; len];
        let publish = Packet::Publish(Publish::new("t", &payload));
        publish.encode(V3_1_1, &mut out).unwrap();
        Packet::PingReq.encode(V3_1_1, &mut out).unwrap();
    }
    (out, 2 * lengths.len())
}

// [MQTT-4.2-1] for the reader: where the transport cuts makes no difference
#[test]
fn pieces_of_any_size_give_the_same_packets() {
    let (bytes, count) = stream();
    let (whole, _) = read(&[&bytes], MAX_PACKET_SIZE).unwrap();
    assert_eq!(whole.len(), count);
    for size in [1, 2, 3, 5, 7, 100, 127, 128, 1460, 16_384, 65_536] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let (seen, frames) = read(&pieces, MAX_PACKET_SIZE).unwrap();
        assert!(seen == whole, "pieces of {size}");
        assert!(!frames.is_partial());
    }
}

#[test]
fn empty_pieces_change_nothing() {
    let (bytes, _) = stream();
    let (whole, _) = read(&[&bytes], MAX_PACKET_SIZE).unwrap();
    let mut pieces: Vec<&[u8]> = Vec::new();
    for piece in bytes.chunks(3) {
        pieces.extend([&b""[..], piece, b""]);
    }
    assert!(read(&pieces, MAX_PACKET_SIZE).unwrap().0 == whole);
}

// [MQTT-3.2.2-15]
#[test]
fn the_limit_holds_wherever_the_header_is_cut() {
    let header = [0x30, 0xE9, 0x07]; // 1,001 bytes behind a header of three
    for cut in 0..=header.len() {
        let pieces = [&header[..cut], &header[cut..], &[0; 1001][..]];
        let error = read(&pieces, 1003).map(|(seen, _)| seen).unwrap_err();
        assert_eq!(error.reason, ReasonCode::PACKET_TOO_LARGE);
        let (seen, _) = read(&pieces, 1004).unwrap();
        assert_eq!(seen.len(), 1);
    }
}

#[test]
fn what_can_not_be_a_packet_is_refused_wherever_it_is_cut() {
    for bytes in [&[0x0F, 0x00][..], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF]] {
        for cut in 0..=bytes.len() {
            let pieces = [&[0xC0, 0][..], &bytes[..cut], &bytes[cut..]];
            let error = read(&pieces, MAX_PACKET_SIZE)
                .map(|(seen, _)| seen)
                .unwrap_err();
            assert_eq!(error.reason, ReasonCode::MALFORMED_PACKET);
        }
    }
}

#[test]
fn the_end_of_the_stream_inside_a_packet_can_be_seen() {
    let (_, frames) = read(&[&[0xC0]], MAX_PACKET_SIZE).unwrap();
    assert!(frames.is_partial());
    let (_, frames) = read(&[&[0xC0], &[0x00]], MAX_PACKET_SIZE).unwrap();
    assert!(!frames.is_partial());
    let (_, frames) = read(&[&[0xC0], &[0x00, 0xD0]], MAX_PACKET_SIZE).unwrap();
    assert!(frames.is_partial());
}
