//! A table keyed by Packet Identifier that costs one pointer while nobody uses it.

use hashbrown::HashTable;
use std::convert::Infallible;

/// Entries for which an emptied table keeps its memory: 2 KiB of messages in flight.
///
/// Freeing at once would cost an allocation per message of a session that has one in flight at a
/// time, and growing again step by step for one that fills a window of some dozens and empties it;
/// keeping all would let one burst pin its peak for ever.
const KEPT_CAPACITY: usize = 56;

/// What can be found by its Packet Identifier.
pub(crate) trait Identified {
    /// The Packet Identifier; must not change while the entry is in a table.
    fn id(&self) -> u16;
}

impl Identified for u16 {
    fn id(&self) -> u16 {
        *self
    }
}

/// Entries by Packet Identifier.
#[derive(Clone, Debug)]
pub(crate) struct IdTable<E>(Option<Box<HashTable<E>>>);

impl<E: Identified> IdTable<E> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.len())
    }

    pub(crate) fn contains(&self, id: u16) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: u16) -> Option<&E> {
        self.0.as_ref()?.find(hash(id), |entry| entry.id() == id)
    }

    pub(crate) fn get_mut(&mut self, id: u16) -> Option<&mut E> {
        self.0
            .as_mut()?
            .find_mut(hash(id), |entry| entry.id() == id)
    }

    /// Adds an entry whose id must not be there yet.
    #[inline]
    pub(crate) fn insert(&mut self, entry: E) -> &mut E {
        debug_assert!(
            !self.contains(entry.id()),
            "packet id {} is in use",
            entry.id()
        );
        let table = self.0.get_or_insert_with(Box::default);
        table
            .insert_unique(hash(entry.id()), entry, |entry| hash(entry.id()))
            .into_mut()
    }

    pub(crate) fn remove(&mut self, id: u16) -> Option<E> {
        self.remove_unless(id, |_| None::<Infallible>)?.ok()
    }

    /// Takes an entry out, unless there is something to say against it.
    #[inline]
    pub(crate) fn remove_unless<R>(
        &mut self,
        id: u16,
        reason: impl FnOnce(&E) -> Option<R>,
    ) -> Option<Result<E, R>> {
        let table = self.0.as_mut()?;
        let found = table.find_entry(hash(id), |entry| entry.id() == id).ok()?;
        if let Some(reason) = reason(found.get()) {
            return Some(Err(reason));
        }
        let entry = found.remove().0;
        if table.is_empty() && table.capacity() > KEPT_CAPACITY {
            self.0 = None;
        }
        Some(Ok(entry))
    }

    /// Gives the spare memory of an empty table back.
    pub(crate) fn release_spare(&mut self) {
        if self.len() == 0 {
            self.0 = None;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.0.iter().flat_map(|table| table.iter())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.0.iter_mut().flat_map(|table| table.iter_mut())
    }

    /// Empties the table, memory and all.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = E> + use<E> {
        self.0.take().into_iter().flat_map(|table| *table)
    }
}

/// Ids are handed out in sequence: the odd factor sends neighbours to different buckets, and the
/// high bits, of which hashbrown makes its tags, differ as well.
const fn hash(id: u16) -> u64 {
    (id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
