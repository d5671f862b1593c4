//! Clients that get their messages late: the slowest of them, for whoever runs the broker.
//!
//! A message carries the time of its arrival, so that a delivery costs a subtraction while somebody
//! wants to know, and nothing else: the clock is the turn's, and the list keeps its memory.

use super::connection::Connection;
use super::links::Links;
use super::session::Parcel;
use super::shard::Shard;
use super::stats::Stats;
use crate::codec::QoS;
use crate::message::{Message, Origin};
use crate::session::id_table::{IdTable, Identified};
use crate::time::Time;

/// Most entries of a list: a late delivery looks through all of them.
pub const MAX_SLOW_SUBSCRIBERS: usize = 1_000;

/// Which part of a delivery is measured, in milliseconds.
///
/// A delivery begins when its PUBLISH has been read by the broker. Other beginnings are chosen so that
/// a client answers for its own delay only:
/// - what waited while the client was away, and what a store kept, begins when the client is back;
/// - a retained message begins when the page it stands in is handed to the connection, and a message
///   that another member of a shared subscription gave back or had no room for when this one gets it.
///   The last time counts for all such messages that are still on their way;
/// - a delayed message begins when it is due, a will when it is published.
///
/// What waits because of the client's rate, its Receive Maximum or its priority counts: the client
/// gets it late. What is dropped or never acknowledged is not a delivery: see the queue and the
/// messages in flight of [`ClientInfo`](super::ClientInfo).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Latency {
    /// Until it is complete: with QoS 0 written to the connection's buffer, with QoS 1 PUBACK, with
    /// QoS 2 PUBCOMP, or a PUBREC that refuses it. What the client notices; QoS 2 messages keep their
    /// memory until PUBCOMP for it.
    #[default]
    Whole,
    /// Until it is written to the connection's buffer for the first time: what the broker, the
    /// mailboxes between shards and the client's queue add.
    Internal,
    /// From being written, or written again after a reconnection, to being complete: what the network
    /// and the client add. QoS 0 has none. Costs 8 bytes for each message in flight.
    Response,
}

/// Who is a slow subscriber, and how many of them are known at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowLimits {
    /// What is measured.
    pub latency: Latency,
    /// Milliseconds from which on a delivery is late; at least 1.
    pub threshold_ms: u64,
    /// Clients on the list of each shard, 1 to [`MAX_SLOW_SUBSCRIBERS`]. When it is full, the one with
    /// the lowest latency makes room for one with a higher one. Each takes the bytes of its client
    /// identifier and of a topic.
    pub entries: usize,
    /// Milliseconds after its last late delivery that a client leaves the list.
    pub expire_ms: u64,
}

impl Default for SlowLimits {
    fn default() -> Self {
        Self {
            latency: Latency::Whole,
            threshold_ms: 500,
            entries: 10,
            expire_ms: 300_000,
        }
    }
}

/// A client with late deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSubscriber {
    /// The client identifier; its session may be over.
    pub client_id: Box<str>,
    /// The topic of its slowest delivery since it is on the list.
    pub topic: Box<str>,
    /// How long that one took, in milliseconds.
    pub latency_ms: u64,
    /// Late deliveries since it is on the list.
    pub late: u64,
    /// When the last one of them was complete.
    pub updated: Time,
}

impl SlowSubscriber {
    /// The slowest `most` of the lists of several shards, slowest first, each client once: of one
    /// that was on several shards, the late deliveries of all of them count.
    #[must_use]
    pub fn slowest(all: impl IntoIterator<Item = Self>, most: usize) -> Vec<Self> {
        let mut all: Vec<Self> = all.into_iter().collect();
        all.sort_by(|a, b| a.client_id.cmp(&b.client_id).then(slower(a, b)));
        all.dedup_by(|other, kept| {
            let same = other.client_id == kept.client_id;
            if same {
                kept.late += other.late;
                kept.updated = kept.updated.max(other.updated);
            }
            same
        });
        all.sort_by(slower);
        all.truncate(most);
        all
    }
}

