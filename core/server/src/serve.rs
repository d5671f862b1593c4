//! `ternmq serve`: the broker as a process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, sync_channel};
use std::time::SystemTime;

use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;
use ternmq_access::chain::{Change, Teller};
use ternmq_access::jwt::remote::KeyChange;
use ternmq_broker::store::Restoration;
use ternmq_broker::{
    Ban, Broker, CertificateUser, ClientEvent, Config, Ending, Event, ListenerConfig,
    SlowSubscriber, Stats,
};

use crate::background::status;
use crate::bans::{self, BanFile};
use crate::cli::Serve;
use crate::config::{self, Loaded, Problem, Running, Settings};
use crate::control::Control;
use crate::data::{self, DataFolder};
use crate::drain::Leaving;
use crate::http::{self, About, Asking, Http, Progress, Question, Stage};
use crate::listeners::urls;
use crate::log::{self, ClientLog};
use crate::notify::Supervisor;
use crate::pid_file::PidFile;
use crate::reload::Serving;
use crate::report::{self, Report};
use crate::slow;

/// Events and signals that wait to be looked at. An event that finds no room is lost and counted.
const WAITING: usize = 1024;

/// What the server is told while it runs.
enum Told {
    Signal(i32),
    Event(Event),
    Ask(Question),
    /// The broker has ended, and all its events have been told.
    Over,
}

/// Runs until a signal.
pub(crate) fn run(args: &Serve) -> Result<u8, String> {
    if args.print_config {
        print!("{}", config::default_file());
        return Ok(crate::SUCCESS);
    }
    let report = Report { json: args.json };
    let pid_file = args.pid_file.as_deref().map(PidFile::take).transpose()?;
    let loaded = args.sources.load();
    let loaded = loaded.map_err(|problems| problems.to_string())?;
    let client_log = log::follow(report::begin_log(&loaded.settings.log)?)
        .map_err(|error| format!("no thread for the log: {error}"))?;
    let (tell, told) = sync_channel(WAITING);
    let watch = Watch::new(&tell);
    if let Some(table) = loaded.settings.http {
        open_http(report, table, watch.asking.clone())?;
    }
    let beside = |path| Control::beside(path, watch.asking.clone());
    let control = args.pid_file.as_deref().map(beside).transpose()?;
    let status = serve(args, loaded, &watch, client_log, (tell, &told))?;
    report::end_log();
    // The socket first: who finds the file finds the server.
    drop(control);
    drop(pid_file);
    Ok(status)
}

/// The same with its log, and with those who ask how it is.
fn serve(
    args: &Serve,
    loaded: Loaded,
    watch: &Watch,
    (client_events, client_log): (SyncSender<ClientEvent>, ClientLog),
    (tell, told): (SyncSender<Told>, &Receiver<Told>),
) -> Result<u8, String> {
    let report = Report { json: args.json };
    let Loaded {
        settings,
        map,
        warnings,
    } = loaded;
    let Settings {
        broker: mut config,
        drain,
        store,
        access,
        ..
    } = settings;
    let doors = access.put_into(&mut config, || tell_of_steps(report));
    let doors = doors.map_err(|problems| problems.to_string())?;
    // Before the broker starts: from its first line on it can be stopped cleanly.
    let signals = signals()?;
    let open = |path| DataFolder::open(path, &store, report);
    let mut data = args.data.as_deref().map(open).transpose()?;
    let now = watch.started;
    // A line of the file that was right once must not keep the server from starting.
    (config.bans).retain(|ban| ban.until.is_none_or(|until| until > now));
    let mut ban_file = None;
    if let Some(data) = &data {
        config.store = Some(data.store());
        ban_file = Some(BanFile::open(data.path(), &mut config.bans, now)?);
    }
    let events = pass_events_on(tell.clone());
    pass_signals_on(signals, tell);
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).map(drop);
    let broker = start(&config, &map, events, client_events)?;
    // Nobody else sets it.
    let _ = watch.asking.tracer.set(broker.tracer());
    watch.reach(match data.is_some() {
        true => Stage::Restoring,
        false => Stage::Ready,
    });
    let urls = urls(&config.listeners, &broker.local_addrs());
    let running = Running::new(args.sources.clone(), map, drain, &config, doors);
    announce_all(report, &urls, &config.listeners, running.has_users);
    warn(report, &warnings);
    tell_of_the_descriptors(report, descriptors);
    if let Some(data) = &mut data {
        open_to_others(report, data, &urls, watch.asking.clone())?;
    }
    let serving = Serving {
        report,
        broker: &broker,
        data: data.as_ref(),
        ban_file: ban_file.as_mut(),
        running,
        urls,
    };
    let by = listen(serving, watch, told)?;
    watch.reach(Stage::Stopping);
    tell_by_whom(report, by);
    let (stats, slow) = (broker.stats(), broker.slow_subscribers());
    stop(report, broker, ban_file.as_mut(), told)?;
    client_log.end();
    tell_the_sums(report, &stats, &slow);
    Ok(crate::SUCCESS)
}

