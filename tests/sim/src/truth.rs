//! What the server ought to hold, by what its shards have been given: sessions, wills, retained
//! messages. A second, slow broker without queues.

use std::collections::{BTreeMap, BTreeSet};

use ternmq_protocol::codec::{Connect, PropertyId, SubscriptionOptions};
use ternmq_protocol::{ProtocolVersion, Time};

use crate::flow::Flow;
use crate::ledger::{is_shared, note_of};

/// Session Expiry Interval that never ends.
const NEVER: u32 = u32::MAX;

/// A session on the server.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) epoch: u64,
    pub(crate) shard: usize,
    pub(crate) expiry: u32,
    pub(crate) link: Option<usize>,
    pub(crate) filters: BTreeMap<String, SubscriptionOptions>,
    /// QoS 2 messages received and not released.
    pub(crate) received: BTreeSet<u16>,
    /// What the server sends in it.
    pub(crate) flow: Flow,
    pub(crate) will: Option<Will>,
    will_at: Time,
    ends_at: Time,
}

/// A will: the number of its message, and its delay in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Will {
    pub(crate) note: u32,
    delay: u32,
}

/// What follows from what happened to a session.
#[derive(Debug)]
pub(crate) enum News {
    /// The session of this client is no more.
    Ended(String, Session),
    /// A will is published, on this shard.
    Will { note: u32, epoch: u64, shard: usize },
}

/// A message that waits for its time on a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delayed {
    pub(crate) due: Time,
    pub(crate) note: u32,
    /// The session it was published from.
    pub(crate) epoch: u64,
    /// Seconds that it lives from when it is due.
    pub(crate) expiry: Option<u32>,
}

/// What became of delayed messages on a shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays {
    /// In the order in which they came.
    pub(crate) waiting: Vec<Delayed>,
    pub(crate) published: u64,
    pub(crate) expired: u64,
    pub(crate) refused: u64,
}

/// The sessions by client identifier.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) sessions: BTreeMap<String, Session>,
    pub(crate) news: Vec<News>,
    /// Wills published, by shard.
    pub(crate) wills: Vec<u64>,
    /// Delayed messages, by shard.
    pub(crate) delays: Vec<Delays>,
    /// Retained messages: number and expiry.
    pub(crate) retained: BTreeMap<String, (u32, Time)>,
    last_epoch: u64,
}

