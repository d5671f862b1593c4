//! The time of a turn, and what is done when the clock was moved.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::Driver;
use crate::advance::{CatchUp, Progress};

/// Who waits for this shard to catch up with the clock.
#[derive(Default)]
pub(super) struct Ahead {
    /// How far the clock was ahead when it was looked at last.
    by: u64,
    waiting: Vec<SyncSender<Progress>>,
}

impl Driver {
    /// Sets the time of the turn. What peers have in real time they keep when the clock was moved.
    pub(super) fn look_at_clock(&mut self, at: Instant) {
        let ahead = self.shared.clock.ahead();
        self.now = self.shared.clock.time(at, ahead);
        if ahead != self.ahead.by {
            let moved = ahead - self.ahead.by;
            self.ahead.by = ahead;
            self.goodbyes.postpone(moved);
            if let Some(struck) = &mut self.struck {
                struck.postpone(moved);
            }
            self.stops_at = self.stops_at.map(|at| at.after(moved));
        }
    }

    /// Somebody has moved the clock, perhaps after this turn has begun.
    pub(super) fn catch_up(&mut self, question: CatchUp) {
        self.look_at_clock(Instant::now());
        if question.sweep && self.sweep_at.is_some() {
            let (expired, more) = self.shared.sweep_retained(self.now, true);
            self.counters.retained_expired += expired;
            self.sweep_at = self.sweep_at.filter(|_| more);
        }
        self.ahead.waiting.push(question.reply);
    }

    /// Answers who waits, at the end of the turn.
    pub(super) fn report_progress(&mut self) {
        if self.ahead.waiting.is_empty() {
            return;
        }
        let waits = self.struck.as_ref();
        let waits = waits.and_then(|struck| struck.next_wait(&self.slots));
        let progress = Progress {
            due: self.shard.poll_timeout().into_iter().chain(waits).min(),
            busy: self.timeout() == Some(Duration::ZERO),
            sent: self.counters.mail_batches,
        };
        for reply in self.ahead.waiting.drain(..) {
            // There is room, and whoever asked may have gone.
            let _ = reply.try_send(progress);
        }
    }
}
