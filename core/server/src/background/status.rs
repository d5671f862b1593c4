//! `ternmq status`.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use ternmq_broker::Stats;

use super::{NOT_RUNNING, Which};
use crate::control;
use crate::http::Stage;
use crate::pid_file::{self, Found};
use crate::report;

/// The exit status when it runs, and does not say how it is.
const UNKNOWN: u8 = 4;

/// What a script wants to know.
const STATUSES: &str = "\
Exit status:
  0  it runs
  1  that can't be said, such as with a file that may not be read
  2  the command line is wrong
  3  it does not run
  4  it runs, and does not answer";

/// Options of `ternmq status`.
#[derive(Args, Debug)]
#[command(after_help = STATUSES)]
pub(crate) struct Status {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Says how a server is.
pub(crate) fn run(args: &Status) -> Result<u8, String> {
    let path = args.which.pid_file();
    let pid = match pid_file::look(&path)? {
        Found::Running(pid) => pid,
        found => {
            let killed = found == Found::Stale;
            match args.json {
                true => report::line(&json!({ "running": false, "killed": killed }).to_string()),
                false if killed => report::line("not running: it has not ended by itself"),
                false => report::line("not running"),
            }
            return Ok(NOT_RUNNING);
        }
    };
    match control::status(&path) {
        Ok(mut status) => {
            status["running"] = true.into();
            match args.json {
                true => report::line(&status.to_string()),
                false => report::line(&words(&status)),
            }
            Ok(crate::SUCCESS)
        }
        Err(error) => {
            report::error(&format!("pid {pid} runs, and {error}"));
            Ok(UNKNOWN)
        }
    }
}

/// How a server says that it is.
pub(crate) fn page(stats: &Stats, stage: Stage, started: SystemTime, urls: &[String]) -> Value {
    let mqtt = &stats.mqtt;
    // A clock that was set back meanwhile.
    let uptime = started.elapsed().unwrap_or_default().as_secs();
    json!({
        "stage": stage.words(),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "started": humantime::format_rfc3339_seconds(started).to_string(),
        "uptime_seconds": uptime,
        "listeners": urls,
        "clients": mqtt.connected,
        "sessions": mqtt.sessions,
        "subscriptions": mqtt.subscriptions,
        "messages": {
            "received": mqtt.received.iter().sum::<u64>(),
            "sent": mqtt.sent(),
            "dropped": mqtt.dropped.total(),
        },
    })
}

/// The same for people. While it starts or stops, only that is known.
pub(super) fn words(status: &Value) -> String {
    let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{}: pid {}", text("stage"), status["pid"])];
    if let Some(seconds) = status["uptime_seconds"].as_u64() {
        let uptime = humantime::format_duration(Duration::from_secs(seconds));
        let (version, started) = (text("version"), text("started"));
        lines.push(format!("ternmq {version}, since {started} ({uptime})"));
        let urls = status["listeners"].as_array().into_iter().flatten();
        lines.extend(urls.filter_map(|url| Some(format!("listening on {}", url.as_str()?))));
        lines.push(format!(
            "{} clients, {} sessions, {} subscriptions",
            status["clients"], status["sessions"], status["subscriptions"]
        ));
        let messages = &status["messages"];
        lines.push(format!(
            "messages: {} received, {} sent, {} dropped",
            messages["received"], messages["sent"], messages["dropped"]
        ));
    }
    lines.join("\n")
}
