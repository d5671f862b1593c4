//! What the command says of itself: to people on standard error, with colour on a terminal only, or
//! to programs as JSON, one object a line, on standard output.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

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
        if self.json {
            line(&fields.to_string());
        } else {
            anstream::eprintln!("{text}");
        }
    }

    /// Something that the user should know before it hurts.
    pub(crate) fn warning(self, text: &str, fields: Value) {
        if self.json {
            line(&fields.to_string());
        } else {
            anstream::eprintln!("{WARNING}warning:{WARNING:#} {text}");
        }
    }
}

/// Says why the command failed.
pub(crate) fn error(text: &str) {
    anstream::eprintln!("{ERROR}error:{ERROR:#} {text}");
}

/// A line of standard output that is there at once, also in a pipe. Nobody reading it is no reason
/// for a server to stop.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
