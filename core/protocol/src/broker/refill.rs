//! What waits for a session, sent as soon as there is room for it.

use super::connection::{Connection, Unsendable};
use super::journal::Journal;
use super::limits::Limits;
use super::links::{Links, awaited, parcel_delivery};
use super::out::Out;
use super::pool::Pool;
use super::reading::Done;
use super::session::{Parcel, Session};
use super::slow::{First, SlowList, Watch};
use super::stats::Stats;
use super::unstored::Assign;
use crate::codec::{PacketType, QoS};
use crate::reason::ReasonCode;
use crate::session::window::Phase;
use crate::time::Time;
use crate::weight::Weight;
use std::cell::Cell;

impl Links {
    /// Writes what waits for this session, as far as window and buffer have room: first what was
    /// sent before on an earlier connection, in its order [MQTT-4.6.0-1], then the queue.
    pub(super) fn refill(&mut self, slot: u32, now: Time, out: &mut Out) {
        let room = self.outbound_room();
        self.resend(slot, room, now, out);
        let Self {
            sessions,
            conns,
            pool,
            stats,
            limits,
            slow,
            journal,
            owed_bytes,
            ..
        } = self;
        let Some(session) = sessions.get_mut(slot) else {
            return;
        };
        let id = session.conn;
        let Some(conn) = conns.get_mut(id) else {
            return;
        };
        let mut sent = false;
        while conn.outbound_len() < room && session.may_send_next(limits) && conn.may_send(now) {
            let Some(parcel) = session.queue.pop() else {
                break;
            };
            session.queued_qos0 -= u32::from(parcel.qos == QoS::AtMostOnce);
            sent = true;
            let mut hand = Hand {
                conn,
                id,
                slot,
                journal,
                owed_bytes,
                session,
                pool,
                stats,
                limits,
                slow,
            };
            hand.send(parcel, now, out);
        }
        if session.queued_qos0 > 0 && conn.outbound_len() < room && conn.may_send(now) {
            self.pass_qos0(slot, room, now, out);
        }
        if sent {
            self.touch_lazily(slot, now);
        }
        self.note_blocked(id);
    }

    /// Sends again what was sent on an earlier connection and not acknowledged [MQTT-4.4.0-1].
    fn resend(&mut self, slot: u32, room: usize, now: Time, out: &mut Out) {
        let Self {
            sessions,
            conns,
            pool,
            stats,
            limits,
            ..
        } = self;
        let Some(session) = sessions.get_mut(slot) else {
            return;
        };
        let (id, window) = (session.conn, &mut session.window);
        let Some(conn) = conns.get_mut(id) else {
            return;
        };
        let mut given_up = 0;
        while conn.outbound_len() < room && window.has_resend() && conn.may_send(now) {
            let before = conn.outbound_len();
            let Some(again) = window.next_resend() else {
                break;
            };
            let (packet_id, phase, parcel) = (again.id, again.phase, again.item);
            if let Some(timing) = &mut conn.timing {
                timing.wrote(packet_id, now);
            }
            let message = match &parcel.message {
                Some(message) if phase != Phase::AwaitPubcomp => message,
                _ => {
                    let kind = PacketType::PubRel;
                    stats.control_sent += 1;
                    conn.send_ack(id, kind, packet_id, ReasonCode::SUCCESS, pool, out);
                    continue;
                }
            };
            let version = conn.version;
            let mut delivery = parcel_delivery(version, message, parcel, now);
            (delivery.dup, delivery.packet_id) = (true, packet_id);
            if conn.prepare(message, &mut delivery, limits, stats).is_ok() {
                stats.sent_again += 1;
                stats.sent_payload += message.payload().len() as u64;
                conn.writer(id, pool, out)
                    .publish(version, message, &delivery);
                conn.charge_sent(before, now);
            } else {
                // The client came back with a lower Maximum Packet Size, or elsewhere in the tree of topics:
                // as if it had completed [MQTT-3.1.2-25].
                stats.given_up += 1;
                let gone = match phase {
                    Phase::AwaitPubrec => window.pubrec_refused(packet_id),
                    _ => window.puback(packet_id),
                };
                given_up += gone.map_or(0, |parcel| parcel.weight());
            }
        }
        session.landed(given_up, stats);
    }

    /// QoS 0 messages that got into the queue for want of room in the buffer must not wait for
    /// acknowledgements of those before them: takes them out as far as there is room now. Walks over
    /// the whole queue, but each time with a buffer full of messages to show for it.
    fn pass_qos0(&mut self, slot: u32, most: usize, now: Time, out: &mut Out) {
        let Self {
            sessions,
            conns,
            pool,
            stats,
            limits,
            slow,
            journal,
            owed_bytes,
            ..
        } = self;
        let session = &mut sessions[slot];
        let id = session.conn;
        let Some(conn) = conns.get_mut(id) else {
            return;
        };
        let room = |conn: &mut Connection| conn.outbound_len() < most && conn.may_send(now);
        let more = Cell::new(room(conn));
        let mut passed = 0;
        let mut queue = std::mem::take(&mut session.queue);
        let mut hand = Hand {
            conn,
            id,
            slot,
            journal,
            owed_bytes,
            session,
            pool,
            stats,
            limits,
            slow,
        };
        queue.remove_if(
            |parcel| parcel.qos == QoS::AtMostOnce && more.get(),
            |parcel| {
                passed += 1;
                hand.send(parcel, now, out);
                more.set(room(hand.conn));
            },
        );
        session.queue = queue;
        session.queued_qos0 -= passed;
    }

