//! PINGREQ, PINGRESP (3.12, 3.13), DISCONNECT (3.14) and AUTH (3.15).

use crate::wire::{ALL, OLD, V5_0, malformed, means, protocol_error, same, unwritable, written};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::{
    Auth, Disconnect, Packet, Properties, PropertiesBuf, PropertyId, Value,
};

#[test]
fn pings() {
    for version in ALL {
        same(version, "C0 00", &Packet::PingReq);
        same(version, "D0 00", &Packet::PingResp);
    }
}

#[test]
fn disconnect_has_no_body_before_5_0() {
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
    for version in OLD {
        same(version, "E0 00", &normal);
        malformed(version, "E0 01 00");
        malformed(version, "E0 02 00 00");
        let busy = Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_BUSY));
        assert_eq!(written(&busy, version), [0xE0, 0]);
    }
}

#[test]
fn short_forms_of_disconnect() {
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
    same(V5_0, "E0 00", &normal);
    means(V5_0, "E0 01 | 00", &normal);
    means(V5_0, "E0 02 | 00 | 00", &normal);
    let will = Packet::Disconnect(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL));
    same(V5_0, "E0 01 | 04", &will);
    means(V5_0, "E0 02 | 04 | 00", &will);
    malformed(V5_0, "E0 02 | 04 | 01");
    malformed(V5_0, "E0 03 | 04 | 00 00");
}

#[test]
fn properties_of_disconnect() {
    let mut properties = PropertiesBuf::default();
    properties
        .push(PropertyId::SessionExpiryInterval, Value::FourByteInteger(1))
        .and_then(|p| p.push(PropertyId::ServerReference, Value::Utf8String("b")))
        .unwrap();
    let moved = Packet::Disconnect(Disconnect {
        reason: ReasonCode::SERVER_MOVED,
        properties: properties.get(),
    });
    same(V5_0, "E0 0B | 9D | 09 11 00 00 00 01 1C 00 01 'b'", &moved);
    let normal = Packet::Disconnect(Disconnect {
        reason: ReasonCode::NORMAL_DISCONNECTION,
        properties: properties.get(),
    });
    same(V5_0, "E0 0B | 00 | 09 11 00 00 00 01 1C 00 01 'b'", &normal);
}

fn auth(reason: ReasonCode, properties: Properties<'_>) -> Packet<'_> {
    Packet::Auth(Auth { reason, properties })
}

#[test]
fn auth_names_its_method() {
    let mut properties = PropertiesBuf::default();
    properties
        .push(PropertyId::AuthenticationMethod, Value::Utf8String("m"))
        .and_then(|p| p.push(PropertyId::AuthenticationData, Value::BinaryData(b"\0")))
        .unwrap();
    for reason in [
        ReasonCode::SUCCESS,
        ReasonCode::CONTINUE_AUTHENTICATION,
        ReasonCode::RE_AUTHENTICATE,
    ] {
        let text = format!("F0 0A | {:02X} | 08 15 00 01 'm' 16 00 01 00", reason.0);
        same(V5_0, &text, &auth(reason, properties.get()));
        // Section 3.15.2.2.2: it is a Protocol Error to omit the method.
        protocol_error(V5_0, &format!("F0 02 | {:02X} | 00", reason.0));
        protocol_error(V5_0, &format!("F0 06 | {:02X} | 04 16 00 01 00", reason.0));
        // The form without a Property Length is DISCONNECT's, not AUTH's.
        malformed(V5_0, &format!("F0 01 | {:02X}", reason.0));
    }
    // Section 3.15.2.1 lets success without properties be left out as a whole.
    same(V5_0, "F0 00", &auth(ReasonCode::SUCCESS, Properties::EMPTY));
    unwritable(V5_0, &auth(ReasonCode::RE_AUTHENTICATE, Properties::EMPTY));
}

#[test]
fn auth_is_not_written_before_5_0() {
    for version in OLD {
        unwritable(version, &auth(ReasonCode::SUCCESS, Properties::EMPTY));
    }
}
