//! What a sweep goes by, and what it has done.

/// How long and how much a store keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepLimits {
    /// Up to here in the log every shard has seen all messages, so that whoever subscribes from now
    /// on begins behind it. Nothing behind it goes.
    pub settled: u64,
    /// Milliseconds after which messages go though somebody waits for them, by the system's clock when their
    /// block was written and now: one that is set ahead by more has all of them go, one that is set back keeps
    /// them, and what comes behind them, for so much longer.
    pub max_age_ms: Option<u64>,
    /// Bytes of the log's blocks beyond which the oldest messages go though somebody waits for
    /// them. The last 8 MiB always stay.
    pub max_bytes: Option<u64>,
    /// Messages of one stream beyond which the oldest go though sessions wait for them, none of which
    /// would be given them: that many each may have to read. Not where a subscription has No Local, for
    /// whose session it is another number.
    pub stream_messages: Option<u64>,
    /// The same for their bytes.
    pub stream_bytes: Option<u64>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Messages that nobody waited for any more.
    pub passed: u64,
    /// Messages that somebody waited for and that were too old.
    pub aged: u64,
    /// Messages that somebody waited for and for which there was no room.
    pub over_limit: u64,
    /// Messages of shared subscriptions, once for each, that were not done when the last member had left, or when
    /// a later group of the same name began.
    pub left: u64,
    /// Messages that all who waited for them had too many behind of.
    pub over_messages: u64,
    /// The same for too many bytes.
    pub over_bytes: u64,
    /// Messages that could not be read.
    pub damaged: u64,
    /// Blocks that are gone.
    pub blocks: u64,
    /// Blocks that were written again with what is left of them.
    pub rewritten: u64,
    /// Rows of the index, and of what is done, that are gone.
    pub rows: u64,
    /// Bytes that blocks take less.
    pub bytes: u64,
}
