//! The file that says which process a server is.
//!
//! The server keeps a lock on it for as long as it runs, so that a number that a crash has left behind, or that
//! is another process by now, is never taken for a server.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a file is tried again that somebody holds for a moment to look into it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The file of this process. It is gone with this value.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Locked.
    _file: File,
}

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This process has it.
    Running(u32),
    /// A server has ended without taking it away, as one that was killed.
    Stale,
    Nothing,
}

impl PidFile {
    /// Writes the number of this process.
    ///
    /// # Errors
    /// In words: another server has it, or it can't be written.
    pub(crate) fn take(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("cannot write {}: {error}", path.display());
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true);
            let mut file = options.open(path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever had it may have removed it between our opening and locking it.
            if !is_at(&file, path) {
                continue;
            }
            let written = file
                .set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()));
            written.map_err(failed)?;
            let path = path.to_owned();
            return Ok(Self { path, _file: file });
        }
        Err(match look(path)? {
            Found::Running(pid) => running(path, pid),
            Found::Stale | Found::Nothing => format!("{} is in use", path.display()),
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Without its lock it is stale, which is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// That there is a server already.
pub(crate) fn running(path: &Path, pid: u32) -> String {
    format!("a server with {} runs already: pid {pid}", path.display())
}

/// Whether a server runs that has this file.
///
/// # Errors
/// In words: it can't be read, or no process stands in it.
pub(crate) fn look(path: &Path) -> Result<Found, String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
    };
    for _ in 0..TRIES {
        match file.try_lock_shared() {
            Ok(()) => return Ok(Found::Stale),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        if let Ok(pid) = text.trim().parse() {
            return Ok(Found::Running(pid));
        }
        // It is about to be written.
        std::thread::sleep(PAUSE);
    }
    Err(format!("{} names no process", path.display()))
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}
