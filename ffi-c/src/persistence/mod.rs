//! What a client keeps outside of the process, in the records of Paho C: those of an older library are
//! read by this one, and the other way round.
//!
//! - [`Store`]: one client's records, followed by its link as a journal and asked by the facade.
//! - `restore`: what was left by an earlier process.
//! - `files`, `user`: where records lie, in a folder or behind functions of the application.
//! - `keys`: their names. `packet`, `queue`, [`command`]: what is in them.
//! - `hooks`: functions of the application that change records on their way.
//!
//! | key | content | from | until |
//! |---|---|---|---|
//! | `s-N` | PUBLISH sent | before it is accepted | PUBACK, PUBCOMP, a refusing PUBREC |
//! | `sc-N` | PUBREL, beside `s-N` | PUBREC, before PUBREL | PUBCOMP |
//! | `r-N` | PUBLISH with QoS 2 received | before PUBREC | PUBREL |
//! | `q-K` | message for the application | before its acknowledgement | the application has it |
//! | `c-K` | command of the non-blocking client | before it is accepted | it was sent |
//!
//! A client for MQTT 5.0 has `s5-N` and so on. Before MQTT 5.0 a QoS 2 message goes to the application
//! at its PUBREL, so that `r-N` is always one that it does not have; in MQTT 5.0 at its PUBLISH.
//!
//! Records are written with one call and neither renamed nor synced. A half record can only be one whose
//! message was not accepted yet, and is removed when it is found; and Paho refuses a folder in which it
//! finds a file of another name.

pub(crate) mod command;

mod files;
mod hooks;
mod keys;
mod packet;
mod queue;
mod restore;
mod user;
mod waiting;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ternmq_client::link::{Journal, Name};
use ternmq_protocol::client::{Delivery, DropReason, Event, Incoming, Progress, Token};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::{Message, Time};

use crate::trace::{ERROR, trace};
use crate::types::persistence::*;
use keys::Kind;
pub(crate) use restore::Restored;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is inside a function of a store. The lock of a link is held then, so a
/// call of the library would wait for itself.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Calls a function of the application.
fn inside<R>(call: impl FnOnce() -> R) -> R {
    INSIDE.set(true);
    let result = call();
    INSIDE.set(false);
    result
}

/// What a function of a store said when it failed.
type Failed = c_int;

/// A record in the pieces in which a store is given it.
type Parts<'a> = Vec<Cow<'a, [u8]>>;

