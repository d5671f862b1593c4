//! One client as the functions of `MQTTAsync.h` see it: a link, the requests whose end is to be told,
//! and the callbacks.
//!
//! Everything that happens comes as an event of the link, and is told on the client's strand
//! ([`tell`]), one thing at a time and in order. Where the link takes a request, the request is noted
//! before any event can tell of its end ([`requests`]).
//!
//! Locks: that of the link, then [`Client::state`], which is held for moments only and never while the
//! link is called or a callback runs.

mod batch;
mod connect;
mod inbound;
mod outbox;
mod outcome;
mod polling;
mod reconnect;
mod request;
mod requests;
mod statistics;
mod store;
mod tell;

use std::ffi::{CString, c_int};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ternmq_client::executor::Strand;
use ternmq_client::link::{Link, Observers, Status};
use ternmq_client::{ConnectError, ConnectOptions};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Options;
use ternmq_protocol::codec::Properties;
use ternmq_transport::Endpoint;

pub(crate) use connect::Farewell;
pub(crate) use outcome::Response;
pub(crate) use tell::Callbacks;

use crate::compression::Compression;
use crate::inbox::Inbox;
use crate::options::nonblocking::{ConnectRequest, Creation};
use crate::outbox::Outbox;
use crate::outgoing::Aliases;
use crate::persistence::{Keeper, Store};
use crate::reconnect::Reconnect;
use crate::signals;
use crate::tls::{self, LastTls};
use crate::trace::{Packets, Traced};
use crate::types::async_::*;
use inbound::Inbound;
use requests::Requests;
use store::Leftover;

/// How long the last DISCONNECT may take to be written when a client is destroyed.
const CLOSING: Duration = Duration::from_secs(1);

/// A return code of `MQTTAsync.h`.
pub(crate) type Code = c_int;

/// A client.
pub(crate) struct Client {
    pub(crate) creation: Creation,
    pub(crate) client_id: String,
    /// The server given at creation.
    pub(crate) server: Endpoint,
    /// The same as `serverURI` tells it: without a scheme.
    server_name: CString,
    link: Link,
    /// Where messages outlive the process, if they are to.
    store: Option<Arc<Store>>,
    /// Where what is published outlives it, if it is to.
    outbox: OnceLock<Outbox>,
    leftover: Mutex<Leftover>,
    /// Runs the callbacks.
    strand: Strand,
    state: Mutex<State>,
    /// A request has ended, or the connection has; told to who waits for a completion.
    completed: Condvar,
    /// What came in and is not delivered. Belongs to the strand while that runs.
    inbound: Mutex<Inbound>,
    /// How many messages wait in it, for the statistics.
    waiting: AtomicUsize,
    pub(crate) tls: LastTls,
    pub(crate) compression: Compression,
    /// What the application takes itself, if it polls.
    polled: OnceLock<Mutex<Inbox>>,
    /// It acknowledges messages itself.
    manual: AtomicBool,
    /// The version of the connection, or of the one to come, is MQTT 5.0.
    is_v5: AtomicBool,
    /// The client was destroyed.
    ended: AtomicBool,
    /// As long as there are clients there is a trace.
    _traced: Traced,
}

struct State {
    callbacks: Callbacks,
    requests: Requests,
    /// Connects that the application waits for, in order.
    connects: Vec<Response>,
    /// Disconnects that it waits for.
    disconnects: Vec<Response>,
    /// Connects that found a connection, whose success is to be told.
    already: Vec<Response>,
    /// Connects whose options for TLS have something wrong, which is to be told.
    unprepared: Vec<(Response, ConnectError)>,
    /// Who is told of what goes wrong with TLS.
    tls_listener: Option<tls::Listener>,
    /// A connect that waits until the connection before it is closed.
    next: Option<connect::Next>,
    /// The application has connected, and has not disconnected since.
    wanted: bool,
    /// The options of the last connect ask for automatic reconnection.
    automatic: bool,
    /// How a lost connection is made again, whatever those options say.
    reconnect: Option<Reconnect>,
    /// The options of the last connect, for `MQTTAsync_reconnect`.
    last: Option<Box<ConnectOptions>>,
    /// The servers as `serverURI` tells them, in the order of the endpoints.
    names: Vec<CString>,
    aliases: Aliases,
    /// Counts the connections that have ended, as far as was told.
    losses: u64,
    /// Threads that wait for a completion.
    waiters: usize,
}

