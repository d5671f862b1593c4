//! What is handed to the store: by all shards into one place, in the order that counts, without a wait.
//!
//! The store's thread swaps all of it out at once and makes one commit of it, so that what comes in
//! while it writes is the next one. A shard that finds three quarters of the room taken reads no
//! publisher until the thread has come by; as it hands in what one turn made even then, there is at most
//! that beyond the limit.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::{Out, Ticket};

/// The place.
pub(crate) struct Intake {
    state: Mutex<State>,
    arrived: Condvar,
    /// Bytes.
    limit: usize,
}

#[derive(Default)]
struct State {
    handed: Handed,
    count: u64,
    /// Shards to wake once there is room.
    waiting: Vec<usize>,
    closed: bool,
}

/// What was handed in.
#[derive(Default)]
pub(crate) struct Handed {
    pub(crate) ops: Vec<StoreOp>,
    /// Which of them belong together.
    pub(crate) batches: Vec<Batch>,
    bytes: usize,
    /// Batches that were handed in up to these, from the start on.
    pub(crate) upto: u64,
}

/// Operations that are kept together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Where it ends.
    pub(crate) end: usize,
    /// Which shard has handed it in, and in which [turn](ternmq_protocol::broker::Shard::store_turn); `None`
    /// for retained messages.
    pub(crate) from: Option<(usize, u64)>,
    /// What the shard waits for.
    pub(crate) owed: Option<Ticket>,
}

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// There was something.
    Some,
    /// Nothing in time.
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

impl Intake {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            limit,
        }
    }

    /// Hands in what a turn of a shard made for the store, which is in `out` no more. False when there is not
    /// much room any more: the shard is to read no publishers, and will be woken.
    pub(crate) fn hand_in(&self, from: (usize, u64), out: &mut Out) -> bool {
        let bytes: usize = out.store.iter().map(memory).sum();
        let cuts = out.take_cuts();
        let mut state = self.lock();
        let handed = &mut state.handed;
        let begin = handed.ops.len();
        handed.ops.append(&mut out.store);
        handed.bytes += bytes;
        handed.batches.extend(cuts.iter().map(|cut| Batch {
            end: begin + cut.end,
            from: Some(from),
            owed: cut.ticket,
        }));
        state.count += cuts.len() as u64;
        drop(state);
        self.arrived.notify_one();
        self.has_room(from.0)
    }

    /// Hands in what nobody waits for: a change of a retained message, by whoever holds the lock of the
    /// retained store, so that the order is the same here.
    pub(crate) fn hand_in_one(&self, op: StoreOp) {
        let bytes = memory(&op);
        let mut state = self.lock();
        let handed = &mut state.handed;
        handed.ops.push(op);
        handed.bytes += bytes;
        let end = handed.ops.len();
        handed.batches.push(Batch {
            end,
            from: None,
            owed: None,
        });
        state.count += 1;
        drop(state);
        self.arrived.notify_one();
    }

    /// Whether there is room for more. If not, the shard will be woken when there is.
    pub(crate) fn has_room(&self, shard: usize) -> bool {
        let mut state = self.lock();
        let room = state.handed.bytes <= self.limit / 4 * 3;
        if !room && !state.waiting.contains(&shard) {
            state.waiting.push(shard);
        }
        room
    }

    /// Swaps what is there for the empty `into`, and tells which shards wait for room. Waits for something
    /// to come, no longer than until then.
    pub(crate) fn take(
        &self,
        into: &mut Handed,
        waiting: &mut Vec<usize>,
        until: Option<Instant>,
    ) -> Took {
        debug_assert!(into.batches.is_empty());
        let mut state = self.lock();
        while state.handed.batches.is_empty() {
            if state.closed {
                return Took::Closed;
            }
            state = match until {
                None => {
                    let waited = self.arrived.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Took::Nothing;
                    }
                    let waited = self.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        std::mem::swap(&mut state.handed, into);
        into.upto = state.count;
        waiting.append(&mut state.waiting);
        Took::Some
    }

    /// How many batches have been handed in so far.
    pub(crate) fn handed(&self) -> u64 {
        self.lock().count
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().handed.bytes
    }

    /// Nothing will come any more: the thread takes what is there and ends.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handed {
    /// Takes batches out that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Batch) -> bool) {
        let mut ops = std::mem::take(&mut self.ops).into_iter();
        let mut begin = 0;
        self.batches.retain_mut(|batch| {
            let own = ops.by_ref().take(batch.end - begin);
            begin = batch.end;
            let kept = keep(batch);
            match kept {
                true => self.ops.extend(own),
                false => own.for_each(|op| op.refuse()),
            }
            batch.end = self.ops.len();
            kept
        });
    }

    /// Takes what was handed in later behind what is there, and leaves nothing of it.
    pub(crate) fn append(&mut self, more: &mut Self) {
        let begin = self.ops.len();
        self.ops.append(&mut more.ops);
        let batches = more.batches.drain(..);
        self.batches.extend(batches.map(|batch| Batch {
            end: begin + batch.end,
            ..batch
        }));
        self.bytes += std::mem::take(&mut more.bytes);
        self.upto = more.upto;
    }

    /// Forgets all of it; keeps some of its memory.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.ops.shrink_to(KEPT);
        self.batches.clear();
        self.batches.shrink_to(KEPT);
        self.bytes = 0;
    }
}

