//! Sessions and their connections, and the way of one copy: onto the wire, into the queue, or
//! dropped and counted.

use super::arena::Arena;
use super::clients::ClientCounters;
use super::connection::{Connection, Unsendable};
use super::frames::Frames;
use super::intake::Intake;
use super::journal::Journal;
use super::limits::Limits;
use super::meter::Meter;
use super::out::Out;
use super::pool::Pool;
use super::ranking::Ranking;
use super::reading::Done;
use super::session::{Parcel, Session, parcel_weight};
use super::shard::Shard;
use super::slow::{First, SlowLimits, SlowList, Watch};
use super::source::{Source, write_as_is};
use super::stats::{Dropped, Stats};
use super::sums::{ALLOWANCE, free};
use super::timers::Timers;
use super::unstored::Assign;
use crate::codec::QoS;
use crate::message::{Delivery, Message};
use crate::session::queue::{OverflowPolicy, Pushed, QueueLimits};
use crate::session::window::Phase;
use crate::time::Time;
use crate::version::ProtocolVersion;
use crate::weight::Weight;

/// Everything a delivery touches.
#[derive(Debug)]
pub(super) struct Links {
    /// That of the shard.
    pub(super) number: u16,
    pub(super) conns: Arena<Connection>,
    pub(super) sessions: Arena<Session>,
    pub(super) pool: Pool,
    pub(super) frames: Frames,
    pub(super) intake: Intake,
    pub(super) journal: Journal,
    /// Bytes of acknowledgements that wait.
    pub(super) owed_bytes: usize,
    /// What other shards leave for messages that are kept.
    queued_room: usize,
    pub(super) stats: Stats,
    /// What sessions counted that are over.
    pub(super) ended: ClientCounters,
    pub(super) limits: Limits,
    pub(super) ranking: Ranking,
    pub(super) timers: Timers,
    /// There if somebody wants to know who is late.
    pub(super) slow: Option<Box<SlowList>>,
}

/// Expired messages that are dropped at most to make room for one.
const SWEPT_AT_ONCE: usize = 64;

/// No limits.
const UNLIMITED: QueueLimits = QueueLimits {
    items: usize::MAX,
    bytes: usize::MAX,
    policy: OverflowPolicy::DropNewest,
};

/// How much there is of what all share, and how much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) limit: usize,
    pub(super) total: u64,
}

/// One copy of a message: for whom, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy<'a> {
    pub(super) session: u32,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: &'a [u32],
    /// See [`Parcel`].
    pub(super) share: u16,
}

impl Shard {
    /// What the other shards leave of a limit that all of them have for messages that are kept: in
    /// queues, or sent and not acknowledged. [`SumLimits::queued_bytes`](super::SumLimits::queued_bytes)
    /// holds as well. Without a limit at first.
    pub fn set_queued_room(&mut self, bytes: usize) {
        self.links.queued_room = bytes;
    }
}

impl Links {
    pub(super) fn new(number: u16, limits: Limits, slow: Option<SlowLimits>) -> Self {
        Self {
            number,
            conns: Arena::new(),
            sessions: Arena::new(),
            pool: Pool::new(limits.spare_buffers),
            timers: Timers::new(),
            ranking: Ranking::new(&limits.priorities),
            frames: Frames::default(),
            intake: Intake::default(),
            journal: Journal::default(),
            owed_bytes: 0,
            queued_room: usize::MAX,
            stats: Stats::default(),
            ended: ClientCounters::default(),
            slow: slow.map(|limits| Box::new(SlowList::new(limits))),
            limits,
        }
    }

    /// Bytes in a connection's outbound buffer from which on messages wait in the queue: the limit of
    /// one, or less while all together have so much that less is left.
    pub(super) fn outbound_room(&self) -> usize {
        let Limits {
            outbound_bytes,
            sums,
            ..
        } = &self.limits;
        let left = free(sums.outbound_bytes, self.outbound_bytes() as u64);
        left.max(ALLOWANCE).min(*outbound_bytes)
    }

