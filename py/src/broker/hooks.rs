//! Python's say in who may come in and who may do what, and what it is told.
//!
//! Questions are asked on the broker's threads for hooks, and what clients do is told on a thread of its
//! own, in batches: the interpreter is attached to once for each question and each batch, and never by
//! a thread that moves messages. Exceptions are caught and logged in Python (`_broker_hooks.py`).

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle, current};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Authenticate, Authorise, Connecting, Decision};
use ternmq_broker::{Broker, ClientEvent, Config, Departure, Event, LocalSubscription};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::{acl, local};
use crate::gil::attached;
use crate::properties;

/// Events of clients that wait for Python. What finds no room is lost, and counted. The channel has the memory
/// for all of them from the beginning, some 1.7 MB, which is most of what a broker of a test takes.
const EVENTS: usize = 16_384;

/// Messages that wait for Python, whose memory is taken when they come.
const MESSAGES: usize = 65_536;

/// The same of events of the store, which come one by one.
const STORE_EVENTS: usize = 1_024;

/// Events told at once.
const BATCH: usize = 1_024;

/// What Python wants to be asked and told. Each is called with plain values.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Hooks {
    authenticate: Option<Py<PyAny>>,
    authorise: Option<Py<PyAny>>,
    /// Called with a list of tuples.
    on_events: Py<PyAny>,
    /// Called with a kind, what happened in words, the name of a file and numbers by their names.
    on_store: Py<PyAny>,
    /// Called with a list of messages, and how many were dropped before.
    on_publish: Option<Py<PyAny>>,
    acl: Option<Vec<acl::Rule>>,
}

/// The threads that tell Python.
#[derive(Default)]
pub(super) struct Telling {
    threads: Vec<JoinHandle<()>>,
    events: Option<SyncSender<ClientEvent>>,
    store: Option<SyncSender<Event>>,
    /// Of a broker without a folder, which has so little to tell of itself that no thread waits for it.
    rare: Option<(Py<PyAny>, Receiver<Event>)>,
    messages: Option<Arc<LocalSubscription>>,
}

impl Hooks {
    /// Puts everything but what is told into a configuration.
    pub(super) fn put_into(&mut self, config: &mut Config) -> PyResult<()> {
        let access = &mut config.access;
        if let Some(ask) = self.authenticate.take() {
            access.authenticate.push(Arc::new(Asked(ask)));
        }
        if let Some(ask) = self.authorise.take() {
            access.authorise.push(Arc::new(Asked(ask)));
            // Whoever writes tests changes their mind.
            access.verdict_ms = 0;
        }
        if let Some(rules) = &self.acl {
            access.rules = Arc::new(acl::rules(rules)?);
        }
        Ok(())
    }

    /// Begins to tell what the clients of a broker do, if that is wanted. `events` is what it was started with.
    pub(super) fn tell(
        &self,
        py: Python<'_>,
        broker: &Broker,
        events: (SyncSender<ClientEvent>, Receiver<ClientEvent>),
        store: (SyncSender<Event>, Receiver<Event>),
        keeps_files: bool,
    ) -> PyResult<Telling> {
        let mut telling = Telling::default();
        let (sender, told) = store;
        let tell = self.on_store.clone_ref(py);
        if keeps_files {
            telling.store = Some(sender);
            telling.spawn("ternmq-told", move || tell_of_store(&tell, &told))?;
        } else {
            tell_rare(py, &tell, &told);
            telling.rare = Some((tell, told));
        }
        let (sender, events) = events;
        telling.events = Some(sender);
        let tell = self.on_events.clone_ref(py);
        telling.spawn("ternmq-events", move || tell_events(&tell, &events))?;
        if let Some(tell) = &self.on_publish {
            let options = local::options(MESSAGES, false, false, true);
            let subscription = broker.subscribe("#", options);
            let subscription = Arc::new(subscription.map_err(local::subscribe_error)?);
            telling.messages = Some(subscription.clone());
            let tell = tell.clone_ref(py);
            telling.spawn("ternmq-messages", move || {
                tell_messages(&tell, &subscription)
            })?;
        }
        Ok(telling)
    }
}

/// Where a broker is to put what its clients do, and where it is to be taken from.
pub(super) fn client_channel() -> (SyncSender<ClientEvent>, Receiver<ClientEvent>) {
    sync_channel(EVENTS)
}

/// Where it is to put what becomes of itself. What finds no room is lost, and counted.
pub(super) fn store_channel() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(STORE_EVENTS)
}

impl Telling {
    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = Builder::new().name(name.into()).spawn(body)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until all that the broker had to tell is told; the broker has ended.
    pub(super) fn end(self) {
        if let Some(messages) = self.messages {
            messages.close();
        }
        if let Some(events) = self.events {
            // Local subscriptions may outlive the broker, and the way into this channel with them. The
            // thread may have ended.
            let _ = events.send(the_end());
        }
        if let Some(store) = self.store {
            let _ = store.send(Event::Drained);
        }
        for thread in self.threads {
            // Whoever stops the broker from one of its callbacks does not wait for itself.
            if thread.thread().id() != current().id() {
                let _ = thread.join();
            }
        }
        if let Some((tell, told)) = self.rare {
            Python::try_attach(|py| tell_rare(py, &tell, &told));
        }
    }
}

