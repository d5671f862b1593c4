//! CONNACK (3.2).

use crate::wire::{OLD, V3_1, V3_1_1, V5_0, malformed, means, protocol_error, same, unwritable};
use ternmq_protocol::codec::{ConnAck, Packet, Properties, PropertiesBuf, PropertyId, Value};
use ternmq_protocol::reason::ConnectReturnCode;
use ternmq_protocol::{ProtocolVersion, ReasonCode};

fn connack(session_present: bool, reason: ReasonCode) -> Packet<'static> {
    Packet::ConnAck(ConnAck {
        session_present,
        reason,
        properties: Properties::EMPTY,
    })
}

// [MQTT-3.2.2-1]
#[test]
fn session_present_is_the_only_flag() {
    let success = ReasonCode::SUCCESS;
    same(V5_0, "20 03 | 00 00 | 00", &connack(false, success));
    same(V5_0, "20 03 | 01 00 | 00", &connack(true, success));
    same(V3_1_1, "20 02 | 00 00", &connack(false, success));
    same(V3_1_1, "20 02 | 01 00", &connack(true, success));
    for flags in 2..=255u8 {
        malformed(V3_1_1, &format!("20 02 | {flags:02X} 00"));
        malformed(V5_0, &format!("20 03 | {flags:02X} 00 | 00"));
        // "Reserved, not used" in MQTT 3.1.
        means(
            V3_1,
            &format!("20 02 | {flags:02X} 00"),
            &connack(false, success),
        );
    }
    same(V3_1, "20 02 | 00 00", &connack(false, success));
    means(V3_1, "20 02 | 01 00", &connack(false, success));
}

// [MQTT-3.2.2-6] in MQTT 3.1.1 [MQTT-3.2.2-4]
#[test]
fn no_session_present_with_a_refusal() {
    protocol_error(V5_0, "20 03 | 01 87 | 00");
    protocol_error(V3_1_1, "20 02 | 01 05");
    unwritable(V5_0, &connack(true, ReasonCode::NOT_AUTHORIZED));
    unwritable(V3_1_1, &connack(true, ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn return_codes_before_5_0() {
    for version in OLD {
        for (code, reason) in [
            (0, ReasonCode::SUCCESS),
            (1, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
            (2, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
            (3, ReasonCode::SERVER_UNAVAILABLE),
            (4, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            (5, ReasonCode::NOT_AUTHORIZED),
        ] {
            let text = format!("20 02 | 00 {code:02X}");
            same(version, &text, &connack(false, reason));
        }
        for code in 6..=255u8 {
            protocol_error(version, &format!("20 02 | 00 {code:02X}"));
        }
    }
}

// 3.1.1 [MQTT-3.2.2-6] [MQTT-3.1.4-1]
#[test]
fn reasons_without_a_return_code_are_not_written() {
    for byte in 0..=255 {
        let reason = ReasonCode(byte);
        let code = reason.to_connect_return_code();
        let listed = reason.allowed_in(ternmq_protocol::codec::PacketType::ConnAck);
        for version in OLD {
            match code {
                None => unwritable(version, &connack(false, reason)),
                Some(code) => {
                    let bytes = crate::wire::written(&connack(false, reason), version);
                    assert_eq!(bytes, [0x20, 2, 0, code as u8]);
                    assert!(listed || reason == ReasonCode::SERVER_SHUTTING_DOWN);
                }
            }
        }
    }
    for (reason, code) in [
        (
            ReasonCode::SERVER_BUSY,
            Some(ConnectReturnCode::ServerUnavailable),
        ),
        (
            ReasonCode::USE_ANOTHER_SERVER,
            Some(ConnectReturnCode::ServerUnavailable),
        ),
        (ReasonCode::BANNED, Some(ConnectReturnCode::NotAuthorized)),
        (ReasonCode::MALFORMED_PACKET, None),
        (ReasonCode::PROTOCOL_ERROR, None),
        (ReasonCode::PACKET_TOO_LARGE, None),
        (ReasonCode::QOS_NOT_SUPPORTED, None),
    ] {
        assert_eq!(reason.to_connect_return_code(), code, "{reason:?}");
    }
}

#[test]
fn properties_of_connack() {
    let mut properties = PropertiesBuf::default();
    let put = &mut properties;
    put.push(
        PropertyId::SessionExpiryInterval,
        Value::FourByteInteger(u32::MAX),
    )
    .and_then(|p| p.push(PropertyId::MaximumQoS, Value::Byte(1)))
    .and_then(|p| {
        p.push(
            PropertyId::AssignedClientIdentifier,
            Value::Utf8String("id"),
        )
    })
    .and_then(|p| p.push(PropertyId::UserProperty, Value::Utf8StringPair("", "")))
    .unwrap();
    let packet = Packet::ConnAck(ConnAck {
        session_present: true,
        reason: ReasonCode::SUCCESS,
        properties: properties.get(),
    });
    let text = "20 14 | 01 00 | 11 11 FF FF FF FF 24 01 12 00 02 'id' 26 00 00 00 00";
    same(V5_0, text, &packet);
    // Older versions have none; they are left out.
    let bytes = crate::wire::written(&packet, V3_1_1);
    assert_eq!(bytes, [0x20, 2, 1, 0]);
}

#[test]
fn a_connack_of_an_older_server_is_not_one_of_5_0() {
    // The form of 3.1.1 lacks the Property Length.
    malformed(V5_0, "20 02 | 00 00");
    protocol_error(V5_0, "20 02 | 00 01");
    for version in [V3_1, V3_1_1] as [ProtocolVersion; 2] {
        malformed(version, "20 03 | 00 00 | 00");
    }
}
