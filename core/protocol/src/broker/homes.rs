//! Where the groups of shared subscriptions are at home: one table for all shards of a broker. Touched
//! when a member joins, leaves, comes or goes, never for a message that one of them gets.

use super::share::Letter;
use hashbrown::HashMap;
use std::sync::Arc;

/// The home of each group that has members, or letters under way about who is one.
///
/// A group has one home at a time, or two members could get one message. So it is not enough for a home
/// to be forgotten that nobody is left there: somebody may have joined and left again by letters that
/// it has not seen, and for whom it opens the group once more. A home stays until it has said
/// ([`Out::groups_gone`](super::Out::groups_gone)) that it has handled every letter it was sent.
#[derive(Debug, Default)]
pub struct Homes(HashMap<Arc<str>, Home>);

#[derive(Debug)]
struct Home {
    shard: usize,
    /// Letters that make a member or end one, sent there and not told of as handled.
    letters: u64,
}

/// A group that nobody is in any more, as far as its home knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupGone {
    /// `SHARE_NAME/FILTER`.
    pub group: Arc<str>,
    /// Letters that made a member or ended one, handled since this was last said of the group.
    pub letters: u64,
}

impl Homes {
    /// The shard that a letter to a group's home goes to, which must then be sent there: the one that
    /// `asks`, if nobody knows the group.
    pub fn find(&mut self, group: &Arc<str>, letter: &Letter, asks: usize) -> usize {
        let counts = letter.members() != 0;
        match self.0.get_mut(group) {
            Some(home) => {
                home.letters += u64::from(counts);
                home.shard
            }
            None => {
                if counts {
                    let home = Home {
                        shard: asks,
                        letters: 1,
                    };
                    self.0.insert(group.clone(), home);
                }
                asks
            }
        }
    }

    /// The shard that a group is at home on, if it has members.
    #[must_use]
    pub fn home_of(&self, group: &str) -> Option<usize> {
        self.0.get(group).map(|home| home.shard)
    }

    /// A home has lost its last member.
    pub fn gone(&mut self, gone: &GroupGone) {
        let GroupGone { group, letters } = gone;
        if let Some(home) = self.0.get_mut(group) {
            home.letters = home.letters.saturating_sub(*letters);
            if home.letters == 0 {
                self.0.remove(group);
            }
        }
    }

    /// Groups that have a home.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Groups at home on a shard, or about to be. Walks over all of them.
    #[must_use]
    pub fn on(&self, shard: usize) -> usize {
        self.0.values().filter(|home| home.shard == shard).count()
    }
}