fn start(
    config: &Config,
    map: &config::Map,
    events: SyncSender<Event>,
    client_events: SyncSender<ClientEvent>,
) -> Result<Broker, String> {
    let watched = Config {
        events: Some(events),
        client_events: Some(client_events),
        ..config.clone()
    };
    let failed = |error| config::refusal(&error, &config.listeners, map).to_string();
    let broker = Broker::start(watched).map_err(failed)?;
    end_with_the_broker(broker.ending());
    Ok(broker)
}

/// Tells when a back end is left alone, and when it answers again.
fn tell_of_steps(report: Report) -> Teller {
    Box::new(move |step, change| match change {
        Change::LeftAlone(failure) => report.warning(
            &format!("the back end of step {step:?} is left alone for a while: {failure}"),
            json!({ "event": "warning", "what": "step_left_alone", "step": step,
                "error": failure.to_string() }),
        ),
        Change::Back => report.event(
            &format!("the back end of step {step:?} answers again"),
            json!({ "event": "step_back", "step": step }),
        ),
        Change::Refused(failure) => report.warning(
            &format!("step {step:?} refuses a client: {failure}"),
            json!({ "event": "warning", "what": "step_refused", "step": step,
                "error": failure.to_string() }),
        ),
        Change::Keys(change) => tell_of_keys(report, step, change),
    })
}

fn tell_of_keys(report: Report, step: &str, change: &KeyChange) {
    match change {
        KeyChange::Changed(keys) => report.event(
            &format!("step {step:?} has new keys of tokens: {keys}"),
            json!({ "event": "keys_changed", "step": step, "keys": keys }),
        ),
        KeyChange::Failed(failure) => report.warning(
            &format!("step {step:?} goes on with the keys of tokens it has, if any: {failure}"),
            json!({ "event": "warning", "what": "keys_not_fetched", "step": step,
                "error": failure.to_string() }),
        ),
        KeyChange::Back => report.event(
            &format!("step {step:?} can have its keys of tokens again"),
            json!({ "event": "keys_back", "step": step }),
        ),
    }
}

fn tell_by_whom(report: Report, by: &str) {
    report.event(
        &format!("{by}: stopping; once more ends at once"),
        json!({ "event": "stopping", "by": by }),
    );
}

/// What whoever watches the server may ask.
pub(crate) struct Watch {
    asking: Asking,
    pub(crate) supervisor: Supervisor,
    started: SystemTime,
}

impl Watch {
    fn new(tell: &SyncSender<Told>) -> Self {
        let tell = tell.clone();
        let ask = move |question| tell.try_send(Told::Ask(question)).is_ok();
        Self {
            asking: Asking {
                progress: Progress::default(),
                ask: Arc::new(ask),
                tracer: Arc::default(),
            },
            supervisor: Supervisor::of_the_environment(),
            started: SystemTime::now(),
        }
    }

    /// For whoever asks, and whoever has started the server.
    pub(crate) fn reach(&self, stage: Stage) {
        self.asking.progress.reach(stage);
        match stage {
            // A drain that has begun goes on, whatever is restored meanwhile.
            Stage::Ready if self.asking.stage() == Stage::Ready => self.supervisor.ready(),
            Stage::Draining => self.supervisor.draining(),
            Stage::Stopping => self.supervisor.stopping(),
            Stage::Ready | Stage::Starting | Stage::Restoring => {}
        }
    }

    fn answer(&self, serving: &Serving<'_>, question: Question) {
        let (broker, stage) = (serving.broker, self.asking.stage());
        let page = match question.about {
            About::Life => "live\n".to_owned(),
            About::Metrics => {
                let ready = stage == Stage::Ready;
                let mut page = crate::metrics::text(&broker.stats(), self.started, ready);
                crate::metrics::add_steps(&mut page, serving.running.steps());
                crate::metrics::add_keys(&mut page, serving.running.steps());
                page
            }
            About::Status => {
                status::page(&broker.stats(), stage, self.started, &serving.urls).to_string()
            }
        };
        question.answer(page);
    }

