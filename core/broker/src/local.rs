//! Subscriptions of this process: no socket, no packets, and payloads that are shared with everybody else
//! who gets them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ternmq_protocol::Message;
use ternmq_protocol::broker::retained::Cursor;
use ternmq_protocol::topic::{MAX_TOPIC_LEVELS, SHARE_PREFIX, TopicError, TopicFilter};

use crate::broker::Broker;
use crate::shared::{Parcel, Shared};

/// Subscriptions of one process at a time: each topic is held against every one of them.
pub const MAX_LOCAL_SUBSCRIPTIONS: usize = 1_024;

/// Retained messages taken from the store at a time.
const PAGE: usize = 256;

/// What a [`LocalSubscription`] holds, and gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// Messages that wait to be received. 1 at least.
    pub messages: usize,
    /// Bytes of them. One message may always wait.
    pub bytes: usize,
    /// What happens to one more.
    pub overflow: LocalOverflow,
    /// Begins with the retained messages that match. They are read from the store as they are received, so
    /// none is dropped.
    pub retained: bool,
    /// Looks on, and is no subscriber: publishers may be told that there is none
    /// ([`NO_MATCHING_SUBSCRIBERS`](ternmq_protocol::ReasonCode::NO_MATCHING_SUBSCRIBERS)), and messages come
    /// with the client that published them. What several clients publish may come in another order than
    /// subscribers get it, when there are several shards.
    pub watch: bool,
}

/// What happens when messages come in faster than they are received. Counted in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalOverflow {
    /// The new message is dropped.
    #[default]
    DropNewest,
    /// The oldest ones are, until there is room.
    DropOldest,
}

/// Why there is no [`LocalSubscription`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// Not a topic filter, or one of a shared subscription.
    Filter(TopicError),
    /// As many as [`MAX_LOCAL_SUBSCRIPTIONS`] are there.
    Full,
    /// The broker is stopping, or has failed.
    Stopped,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => error.fmt(f),
            Self::Full => write!(f, "more than {MAX_LOCAL_SUBSCRIPTIONS} local subscriptions"),
            Self::Stopped => f.write_str("the broker is stopping"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// A message that a [`LocalSubscription`] got.
#[derive(Clone, Debug)]
pub struct Received {
    /// The message; a clone shares its payload.
    pub message: Message,
    /// It was in the store of retained messages when the subscription began.
    pub retained: bool,
    /// The identifier of the client that published it, or whose will it is, for one that
    /// [watches](LocalOptions::watch). `None` for what this process published, and for retained and delayed
    /// messages.
    pub publisher: Option<Arc<str>>,
}

/// Messages that match a filter, as they come in from clients, by [`Broker::publish`], or as wills. Ends
/// when it is dropped.
///
/// Messages of one publisher come in their order. There is no session: what nobody receives in time is
/// dropped as [`LocalOptions`] say. It may be shared by threads, each of which then gets some of the
/// messages. As an iterator it ends with the broker.
pub struct LocalSubscription {
    queue: Arc<LocalQueue>,
    shared: Arc<Shared>,
    number: u32,
    watches: bool,
    filter: Box<str>,
    replay: Mutex<Replay>,
}

/// Retained messages on their way.
#[derive(Default)]
struct Replay {
    page: VecDeque<Message>,
    next: Option<Cursor>,
}

/// A message that waits, and who has published it.
type Waiting = (Message, Option<Arc<str>>);

/// What lies between a shard and a [`LocalSubscription`].
pub(crate) struct LocalQueue {
    state: Mutex<State>,
    arrived: Condvar,
    options: LocalOptions,
    /// Shards that put something in.
    shards: AtomicUsize,
}

#[derive(Default)]
struct State {
    items: VecDeque<Waiting>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

/// A subscription on its way to a shard that serves it.
pub(crate) struct Observe {
    pub(crate) number: u32,
    pub(crate) watches: bool,
    pub(crate) filter: Box<str>,
    pub(crate) queue: Arc<LocalQueue>,
    /// Answered once it is there, and other shards know.
    pub(crate) reply: SyncSender<()>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            messages: 65_536,
            bytes: 64 << 20,
            overflow: LocalOverflow::default(),
            retained: false,
            watch: false,
        }
    }
}

