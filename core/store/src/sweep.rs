//! What nobody waits for any more goes.
//!
//! A row of the index goes when all who subscribe to its stream have read beyond its last message.
//! Each block has a count of the entries of the index that lead to it, kept once the first has gone;
//! without any left it goes too. When three quarters have gone it is written again with the rest, so
//! that one session that is slow keeps its own messages and not those beside them.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use ternmq_protocol::broker::durable::StreamKey;
use ternmq_protocol::broker::record::{
    LogPos, Owner, RecordError, SessionRecord, SubscriptionRecord,
};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::time::Clock;

use crate::block::{Block, BlockRecord, BlockWriter};
use crate::engine::{Change, Flow, View};
use crate::error::StoreError;
use crate::meta::Log;
use crate::read::{self, Done};
use crate::row::{self, kind, put_number, take_number};
use crate::store::Store;

mod forget;
mod indexed;
mod limits;
mod over;

use indexed::is_indexed;
pub use limits::{SweepLimits, Swept};
use over::Over;

/// Rows of the index, or blocks, that are looked at in one transaction: other commits wait for it.
const ROWS: usize = 256;

/// Messages whose entries may go in one transaction: each may be a block of its own.
const PASSED: usize = 4096;

/// Rows of what is done in one stream that are put together.
const DONE_ROWS: usize = 32;

/// Numbers of what is done in one row.
const DONE_SEQS: usize = 4096;

/// What begins a shared subscription's filter.
const SHARE: &str = "$share/";

/// What begins an exclusive subscription's filter.
const EXCLUSIVE: &str = ternmq_protocol::broker::EXCLUSIVE_PREFIX;

/// Who waits for what.
#[derive(Debug, Default)]
struct Plan {
    /// Of each stream, up to where all have read. Streams that are not here have nobody.
    floors: HashMap<StreamKey, u64>,
    groups: HashSet<StreamKey>,
    /// Of streams with more than a session may have to read, up to where nobody gets them.
    over: HashMap<StreamKey, Over>,
    /// Streams of subscriptions with No Local.
    not_local: HashSet<StreamKey>,
    /// Messages that records of sessions refer to.
    held: HashSet<u64>,
    settled: u64,
}

impl Plan {
    fn make(view: &View<'_>, settled: u64, clock: Clock) -> Result<Self, StoreError> {
        let mut plan = Self {
            settled,
            ..Self::default()
        };
        let mut cursors: HashMap<[u8; 16], u64> = HashMap::new();
        let mut newer = None;
        view.scan(
            &[kind::SESSION],
            &row::end(&[kind::SESSION]),
            |key, value| {
                let (Ok(mut body), Ok(session)) = (row::unseal(key, value), key[1..].try_into())
                else {
                    return Flow::Continue(());
                };
                take_number(&mut body);
                let held = &mut plan.held;
                let find = |at: LogPos| {
                    held.insert(at.seq);
                    None
                };
                match SessionRecord::decode_whole(body, clock, find) {
                    Ok(record) => drop(cursors.insert(session, record.cursor)),
                    Err(RecordError::Newer(version)) => newer = Some(version),
                    Err(RecordError::Damaged(_)) => {}
                }
                Flow::Continue(())
            },
        )?;
        let prefix = [kind::SUBSCRIPTION];
        view.scan(&prefix, &row::end(&prefix), |key, value| {
            let cursor = key.get(1..17).and_then(|session| cursors.get(session));
            match row::unseal(key, value).map(SubscriptionRecord::read) {
                Ok(Ok(record)) => plan.subscription(&record, cursor.copied().unwrap_or(0)),
                Ok(Err(RecordError::Newer(version))) => newer = Some(version),
                _ => {}
            }
            Flow::Continue(())
        })?;
        match newer {
            Some(version) => Err(StoreError::Newer(version.into())),
            None => Ok(plan),
        }
    }

    fn subscription(&mut self, record: &SubscriptionRecord, cursor: u64) {
        if record.options.qos == QoS::AtMostOnce {
            return; // It gets nothing from the log.
        }
        let own = StreamKey::of(&record.filter);
        if record.filter.starts_with(SHARE) {
            self.groups.insert(own);
            return;
        }
        let reached = cursor.max(record.since).min(self.settled);
        let plain = record.filter.strip_prefix(EXCLUSIVE).map(StreamKey::of);
        for stream in [Some(own), plain].into_iter().flatten() {
            let floor = self.floors.entry(stream).or_insert(reached);
            *floor = reached.min(*floor);
            if record.options.no_local {
                self.not_local.insert(stream);
            }
        }
    }
}

