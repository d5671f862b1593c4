//! What publishers and subscribers note down: all that the verdict looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What one publisher sends on one topic with one QoS: numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The publisher.
    pub publisher: u32,
    /// QoS of all its messages.
    pub qos: u8,
}

/// A message that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    /// Where it is from.
    pub stream: Stream,
    /// Its number there.
    pub number: u64,
    /// The QoS it came with.
    pub qos: u8,
    /// The DUP flag it came with.
    pub dup: bool,
}

/// What is to become of a will, or of a delayed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It comes once.
    Comes,
    /// It comes once or not at all: the server has not said.
    MayCome,
    /// It does not come.
    Never,
}

/// The same, and when.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Whether.
    pub fate: Fate,
    /// Not before that.
    pub due: Instant,
}

/// Everything that was noted in a run.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// How many of each stream were sent; acknowledged in the end were all.
    pub sent: BTreeMap<Stream, u64>,
    /// The numbers that were acknowledged before the last crash, by stream.
    pub acknowledged: BTreeMap<Stream, BTreeSet<u64>>,
    /// Messages that were refused, or may have been, while others behind them were taken: sent again, they come
    /// behind those.
    pub refused: BTreeMap<Stream, BTreeSet<u64>>,
    /// What came, in order, by subscriber; a subscriber may be several members of one group, whose
    /// messages stand one after the other.
    pub got: BTreeMap<String, Vec<Got>>,
    /// Which streams a subscriber is due, and with which highest QoS.
    pub due: BTreeMap<String, Vec<(Stream, u8)>>,
    /// Subscribers that share their messages: their order is not that of the publisher.
    pub shared: BTreeSet<String>,
    /// The retained message found on each publisher's topic at the end, and the number of the last that
    /// was acknowledged there.
    pub retained: BTreeMap<u32, (Option<u64>, u64)>,
    /// Wills and delayed messages by their payloads, and when they came.
    pub promised: BTreeMap<String, Promise>,
    /// The same that came.
    pub came: BTreeMap<String, Vec<Instant>>,
    /// What clients saw that must not be: a session that was lost, or one that came back from the dead.
    pub complaints: Vec<String>,
}
