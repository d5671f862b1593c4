//! Where the bytes of a store are: a file, memory, or what a test puts in their place.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

    /// Takes the room as well, so that a full disk is met here and not where something is to be
    /// written into the middle of the file: then what is removed makes room.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = Backend::len(self)?;
        File::set_len(self, len)?;
        if let Err(error) = reserve(self, before, len) {
            // The room that it has got goes back.
            File::set_len(self, before)?;
            return Err(error);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Takes room for what is between two offsets, on a file system that can.
#[cfg(target_os = "linux")]
fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    if to <= from {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), from, to - from) {
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
    fn a_file_that_grows_takes_the_room() {
        let path = std::env::temp_dir().join(format!("ternmq-backend-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        Backend::set_len(&file, 1 << 20).unwrap();
        let metadata = file.metadata().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(metadata.blocks() * 512 >= 1 << 20);
        // More than any disk has.
        let error = Backend::set_len(&file, 1 << 60).unwrap_err();
        assert!(matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge
        ));
        assert_eq!(Backend::len(&file).unwrap(), 1 << 20);
    }
}
