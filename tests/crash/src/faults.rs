//! What goes wrong with a disk before the power does.

use std::io;

use crate::chance::Chance;

/// Something that is wrong with a disk, until it is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no room beyond what the file has.
    Full(u64),
    /// There is no room, not even for what would be written over: such file systems copy.
    NoRoom,
    /// Nothing can be written or synced.
    Broken,
    /// Each write stops halfway.
    Short,
    /// What is written is taken, and can't be synced.
    Unsynced,
}

impl Fault {
    /// Any of them, of a disk of so many bytes.
    pub(crate) fn any(bytes: u64, chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Full(bytes),
            1 => Self::NoRoom,
            2 => Self::Broken,
            3 => Self::Short,
            _ => Self::Unsynced,
        }
    }

    /// What becomes of a write that ends here: the error, and whether half of it is done.
    pub(crate) fn of_write(self, end: u64) -> Option<(io::Error, bool)> {
        match self {
            Self::Full(most) if end > most => Some((io::ErrorKind::StorageFull.into(), false)),
            Self::NoRoom => Some((io::ErrorKind::StorageFull.into(), false)),
            Self::Broken => Some((broken(), false)),
            Self::Short => Some((broken(), true)),
            Self::Full(_) | Self::Unsynced => None,
        }
    }

    /// What becomes of a sync.
    pub(crate) fn of_sync(self) -> Option<io::Error> {
        matches!(self, Self::Broken | Self::Unsynced).then(broken)
    }
}

/// EIO.
fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}
