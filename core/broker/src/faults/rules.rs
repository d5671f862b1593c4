//! The faults of a broker, which all its connections ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ternmq_protocol::codec::PacketType;
use ternmq_protocol::{ReasonCode, Time};

use super::{Fault, FaultError, FaultId, Harm, MAX_FAULTS, Way};
use crate::advance::SteadyClock;

/// What happens to connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    Cut,
    Vanish,
}

/// The faults, and whom to tell when one happens.
pub(crate) struct Faults {
    /// Those that may still happen: while it is 0 nobody takes the lock.
    active: AtomicUsize,
    rules: Mutex<Rules>,
    happened: Condvar,
    clock: Arc<SteadyClock>,
}

#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    last: u64,
}

struct Rule {
    id: FaultId,
    fault: Fault,
    hits: u64,
}

/// A packet, as far as faults look at it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) client_id: Option<&'a str>,
    pub(super) way: Way,
    pub(super) packet: PacketType,
}

impl Faults {
    pub(crate) fn new(clock: Arc<SteadyClock>) -> Self {
        Self {
            active: AtomicUsize::new(0),
            rules: Mutex::default(),
            happened: Condvar::new(),
            clock,
        }
    }

    /// Now, by the broker's clock.
    pub(super) fn now(&self) -> Time {
        self.clock.time(Instant::now(), self.clock.ahead())
    }

    /// Whether any of them may happen.
    pub(super) fn are_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }

    pub(super) fn inject(&self, fault: Fault) -> Result<FaultId, FaultError> {
        let mut rules = self.lock();
        if rules.rules.len() >= MAX_FAULTS {
            return Err(FaultError::Full);
        }
        rules.last += 1;
        let id = FaultId(rules.last);
        let hits = 0;
        rules.rules.push(Rule { id, fault, hits });
        self.count(&rules);
        Ok(id)
    }

    pub(super) fn lift(&self, id: FaultId) -> bool {
        let mut rules = self.lock();
        let before = rules.rules.len();
        rules.rules.retain(|rule| rule.id != id);
        self.count(&rules);
        self.happened.notify_all();
        rules.rules.len() < before
    }

    pub(crate) fn lift_all(&self) {
        let mut rules = self.lock();
        rules.rules.clear();
        self.count(&rules);
        self.happened.notify_all();
    }

    pub(super) fn hits(&self, id: FaultId) -> Option<u64> {
        self.lock().get(id).map(|rule| rule.hits)
    }

    pub(super) fn wait(&self, id: FaultId, hits: u64, timeout: Duration) -> bool {
        let waits = |rules: &mut Rules| rules.get(id).is_some_and(|rule| rule.hits < hits);
        let waited = self
            .happened
            .wait_timeout_while(self.lock(), timeout, waits);
        let (rules, _) = waited.unwrap_or_else(PoisonError::into_inner);
        rules.get(id).is_some_and(|rule| rule.hits >= hits)
    }

    /// What is to happen to a packet, and because of which fault.
    pub(super) fn judge(&self, seen: Seen<'_>) -> Option<(FaultId, Harm)> {
        self.happen(|rule| !matches!(rule.fault.harm, Harm::Refuse(_)) && rule.fault.means(seen))
    }

    /// Why a client is not to be let in, if it isn't.
    pub(crate) fn refusal(&self, client_id: &str) -> Option<ReasonCode> {
        let harm = self.happen(|rule| {
            matches!(rule.fault.harm, Harm::Refuse(_)) && rule.fault.is_for(Some(client_id))
        });
        match harm {
            Some((_, Harm::Refuse(reason))) => Some(reason),
            _ => None,
        }
    }

    fn happen(&self, meant: impl Fn(&Rule) -> bool) -> Option<(FaultId, Harm)> {
        if !self.are_active() {
            return None;
        }
        let mut rules = self.lock();
        let mut harm = None;
        for rule in rules.rules.iter_mut().filter(|rule| meant(rule)) {
            let fault = &mut rule.fault;
            if fault.after > 0 {
                fault.after -= 1;
            } else if harm.is_none() && fault.times != Some(0) {
                fault.times = fault.times.map(|times| times - 1);
                rule.hits += 1;
                harm = Some((rule.id, fault.harm));
            }
        }
        if harm.is_some() {
            self.count(&rules);
            self.happened.notify_all();
        }
        harm
    }

    fn count(&self, rules: &Rules) {
        let active = rules.rules.iter();
        let active = active.filter(|rule| rule.fault.times != Some(0));
        self.active.store(active.count(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Rules {
    fn get(&self, id: FaultId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

impl Fault {
    fn means(&self, seen: Seen<'_>) -> bool {
        self.is_for(seen.client_id)
            && self.way.is_none_or(|way| way == seen.way)
            && self.packets.contain(seen.packet)
    }

    fn is_for(&self, client_id: Option<&str>) -> bool {
        self.client_id.is_none() || self.client_id.as_deref() == client_id
    }
}
