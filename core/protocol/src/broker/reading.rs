//! How sessions that a store keeps get their messages: as they come out of the log while the client keeps
//! up, else by pages that are asked for when there is room.
//!
//! A session that is *live* has had, or has no use for, every message of the log that has come by. When one
//! comes by that it can't be sent at once, because its client is away, its window is full or anything else
//! waits, it falls *behind*: that message and all later ones stay in the log for it. Once its client is there
//! and takes more it asks for what comes next ([`ReadRequest`]), and is live again when a page has reached what
//! has come by and nothing of it waits any more.
//!
//! Of what waits in the queue of such a session, messages of the log are there as a page of what the log has,
//! and go when the client does. What it has been given another way (retained messages, or messages that were
//! not for the store) has its place there and nowhere else.

use super::arena::NONE;
use super::durable::{DurableConfig, LogPage, ReadRequest, ReadTicket, StreamKey};
use super::index::FilterId;
use super::journal::Journal;
use super::links::{Copy, Links, Room};
use super::out::Out;
use super::record::Rev;
use super::session::{Kept, Parcel, Session};
use super::shard::Shard;
use super::stats::Dropped;
use super::sums::{ALLOWANCE, free};
use crate::codec::QoS;
use crate::message::Message;
use crate::time::Time;
use crate::topic::SHARE_PREFIX;
use crate::weight::Weight;

/// A message of a shared subscription's stream that has found its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    share: u16,
    seq: u64,
}

impl Done {
    pub(super) fn of(parcel: &Parcel) -> Option<Self> {
        let (share, message) = (parcel.share, parcel.message.as_ref()?);
        let seq = message.log_seq();
        (share != 0 && seq != 0).then_some(Self { share, seq })
    }

    /// Notes it, for the group that this session has it from.
    pub(super) fn note(self, session: &Session, journal: &mut Journal) {
        let memberships = session.memberships.as_deref();
        if let Some(group) = memberships.and_then(|all| all.group(self.share - 1)) {
            journal.note_done(group, self.seq);
        }
    }
}

impl Journal {
    /// A message of this group is done.
    pub(super) fn note_done(&mut self, group: &str, seq: u64) {
        let stream = StreamKey::of(&format!("{SHARE_PREFIX}{group}"));
        self.done.push((stream, seq));
    }
}

/// How a session is due a message by its subscriptions.
struct DueCopy {
    qos: QoS,
    retain: bool,
    ids: Vec<u32>,
}

impl Links {
    /// Whether a session is to have a message from the log that comes by now; if not, it is left there.
    pub(super) fn is_next(&mut self, slot: u32, seq: u64, bytes: usize) -> bool {
        let session = &mut self.sessions[slot];
        let away = session.conn == NONE;
        let Some(kept) = session.log() else {
            return true;
        };
        let next = !kept.behind && seq > kept.reached;
        if kept.behind {
            kept.leave(bytes);
            if away && kept.is_drowsy() {
                self.journal.drowsy.push(slot);
            }
        }
        self.stats.unread += u64::from(!next);
        next
    }

    /// A session can't be sent a message from the log that comes by now: it reads it later. False when it
    /// is not one that can.
    pub(super) fn falls_behind(&mut self, slot: u32, seq: u64, bytes: usize) -> bool {
        let session = &mut self.sessions[slot];
        if let (true, Some(replays)) = (session.is_durable(), &mut session.replays) {
            replays.fall_behind();
        }
        let Some(kept) = session.log() else {
            return false;
        };
        kept.behind = true;
        (kept.unread, kept.unread_bytes) = (0, 0);
        kept.leave(bytes);
        kept.reached = kept.reached.max(seq - 1);
        self.stats.unread += 1;
        true
    }

    /// A session's client is away: messages of the log that wait for it go, to be read again.
    pub(super) fn unload(&mut self, slot: u32) {
        let Session { kept, queue, .. } = &mut self.sessions[slot];
        let Some(kept) = kept.as_deref_mut().filter(|kept| kept.durable) else {
            return;
        };
        (kept.asked, kept.stale, kept.turn) = (false, false, kept.turn.wrapping_add(1));
        kept.recounted = false;
        if !kept.behind || kept.jumbled {
            return;
        }
        let stats = &mut self.stats;
        let mut first = None;
        queue.remove_if(
            |parcel| parcel.log_seq() != 0,
            |parcel| {
                stats.queued -= 1;
                stats.queued_bytes -= parcel.weight() as u64;
                stats.unread += 1;
                first = first.or(Some(parcel.log_seq()));
                kept.leave(parcel.message.as_ref().map_or(0, Message::memory));
            },
        );
        if let Some(first) = first {
            kept.reached = first - 1;
        }
    }

