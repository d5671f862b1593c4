//! The sessions of a shard as records, a page at a time.

use super::super::arena::NONE;
use super::super::exclusive::EXCLUSIVE_PREFIX;
use super::super::reading::Done;
use super::super::session::{NEVER_EXPIRES, Parcel, Session};
use super::super::shard::Shard;
use super::super::will::StoredWill;
use super::session::{CopyRecord, InFlightRecord, SubscriptionRecord, WillRecord};
use super::{Rev, SessionRecord};
use crate::codec::QoS;
use crate::session::window::Phase;
use crate::time::{Clock, Time, UnixMs};
use hashbrown::HashMap;

/// Slots looked at for one unit of work, most of which may be empty or of sessions that are not kept.
const SLOTS_PER_UNIT: usize = 16;

impl Shard {
    /// Appends the records of sessions from slot `from` on, 0 at first, and tells where to go on; `None`
    /// at the end.
    ///
    /// Ends when there are `max` of sessions, their subscriptions and their messages together, so that
    /// a call takes about as long whatever the sessions hold; a session is never cut in two. A session
    /// that is there from the first call to the last is in one of them.
    ///
    /// A client that is there is written as if its connection had been cut at the clock's now. A
    /// session that is to end with its connection is written only if that would publish its will:
    /// restored, it ends at once. Each record has a revision of its own.
    pub fn export(
        &mut self,
        from: u32,
        max: usize,
        clock: Clock,
        records: &mut Vec<SessionRecord>,
    ) -> Option<u32> {
        let slots = max.saturating_mul(SLOTS_PER_UNIT).max(1);
        let mut work = 0;
        for slot in from..self.links.sessions.end() {
            if work >= max.max(1) || (slot - from) as usize >= slots {
                return Some(slot);
            }
            let Some(session) = self.links.sessions.get_mut(slot) else {
                continue;
            };
            if session.expiry > 0 || session.will.is_some() {
                let kept = session.kept.get_or_insert_default();
                kept.rev = Rev(kept.rev.0 + 1);
                let record = self.record(slot, clock);
                work += 1 + record.subscriptions.len() + record.messages().count();
                records.push(record);
            }
        }
        None
    }

    fn record(&self, slot: u32, clock: Clock) -> SessionRecord {
        let session = &self.links.sessions[slot];
        let (ends_at, will_at) = deadlines(session, clock.now());
        let (subscriptions, places) = self.subscription_records(slot, session);
        let mut record = self.begin_record(session, &places);
        record.ends_at = clock.utc(ends_at);
        record.subscriptions = subscriptions;
        record.will = session.will.as_deref().map(|will| {
            let due = clock.utc(will_at).unwrap_or(UnixMs(u64::MAX));
            will_record(will, due)
        });
        record.queue = self.queue_records(session, &places, |_| true);
        record
    }

    /// The record of a session for a store that has its subscriptions and the log: of its subscriptions
    /// those of which retained messages are still due, of its queue what is not in the log.
    pub(in super::super) fn stored_record(&self, slot: u32, clock: Clock) -> SessionRecord {
        let session = &self.links.sessions[slot];
        // Copies that came by a group name it: there are no places among subscriptions.
        let places = HashMap::new();
        let mut record = self.begin_record(session, &places);
        record.connected = session.conn != NONE;
        if !record.connected {
            record.ends_at = clock.utc(session.ends_at);
        }
        record.will = session.will.as_deref().map(|will| {
            let due = clock.utc(session.will_at()).unwrap_or(UnixMs(u64::MAX));
            will_record(will, due)
        });
        if session.replays.is_some() {
            let (mut all, _) = self.subscription_records(slot, session);
            all.retain(|subscription| subscription.replay.is_some());
            record.subscriptions = all;
        }
        let whole = session.kept.as_ref().is_some_and(|kept| kept.jumbled);
        record.queue = self.queue_records(session, &places, |parcel| match parcel.log_seq() {
            0 => Done::of(parcel).is_none(),
            _ => whole,
        });
        record
    }

    /// What is the same in all records of a session.
    fn begin_record(&self, session: &Session, places: &HashMap<u16, u16>) -> SessionRecord {
        let mut record = SessionRecord::new(&session.client_id, self.owner, Rev(0));
        record.home = self.number;
        record.expiry = session.expiry;
        let window = session.window.in_order();
        record.in_flight = window
            .map(|(packet_id, phase, parcel)| InFlightRecord {
                packet_id,
                copy: copy(parcel, session, places).filter(|_| phase != Phase::AwaitPubcomp),
            })
            .collect();
        record.received = session.received.iter().collect();
        record.received.sort_unstable();
        record.last_packet_id = session.window.last_id();
        if let Some(kept) = session.kept.as_deref() {
            (record.rev, record.unknown) = (kept.rev, kept.unknown.clone());
            if kept.durable {
                record.cursor = session.cursor(kept, self.links.journal.seen);
            }
        }
        record
    }

