//! AUTH.

use super::*;
use crate::codec::Auth;

fn with_method() -> Options {
    let mut options = options(V5);
    options.properties = method("M");
    options
}

fn method(name: &str) -> PropertiesBuf {
    let mut properties = PropertiesBuf::default();
    properties
        .push(PropertyId::AuthenticationMethod, Value::Utf8String(name))
        .unwrap();
    properties
}

impl Peer {
    fn auth(&mut self, reason: u8, name: &str) {
        let properties = method(name);
        let properties = properties.get();
        self.give(Packet::Auth(Auth {
            reason: ReasonCode(reason),
            properties,
        }));
    }

    fn authenticate(&mut self, reason: u8) -> Result<(), RequestRefused> {
        self.session
            .authenticate(self.now, ReasonCode(reason), Properties::EMPTY)
    }
}

const AUTH_M: &str = "AUTH 0x18 {AuthenticationMethod: Utf8String(\"M\")}";

// [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.1.2-30] [MQTT-4.12.1-1] [MQTT-3.15.2-1]
#[test]
fn an_exchange_before_connack_and_one_after() {
    let mut peer = Peer::new(with_method());
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.session.handle_open(peer.now);
    peer.sent();
    assert!(peer.authenticate(0x19).is_err(), "not accepted yet");
    peer.auth(0x18, "M");
    assert_eq!(peer.events(), ["authenticate 0x18"]);
    peer.authenticate(0x18).unwrap();
    assert_eq!(peer.sent(), [AUTH_M]);
    peer.connack(false, method("M").get());
    assert_eq!((peer.events().len(), peer.sent().len()), (1, 1));
    assert!(peer.authenticate(0x18).is_err(), "nobody asked");
    peer.authenticate(0x19).unwrap();
    assert!(peer.authenticate(0x19).is_err(), "one at a time");
    peer.auth(0x18, "M");
    peer.authenticate(0x18).unwrap();
    peer.auth(0x00, "M");
    assert_eq!(peer.events(), ["authenticate 0x18", "authenticate"]);
    assert_eq!(peer.sent()[1], AUTH_M);
    peer.auth(0x18, "M");
    peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
}

// [MQTT-4.12.0-5]
#[test]
fn another_method_is_an_error() {
    let mut peer = Peer::new(with_method());
    peer.session.handle_open(peer.now);
    peer.sent();
    let other = method("N");
    let reason = ReasonCode::CONTINUE_AUTHENTICATION;
    assert!(
        peer.session
            .authenticate(peer.now, reason, other.get())
            .is_err()
    );
    peer.auth(0x18, "N");
    peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
    peer.session.handle_open(peer.now);
    peer.sent();
    peer.connack(false, Properties::EMPTY);
    peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
}

// [MQTT-4.12.0-7]
#[test]
fn without_a_method_there_is_no_auth() {
    let mut peer = Peer::connected(options(V5));
    assert!(peer.authenticate(0x19).is_err());
    peer.auth(0x18, "M");
    peer.ends_with(&["DISCONNECT 0x82"], "disconnected Error 0x82");
    assert_eq!(peer.authenticate(0x19), Err(RequestRefused::NotConnected));
    let mut older = with_method();
    older.version = V4;
    let mut peer = Peer::connected(older);
    assert!(peer.authenticate(0x19).is_err());
}

// [MQTT-3.15.2-2] [MQTT-3.15.2-3]
#[test]
fn auth_is_not_sent_where_it_is_too_large() {
    let mut peer = Peer::new(with_method());
    let mut limits = method("M");
    limits.push_number(PropertyId::MaximumPacketSize, 20);
    peer.open(false, limits.get());
    let mut long = PropertiesBuf::default();
    let pair = Value::Utf8StringPair("name", "a long value");
    long.push(PropertyId::UserProperty, pair).unwrap();
    let refused = peer
        .session
        .authenticate(peer.now, ReasonCode::RE_AUTHENTICATE, long.get());
    assert_eq!(
        refused,
        Err(RequestRefused::Encode(EncodeError::PacketTooLarge))
    );
    assert_eq!(peer.authenticate(0x19), Ok(()));
    assert_eq!(peer.sent().len(), 1);
}

#[test]
fn success_may_come_without_a_body() {
    let mut peer = Peer::new(with_method());
    peer.open(false, method("M").get());
    peer.authenticate(0x19).unwrap();
    peer.session.handle_input(peer.now, &[0xF0, 0]);
    assert_eq!(peer.events(), ["authenticate"]);
    assert_eq!(peer.authenticate(0x19), Ok(()));
}

#[test]
fn failed_authentication_closes() {
    let mut peer = Peer::new(with_method());
    peer.session.handle_open(peer.now);
    peer.sent();
    peer.auth(0x18, "M");
    peer.give(Packet::ConnAck(ConnAck {
        session_present: false,
        reason: ReasonCode::NOT_AUTHORIZED,
        properties: Properties::EMPTY,
    }));
    assert_eq!(peer.events(), ["authenticate 0x18"]);
    peer.ends_with(&[], "refused 0x87");
}

// [MQTT-4.12.1-2]
#[test]
fn failed_reauthentication_closes() {
    let mut peer = Peer::new(with_method());
    peer.open(false, method("M").get());
    peer.authenticate(0x19).unwrap();
    peer.auth(0x18, "M");
    assert_eq!(peer.sent().len(), 1);
    assert_eq!(peer.events(), ["authenticate 0x18"]);
    peer.give(Packet::Disconnect(crate::codec::Disconnect::new(
        ReasonCode::NOT_AUTHORIZED,
    )));
    assert!(peer.authenticate(0x18).is_err());
    peer.ends_with(&[], "disconnected Server 0x87");
}