    /// Has everything read again that can be.
    fn reload(&self, serving: &mut Serving<'_>) -> bool {
        self.supervisor.reloading();
        let bans_changed = serving.reload();
        if self.asking.stage() == Stage::Ready {
            self.supervisor.ready();
        }
        bans_changed
    }
}

/// Before anything else: a server that takes its time to start is alive.
fn open_http(report: Report, table: http::Table, asking: Asking) -> Result<(), String> {
    let http = Http::bind(table, asking)?;
    let url = http.url();
    http.serve()
        .map_err(|error| format!("no thread for HTTP: {error}"))?;
    report.event(
        &format!("metrics and health on {url}"),
        json!({ "event": "http", "url": url }),
    );
    Ok(())
}

fn signals() -> Result<Signals, String> {
    // By itself this one ends the process at the limit of a file's size. Taken, it leaves the write to fail as
    // on a full disk; the error says all, so nobody looks at the flag.
    let ignored = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let signals = ignored.and_then(|_| Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1]));
    signals.map_err(|error| format!("cannot wait for signals: {error}"))
}

/// Tells when there may not be one for each connection.
fn tell_of_the_descriptors(report: Report, raised: std::io::Result<()>) {
    if let Err(error) = raised {
        report.warning(
            &format!("the limit of open files can't be raised: {error}"),
            json!({ "event": "warning", "what": "open_files", "error": error.to_string() }),
        );
    }
}

/// Lets other processes of this user find the listeners, and back the folder up.
fn open_to_others(
    report: Report,
    data: &mut DataFolder,
    urls: &[String],
    asking: Asking,
) -> Result<(), String> {
    data.write_listeners(urls)?;
    if let Err(error) = data.listen(asking) {
        report.warning(
            &format!("{error}: the folder can't be backed up while this server runs"),
            json!({ "event": "warning", "what": "no_control", "error": error }),
        );
    }
    Ok(())
}

/// Tells what of the configuration may not be meant so.
pub(crate) fn warn(report: Report, warnings: &[Problem]) {
    for warning in warnings {
        let fields =
            json!({ "event": "warning", "what": "configuration", "problem": warning.json() });
        report.warning(&warning.to_string(), fields);
    }
}

