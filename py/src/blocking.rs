//! The blocking client, over the client's IO thread, which never touches Python.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use ternmq_client::blocking::block_until;
use ternmq_client::{
    Backoff, Client, Ended, Follower, FollowerEnd, News, Opening, PropertyId, Publish,
    PublishError, PublishOutcome, Publishing, QoS, ReasonCode, Status, Subscribe, SubscribeError,
    SubscribeOptions, Value,
};
use ternmq_protocol::client::PublishRefused;
use ternmq_protocol::codec::{PropertiesBuf, SubscriptionOptions};

use crate::argument;
use crate::blocking_subscription::{BlockingSubscription, Ending, numbers};
use crate::bytes::Payload;
use crate::errors;
use crate::gil;
use crate::message::qos_of;
use crate::options::{SessionOptions, needs_v5, retain_handling_of, store_of};
use crate::properties::{self, PublishProperties};
use crate::reach::Reach;
use crate::stats::{count_outbox, counters};
use crate::wait::{in_slices, seconds, wait};

/// How often it is looked whether the outbox is empty.
const LOOK: Duration = Duration::from_millis(5);

/// A reason code and the properties that came with it.
type Answer<'py> = (u8, Option<Bound<'py, PyDict>>);

/// A client that is connected, or was.
#[pyclass(frozen, weakref, module = "ternmq._ternmq")]
pub(crate) struct BlockingClient {
    client: Mutex<Option<Client>>,
    is_v5: bool,
    keeps: bool,
    /// A publish is complete once it is in the outbox.
    durable: bool,
    process: u32,
}

