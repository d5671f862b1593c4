//! PUBLISH from a client, and the acknowledgements of both directions (3.3 to 3.7, 4.3).

use super::connect::PROPERTIES;
use super::durable::Durability;
use super::out::{Out, RetainedOp};
use super::reading::Done;
use super::rewrite::RewriteOn;
use super::shard::Shard;
use super::source::Source;
use super::sums::may_hold;
use crate::codec::{Ack, PacketType, PropertyId, Publish, QoS};
use crate::error::PeerError;
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::session::alias::{AliasError, AliasesIn};
use crate::session::dedupe::Received;
use crate::session::window::{AckError, Pubrec};
use crate::time::Time;

const NOT_FOUND: PeerError = PeerError::new(
    ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
    "no message with this packet identifier is in flight",
);

const TOO_MANY: PeerError = PeerError::new(
    ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
    "more messages than Receive Maximum",
);

/// What only the server itself may publish.
pub(super) const RESERVED: PeerError = PeerError::new(
    ReasonCode::NOT_AUTHORIZED,
    "topics below $SYS are the server's own",
);

/// Whether a topic is one of those that tell of the server (4.7.2).
pub(super) fn is_reserved(topic: &str) -> bool {
    topic.starts_with("$SYS") && matches!(topic.as_bytes().get(4), None | Some(b'/'))
}

/// What answers a PUBLISH.
const fn acknowledgement(qos: QoS) -> Option<PacketType> {
    match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(PacketType::PubAck),
        QoS::ExactlyOnce => Some(PacketType::PubRec),
    }
}