/// Stops the broker, and tells what had happened before: events come by another thread than signals, so
/// that some may still be on their way. The next signal is from whoever loses patience with clients that
/// don't take their last messages.
fn stop(
    report: Report,
    broker: Broker,
    mut ban_file: Option<&mut BanFile>,
    told: &Receiver<Told>,
) -> Result<(), String> {
    let mut bans = broker.bans();
    // At once, for who loses patience: whatever has been decided stands in the list, told or not.
    save_bans(report, bans.clone(), ban_file.as_deref_mut());
    let stopping = std::thread::spawn(move || broker.stop());
    let mut bans_changed = false;
    loop {
        match told.recv() {
            Ok(Told::Event(event)) => {
                tell_of(report, &event);
                bans_changed |= bans::follow(&mut bans, event);
            }
            // Whoever asked is told at once that nobody answers.
            Ok(Told::Signal(SIGHUP | SIGUSR1) | Told::Ask(_)) => {}
            Ok(Told::Signal(signal)) => end_at_once(signal),
            Ok(Told::Over) | Err(_) => break,
        }
    }
    if bans_changed {
        save_bans(report, bans, ban_file);
    }
    match stopping.join() {
        Ok(stopped) => stopped.map_err(|failure| failure.to_string()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Tells what happens and keeps the bans, until something ends the server: its name.
fn listen(
    mut serving: Serving<'_>,
    watch: &Watch,
    told: &Receiver<Told>,
) -> Result<&'static str, String> {
    let (report, broker) = (serving.report, serving.broker);
    let (mut bans_changed, mut leaving) = (false, None);
    loop {
        let next = told.try_recv().or_else(|_| {
            // Written once for all that came together.
            if std::mem::take(&mut bans_changed) {
                save_bans(report, broker.bans(), serving.ban_file.as_deref_mut());
            }
            wait(report, (broker, watch), leaving.as_mut(), told)
        });
        let by = match next.map_err(|_| "nobody waits for signals".to_owned())? {
            Told::Signal(SIGUSR1) => {
                leaving = leaving.or_else(|| Leaving::asked_for(&serving, watch));
                continue;
            }
            Told::Signal(SIGHUP) => {
                bans_changed |= watch.reload(&mut serving);
                continue;
            }
            Told::Ask(question) => {
                watch.answer(&serving, question);
                continue;
            }
            Told::Event(Event::Drained) => leaving.map_or("drained", |leaving| leaving.by),
            Told::Event(event) => {
                if matches!(event, Event::Restored(_)) {
                    watch.reach(Stage::Ready);
                }
                bans_changed |= tell_of(report, &event);
                continue;
            }
            Told::Signal(signal) => {
                let by = if signal == SIGINT {
                    "Ctrl-C"
                } else {
                    "SIGTERM"
                };
                match leaving {
                    Some(Leaving { stops: true, .. }) => end_at_once(signal),
                    // Whoever drains by hand is not asked to wait for it.
                    Some(_) => by,
                    None => match Leaving::before_the_end(&serving, watch, by) {
                        Some(begun) => {
                            leaving = Some(begun);
                            continue;
                        }
                        None => by,
                    },
                }
            }
            Told::Over => "the broker has ended",
        };
        return Ok(by);
    }
}

/// The next thing to do; meanwhile it is told how far clients have been let go of.
fn wait(
    report: Report,
    (broker, watch): (&Broker, &Watch),
    leaving: Option<&mut Leaving>,
    told: &Receiver<Told>,
) -> Result<Told, RecvError> {
    let Some(leaving) = leaving else {
        return told.recv();
    };
    loop {
        match told.recv_timeout(leaving.until_progress()) {
            Ok(told) => return Ok(told),
            Err(RecvTimeoutError::Timeout) => leaving.tell_progress(report, broker, watch),
            Err(RecvTimeoutError::Disconnected) => return Err(RecvError),
        }
    }
}

/// Somebody has lost patience.
fn end_at_once(signal: i32) -> ! {
    report::end_log();
    std::process::exit(128 + signal)
}

/// A folder that can't be written must not end a server that can go on without it.
fn save_bans(report: Report, bans: Vec<Ban>, file: Option<&mut BanFile>) {
    if let Some(file) = file
        && let Err(error) = file.save(bans)
    {
        report.warning(
            &format!("{error}: new bans end with this server"),
            json!({ "event": "warning", "what": "bans_not_saved", "error": error }),
        );
    }
}

/// Whether it is about a ban.
fn tell_of(report: Report, event: &Event) -> bool {
    match event {
        Event::Banned(ban) => report.event(
            &format!("banned {}: {:?}", ban.who, ban.reason),
            json!({ "event": "banned", "who": ban.who.to_string(), "reason": ban.reason,
                "by": ban.by, "until": ban.until.map(bans::time_text) }),
        ),
        Event::Unbanned(who) => report.event(
            &format!("no longer banned: {who}"),
            json!({ "event": "unbanned", "who": who.to_string() }),
        ),
        Event::SlowSubscriber(subscriber) => {
            slow::tell(report, subscriber);
            return false;
        }
        Event::Listening(listener, address) => {
            report.note(
                &format!("listening on {address}"),
                json!({ "event": "listening", "listener": listener.0, "address": address.to_string() }),
            );
            return false;
        }
        Event::ListenerClosed(listener) => {
            report.note(
                &format!("listener {} accepts no more connections", listener.0),
                json!({ "event": "listener_closed", "listener": listener.0 }),
            );
            return false;
        }
        _ => {
            tell_of_the_folder(report, event);
            return false;
        }
    }
    true
}

/// What becomes of the data folder.
fn tell_of_the_folder(report: Report, event: &Event) {
    match event {
        Event::Salvaged(salvaged) => {
            data::tell_what_is_saved(report, salvaged);
        }
        Event::Damaged(damage) => {
            let rows = damage.rows;
            report.warning(
                &format!("{rows} records of the data folder can't be read; the rest is served"),
                json!({ "event": "warning", "what": "unreadable", "records": rows }),
            );
        }
        Event::Restored(restoration) => {
            tell_what_is_kept(report, restoration);
        }
        Event::NotRestored(error) => {
            report.warning(
                &format!("not all retained messages could be read: {error}"),
                json!({ "event": "warning", "what": "not_restored", "error": error.to_string() }),
            );
        }
        Event::NotStored(error) => {
            report.warning(
                &format!(
                    "what is to outlive this server is refused until it can be stored: {error}"
                ),
                json!({ "event": "warning", "what": "not_stored", "error": error.to_string() }),
            );
        }
        Event::NotSwept(error) => {
            report.warning(
                &format!("messages that nobody waits for stay in the data folder: {error}"),
                json!({ "event": "warning", "what": "not_swept", "error": error.to_string() }),
            );
        }
        Event::LogFull(dropped) => {
            report.warning(
                &format!(
                    "the data folder's messages have reached `log_bytes`: the oldest {dropped} are \
                     dropped though sessions wait for them, and more as others come in"
                ),
                json!({ "event": "warning", "what": "log_full", "dropped": dropped }),
            );
        }
        Event::StoredAgain => {
            report.event(
                "the data folder can be written again",
                json!({ "event": "stored_again" }),
            );
        }
        _ => {}
    }
}

/// The broker waits for nobody, so that its events have a channel of their own.
fn pass_events_on(tell: SyncSender<Told>) -> SyncSender<Event> {
    let (sender, events) = sync_channel(WAITING);
    std::thread::spawn(move || {
        for event in events {
            if tell.send(Told::Event(event)).is_err() {
                return;
            }
        }
        // Nobody may be there any more who wants to know.
        let _ = tell.send(Told::Over);
    });
    sender
}

fn pass_signals_on(mut signals: Signals, tell: SyncSender<Told>) {
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if tell.send(Told::Signal(signal)).is_err() {
                return;
            }
        }
    });
}

