//! The line of what waits until the store has it, and what happens then, or when the store refuses it.

use super::acks::{Answer, Owed, Ticket, Waits};
use super::arena::NONE;
use super::connection::{Connection, Stage};
use super::delayed::DelayedPlace;
use super::durable::{DelayedKey, Durability, NotStored, StreamKey};
use super::events::Departure;
use super::journal::Journal;
use super::links::{Links, parcel_delivery};
use super::out::{ConnId, Out};
use super::record::Rev;
use super::session::{NEVER_EXPIRES, Parcel, Session};
use super::shard::Shard;
use super::slow::{First, Watch};
use super::stats::Stats;
use super::will::StoredWill;
use crate::codec::{PacketType, QoS};
use crate::error::PeerError;
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::session::window::Phase;
use crate::time::Time;
use crate::weight::Weight;
use std::sync::Arc;

/// What is to be done when something is stored, besides answers.
#[derive(Debug)]
pub(super) enum Then {
    /// A session was ended: if that is not stored, it is to be ended again.
    Ended(Box<str>),
    /// Messages of groups are done: the same.
    Done(Vec<(StreamKey, u64)>),
    /// All of their streams is up to these places: the same.
    Passed(Vec<(StreamKey, u64)>),
    /// A will was published, or a message of this process, which nobody waits for.
    Published,
    /// A message waits for its time.
    Delayed(DelayedPlace),
    /// It was published; the message, if the store was to keep it for that.
    Released(DelayedKey, Option<Message>),
    /// Nothing: but what is handed over has a ticket.
    Nothing,
    /// Sessions were written: the same. What is retained for their subscriptions may go out.
    Written(Vec<Written>),
    /// A shard has no use any more for what matches this filter.
    Uninterested(Arc<str>),
}

/// A record of a session: its slot and serial, and which revision.
pub(super) type Written = (u32, u64, Rev);

/// What it takes to send a message with QoS 2 to a session that a store keeps: parts of [`Links`].
pub(super) struct Assign<'a> {
    pub(super) conn: &'a mut Connection,
    pub(super) id: u32,
    pub(super) slot: u32,
    pub(super) session: &'a mut Session,
    pub(super) stats: &'a mut Stats,
    pub(super) journal: &'a mut Journal,
    pub(super) owed_bytes: &'a mut usize,
}

impl Assign<'_> {
    /// Takes a message into the window, which must have room. It counts as sent from now on.
    pub(super) fn launch(self, parcel: Parcel, weight: usize, out: &mut Out) {
        let payload = parcel.message.as_ref().map_or(0, |m| m.payload().len());
        let (session, stats) = (self.session, self.stats);
        let Some(packet_id) = session.launch(Phase::AwaitPubrec, parcel, weight, stats) else {
            return;
        };
        let counters = &mut session.counters;
        counters.count_sent(stats, QoS::ExactlyOnce, payload);
        if let Some(kept) = session.log() {
            self.journal.mark(self.slot, kept);
        }
        let answer = Answer::Publish(packet_id);
        let weight = answer.weight();
        self.conn.owed += weight;
        *self.owed_bytes += weight as usize * size_of::<Owed>();
        let owed = Owed {
            conn: self.id,
            serial: self.conn.serial,
            answer,
        };
        out.owed_stored = Some(self.journal.wait(owed));
    }
}

/// How to undo a CONNECT that is refused after all.
#[derive(Debug, Default)]
pub(super) struct Undo {
    slot: u32,
    serial: u64,
    /// `None`: the session was new.
    before: Option<Before>,
}

/// What a CONNECT changes of a session that was there.
#[derive(Debug)]
pub(super) struct Before {
    expiry: u32,
    ends_at: Time,
    /// The will that waited for its delay.
    pub(super) will: Option<Box<StoredWill>>,
}

impl Before {
    /// A client whose other connection ends by this one is away from now on.
    pub(super) fn of(session: &Session, now: Time) -> Self {
        let (expiry, away) = (session.expiry, session.conn == NONE);
        let ends_at = match expiry {
            _ if away => session.ends_at,
            NEVER_EXPIRES => Time::NEVER,
            seconds => now.after_seconds(seconds.into()),
        };
        Self {
            expiry,
            ends_at,
            will: None,
        }
    }
}

