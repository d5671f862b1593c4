//! UTF-8 Encoded Strings (1.5.4; 1.5.3 in MQTT 3.1.1) in each field that is one.

use crate::place::{Spot, with};
use crate::wire::{ALL, V3_1, V3_1_1, V5_0, field, packet, read, refused};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

/// Not well-formed, surrogates, overlong forms, beyond U+10FFFF; and U+0000.
const BAD: [&[u8]; 9] = [
    b"\xFF",
    b"a\xC3",
    b"\x80",
    b"\xC0\x80",
    b"\xE0\x80\x80",
    b"\xED\xA0\x80",
    b"\xED\xBF\xBFx",
    b"\xF4\x90\x80\x80",
    b"a\0b",
];

/// Two and four bytes, a byte order mark, control characters, a non-character.
const GOOD: [&str; 5] = [
    "é",
    "\u{2A6D4}",
    "\u{FEFF}a",
    "\u{1}\u{7F}\u{9F}",
    "\u{FFFF}",
];

type Build = fn(ProtocolVersion, &[u8]) -> Vec<u8>;

/// What stands in front of the payload of a CONNECT.
fn head(version: ProtocolVersion, flags: u8) -> Vec<u8> {
    let mut head = field(version.name().as_bytes());
    head.extend([version.level(), flags, 0, 0]);
    if version.is_v5() {
        head.push(0);
    }
    head
}

fn empty(version: ProtocolVersion) -> &'static [u8] {
    if version.is_v5() { b"\0" } else { b"" }
}

/// The fields that are strings in all versions.
const FIELDS: [(&str, Build); 6] = [
    ("client identifier", |v, text| {
        packet(0x10, &[&head(v, 2)[..], &field(text)].concat())
    }),
    ("will topic", |v, text| {
        let will = [empty(v), &field(text), b"\0\0"].concat();
        packet(0x10, &[&head(v, 6)[..], b"\0\x01c", &will].concat())
    }),
    ("user name", |v, text| {
        packet(
            0x10,
            &[&head(v, 0x82)[..], b"\0\x01c", &field(text)].concat(),
        )
    }),
    ("topic name", |v, text| {
        packet(0x30, &[&field(text)[..], empty(v), b"x"].concat())
    }),
    ("filter of SUBSCRIBE", |v, text| {
        packet(
            0x82,
            &[b"\0\x07", empty(v), b"\0\x01a\0", &field(text), b"\0"].concat(),
        )
    }),
    ("filter of UNSUBSCRIBE", |v, text| {
        packet(
            0xA2,
            &[b"\0\x07", empty(v), b"\0\x01a", &field(text)].concat(),
        )
    }),
];

// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-3.3.2-1]
// [MQTT-3.8.3-1] [MQTT-3.10.3-1] [MQTT-4.7.3-2] in MQTT 3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2]
// 3.1.1 [MQTT-3.1.3-4] [MQTT-3.1.3-10] [MQTT-3.1.3-11] [MQTT-3.3.2-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
// 3.1.1 [MQTT-4.7.3-2]
#[test]
fn ill_formed_text_in_each_field() {
    for (name, build) in FIELDS {
        for version in ALL {
            for bad in BAD {
                refused(version, &build(version, bad), ReasonCode::MALFORMED_PACKET);
            }
            for good in GOOD {
                let bytes = build(version, good.as_bytes());
                assert!(read(&bytes, version).is_ok(), "{name} {version} {good:?}");
            }
        }
    }
}

// [MQTT-1.5.4-3] in MQTT 3.1.1 [MQTT-1.5.3-3]
#[test]
fn text_is_passed_on_as_it_came() {
    for (name, build) in FIELDS {
        for version in [V3_1, V3_1_1, V5_0] {
            for good in GOOD {
                let bytes = build(version, good.as_bytes());
                let packet = read(&bytes, version).unwrap();
                assert_eq!(crate::wire::written(&packet, version), bytes, "{name}");
            }
        }
    }
}

/// The properties that are strings, and a place where each may stand.
const PROPERTIES: [(u8, Spot); 8] = [
    (0x03, Spot::Publish),
    (0x08, Spot::Will),
    (0x12, Spot::ConnAck),
    (0x15, Spot::Connect),
    (0x15, Spot::Auth),
    (0x1A, Spot::ConnAck),
    (0x1C, Spot::Disconnect),
    (0x1F, Spot::PubAck),
];

// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] [MQTT-3.3.2-13] [MQTT-3.3.2-19]
#[test]
fn ill_formed_text_in_each_property() {
    for (number, spot) in PROPERTIES {
        let property = |text: &[u8]| [&[number][..], &field(text)].concat();
        for bad in BAD {
            let bytes = with(spot, &property(bad));
            refused(V5_0, &bytes, ReasonCode::MALFORMED_PACKET);
        }
        for good in GOOD {
            let bytes = with(spot, &property(good.as_bytes()));
            let packet = read(&bytes, V5_0).unwrap();
            assert_eq!(crate::wire::written(&packet, V5_0), bytes);
        }
    }
}

// [MQTT-1.5.7-1]
#[test]
fn both_halves_of_a_string_pair() {
    let pair = |name: &[u8], value: &[u8]| [&[0x26][..], &field(name), &field(value)].concat();
    for spot in crate::place::SPOTS {
        for bad in BAD {
            for property in [pair(bad, b"v"), pair(b"k", bad)] {
                refused(V5_0, &with(spot, &property), ReasonCode::MALFORMED_PACKET);
            }
        }
        for good in GOOD {
            let property = pair(good.as_bytes(), good.as_bytes());
            assert!(read(&with(spot, &property), V5_0).is_ok());
        }
    }
}

#[test]
fn binary_data_is_not_text() {
    // Will payload, password, Correlation Data, Authentication Data.
    for bad in BAD {
        for version in ALL {
            let will = [empty(version), b"\0\x01w", &field(bad)].concat();
            let fields = [&will[..], b"\0\x01u", &field(bad)].concat();
            let bytes = packet(
                0x10,
                &[&head(version, 0xC6)[..], b"\0\x01c", &fields].concat(),
            );
            assert!(read(&bytes, version).is_ok());
        }
        let property = |number: u8| [&[number][..], &field(bad)].concat();
        assert!(read(&with(Spot::Publish, &property(0x09)), V5_0).is_ok());
        assert!(read(&with(Spot::ConnAck, &property(0x16)), V5_0).is_ok());
    }
}
