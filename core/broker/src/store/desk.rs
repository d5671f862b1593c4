//! What shards see of the store: where they hand in, where they ask, and what was done for them.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ternmq_protocol::broker::durable::ReadRequest;

use super::LogLimits;
use super::holds::Holds;
use super::intake::Intake;
use crate::stats::StoreStats;

/// Pages that are asked for by one shard at a time: what is read of them waits in its mailbox, where
/// it is not counted.
pub(crate) const READS: usize = 64;

/// One for each broker that has a store.
pub(crate) struct Desk {
    pub(crate) intake: Intake,
    pub(crate) holds: Holds,
    questions: Mutex<Questions>,
    asked: Condvar,
    /// Of its own: who waits for the end takes no wake from who waits for a question.
    over: Condvar,
    /// A sweep is done that was asked for.
    swept: Condvar,
    room: Room,
    /// The place of the last message that all mailboxes have.
    posted: AtomicU64,
    /// How far each shard has seen the log.
    seen: Vec<AtomicU64>,
    /// How many batches have been kept, all before them too.
    kept: AtomicU64,
    pub(crate) counts: Counts,
}

/// Questions for pages, each with the shard that asks.
#[derive(Default)]
struct Questions {
    waiting: VecDeque<(usize, ReadRequest)>,
    closed: bool,
    /// What is swept by, and whether nothing has been since it changed.
    log: LogLimits,
    log_changed: bool,
    sweeps: Sweeps,
}

/// How many have been asked for, of those begun and done.
#[derive(Default)]
struct Sweeps {
    asked: u64,
    begun: u64,
    done: u64,
}

/// While it is there somebody sweeps.
pub(super) struct Sweeping<'a>(&'a Desk);

/// Counted by the store's threads.
#[derive(Default)]
pub(crate) struct Counts {
    /// Commits, those of them that waited for the disk, and those that failed.
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) operations: AtomicU64,
    /// Messages that are in the log.
    pub(crate) appended: AtomicU64,
    /// Messages that were refused, and what nobody could be told of.
    pub(crate) refused: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// Most operations of one commit.
    pub(crate) largest: AtomicU64,
    /// Microseconds that commits took, and the longest.
    pub(crate) micros: AtomicU64,
    pub(crate) slowest: AtomicU64,
    /// Pages read, the messages in them, and those that could not be read.
    pub(crate) pages: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) reads_failed: AtomicU64,
    /// Rows that can't be read, as of the last sweep.
    pub(crate) damaged: AtomicU64,
    /// Messages that were taken out of the log: all had them, they were too old, the log was too
    /// large, a session had too many.
    pub(crate) swept_passed: AtomicU64,
    pub(crate) swept_old: AtomicU64,
    pub(crate) swept_full: AtomicU64,
    /// Copies for groups that nobody is in any more which went with them.
    pub(crate) swept_left: AtomicU64,
    pub(crate) swept_session_messages: AtomicU64,
    pub(crate) swept_session_bytes: AtomicU64,
    /// As of the last sweep.
    pub(crate) log_bytes: AtomicU64,
}

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.0.questions().sweeps.done = u64::MAX;
        self.0.swept.notify_all();
    }
}

impl Counts {
    pub(super) fn commit(&self, ops: usize, took: Duration, synced: bool, done: bool) {
        if !done {
            self.failures.fetch_add(1, Relaxed);
            return;
        }
        self.commits.fetch_add(1, Relaxed);
        self.syncs.fetch_add(u64::from(synced), Relaxed);
        self.operations.fetch_add(ops as u64, Relaxed);
        self.largest.fetch_max(ops as u64, Relaxed);
        let micros = took.as_micros() as u64;
        self.micros.fetch_add(micros, Relaxed);
        self.slowest.fetch_max(micros, Relaxed);
    }
}

impl Desk {
    /// For so many shards, with room for so many bytes that wait to be kept.
    pub(crate) fn new(shards: usize, limit: usize, log: LogLimits) -> Self {
        let questions = Questions {
            log,
            ..Questions::default()
        };
        Self {
            seen: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            kept: AtomicU64::new(0),
            intake: Intake::new(limit),
            holds: Holds::default(),
            questions: Mutex::new(questions),
            asked: Condvar::new(),
            over: Condvar::new(),
            swept: Condvar::new(),
            room: Room::default(),
            posted: AtomicU64::new(0),
            counts: Counts::default(),
        }
    }

    /// Asks for a page. A shard has no more than [`READS`] questions open.
    pub(crate) fn ask(&self, shard: usize, request: ReadRequest) {
        self.questions().waiting.push_back((shard, request));
        self.asked.notify_one();
    }

    /// The next question, for one of the threads that read. `None` when there is to be no answer any
    /// more.
    pub(super) fn question(&self) -> Option<(usize, ReadRequest)> {
        let none = |questions: &mut Questions| questions.waiting.is_empty() && !questions.closed;
        let waited = self.asked.wait_while(self.questions(), none);
        let mut questions = waited.unwrap_or_else(PoisonError::into_inner);
        match questions.closed {
            true => None,
            false => questions.waiting.pop_front(),
        }
    }

