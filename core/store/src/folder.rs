//! The folder of a store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

const LOCK: &str = "lock";

/// The file with everything in it.
pub(crate) const FILE: &str = "store.redb";

/// The name of a file that is to take its place.
const NEW: &str = "store.redb.new";

/// A folder that no other process uses while this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Holds the lock of the operating system, which even a killed process gives back.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it isn't there, and takes it.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(at(path, "make the folder"))?;
        let lock = File::create(path.join(LOCK)).map_err(at(path, "write to the folder"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(path, "lock the folder")(error)),
        }
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The store's file, new if it isn't there.
    pub(crate) fn file(&self) -> Result<File, StoreError> {
        let path = self.path.join(FILE);
        let new = !path.exists();
        let file = private(&path).map_err(at(&path, "open"))?;
        if new {
            // The name itself is in the folder.
            let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
            synced.map_err(at(&self.path, "sync the folder"))?;
        }
        Ok(file)
    }
}

impl Folder {
    /// Gives the store's file a second name, which it keeps when another takes its place. Returns that.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join(FILE);
        let mut number = 1u32;
        let name = |number| self.path.join(format!("{FILE}.damaged-{number}"));
        while name(number).exists() {
            number += 1;
        }
        let aside = name(number);
        fs::hard_link(&path, &aside).map_err(at(&aside, "make"))?;
        Ok(aside)
    }

    /// An empty file beside the store's.
    pub(crate) fn beside(&self) -> Result<File, StoreError> {
        let path = self.path.join(NEW);
        let file = private(&path).map_err(at(&path, "open"))?;
        file.set_len(0).map_err(at(&path, "empty"))?;
        Ok(file)
    }

    /// Puts it into the place of the store's.
    pub(crate) fn replace(&self) -> Result<(), StoreError> {
        let (new, path) = (self.path.join(NEW), self.path.join(FILE));
        fs::rename(&new, &path).map_err(at(&path, "replace"))?;
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(at(&self.path, "sync the folder"))
    }
}

/// A file that its owner alone can read: it holds what clients have said.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).open(path)
}

pub(crate) fn at<'a>(path: &'a Path, what: &'static str) -> impl Fn(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io(format!("{what} {}", path.display()), error)
}