impl Truth {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            sessions: BTreeMap::new(),
            news: Vec::new(),
            wills: vec![0; shards],
            delays: vec![Delays::default(); shards],
            retained: BTreeMap::new(),
            last_epoch: 0,
        }
    }

    /// A CONNECT is let in. Gives the session's epoch, whether it was there, and the connection that
    /// is taken over.
    pub(crate) fn admit(
        &mut self,
        connect: &Connect<'_>,
        shard: usize,
        link: usize,
        now: Time,
        inflight: u16,
    ) -> (u64, bool, Option<usize>) {
        let id = connect.client_id;
        let old = self.sessions.get(id).and_then(|session| session.link);
        let resumes = self
            .sessions
            .get(id)
            .is_some_and(|session| !connect.clean_start && session.expiry > 0);
        if resumes {
            self.resume_will(id);
        } else {
            self.remove(id);
            self.last_epoch += 1;
            let session = Session {
                epoch: self.last_epoch,
                shard,
                expiry: 0,
                link: None,
                filters: BTreeMap::new(),
                received: BTreeSet::new(),
                flow: Flow::default(),
                will: None,
                will_at: Time::NEVER,
                ends_at: Time::NEVER,
            };
            self.sessions.insert(id.into(), session);
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return (0, false, old);
        };
        let number = |property, absent| connect.properties.number(property).unwrap_or(absent);
        session.link = Some(link);
        (session.ends_at, session.will_at) = (Time::NEVER, Time::NEVER);
        session.expiry = match (connect.version, connect.clean_start) {
            (ProtocolVersion::V5_0, _) => number(PropertyId::SessionExpiryInterval, 0),
            (_, true) => 0,
            (_, false) => NEVER,
        };
        session.will = connect.will.and_then(|will| {
            let delay = will.properties.number(PropertyId::WillDelayInterval);
            Some(Will {
                note: note_of(will.payload)?,
                delay: delay.unwrap_or(0),
            })
        });
        let shares = session.filters.keys().any(|f| is_shared(f));
        let maximum = number(PropertyId::ReceiveMaximum, u16::MAX.into());
        session
            .flow
            .connected(maximum.min(inflight.into()), resumes, shares);
        debug_assert!(now != Time::NEVER);
        (session.epoch, resumes, old)
    }

    /// DISCONNECT has come in.
    pub(crate) fn disconnect(&mut self, id: &str, expiry: Option<u32>, keep_will: bool, now: Time) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.expiry = expiry.unwrap_or(session.expiry);
            if !keep_will {
                session.will = None;
            }
        }
        self.detach(id, now);
    }

    /// The connection of a session is over.
    pub(crate) fn detach(&mut self, id: &str, now: Time) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.link = None;
        match session.expiry {
            0 => self.remove(id),
            seconds => {
                if seconds != NEVER {
                    session.ends_at = now.after_seconds(seconds.into());
                }
                match session.will {
                    None => {}
                    Some(Will { delay: 0, .. }) => self.publish_will(id),
                    Some(will) => session.will_at = now.after_seconds(will.delay.into()),
                }
            }
        }
    }

    /// How much the time has come for on one shard.
    pub(crate) fn due(&self, shard: usize, now: Time) -> usize {
        let sessions = self.sessions.values().filter(|s| s.shard == shard);
        let sessions = sessions.filter(|s| s.ends_at <= now || s.will_at <= now);
        let delayed = self.delays[shard].waiting.iter();
        sessions.count() + delayed.filter(|delayed| delayed.due <= now).count()
    }

    /// Ends the next session of a shard that the time has come for, or publishes its will; false when
    /// there is none.
    pub(crate) fn pass(&mut self, shard: usize, now: Time) -> bool {
        let mut sessions = self.sessions.iter();
        let due = sessions.find(|(_, session)| {
            session.shard == shard && (session.ends_at <= now || session.will_at <= now)
        });
        let Some((id, session)) = due else {
            return false;
        };
        let (id, ends) = (id.clone(), session.ends_at <= now);
        match ends {
            true => self.remove(&id),
            false => self.publish_will(&id),
        }
        true
    }

    /// Takes the next delayed message out that the time has come for.
    pub(crate) fn take_delayed(&mut self, shard: usize, now: Time) -> Option<Delayed> {
        let waiting = &mut self.delays[shard].waiting;
        let places = 0..waiting.len();
        let first = places.min_by_key(|at| waiting[*at].due)?;
        (waiting[first].due <= now).then(|| waiting.remove(first))
    }

    /// Sessions of a shard, their subscriptions, and how many of these are shared ones.
    pub(crate) fn count(&self, shard: usize) -> (u64, u64, u64) {
        let here = self.sessions.values().filter(|s| s.shard == shard);
        let (mut sessions, mut filters, mut shared) = (0, 0, 0);
        for session in here {
            sessions += 1;
            filters += session.filters.len() as u64;
            shared += session.filters.keys().filter(|f| is_shared(f)).count() as u64;
        }
        (sessions, filters, shared)
    }

    /// The client came back: a will that waits is not sent [MQTT-3.1.3-9], but the end of the old
    /// connection by takeover is enough for one without a delay.
    fn resume_will(&mut self, id: &str) {
        let waits = |session: &Session| session.will.is_some_and(|will| will.delay > 0);
        if let Some(session) = self.sessions.get_mut(id)
            && waits(session)
        {
            session.will = None;
        }
        self.publish_will(id);
    }

    fn remove(&mut self, id: &str) {
        self.publish_will(id);
        if let Some(session) = self.sessions.remove(id) {
            self.news.push(News::Ended(id.to_owned(), session));
        }
    }

    fn publish_will(&mut self, id: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.will_at = Time::NEVER;
        if let Some(will) = session.will.take() {
            self.wills[session.shard] += 1;
            let (note, epoch, shard) = (will.note, session.epoch, session.shard);
            self.news.push(News::Will { note, epoch, shard });
        }
    }
}
