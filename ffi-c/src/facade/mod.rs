//! One client as the functions of `MQTTClient.h` see it: a link, what came in and is not delivered yet, and the
//! callbacks.
//!
//! Two locks, never held together: that of the link, inside its methods, and [`Client::state`]. No
//! lock is held while a callback runs.
//!
//! What the link tells is put into the state on whichever thread is told of it, by one thread at a
//! time ([`events`]). Callbacks run on threads of their own ([`callbacks`]), so a blocking call
//! inside a callback gets its answer.

mod batch;
mod callbacks;
mod connect;
mod events;
mod outbox;
mod polling;
mod publish;
mod receive;
mod reconnect;
mod statistics;
mod subscribe;

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ternmq_client::ConnectOptions;
use ternmq_client::executor::Strand;
use ternmq_client::link::{Event, Link, Notify, Observers, Status};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Delivery, Incoming, Options, Stored};
use ternmq_protocol::codec::PropertiesBuf;
use ternmq_transport::Endpoint;

pub(crate) use callbacks::Callbacks;
pub(crate) use receive::Received;

use crate::compression::Compression;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::outgoing::Aliases;
use crate::persistence::{Keeper, Restored, Store};
use crate::reconnect::Reconnect;
use crate::signals;
use crate::tls::LastTls;
use crate::trace::{MINIMUM, Packets, Traced, trace};
use crate::types::client::*;

/// How long subscribing and unsubscribing wait for the server, unless set otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The shortest time that can be set.
pub(crate) const MIN_COMMAND_TIMEOUT: Duration = Duration::from_secs(5);

/// What a call came to: a return code of `MQTTClient.h` or a reason code.
pub(crate) type Code = std::ffi::c_int;

/// A client.
pub(crate) struct Client {
    /// Created for MQTT 5.0.
    pub(crate) is_v5: bool,
    pub(crate) client_id: String,
    /// The server given at creation.
    pub(crate) server: Endpoint,
    link: Link,
    /// Where messages outlive the process, if they are to.
    store: Option<Arc<Store>>,
    /// Where what is published outlives it, if it is to.
    outbox: OnceLock<Outbox>,
    /// As long as there are clients there is a trace.
    _traced: Traced,
    state: Mutex<State>,
    /// The state has changed.
    changed: Condvar,
    /// Runs the callbacks, from the moment that there are any.
    strand: OnceLock<Strand>,
    /// Calls of [`Client::take_in`] that are not served yet.
    tidings: AtomicUsize,
    /// Counts the times that publishing became possible again. Changed under the lock of the state.
    room: AtomicU64,
    /// A lost connection is made again. As in the state, to be asked without its lock.
    reconnects: AtomicBool,
    /// The application acknowledges messages itself.
    manual: AtomicBool,
    /// Held while a connect goes on.
    connecting: Mutex<()>,
    pub(crate) tls: LastTls,
    pub(crate) compression: Compression,
    this: Weak<Client>,
}

/// The server's answer to a request that lists topics.
pub(crate) struct Answer {
    pub(crate) codes: Vec<ReasonCode>,
    pub(crate) properties: PropertiesBuf,
}

struct State {
    callbacks: Callbacks,
    inbox: Inbox,
    /// Messages that an earlier process has left, until there is a connection.
    restored: Vec<Incoming>,
    /// The connection, or the next one, begins without the state of earlier ones.
    clean_start: bool,
    /// As far as the events tell.
    connected: bool,
    /// How a lost connection is made again.
    reconnect: Option<Reconnect>,
    /// There is no connection, but one will be made again.
    returning: bool,
    /// How long the first attempt for the connection waits whose end is told next.
    retry: Option<Duration>,
    /// A thread that connects waits for the end of the attempt that has begun.
    attempting: bool,
    /// That end, until the thread takes it.
    attempt: Option<connect::Attempt>,
    requests: events::Requests,
    aliases: Aliases,
    kinds: publish::Kinds,
    command_timeout: Duration,
    /// What `returned.serverURI` points to.
    returned: CString,
    /// The memory for taking events, empty and kept between times.
    batch: Vec<Event>,
}

/// What the link rings; the client answers. The link is made first, so the client comes later.
struct Doorbell(OnceLock<Weak<Client>>);

impl Notify for Doorbell {
    fn notify(&self) {
        if let Some(client) = self.0.get().and_then(Weak::upgrade) {
            client.take_in();
        }
    }
}

