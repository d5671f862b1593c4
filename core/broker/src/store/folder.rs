//! A store in a folder: one file with the whole state, replaced as a whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ternmq_protocol::broker::record::{
    Epoch, FRAME_HEAD, Found, Frame, NodeId, Owner, next_marker,
};

use super::{Damage, Saving, Store, StoreError};

const LOCK: &str = "lock";
const EPOCH: &str = "epoch";
const RECORDS: &str = "records";

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// A folder that no other process uses while this value lives.
///
/// `records` holds the state that was saved last: frames from a
/// [`Start`](ternmq_protocol::broker::record::Start) to an end. A new state is written beside it,
/// synced and renamed over it, so that whatever happens one of the two is there. Only the owner of the
/// file can read it. `epoch` holds the number of the last start as text.
#[derive(Debug)]
pub struct FolderStore {
    path: PathBuf,
    epoch: Mutex<u64>,
    /// Holds the lock of the operating system, which even a killed process gives back.
    _lock: File,
}

impl FolderStore {
    /// Makes the folder if it isn't there, and takes it.
    ///
    /// # Errors
    /// [`StoreError::InUse`], or the environment's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(at(path, "make the folder"))?;
        let lock = File::create(path.join(LOCK)).map_err(at(path, "write to the folder"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(at(path, "lock the folder")(error)),
        }
        let file = path.join(EPOCH);
        let epoch = match fs::read_to_string(&file) {
            Ok(text) => {
                let number = text.trim().parse();
                number.map_err(|_| at(&file, "read")(io::Error::other("it is not a number")))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(at(&file, "read")(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            epoch: Mutex::new(epoch),
            _lock: lock,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn epoch(&self) -> MutexGuard<'_, u64> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file that is written into the place of `name`, for good.
    fn replace(&self, name: &str, new: File) -> io::Result<()> {
        new.sync_all()?;
        drop(new);
        fs::rename(self.path.join(beside(name)), self.path.join(name))?;
        // The name itself is in the folder.
        File::open(&self.path)?.sync_all()
    }
}

impl Store for FolderStore {
    fn open(&self, node: NodeId) -> Result<Owner, StoreError> {
        let mut epoch = self.epoch();
        let next = *epoch + 1;
        let file = self.path.join(EPOCH);
        let write = || {
            let mut new = File::create(self.path.join(beside(EPOCH)))?;
            writeln!(new, "{next}")?;
            self.replace(EPOCH, new)
        };
        write().map_err(at(&file, "write"))?;
        *epoch = next;
        let epoch = Epoch(next);
        Ok(Owner { node, epoch })
    }

    fn load(
        &self,
        each: &mut dyn FnMut(Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<Damage, StoreError> {
        let path = self.path.join(RECORDS);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Damage::default()),
            Err(error) => return Err(at(&path, "read")(error)),
        };
        let mut input = Input::new(file).map_err(at(&path, "read"))?;
        let mut damage = Damage::default();
        let mut damaged_here = false;
        let mut wanted = FRAME_HEAD;
        loop {
            input.fill(wanted).map_err(at(&path, "read"))?;
            let bytes = input.unread();
            if bytes.is_empty() {
                return Ok(damage);
            }
            wanted = FRAME_HEAD;
            let used = match Frame::split(bytes) {
                Found::Whole(frame, len) => {
                    each(frame)?;
                    damaged_here = false;
                    len
                }
                Found::Needs(len) if input.can_fill(len) => {
                    wanted = len;
                    continue;
                }
                Found::Needs(_) | Found::Damaged(_) => {
                    let skipped = next_marker(bytes);
                    damage.places += u64::from(!damaged_here);
                    damage.bytes += skipped as u64;
                    damaged_here = true;
                    skipped
                }
            };
            input.at += used;
        }
    }

    /// Another name for the file: it takes no room until a new one is saved.
    fn set_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        let aside = self
            .path
            .join(format!("{RECORDS}.damaged-{}", *self.epoch()));
        fs::hard_link(self.path.join(RECORDS), &aside).map_err(at(&aside, "make"))?;
        Ok(Some(aside))
    }

    fn save(&self, owner: Owner) -> Result<Box<dyn Saving + '_>, StoreError> {
        if *self.epoch() != owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        let path = self.path.join(beside(RECORDS));
        let file = create_private(&path).map_err(at(&path, "write"))?;
        Ok(Box::new(InFolder {
            store: self,
            owner,
            file: BufWriter::with_capacity(CHUNK, file),
            bytes: Vec::new(),
            path,
        }))
    }
}

struct InFolder<'a> {
    store: &'a FolderStore,
    owner: Owner,
    file: BufWriter<File>,
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Saving for InFolder<'_> {
    fn put(&mut self, frame: Frame<'_>) -> Result<(), StoreError> {
        self.bytes.clear();
        if !frame.write(&mut self.bytes) {
            return Err(StoreError::TooLarge);
        }
        self.file
            .write_all(&self.bytes)
            .map_err(at(&self.path, "write"))
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            store,
            owner,
            file,
            path,
            ..
        } = *self;
        // Held until the file is in its place: who opens the store meanwhile waits.
        let epoch = store.epoch();
        if *epoch != owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        let written = file.into_inner().map_err(|error| error.into_error());
        let replaced = written.and_then(|file| store.replace(RECORDS, file));
        replaced.map_err(at(&path, "write"))
    }
}

/// A file as a buffer that grows as far as one frame needs.
struct Input {
    file: File,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    at: usize,
    /// Bytes of the file that are not in the buffer yet.
    left: u64,
}

impl Input {
    fn new(file: File) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self {
            file,
            buffer: Vec::new(),
            at: 0,
            left,
        })
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Whether the file has so many unread bytes.
    fn can_fill(&self, wanted: usize) -> bool {
        wanted as u64 <= self.unread().len() as u64 + self.left
    }

    /// Reads until there are `wanted` unread bytes, or the end of the file.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.unread().len() >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let missing = (wanted - self.buffer.len()).max(CHUNK) as u64;
        let mut chunk = (&mut self.file).take(missing.min(self.left));
        let read = chunk.read_to_end(&mut self.buffer)?;
        self.left = match read {
            0 => 0,
            read => self.left - read as u64,
        };
        Ok(())
    }
}

/// A new file that its owner alone can read: it is going to hold what clients have said.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

/// The name under which a file is written before it takes its place.
fn beside(name: &str) -> String {
    format!("{name}.new")
}

fn at<'a>(path: &'a Path, what: &'static str) -> impl Fn(io::Error) -> StoreError + 'a {
    move |error| StoreError::System(format!("cannot {what} {}: {error}", path.display()))
}
