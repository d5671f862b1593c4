//! The store's thread: makes commits of what shards hand in, and tells everybody when it is kept.
//!
//! It commits at once when it has nothing else to do; whatever comes in meanwhile, from whichever
//! shard, is the next commit. So a disk that takes a millisecond serves as many messages as come in a
//! millisecond with one write, and a single message waits for nobody.
//!
//! What is kept goes out in the order of the log: first the messages to the mailboxes, then to each
//! shard that its operations are kept. This thread may wait for a mailbox that is full, as no shard
//! waits for this thread.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ternmq_protocol::broker::Ticket;
use ternmq_protocol::broker::durable::{Durability, NotStored, StoreOp};
use ternmq_protocol::broker::record::Owner;
use ternmq_store::{Store, StoreError, Sync};

use super::carried::Carried;
use super::desk::Desk;
use super::intake::{Batch, Handed, Took};
use super::poster::Poster;
use crate::config::Limits;
use crate::event::Event;
use crate::shared::{Parcel, Shared};

/// How long what nobody waits for may be in memory only.
const UNSYNCED: Duration = Duration::from_secs(1);

/// After a failure, until it is tried again. What comes in meanwhile is tried together.
const PAUSE: Duration = Duration::from_millis(100);

/// After that time at the latest shards have handed in again what was refused and has to be kept all the
/// same; they do after a second.
const HANDED_AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Committer {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    store: Arc<Store>,
    owner: Owner,
    poster: Poster,
    carried: Carried,
    /// Bytes that may be carried.
    limit: usize,
    /// Since when there is something that no power cut would spare.
    unsynced: Option<Instant>,
    /// When it is tried again after a failure, and whether the last try was one.
    retry_at: Option<Instant>,
    failing: bool,
    /// The last turn of each shard of which something was refused.
    refused: Vec<Option<u64>>,
    refused_at: Option<Instant>,
    /// There was no room for what is carried, when it was last tried.
    no_room_for_carried: bool,
}

/// How long a retained message waits at most for the rest of its shard's turn, which is being handed in.
const TOGETHER: Duration = Duration::from_millis(100);

/// Operations for one commit, and the batches that end in them.
struct Part {
    ops: Range<usize>,
    batches: Range<usize>,
}

impl Committer {
    pub(super) fn new(
        shared: Arc<Shared>,
        desk: Arc<Desk>,
        (store, owner): (Arc<Store>, Owner),
        limits: &Limits,
    ) -> Self {
        Self {
            refused: vec![None; shared.mailboxes.len()],
            refused_at: None,
            no_room_for_carried: false,
            shared,
            desk,
            store,
            owner,
            poster: Poster::default(),
            carried: Carried::default(),
            limit: limits.store_bytes,
            unsynced: None,
            retry_at: None,
            failing: false,
        }
    }

