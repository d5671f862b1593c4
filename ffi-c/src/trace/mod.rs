//! The trace of both APIs: lines in a file or on standard output, and for a function of the application.
//!
//! Off, it costs a look at one number where a line could be told. Nothing is told of what runs under
//! the lock of a link while a function of the application runs: its lines go through a queue, and the
//! function is called on a thread of its own, without any lock, so it may call the library.

mod output;
mod packets;

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ternmq_client::executor::Strand;

use crate::signals;
use output::Output;
pub(crate) use packets::Packets;

/// How much a line matters, by the numbers of `MQTTCLIENT_TRACE_LEVELS`.
pub(crate) type Level = c_int;
pub(crate) const MINIMUM: Level = 3;
pub(crate) const PROTOCOL: Level = 4;
pub(crate) const ERROR: Level = 5;

/// A function of the application that is told each line.
pub(crate) type Listener = unsafe extern "C" fn(level: c_int, message: *mut c_char);

/// Bytes of the longest line.
const LONGEST: usize = 511;
/// Lines that may wait for the application's function. What comes beyond is counted, and told.
const MAX_WAITING: usize = 10_000;
/// How long the last client that goes waits for the function to have all lines.
const FLUSHING: Duration = Duration::from_secs(1);
/// Nobody listens.
const OFF: Level = Level::MAX;

/// The lowest level of which anything is told.
static THRESHOLD: AtomicI32 = AtomicI32::new(OFF);
static TRACE: Mutex<Trace> = Mutex::new(Trace::new());
/// The queue is empty, and no function runs.
static DRAINED: Condvar = Condvar::new();
static STRAND: OnceLock<Strand> = OnceLock::new();

struct Trace {
    /// Clients of both APIs.
    clients: usize,
    output: Option<Output>,
    listener: Option<Listener>,
    /// The level that the application or the environment has chosen.
    chosen: Option<Level>,
    waiting: VecDeque<(Level, CString)>,
    /// Lines that found the queue full.
    dropped: u64,
    /// A line is with the listener.
    telling: bool,
}

/// A client that the trace serves. The first one reads the environment, the last one ends the trace.
pub(crate) struct Traced(u64);

/// Writes a line, if anybody wants to know.
macro_rules! trace {
    ($level:expr, $($line:tt)+) => {
        if $crate::trace::wants($level) {
            $crate::trace::write($level, format_args!($($line)+));
        }
    };
}
pub(crate) use trace;

/// Whether lines of this level are told to anybody.
pub(crate) fn wants(level: Level) -> bool {
    level >= THRESHOLD.load(Ordering::Relaxed)
}

/// Writes a line with the time. Callers have asked [`wants`].
pub(crate) fn write(level: Level, line: std::fmt::Arguments<'_>) {
    let line = format!("{} {line}", output::timestamp());
    lock().tell(level, line);
}

/// Sets the level from which on lines are told.
pub(crate) fn set_level(level: Level) {
    let mut trace = lock();
    trace.chosen = Some(level);
    trace.adjust();
}

/// Sets who is told each line; `None` for nobody.
pub(crate) fn set_listener(listener: Option<Listener>) {
    if listener.is_some() && STRAND.get().is_none() {
        let mask = signals::mask();
        let run = move || {
            signals::adopt(mask);
            tell_listener();
        };
        // Without a thread there is nobody to tell.
        let Ok(strand) = signals::blocked(|| Strand::new(run)) else {
            return;
        };
        let _ = STRAND.set(strand);
    }
    let mut trace = lock();
    trace.listener = listener;
    trace.adjust();
}

impl Traced {
    /// A client begins. `product` names the library in the first lines.
    pub(crate) fn begin(product: &CStr) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let mut trace = lock();
        trace.clients += 1;
        if trace.clients == 1 {
            trace.output = Output::from_environment();
            trace.chosen = output::level_of_environment().or(trace.chosen);
            trace.adjust();
            trace.introduce(product);
        }
        Self(NUMBERS.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number of the client among all of the process.
    pub(crate) fn number(&self) -> u64 {
        self.0
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let mut trace = lock();
        trace.clients -= 1;
        if trace.clients > 0 {
            return;
        }
        let inside = STRAND.get().is_some_and(Strand::is_current);
        let deadline = Instant::now() + FLUSHING;
        while !inside && trace.clients == 0 && (trace.telling || !trace.waiting.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = DRAINED.wait_timeout(trace, left);
            trace = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if trace.clients == 0 {
            trace.output = None;
            trace.chosen = None;
            trace.adjust();
        }
    }
}

impl Trace {
    const fn new() -> Self {
        Self {
            clients: 0,
            output: None,
            listener: None,
            chosen: None,
            waiting: VecDeque::new(),
            dropped: 0,
            telling: false,
        }
    }

    /// Sets the threshold anew.
    fn adjust(&self) {
        let listened = self.output.is_some() || self.listener.is_some();
        let threshold = match listened {
            true => self.chosen.unwrap_or(MINIMUM),
            false => OFF,
        };
        THRESHOLD.store(threshold, Ordering::Relaxed);
    }

    /// The first lines, which are told whatever the level.
    fn introduce(&mut self, product: &CStr) {
        if self.output.is_none() && self.listener.is_none() {
            return;
        }
        const RULE: &str = "=========================================================";
        self.tell(MINIMUM, RULE.to_owned());
        self.tell(MINIMUM, "                   Trace Output".to_owned());
        self.tell(
            MINIMUM,
            format!("Product name: {}", product.to_string_lossy()),
        );
        let version = env!("CARGO_PKG_VERSION");
        self.tell(MINIMUM, format!("Version: {version}"));
        self.tell(MINIMUM, format!("Build level: {version}"));
        if let Ok(system) = std::fs::read_to_string("/proc/version") {
            self.tell(MINIMUM, format!("/proc/version: {}", system.trim_end()));
        }
        self.tell(MINIMUM, RULE.to_owned());
    }

    fn tell(&mut self, level: Level, mut line: String) {
        let end = (0..=LONGEST.min(line.len())).rfind(|at| line.is_char_boundary(*at));
        line.truncate(end.unwrap_or_default());
        if let Some(output) = &mut self.output {
            output.write(&line);
        }
        if self.listener.is_none() {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.dropped += 1;
            return;
        }
        line.retain(|c| c != '\0');
        self.waiting
            .push_back((level, CString::new(line).unwrap_or_default()));
        if let Some(strand) = STRAND.get() {
            strand.schedule();
        }
    }

    /// The next line for the listener.
    fn next(&mut self) -> Option<(Level, CString)> {
        if self.dropped > 0 && self.waiting.len() < MAX_WAITING {
            let dropped = std::mem::take(&mut self.dropped);
            let line = format!("{} {dropped} lines were dropped", output::timestamp());
            self.waiting
                .push_back((ERROR, CString::new(line).unwrap_or_default()));
        }
        self.waiting.pop_front()
    }
}

/// Tells the listener all that waits for it, one line after the other and without a lock.
fn tell_listener() {
    loop {
        let mut trace = lock();
        let next = trace.next().zip(trace.listener);
        trace.telling = next.is_some();
        drop(trace);
        let Some(((level, line), listener)) = next else {
            DRAINED.notify_all();
            return;
        };
        let line = line.into_raw();
        // SAFETY: the application registered the function for this; the line is a string of its own,
        // which the function may change but for its end, and is released below.
        unsafe {
            listener(level, line);
            drop(CString::from_raw(line));
        }
    }
}

fn lock() -> MutexGuard<'static, Trace> {
    TRACE.lock().unwrap_or_else(PoisonError::into_inner)
}
