//! What is known of each client: for whoever runs the broker.

use super::arena::NONE;
use super::out::{ConnId, ListenerId};
use super::session::Session;
use super::shard::Shard;
use super::stats::{Dropped, Stats};
use crate::codec::QoS;
use crate::version::ProtocolVersion;

/// Slots looked at for one client of a page, most of which may be empty after many clients left.
const SLOTS_PER_CLIENT: usize = 16;

/// A session and its connection as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client identifier.
    pub client_id: Box<str>,
    /// Its connection, `None` while the client is away.
    pub connection: Option<ClientConnection>,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Messages that wait for it. Of those that wait in the log of a store, the ones that have come by since
    /// it fell behind in this start of the broker.
    pub queued: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
    /// QoS 1 and 2 messages sent to it and not acknowledged in full.
    pub inflight: usize,
    /// QoS 2 messages it has sent and not released.
    pub unreleased: usize,
    /// What its session counted since it began.
    pub counters: ClientCounters,
}

/// The connection of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConnection {
    /// Through which listener it came in.
    pub listener: ListenerId,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// Keep Alive in seconds, 0 for none.
    pub keep_alive: u16,
    /// The user it has shown to be, else the user name of its CONNECT.
    pub user_name: Option<Box<str>>,
}

/// What one session counts, as [`Stats`] does for all. The counters of all sessions and of those that
/// have ended, see [`Shard::ended_clients`], add up to the shard's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCounters {
    /// Application messages that came in from the client; repeated QoS 2 ones once.
    pub received: u64,
    /// Messages sent to it for the first time.
    pub sent: u64,
    /// Copies for it that were not sent.
    pub dropped: Dropped,
}

impl ClientCounters {
    /// Adds the counters of another client.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.sent += other.sent;
        self.dropped.add(&other.dropped);
    }
}

/// Some of the clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientPage {
    /// In no order that means anything.
    pub clients: Vec<ClientInfo>,
    /// Where the next page begins, `None` at the end.
    pub next: Option<u32>,
}

impl Shard {
    /// What is known of a client that has a session here.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Option<ClientInfo> {
        let slot = self.find_session(client_id)?;
        self.links.sessions.get(slot).map(|s| self.describe(s))
    }

    /// At most `max` clients, beginning where the last page said, or at 0. There may be more pages after
    /// one that holds fewer. A session that is there all the while is in the pages once.
    #[must_use]
    pub fn clients(&self, from: u32, max: usize) -> ClientPage {
        let sessions = &self.links.sessions;
        let most = max.saturating_mul(SLOTS_PER_CLIENT).max(1);
        let mut page = ClientPage::default();
        for slot in from..sessions.slots() {
            if page.clients.len() >= max || (slot - from) as usize >= most {
                page.next = Some(slot);
                break;
            }
            page.clients
                .extend(sessions.get(slot).map(|session| self.describe(session)));
        }
        page
    }

    /// The sum of what sessions counted that are over.
    #[must_use]
    pub fn ended_clients(&self) -> &ClientCounters {
        &self.links.ended
    }

    /// Whether there are messages for the client of this connection that it has not been sent, or bytes that
    /// its connection has not taken.
    #[must_use]
    pub fn has_waiting(&self, conn: ConnId) -> bool {
        let Some(connection) = self.links.conns.get(conn.0) else {
            return false;
        };
        let Some(session) = self.links.sessions.get(connection.session) else {
            return false;
        };
        let behind = session.kept.as_deref().is_some_and(|kept| kept.behind);
        !session.queue.is_empty() || behind || connection.outbound_len() > 0
    }

    fn describe(&self, session: &Session) -> ClientInfo {
        let conn = self.links.conns.get(session.conn);
        debug_assert_eq!(conn.is_some(), session.conn != NONE);
        let kept = session.kept.as_deref().filter(|kept| kept.behind);
        let (unread, unread_bytes) = kept.map_or((0, 0), |kept| kept.unread(&self.index));
        ClientInfo {
            client_id: session.client_id.clone(),
            connection: conn.map(|conn| ClientConnection {
                listener: conn.listener,
                version: conn.version,
                keep_alive: conn.keep_alive,
                user_name: conn.user_name().map(Into::into),
            }),
            subscriptions: session.subscriptions(),
            queued: session.queue.len() + unread as usize,
            queued_bytes: session.queue.bytes() + unread_bytes as usize,
            inflight: session.window.len(),
            unreleased: session.received.len(),
            counters: session.counters.get(),
        }
    }
}

/// The counters of a session: 24 bytes, as most have dropped nothing.
#[derive(Debug, Default)]
pub(super) struct Counters {
    received: u64,
    sent: u64,
    dropped: Option<Box<Drops>>,
}

/// Copies that were not sent.
#[derive(Debug, Default)]
struct Drops {
    all: Dropped,
    /// Those of them that whoever listens was told of.
    told: Dropped,
}

impl Counters {
    pub(super) fn get(&self) -> ClientCounters {
        ClientCounters {
            received: self.received,
            sent: self.sent,
            dropped: match &self.dropped {
                Some(dropped) => dropped.all.clone(),
                None => Dropped::default(),
            },
        }
    }

    /// A message came in from the client.
    pub(super) fn count_received(&mut self, stats: &mut Stats, qos: QoS, payload: usize) {
        self.received += 1;
        stats.count_received(qos, payload);
    }

    /// A message was written for the first time.
    pub(super) fn count_sent(&mut self, stats: &mut Stats, qos: QoS, payload: usize) {
        self.sent += 1;
        stats.count_sent(qos, payload);
    }

    /// A copy will not be sent, for this reason.
    pub(super) fn count_dropped(
        &mut self,
        stats: &mut Stats,
        reason: fn(&mut Dropped) -> &mut u64,
    ) {
        *reason(&mut self.dropped.get_or_insert_default().all) += 1;
        *reason(&mut stats.dropped) += 1;
    }

    /// So many copies will not be sent, for their messages can't be read.
    pub(super) fn count_unreadable(&mut self, stats: &mut Stats, count: u64) {
        if count > 0 {
            self.dropped.get_or_insert_default().all.unreadable += count;
            stats.dropped.unreadable += count;
        }
    }

    /// What was dropped since this was asked before, if anything.
    pub(super) fn take_dropped(&mut self) -> Option<Dropped> {
        let dropped = self.dropped.as_deref_mut()?;
        let new = dropped.all.since(&dropped.told);
        dropped.told.clone_from(&dropped.all);
        (new.total() > 0).then_some(new)
    }
}
