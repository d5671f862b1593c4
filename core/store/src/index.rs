//! Which messages are in which stream.
//!
//! In the file there is a row for a stream and up to [`ROW_SEQS`] of its messages, named by the first
//! of them. Such rows are written for many commits at once: with a hundred streams, a row of each
//! per commit would cost more than the messages. What is not in rows yet, the tail, is in memory,
//! and in the blocks it is made from when the store opens.

use std::collections::{BTreeSet, HashMap};

use ternmq_protocol::broker::durable::StreamKey;

use crate::block::Block;
use crate::engine::{Change, Flow, View};
use crate::error::StoreError;
use crate::row::{self, kind};

/// Messages in one row.
pub(crate) const ROW_SEQS: usize = 1024;

/// The tail goes into rows when it has so many entries,
const TAIL_ENTRIES: usize = 16_384;

/// or streams,
const TAIL_STREAMS: usize = 4_096;

/// or so many bytes of blocks, which are read again when the store opens.
const TAIL_BYTES: u64 = 8 << 20;

/// The part of the index that is in memory.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    streams: HashMap<StreamKey, Vec<u64>>,
    entries: usize,
    bytes: u64,
    /// The last message of the log, 0 before there is one.
    pub(crate) head: u64,
    /// Up to here messages were dropped before their time.
    pub(crate) floor: u64,
}

impl Tail {
    pub(crate) fn add(&mut self, stream: StreamKey, seq: u64) {
        self.streams.entry(stream).or_default().push(seq);
        self.entries += 1;
    }

    pub(crate) fn add_bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Bytes of the blocks that it is about.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it is to go into rows.
    pub(crate) fn is_full(&self) -> bool {
        self.entries >= TAIL_ENTRIES
            || self.streams.len() >= TAIL_STREAMS
            || self.bytes >= TAIL_BYTES
    }

    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.entries = 0;
        self.bytes = 0;
    }

    /// Appends the rows that hold all of it.
    pub(crate) fn rows(&self, changes: &mut Vec<Change>) {
        for (stream, seqs) in &self.streams {
            changes.extend(seqs.chunks(ROW_SEQS).map(|seqs| rows_of(*stream, seqs)));
        }
    }

    /// Passes on the messages of a stream behind `after` until `f` says to stop.
    fn of(&self, stream: StreamKey, after: u64, mut f: impl FnMut(u64) -> bool) {
        let seqs = self.streams.get(&stream).map_or(&[][..], |seqs| seqs);
        let from = seqs.partition_point(|seq| *seq <= after);
        for seq in &seqs[from..] {
            if !f(*seq) {
                return;
            }
        }
    }
}

/// The row of these messages of a stream, of which there is at least one.
pub(crate) fn rows_of(stream: StreamKey, seqs: &[u64]) -> Change {
    let key = row::index(stream, seqs.first().copied().unwrap_or_default());
    let value = row::seal(&key, |out| row::put_rising(out, seqs));
    (key, Some(value))
}

/// The lowest numbers that were given, so many at most.
#[derive(Debug)]
pub(crate) struct Lowest {
    seqs: BTreeSet<u64>,
    max: usize,
    /// Whether there were others.
    pub(crate) more: bool,
}

impl Lowest {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            seqs: BTreeSet::new(),
            max: max.max(1),
            more: false,
        }
    }

    /// Takes a number. False when it and all above it are not among the lowest.
    pub(crate) fn put(&mut self, seq: u64) -> bool {
        if self.seqs.len() < self.max {
            self.seqs.insert(seq);
            return true;
        }
        let last = self.seqs.last().copied().unwrap_or_default();
        if seq > last {
            self.more = true;
            return false;
        }
        if self.seqs.insert(seq) {
            self.seqs.pop_last();
            self.more = true;
        }
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.seqs.iter().copied()
    }
}

/// Takes the messages of a stream behind `after` from the tail.
pub(crate) fn from_tail(tail: &Tail, stream: StreamKey, after: u64, lowest: &mut Lowest) {
    tail.of(stream, after, |seq| lowest.put(seq));
}

/// Takes the messages of a stream behind `after` from rows, and from the blocks where a row is damaged,
/// whose key goes to `damaged` then.
pub(crate) fn from_rows(
    view: &View<'_>,
    stream: StreamKey,
    after: u64,
    mut take: impl FnMut(u64) -> bool,
    damaged: &mut Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    let begin = row::index(stream, 0);
    // The row that holds what comes behind `after` may begin before it.
    let first = view.last(
        &begin,
        &row::index(stream, after.saturating_add(1)),
        |key, _| key.to_vec(),
    )?;
    let end = row::end(&row::key(kind::INDEX, &[&stream.0.to_be_bytes()]));
    let mut broken = Vec::new();
    view.scan(first.as_deref().unwrap_or(&begin), &end, |key, value| {
        let mut goes_on = true;
        let whole = row::unseal(key, value).is_ok_and(|seqs| {
            row::rising(seqs, |seq| {
                goes_on = seq <= after || take(seq);
                goes_on
            })
        });
        if !whole {
            broken.push(key.to_vec());
        }
        match goes_on {
            true => Flow::Continue(()),
            false => Flow::Break(()),
        }
    })?;
    for key in &broken {
        for seq in again(view, key)? {
            if seq > after && !take(seq) {
                break;
            }
        }
    }
    damaged.extend(broken);
    Ok(())
}

/// What a damaged row of the index should hold, from the blocks.
pub(crate) fn again(view: &View<'_>, key: &[u8]) -> Result<Vec<u64>, StoreError> {
    let (Some(stream), Some(first)) = (row::number(key, 1), row::number(key, 9)) else {
        return Ok(Vec::new());
    };
    let end = row::end(&key[..9]);
    let mut next = u64::MAX;
    view.scan(&row::behind(key), &end, |key, _| {
        next = row::number(key, 9).unwrap_or(u64::MAX);
        Flow::Break(())
    })?;
    let mut seqs = Vec::new();
    let from = view.last(&row::block(0), &row::block(first), |key, _| key.to_vec())?;
    let (from, end) = (from.unwrap_or_else(|| row::block(first)), row::block(next));
    view.scan(&from, &end, |_, block| {
        for record in Block::new(block)
            .into_iter()
            .flat_map(|block| block.records())
        {
            let here = record.streams().any(|other| other.0 == stream);
            if here && record.seq >= first && record.seq < next && seqs.len() < ROW_SEQS {
                seqs.push(record.seq);
            }
        }
        match seqs.len() < ROW_SEQS {
            true => Flow::Continue(()),
            false => Flow::Break(()),
        }
    })?;
    Ok(seqs)
}
