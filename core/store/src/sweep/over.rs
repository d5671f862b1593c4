//! What no session would be given, for each has more to read than it may.
//!
//! A session that has more to read than a limit allows is given the newest as far as that goes. So of one
//! stream nobody gets more than so much of the newest, whatever else is in their sessions' other streams, and
//! whatever the number of sessions: each stream is looked at once, from its end to the limit, or to where all
//! have read it.

use ternmq_protocol::broker::durable::StreamKey;

use crate::block::{Block, BlockRecord};
use crate::engine::View;
use crate::error::StoreError;
use crate::row::{self, kind};
use crate::store::Store;

use super::{Plan, SweepLimits, Swept};

/// Up to where nobody gets the messages of a stream, by each limit; 0 for nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Over {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Over {
    pub(super) fn up_to(self) -> u64 {
        self.messages.max(self.bytes)
    }
}

impl Plan {
    /// Whether somebody has not read a message of a stream that is no group's.
    pub(super) fn is_due(&self, stream: StreamKey, seq: u64) -> bool {
        self.floors.get(&stream).is_some_and(|floor| seq > *floor)
    }

    /// Counts a message that nobody gets any more.
    pub(super) fn count(&self, record: &BlockRecord<'_>, swept: &mut Swept) {
        let due = record.streams();
        let due = due.filter(|stream| self.is_due(*stream, record.seq));
        let over = due.filter_map(|stream| self.over.get(&stream)).next();
        *match over {
            Some(over) if record.seq <= over.messages => &mut swept.over_messages,
            Some(_) => &mut swept.over_bytes,
            None => &mut swept.passed,
        } += 1;
    }
}

/// Finds the streams with too much in them. What is not in rows of the index yet is newer, and stays.
pub(super) fn find(store: &Store, plan: &mut Plan, limits: &SweepLimits) -> Result<(), StoreError> {
    if limits.stream_messages.is_none() && limits.stream_bytes.is_none() {
        return Ok(());
    }
    let view = store.engine.view()?;
    for (stream, floor) in &plan.floors {
        if plan.not_local.contains(stream) {
            continue;
        }
        let over = of_stream(&view, *stream, *floor, limits)?;
        if over.up_to() > 0 {
            plan.over.insert(*stream, over);
        }
    }
    Ok(())
}

/// Walks a stream from its end until it is over one of the limits, or all have read what comes before.
fn of_stream(
    view: &View<'_>,
    stream: StreamKey,
    floor: u64,
    limits: &SweepLimits,
) -> Result<Over, StoreError> {
    let most = limits.stream_messages.unwrap_or(u64::MAX);
    let mut weigh = limits.stream_bytes.map(|most| (most, Lengths::default()));
    let (mut count, mut over) = (0, Over::default());
    let (begin, mut end) = (row::index(stream, 0), row::index(stream, u64::MAX));
    while let Some((first, seqs)) = view.last(&begin, &end, read_row)? {
        for seq in seqs.into_iter().rev() {
            if seq <= floor {
                return Ok(over);
            }
            count += 1;
            // Rows go as a whole, and sessions that read what is left of this one are to find its messages.
            let before = first.saturating_sub(1);
            if count > most {
                over.messages = before;
            }
            if let Some((most, lengths)) = &mut weigh
                && lengths.add(view, seq)? > *most
            {
                over.bytes = before;
            }
            if count > most || over.bytes > 0 {
                return Ok(over);
            }
        }
        let Some(before) = first.checked_sub(1) else {
            break;
        };
        end = row::index(stream, before);
    }
    Ok(over)
}

/// A row of the index: its first message by its name, and all. One that is damaged has none, and stays.
fn read_row(key: &[u8], value: &[u8]) -> (u64, Vec<u64>) {
    let mut seqs = Vec::new();
    if let Ok(all) = row::unseal(key, value) {
        row::rising(all, |seq| {
            seqs.push(seq);
            true
        });
    }
    (row::number(key, 9).unwrap_or_default(), seqs)
}

/// The lengths of messages' records, which are less than what the messages weigh in memory: so no more goes
/// than a session would drop. The blocks they are in are read one after the other.
#[derive(Default)]
struct Lengths {
    sum: u64,
    block: Vec<u8>,
}

impl Lengths {
    fn add(&mut self, view: &View<'_>, seq: u64) -> Result<u64, StoreError> {
        let here = |bytes: &[u8]| Block::new(bytes).is_ok_and(|block| block.holds(seq));
        if !here(&self.block) {
            let (from, last) = (vec![kind::BLOCK], row::block(seq));
            let found = view.last(&from, &last, |_, value| value.to_vec())?;
            self.block = found.unwrap_or_default();
        }
        let block = Block::new(&self.block).ok();
        let record = block.and_then(|block| block.find(seq));
        self.sum += record.map_or(0, |record| record.body.len() as u64);
        Ok(self.sum)
    }
}