/// The work of one sweep.
struct Sweep<'a> {
    store: &'a Store,
    plan: Plan,
    /// What is done in the streams of groups, also of those that nobody is in any more.
    done: HashMap<StreamKey, Done>,
    /// Streams that groups hold which the store does not know of.
    held: &'a dyn Fn(StreamKey) -> bool,
    swept: Swept,
    /// The tail of the index is in rows.
    folded: bool,
    owner: Owner,
    clock: Clock,
}

impl Store {
    /// Takes away what nobody waits for any more, and what is beyond the limits. Any thread may do it
    /// while another commits; it works in short transactions, and takes about a second for a million
    /// subscriptions.
    ///
    /// A session that is not stored yet is not known: what it waits for is behind
    /// [`settled`](SweepLimits::settled).
    ///
    /// # Errors
    /// [`StoreError`]: what was done before stays done.
    pub fn sweep(
        &self,
        owner: Owner,
        limits: &SweepLimits,
        clock: Clock,
    ) -> Result<Swept, StoreError> {
        self.sweep_but(owner, limits, &|_| false, clock)
    }

    /// The same, but for what is not done in streams of shared subscriptions that are `held`: by members that the
    /// store does not know of. That nobody holds one any more may only be said between two sweeps.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep).
    pub fn sweep_but(
        &self,
        owner: Owner,
        limits: &SweepLimits,
        held: &dyn Fn(StreamKey) -> bool,
        clock: Clock,
    ) -> Result<Swept, StoreError> {
        let settled = limits.settled.min(self.head());
        let view = self.engine.view()?;
        let plan = Plan::make(&view, settled, clock)?;
        drop(view);
        let mut sweep = Sweep {
            store: self,
            plan,
            done: HashMap::new(),
            held,
            swept: Swept::default(),
            folded: false,
            owner,
            clock,
        };
        sweep.step(|sweep, view, writer, changes| sweep.load(view, writer, changes))?;
        over::find(self, &mut sweep.plan, limits)?;
        sweep.drop_oldest(limits)?;
        sweep.pass_streams()?;
        sweep.step(|sweep, view, writer, changes| sweep.forget_done(view, writer, changes))?;
        sweep.step(|sweep, view, writer, changes| sweep.release(view, writer, changes))?;
        if sweep.swept.blocks + sweep.swept.rows > 0 {
            // Only then the engine can use the room again.
            self.engine.commit(Vec::new(), true)?;
        }
        Ok(sweep.swept)
    }
}

