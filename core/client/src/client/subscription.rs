//! The messages of one subscription.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::{Properties, QoS, RetainHandling, SubscriptionOptions};

use super::hub::Hub;
use crate::clock;

/// How to subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// What the server is asked for.
    pub wire: SubscriptionOptions,
    /// Messages that may wait in the subscription's queue. Beyond it the whole client reads no
    /// more until the queue is half empty; what one read brings may come on top.
    pub queue: usize,
}

impl SubscribeOptions {
    /// Messages with this QoS at most, and a queue of 10,000.
    pub fn new(qos: QoS) -> Self {
        let wire = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        Self {
            wire,
            queue: 10_000,
        }
    }

    /// Don't deliver what this client published itself (MQTT 5.0).
    #[must_use]
    pub fn no_local(mut self) -> Self {
        self.wire.no_local = true;
        self
    }

    /// Keep the RETAIN flag as it was published (MQTT 5.0).
    #[must_use]
    pub fn retain_as_published(mut self) -> Self {
        self.wire.retain_as_published = true;
        self
    }

    /// Whether retained messages are wanted now (MQTT 5.0).
    #[must_use]
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.wire.retain_handling = handling;
        self
    }

    /// Messages that may wait in the subscription's queue.
    #[must_use]
    pub fn queue(mut self, messages: usize) -> Self {
        self.queue = messages;
        self
    }
}

impl From<QoS> for SubscribeOptions {
    fn from(qos: QoS) -> Self {
        Self::new(qos)
    }
}

/// A message that came in.
#[derive(Clone)]
pub struct Received(Incoming);

impl Received {
    /// The topic name it was published to.
    pub fn topic(&self) -> &str {
        self.0.message.topic()
    }

    /// The application message.
    pub fn payload(&self) -> &[u8] {
        self.0.message.payload()
    }

    /// The application message as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.payload()).ok()
    }

    /// How it was delivered.
    pub fn qos(&self) -> QoS {
        self.0.qos
    }

    /// It had been retained, or was published as retained (section 3.3.1.3).
    pub fn retain(&self) -> bool {
        self.0.retain
    }

    /// The server may have delivered it before. Never with QoS 2.
    pub fn dup(&self) -> bool {
        self.0.dup
    }

    /// The properties that came with it: Response Topic, Correlation Data, User Property and so on.
    pub fn properties(&self) -> Properties<'_> {
        self.0.message.properties()
    }

    /// What is left of its Message Expiry Interval in whole seconds (3.3.2.3.3); `None` when it
    /// does not expire. The interval does not stand among the [`properties`](Self::properties).
    pub fn expiry(&self) -> Option<Duration> {
        let left = self.0.message.expiry_left(clock::now());
        left.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// All that is known of it.
    pub fn incoming(&self) -> &Incoming {
        &self.0
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("topic", &self.topic())
            .field("payload_len", &self.payload().len())
            .field("qos", &self.qos())
            .field("retain", &self.retain())
            .finish_non_exhaustive()
    }
}

/// The messages of one subscription, in the order they came, from a queue of its own.
///
/// It lives through reconnections, and ends with the client: what is in the queue is still given
/// out. Dropping it unsubscribes from those of its filters that no other subscription of the client
/// has, and discards what is in the queue; one that is [kept](super::Subscribe::keep) does neither.
///
/// Also a [`Stream`] of [`Received`].
pub struct Subscription {
    hub: Arc<Hub>,
    key: usize,
    filters: Vec<String>,
    codes: Vec<ReasonCode>,
    keep: bool,
}

impl Subscription {
    pub(crate) fn new(hub: Arc<Hub>, key: usize, filters: Vec<String>) -> Self {
        Self {
            hub,
            key,
            filters,
            codes: Vec::new(),
            keep: false,
        }
    }

    /// The server has answered. Before that it is never kept.
    pub(crate) fn grant(&mut self, codes: Vec<ReasonCode>, keep: bool) {
        self.codes = codes;
        self.keep = keep;
    }

    /// The next message; `None` once the client has ended and the queue is empty. Cancelling it
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next message, if one waits.
    pub fn try_next(&mut self) -> Option<Received> {
        let incoming = self.hub.change(|state| state.routes.pop(self.key, None));
        incoming.map(Received)
    }

    /// Moves all messages that wait to the end of `into`: with one lock, for who processes batches.
    pub fn take_all(&mut self, into: &mut Vec<Received>) {
        let queue = self.hub.change(|state| state.routes.pop_all(self.key));
        into.extend(queue.into_iter().map(Received));
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.hub.lock().routes.waiting(self.key)
    }

    /// Puts messages that were taken in front of those that wait, in this order: they are given out
    /// again, by the next subscription if this one is kept.
    pub fn put_back(&mut self, messages: Vec<Received>) {
        let messages = messages.into_iter().map(|received| received.0);
        self.hub
            .change(|state| state.routes.put_back(self.key, messages));
    }

    /// The topic filter; the first one where there are several.
    pub fn filter(&self) -> &str {
        self.filters.first().map_or("", String::as_str)
    }

    /// The topic filters.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// The QoS that the server has granted; the highest one where there are several filters.
    pub fn granted(&self) -> QoS {
        let granted = self.codes.iter().filter(|code| !code.is_error());
        let highest = granted.map(|code| code.0 & 3).max();
        highest.and_then(QoS::from_bits).unwrap_or_default()
    }

    /// The server's answers, one for each filter: the QoS that it has granted, or why it refuses.
    pub fn codes(&self) -> &[ReasonCode] {
        &self.codes
    }

    /// Ends it here alone, after [`Client::unsubscribe_from`](super::Client::unsubscribe_from) has told
    /// the server.
    pub fn forget(self) {
        let _ = self.detach();
    }

    /// Ends it without telling the server. Returns those of its filters that nobody else has.
    pub(crate) fn detach(mut self) -> Vec<String> {
        self.keep = false;
        self.leave()
    }

    fn leave(&mut self) -> Vec<String> {
        let (key, keep) = (self.key, self.keep);
        match keep {
            false => self.hub.change(|state| state.routes.remove(key)),
            true => {
                self.hub.leave(key);
                Vec::new()
            }
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.hub.change(
            |state| match state.routes.pop(self.key, Some(context.waker())) {
                Some(incoming) => Poll::Ready(Some(Received(incoming))),
                None if state.ended.is_some() => Poll::Ready(None),
                None => Poll::Pending,
            },
        )
    }
}

impl Stream for Subscription {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.poll(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // After `detach` there is nothing left to leave.
        let filters = self.leave();
        if let (false, Some(link)) = (filters.is_empty(), self.hub.link()) {
            link.unsubscribe_quietly(&filters);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("filters", &self.filters)
            .field("codes", &self.codes)
            .finish_non_exhaustive()
    }
}