    /// Bytes that wait in outbound buffers now, and those of acknowledgements that are owed.
    pub(super) fn outbound_bytes(&self) -> usize {
        self.pool.waiting.get() + self.owed_bytes
    }

    /// What all sessions keep of messages, and what they may.
    pub(super) fn message_room(&self) -> Room {
        Room {
            limit: self.limits.sums.queued_bytes.min(self.queued_room),
            total: self.stats.queued_bytes + self.stats.inflight_bytes,
        }
    }

    /// The session of a connection, and where it counts what it does.
    pub(super) fn session_of(&mut self, conn: u32) -> (&mut Session, &mut Stats) {
        let session = self.conns[conn].session;
        (&mut self.sessions[session], &mut self.stats)
    }

    /// Passes a copy of what has just come in on: as [`deliver`](Self::deliver), but a QoS 0 PUBLISH goes as
    /// it is from the input into the buffer of a client that may have it so.
    // In the loops over the subscribers, where it costs half as much as behind a call.
    #[inline(always)]
    pub(super) fn pass_on(
        &mut self,
        copy: Copy<'_>,
        source: &mut Source<'_>,
        now: Time,
        out: &mut Out,
    ) {
        let plain = copy.qos == QoS::AtMostOnce && !copy.retain && copy.ids.is_empty();
        if !plain || !self.copy_as_is(copy.session, source, now, out) {
            self.deliver(copy, source, now, out);
        }
    }

    /// False, and nothing done, where it has to be made into a message.
    #[inline(always)]
    fn copy_as_is(&mut self, slot: u32, source: &Source<'_>, now: Time, out: &mut Out) -> bool {
        let room = self.outbound_room();
        let session = &mut self.sessions[slot];
        let id = session.conn;
        let Some(conn) = self.conns.get_mut(id) else {
            return false;
        };
        let Some(body) = body_as_is(source, conn) else {
            return false;
        };
        let before = conn.outbound_len();
        if before >= room || session.queued_qos0 > 0 || !conn.may_send(now) {
            return false;
        }
        let (counters, payload) = (&mut session.counters, source.payload_len());
        counters.count_sent(&mut self.stats, QoS::AtMostOnce, payload);
        write_as_is(body, conn.writer(id, &mut self.pool, out));
        conn.charge_sent(before, now);
        true
    }

    /// Sends a copy at once when the client is there, its window and its buffer have room and
    /// nothing of its kind waits; else queues or drops it.
    ///
    /// QoS 0 overtakes QoS 1 and 2 messages that wait for acknowledgements: order is promised
    /// for each QoS by itself (4.6), and Receive Maximum does not count QoS 0.
    pub(super) fn deliver(
        &mut self,
        copy: Copy<'_>,
        source: &mut Source<'_>,
        now: Time,
        out: &mut Out,
    ) {
        let logged = is_logged(&copy, source);
        if logged && !self.is_next(copy.session, source.log_seq, source.message().memory()) {
            return;
        }
        let (room, messages) = (self.outbound_room(), self.message_room());
        let session = &mut self.sessions[copy.session];
        let id = session.conn;
        let Some(conn) = self.conns.get_mut(id) else {
            return self.enqueue(copy, source, now, out);
        };
        let (qos, handed) = (copy.qos, source.handed);
        if let (true, Some(timing)) = (handed, &mut conn.timing) {
            timing.hand(now);
        }
        let message = source.message();
        let (before, weight) = (conn.outbound_len(), parcel_weight(message, &copy));
        let direct = before < room
            && match qos {
                QoS::AtMostOnce => session.queued_qos0 == 0,
                _ => session.may_skip_queue(weight, messages, &self.limits),
            }
            && conn.may_send(now);
        if !direct {
            self.note_blocked(id);
            return self.enqueue(copy, source, now, out);
        }
        if self.journal.on && self.assigns(copy, source, now, out) {
            return;
        }
        let (session, conn) = (&mut self.sessions[copy.session], &mut self.conns[id]);
        let message = source.message();
        let version = conn.version;
        let mut delivery = delivery(version, message, qos, copy.retain, copy.ids, now);
        // One that is too large counts as sent [MQTT-3.1.2-25].
        let prepared = conn.prepare(message, &mut delivery, &self.limits, &mut self.stats);
        if let Err(why) = prepared {
            let counters = &mut session.counters;
            counters.count_dropped(&mut self.stats, why.counter());
            if copy.share != 0 {
                let parcel = Parcel::new(message.clone(), &copy, handed);
                self.note_dropped(copy.session, &parcel);
            }
            return;
        }
        if qos != QoS::AtMostOnce {
            let parcel = Parcel::new(message.clone(), &copy, handed).of_log(logged);
            let stats = &mut self.stats;
            let Some(packet_id) = session.launch(awaited(qos), parcel, weight, stats) else {
                return;
            };
            delivery.packet_id = packet_id;
        }
        let (counters, payload) = (&mut session.counters, message.payload().len());
        counters.count_sent(&mut self.stats, qos, payload);
        let writer = conn.writer(id, &mut self.pool, out);
        self.frames.write(version, message, &delivery, writer);
        conn.charge_sent(before, now);
        if let Some(list) = &mut self.slow {
            let mut watch = Watch::new(list, &session.client_id, session.origin);
            let first = First::new(message, handed, qos);
            watch.wrote(first, delivery.packet_id, conn, now, &mut self.stats);
        }
    }

