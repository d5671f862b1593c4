//! What goes between a shard and its driver.

use super::access::{AccessRequest, Standing};
use super::acks::Ticket;
use super::authenticate::Authentication;
use super::durable::{ReadRequest, StoreOp, StreamKey};
use super::events::ClientEvent;
use super::exclusive::ClaimOp;
use super::homes::GroupGone;
use super::retained::{Cursor, Retained, RetainedFull};
use super::share::{Letter, To};
use crate::codec::PropertiesBuf;
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::topic::{TopicFilter, TopicName};
use crate::version::ProtocolVersion;
use std::net::IpAddr;
use std::sync::Arc;

/// A connection of a shard. The number is a slot: dense, and used again once
/// [`Shard::handle_closed`](super::Shard::handle_closed) was called for it, so a driver can keep its
/// sockets in a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// Through which listener a connection came in; the shard only passes it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// What a shard asks its driver to do. Owned and reused by the driver, which drains it after each
/// call or each batch of calls, in the order of the fields.
#[derive(Debug, Default)]
pub struct Out {
    /// Operations on the table of exclusive subscriptions, to be carried out before anything else
    /// and before other shards are told of subscriptions; each that has an answer is answered at once
    /// with [`Shard::handle_claims`](super::Shard::handle_claims).
    pub claims: Vec<ClaimOp>,
    /// Operations on the retained store, to be carried out in this order.
    pub retained: Vec<RetainedOp>,
    /// Messages to be offered to every other shard that has subscriptions. Empty unless
    /// [`Shard::set_peers_interested`](super::Shard::set_peers_interested) said so.
    pub publishes: Vec<Message>,
    /// Letters to other shards, or to this one, in this order. The driver finds the home of a group.
    pub letters: Vec<(To, Letter)>,
    /// Groups that nobody is in any more: each is for [`Homes::gone`](super::Homes::gone).
    pub groups_gone: Vec<GroupGone>,
    /// Acknowledgements are owed for what stands above: once the retained operations are carried out and
    /// every other shard has taken the publishes and letters, call
    /// [`Shard::complete`](super::Shard::complete) with this. Until then they wait, and nothing else
    /// does. Before the pages of retained messages are answered, so that SUBACK comes before them.
    pub owed: Option<Ticket>,
    /// Streams of shared subscriptions that a group holds from now on, or not any more, before the changes for
    /// the store that stand below. As long as one is held more often than let go, what of it is not
    /// [done](StoreOp::Done) has to stay in the log though nobody in the store subscribes to it: it is for members
    /// whose sessions do not last. What is not done when a sweep takes it out is to be counted as lost.
    pub holds: Vec<(StreamKey, bool)>,
    /// Changes for the store, to be handed over in this order once what stands above is done: after
    /// [`Shard::collect`](super::Shard::collect), which adds sessions that have changed. Empty without a
    /// store.
    pub store: Vec<StoreOp>,
    /// Something waits until the store has these changes and all before them: once it has, call
    /// [`Shard::stored`](super::Shard::stored) with this, or [`Shard::not_stored`](super::Shard::not_stored)
    /// if it refuses them, and then all others of the same [turn](super::Shard::store_turn). Goes to the
    /// store even with no change, for it may be about earlier ones; there is one with every change. The
    /// messages of the log come to the shard ([`Shard::handle_publishes`](super::Shard::handle_publishes))
    /// before it is told that they are stored.
    pub owed_stored: Option<Ticket>,
    /// Where batches of these changes end, in their order: each is kept or refused by itself, and answered by
    /// its own ticket. What stands behind the last is one more, see [`take_cuts`](Self::take_cuts).
    pub cuts: Vec<StoreCut>,
    /// Questions for the log: answer each with
    /// [`Shard::handle_log_page`](super::Shard::handle_log_page), at once or later.
    pub reads: Vec<ReadRequest>,
    /// Steps of enhanced authentication: answer each with
    /// [`Shard::authenticate`](super::Shard::authenticate), at once or later.
    pub authentications: Vec<AuthRequest>,
    /// Clients that want in: answer each with [`Shard::admit`](super::Shard::admit) or
    /// [`Shard::release`](super::Shard::release).
    pub admissions: Vec<AdmitRequest>,
    /// Clients that want to do what no rule decides: answer each with
    /// [`Shard::authorise`](super::Shard::authorise), at once or later. Meanwhile nothing of that
    /// connection is read. Empty unless [`Shard::set_access`](super::Shard::set_access) said so.
    pub questions: Vec<AccessRequest>,
    /// What clients have done, in the order in which it happened. Empty unless
    /// [`Shard::set_telling`](super::Shard::set_telling) said so.
    pub told: Vec<ClientEvent>,
    /// Messages for observers of this process ([`Shard::observe`](super::Shard::observe),
    /// [`Shard::watch`](super::Shard::watch)).
    pub observed: Vec<Observed>,
    /// Client identifiers whose session is gone: the directory forgets them.
    pub ended: Vec<Box<str>>,
    /// Connections whose input made so much work that the others come first: call
    /// [`Shard::resume`](super::Shard::resume) for each in the next turn.
    pub unfinished: Vec<ConnId>,
    /// Connections that [were paused](super::Shard::is_paused) because of their rate and aren't any
    /// more: read what has come in meanwhile, while they
    /// [want input](super::Shard::wants_input).
    pub resumed: Vec<ConnId>,
    /// Connections that have something to send, each once until
    /// [`Shard::outbound`](super::Shard::outbound) is called for it: one `writev` each.
    pub dirty: Vec<ConnId>,
    /// Connections to be closed, each once: try to send what their outbound still holds, close the
    /// socket whether that worked or not, and call
    /// [`Shard::handle_closed`](super::Shard::handle_closed).
    pub closing: Vec<ConnId>,
}

