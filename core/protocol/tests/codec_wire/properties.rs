//! Properties (2.2.2): each of them, in each place.

use crate::place::{METHOD, SPOTS, Spot, value, with};
use crate::wire::{V5_0, bytes, read, refused, unwritable, written};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{Place, Properties, PropertiesBuf, PropertyId, ValueType};

const MALFORMED: ReasonCode = ReasonCode::MALFORMED_PACKET;
const PROTOCOL: ReasonCode = ReasonCode::PROTOCOL_ERROR;

use Spot::{Auth, ConnAck, Connect, Disconnect, Publish, Subscribe, Will};

/// The places of a Reason String.
const REASON: &[Spot] = &[
    ConnAck,
    Spot::PubAck,
    Spot::PubRec,
    Spot::PubRel,
    Spot::PubComp,
    Spot::SubAck,
    Spot::UnsubAck,
    Disconnect,
    Auth,
];

/// Table 2-4 again: number, name, an encoded value, where it may stand.
const TABLE: [(u8, &str, &str, &[Spot]); 27] = [
    (0x01, "Payload Format Indicator", "01", &[Publish, Will]),
    (
        0x02,
        "Message Expiry Interval",
        "00 00 01 00",
        &[Publish, Will],
    ),
    (0x03, "Content Type", "00 01 'c'", &[Publish, Will]),
    (0x08, "Response Topic", "00 03 'r/t'", &[Publish, Will]),
    (0x09, "Correlation Data", "00 02 00 FF", &[Publish, Will]),
    (
        0x0B,
        "Subscription Identifier",
        "FF FF FF 7F",
        &[Publish, Subscribe],
    ),
    (
        0x11,
        "Session Expiry Interval",
        "FF FF FF FF",
        &[Connect, ConnAck, Disconnect],
    ),
    (0x12, "Assigned Client Identifier", "00 01 'i'", &[ConnAck]),
    (0x13, "Server Keep Alive", "00 00", &[ConnAck]),
    (
        0x15,
        "Authentication Method",
        "00 01 'm'",
        &[Connect, ConnAck, Auth],
    ),
    (0x16, "Authentication Data", "00 00", &[ConnAck, Auth]), // and CONNECT, with a method
    (0x17, "Request Problem Information", "00", &[Connect]),
    (0x18, "Will Delay Interval", "00 00 00 00", &[Will]),
    (0x19, "Request Response Information", "01", &[Connect]),
    (0x1A, "Response Information", "00 01 'r'", &[ConnAck]),
    (
        0x1C,
        "Server Reference",
        "00 01 's'",
        &[ConnAck, Disconnect],
    ),
    (0x1F, "Reason String", "00 00", REASON),
    (0x21, "Receive Maximum", "FF FF", &[Connect, ConnAck]),
    (0x22, "Topic Alias Maximum", "00 00", &[Connect, ConnAck]),
    (0x23, "Topic Alias", "FF FF", &[Publish]),
    (0x24, "Maximum QoS", "00", &[ConnAck]),
    (0x25, "Retain Available", "00", &[ConnAck]),
    (0x26, "User Property", "00 01 'k' 00 00", &SPOTS),
    (
        0x27,
        "Maximum Packet Size",
        "00 00 00 01",
        &[Connect, ConnAck],
    ),
    (0x28, "Wildcard Subscription Available", "00", &[ConnAck]),
    (0x29, "Subscription Identifier Available", "01", &[ConnAck]),
    (0x2A, "Shared Subscription Available", "01", &[ConnAck]),
];

fn encoded(number: u8, value: &str) -> Vec<u8> {
    [&[number][..], &bytes(value)].concat()
}

#[test]
fn the_table_of_properties() {
    assert_eq!(PropertyId::ALL.len(), TABLE.len());
    for (id, (number, name, ..)) in PropertyId::ALL.iter().zip(TABLE) {
        assert_eq!((*id as u8, id.name()), (number, name));
        assert_eq!(PropertyId::from_wire(number.into()), Some(*id));
    }
}

