//! Messages that came in, on their way to `messageArrived`.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ternmq_client::link::Event;
use ternmq_protocol::client::{Delivery, Incoming};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::Client;
use crate::inbox::Upcall;
use crate::message::Arrived;

/// Messages that may wait because nobody takes them, before the socket is left alone.
const MAX_WAITING: usize = 65_536;
/// The same in bytes.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// How many acknowledgements go out together, and how long the first of them waits at most for a
/// callback that is slow.
const ACKNOWLEDGEMENTS: usize = 128;
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(1);

/// What the strand keeps between its runs.
#[derive(Default)]
pub(super) struct Inbound {
    /// Messages that were refused, or for which there is no callback, and those behind them.
    waiting: VecDeque<Incoming>,
    waiting_bytes: usize,
    /// The link was told to pause.
    paused: bool,
    /// Before MQTT 5.0: QoS 2 messages whose PUBREL has not come.
    held: HashMap<u16, Incoming>,
    /// To be acknowledged.
    owed: Vec<Delivery>,
    /// Since when the first of them waits.
    owed_since: Option<Instant>,
    /// What is told next of an attempt is told of one that was asked for.
    pub(super) attempting: bool,
    /// How long the first attempt waits for the connection whose end is told next.
    pub(super) retry: Option<Duration>,
    /// The memory for taking events.
    pub(super) batch: Vec<Event>,
}

impl Inbound {
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A message waits to be offered.
    pub(super) fn keep(&mut self, incoming: Incoming) {
        self.waiting_bytes += incoming.message.memory();
        self.waiting.push_back(incoming);
    }

    fn put_back(&mut self, incoming: Incoming) {
        self.waiting_bytes += incoming.message.memory();
        self.waiting.push_front(incoming);
    }

    fn pop(&mut self) -> Option<Incoming> {
        let incoming = self.waiting.pop_front()?;
        self.waiting_bytes -= incoming.message.memory();
        Some(incoming)
    }

    /// Whether the network is to be left alone, with some distance between stopping and going on.
    fn wants_pause(&self) -> bool {
        let share = if self.paused { 2 } else { 1 };
        self.waiting.len() >= MAX_WAITING / share || self.waiting_bytes >= MAX_WAITING_BYTES / share
    }
}

impl Client {
    /// A message came in.
    pub(super) fn receive(&self, inbound: &mut Inbound, incoming: Incoming, is_v5: bool) {
        let by_hand = self.is_acknowledged_by_hand();
        let owed = incoming.qos != QoS::AtMostOnce && !by_hand;
        let delivery = owed.then_some(incoming.delivery);
        // Before PUBREC there is no PUBREL, so what is acknowledged by hand can't wait for it.
        if incoming.qos == QoS::ExactlyOnce && !is_v5 && !by_hand {
            // A store holds it back itself.
            if self.store.is_none() {
                inbound.held.insert(incoming.packet_id, incoming);
            }
        } else {
            self.deliver(inbound, incoming);
        }
        if let Some(delivery) = delivery {
            self.owe(inbound, delivery);
        }
    }

    /// PUBREL has come for a QoS 2 message.
    pub(super) fn release(&self, inbound: &mut Inbound, packet_id: u16) {
        let released = match &self.store {
            Some(store) => store.released(packet_id),
            None => inbound.held.remove(&packet_id),
        };
        if let Some(incoming) = released {
            self.deliver(inbound, incoming);
        }
    }

    /// The server does not know our session, so no PUBREL will come. What was asked to be forgotten is;
    /// of the rest PUBREC has made us the owner. MQTT 3.1 does not tell.
    pub(super) fn session_lost(&self, inbound: &mut Inbound) {
        let (clean, version) = self.link.session(|_, session| {
            let options = session.options();
            (options.clean_start, options.version)
        });
        if clean {
            inbound.held.clear();
        } else if version != ProtocolVersion::V3_1 {
            let mut held: Vec<_> = inbound.held.drain().collect();
            held.sort_unstable_by_key(|(packet_id, _)| *packet_id);
            for (_, incoming) in held {
                self.deliver(inbound, incoming);
            }
        }
    }

    /// Offers a message, or has it wait behind others.
    pub(super) fn deliver(&self, inbound: &mut Inbound, incoming: Incoming) {
        if self.is_polled() {
            if let Some(store) = &self.store {
                store.refused(self.now(), &incoming);
            }
            return self.tell_polled(Upcall::Message(incoming));
        }
        let arrived = self.lock().callbacks.arrived;
        let refused = match arrived {
            Some(arrived) if !inbound.has_waiting() => self.offer(arrived, incoming, true),
            _ => Some(incoming),
        };
        if let Some(incoming) = refused {
            if let Some(store) = &self.store {
                store.refused(self.now(), &incoming);
            }
            inbound.keep(incoming);
            self.throttle(inbound);
        }
    }

    /// Offers what waits again, until one is refused.
    pub(super) fn offer_again(&self, inbound: &mut Inbound) {
        if self.is_polled() {
            while let Some(incoming) = inbound.pop() {
                self.tell_polled(Upcall::Message(incoming));
            }
        }
        while inbound.has_waiting() && !self.has_ended() {
            // The lock is released before the callback runs.
            let arrived = self.lock().callbacks.arrived;
            let Some(arrived) = arrived else {
                break;
            };
            let Some(incoming) = inbound.pop() else {
                break;
            };
            if let Some(refused) = self.offer(arrived, incoming, false) {
                inbound.put_back(refused);
                break;
            }
        }
        self.throttle(inbound);
    }

    /// Offers a message; gives it back when it is refused. `directly`: as it came in, which is when
    /// Paho tells the length of the topic.
    fn offer(&self, arrived: Arrived, incoming: Incoming, directly: bool) -> Option<Incoming> {
        let delivery = incoming.delivery;
        let length = match directly {
            true => incoming.message.topic_bytes().len() as c_int,
            false => 0,
        };
        if let Err(refused) = arrived.offer(incoming, length, || self.now()) {
            return Some(refused);
        }
        if let Some(store) = &self.store {
            store.taken(delivery);
        }
        None
    }

    /// Notes that a message is to be acknowledged, and does so with others, soon.
    fn owe(&self, inbound: &mut Inbound, delivery: Delivery) {
        let since = *inbound.owed_since.get_or_insert_with(Instant::now);
        inbound.owed.push(delivery);
        if inbound.owed.len() >= ACKNOWLEDGEMENTS || since.elapsed() >= ACKNOWLEDGE_AFTER {
            self.acknowledge(inbound);
        }
    }

    /// Acknowledges what was told.
    pub(super) fn acknowledge(&self, inbound: &mut Inbound) {
        inbound.owed_since = None;
        if inbound.owed.is_empty() {
            return;
        }
        self.link.session(|now, session| {
            for delivery in inbound.owed.drain(..) {
                // False when the connection has ended: the server sends it again.
                session.acknowledge(now, delivery, ReasonCode::SUCCESS);
            }
        });
    }

    /// Stops or restarts reading from the network.
    fn throttle(&self, inbound: &mut Inbound) {
        self.waiting.store(inbound.waiting.len(), Ordering::Relaxed);
        let pause = inbound.wants_pause();
        if pause != inbound.paused {
            inbound.paused = pause;
            self.link.pause(pause);
        }
    }
}