/// The end of a batch of changes for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCut {
    /// How many of [`Out::store`] stand before it, those of earlier batches too.
    pub end: usize,
    /// What waits until the store has them.
    pub ticket: Option<Ticket>,
}

impl Out {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
            && self.retained.is_empty()
            && self.publishes.is_empty()
            && self.letters.is_empty()
            && self.groups_gone.is_empty()
            && self.owed.is_none()
            && self.holds.is_empty()
            && self.store.is_empty()
            && self.owed_stored.is_none()
            && self.cuts.is_empty()
            && self.reads.is_empty()
            && self.authentications.is_empty()
            && self.admissions.is_empty()
            && self.questions.is_empty()
            && self.told.is_empty()
            && self.observed.is_empty()
            && self.ended.is_empty()
            && self.unfinished.is_empty()
            && self.resumed.is_empty()
            && self.dirty.is_empty()
            && self.closing.is_empty()
    }

    /// Whether there is something for the store, if only to be answered.
    #[must_use]
    pub fn is_for_store(&self) -> bool {
        !(self.store.is_empty() && self.owed_stored.is_none() && self.cuts.is_empty())
    }

    /// All batches of what stands in [`store`](Self::store), to the last one. To be called when that is handed
    /// over.
    pub fn take_cuts(&mut self) -> Vec<StoreCut> {
        let mut cuts = std::mem::take(&mut self.cuts);
        let (end, ticket) = (self.store.len(), self.owed_stored.take());
        if ticket.is_some() || end > cuts.last().map_or(0, |cut| cut.end) {
            cuts.push(StoreCut { end, ticket });
        }
        cuts
    }
}

/// A message for somebody in this process.
#[derive(Debug)]
pub struct Observed {
    /// Whose it is.
    pub number: u32,
    /// The message.
    pub message: Message,
    /// The identifier of the client that published it, for those who watch; `None` for what the process
    /// publishes itself, and for delayed messages.
    pub publisher: Option<Arc<str>>,
}

/// An operation on the retained store.
#[derive(Debug)]
pub enum RetainedOp {
    /// Keep this message as its topic's retained message.
    Put {
        /// The message.
        message: Message,
        /// The acknowledgement that its publisher is owed, if it is one.
        owed: Option<Ticket>,
    },
    /// Forget the retained message of this topic.
    Remove(Box<str>),
    /// Find the next messages for a new subscription and answer with
    /// [`Shard::handle_retained`](super::Shard::handle_retained).
    Page {
        /// Goes back with the answer.
        ticket: RetainedTicket,
        /// A valid topic filter.
        filter: Box<str>,
        /// Where the page begins.
        cursor: Cursor,
        /// Most messages.
        max: usize,
    },
}

/// Which subscription a [`Page`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedTicket {
    pub(super) session: u32,
    pub(super) serial: u64,
    pub(super) turn: u32,
}

/// Retained messages for a new subscription.
#[derive(Debug, Default)]
pub struct Page {
    /// The messages, none of them expired.
    pub messages: Vec<Message>,
    /// Where the next page begins, `None` at the end.
    pub next: Option<Cursor>,
}

/// What [`RetainedOp::apply`] did.
#[derive(Debug)]
pub enum Applied {
    /// Kept or removed.
    Done,
    /// Not kept: the store is full. To be counted; the message itself is published all the same. With
    /// a ticket, its publisher is to be told by
    /// [`Shard::handle_not_retained`](super::Shard::handle_not_retained) before it is completed.
    Full(RetainedFull, Option<Ticket>),
    /// Found: to be passed to [`Shard::handle_retained`](super::Shard::handle_retained).
    Page(RetainedTicket, Page),
}

