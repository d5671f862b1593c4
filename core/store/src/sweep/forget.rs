//! What is known of groups goes with what it is about.

use std::collections::{BTreeMap, HashSet};

use ternmq_protocol::broker::durable::StreamKey;

use super::indexed::read_index;
use super::{DONE_ROWS, DONE_SEQS, Sweep};
use crate::engine::{Change, Flow, View};
use crate::error::StoreError;
use crate::meta::Log;
use crate::read;
use crate::row::{self, kind, take_number};

impl Sweep<'_> {
    /// Forgets what is done and not in the index any more.
    pub(super) fn forget_done(
        &mut self,
        view: &View<'_>,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut rows: BTreeMap<StreamKey, Vec<Vec<u8>>> = BTreeMap::new();
        view.scan(&[kind::DONE], &row::end(&[kind::DONE]), |key, _| {
            let stream = StreamKey(row::number(key, 1).unwrap_or_default());
            rows.entry(stream).or_default().push(key.to_vec());
            Flow::Continue(())
        })?;
        for (stream, keys) in rows {
            let mut damaged = Vec::new();
            let done = read::done(view, stream, &mut damaged)?;
            let mut indexed = HashSet::new();
            let begin = row::index(stream, 0);
            read_index(view, stream, &begin, |seq| {
                indexed.insert(seq);
            })?;
            // Not for being passed: what is not done of that is counted when it goes.
            let goes = |seq: &u64| *seq <= log.indexed && !indexed.contains(seq);
            let gone = done.seqs.iter().filter(|seq| goes(seq)).count();
            if gone == 0 && keys.len() <= DONE_ROWS || !damaged.is_empty() {
                continue;
            }
            let mut left: Vec<u64> = done.seqs.iter().copied().filter(|s| !goes(s)).collect();
            left.sort_unstable();
            self.swept.rows += keys.len() as u64;
            let chunks = left.chunks(DONE_SEQS.max(left.len().div_ceil(keys.len())));
            let mut chunks = chunks.map(Some).chain(std::iter::repeat(None));
            for key in keys {
                let value = chunks
                    .next()
                    .flatten()
                    .map(|seqs| row::seal(&key, |out| row::put_rising(out, seqs)));
                changes.push((key, value));
            }
        }
        self.forget_passed(view, log, changes)
    }

    /// Forgets up to where all of a stream is done, once nothing of it is in the index any more and no group is
    /// there. As long as there is one the row says that the stream is a group's. One that begins now holds its
    /// stream before its row is here to be seen.
    fn forget_passed(
        &mut self,
        view: &View<'_>,
        log: &mut Log,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        view.scan(&[kind::PASSED], &row::end(&[kind::PASSED]), |key, value| {
            let up_to = row::unseal(key, value).map(|mut body| take_number(&mut body));
            if let (Some(stream), Ok(Some(up_to))) = (row::number(key, 1), up_to) {
                rows.push((key.to_vec(), StreamKey(stream), up_to));
            }
            Flow::Continue(())
        })?;
        for (key, stream, up_to) in rows {
            let kept = self.plan.groups.contains(&stream) || (self.held)(stream);
            let mut goes = up_to <= log.indexed && !kept;
            let (begin, end) = (row::index(stream, 0), row::index(stream, u64::MAX));
            view.scan(&begin, &end, |_, _| {
                goes = false;
                Flow::Break(())
            })?;
            if goes {
                changes.push((key, None));
                self.swept.rows += 1;
            }
        }
        Ok(())
    }
}