    /// Until the intake is closed and empty.
    ///
    /// # Errors
    /// Something that was handed in is not kept at the end.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let desk = self.desk.clone();
        let (mut handed, mut waiting) = (Handed::default(), Vec::new());
        loop {
            let took = desk.intake.take(&mut handed, &mut waiting, self.next());
            for shard in waiting.drain(..) {
                self.shared.mailboxes[shard].wake();
            }
            match took {
                Took::Some => {
                    self.complete(&mut handed);
                    self.keep(&mut handed);
                }
                Took::Nothing => self.tend(),
                Took::Closed => break,
            }
        }
        self.end()
    }

    /// When there is something to do without anything coming in.
    fn next(&self) -> Option<Instant> {
        let unsynced = self.unsynced.map(|since| since + UNSYNCED);
        let times = [unsynced, self.retry_at];
        times.into_iter().flatten().min()
    }

    fn tend(&mut self) {
        let now = Instant::now();
        let tries = self.retry_at.is_some_and(|at| at <= now);
        let syncs = self.unsynced.is_some_and(|since| since + UNSYNCED <= now);
        if tries {
            // Whether it fails is known by whoever hands something in.
            let _ = self.commit_carried().and_then(|()| self.commit(&[], true));
        } else if syncs {
            let _ = self.commit(&[], true);
        }
    }

    /// A retained message comes in just before what its shard has made in the same turn. If the message is for
    /// the log as well, the record of the one says where the other is, so they are one commit.
    fn complete(&mut self, handed: &mut Handed) {
        self.leave_out_refused(handed);
        let until = Instant::now() + TOGETHER;
        let (mut more, mut waiting) = (Handed::default(), Vec::new());
        while has_placeless(handed)
            && self.desk.intake.take(&mut more, &mut waiting, Some(until)) == Took::Some
        {
            self.leave_out_refused(&mut more);
            handed.append(&mut more);
        }
        for shard in waiting {
            self.shared.mailboxes[shard].wake();
        }
    }

    fn leave_out_refused(&self, handed: &mut Handed) {
        if self.refused.iter().any(Option::is_some) {
            // What is refused of a shard is so with all that it has handed in before it heard of it.
            let refused = &self.refused;
            handed.retain(|batch| {
                let from = batch.from;
                from.is_none_or(|(shard, turn)| refused[shard].is_none_or(|refused| turn > refused))
            });
        }
    }

    /// Keeps what came in, and leaves nothing of it.
    fn keep(&mut self, handed: &mut Handed) {
        for part in parts(handed) {
            let (ops, batches) = (part.ops.clone(), part.batches.clone());
            let kept = self.keep_part(&handed.ops[part.ops], &handed.batches[part.batches]);
            if let Err(error) = kept {
                self.refuse(
                    &handed.ops[ops.start..],
                    &handed.batches[batches.start..],
                    &error,
                );
                break;
            }
            for (shard, ticket) in owed(&handed.batches[batches]) {
                // A shard that has ended has no clients that wait.
                let _ = self.shared.mailboxes[shard].send(Parcel::Stored(ticket));
            }
        }
        let refused = self
            .refused_at
            .is_some_and(|at| at.elapsed() < HANDED_AGAIN);
        // What is carried is nothing that a sweep could take away, and without sweeps there would be no room for it.
        if !refused {
            self.desk.set_kept(handed.upto);
        }
        handed.clear();
        self.tend();
    }

    fn keep_part(&mut self, ops: &[StoreOp], batches: &[Batch]) -> Result<(), StoreError> {
        self.try_carried(ops)?;
        let sync = batches.iter().any(|batch| batch.owed.is_some());
        // Who waits may wait for what was committed before.
        if ops.is_empty() && !(sync && self.unsynced.is_some()) {
            return Ok(());
        }
        self.commit(ops, sync)?;
        self.poster.post(ops, &self.shared, &self.desk);
        Ok(())
    }

    fn commit(&mut self, ops: &[StoreOp], sync: bool) -> Result<(), StoreError> {
        let began = Instant::now();
        let how = if sync { Sync::Yes } else { Sync::No };
        let committed = self
            .store
            .commit(self.owner, ops, self.shared.calendar(), how);
        self.desk
            .counts
            .commit(ops.len(), began.elapsed(), sync, committed.is_ok());
        match committed {
            Ok(committed) => {
                self.desk
                    .counts
                    .appended
                    .fetch_add(committed.appended, Relaxed);
                self.unsynced = match sync {
                    true => None,
                    false => self.unsynced.or(Some(began)),
                };
                self.works();
                Ok(())
            }
            Err(error) => {
                self.fails(&error);
                Err(error)
            }
        }
    }

    /// What was not kept before comes first: it happened first. If there is no room for it, what says nothing of
    /// retained messages goes on without: sessions that come back, and all that makes room.
    fn try_carried(&mut self, ops: &[StoreOp]) -> Result<(), StoreError> {
        let waits = self.retry_at.is_some_and(|at| at > Instant::now());
        let apart = !ops.iter().any(Carried::takes);
        if apart && waits && self.no_room_for_carried {
            return Ok(());
        }
        match self.commit_carried() {
            Err(error) if apart && error.is_full() => Ok(()),
            tried => tried,
        }
    }

    fn commit_carried(&mut self) -> Result<(), StoreError> {
        if self.carried.is_empty() {
            return Ok(());
        }
        let ops = self.carried.take();
        let committed = self.commit(&ops, true);
        self.no_room_for_carried = committed.as_ref().is_err_and(StoreError::is_full);
        if committed.is_err() {
            self.carry(&ops);
        }
        committed
    }

    fn carry(&mut self, ops: &[StoreOp]) {
        let lost = self.carried.take_up(ops, self.limit);
        self.desk.counts.lost.fetch_add(lost, Relaxed);
    }

    /// Tells the shards that nothing of this is kept.
    fn refuse(&mut self, ops: &[StoreOp], batches: &[Batch], error: &StoreError) {
        let appends = ops.iter().filter(|op| matches!(op, StoreOp::Append(_)));
        self.desk
            .counts
            .refused
            .fetch_add(appends.count() as u64, Relaxed);
        ops.iter().for_each(StoreOp::refuse);
        self.carry(ops);
        if ops.iter().any(is_handed_again) {
            self.refused_at = Some(Instant::now());
        }
        let why = match error.is_full() {
            true => NotStored::Full,
            false => NotStored::Failed,
        };
        for (shard, turn) in batches.iter().filter_map(|batch| batch.from) {
            self.refused[shard] = Some(turn);
        }
        for (shard, ticket) in owed(batches) {
            let _ = self.shared.mailboxes[shard].send(Parcel::NotStored(ticket, why));
        }
    }

    fn fails(&mut self, error: &StoreError) {
        self.retry_at = Some(Instant::now() + PAUSE);
        if !std::mem::replace(&mut self.failing, true) {
            self.shared.tell(Event::NotStored(error.into()));
        }
    }

    fn works(&mut self) {
        if !self.carried.is_empty() {
            return;
        }
        self.retry_at = None;
        if std::mem::replace(&mut self.failing, false) {
            self.shared.tell(Event::StoredAgain);
        }
    }

    /// Nothing comes in any more: makes sure of all there is.
    fn end(mut self) -> Result<(), StoreError> {
        self.commit_carried()?;
        match self.unsynced {
            Some(_) => self.commit(&[], true),
            None => Ok(()),
        }
    }
}

