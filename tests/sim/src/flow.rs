//! The sender's side of QoS 1 and 2 as the wire shows it: packet identifiers and send quota.

use std::collections::BTreeMap;

use ternmq_protocol::codec::{Packet, QoS};

use crate::ledger::note_of;

/// What a packet identifier is in use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// A PUBLISH of this message, unanswered.
    Message(Option<u32>),
    /// PUBREC has come.
    Released,
    /// A SUBSCRIBE or UNSUBSCRIBE.
    Request,
}

/// Packet identifiers in use by one sender, by the standard and not by the sender's word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    open: BTreeMap<u16, Use>,
    quota: u32,
    maximum: u32,
    resumed: bool,
}

impl Flow {
    /// A connection begins; the receiver takes `maximum` unacknowledged messages. With `shares`,
    /// what was sent before may have been given to somebody else meanwhile.
    pub(crate) fn connected(&mut self, maximum: u32, resumed: bool, shares: bool) {
        (self.quota, self.maximum, self.resumed) = (maximum, maximum, resumed);
        match resumed {
            true => self.open.retain(|_, used| match used {
                Use::Message(_) => !shares,
                Use::Released => true,
                Use::Request => false,
            }),
            false => self.open.clear(),
        }
    }

    /// Whether nothing waits for an acknowledgement.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// A packet goes out.
    pub(crate) fn sent(&mut self, packet: &Packet<'_>) -> Result<(), String> {
        match packet {
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                self.check_publish(publish.packet_id, publish.dup, publish.payload)
            }
            Packet::Subscribe(subscribe) => self.request(subscribe.packet_id),
            Packet::Unsubscribe(unsubscribe) => self.request(unsubscribe.packet_id),
            _ => Ok(()),
        }
    }

    /// A packet comes in from the receiver.
    pub(crate) fn received(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.complete(ack.packet_id),
            Packet::PubRec(ack) if ack.reason.is_error() => self.complete(ack.packet_id),
            Packet::PubRec(ack) => {
                if let Some(used) = self.open.get_mut(&ack.packet_id) {
                    *used = Use::Released;
                }
            }
            Packet::SubAck(ack) | Packet::UnsubAck(ack) => {
                self.open.remove(&ack.packet_id);
            }
            _ => {}
        }
    }

    fn complete(&mut self, id: u16) {
        self.open.remove(&id);
        self.quota = (self.quota + 1).min(self.maximum);
    }

    fn request(&mut self, id: u16) -> Result<(), String> {
        match self.open.insert(id, Use::Request) {
            None => Ok(()),
            Some(used) => Err(format!("request with packet id {id}, which is {used:?}")),
        }
    }

    /// [MQTT-2.2.1-3] [MQTT-3.3.4-7] [MQTT-4.4.0-1]
    fn check_publish(&mut self, id: u16, dup: bool, payload: &[u8]) -> Result<(), String> {
        let message = Use::Message(note_of(payload));
        match self.open.insert(id, message) {
            None if !dup || self.resumed => {}
            Some(used) if dup && used == message && self.resumed => {}
            used => {
                return Err(format!(
                    "PUBLISH {message:?} with packet id {id}, dup {dup}: the id was {used:?}"
                ));
            }
        }
        match self.quota.checked_sub(1) {
            Some(quota) => self.quota = quota,
            None => {
                return Err(format!(
                    "more PUBLISH than Receive Maximum {}",
                    self.maximum
                ));
            }
        }
        Ok(())
    }
}
