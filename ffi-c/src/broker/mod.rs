//! A broker behind a C handle, and the threads that call the application back.

mod hooks;
mod listener;
mod options;
mod tell;

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use ternmq_broker::{Broker, ListenerConfig, LocalOptions, LocalSubscription, SubscribeError};

use crate::callback::Callback;
use crate::signals;
use crate::types::broker::*;

/// Events of clients that wait for the application. One more is lost, and counted by the broker.
const EVENTS: usize = 4096;

/// Local subscriptions of one broker, each of which has a thread.
const SUBSCRIPTIONS: usize = 64;

/// What a handle leads to.
pub(crate) struct Embedded {
    /// Tells this broker from others, for the threads that are inside one of its callbacks.
    number: u64,
    /// Of each listener, 0 where there is none.
    ports: Vec<c_int>,
    running: Mutex<Option<Running>>,
}

struct Running {
    broker: Arc<Broker>,
    subscriptions: Vec<Listening>,
    events: Option<JoinHandle<()>>,
}

struct Listening {
    subscription: Arc<LocalSubscription>,
    thread: JoinHandle<()>,
}

thread_local! {
    /// The brokers whose callbacks this thread is in.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Runs a callback of a broker.
fn inside<R>(number: u64, call: impl FnOnce() -> R) -> R {
    INSIDE.with_borrow_mut(|inside| inside.push(number));
    let result = call();
    INSIDE.with_borrow_mut(|inside| inside.pop());
    result
}

impl Embedded {
    /// Starts a broker.
    ///
    /// # Errors
    /// The code, and what is wrong in words.
    pub(crate) fn start(options: &ternmq_broker_options) -> Result<Self, (c_int, String)> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let mut config = options::config(options)?;
        hooks::install(&mut config, options, number);
        let told = Callback::new(options.told, options.context);
        let events = told.map(|_| sync_channel(EVENTS));
        let (sender, receiver) = events.unzip();
        config.client_events = sender;
        let not_started = |text| (TERNMQ_BROKER_NOT_STARTED, text);
        let is_ip = |listener: &ListenerConfig| listener.address.ip().is_some();
        let have_ports: Vec<bool> = config.listeners.iter().map(is_ip).collect();
        let broker = signals::blocked(|| Broker::start(config));
        let broker = broker.map_err(|error| not_started(error.to_string()))?;
        let events = match (told, receiver) {
            (Some(told), Some(receiver)) => {
                let run = move || tell::events(number, told, &receiver);
                let thread =
                    signals::blocked(|| Builder::new().name("ternmq-c-events".into()).spawn(run));
                Some(thread.map_err(|error| not_started(error.to_string()))?)
            }
            _ => None,
        };
        let mut addresses = broker.local_addrs().into_iter();
        let mut port = |has| match has {
            true => addresses.next().map_or(0, |at| at.port().into()),
            false => 0,
        };
        Ok(Self {
            number,
            ports: have_ports.into_iter().map(&mut port).collect(),
            running: Mutex::new(Some(Running {
                broker: Arc::new(broker),
                subscriptions: Vec::new(),
                events,
            })),
        })
    }

    /// The port of the first listener that has one, else 0.
    pub(crate) fn port(&self) -> c_int {
        let mut ports = self.ports.iter();
        ports.find(|port| **port != 0).copied().unwrap_or_default()
    }

    /// The port of a listener, 0 for a Unix socket.
    ///
    /// # Errors
    /// [`TERNMQ_BROKER_BAD_ARGUMENT`] when there is no such listener.
    pub(crate) fn port_of(&self, listener: c_int) -> Result<c_int, c_int> {
        let at = usize::try_from(listener).ok();
        let port = at.and_then(|at| self.ports.get(at));
        port.copied().ok_or(TERNMQ_BROKER_BAD_ARGUMENT)
    }

    /// Whether the calling thread is in a callback of this broker.
    pub(crate) fn is_inside(&self) -> bool {
        INSIDE.with_borrow(|inside| inside.contains(&self.number))
    }

    /// The broker, while it runs. Nothing of this is locked meanwhile.
    ///
    /// # Errors
    /// [`TERNMQ_BROKER_BAD_HANDLE`] when it is being stopped.
    pub(crate) fn broker(&self) -> Result<Arc<Broker>, c_int> {
        let running = self.lock();
        let running = running.as_ref().ok_or(TERNMQ_BROKER_BAD_HANDLE)?;
        Ok(running.broker.clone())
    }

    /// Has a callback called with each message that matches.
    pub(crate) fn subscribe(
        &self,
        filter: &str,
        retained: bool,
        arrived: Callback<ternmq_broker_arrived>,
    ) -> Result<(), c_int> {
        let options = LocalOptions {
            retained,
            ..LocalOptions::default()
        };
        // Asks a shard and waits for it: never under the lock.
        let subscription = self.broker()?.subscribe(filter, options);
        let subscription = Arc::new(subscription.map_err(|error| match error {
            SubscribeError::Filter(_) => TERNMQ_BROKER_BAD_ARGUMENT,
            SubscribeError::Full => TERNMQ_BROKER_FULL,
            SubscribeError::Stopped => TERNMQ_BROKER_BAD_HANDLE,
        })?);
        let mut running = self.lock();
        let running = running.as_mut().ok_or(TERNMQ_BROKER_BAD_HANDLE)?;
        if running.subscriptions.len() >= SUBSCRIPTIONS {
            return Err(TERNMQ_BROKER_FULL);
        }
        let (number, source) = (self.number, subscription.clone());
        let run = move || tell::messages(number, arrived, &source);
        let thread =
            signals::blocked(|| Builder::new().name("ternmq-c-messages".into()).spawn(run));
        let thread = thread.map_err(|_| TERNMQ_BROKER_FULL)?;
        running.subscriptions.push(Listening {
            subscription,
            thread,
        });
        Ok(())
    }

    /// Ends the broker and every callback. Its handle leads nowhere any more.
    pub(crate) fn stop(&self) -> c_int {
        let Some(running) = self.lock().take() else {
            return TERNMQ_BROKER_BAD_HANDLE;
        };
        let Running {
            mut broker,
            subscriptions,
            events,
        } = running;
        // A call that is under way on another thread has it for a moment.
        let broker = loop {
            match Arc::try_unwrap(broker) {
                Ok(broker) => break broker,
                Err(shared) => broker = shared,
            }
            std::thread::yield_now();
        };
        let stopped = signals::blocked(|| broker.stop());
        for listening in subscriptions {
            listening.subscription.close();
            // A panic in it has been told.
            let _ = listening.thread.join();
        }
        // With the last of them the channel of events has ended.
        let _ = events.map(JoinHandle::join);
        match stopped {
            Ok(()) => TERNMQ_BROKER_SUCCESS,
            Err(_) => TERNMQ_BROKER_FAILURE,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is handed to C as a pointer to bytes.
fn address<T>(bytes: &[T]) -> *const c_void {
    bytes.as_ptr().cast()
}
