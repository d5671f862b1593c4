//! The blocking client: the same names as the asynchronous one, each call with a time limit.
//!
//! There is no runtime behind it and no thread but the IO thread: a call sleeps until the IO
//! thread has what it waits for.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::RequestRefused;
use ternmq_protocol::codec::{PropertiesBuf, QoS};

use crate::client::{
    Challenge, Client as AsyncClient, Ended, Publish, PublishOutcome, Publishing, Received, Status,
    Subscribe, SubscribeOptions, Subscription as AsyncSubscription,
};
use crate::error::{ConnectError, PublishError, SubscribeError};
use crate::link::Stats;
use crate::options::ConnectOptions;

/// How long a call waits unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// An MQTT client whose methods block. Clones are the same client; any method may be called from any
/// thread. Dropping the last clone disconnects in the background, as with the
/// [asynchronous client](crate::Client).
///
/// ```
/// use std::time::Duration;
/// use ternmq_client::blocking::Client;
/// use ternmq_client::{ConnectOptions, Publish, QoS};
/// # let broker = ternmq_broker::Broker::start(ternmq_broker::Config::listen("127.0.0.1:0".parse()?))?;
/// # let uri = format!("mqtt://{}", broker.local_addrs()[0]);
/// let client = Client::connect(ConnectOptions::from_uri(&uri)?)?;
/// let mut lights = client.subscribe("lights/+", QoS::AtLeastOnce)?;
/// client.publish(Publish::new("lights/kitchen", "on").qos(QoS::AtLeastOnce))?;
/// let message = lights.next_timeout(Duration::from_secs(10))?;
/// assert_eq!((message.topic(), message.text()), ("lights/kitchen", Some("on")));
/// client.disconnect();
/// assert!(lights.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    client: AsyncClient,
    timeout: Duration,
}

impl Client {
    /// Connects. [`ConnectOptions::connect_timeout`] limits the time for each endpoint.
    ///
    /// # Errors
    /// See [`Client::connect`](crate::Client::connect).
    pub fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let client = block_until(AsyncClient::connect(options), None);
        Ok(Self {
            client: client.unwrap_or(Err(ConnectError::Timeout))?,
            timeout: DEFAULT_TIMEOUT,
        })
    }

    /// A client that begins to connect, and can be used at once, see
    /// [`Client::open`](crate::Client::open).
    ///
    /// # Errors
    /// As there.
    pub fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        Ok(Self {
            client: AsyncClient::open(options)?,
            timeout: DEFAULT_TIMEOUT,
        })
    }

    /// The same client with another limit for its calls; 30 s unless set.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Publishes a message and waits for its acknowledgement, or with QoS 0 until it was taken.
    ///
    /// # Errors
    /// See [`PublishError`]. After [`PublishError::Timeout`] the message may still arrive, unless
    /// the outbox was full all the time.
    pub fn publish(&self, publish: Publish<'_>) -> Result<PublishOutcome, PublishError> {
        block_until(self.client.publish(publish), self.deadline())
            .unwrap_or(Err(PublishError::Timeout))
    }

    /// Publishes a message without waiting for anything. [`wait`](Self::wait) takes the result.
    ///
    /// # Errors
    /// As [`Client::publish_nowait`](crate::Client::publish_nowait).
    pub fn publish_nowait(&self, publish: Publish<'_>) -> Result<Publishing, PublishError> {
        self.client.publish_nowait(publish)
    }

    /// Waits for the acknowledgement of a message.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn wait(&self, publishing: Publishing) -> Result<PublishOutcome, PublishError> {
        block_until(publishing, self.deadline()).unwrap_or(Err(PublishError::Timeout))
    }

    /// Subscribes to a topic filter and waits until the server has granted it.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn subscribe(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription, SubscribeError> {
        block_until(self.client.subscribe(filter, options), self.deadline())
            .unwrap_or(Err(SubscribeError::Timeout))
            .map(Subscription)
    }

    /// As [`subscribe`](Self::subscribe), with all that a [`Subscribe`] may say.
    ///
    /// # Errors
    /// As [`Client::subscribe_with`](crate::Client::subscribe_with).
    pub fn subscribe_with(&self, subscribe: Subscribe<'_>) -> Result<Subscription, SubscribeError> {
        block_until(self.client.subscribe_with(subscribe), self.deadline())
            .unwrap_or(Err(SubscribeError::Timeout))
            .map(Subscription)
    }

    /// Ends a subscription and waits until the server has confirmed it; returns its answers.
    ///
    /// # Errors
    /// See [`SubscribeError`]. The subscription is gone in any case.
    pub fn unsubscribe(
        &self,
        subscription: Subscription,
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        block_until(self.client.unsubscribe(subscription.0), self.deadline())
            .unwrap_or(Err(SubscribeError::Timeout))
    }

    /// Disconnects and waits until the connection is over, see
    /// [`Client::disconnect`](crate::Client::disconnect). That takes less than 6 s in any case.
    pub fn disconnect(&self) {
        let _ = block_until(self.client.disconnect(), None);
    }

    /// As [`disconnect`](Self::disconnect), with a reason code and properties.
    ///
    /// # Errors
    /// The reason or the properties can't be in a DISCONNECT; the connection goes on.
    pub fn disconnect_with(
        &self,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) -> Result<(), RequestRefused> {
        block_until(self.client.disconnect_with(reason, properties), None).unwrap_or(Ok(()))
    }

    /// Waits until the client has ended, and tells why; `None` when that took longer than the
    /// client's limit.
    pub fn closed(&self) -> Option<Ended> {
        block_until(self.client.closed(), self.deadline())
    }

    /// Waits for a status that `is_it` says yes to, or the end of the client; `None` when that took
    /// longer than the client's limit.
    pub fn wait_for(&self, is_it: impl FnMut(Status) -> bool) -> Option<Status> {
        block_until(self.client.wait_for(is_it), self.deadline())
    }

    /// What the client is doing.
    pub fn status(&self) -> Status {
        self.client.status()
    }

    /// Acknowledges a message in manual mode, see
    /// [`Client::acknowledge`](crate::Client::acknowledge).
    pub fn acknowledge(&self, message: &Received, reason: ReasonCode) -> bool {
        self.client.acknowledge(message, reason)
    }

    /// The server's next AUTH, see [`Client::challenge`](crate::Client::challenge); `None` when the
    /// client has ended or that took longer than the client's limit.
    pub fn challenge(&self) -> Option<Challenge> {
        block_until(self.client.challenge(), self.deadline()).flatten()
    }

    /// Sends AUTH, see [`Client::authenticate`](crate::Client::authenticate).
    ///
    /// # Errors
    /// As there.
    pub fn authenticate(
        &self,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) -> Result<(), RequestRefused> {
        self.client.authenticate(reason, properties)
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.client.stats()
    }

    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.timeout)
    }
}

