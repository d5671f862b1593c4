//! The session state as data, for a store that outlives the process (section 4.1).

use super::outbound::{InFlight, Queued, awaited};
use super::{ClientSession, State};
use crate::codec::QoS;
use crate::message::Message;
use crate::session::dedupe::Received;
use crate::session::queue::{OverflowPolicy, QueueLimits};
use crate::session::window::Phase;

/// One piece of session state.
#[derive(Clone, Debug)]
pub enum Stored {
    /// A publish with QoS 1 or 2 that is not complete.
    Publish {
        /// Its Packet Identifier.
        packet_id: u16,
        /// The message.
        message: Message,
        /// Whether it was sent before: it is sent again with DUP then.
        sent: bool,
    },
    /// A QoS 2 publish whose PUBREC has come: only PUBREL is sent again.
    Pubrel {
        /// Its Packet Identifier.
        packet_id: u16,
    },
    /// A QoS 2 message that came in and must not be given out again before its PUBREL.
    Received {
        /// The server's Packet Identifier.
        packet_id: u16,
    },
}

impl ClientSession {
    /// The session state: what came in, then what was sent, then what waits in the outbox, each in
    /// order. QoS 0 messages in the outbox are no part of it. Costs a sort.
    ///
    /// A store that is written as things happen follows the results of
    /// [`publish`](Self::publish) and the events; set
    /// [`Options::report_progress`](super::Options::report_progress) for the steps between.
    pub fn stored(&self) -> impl Iterator<Item = Stored> {
        let received = self
            .received
            .iter()
            .map(|id| Stored::Received { packet_id: id });
        received.chain(
            self.publishes()
                .filter_map(|(packet_id, phase, item)| match item {
                    InFlight::Message(message) => Some(Stored::Publish {
                        packet_id,
                        message: message.clone(),
                        sent: phase != Phase::Reserved,
                    }),
                    InFlight::Released | InFlight::ReleasedAgain => {
                        Some(Stored::Pubrel { packet_id })
                    }
                    _ => None,
                }),
        )
    }

    /// Puts back what [`stored`](Self::stored) gave, in the same order, before the first
    /// connection. The limits of the outbox don't apply: the messages were inside them before.
    ///
    /// False, and nothing done, when there is a connection, the Packet Identifier is 0 or in use, or
    /// the message has QoS 0.
    pub fn restore(&mut self, stored: Stored) -> bool {
        if self.state != State::Closed {
            return false;
        }
        match stored {
            Stored::Received { packet_id } => {
                packet_id != 0 && self.received.publish(packet_id, u16::MAX) == Received::First
            }
            Stored::Pubrel { packet_id } => {
                let phase = Phase::AwaitPubcomp;
                self.window.restore(packet_id, phase, InFlight::Released)
            }
            Stored::Publish { message, .. } if message.qos() == QoS::AtMostOnce => false,
            Stored::Publish {
                packet_id,
                message,
                sent,
            } => {
                let phase = if sent {
                    awaited(message.qos())
                } else {
                    Phase::Reserved
                };
                let item = InFlight::Message(message.clone());
                let restored = self.window.restore(packet_id, phase, item);
                if restored && !sent {
                    let queued = Queued {
                        packet_id,
                        note: 0,
                        message,
                    };
                    let _ = self.outbox.push(queued, &NO_LIMITS, |_, _| ());
                }
                restored
            }
        }
    }

    /// The publishes that are not complete: those sent in the order of sending, then those in the
    /// outbox in theirs.
    pub(super) fn publishes(&self) -> impl Iterator<Item = (u16, Phase, &InFlight)> {
        let all: Vec<_> = self
            .window
            .in_order()
            .filter(|(_, _, item)| item.is_publish())
            .collect();
        let (waiting, sent): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, phase, _)| *phase == Phase::Reserved);
        sent.into_iter().chain(waiting)
    }
}

const NO_LIMITS: QueueLimits = QueueLimits {
    items: usize::MAX,
    bytes: usize::MAX,
    policy: OverflowPolicy::Refuse,
};
