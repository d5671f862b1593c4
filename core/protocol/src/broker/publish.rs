//! PUBLISH from a client, and the acknowledgements of both directions (3.3 to 3.7, 4.3).

use super::out::Out;
use super::shard::Shard;
use super::source::Source;
use crate::codec::{Ack, PacketType, PropertyId, Publish, QoS};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::session::alias::{AliasError, AliasesIn};
use crate::session::dedupe::Received;
use crate::session::window::{AckError, Pubrec};
use crate::time::Time;

/// Messages of clients before MQTT 5.0 have no Receive Maximum: the identifiers bound them.
const UNLIMITED: u16 = u16::MAX;

impl Shard {
    pub(super) fn handle_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let conn = &mut self.links.conns[id];
        let version = conn.version;
        // [MQTT-3.3.4-6]
        if publish
            .properties
            .get(PropertyId::SubscriptionIdentifier)
            .is_some()
        {
            return Err(PeerError::protocol(
                "a client sent a Subscription Identifier with PUBLISH",
            ));
        }
        let aliased;
        let mut topic = publish.topic;
        if let Some(alias) = publish.properties.number(PropertyId::TopicAlias) {
            let maximum = self.links.limits.topic_aliases;
            let aliases = conn
                .aliases
                .get_or_insert_with(|| Box::new(AliasesIn::new(maximum)));
            aliased = resolve(aliases, alias as u16, topic)?;
            topic = aliased.as_deref().unwrap_or(topic);
        }
        let levels = self.links.limits.topic_levels;
        // A name shorter than that has no more levels; nearly all are.
        if topic.len() >= levels && topic.split('/').count() > levels {
            return Err(PeerError::new(
                ReasonCode::TOPIC_NAME_INVALID,
                "the topic name has too many levels",
            ));
        }
        let session = &mut self.links.sessions[conn.session];
        let origin = session.origin;
        if publish.qos == QoS::ExactlyOnce {
            let most = if version.is_v5() {
                self.links.limits.receive_maximum
            } else {
                UNLIMITED
            };
            match session.received.publish(publish.packet_id, most) {
                Received::First => {}
                Received::Again => {
                    self.links.stats.received_again += 1;
                    self.answer(
                        id,
                        PacketType::PubRec,
                        publish.packet_id,
                        ReasonCode::SUCCESS,
                        out,
                    );
                    return Ok(());
                }
                Received::TooMany => {
                    return Err(PeerError::new(
                        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                        "more QoS 2 messages than Receive Maximum",
                    ));
                }
            }
        }
        self.links.stats.count_received(publish.qos);
        let mut nobody = !self.match_topic(topic);
        // A message that nobody wants is never made.
        if !nobody || publish.retain || self.peers_interested {
            let mut scratch = std::mem::take(&mut self.scratch);
            let mut source = Source::wire(publish, topic, version, now, origin, &mut scratch);
            nobody = self.publish(&mut source, now, out) == 0;
            self.scratch = scratch;
        }
        let reason = if nobody && !self.peers_interested {
            ReasonCode::NO_MATCHING_SUBSCRIBERS
        } else {
            ReasonCode::SUCCESS
        };
        // Everything the message needs is in memory of this shard by now. With a store behind it,
        // this is the line that waits.
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                self.answer(id, PacketType::PubAck, publish.packet_id, reason, out);
            }
            QoS::ExactlyOnce => {
                self.answer(id, PacketType::PubRec, publish.packet_id, reason, out);
            }
        }
        Ok(())
    }

    pub(super) fn handle_puback(&mut self, id: u32, ack: &Ack<'_>) -> Result<(), PeerError> {
        let session = self.links.conns[id].session;
        match self.links.sessions[session].window.puback(ack.packet_id) {
            Ok(_) => self.links.stats.acknowledged += 1,
            Err(AckError::Unknown) => {}
            Err(AckError::WrongPhase(_)) => {
                return Err(PeerError::protocol("PUBACK for a QoS 2 message"));
            }
        }
        Ok(())
    }

    pub(super) fn handle_pubrec(
        &mut self,
        id: u32,
        ack: &Ack<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let session = self.links.conns[id].session;
        let window = &mut self.links.sessions[session].window;
        if ack.reason.is_error() {
            match window.pubrec_refused(ack.packet_id) {
                Ok(_) => self.links.stats.acknowledged += 1,
                Err(AckError::Unknown) => {}
                Err(AckError::WrongPhase(_)) => {
                    return Err(PeerError::protocol("PUBREC for another kind of message"));
                }
            }
            return Ok(());
        }
        let reason = match window.pubrec(ack.packet_id) {
            Ok(Pubrec::First(parcel)) => {
                parcel.message = None;
                ReasonCode::SUCCESS
            }
            Ok(Pubrec::Again) => ReasonCode::SUCCESS,
            Err(AckError::Unknown) => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
            Err(AckError::WrongPhase(_)) => {
                return Err(PeerError::protocol("PUBREC for a QoS 1 message"));
            }
        };
        self.answer(id, PacketType::PubRel, ack.packet_id, reason, out);
        Ok(())
    }

    pub(super) fn handle_pubrel(&mut self, id: u32, ack: &Ack<'_>, out: &mut Out) {
        let session = self.links.conns[id].session;
        let reason = if self.links.sessions[session].received.pubrel(ack.packet_id) {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        self.answer(id, PacketType::PubComp, ack.packet_id, reason, out);
    }

    pub(super) fn handle_pubcomp(&mut self, id: u32, ack: &Ack<'_>) -> Result<(), PeerError> {
        let session = self.links.conns[id].session;
        match self.links.sessions[session].window.pubcomp(ack.packet_id) {
            Ok(_) => self.links.stats.acknowledged += 1,
            Err(AckError::Unknown) => {}
            Err(AckError::WrongPhase(_)) => {
                return Err(PeerError::protocol("PUBCOMP before PUBREL"));
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        reason: ReasonCode,
        out: &mut Out,
    ) {
        let conn = &mut self.links.conns[id];
        conn.send_ack(id, kind, packet_id, reason, &mut self.links.pool, out);
    }
}

/// The topic that an alias stands for, `None` when the PUBLISH names it itself.
fn resolve(
    aliases: &mut AliasesIn,
    alias: u16,
    topic: &str,
) -> Result<Option<Box<str>>, PeerError> {
    let resolved = if topic.is_empty() {
        aliases.get(alias).map(|topic| Some(topic.into()))
    } else {
        aliases.set(alias, topic).map(|()| None)
    };
    resolved.map_err(|error| match error {
        AliasError::OutOfRange => PeerError::new(
            ReasonCode::TOPIC_ALIAS_INVALID,
            "Topic Alias over the maximum",
        ),
        AliasError::Unset => PeerError::protocol("Topic Alias that was never set"),
    })
}
