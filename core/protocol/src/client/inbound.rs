//! What comes in from the server.

use super::outbound::InFlight;
use super::{ClientSession, Delivery, Event, Incoming, Progress, State, SubscriptionIds, Token};
use crate::codec::{Ack, Frame, Packet, PacketType, Properties, PropertyId, Publish, QoS, SubAck};
use crate::error::PeerError;
use crate::message::{Message, Origin};
use crate::reason::{ConnectReturnCode, ReasonCode};
use crate::session::dedupe::Received;
use crate::session::window::{AckError, Pubrec};
use crate::time::Time;

impl ClientSession {
    /// Bytes came in, cut anywhere. Without a connection, or once it is over, they are ignored.
    ///
    /// Nothing is copied but payloads, and the start of a packet whose rest is still to come.
    pub fn handle_input(&mut self, now: Time, mut input: &[u8]) {
        self.link.keep_alive.received(now);
        let mut frames = std::mem::take(&mut self.frames);
        while matches!(self.state, State::Connecting | State::Connected) {
            let handled = match frames.next(&mut input, self.link.max_packet_size) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.stats.packets_received += 1;
                    self.handle_frame(now, frame)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = handled {
                self.fail(now, error);
            }
        }
        self.frames = frames;
        if self.scratch.capacity() > KEPT_SCRATCH {
            self.scratch = Vec::new();
        }
        // Acknowledgements of the whole input have made room by now.
        if self.state == State::Connected {
            self.pump(now);
        }
    }