impl Broker {
    /// Subscribes in this process. When this returns, whatever is published from then on is matched.
    /// Waits for the current turn of one shard, of all if it watches, so never from what a shard waits for: hooks may.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(
        &self,
        filter: &str,
        options: LocalOptions,
    ) -> Result<LocalSubscription, SubscribeError> {
        let parsed =
            TopicFilter::parse(filter, MAX_TOPIC_LEVELS).map_err(SubscribeError::Filter)?;
        if filter.starts_with(SHARE_PREFIX) {
            return Err(SubscribeError::Filter(TopicError::ShareName));
        }
        let entered = self.shared.locals.enter(options.watch);
        let number = entered.ok_or(SubscribeError::Full)?;
        let shards = match options.watch {
            // What clients publish is seen where they are.
            true => &self.shared.mailboxes[..],
            false => &self.shared.mailboxes[..1],
        };
        let queue = Arc::new(LocalQueue::new(options, shards.len()));
        let subscription = LocalSubscription {
            queue: queue.clone(),
            shared: self.shared.clone(),
            number,
            watches: options.watch,
            filter: parsed.as_str().into(),
            replay: Mutex::new(Replay {
                page: VecDeque::new(),
                next: options.retained.then(Cursor::default),
            }),
        };
        let (reply, replies) = sync_channel(shards.len());
        for mailbox in shards {
            let observe = Observe {
                number,
                watches: options.watch,
                filter: filter.into(),
                queue: queue.clone(),
                reply: reply.clone(),
            };
            // One that has ended answers nothing.
            let _ = mailbox.send(Parcel::Observe(Box::new(observe)));
        }
        drop(reply);
        match replies.iter().count() == shards.len() {
            true => Ok(subscription),
            false => Err(SubscribeError::Stopped),
        }
    }
}

impl LocalSubscription {
    /// The next message. Waits for it; `None` when the broker has ended or [`close`](Self::close) was called
    /// and there is nothing left.
    pub fn recv(&self) -> Option<Received> {
        self.replayed().or_else(|| live(self.queue.take(None)))
    }

    /// The same, but waits no longer than that. `None` then too: [`is_closed`](Self::is_closed) tells them
    /// apart.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Received> {
        let until = Instant::now() + timeout;
        self.replayed()
            .or_else(|| live(self.queue.take(Some(until))))
    }

    /// The next message if there is one now.
    pub fn try_recv(&self) -> Option<Received> {
        self.recv_timeout(Duration::ZERO)
    }

    /// No message will come any more, apart from those that wait.
    pub fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Takes no more messages and ends every wait. What came before can still be received.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Messages dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// The filter.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The next of the retained messages.
    fn replayed(&self) -> Option<Received> {
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(message) = replay.page.pop_front() {
                return Some(Received {
                    message,
                    retained: true,
                    publisher: None,
                });
            }
            let from = replay.next.take()?;
            let (filter, now) = (TopicFilter::assume(&self.filter), self.shared.now());
            let Replay { page, next } = &mut *replay;
            let store = self.shared.retained.lock_whole();
            *next = store.page(filter, &from, now, PAGE, |message| {
                page.push_back(message.clone())
            });
        }
    }
}

impl Iterator for &LocalSubscription {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        self.recv()
    }
}

impl Iterator for LocalSubscription {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        self.recv()
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.locals.leave(self.watches);
        let shards = match self.watches {
            true => self.shared.mailboxes.len(),
            false => 1,
        };
        for mailbox in &self.shared.mailboxes[..shards] {
            // A shard that has ended has forgotten it.
            let _ = mailbox.send(Parcel::StopObserving(self.number));
        }
    }
}

impl fmt::Debug for LocalSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSubscription")
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

fn live(waiting: Option<Waiting>) -> Option<Received> {
    waiting.map(|(message, publisher)| Received {
        message,
        retained: false,
        publisher,
    })
}

