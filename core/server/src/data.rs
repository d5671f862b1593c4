//! The server's folder: the store of its broker, a file that says where it listens, and a socket by which
//! other processes have the store backed up.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use ternmq_broker::store::{Options, Salvaged, Store, StoreError, Transferred};

use crate::control::Control;
use crate::http::Asking;
use crate::report::Report;

const LISTENERS: &str = "listeners";

/// The state of a server from before there was a log, and its name once it is taken in.
const OLD: &str = "records";
const TAKEN: &str = "records.taken";

/// The table `[store]` of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    /// Bytes of memory for what was read and what is to be written.
    cache: Option<usize>,
    /// Read all of the file at the start.
    verify: Option<bool>,
}

impl From<Table> for Options {
    fn from(table: Table) -> Self {
        let defaults = Self::default();
        Self {
            cache_bytes: table.cache.unwrap_or(defaults.cache_bytes),
            verify: table.verify.unwrap_or(defaults.verify),
        }
    }
}

/// A folder that no other server uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    store: Arc<Store>,
    path: PathBuf,
    control: Option<Control>,
}

impl DataFolder {
    /// Makes the folder if it isn't there, and takes it. What an older server has left is taken in, and told of
    /// if not all of it can be read.
    pub(crate) fn open(path: &Path, options: &Options, report: Report) -> Result<Self, String> {
        let store = Store::open(path, options);
        let store = store.map_err(|error| StoreError::from(&error).to_string())?;
        let taken = take_old_records(path, &store)
            .map_err(|error| format!("cannot take in {}: {error}", path.join(OLD).display()))?;
        if let Some(taken) = taken.filter(|taken| taken.damaged > 0 || !taken.complete) {
            tell_what_was_not_taken(report, &taken, &path.join(TAKEN));
        }
        Ok(Self {
            store: Arc::new(store),
            path: path.to_owned(),
            control: None,
        })
    }

    /// What the broker keeps its state in.
    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets other processes of the same user have the store backed up while the server runs.
    pub(crate) fn listen(&mut self, asking: Asking) -> Result<(), String> {
        self.control = Some(Control::in_folder(&self.path, &self.store, asking)?);
        Ok(())
    }

    /// Writes the URLs of the listeners, one a line. A reader sees all of them or none.
    pub(crate) fn write_listeners(&self, urls: &[String]) -> Result<(), String> {
        let write = || {
            let new = self.path().join("listeners.new");
            let mut file = File::create(&new)?;
            for url in urls {
                writeln!(file, "{url}")?;
            }
            fs::rename(new, self.path().join(LISTENERS))
        };
        write().map_err(|e| format!("cannot write to {}: {e}", self.path().display()))
    }
}

/// What an older server has left would be taken in at the next start, on top of what is there by then.
pub(crate) fn has_no_old_records(path: &Path) -> Result<(), String> {
    match path.join(OLD).exists() {
        false => Ok(()),
        true => Err(format!(
            "{} is the state of an older ternmq: move it away first",
            path.join(OLD).display()
        )),
    }
}

/// Says that a file was damaged so that it could not be used, and what has become of it.
pub(crate) fn tell_what_is_saved(report: Report, salvaged: &Salvaged) {
    let place = match &salvaged.aside {
        Some(path) => format!("; the damaged one is {}", path.display()),
        None => String::new(),
    };
    report.warning(
        &format!(
            "the data folder's file was damaged ({}): what could be read of it, {} rows, is in a new \
             one; {} rows and {} pages could not be read, entirely or in part{place}",
            salvaged.reason, salvaged.rows, salvaged.damaged, salvaged.pages
        ),
        json_of_what_is_saved(salvaged),
    );
}

fn json_of_what_is_saved(salvaged: &Salvaged) -> Value {
    json!({ "event": "warning", "what": "salvaged", "reason": salvaged.reason,
        "rows": salvaged.rows, "damaged": salvaged.damaged, "pages": salvaged.pages,
        "aside": salvaged.aside.as_ref().map(|path| path.display().to_string()) })
}

/// Says that the state of an older server could not be read whole: nobody else would notice.
fn tell_what_was_not_taken(report: Report, taken: &Transferred, file: &Path) {
    let end = match taken.complete {
        true => "",
        false => ", and its end is missing",
    };
    let mut told = json_of_what_was_taken(taken);
    told["event"] = "warning".into();
    told["what"] = "old_records".into();
    told["aside"] = file.display().to_string().into();
    report.warning(
        &format!(
            "the state of an older server was damaged: {} records of it can't be read{end}; \
             {} sessions, {} messages, {} retained and {} delayed ones were taken in; the file is kept as {}",
            taken.damaged,
            taken.sessions,
            taken.messages,
            taken.retained,
            taken.delayed,
            file.display()
        ),
        told,
    );
}

/// What went into a folder or out of one, for programs.
pub(crate) fn json_of_what_was_taken(taken: &Transferred) -> Value {
    json!({ "messages": taken.messages, "sessions": taken.sessions, "retained": taken.retained,
        "delayed": taken.delayed, "damaged": taken.damaged, "complete": taken.complete })
}

/// What a server has left that wrote all of its state into one file. The file stays, with another name.
fn take_old_records(path: &Path, store: &Store) -> Result<Option<Transferred>, String> {
    let old = path.join(OLD);
    let mut file = match File::open(&old) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let taken = ternmq_broker::store::import(store, &mut file);
    let taken = taken.map_err(|error| error.to_string())?;
    fs::rename(&old, path.join(TAKEN)).map_err(|error| error.to_string())?;
    Ok(Some(taken))
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Whoever finds the file must be able to trust it. If it can't be removed, it is stale.
        let _ = fs::remove_file(self.path().join(LISTENERS));
    }
}
