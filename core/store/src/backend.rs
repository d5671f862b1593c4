//! Where the bytes of a store are: a file, memory, or what a test puts in their place.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A file by its offsets. Several threads read at once; one writes.
pub trait Backend: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The environment's.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// The environment's.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` with the bytes from `at` on.
    ///
    /// # Errors
    /// The environment's, and when the file ends before.
    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes bytes from `at` on. They survive a loss of power after the next [`sync`](Self::sync);
    /// until then any part of them may.
    ///
    /// # Errors
    /// The environment's. Some of the bytes may be written then.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes it so long, with zeros where it grows.
    ///
    /// # Errors
    /// The environment's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when all that was written before survives a loss of power.
    ///
    /// # Errors
    /// The environment's. What was written since the last time may be lost, whatever a later call
    /// says.
    fn sync(&self) -> io::Result<()>;

    /// Whether writes may use the room that is kept for when the disk is full, if there is such room:
    /// what removes more than it adds may.
    fn use_reserve(&self, _allowed: bool) {}
}

impl Backend for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, at)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Room that a file has beyond what is written, so that something can be removed when the disk is
/// full: the engine writes beside what is there.
const RESERVE: u64 = 2 << 20;

/// Room that is taken at once.
const STEP: u64 = 2 << 20;

/// A file that takes room ahead of what is written.
#[derive(Debug)]
pub(crate) struct Roomy {
    file: File,
    /// Up to here the file has its room.
    taken: Mutex<u64>,
    reserve: AtomicBool,
}

impl Roomy {
    pub(crate) fn new(file: File) -> Self {
        Self {
            file,
            taken: Mutex::new(0),
            reserve: AtomicBool::new(true),
        }
    }

    fn taken(&self) -> MutexGuard<'_, u64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a write that ends here.
    fn make_room(&self, end: u64) -> io::Result<()> {
        let mut taken = self.taken();
        if end.saturating_add(RESERVE) <= *taken {
            return Ok(());
        }
        let wanted = end.saturating_add(RESERVE + STEP);
        match reserve(&self.file, *taken, wanted) {
            Ok(()) => {
                *taken = wanted;
                Ok(())
            }
            Err(error) => {
                match self.reserve.load(Ordering::Relaxed) {
                    // It may fit all the same.
                    true => Ok(()),
                    false => Err(error),
                }
            }
        }
    }
}

impl Backend for Roomy {
    fn len(&self) -> io::Result<u64> {
        Backend::len(&self.file)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(at, out)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.make_room(at.saturating_add(bytes.len() as u64))?;
        self.file.write(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Backend::set_len(&self.file, len)?;
        let mut taken = self.taken();
        *taken = len.min(*taken);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn use_reserve(&self, allowed: bool) {
        self.reserve.store(allowed, Ordering::Relaxed);
    }
}

/// Takes room for what is between two offsets, on a file system that can, and leaves the length as it
/// is.
#[cfg(target_os = "linux")]
fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(
        file,
        FallocateFlags::KEEP_SIZE,
        from,
        to.saturating_sub(from),
    ) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Bytes in memory.
#[derive(Debug, Default)]
pub struct Memory(RwLock<Vec<u8>>);

impl Memory {
    /// A file with these bytes.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }

    /// A copy of the bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.shared().clone()
    }

    fn shared(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn beyond_the_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the file")
}

/// The bytes from `at` on, so many.
fn span(at: u64, len: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(at).ok()?;
    Some(start..start.checked_add(len)?)
}

impl Backend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.shared().len() as u64)
    }

    fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.shared();
        let found = span(at, out.len()).and_then(|span| bytes.get(span));
        out.copy_from_slice(found.ok_or_else(beyond_the_end)?);
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.alone();
        let span = span(at, bytes.len()).ok_or_else(beyond_the_end)?;
        if all.len() < span.end {
            all.resize(span.end, 0);
        }
        all[span].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| beyond_the_end())?;
        self.alone().resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_file_takes_room_ahead_of_what_is_written() {
        let path = std::env::temp_dir().join(format!("ternmq-backend-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let file = Roomy::new(file);
        file.write(0, b"a").unwrap();
        let metadata = file.file.metadata().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(metadata.len(), 1);
        assert!(metadata.blocks() * 512 > RESERVE);
        // More than any disk has: with the reserve it is tried, without it is not.
        file.use_reserve(false);
        assert!(file.write(1 << 60, b"a").is_err());
        file.write(1, b"b").unwrap();
        assert_eq!(Backend::len(&file).unwrap(), 2);
    }
}