impl Shard {
    pub(super) fn handle_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mut aliased = std::mem::take(&mut self.aliased);
        let topic = self.topic_of(id, publish, &mut aliased)?;
        if self.links.conns[id].mount().is_some() {
            self.publish_below(id, publish, topic, false, now, out)?;
        } else if self.access.is_none() || self.may_publish(id, publish, topic, now, out)? {
            self.publish_named(id, publish, topic, now, out)?;
        }
        self.aliased = aliased;
        Ok(())
    }

    /// Goes on with a PUBLISH that has waited until it was known that the client may do it.
    pub(super) fn publish_allowed(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mut aliased = std::mem::take(&mut self.aliased);
        let topic = self.topic_of(id, publish, &mut aliased)?;
        if self.links.conns[id].mount().is_some() {
            self.publish_below(id, publish, topic, true, now, out)?;
        } else {
            self.publish_named(id, publish, topic, now, out)?;
        }
        self.aliased = aliased;
        Ok(())
    }

    /// A PUBLISH of a client behind a mount point. `allowed`: that it may do it is known.
    #[inline(never)]
    fn publish_below(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        allowed: bool,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mut text = std::mem::take(&mut self.mounted);
        let (mount, levels) = (self.links.conns[id].mount(), self.links.limits.topic_levels);
        let on = RewriteOn::Publish;
        let done = match self.topics.mounted(on, mount, levels, topic, &mut text) {
            Err(error) => {
                self.count_received(id, publish);
                self.refuse_publish(id, publish, error, out);
                Ok(())
            }
            Ok(topic) => {
                let asks = !allowed && self.access.is_some();
                match asks {
                    true => self.may_publish(id, publish, topic, now, out),
                    false => Ok(true),
                }
                .and_then(|may| match may {
                    true => self.publish_named(id, publish, topic, now, out),
                    false => Ok(()),
                })
            }
        };
        self.mounted = text;
        done
    }

    /// A PUBLISH that the client may do, with its topic. Only from here on is its Packet Identifier in use.
    #[inline(always)]
    fn publish_named(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.check_quota(id)?,
            QoS::ExactlyOnce if self.is_first(id, publish.packet_id, out)? => {}
            QoS::ExactlyOnce => return Ok(()),
        }
        self.count_received(id, publish);
        self.finish_publish(id, publish, topic, now, out);
        Ok(())
    }

    #[inline]
    pub(super) fn count_received(&mut self, id: u32, publish: &Publish<'_>) {
        let session = self.links.conns[id].session;
        let counters = &mut self.links.sessions[session].counters;
        let payload = publish.payload.len();
        counters.count_received(&mut self.links.stats, publish.qos, payload);
    }

    /// Takes a message in, and answers.
    #[inline(always)]
    fn finish_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        out: &mut Out,
    ) {
        let puts = out.retained.len();
        if self.links.journal.on {
            self.links.journal.begin(self.links.conns[id].listener);
        }
        let taken = self.take_publish(id, publish, topic, now, out);
        let kind = acknowledgement(publish.qos);
        match (kind, taken) {
            (Some(kind), Ok(reason)) => {
                let each = self.links.journal.promised == Some(Durability::Each);
                let waits = self.links.waits_for_message(id, kind, now);
                let ticket = self.answer_after(id, kind, publish.packet_id, reason, waits, out);
                // Where it can't be kept, this is the answer that says so.
                if out.retained.len() > puts
                    && let Some(RetainedOp::Put { owed, .. }) = out.retained.last_mut()
                {
                    *owed = Some(ticket);
                } else if each {
                    self.cut(out);
                }
            }
            (None, Ok(_)) => {}
            (_, Err(error)) => self.refuse_publish(id, publish, error, out),
        }
    }

    /// Takes a message in: what is to be done with it is done or noted when this returns. An error
    /// is about this message alone.
    #[inline(always)]
    fn take_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        out: &mut Out,
    ) -> Result<ReasonCode, PeerError> {
        if self.topics.rewrite.is_empty() {
            return self.take_named(id, publish, topic, now, out);
        }
        let mut text = std::mem::take(&mut self.rewritten);
        let rewritten = self.rewrite(RewriteOn::Publish, self.filling(id), topic, &mut text);
        let taken = rewritten.and_then(|topic| self.take_named(id, publish, topic, now, out));
        self.rewritten = text;
        taken
    }

    /// The same, once its topic is the one that is meant.
    fn take_named(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        topic: &str,
        now: Time,
        out: &mut Out,
    ) -> Result<ReasonCode, PeerError> {
        // Ordinary topics need not be asked what they mean.
        let special = topic.starts_with('$');
        if special && is_reserved(topic) {
            return Err(RESERVED);
        }
        if publish.properties.as_bytes().len() > self.links.limits.property_bytes {
            return Err(PROPERTIES);
        }
        self.topics
            .check_payload(publish.properties, publish.payload)?;
        let conn = &self.links.conns[id];
        let (version, session) = (conn.version, conn.session);
        let unretained;
        let publish = if publish.retain && !self.topics.retain_available {
            unretained = publish.without_retain();
            &unretained
        } else {
            publish
        };
        if special && let Some(delay) = self.topics.delay_of(topic)? {
            let origin = self.links.sessions[session].origin;
            let mut scratch = std::mem::take(&mut self.scratch);
            let make = |due| Message::from_publish(publish, delay.topic, due, origin, &mut scratch);
            let kept = self.delay(delay, now, out, make);
            self.scratch = scratch;
            return kept.map(|()| ReasonCode::SUCCESS);
        }
        let mut nobody = !self.match_topic(topic);
        // A message that nobody wants is never made.
        if !nobody || publish.retain || self.peers_interested {
            let origin = self.links.sessions[session].origin;
            let mut scratch = std::mem::take(&mut self.scratch);
            let mut source = Source::wire(publish, topic, version, now, origin, &mut scratch);
            nobody = self.publish(&mut source, Some(session), now, out) == 0;
            self.scratch = scratch;
        }
        Ok(if nobody && !self.peers_interested {
            ReasonCode::NO_MATCHING_SUBSCRIBERS
        } else {
            ReasonCode::SUCCESS
        })
    }

    /// Tells a client that its message was not taken. Where there is no word for that, with QoS 0
    /// and before MQTT 5.0, it is acknowledged like any other, and only counted.
    pub(super) fn refuse_publish(
        &mut self,
        id: u32,
        publish: &Publish<'_>,
        error: PeerError,
        out: &mut Out,
    ) {
        self.links.stats.count_refused(error.reason);
        let Some(kind) = acknowledgement(publish.qos) else {
            return;
        };
        let packet_id = publish.packet_id;
        let conn = &self.links.conns[id];
        if kind == PacketType::PubRec && conn.version.is_v5() {
            // A PUBREC that refuses ends the exchange: the identifier is free (4.3.3).
            let session = conn.session;
            self.links.sessions[session].received.pubrel(packet_id);
            self.links.touch(session);
        }
        self.answer_failure(id, kind, packet_id, error, out);
    }

    /// The topic of a PUBLISH, after what depends on the connection was checked. One that an alias
    /// stands for is put into `aliased`.
    fn topic_of<'a>(
        &mut self,
        id: u32,
        publish: &Publish<'a>,
        aliased: &'a mut String,
    ) -> Result<&'a str, PeerError> {
        let v5 = self.links.conns[id].version.is_v5();
        self.topics.check_offered(publish.qos, publish.retain, v5)?;
        let mut topic = publish.topic;
        if !publish.properties.is_empty() {
            // [MQTT-3.3.4-6]
            let identifier = PropertyId::SubscriptionIdentifier;
            if publish.properties.get(identifier).is_some() {
                return Err(PeerError::protocol(
                    "a client sent a Subscription Identifier with PUBLISH",
                ));
            }
            if let Some(alias) = publish.properties.number(PropertyId::TopicAlias) {
                if topic.is_empty() {
                    let aliases = &self.links.conns[id].aliases;
                    let aliases = aliases.as_ref().ok_or(AliasError::Unset)?;
                    aliased.clear();
                    aliased.push_str(aliases.get(alias as u16)?);
                    topic = aliased;
                } else {
                    self.set_alias(id, alias as u16, topic)?;
                }
            }
        }
        let levels = self.links.limits.topic_levels;
        // A name shorter than that has no more levels; nearly all are.
        if topic.len() >= levels && topic.split('/').count() > levels {
            return Err(PeerError::new(
                ReasonCode::TOPIC_NAME_INVALID,
                "the topic name has too many levels",
            ));
        }
        Ok(topic)
    }

    /// A client gives a topic an alias.
    fn set_alias(&mut self, id: u32, alias: u16, topic: &str) -> Result<(), PeerError> {
        let (limits, stats) = (&self.links.limits, &mut self.links.stats);
        let conn = &mut self.links.conns[id];
        let own = conn.alias_bytes();
        let aliases = conn.aliases.get_or_insert_with(|| {
            Box::new(AliasesIn::bounded(limits.topic_aliases, limits.alias_bytes))
        });
        let before = aliases.bytes();
        if let Err(error) = aliases.set(alias, topic) {
            stats.over_limit.alias_bytes += u64::from(error == AliasError::TooLong);
            return Err(error.into());
        }
        let (after, total) = (aliases.bytes(), stats.alias_bytes);
        stats.alias_bytes = total + after as u64 - before as u64;
        let more = after.saturating_sub(before);
        if more > 0 && !may_hold(limits.sums.alias_bytes, total, own, more) {
            stats.over_limit.shard_alias_bytes += 1;
            return Err(AliasError::TooLong.into());
        }
        Ok(())
    }

    /// Whether an MQTT 5.0 client keeps to the Receive Maximum with one more QoS 1 message
    /// [MQTT-3.3.4-9].
    fn check_quota(&self, id: u32) -> Result<(), PeerError> {
        let conn = &self.links.conns[id];
        let most = usize::from(self.links.limits.receive_maximum);
        let open = || conn.owed_pubacks as usize + self.links.sessions[conn.session].received.len();
        if conn.version.is_v5() && open() >= most {
            return Err(TOO_MANY);
        }
        Ok(())
    }

    /// Whether a QoS 2 message came in for the first time; if not, it is answered here
    /// [MQTT-4.3.3-10].
    fn is_first(&mut self, id: u32, packet_id: u16, out: &mut Out) -> Result<bool, PeerError> {
        let conn = &self.links.conns[id];
        let most = if conn.version.is_v5() {
            let pubacks = u16::try_from(conn.owed_pubacks).unwrap_or(u16::MAX);
            self.links.limits.receive_maximum.saturating_sub(pubacks)
        } else {
            self.links.limits.open_qos2
        };
        let received = &mut self.links.sessions[conn.session].received;
        match received.publish(packet_id, most) {
            Received::First => Ok(true),
            Received::Again => {
                self.links.stats.received_again += 1;
                let kind = PacketType::PubRec;
                self.answer(id, kind, packet_id, ReasonCode::SUCCESS, out);
                Ok(false)
            }
            Received::TooMany => Err(TOO_MANY),
        }
    }

    pub(super) fn handle_puback(
        &mut self,
        id: u32,
        ack: &Ack<'_>,
        now: Time,
    ) -> Result<(), PeerError> {
        let (session, stats) = self.links.session_of(id);
        match session.window.puback(ack.packet_id) {
            Ok(parcel) => {
                session.acknowledged(&parcel, stats);
                self.links.completed(id, ack.packet_id, &parcel, now);
                self.links.note_acknowledged(id, Some(&parcel), now);
            }
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
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let keeps = self.links.measures_acks();
        let (session, stats) = self.links.session_of(id);
        if ack.reason.is_error() {
            match session.window.pubrec_refused(ack.packet_id) {
                Ok(parcel) => {
                    session.acknowledged(&parcel, stats);
                    self.links.completed(id, ack.packet_id, &parcel, now);
                    self.links.note_acknowledged(id, Some(&parcel), now);
                }
                Err(AckError::Unknown) => {}
                Err(AckError::WrongPhase(_)) => {
                    return Err(PeerError::protocol("PUBREC for another kind of message"));
                }
            }
            return Ok(());
        }
        let mut done = None;
        let reason = match session.window.pubrec(ack.packet_id) {
            Ok(Pubrec::First(parcel)) => {
                done = Done::of(parcel);
                if !keeps && let Some(message) = parcel.message.take() {
                    session.landed(message.memory(), stats);
                }
                ReasonCode::SUCCESS
            }
            Ok(Pubrec::Again) => ReasonCode::SUCCESS,
            Err(AckError::Unknown) => {
                self.answer_failure(id, PacketType::PubRel, ack.packet_id, NOT_FOUND, out);
                return Ok(());
            }
            Err(AckError::WrongPhase(_)) => {
                return Err(PeerError::protocol("PUBREC for a QoS 1 message"));
            }
        };
        if self.links.journal.on {
            self.links.note_received(id, done);
        }
        self.answer(id, PacketType::PubRel, ack.packet_id, reason, out);
        Ok(())
    }

    pub(super) fn handle_pubrel(&mut self, id: u32, ack: &Ack<'_>, out: &mut Out) {
        let session = self.links.conns[id].session;
        let (kind, packet_id) = (PacketType::PubComp, ack.packet_id);
        if self.links.sessions[session].received.pubrel(packet_id) {
            self.links.touch(session);
            self.answer(id, kind, packet_id, ReasonCode::SUCCESS, out);
        } else {
            self.answer_failure(id, kind, packet_id, NOT_FOUND, out);
        }
    }

    pub(super) fn handle_pubcomp(
        &mut self,
        id: u32,
        ack: &Ack<'_>,
        now: Time,
    ) -> Result<(), PeerError> {
        let (session, stats) = self.links.session_of(id);
        match session.window.pubcomp(ack.packet_id) {
            Ok(parcel) => {
                session.acknowledged(&parcel, stats);
                self.links.completed(id, ack.packet_id, &parcel, now);
                self.links.note_acknowledged(id, None, now);
            }
            Err(AckError::Unknown) => {}
            Err(AckError::WrongPhase(_)) => {
                return Err(PeerError::protocol("PUBCOMP before PUBREL"));
            }
        }
        Ok(())
    }
}