/// A callable of Python.
struct Asked(Py<PyAny>);

impl Authenticate for Asked {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        let asked = attached(|py| {
            let who = (
                connecting.client_id,
                connecting.user_name,
                connecting.password,
                connecting.authenticated,
                number(connecting.version),
                connecting.clean_start,
                connecting.peer.map(|peer| peer.to_string()),
                connecting.listener,
                connecting.certificate_subject,
                properties::to_dict(py, connecting.properties)?,
            );
            self.0
                .bind(py)
                .call1(who)?
                .extract::<(Option<bool>, Option<String>, u8)>()
        });
        match asked {
            Some(Ok((None, ..))) => Decision::Ignore,
            Some(Ok((Some(true), None, _))) => Decision::Allow,
            Some(Ok((Some(true), Some(name), _))) => Decision::AllowAs(name.into()),
            Some(Ok((Some(false), _, reason))) => Decision::Deny(ReasonCode(reason)),
            // Python's part catches what the application raises; the interpreter is ending.
            Some(Err(_)) | None => Decision::Deny(ReasonCode::UNSPECIFIED_ERROR),
        }
    }
}

impl Authorise for Asked {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        let asked = attached(|py| {
            let who = (
                client.client_id,
                client.user_name,
                client.peer.map(|peer| peer.to_string()),
                client.listener,
                number(client.version),
            );
            let what = match action {
                Action::Publish {
                    topic,
                    qos,
                    retain,
                    will,
                } => ("publish", &**topic, *qos as u8, *retain, *will, None),
                Action::Subscribe {
                    filter,
                    qos,
                    share_name,
                } => {
                    let share = share_name.as_deref();
                    ("subscribe", &**filter, *qos as u8, false, false, share)
                }
            };
            self.0
                .bind(py)
                .call1((who, what))?
                .extract::<Option<bool>>()
        });
        match asked {
            Some(Ok(None)) => None,
            Some(Ok(Some(true))) => Some(Verdict::Allow),
            Some(Ok(Some(false)) | Err(_)) | None => Some(Verdict::Deny),
        }
    }
}

/// No session is without an identifier.
fn the_end() -> ClientEvent {
    ClientEvent::SessionEnded {
        client_id: "".into(),
        expired: false,
    }
}

fn tell_events(tell: &Py<PyAny>, events: &Receiver<ClientEvent>) {
    while let Ok(first) = events.recv() {
        let mut batch: Vec<ClientEvent> = std::iter::once(first)
            .chain(events.try_iter())
            .take(BATCH)
            .collect();
        let ends = batch.iter().position(|event| *event == the_end());
        batch.truncate(ends.unwrap_or(BATCH));
        let told = attached(|py| {
            let tuples = batch.iter().map(|event| to_tuple(py, event));
            let tuples = tuples.collect::<PyResult<Vec<_>>>()?;
            tell.bind(py).call1((PyList::new(py, tuples)?,)).map(drop)
        });
        if told.is_none() || ends.is_some() {
            return;
        }
    }
}

/// Until it is told that all clients are gone, which no broker of Python has told.
fn tell_of_store(tell: &Py<PyAny>, events: &Receiver<Event>) {
    while let Ok(event) = events.recv() {
        if event == Event::Drained {
            return;
        }
        if attached(|py| tell_of_one(py, tell, &event)).is_none() {
            return;
        }
    }
}

/// Of what stands there now that which a broker without a folder has to tell: its store is in memory, and
/// nobody has asked for one.
fn tell_rare(py: Python<'_>, tell: &Py<PyAny>, events: &Receiver<Event>) {
    let listeners =
        |event: &Event| matches!(event, Event::Listening(..) | Event::ListenerClosed(_));
    let events = events.try_iter().filter(listeners);
    events.for_each(|event| tell_of_one(py, tell, &event));
}

fn tell_of_one(py: Python<'_>, tell: &Py<PyAny>, event: &Event) {
    // Python's part catches what the application raises.
    let _ = store_event(py, event).and_then(|fields| tell.bind(py).call1(fields));
}

