//! SUBSCRIBE and UNSUBSCRIBE.

use super::*;
use crate::codec::{Codes, SubAck, SubscriptionOptions};

impl Peer {
    fn subscribe(&mut self, filters: &[&str]) -> Result<Token, RequestRefused> {
        let requests: Vec<_> = filters
            .iter()
            .map(|filter| (*filter, SubscriptionOptions::default()))
            .collect();
        self.session
            .subscribe(self.now, &requests, Properties::EMPTY)
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Token, RequestRefused> {
        self.session
            .unsubscribe(self.now, filters, Properties::EMPTY)
    }

    fn suback(&mut self, packet_id: u16, codes: &[u8]) {
        let properties = Properties::EMPTY;
        self.give(Packet::SubAck(SubAck {
            packet_id,
            properties,
            codes: Codes(codes),
        }));
    }

    fn unsuback(&mut self, packet_id: u16, codes: &[u8]) {
        let properties = Properties::EMPTY;
        self.give(Packet::UnsubAck(SubAck {
            packet_id,
            properties,
            codes: Codes(codes),
        }));
    }
}

// [MQTT-2.2.1-3] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
// in MQTT 3.1.1 [MQTT-2.3.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.8.3-1] [MQTT-3.10.3-1]
#[test]
fn requests_and_their_answers() {
    for version in VERSIONS {
        let mut peer = Peer::connected(options(version));
        assert_eq!(peer.publish("a", QoS::AtLeastOnce), Ok(Token(1)));
        assert_eq!(peer.subscribe(&["a/+", "b/#"]), Ok(Token(2)));
        assert_eq!(peer.unsubscribe(&["c", "d"]), Ok(Token(3)));
        assert_eq!(
            peer.sent()[1..],
            ["SUBSCRIBE #2 a/+:0 b/#:0", "UNSUBSCRIBE #3 c d"]
        );
        assert!(peer.session.is_pending(Token(2)) && peer.session.is_pending(Token(3)));
        assert!(peer.session.pending().eq([Token(1)]), "publishes only");
        assert_eq!(
            (peer.session.pending_count(), peer.session.in_flight()),
            (1, 1)
        );
        peer.unsuback(3, if version.is_v5() { &[0, 0x11] } else { &[] });
        peer.suback(2, &[1, 0x80]);
        let codes = if version.is_v5() { "[0, 17]" } else { "[0, 0]" };
        assert_eq!(
            peer.events(),
            [
                format!("unsubscribed #3 {codes}"),
                "subscribed #2 [1, 128]".into()
            ]
        );
        assert!(!peer.session.is_pending(Token(2)));
        peer.suback(2, &[0]);
        assert_eq!(peer.session.stats().unknown_acknowledgements, 1);
    }
}

// [MQTT-3.8.3-2] [MQTT-3.10.3-2] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
// in MQTT 3.1.1 [MQTT-3.8.3-3] [MQTT-3.10.3-2] [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1]
// 3.1.1 [MQTT-4.7.3-2] [MQTT-4.7.3-3]
#[test]
fn what_may_not_be_asked_is_not_sent() {
    let mut peer = Peer::connected(options(V5));
    let long = "x".repeat(65_536);
    for bad in [
        &["a#"][..],
        &["#/a"],
        &["+a"],
        &[""],
        &["a\0"],
        &[&long],
        &[],
    ] {
        assert!(
            matches!(peer.subscribe(bad), Err(RequestRefused::Encode(_))),
            "{bad:?}"
        );
        assert!(
            matches!(peer.unsubscribe(bad), Err(RequestRefused::Encode(_))),
            "{bad:?}"
        );
    }
    let alias = numbers(&[(PropertyId::TopicAlias, 1)]);
    let request = [("a", SubscriptionOptions::default())];
    assert!(
        peer.session
            .subscribe(peer.now, &request, alias.get())
            .is_err()
    );
    assert!(
        peer.session
            .unsubscribe(peer.now, &["a"], alias.get())
            .is_err()
    );
    assert_eq!(peer.sent(), [""; 0]);
    assert_eq!(
        peer.subscribe(&["a"])
            .map(|token| peer.session.is_pending(token)),
        Ok(true)
    );
}

// [MQTT-3.8.3-4] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn shared_subscriptions_obey_their_rules() {
    let mut peer = Peer::connected(options(V5));
    for bad in ["$share//a", "$share/g", "$share/g/", "$share/g+/a"] {
        assert!(peer.subscribe(&[bad]).is_err(), "{bad}");
    }
    let no_local = SubscriptionOptions {
        no_local: true,
        ..Default::default()
    };
    let request = |filter| [(filter, no_local)];
    let now = peer.now;
    let mut ask = |filter| {
        peer.session
            .subscribe(now, &request(filter), Properties::EMPTY)
    };
    assert!(ask("$share/g/a").is_err());
    assert!(ask("g/a").is_ok());
    assert!(peer.subscribe(&["$share/g/a/#"]).is_ok());
}