    /// Whether [`refill`](Self::refill) would find something to write, given room in the buffer.
    pub(super) fn has_backlog(&self, session: u32) -> bool {
        self.sessions.get(session).is_some_and(|session| {
            let waits = session.window.has_resend()
                || session.queued_qos0 > 0
                || session.may_send_next(&self.limits);
            let conn = self.conns.get(session.conn);
            waits && !conn.is_some_and(Connection::is_blocked)
        })
    }
}

impl Session {
    /// Whether there is a message in the queue that need not wait for acknowledgements.
    fn may_send_next(&self, limits: &Limits) -> bool {
        self.queue.front().is_some_and(|parcel| {
            parcel.qos == QoS::AtMostOnce || self.may_launch(parcel.weight(), limits)
        })
    }
}

/// What it takes to write messages to one client: parts of [`Links`].
struct Hand<'a> {
    conn: &'a mut Connection,
    id: u32,
    slot: u32,
    journal: &'a mut Journal,
    owed_bytes: &'a mut usize,
    session: &'a mut Session,
    pool: &'a mut Pool,
    stats: &'a mut Stats,
    limits: &'a Limits,
    slow: &'a mut Option<Box<SlowList>>,
}

impl Hand<'_> {
    fn assign(&mut self, parcel: Parcel, weight: usize, out: &mut Out) {
        let assign = Assign {
            conn: self.conn,
            id: self.id,
            slot: self.slot,
            session: self.session,
            stats: self.stats,
            journal: self.journal,
            owed_bytes: self.owed_bytes,
        };
        assign.launch(parcel, weight, out);
    }

    fn note_dropped(&mut self, parcel: &Parcel) {
        if self.journal.on
            && let Some(done) = Done::of(parcel)
        {
            done.note(self.session, self.journal);
        }
    }

    fn drop_unsendable(&mut self, parcel: &Parcel, why: Unsendable) {
        let counters = &mut self.session.counters;
        counters.count_dropped(self.stats, why.counter());
        self.note_dropped(parcel);
    }

    /// Writes one message that came out of the queue, unless it expired meanwhile or can't be sent.
    fn send(&mut self, parcel: Parcel, now: Time, out: &mut Out) {
        let weight = parcel.weight();
        self.stats.queued -= 1;
        self.stats.queued_bytes -= weight as u64;
        let Some(message) = &parcel.message else {
            return;
        };
        if message.is_expired(now) {
            let counters = &mut self.session.counters;
            counters.count_dropped(self.stats, |dropped| &mut dropped.expired);
            self.note_dropped(&parcel);
            return;
        }
        let assigns =
            parcel.qos == QoS::ExactlyOnce && self.journal.on && self.session.is_durable();
        if assigns && self.conn.is_outside(message) {
            return self.drop_unsendable(&parcel, Unsendable::Outside);
        }
        if assigns {
            return self.assign(parcel, weight, out);
        }
        let (version, qos, before) = (self.conn.version, parcel.qos, self.conn.outbound_len());
        let mut delivery = parcel_delivery(version, message, &parcel, now);
        let prepared = self
            .conn
            .prepare(message, &mut delivery, self.limits, self.stats);
        if let Err(why) = prepared {
            return self.drop_unsendable(&parcel, why);
        }
        let payload = message.payload().len();
        let handed = parcel.handed();
        if qos == QoS::AtMostOnce {
            let writer = self.conn.writer(self.id, self.pool, out);
            writer.publish(version, message, &delivery);
            if let Some(list) = self.slow {
                let session = &*self.session;
                let mut watch = Watch::new(list, &session.client_id, session.origin);
                let first = First::new(message, handed, qos);
                watch.wrote(first, 0, self.conn, now, self.stats);
            }
        } else {
            let (topic_alias, mount_len) = (delivery.topic_alias, delivery.mount_len);
            // Into the window first, and written from there: no second reference to the message.
            let (session, stats) = (&mut *self.session, &mut *self.stats);
            let Some(packet_id) = session.launch(awaited(qos), parcel, weight, stats) else {
                return;
            };
            let Some((_, parcel)) = self.session.window.get(packet_id) else {
                return;
            };
            if let Some(message) = &parcel.message {
                let mut delivery = parcel_delivery(version, message, parcel, now);
                (delivery.packet_id, delivery.topic_alias) = (packet_id, topic_alias);
                delivery.mount_len = mount_len;
                let writer = self.conn.writer(self.id, self.pool, out);
                writer.publish(version, message, &delivery);
                if let Some(list) = self.slow {
                    let (id, origin) = (&*self.session.client_id, self.session.origin);
                    let mut watch = Watch::new(list, id, origin);
                    let first = First::new(message, handed, qos);
                    watch.wrote(first, packet_id, self.conn, now, self.stats);
                }
            }
        }
        self.conn.charge_sent(before, now);
        let counters = &mut self.session.counters;
        counters.count_sent(self.stats, qos, payload);
    }
}