impl Links {
    /// Owes a client all it is sent, CONNACK in front, once its session is stored.
    pub(super) fn owe_gate(&mut self, id: u32, slot: u32, before: Option<Before>, out: &mut Out) {
        let undo = Undo {
            slot,
            serial: self.sessions[slot].serial,
            before,
        };
        self.owe_stored(id, Answer::Gate(Box::new(undo)), out);
    }

    /// What an answer of this kind waits for that is about no message of the log.
    #[inline]
    pub(super) fn waits(&self, id: u32, kind: PacketType) -> Waits {
        if self.journal.on && kind != PacketType::PubAck && self.is_durable(self.conns[id].session)
        {
            Waits::Session
        } else {
            Waits::Turn
        }
    }

    /// What the answer to a PUBLISH waits for, once it is known what was promised for its message.
    pub(super) fn waits_for_message(&mut self, id: u32, kind: PacketType, now: Time) -> Waits {
        if !self.journal.on {
            return Waits::Turn;
        }
        let slot = self.conns[id].session;
        self.journal.listener = None;
        let promised = self.journal.promised.take();
        if kind == PacketType::PubRec {
            match promised {
                Some(Durability::None) => self.touch_lazily(slot, now),
                _ => self.touch(slot),
            }
        }
        match promised {
            Some(Durability::None) => Waits::Turn,
            Some(Durability::Group | Durability::Each) => Waits::Message(slot),
            None => self.waits(id, kind),
        }
    }

    /// Owes an answer once all that has changed so far is stored.
    pub(super) fn owe_stored(&mut self, id: u32, answer: Answer, out: &mut Out) -> Ticket {
        let serial = self.count_owed(id, &answer);
        let conn = id;
        let owed = Owed {
            conn,
            serial,
            answer,
        };
        let ticket = self.journal.wait(owed);
        out.owed_stored = Some(ticket);
        ticket
    }

    /// Does something once all that has changed so far is stored.
    pub(super) fn after_stored(&mut self, then: Then, out: &mut Out) {
        let owed = Owed {
            conn: NONE,
            serial: 0,
            answer: Answer::Then(Box::new(then)),
        };
        out.owed_stored = Some(self.journal.wait(owed));
    }

    /// Takes the next one out of the line, if the ticket covers it; whether its connection is there.
    fn next_stored(&mut self, ticket: Ticket) -> Option<(Owed, bool)> {
        let owed = self.journal.next(ticket)?;
        if owed.conn == NONE {
            return Some((owed, false));
        }
        let weight = owed.answer.weight();
        self.owed_bytes -= weight as usize * size_of::<Owed>();
        let conn = self.conns.get_mut(owed.conn);
        let conn = conn.filter(|conn| conn.serial == owed.serial);
        let there = conn.is_some_and(|conn| {
            conn.owed -= weight;
            conn.owed_pubacks -= u32::from(owed.answer.is_puback());
            conn.stage != Stage::Closing
        });
        Some((owed, there))
    }

