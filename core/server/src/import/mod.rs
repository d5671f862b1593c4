//! `ternmq import`: mosquitto's configuration as one of ours.
//!
//! What has no counterpart is left and told with its line. A listener that would let in more than it did
//! is left whole.

mod convert;
mod lines;
mod listeners;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Import;
use lines::Line;

/// The exit status when something is left.
const LEFT: u8 = 3;

/// Something that is not in the new configuration, or that it can't do by itself.
struct Told {
    file: String,
    line: usize,
    key: String,
    why: String,
}

/// What has become of a configuration.
#[derive(Default)]
struct Converted {
    text: String,
    /// What is missing.
    left: Vec<Told>,
    /// What is there and has to be known.
    notes: Vec<Told>,
}

impl Told {
    fn new(line: &Line, why: impl Into<String>) -> Self {
        Self {
            file: line.file.display().to_string(),
            line: line.number,
            key: line.key.clone(),
            why: why.into(),
        }
    }

    fn text(&self) -> String {
        let Self {
            file,
            line,
            key,
            why,
        } = self;
        format!("{file}, line {line}: `{key}`: {why}")
    }

    fn json(&self) -> Value {
        json!({ "file": self.file, "line": self.line, "key": self.key, "why": self.why })
    }
}

impl Converted {
    fn leave(&mut self, line: &Line, why: impl Into<String>) {
        self.left.push(Told::new(line, why));
    }

    fn note(&mut self, line: &Line, why: impl Into<String>) {
        self.notes.push(Told::new(line, why));
    }
}

pub(crate) fn run(args: &Import) -> Result<u8, String> {
    let lines = lines::read(&args.file)?;
    let mut converted = convert::convert(&lines)?;
    check(&mut converted, &lines)?;
    let order = |told: &Told| {
        let here =
            |line: &Line| line.number == told.line && line.file.display().to_string() == told.file;
        lines.iter().position(here)
    };
    converted.left.sort_by_cached_key(order);
    let Converted { text, left, notes } = &converted;
    if let Some(path) = &args.output {
        write(path, text)?;
    }
    if args.json {
        let list = |told: &[Told]| -> Value { told.iter().map(Told::json).collect() };
        let config = args.output.is_none().then_some(text);
        let all = json!({ "ok": left.is_empty(), "left": list(left), "notes": list(notes),
            "config": config });
        crate::report::line(&all.to_string());
    } else {
        if args.output.is_none() {
            print!("{text}");
        }
        for told in notes {
            anstream::eprintln!("note: {}", told.text());
        }
        for told in left {
            anstream::eprintln!("left: {}", told.text());
        }
    }
    Ok(match left.is_empty() {
        true => crate::SUCCESS,
        false => LEFT,
    })
}

/// Whether a server takes it, as far as that can be told here.
fn check(converted: &mut Converted, lines: &[Line]) -> Result<(), String> {
    let settings = crate::config::read_text(&converted.text);
    let settings = settings.map_err(|error| format!("this makes no configuration: {error}"))?;
    let usable = settings.broker.check();
    usable.map_err(|error| format!("this makes no configuration: {error}"))?;
    let access = &settings.access;
    for (key, read) in [
        ("password_file", access.look_at_steps()),
        ("acl_file", access.read().map(drop)),
    ] {
        // There is one that all listeners share.
        let line = lines.iter().rev().find(|line| line.key == key);
        if let (Err(problems), Some(line)) = (read, line) {
            for problem in problems.list() {
                let why = format!("the server does not start with it: {problem}");
                converted.leave(line, why);
            }
        }
    }
    Ok(())
}

/// What a server lets in stands in it, so that it is for its owner alone.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}
