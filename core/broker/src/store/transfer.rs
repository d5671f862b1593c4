//! What can be done with a store by who has it open and runs no broker on it.

use std::io::{Read, Write};
use std::path::Path;

use ternmq_protocol::time::{Clock, Time};
use ternmq_store::{Check, Compacted, Restored, Store, Transferred, Watch};

use super::{NODE, StoreError, utc_now};

/// Writes all that a store holds in the format that `ternmq_store` documents.
///
/// # Errors
/// [`StoreError`].
pub fn export(store: &Store, out: &mut dyn Write) -> Result<Transferred, StoreError> {
    let mut export = || store.export(store.begin(NODE)?, now(), out);
    export().map_err(|error| (&error).into())
}

/// Takes in what [`export`] has written, or a `ternmq` without a log, which had all in one file. The store
/// must have nothing so far.
///
/// # Errors
/// [`StoreError`].
pub fn import(store: &Store, input: &mut dyn Read) -> Result<Transferred, StoreError> {
    let mut import = || store.import(store.begin(NODE)?, now(), input);
    import().map_err(|error| (&error).into())
}

/// Puts a copy of a backup into a folder that nobody uses, when all of it could be read. With `replace` a store
/// that is there gets another name; without, it is an error.
///
/// # Errors
/// [`StoreError`]: nothing has changed then.
pub fn restore(
    folder: &Path,
    backup: &Path,
    replace: bool,
    watch: &Watch,
) -> Result<Restored, StoreError> {
    Store::restore(folder, backup, replace, now(), watch).map_err(|error| (&error).into())
}

/// Reads everything.
///
/// # Errors
/// [`StoreError`], if it can't be read at all.
pub fn check(store: &Store) -> Result<Check, StoreError> {
    store.check(now()).map_err(|error| (&error).into())
}

/// Writes a line for each row of a store: what it is, a space, what it says. What clients have said is shown
/// by its length alone.
///
/// # Errors
/// [`StoreError`].
pub fn dump(store: &Store, out: &mut dyn Write) -> Result<(), StoreError> {
    store.dump(now(), out).map_err(|error| (&error).into())
}

/// Gives room back to the file system.
///
/// # Errors
/// [`StoreError`].
pub fn compact(store: &Store) -> Result<Compacted, StoreError> {
    store.compact().map_err(|error| (&error).into())
}

fn now() -> Clock {
    Clock::at(Time(0), utc_now())
}
