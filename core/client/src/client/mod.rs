//! The asynchronous client: futures that need no particular runtime.

mod follow;
mod hub;
mod publish;
mod routes;
mod subscribe;
mod subscription;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use ternmq_protocol::client::{DropReason, PublishRefused, RequestRefused, Stored, Token};
use ternmq_protocol::codec::{Properties, PropertiesBuf};
use ternmq_protocol::{Message, ReasonCode};

pub use follow::{Follower, FollowerEnd, News};
pub use hub::{Challenge, Ended, Status};
pub use publish::{Publish, PublishOutcome, Publishing};
pub use subscribe::Subscribe;
pub use subscription::{Received, SubscribeOptions, Subscription};

use crate::clock;
use crate::error::{ConnectError, PublishError, SubscribeError};
use crate::link::{Inner, Journal, Link, Observers, Stats};
use crate::options::ConnectOptions;
use crate::outbox::{FileOutbox, OutboxStatus};
use hub::{Completion, Hub, Outcome};
use subscribe::answers;

/// An MQTT client. Clones are the same client; any method may be called from any thread and task.
///
/// Its futures work with every executor. Dropping one before it is ready never harms the client;
/// what that means for the operation is told with each. Time limits are the executor's affair.
///
/// When the last clone is dropped the client disconnects as [`disconnect`](Self::disconnect) does,
/// in the background: what was sent before still goes out, but a process that ends at once may end
/// earlier. [`Subscription`]s don't keep the client; they end with it.
///
/// ```
/// use ternmq_client::{Client, ConnectOptions, Publish, QoS};
/// # let broker = ternmq_broker::Broker::start(ternmq_broker::Config::listen("127.0.0.1:0".parse()?))?;
/// # let uri = format!("mqtt://{}", broker.local_addrs()[0]);
/// # async fn run(uri: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(ConnectOptions::from_uri(uri)?).await?;
/// let mut lights = client.subscribe("lights/+", QoS::AtLeastOnce).await?;
/// client.publish(Publish::new("lights/kitchen", "on").qos(QoS::AtLeastOnce)).await?;
/// let message = lights.next().await.expect("the client has not ended");
/// assert_eq!((message.topic(), message.text()), ("lights/kitchen", Some("on")));
/// client.disconnect().await;
/// # Ok(()) }
/// # ternmq_client::blocking::block_on(run(&uri))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client(Arc<Owner>);

/// What a client is opened with beside its options.
#[derive(Debug, Default)]
pub struct Opening {
    /// What is published with QoS 1 and 2 is kept in a file until it is acknowledged; with what an
    /// earlier process has left in it.
    pub outbox: Option<(FileOutbox, Vec<Stored>)>,
    /// Somebody wants to hear of each change.
    pub follow: bool,
    /// Each attempt to connect again waits for [`Client::retry`].
    pub ask_before_retry: bool,
}

/// Disconnects when the last clone is gone.
struct Owner {
    link: Link,
    hub: Arc<Hub>,
    outbox: Option<Arc<OutboxStatus>>,
}

