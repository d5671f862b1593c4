//! The store itself: what is open, and how it changes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use ternmq_protocol::broker::durable::{StoreOp, StreamKey};
use ternmq_protocol::broker::record::{Epoch, NodeId, Owner, SessKey};
use ternmq_protocol::time::Clock;

use crate::backend::{Backend, Memory, Roomy};
use crate::block::Block;
use crate::commit::Batch;
use crate::engine::{self, Change, Engine, Flow, View};
use crate::error::StoreError;
use crate::folder::{Folder, at};
use crate::index::{self, Tail};
use crate::meta::{self, Log};
use crate::row::{self, kind};
use crate::salvage::{Salvaged, salvage};
use crate::watch::Watch;

/// Rows found damaged that may wait to be set aside. Others are found again.
const DAMAGED_ROWS: usize = 1024;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of memory for what was read and what is to be written. Half of them hold it; the other
    /// half is for what the allocator can't use again, because another thread has freed it.
    pub cache_bytes: usize,
    /// Read and check all of the file before anything else, not only after a crash. Costs one to
    /// two seconds for each gigabyte, and finds damage where it would be noticed late or, between the
    /// records, not at all.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            verify: true,
        }
    }
}

impl Options {
    /// Each thread that reads takes its memory from a part of the heap of its own. What one has read
    /// and another displaces leaves a gap there that only the first can fill: with a cache of 64 MiB
    /// the process had 170 MB.
    fn engine_bytes(&self) -> usize {
        self.cache_bytes / 2
    }
}

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When readers see it. A loss of power or a crash may take it back, whole; closing the store
    /// does not.
    No,
    /// When it survives a loss of power, and all that was committed before it too.
    Yes,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The last message of the log, 0 before there is one.
    pub head: u64,
    /// Messages that are new in the log.
    pub appended: u64,
    /// Bytes that the rows take.
    pub bytes: u64,
    /// Sessions that were written with a lower revision than the one that is stored: somebody else
    /// has them. Nothing of these records is stored; all else is.
    pub fenced: Vec<SessKey>,
}

/// What compacting did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Damage that was met since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Rows that can't be read: sessions, subscriptions, retained and delayed messages, parts of
    /// the index, blocks with such messages.
    pub rows: u64,
    /// Rows of which a copy was set aside.
    pub set_aside: u64,
}

/// A log of messages with an index, and sessions, retained and delayed messages beside it.
///
/// One thread commits; any number read meanwhile. It has no threads of its own. Memory: the cache
/// of [`Options`], the tail of the index (at most 16,384 entries), and what a call returns.
#[derive(Debug)]
pub struct Store {
    pub(crate) engine: Engine,
    pub(crate) tail: RwLock<Tail>,
    writer: Mutex<Writer>,
    damage: Mutex<Noticed>,
    /// Keeps others out.
    folder: Option<Folder>,
    salvaged: Option<Salvaged>,
    /// Who is told of long work.
    pub(crate) watch: Watch,
}

/// What only the committing thread needs.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) epoch: u64,
    pub(crate) next: u64,
    pub(crate) log: Log,
    done: u64,
}

#[derive(Debug, Default)]
struct Noticed {
    keys: Vec<Vec<u8>>,
    sum: Damage,
}