impl RetainedOp {
    /// Carries the operation out on the store.
    pub fn apply(self, store: &mut Retained<Message>, now: Time) -> Applied {
        match self {
            Self::Put { message, owed } => {
                let (topic, expires) = (message.clone(), message.expires());
                match store.put(TopicName::assume(topic.topic()), message, expires) {
                    Ok(_) => Applied::Done,
                    Err(full) => Applied::Full(full, owed),
                }
            }
            Self::Remove(topic) => {
                store.remove(TopicName::assume(&topic));
                Applied::Done
            }
            Self::Page {
                ticket,
                filter,
                cursor,
                max,
            } => {
                let mut messages = Vec::new();
                let filter = TopicFilter::assume(&filter);
                let next = store.page(filter, &cursor, now, max, |message| {
                    messages.push(message.clone());
                });
                Applied::Page(ticket, Page { messages, next })
            }
        }
    }
}

/// A client sent CONNECT and waits to be let in.
pub struct AdmitRequest {
    /// Its connection.
    pub conn: ConnId,
    /// Its client identifier; one that the shard made up when it sent none.
    pub client_id: Box<str>,
    /// The listener it came in through.
    pub listener: ListenerId,
    /// Where it is; `None` for one in this process.
    pub peer: Option<IpAddr>,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// Clean Start, Clean Session before MQTT 5.0.
    pub clean_start: bool,
    /// It has shown by enhanced authentication that it is the user of this name.
    pub authenticated: bool,
    /// The user name: the one it has shown to be, else the one it sent, if it did.
    pub user_name: Option<Box<str>>,
    /// The password, if it sent one and has not authenticated otherwise.
    pub password: Option<Box<[u8]>>,
    /// The properties of its CONNECT.
    pub properties: PropertiesBuf,
}

impl std::fmt::Debug for AdmitRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdmitRequest")
            .field("conn", &self.conn)
            .field("client_id", &self.client_id)
            .field("listener", &self.listener)
            .field("peer", &self.peer)
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("authenticated", &self.authenticated)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .finish()
    }
}

/// A client says something in an exchange of enhanced authentication.
pub struct AuthRequest {
    /// Its connection.
    pub conn: ConnId,
    /// The listener it came in through.
    pub listener: ListenerId,
    /// A new exchange: by CONNECT, or by an AUTH that asks for one on an accepted connection.
    pub begins: bool,
    /// Who it was found to be before, on an accepted connection.
    pub user: Option<Box<str>>,
    /// The Authentication Method, the same for the whole connection.
    pub method: Box<str>,
    /// The Authentication Data, empty if it sent none.
    pub data: Box<[u8]>,
}

impl std::fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthRequest")
            .field("conn", &self.conn)
            .field("listener", &self.listener)
            .field("begins", &self.begins)
            .field("user", &self.user)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The answer to an [`AuthRequest`].
pub enum AuthAnswer {
    /// The client has to say more: AUTH with this data.
    Continue(Box<[u8]>),
    /// It is who it says it is.
    Success {
        /// Who that is.
        user: Box<str>,
        /// The last data for the client, in CONNACK or AUTH; left out if empty.
        data: Box<[u8]>,
    },
    /// It is not: CONNACK or DISCONNECT with this reason code, a failure.
    Failure(ReasonCode),
}

impl std::fmt::Debug for AuthAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Continue(_) => f.write_str("Continue(...)"),
            Self::Success { user, .. } => write!(f, "Success({user:?}, ...)"),
            Self::Failure(reason) => write!(f, "Failure({reason:?})"),
        }
    }
}

/// The answer to an [`AdmitRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Let it in.
    Accept,
    /// Refuse it with this reason code, a failure that CONNACK may carry.
    Refuse(ReasonCode),
}

/// A connection between two shards: its CONNECT and what it sent since. Goes from
/// [`Shard::release`](super::Shard::release) to [`Shard::adopt`](super::Shard::adopt).
pub struct Parked {
    pub(super) early: Early,
    pub(super) auth: Option<Box<Authentication>>,
    pub(super) standing: Option<Box<Standing>>,
    pub(super) listener: ListenerId,
    pub(super) peer: Option<IpAddr>,
    pub(super) opened: Time,
    pub(super) version: ProtocolVersion,
}

impl Parked {
    /// The client identifier that the CONNECT carries or that was assigned.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.early.client_id
    }
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The CONNECT holds a password.
        f.debug_struct("Parked")
            .field("client_id", &self.early.client_id)
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

/// What a connection holds between its CONNECT and the answer.
pub(super) struct Early {
    /// The body of the CONNECT, which is read again when it is answered.
    pub(super) connect: Box<[u8]>,
    /// What came in behind it.
    pub(super) input: Vec<u8>,
    /// The client identifier, and whether it is ours.
    pub(super) client_id: Box<str>,
    pub(super) assigned: bool,
}

impl Early {
    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        self.connect.len() + self.input.capacity() + self.client_id.len()
    }
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The CONNECT may hold a password.
        f.debug_struct("Early")
            .field("client_id", &self.client_id)
            .field("input", &self.input.len())
            .finish_non_exhaustive()
    }
}