/// The messages of one subscription, see the [asynchronous one](crate::Subscription).
///
/// As an iterator it waits for each message as long as it takes, and ends with the client.
#[derive(Debug)]
pub struct Subscription(AsyncSubscription);

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextError {
    /// None came in time.
    Timeout,
    /// None will come: the client has ended.
    Ended,
}

impl Subscription {
    /// The next message, if it comes in time.
    ///
    /// # Errors
    /// See [`NextError`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Received, NextError> {
        match block_until(self.0.next(), Instant::now().checked_add(timeout)) {
            Some(Some(received)) => Ok(received),
            Some(None) => Err(NextError::Ended),
            None => Err(NextError::Timeout),
        }
    }

    /// The next message, if one waits.
    pub fn try_next(&mut self) -> Option<Received> {
        self.0.try_next()
    }

    /// Moves all messages that wait to the end of `into`: with one lock, for who processes batches.
    pub fn take_all(&mut self, into: &mut Vec<Received>) {
        self.0.take_all(into);
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// See [`Subscription::put_back`](crate::Subscription::put_back).
    pub fn put_back(&mut self, messages: Vec<Received>) {
        self.0.put_back(messages);
    }

    /// The topic filter; the first one where there are several.
    pub fn filter(&self) -> &str {
        self.0.filter()
    }

    /// The topic filters.
    pub fn filters(&self) -> &[String] {
        self.0.filters()
    }

    /// The server's answers, one for each filter.
    pub fn codes(&self) -> &[ReasonCode] {
        self.0.codes()
    }

    /// The QoS that the server has granted; the highest one where there are several filters.
    pub fn granted(&self) -> QoS {
        self.0.granted()
    }
}

impl Iterator for Subscription {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        block_until(self.0.next(), None).flatten()
    }
}

impl fmt::Display for NextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no message in time",
            Self::Ended => "the client has ended",
        })
    }
}

impl std::error::Error for NextError {}

/// Wakes a thread that waits for a future.
struct Parked {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs a future on this thread, and sleeps whenever it waits. For programs without an executor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let output = block_until(future, None);
    output.expect("a wait without a deadline ends with the future")
}

/// Runs a future on this thread, and sleeps whenever it waits; `None` when the deadline has passed
/// before it was ready. A pinned reference to a future can be run on later.
pub fn block_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let parked = Arc::new(Parked {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(parked.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        while !parked.woken.swap(false, Ordering::Acquire) {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}