impl Store {
    /// Opens the store of a folder, which is made if it isn't there. The folder is this store's
    /// alone until it is dropped; only its owner can read the file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        Self::open_watched(path, options, &Watch::default())
    }

    /// [`open`](Self::open), and tells how far it and later long work have come: looking at all of the store,
    /// and copying it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_watched(path: &Path, options: &Options, watch: &Watch) -> Result<Self, StoreError> {
        let folder = Folder::take(path)?;
        let was_there = folder.has_file();
        let file = folder.file()?;
        let emptied = match was_there && engine::is_unfinished(&file)? {
            true => Some(Salvaged::of_nothing(
                Backend::len(&file).map_err(at(path, "read"))?,
            )),
            false => None,
        };
        let (backend, opening) = watch.opening(Roomy::new(file));
        let opened = Self::over(backend, options);
        drop(opening);
        let (mut store, salvaged) = match opened {
            Ok(store) => (store, emptied),
            Err(StoreError::Damaged(reason)) => {
                let (mut salvaged, path) =
                    (salvage_in(&folder, options)?, folder.set_aside("damaged")?);
                folder.replace()?;
                (salvaged.reason, salvaged.aside) = (reason, Some(path));
                let store = Self::over(Arc::new(Roomy::new(folder.file()?)), options)?;
                (store, Some(salvaged))
            }
            Err(error) => return Err(error),
        };
        (store.folder, store.salvaged) = (Some(folder), salvaged);
        store.watch = watch.clone();
        Ok(store)
    }

    /// A store in memory: it lives as long as the value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn memory() -> Result<Self, StoreError> {
        let options = Options {
            cache_bytes: 8 << 20,
            verify: false,
        };
        Self::over(Arc::new(Memory::default()), &options)
    }

    /// Opens what is in a backend, or begins anew in an empty one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn over(backend: Arc<dyn Backend>, options: &Options) -> Result<Self, StoreError> {
        let engine = Engine::open(backend, options.engine_bytes(), options.verify)?;
        let view = engine.view()?;
        let new = meta::format(&view)?.is_none();
        drop(view);
        if new {
            engine.commit(vec![meta::format_row()], true)?;
        }
        let view = engine.view()?;
        let (writer, tail, damaged) = resume(&view)?;
        drop(view);
        let store = Self {
            engine,
            tail: RwLock::new(tail),
            writer: Mutex::new(writer),
            damage: Mutex::default(),
            folder: None,
            salvaged: None,
            watch: Watch::default(),
        };
        store.damaged(damaged);
        Ok(store)
    }

    /// Puts what can be read of a damaged store into an empty backend, which can be opened then.
    ///
    /// # Errors
    /// [`StoreError`], such as that of a backend.
    pub fn salvage(
        from: &dyn Backend,
        into: Arc<dyn Backend>,
        options: &Options,
    ) -> Result<Salvaged, StoreError> {
        let engine = Engine::open(into, options.engine_bytes(), false)?;
        let salvaged = salvage(from, &engine)?;
        engine.sync()?;
        Ok(salvaged)
    }

    /// What was saved when the store was opened, if its file was damaged so that it could not be
    /// used as it was. The file was given another name.
    #[must_use]
    pub fn salvaged(&self) -> Option<&Salvaged> {
        self.salvaged.as_ref()
    }

    /// The folder, if it is in one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// Takes the store for a broker that starts, in an epoch of its own. Whoever had it before can
    /// commit no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, node: NodeId) -> Result<Owner, StoreError> {
        let mut writer = self.writer();
        let epoch = Epoch(writer.epoch + 1);
        self.engine
            .commit(vec![meta::epoch_row(node, epoch)], true)?;
        writer.epoch = epoch.0;
        writer.done = 0;
        Ok(Owner { node, epoch })
    }

    /// Applies operations, all or none. Then the messages among them have their places
    /// ([`Message::log_seq`](ternmq_protocol::Message::log_seq)). Those that had one before are in
    /// the log already; applying an operation twice changes nothing.
    ///
    /// Takes as long as the disk, and with `Sync::Yes` as its flush.
    ///
    /// # Errors
    /// [`StoreError`]: nothing has changed, and the next commit may work.
    pub fn commit(
        &self,
        owner: Owner,
        ops: &[StoreOp],
        clock: Clock,
        sync: Sync,
    ) -> Result<Committed, StoreError> {
        let mut writer = self.writer();
        if writer.epoch != owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        let view = self.engine.view()?;
        let mut batch = Batch::new(clock, &view, writer.next);
        ops.iter().try_for_each(|op| batch.put(op))?;
        let (epoch, mut number) = (writer.epoch, writer.done);
        let mut changes = batch.finish(|stream| {
            number += 1;
            row::done(stream, epoch, number)
        });
        let (entries, seqs) = (
            std::mem::take(&mut batch.entries),
            std::mem::take(&mut batch.seqs),
        );
        let (fenced, block_bytes) = (std::mem::take(&mut batch.fenced), batch.bytes);
        self.set_aside(&view, &mut changes)?;
        drop(view);
        let fold = self.fold(&writer, false, &mut changes);
        let bytes = changes
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len))
            .sum::<usize>();
        if !changes.is_empty() || sync == Sync::Yes {
            self.engine.use_reserve(!ops.iter().any(adds));
            let committed = self.engine.commit(changes, sync == Sync::Yes);
            self.engine.use_reserve(true);
            committed?;
        }
        let before = writer.next;
        writer.done = number;
        for (op, seq) in appended(ops).zip(&seqs) {
            op.message.set_log_seq(*seq);
            writer.next = writer.next.max(seq + 1);
        }
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = fold {
            writer.log = log;
            tail.clear();
        }
        for (stream, seq) in entries {
            tail.add(stream, seq);
        }
        tail.add_bytes(block_bytes);
        tail.head = writer.next - 1;
        Ok(Committed {
            head: tail.head,
            appended: writer.next - before,
            bytes: bytes as u64,
            fenced,
        })
    }

    /// The last message of the log, 0 before there is one.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.tail().head
    }

    /// Bytes of the blocks of the log.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        let log = self.writer().log.bytes;
        log + self.tail().bytes()
    }

    /// Returns when all that was committed survives a loss of power.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    /// Gives room that is not used back to the file system. Nothing is committed or read meanwhile;
    /// takes as long as writing all that is kept.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is lost then.
    pub fn compact(&self) -> Result<Compacted, StoreError> {
        let _writer = self.writer();
        let before = self.engine.file_bytes()?;
        self.engine.compact()?;
        let after = self.engine.file_bytes()?;
        Ok(Compacted { before, after })
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// The environment's.
    pub fn file_bytes(&self) -> Result<u64, StoreError> {
        self.engine.file_bytes()
    }

    /// Damage met so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.noticed().sum
    }

    pub(crate) fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again at where the log is, after rows were written that no commit has made.
    pub(crate) fn resume(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let (found, tail, damaged) = resume(&self.engine.view()?)?;
        self.damaged(damaged);
        (writer.next, writer.log) = (found.next, found.log);
        *self.tail.write().unwrap_or_else(PoisonError::into_inner) = tail;
        Ok(())
    }

    fn noticed(&self) -> MutexGuard<'_, Noticed> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers damaged rows; the next commit sets them aside.
    pub(crate) fn damaged(&self, keys: Vec<Vec<u8>>) {
        if keys.is_empty() {
            return;
        }
        let mut noticed = self.noticed();
        for key in keys {
            if noticed.keys.len() < DAMAGED_ROWS && !noticed.keys.contains(&key) {
                noticed.sum.rows += 1;
                noticed.keys.push(key);
            }
        }
    }

    /// Copies what is damaged to where nobody reads it, and takes it away. A block is only copied:
    /// its other messages are served.
    fn set_aside(&self, view: &View<'_>, changes: &mut Vec<Change>) -> Result<(), StoreError> {
        let mut noticed = self.noticed();
        for key in std::mem::take(&mut noticed.keys) {
            let aside = row::key(kind::DAMAGED, &[&key]);
            if view.get(&aside, |_| ())?.is_some() {
                continue;
            }
            let Some(value) = view.get(&key, <[u8]>::to_vec)? else {
                continue;
            };
            // What is written over it in this very commit is not damaged any more.
            let replaced = changes.iter().any(|(changed, _)| *changed == key);
            match key[0] {
                kind::INDEX => {
                    let seqs = index::again(view, &key)?;
                    changes.push((key, None));
                    if let (Some(stream), false) = (row::number(&aside, 2), seqs.is_empty()) {
                        changes.push(index::rows_of(StreamKey(stream), &seqs));
                    }
                }
                kind::BLOCK => {}
                _ if replaced => {}
                _ => changes.push((key, None)),
            }
            changes.push((aside, Some(value)));
            noticed.sum.set_aside += 1;
        }
        Ok(())
    }

    /// Puts the tail into rows when it is time, or now.
    pub(crate) fn fold(
        &self,
        writer: &Writer,
        now: bool,
        changes: &mut Vec<Change>,
    ) -> Option<Log> {
        let tail = self.tail();
        let due = tail.is_full() || (now && tail.bytes() > 0);
        if !due {
            return None;
        }
        tail.rows(changes);
        let log = Log {
            next: writer.next,
            indexed: writer.next - 1,
            bytes: writer.log.bytes + tail.bytes(),
            ..writer.log
        };
        changes.push(log.row());
        Some(log)
    }
}

