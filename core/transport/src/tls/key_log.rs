//! Secrets of connections, written down for whoever looks at recorded traffic.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustls::KeyLog;

use super::error::TlsError;

/// Permissions: nobody else reads it.
const MODE: u32 = 0o600;

/// A file in the format of NSS (`SSLKEYLOGFILE`, RFC 9850), which Wireshark and tshark read.
pub(super) struct KeyLogFile(File);

impl KeyLogFile {
    /// Opens it to append to, and makes it if need be.
    ///
    /// # Errors
    /// It can't be opened, is no file, or others may read it.
    pub(super) fn open(path: &Path) -> Result<Arc<dyn KeyLog>, TlsError> {
        let failed = |error| TlsError::file(path, &error);
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(MODE).open(path);
        let file = file.map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let wrong = |why: &str| TlsError::KeyLog(path.to_owned(), why.to_owned());
        if !about.is_file() {
            return Err(wrong("it is no file"));
        }
        if about.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others may read it (chmod 600)"));
        }
        Ok(Arc::new(Self(file)))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = String::with_capacity(label.len() + 200);
        line.push_str(label);
        for bytes in [client_random, secret] {
            line.push(' ');
            for byte in bytes {
                for digit in [byte >> 4, byte & 15] {
                    line.extend(char::from_digit(digit.into(), 16));
                }
            }
        }
        line.push('\n');
        // One write for each line, so that lines of several threads and processes stay whole. With a full
        // disk the log lacks some; connections are worth more than it.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}
