//! The engine below: ordered keys with values, changed in transactions. redb is known here only.
//!
//! One table holds everything, for a transaction writes the path to each leaf it touches, and tables
//! would have paths of their own.

use std::io;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase,
    ReadableTableMetadata, RepairSession, StorageBackend, TableDefinition, TableHandle,
};

use crate::backend::Backend;
use crate::error::{StoreError, WAY_OUT};
use crate::salvage;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("ternmq");

/// What the engine keeps at the beginning of its file: which of two states is the present one, and
/// where their trees begin. All else is written beside what is there, never over it.
const HEADER: usize = 320;

/// What a file of the engine begins with, the version of its format that is read here, and where a file
/// says twice which one it is.
const ENGINE: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
const VERSION: u8 = 3;
const VERSIONS: [usize; 2] = [64, 192];
const HEAD: usize = VERSIONS[1] + 1;

/// Bytes that the engine's file begins with when it is made.
const MAGIC: usize = 9;

/// A file that is not made yet is not longer.
const NEW_BYTES: u64 = 4 << 20;

/// Bytes of changes that may be remembered because they are not synced. The next commit over it is.
const UNSYNCED_BYTES: usize = 8 << 20;

/// The cache while a whole file is read. Each page is looked at once at a time, so a larger one holds
/// nothing that is wanted again, and goes through memory that the processor has not at hand: that took
/// more than twice as long.
const CHECK_CACHE: usize = 128 << 10;

/// What a commit is to do with a key: give it a value, or remove it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What a scan is to do behind an entry.
pub(crate) type Flow = ControlFlow<()>;

/// Keys and values in a backend.
#[derive(Debug)]
pub(crate) struct Engine {
    backend: Arc<dyn Backend>,
    cache: usize,
    /// `None` after the backend has failed, until it works again. Views hold the lock.
    open: RwLock<Option<Database>>,
    /// A read has failed: the database refuses everything from then on.
    failed: AtomicBool,
    restore: Mutex<Restore>,
}

/// What is needed to go back to the last commit after one has failed halfway.
#[derive(Debug, Default)]
struct Restore {
    /// The file's header as of the last synced commit. With it in its place, whatever was written
    /// later is not there.
    header: Option<Header>,
    /// Commits since then, oldest first: they were promised to whoever reads.
    unsynced: Vec<Change>,
    bytes: usize,
}

type Header = [u8; HEADER];

impl Engine {
    /// Opens what is in a backend, or begins anew in an empty one. `cache` is in bytes. With `verify`
    /// all of the file is read and checked; without, only if it was not closed.
    pub(crate) fn open(
        backend: Arc<dyn Backend>,
        cache: usize,
        verify: bool,
    ) -> Result<Self, StoreError> {
        discard_unfinished(&*backend)?;
        refuse_newer(&*backend)?;
        let engine = Self {
            backend,
            cache,
            open: RwLock::new(None),
            failed: AtomicBool::new(false),
            restore: Mutex::default(),
        };
        let database = engine.first_start(verify)?;
        *engine.open.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(engine)
    }

    /// Applies changes, all or none. Of two with one key the later counts. With `sync` it returns
    /// when they survive a loss of power; without, they survive what happens to the backend as long
    /// as the process lives.
    pub(crate) fn commit(&self, changes: Vec<Change>, sync: bool) -> Result<(), StoreError> {
        let mut restore = self.restore();
        let sync = sync || restore.bytes > UNSYNCED_BYTES;
        let put = |database: &Database| write(database, &changes, sync);
        let mut result = self.with_database(&mut restore, put);
        if result.as_ref().is_err_and(is_latched) {
            // Not this commit's failure, and nothing of it was written.
            self.shut();
            result = self.with_database(&mut restore, put);
        }
        match result {
            Ok(()) if sync => {
                *restore = Restore {
                    header: self.header()?,
                    ..Restore::default()
                };
                Ok(())
            }
            Ok(()) => {
                restore.bytes += weight(&changes);
                restore.unsynced.extend(changes);
                Ok(())
            }
            Err(error) => {
                // At once, so that nothing of it is seen even after a crash; if that fails, with
                // the next call.
                self.shut();
                self.use_reserve(true);
                let _ = self.reopen(&mut restore);
                Err(error)
            }
        }
    }

