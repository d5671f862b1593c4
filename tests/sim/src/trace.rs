//! What happened, as lines: all of them in a hash, the last ones to be read.

use std::collections::VecDeque;
use std::fmt::Arguments;

use ternmq_protocol::Time;

/// Lines kept for a failure's report.
const KEPT: usize = 80;

/// The log of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    last: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            hash: 0xCBF2_9CE4_8422_2325,
            last: VecDeque::new(),
        }
    }

    pub(crate) fn line(&mut self, now: Time, what: Arguments<'_>) {
        let mut line = match self.last.len() {
            KEPT => self.last.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        line.clear();
        // Writing to a string does not fail.
        let _ = std::fmt::write(&mut line, format_args!("{:>9} {what}", now.0));
        for byte in line.bytes() {
            // FNV-1a
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.last.push_back(line);
    }

    /// Of every line so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
