//! What shards and the store of a broker say to each other.
//!
//! A store keeps a log of messages and a record of each session. A message that a session is to get
//! which outlives its connections is not delivered when it comes in, but appended
//! ([`StoreOp::Append`]); once the store has it, it gets its place in the log
//! ([`Message::log_seq`]) and goes to all shards in the order of the log, and only then do they
//! deliver it. So a session needs no copies while its client is away: it remembers how far it has
//! read, its cursor, and asks for pages ([`ReadRequest`]) when it can send again.
//!
//! Beside the log stands an index: for each topic filter that such sessions subscribe to, its
//! [`StreamKey`], the messages that match it. Whatever the number of sessions with the same filter,
//! that is one entry.

use super::out::ListenerId;
use super::record::{DelayedRecord, SessKey, SessionRecord, SubscriptionRecord};
use crate::message::Message;
use sha2::{Digest, Sha256};

/// The name of a topic filter in the log's index: 64 bits of SHA-256, so that nobody can look for two
/// filters with one name, and every shard, start and node finds the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

impl StreamKey {
    /// The stream of a filter as in SUBSCRIBE; that of a shared subscription, with `$share/NAME/`, is the
    /// one of its group.
    #[must_use]
    pub fn of(filter: &str) -> Self {
        let mut key = [0; 8];
        key.copy_from_slice(&Sha256::digest(filter)[..8]);
        Self(u64::from_be_bytes(key))
    }
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// That the broker has the message: it survives a clean stop.
    None,
    /// That the message is on stable storage. One write to it serves all that came in meanwhile.
    #[default]
    Group,
    /// The same, with a write for each message of a client. One that is to be retained too, for which the
    /// retained store may have no room, shares that of what comes next, as do wills and delayed messages.
    Each,
}

/// Which promise holds for which messages: the first rule that fits, [`Durability::Group`] where none
/// does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurabilityRule {
    /// Those that come in through this listener; `None` for all. Wills and delayed messages are
    /// published through none.
    pub listener: Option<ListenerId>,
    /// Those whose topic matches this topic filter; `None` for all.
    pub filter: Option<Box<str>>,
    /// What is promised.
    pub durability: Durability,
}

/// What a shard with a store is made from.
#[derive(Clone, Debug)]
pub struct DurableConfig {
    /// The promises to publishers.
    pub rules: Vec<DurabilityRule>,
    /// Messages of one [`LogPage`].
    pub page_messages: usize,
    /// Bytes of messages after which a page ends.
    pub page_bytes: usize,
    /// Messages that a session may have still to read, as far as they have come by since it fell behind; what a
    /// start finds for it is counted when it reads. Beyond it the oldest are dropped when their turn comes, and counted.
    pub backlog_messages: u32,
    /// The same for their bytes.
    pub backlog_bytes: u64,
    /// Milliseconds after which a change of a session is written that nobody waits for.
    pub lazy_ms: u64,
}

impl DurableConfig {
    /// Whether there is a limit to what may wait in the log for one session or group.
    pub(super) fn limits_backlog(&self) -> bool {
        self.backlog_messages != u32::MAX || self.backlog_bytes != u64::MAX
    }
}

impl Default for DurableConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            page_messages: 128,
            page_bytes: 256 << 10,
            backlog_messages: u32::MAX,
            backlog_bytes: u64::MAX,
            lazy_ms: 1000,
        }
    }
}

/// Why a store has not kept what it was given: nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// There is no room.
    Full,
    /// It can't be written.
    Failed,
}

impl NotStored {
    /// What clients are told.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Full => "not taken: the server's store is full",
            Self::Failed => "not taken: the server's store can't be written",
        }
    }
}