    /// Writes what stood in the line.
    fn write_owed(&mut self, id: u32, answer: Answer, now: Time, out: &mut Out) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        match answer {
            Answer::Publish(packet_id) => self.write_assigned(id, packet_id, now, out),
            Answer::Gate(_) => {
                conn.gated = false;
                if conn.outbound_len() > 0 {
                    out.dirty.push(ConnId(id));
                } else {
                    conn.dirty = false;
                }
            }
            answer => {
                let explains = conn.takes_reasons();
                let writer = conn.writer(id, &mut self.pool, out);
                writer.append(|bytes| answer.write(explains, bytes));
                self.stats.control_sent += 1;
            }
        }
    }

    /// Writes a message with QoS 2 whose Packet Identifier is stored.
    fn write_assigned(&mut self, id: u32, packet_id: u16, now: Time, out: &mut Out) {
        let Some(conn) = self.conns.get_mut(id) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(conn.session) else {
            return;
        };
        // Sent again already, on this connection, or given up.
        let Some((Phase::AwaitPubrec, parcel)) = session.window.get(packet_id) else {
            return;
        };
        let (version, before, handed) = (conn.version, conn.outbound_len(), parcel.handed());
        let Some(message) = parcel.message.clone() else {
            return;
        };
        let mut delivery = parcel_delivery(version, &message, parcel, now);
        delivery.packet_id = packet_id;
        let prepared = conn.prepare(&message, &mut delivery, &self.limits, &mut self.stats);
        if prepared.is_err() {
            // As if it had been completed [MQTT-3.1.2-25].
            self.stats.given_up += 1;
            if let Ok(parcel) = session.window.pubrec_refused(packet_id) {
                session.landed(parcel.weight(), &mut self.stats);
            }
            let slot = conn.session;
            return self.touch_lazily(slot, now);
        }
        let writer = conn.writer(id, &mut self.pool, out);
        writer.publish(version, &message, &delivery);
        conn.charge_sent(before, now);
        if let Some(list) = &mut self.slow {
            let mut watch = Watch::new(list, &session.client_id, session.origin);
            let first = First::new(&message, handed, QoS::ExactlyOnce);
            watch.wrote(first, packet_id, conn, now, &mut self.stats);
        }
    }
}

impl Shard {
    /// The store has what stood in [`Out::store`] up to this ticket: writes what waited for it.
    pub fn stored(&mut self, ticket: Ticket, now: Time, out: &mut Out) {
        while let Some((owed, there)) = self.links.next_stored(ticket) {
            match owed.answer {
                Answer::Then(then) => match *then {
                    Then::Uninterested(filter) => self.forget_interest(&filter),
                    Then::Written(sessions) => {
                        for written in sessions {
                            if self.open_replays(written, true) {
                                self.ask_for_retained(written.0, out);
                            }
                        }
                    }
                    _ => {}
                },
                answer if there => self.links.write_owed(owed.conn, answer, now, out),
                _ => {}
            }
        }
    }

    /// The store has refused what stood in [`Out::store`] up to this ticket, and refuses all that this shard
    /// has handed over since in the same [turn](Self::store_turn): else it might keep that a message has come
    /// and not the message. A new turn begins.
    ///
    /// Messages are not delivered, and their publishers told so: by 0x97 where PUBACK or PUBREC can say that,
    /// else by the end of the connection, as everybody else who waits. Sessions are put into `Out::store`
    /// again, a while later. Nothing happens for a ticket of an earlier turn.
    pub fn not_stored(&mut self, ticket: Ticket, why: NotStored, now: Time, out: &mut Out) {
        if self.links.journal.line.is_done(ticket.in_line()) {
            return;
        }
        self.links.journal.turn += 1;
        out.store.drain(..).for_each(|op| op.refuse());
        out.cuts.clear();
        out.owed_stored = None;
        let last = self.links.journal.line.last();
        let error = PeerError::new(ReasonCode::QUOTA_EXCEEDED, why.words());
        let mut undone = Vec::new();
        while let Some((mut owed, there)) = self.links.next_stored(last) {
            if let Answer::Gate(undo) = &mut owed.answer {
                undone.push(std::mem::take(undo));
            }
            if let Answer::Ack(PacketType::PubRec, packet_id, _, Waits::Message(slot)) = owed.answer
            {
                self.free_refused(slot, packet_id, there, now);
            }
            match owed.answer {
                Answer::Then(then) => self.then_refused(*then, error, now),
                answer if there => self.refuse_owed(owed.conn, answer, error, now, out),
                _ => {}
            }
        }
        // The last first: a client may have come twice meanwhile.
        while let Some(undo) = undone.pop() {
            self.undo(*undo, now, out);
        }
    }

    /// Which turn what is handed to the store now belongs to: a new one begins with each
    /// [refusal](Self::not_stored).
    #[must_use]
    pub fn store_turn(&self) -> u64 {
        self.links.journal.turn
    }