/// The order of the list, the slowest first.
fn slower(a: &SlowSubscriber, b: &SlowSubscriber) -> std::cmp::Ordering {
    b.latency_ms
        .cmp(&a.latency_ms)
        .then_with(|| a.client_id.cmp(&b.client_id))
}

impl Shard {
    /// The clients with late deliveries, slowest first; none where
    /// [`ShardConfig::slow`](super::ShardConfig::slow) is `None`.
    #[must_use]
    pub fn slow_subscribers(&self, now: Time) -> Vec<SlowSubscriber> {
        let Some(list) = self.links.slow.as_deref() else {
            return Vec::new();
        };
        let there = list.there(now).map(Entry::describe);
        SlowSubscriber::slowest(there, list.limits.entries)
    }

    /// Forgets them. Who is late from now on is on the list anew.
    pub fn clear_slow_subscribers(&mut self) {
        if let Some(list) = &mut self.links.slow {
            list.clear();
        }
    }

    /// Whether there are clients on the list that
    /// [`take_new_slow_subscribers`](Self::take_new_slow_subscribers) has not told of.
    #[must_use]
    pub fn has_new_slow_subscribers(&self) -> bool {
        self.links.slow.as_ref().is_some_and(|list| list.untold > 0)
    }

    /// At most `most` of the clients that came on the list since they were told of, the slowest of
    /// them; each is told of once while it is there.
    pub fn take_new_slow_subscribers(&mut self, most: usize, now: Time) -> Vec<SlowSubscriber> {
        match &mut self.links.slow {
            Some(list) => list.take_new(most, now),
            None => Vec::new(),
        }
    }
}

impl Links {
    /// A delivery is complete: a QoS 1 or 2 message was acknowledged in full.
    #[inline]
    pub(super) fn completed(&mut self, conn: u32, packet_id: u16, parcel: &Parcel, now: Time) {
        if self.slow.is_some() {
            self.measure(conn, packet_id, parcel, now);
        }
    }

    fn measure(&mut self, conn: u32, packet_id: u16, parcel: &Parcel, now: Time) {
        let Some(list) = self.slow.as_deref_mut() else {
            return;
        };
        let Some(conn) = self.conns.get_mut(conn) else {
            return;
        };
        // Of what a store kept, there may be no more than the Packet Identifier.
        let (Some(timing), Some(message)) = (&mut conn.timing, &parcel.message) else {
            return;
        };
        let latency = match list.limits.latency {
            Latency::Whole => timing.waited(message, parcel.handed(), now),
            Latency::Internal => return,
            Latency::Response => timing.answered(packet_id, now),
        };
        let Some(session) = self.sessions.get(conn.session) else {
            return;
        };
        let who = (&*session.client_id, session.origin);
        list.note(who, message.topic_bytes(), latency, now, &mut self.stats);
    }

    /// Whether a QoS 2 message is to be kept from PUBREC to PUBCOMP: it tells when it came, and where to.
    pub(super) fn measures_acks(&self) -> bool {
        let measures = |list: &SlowList| list.limits.latency != Latency::Internal;
        self.slow.as_deref().is_some_and(measures)
    }
}

/// What is known of the times of one connection.
#[derive(Debug)]
pub(super) struct Timing {
    /// When CONNACK let it in.
    since: Time,
    /// When a message was last handed to it that had been there before; not before `since`.
    handed_at: Time,
    /// When the messages in flight were written; only where [`Latency::Response`] is measured.
    written: Option<IdTable<Written>>,
}

/// A message in flight.
#[derive(Debug)]
struct Written {
    id: u16,
    /// Low bits of the milliseconds.
    at: u32,
}

impl Identified for Written {
    fn id(&self) -> u16 {
        self.id
    }
}

impl Timing {
    pub(super) fn new(latency: Latency, now: Time) -> Box<Self> {
        Box::new(Self {
            since: now,
            handed_at: now,
            written: (latency == Latency::Response).then(IdTable::new),
        })
    }