    fn handle_frame(&mut self, now: Time, frame: Frame<'_>) -> Result<(), PeerError> {
        use PacketType as P;
        match frame.packet_type {
            P::Connect | P::Subscribe | P::Unsubscribe | P::PingReq => {
                return Err(PeerError::protocol("a packet that only a client sends"));
            }
            P::ConnAck => {
                if let Some(reason) = self.foreign_refusal(frame) {
                    self.refused(now, reason, Properties::EMPTY);
                    return Ok(());
                }
            }
            P::Disconnect | P::Auth => {}
            _ if self.state == State::Connecting => {
                return Err(PeerError::protocol("a packet before CONNACK"));
            }
            _ => {}
        }
        match Packet::decode(frame, self.link.version)? {
            Packet::Publish(publish) => self.incoming_publish(now, publish),
            Packet::PubAck(ack) => self.puback(ack),
            Packet::PubRec(ack) => self.pubrec(now, ack),
            Packet::PubRel(ack) => self.pubrel(now, ack),
            Packet::PubComp(ack) => self.pubcomp(ack),
            Packet::ConnAck(connack) => self.connack(now, connack),
            Packet::SubAck(suback) => self.suback(suback),
            Packet::UnsubAck(unsuback) => self.unsuback(unsuback),
            Packet::Disconnect(_) if !self.link.version.is_v5() => Err(PeerError::protocol(
                "DISCONNECT from a server before MQTT 5.0",
            )),
            Packet::Disconnect(disconnect) => {
                self.disconnected_by_server(now, disconnect);
                Ok(())
            }
            Packet::Auth(auth) => self.auth(auth),
            Packet::PingResp => {
                if let Some(sent) = self.link.ping_sent.take() {
                    self.stats.ping_round_trip_ms = Some(now.since(sent));
                }
                Ok(())
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => Ok(()),
        }
    }

    /// A server that does not know MQTT 5.0 refuses in the format of the version it knows, in two
    /// bytes: that must read as a refusal, or no fallback could follow.
    fn foreign_refusal(&self, frame: Frame<'_>) -> Option<ReasonCode> {
        match *frame.body {
            [0, code] if self.link.version.is_v5() && self.state == State::Connecting => {
                let return_code = ConnectReturnCode::from_wire(code)?;
                Some(return_code.to_reason_code()).filter(|reason| reason.is_error())
            }
            _ => None,
        }
    }

    fn incoming_publish(&mut self, now: Time, publish: Publish<'_>) -> Result<(), PeerError> {
        if publish.qos != QoS::AtMostOnce && !self.may_receive() {
            return Err(PeerError::new(
                ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                "more unacknowledged messages than Receive Maximum",
            ));
        }
        let topic = resolve(&mut self.link.aliases_in, &publish)?;
        if publish.qos == QoS::ExactlyOnce
            && self.received.publish(publish.packet_id, u16::MAX) != Received::First
        {
            self.stats.duplicates += 1;
            self.acknowledge_again(now, publish.packet_id);
            return Ok(());
        }
        let message = Message::from_publish(&publish, topic, now, Origin::NONE, &mut self.scratch);
        self.stats.messages_received += 1;
        let delivery = Delivery(self.stats.messages_received);
        self.events.push_back(Event::Message(Incoming {
            message,
            packet_id: publish.packet_id,
            delivery,
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            subscription_ids: SubscriptionIds::of(publish.properties),
        }));
        if publish.qos != QoS::AtMostOnce {
            self.acknowledge_first(now, publish.packet_id, publish.qos, delivery);
        }
        Ok(())
    }

    /// Whether the server may have another message unacknowledged. Before MQTT 5.0 there is no
    /// Receive Maximum, but no more Packet Identifiers than that either.
    fn may_receive(&mut self) -> bool {
        self.unacknowledged.len() < usize::from(u16::MAX)
            && (!self.link.version.is_v5() || self.link.receive_quota.publish())
    }

    fn pubrel(&mut self, now: Time, ack: Ack<'_>) -> Result<(), PeerError> {
        if self.unacknowledged.owes_pubrec(ack.packet_id) {
            return Err(PeerError::protocol("PUBREL before PUBREC"));
        }
        let reason = match self.received.pubrel(ack.packet_id) {
            true => {
                self.progress(Progress::Completed(ack.packet_id));
                ReasonCode::SUCCESS
            }
            false => {
                self.stats.unknown_acknowledgements += 1;
                ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
            }
        };
        self.write(now, &Packet::PubComp(Ack::new(ack.packet_id, reason)));
        self.link.receive_quota.complete();
        Ok(())
    }

    fn puback(&mut self, ack: Ack<'_>) -> Result<(), PeerError> {
        let done = self.window.puback(ack.packet_id).map(drop);
        self.completed(done, ack)
    }

    fn pubcomp(&mut self, ack: Ack<'_>) -> Result<(), PeerError> {
        let done = self.window.pubcomp(ack.packet_id);
        // No error during recovery (section 3.7.2.1): an earlier PUBCOMP got lost.
        let known_before = matches!(done, Ok(InFlight::ReleasedAgain));
        if known_before && ack.reason == ReasonCode::PACKET_IDENTIFIER_NOT_FOUND {
            self.completed(Ok(()), Ack::new(ack.packet_id, ReasonCode::SUCCESS))
        } else {
            self.completed(done.map(drop), ack)
        }
    }

    fn pubrec(&mut self, now: Time, ack: Ack<'_>) -> Result<(), PeerError> {
        if ack.reason.is_error() {
            let done = self.window.pubrec_refused(ack.packet_id).map(drop);
            return self.completed(done, ack);
        }
        let reason = match self.window.pubrec(ack.packet_id) {
            Ok(Pubrec::First(item)) => {
                *item = InFlight::Released;
                self.progress(Progress::Released(Token(ack.packet_id)));
                ReasonCode::SUCCESS
            }
            Ok(Pubrec::Again) => ReasonCode::SUCCESS,
            // The server waits for an end, and gets one [MQTT-4.3.3-4].
            Err(AckError::Unknown) => {
                self.stats.unknown_acknowledgements += 1;
                ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
            }
            Err(AckError::WrongPhase(_)) => return Err(WRONG_PHASE),
        };
        self.write(now, &Packet::PubRel(Ack::new(ack.packet_id, reason)));
        Ok(())
    }

    pub(super) fn progress(&mut self, step: Progress) {
        if self.options.report_progress {
            self.events.push_back(Event::Progress(step));
        }
    }

    fn completed(&mut self, done: Result<(), AckError>, ack: Ack<'_>) -> Result<(), PeerError> {
        match done {
            Ok(()) => self.published(ack.packet_id, ack.reason, ack.properties),
            Err(AckError::Unknown) => self.stats.unknown_acknowledgements += 1,
            Err(AckError::WrongPhase(_)) => return Err(WRONG_PHASE),
        }
        Ok(())
    }

    pub(super) fn published(&mut self, id: u16, reason: ReasonCode, properties: Properties<'_>) {
        self.events.push_back(Event::Published {
            token: Token(id),
            reason,
            properties: properties.into(),
        });
    }

    fn suback(&mut self, suback: SubAck<'_>) -> Result<(), PeerError> {
        let id = suback.packet_id;
        match self.window.get(id) {
            Some((_, InFlight::Subscribe(count))) => check_count(*count, suback)?,
            other => {
                let known = other.is_some();
                return self.unexpected(known);
            }
        };
        self.end_request(id);
        self.events.push_back(Event::Subscribed {
            token: Token(id),
            codes: suback.codes.iter().collect(),
            properties: suback.properties.into(),
        });
        Ok(())
    }

    fn unsuback(&mut self, unsuback: SubAck<'_>) -> Result<(), PeerError> {
        let id = unsuback.packet_id;
        let count = match self.window.get(id) {
            Some((_, InFlight::Unsubscribe(count))) => *count,
            other => {
                let known = other.is_some();
                return self.unexpected(known);
            }
        };
        let codes = if self.link.version.is_v5() {
            check_count(count, unsuback)?;
            unsuback.codes.iter().collect()
        } else {
            vec![ReasonCode::SUCCESS; count]
        };
        self.end_request(id);
        self.events.push_back(Event::Unsubscribed {
            token: Token(id),
            codes,
            properties: unsuback.properties.into(),
        });
        Ok(())
    }

    /// An answer to no request of its kind: ignored when its identifier is free, as a late one.
    fn unexpected(&mut self, known: bool) -> Result<(), PeerError> {
        if known {
            return Err(WRONG_PHASE);
        }
        self.stats.unknown_acknowledgements += 1;
        Ok(())
    }
}

/// Scratch memory that is kept: what a large packet took beyond is given back.
const KEPT_SCRATCH: usize = 16 << 10;

const WRONG_PHASE: PeerError =
    PeerError::protocol("an acknowledgement of another kind than awaited");

/// The topic of a PUBLISH, by its alias where it has one (section 3.3.2.3.4).
fn resolve<'a>(
    aliases: &'a mut crate::session::alias::AliasesIn,
    publish: &Publish<'a>,
) -> Result<&'a str, PeerError> {
    let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else {
        return Ok(publish.topic);
    };
    if publish.topic.is_empty() {
        return Ok(aliases.get(alias as u16)?);
    }
    aliases.set(alias as u16, publish.topic)?;
    Ok(publish.topic)
}

fn check_count(count: usize, answer: SubAck<'_>) -> Result<(), PeerError> {
    match answer.codes.iter().len() == count {
        true => Ok(()),
        false => Err(PeerError::protocol("not one reason code per topic filter")),
    }
}
