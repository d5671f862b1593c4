//! `ternmq store`: looks at and looks after the data folder of a server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use ternmq_broker::store::{self, Check, Options, Stage, Store, StoreError, Transferred, Watch};

use crate::cli::{Folder, FromFile, Restore, StoreArgs, StoreCommand, WithFile};
use crate::progress::Progress;
use crate::report::Report;
use crate::{FAILURE, SUCCESS, control, data};

/// Something is damaged.
const DAMAGED: u8 = 3;

/// Does what is asked for; the exit status.
pub(crate) fn run(args: &StoreArgs) -> Result<u8, String> {
    let quiet = args.quiet;
    match &args.command {
        StoreCommand::Check(folder) => check(folder, quiet),
        // Lines and a bar on one terminal would spoil each other.
        StoreCommand::Dump(folder) => dump(folder, quiet || io::stdout().is_terminal()),
        StoreCommand::Compact(folder) => compact(folder, quiet),
        StoreCommand::Backup(args) => backup(args, quiet),
        StoreCommand::Restore(args) => restore(args, quiet),
        StoreCommand::Export(args) => export(args, quiet),
        StoreCommand::Import(args) => import(args, quiet),
    }
}

/// Shows how far a store's work has come.
fn watch(hidden: bool) -> Watch {
    let bar: Mutex<Option<Progress>> = Mutex::default();
    Watch::by(move |at| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        if at.ended {
            *bar = None;
            return;
        }
        let (what, text) = match at.stage {
            Stage::Opening => ("opening", of_mib(at.done, at.of)),
            Stage::Reading => ("reading", format!("{} of {} rows", at.done, at.of)),
            Stage::Copying => ("copying", of_mib(at.done, at.of)),
        };
        bar.get_or_insert_with(|| Progress::new(what, hidden))
            .show(at.done as f64 / at.of.max(1) as f64, &text);
    })
}

fn of_mib(done: u64, of: u64) -> String {
    format!("{} of {} MiB", done >> 20, of.div_ceil(1 << 20))
}

/// The store of a folder that is there and that nobody uses. What had to be done to open it is told on
/// standard error.
fn open(path: &Path, watch: &Watch) -> Result<Store, String> {
    find(path)?;
    let store = Store::open_watched(path, &Options::default(), watch);
    let store = store.map_err(|error| words(&error))?;
    tell_what_is_saved(&store);
    Ok(store)
}

fn tell_what_is_saved(store: &Store) {
    if let Some(salvaged) = store.salvaged() {
        data::tell_what_is_saved(Report { json: false }, salvaged);
    }
}

/// A folder by another name would be made, and found empty.
fn find(path: &Path) -> Result<(), String> {
    match path.join("store.redb").exists() {
        true => Ok(()),
        false => Err(format!("there is no store in {}", path.display())),
    }
}

fn words(error: &ternmq_broker::store::EngineError) -> String {
    StoreError::from(error).to_string()
}

fn check(folder: &Folder, quiet: bool) -> Result<u8, String> {
    let store = open(&folder.data, &watch(quiet || folder.json))?;
    let check = store::check(&store).map_err(|error| error.to_string())?;
    if folder.json {
        tell(&json_of(&store, &check).to_string())?;
    } else {
        for (name, rows) in &check.kinds {
            let damaged = match rows.damaged {
                0 => String::new(),
                damaged => format!(", {damaged} damaged"),
            };
            tell(&format!(
                "{name}: {} rows, {} bytes{damaged}",
                rows.rows, rows.bytes
            ))?;
        }
        tell(&format!(
            "messages: {}, {} damaged, {} copies lost, {} entries that lead to none",
            check.messages, check.damaged_messages, check.lost_copies, check.dangling
        ))?;
    }
    match check.is_whole() && store.salvaged().is_none() {
        true => Ok(SUCCESS),
        false => Ok(DAMAGED),
    }
}

fn json_of(store: &Store, check: &Check) -> Value {
    let kinds = check.kinds.iter().map(|(name, rows)| {
        let rows = json!({ "rows": rows.rows, "bytes": rows.bytes, "damaged": rows.damaged });
        ((*name).to_owned(), rows)
    });
    json!({ "whole": check.is_whole(), "salvaged": store.salvaged().is_some(), "kinds": kinds.collect::<Map<_, _>>(), "messages": check.messages,
        "damaged_messages": check.damaged_messages, "dangling": check.dangling, "lost_copies": check.lost_copies })
}

fn dump(folder: &Folder, quiet: bool) -> Result<u8, String> {
    let store = open(&folder.data, &watch(quiet || folder.json))?;
    let mut out = Lines {
        out: BufWriter::new(io::stdout().lock()),
        json: folder.json,
        line: Vec::new(),
    };
    store::dump(&store, &mut out).map_err(|error| error.to_string())?;
    out.flush().map_err(|error| error.to_string())?;
    Ok(SUCCESS)
}

/// Lines of a dump, each an object if they are to be JSON.
struct Lines<W: Write> {
    out: W,
    json: bool,
    line: Vec<u8>,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.json {
            return self.out.write(bytes);
        }
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line);
            let (kind, says) = line.split_once(' ').unwrap_or((&line, ""));
            writeln!(self.out, "{}", json!({ "kind": kind, "row": says }))?;
            self.line.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn compact(folder: &Folder, quiet: bool) -> Result<u8, String> {
    let store = open(&folder.data, &watch(quiet || folder.json))?;
    let mut bar = Progress::new("compacting", quiet || folder.json);
    bar.wait();
    let done = store::compact(&store).map_err(|error| error.to_string())?;
    drop(bar);
    let (before, after) = (done.before, done.after);
    match folder.json {
        true => tell(&json!({ "before": before, "after": after }).to_string())?,
        false => tell(&format!("{before} bytes before, {after} after"))?,
    }
    Ok(SUCCESS)
}

