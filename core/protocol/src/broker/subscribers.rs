//! The subscribers of one topic filter: a slice to walk, with a quick way to each one.

use crate::codec::subscribe::SubscriptionOptions;
use hashbrown::HashTable;
use std::num::NonZeroU32;

/// Subscribers from which on a table of places is kept. Below, a walk is as quick and needs nothing.
const PLACES_FROM: usize = 32;

/// One subscription as a delivery needs it: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The subscriber, a number of the caller's choice.
    pub session: u32,
    /// The shared subscription's group, if it is one (4.8.2), a number of the caller's choice.
    ///
    /// A session may have the same filter alone and in groups; these are distinct subscriptions.
    /// A caller who keeps the members of a group elsewhere enters the group once, with any session.
    pub group: Option<NonZeroU32>,
    /// Subscription Identifier (3.8.2.1.2).
    pub identifier: Option<NonZeroU32>,
    /// Maximum QoS, No Local, Retain As Published, Retain Handling.
    pub options: SubscriptionOptions,
}

impl Subscription {
    /// What tells the subscriptions to one filter apart.
    fn key(&self) -> (u32, Option<NonZeroU32>) {
        (self.session, self.group)
    }
}

/// The subscriptions to one filter, in no order.
#[derive(Clone, Debug, Default)]
pub(super) enum Subscribers {
    #[default]
    None,
    /// The usual case, without an allocation.
    One(Subscription),
    Many(Box<Many>),
}

#[derive(Clone, Debug)]
pub(super) struct Many {
    list: Vec<Subscription>,
    /// Places in `list` by session and group, empty in short lists. Makes removal constant where a
    /// hundred thousand sessions leave the same filter one by one.
    places: HashTable<u32>,
}

impl Subscribers {
    pub(super) fn as_slice(&self) -> &[Subscription] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(many) => &many.list,
        }
    }

    /// Adds a subscription, or replaces the one of the same session and group and gives it back.
    pub(super) fn insert(&mut self, new: Subscription) -> Option<Subscription> {
        match self {
            Self::None => *self = Self::One(new),
            Self::One(old) if old.key() == new.key() => return Some(std::mem::replace(old, new)),
            Self::One(old) => {
                let list = vec![*old, new];
                *self = Self::Many(Box::new(Many {
                    list,
                    places: HashTable::new(),
                }));
            }
            Self::Many(many) => return many.insert(new),
        }
        None
    }

    pub(super) fn remove(
        &mut self,
        session: u32,
        group: Option<NonZeroU32>,
    ) -> Option<Subscription> {
        match self {
            Self::One(only) if only.key() == (session, group) => {
                let removed = *only;
                *self = Self::None;
                Some(removed)
            }
            Self::Many(many) => {
                let removed = many.remove((session, group))?;
                if let [only] = many.list[..] {
                    *self = Self::One(only);
                }
                Some(removed)
            }
            _ => None,
        }
    }

    pub(super) fn get(&self, session: u32, group: Option<NonZeroU32>) -> Option<&Subscription> {
        match self {
            Self::One(only) if only.key() == (session, group) => Some(only),
            Self::Many(many) => many.place((session, group)).map(|place| &many.list[place]),
            _ => None,
        }
    }
}

impl Many {
    fn place(&self, key: (u32, Option<NonZeroU32>)) -> Option<usize> {
        if self.places.is_empty() {
            return self.list.iter().position(|one| one.key() == key);
        }
        let same = |place: &u32| self.list[*place as usize].key() == key;
        self.places
            .find(hash(key), same)
            .map(|place| *place as usize)
    }

    fn insert(&mut self, new: Subscription) -> Option<Subscription> {
        if let Some(place) = self.place(new.key()) {
            return Some(std::mem::replace(&mut self.list[place], new));
        }
        self.list.push(new);
        if self.list.len() > PLACES_FROM || !self.places.is_empty() {
            let from = if self.places.is_empty() {
                0
            } else {
                self.list.len() - 1
            };
            for place in from..self.list.len() {
                let list = &self.list;
                let rehash = |place: &u32| hash(list[*place as usize].key());
                self.places
                    .insert_unique(hash(list[place].key()), place as u32, rehash);
            }
        }
        None
    }

    fn remove(&mut self, key: (u32, Option<NonZeroU32>)) -> Option<Subscription> {
        let place = self.place(key)?;
        let last = self.list.len() - 1;
        if last < PLACES_FROM / 2 {
            self.places = HashTable::new();
        }
        if !self.places.is_empty() {
            let moved = self.list[last].key();
            self.forget(key, place);
            if place != last {
                self.forget(moved, last);
                let list = &self.list;
                let rehash = |place: &u32| hash(list[*place as usize].key());
                self.places.insert_unique(hash(moved), place as u32, rehash);
            }
        }
        let removed = self.list.swap_remove(place);
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            let list = &self.list;
            self.places
                .shrink_to(list.len() * 2, |place| hash(list[*place as usize].key()));
        }
        Some(removed)
    }

    fn forget(&mut self, key: (u32, Option<NonZeroU32>), place: usize) {
        if let Ok(found) = self
            .places
            .find_entry(hash(key), |at| *at as usize == place)
        {
            found.remove();
        }
    }
}

/// Sessions and groups are slots of the caller's own numbering, so nobody outside can aim at this.
fn hash((session, group): (u32, Option<NonZeroU32>)) -> u64 {
    let both = u64::from(group.map_or(0, NonZeroU32::get)) << 32 | u64::from(session);
    let mixed = both.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_through_all_sizes() {
        for seed in 0..10 {
            let (mut some, mut model, mut seeded) =
                (Subscribers::default(), BTreeMap::new(), Seeded::new(seed));
            for step in 0..6_000u32 {
                // Grows for a while, then shrinks, several times.
                let growing = step / 1_000 % 2 == 0;
                let new = Subscription {
                    session: seeded.below(15 * (1 + seed as usize)) as u32,
                    group: NonZeroU32::new(seeded.below(3) as u32),
                    identifier: NonZeroU32::new(step),
                    options: SubscriptionOptions::default(),
                };
                assert_eq!(some.get(new.session, new.group), model.get(&new.key()));
                if growing != seeded.one_in(5) {
                    assert_eq!(some.insert(new), model.insert(new.key(), new));
                } else {
                    assert_eq!(
                        some.remove(new.session, new.group),
                        model.remove(&new.key())
                    );
                }
                assert_eq!(some.as_slice().len(), model.len());
            }
            let mut all = some.as_slice().to_vec();
            all.sort_unstable_by_key(Subscription::key);
            assert!(all.iter().eq(model.values()));
        }
    }

    #[test]
    fn one_subscriber_costs_no_allocation() {
        assert_eq!(
            (size_of::<Subscription>(), size_of::<Subscribers>()),
            (16, 16)
        );
    }
}
