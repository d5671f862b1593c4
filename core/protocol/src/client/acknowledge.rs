//! Acknowledging incoming messages, and keeping their order when the user does it.

use std::collections::VecDeque;

use super::{Acknowledge, ClientSession, Delivery, State};
use crate::codec::{Ack, Packet, PacketType, QoS};
use crate::reason::ReasonCode;
use crate::time::Time;

/// Incoming messages of manual mode that wait for their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    /// Of this connection, in the order they came in. At most Receive Maximum, or 65,535.
    owed: VecDeque<Owed>,
    /// QoS 2 messages of earlier connections that the server did not send again yet. They keep
    /// their ids, so at most 65,535.
    parked: Vec<Owed>,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    packet_id: u16,
    qos: QoS,
    /// `None` when only PUBREC got lost, and nobody is to acknowledge it any more.
    delivery: Option<Delivery>,
    /// Set once the user has acknowledged.
    reason: Option<ReasonCode>,
}

impl Unacknowledged {
    /// A message came in for the first time.
    pub(super) fn push(&mut self, packet_id: u16, qos: QoS, delivery: Delivery) {
        self.owed.push_back(Owed {
            packet_id,
            qos,
            delivery: Some(delivery),
            reason: None,
        });
    }

    /// A QoS 2 message came in that was given out before: it is owed what it was owed then, or its
    /// PUBREC got lost.
    pub(super) fn push_again(&mut self, packet_id: u16) {
        if self
            .owed
            .iter()
            .any(|owed| owed.packet_id == packet_id && owed.qos == QoS::ExactlyOnce)
        {
            return; // sent twice on one connection: one PUBREC answers both
        }
        let lost = Owed {
            packet_id,
            qos: QoS::ExactlyOnce,
            delivery: None,
            reason: Some(ReasonCode::SUCCESS),
        };
        let parked = self.take_parked(packet_id);
        self.owed.push_back(parked.unwrap_or(lost));
    }

    /// Takes out what an earlier connection left owing for this id.
    fn take_parked(&mut self, packet_id: u16) -> Option<Owed> {
        let place = self.parked.iter().position(|o| o.packet_id == packet_id)?;
        Some(self.parked.swap_remove(place))
    }

    /// Messages of this connection that wait.
    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether PUBREC is still to be sent for a QoS 2 message.
    pub(super) fn owes_pubrec(&self, packet_id: u16) -> bool {
        let mut all = self.owed.iter().chain(&self.parked);
        all.any(|owed| owed.packet_id == packet_id && owed.qos == QoS::ExactlyOnce)
    }

    /// The connection ended. The server sends QoS 1 messages again as if they were new; QoS 2
    /// messages are given out once and stay.
    pub(super) fn disconnected(&mut self) {
        let owed = self.owed.drain(..);
        self.parked
            .extend(owed.filter(|owed| owed.qos == QoS::ExactlyOnce));
    }

    /// The session is over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn find(&mut self, delivery: Delivery) -> Option<&mut Owed> {
        let mut all = self.owed.iter_mut().chain(&mut self.parked);
        all.find(|owed| owed.delivery == Some(delivery) && owed.reason.is_none())
    }

    /// What waits for the user under this id.
    #[cfg(test)]
    pub(super) fn delivery_of(&self, packet_id: u16) -> Option<Delivery> {
        let mut all = self.owed.iter().chain(&self.parked);
        all.find(|owed| owed.packet_id == packet_id && owed.reason.is_none())?
            .delivery
    }

    /// The next one whose turn it is.
    fn pop_ready(&mut self) -> Option<(u16, QoS, ReasonCode)> {
        let Owed {
            packet_id,
            qos,
            reason,
            ..
        } = *self.owed.front()?;
        let reason = reason?;
        self.owed.pop_front();
        Some((packet_id, qos, reason))
    }
}

impl ClientSession {
    /// Acknowledges a message in [manual mode](Acknowledge::Manual): PUBACK or PUBREC goes out as
    /// soon as those of all earlier messages have [MQTT-4.6.0-2] [MQTT-4.6.0-3].
    ///
    /// A `reason` of 0x80 or more refuses the message; before MQTT 5.0 there is no way to say so,
    /// and it is acknowledged. A QoS 2 message may be acknowledged after its connection ended: PUBREC
    /// goes out when the server sends it again.
    ///
    /// False, and nothing done, when no such message waits for it (a QoS 1 message does not outlive
    /// its connection), or the reason is none that PUBACK and PUBREC may carry.
    pub fn acknowledge(&mut self, now: Time, delivery: Delivery, reason: ReasonCode) -> bool {
        if !reason.allowed_in(PacketType::PubAck) {
            return false;
        }
        let Some(owed) = self.unacknowledged.find(delivery) else {
            return false;
        };
        owed.reason = Some(reason);
        self.send_ready_acknowledgements(now);
        true
    }

    /// A message of QoS 1 or 2 was given out for the first time.
    pub(super) fn acknowledge_first(
        &mut self,
        now: Time,
        packet_id: u16,
        qos: QoS,
        delivery: Delivery,
    ) {
        match self.link.acknowledge {
            Acknowledge::Automatic => {
                self.write_acknowledgement(now, packet_id, qos, ReasonCode::SUCCESS)
            }
            Acknowledge::Manual => self.unacknowledged.push(packet_id, qos, delivery),
        }
    }

    /// A QoS 2 message came in again.
    pub(super) fn acknowledge_again(&mut self, now: Time, packet_id: u16) {
        match self.link.acknowledge {
            Acknowledge::Automatic => {
                self.unacknowledged.take_parked(packet_id);
                self.write_acknowledgement(now, packet_id, QoS::ExactlyOnce, ReasonCode::SUCCESS);
            }
            Acknowledge::Manual => {
                self.unacknowledged.push_again(packet_id);
                self.send_ready_acknowledgements(now);
            }
        }
    }

    fn send_ready_acknowledgements(&mut self, now: Time) {
        if self.state != State::Connected {
            return;
        }
        while let Some((packet_id, qos, reason)) = self.unacknowledged.pop_ready() {
            self.write_acknowledgement(now, packet_id, qos, reason);
        }
    }

    fn write_acknowledgement(&mut self, now: Time, packet_id: u16, qos: QoS, reason: ReasonCode) {
        let ack = Ack::new(packet_id, reason);
        let refused = reason.is_error() && self.link.version.is_v5();
        if qos == QoS::AtLeastOnce {
            self.write(now, &Packet::PubAck(ack));
            self.link.receive_quota.complete();
        } else {
            self.write(now, &Packet::PubRec(ack));
            if refused {
                self.received.refused(packet_id);
                self.link.receive_quota.complete();
            }
        }
    }
}