/// Whether a shard hands it in again when it was refused. Of a message its publisher is told.
fn is_handed_again(op: &StoreOp) -> bool {
    !matches!(op, StoreOp::Append(_) | StoreOp::PutDelayed(..)) && !Carried::takes(op)
}

/// Which shards wait, and for what.
fn owed(batches: &[Batch]) -> impl Iterator<Item = (usize, Ticket)> {
    let owed = batches
        .iter()
        .map(|batch| Some((batch.from?.0, batch.owed?)));
    owed.flatten()
}

/// Retained messages that are for the log as well, as far as they have come in without the other.
#[derive(Default)]
struct Placeless(HashSet<usize>);

impl Placeless {
    fn note(&mut self, op: &StoreOp) {
        match op {
            StoreOp::PutRetained(message) if message.is_for_the_log() => {
                self.0.insert(message.identity());
            }
            StoreOp::Append(append) if !self.0.is_empty() => {
                self.0.remove(&append.message.identity());
            }
            _ => {}
        }
    }
}

fn has_placeless(handed: &Handed) -> bool {
    let mut placeless = Placeless::default();
    handed.ops.iter().for_each(|op| placeless.note(op));
    !placeless.0.is_empty()
}

/// Cuts behind each batch with a message that is to have a write of its own: a batch is kept or refused as a
/// whole, so shards hand such messages in with one each. Not between a retained message and itself for the log.
fn parts(handed: &Handed) -> Vec<Part> {
    let mut placeless = Placeless::default();
    let each = |op: &StoreOp| matches!(op, StoreOp::Append(append) if append.durability == Durability::Each);
    let (mut op, mut batch, mut looked, mut alone) = (0, 0, 0, false);
    let mut parts = Vec::new();
    for (at, one) in handed.batches.iter().enumerate() {
        let last = at + 1 == handed.batches.len();
        let ops = &handed.ops[looked..one.end];
        ops.iter().for_each(|op| placeless.note(op));
        alone |= ops.iter().any(each);
        if alone && placeless.0.is_empty() || last {
            alone = false;
            parts.push(Part {
                ops: op..one.end,
                batches: batch..at + 1,
            });
            (op, batch) = (one.end, at + 1);
        }
        looked = one.end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::broker::durable::{Append, StreamKey};
    use ternmq_protocol::codec::{Properties, QoS};
    use ternmq_protocol::{Message, Time};

    fn append(durability: Durability) -> StoreOp {
        let none = Properties::EMPTY;
        let message = Message::new("t", b"", QoS::AtLeastOnce, false, none, Time(0)).unwrap();
        StoreOp::Append(Append {
            message,
            streams: [StreamKey::of("t")].into(),
            durability,
        })
    }

    #[test]
    fn a_commit_ends_behind_each_batch_with_a_message_of_its_own_and_nowhere_else() {
        use Durability::{Each, Group, None as Never};
        let ops = [Group, Each, Each, Group, Never, Group];
        let batch = |end| Batch {
            end,
            from: Some((0, 0)),
            owed: None,
        };
        let mut handed = Handed::default();
        handed.ops.extend(ops.map(append));
        handed.batches.extend([1, 1, 2, 4, 5, 6, 6].map(batch));
        let found: Vec<_> = parts(&handed)
            .into_iter()
            .map(|part| (part.ops, part.batches))
            .collect();
        assert_eq!(found, [(0..2, 0..3), (2..4, 3..4), (4..6, 4..7)]);
        handed.batches.truncate(4);
        assert_eq!(parts(&handed).len(), 2);
        assert!(parts(&Handed::default()).is_empty());
    }

    #[test]
    fn a_retained_message_that_is_for_the_log_too_is_one_commit_with_itself() {
        let StoreOp::Append(retained) = append(Durability::Each) else {
            unreachable!()
        };
        let put = StoreOp::PutRetained(retained.message.clone());
        let ops = [
            put,
            append(Durability::Each),
            StoreOp::Append(retained.clone()),
        ];
        let mut handed = Handed::default();
        for op in ops {
            handed.ops.push(op);
            handed.batches.push(Batch {
                end: handed.ops.len(),
                from: None,
                owed: None,
            });
        }
        let ends = |handed: &Handed| -> Vec<usize> {
            parts(handed).iter().map(|part| part.ops.end).collect()
        };
        assert_eq!(ends(&handed), [2, 3], "it is for nobody's log");
        retained.message.set_for_the_log();
        assert_eq!(ends(&handed), [3]);
        assert!(!has_placeless(&handed));
        handed.ops.truncate(2);
        assert!(has_placeless(&handed));
        handed.batches.truncate(2);
        let mut more = Handed::default();
        more.ops.push(StoreOp::Append(retained));
        more.batches.push(Batch {
            end: 1,
            from: Some((0, 7)),
            owed: None,
        });
        more.upto = 9;
        handed.append(&mut more);
        assert_eq!((ends(&handed), handed.upto), (vec![3], 9));
        assert!(more.ops.is_empty() && more.batches.is_empty());
    }
}
