//! The deadlines of connections, sessions and delayed messages in one wheel.

use super::links::Links;
use super::shard::Shard;
use crate::time::Time;
use crate::wheel::{Timer, Wheel};

/// What a timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Connection(u32),
    Session(u32),
    /// The first delayed message.
    Delayed,
    /// The first session whose record is to be written before long.
    Journal,
}

/// Marks the token of a session's timer.
const SESSION: u32 = 1 << 31;

/// Tokens of their own: there are never as many sessions.
const DELAYED: u32 = u32::MAX;
const JOURNAL: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(super) struct Timers {
    wheel: Wheel,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            wheel: Wheel::new(Time(0)),
        }
    }

    pub(super) fn set(&mut self, due: Due, at: Time) -> Timer {
        let token = match due {
            Due::Connection(slot) => slot,
            Due::Session(slot) => slot | SESSION,
            Due::Delayed => DELAYED,
            Due::Journal => JOURNAL,
        };
        self.wheel.set(at, token)
    }

    pub(super) fn cancel(&mut self, timer: Option<Timer>) {
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    pub(super) fn poll(&mut self, now: Time) -> Option<Due> {
        self.wheel.poll(now).map(|token| match token {
            DELAYED => Due::Delayed,
            JOURNAL => Due::Journal,
            _ if token & SESSION == 0 => Due::Connection(token),
            _ => Due::Session(token & !SESSION),
        })
    }
}

impl Links {
    /// Sets the timer of a connection. It is not moved when a packet comes in: it fires at what was
    /// the deadline, finds the new one and is set again, once per Keep Alive.
    pub(super) fn arm(&mut self, id: u32) {
        let conn = &mut self.conns[id];
        let timer = conn.timer.take();
        self.timers.cancel(timer);
        conn.timer = conn
            .deadline(&self.limits)
            .map(|at| self.timers.set(Due::Connection(id), at));
    }
}

impl Shard {
    pub(super) fn arm(&mut self, id: u32) {
        self.links.arm(id);
    }

    /// Sets the timer of a session without a connection.
    pub(super) fn arm_session(&mut self, slot: u32) {
        let session = &mut self.links.sessions[slot];
        let timer = session.timer.take();
        self.links.timers.cancel(timer);
        session.timer = session
            .deadline()
            .map(|at| self.links.timers.set(Due::Session(slot), at));
    }
}
