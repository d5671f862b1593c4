//! Reading from a subscription of the blocking client.

use std::sync::{Arc, Mutex, TryLockError, Weak};

use pyo3::prelude::*;
use pyo3::types::PyList;
use ternmq_client::blocking::block_until;
use ternmq_client::{Client, ReasonCode, Received, SubscribeError, Subscription};
use ternmq_protocol::client::Delivery;

use crate::argument;
use crate::blocking::{ended, lock};
use crate::errors;
use crate::gil;
use crate::message::{Message, Recipient};
use crate::session::check_acknowledgement;
use crate::wait::{in_slices, seconds, wait};

thread_local! {
    /// Stands for this thread; gone when it has ended.
    static READER: Arc<()> = Arc::default();
}

/// A subscription and what was read from it and not acknowledged yet, by thread.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct BlockingSubscription {
    subscription: Mutex<Option<Subscription>>,
    held: Mutex<Vec<(Weak<()>, Received)>>,
    client: Client,
    ending: Ending,
    codes: Vec<u8>,
    process: u32,
}

/// What becomes of a subscription, and of its messages, when it is left.
pub(crate) struct Ending {
    /// It goes on with the server.
    pub(crate) keep: bool,
    /// The session outlives the connection, so what is not acknowledged comes again with the next.
    pub(crate) lasting: bool,
    /// Messages are acknowledged by hand.
    pub(crate) manual: bool,
}

/// What came of waiting for messages.
enum Next {
    Messages(Vec<Received>),
    /// The client has ended, or the subscription.
    Ended,
}

#[pymethods]
impl BlockingSubscription {
    /// The server's answers, one for each filter.
    #[getter]
    fn codes(&self) -> Vec<u16> {
        self.codes.iter().map(|code| (*code).into()).collect()
    }

    /// Messages that have come in and were not taken yet; 0 while another thread waits for one.
    #[getter]
    fn waiting(&self, py: Python<'_>) -> PyResult<usize> {
        self.check_process(py)?;
        Ok(match self.subscription.try_lock() {
            Ok(open) => open.as_ref().map_or(0, Subscription::waiting),
            Err(_) => 0,
        })
    }

    /// The next messages, at least one and at most `most`; None when none came in time, an empty
    /// list when none will come. What this thread has got before is acknowledged.
    fn take<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = argument::most)] most: usize,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let (this, py) = (slf.get(), slf.py());
        this.check_process(py)?;
        this.finish_thread();
        let next = match this.at_once(most) {
            Some(next) => Some(next),
            None => in_slices(py, seconds(timeout)?, |until| {
                let mut subscription = lock(&this.subscription);
                let Some(open) = subscription.as_mut() else {
                    return Some(Next::Ended);
                };
                Some(match block_until(open.next(), Some(until))? {
                    None => Next::Ended,
                    Some(first) => Next::Messages(with_more(open, vec![first], most)),
                })
            })?,
        };
        let Some(next) = next else { return Ok(None) };
        let list = PyList::empty(py);
        if let Next::Messages(messages) = next {
            for received in messages {
                list.append(match this.ending.manual {
                    false => Message::new(received.incoming()),
                    true => {
                        let to = Recipient::Blocking(slf.clone().unbind());
                        Message::manual(received.incoming(), to)
                    }
                })?;
                this.hold(received);
            }
        }
        Ok(Some(list))
    }

    /// Why no message will come: raises that, or returns when the client has ended itself.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        match ended(py, &self.client) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Ends the subscription. `finished`: what came counts as dealt with, else it stays
    /// unacknowledged if the session outlives the connection. `wait_for`: the server's answer too, which
    /// is returned, a code for each filter that no other subscription has; None when it did not come in
    /// time.
    fn close(
        &self,
        py: Python<'_>,
        finished: bool,
        wait_for: bool,
        timeout: Option<f64>,
    ) -> PyResult<Option<Vec<u16>>> {
        self.check_process(py)?;
        let taken = gil::released(py, || lock(&self.subscription).take());
        let Some(mut subscription) = taken else {
            return Ok(Some(Vec::new()));
        };
        self.settle(&mut subscription, finished, self.ending.keep && !wait_for);
        if !wait_for {
            drop(subscription);
            return Ok(Some(Vec::new()));
        }
        let answered = wait(py, seconds(timeout)?, self.client.unsubscribe(subscription))?;
        Ok(answered.map(|answer| match answer {
            Ok(codes) | Err(SubscribeError::Rejected { codes, .. }) => numbers(&codes),
            // The connection has ended, and the subscription with it: that is what was wanted.
            Err(_) => Vec::new(),
        }))
    }

    /// Ends the subscription here; the server has been told.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        let taken = gil::released(py, || lock(&self.subscription).take());
        if let Some(mut subscription) = taken {
            self.settle(&mut subscription, true, false);
            subscription.forget();
        }
        Ok(())
    }
}

