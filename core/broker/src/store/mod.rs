//! Where a broker keeps what outlives it: sessions with all they hold, and retained messages.
//!
//! A [`Store`] holds one state of the whole broker, as frames. The broker takes it when it starts,
//! reads it once, and writes all of it anew every [`Config::save_interval`](crate::Config) and when it
//! stops. A call costs a virtual function for each record; no message on its way touches a store.

mod folder;
mod keeper;
mod memory;
mod periodic;
mod restore;
mod save;

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ternmq_protocol::broker::record::{Frame, NodeId, Owner};
use ternmq_protocol::time::UnixMs;

pub use crate::error::StoreError;
pub use folder::FolderStore;
pub use memory::MemoryStore;
pub use restore::Restoration;
pub use save::Saved;

pub(crate) use keeper::Keeper;
pub(crate) use periodic::Periodic;
pub(crate) use save::{Page, Place};

/// A place for records.
///
/// One broker has it at a time: who [opens](Self::open) it fences whoever had it before, whose
/// [`save`](Self::save) is refused from then on.
pub trait Store: Debug + Send + Sync {
    /// Takes the store for a broker that starts, in an epoch of its own.
    ///
    /// # Errors
    /// [`StoreError`]: the broker does not start.
    fn open(&self, node: NodeId) -> Result<Owner, StoreError>;

    /// Passes on what was saved last, frame by frame in the order in which they were put. Damaged
    /// bytes are stepped over and counted.
    ///
    /// # Errors
    /// Those of `each`, and when nothing can be read at all.
    fn load(
        &self,
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<Damage, StoreError>;

    /// Keeps what was saved last for somebody to look at, whatever is saved next: some of it was
    /// damaged. Tells where, if that is a place.
    ///
    /// # Errors
    /// It can't be kept.
    fn set_aside(&self) -> Result<Option<PathBuf>, StoreError>;

    /// Begins to save all there is. What was saved before stays until the new state is complete.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], or the environment's.
    fn save(&self, owner: Owner) -> Result<Box<dyn Saving + '_>, StoreError>;
}

/// A state that is being saved. Dropped without [`commit`](Self::commit) it never was.
pub trait Saving {
    /// Takes the next frame.
    ///
    /// # Errors
    /// The environment's: nothing is saved then.
    fn put(&mut self, frame: Frame<'_>) -> Result<(), StoreError>;

    /// Makes it the state that [`Store::load`] gives, whatever happens afterwards.
    ///
    /// # Errors
    /// The state before is still the one.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// What of a saved state could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Places where bytes were stepped over.
    pub places: u64,
    /// These bytes.
    pub bytes: u64,
}

/// The node that a broker by itself is.
pub(crate) const NODE: NodeId = NodeId(1);

/// Now by the wall clock. One before 1970 shows 1970.
pub(crate) fn utc_now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMs(since.map_or(0, |since| since.as_millis() as u64))
}
