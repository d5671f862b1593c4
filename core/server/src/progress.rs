//! A bar on a terminal that says how far long work has come.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the bar is drawn.
const DRAWN: Duration = Duration::from_millis(200);
const BAR: usize = 30;

/// A bar on a terminal, and nothing elsewhere. It is wiped out with this value.
pub(crate) struct Progress {
    what: &'static str,
    shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// `hidden` also on a terminal: who asked for JSON or for quiet.
    pub(crate) fn new(what: &'static str, hidden: bool) -> Self {
        Self {
            what,
            shown: !hidden && io::stderr().is_terminal(),
            drawn: None,
        }
    }

    /// It is at work, and nobody knows how far.
    pub(crate) fn wait(&mut self) {
        if self.shown {
            self.drawn = Some(Instant::now());
            let _ = write!(io::stderr(), "\r\x1b[K{} ...", self.what);
        }
    }

    /// `part` from 0 to 1.
    pub(crate) fn show(&mut self, part: f64, text: &str) {
        let soon = self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAWN);
        if !self.shown || soon {
            return;
        }
        self.drawn = Some(Instant::now());
        let part = part.clamp(0.0, 1.0);
        let full = (part * BAR as f64) as usize;
        let (bar, rest) = ("#".repeat(full), ".".repeat(BAR - full));
        // Nobody reading it changes nothing.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{} [{bar}{rest}] {:3.0} % {text}",
            self.what,
            part * 100.0
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