#[pymethods]
impl BlockingClient {
    /// Begins to connect, and tells the news of it. `backoff`: (min, max, jitter, first_connect).
    /// `auth`: each attempt to connect again waits for `retry`.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        reach: Reach<'_>,
        options: &Bound<'_, PyDict>,
        backoff: Option<(f64, f64, f64, bool)>,
        connect_timeout: Option<f64>,
        auth: bool,
    ) -> PyResult<(Self, BlockingNews)> {
        let outbox = store_of(options)?;
        let session = SessionOptions::of(options)?.build()?;
        let is_v5 = session.version.is_v5();
        let keeps = session.keeps_session();
        let durable = outbox.is_some();
        let mut options = reach.options(session.max_packet_size)?;
        options.session = session;
        options.session.publish_offline = backoff.is_some() || durable;
        options.connect_timeout = seconds(connect_timeout)?.unwrap_or(Duration::ZERO);
        options.reconnect = backoff.map(backoff_of).transpose()?;
        let opening = Opening {
            outbox,
            follow: true,
            ask_before_retry: auth,
        };
        let (client, follower) = Client::open_with(options, opening)
            .map_err(|error| errors::connect_error(py, &error))?;
        let news = BlockingNews {
            end: follower.as_ref().map(Follower::ending),
            follower: follower.into(),
        };
        let client = Self {
            client: Some(client).into(),
            is_v5,
            keeps,
            durable,
            process: std::process::id(),
        };
        Ok((client, news))
    }

    /// Waits for the end of the first attempt to connect.
    fn wait_opened(&self, py: Python<'_>) -> PyResult<()> {
        let client = self.get(py)?;
        wait(
            py,
            None,
            client.wait_for(|status| status != Status::Connecting),
        )?;
        let now = Some(std::time::Instant::now());
        match block_until(client.closed(), now) {
            Some(Ended::ConnectFailed(error)) => Err(errors::connect_error(py, &error)),
            _ => Ok(()),
        }
    }

    /// Makes the attempt to connect that the news "retry" tell of, with this Authentication Data.
    fn retry(&self, py: Python<'_>, data: Option<&[u8]>) -> PyResult<()> {
        let client = self.get(py)?;
        let mut changed = Ok(());
        let retried = client.retry(|options| {
            let properties = &mut options.session.properties;
            changed = properties::with_data(properties, data).map(|with| *properties = with);
        });
        changed?;
        retried.map_err(|error| errors::connect_error(py, &error))
    }

    /// Sends AUTH: 0x18 answers the server's, 0x19 begins anew.
    fn authenticate(&self, py: Python<'_>, reason: u8, data: Option<&[u8]>) -> PyResult<()> {
        let mut properties = PropertiesBuf::default();
        properties::push_data(&mut properties, data)?;
        let sent = self.get(py)?.authenticate(ReasonCode(reason), &properties);
        sent.map_err(|refused| errors::request_refused(py, &refused))
    }

    /// The client identifier, that which the server assigned included.
    #[getter]
    fn client_id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.get(py)?.client_id())
    }

    /// Counters, by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.get(py)?.stats();
        let dict = counters(py, &stats.session)?;
        dict.set_item("messages_discarded", stats.unclaimed_dropped)?;
        if let Some(outbox) = self.get(py)?.outbox() {
            count_outbox(&dict, &outbox)?;
        }
        Ok(dict)
    }

    /// Whether there is a connection now.
    #[getter]
    fn connected(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.get(py)?.status() == Status::Connected)
    }

    /// Whether the server went on with the session.
    #[getter]
    fn session_present(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.get(py)?.session_present())
    }

    /// Waits until there is a connection, or there is none; false when that was not in time.
    fn wait_until(&self, py: Python<'_>, connected: bool, timeout: Option<f64>) -> PyResult<bool> {
        let client = self.get(py)?;
        let fits = |status| (status == Status::Connected) == connected;
        let status = wait(py, seconds(timeout)?, client.wait_for(fits))?;
        Ok(status.is_some_and(fits))
    }

    /// Waits until the client has ended: what ended it, False when that was the client itself, None
    /// when it has not ended in time.
    fn closed<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let client = self.get(py)?;
        if wait(py, seconds(timeout)?, client.closed())?.is_none() {
            return Ok(None);
        }
        let error = ended(py, &client).map(|error| error.into_value(py).into_bound(py).into_any());
        Ok(Some(error.unwrap_or_else(|| {
            PyBool::new(py, false).to_owned().into_any()
        })))
    }

    /// Publishes and waits for the answer; None when it did not come in time. `late` is called with the
    /// token of a message that was taken, when this stops waiting for its answer.
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn publish<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::topic)] topic: &str,
        #[pyo3(from_py_with = argument::payload)] payload: Payload<'_>,
        #[pyo3(from_py_with = argument::qos)] qos: u8,
        #[pyo3(from_py_with = argument::retain)] retain: bool,
        #[pyo3(from_py_with = argument::expiry)] expiry: Option<u32>,
        #[pyo3(from_py_with = argument::content_type)] content_type: Option<&str>,
        #[pyo3(from_py_with = argument::response_topic)] response_topic: Option<&str>,
        #[pyo3(from_py_with = argument::correlation_data)] correlation_data: Option<&[u8]>,
        user: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::payload_format)] payload_format: Option<u8>,
        timeout: Option<f64>,
        late: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Answer<'py>>> {
        let properties = PublishProperties {
            expiry,
            content_type,
            response_topic,
            correlation_data,
            user,
            payload_format,
        };
        let properties = self.encode(&properties)?;
        let publish = make(topic, payload.as_slice(), qos, retain, &properties)?;
        let (client, timeout) = (self.get(py)?, seconds(timeout)?);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let publishing = match client.publish_nowait(publish.clone()) {
            Ok(publishing) => publishing,
            Err(PublishError::NotTaken(PublishRefused::Full)) => {
                match wait(py, timeout, client.enqueue(publish))? {
                    None => return Ok(None),
                    Some(Ok(publishing)) => publishing,
                    Some(Err(error)) => return Err(publish_error(py, &client, &error)),
                }
            }
            Err(error) => return Err(publish_error(py, &client, &error)),
        };
        // QoS 0 is done, and not worth giving the interpreter lock away for.
        if qos == 0 || self.durable {
            return Ok(Some((0, None)));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        answer_in(py, client, publishing, left, late)
    }

    /// Publishes without waiting.
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn publish_nowait(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::topic)] topic: &str,
        #[pyo3(from_py_with = argument::payload)] payload: Payload<'_>,
        #[pyo3(from_py_with = argument::qos)] qos: u8,
        #[pyo3(from_py_with = argument::retain)] retain: bool,
        #[pyo3(from_py_with = argument::expiry)] expiry: Option<u32>,
        #[pyo3(from_py_with = argument::content_type)] content_type: Option<&str>,
        #[pyo3(from_py_with = argument::response_topic)] response_topic: Option<&str>,
        #[pyo3(from_py_with = argument::correlation_data)] correlation_data: Option<&[u8]>,
        user: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::payload_format)] payload_format: Option<u8>,
    ) -> PyResult<BlockingToken> {
        let properties = PublishProperties {
            expiry,
            content_type,
            response_topic,
            correlation_data,
            user,
            payload_format,
        };
        let properties = self.encode(&properties)?;
        let publish = make(topic, payload.as_slice(), qos, retain, &properties)?;
        let client = self.get(py)?;
        match client.publish_nowait(publish) {
            Ok(publishing) => Ok(BlockingToken::new(client, publishing)),
            Err(error) => Err(publish_error(py, &client, &error)),
        }
    }

    /// Subscribes and waits for the answer; None when it did not come in time. `filters`: (filter, qos)
    /// pairs.
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn subscribe(
        &self,
        py: Python<'_>,
        filters: Vec<(String, u8)>,
        no_local: bool,
        retain_as_published: bool,
        #[pyo3(from_py_with = argument::retain_handling)] retain_handling: u8,
        #[pyo3(from_py_with = argument::identifier)] identifier: Option<u32>,
        user: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::queue)] queue: usize,
        keep: bool,
        manual: bool,
        timeout: Option<f64>,
    ) -> PyResult<Option<BlockingSubscription>> {
        let options = SubscribeOptions::new(QoS::AtMostOnce).queue(queue);
        let wire = SubscriptionOptions {
            qos: QoS::AtMostOnce,
            no_local,
            retain_as_published,
            retain_handling: retain_handling_of(retain_handling)?,
        };
        let user = properties::user_properties(user)?;
        let asked = identifier.is_some() || wire != options.wire || !user.is_empty();
        needs_v5(!self.is_v5 && asked, "subscription options beside qos")?;
        let asked = Asked {
            filters: &filters,
            options: SubscribeOptions { wire, ..options },
            identifier,
            user: &user,
            keep,
        };
        let client = self.get(py)?;
        let outcome = client.subscribe_with(asked.build()?);
        let outcome = wait(py, seconds(timeout)?, outcome)?;
        match outcome {
            None => Ok(None),
            Some(Ok(subscription)) => Ok(Some(BlockingSubscription::new(
                subscription,
                client,
                Ending {
                    keep,
                    lasting: self.keeps,
                    manual,
                },
            ))),
            Some(Err(error)) => Err(errors::subscribe_error(py, &error)),
        }
    }

    /// Has the server end the subscriptions to these filters; its answers, None when they did not come
    /// in time.
    fn unsubscribe(
        &self,
        py: Python<'_>,
        filters: Vec<String>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Vec<u16>>> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let client = self.get(py)?;
        match wait(py, seconds(timeout)?, client.unsubscribe_from(&filters))? {
            None => Ok(None),
            Some(Ok(codes) | Err(SubscribeError::Rejected { codes, .. })) => {
                Ok(Some(numbers(&codes)))
            }
            Some(Err(error)) => Err(errors::subscribe_error(py, &error)),
        }
    }

    /// Waits until nothing is left in the file of the outbox, or the client has ended; false when that
    /// was not in time. Nobody is told of what an earlier process has left, so it is looked at.
    fn drain_outbox(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let client = self.get(py)?;
        let Some(outbox) = client.outbox() else {
            return Ok(true);
        };
        let is_over = || outbox.kept() == 0 || client.status() == Status::Ended;
        let drained = in_slices(py, seconds(timeout)?, |until| {
            while !is_over() {
                let left = until.checked_duration_since(Instant::now())?;
                std::thread::sleep(left.min(LOOK));
            }
            Some(())
        })?;
        Ok(drained.is_some())
    }

    /// Ends the connection and waits for that.
    fn disconnect(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::reason_code)] reason: u8,
        properties: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let properties = properties::of_farewell(properties)?;
        let asked = reason != 0 || !properties.is_empty();
        needs_v5(!self.is_v5 && asked, "a reason for disconnecting")?;
        let client = self.get(py)?;
        let ending = client.disconnect_with(ReasonCode(reason), &properties);
        match wait(py, None, ending)? {
            Some(Err(refused)) => Err(errors::farewell_refused(py, &refused)),
            _ => {
                client.close_outbox();
                Ok(())
            }
        }
    }
}

