//! The subscribers of one topic filter: a slice to walk, with a quick way to each one.

use crate::codec::subscribe::SubscriptionOptions;
use hashbrown::HashTable;
use std::num::NonZeroU32;

/// Subscribers from which on a table of places is kept. Below, a walk is as quick and needs nothing.
const PLACES_FROM: usize = 32;

/// Stands for a place while two are swapped.
const SWAPPED: u32 = u32::MAX;

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
    /// First those that are awake.
    list: Vec<Subscription>,
    awake: usize,
    passed: Passed,
    /// Places in `list` by session and group, empty in short lists. Makes removal constant where a
    /// hundred thousand sessions leave the same filter one by one.
    places: HashTable<u32>,
}

/// Messages of the log that have come by for subscriptions that are asleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Subscribers {
    pub(super) fn as_slice(&self) -> &[Subscription] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(many) => &many.list,
        }
    }

    /// Those who are told of a message of the log.
    pub(super) fn awake(&self) -> &[Subscription] {
        match self {
            Self::Many(many) => &many.list[..many.awake],
            few => few.as_slice(),
        }
    }

    /// Counts a message for those who are not, and tells how many they are.
    pub(super) fn pass(&mut self, bytes: u64) -> usize {
        match self {
            Self::Many(many) if many.awake < many.list.len() => {
                many.passed.messages += 1;
                many.passed.bytes = many.passed.bytes.saturating_add(bytes);
                many.list.len() - many.awake
            }
            _ => 0,
        }
    }

    pub(super) fn passed(&self) -> Passed {
        match self {
            Self::Many(many) => many.passed,
            _ => Passed::default(),
        }
    }

    /// `None`, and nothing done, where there is no other.
    pub(super) fn put_to_sleep(&mut self, session: u32) -> Option<Passed> {
        let Self::Many(many) = self else {
            return None;
        };
        let place = many.place((session, None))?;
        if place < many.awake {
            many.awake -= 1;
            many.swap(place, many.awake);
        }
        Some(many.passed)
    }

    pub(super) fn wake(&mut self, session: u32) {
        if let Self::Many(many) = self
            && let Some(place) = many.place((session, None))
            && place >= many.awake
        {
            many.swap(place, many.awake);
            many.awake += 1;
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
                    awake: list.len(),
                    list,
                    passed: Passed::default(),
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
                match many.list[..] {
                    [] => *self = Self::None,
                    // One that is asleep needs the count.
                    [only] if many.awake == 1 => *self = Self::One(only),
                    _ => {}
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
        self.swap(self.awake, self.list.len() - 1);
        self.awake += 1;
        None
    }

    fn remove(&mut self, key: (u32, Option<NonZeroU32>)) -> Option<Subscription> {
        let mut place = self.place(key)?;
        if place < self.awake {
            // From the end of those, and then of all: the others stay behind them.
            self.awake -= 1;
            self.swap(place, self.awake);
            place = self.awake;
        }
        let last = self.list.len() - 1;
        self.swap(place, last);
        self.forget(key, last);
        if last < PLACES_FROM / 2 {
            self.places = HashTable::new();
        }
        let removed = self.list.pop()?;
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            let list = &self.list;
            self.places
                .shrink_to(list.len() * 2, |place| hash(list[*place as usize].key()));
        }
        Some(removed)
    }

    /// Swaps two places of the list.
    fn swap(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        if !self.places.is_empty() {
            let keys = [one, other].map(|place| self.list[place].key());
            let [first, second] = keys.map(hash);
            for (hash, from, to) in [
                (first, one, SWAPPED),
                (second, other, one as u32),
                (first, SWAPPED as usize, other as u32),
            ] {
                if let Some(place) = self.places.find_mut(hash, |at| *at as usize == from) {
                    *place = to;
                }
            }
        }
        self.list.swap(one, other);
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
    fn who_sleeps_is_kept_apart_whoever_comes_and_goes() {
        for seed in 0..10 {
            let mut some = Subscribers::default();
            let mut seeded = Seeded::new(seed);
            let mut model: BTreeMap<u32, bool> = BTreeMap::new();
            let mut passed = 0;
            for step in 0..4_000 {
                let session = seeded.below(10 + 10 * seed as usize) as u32;
                let new = Subscription {
                    session,
                    group: None,
                    identifier: None,
                    options: SubscriptionOptions::default(),
                };
                match seeded.below(if step / 500 % 2 == 0 { 4 } else { 8 }) {
                    0 => {
                        some.insert(new);
                        model.entry(session).or_insert(false);
                    }
                    1 => {
                        if let Some(so_far) = some.put_to_sleep(session) {
                            let asleep = model.insert(session, true).expect("it is there");
                            assert!(asleep || so_far == some.passed());
                        } else {
                            // Not there, or alone.
                            assert!(!model.contains_key(&session) || model.len() == 1);
                        }
                    }
                    2 => {
                        some.wake(session);
                        model.entry(session).and_modify(|asleep| *asleep = false);
                    }
                    3 => {
                        let asleep = model.values().filter(|asleep| **asleep).count();
                        passed = some.passed().messages;
                        assert_eq!(some.pass(5), asleep);
                        passed += u64::from(asleep > 0);
                        assert_eq!(some.passed().messages, passed);
                    }
                    _ => {
                        let removed = some.remove(session, None);
                        assert_eq!(removed.is_some(), model.remove(&session).is_some());
                    }
                }
                let mut awake: Vec<u32> = some.awake().iter().map(|one| one.session).collect();
                awake.sort_unstable();
                let expected = model.iter().filter(|(_, asleep)| !**asleep);
                assert!(
                    expected.map(|(session, _)| session).eq(&awake),
                    "{seed} {step}"
                );
                assert_eq!(some.as_slice().len(), model.len());
                assert_eq!(
                    some.get(session, None).is_some(),
                    model.contains_key(&session)
                );
            }
            assert!(passed > 0);
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
