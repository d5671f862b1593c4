//! One client's session (4.1): what outlives its connections.

use super::arena::NONE;
use super::clients::Counters;
use super::exclusive::Exclusive;
use super::index::FilterId;
use super::links::Copy;
use super::record::{Rev, SessKey};
use super::replay::Replays;
use super::share::Memberships;
use super::will::StoredWill;
use crate::codec::QoS;
use crate::message::{Message, Origin};
use crate::session::dedupe::ReceivedIds;
use crate::session::priority::PriorityQueue;
use crate::session::window::SendWindow;
use crate::time::Time;
use crate::weight::Weight;
use crate::wheel::Timer;
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
    /// The connection, [`NONE`] while the client is away.
    pub(super) conn: u32,
    /// The filters subscribed to, sorted.
    pub(super) filters: Vec<FilterId>,
    /// The shared subscriptions.
    pub(super) memberships: Option<Box<Memberships>>,
    /// The filters that no other client may have meanwhile.
    pub(super) exclusive: Option<Box<Exclusive>>,
    pub(super) will: Option<Box<StoredWill>>,
    /// Its client's name for No Local.
    pub(super) origin: Origin,
    /// Tells it from other sessions that had or will have its slot.
    pub(super) serial: u64,
    /// While the client is away: when the will is due.
    pub(super) will_at: Time,
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
            conn: NONE,
            filters: Vec::new(),
            memberships: None,
            exclusive: None,
            will: None,
            will_at: Time::NEVER,
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

    /// Subscriptions, the shared ones among them.
    pub(super) fn subscriptions(&self) -> usize {
        self.filters.len() + self.memberships.as_ref().map_or(0, |m| m.len())
    }

    /// Messages under way to the client: sent and not acknowledged, and waiting.
    pub(super) fn load(&self) -> u32 {
        (self.window.len() + self.queue.len()) as u32
    }

    /// When something is due while the client is away.
    pub(super) fn deadline(&self) -> Option<Time> {
        let at = self.will_at.min(self.ends_at);
        (self.conn == NONE && at != Time::NEVER).then_some(at)
    }
}

/// What a session that was written or read as a record has to remember of it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) rev: Rev,
    /// Fields of a newer program.
    pub(super) unknown: Box<[u8]>,
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
    /// [`RETAIN`] and [`HANDED`]: one byte for both.
    marks: u8,
}

const RETAIN: u8 = 1;
const HANDED: u8 = 2;

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
        size_of::<Self>() + self.message.as_ref().map_or(0, Message::memory)
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