/// Where records lie, by their keys.
trait Records: Send {
    fn put(&mut self, key: &CStr, parts: &[Cow<'_, [u8]>]) -> Result<(), Failed>;
    fn get(&mut self, key: &CStr) -> Result<Vec<u8>, Failed>;
    /// Removes a record, if there is one.
    fn remove(&mut self, key: &CStr) -> Result<(), Failed>;
    fn keys(&mut self) -> Result<Vec<CString>, Failed>;
    fn contains(&mut self, key: &CStr) -> bool;
    fn clear(&mut self) -> Result<(), Failed>;
    fn close(&mut self);
}

/// The records of one client. Its own lock is the innermost: nothing is called under it but the
/// functions of the application's store and hooks.
pub(crate) struct Store(Mutex<Inner>);

struct Inner {
    records: Box<dyn Records>,
    hooks: hooks::Hooks,
    is_v5: bool,
    /// Packet Identifiers of the messages that are kept until they are acknowledged.
    sent: BTreeSet<u16>,
    /// The numbers under which messages are kept for the application, by their delivery.
    queued: HashMap<u64, u32>,
    /// The number given out last.
    last_queued: u32,
    last_command: u32,
    /// Whose store it is, if it is one of the non-blocking client.
    nonblocking: Option<waiting::NonBlocking>,
    /// Its messages that wait to be sent, by token or note.
    waiting: HashMap<u32, waiting::Waiting>,
    /// Messages of QoS 2 that wait for their PUBREL.
    held: HashMap<u16, Incoming>,
    /// Messages whose PUBREL came, until the facade hears of it and fetches them.
    released: VecDeque<Incoming>,
    /// The same for those whose PUBREL will never come.
    ownerless: VecDeque<Incoming>,
    /// The connection, or the next one, is for a clean session.
    clean: bool,
    tells_of_session: bool,
    connected: bool,
    /// The session of the connection has ended, and its records are gone.
    cleared: bool,
    closed: bool,
    /// Records of messages that came in which could not be written.
    not_written: u64,
}

/// Follows a session for a store.
pub(crate) struct Keeper(pub(crate) Arc<Store>);

/// What `MQTTClient_create` and `MQTTAsync_create` say of persistence.
pub(crate) struct Opening<'a> {
    pub(crate) persistence_type: c_int,
    pub(crate) context: *mut c_void,
    pub(crate) client_id: &'a CStr,
    /// Without scheme.
    pub(crate) server: &'a CStr,
    pub(crate) is_v5: bool,
}

impl Store {
    /// Opens the store of a client; `None` when it wants none.
    ///
    /// # Errors
    /// `MQTTCLIENT_PERSISTENCE_ERROR`, or what the application's `popen` returned.
    ///
    /// # Safety
    /// The context is what the type asks for: NULL or the name of a folder, or NULL or the address of an
    /// `MQTTClient_persistence` whose functions are NULL or what their types say.
    pub(crate) unsafe fn open(opening: &Opening<'_>) -> Result<Option<Arc<Self>>, Failed> {
        let records: Box<dyn Records> = match opening.persistence_type {
            MQTTCLIENT_PERSISTENCE_NONE => return Ok(None),
            MQTTCLIENT_PERSISTENCE_DEFAULT => {
                // SAFETY: as the caller promises.
                let folder = unsafe { crate::ptr::string(opening.context.cast::<c_char>()) };
                Box::new(files::Files::open(folder, opening)?)
            }
            // SAFETY: as the caller promises.
            MQTTCLIENT_PERSISTENCE_USER => unsafe { Box::new(user::User::open(opening)?) },
            _ => return Err(MQTTCLIENT_PERSISTENCE_ERROR),
        };
        Ok(Some(Arc::new(Self::new(records, opening.is_v5))))
    }

    fn new(records: Box<dyn Records>, is_v5: bool) -> Self {
        Self(Mutex::new(Inner {
            records,
            hooks: hooks::Hooks::default(),
            is_v5,
            sent: BTreeSet::new(),
            queued: HashMap::new(),
            last_queued: 0,
            last_command: 0,
            nonblocking: None,
            waiting: HashMap::new(),
            held: HashMap::new(),
            released: VecDeque::new(),
            ownerless: VecDeque::new(),
            clean: false,
            tells_of_session: false,
            connected: false,
            cleared: true,
            closed: false,
            not_written: 0,
        }))
    }

    /// Reads what an earlier process has left. Before the first connection, once.
    ///
    /// # Errors
    /// `MQTTCLIENT_PERSISTENCE_ERROR` for messages in flight of MQTT 5.0 where the client is for an
    /// older version; or what a function of the application's store returned.
    pub(crate) fn restore(&self, now: Time) -> Result<Restored, Failed> {
        self.lock().restore(now)
    }

    /// Says whether the next connection begins without the state of earlier ones, and whether the server
    /// tells if it still has that (MQTT 3.1 does not).
    pub(crate) fn connecting(&self, clean: bool, tells_of_session: bool) {
        let mut inner = self.lock();
        (inner.clean, inner.tells_of_session) = (clean, tells_of_session);
    }

    /// Removes what belongs to a session, before a connection for a new one is asked for.
    pub(crate) fn begin_anew(&self) {
        self.lock().clear();
    }

    /// Whether a message is held back until its PUBREL; then the facade gets it from
    /// [`released`](Self::released) when it hears of that.
    pub(crate) fn holds_back(&self, incoming: &Incoming) -> bool {
        incoming.qos == QoS::ExactlyOnce && !self.lock().is_v5
    }

    /// The message whose PUBREL came. The store is ahead of the facade, which still has to take in what
    /// came before that PUBREL, so each is fetched by itself: the order holds.
    pub(crate) fn released(&self, packet_id: u16) -> Option<Incoming> {
        let released = &mut self.lock().released;
        let at = (released.iter()).position(|incoming| incoming.packet_id == packet_id)?;
        released.remove(at)
    }

    /// The next message whose PUBREL will never come, for the server has lost the session.
    pub(crate) fn ownerless(&self) -> Option<Incoming> {
        self.lock().ownerless.pop_front()
    }

