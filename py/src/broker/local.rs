//! Subscriptions of this process, without a socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use ternmq_broker::{LocalOptions, LocalOverflow, LocalSubscription, Received, SubscribeError};
use ternmq_protocol::topic::{MAX_TOPIC_LEVELS, TopicFilter, TopicName};

use crate::argument;
use crate::errors;
use crate::message::Message;
use crate::wait::{in_slices, seconds};

/// What comes in for a filter, until `close` or until the object is gone.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct Tap {
    subscription: Mutex<Option<Arc<LocalSubscription>>>,
    forks: u32,
}

impl Tap {
    pub(super) fn new(subscription: LocalSubscription) -> Self {
        Self {
            subscription: Mutex::new(Some(Arc::new(subscription))),
            forks: errors::forks(),
        }
    }

    fn get(&self, py: Python<'_>) -> PyResult<Option<Arc<LocalSubscription>>> {
        self.check_process(py)?;
        Ok(self.lock().clone())
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        let text = "the broker runs in the process that forked";
        errors::check_forks(py, self.forks, text)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<LocalSubscription>>> {
        self.subscription
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Tap {
    /// Up to so many messages, waiting for the first one: an empty list when none came in time, None at
    /// the end.
    fn take(
        &self,
        py: Python<'_>,
        most: usize,
        timeout: Option<f64>,
    ) -> PyResult<Option<Vec<Message>>> {
        let Some(subscription) = self.get(py)? else {
            return Ok(None);
        };
        let first = in_slices(py, seconds(timeout)?, |until| {
            let left = until.saturating_duration_since(Instant::now());
            match subscription.recv_timeout(left) {
                None if subscription.is_closed() => Some(subscription.try_recv()),
                None => None,
                some => Some(some),
            }
        })?;
        let Some(first) = first else {
            return Ok(Some(Vec::new()));
        };
        let rest = std::iter::from_fn(|| subscription.try_recv());
        let all = first.into_iter().chain(rest).take(most.max(1));
        let all: Vec<Message> = all.map(message).collect();
        Ok(Some(all).filter(|all| !all.is_empty()))
    }

    /// Messages dropped because too many waited.
    #[getter]
    fn dropped(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self
            .get(py)?
            .map_or(0, |subscription| subscription.dropped()))
    }

    /// Takes no more messages.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        if let Some(subscription) = self.lock().take() {
            // Ends the waits of other threads.
            subscription.close();
        }
        Ok(())
    }
}

/// Whether a topic name matches a topic filter.
#[pyfunction]
pub(crate) fn topic_matches(
    #[pyo3(from_py_with = argument::filter)] filter: &str,
    #[pyo3(from_py_with = argument::topic)] topic: &str,
) -> PyResult<bool> {
    let wrong = |name: &'static str| {
        move |e: ternmq_protocol::topic::TopicError| PyValueError::new_err(format!("{name}: {e}"))
    };
    let filter = TopicFilter::parse(filter, MAX_TOPIC_LEVELS).map_err(wrong("filter"))?;
    let topic = TopicName::parse(topic, MAX_TOPIC_LEVELS).map_err(wrong("topic"))?;
    Ok(filter.matches(topic))
}

/// With so many messages at most, of which the oldest or the newest give way.
pub(super) fn options(
    messages: usize,
    keep_newest: bool,
    retained: bool,
    watch: bool,
) -> LocalOptions {
    LocalOptions {
        messages,
        overflow: match keep_newest {
            true => LocalOverflow::DropOldest,
            false => LocalOverflow::DropNewest,
        },
        retained,
        watch,
        ..LocalOptions::default()
    }
}

pub(super) fn message(received: Received) -> Message {
    let retain = received.retained || received.message.retain();
    Message::of(received.message, retain, received.publisher)
}

pub(super) fn subscribe_error(error: SubscribeError) -> PyErr {
    match error {
        SubscribeError::Filter(_) => PyValueError::new_err(format!("filter: {error}")),
        SubscribeError::Full | SubscribeError::Stopped => {
            PyRuntimeError::new_err(error.to_string())
        }
    }
}