    /// What was committed so far, whatever is committed while it is read.
    pub(crate) fn view(&self) -> Result<View<'_>, StoreError> {
        if !self.failed.load(Ordering::Acquire)
            && let Some(view) = self.try_view()?
        {
            return Ok(view);
        }
        let mut restore = self.restore();
        self.reopen(&mut restore)?;
        let view = self.try_view()?;
        view.ok_or_else(|| StoreError::damaged("it fails as soon as it is open"))
    }

    /// Gives room back to the file system. Nobody may have a view.
    pub(crate) fn compact(&self) -> Result<(), StoreError> {
        let mut restore = self.restore();
        self.with_database(&mut restore, |database| write(database, &[], true))?;
        // It moves pages in commits of its own, over what the header of before leads to.
        *restore = Restore::default();
        let compacted = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            match open.as_mut() {
                Some(database) => guarded(|| Ok(database.compact().map(drop)?)),
                None => Err(StoreError::damaged("it is not open")),
            }
        };
        if compacted.is_err() {
            self.shut();
            return compacted;
        }
        restore.header = self.header()?;
        Ok(())
    }

    /// Whether commits may use room that is kept for when the disk is full.
    pub(crate) fn use_reserve(&self, allowed: bool) {
        self.backend.use_reserve(allowed);
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> Result<u64, StoreError> {
        let len = self.backend.len();
        len.map_err(|error| StoreError::Io("read the store".into(), error))
    }

    /// Syncs all there is.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.restore().unsynced.is_empty();
        match synced {
            true => Ok(()),
            false => self.commit(Vec::new(), true),
        }
    }

    fn with_database(
        &self,
        restore: &mut Restore,
        f: impl Fn(&Database) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.reopen(restore)?;
        match &*self.shared() {
            Some(database) => f(database),
            None => Err(StoreError::damaged("it is not open")),
        }
    }

    /// `None` when the database has failed and is to be opened again.
    fn try_view(&self) -> Result<Option<View<'_>>, StoreError> {
        let open = self.shared();
        let Some(database) = &*open else {
            return Ok(None);
        };
        match guarded(|| Ok(database.begin_read()?.open_table(TABLE)?)) {
            Ok(table) => Ok(Some(View {
                table,
                failed: &self.failed,
                _open: open,
            })),
            Err(StoreError::Io(..)) => {
                self.failed.store(true, Ordering::Release);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the database. If all of it has to be read for that, it is closed and opened once more,
    /// with its cache.
    fn first_start(&self, verify: bool) -> Result<Database, StoreError> {
        let mut builder = builder(self.cache);
        builder.set_check_integrity_on_open(verify);
        builder.set_repair_callback(RepairSession::abort);
        let quick = guarded(
            || match builder.create_with_backend(self.shared_backend()) {
                Ok(database) => Ok(Some(database)),
                Err(DatabaseError::RepairAborted) => Ok(None),
                Err(error) => Err(error.into()),
            },
        )?;
        if let Some(database) = quick {
            return with_table(database);
        }
        let mut builder = self::builder(CHECK_CACHE.min(self.cache));
        builder.set_check_integrity_on_open(verify);
        guarded(|| {
            Ok(builder
                .create_with_backend(self.shared_backend())?
                .close()?)
        })?;
        self.start()
    }

    fn start(&self) -> Result<Database, StoreError> {
        let builder = builder(self.cache);
        let database = guarded(|| Ok(builder.create_with_backend(self.shared_backend())?))?;
        with_table(database)
    }

    /// Opens the database again after a failure, as of the last commit.
    fn reopen(&self, restore: &mut Restore) -> Result<(), StoreError> {
        if self.failed.swap(false, Ordering::AcqRel) {
            self.shut();
        }
        if self.shared().is_some() {
            return Ok(());
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(header) = &restore.header {
            let write = || {
                self.backend.write(0, header)?;
                self.backend.sync()
            };
            write().map_err(|error| StoreError::Io("write to the store".into(), error))?;
        }
        let database = self.start()?;
        if !restore.unsynced.is_empty() {
            write(&database, &restore.unsynced, true)?;
            restore.unsynced.clear();
            restore.bytes = 0;
        }
        restore.header = self.header()?;
        *open = Some(database);
        Ok(())
    }

    fn shut(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // It may write as it goes, which fails or is undone by the header.
        let database = open.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    fn header(&self) -> Result<Option<Header>, StoreError> {
        let mut header = [0; HEADER];
        let read = self.backend.read(0, &mut header);
        read.map_err(|error| StoreError::Io("read the store".into(), error))?;
        Ok(Some(header))
    }

    fn shared_backend(&self) -> Shared {
        Shared(self.backend.clone())
    }

    fn shared(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn restore(&self) -> MutexGuard<'_, Restore> {
        self.restore.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empties a file that was about to be made when the power was cut: its beginning is written last,
/// and nothing is in it.
fn discard_unfinished(backend: &dyn Backend) -> Result<(), StoreError> {
    match is_unfinished(backend)? {
        true => backend.set_len(0).map_err(cannot_use),
        false => Ok(()),
    }
}

/// Whether nothing in it is a store's: it is begun anew.
pub(crate) fn is_unfinished(backend: &dyn Backend) -> Result<bool, StoreError> {
    let failed = cannot_use;
    let len = backend.len().map_err(failed)?;
    let mut magic = [0; MAGIC];
    if len >= MAGIC as u64 {
        backend.read(0, &mut magic).map_err(failed)?;
    }
    Ok(len == 0 || magic == [0; MAGIC] && len <= NEW_BYTES && !salvage::has_rows(backend)?)
}

fn cannot_use(error: io::Error) -> StoreError {
    StoreError::Io("use the store's file".into(), error)
}

/// The engine takes a file of a newer version of itself for a damaged one, of which nothing would be
/// found. A flipped bit changes one of the two versions that a file has.
fn refuse_newer(backend: &dyn Backend) -> Result<(), StoreError> {
    let failed = |error| StoreError::Io("use the store's file".into(), error);
    let mut head = [0; HEAD];
    if backend.len().map_err(failed)? < HEAD as u64 {
        return Ok(());
    }
    backend.read(0, &mut head).map_err(failed)?;
    let [one, other] = VERSIONS.map(|at| head[at]);
    if head.starts_with(ENGINE) && one == other && one > VERSION {
        let says = format!(
            "the engine wrote it in version {one}; this program reads {VERSION}: {WAY_OUT}"
        );
        return Err(failed(io::Error::new(io::ErrorKind::Unsupported, says)));
    }
    Ok(())
}

/// The database, with its table.
fn with_table(database: Database) -> Result<Database, StoreError> {
    let new = guarded(|| {
        let transaction = database.begin_read()?;
        let mut tables = transaction.list_tables()?;
        Ok(!tables.any(|table| table.name() == TABLE.name()))
    })?;
    if new {
        write(&database, &[], true)?;
    }
    Ok(database)
}

fn builder(cache: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache);
    builder
}

fn weight(changes: &[Change]) -> usize {
    let value = |(key, value): &Change| key.len() + value.as_ref().map_or(0, Vec::len);
    changes.iter().map(value).sum()
}

fn write(database: &Database, changes: &[Change], sync: bool) -> Result<(), StoreError> {
    guarded(|| {
        let mut transaction = database.begin_write()?;
        if !sync {
            transaction.set_durability(Durability::None)?;
        }
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(table.insert(&key[..], &value[..])?),
                    None => drop(table.remove(&key[..])?),
                }
            }
        }
        Ok(transaction.commit()?)
    })
}

/// One state of the store.
pub(crate) struct View<'a> {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    failed: &'a AtomicBool,
    /// The database is not closed before it.
    _open: RwLockReadGuard<'a, Option<Database>>,
}

