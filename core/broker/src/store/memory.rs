//! A store in memory: sessions outlive the broker, not the process.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::record::{Epoch, Found, Frame, NodeId, Owner};

use super::{Damage, Saving, Store, StoreError};

/// Records in memory, for a broker that is stopped and started again inside one process. They are
/// the same bytes as in a [`FolderStore`](super::FolderStore).
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    saved: Vec<u8>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn open(&self, node: NodeId) -> Result<Owner, StoreError> {
        let mut state = self.lock();
        state.epoch += 1;
        let epoch = Epoch(state.epoch);
        Ok(Owner { node, epoch })
    }

    fn load(
        &self,
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<Damage, StoreError> {
        let state = self.lock();
        let mut rest = &*state.saved;
        while let Found::Whole(frame, len) = Frame::split(rest) {
            each(frame)?;
            rest = &rest[len..];
        }
        Ok(Damage {
            places: u64::from(!rest.is_empty()),
            bytes: rest.len() as u64,
        })
    }

    fn set_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        Ok(None)
    }

    fn save(&self, owner: Owner) -> Result<Box<dyn Saving + '_>, StoreError> {
        Ok(Box::new(InMemory {
            store: self,
            owner,
            bytes: Vec::new(),
        }))
    }
}

struct InMemory<'a> {
    store: &'a MemoryStore,
    owner: Owner,
    bytes: Vec<u8>,
}

impl Saving for InMemory<'_> {
    fn put(&mut self, frame: Frame<'_>) -> Result<(), StoreError> {
        match frame.write(&mut self.bytes) {
            true => Ok(()),
            false => Err(StoreError::TooLarge),
        }
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let mut state = self.store.lock();
        if state.epoch != self.owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        state.saved = self.bytes;
        Ok(())
    }
}