    /// A message is handed to it that had been there before.
    pub(super) fn hand(&mut self, now: Time) {
        self.handed_at = now;
    }

    /// A packet with this identifier is written, for the first time or again.
    pub(super) fn wrote(&mut self, id: u16, now: Time) {
        let Some(written) = &mut self.written else {
            return;
        };
        let at = now.0 as u32;
        match written.get_mut(id) {
            Some(known) => known.at = at,
            None => drop(written.insert(Written { id, at })),
        }
    }

    /// How long an answer took; 0 for one to a packet that was not written here.
    fn answered(&mut self, id: u16, now: Time) -> u64 {
        let written = self.written.as_mut().and_then(|all| all.remove(id));
        written.map_or(0, |written| (now.0 as u32).wrapping_sub(written.at).into())
    }

    /// How long the client has waited for a message, as far as it was there.
    fn waited(&self, message: &Message, handed: bool, now: Time) -> u64 {
        let from = match handed {
            true => self.handed_at,
            false => self.since,
        };
        message.age(now).min(now.since(from))
    }
}

/// Looks at what is written to one client. There only where somebody wants to know.
pub(super) struct Watch<'a> {
    list: &'a mut SlowList,
    client_id: &'a str,
    origin: Origin,
}

/// A message that was written for the first time.
#[derive(Clone, Copy)]
pub(super) struct First<'a> {
    message: &'a Message,
    handed: bool,
    qos: QoS,
}

impl<'a> First<'a> {
    /// `handed`: see [`Parcel::handed`].
    pub(super) const fn new(message: &'a Message, handed: bool, qos: QoS) -> Self {
        Self {
            message,
            handed,
            qos,
        }
    }
}

impl<'a> Watch<'a> {
    pub(super) fn new(list: &'a mut SlowList, client_id: &'a str, origin: Origin) -> Self {
        Self {
            list,
            client_id,
            origin,
        }
    }

    /// `packet_id`: 0 with QoS 0.
    pub(super) fn wrote(
        &mut self,
        first: First<'_>,
        packet_id: u16,
        conn: &mut Connection,
        now: Time,
        stats: &mut Stats,
    ) {
        let Some(timing) = &mut conn.timing else {
            return;
        };
        match self.list.limits.latency {
            Latency::Response if first.qos == QoS::AtMostOnce => return,
            Latency::Response => return timing.wrote(packet_id, now),
            Latency::Whole if first.qos != QoS::AtMostOnce => return,
            Latency::Whole | Latency::Internal => {}
        }
        let latency = timing.waited(first.message, first.handed, now);
        let who = (self.client_id, self.origin);
        let topic = first.message.topic_bytes();
        self.list.note(who, topic, latency, now, stats);
    }
}

/// The slowest clients of a shard.
#[derive(Debug)]
pub(super) struct SlowList {
    pub(super) limits: SlowLimits,
    entries: Vec<Entry>,
    /// The lowest latency of a full list; 0 while there is room.
    lowest: u64,
    /// When an entry may be over, at the earliest.
    next_end: Time,
    /// Entries that nobody was told of.
    untold: usize,
    /// Texts of entries that are gone, for the next ones.
    spare: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Texts are bytes here, so that their memory serves again for others.
#[derive(Debug)]
struct Entry {
    /// Tells clients apart like their identifiers.
    origin: Origin,
    client_id: Vec<u8>,
    topic: Vec<u8>,
    latency: u64,
    late: u64,
    updated: Time,
    told: bool,
}

impl Entry {
    fn describe(&self) -> SlowSubscriber {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
        SlowSubscriber {
            client_id: text(&self.client_id),
            topic: text(&self.topic),
            latency_ms: self.latency,
            late: self.late,
            updated: self.updated,
        }
    }
}

impl SlowList {
    pub(super) fn new(limits: SlowLimits) -> Self {
        let entries = limits.entries.clamp(1, MAX_SLOW_SUBSCRIBERS);
        Self {
            limits: SlowLimits {
                entries,
                threshold_ms: limits.threshold_ms.max(1),
                ..limits
            },
            entries: Vec::with_capacity(entries),
            lowest: 0,
            next_end: Time::NEVER,
            untold: 0,
            spare: Vec::with_capacity(entries),
        }
    }

