//! How an event becomes a line.

use std::fmt;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// One line for each event.
pub(super) struct Lines {
    pub(super) json: bool,
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let level = event.metadata().level();
        if self.json {
            let mut line = Map::new();
            line.insert("time".to_owned(), time.to_string().into());
            line.insert(
                "level".to_owned(),
                level.as_str().to_ascii_lowercase().into(),
            );
            line.insert("event".to_owned(), parts.kind.into());
            line.insert("message".to_owned(), parts.message.into());
            for (name, value) in parts.fields {
                line.entry(name).or_insert(value);
            }
            return writeln!(out, "{}", Value::Object(line));
        }
        let style = match *level {
            Level::ERROR => AnsiColor::Red.on_default().bold(),
            Level::WARN => AnsiColor::Yellow.on_default().bold(),
            Level::INFO => AnsiColor::Green.on_default(),
            _ => Style::new().dimmed(),
        };
        let message = parts.message.replace('\n', "\n  ");
        match self.colour {
            true => writeln!(out, "{time} {style}{level:>5}{style:#} {message}"),
            false => writeln!(out, "{time} {level:>5} {message}"),
        }
    }
}

/// What an event says.
#[derive(Default)]
struct Parts {
    kind: String,
    message: String,
    fields: Map<String, Value>,
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "kind" => value.clone_into(&mut self.kind),
            "message" => value.clone_into(&mut self.message),
            "fields" => {
                if let Ok(Value::Object(fields)) = serde_json::from_str(value) {
                    self.fields.extend(fields);
                }
            }
            name => {
                self.fields.insert(name.to_owned(), value.into());
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
