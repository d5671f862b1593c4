//! Records back into sessions: as if the connection had been cut when they were written.

use super::super::arena::NONE;
use super::super::index::{Subscription, filter_weight};
use super::super::links::Copy;
use super::super::out::Out;
use super::super::session::{Kept, NEVER_EXPIRES, Parcel};
use super::super::shard::Shard;
use super::super::will::StoredWill;
use super::SessionRecord;
use super::session::{CopyRecord, InFlightRecord, SubscriptionRecord, WillRecord};
use crate::codec::QoS;
use crate::session::dedupe::Received;
use crate::time::{Clock, Time};
use crate::topic::{SharedFilter, TopicFilter};
use crate::weight::Weight;

/// What [`Shard::restore`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The session is there as the record says.
    Taken,
    /// It was there with this revision or a newer one: nothing has changed.
    NotNewer,
    /// It has a connection: nothing has changed. Who holds the client decides, not the store.
    Connected,
    /// There are as many sessions as the limit allows: nothing has changed.
    Full,
}

impl Shard {
    /// Takes a session back. Its subscriptions route from now on; its deadlines are kept, and those
    /// that have passed are due with the next [`handle_timeout`](Self::handle_timeout), in their
    /// order. When the client comes back it finds its session present: what was in flight is sent
    /// again with DUP and the same Packet Identifiers, owed PUBRELs too, then what is queued.
    ///
    /// A record replaces only a session of a lower revision. What the limits of today don't allow of
    /// its queue is dropped and counted as always.
    pub fn restore(&mut self, mut record: SessionRecord, clock: Clock, out: &mut Out) -> Restored {
        if let Some(slot) = self.find_session(&record.client_id) {
            let session = &mut self.links.sessions[slot];
            let rev = session.kept.as_ref().map(|kept| kept.rev);
            if rev >= Some(record.rev) {
                return Restored::NotNewer;
            }
            if session.conn != NONE {
                return Restored::Connected;
            }
            self.give_way(slot, clock.now(), out);
        } else if self.links.sessions.len() >= self.links.limits.sessions {
            return Restored::Full;
        }
        let slot = self.begin_again(&mut record, clock);
        if record.connected {
            self.settle_deadlines(slot, clock.now());
        }
        // Before the copies, which name the memberships that they came by.
        let shares: Vec<u16> = record
            .subscriptions
            .iter()
            .map(|subscription| self.resubscribe(slot, subscription, out))
            .collect();
        self.refill_window(slot, record.in_flight, &shares);
        let session = &mut self.links.sessions[slot];
        session.window.skip_to(record.last_packet_id);
        for copy in record.queue {
            self.links.stats.restored += 1;
            let parcel = parcel(Some(copy), &shares);
            if let Some(kept) = self.links.sessions[slot].log() {
                kept.jumbled |= parcel.log_seq() != 0;
            }
            self.links.put_into_queue(slot, parcel, clock.now(), out);
        }
        self.links.rest(slot);
        self.arm_session(slot);
        Restored::Taken
    }

    /// A session gives way to its own newer self: this is not its end.
    fn give_way(&mut self, slot: u32, now: Time, out: &mut Out) {
        self.remove_untold(slot, false, now, out);
    }

    /// The deadlines of who was there count from now on. They are written, or they would count from the next
    /// start again, and never come if that is always sooner.
    fn settle_deadlines(&mut self, slot: u32, now: Time) {
        let session = &self.links.sessions[slot];
        if session.will.is_some() || session.expiry != NEVER_EXPIRES {
            self.links.touch_lazily(slot, now);
        }
    }