#[test]
fn what_the_server_does_not_offer_is_not_asked() {
    let limits = [
        (PropertyId::WildcardSubscriptionAvailable, 0),
        (PropertyId::SharedSubscriptionAvailable, 0),
        (PropertyId::SubscriptionIdentifierAvailable, 0),
    ];
    let mut peer = Peer::limited(options(V5), &limits);
    for filter in ["a/#", "$share/g/a"] {
        assert!(matches!(
            peer.subscribe(&[filter]),
            Err(RequestRefused::NotSupported(_))
        ));
    }
    let id = numbers(&[(PropertyId::SubscriptionIdentifier, 1)]);
    let request = [("a", SubscriptionOptions::default())];
    let refused = peer.session.subscribe(peer.now, &request, id.get());
    assert!(matches!(refused, Err(RequestRefused::NotSupported(_))));
    assert!(peer.subscribe(&["a"]).is_ok());
}

#[test]
fn an_answer_with_the_wrong_count_ends_the_connection() {
    let mut peer = Peer::connected(options(V5));
    peer.subscribe(&["a", "b"]).unwrap();
    peer.sent();
    peer.suback(1, &[0]);
    assert!(peer.session.wants_close());
    assert_eq!(peer.sent(), ["DISCONNECT 0x82"]);
    peer.cut();
    assert_eq!(
        peer.events(),
        ["dropped #1 ConnectionLost", "disconnected Error 0x82"]
    );
}

#[test]
fn an_answer_of_another_kind_ends_the_connection() {
    let mut peer = Peer::connected(options(V4));
    let token = peer.subscribe(&["a"]).unwrap();
    peer.unsuback(token.0, &[]);
    assert!(peer.session.wants_close());
    let mut peer = Peer::connected(options(V4));
    peer.publish("a", QoS::AtLeastOnce).unwrap();
    peer.suback(1, &[0]);
    assert!(peer.session.wants_close());
}

// [MQTT-4.4.0-1] in MQTT 3.1.1 [MQTT-4.4.0-1]
#[test]
fn a_request_is_not_sent_again() {
    let mut peer = Peer::connected(keeping(V5));
    peer.subscribe(&["a"]).unwrap();
    peer.sent();
    peer.cut();
    assert_eq!(
        peer.events(),
        ["dropped #1 ConnectionLost", "disconnected Lost 0x80"]
    );
    peer.open(true, Properties::EMPTY);
    assert_eq!(peer.sent(), [""; 0]);
    assert_eq!(peer.subscribe(&["a"]), Ok(Token(2)));
    peer.cut();
    assert_eq!(peer.subscribe(&["a"]), Err(RequestRefused::NotConnected));
    assert_eq!(peer.unsubscribe(&["a"]), Err(RequestRefused::NotConnected));
}
