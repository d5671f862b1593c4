//! What clients that are gone have used of their rates: a reconnection is no way to a new burst.

use super::meter::{Meter, Used};
use super::out::ListenerId;
use super::stats::Stats;
use crate::message::Origin;
use crate::time::Time;
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// A client at a listener.
type Who = (u64, ListenerId);

/// Clients without a connection whose buckets are not full again.
#[derive(Debug, Default)]
pub(super) struct Debts {
    used: HashMap<Who, (Time, Used)>,
    /// The same by the time at which all is paid for, and nothing is worth remembering.
    ends: BTreeSet<(Time, Who)>,
}

impl Debts {
    /// A connection is over. Beyond `most`, those are forgotten that are paid for first.
    pub(super) fn keep(
        &mut self,
        (origin, listener): (Origin, ListenerId),
        meter: &Meter,
        now: Time,
        most: usize,
        stats: &mut Stats,
    ) {
        let (end, used) = (meter.paid_at(), meter.used());
        self.forget_paid(now);
        if end <= now {
            return;
        }
        let who = (origin.0, listener);
        if let Some((before, _)) = self.used.insert(who, (end, used)) {
            self.ends.remove(&(before, who));
        }
        self.ends.insert((end, who));
        while self.used.len() > most
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.used.remove(&first);
            stats.rate_debts_forgotten += 1;
        }
    }

    /// What a client that is back has used, if anything.
    pub(super) fn take(&mut self, origin: Origin, listener: ListenerId) -> Option<Used> {
        let who = (origin.0, listener);
        let (end, used) = self.used.remove(&who)?;
        self.ends.remove(&(end, who));
        Some(used)
    }

    fn forget_paid(&mut self, now: Time) {
        while let Some((end, who)) = self.ends.first().copied()
            && end <= now
        {
            self.ends.remove(&(end, who));
            self.used.remove(&who);
        }
    }
}
