//! Handles: numbers that look like pointers to C and name a client here.
//!
//! A handle carries the generation of its slot, so a handle that was destroyed is recognised even
//! after its slot is in use again. It also carries its kind, so that a function for both kinds knows
//! which one it was given. Nothing is ever read through a handle.

use std::ffi::c_void;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::persistence;

/// Half of a pointer's bits tell the slot, the other half the generation.
const SLOT_BITS: u32 = usize::BITS / 2;
const SLOT_MASK: usize = (1 << SLOT_BITS) - 1;
const KIND_BITS: u32 = 2;
/// How many values can be alive at once: two bits of the slot's half are the kind.
const MAX_SLOTS: usize = SLOT_MASK >> KIND_BITS;

/// What a handle leads to, as C knows it.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// An `MQTTClient`.
    Blocking = 0,
    /// An `MQTTAsync`.
    NonBlocking = 1,
    /// A broker.
    #[cfg(feature = "broker")]
    Broker = 2,
}

/// What handles of one kind lead to.
///
/// Looking one up takes a shared lock and a counter increment; the lock is written only when a
/// client is created or destroyed.
pub(crate) struct Handles<T> {
    kind: Kind,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

struct Slot<T> {
    /// Never 0, so that no handle is NULL.
    generation: usize,
    value: Option<Arc<T>>,
}

impl<T> Handles<T> {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            slots: RwLock::new(Slots {
                slots: Vec::new(),
                free: Vec::new(),
            }),
        }
    }

    /// A handle for the value; `None` when there are too many.
    pub(crate) fn insert(&self, value: Arc<T>) -> Option<*mut c_void> {
        let mut slots = self.write();
        let index = match slots.free.pop() {
            Some(index) => index,
            None if slots.slots.len() >= MAX_SLOTS => return None,
            None => {
                slots.slots.push(Slot {
                    generation: 1,
                    value: None,
                });
                slots.slots.len() - 1
            }
        };
        let slot = &mut slots.slots[index];
        slot.value = Some(value);
        let handle = slot.generation << SLOT_BITS | index << KIND_BITS | self.kind as usize;
        Some(std::ptr::without_provenance_mut(handle))
    }

    /// The value of a handle; `None` for one that is NULL, made up or destroyed, and for any inside a
    /// function of a store, which the library must not be called from.
    pub(crate) fn get(&self, handle: *mut c_void) -> Option<Arc<T>> {
        if persistence::is_inside() || !self.is_ours(handle) {
            return None;
        }
        let slots = self.read();
        let slot = slots.slots.get(index(handle))?;
        if slot.generation != generation(handle) {
            return None;
        }
        slot.value.clone()
    }

    /// Makes the handle invalid and gives back its value.
    pub(crate) fn remove(&self, handle: *mut c_void) -> Option<Arc<T>> {
        if persistence::is_inside() || !self.is_ours(handle) {
            return None;
        }
        let mut slots = self.write();
        let slot = slots.slots.get_mut(index(handle))?;
        if slot.generation != generation(handle) {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = (slot.generation + 1) & SLOT_MASK;
        if slot.generation == 0 {
            slot.generation = 1;
        }
        slots.free.push(index(handle));
        Some(value)
    }

    fn is_ours(&self, handle: *mut c_void) -> bool {
        handle.addr() & ((1 << KIND_BITS) - 1) == self.kind as usize
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots<T>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots<T>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(handle: *mut c_void) -> usize {
    (handle.addr() & SLOT_MASK) >> KIND_BITS
}

fn generation(handle: *mut c_void) -> usize {
    handle.addr() >> SLOT_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_handle_stays_invalid_when_its_slot_is_used_again() {
        let handles = Handles::new(Kind::Blocking);
        let first = handles.insert(Arc::new(1)).unwrap();
        assert_eq!(handles.get(first).as_deref(), Some(&1));
        assert_eq!(handles.remove(first).as_deref(), Some(&1));
        let second = handles.insert(Arc::new(2)).unwrap();
        assert_eq!(index(first), index(second), "the slot is used again");
        assert!(handles.get(first).is_none() && handles.remove(first).is_none());
        assert_eq!(handles.get(second).as_deref(), Some(&2));
    }

    #[test]
    fn a_handle_of_one_kind_is_none_of_the_other() {
        let (blocking, nonblocking) = (
            Handles::new(Kind::Blocking),
            Handles::new(Kind::NonBlocking),
        );
        let first = blocking.insert(Arc::new(1)).unwrap();
        let second = nonblocking.insert(Arc::new(2)).unwrap();
        assert_eq!(blocking.get(first).as_deref(), Some(&1));
        assert_eq!(nonblocking.get(second).as_deref(), Some(&2));
        assert!(blocking.get(second).is_none() && blocking.remove(second).is_none());
        assert!(nonblocking.get(first).is_none() && nonblocking.remove(first).is_none());
    }

    #[test]
    fn made_up_handles_lead_nowhere() {
        let handles = Handles::new(Kind::Blocking);
        let handle = handles.insert(Arc::new(1)).unwrap();
        for made_up in [0, 1, usize::MAX, handle.addr() + 1, 0xdead_beef] {
            let made_up = std::ptr::without_provenance_mut(made_up);
            assert!(handles.get(made_up).is_none());
        }
    }
}
