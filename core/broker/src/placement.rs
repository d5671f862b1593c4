//! Where sessions live: the directory of those that exist, and the policy for new ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::time::Time;

/// Which shard gets a session that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The first shard whose thread was busy less than `percent` of the last second; the least busy
    /// one when all were busier. At a low rate a message that crosses threads costs several times the
    /// CPU and the latency of one that doesn't, so shards are filled one after the other.
    PackUntilBusy {
        /// 0 to 100.
        percent: u8,
    },
    /// By a hash of the client identifier. Spreads evenly, and makes most messages cross threads.
    ByClientId,
}

impl Default for Placement {
    fn default() -> Self {
        Self::PackUntilBusy { percent: 60 }
    }
}

/// How busy the thread of a shard was in the last second that it measured.
#[derive(Default)]
pub(crate) struct Load(AtomicU64);

/// A measurement older than this says nothing: the thread has slept since.
const STALE_AFTER_MS: u64 = 2_000;

impl Load {
    /// `percent` at `now`.
    pub(crate) fn set(&self, percent: u64, now: Time) {
        self.0
            .store(now.0 << 7 | percent.min(100), Ordering::Relaxed);
    }

    pub(crate) fn percent(&self, now: Time) -> u64 {
        let value = self.0.load(Ordering::Relaxed);
        if now.since(Time(value >> 7)) > STALE_AFTER_MS {
            0
        } else {
            value & 0x7F
        }
    }
}

/// The directory: which shard holds the session of a client identifier. Touched when a client
/// connects and when a session ends, never for a message.
///
/// It keeps a hash instead of the identifier: two clients whose hashes are the same merely live
/// on the same shard.
pub(crate) struct Directory {
    placement: Placement,
    shards: usize,
    hasher: RandomState,
    entries: Mutex<HashMap<u64, Entry>>,
}

/// Stays while a session is there or on its way, so that a session that ends and a client that comes
/// back at the same moment can't end up on different shards.
struct Entry {
    shard: u32,
    sessions: u32,
    arriving: u32,
}

/// A client identifier in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Directory {
    pub(crate) fn new(placement: Placement, shards: usize) -> Self {
        Self {
            placement,
            shards,
            hasher: RandomState::new(),
            entries: Mutex::default(),
        }
    }

    /// The shard for a client that connects. [`Directory::arrived`] must follow on that shard.
    pub(crate) fn route(&self, client_id: &str, loads: &[Load], now: Time) -> (Key, usize) {
        let key = self.key(client_id);
        if self.shards == 1 {
            return (key, 0);
        }
        let mut entries = self.lock();
        let entry = entries.entry(key.0).or_insert_with(|| Entry {
            shard: self.place(key, loads, now) as u32,
            sessions: 0,
            arriving: 0,
        });
        entry.arriving += 1;
        (key, entry.shard as usize)
    }

    /// The client has been dealt with on its shard; `created` when its session is a new one.
    pub(crate) fn arrived(&self, key: Key, created: bool) {
        self.change(key, |entry| {
            entry.arriving = entry.arriving.saturating_sub(1);
            entry.sessions += u32::from(created);
        });
    }

    /// The shard for a session that comes back from a store, of which [`Directory::restored`] tells
    /// when it has. It was on shard `home` when it was saved: back there, as far as there is one, all
    /// shards are as busy as they were. Packing them would put every session on the first.
    pub(crate) fn place_restored(&self, client_id: &str, home: u16) -> usize {
        let key = self.key(client_id);
        match (self.lock().get(&key.0), self.placement) {
            (Some(entry), _) => entry.shard as usize,
            (None, Placement::ByClientId) => (key.0 % self.shards as u64) as usize,
            (None, Placement::PackUntilBusy { .. }) => usize::from(home) % self.shards,
        }
    }

    /// A session is back on `shard`.
    pub(crate) fn restored(&self, client_id: &str, shard: usize) {
        if self.shards > 1 {
            let mut entries = self.lock();
            let entry = entries.entry(self.key(client_id).0).or_insert(Entry {
                shard: shard as u32,
                sessions: 0,
                arriving: 0,
            });
            entry.sessions += 1;
        }
    }

    /// A session has ended on its shard.
    pub(crate) fn ended(&self, client_id: &str) {
        if self.shards > 1 {
            let key = self.key(client_id);
            self.change(key, |entry| {
                entry.sessions = entry.sessions.saturating_sub(1)
            });
        }
    }

    /// Entries now.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn change(&self, key: Key, change: impl FnOnce(&mut Entry)) {
        if self.shards == 1 {
            return;
        }
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&key.0) {
            change(entry);
            if entry.sessions == 0 && entry.arriving == 0 {
                entries.remove(&key.0);
            }
        }
    }

    fn place(&self, key: Key, loads: &[Load], now: Time) -> usize {
        match self.placement {
            Placement::ByClientId => (key.0 % self.shards as u64) as usize,
            Placement::PackUntilBusy { percent } => {
                let limit = u64::from(percent);
                let idle_enough = loads.iter().position(|load| load.percent(now) < limit);
                let least_busy = || (0..self.shards).min_by_key(|at| loads[*at].percent(now));
                idle_enough.or_else(least_busy).unwrap_or(0)
            }
        }
    }

    fn key(&self, client_id: &str) -> Key {
        Key(self.hasher.hash_one(client_id))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(percents: &[u64], at: Time) -> Vec<Load> {
        let loads: Vec<Load> = percents.iter().map(|_| Load::default()).collect();
        for (load, percent) in loads.iter().zip(percents) {
            load.set(*percent, at);
        }
        loads
    }

    fn pack() -> Directory {
        Directory::new(Placement::PackUntilBusy { percent: 60 }, 3)
    }

    #[test]
    fn shards_are_packed_until_they_are_busy() {
        let directory = pack();
        let at = Time(10_000);
        let route = |id, percents: &[u64], now| directory.route(id, &loads(percents, at), now).1;
        assert_eq!(route("a", &[59, 0, 0], at), 0);
        assert_eq!(route("b", &[60, 0, 0], at), 1);
        assert_eq!(route("c", &[99, 100, 98], at), 2);
        assert_eq!(route("d", &[99, 100, 98], at.after(5_000)), 0, "long ago");
    }

    #[test]
    fn a_session_is_found_where_it_is_until_it_ends() {
        let directory = pack();
        let (idle, busy) = (loads(&[0, 0, 0], Time(1)), loads(&[99, 99, 0], Time(1)));
        let (key, shard) = directory.route("a", &idle, Time(1));
        directory.arrived(key, true);
        assert_eq!((shard, directory.route("a", &busy, Time(1)).1), (0, 0));
        directory.ended("a");
        assert_eq!(directory.route("a", &busy, Time(1)).1, 0, "still arriving");
        directory.arrived(key, false);
        directory.arrived(key, false);
        assert_eq!(directory.route("a", &busy, Time(1)).1, 2);
    }

    #[test]
    fn nothing_is_left_of_sessions_that_ended() {
        let directory = Directory::new(Placement::ByClientId, 4);
        for n in 0..100 {
            let id = format!("client {n}");
            let (key, _) = directory.route(&id, &[], Time(0));
            directory.arrived(key, n % 2 == 0);
            if n % 2 == 0 {
                directory.ended(&id);
            }
        }
        assert_eq!(directory.len(), 0);
    }
}