/// A change for the store. Those of one [`Out`](super::Out) stand in their order, and those between two of its
/// [cuts](super::Out::cuts) are kept together or not at all.
#[derive(Clone, Debug)]
pub enum StoreOp {
    /// A message for the log.
    Append(Append),
    /// A session is new or has changed: all of it but its subscriptions.
    PutSession(Box<SessionRecord>),
    /// A session is over, and its subscriptions with it.
    EndSession(SessKey),
    /// A session has a subscription; it replaces one with the same filter.
    Subscribe(SessKey, Box<SubscriptionRecord>),
    /// A session has a subscription no more.
    Unsubscribe(SessKey, Box<str>),
    /// The retained message of its topic.
    PutRetained(Message),
    /// A topic has no retained message any more.
    RemoveRetained(Box<str>),
    /// A message that is to be published later.
    PutDelayed(DelayedKey, Box<DelayedRecord>),
    /// It was published, or is not to be.
    RemoveDelayed(DelayedKey),
    /// A message of a shared subscription's stream has found its client for good, or was dropped.
    Done(StreamKey, u64),
    /// So have all messages of such a stream up to this place, as far as its group is concerned: it has begun
    /// behind them, or has ended.
    DoneUpTo(StreamKey, u64),
}

impl StoreOp {
    /// To be told of each operation that a store does not carry out, but by
    /// [`not_stored`](super::Shard::not_stored): a message will have no place in the log by it.
    pub fn refuse(&self) {
        if let Self::Append(append) = self
            && append.message.is_for_the_log()
        {
            append.message.set_log_seq(0);
        }
    }
}

/// A message for the log.
#[derive(Clone, Debug)]
pub struct Append {
    /// The message, without a place so far.
    pub message: Message,
    /// The streams that it belongs to, none of them twice, at least one.
    pub streams: Box<[StreamKey]>,
    /// What is promised to its publisher.
    pub durability: Durability,
}

/// Tells messages that are to be published later apart: one that nothing else has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DelayedKey {
    /// The shard that keeps it, as of the start it came in.
    pub shard: u16,
    /// The start.
    pub epoch: u64,
    /// Counted by the shard.
    pub number: u64,
}

/// A question for the next messages of a session, or of a group.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// For the answer.
    pub ticket: ReadTicket,
    /// The streams of its filters, each with the place behind which its subscription begins.
    pub streams: Box<[(StreamKey, u64)]>,
    /// Messages behind this place in the log.
    pub after: u64,
    /// Without those that are [done](StoreOp::Done) in the first of the streams, which is a group's.
    pub undone: bool,
    /// Messages that the answer may have.
    pub messages: usize,
    /// Bytes of messages after which the answer ends. One message it may have, however large.
    pub bytes: usize,
    /// Up to this place what there is behind `after` is to be counted too, which costs the store as much as
    /// reading it; 0 for not at all.
    pub count_to: u64,
}

/// For which session, or which group of a shared subscription, a page was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadTicket {
    /// The session's slot, or the group's.
    pub session: u32,
    /// It is for a group of a shared subscription.
    pub group: bool,
    /// Tells it from others that had or will have the slot.
    pub serial: u64,
    /// Counts its questions.
    pub turn: u32,
}

/// The answer: the next messages of a session, each once, in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct LogPage {
    /// Messages with their places.
    pub messages: Vec<Message>,
    /// Up to here nothing else is in these streams. At least the place of the last message; behind
    /// it when there are no more, up to all that was kept when the store looked.
    pub reached: u64,
    /// Messages that are in the streams but can't be read.
    pub lost: u64,
    /// What was to be [counted](ReadRequest::count_to), those of this page among it.
    pub counted: Option<Counted>,
}

/// Messages that wait in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many.
    pub messages: u64,
    /// Their weight in memory.
    pub bytes: u64,
}

impl Counted {
    /// Counts those of a page up to a place.
    pub fn add(&mut self, page: &LogPage, up_to: u64) {
        let all = page.messages.iter();
        for message in all.take_while(|message| message.log_seq() <= up_to) {
            self.messages += 1;
            self.bytes += message.memory() as u64;
        }
    }
}