impl LocalQueue {
    fn new(options: LocalOptions, shards: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            options,
            shards: AtomicUsize::new(shards),
        }
    }

    /// A shard puts nothing in any more.
    pub(crate) fn leave(&self) {
        if self.shards.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// Puts a message in, and counts how many had to be dropped for it, it included.
    pub(crate) fn put(&self, message: Message, publisher: Option<Arc<str>>) -> u64 {
        let more = weight(&message, publisher.as_deref());
        let mut state = self.lock();
        if state.closed {
            return 0;
        }
        let LocalOptions {
            messages, bytes, ..
        } = self.options;
        let before = state.dropped;
        while !state.items.is_empty()
            && (state.items.len() >= messages.max(1) || state.bytes + more > bytes)
        {
            state.dropped += 1;
            match self.options.overflow {
                LocalOverflow::DropNewest => return 1,
                LocalOverflow::DropOldest => {
                    let oldest = state.items.pop_front();
                    state.bytes -= oldest.map_or(0, |(m, by)| weight(&m, by.as_deref()));
                }
            }
        }
        state.bytes += more;
        state.items.push_back((message, publisher));
        let dropped = state.dropped - before;
        drop(state);
        self.arrived.notify_one();
        dropped
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    fn take(&self, until: Option<Instant>) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if let Some((message, publisher)) = state.items.pop_front() {
                state.bytes -= weight(&message, publisher.as_deref());
                return Some((message, publisher));
            }
            if state.closed {
                return None;
            }
            state = match until {
                None => self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that a message counts for.
fn weight(message: &Message, publisher: Option<&str>) -> usize {
    message.memory() + publisher.map_or(0, str::len)
}

/// How many there are.
#[derive(Default)]
pub(crate) struct Locals {
    state: Mutex<(usize, u32)>,
    /// Those among them that watch.
    watching: AtomicUsize,
}

impl Locals {
    /// A number for one more, if there may be one.
    fn enter(&self, watches: bool) -> Option<u32> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, last) = &mut *state;
        if *count >= MAX_LOCAL_SUBSCRIPTIONS {
            return None;
        }
        *count += 1;
        *last = last.wrapping_add(1);
        self.watching
            .fetch_add(usize::from(watches), Ordering::SeqCst);
        Some(*last)
    }

    fn leave(&self, watches: bool) {
        self.watching
            .fetch_sub(usize::from(watches), Ordering::SeqCst);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
    }

    /// Whether somebody watches, or is about to.
    pub(crate) fn watch(&self) -> bool {
        self.watching.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::Time;
    use ternmq_protocol::codec::{Properties, QoS};

    fn message(payload: &str) -> Message {
        let none = Properties::EMPTY;
        Message::new(
            "t",
            payload.as_bytes(),
            QoS::AtMostOnce,
            false,
            none,
            Time(0),
        )
        .unwrap()
    }

    fn filled(overflow: LocalOverflow, messages: usize, bytes: usize) -> (LocalQueue, u64) {
        let queue = LocalQueue::new(
            LocalOptions {
                messages,
                bytes,
                overflow,
                ..LocalOptions::default()
            },
            1,
        );
        let dropped = ["1", "2", "3"].map(|payload| queue.put(message(payload), None));
        (queue, dropped.iter().sum())
    }

    fn taken(queue: &LocalQueue) -> String {
        queue.close();
        let mut all = String::new();
        while let Some((message, _)) = queue.take(None) {
            all.push_str(std::str::from_utf8(message.payload()).unwrap());
        }
        all
    }

    #[test]
    fn a_full_queue_drops_by_its_policy_and_counts() {
        for (overflow, left) in [
            (LocalOverflow::DropNewest, "12"),
            (LocalOverflow::DropOldest, "23"),
        ] {
            let bytes = 2 * message("1").memory();
            for (messages, bytes) in [(2, usize::MAX), (usize::MAX, bytes)] {
                let (queue, dropped) = filled(overflow, messages, bytes);
                assert_eq!((taken(&queue).as_str(), dropped), (left, 1));
                assert_eq!(queue.lock().dropped, 1);
            }
            let one = if left == "12" { "1" } else { "3" };
            let (queue, dropped) = filled(overflow, 0, 0);
            assert_eq!(
                (taken(&queue).as_str(), dropped),
                (one, 2),
                "one always fits"
            );
        }
    }
}
