//! What the command says of itself: to people on standard error, with colour on a terminal only and, of a
//! server, as lines of its log; or to programs as JSON, one object a line, on standard output.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::log::{self, Level, Log};

/// How events are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) json: bool,
}

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();

impl Report {
    /// Something happened. `fields` is the event for programs, `text` for people.
    pub(crate) fn event(self, text: &str, fields: Value) {
        match LOG.get() {
            _ if self.json => line(&fields.to_string()),
            Some(log) => write(log, Level::Info, "event", text, fields),
            None => anstream::eprintln!("{text}"),
        }
    }

    /// Something that the user should know before it hurts.
    pub(crate) fn warning(self, text: &str, fields: Value) {
        match LOG.get() {
            _ if self.json => line(&fields.to_string()),
            Some(log) => write(log, Level::Warn, "what", text, fields),
            None => anstream::eprintln!("{WARNING}warning:{WARNING:#} {text}"),
        }
    }

    /// Something that people who read the log want to see there, and that programs are told otherwise.
    pub(crate) fn note(self, text: &str, fields: Value) {
        if !self.json {
            self.event(text, fields);
        }
    }
}

/// The log of the server that this process is.
static LOG: OnceLock<Log> = OnceLock::new();

/// Begins a log, in which this and all that follows is told.
pub(crate) fn begin_log(table: &log::Table) -> Result<Log, String> {
    let started = || Log::start(table).map_err(|error| format!("no thread for the log: {error}"));
    let log = match LOG.get() {
        Some(log) => log.clone(),
        None => LOG
            .get_or_init({
                let log = started()?;
                || log
            })
            .clone(),
    };
    log.change(table);
    Ok(log)
}

pub(crate) fn change_log(table: &log::Table) {
    if let Some(log) = LOG.get() {
        log.change(table);
    }
}

/// Waits until all is written, but not for ever; before the process ends.
pub(crate) fn end_log() {
    if let Some(log) = LOG.get() {
        log.flush();
    }
}

fn write(log: &Log, level: Level, kind: &str, text: &str, fields: Value) {
    let Value::Object(fields) = fields else {
        return;
    };
    let text_of = |name: &str| fields.get(name).and_then(Value::as_str);
    let kind = text_of(kind).unwrap_or("event");
    log.line(level, kind, text_of("client_id"), text, &fields);
}

/// Whether the command is to fail without a word.
static QUIET: AtomicBool = AtomicBool::new(false);

pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Says why the command failed.
pub(crate) fn error(text: &str) {
    end_log();
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    anstream::eprintln!("{ERROR}error:{ERROR:#} {text}");
}

/// A line of standard output that is there at once, also in a pipe. Nobody reading it is no reason
/// for a server to stop.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
