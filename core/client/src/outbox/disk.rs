//! Where the bytes of an outbox lie: a file, or in tests one whose power fails.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Copies of damaged files that are kept beside each other; one more takes the place of the last.
const COPIES: u32 = 9;

/// A file that grows at its end.
pub(super) trait Storage: Send + Sync {
    /// All of it.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Writes at the end. After an error some of it may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Returns when all of it is on stable storage. After an error nobody knows what is, and another call
    /// would not find out: what could not be written counts as written from then on.
    fn sync(&mut self) -> io::Result<()>;

    /// Puts these bytes, synced, in the place of all, at once or not at all. A loss of power may still bring
    /// the old ones back.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when no loss of power brings back what was replaced.
    fn sync_name(&mut self) -> io::Result<()>;

    /// Keeps a copy of the file as it is; where.
    fn set_aside(&mut self) -> io::Result<PathBuf>;
}

/// A file, which is locked.
pub(super) struct Disk {
    path: PathBuf,
    file: File,
}

impl Disk {
    /// Opens a file, or makes one.
    pub(super) fn open(path: &Path, durable: bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        lock(&file)?;
        let mut disk = Self {
            path: path.to_owned(),
            file,
        };
        if durable {
            disk.sync_name()?;
        }
        Ok(disk)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    fn write_new(&self, name: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = File::create(name)?;
        file.set_permissions(self.file.metadata()?.permissions())?;
        lock(&file)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(name, &self.path)?;
        Ok(file)
    }
}

impl Storage for Disk {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let name = self.beside(".new");
        self.file = self.write_new(&name, bytes).inspect_err(|_| {
            // Of no use to anybody, and the disk may be full.
            let _ = std::fs::remove_file(&name);
        })?;
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }

    fn set_aside(&mut self) -> io::Result<PathBuf> {
        let names = (1..=COPIES).map(|n| match n {
            1 => self.beside(".damaged"),
            n => self.beside(&format!(".damaged-{n}")),
        });
        let names: Vec<_> = names.collect();
        let free = names.iter().find(|name| !name.exists());
        let copy = free.or(names.last()).cloned().unwrap_or_default();
        std::fs::copy(&self.path, &copy)?;
        Ok(copy)
    }
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another client uses this outbox",
        ),
        TryLockError::Error(error) => error,
    })
}
