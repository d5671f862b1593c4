//! The folder of a store.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
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

    /// Whether the store's file is there.
    pub(crate) fn has_file(&self) -> bool {
        self.path.join(FILE).exists()
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
    /// Gives the store's file a second name, which it keeps when another takes its place. Returns that, which
    /// says why.
    pub(crate) fn set_aside(&self, why: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(FILE);
        let mut number = 1u32;
        let name = |number| self.path.join(format!("{FILE}.{why}-{number}"));
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

    /// What was written beside the store's.
    pub(crate) fn kept_beside(&self) -> Result<File, StoreError> {
        let path = self.path.join(NEW);
        private(&path).map_err(at(&path, "open"))
    }

    /// Removes it.
    pub(crate) fn forget_beside(&self) {
        let _ = fs::remove_file(self.path.join(NEW));
    }

    /// Puts it into the place of the store's.
    pub(crate) fn replace(&self) -> Result<(), StoreError> {
        let (new, path) = (self.path.join(NEW), self.path.join(FILE));
        fs::rename(&new, &path).map_err(at(&path, "replace"))?;
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(at(&self.path, "sync the folder"))
    }
}

/// Whether a file is that of a store which some process has open.
pub(crate) fn is_used(file: &Path) -> bool {
    let is_store = file.file_name().is_some_and(|name| name == FILE);
    let lock = File::open(file.with_file_name(LOCK)).map(|lock| lock.try_lock_shared());
    is_store && matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// A new file that has its name only when all of it is there and synced: whoever writes it may be killed, and
/// the beginning of a store's file can be a store with less in it. Until then it has `.part` behind its name.
pub(crate) fn whole<T>(
    path: &Path,
    write: impl FnOnce(File) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let is_free = || match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(at(path, "make")(io::ErrorKind::AlreadyExists.into())),
        Err(error) => Err(at(path, "make")(error)),
    };
    is_free()?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = private(&part).map_err(at(&part, "make"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let error = io::Error::new(io::ErrorKind::ResourceBusy, "somebody writes it already");
            return Err(at(&part, "make")(error));
        }
        Err(TryLockError::Error(error)) => return Err(at(&part, "lock")(error)),
    }
    let written = fill(&file, &part, write).and_then(|done| {
        is_free()?;
        fs::rename(&part, path).map_err(at(path, "make"))?;
        Ok(done)
    });
    match written {
        Ok(done) => sync_name(path).map(|()| done),
        Err(error) => {
            // What is left of it is written over by the next one.
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

fn fill<T>(
    file: &File,
    part: &Path,
    write: impl FnOnce(File) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Left by who was killed, or by anybody.
    let own = fs::Permissions::from_mode(0o600);
    file.set_permissions(own).map_err(at(part, "own"))?;
    file.set_len(0).map_err(at(part, "empty"))?;
    let done = write(file.try_clone().map_err(at(part, "write"))?)?;
    file.sync_all().map_err(at(part, "sync"))?;
    Ok(done)
}

/// The name is in the folder. Some file systems of others can't sync that.
fn sync_name(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let synced = File::open(parent.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    match synced {
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
            Err(at(path, "sync the name of")(error))
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_not_before() {
        let folder =
            std::env::temp_dir().join(format!("ternmq-store-whole-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let (path, part) = (folder.join("copy"), folder.join("copy.part"));
        let names = || fs::read_dir(&folder).unwrap().count();
        let say = |mut file: File| {
            assert!(!path.exists());
            let second = whole(&path, |_| Ok(())).unwrap_err();
            assert!(second.to_string().contains("writes it already"), "{second}");
            io::Write::write_all(&mut file, b"new").map_err(at(&part, "write"))
        };
        whole(&path, |file| {
            say(file)?;
            Err::<(), _>(StoreError::damaged("no more"))
        })
        .unwrap_err();
        assert_eq!(names(), 0);
        // Somebody was killed.
        fs::write(&part, b"what was longer").unwrap();
        whole(&path, say).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"new".to_vec(), 1));
        let again = whole(&path, |_| Ok(())).unwrap_err();
        assert!(again.to_string().contains("exists"), "{again}");
        fs::remove_dir_all(folder).unwrap();
    }
}
