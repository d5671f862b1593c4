//! The engines behind one face: ordered keys with values, changed in transactions.

use std::error::Error;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;

use fjall::config::BlockSizePolicy;
use fjall::{KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

/// What goes wrong ends a measurement.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// A key gets a value, or goes.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What each engine may keep in memory of what it has read and is about to write. The store gives
/// the engine as much by default.
const MEMORY: usize = 32 << 20;

/// What the store gives it while it reads a file that was not closed.
const CHECK_CACHE: usize = 128 << 10;

/// Takes a key with its value, and says whether to go on.
pub(crate) type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("ternmq");

/// An engine.
pub(crate) trait Engine {
    /// Applies changes, all or none. With `sync` it returns when they survive a loss of power;
    /// without, when they survive a SIGKILL or the next synced commit.
    fn commit(&self, changes: &[Change], sync: bool) -> Outcome<()>;

    /// Visits keys from `from` up to before `to`, in order.
    fn scan(&self, from: &[u8], to: &[u8], f: &mut Visitor<'_>) -> Outcome<()>;
}

/// Opens what is in a folder, whatever state it was left in.
pub(crate) fn open(name: &str, folder: &Path) -> Outcome<Box<dyn Engine>> {
    fs::create_dir_all(folder)?;
    let engine: Box<dyn Engine> = match name {
        "redb" => Box::new(Redb::open(folder)?),
        "fjall" => Box::new(Fjall::open(folder, false)?),
        "fjall-blobs" => Box::new(Fjall::open(folder, true)?),
        _ => return Err(format!("there is no engine {name}").into()),
    };
    File::open(folder)?.sync_all()?;
    Ok(engine)
}

struct Redb(Database);

impl Redb {
    fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join("store.redb");
        if path.exists() {
            // As the store does: with a small cache all of a file is read and repaired faster.
            let mut check = redb::Builder::new();
            check.set_cache_size(CHECK_CACHE);
            drop(check.create(&path)?);
        }
        let mut builder = redb::Builder::new();
        builder.set_cache_size(MEMORY);
        let database = builder.create(path)?;
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self(database))
    }
}

impl Engine for Redb {
    fn commit(&self, changes: &[Change], sync: bool) -> Outcome<()> {
        let mut transaction = self.0.begin_write()?;
        if !sync {
            transaction.set_durability(Durability::None)?;
        }
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in changes {
            match value {
                Some(value) => drop(table.insert(&key[..], &value[..])?),
                None => drop(table.remove(&key[..])?),
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn scan(&self, from: &[u8], to: &[u8], f: &mut Visitor<'_>) -> Outcome<()> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        for entry in table.range::<&[u8]>(from..to)? {
            let (key, value) = entry?;
            if f(key.value(), value.value()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

struct Fjall {
    database: fjall::Database,
    rows: fjall::Keyspace,
}

impl Fjall {
    /// With `blobs` what is larger than 1 KiB stands in files of its own, which are not merged with
    /// what is newer: fjall's own answer to large values.
    fn open(folder: &Path, blobs: bool) -> Outcome<Self> {
        let half = MEMORY as u64 / 2;
        let database = fjall::Database::builder(folder.join("fjall"))
            .cache_size(half)
            .max_journaling_size(64 << 20)
            .open()?;
        let rows = database.keyspace("ternmq", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(half)
                .data_block_size_policy(BlockSizePolicy::all(16 << 10))
                .with_kv_separation(blobs.then(KvSeparationOptions::default))
        })?;
        Ok(Self { database, rows })
    }
}

impl Engine for Fjall {
    fn commit(&self, changes: &[Change], sync: bool) -> Outcome<()> {
        let mode = match sync {
            true => PersistMode::SyncAll,
            false => PersistMode::Buffer,
        };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(&self.rows, &key[..], &value[..]),
                None => batch.remove(&self.rows, &key[..]),
            }
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, from: &[u8], to: &[u8], f: &mut Visitor<'_>) -> Outcome<()> {
        for entry in self.rows.range(from..to) {
            let (key, value) = entry.into_inner()?;
            if f(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
