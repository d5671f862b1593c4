//! Slots for values that refer to each other by number: half a pointer each, and freed slots come
//! back into use.

use std::ops::{Index, IndexMut};

/// Values by slot number. A slot number is good until its value is removed.
#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
    slots: Vec<Slot<T>>,
    /// The slot freed last, [`NONE`] when all are taken.
    free: u32,
    len: usize,
}

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
enum Slot<T> {
    Taken(T),
    Free { next: u32 },
}

impl<T> Arena<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest slot number there may be.
    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// # Panics
    /// With 2^32 - 1 values at a time, which is more memory than the values of any caller leave.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let slot = self.free;
        if slot == NONE {
            self.slots.push(Slot::Taken(value));
            return u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 values");
        }
        if let Slot::Free { next } = self.slots[slot as usize] {
            self.free = next;
        }
        self.slots[slot as usize] = Slot::Taken(value);
        slot
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot as usize) {
            Some(Slot::Taken(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Taken(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        self.get(slot)?;
        let freed = std::mem::replace(
            &mut self.slots[slot as usize],
            Slot::Free { next: self.free },
        );
        self.free = slot;
        self.len -= 1;
        match freed {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// Above all slot numbers in use.
    pub(super) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, value)| match value {
                Slot::Taken(value) => Some((slot as u32, value)),
                Slot::Free { .. } => None,
            })
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("the slot is taken")
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("the slot is taken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::Seeded;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_map_and_reuses_slots() {
        let (mut arena, mut model, mut seeded) = (Arena::new(), BTreeMap::new(), Seeded::new(7));
        for n in 0..20_000 {
            if model.len() < 50 && seeded.one_in(2) {
                assert_eq!(
                    model.insert(arena.insert(n), n),
                    None,
                    "slot in use given out"
                );
            } else {
                let slot = seeded.below(60) as u32;
                assert_eq!(arena.get(slot), model.get(&slot));
                assert_eq!(arena.remove(slot), model.remove(&slot));
            }
            assert_eq!(arena.len(), model.len());
        }
        assert!(arena.iter().eq(model.iter().map(|(slot, n)| (*slot, n))));
        assert!(arena.slots.len() <= 50 && arena.get(NONE).is_none());
    }
}