// Section 2.2.2.2: an identifier that is not valid for its packet makes it malformed.
#[test]
fn each_property_in_each_place() {
    for (number, name, content, spots) in TABLE {
        let property = encoded(number, content);
        for spot in SPOTS {
            let packet = with(spot, &property);
            if spots.contains(&spot) {
                let read = read(&packet, V5_0).unwrap_or_else(|e| panic!("{name} {spot:?} {e}"));
                assert_eq!(written(&read, V5_0), packet, "{name} {spot:?}");
            } else if (number, spot) == (0x16, Connect) {
                refused(V5_0, &packet, PROTOCOL);
                let properties = [METHOD, &property].concat();
                assert!(read(&with(spot, &properties), V5_0).is_ok());
            } else {
                refused(V5_0, &packet, MALFORMED);
            }
        }
    }
}

#[test]
fn each_property_twice() {
    for (number, name, content, spots) in TABLE {
        let twice = [encoded(number, content), encoded(number, content)].concat();
        for &spot in spots {
            let packet = with(spot, &twice);
            match (number, spot) {
                (0x26, _) | (0x0B, Publish) => {
                    let read = read(&packet, V5_0).unwrap_or_else(|e| panic!("{name} {e}"));
                    assert_eq!(written(&read, V5_0), packet);
                }
                _ => refused(V5_0, &packet, PROTOCOL),
            }
        }
    }
}

#[test]
fn each_property_cut_off_inside() {
    for (number, name, content, spots) in TABLE {
        let property = encoded(number, content);
        for &spot in spots {
            for end in 1..property.len() {
                let cut = &property[..end];
                // 0xFF.. of a Variable Byte Integer is also an unfinished one.
                match read(&with(spot, cut), V5_0) {
                    Err(error) => assert_eq!(error.reason, MALFORMED, "{name} {spot:?} {end}"),
                    Ok(packet) => panic!("{name} {spot:?} {end}: {packet:?}"),
                }
            }
        }
    }
}

#[test]
fn unknown_identifiers_are_malformed() {
    for number in (0..=0xFFu32).chain([0x100, 0x7FFF, 268_435_455]) {
        if TABLE.iter().any(|row| u32::from(row.0) == number) {
            continue;
        }
        assert_eq!(PropertyId::from_wire(number), None);
        let mut property = Vec::new();
        ternmq_protocol::codec::primitive::write_variable_byte_integer(number, &mut property);
        property.extend([0; 4]);
        for spot in SPOTS {
            refused(V5_0, &with(spot, &property), MALFORMED);
        }
    }
}

// [MQTT-1.5.5-1]
#[test]
fn variable_byte_integers_in_their_shortest_form() {
    // The identifier, the Property Length and the Subscription Identifier.
    refused(
        V5_0,
        &bytes("30 08 | 00 01 't' | 03 81 00 01 | 'x'"),
        MALFORMED,
    );
    refused(V5_0, &bytes("30 05 | 00 01 't' | 80 00"), MALFORMED);
    refused(
        V5_0,
        &bytes("30 08 | 00 01 't' | 82 00 01 01 | 'x'"),
        MALFORMED,
    );
    for id in ["0B 81 00", "0B 80 80 01 00", "0B FF FF FF FF 7F"] {
        refused(V5_0, &with(Publish, &bytes(id)), MALFORMED);
        refused(V5_0, &with(Subscribe, &bytes(id)), MALFORMED);
    }
}

// [MQTT-2.2.2-1]
#[test]
fn no_properties_is_a_length_of_zero() {
    for spot in SPOTS {
        let packet = value(spot, Properties::EMPTY);
        let by_hand = with(spot, b"");
        match spot {
            // These leave the length out where nothing follows it, or always name their method.
            Spot::PubAck | Spot::PubRec | Spot::PubRel | Spot::PubComp | Disconnect => {
                assert_eq!(read(&by_hand, V5_0), Ok(packet));
            }
            Auth => {}
            _ => assert_eq!(written(&packet, V5_0), by_hand, "{spot:?}"),
        }
    }
    // A length beyond the packet.
    refused(V5_0, &bytes("20 03 | 00 00 | 01"), MALFORMED);
    refused(V5_0, &bytes("20 04 | 00 00 | FF 7F"), MALFORMED);
}