/// Whether an operation is one of those that fill a disk.
fn adds(op: &StoreOp) -> bool {
    matches!(
        op,
        StoreOp::Append(_) | StoreOp::PutRetained(_) | StoreOp::PutDelayed(..)
    )
}

/// Saves what can be read of a folder's file into one beside it.
fn salvage_in(folder: &Folder, options: &Options) -> Result<Salvaged, StoreError> {
    let from = folder.file()?;
    Store::salvage(&from, Arc::new(folder.beside()?), options)
}

fn appended(ops: &[StoreOp]) -> impl Iterator<Item = &ternmq_protocol::broker::durable::Append> {
    ops.iter().filter_map(|op| match op {
        StoreOp::Append(append) => Some(append),
        _ => None,
    })
}

/// Where the log was when it was closed, and which of the blocks without an index are damaged: nobody
/// finds what they have lost.
fn resume(view: &View<'_>) -> Result<(Writer, Tail, Vec<Vec<u8>>), StoreError> {
    let mut damaged = Vec::new();
    let log = Log::read(view)?;
    let mut tail = Tail::default();
    tail.floor = log.floor;
    let mut next = log.next.max(1);
    let from = row::block(log.indexed + 1);
    view.scan(&from, &row::end(&[kind::BLOCK]), |key, value| {
        let first = row::number(key, 1).unwrap_or_default();
        tail.add_bytes(value.len() as u64);
        let block = Block::new(value).ok();
        let records = block.into_iter().flat_map(|block| block.records());
        let mut read = 0;
        for record in records {
            record
                .streams()
                .for_each(|stream| tail.add(stream, record.seq));
            next = next.max(record.seq + 1);
            read += 1;
        }
        // Messages of it that can't be read have their numbers all the same.
        let count = block.and_then(|block| block.count());
        next = next.max(first + count.unwrap_or(value.len()) as u64);
        if count != Some(read) {
            damaged.push(key.to_vec());
        }
        Flow::Continue(())
    })?;
    tail.head = next - 1;
    let writer = Writer {
        epoch: meta::epoch(view)?,
        next,
        log,
        done: 0,
    };
    Ok((writer, tail, damaged))
}

#[cfg(test)]
mod tests;