    /// The application has the message.
    pub(crate) fn taken(&self, delivery: Delivery) {
        let mut inner = self.lock();
        if let Some(number) = inner.queued.remove(&delivery.0) {
            inner.forget(Kind::Queued, number);
        }
    }

    /// How many records of messages that came in could not be written.
    pub(crate) fn not_written(&self) -> u64 {
        self.lock().not_written
    }

    /// Closes the store; from now on nothing is written.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.closed, true) {
            inner.records.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a record as each kind there is, and writes what was read: for the fuzzer, which has no other way
/// in. Of each kind that the bytes are, what was written, and what is written after that was read again.
pub fn read_and_write(record: &[u8], v5: bool) -> Vec<[Vec<u8>; 2]> {
    let now = Time(0);
    let packet = |record: &[u8]| match packet::decode(record, v5, now)? {
        packet::Record::Publish(incoming) => {
            Some(packet::received(&incoming, v5, now, &mut Vec::new()).concat())
        }
        packet::Record::Pubrel(id) => Some(packet::pubrel(id).concat()),
    };
    let queued = |record: &[u8]| {
        let incoming = queue::decode(record, v5, now)?;
        Some(queue::encode(&incoming, v5, now).concat())
    };
    let command = |record: &[u8]| {
        let command = command::Command::decode(record, v5)?;
        Some(command.encode(v5).concat())
    };
    let twice = |read: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let first = read(record)?;
        let second = read(&first).unwrap_or_default();
        Some([first, second])
    };
    [twice(&packet), twice(&queued), twice(&command)]
        .into_iter()
        .flatten()
        .collect()
}

impl Journal for Keeper {
    fn keep(&mut self, now: Time, name: Name, message: &Message) -> bool {
        let mut inner = self.0.lock();
        // For a blocking client it is in flight from here on: Paho's has no other record for it.
        let waits = name.waits && (inner.nonblocking.is_some() || name.packet_id == 0);
        let kept = match waits {
            true => inner.keep_waiting(now, name, message),
            false => inner.keep_sent(now, name.packet_id, message),
        };
        kept.is_ok()
    }

    fn withdraw(&mut self, name: Name) {
        let mut inner = self.0.lock();
        inner.waits_no_more(waiting::key(name));
        inner.done(name.packet_id);
    }

    fn note(&mut self, now: Time, event: &Event) {
        self.0.lock().note(now, event);
    }
}

impl Inner {
    fn note(&mut self, now: Time, event: &Event) {
        if self.closed {
            return;
        }
        match event {
            Event::Connected(connected) => {
                (self.connected, self.cleared) = (true, false);
                if self.clean {
                    self.clear();
                } else if self.tells_of_session && !connected.session_present {
                    self.release_all(now);
                }
            }
            Event::Disconnected { .. } => {
                let was_connected = std::mem::take(&mut self.connected);
                self.session_ends(was_connected);
            }
            Event::Message(incoming) => self.received(now, incoming),
            Event::Progress(Progress::Released(Token(id))) if self.sent.contains(id) => {
                // A failure costs no message: after a crash it is sent once more.
                let _ = self.put(Kind::Released, (*id).into(), packet::pubrel(*id));
            }
            Event::Progress(Progress::Completed(id)) => self.completed(now, *id),
            Event::Dropped {
                token,
                why: DropReason::SessionLost,
            } if self.sent.contains(&token.0) && self.ends_with_connection() => {
                self.session_ends(true);
            }
            Event::Progress(Progress::Started(Token(id))) => self.started(now, *id),
            Event::Sent { note } | Event::NotSent { note, .. } => self.waits_no_more(*note),
            Event::Published { token, .. } | Event::Dropped { token, .. } => {
                self.waits_no_more(token.0.into());
                self.done(token.0);
            }
            _ => {}
        }
    }

    /// Before MQTT 5.0 nothing of a clean session outlives its connection.
    fn ends_with_connection(&self) -> bool {
        self.clean && !self.is_v5
    }

    /// The connection ends, and its session perhaps. All records go at once then, before the session has
    /// told of each message.
    fn session_ends(&mut self, had_begun: bool) {
        if had_begun && self.ends_with_connection() && !self.cleared {
            self.cleared = true;
            self.clear();
        }
    }

