//! A disk that does as a test says.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ternmq_broker::store::{Backend, Memory, Options, Store};

/// Memory as a disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    bytes: Memory,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// Flushes that wait.
    waiting: usize,
    full: Option<u64>,
    /// There is room for what makes room, and whether what is written now is such.
    reserve: bool,
    may_use_reserve: bool,
    broken: bool,
    syncs: u64,
    /// It breaks down instead of this flush.
    last: Option<u64>,
    /// What was on the disk after each flush, if that is to be kept.
    copies: Option<Vec<Vec<u8>>>,
}

/// A store on a new disk.
pub(crate) fn store() -> (Arc<Store>, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    (disk.open(), disk)
}

impl Disk {
    /// What is on the disk, as a store.
    pub(crate) fn open(self: &Arc<Self>) -> Arc<Store> {
        let options = Options {
            cache_bytes: 8 << 20,
            ..Options::default()
        };
        Arc::new(Store::over(self.clone(), &options).expect("a store"))
    }

    /// What is on the disk now, as another disk: what a process would find after a crash of this one.
    pub(crate) fn copy(&self) -> Arc<Self> {
        Arc::new(Self {
            bytes: Memory::with(self.bytes.bytes()),
            ..Self::default()
        })
    }

    /// From now on no flush returns, until what this returns is dropped: before the broker, which would wait
    /// for it.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.state().held = true;
        Held(self.clone())
    }

    /// Waits until somebody waits for a flush.
    pub(crate) fn until_held(&self) {
        let state = self
            .changed
            .wait_while(self.state(), |state| state.waiting == 0);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// From now on the disk has no room beyond what is used.
    pub(crate) fn fill_up(&self) {
        self.state().full = Some(self.bytes.len().expect("memory"));
    }

    /// The same, but for what makes room.
    pub(crate) fn fill_up_but_for_the_reserve(&self) {
        self.fill_up();
        self.state().reserve = true;
    }

    /// From now on nothing can be written.
    pub(crate) fn break_down(&self) {
        self.state().broken = true;
    }

    /// The same, once so many more flushes have been made.
    pub(crate) fn break_down_after(&self, syncs: u64) {
        let mut state = self.state();
        state.last = Some(state.syncs + syncs);
    }

    pub(crate) fn mend(&self) {
        let mut state = self.state();
        (state.full, state.broken, state.last) = (None, false, None);
    }

    /// From now on remembers what each flush leaves.
    pub(crate) fn remember(&self) {
        self.state().copies = Some(Vec::new());
    }

    /// What a process would find after a crash behind each of these flushes.
    pub(crate) fn remembered(&self) -> Vec<Arc<Self>> {
        let copies = self.state().copies.take().unwrap_or_default();
        let disk = |bytes| Self {
            bytes: Memory::with(bytes),
            ..Self::default()
        };
        copies.into_iter().map(disk).map(Arc::new).collect()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_write(&self, to: u64) -> io::Result<()> {
        let state = self.state();
        if state.broken {
            return Err(io::Error::other("broken on purpose"));
        }
        match state.full {
            Some(full) if to > full && !(state.reserve && state.may_use_reserve) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

/// A disk that stands still.
pub(crate) struct Held(Arc<Disk>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().held = false;
        self.0.changed.notify_all();
    }
}

impl Backend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.bytes.read(at, out)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.may_write(at + bytes.len() as u64)?;
        self.bytes.write(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.may_write(len)?;
        self.bytes.set_len(len)
    }

    fn use_reserve(&self, allowed: bool) {
        self.state().may_use_reserve = allowed;
    }

    fn sync(&self) -> io::Result<()> {
        self.may_write(0)?;
        let mut state = self.state();
        state.waiting += 1;
        self.changed.notify_all();
        let held = self.changed.wait_while(state, |state| state.held);
        let mut state = held.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        if state.last.is_some_and(|last| state.syncs >= last) {
            state.broken = true;
            return Err(io::Error::other("broken on purpose"));
        }
        state.syncs += 1;
        if let Some(copies) = &mut state.copies {
            copies.push(self.bytes.bytes());
        }
        Ok(())
    }
}