    fn then_refused(&mut self, then: Then, error: PeerError, now: Time) {
        match then {
            Then::Uninterested(filter) => self.forget_interest(&filter),
            Then::Ended(client_id) => self.links.end_later(client_id, now),
            Then::Done(done) => self.links.done_again(done, now),
            Then::Passed(passed) => self.links.pass_again(passed, now),
            Then::Published => self.links.stats.count_refused(error.reason),
            Then::Written(sessions) => {
                for written in &sessions {
                    self.open_replays(*written, false);
                }
                self.links.write_again(&sessions, now);
            }
            Then::Delayed(place) => self.forget_delayed(place),
            Then::Released(key, Some(message)) => self.delay_again(key, message, now),
            Then::Released(key, None) => self.links.remove_later(key, now),
            Then::Nothing => {}
        }
    }

    /// A message with QoS 2 was refused: it may come again, and is to be taken then.
    fn free_refused(&mut self, slot: u32, packet_id: u16, there: bool, now: Time) {
        let session = self.links.sessions.get_mut(slot);
        if let Some(session) = session.filter(|session| there || session.is_durable()) {
            session.received.refused(packet_id);
            self.links.touch_lazily(slot, now);
        }
    }

    fn refuse_owed(&mut self, id: u32, answer: Answer, error: PeerError, now: Time, out: &mut Out) {
        let conn = &self.links.conns[id];
        match answer {
            Answer::Ack(.., Waits::Turn) => self.links.write_owed(id, answer, now, out),
            Answer::Ack(kind, packet_id, _, Waits::Message(_)) if conn.version.is_v5() => {
                self.links.stats.count_refused(error.reason);
                let answer = match conn.explained_ack(kind, packet_id, error) {
                    Some(packet) => Answer::Packet(Box::new(packet.into())),
                    None => Answer::Ack(kind, packet_id, error.reason, Waits::Turn),
                };
                self.links.write_owed(id, answer, now, out);
            }
            Answer::Gate(_) => self.shut_gate(id, error, now, out),
            answer => {
                if let Answer::Ack(.., Waits::Message(_)) = answer {
                    self.links.stats.count_refused(error.reason);
                }
                self.end(id, error.reason, error.what, now, out);
            }
        }
    }

    /// A client that was let in is not: its session is not stored. What becomes of that is for
    /// [`undo`](Self::undo).
    fn shut_gate(&mut self, id: u32, error: PeerError, now: Time, out: &mut Out) {
        let slot = self.links.conns[id].session;
        // The will of a client that is refused is nobody's [MQTT-3.1.2-8].
        self.links.set_will(slot, None);
        if let Some(session) = self.links.sessions.get_mut(slot) {
            // It doesn't end with this connection.
            session.expiry = NEVER_EXPIRES;
        }
        self.detach(id, Departure::Ended(error.reason), error.what, now, out);
        let conn = &mut self.links.conns[id];
        (conn.gated, conn.dirty) = (false, false);
        if let Some(buffer) = &mut conn.outbound {
            buffer.clear();
        }
        // Whoever listens was told that it came, and that it is gone.
        self.say_refused(id, error.reason, error.what, out);
    }

    /// A session is again what it was before a CONNECT that is refused: nothing, if it was new, so that the next
    /// one is not told of a session that its client never had [MQTT-3.2.2-3].
    fn undo(&mut self, undo: Undo, now: Time, out: &mut Out) {
        let Undo {
            slot,
            serial,
            before,
        } = undo;
        let session = self.links.sessions.get_mut(slot);
        let Some(session) = session.filter(|s| s.serial == serial && s.conn == NONE) else {
            return;
        };
        let Some(before) = before else {
            return self.remove_untold(slot, true, now, out);
        };
        (session.expiry, session.ends_at) = (before.expiry, before.ends_at);
        let will = before.will.map(|mut will| {
            // One whose client was here until that CONNECT.
            if will.due == Time::NEVER {
                will.due = now.after_seconds(will.delay.into());
            }
            will
        });
        self.links.set_will(slot, will);
        self.links.touch(slot);
        self.arm_session(slot);
    }
}