    /// A session's client went away: drops the QoS 0 messages of its queue and the memory it does
    /// not need while it waits.
    pub(super) fn rest(&mut self, session: u32) {
        self.unload(session);
        let session = &mut self.sessions[session];
        session.window.release_spare();
        session.received.release_spare();
        session.queue.release_spare();
        if session.queued_qos0 == 0 || self.limits.queue_qos0_offline {
            return;
        }
        let (stats, counters) = (&mut self.stats, &mut session.counters);
        session.queue.remove_if(
            |parcel| parcel.qos == QoS::AtMostOnce,
            |parcel| {
                stats.queued -= 1;
                stats.queued_bytes -= parcel.weight() as u64;
                counters.count_dropped(stats, |dropped| &mut dropped.offline);
            },
        );
        session.queued_qos0 = 0;
    }

    /// A client whose rate has just been used up goes on by a timer.
    pub(super) fn note_blocked(&mut self, id: u32) {
        let conn = self.conns.get_mut(id);
        let meter = conn.and_then(|conn| conn.meter.as_deref_mut());
        if meter.is_some_and(Meter::has_just_closed) {
            self.stats.rate_waits += 1;
            self.arm(id);
        }
    }

    /// Gives a message with QoS 2 its Packet Identifier, if a store keeps its session: it is written once the
    /// store has that. False for any other copy.
    fn assigns(
        &mut self,
        copy: Copy<'_>,
        source: &mut Source<'_>,
        now: Time,
        out: &mut Out,
    ) -> bool {
        if copy.qos == QoS::AtMostOnce || !self.is_durable(copy.session) {
            return false;
        }
        self.touch_lazily(copy.session, now);
        if copy.qos == QoS::AtLeastOnce {
            return false;
        }
        let logged = is_logged(&copy, source);
        let message = source.message();
        let weight = parcel_weight(message, &copy);
        let session = &mut self.sessions[copy.session];
        let id = session.conn;
        if self
            .conns
            .get(id)
            .is_some_and(|conn| conn.is_outside(message))
        {
            let counters = &mut session.counters;
            counters.count_dropped(&mut self.stats, Unsendable::Outside.counter());
            return true;
        }
        let parcel = Parcel::new(message.clone(), &copy, source.handed).of_log(logged);
        if let Some(conn) = self.conns.get_mut(id) {
            let assigned = Assign {
                conn,
                id,
                slot: copy.session,
                session,
                stats: &mut self.stats,
                journal: &mut self.journal,
                owed_bytes: &mut self.owed_bytes,
            };
            assigned.launch(parcel, weight, out);
        }
        true
    }