    fn queue_records(
        &self,
        session: &Session,
        places: &HashMap<u16, u16>,
        kept: impl Fn(&Parcel) -> bool,
    ) -> Vec<CopyRecord> {
        let keeps_qos0 = self.links.limits.queue_qos0_offline;
        let queued = session.queue.iter();
        queued
            .filter(|parcel| keeps_qos0 || parcel.qos != QoS::AtMostOnce)
            .filter(|parcel| kept(parcel))
            .filter_map(|parcel| copy(parcel, session, places))
            .collect()
    }

    /// The subscriptions of a session as a store that has the log keeps them.
    pub(in super::super) fn subscriptions_of(&self, slot: u32) -> Vec<SubscriptionRecord> {
        let session = &self.links.sessions[slot];
        self.subscription_records(slot, session).0
    }

    /// The subscriptions, the shared ones last, and which of them are the memberships by their places.
    fn subscription_records(
        &self,
        slot: u32,
        session: &Session,
    ) -> (Vec<SubscriptionRecord>, HashMap<u16, u16>) {
        let mut all = Vec::with_capacity(session.subscriptions());
        let sinces = session.kept.as_deref().map(|kept| &kept.sinces);
        let since = |filter| {
            sinces
                .and_then(|all| all.get(&filter))
                .copied()
                .unwrap_or(0)
        };
        for filter in &session.filters {
            let Some(subscription) = self.index.subscription(*filter, slot, None) else {
                continue;
            };
            let place = session.replays.as_deref().and_then(|r| r.place(*filter));
            let text = self.index.text(*filter);
            let exclusive = session.exclusive.as_deref();
            all.push(SubscriptionRecord {
                filter: match exclusive.is_some_and(|kept| kept.contains(text)) {
                    true => format!("{EXCLUSIVE_PREFIX}{text}").into(),
                    false => text.into(),
                },
                options: subscription.options,
                identifier: subscription.identifier,
                replay: place.map(|(cursor, _)| cursor.as_str().into()),
                replay_until: place.and_then(|(_, until)| until),
                since: since(*filter),
            });
        }
        let mut places = HashMap::new();
        for (place, membership) in session.memberships.iter().flat_map(|all| all.iter()) {
            // Beyond 65,535 subscriptions such copies are their session's own.
            if let Ok(number) = u16::try_from(all.len()) {
                places.insert(place, number);
            }
            all.push(SubscriptionRecord {
                filter: format!("$share/{}", membership.group).into(),
                options: membership.options,
                identifier: membership.identifier,
                replay: None,
                replay_until: None,
                since: 0,
            });
        }
        (all, places)
    }
}

/// When the session ends and when its will is due, if its connection is cut now at the latest.
fn deadlines(session: &Session, now: Time) -> (Time, Time) {
    if session.conn == NONE {
        return (session.ends_at, session.will_at());
    }
    let ends_at = match session.expiry {
        NEVER_EXPIRES => Time::NEVER,
        seconds => now.after_seconds(seconds.into()),
    };
    let delay = session.will.as_ref().map_or(0, |will| will.delay);
    (ends_at, now.after_seconds(delay.into()))
}

fn will_record(will: &StoredWill, due: UnixMs) -> WillRecord {
    WillRecord {
        topic: will.topic.clone(),
        payload: will.payload.clone(),
        properties: will.properties.clone(),
        qos: will.qos,
        retain: will.retain,
        delay: will.delay,
        due,
    }
}

/// `None` once only PUBREL is owed.
fn copy(parcel: &Parcel, session: &Session, places: &HashMap<u16, u16>) -> Option<CopyRecord> {
    let place = parcel.share.wrapping_sub(1);
    let memberships = session.memberships.as_deref();
    let message = parcel.message.clone()?;
    // Of a message that is in the log, but which the session has by another way, that is no place to find
    // it: the log keeps it only for those it is there for.
    let elsewhere = message.log_seq() != 0 && parcel.log_seq() == 0 && Done::of(parcel).is_none();
    Some(CopyRecord {
        message: match elsewhere {
            true => message.arriving(Time(0)),
            false => message,
        },
        qos: parcel.qos,
        retain: parcel.retain(),
        ids: parcel.subscription_ids().into(),
        shared: places.get(&place).copied(),
        left: memberships.and_then(|all| match places.contains_key(&place) {
            true => None,
            false => Some((&**all.group(place)?).into()),
        }),
    })
}