impl Client {
    /// Connects, and returns when the server has accepted. Dropped earlier, the attempt is ended.
    ///
    /// # Errors
    /// The first attempt failed with every endpoint; with
    /// [`Backoff::first_connect`](crate::Backoff::first_connect) it is repeated instead, until it
    /// succeeds.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let client = Self::open(options)?;
        let failed = client
            .watch(|state| match (&state.ended, state.status) {
                (Some(Ended::ConnectFailed(error)), _) => Some(Some(error.clone())),
                (Some(Ended::Disconnected { .. }), _) => Some(Some(ConnectError::Closed)),
                (None, Status::Connecting) => None,
                (None, _) => Some(None),
            })
            .await;
        match failed {
            Some(error) => Err(error),
            None => Ok(client),
        }
    }

    /// A client that begins to connect, and can be used at once: what is published waits in the outbox,
    /// what is subscribed to waits for the connection. With [`Backoff::first_connect`] the server may
    /// come up as late as it likes; without, a failed first attempt ends the client.
    ///
    /// [`Backoff::first_connect`]: crate::Backoff::first_connect
    ///
    /// # Errors
    /// The options are impossible, or the IO thread can't be started.
    pub fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        Self::open_with(options, Opening::default()).map(|(client, _)| client)
    }

    /// As [`open`](Self::open), with an outbox in a file or a follower.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        options: ConnectOptions,
        opening: Opening,
    ) -> Result<(Self, Option<Follower>), ConnectError> {
        let hub = Arc::new(Hub::new(options.limits, options.session.keeps_session()));
        let status = opening.outbox.as_ref().map(|(outbox, _)| outbox.status());
        let (journal, kept): (Option<Box<dyn Journal>>, _) = match opening.outbox {
            Some((outbox, kept)) => (Some(Box::new(outbox)), kept),
            None => (None, Vec::new()),
        };
        let observers = Observers { journal, tap: None };
        let link = Link::open_observed(options, hub.clone(), observers)?;
        link.session(|_, session| {
            for stored in kept {
                session.restore(stored);
            }
        });
        hub.attach(&link);
        let follower = opening.follow.then(|| Follower::new(hub.clone()));
        link.ask_before_retry(opening.ask_before_retry);
        link.connect()?;
        let outbox = status;
        Ok((Self(Arc::new(Owner { link, hub, outbox })), follower))
    }

    /// Makes the attempt to connect again that [`News::RetryDue`] asked for, after a change of the
    /// options.
    ///
    /// # Errors
    /// [`ConnectError::Busy`] when none is due; see [`Link::connect`].
    pub fn retry(&self, change: impl FnOnce(&mut ConnectOptions)) -> Result<(), ConnectError> {
        self.0.link.reconfigure(change);
        self.0.link.connect()
    }

    /// Publishes a message, and returns when the server has acknowledged it; with QoS 0, when it
    /// was taken. While the connection is down it waits in the outbox for the next one; while the
    /// outbox is full this waits for room.
    ///
    /// Dropped before it was taken, the message is not sent; afterwards it goes its way.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, publish: Publish<'_>) -> Result<PublishOutcome, PublishError> {
        self.enqueue(publish).await?.await
    }

    /// Publishes a message, and returns when it was taken: while the outbox is full this waits for
    /// room, but not for the acknowledgement, which the result stands for.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn enqueue(&self, publish: Publish<'_>) -> Result<Publishing, PublishError> {
        let message = publish.into_message(clock::now())?;
        loop {
            let rooms = self.0.hub.lock().rooms;
            match self.start(message.clone()) {
                Err(PublishError::NotTaken(PublishRefused::Full)) => {
                    self.watch(|s| (s.rooms != rooms || s.ended.is_some()).then_some(()))
                        .await;
                }
                started => return started,
            }
        }
    }

    /// Publishes a message without waiting: not for the acknowledgement, which the result stands
    /// for and which may be ignored, and not for room.
    ///
    /// # Errors
    /// The message was not taken; [`PublishRefused::Full`] among the reasons.
    pub fn publish_nowait(&self, publish: Publish<'_>) -> Result<Publishing, PublishError> {
        self.start(publish.into_message(clock::now())?)
    }

    /// Subscribes to a topic filter, and returns when the server has granted it. Messages that come
    /// before the answer, retained ones often, are in the queue already. While a lost connection is
    /// being made again, this waits for it.
    ///
    /// Dropped earlier, the subscription is ended.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn subscribe(
        &self,
        filter: &str,
        options: impl Into<SubscribeOptions>,
    ) -> Result<Subscription, SubscribeError> {
        self.subscribe_with(Subscribe::new(filter, options)).await
    }

    /// As [`subscribe`](Self::subscribe), with several topic filters, a Subscription Identifier, user
    /// properties, or a subscription that is kept. Some of the filters may be refused:
    /// [`Subscription::codes`] tells.
    ///
    /// # Errors
    /// See [`SubscribeError`]; [`Rejected`](SubscribeError::Rejected) when every filter was refused.
    pub async fn subscribe_with(
        &self,
        subscribe: Subscribe<'_>,
    ) -> Result<Subscription, SubscribeError> {
        let parsed = subscribe.parse()?;
        let hub = &self.0.hub;
        let (queue, asked) = (subscribe.queue(), subscribe.asked());
        let (key, id) = hub.change(|state| state.routes.add(&parsed, queue, asked));
        let filters = parsed.iter().map(|filter| filter.as_str().to_owned());
        let mut subscription = Subscription::new(hub.clone(), key, filters.collect());
        let (plain, identified) = (subscribe.properties(None)?, subscribe.properties(Some(id))?);
        loop {
            let outcome = self
                .request(|inner| {
                    let (now, requests) = (clock::now(), subscribe.requests());
                    if !inner.session.options().version.is_v5() {
                        return inner.subscribe(now, requests, Properties::EMPTY);
                    }
                    match inner.subscribe(now, requests, identified.get()) {
                        // Then messages are told apart by the filters alone.
                        Err(RequestRefused::NotSupported(_)) if asked.is_none() => {
                            inner.subscribe(now, requests, plain.get())
                        }
                        other => other,
                    }
                })
                .await;
            if self.is_worth_another_try(&outcome).await {
                continue;
            }
            match answers(outcome?) {
                Ok(codes) => subscription.grant(codes, subscribe.is_kept()),
                Err(error) => {
                    // There is nothing to end on the server.
                    if matches!(error, SubscribeError::Rejected { .. }) {
                        let _ = subscription.detach();
                    }
                    return Err(error);
                }
            }
            return Ok(subscription);
        }
    }

    /// Ends a subscription, and returns when the server has confirmed it. Messages that are still in
    /// its queue are discarded. Dropping a [`Subscription`] does the same without waiting, unless it
    /// is kept. Returns the server's answers, one for each filter that no other subscription has.
    ///
    /// # Errors
    /// See [`SubscribeError`]. The subscription is gone in any case.
    pub async fn unsubscribe(
        &self,
        subscription: Subscription,
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        let filters = subscription.detach();
        if filters.is_empty() {
            return Ok(Vec::new()); // others have them all
        }
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        self.unsubscribe_from(&filters).await
    }

    /// Has the server end the subscriptions to these filters, whoever made them: an earlier process
    /// with the same session, too. Returns its answers, one for each. A [`Subscription`] of this client
    /// with such a filter stays, and gets nothing more for it.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn unsubscribe_from(
        &self,
        filters: &[&str],
    ) -> Result<Vec<ReasonCode>, SubscribeError> {
        let outcome = self
            .request(|inner| inner.unsubscribe(clock::now(), filters, Properties::EMPTY))
            .await;
        answers(outcome?)
    }

    /// Disconnects, and returns when the connection is over. There is no automatic reconnection
    /// afterwards: the client has ended.
    ///
    /// What was sent before has left by then, if the server took it within 5 s: all of QoS 0, and of
    /// the others what the window had room for. Acknowledgements are not waited for; for certainty
    /// wait for the publishes first.
    ///
    /// Dropped earlier, it goes on in the background.
    pub async fn disconnect(&self) {
        // A plain DISCONNECT is never refused.
        let _ = self
            .0
            .link
            .disconnect(ReasonCode::SUCCESS, Properties::EMPTY);
        self.closed().await;
    }

    /// As [`disconnect`](Self::disconnect), with a reason code such as
    /// [`ReasonCode::DISCONNECT_WITH_WILL`] and properties.
    ///
    /// # Errors
    /// The reason or the properties can't be in a DISCONNECT; the connection goes on.
    pub async fn disconnect_with(
        &self,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) -> Result<(), RequestRefused> {
        self.0.link.disconnect(reason, properties.get())?;
        self.closed().await;
        Ok(())
    }

    /// Returns when the client has ended, and why: disconnected, or lost and not to be made again.
    pub async fn closed(&self) -> Ended {
        self.watch(|state| state.ended.clone()).await
    }

    /// What the client is doing.
    pub fn status(&self) -> Status {
        self.0.hub.lock().status
    }

    /// Whether the server went on with the session when it accepted the last connection. Always false
    /// in MQTT 3.1, which has no such flag.
    pub fn session_present(&self) -> bool {
        self.0.hub.lock().resumed
    }

    /// Returns when the status is one that `is_it` says yes to. A status that passes quickly may not
    /// be seen. Returns in any case when the client has ended.
    pub async fn wait_for(&self, mut is_it: impl FnMut(Status) -> bool) -> Status {
        self.watch(|s| (is_it(s.status) || s.ended.is_some()).then_some(s.status))
            .await
    }

    /// Acknowledges a message, when the options say that the application does it
    /// ([`Acknowledge::Manual`](ternmq_protocol::client::Acknowledge::Manual)). False when nothing
    /// waits for it: QoS 0, acknowledged already, or its connection (QoS 1) or its session (QoS 2) has
    /// ended.
    pub fn acknowledge(&self, message: &Received, reason: ReasonCode) -> bool {
        self.0.link.acknowledge(message.incoming().delivery, reason)
    }

    /// The server's next AUTH, when CONNECT named an Authentication Method (section 4.12); `None` when
    /// the client has ended. To be answered with [`authenticate`](Self::authenticate), also before the
    /// connection is accepted: begin with [`open`](Self::open) then.
    pub async fn challenge(&self) -> Option<Challenge> {
        let look = |state: &hub::State| state.challenge.is_some() || state.ended.is_some();
        self.watch(|state| look(state).then_some(())).await;
        self.0.hub.lock().challenge.take()
    }

    /// Sends AUTH: the answer to a [`challenge`](Self::challenge), or the beginning of a new
    /// authentication on an accepted connection.
    ///
    /// # Errors
    /// See [`ClientSession::authenticate`](ternmq_protocol::client::ClientSession::authenticate).
    pub fn authenticate(
        &self,
        reason: ReasonCode,
        properties: &PropertiesBuf,
    ) -> Result<(), RequestRefused> {
        self.0
            .link
            .session(|now, session| session.authenticate(now, reason, properties.get()))
    }

    /// Gives the file of the outbox back, for the next client. To be called once this one has ended; what
    /// it publishes afterwards is not kept.
    pub fn close_outbox(&self) {
        drop(self.0.link.take_journal());
    }

    /// What there is to know of the outbox in a file, if there is one: what could not be written, and why.
    pub fn outbox(&self) -> Option<Arc<OutboxStatus>> {
        self.0.outbox.clone()
    }

    /// The client identifier; the one that the server assigned, once it has (MQTT 5.0).
    pub fn client_id(&self) -> String {
        self.0
            .link
            .session(|_, session| session.options().client_id.clone())
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.0.link.stats();
        stats.unclaimed_dropped = self.0.hub.lock().routes.unclaimed_dropped;
        stats
    }

    fn start(&self, message: Message) -> Result<Publishing, PublishError> {
        let hub = &self.0.hub;
        let token = self.0.link.with(|now, inner| {
            hub.begin(inner, PublishError::Closed, |inner| {
                Ok(inner.publish(now, message)?)
            })
        })?;
        let completion = (token != Token::NONE).then(|| Completion::new(hub.clone(), token));
        Ok(Publishing::new(completion))
    }

    async fn request(
        &self,
        send: impl FnOnce(&mut Inner) -> Result<Token, RequestRefused>,
    ) -> Result<Outcome, SubscribeError> {
        let hub = &self.0.hub;
        let token = self
            .0
            .link
            .with(|_, inner| hub.begin(inner, SubscribeError::Closed, |inner| Ok(send(inner)?)))?;
        let mut completion = Completion::new(hub.clone(), token);
        Ok(poll_fn(|context| completion.poll(context)).await)
    }

    /// Whether a request failed for lack of a connection, and there is one again.
    async fn is_worth_another_try(&self, outcome: &Result<Outcome, SubscribeError>) -> bool {
        let lost = matches!(
            outcome,
            Err(SubscribeError::NotSent(RequestRefused::NotConnected))
                | Ok(Outcome::Dropped(DropReason::ConnectionLost))
        );
        lost && self.wait_for(|status| status == Status::Connected).await == Status::Connected
    }

    async fn watch<R>(&self, mut look: impl FnMut(&hub::State) -> Option<R>) -> R {
        poll_fn(|context| self.0.hub.poll_watch(context, &mut look)).await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.hub.part(self.link.clone(), |link| {
            let _ = link.disconnect(ReasonCode::SUCCESS, Properties::EMPTY);
        });
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
