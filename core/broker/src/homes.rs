//! Where the groups of shared subscriptions are at home. Touched when a member joins, leaves, comes or
//! goes, never for a message that one of them gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::Letter;

/// The home of each group that has members.
#[derive(Default)]
pub(crate) struct Homes(Mutex<HashMap<Arc<str>, Home>>);

/// Stays until the shard says that nobody is left and nobody is on the way, so that a group has one
/// home at a time.
struct Home {
    shard: usize,
    /// Members that have joined by a letter that has been sent, and have not left by one.
    members: i64,
}

impl Homes {
    /// The shard that a letter to a group's home goes to; the first one that sends a member there is
    /// its home. A group that nobody knows is looked after by the one that asks.
    pub(crate) fn find(&self, group: &Arc<str>, letter: &Letter, asks: usize) -> usize {
        let members = i64::from(letter.members());
        let mut homes = self.lock();
        match homes.get_mut(group) {
            Some(home) => {
                home.members += members;
                home.shard
            }
            None => {
                if members > 0 {
                    let home = Home {
                        shard: asks,
                        members,
                    };
                    homes.insert(group.clone(), home);
                }
                asks
            }
        }
    }

    /// A home has lost its last member.
    pub(crate) fn gone(&self, group: &str) {
        let mut homes = self.lock();
        if homes.get(group).is_some_and(|home| home.members <= 0) {
            homes.remove(group);
        }
    }

    /// Groups that have a home.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Home>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