    /// Whether a page of the log would go out, or be half way out, at once.
    pub(super) fn wants_page(&self, slot: u32) -> bool {
        self.journal.on
            && self.sessions.get(slot).is_some_and(|session| {
                let waits = |kept: &Kept| kept.durable && kept.behind && !kept.asked;
                session.kept.as_deref().is_some_and(waits)
                    && session.window.can_push()
                    && session.queue.len() <= self.journal.config.page_messages / 4
                    && self.conns.get(session.conn).is_some_and(|conn| {
                        conn.outbound_len() < self.outbound_room() && !conn.is_blocked()
                    })
            })
    }

    /// Up to where messages of the log are in a session's queue or further.
    fn reached(&self, slot: u32) -> u64 {
        let kept = self.sessions[slot].kept.as_deref();
        kept.map_or(0, |kept| kept.reached)
    }

    fn set_reached(&mut self, slot: u32, reached: u64) {
        if let Some(kept) = self.sessions[slot].log() {
            kept.reached = reached;
        }
    }

    /// Whether a session's queue, in which there were `before`, takes one more of a page. One it always does.
    fn has_room_for_page(&self, slot: u32, before: usize) -> bool {
        let (queue, limits) = (&self.sessions[slot].queue, &self.limits.queue);
        let taken = queue.len() - before;
        let fits = taken < self.journal.config.page_messages
            && queue.len() < limits.items
            && queue.bytes() < limits.bytes;
        taken == 0 || fits
    }

    /// A message was acknowledged in full, for which it may be its group's no more.
    pub(super) fn note_acknowledged(&mut self, id: u32, parcel: Option<&Parcel>, now: Time) {
        if !self.journal.on {
            return;
        }
        let slot = self.conns[id].session;
        if let Some(done) = parcel.and_then(Done::of) {
            self.note_done(slot, done);
        }
        self.touch_lazily(slot, now);
    }

    /// A client has a message with QoS 2, and has not released it.
    pub(super) fn note_received(&mut self, id: u32, done: Option<Done>) {
        let slot = self.conns[id].session;
        if let Some(done) = done {
            self.note_done(slot, done);
        }
        self.touch(slot);
    }

    /// Notes that a message of a group is done.
    pub(super) fn note_done(&mut self, slot: u32, done: Done) {
        done.note(&self.sessions[slot], &mut self.journal);
    }

    /// The same for one that nobody of its group gets.
    pub(super) fn note_unpicked(&mut self, group: &str, message: &Message) {
        if self.journal.on && message.log_seq() != 0 {
            self.journal.note_done(group, message.log_seq());
        }
    }

    /// The same for one that is dropped, if it is one of a group.
    pub(super) fn note_dropped(&mut self, slot: u32, parcel: &Parcel) {
        if self.journal.on
            && let Some(done) = Done::of(parcel)
        {
            self.note_done(slot, done);
        }
    }
}

impl Kept {
    /// A message of so many bytes is left in the log.
    fn leave(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_add(1);
        self.unread_bytes = self.unread_bytes.saturating_add(bytes as u64);
    }
}

impl Kept {
    /// What is beyond the limits may have gone from the log while its client was away: then it is not the rest
    /// that is too much.
    fn recount(&mut self, config: &DurableConfig, seen: u64) {
        let (most, most_bytes) = (config.backlog_messages, config.backlog_bytes);
        let over = self.unread > most || self.unread_bytes > most_bytes;
        if over && !self.recounted {
            (self.recounted, self.uncounted) = (true, seen);
            (self.unread, self.unread_bytes) = (0, 0);
        }
    }
}

impl Session {
    /// Up to where the session has had what the log has for it, `seen` being what has come by.
    pub(super) fn cursor(&self, kept: &Kept, seen: u64) -> u64 {
        if !kept.behind {
            return seen.max(kept.reached);
        }
        if kept.jumbled {
            return kept.reached; // and the queue is written with it
        }
        let mut waiting = self.queue.iter().map(Parcel::log_seq);
        let first = waiting.find(|seq| *seq != 0);
        first.map_or(kept.reached, |seq| seq - 1)
    }
}