// [MQTT-3.3.2-8]
#[test]
fn values_that_the_standard_forbids() {
    // 3.1.2.11.3 to .8, 3.2.2.3.3 to .13, 3.3.2.3.2, 3.3.2.3.8, 3.8.2.1.2
    for (number, _, _, spots) in TABLE {
        let id = PropertyId::from_wire(number.into()).unwrap();
        let bad: &[&str] = match (id, id.value_type()) {
            (_, ValueType::Byte) => &["02", "FF"],
            (PropertyId::ReceiveMaximum, _) => &["00 00"],
            (PropertyId::MaximumPacketSize, _) => &["00 00 00 00"],
            (PropertyId::SubscriptionIdentifier, _) => &["00"],
            (PropertyId::ResponseTopic, _) => &["00 01 '#'", "00 03 'a/+'", "00 00"],
            _ => &[],
        };
        for content in bad {
            for &spot in spots {
                refused(V5_0, &with(spot, &encoded(number, content)), PROTOCOL);
            }
        }
    }
    let alias = with(Publish, &bytes("23 00 00"));
    refused(V5_0, &alias, ReasonCode::TOPIC_ALIAS_INVALID);
}

#[test]
fn properties_in_the_wrong_place_are_not_written() {
    for (number, name, content, spots) in TABLE {
        let property = encoded(number, content);
        let home = [
            Place::Connect,
            Place::Will,
            Place::ConnAck,
            Place::Publish,
            Place::Subscribe,
            Place::Auth,
        ];
        let properties = home
            .iter()
            .find_map(|place| Properties::parse(&property, *place).ok())
            .unwrap_or_else(|| panic!("{name} has no place"));
        for spot in SPOTS.iter().filter(|s| !spots.contains(s)) {
            unwritable(V5_0, &value(*spot, properties));
        }
    }
}

// [MQTT-3.3.2-18] [MQTT-3.1.3-10]
#[test]
fn the_order_of_user_properties_is_kept() {
    let properties = bytes(
        "26 00 01 'b' 00 01 '1' 26 00 01 'a' 00 01 '2' 26 00 01 'b' 00 01 '3' 26 00 01 'b' 00 01 '1'",
    );
    let parsed = Properties::parse(&properties, Place::Publish).unwrap();
    let pairs: Vec<_> = parsed.user_properties().collect();
    assert_eq!(pairs, [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")]);
    let mut rebuilt = PropertiesBuf::default();
    for property in parsed.iter() {
        rebuilt.push(property.id, property.value).unwrap();
    }
    assert_eq!(rebuilt.get().as_bytes(), properties);
}

#[test]
fn a_walk_in_steps_sees_what_a_walk_sees() {
    let encoded = bytes("01 01 26 00 01 'k' 00 00 0B FF 7F 03 00 01 'c'");
    let properties = Properties::parse(&encoded, Place::Publish).unwrap();
    let (mut seen, mut position) = (Vec::new(), 0);
    while let Some((property, next)) = properties.read_at(position) {
        seen.push(property);
        position = next;
    }
    assert_eq!(seen, properties.iter().collect::<Vec<_>>());
    assert_eq!(position, encoded.len());
    // Anywhere else there may be something or nothing, and never a panic.
    for position in (0..=encoded.len() + 1).chain([usize::MAX]) {
        if let Some((_, next)) = properties.read_at(position) {
            assert!(next > position && next <= encoded.len());
        }
    }
}

#[test]
fn retain_keeps_what_it_is_told_to() {
    let properties = bytes("26 00 00 00 00 02 00 00 00 01 0B 05 26 00 01 'k' 00 00 23 00 01");
    let mut buf = PropertiesBuf::from(Properties::parse(&properties, Place::Publish).unwrap());
    buf.retain(|p| p.id == PropertyId::UserProperty);
    assert_eq!(
        buf.get().as_bytes(),
        bytes("26 00 00 00 00 26 00 01 'k' 00 00")
    );
    buf.retain(|_| false);
    assert!(buf.is_empty());
}