    fn keep_sent(&mut self, now: Time, id: u16, message: &Message) -> Result<(), Failed> {
        if self.closed {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let mut head = Vec::new();
        let parts = packet::publish(message, id, self.is_v5, now, &mut head);
        self.put(Kind::Sent, id.into(), parts)?;
        self.sent.insert(id);
        Ok(())
    }

    /// A message that was sent is complete, or given up. All names under which it may be kept are
    /// removed, in the order in which Paho does.
    fn done(&mut self, id: u16) {
        if self.sent.remove(&id) && !self.closed {
            for v5 in [true, false] {
                for kind in [Kind::Sent, Kind::Released] {
                    self.remove(&kind.key(v5, id.into()));
                }
            }
        }
    }

    fn received(&mut self, now: Time, incoming: &Incoming) {
        if incoming.qos == QoS::ExactlyOnce {
            let mut head = Vec::new();
            let parts = packet::received(incoming, self.is_v5, now, &mut head);
            // As a message of QoS 1 that can't be kept: the application gets it all the same.
            let put = self.put(Kind::Received, incoming.packet_id.into(), parts);
            self.not_written += u64::from(put.is_err());
            if !self.is_v5 {
                self.held.insert(incoming.packet_id, incoming.clone());
                return;
            }
        } else if self.nonblocking.is_some() {
            return; // the server sends it again, or never would
        }
        self.enqueue(now, incoming);
    }

    fn completed(&mut self, now: Time, id: u16) {
        let released = self.release(now, id);
        self.released.extend(released);
    }

    /// A message is held back no more.
    fn release(&mut self, now: Time, id: u16) -> Option<Incoming> {
        let incoming = self.held.remove(&id);
        if let Some(incoming) = &incoming {
            self.enqueue(now, incoming);
        }
        for v5 in [true, false] {
            self.remove(&Kind::Received.key(v5, id.into()));
        }
        incoming
    }

    /// The server has lost the session, so there will be no PUBREL: what PUBREC has acknowledged is ours.
    fn release_all(&mut self, now: Time) {
        let mut ids: Vec<u16> = self.held.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let released = self.release(now, id);
            self.ownerless.extend(released);
        }
    }

    /// Keeps a message for the application.
    fn enqueue(&mut self, now: Time, incoming: &Incoming) {
        self.last_queued = keys::next(self.last_queued);
        let number = self.last_queued;
        let parts = queue::encode(incoming, self.is_v5, now);
        match self.put(Kind::Queued, number, parts) {
            Ok(()) => _ = self.queued.insert(incoming.delivery.0, number),
            Err(_) => self.not_written += 1,
        }
    }

    /// The session begins anew. What waits in a non-blocking client is no part of it.
    fn clear(&mut self) {
        self.sent.clear();
        self.held.clear();
        self.released.clear();
        self.ownerless.clear();
        if self.nonblocking.is_some() {
            for key in self.records.keys().unwrap_or_default() {
                if Kind::of(&key).is_some_and(|(kind, ..)| kind.is_flight()) {
                    self.remove(&key);
                }
            }
            return;
        }
        self.queued.clear();
        if self.records.clear().is_err() {
            // What is left would come back as messages in flight.
            for key in self.records.keys().unwrap_or_default() {
                self.remove(&key);
            }
        }
    }

    fn put(&mut self, kind: Kind, number: u32, parts: Parts<'_>) -> Result<(), Failed> {
        if self.closed {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let key = kind.key(self.is_v5, number);
        let parts = self.hooks.before_write(parts)?;
        let put = self.records.put(&key, &parts);
        put.inspect_err(|code| trace!(ERROR, "Error {code} writing record {key:?}"))
    }

    fn get(&mut self, key: &CStr) -> Result<Vec<u8>, Failed> {
        let record = self.records.get(key)?;
        self.hooks.after_read(record)
    }

    fn forget(&mut self, kind: Kind, number: u32) {
        if !self.closed {
            self.remove(&kind.key(self.is_v5, number));
        }
    }

    /// What can't be removed now is found by the next process, and done again then.
    fn remove(&mut self, key: &CStr) {
        if let Err(code) = self.records.remove(key) {
            trace!(ERROR, "Error {code} removing record {key:?}");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
