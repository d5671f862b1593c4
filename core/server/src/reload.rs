//! SIGHUP: a server that runs reads its files again.

use serde_json::{Value, json};
use ternmq_broker::Broker;

use crate::bans::BanFile;
use crate::config::{Problem, Refused, Running};
use crate::data::DataFolder;
use crate::listeners::urls;
use crate::report::Report;
use crate::serve::{announce, warn, warn_of_key_logs};

/// A broker and what it was made from.
pub(crate) struct Serving<'a> {
    pub(crate) report: Report,
    pub(crate) broker: &'a Broker,
    pub(crate) data: Option<&'a DataFolder>,
    pub(crate) ban_file: Option<&'a mut BanFile>,
    pub(crate) running: Running,
    /// Where it listens, in the order of its listeners.
    pub(crate) urls: Vec<String>,
}

impl Serving<'_> {
    /// Has everything read again that can be. What can't be used must not end a server, nor let anybody in:
    /// then nothing changes. Whether there are bans that the file does not name.
    pub(crate) fn reload(&mut self) -> bool {
        let report = self.report;
        let ban_file = self.ban_file.as_deref_mut();
        let reloaded = match self.running.reload(self.broker, ban_file) {
            Ok(reloaded) => reloaded,
            Err(refused) => {
                tell_of_the_refusal(report, refused);
                return false;
            }
        };
        warn(report, &reloaded.warnings);
        let mut kept = false;
        if let Some(changes) = reloaded.bans {
            let (banned, lifted) = (changes.banned, changes.lifted);
            report.event(
                &format!("SIGHUP: bans are read again: {banned} new, {lifted} lifted"),
                json!({ "event": "bans_reloaded", "banned": banned, "lifted": lifted }),
            );
            kept = changes.kept > 0;
        }
        if let Some(rules) = reloaded.rules {
            report.event(
                &format!("SIGHUP: {rules} rules are read again"),
                json!({ "event": "rules_reloaded", "rules": rules }),
            );
        }
        let (changed, restart) = (&reloaded.changed, &reloaded.restart);
        if !changed.is_empty() {
            report.event(
                &format!("SIGHUP: changed {}", changed.join(", ")),
                json!({ "event": "reloaded", "changed": changed }),
            );
        }
        if !restart.is_empty() {
            report.warning(
                &format!("SIGHUP: only a restart changes {}", restart.join(", ")),
                json!({ "event": "warning", "what": "restart_needed", "keys": restart }),
            );
        }
        self.tell_of_listeners();
        warn_of_key_logs(report, &self.urls, &self.running.listeners);
        reload_certificates(report, self.broker, &self.urls);
        kept
    }

    /// Tells where it listens now and did not before, and the reverse.
    fn tell_of_listeners(&mut self) {
        let report = self.report;
        let listeners = &self.running.listeners;
        let new = urls(listeners, &self.broker.local_addrs());
        let old = std::mem::replace(&mut self.urls, new);
        for url in old.iter().filter(|url| !self.urls.contains(url)) {
            report.event(
                &format!("no longer listening on {url}"),
                json!({ "event": "not_listening", "url": url }),
            );
        }
        let all = self.urls.iter().zip(listeners);
        let new = all.filter(|(url, _)| !old.contains(url));
        announce(report, new, self.running.has_users);
        if let Some(data) = self.data
            && old != self.urls
            && let Err(error) = data.write_listeners(&self.urls)
        {
            report.warning(
                &format!("{error}: commands with --data don't find the new listeners"),
                json!({ "event": "warning", "what": "listeners_not_written", "error": error }),
            );
        }
    }
}

fn tell_of_the_refusal(report: Report, refused: Refused) {
    match refused {
        Refused::Configuration(problems) => {
            let list: Vec<Value> = problems.list().iter().map(Problem::json).collect();
            report.warning(
                &format!("SIGHUP: everything stays as it was:\n{problems}"),
                json!({ "event": "warning", "what": "not_reloaded", "problems": list }),
            );
        }
        Refused::Bans(error) => report.warning(
            &format!("SIGHUP: everything stays as it was: {error}"),
            json!({ "event": "warning", "what": "bans_not_reloaded", "error": error }),
        ),
    }
}

/// Certificates that can't be read must not end a server that has some. They could be read a moment ago, or
/// nothing would have been reloaded.
fn reload_certificates(report: Report, broker: &Broker, urls: &[String]) {
    match broker.reload_certificates() {
        Ok(()) => report.event(
            "SIGHUP: certificates are read again",
            json!({ "event": "certificates_reloaded" }),
        ),
        Err((at, error)) => {
            let url = urls.get(at);
            let error = error.to_string();
            report.warning(
                &format!(
                    "SIGHUP: all certificates stay as they were, for those of {} can't be used: {error}",
                    url.map_or("a listener", String::as_str)
                ),
                json!({ "event": "warning", "what": "certificates_not_reloaded", "url": url,
                    "error": error }),
            );
        }
    }
}