/// Operations for which an emptied list keeps its memory.
const KEPT: usize = 8192;

/// Memory that an operation stands for while it waits. A session is counted by what varies most.
pub(crate) fn memory(op: &StoreOp) -> usize {
    let more = match op {
        StoreOp::Append(append) => append.message.memory() + size_of_val(&*append.streams),
        StoreOp::PutRetained(message) => message.memory(),
        StoreOp::PutDelayed(_, delayed) => delayed.message.memory(),
        StoreOp::PutSession(record) => {
            let will = record.will.as_ref();
            size_of_val(&**record)
                + record.client_id.len()
                + size_of_val(&*record.received)
                + size_of_val(&*record.in_flight)
                + size_of_val(&*record.queue)
                + will.map_or(0, |will| will.payload.len())
        }
        StoreOp::Subscribe(_, record) => size_of_val(&**record) + record.filter.len(),
        StoreOp::Unsubscribe(_, text) | StoreOp::RemoveRetained(text) => text.len(),
        StoreOp::EndSession(_) | StoreOp::RemoveDelayed(_) => 0,
        StoreOp::Done(..) | StoreOp::DoneUpTo(..) => 0,
    };
    size_of::<StoreOp>() + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::broker::StoreCut;

    fn ops(topics: &[&str]) -> Vec<StoreOp> {
        let op = |topic: &&str| StoreOp::RemoveRetained((*topic).into());
        topics.iter().map(op).collect()
    }

    fn out(topics: &[&str]) -> Out {
        Out {
            store: ops(topics),
            ..Out::default()
        }
    }

    fn topics(handed: &Handed) -> String {
        let topic = |op: &StoreOp| match op {
            StoreOp::RemoveRetained(topic) => topic.to_string(),
            other => panic!("{other:?}"),
        };
        handed.ops.iter().map(topic).collect()
    }

    #[test]
    fn everything_is_taken_at_once_in_its_order_and_who_waits_for_room_is_named() {
        let intake = Intake::new(4 * memory(&ops(&["a"])[0]));
        assert!(intake.hand_in((0, 1), &mut out(&["a", "b"])));
        intake.hand_in_one(ops(&["c"]).remove(0));
        assert!(!intake.hand_in((1, 1), &mut out(&["d"])));
        assert!(!intake.has_room(1) && !intake.has_room(2));
        let (mut handed, mut waiting) = (Handed::default(), Vec::new());
        assert_eq!(intake.take(&mut handed, &mut waiting, None), Took::Some);
        assert_eq!((topics(&handed).as_str(), waiting), ("abcd", vec![1, 2]));
        assert_eq!((handed.upto, intake.bytes()), (3, 0));
        assert!(intake.has_room(1));
    }

    #[test]
    fn a_closed_intake_gives_what_it_has_and_then_ends() {
        let intake = Intake::new(1 << 20);
        let (mut handed, mut waiting) = (Handed::default(), Vec::new());
        let now = Some(Instant::now());
        assert_eq!(intake.take(&mut handed, &mut waiting, now), Took::Nothing);
        intake.hand_in_one(ops(&["a"]).remove(0));
        intake.close();
        assert_eq!(intake.take(&mut handed, &mut waiting, None), Took::Some);
        handed.clear();
        assert_eq!(intake.take(&mut handed, &mut waiting, None), Took::Closed);
    }

    #[test]
    fn batches_that_are_not_wanted_go_with_what_is_theirs() {
        let intake = Intake::new(1 << 20);
        // What stands behind the last cut is a batch too.
        let none: &[usize] = &[];
        let turns = [
            (0, "ab", none),
            (1, "c", none),
            (0, "", &[0]),
            (1, "de", none),
            (0, "fghi", &[1, 3]),
        ];
        for (shard, own, cuts) in turns {
            let own: Vec<String> = own.chars().map(String::from).collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let mut out = out(&own);
            let ticket = None;
            let cuts = cuts.iter().map(|end| StoreCut { end: *end, ticket });
            out.cuts.extend(cuts);
            intake.hand_in((shard, 7), &mut out);
            assert!(!out.is_for_store());
        }
        let (mut handed, mut waiting) = (Handed::default(), Vec::new());
        intake.take(&mut handed, &mut waiting, None);
        handed.retain(|batch| batch.from == Some((0, 7)));
        assert_eq!(topics(&handed), "abfghi");
        let ends: Vec<usize> = handed.batches.iter().map(|batch| batch.end).collect();
        assert_eq!(ends, [2, 2, 3, 5, 6]);
    }
}
