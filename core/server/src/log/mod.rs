//! The log of the server: lines on standard error, for people or as JSON, written by a thread of its own so
//! that nobody who fails to read them holds up the server.
//!
//! What is written down is decided here: by level, for single clients by another one, and of one kind so many
//! lines a second at most. `tracing` carries the lines, so that what libraries say with it is among them.

mod clients;
mod format;
mod writer;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::Level as Loud;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

pub(crate) use clients::{ClientLog, follow};
use format::Lines;
use writer::Writer;

/// `[log]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    format: Format,
    level: Level,
    lines_per_second: u32,
    client: Vec<ClientLevel>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: Level::Info,
            lines_per_second: 100,
            client: Vec::new(),
        }
    }
}

/// `[[log.client]]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientLevel {
    client_id: String,
    level: Level,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Text,
    Json,
}

/// How much a line matters; and, as a limit, up to which lines are written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
}

/// The log, shared by all threads.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    levels: RwLock<Levels>,
    windows: Mutex<HashMap<Box<str>, Window>>,
    writer: Writer,
}

struct Levels {
    all: Level,
    /// The loudest of all: what is beyond it is nobody's.
    most: Level,
    clients: HashMap<String, Level>,
    lines_per_second: u32,
}

/// What was written of one kind.
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl Log {
    /// Begins to write; once in a process, whose later logs go where the first one went.
    ///
    /// # Errors
    /// There can be no thread for it.
    pub(crate) fn start(table: &Table) -> std::io::Result<Self> {
        let stderr = std::io::stderr();
        let lines = Lines {
            json: table.format == Format::Json,
            colour: stderr.is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        };
        let writer = Writer::start(stderr)?;
        let subscriber = tracing_subscriber::fmt()
            .event_format(lines)
            .with_writer(writer.clone())
            .with_max_level(Loud::DEBUG)
            .finish();
        // What libraries say is limited by nobody, and may quote what they are asked.
        let own = Targets::new().with_target("ternmq", Loud::DEBUG);
        let subscriber = subscriber.with(own);
        // Only what embeds the command could have set another one, which then has the lines.
        let _ = tracing::subscriber::set_global_default(subscriber);
        let log = Self(Arc::new(Shared {
            levels: RwLock::new(Levels::of(table)),
            windows: Mutex::default(),
            writer,
        }));
        Ok(log)
    }

    /// Takes over what can change while the server runs.
    pub(crate) fn change(&self, table: &Table) {
        *self
            .0
            .levels
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Levels::of(table);
    }

    /// Writes a line of this kind. `fields` are for programs; `client` is whom it is about.
    pub(crate) fn line(
        &self,
        level: Level,
        kind: &str,
        client: Option<&str>,
        text: &str,
        fields: &Map<String, Value>,
    ) {
        if self.takes(level, kind, client) {
            write(level, kind, text, fields);
        }
    }

    /// Whether such a line is to be written: takes its place in this second. For those who put it into
    /// words only then, and hand it to [`write`].
    fn takes(&self, level: Level, kind: &str, client: Option<&str>) -> bool {
        let most = {
            let levels = self.0.levels.read().unwrap_or_else(PoisonError::into_inner);
            if !levels.allow(level, client) {
                return false;
            }
            levels.lines_per_second
        };
        let left_out = self.enter(kind, most);
        if let Some(left_out) = left_out {
            self.tell_left_out(kind, left_out);
        }
        left_out.is_some()
    }

    /// Whether lines of this level may be wanted by anybody.
    pub(crate) fn may_want(&self, level: Level) -> bool {
        let levels = self.0.levels.read().unwrap_or_else(PoisonError::into_inner);
        level <= levels.most
    }

    /// Tells of what was left out, once the second is over in which that was; to be called now and then.
    pub(crate) fn tick(&self) {
        let mut over = Vec::new();
        let mut windows = self.windows();
        for (kind, window) in windows.iter_mut() {
            if window.left_out > 0 && window.since.elapsed() >= SECOND {
                over.push((kind.clone(), std::mem::take(&mut window.left_out)));
            }
        }
        drop(windows);
        for (kind, left_out) in over {
            self.tell_left_out(&kind, left_out);
        }
    }

    /// Waits until all lines are out, but not for ever: nobody may read them.
    pub(crate) fn flush(&self) {
        for (kind, window) in self.windows().iter_mut() {
            self.tell_left_out(kind, std::mem::take(&mut window.left_out));
        }
        self.0.writer.flush();
    }

    /// Takes a line's place in this second: how many were left out in the last one, `None` without a place.
    fn enter(&self, kind: &str, most: u32) -> Option<u64> {
        let mut windows = self.windows();
        let now = Instant::now();
        if !windows.contains_key(kind) {
            let (since, lines, left_out) = (now, 0, 0);
            let window = Window {
                since,
                lines,
                left_out,
            };
            windows.insert(kind.into(), window);
        }
        let window = windows.get_mut(kind)?;
        if now.duration_since(window.since) >= SECOND {
            (window.since, window.lines) = (now, 0);
        }
        if most > 0 && window.lines >= most {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        match window.lines {
            1 => Some(std::mem::take(&mut window.left_out)),
            _ => Some(0),
        }
    }

    fn tell_left_out(&self, kind: &str, left_out: u64) {
        if left_out > 0 {
            let text = format!("{left_out} more lines of {kind:?} were left out");
            let fields = Map::from_iter([
                ("of".to_owned(), Value::from(kind)),
                ("lines".to_owned(), Value::from(left_out)),
            ]);
            write(Level::Warn, "lines_left_out", &text, &fields);
        }
    }

    fn windows(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Window>> {
        self.0
            .windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Levels {
    fn of(table: &Table) -> Self {
        let clients: HashMap<String, Level> = (table.client.iter())
            .map(|client| (client.client_id.clone(), client.level))
            .collect();
        Self {
            all: table.level,
            most: clients.values().copied().fold(table.level, Level::max),
            clients,
            lines_per_second: table.lines_per_second,
        }
    }

    fn allow(&self, level: Level, client: Option<&str>) -> bool {
        let own = client.and_then(|client| self.clients.get(client));
        level <= *own.unwrap_or(&self.all)
    }
}

/// The event that [`format`] makes a line of.
fn write(level: Level, kind: &str, text: &str, fields: &Map<String, Value>) {
    let fields = Value::Object(fields.clone()).to_string();
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(target: "ternmq", $level, kind, fields, "{text}")
        };
    }
    match level {
        Level::Off => {}
        Level::Error => event!(Loud::ERROR),
        Level::Warn => event!(Loud::WARN),
        Level::Info => event!(Loud::INFO),
        Level::Debug => event!(Loud::DEBUG),
    }
}