/// Kind, words, a file, numbers.
fn store_event<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyTuple>> {
    let numbers = PyDict::new(py);
    let mut file = None;
    let (kind, text) = match event {
        Event::Restored(all) => {
            numbers.set_item("sessions", all.sessions)?;
            numbers.set_item("retained", all.retained)?;
            numbers.set_item("delayed", all.delayed)?;
            numbers.set_item("over_limits", all.over_limits)?;
            numbers.set_item("damaged", all.damaged)?;
            numbers.set_item("copies_lost", all.copies_lost)?;
            let text = "what the folder holds is there again";
            ("restored", text.to_owned())
        }
        Event::Salvaged(saved) => {
            numbers.set_item("rows", saved.rows)?;
            numbers.set_item("damaged", saved.damaged)?;
            numbers.set_item("pages", saved.pages)?;
            file = saved.aside.as_ref().map(|file| file.display().to_string());
            let reason = &saved.reason;
            let text = format!("the store was damaged; what can be read of it is served: {reason}");
            ("set_aside", text)
        }
        Event::Damaged(damage) => {
            numbers.set_item("damaged", damage.rows)?;
            let text = "records of the folder can't be read; the rest is served";
            ("damaged", text.to_owned())
        }
        Event::NotRestored(error) => {
            let text = format!("not all retained messages could be read: {error}");
            ("not_restored", text)
        }
        Event::NotStored(error) => {
            let text = format!("what is to be kept is refused until it can be: {error}");
            ("not_stored", text)
        }
        Event::NotSwept(error) => {
            let text = format!("messages that nobody waits for stay in the folder: {error}");
            ("not_swept", text)
        }
        Event::LogFull(dropped) => {
            numbers.set_item("dropped", *dropped)?;
            let text =
                "the messages of the folder take as much as they may; the oldest are dropped";
            ("log_full", text.to_owned())
        }
        Event::Listening(listener, address) => {
            numbers.set_item("listener", listener.0)?;
            ("listening", address.to_string())
        }
        Event::ListenerClosed(listener) => {
            numbers.set_item("listener", listener.0)?;
            ("listener_closed", String::new())
        }
        Event::StoredAgain => ("stored_again", "the folder can be written again".to_owned()),
        // Of a kind that has no name in Python: nothing is made of it.
        _ => ("", String::new()),
    };
    (kind, text, file, numbers).into_pyobject(py)
}

fn tell_messages(tell: &Py<PyAny>, messages: &LocalSubscription) {
    let mut dropped = 0;
    while let Some(first) = messages.recv() {
        let rest = std::iter::from_fn(|| messages.try_recv());
        let batch = std::iter::once(first).chain(rest).take(BATCH);
        let batch: Vec<_> = batch.map(local::message).collect();
        let lost = messages.dropped();
        let told = attached(|py| {
            let arguments = (batch, lost - dropped);
            tell.bind(py).call1(arguments).map(drop)
        });
        dropped = lost;
        if told.is_none() {
            return;
        }
    }
}

fn to_tuple<'py>(py: Python<'py>, event: &ClientEvent) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        ClientEvent::Connected {
            client_id,
            user_name,
            listener,
            peer,
            version,
            session_present,
        } => (
            "connect",
            &**client_id,
            user_name.as_deref(),
            peer.map(|peer| peer.to_string()),
            number(*version),
            *session_present,
            listener.0,
        )
            .into_pyobject(py),
        ClientEvent::Refused {
            client_id,
            user_name,
            listener,
            peer,
            reason,
            what,
        } => (
            "refused",
            &**client_id,
            user_name.as_deref(),
            listener.0,
            peer.map(|peer| peer.to_string()),
            reason.map(|reason| reason.0),
            &**what,
        )
            .into_pyobject(py),
        ClientEvent::RefusedMore(count) => ("refused_more", *count).into_pyobject(py),
        ClientEvent::Dropped { client_id, dropped } => {
            let by_reason = PyDict::new(py);
            for (reason, count) in dropped.by_reason().filter(|(_, count)| *count > 0) {
                by_reason.set_item(reason, count)?;
            }
            ("dropped", &**client_id, by_reason).into_pyobject(py)
        }
        other => session_tuple(py, other),
    }
}

/// The same of what has become of a client that was let in.
fn session_tuple<'py>(py: Python<'py>, event: &ClientEvent) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        ClientEvent::Disconnected {
            client_id,
            departure,
            what,
        } => {
            let (how, reason) = match departure {
                Departure::Own(reason) => ("client", Some(reason.0)),
                Departure::Ended(reason) => ("broker", Some(reason.0)),
                Departure::Lost => ("lost", None),
            };
            ("disconnect", &**client_id, how, reason, &**what).into_pyobject(py)
        }
        ClientEvent::Subscribed {
            client_id,
            filter,
            qos,
        } => ("subscribe", &**client_id, &**filter, *qos as u8).into_pyobject(py),
        ClientEvent::Unsubscribed { client_id, filter } => {
            ("unsubscribe", &**client_id, &**filter).into_pyobject(py)
        }
        ClientEvent::SessionEnded { client_id, expired } => {
            ("session_end", &**client_id, *expired).into_pyobject(py)
        }
        // Of a kind that has no name in Python yet: nobody asks for it.
        other => ("", other.client_id()).into_pyobject(py),
    }
}

const fn number(version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V3_1 => 3,
        ProtocolVersion::V3_1_1 => 4,
        ProtocolVersion::V5_0 => 5,
    }
}
