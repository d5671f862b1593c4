//! Files that people write, and what is wrong with them.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a file, some ten times what the most rules take.
const MAX_BYTES: u64 = 64 << 20;

/// Errors that are listed: whoever mends these sees the others.
pub(crate) const MAX_ERRORS: usize = 20;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line and column, in characters from 1; `None`: the whole file.
    pub at: Option<(usize, usize)>,
    /// What is wrong there.
    pub what: String,
}

impl FileError {
    pub(crate) fn at(file: &Path, line: usize, column: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            at: Some((line, column)),
            what: what.into(),
        }
    }

    /// Something about the whole file.
    pub(crate) fn of_all(file: &Path, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            at: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.what)
    }
}

impl std::error::Error for FileError {}

pub(crate) fn read_file(path: &Path) -> Result<String, Vec<FileError>> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let failed = |what: String| vec![FileError::of_all(path, what)];
    let bytes = read().map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(format!("more than {MAX_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("not a text in UTF-8".to_owned()))
}