/// What came back, and what did not.
fn tell_what_is_kept(report: Report, restoration: &Restoration) {
    let Restoration {
        sessions,
        retained,
        delayed,
        over_limits,
        damaged,
        copies_lost,
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
                 limits and were left out"
            ),
            json!({ "event": "warning", "what": "over_limits", "dropped": over_limits }),
        );
    }
    if *damaged > 0 || *copies_lost > 0 {
        report.warning(
            &format!(
                "the data folder is damaged: {damaged} records and {copies_lost} messages in \
                 flight can't be read"
            ),
            json!({ "event": "warning", "what": "damaged", "records": damaged,
                "messages": copies_lost }),
        );
    }
}

/// What went through, and what didn't: the last chance to learn of drops and refusals.
fn tell_the_sums(report: Report, stats: &Stats, slow: &[SlowSubscriber]) {
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
    let late = slow::sum(mqtt.late_deliveries, slow);
    let by_reason: serde_json::Map<String, Value> = dropped
        .by_reason()
        .map(|(reason, count)| (reason.to_owned(), count.into()))
        .collect();
    report.event(
        &format!(
            "stopped: {} connections ({refused} refused), {received} messages received, {} sent{late}, \
             {} dropped{reasons}",
            stats.accepted,
            mqtt.sent(),
            dropped.total(),
        ),
        json!({ "event": "stopped", "connections": stats.accepted, "refused": refused,
            "protocol_errors": mqtt.peer_errors, "received": received, "sent": mqtt.sent(),
            "late": mqtt.late_deliveries, "slow_subscribers": slow::list(slow),
            "dropped": by_reason }),
    );
}

/// Tells all that there is to tell of listeners.
fn announce_all(report: Report, urls: &[String], listeners: &[ListenerConfig], has_users: bool) {
    announce(report, urls.iter().zip(listeners), has_users);
    warn_of_key_logs(report, urls, listeners);
}

/// Tells where it listens, and where that is of no use to anybody.
pub(crate) fn announce<'a>(
    report: Report,
    listeners: impl Iterator<Item = (&'a String, &'a ListenerConfig)>,
    has_users: bool,
) {
    for (url, listener) in listeners {
        if report.json {
            let rest = url.split_once("://").map_or(&**url, |(_, rest)| rest);
            let address = match listener.address.ip() {
                Some(_) => rest.split('/').next().unwrap_or(rest),
                None => rest,
            };
            let event = json!({ "event": "listening", "url": url, "address": address,
                "anonymous": listener.anonymous });
            crate::report::line(&event.to_string());
        } else {
            crate::report::line(&format!("listening on {url}"));
        }
        let certificates = listener.certificate_user != CertificateUser::Nothing;
        if !listener.anonymous && !has_users && !certificates {
            report.warning(
                &format!(
                    "{url} refuses every client, because there are no users; make some with \
                     `ternmq passwd`, or, to let everybody in who can reach it, say `anonymous = true` in its [[listener]] of \
                     the file given by --config"
                ),
                json!({ "event": "warning", "what": "anonymous_refused", "url": url }),
            );
        }
    }
}

/// Tells of files with which everybody's traffic can be read, as often as there is an occasion.
pub(crate) fn warn_of_key_logs(report: Report, urls: &[String], listeners: &[ListenerConfig]) {
    for (url, listener) in urls.iter().zip(listeners) {
        let file = listener.tls.as_ref().and_then(|tls| tls.key_log.as_ref());
        if let Some(file) = file {
            let file = file.display().to_string();
            report.warning(
                &format!("{url} writes the secrets of all its connections to {file}: whoever has it reads \
                     everything (`key_log`)"),
                json!({ "event": "warning", "what": "key_log", "url": url, "file": file }),
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
