//! Connecting, publishing, subscribing: the plain cases.

use super::desk::*;
use crate::codec::{Packet, PacketType};
use crate::reason::ReasonCode;

const VERSIONS: [crate::ProtocolVersion; 3] = [V3_1, V3_1_1, V5_0];

// [MQTT-3.3.4-1] [MQTT-3.8.4-8] in MQTT 3.1.1 [MQTT-3.3.4-1] [MQTT-3.8.4-6]
#[test]
fn each_qos_reaches_each_subscriber_at_the_lower_of_both() {
    for from in VERSIONS {
        for to in VERSIONS {
            let mut desk = Desk::new();
            let (publisher, subscriber) = (desk.client(from, "p"), desk.client(to, "s"));
            for granted in [Q0, Q1, Q2] {
                assert_eq!(desk.subscribe(subscriber, "a/b", granted), granted as u8);
                for qos in [Q0, Q1, Q2] {
                    desk.publish(publisher, "a/b", "x", qos, if qos == Q0 { 0 } else { 77 });
                    let answers = desk.take_all(publisher);
                    let expected = match qos {
                        Q0 => vec![],
                        Q1 => vec![Got::Ack(PacketType::PubAck, 77, ReasonCode::SUCCESS)],
                        Q2 => vec![Got::Ack(PacketType::PubRec, 77, ReasonCode::SUCCESS)],
                    };
                    assert_eq!(answers, expected);
                    if qos == Q2 {
                        desk.ack(publisher, PacketType::PubRel, 77);
                        let done = Got::Ack(PacketType::PubComp, 77, ReasonCode::SUCCESS);
                        assert_eq!(desk.take(publisher), done);
                    }
                    let got = desk.messages(subscriber);
                    assert_eq!(got.len(), 1);
                    assert_eq!(got[0].qos, qos.min(granted));
                    assert_eq!((&*got[0].topic, got[0].text()), ("a/b", "x"));
                    assert!(!got[0].retain && !got[0].dup);
                    match got[0].qos {
                        Q0 => assert_eq!(got[0].id, 0),
                        Q1 => desk.ack(subscriber, PacketType::PubAck, got[0].id),
                        Q2 => {
                            desk.ack(subscriber, PacketType::PubRec, got[0].id);
                            let release = desk.take(subscriber);
                            let id = got[0].id;
                            assert_eq!(
                                release,
                                Got::Ack(PacketType::PubRel, id, ReasonCode::SUCCESS)
                            );
                            desk.ack(subscriber, PacketType::PubComp, id);
                        }
                    }
                    desk.check_books();
                }
            }
            assert_eq!(desk.stats().acknowledged, 4);
            assert_eq!(desk.stats().queued, 0);
        }
    }
}

// [MQTT-3.12.4-1] in MQTT 3.1.1 [MQTT-3.12.4-1]
#[test]
fn a_ping_is_answered() {
    let mut desk = Desk::new();
    let client = desk.client(V3_1_1, "c");
    desk.send(client, Packet::PingReq);
    assert_eq!(desk.take(client), Got::PingResp);
}