impl Client {
    /// A client that is not connected, with what its store has from earlier ones.
    ///
    /// # Errors
    /// `MQTTCLIENT_FAILURE` when the thread that does the network work can't be started; what
    /// [`Store::restore`] says.
    pub(crate) fn new(
        server: Endpoint,
        client_id: &str,
        is_v5: bool,
        store: Option<Arc<Store>>,
        traced: Traced,
    ) -> Result<Arc<Self>, Code> {
        let options = ConnectOptions {
            session: Options {
                client_id: client_id.to_owned(),
                publish_offline: false,
                ..Options::default()
            },
            ..ConnectOptions::new(Vec::new())
        };
        let doorbell = Arc::new(Doorbell(OnceLock::new()));
        let observers = Observers {
            journal: store.clone().map(|store| Box::new(Keeper(store)) as _),
            tap: Some(Arc::new(Packets::new(traced.number(), client_id, is_v5))),
        };
        let open = || Link::open_observed(options, doorbell.clone(), observers);
        let link = signals::blocked(open).map_err(|_| MQTTCLIENT_FAILURE)?;
        let restored = match &store {
            Some(store) => restore(store, &link, client_id)?,
            None => Vec::new(),
        };
        let client = Arc::new_cyclic(|this| Self {
            is_v5,
            client_id: client_id.to_owned(),
            server,
            link,
            store,
            outbox: OnceLock::new(),
            _traced: traced,
            state: Mutex::new(State {
                callbacks: Callbacks::default(),
                inbox: Inbox::default(),
                restored,
                clean_start: false,
                connected: false,
                reconnect: None,
                returning: false,
                retry: None,
                attempting: false,
                attempt: None,
                requests: events::Requests::default(),
                aliases: Aliases::default(),
                kinds: publish::Kinds::default(),
                command_timeout: COMMAND_TIMEOUT,
                returned: CString::default(),
                batch: Vec::new(),
            }),
            changed: Condvar::new(),
            strand: OnceLock::new(),
            tidings: AtomicUsize::new(0),
            room: AtomicU64::new(0),
            reconnects: AtomicBool::new(false),
            manual: AtomicBool::new(false),
            connecting: Mutex::new(()),
            tls: LastTls::default(),
            compression: Compression::default(),
            this: this.clone(),
        });
        // Nothing has happened yet that could ring.
        let _ = doorbell.0.set(Arc::downgrade(&client));
        Ok(client)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    pub(crate) fn set_command_timeout(&self, timeout: Duration) {
        self.lock().command_timeout = timeout;
    }

    /// Ends everything. The connection closes without a DISCONNECT. A callback that runs on another
    /// thread has ended when this returns, so what it uses may go.
    pub(crate) fn destroy(&self) {
        self.link.close();
        let mut state = self.lock();
        state.callbacks = Callbacks::default();
        state.inbox.clear();
        drop(state);
        self.changed.notify_all();
        if let Some(strand) = self.strand.get() {
            strand.close();
        }
        if let Some(store) = &self.store {
            // What is acknowledged until the end is still kept.
            self.link
                .wait(None, |link| (link.status() == Status::Closed).then_some(()));
            store.close();
        }
        self.close_outbox();
    }

    /// The application has the message.
    fn taken(&self, delivery: Delivery) {
        if let Some(store) = &self.store {
            store.taken(delivery);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state has changed; false when the deadline has passed.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, State>, bool) {
        match deadline {
            None => {
                let state = self.changed.wait(state);
                (state.unwrap_or_else(PoisonError::into_inner), true)
            }
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return (state, false);
                }
                let waited = self.changed.wait_timeout(state, left);
                (waited.unwrap_or_else(PoisonError::into_inner).0, true)
            }
        }
    }

    /// Serves one ring of the doorbell, or leaves it to the thread that is at it: so what the link
    /// tells stays in order, and the link may ring while it is asked.
    fn take_in(&self) {
        if self.tidings.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut batch = std::mem::take(&mut self.lock().batch);
        loop {
            let served = self.tidings.load(Ordering::Acquire);
            self.link.take_events(&mut batch);
            self.take_in_batch(&mut batch);
            if self.tidings.load(Ordering::Acquire) == served {
                // Given back before the next thread may begin.
                self.lock().batch = std::mem::take(&mut batch);
            }
            if self.tidings.fetch_sub(served, Ordering::AcqRel) == served {
                return;
            }
        }
    }
}

/// Puts back what a store has; gives the messages that are for the application.
fn restore(store: &Store, link: &Link, client_id: &str) -> Result<Vec<Incoming>, Code> {
    let now = link.session(|now, _| now);
    let Restored { session, queue } = store.restore(now)?;
    let is_received = |stored: &&Stored| matches!(stored, Stored::Received { .. });
    let received = session.iter().filter(is_received).count();
    trace!(
        MINIMUM,
        "{} sent messages and {received} received messages restored for client {client_id}",
        session.len() - received
    );
    trace!(
        MINIMUM,
        "{} queued messages restored for client {client_id}",
        queue.len()
    );
    link.session(|_, into| {
        for stored in session {
            let restored = into.restore(stored);
            debug_assert!(restored, "each packet identifier is there once");
        }
    });
    Ok(queue)
}
