//! The server's folder: the store of its broker, and a file that says where it listens.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use ternmq_broker::store::FolderStore;

const LISTENERS: &str = "listeners";

/// A folder that no other server uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    store: Arc<FolderStore>,
}

impl DataFolder {
    /// Makes the folder if it isn't there, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let store = FolderStore::open(path).map_err(|error| error.to_string())?;
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// What the broker keeps its state in.
    pub(crate) fn store(&self) -> Arc<FolderStore> {
        self.store.clone()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.store.path()
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

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Whoever finds the file must be able to trust it. If it can't be removed, it is stale.
        let _ = fs::remove_file(self.path().join(LISTENERS));
    }
}
