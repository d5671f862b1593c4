//! What happened, as lines: all of them in a hash, the last ones to be read. Writing them takes most
//! of a run's time, so a run that only has to pass goes without; its seed brings them back.

use std::collections::VecDeque;
use std::fmt::Arguments;

use ternmq_protocol::Time;

/// Lines kept for a failure's report.
const KEPT: usize = 80;

/// Gets each line as it is written.
pub(crate) type Listener = Box<dyn FnMut(&str)>;

/// The log of a run.
pub(crate) struct Trace {
    hash: u64,
    last: VecDeque<String>,
    listener: Option<Listener>,
    written: bool,
}

impl Trace {
    /// One that keeps nothing unless it is to be `written`.
    pub(crate) fn new(written: bool) -> Self {
        Self {
            hash: 0xCBF2_9CE4_8422_2325,
            last: VecDeque::new(),
            listener: None,
            written,
        }
    }

    pub(crate) fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    pub(crate) fn line(&mut self, now: Time, what: Arguments<'_>) {
        if !self.written {
            return;
        }
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
        if let Some(listener) = &mut self.listener {
            listener(&line);
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