impl BlockingSubscription {
    pub(crate) fn new(subscription: Subscription, client: Client, ending: Ending) -> Self {
        let codes = subscription.codes().iter().map(|code| code.0).collect();
        Self {
            subscription: Some(subscription).into(),
            held: Mutex::default(),
            client,
            ending,
            codes,
            process: std::process::id(),
        }
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        let text = "the subscription was made in the process that forked";
        errors::check_process(py, self.process, text)
    }

    /// Acknowledges what came, unless it was not dealt with and the server would send it again. Left
    /// to itself it would hold up the acknowledgements of all later messages [MQTT-4.6.0-2].
    ///
    /// `keep`: what was not read is for the next subscription.
    fn settle(&self, subscription: &mut Subscription, finished: bool, keep: bool) {
        let held: Vec<_> = lock(&self.held).drain(..).collect();
        // Who acknowledges by hand has said of each message that it was dealt with.
        if (finished && !self.ending.manual) || !self.ending.lasting {
            held.iter()
                .for_each(|(_, received)| self.acknowledge(received));
            if !keep || !self.ending.lasting {
                let mut rest = Vec::new();
                subscription.take_all(&mut rest);
                rest.iter().for_each(|received| self.acknowledge(received));
                if keep {
                    subscription.put_back(rest);
                }
            }
        }
    }

    /// What waits, without giving the interpreter lock away; `None` when that is nothing.
    fn at_once(&self, most: usize) -> Option<Next> {
        let mut subscription = match self.subscription.try_lock() {
            Ok(subscription) => subscription,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let open = subscription.as_mut()?;
        let messages = with_more(open, Vec::new(), most);
        (!messages.is_empty()).then_some(Next::Messages(messages))
    }

    fn hold(&self, received: Received) {
        if received.incoming().packet_id != 0 {
            lock(&self.held).push((READER.with(Arc::downgrade), received));
        }
    }

    /// Acknowledges one message by hand. False when nothing waits for it.
    pub(crate) fn acknowledge_one(
        &self,
        py: Python<'_>,
        delivery: Delivery,
        reason: ReasonCode,
    ) -> PyResult<bool> {
        check_acknowledgement(reason)?;
        self.check_process(py)?;
        let mut held = lock(&self.held);
        let found = held
            .iter()
            .position(|(_, received)| received.incoming().delivery == delivery);
        let Some(at) = found else { return Ok(false) };
        let (_, received) = held.remove(at);
        drop(held);
        Ok(self.client.acknowledge(&received, reason))
    }

    /// Acknowledges what this thread has got before, and what threads have got that ended since.
    fn finish_thread(&self) {
        if self.ending.manual {
            return;
        }
        let mut held = lock(&self.held);
        if !held.is_empty() {
            let this = READER.with(Arc::downgrade);
            held.retain(|(reader, received)| {
                let done = reader.ptr_eq(&this) || reader.strong_count() == 0;
                if done {
                    self.acknowledge(received);
                }
                !done
            });
        }
    }

    fn acknowledge(&self, received: &Received) {
        // False would mean that nothing is owed any more: the connection has ended.
        let _ = received.incoming().packet_id == 0
            || self.client.acknowledge(received, ReasonCode::SUCCESS);
    }
}

impl Drop for BlockingSubscription {
    fn drop(&mut self) {
        let taken = lock(&self.subscription).take();
        if self.process != std::process::id() {
            // Its locks may be held for ever here, by threads that this process has not got.
            std::mem::forget(taken);
        } else if let Some(mut subscription) = taken {
            self.settle(&mut subscription, false, self.ending.keep);
        }
    }
}

/// Reason codes as Python has them.
pub(crate) fn numbers(codes: &[ReasonCode]) -> Vec<u16> {
    codes.iter().map(|code| code.0.into()).collect()
}

fn with_more(open: &mut Subscription, mut messages: Vec<Received>, most: usize) -> Vec<Received> {
    while messages.len() < most {
        match open.try_next() {
            Some(received) => messages.push(received),
            None => break,
        }
    }
    messages
}