impl Sweep<'_> {
    /// One transaction.
    fn step<T>(
        &mut self,
        f: impl FnOnce(&mut Self, &View<'_>, &mut Log, &mut Vec<Change>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.store;
        let mut writer = store.writer();
        if writer.epoch != self.owner.epoch.0 {
            return Err(StoreError::Fenced);
        }
        let mut changes = Vec::new();
        let fold = match self.folded {
            true => None,
            false => store.fold(&writer, true, &mut changes),
        };
        let mut log = fold.unwrap_or(writer.log);
        let swept = self.swept;
        let view = store.engine.view()?;
        let result = f(self, &view, &mut log, &mut changes);
        drop(view);
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                self.swept = swept;
                return Err(error);
            }
        };
        if changes.is_empty() {
            self.folded = true;
            return Ok(result);
        }
        changes.push(log.row());
        if let Err(error) = store.engine.commit(changes, false) {
            self.swept = swept;
            return Err(error);
        }
        self.folded = true;
        writer.log = log;
        let mut tail = store.tail.write().unwrap_or_else(PoisonError::into_inner);
        if fold.is_some() {
            tail.clear();
        }
        tail.floor = log.floor;
        Ok(result)
    }

    /// What is done in the streams of groups.
    fn load(
        &mut self,
        view: &View<'_>,
        _log: &mut Log,
        _changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut damaged = Vec::new();
        let mut groups = self.plan.groups.clone();
        view.scan(&[kind::PASSED], &row::end(&[kind::PASSED]), |key, _| {
            groups.extend(row::number(key, 1).map(StreamKey));
            Flow::Continue(())
        })?;
        for group in groups {
            let done = read::done(view, group, &mut damaged)?;
            self.done.insert(group, done);
        }
        self.store.damaged(damaged);
        Ok(())
    }

    /// Whether somebody waits for a message.
    fn is_waited_for(&self, streams: impl IntoIterator<Item = StreamKey>, seq: u64) -> bool {
        let mut streams = streams.into_iter();
        streams.any(|stream| self.waits(stream, seq))
    }

    /// Whether somebody waits for a message in one of its streams.
    fn waits(&self, stream: StreamKey, seq: u64) -> bool {
        let plan = &self.plan;
        if seq > plan.settled {
            return true;
        }
        if plan.groups.contains(&stream) || (self.held)(stream) {
            return !self
                .done
                .get(&stream)
                .is_some_and(|done| done.contains(seq));
        }
        plan.over.get(&stream).is_none_or(|over| seq > over.up_to()) && plan.is_due(stream, seq)
    }

    /// Whether a message that nobody waits for in a stream has not found its client there: the stream is one of
    /// a group, and the message was never done.
    fn is_left(&self, stream: StreamKey, seq: u64) -> bool {
        let done = self.done.get(&stream);
        done.is_some_and(|done| !done.seqs.contains(&seq))
    }

    /// Blocks that are too old or too many.
    fn drop_oldest(&mut self, limits: &SweepLimits) -> Result<(), StoreError> {
        let oldest = limits
            .max_age_ms
            .map_or(0, |age| self.clock.utc_now().0.saturating_sub(age));
        let max_bytes = limits.max_bytes.unwrap_or(u64::MAX);
        let mut goes_on = true;
        while goes_on {
            goes_on = self.step(|sweep, view, log, changes| {
                let mut left = ROWS;
                let end = row::block(log.indexed + 1);
                let (mut more, mut failed) = (false, None);
                let tail_bytes = sweep.store.tail().bytes();
                view.scan(&row::block(log.floor + 1), &end, |key, value| {
                    let block = Block::new(value).ok();
                    let known = block.is_some_and(|block| block.has_table());
                    let aged = known && block.is_some_and(|block| block.written() < oldest);
                    if !aged && log.bytes + tail_bytes <= max_bytes {
                        // One that doesn't say how old it is doesn't keep the others.
                        return match known {
                            true => Flow::Break(()),
                            false => Flow::Continue(()),
                        };
                    }
                    if left == 0 {
                        more = true;
                        return Flow::Break(());
                    }
                    left -= 1;
                    if let Err(error) = sweep.drop_block(view, (key, value), aged, log, changes) {
                        failed = Some(error);
                        return Flow::Break(());
                    }
                    Flow::Continue(())
                })?;
                if let Some(error) = failed {
                    return Err(error);
                }
                Ok(more)
            })?;
        }
        Ok(())
    }

    fn drop_block(
        &mut self,
        view: &View<'_>,
        (key, value): (&[u8], &[u8]),
        aged: bool,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let first = row::number(key, 1).unwrap_or_default();
        let mut last = first;
        if let Ok(block) = Block::new(value) {
            for record in block.records() {
                last = last.max(record.seq);
                let mut wanted = false;
                for stream in record.streams() {
                    let waits = self.waits(stream, record.seq);
                    wanted |= waits;
                    if !waits && self.is_left(stream, record.seq) {
                        // If it is not in the index any more it has been counted.
                        self.swept.left += u64::from(is_indexed(view, (record.seq, stream))?);
                    }
                }
                let count = match (wanted, aged) {
                    // It stays, and has passed when it is released.
                    (false, _) if self.plan.held.contains(&record.seq) => continue,
                    (false, _) => {
                        self.plan.count(&record, &mut self.swept);
                        continue;
                    }
                    (true, true) => &mut self.swept.aged,
                    (true, false) => &mut self.swept.over_limit,
                };
                *count += 1;
            }
            let read = block.records().count();
            self.swept.damaged += block.count().unwrap_or(read).saturating_sub(read) as u64;
        }
        log.floor = log.floor.max(last);
        self.replace(key, value, |_| false, log, changes);
        Ok(())
    }

    /// Puts a block with what `keeps` says, and what is held, in the place of one; nothing if that is
    /// nothing.
    fn replace(
        &mut self,
        key: &[u8],
        value: &[u8],
        keeps: impl Fn(&BlockRecord<'_>) -> bool,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) {
        let first = row::number(key, 1).unwrap_or_default();
        let block = Block::new(value).ok();
        let written = block.map_or(0, |block| block.written());
        let mut new = BlockWriter::new(first, written);
        let (mut waiting, mut damaged) = (0, false);
        let records = block.into_iter().flat_map(|block| block.records());
        for record in records {
            let waited_for = keeps(&record);
            if waited_for || self.plan.held.contains(&record.seq) {
                let streams: Vec<StreamKey> = record.streams().collect();
                waiting += u64::from(waited_for) * streams.len() as u64;
                damaged |= !new.push(record.seq, &streams, |out| {
                    out.extend_from_slice(record.body);
                });
            }
        }
        debug_assert!(!damaged, "what was in a block fits into one");
        let before = value.len() as u64;
        let after = match new.is_empty() {
            true => {
                changes.push((key.to_vec(), None));
                self.swept.blocks += 1;
                0
            }
            false => {
                let new = new.finish();
                let after = new.len() as u64;
                changes.push((key.to_vec(), Some(new)));
                self.swept.rewritten += 1;
                after
            }
        };
        let kept = row::kept(first);
        if after > 0 && waiting == 0 {
            let value = row::seal(&kept, |_| {});
            changes.push((kept, Some(value)));
        }
        changes.push((row::waiting(first), None));
        log.bytes = (log.bytes + after).saturating_sub(before);
        self.swept.bytes += before.saturating_sub(after);
    }

    /// Rows of the index, stream by stream.
    fn pass_streams(&mut self) -> Result<(), StoreError> {
        let mut from = Some(vec![kind::INDEX]);
        while let Some(key) = from {
            from =
                self.step(|sweep, view, log, changes| sweep.pass_rows(view, &key, log, changes))?;
        }
        Ok(())
    }

    /// Takes rows away that all have passed. Returns where to go on.
    fn pass_rows(
        &mut self,
        view: &View<'_>,
        from: &[u8],
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let (mut from, mut left) = (from.to_vec(), ROWS);
        let mut passed: Vec<(u64, StreamKey)> = Vec::new();
        let end = row::end(&[kind::INDEX]);
        let mut next = None;
        loop {
            let mut stays = None;
            view.scan(&from, &end, |key, value| {
                if left == 0 || passed.len() >= PASSED {
                    next = Some(key.to_vec());
                    return Flow::Break(());
                }
                left -= 1;
                let stream = StreamKey(row::number(key, 1).unwrap_or_default());
                let before = passed.len();
                if self.row_stays(stream, key, value, log.floor, &mut passed) {
                    stays = Some(stream);
                    return Flow::Break(());
                }
                let gone = passed[before..].iter();
                let left = |(seq, stream): &&(u64, StreamKey)| {
                    *seq > log.floor && self.is_left(*stream, *seq)
                };
                self.swept.left += gone.filter(left).count() as u64;
                changes.push((key.to_vec(), None));
                self.swept.rows += 1;
                Flow::Continue(())
            })?;
            let Some(stream) = stays else {
                break;
            };
            // Later rows of the stream stay too.
            from = row::end(&row::key(kind::INDEX, &[&stream.0.to_be_bytes()]));
        }
        self.pass(view, passed, log, changes)?;
        Ok(next)
    }

    /// Whether somebody waits for one of a row's messages. Else they are in `passed`.
    fn row_stays(
        &self,
        stream: StreamKey,
        key: &[u8],
        value: &[u8],
        floor: u64,
        passed: &mut Vec<(u64, StreamKey)>,
    ) -> bool {
        let before = passed.len();
        let mut stays = false;
        let seqs = row::unseal(key, value);
        let whole = seqs.is_ok_and(|seqs| {
            row::rising(seqs, |seq| {
                stays = seq > floor && self.waits(stream, seq);
                passed.push((seq, stream));
                !stays
            })
        });
        if !whole {
            // It is set aside with the next commit.
            self.store.damaged(vec![key.to_vec()]);
            stays = true;
        }
        if stays {
            passed.truncate(before);
        }
        stays
    }

    /// Counts entries of the index that have gone with the blocks they led to.
    fn pass(
        &mut self,
        view: &View<'_>,
        mut passed: Vec<(u64, StreamKey)>,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        passed.sort_unstable();
        let mut rest = &passed[..];
        while let Some((seq, _)) = rest.first().copied() {
            let block = view.last(&row::block(0), &row::block(seq), |key, value| {
                (key.to_vec(), value.to_vec())
            })?;
            let Some((key, value)) = block else {
                rest = &rest[1..];
                continue;
            };
            let mut next = u64::MAX;
            view.scan(&row::behind(&key), &row::end(&[kind::BLOCK]), |key, _| {
                next = row::number(key, 1).unwrap_or(u64::MAX);
                Flow::Break(())
            })?;
            let here = rest.partition_point(|(seq, _)| *seq < next);
            let (of_block, others) = rest.split_at(here.max(1));
            rest = others;
            self.pass_in(view, (&key, &value), of_block, log, changes)?;
        }
        Ok(())
    }

    /// The same for one block.
    fn pass_in(
        &mut self,
        view: &View<'_>,
        (key, value): (&[u8], &[u8]),
        passed: &[(u64, StreamKey)],
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let Ok(block) = Block::new(value) else {
            return Ok(());
        };
        let first = row::number(key, 1).unwrap_or_default();
        let waiting = row::waiting(first);
        let count = view.get(&waiting, |value| {
            let mut body = row::unseal(&waiting, value).ok()?;
            Some((take_number(&mut body)?, take_number(&mut body)?))
        })?;
        let all = || {
            block
                .records()
                .map(|record| record.streams().count() as u64)
                .sum()
        };
        let (mut count, total) = match count.flatten() {
            Some(count) => count,
            None => {
                let all = all();
                (all, all)
            }
        };
        let here = passed.iter().filter(|(seq, _)| block.holds(*seq)).count();
        if here == 0 {
            return Ok(());
        }
        count = count.saturating_sub(here as u64);
        if count * 4 > total {
            let value = row::seal(&waiting, |out| {
                put_number(out, count);
                put_number(out, total);
            });
            changes.push((waiting, Some(value)));
            return Ok(());
        }
        self.rewrite(view, (key, value), passed, log, changes)
    }

    /// Leaves of a block what somebody waits for.
    fn rewrite(
        &mut self,
        view: &View<'_>,
        (key, value): (&[u8], &[u8]),
        passed: &[(u64, StreamKey)],
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let Ok(block) = Block::new(value) else {
            return Ok(());
        };
        let first = row::number(key, 1).unwrap_or_default();
        let (mut stays, mut entries) = (HashSet::new(), 0);
        for record in block.records() {
            if !self.is_waited_for(record.streams(), record.seq) {
                if !self.plan.held.contains(&record.seq) {
                    self.plan.count(&record, &mut self.swept);
                }
                continue;
            }
            stays.insert(record.seq);
            for stream in record.streams() {
                let entry = (record.seq, stream);
                let gone = passed.binary_search(&entry).is_ok();
                entries += u64::from(!gone && is_indexed(view, entry)?);
            }
        }
        self.replace(
            key,
            value,
            |record| stays.contains(&record.seq),
            log,
            changes,
        );
        if !stays.is_empty() && entries == 0 {
            // A row of the index is damaged, so nobody finds it.
            let key = row::kept(first);
            let value = row::seal(&key, |_| {});
            changes.push((key, Some(value)));
        } else if !stays.is_empty() {
            let key = row::waiting(first);
            let value = row::seal(&key, |out| {
                put_number(out, entries);
                put_number(out, entries);
            });
            changes.push((key, Some(value)));
        }
        Ok(())
    }

    /// Blocks that were there for what was in flight.
    fn release(
        &mut self,
        view: &View<'_>,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        view.scan(&[kind::KEPT], &row::end(&[kind::KEPT]), |key, _| {
            kept.push(key.to_vec());
            Flow::Continue(())
        })?;
        for key in kept {
            let at = row::block(row::number(&key, 1).unwrap_or_default());
            let Some(value) = view.get(&at, <[u8]>::to_vec)? else {
                changes.push((key, None));
                continue;
            };
            let records = Block::new(&value).map(|block| {
                let held = |record: &BlockRecord<'_>| self.plan.held.contains(&record.seq);
                (
                    block.records().filter(held).count(),
                    block.records().count(),
                )
            });
            let (held, all) = records.unwrap_or((1, 1));
            if held == all {
                continue;
            }
            self.swept.passed += (all - held) as u64;
            if held == 0 {
                changes.push((key, None));
            }
            self.replace(&at, &value, |_| false, log, changes);
        }
        Ok(())
    }
}