impl BlockingClient {
    fn get(&self, py: Python<'_>) -> PyResult<Client> {
        let text = "the client was made in the process that forked";
        errors::check_process(py, self.process, text)?;
        let client = lock(&self.client).clone();
        client.ok_or_else(|| PyRuntimeError::new_err("the client is gone"))
    }

    fn encode(&self, properties: &PublishProperties<'_, '_>) -> PyResult<PropertiesBuf> {
        let properties = properties.encode()?;
        needs_v5(!self.is_v5 && !properties.is_empty(), "publish properties")?;
        Ok(properties)
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        let client = lock(&self.client).take();
        if self.process != std::process::id() {
            std::mem::forget(client);
        }
    }
}

/// A message on its way, or what became of it.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct BlockingToken {
    client: Client,
    progress: Mutex<Progress>,
    forks: u32,
}

impl BlockingToken {
    fn new(client: Client, publishing: Publishing) -> Self {
        Self {
            client,
            progress: Progress::Waiting(publishing).into(),
            forks: errors::forks(),
        }
    }
}

enum Progress {
    Waiting(Publishing),
    Done(Result<PublishOutcome, PublishError>),
}

#[pymethods]
impl BlockingToken {
    /// Waits for the answer; None when it did not come in time.
    fn wait<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Option<Answer<'py>>> {
        let text = "the message was published in the process that forked";
        errors::check_forks(py, self.forks, text)?;
        let outcome = in_slices(py, seconds(timeout)?, |until| {
            let mut progress = lock(&self.progress);
            if let Progress::Waiting(publishing) = &mut *progress {
                *progress = Progress::Done(block_until(publishing, Some(until))?);
            }
            match &*progress {
                Progress::Done(outcome) => Some(outcome.clone()),
                Progress::Waiting(_) => None,
            }
        })?;
        outcome
            .map(|outcome| answer_of(py, &self.client, outcome))
            .transpose()
    }
}

