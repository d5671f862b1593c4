//! What can go wrong with a store.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::meta::FORMAT;

/// What can be done about a store that a newer program wrote.
pub(crate) const WAY_OUT: &str = "it is left as it is; use the newer ternmq that wrote it, or have that \
                                  one `store export` it and `store import` the file here into another \
                                  folder, or begin with another folder";

/// Why a store did not do what it was asked to. Nothing of it is done then.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has the folder.
    InUse(PathBuf),
    /// Somebody else has begun with the store since.
    Fenced,
    /// A newer program wrote it, in this format: it is left as it is.
    Newer(u32),
    /// It has something already, and was to take in what another has.
    NotEmpty,
    /// Something is larger than the format allows.
    TooLarge,
    /// The file is damaged where this was to be read: what is wrong.
    Damaged(String),
    /// The environment refused, such as a full disk: what was tried, and what it said. The store
    /// works again as soon as the environment does.
    Io(String, io::Error),
}

impl StoreError {
    /// Whether the disk is full, or the file as large as the system lets this process make one.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, StorageFull};
        matches!(self, Self::Io(_, error) if matches!(error.kind(), StorageFull | FileTooLarge))
    }

    pub(crate) fn damaged(what: impl fmt::Display) -> Self {
        Self::Damaged(what.to_string())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "the store {} is in use by another process",
                path.display()
            ),
            Self::Fenced => f.write_str("another broker has taken the store over"),
            Self::Newer(version) => write!(
                f,
                "the store has format {version}; this program reads up to {FORMAT}: {WAY_OUT}"
            ),
            Self::NotEmpty => f.write_str("the store is not empty"),
            Self::TooLarge => f.write_str("it is larger than the store's format allows"),
            Self::Damaged(what) => write!(f, "the store is damaged: {what}"),
            Self::Io(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_not_grow_is_as_full_as_a_disk() {
        let is_full = |kind: io::ErrorKind| StoreError::Io("write".into(), kind.into()).is_full();
        assert!(is_full(io::ErrorKind::StorageFull));
        assert!(is_full(io::ErrorKind::FileTooLarge));
        assert!(!is_full(io::ErrorKind::PermissionDenied));
        // What the system says at the limit of a file's size.
        #[cfg(target_os = "linux")]
        assert!(StoreError::Io("write".into(), io::Error::from_raw_os_error(27)).is_full());
    }
}
