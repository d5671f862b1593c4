//! One direction of a connection: bytes on their way, cut into whatever pieces chance makes.

use std::collections::VecDeque;

use ternmq_protocol::Time;

/// A byte stream with a delay, a bound, and the ways in which streams end.
#[derive(Debug)]
pub(crate) struct Pipe {
    chunks: VecDeque<(Time, Vec<u8>)>,
    len: usize,
    capacity: usize,
    /// No byte arrives before one that was sent earlier.
    last: Time,
    ended: Option<Time>,
    /// What is sent from now on goes nowhere, and nobody is told.
    dead: bool,
    swallowed: usize,
    /// The reader does not read before this.
    pub(crate) stalled_until: Time,
}

impl Pipe {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            len: 0,
            capacity,
            last: Time(0),
            ended: None,
            dead: false,
            swallowed: 0,
            stalled_until: Time(0),
        }
    }

    /// Bytes that a writer may send before the reader has read.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len + self.swallowed)
    }

    /// Makes room for more, and ends the stall of its reader.
    pub(crate) fn widen(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.stalled_until = Time(0);
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn send(&mut self, arrives: Time, bytes: &[u8]) {
        if self.dead {
            self.swallowed += bytes.len();
        } else if self.ended.is_none() && !bytes.is_empty() {
            self.last = self.last.max(arrives);
            self.len += bytes.len();
            self.chunks.push_back((self.last, bytes.to_vec()));
        }
    }

    /// The writer is done: the reader sees the end behind what was sent.
    pub(crate) fn end(&mut self, arrives: Time) {
        if !self.dead && self.ended.is_none() {
            self.ended = Some(self.last.max(arrives));
        }
    }

    /// The line breaks: of what is on its way only `keep` bytes arrive, then the end.
    pub(crate) fn cut(&mut self, keep: usize, arrives: Time) {
        self.truncate(keep);
        self.end(arrives);
    }

    /// The line breaks and nobody notices: `keep` bytes arrive, then silence.
    pub(crate) fn die(&mut self, keep: usize) {
        self.truncate(keep);
        self.dead = true;
        self.ended = None;
    }

    /// Bytes on their way.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// When a reader finds something: bytes or the end.
    pub(crate) fn readable_at(&self) -> Option<Time> {
        let at = self.chunks.front().map(|(at, _)| *at).or(self.ended)?;
        Some(at.max(self.stalled_until))
    }

    /// Whether the end has been reached.
    pub(crate) fn at_end(&self, now: Time) -> bool {
        self.chunks.is_empty() && self.ended.is_some_and(|at| at <= now)
    }

    /// Up to `most` bytes of what has arrived.
    pub(crate) fn read(&mut self, now: Time, most: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < most {
            let Some((at, chunk)) = self.chunks.front_mut() else {
                break;
            };
            if *at > now {
                break;
            }
            let n = chunk.len().min(most - read.len());
            read.extend(chunk.drain(..n));
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.len -= read.len();
        read
    }

    /// Takes bytes out of the stream that look like this; for the faults.
    pub(crate) fn steal(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> bool {
        let Some(at) = self.chunks.iter().position(|(_, chunk)| wanted(chunk)) else {
            return false;
        };
        if let Some((_, chunk)) = self.chunks.remove(at) {
            self.len -= chunk.len();
        }
        true
    }

    fn truncate(&mut self, mut keep: usize) {
        for (_, chunk) in &mut self.chunks {
            chunk.truncate(keep);
            keep -= chunk.len();
        }
        self.chunks.retain(|(_, chunk)| !chunk.is_empty());
        self.len = self.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
    }
}
