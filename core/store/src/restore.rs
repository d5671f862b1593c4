//! A backup becomes a folder's store.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ternmq_protocol::time::Clock;

use crate::engine::{Engine, is_unfinished};
use crate::error::StoreError;
use crate::folder::{Folder, at, is_used};
use crate::meta;
use crate::store::{Options, Store};
use crate::watch::{Stage, Watch};

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Rows of the store.
    pub rows: u64,
    /// What was there before has this name now.
    pub aside: Option<PathBuf>,
}

impl Store {
    /// Puts a copy of what [`backup`](Self::backup) wrote into a folder, which is made if it isn't there. All
    /// of the copy is read before it takes its place, which it does at once and for good. A store that is
    /// there stays as it is, or, with `replace`, gets another name.
    ///
    /// # Errors
    /// [`StoreError`]: a folder that is in use or has a store, a backup that is damaged, of a newer program or
    /// no store at all, or is the file of a folder in use. Nothing has changed then.
    pub fn restore(
        path: &Path,
        backup: &Path,
        replace: bool,
        clock: Clock,
        watch: &Watch,
    ) -> Result<Restored, StoreError> {
        let from = File::open(backup).map_err(at(backup, "read"))?;
        if is_used(backup) {
            let folder = backup.parent().unwrap_or(backup);
            return Err(StoreError::InUse(folder.to_owned()));
        }
        let new = !path.exists();
        let restored = Folder::take(path).and_then(|folder| {
            let restored = restore_into(&folder, from, replace, clock, watch);
            if restored.is_err() {
                // What can't be removed is written over by the next one.
                folder.forget_beside();
            }
            restored
        });
        if new && restored.is_err() {
            // A server would begin in it as if that were all.
            let _ = fs::remove_dir_all(path);
        }
        restored
    }
}

fn restore_into(
    folder: &Folder,
    from: File,
    replace: bool,
    clock: Clock,
    watch: &Watch,
) -> Result<Restored, StoreError> {
    let there = folder.has_file();
    if there && !replace {
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "it has a store already");
        return Err(at(folder.path(), "restore into")(error));
    }
    copy(from, folder.beside()?, watch).map_err(at(folder.path(), "copy into"))?;
    let rows = verified(folder, clock, watch)?;
    let aside = match there {
        true => Some(folder.set_aside("replaced")?),
        false => None,
    };
    folder.replace()?;
    Ok(Restored { rows, aside })
}

fn copy(mut from: File, mut into: File, watch: &Watch) -> io::Result<()> {
    let mut pass = watch.begin(Stage::Copying, from.metadata()?.len());
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return into.sync_all();
        }
        into.write_all(&chunk[..read])?;
        pass.step(read as u64);
    }
}

/// Reads all of a new file; how many rows it has.
fn verified(folder: &Folder, clock: Clock, watch: &Watch) -> Result<u64, StoreError> {
    let file = folder.kept_beside()?;
    if is_unfinished(&file)? {
        return Err(StoreError::damaged("nothing is in the backup"));
    }
    let options = Options::default();
    let (backend, opening) = watch.opening(file);
    let engine = Engine::open(backend, options.cache_bytes / 2, true)?;
    drop(opening);
    let is_ours = meta::format(&engine.view()?)?.is_some();
    drop(engine);
    if !is_ours {
        return Err(StoreError::damaged("the backup has no store of ternmq"));
    }
    let options = Options {
        verify: false,
        ..options
    };
    let mut store = Store::over(Arc::new(folder.kept_beside()?), &options)?;
    store.watch = watch.clone();
    let check = store.check(clock)?;
    match check.is_whole() {
        true => Ok(check.kinds.values().map(|rows| rows.rows).sum()),
        false => Err(StoreError::damaged(
            "rows of the backup can't be read; as `store.redb` in a folder of its own it is opened all the \
             same, without them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::broker::record::NodeId;
    use ternmq_protocol::time::{Time, UnixMs};

    fn clock() -> Clock {
        Clock::at(Time(1), UnixMs(1_800_000_000_000))
    }

    #[test]
    fn a_backup_takes_its_place_only_when_all_of_it_can_be_read() {
        let folder = std::env::temp_dir().join(format!("ternmq-restore-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let (live, into, copy) = (
            folder.join("live"),
            folder.join("into"),
            folder.join("copy"),
        );
        let store = Store::open(&live, &Options::default()).unwrap();
        let owner = store.begin(NodeId(1)).unwrap();
        store.backup(&copy).unwrap();
        let restore =
            |from: &Path, replace| Store::restore(&into, from, replace, clock(), &Watch::default());
        // The file of a store that somebody has open may change while it is read.
        let used = restore(&live.join("store.redb"), false).unwrap_err();
        assert!(matches!(used, StoreError::InUse(_)), "{used}");
        let whole = fs::read(&copy).unwrap();
        let rows = restore(&copy, false).unwrap().rows;
        assert!(rows >= 2, "{rows}");
        let before = fs::read(into.join("store.redb")).unwrap();
        let mut flipped = whole.clone();
        // Of the epoch's row, whose name is found once in the file.
        let at = flipped
            .windows(5)
            .position(|some| some == b"epoch")
            .unwrap();
        flipped[at + 12] ^= 1;
        for bad in [
            &b""[..],
            b"words",
            &[0; 70_000],
            &whole[..whole.len() / 2],
            &flipped,
        ] {
            fs::write(&copy, bad).unwrap();
            let error = restore(&copy, true).unwrap_err();
            assert!(
                matches!(error, StoreError::Damaged(_)),
                "{} {error}",
                bad.len()
            );
            assert_eq!(fs::read(into.join("store.redb")).unwrap(), before);
            assert!(!into.join("store.redb.new").exists());
        }
        fs::write(&copy, &whole).unwrap();
        let there = restore(&copy, false).unwrap_err();
        assert!(there.to_string().contains("has a store already"), "{there}");
        let aside = restore(&copy, true).unwrap().aside.unwrap();
        assert_eq!(fs::read(aside).unwrap(), before);
        let restored = Store::open(&into, &Options::default()).unwrap();
        assert_eq!(
            restored.begin(NodeId(1)).unwrap().epoch.0,
            owner.epoch.0 + 1
        );
        let in_use = restore(&copy, true).unwrap_err();
        assert!(matches!(in_use, StoreError::InUse(_)), "{in_use}");
        drop((store, restored));
        fs::remove_dir_all(folder).unwrap();
    }
}
