//! `ternmq serve`: the broker as a process.

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use ternmq_broker::store::Restoration;
use ternmq_broker::{Broker, Config, Ending, Stats};

use crate::cli::Serve;
use crate::config;
use crate::data::{DataFolder, url};
use crate::report::Report;

/// Runs until a signal.
pub(crate) fn run(args: &Serve) -> Result<ExitCode, String> {
    let report = Report { json: args.json };
    let mut config = config::load(args)?;
    // Before the broker starts: from its first line on it can be stopped cleanly.
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|e| format!("cannot wait for signals: {e}"))?;
    let data = args.data.as_deref().map(DataFolder::open).transpose()?;
    if let Some(data) = &data {
        config.store = Some(data.store());
    }
    let broker = Broker::start(config.clone()).map_err(|e| e.to_string())?;
    end_with_the_broker(broker.ending());
    if let Some(restoration) = broker.restoration() {
        tell_what_is_kept(report, restoration);
    }
    announce(report, &config, broker.local_addrs());
    if let Some(data) = &data {
        data.write_listeners(broker.local_addrs())?;
    }
    let signal = signals.forever().next();
    let name = if signal == Some(SIGINT) {
        "Ctrl-C"
    } else {
        "SIGTERM"
    };
    report.event(
        &format!("{name}: stopping; once more ends at once"),
        json!({ "event": "stopping", "by": name }),
    );
    end_at_the_next_signal(signals);
    let stats = broker.stats();
    broker.stop().map_err(|failure| failure.to_string())?;
    tell_the_sums(report, &stats);
    Ok(ExitCode::SUCCESS)
}

/// What came back, what did not, and what the folder does not promise.
fn tell_what_is_kept(report: Report, restoration: &Restoration) {
    let Restoration {
        sessions,
        retained,
        delayed,
        over_limits,
        damaged,
        copies_lost,
        cut,
        set_aside,
    } = restoration;
    report.event(
        &format!(
            "restored {sessions} sessions, {retained} retained and {delayed} delayed messages"
        ),
        json!({ "event": "restored", "sessions": sessions, "retained": retained,
            "delayed": delayed }),
    );
    if *over_limits > 0 {
        report.warning(
            &format!(
                "{over_limits} sessions or messages of the data folder are beyond the \
                 limits and were dropped"
            ),
            json!({ "event": "warning", "what": "over_limits", "dropped": over_limits }),
        );
    }
    if *damaged > 0 || *cut {
        let end = if *cut { "; its end is missing" } else { "" };
        let aside = set_aside.as_deref().map_or_else(String::new, |path| {
            format!("; what was there is kept as {}", path.display())
        });
        report.warning(
            &format!(
                "the data folder is damaged: {damaged} records and {copies_lost} waiting messages \
                 were lost{end}{aside}"
            ),
            json!({ "event": "warning", "what": "damaged", "records": damaged,
                "messages": copies_lost, "cut": cut, "set_aside": set_aside }),
        );
    }
    report.warning(
        "sessions and messages are saved when the server stops on SIGTERM or Ctrl-C; whatever ends \
         it otherwise, a crash or a power cut, loses what has happened since it started",
        json!({ "event": "warning", "what": "saved_at_stop_only" }),
    );
}

/// What went through, and what didn't: the last chance to learn of drops and refusals.
fn tell_the_sums(report: Report, stats: &Stats) {
    let (mqtt, dropped) = (&stats.mqtt, &stats.mqtt.dropped);
    let received: u64 = mqtt.received.iter().sum();
    let refused = stats.connections_refused + stats.accept_errors + mqtt.connects_refused;
    let reasons: Vec<String> = dropped
        .by_reason()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let reasons = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.join(", ")),
    };
    let by_reason: serde_json::Map<String, Value> = dropped
        .by_reason()
        .map(|(reason, count)| (reason.to_owned(), count.into()))
        .collect();
    report.event(
        &format!(
            "stopped: {} connections ({refused} refused), {received} messages received, {} sent, {} \
             dropped{reasons}",
            stats.accepted,
            mqtt.sent(),
            dropped.total(),
        ),
        json!({ "event": "stopped", "connections": stats.accepted, "refused": refused,
            "protocol_errors": mqtt.peer_errors, "received": received, "sent": mqtt.sent(),
            "dropped": by_reason }),
    );
}

fn announce(report: Report, config: &Config, addresses: &[SocketAddr]) {
    for (address, listener) in addresses.iter().zip(&config.listeners) {
        let url = url(*address);
        if report.json {
            let event = json!({ "event": "listening", "url": url, "address": address.to_string(),
                "anonymous": listener.anonymous });
            crate::report::line(&event.to_string());
        } else {
            crate::report::line(&format!("listening on {url}"));
        }
        if !listener.anonymous && config.users.is_empty() {
            report.warning(
                &format!(
                    "{url} refuses every client, because there are no users; make some with \
                     `ternmq passwd NAME`, or, to let everybody in who can reach it, say `anonymous = true` in its [[listener]] of \
                     the file given by --config"
                ),
                json!({ "event": "warning", "what": "anonymous_refused", "url": url }),
            );
        }
    }
}

/// A server whose broker has failed is worth nothing: its supervisor shall start another one.
fn end_with_the_broker(ending: Ending) {
    std::thread::spawn(move || {
        if let Some(failure) = ending.wait() {
            crate::report::error(&failure.to_string());
            std::process::exit(1);
        }
    });
}

/// For whoever loses patience with clients that don't take their last messages.
fn end_at_the_next_signal(mut signals: Signals) {
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            std::process::exit(128 + signal);
        }
    });
}