    fn enqueue(&mut self, copy: Copy<'_>, source: &mut Source<'_>, now: Time, out: &mut Out) {
        if is_logged(&copy, source) {
            let bytes = source.message().memory();
            if self.falls_behind(copy.session, source.log_seq, bytes) {
                return;
            }
        }
        let session = &mut self.sessions[copy.session];
        let is_qos0 = copy.qos == QoS::AtMostOnce;
        let stats = &mut self.stats;
        if is_qos0 && session.conn == super::arena::NONE && !self.limits.queue_qos0_offline {
            let counters = &mut session.counters;
            counters.count_dropped(stats, |dropped| &mut dropped.offline);
            return;
        }
        let message = source.message().clone();
        let parcel = Parcel::new(message, &copy, source.handed);
        self.put_into_queue(copy.session, parcel, now, out);
    }

    /// Puts a parcel behind those of its priority in a session's queue, or does what the limits say. What
    /// has no room and came through a group goes back to it.
    pub(super) fn put_into_queue(&mut self, slot: u32, parcel: Parcel, now: Time, out: &mut Out) {
        let weight = parcel.weight();
        let priority = match &parcel.message {
            Some(message) => self.ranking.of(message.topic_bytes()),
            None => 0,
        };
        let share = self.queue_share(slot, weight);
        let session = &mut self.sessions[slot];
        // Counted as queued first, so that a dropped one is taken off again like any other.
        self.stats.queued += 1;
        self.stats.queued_bytes += weight as u64;
        session.queued_qos0 += u32::from(parcel.qos == QoS::AtMostOnce);
        let (queue, limits) = (&mut session.queue, share.as_ref());
        let limits = limits.unwrap_or(&self.limits.queue);
        if let Err(parcel) = queue.push_into_room(parcel, weight, priority, limits) {
            self.put_into_full_queue(slot, parcel, priority, share, now, out);
        }
    }

    fn put_into_full_queue(
        &mut self,
        slot: u32,
        parcel: Parcel,
        priority: u8,
        share: Option<QueueLimits>,
        now: Time,
        out: &mut Out,
    ) {
        let (weight, limits) = (parcel.weight(), share.unwrap_or(self.limits.queue));
        let share = share.is_some();
        let session = &mut self.sessions[slot];
        let stats = &mut self.stats;
        let mut qos0_gone = 0;
        let counters = &mut session.counters;
        let mut leaves = |parcel: &Parcel, stats: &mut Stats| {
            stats.queued -= 1;
            stats.queued_bytes -= parcel.weight() as u64;
            qos0_gone += u32::from(parcel.qos == QoS::AtMostOnce);
        };
        let (queue, limits) = (&mut session.queue, &limits);
        // What has expired makes room before anything good has to go.
        let expired = |parcel: &Parcel| parcel.message.as_ref().is_some_and(|m| m.is_expired(now));
        let mut done = Vec::new();
        queue.make_room(weight, limits, SWEPT_AT_ONCE, expired, |parcel| {
            leaves(&parcel, stats);
            counters.count_dropped(stats, |dropped| &mut dropped.expired);
            done.extend(Done::of(&parcel));
        });
        let mut over = Vec::new();
        let pushed = queue.push(parcel, priority, limits, |parcel, overflow| {
            leaves(&parcel, stats);
            let overflow = if share { overflow.of_share() } else { overflow };
            match parcel.share {
                0 => counters.count_dropped(stats, Dropped::overflow(overflow)),
                _ => over.push((parcel, overflow)),
            }
        });
        if let Pushed::Refused(parcel, overflow) = pushed {
            // There is nobody else to hand it back to: the publisher may be on another shard.
            leaves(&parcel, stats);
            let overflow = if share { overflow.of_share() } else { overflow };
            over.push((parcel, overflow));
        }
        session.queued_qos0 -= qos0_gone;
        for one in done {
            self.note_done(slot, one);
        }
        for (parcel, overflow) in over {
            if !self.spill(slot, &parcel, overflow, out) {
                let counters = &mut self.sessions[slot].counters;
                counters.count_dropped(&mut self.stats, Dropped::overflow(overflow));
                self.note_dropped(slot, &parcel);
            }
        }
    }

