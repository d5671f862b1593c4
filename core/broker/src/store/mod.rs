//! Where a broker keeps what outlives it: sessions that do not end with their connections, a log of the
//! messages that they are due, retained and delayed messages.
//!
//! Shards hand in what changes, one thread makes commits of it, others read pages of the log for
//! sessions that have been away. No shard waits for a disk, and nothing is acknowledged before the
//! disk has it.

mod carried;
mod clear;
mod committer;
mod desk;
mod holds;
mod intake;
mod keeper;
mod poster;
mod readers;
mod restore;
mod sweeper;
mod transfer;

use std::time::{SystemTime, UNIX_EPOCH};

use ternmq_protocol::broker::record::NodeId;
use ternmq_protocol::time::UnixMs;

pub use crate::error::StoreError;
pub use clear::clear;
pub use restore::Restoration;
pub use ternmq_store::StoreError as EngineError;
pub use ternmq_store::{
    Backend, Check, Compacted, Damage, Memory, Options, Progress, Restored, Salvaged, Stage, Store,
    Transferred, Watch,
};
pub use transfer::{check, compact, dump, export, import, restore};

pub(crate) use desk::{Desk, READS};
pub(crate) use keeper::Keeper;

/// How much of the log is kept for sessions that have not had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Seconds after which a message goes, 0 for never, by the system's clock: one that is set ahead by more has
    /// all go that wait, one that is set back keeps them for so much longer. It is counted
    /// ([`StoreStats::swept_old`](crate::StoreStats::swept_old)).
    pub age_seconds: u64,
    /// Bytes of messages beyond which the oldest go, 0 without limit. They are counted
    /// ([`StoreStats::swept_full`](crate::StoreStats::swept_full)) and told of
    /// ([`Event::LogFull`](crate::Event::LogFull)). 16 GiB unless said otherwise.
    pub bytes: u64,
    /// Messages that one session may have still to read, counted since it fell behind in this start; 0
    /// without limit. Beyond it its oldest are dropped when their turn comes, and counted
    /// ([`Dropped::queue_items`](ternmq_protocol::broker::Dropped::queue_items)), or, of a session whose turn
    /// does not come, with a sweep, once each whatever the number of sessions
    /// ([`StoreStats::swept_session_messages`](crate::StoreStats::swept_session_messages)).
    pub session_messages: u32,
    /// The same for their bytes
    /// ([`Dropped::queue_bytes`](ternmq_protocol::broker::Dropped::queue_bytes),
    /// [`StoreStats::swept_session_bytes`](crate::StoreStats::swept_session_bytes)).
    pub session_bytes: u64,
    /// Milliseconds between two times at least that is looked for what may go; also for what all have had.
    pub sweep_ms: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            age_seconds: 0,
            bytes: 16 << 30,
            session_messages: 0,
            session_bytes: 0,
            sweep_ms: 5_000,
        }
    }
}

impl LogLimits {
    /// What one session may have to read, in messages and bytes, as a shard counts it.
    pub(crate) fn backlog(&self) -> (u32, u64) {
        let (messages, bytes) = (self.session_messages, self.session_bytes);
        (
            if messages == 0 { u32::MAX } else { messages },
            if bytes == 0 { u64::MAX } else { bytes },
        )
    }
}

/// The node that a broker by itself is.
pub(crate) const NODE: NodeId = NodeId(1);

/// Now by the wall clock. One before 1970 shows 1970.
pub(crate) fn utc_now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMs(since.map_or(0, |since| since.as_millis() as u64))
}
