//! What an earlier process has left.

use std::collections::BTreeMap;
use std::ffi::CStr;

use ternmq_protocol::Time;
use ternmq_protocol::client::{Delivery, Incoming, Stored};
use ternmq_protocol::codec::QoS;

use super::keys::{Kind, next};
use super::packet::Record;
use super::{Failed, Inner, packet, queue};
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

/// What the records of an earlier process say.
#[derive(Default)]
pub(crate) struct Restored {
    /// For the session, in this order.
    pub(crate) session: Vec<Stored>,
    /// Messages that the application does not have yet, in their order.
    pub(crate) queue: Vec<Incoming>,
}

/// What comes back of messages in flight, by Packet Identifier.
#[derive(Default)]
struct InFlight {
    sent: BTreeMap<u16, Stored>,
    received: Vec<Stored>,
    /// Messages that an older version has not given to the application, where the version does so
    /// before PUBREL now.
    late: Vec<Incoming>,
}

impl Inner {
    pub(super) fn restore(&mut self, now: Time) -> Result<Restored, Failed> {
        let mut flights = InFlight::default();
        for key in self.records.keys()? {
            match Kind::of(&key) {
                Some((Kind::Command | Kind::Queued, ..)) => {}
                known => self.restore_packet(&key, known, now, &mut flights)?,
            }
        }
        self.sent = flights.sent.keys().copied().collect();
        let mut queue = self.restore_queue(now)?;
        for incoming in flights.late {
            queue.push(self.restore_late(now, incoming));
        }
        let mut session = flights.received;
        session.extend(in_order(flights.sent));
        Ok(Restored { session, queue })
    }

    /// Takes in a message in flight. What is none is removed.
    fn restore_packet(
        &mut self,
        key: &CStr,
        known: Option<(Kind, bool, u32)>,
        now: Time,
        flights: &mut InFlight,
    ) -> Result<(), Failed> {
        let record = self.get(key)?;
        let v5 = known.is_some_and(|(_, v5, _)| v5);
        if v5 && !self.is_v5 {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let packet = packet::decode(&record, v5, now);
        match (known.map(|(kind, ..)| kind), packet) {
            (Some(Kind::Sent), Some(Record::Publish(incoming))) => {
                let id = incoming.packet_id;
                let pubrel = Kind::Released.key(v5, id.into());
                let is_released = self.records.contains(&pubrel);
                let stored = match is_released && incoming.qos == QoS::ExactlyOnce {
                    true => Stored::Pubrel { packet_id: id },
                    false => Stored::Publish {
                        packet_id: id,
                        message: incoming.message,
                        sent: true,
                    },
                };
                flights.sent.insert(id, stored);
            }
            (Some(Kind::Released), Some(Record::Pubrel(id))) => {
                // Without the message it belongs to, that is complete.
                if !self.records.contains(&Kind::Sent.key(v5, id.into())) {
                    self.records.remove(key)?;
                }
            }
            (Some(Kind::Received), Some(Record::Publish(incoming)))
                if incoming.qos == QoS::ExactlyOnce =>
            {
                let packet_id = incoming.packet_id;
                flights.received.push(Stored::Received { packet_id });
                if !self.is_v5 {
                    let delivery = Delivery(u64::MAX - u64::from(packet_id));
                    self.held.insert(
                        packet_id,
                        Incoming {
                            delivery,
                            ..incoming
                        },
                    );
                } else if !v5 {
                    flights.late.push(incoming);
                }
            }
            // A whole packet under a name that is none of ours may be another program's.
            (None, Some(_)) => {}
            _ => self.records.remove(key)?,
        }
        Ok(())
    }

    /// Messages that the application does not have. Unreadable ones are removed.
    fn restore_queue(&mut self, now: Time) -> Result<Vec<Incoming>, Failed> {
        let mut waiting = BTreeMap::new();
        for key in self.records.keys()? {
            let Some((Kind::Queued, v5, number)) = Kind::of(&key) else {
                continue;
            };
            let record = self.get(&key)?;
            match queue::decode(&record, v5, now) {
                // As a client of this version would have named it.
                Some(incoming) if v5 == self.is_v5 => _ = waiting.insert(number, incoming),
                Some(incoming) => {
                    let parts = queue::encode(&incoming, self.is_v5, now);
                    self.put(Kind::Queued, number, parts)?;
                    self.remove(&key);
                    waiting.insert(number, incoming);
                }
                None => self.remove(&key),
            }
        }
        let mut messages = Vec::with_capacity(waiting.len());
        for (number, mut incoming) in waiting {
            self.last_queued = number;
            incoming.delivery = restored(number);
            self.queued.insert(incoming.delivery.0, number);
            messages.push(incoming);
        }
        Ok(messages)
    }

    /// Has a message of an older version wait for the application, as this version would at its PUBLISH.
    fn restore_late(&mut self, now: Time, incoming: Incoming) -> Incoming {
        let delivery = restored(next(self.last_queued));
        let incoming = Incoming {
            delivery,
            ..incoming
        };
        self.enqueue(now, &incoming);
        let mut head = Vec::new();
        let id = incoming.packet_id.into();
        let parts = packet::received(&incoming, true, now, &mut head);
        if self.put(Kind::Received, id, parts).is_ok() {
            self.remove(&Kind::Received.key(false, id));
        }
        incoming
    }
}

/// A number that the session, which counts from 1, won't give to a message, nor one that is held.
fn restored(number: u32) -> Delivery {
    Delivery(u64::MAX - (1 << 32) - u64::from(number))
}

/// The order in which messages were sent, as far as identifiers tell: they went up, and began again
/// where the gap is widest.
fn in_order(sent: BTreeMap<u16, Stored>) -> Vec<Stored> {
    let ids: Vec<u16> = sent.keys().copied().collect();
    let mut sent: Vec<Stored> = sent.into_values().collect();
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        let around = usize::from(u16::MAX - last) + usize::from(*first);
        let gaps = ids.windows(2).map(|pair| usize::from(pair[1] - pair[0]));
        let widest = gaps
            .enumerate()
            .max_by_key(|(at, gap)| (*gap, std::cmp::Reverse(*at)));
        if let Some((at, gap)) = widest.filter(|(_, gap)| *gap > around) {
            debug_assert!(gap > 0);
            sent.rotate_left(at + 1);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(ids: &[u16]) -> Vec<u16> {
        let sent = ids
            .iter()
            .map(|id| (*id, Stored::Pubrel { packet_id: *id }));
        in_order(sent.collect())
            .into_iter()
            .map(|stored| match stored {
                Stored::Pubrel { packet_id } => packet_id,
                _ => 0,
            })
            .collect()
    }

    #[test]
    fn messages_go_out_again_in_the_order_of_their_identifiers_from_the_widest_gap_on() {
        assert_eq!(order(&[]), []);
        assert_eq!(order(&[3, 1, 2]), [1, 2, 3]);
        assert_eq!(order(&[1, 2, 65_534, 65_535]), [65_534, 65_535, 1, 2]);
        assert_eq!(order(&[1, 40_000]), [40_000, 1]);
        assert_eq!(order(&[30_000, 30_001]), [30_000, 30_001]);
    }
}
