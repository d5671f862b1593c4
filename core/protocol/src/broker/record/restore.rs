//! Records back into sessions: as if the connection had been cut when they were written.

use super::super::arena::NONE;
use super::super::index::Subscription;
use super::super::links::Copy;
use super::super::out::Out;
use super::super::session::{Kept, Parcel};
use super::super::shard::Shard;
use super::super::will::StoredWill;
use super::SessionRecord;
use super::session::{CopyRecord, SubscriptionRecord, WillRecord};
use crate::codec::QoS;
use crate::session::dedupe::Received;
use crate::time::Clock;
use crate::topic::{SharedFilter, TopicFilter};

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
    pub fn restore(&mut self, record: SessionRecord, clock: Clock, out: &mut Out) -> Restored {
        if let Some(slot) = self.find_session(&record.client_id) {
            let session = &mut self.links.sessions[slot];
            let rev = session.kept.as_ref().map(|kept| kept.rev);
            if rev >= Some(record.rev) {
                return Restored::NotNewer;
            }
            if session.conn != NONE {
                return Restored::Connected;
            }
            // It gives way to its own newer self: this is not its end.
            session.will = None;
            self.remove_session(slot, false, clock.now(), out);
        } else if self.links.sessions.len() >= self.links.limits.sessions {
            return Restored::Full;
        }
        let slot = self.new_session(record.client_id);
        let session = &mut self.links.sessions[slot];
        session.origin = record.origin;
        session.expiry = record.expiry;
        session.ends_at = clock.time(record.ends_at);
        session.kept = Some(Box::new(Kept {
            rev: record.rev,
            unknown: record.unknown,
        }));
        if let Some(will) = record.will {
            session.will_at = clock.time(Some(will.due));
            session.will = Some(Box::new(stored(will)));
        }
        for id in record.received {
            let again = session.received.publish(id, u16::MAX);
            debug_assert_eq!(again, Received::First);
        }
        for one in record.in_flight {
            let (id, phase) = (one.packet_id, one.phase());
            let taken = session.window.restore(id, phase, Parcel::from(one.copy));
            debug_assert!(taken, "records name each Packet Identifier once");
        }
        session.window.skip_to(record.last_packet_id);
        for subscription in &record.subscriptions {
            self.resubscribe(slot, subscription, out);
        }
        for copy in record.queue {
            self.links.stats.restored += 1;
            self.links
                .put_into_queue(slot, Parcel::from(Some(copy)), clock.now());
        }
        self.links.rest(slot);
        self.arm_session(slot);
        Restored::Taken
    }

    fn resubscribe(&mut self, slot: u32, record: &SubscriptionRecord, out: &mut Out) {
        let filter = TopicFilter::assume(&record.filter);
        if let Ok(Some(shared)) = SharedFilter::parse(filter) {
            let (options, identifier) = (record.options, record.identifier);
            // Over the limit of today it is left out, like any subscription that is refused.
            let _ = self.share(slot, shared, options, identifier, out);
            return;
        }
        let inserted = self.index.insert(
            filter,
            Subscription {
                session: slot,
                group: None,
                identifier: record.identifier,
                options: record.options,
            },
        );
        let filter = inserted.filter;
        let session = &mut self.links.sessions[slot];
        let Err(place) = session.filters.binary_search(&filter) else {
            return;
        };
        session.filters.insert(place, filter);
        self.links.stats.subscriptions += 1;
        if let Some(cursor) = record.replay.as_deref() {
            let (qos, no_local) = (record.options.qos, record.options.no_local);
            let identifier = record.identifier;
            self.add_replay_from(cursor.into(), slot, filter, identifier, qos, no_local);
        }
    }
}

fn stored(will: WillRecord) -> StoredWill {
    StoredWill {
        topic: will.topic,
        payload: will.payload,
        properties: will.properties,
        qos: will.qos,
        retain: will.retain,
        delay: will.delay,
    }
}

impl From<Option<CopyRecord>> for Parcel {
    fn from(copy: Option<CopyRecord>) -> Self {
        match copy {
            Some(copy) => {
                let CopyRecord {
                    message,
                    qos,
                    retain,
                    ids,
                } = copy;
                let copy = Copy {
                    session: NONE,
                    qos,
                    retain,
                    ids: &ids,
                    // From now on it is the session's own.
                    share: 0,
                };
                Self::new(message, &copy)
            }
            None => Self::released(QoS::ExactlyOnce),
        }
    }
}