impl Shard {
    /// Asks for the next page of the log for a session that is behind, or finds that it is not.
    pub(super) fn read_on(&mut self, slot: u32, out: &mut Out) {
        if !self.links.wants_page(slot) {
            return;
        }
        let seen = self.links.journal.seen;
        let Room { limit, total } = self.links.message_room();
        let left = free(limit, total).max(ALLOWANCE);
        let session = &mut self.links.sessions[slot];
        let serial = session.serial;
        let Some(kept) = session.kept.as_deref_mut() else {
            return;
        };
        if session.queue.is_empty() {
            kept.jumbled = false;
        }
        if kept.reached >= seen {
            if session.queue.is_empty() {
                kept.behind = false;
                kept.sinces.clear();
            }
            return;
        }
        let streams: Box<[(StreamKey, u64)]> = session
            .filters
            .iter()
            .filter_map(|filter| {
                let subscription = self.index.subscription(*filter, slot, None)?;
                let since = kept.sinces.get(filter).copied().unwrap_or(0);
                let wanted = subscription.options.qos > QoS::AtMostOnce;
                wanted.then(|| (StreamKey::of(self.index.text(*filter)), since))
            })
            .collect();
        if streams.is_empty() {
            // What it was behind for it does not want any more.
            kept.reached = seen;
            return self.read_on(slot, out);
        }
        self.links.stats.work += streams.len() as u64;
        kept.recount(&self.links.journal.config, seen);
        kept.asked = true;
        let queue = &self.links.limits.queue;
        let room = queue.items.saturating_sub(session.queue.len());
        let bytes = queue.bytes.saturating_sub(session.queue.bytes()).min(left);
        let config = &self.links.journal.config;
        out.reads.push(ReadRequest {
            ticket: ReadTicket {
                session: slot,
                group: false,
                serial,
                turn: kept.turn,
            },
            streams,
            after: kept.reached,
            undone: false,
            messages: config.page_messages.min(room).max(1),
            bytes: config.page_bytes.min(bytes),
            count_to: match config.limits_backlog() && kept.reached < kept.uncounted {
                true => kept.uncounted,
                false => 0,
            },
        });
    }

    /// A page of the log, the answer to a [`ReadRequest`].
    pub fn handle_log_page(&mut self, ticket: ReadTicket, page: LogPage, now: Time, out: &mut Out) {
        if ticket.group {
            return self.take_group_page(ticket, &page, now, out);
        }
        let slot = ticket.session;
        let session = self.links.sessions.get_mut(slot);
        let session = session.filter(|session| session.serial == ticket.serial);
        let Some(kept) = session.and_then(Session::log) else {
            return;
        };
        if !kept.asked || kept.turn != ticket.turn {
            return;
        }
        (kept.asked, kept.turn) = (false, kept.turn.wrapping_add(1));
        if std::mem::take(&mut kept.stale) {
            return self.read_on(slot, out);
        }
        self.take_page(slot, &page, now);
        self.links.refill(slot, now, out);
        self.links.touch_lazily(slot, now);
        self.read_on(slot, out);
    }

    /// The log could not be read for a session: it asks again with the next thing that its client does.
    pub fn handle_log_unread(&mut self, ticket: ReadTicket) {
        if ticket.group {
            return self.group_page_unread(ticket);
        }
        let session = self.links.sessions.get_mut(ticket.session);
        let session = session.filter(|session| session.serial == ticket.serial);
        if let Some(kept) = session.and_then(Session::log)
            && kept.turn == ticket.turn
        {
            (kept.asked, kept.stale) = (false, false);
        }
    }

    /// Takes what there is room for, however much the store gives: the rest is asked for again.
    fn take_page(&mut self, slot: u32, page: &LogPage, now: Time) {
        let before = self.links.sessions[slot].queue.len();
        let begin = self.links.reached(slot);
        let mut last = begin;
        if let (Some(counted), Some(kept)) = (page.counted, self.links.sessions[slot].log()) {
            let messages = u32::try_from(counted.messages).unwrap_or(u32::MAX);
            kept.unread = kept.unread.saturating_add(messages);
            kept.unread_bytes = kept.unread_bytes.saturating_add(counted.bytes);
            kept.uncounted = 0;
        }
        for message in &page.messages {
            let seq = message.log_seq();
            if seq <= last {
                continue;
            }
            if !self.links.has_room_for_page(slot, before) {
                return self.links.set_reached(slot, last);
            }
            self.take_from_page(slot, message, now);
            last = seq;
        }
        let reached = page.reached.max(last);
        self.links.set_reached(slot, reached);
        // Each of them has a place there.
        self.count_lost(slot, page.lost.min(reached - begin));
    }

