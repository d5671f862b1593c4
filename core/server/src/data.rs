//! The server's folder: one server at a time, and a file that says where it listens.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
const LISTENERS: &str = "listeners";

/// A folder that no other server uses while this value lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Holds the lock of the operating system, which even a killed process gives back.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it isn't there, and takes it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        fs::create_dir_all(path).map_err(|e| format!("cannot make the folder {shown}: {e}"))?;
        let lock = File::create(path.join(LOCK))
            .map_err(|e| format!("cannot write to the folder {shown}: {e}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {
                Err(format!("the folder {shown} is in use by another server"))
            }
            Err(TryLockError::Error(e)) => Err(format!("cannot lock the folder {shown}: {e}")),
        }
    }

    /// Writes the URLs of the listeners, one a line. A reader sees all of them or none.
    pub(crate) fn write_listeners(&self, addresses: &[SocketAddr]) -> Result<(), String> {
        let write = || {
            let new = self.path.join("listeners.new");
            let mut file = File::create(&new)?;
            for address in addresses {
                writeln!(file, "{}", url(*address))?;
            }
            fs::rename(new, self.path.join(LISTENERS))
        };
        write().map_err(|e| format!("cannot write to {}: {e}", self.path.display()))
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // Whoever finds the file must be able to trust it. If it can't be removed, it is stale.
        let _ = fs::remove_file(self.path.join(LISTENERS));
    }
}

/// The URL of a listener.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("mqtt://{address}")
}