impl Client {
    /// A client that is not connected.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` when the library's threads can't be started.
    pub(crate) fn new(
        server: Endpoint,
        server_name: CString,
        client_id: &str,
        creation: Creation,
        store: Option<Arc<Store>>,
        traced: Traced,
    ) -> Result<Arc<Self>, Code> {
        let options = ConnectOptions {
            session: Options {
                client_id: client_id.to_owned(),
                ..creation.session()
            },
            ..ConnectOptions::new(Vec::new())
        };
        let client: Arc<OnceLock<Weak<Client>>> = Arc::default();
        let (itself, mask) = (client.clone(), signals::mask());
        let run = move || {
            signals::adopt(mask);
            if let Some(client) = itself.get().and_then(Weak::upgrade) {
                client.run();
            }
        };
        let strand = signals::blocked(|| Strand::new(run)).map_err(|_| MQTTASYNC_FAILURE)?;
        let notify = Arc::new(strand.clone());
        let is_v5 = creation.is_v5;
        let observers = Observers {
            journal: store.clone().map(|store| Box::new(Keeper(store)) as _),
            tap: Some(Arc::new(Packets::new(traced.number(), client_id, is_v5))),
        };
        let open = || Link::open_observed(options, notify, observers);
        let link = signals::blocked(open).map_err(|_| MQTTASYNC_FAILURE)?;
        let result = Arc::new(Self {
            client_id: client_id.to_owned(),
            server,
            server_name,
            link,
            store,
            outbox: OnceLock::new(),
            leftover: Mutex::default(),
            strand,
            state: Mutex::new(State::new()),
            completed: Condvar::new(),
            inbound: Mutex::default(),
            waiting: AtomicUsize::new(0),
            polled: OnceLock::new(),
            manual: AtomicBool::new(false),
            tls: LastTls::default(),
            compression: Compression::default(),
            is_v5: AtomicBool::new(is_v5),
            ended: AtomicBool::new(false),
            _traced: traced,
            creation,
        });
        // Nothing has happened yet that could have run it.
        let _ = client.set(Arc::downgrade(&result));
        Ok(result)
    }

    /// Whether the server has accepted, and neither side has ended it.
    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    /// Where messages outlive the process.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_deref()
    }

    /// Whether the connection, or the one to come, speaks MQTT 5.0.
    pub(crate) fn is_v5(&self) -> bool {
        self.is_v5.load(Ordering::Relaxed)
    }

    /// Changes the callbacks.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` while a connect goes on, if that is asked to matter.
    pub(crate) fn set_callbacks(
        &self,
        only_at_rest: bool,
        change: impl FnOnce(&mut Callbacks),
    ) -> Result<(), Code> {
        if only_at_rest && self.link.status() == Status::Connecting {
            return Err(MQTTASYNC_FAILURE);
        }
        let mut state = self.lock();
        change(&mut state.callbacks);
        let asks = state.callbacks.update.is_some();
        drop(state);
        self.link.ask_before_retry(asks);
        // Messages may have waited for somebody to take them.
        self.strand.schedule();
        Ok(())
    }

    /// Ends everything: the connection with a DISCONNECT, requests with
    /// `MQTTASYNC_OPERATION_INCOMPLETE`, on this thread. A callback that runs on another thread has
    /// ended when this returns, so what it uses may go.
    pub(crate) fn destroy(&self) {
        self.ended.store(true, Ordering::Release);
        self.completed.notify_all();
        // Wakes a strand that waits to offer a message again, too.
        let said = self.link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY);
        self.strand.close();
        if said == Ok(true) {
            let closed = Some(Instant::now() + CLOSING);
            self.link.wait(closed, |link| {
                (link.status() == Status::Closed).then_some(())
            });
        }
        self.link.close();
        if let Some(store) = &self.store {
            // What is acknowledged until the end is still kept.
            self.link
                .wait(None, |link| (link.status() == Status::Closed).then_some(()));
            store.close();
        }
        self.close_outbox();
        let mut events = Vec::new();
        self.link.take_events(&mut events);
        for event in events {
            self.tell_end(event);
        }
        self.finished();
        self.abandon();
    }

    /// Whether the client was destroyed.
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Fails all requests that have not ended.
    fn abandon(&self) {
        let mut state = self.lock();
        state.callbacks = Callbacks::default();
        let mut connects = std::mem::take(&mut state.already);
        connects.append(&mut state.connects);
        connects.extend(state.next.take().map(|next| next.response));
        let unprepared = std::mem::take(&mut state.unprepared);
        connects.extend(unprepared.into_iter().map(|(response, _)| response));
        let requests = state.requests.take_all();
        let disconnects = std::mem::take(&mut state.disconnects);
        drop(state);
        for response in connects {
            response.fail_with(0, MQTTASYNC_OPERATION_INCOMPLETE);
        }
        for (key, request) in requests {
            request.abandon(key);
        }
        for response in disconnects {
            response.fail_with(0, MQTTASYNC_OPERATION_INCOMPLETE);
        }
        self.completed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new() -> Self {
        Self {
            callbacks: Callbacks::default(),
            requests: Requests::default(),
            connects: Vec::new(),
            disconnects: Vec::new(),
            already: Vec::new(),
            unprepared: Vec::new(),
            tls_listener: None,
            next: None,
            wanted: false,
            automatic: false,
            reconnect: None,
            last: None,
            names: Vec::new(),
            aliases: Aliases::default(),
            losses: 0,
            waiters: 0,
        }
    }

    /// Takes over what a connect asks for.
    fn note_connect(&mut self, request: ConnectRequest, server_name: &CString) -> ConnectOptions {
        self.wanted = true;
        self.automatic = request.options.reconnect.is_some() || self.reconnect.is_some();
        self.last = Some(Box::new(request.options.clone()));
        self.names = match request.names.is_empty() {
            true => vec![server_name.clone()],
            false => request.names,
        };
        request.options
    }
}