/// Nothing is written over: it may be the only backup there is.
fn is_free(file: &Path) -> Result<(), String> {
    match file.exists() {
        false => Ok(()),
        true => Err(format!(
            "{} is there already, and nothing is written over: give another name, or remove it first",
            file.display()
        )),
    }
}

/// By the server that uses the folder, if one does.
fn backup(args: &WithFile, quiet: bool) -> Result<u8, String> {
    find(&args.folder.data)?;
    is_free(&args.file)?;
    let watch = watch(quiet || args.folder.json);
    let rows = match Store::open_watched(&args.folder.data, &Options::default(), &watch) {
        Ok(store) => {
            tell_what_is_saved(&store);
            store.backup(&args.file).map_err(|error| words(&error))?
        }
        Err(error) => match StoreError::from(&error) {
            StoreError::InUse(_) => {
                let mut bar = Progress::new("the server writes it", quiet || args.folder.json);
                bar.wait();
                let told = control::backup(&args.folder.data, &args.file)?;
                told["rows"].as_u64().unwrap_or_default()
            }
            error => return Err(error.to_string()),
        },
    };
    match args.folder.json {
        true => tell(&json!({ "rows": rows }).to_string())?,
        false => tell(&format!("{rows} rows"))?,
    }
    Ok(SUCCESS)
}

fn restore(args: &Restore, quiet: bool) -> Result<u8, String> {
    let there = args.data.join("store.redb").exists();
    if there && !args.force {
        return Err(format!(
            "there is a store in {} already: give another folder, or --force to have the backup take its place",
            args.data.display()
        ));
    }
    data::has_no_old_records(&args.data)?;
    let watch = watch(quiet || args.json);
    let done = store::restore(&args.data, &args.file, args.force, &watch).map_err(|error| {
        let way_out = match &error {
            StoreError::InUse(path) if args.file.parent() == Some(path) => {
                "; `ternmq store backup` makes a backup of it"
            }
            _ => "",
        };
        format!("{error}{way_out}")
    })?;
    let aside = done.aside.map(|path| path.display().to_string());
    if args.json {
        tell(&json!({ "rows": done.rows, "aside": aside }).to_string())?;
    } else {
        let aside = aside.map(|path| format!("; what was there is {path}"));
        tell(&format!("{} rows{}", done.rows, aside.unwrap_or_default()))?;
    }
    Ok(SUCCESS)
}

fn export(args: &WithFile, quiet: bool) -> Result<u8, String> {
    is_free(&args.file)?;
    let store = open(&args.folder.data, &watch(quiet || args.folder.json))?;
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let file = file.map_err(|error| format!("cannot make {}: {error}", args.file.display()))?;
    let mut out = BufWriter::new(file);
    let sum = store::export(&store, &mut out).map_err(|error| error.to_string())?;
    let written = out.into_inner().map_err(|error| error.to_string())?;
    written.sync_all().map_err(|error| error.to_string())?;
    tell_sum(args.folder.json, &sum)
}

fn import(args: &FromFile, quiet: bool) -> Result<u8, String> {
    let file = File::open(&args.file)
        .map_err(|error| format!("cannot read {}: {error}", args.file.display()))?;
    let new = !args.data.exists();
    let hidden = quiet || args.json;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let taken = Store::open_watched(&args.data, &Options::default(), &watch(hidden))
        .map_err(|error| words(&error))
        .and_then(|store| {
            tell_what_is_saved(&store);
            let counted = Counted {
                file,
                done: 0,
                length,
                bar: Progress::new("taking in", hidden),
            };
            let sum = store::import(&store, &mut BufReader::with_capacity(1 << 16, counted));
            sum.map_err(|error| error.to_string())
        });
    let nothing = taken.as_ref().map_or(true, |sum| {
        !sum.complete && sum.messages + sum.sessions + sum.retained + sum.delayed == 0
    });
    if new && nothing {
        // A server would begin in it as if that were all. What can't be removed is empty all the same.
        let _ = fs::remove_dir_all(&args.data);
    }
    tell_sum(args.json, &taken?)
}

/// A file that shows how much of it was read.
struct Counted {
    file: File,
    done: u64,
    length: u64,
    bar: Progress,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        self.done += read as u64;
        let part = self.done as f64 / self.length.max(1) as f64;
        self.bar.show(part, &of_mib(self.done, self.length));
        Ok(read)
    }
}

fn tell_sum(json: bool, sum: &Transferred) -> Result<u8, String> {
    let Transferred {
        messages,
        sessions,
        retained,
        delayed,
        damaged,
        complete,
    } = sum;
    if json {
        tell(&data::json_of_what_was_taken(sum).to_string())?;
    } else {
        let end = if *complete {
            ""
        } else {
            "; its end is missing"
        };
        tell(&format!(
            "{sessions} sessions, {messages} messages, {retained} retained, {delayed} delayed, \
             {damaged} damaged{end}"
        ))?;
    }
    match (damaged, complete) {
        (0, true) => Ok(SUCCESS),
        (_, true) => Ok(DAMAGED),
        (_, false) => Ok(FAILURE),
    }
}

fn tell(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|error| error.to_string())
}
