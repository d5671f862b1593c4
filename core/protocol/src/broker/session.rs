//! One client's session (4.1): what outlives its connections.

use super::arena::NONE;
use super::asleep::Asleep;
use super::clients::Counters;
use super::exclusive::Exclusive;
use super::index::FilterId;
use super::limits::Limits;
use super::links::{Copy, Room};
use super::record::{Rev, SessKey};
use super::replay::Replays;
use super::share::Memberships;
use super::stats::Stats;
use super::sums::may_hold;
use super::will::StoredWill;
use crate::codec::QoS;
use crate::message::{Message, Origin};
use crate::session::dedupe::ReceivedIds;
use crate::session::priority::PriorityQueue;
use crate::session::window::{Phase, SendWindow};
use crate::time::Time;
use crate::weight::Weight;
use crate::wheel::Timer;
use std::collections::{BTreeMap, BTreeSet};
use triomphe::ThinArc;

/// Session Expiry Interval that never ends (3.1.2.11.2).
pub(super) const NEVER_EXPIRES: u32 = u32::MAX;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Box<str>,
    /// QoS 1 and 2 messages sent and not acknowledged.
    pub(super) window: SendWindow<Parcel>,
    /// QoS 2 messages received whose PUBREL is awaited.
    pub(super) received: ReceivedIds,
    /// What waits for the window, for room in the connection, or for a connection.
    pub(super) queue: PriorityQueue<Parcel>,
    /// QoS 0 messages among them.
    pub(super) queued_qos0: u32,
    /// Bytes of what stands in the window.
    pub(super) inflight_bytes: u32,
    /// The connection, [`NONE`] while the client is away.
    pub(super) conn: u32,
    /// The filters subscribed to. A hundred thousand may come and go in one packet, in any order.
    pub(super) filters: BTreeSet<FilterId>,
    /// What these, the memberships and the exclusive ones weigh.
    pub(super) filter_bytes: u32,
    /// The shared subscriptions.
    pub(super) memberships: Option<Box<Memberships>>,
    /// The filters that no other client may have meanwhile.
    pub(super) exclusive: Option<Box<Exclusive>>,
    pub(super) will: Option<Box<StoredWill>>,
    /// Its client's name for No Local.
    pub(super) origin: Origin,
    /// Tells it from other sessions that had or will have its slot.
    pub(super) serial: u64,
    /// While the client is away: when the session ends.
    pub(super) ends_at: Time,
    pub(super) timer: Option<Timer>,
    /// Retained messages still due.
    pub(super) replays: Option<Box<Replays>>,
    /// Counts what happens to the first of them, so that a late answer is told apart.
    pub(super) replay_turn: u32,
    /// Session Expiry Interval in seconds.
    pub(super) expiry: u32,
    /// What its last record said beyond this struct.
    pub(super) kept: Option<Box<Kept>>,
    /// The publish that last chose this session, and where it stands in the list of the chosen.
    pub(super) chosen_by: u32,
    pub(super) chosen_at: u32,
    pub(super) counters: Counters,
}

impl Session {
    pub(super) fn new(client_id: Box<str>, serial: u64) -> Self {
        Self {
            origin: SessKey::new("", &client_id).origin(),
            serial,
            client_id,
            window: SendWindow::new(),
            received: ReceivedIds::new(),
            queue: PriorityQueue::new(),
            queued_qos0: 0,
            inflight_bytes: 0,
            conn: NONE,
            filters: BTreeSet::new(),
            filter_bytes: 0,
            memberships: None,
            exclusive: None,
            will: None,
            ends_at: Time::NEVER,
            timer: None,
            replays: None,
            replay_turn: 0,
            expiry: 0,
            kept: None,
            chosen_by: 0,
            chosen_at: 0,
            counters: Counters::default(),
        }
    }