impl View<'_> {
    /// How many keys there are.
    pub(crate) fn rows(&self) -> Result<u64, StoreError> {
        self.guarded(|| Ok(self.table.len()?))
    }

    /// Passes the value of a key on, as it lies in the cache.
    pub(crate) fn get<T>(
        &self,
        key: &[u8],
        f: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        self.guarded(|| Ok(self.table.get(key)?.map(|value| f(value.value()))))
    }

    /// Passes entries on in the order of their keys, from `from` on and before `end`.
    pub(crate) fn scan(
        &self,
        from: &[u8],
        end: &[u8],
        mut f: impl FnMut(&[u8], &[u8]) -> Flow,
    ) -> Result<(), StoreError> {
        if from >= end {
            return Ok(());
        }
        self.guarded(|| {
            let range = (Bound::Included(from), Bound::Excluded(end));
            for entry in self.table.range::<&[u8]>(range)? {
                let (key, value) = entry?;
                if f(key.value(), value.value()).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Passes the last entry on whose key is at least `from` and at most `last`.
    pub(crate) fn last<T>(
        &self,
        from: &[u8],
        last: &[u8],
        f: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<Option<T>, StoreError> {
        if from > last {
            return Ok(None);
        }
        self.guarded(|| {
            let range = (Bound::Included(from), Bound::Included(last));
            let entry = self.table.range::<&[u8]>(range)?.next_back();
            let entry = entry.transpose()?;
            Ok(entry.map(|(key, value)| f(key.value(), value.value())))
        })
    }

    fn guarded<T>(&self, f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let result = guarded(f);
        if let Err(StoreError::Io(..)) = &result {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Who wants to know whether it worked calls it before.
        let _ = self.sync();
        self.shut();
    }
}

/// A backend as the engine wants it.
#[derive(Debug)]
struct Shared(Arc<dyn Backend>);

impl StorageBackend for Shared {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }
}

/// The engine trusts a file that was closed as it should be, and panics over one that was damaged
/// since.
fn guarded<T>(f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(said),
        Err(_) => Err(StoreError::damaged("its pages contradict each other")),
    }
}

/// The engine had an error before, which it did not tell of when it came, and refuses everything since.
#[derive(Debug)]
struct Latched;

impl std::fmt::Display for Latched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it has failed before")
    }
}

impl std::error::Error for Latched {}

fn is_latched(error: &StoreError) -> bool {
    let inner = match error {
        StoreError::Io(_, error) => error.get_ref(),
        _ => None,
    };
    inner.is_some_and(|inner| inner.is::<Latched>())
}

fn said(error: redb::Error) -> StoreError {
    match error {
        // The file does not begin as it should, or a page is said to be behind its end.
        redb::Error::Io(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::damaged(error)
        }
        redb::Error::Io(error) => StoreError::Io("use the store's file".into(), error),
        redb::Error::PreviousIo => {
            StoreError::Io("use the store's file".into(), io::Error::other(Latched))
        }
        redb::Error::ValueTooLarge(_) => StoreError::TooLarge,
        other => StoreError::damaged(other),
    }
}