/// What happens to the connection. It does not keep the client.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct BlockingNews {
    follower: Mutex<Option<Follower>>,
    end: Option<FollowerEnd>,
}

#[pymethods]
impl BlockingNews {
    /// Waits for the next change, in a thread that does nothing else: no signal is looked at. None
    /// behind the last one.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let next = gil::released(py, || {
            let mut follower = lock(&self.follower);
            block_until(follower.as_mut()?.next(), None)?
        });
        next.map(|news| news_to_tuple(py, news)).transpose()
    }

    /// There is no next one for whoever waits.
    fn end(&self) {
        if let Some(end) = &self.end {
            end.end();
        }
    }
}

type Waits = (f64, f64, f64, bool);

fn backoff_of((min, max, jitter, first_connect): Waits) -> PyResult<Backoff> {
    Ok(Backoff {
        min: seconds(Some(min))?.unwrap_or_default(),
        max: seconds(Some(max))?.unwrap_or_default(),
        jitter,
        first_connect,
        after_takeover: false,
    })
}

/// What is subscribed to.
struct Asked<'a> {
    filters: &'a [(String, u8)],
    options: SubscribeOptions,
    identifier: Option<u32>,
    user: &'a PropertiesBuf,
    keep: bool,
}

impl<'a> Asked<'a> {
    fn build(&self) -> PyResult<Subscribe<'a>> {
        let mut subscribe: Option<Subscribe<'a>> = None;
        for (filter, qos) in self.filters {
            let mut options = self.options;
            options.wire.qos = qos_of(*qos)?;
            subscribe = Some(match subscribe {
                None => Subscribe::new(filter, options),
                Some(subscribe) => subscribe.filter(filter, options),
            });
        }
        let none = "filters: a subscription needs a topic filter";
        let mut subscribe = subscribe.ok_or_else(|| PyValueError::new_err(none))?;
        if let Some(identifier) = self.identifier {
            let value = Value::VariableByteInteger(identifier);
            let mut properties = PropertiesBuf::default();
            let pushed = properties.push(PropertyId::SubscriptionIdentifier, value);
            pushed.map_err(|error| PyValueError::new_err(format!("identifier: {error}")))?;
            subscribe = subscribe.identifier(identifier);
        }
        for (name, value) in self.user.get().user_properties() {
            subscribe = subscribe.user_property(name, value);
        }
        Ok(match self.keep {
            true => subscribe.keep(),
            false => subscribe,
        })
    }
}

