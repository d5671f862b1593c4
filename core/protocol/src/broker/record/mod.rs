//! What outlives the process: sessions and messages as records, and how a [`Shard`] gives and takes
//! them.
//!
//! # A record
//! One byte of version, then fields: a tag of one byte, a length as in MQTT (1 to 4 bytes), so many
//! bytes. A field that is absent has its default; one that occurs several times is a list. A reader
//! keeps the fields of a record that it does not know and writes them again behind its own. So a
//! field may be added without a new version; the version goes up when a field changes its meaning,
//! and a reader accepts its own version and the one before.
//!
//! # A frame
//! Records stand in [`Frame`]s, which have their name, their length and a checksum. Messages are
//! written once each, before the first session that refers to them by their [`LogPos`]: however many
//! sessions one waits for, it is one frame, and after a restart it is one [`Message`] again.
//!
//! [`Shard`]: super::Shard
//! [`Message`]: crate::message::Message

mod export;
mod fields;
mod frame;
mod id;
mod message;
mod restore;
mod session;
mod subscription;

pub use frame::{FRAME_HEAD, Found, Frame, FrameKind, MARKER, MAX_BODY, Start, next_marker};
pub use id::{
    Epoch, LogPos, NodeId, Owner, PARTITION_LEVELS, PARTITIONS, Rev, SessKey, topic_partition,
};
pub use message::{
    DelayedRecord, decode_message, decode_retained, encode_message, encode_retained,
};
pub use restore::Restored;
pub use session::{CopyRecord, InFlightRecord, SessionRecord, SubscriptionRecord, WillRecord};

#[cfg(test)]
mod tests;

/// The version that records are written in.
pub const RECORD_VERSION: u8 = 1;

/// The oldest version that is read.
const OLDEST_VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Written by a newer program, in this version: not to be touched, nor to be lost.
    Newer(u8),
    /// Not what any version writes: what is wrong.
    Damaged(&'static str),
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer(version) => write!(
                f,
                "it has version {version}; this program reads up to {RECORD_VERSION}"
            ),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Takes the version off.
fn open(bytes: &[u8]) -> Result<fields::Reader<'_>, RecordError> {
    match bytes.split_first() {
        Some((OLDEST_VERSION..=RECORD_VERSION, fields)) => Ok(fields::Reader(fields)),
        Some((newer, _)) if *newer > RECORD_VERSION => Err(RecordError::Newer(*newer)),
        _ => Err(RecordError::Damaged("no version")),
    }
}