    /// Whether a store keeps it.
    pub(super) fn is_durable(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.durable)
    }

    /// What a store needs to know, if one keeps it.
    pub(super) fn log(&mut self) -> Option<&mut Kept> {
        self.kept.as_deref_mut().filter(|kept| kept.durable)
    }

    /// Subscriptions, the shared ones among them.
    pub(super) fn subscriptions(&self) -> usize {
        self.filters.len() + self.memberships.as_ref().map_or(0, |m| m.len())
    }

    /// Messages under way to the client: sent and not acknowledged, and waiting.
    pub(super) fn load(&self) -> u32 {
        (self.window.len() + self.queue.len()) as u32
    }

    /// Whether a QoS 1 or 2 message of this weight may be sent now.
    pub(super) fn may_launch(&self, weight: usize, limits: &Limits) -> bool {
        let most = limits.inflight_bytes.min(u32::MAX as usize);
        let bytes = (self.inflight_bytes as usize).saturating_add(weight);
        // One may always be on its way, or a large one never would.
        self.window.can_push() && (bytes <= most || self.inflight_bytes == 0)
    }

    /// Whether a QoS 1 or 2 message of this weight need not go through the queue.
    pub(super) fn may_skip_queue(&self, weight: usize, room: Room, limits: &Limits) -> bool {
        let own = self.inflight_bytes as usize;
        self.queue.is_empty()
            && self.may_launch(weight, limits)
            && may_hold(room.limit, room.total, own, weight)
    }

    /// Whether it may have a message of this weight more, of all that sessions may have of the shard.
    pub(super) fn has_share(&self, weight: usize, room: Room) -> bool {
        may_hold(room.limit, room.total, self.message_bytes(), weight)
    }

    /// Takes a message of this weight that is sent now into the window, which
    /// [`may_launch`](Self::may_launch) was asked for, and gives its Packet Identifier.
    pub(super) fn launch(
        &mut self,
        phase: Phase,
        parcel: Parcel,
        weight: usize,
        stats: &mut Stats,
    ) -> Option<u16> {
        debug_assert_eq!(weight, parcel.weight());
        let pushed = self.window.push(phase, parcel);
        debug_assert!(pushed.is_ok(), "may_launch was asked");
        let packet_id = pushed.ok()?;
        self.launched(weight, stats);
        Some(packet_id)
    }

    /// Something of this weight has come into the window.
    pub(super) fn launched(&mut self, weight: usize, stats: &mut Stats) {
        // Less than 4 GiB: see `may_launch`, and a packet is no larger than 256 MiB.
        self.inflight_bytes += weight as u32;
        stats.inflight_bytes += weight as u64;
    }

    /// The client has a QoS 1 or 2 message for good.
    pub(super) fn acknowledged(&mut self, parcel: &Parcel, stats: &mut Stats) {
        stats.acknowledged += 1;
        self.landed(parcel.weight(), stats);
    }

    /// Something of this weight has left it.
    pub(super) fn landed(&mut self, weight: usize, stats: &mut Stats) {
        self.inflight_bytes -= weight as u32;
        stats.inflight_bytes -= weight as u64;
    }

    /// Bytes of messages that are kept for it: waiting, and sent and not acknowledged.
    pub(super) fn message_bytes(&self) -> usize {
        self.queue.bytes() + self.inflight_bytes as usize
    }

    /// While the client is away: when the will is due.
    pub(super) fn will_at(&self) -> Time {
        self.will.as_ref().map_or(Time::NEVER, |will| will.due)
    }

    /// When something is due while the client is away.
    pub(super) fn deadline(&self) -> Option<Time> {
        let at = self.will_at().min(self.ends_at);
        (self.conn == NONE && at != Time::NEVER).then_some(at)
    }
}

/// What a session that was written or read as a record has to remember of it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) rev: Rev,
    /// Fields of a newer program.
    pub(super) unknown: Box<[u8]>,
    /// A store has the session, and its messages come from the log.
    pub(super) durable: bool,
    pub(super) dirty: Dirty,
    /// Changes since it was written, none of which anybody waits for.
    pub(super) unwritten: u16,
    /// It has not had all that has come by: it reads.
    pub(super) behind: bool,
    /// What of that has come by since, as far as it is not read.
    pub(super) unread: u32,
    pub(super) unread_bytes: u64,
    /// Up to here a start has left it uncounted: the first page tells.
    pub(super) uncounted: u64,
    /// It has more to read than it may, and it was asked how much of that the log still has.
    pub(super) recounted: bool,
    /// Its subscriptions that are set apart while its client is away; `None` while nobody has looked which.
    pub(super) asleep: Option<Asleep>,
    /// Messages of the log have come out of the queue, or may have, before others that came first: what is
    /// left can't be read again from where it begins.
    pub(super) jumbled: bool,
    /// A page has been asked for.
    pub(super) asked: bool,
    /// It says nothing of all filters: it was asked for before there were all of today's.
    pub(super) stale: bool,
    /// Counts the pages, so that a late one is told apart.
    pub(super) turn: u32,
    /// Up to here messages of the log are in its queue or further. Of one that is not behind: or have come
    /// by.
    pub(super) reached: u64,
    /// Subscriptions that were made while it was behind: they are due only what is behind these places.
    pub(super) sinces: BTreeMap<FilterId, u64>,
}