fn news_to_tuple<'py>(py: Python<'py>, news: News) -> PyResult<Bound<'py, PyTuple>> {
    let properties = |of: &PropertiesBuf| properties::to_dict(py, of.get());
    match news {
        News::Connected(connected) => {
            let dict = properties(&connected.properties)?;
            ("connected", connected.session_present, dict).into_pyobject(py)
        }
        News::Lost(why) => ("lost", error_of(py, why)).into_pyobject(py),
        News::AttemptFailed(error) => {
            ("failed", errors::connect_error(py, &error)).into_pyobject(py)
        }
        News::RetryDue => ("retry", py.None()).into_pyobject(py),
        News::Challenge(challenge) => {
            let dict = properties(&challenge.properties)?;
            ("challenge", challenge.reason.0, dict).into_pyobject(py)
        }
        News::Ended(why) => ("closed", error_of(py, why)).into_pyobject(py),
    }
}

fn make<'a>(
    topic: &'a str,
    payload: &'a [u8],
    qos: u8,
    retain: bool,
    properties: &PropertiesBuf,
) -> PyResult<Publish<'a>> {
    let publish = Publish::new(topic, payload)
        .qos(qos_of(qos)?)
        .retain(retain);
    let add = |publish: Publish<'a>, p: ternmq_protocol::codec::Property<'_>| {
        publish.property(p.id, p.value)
    };
    Ok(properties.get().iter().fold(publish, add))
}

/// Waits for the answer; when it did not come in time, or a signal handler raised, `late` gets what
/// stands for it.
fn answer_in<'py>(
    py: Python<'py>,
    client: Client,
    mut publishing: Publishing,
    timeout: Option<Duration>,
    late: &Bound<'_, PyAny>,
) -> PyResult<Option<Answer<'py>>> {
    let outcome = wait(py, timeout, &mut publishing);
    if let Ok(Some(outcome)) = outcome {
        return answer_of(py, &client, outcome).map(Some);
    }
    late.call1((BlockingToken::new(client, publishing),))?;
    outcome.map(|_| None)
}

fn answer_of<'py>(
    py: Python<'py>,
    client: &Client,
    outcome: Result<PublishOutcome, PublishError>,
) -> PyResult<Answer<'py>> {
    match outcome {
        Ok(outcome) if outcome.properties.is_empty() => Ok((outcome.reason.0, None)),
        Ok(outcome) => {
            let properties = properties::to_dict(py, outcome.properties.get())?;
            Ok((outcome.reason.0, Some(properties)))
        }
        Err(error) => Err(publish_error(py, client, &error)),
    }
}

fn publish_error(py: Python<'_>, client: &Client, error: &PublishError) -> PyErr {
    match error {
        PublishError::Closed | PublishError::NotTaken(PublishRefused::NotConnected) => {
            let unknown = || errors::raise(py, "ConnectionLostError", "the client is closed");
            ended(py, client).unwrap_or_else(unknown)
        }
        PublishError::Invalid(error) => errors::not_a_message(*error),
        PublishError::NotTaken(refused) => {
            errors::not_taken(py, *refused, client.outbox().as_deref())
        }
        PublishError::Rejected { reason, properties } => {
            let text = "the server refuses the message";
            errors::raise_with(py, "PublishError", text, *reason, properties)
        }
        PublishError::Dropped(_) => errors::raise(py, "PublishError", error),
        PublishError::Timeout => errors::raise(py, "MqttTimeoutError", error),
    }
}

/// What has ended the client, unless it did so itself or has not ended.
pub(crate) fn ended(py: Python<'_>, client: &Client) -> Option<PyErr> {
    let now = Some(std::time::Instant::now());
    error_of(py, block_until(client.closed(), now)?)
}

/// Nothing when it was the client itself.
fn error_of(py: Python<'_>, ended: Ended) -> Option<PyErr> {
    use ternmq_protocol::client::Cause;
    let lost = |text: &str| Some(errors::raise(py, "ConnectionLostError", text));
    match ended {
        Ended::Disconnected {
            cause: Cause::Local,
            ..
        } => None,
        Ended::Disconnected {
            cause: Cause::Server,
            reason,
            properties,
        } => {
            let (class, text) = ("ConnectionLostError", "the server ended the connection");
            Some(errors::raise_with(py, class, text, reason, &properties))
        }
        Ended::Disconnected {
            cause: Cause::Error(error),
            ..
        } => Some(errors::raise(py, "ProtocolError", error)),
        Ended::Disconnected { .. } => lost("the connection was lost"),
        Ended::ConnectFailed(error) => Some(errors::connect_error(py, &error)),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