    /// Waits so long, unless it is over before.
    pub(super) fn is_reading_over(&self, wait: Duration) -> bool {
        let going_on = |questions: &mut Questions| !questions.closed;
        let waited = self
            .over
            .wait_timeout_while(self.questions(), wait, going_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// For the one thread that sweeps: what it did so far is done. Waits so long for the next sweep, no
    /// longer than until one is asked for or it is to be by something else, and what it is by. `None`
    /// when it is over.
    pub(super) fn sweep(&self, wait: Duration) -> Option<LogLimits> {
        let mut questions = self.questions();
        questions.sweeps.done = questions.sweeps.begun;
        self.swept.notify_all();
        let going_on =
            |q: &mut Questions| !q.closed && !q.log_changed && q.sweeps.asked == q.sweeps.begun;
        let waited = self.over.wait_timeout_while(questions, wait, going_on);
        let mut questions = waited.unwrap_or_else(PoisonError::into_inner).0;
        questions.log_changed = false;
        questions.sweeps.begun = questions.sweeps.asked;
        (!questions.closed).then_some(questions.log)
    }

    /// To be held by that thread: when it ends, by a panic too, nobody waits for its sweeps any more.
    pub(super) fn sweeping(&self) -> Sweeping<'_> {
        Sweeping(self)
    }

    /// Has a sweep begin now, and returns when it is done, or when it is over.
    pub(crate) fn sweep_now(&self) {
        let mut questions = self.questions();
        questions.sweeps.asked += 1;
        let mine = questions.sweeps.asked;
        self.over.notify_all();
        let undone = |q: &mut Questions| !q.closed && q.sweeps.done < mine;
        drop(self.swept.wait_while(questions, undone));
    }

    pub(super) fn log(&self) -> LogLimits {
        self.questions().log
    }

    /// Sweeps by this from now on, the first time at once.
    pub(crate) fn set_log(&self, log: LogLimits) {
        let mut questions = self.questions();
        questions.log_changed |= questions.log != log;
        questions.log = log;
        self.over.notify_all();
    }

    /// Nobody is to read any more.
    pub(super) fn end_reading(&self) {
        self.questions().closed = true;
        self.asked.notify_all();
        self.over.notify_all();
        self.swept.notify_all();
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is counted here.
    pub(crate) fn count(&self, stats: &mut StoreStats) {
        let counts = &self.counts;
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        *stats = StoreStats {
            log_bytes: of(&counts.log_bytes),
            commits: of(&counts.commits),
            syncs: of(&counts.syncs),
            failures: of(&counts.failures),
            operations: of(&counts.operations),
            largest: of(&counts.largest),
            commit_us: of(&counts.micros),
            slowest_us: of(&counts.slowest),
            appended: of(&counts.appended),
            refused: of(&counts.refused),
            lost: of(&counts.lost),
            pages: of(&counts.pages),
            read: of(&counts.read),
            unreadable: of(&counts.unreadable),
            reads_failed: of(&counts.reads_failed),
            damaged: of(&counts.damaged),
            swept_passed: of(&counts.swept_passed),
            swept_old: of(&counts.swept_old),
            swept_full: of(&counts.swept_full),
            swept_session_messages: of(&counts.swept_session_messages),
            swept_session_bytes: of(&counts.swept_session_bytes),
            waiting_bytes: self.intake.bytes() as u64,
        };
    }

    /// A shard has taken mail that left no room before.
    pub(crate) fn room(&self) {
        self.room.make();
    }

    pub(super) fn rooms(&self) -> &Room {
        &self.room
    }

    /// Every mailbox has all messages up to this place.
    pub(crate) fn posted(&self) -> u64 {
        self.posted.load(Ordering::Acquire)
    }

    /// A shard has seen the log up to there.
    pub(crate) fn set_seen(&self, shard: usize, seq: u64) {
        self.seen[shard].store(seq, Ordering::Release);
    }

    /// How far all shards have seen the log.
    pub(super) fn seen_by_all(&self) -> u64 {
        let seen = self.seen.iter().map(|seen| seen.load(Ordering::Acquire));
        seen.min().unwrap_or(0)
    }

    /// All that was handed in with the first so many batches is in the store.
    pub(super) fn set_kept(&self, batches: u64) {
        self.kept.store(batches, Ordering::Release);
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Acquire)
    }

    pub(super) fn set_posted(&self, seq: u64) {
        self.posted.store(seq, Ordering::Release);
    }
}

/// Whether a mailbox that was full may have room: what the store's thread waits for.
#[derive(Default)]
pub(super) struct Room {
    made: Mutex<u64>,
    changed: Condvar,
}

impl Room {
    fn make(&self) {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// To be asked before an offer.
    pub(super) fn before(&self) -> u64 {
        *self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until room was made since.
    pub(super) fn wait(&self, before: u64) {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(made, |made| *made == before);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
