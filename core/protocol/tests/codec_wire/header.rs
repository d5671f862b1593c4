//! The fixed header (2.1; 2.2 in MQTT 3.1.1).

use crate::samples::SAMPLES;
use crate::wire::{ALL, OLD, V3_1, V3_1_1, V5_0, bytes, malformed, packet, read, refused};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{MAX_PACKET_SIZE, PacketType, Split, split};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;

#[test]
fn each_type_has_its_number() {
    for (number, kind) in [
        (1, PacketType::Connect),
        (2, PacketType::ConnAck),
        (3, PacketType::Publish),
        (4, PacketType::PubAck),
        (5, PacketType::PubRec),
        (6, PacketType::PubRel),
        (7, PacketType::PubComp),
        (8, PacketType::Subscribe),
        (9, PacketType::SubAck),
        (10, PacketType::Unsubscribe),
        (11, PacketType::UnsubAck),
        (12, PacketType::PingReq),
        (13, PacketType::PingResp),
        (14, PacketType::Disconnect),
        (15, PacketType::Auth),
    ] {
        assert_eq!(PacketType::from_nibble(number), Some(kind));
        assert_eq!(kind as u8, number);
        let bytes = [number << 4, 0];
        let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) else {
            panic!("{kind:?}");
        };
        assert_eq!((frame.packet_type, frame.flags, frame.len), (kind, 0, 2));
    }
}

#[test]
fn type_0_is_refused_by_its_first_byte() {
    for flags in 0..16 {
        let error = split(&[flags], MAX_PACKET_SIZE).unwrap_err();
        assert_eq!(error.reason, MALFORMED);
    }
}

#[test]
fn type_15_exists_in_5_0_only() {
    for version in OLD {
        malformed(version, "F0 00");
        malformed(version, "F0 06 | 18 04 15 00 01 'm'");
    }
    assert!(read(&[0xF0, 0], V5_0).is_ok());
}

// [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1]
// in MQTT 3.1.1 [MQTT-2.2.2-1] [MQTT-2.2.2-2] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
// 3.1.1 [MQTT-3.14.1-1]
#[test]
fn reserved_flags_have_the_listed_value() {
    for sample in SAMPLES.iter().filter(|s| s.version != V3_1) {
        let good = bytes(sample.bytes);
        if good[0] >> 4 == PacketType::Publish as u8 {
            continue; // its flags mean something, see `publish`
        }
        for flags in 0..16 {
            let mut bytes = good.clone();
            bytes[0] = good[0] & 0xF0 | flags;
            if bytes == good {
                assert!(read(&bytes, sample.version).is_ok(), "{bytes:02X?}");
            } else {
                refused(sample.version, &bytes, MALFORMED);
            }
        }
    }
}

#[test]
fn flags_that_3_1_does_not_use_are_ignored() {
    for sample in SAMPLES.iter().filter(|s| s.version == V3_1) {
        let good = bytes(sample.bytes);
        let kind = PacketType::from_nibble(good[0] >> 4).unwrap();
        for flags in 0..16 {
            let mut bytes = good.clone();
            bytes[0] = good[0] & 0xF0 | flags;
            let accepted = match kind {
                PacketType::Publish => continue,
                // Not known yet to be 3.1 when its header is read.
                PacketType::Connect => flags == 0,
                // QoS 1, and DUP when it is sent again.
                PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => {
                    flags & 0b0110 == 0b0010
                }
                _ => true,
            };
            assert_eq!(read(&bytes, V3_1).is_ok(), accepted, "{bytes:02X?}");
        }
    }
}

#[test]
fn the_remaining_length_counts_what_follows_it() {
    for (len, header) in [
        (2, 2),
        (127, 2),
        (128, 3),
        (16_383, 3),
        (16_384, 4),
        (2_097_151, 4),
        (2_097_152, 5),
    ] {
        let mut body = bytes("00 01 'a'");
        body.resize(len.max(3), 7);
        let bytes = packet(0x30, &body);
        assert_eq!(bytes.len(), body.len() + header);
        let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) else {
            panic!("{len}");
        };
        assert_eq!((frame.len, frame.body.len()), (bytes.len(), body.len()));
    }
}

// [MQTT-1.5.5-1]
#[test]
fn a_remaining_length_in_a_longer_form() {
    for long in ["C0 80 00", "C0 80 80 00", "C0 80 80 80 00", "E0 81 00 00"] {
        malformed(V5_0, long);
    }
    malformed(V5_0, "40 82 80 80 00 | 00 01");
    // CONNECT says by itself which rule holds, whatever the connection was thought to speak.
    let (v4, v5) = (
        "10 8D 00 | 00 04 'MQTT' 04 02 00 00 | 00 01 'a'",
        "10 8E 00 | 00 04 'MQTT' 05 02 00 00 | 00 | 00 01 'a'",
    );
    for version in ALL {
        malformed(version, v5);
        assert!(read(&bytes(v4), version).is_ok());
    }
    // MQTT 3.1.1 (2.2.3) says how to compute it, and forbids no other form.
    for version in OLD {
        assert!(read(&bytes("C0 80 80 80 00"), version).is_ok());
        assert!(read(&bytes("40 82 00 | 00 01"), version).is_ok());
    }
}

#[test]
fn a_remaining_length_of_five_bytes_is_refused_before_the_fifth() {
    for bytes in [
        &[0x30, 0x80, 0x80, 0x80, 0x80][..],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
    ] {
        assert_eq!(split(bytes, MAX_PACKET_SIZE).unwrap_err().reason, MALFORMED);
    }
    assert!(matches!(
        split(&[0x30, 0xFF, 0xFF, 0xFF], MAX_PACKET_SIZE),
        Ok(Split::Partial(5))
    ));
}

// [MQTT-3.2.2-15]
#[test]
fn a_packet_over_the_limit_is_refused_by_its_header() {
    for (bytes, limit, fits) in [
        (&[0xC0, 0x00][..], 2, true),
        (&[0xC0, 0x00], 1, false),
        (&[0x30, 0x7E], 128, true),
        (&[0x30, 0x7F], 128, false),
        (&[0x30, 0x80, 0x01], 131, true),
        (&[0x30, 0x80, 0x01], 130, false),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], MAX_PACKET_SIZE, true),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], MAX_PACKET_SIZE - 1, false),
    ] {
        match split(bytes, limit) {
            Ok(_) => assert!(fits, "{bytes:02X?} {limit}"),
            Err(error) => {
                assert!(!fits, "{bytes:02X?} {limit}");
                assert_eq!(error.reason, ReasonCode::PACKET_TOO_LARGE);
            }
        }
    }
}

#[test]
fn pings_have_no_body() {
    for version in ALL {
        malformed(version, "C0 01 00");
        malformed(version, "D0 01 00");
    }
    // What was thought to be spoken makes no difference to a 3.1.1 ping.
    assert!(read(&[0xC0, 0], V3_1_1).is_ok());
}