    /// The session of a record without subscriptions and copies. Behind what the log has, for its record tells
    /// how far it was.
    fn begin_again(&mut self, record: &mut SessionRecord, clock: Clock) -> u32 {
        let slot = self.new_session(std::mem::take(&mut record.client_id));
        let session = &mut self.links.sessions[slot];
        session.expiry = record.expiry;
        session.ends_at = match (record.connected, record.expiry) {
            (false, _) => clock.time(record.ends_at),
            (true, NEVER_EXPIRES) => Time::NEVER,
            (true, seconds) => clock.now().after_seconds(seconds.into()),
        };
        session.kept = Some(Box::new(Kept {
            rev: record.rev,
            unknown: std::mem::take(&mut record.unknown),
            durable: self.links.journal.on,
            behind: true,
            reached: record.cursor,
            uncounted: self.links.journal.seen,
            ..Kept::default()
        }));
        for id in record.received.drain(..) {
            let again = session.received.publish(id, u16::MAX);
            debug_assert_eq!(again, Received::First);
        }
        if let Some(will) = record.will.take() {
            let due = match record.connected {
                true => clock.now().after_seconds(will.delay.into()),
                false => clock.time(Some(will.due)),
            };
            self.links.set_will(slot, Some(Box::new(stored(will, due))));
        }
        slot
    }

    fn refill_window(&mut self, slot: u32, in_flight: Vec<InFlightRecord>, shares: &[u16]) {
        let session = &mut self.links.sessions[slot];
        for one in in_flight {
            let (id, phase) = (one.packet_id, one.phase());
            let group = one.copy.as_ref().and_then(|copy| copy.left.as_deref());
            let left = group.map_or(0, |group| {
                let memberships = session.memberships.get_or_insert_default();
                memberships.name_again(group)
            });
            let mut parcel = parcel(one.copy, shares);
            if parcel.share == 0 {
                parcel.share = left;
            }
            let weight = parcel.weight();
            if session.window.restore(id, phase, parcel) {
                session.launched(weight, &mut self.links.stats);
            } else {
                debug_assert!(false, "records name each Packet Identifier once");
            }
        }
    }

    /// Enters a subscription. Returns its membership's place plus 1, 0 if it is not a shared one or
    /// beyond the limit.
    fn resubscribe(&mut self, slot: u32, record: &SubscriptionRecord, out: &mut Out) -> u16 {
        let (options, identifier) = (record.options, record.identifier);
        let (filter, exclusive) = self.split_exclusive(&record.filter);
        if exclusive {
            self.claim_again(slot, filter, out);
        }
        let filter = TopicFilter::assume(filter);
        if let Ok(Some(shared)) = SharedFilter::parse(filter) {
            let joined = self.share(slot, shared, options, identifier, out);
            let memberships = &self.links.sessions[slot].memberships;
            let place = memberships.as_ref().and_then(|all| all.place(shared));
            return match (joined, place) {
                (Ok(()), Some(place)) => place + 1,
                _ => 0,
            };
        }
        let weight = filter_weight(filter);
        let inserted = self.index.insert(
            filter,
            Subscription {
                session: slot,
                group: None,
                identifier,
                options,
            },
        );
        let filter = inserted.filter;
        let session = &mut self.links.sessions[slot];
        if !session.filters.insert(filter) {
            return 0;
        }
        if let Some(kept) = session.log() {
            if record.since > kept.reached {
                kept.sinces.insert(filter, record.since);
            }
            if options.qos > QoS::AtMostOnce {
                let text = String::from(self.index.text(filter));
                self.hold_filter(&text, out);
            }
        }
        self.links.stats.subscriptions += 1;
        self.links.add_filter_bytes(slot, weight);
        if let Some(cursor) = record.replay.as_deref() {
            self.add_replay_again(cursor.into(), slot, (filter, record));
        }
        0
    }
}

fn stored(will: WillRecord, due: Time) -> StoredWill {
    StoredWill {
        topic: will.topic,
        payload: will.payload,
        properties: will.properties,
        qos: will.qos,
        retain: will.retain,
        delay: will.delay,
        due,
    }
}

fn parcel(copy: Option<CopyRecord>, shares: &[u16]) -> Parcel {
    let Some(copy) = copy else {
        return Parcel::released(QoS::ExactlyOnce);
    };
    let place = copy
        .shared
        .and_then(|number| shares.get(usize::from(number)));
    let made = Copy {
        session: NONE,
        qos: copy.qos,
        retain: copy.retain,
        ids: &copy.ids,
        share: place.copied().unwrap_or(0),
    };
    let logged = made.share == 0 && copy.left.is_none() && copy.message.log_seq() != 0;
    Parcel::new(copy.message, &made, false).of_log(logged)
}
