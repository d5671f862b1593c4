//! What is to be known of an outbox while a client has it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an outbox counts, and what went wrong last. Reading it takes no lock of the client.
#[derive(Debug, Default)]
pub struct OutboxStatus {
    kept: AtomicU64,
    refused: AtomicU64,
    failed_writes: AtomicU64,
    words: Mutex<Words>,
}

/// Records that were damaged when the file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Places in the file; several records in a row are one.
    pub places: usize,
    /// The file as it was.
    pub copy: PathBuf,
}

#[derive(Debug, Default)]
struct Words {
    damage: Option<Damage>,
    error: Option<String>,
}

impl OutboxStatus {
    /// Messages that are kept now.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Publishes that were refused because they could not be written.
    pub fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Records that could not be written after their message had been taken. Each may make a message
    /// come twice after the next start, unless something was written later: then they were, too.
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes.load(Ordering::Relaxed)
    }

    /// What was damaged when the file was opened.
    pub fn damage(&self) -> Option<Damage> {
        self.words().damage.clone()
    }

    /// What the system said when something could not be written last.
    pub fn last_error(&self) -> Option<String> {
        self.words().error.clone()
    }

    pub(super) fn keeps(&self, count: usize) {
        self.kept.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn is_damaged(&self, places: usize, copy: PathBuf) {
        self.words().damage = Some(Damage { places, copy });
    }

    pub(super) fn refused(&self, error: &io::Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.words().error = Some(error.to_string());
    }

    pub(super) fn failed_write(&self, error: &io::Error) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
        self.words().error = Some(error.to_string());
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
