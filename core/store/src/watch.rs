//! How far long work has come, for who wants to be told.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::backend::Backend;

/// Bytes that are read between two reports.
const STRIDE: u64 = 1 << 20;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The file is read to see whether it is whole; in bytes.
    Opening,
    /// Rows are read; in rows.
    Reading,
    /// A file is copied; in bytes.
    Copying,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// What is done so far, in the stage's unit.
    pub done: u64,
    /// What there is to do. Some of it may turn out not to be needed.
    pub of: u64,
    /// The stage is over, whether it came to its end or failed.
    pub ended: bool,
}

type Told = dyn Fn(Progress) + Send + Sync;

/// Who is told of long work: by the thread that does it, often, so it should return soon.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Told>>);

impl Watch {
    /// This function is told.
    #[must_use]
    pub fn by(told: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// A stage of so much.
    pub(crate) fn begin(&self, stage: Stage, of: u64) -> Pass {
        Pass {
            watch: self.clone(),
            stage,
            done: 0,
            of,
        }
    }

    /// A backend whose reads are told of until the [`Opening`] goes.
    pub(crate) fn opening(&self, backend: impl Backend) -> (Arc<dyn Backend>, Opening) {
        let open = Arc::new(AtomicBool::new(false));
        let opening = Opening(self.clone(), open.clone());
        let backend: Arc<dyn Backend> = match self.0 {
            None => Arc::new(backend),
            Some(_) => Arc::new(Watched {
                backend,
                watch: self.clone(),
                read: AtomicU64::new(0),
                open,
            }),
        };
        (backend, opening)
    }

    fn tell(&self, stage: Stage, done: u64, of: u64, ended: bool) {
        if let Some(told) = &self.0 {
            told(Progress {
                stage,
                done: done.min(of),
                of,
                ended,
            });
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// A stage that goes on until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    watch: Watch,
    stage: Stage,
    done: u64,
    of: u64,
}

impl Pass {
    /// So much more is done.
    pub(crate) fn step(&mut self, more: u64) {
        self.done += more;
        self.watch.tell(self.stage, self.done, self.of, false);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.watch.tell(self.stage, self.done, self.of, true);
    }
}

/// A store is being opened until this goes.
pub(crate) struct Opening(Watch, Arc<AtomicBool>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        self.0.tell(Stage::Opening, 0, 0, true);
    }
}

/// The engine reads a whole file in one call, so it is watched from below.
#[derive(Debug)]
struct Watched<B> {
    backend: B,
    watch: Watch,
    read: AtomicU64,
    open: Arc<AtomicBool>,
}

impl<B: Backend> Backend for Watched<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(at, out)?;
        if !self.open.load(Ordering::Relaxed) {
            let more = out.len() as u64;
            let before = self.read.fetch_add(more, Ordering::Relaxed);
            if before / STRIDE != (before + more) / STRIDE {
                let of = self.backend.len()?;
                self.watch.tell(Stage::Opening, before + more, of, false);
            }
        }
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.backend.write(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.backend.sync()
    }

    fn use_reserve(&self, allowed: bool) {
        self.backend.use_reserve(allowed);
    }
}
