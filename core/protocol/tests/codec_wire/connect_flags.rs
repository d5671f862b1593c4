//! The connect flags (3.1.2.3 to 3.1.2.9): all 256 bytes in all versions.

use crate::wire::{V3_1, V3_1_1, V5_0, packet, read, refused, unwritable};
use ternmq_protocol::codec::{Connect, Packet, QoS};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

/// A CONNECT with these flags, and each field that they announce.
fn connect(version: ProtocolVersion, flags: u8) -> Vec<u8> {
    let mut body = crate::wire::field(version.name().as_bytes());
    body.extend([version.level(), flags, 0, 60]);
    let v5 = version.is_v5();
    if v5 {
        body.push(0);
    }
    body.extend(*b"\0\x01c");
    if flags & 0x04 != 0 {
        if v5 {
            body.push(0);
        }
        body.extend(*b"\0\x01w\0\x01m");
    }
    if flags & 0x80 != 0 {
        body.extend(*b"\0\x01u");
    }
    if flags & 0x40 != 0 {
        body.extend(*b"\0\x01p");
    }
    packet(0x10, &body)
}

/// What is right by the text, said once more in other words than the codec's.
fn allowed(version: ProtocolVersion, flags: u8) -> bool {
    let bit = |n: u8| flags & 1 << n != 0;
    let (will, will_qos) = (bit(2), flags >> 3 & 3);
    let reserved = !bit(0) || version == V3_1;
    let unused = (will_qos == 0 && !bit(5)) || version == V3_1;
    let password = bit(7) || !bit(6) || version == V5_0;
    reserved && password && if will { will_qos < 3 } else { unused }
}

// [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17]
// [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.4-1]
// in MQTT 3.1.1 [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-14] [MQTT-3.1.2-15]
// 3.1.1 [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.2-20] [MQTT-3.1.2-21] [MQTT-3.1.2-22] [MQTT-3.1.4-1]
#[test]
fn every_combination_of_flags() {
    for version in [V3_1, V3_1_1, V5_0] {
        for flags in 0..=255u8 {
            let bytes = connect(version, flags);
            if !allowed(version, flags) {
                refused(version, &bytes, ReasonCode::MALFORMED_PACKET);
                continue;
            }
            let Ok(Packet::Connect(read)) = read(&bytes, version) else {
                panic!("{version} {flags:08b}");
            };
            assert_eq!(read.clean_start, flags & 0x02 != 0);
            assert_eq!(read.keep_alive, 60);
            assert_eq!(read.user_name, (flags & 0x80 != 0).then_some("u"));
            assert_eq!(read.password, (flags & 0x40 != 0).then_some(&b"p"[..]));
            assert_eq!(read.will.is_some(), flags & 0x04 != 0);
            if let Some(will) = read.will {
                assert_eq!((will.topic, will.payload), ("w", &b"m"[..]));
                assert_eq!(Some(will.qos), QoS::from_bits(flags >> 3 & 3));
                assert_eq!(will.retain, flags & 0x20 != 0);
            }
            let again = crate::wire::written(&Packet::Connect(read), version);
            if version != V3_1 {
                assert_eq!(again, bytes, "{version} {flags:08b}");
            }
        }
    }
}

// [MQTT-3.1.2-16] [MQTT-3.1.2-18] in MQTT 3.1.1 [MQTT-3.1.2-18] [MQTT-3.1.2-20]
#[test]
fn fields_that_no_flag_announces_are_malformed() {
    for version in [V3_1, V3_1_1, V5_0] {
        for flag in [0x04, 0x80] {
            let at = 2 + 2 + version.name().len() + 1;
            let mut bytes = connect(version, 0x02 | flag);
            assert_eq!(bytes[at], 0x02 | flag);
            bytes[at] &= !flag;
            refused(version, &bytes, ReasonCode::MALFORMED_PACKET);
        }
    }
    let mut bytes = connect(V5_0, 0xC2);
    bytes[9] &= !0x40;
    refused(V5_0, &bytes, ReasonCode::MALFORMED_PACKET);
}

// 3.1.1 [MQTT-3.1.2-22]
#[test]
fn a_password_without_a_user_name() {
    for (version, possible) in [(V3_1, false), (V3_1_1, false), (V5_0, true)] {
        let connect = Packet::Connect(Connect {
            password: Some(b"p"),
            ..Connect::new(version, "c")
        });
        if possible {
            let bytes = crate::wire::written(&connect, version);
            assert_eq!(read(&bytes, version), Ok(connect));
        } else {
            unwritable(version, &connect);
        }
    }
}