/// Whether the record of a session is what the session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dirty {
    #[default]
    Clean,
    /// It is to be written before long.
    Lazy,
    /// Something waits for it: it is to be written at the end of the turn.
    Now,
}

/// One copy of a message for one session: 24 bytes in queues and windows.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// Gone once PUBREC came in, unless it is measured how long deliveries take: PUBREL needs only the
    /// Packet Identifier.
    pub(super) message: Option<Message>,
    /// Subscription Identifiers, if there are several.
    many: Option<ThinArc<(), u32>>,
    /// The Subscription Identifier if there is one, 0 for none.
    one: u32,
    /// The place plus 1 of the session's membership that it came by, 0 for none.
    pub(super) share: u16,
    pub(super) qos: QoS,
    /// [`RETAIN`], [`HANDED`] and [`LOGGED`]: one byte for all.
    marks: u8,
}

const RETAIN: u8 = 1;
const HANDED: u8 = 2;
const LOGGED: u8 = 4;

impl Parcel {
    /// `handed`: see [`Parcel::handed`].
    pub(super) fn new(message: Message, copy: &Copy<'_>, handed: bool) -> Self {
        let (one, many) = match copy.ids {
            [] => (0, None),
            [one] => (*one, None),
            many => (0, Some(ThinArc::from_header_and_slice((), many))),
        };
        Self {
            message: Some(message),
            many,
            one,
            share: copy.share,
            qos: copy.qos,
            marks: (u8::from(copy.retain) * RETAIN) | (u8::from(handed) * HANDED),
        }
    }

    /// A parcel whose message the client has: only PUBREL is owed.
    pub(super) fn released(qos: QoS) -> Self {
        Self {
            message: None,
            many: None,
            one: 0,
            share: 0,
            qos,
            marks: 0,
        }
    }

    /// The RETAIN flag.
    pub(super) fn retain(&self) -> bool {
        self.marks & RETAIN != 0
    }

    /// The message was there before it was meant for this client: a retained one, or one that
    /// another member of a shared subscription gave back.
    pub(super) fn handed(&self) -> bool {
        self.marks & HANDED != 0
    }

    /// The same copy as one that the log has for its session.
    pub(super) fn of_log(mut self, logged: bool) -> Self {
        self.marks |= u8::from(logged) * LOGGED;
        self
    }

    /// The message came from the log, and comes from there again if need be: its place, else 0. Not that of
    /// a message which the session has by another way, say as a retained one, nor for a group.
    pub(super) fn log_seq(&self) -> u64 {
        match &self.message {
            Some(message) if self.marks & LOGGED != 0 => message.log_seq(),
            _ => 0,
        }
    }

    pub(super) fn subscription_ids(&self) -> &[u32] {
        match &self.many {
            Some(many) => &many.slice,
            None if self.one == 0 => &[],
            None => std::slice::from_ref(&self.one),
        }
    }
}

impl Weight for Parcel {
    fn weight(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::memory);
        let ids = self
            .many
            .as_ref()
            .map_or(0, |many| ids_weight(many.slice.len()));
        size_of::<Self>() + message + ids
    }
}

/// What a parcel will weigh.
pub(super) fn parcel_weight(message: &Message, copy: &Copy<'_>) -> usize {
    size_of::<Parcel>() + message.memory() + ids_weight(copy.ids.len())
}

/// What several Subscription Identifiers take.
const fn ids_weight(ids: usize) -> usize {
    match ids {
        0 | 1 => 0,
        ids => size_of::<u32>() * ids + 2 * size_of::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Connection;
    use super::super::slow::Timing;
    use super::*;

    #[test]
    fn sizes_hold_the_promises_of_the_architecture() {
        assert_eq!(size_of::<Parcel>(), 24);
        assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
        assert!(size_of::<Timing>() <= 32, "{}", size_of::<Timing>());
        assert!(
            size_of::<Connection>() <= 192,
            "{}",
            size_of::<Connection>()
        );
    }
}