    fn take_from_page(&mut self, slot: u32, message: &Message, now: Time) {
        self.match_topic(message.topic());
        let Some(due) = self.due_copy(slot, message) else {
            return;
        };
        self.links.stats.matched += 1;
        if let Some(reason) = self.drops(slot, message, now) {
            let counters = &mut self.links.sessions[slot].counters;
            counters.count_dropped(&mut self.links.stats, reason);
            return;
        }
        let copy = Copy {
            session: slot,
            qos: due.qos,
            retain: due.retain,
            ids: &due.ids,
            share: 0,
        };
        let parcel = Parcel::new(message.clone(), &copy, true).of_log(true);
        self.links.put_page_into_queue(slot, parcel);
    }

    /// Why a session does not get a message that it has read, if so.
    fn drops(
        &mut self,
        slot: u32,
        message: &Message,
        now: Time,
    ) -> Option<fn(&mut Dropped) -> &mut u64> {
        let config = &self.links.journal.config;
        let (most, most_bytes) = (config.backlog_messages, config.backlog_bytes);
        let kept = self.links.sessions[slot].log()?;
        let over = (kept.unread > most, kept.unread_bytes > most_bytes);
        kept.unread = kept.unread.saturating_sub(1);
        let bytes = message.memory() as u64;
        kept.unread_bytes = kept.unread_bytes.saturating_sub(bytes);
        match over {
            _ if message.is_expired(now) => Some(|dropped| &mut dropped.expired),
            (true, _) => Some(|dropped| &mut dropped.queue_items),
            (_, true) => Some(|dropped| &mut dropped.queue_bytes),
            _ => None,
        }
    }

    /// How a session is due a message whose filters are found, by its subscriptions of today.
    fn due_copy(&mut self, slot: u32, message: &Message) -> Option<DueCopy> {
        let session = &self.links.sessions[slot];
        let kept = session.kept.as_deref()?;
        let since = |filter: &FilterId| kept.sinces.get(filter).copied().unwrap_or(0);
        let mut due: Option<DueCopy> = None;
        for filter in self.matches.filters() {
            self.links.stats.work += 1;
            let Some(found) = self.index.subscription(*filter, slot, None) else {
                continue;
            };
            let own = found.options.no_local && message.origin() == session.origin;
            if own || message.log_seq() <= since(filter) {
                continue;
            }
            let due = due.get_or_insert(DueCopy {
                qos: QoS::AtMostOnce,
                retain: false,
                ids: Vec::new(),
            });
            due.qos = due.qos.max(found.options.qos.min(message.qos()));
            due.retain |= found.options.retain_as_published && message.retain();
            due.ids
                .extend(found.identifier.map(std::num::NonZeroU32::get));
        }
        due.filter(|due| due.qos > QoS::AtMostOnce)
    }

    /// Messages that were there for a session and can't be read.
    fn count_lost(&mut self, slot: u32, lost: u64) {
        let stats = &mut self.links.stats;
        // Whatever a store says, the counters don't run over.
        let lost = lost.min(u32::MAX.into());
        stats.matched += lost;
        let counters = &mut self.links.sessions[slot].counters;
        counters.count_unreadable(stats, lost);
    }

    /// A session is new, or there again, and a store is to keep it if it outlives its connection.
    /// `rev` is that of the session that the client had before.
    pub(super) fn keep_session(&mut self, slot: u32, rev: Rev) {
        let seen = self.links.journal.seen;
        let session = &mut self.links.sessions[slot];
        if !self.links.journal.on || session.expiry == 0 || session.is_durable() {
            return;
        }
        let kept = session.kept.get_or_insert_default();
        (kept.durable, kept.reached) = (true, seen);
        kept.rev = kept.rev.max(rev);
    }

    /// A session that a store keeps subscribes, with `before` as what it was granted until now. Returns the
    /// place behind which it is due something: of a new subscription it is due nothing from before, even
    /// if it has still to read from there for others.
    pub(super) fn note_since(&mut self, slot: u32, filter: FilterId, before: Option<QoS>) -> u64 {
        let since = self.since(slot);
        let Some(kept) = self.links.sessions[slot].log() else {
            return since;
        };
        if before.is_some_and(|qos| qos > QoS::AtMostOnce) {
            return kept.sinces.get(&filter).copied().unwrap_or(0);
        }
        if kept.behind {
            kept.sinces.insert(filter, since);
            // A page that is on its way says nothing about this filter: when it is there, another one is asked
            // for. Not before, for a client may subscribe as often as it likes.
            kept.stale = kept.asked;
        }
        since
    }
}