    /// Puts a parcel behind those of its priority, whatever the limits: they were looked at before it was asked
    /// for.
    pub(super) fn put_page_into_queue(&mut self, slot: u32, parcel: Parcel) {
        let weight = parcel.weight();
        let priority = match &parcel.message {
            Some(message) => self.ranking.of(message.topic_bytes()),
            None => 0,
        };
        let session = &mut self.sessions[slot];
        if let Some(kept) = session.log() {
            kept.jumbled |= priority > 0;
        }
        let queue = &mut session.queue;
        if queue
            .push_into_room(parcel, weight, priority, &UNLIMITED)
            .is_ok()
        {
            self.stats.queued += 1;
            self.stats.queued_bytes += weight as u64;
        }
    }

    /// What a session's queue may hold with `weight` more, if it is its share of what all may hold that
    /// says so; else the limit of each queue.
    ///
    /// Dropping old messages frees them for all, so that only half of what is too much has to go.
    fn queue_share(&self, session: u32, weight: usize) -> Option<QueueLimits> {
        let session = &self.sessions[session];
        let (limits, room) = (&self.limits.queue, self.message_room());
        let queued = session.queue.bytes() + weight;
        if queued > limits.bytes || session.has_share(weight, room) {
            return None;
        }
        let own = session.message_bytes() + weight;
        let left = free(room.limit, room.total + weight as u64);
        let share = left.max(ALLOWANCE);
        let surplus = match limits.policy {
            OverflowPolicy::DropOldest => (own - share).div_ceil(2),
            _ => own - share,
        };
        let bytes = queued.saturating_sub(surplus);
        Some(QueueLimits { bytes, ..*limits })
    }
}

/// Whether a copy is of the log for its session itself, which can read it there.
fn is_logged(copy: &Copy<'_>, source: &Source<'_>) -> bool {
    source.log_seq != 0 && copy.share == 0 && copy.qos != QoS::AtMostOnce
}

/// The body of a PUBLISH that came in, if a client may be given it as it is.
fn body_as_is<'a>(source: &Source<'a>, conn: &Connection) -> Option<&'a [u8]> {
    if conn.naming.is_some() {
        return None;
    }
    let body = source.as_is(conn.version)?;
    // 5 bytes of header at most; who is that close to its limit goes the long way.
    (body.len() + 5 <= conn.max_packet_size as usize).then_some(body)
}

/// What a message that is sent now waits for.
pub(super) const fn awaited(qos: QoS) -> Phase {
    match qos {
        QoS::ExactlyOnce => Phase::AwaitPubrec,
        _ => Phase::AwaitPuback,
    }
}

/// How a message that waited is sent.
pub(super) fn parcel_delivery<'a>(
    version: ProtocolVersion,
    message: &Message,
    parcel: &'a Parcel,
    now: Time,
) -> Delivery<'a> {
    let ids = parcel.subscription_ids();
    delivery(version, message, parcel.qos, parcel.retain(), ids, now)
}

fn delivery<'a>(
    version: ProtocolVersion,
    message: &Message,
    qos: QoS,
    retain: bool,
    ids: &'a [u32],
    now: Time,
) -> Delivery<'a> {
    let v5 = version.is_v5();
    Delivery {
        dup: false,
        qos,
        retain,
        packet_id: 0,
        subscription_ids: if v5 { ids } else { &[] },
        topic_alias: None,
        expiry: if v5 { message.expiry_left(now) } else { None },
        mount_len: 0,
    }
}