    /// A delivery took so long: nearly all are done with at the first line.
    #[inline]
    fn note(
        &mut self,
        who: (&str, Origin),
        topic: &[u8],
        latency: u64,
        now: Time,
        stats: &mut Stats,
    ) {
        if latency >= self.limits.threshold_ms {
            stats.late_deliveries += 1;
            self.put(who, topic, latency, now, stats);
        }
    }

    fn put(
        &mut self,
        (client_id, origin): (&str, Origin),
        topic: &[u8],
        latency: u64,
        now: Time,
        stats: &mut Stats,
    ) {
        if self.next_end <= now {
            self.sweep(now);
        }
        let known = self.entries.iter_mut().find(|e| e.origin == origin);
        if let Some(entry) = known {
            (entry.late, entry.updated) = (entry.late + 1, now);
            if latency > entry.latency {
                entry.latency = latency;
                replace(&mut entry.topic, topic);
                self.find_lowest();
            }
            return;
        }
        if self.is_full() {
            if latency <= self.lowest {
                stats.slow_unlisted += 1;
                return;
            }
            stats.slow_displaced += 1;
            let entries = self.entries.iter().enumerate();
            if let Some((at, _)) = entries.min_by_key(|(_, e)| (e.latency, e.updated)) {
                self.remove(at);
            }
        }
        let (mut known_as, mut about) = self.spare.pop().unwrap_or_default();
        replace(&mut known_as, client_id.as_bytes());
        replace(&mut about, topic);
        self.entries.push(Entry {
            origin,
            client_id: known_as,
            topic: about,
            latency,
            late: 1,
            updated: now,
            told: false,
        });
        self.untold += 1;
        self.next_end = self.next_end.min(now.after(self.limits.expire_ms));
        self.find_lowest();
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limits.entries
    }

    fn is_over(&self, entry: &Entry, now: Time) -> bool {
        entry.updated.after(self.limits.expire_ms) <= now
    }

    fn there(&self, now: Time) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| !self.is_over(e, now))
    }

    /// Removes what is over, and finds out when to look again.
    fn sweep(&mut self, now: Time) {
        for at in (0..self.entries.len()).rev() {
            if self.is_over(&self.entries[at], now) {
                self.remove(at);
            }
        }
        let ends = self.entries.iter().map(|e| e.updated);
        let oldest = ends.min().unwrap_or(Time::NEVER);
        self.next_end = oldest.after(self.limits.expire_ms);
        self.find_lowest();
    }

    fn remove(&mut self, at: usize) {
        let entry = self.entries.swap_remove(at);
        self.untold -= usize::from(!entry.told);
        self.spare.push((entry.client_id, entry.topic));
    }

    fn find_lowest(&mut self) {
        self.lowest = match self.is_full() {
            true => self.entries.iter().map(|e| e.latency).min().unwrap_or(0),
            false => 0,
        };
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.spare.clear();
        (self.lowest, self.untold) = (0, 0);
        self.next_end = Time::NEVER;
    }

    fn take_new(&mut self, most: usize, now: Time) -> Vec<SlowSubscriber> {
        if self.untold == 0 {
            return Vec::new();
        }
        self.sweep(now);
        let mut new: Vec<&mut Entry> = self.entries.iter_mut().filter(|e| !e.told).collect();
        new.sort_by_key(|e| std::cmp::Reverse(e.latency));
        new.truncate(most);
        self.untold -= new.len();
        let told = new.into_iter().map(|entry| {
            entry.told = true;
            entry.describe()
        });
        told.collect()
    }
}

fn replace(text: &mut Vec<u8>, with: &[u8]) {
    text.clear();
    text.extend_from_slice(with);
}
