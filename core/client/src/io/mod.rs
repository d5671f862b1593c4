//! The IO thread: one per process, serving the sockets of all clients that have none of their own.
//!
//! It is started by the first link and ends with the last one. It sleeps in the kernel until a
//! socket, a timer or an application's thread has something for it: an idle connection costs it
//! nothing but the keep alive. It never looks up names, never runs callbacks, never waits for a lock
//! that is held during more than a system call.

mod attempt;
mod layers;
mod thread;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ternmq_transport::{Poller, Waker};

use crate::fork;
use crate::link::Shared;
use crate::pool::Pools;
use thread::IoThread;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Name lookups that run at a time; more wait for their turn.
const LOOKUPS: usize = 16;

/// What every link holds of the IO thread. The thread ends when nobody holds it any more.
pub(crate) struct Reactor {
    inbox: Arc<Inbox>,
    generation: u32,
}

/// How the other threads reach the IO thread.
struct Inbox {
    mail: Mutex<Mail>,
    waker: Waker,
    ended: AtomicBool,
}

/// At most one entry per link and kind.
#[derive(Default)]
struct Mail {
    links: Vec<Arc<Shared>>,
    resolved: Vec<Resolved>,
}

/// The answer to a name lookup.
struct Resolved {
    link: Weak<Shared>,
    lookup: u64,
    addresses: io::Result<Vec<SocketAddr>>,
}

/// IO threads that run: the process's, another one while that ends, and those that were asked for.
static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Reactor {
    /// The process's IO thread, started if there is none.
    pub(crate) fn get() -> io::Result<Arc<Self>> {
        static CURRENT: Mutex<Weak<Reactor>> = Mutex::new(Weak::new());
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reactor) = current.upgrade().filter(|reactor| reactor.is_here()) {
            return Ok(reactor);
        }
        let reactor = Self::start()?;
        *current = Arc::downgrade(&reactor);
        Ok(reactor)
    }

    /// Another thread, which only those have who hold it.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let poller = Poller::new(EVENTS)?;
        let inbox = Arc::new(Inbox {
            mail: Mutex::default(),
            waker: poller.waker(),
            ended: AtomicBool::new(false),
        });
        let thread = IoThread::new(poller, inbox.clone());
        *running() += 1;
        let started = std::thread::Builder::new()
            .name("ternmq-io".into())
            .spawn(move || {
                let _running = Running;
                thread.run();
            });
        if let Err(error) = started {
            drop(Running);
            return Err(error);
        }
        let generation = fork::generation();
        Ok(Arc::new(Self { inbox, generation }))
    }

    /// Whether the thread is one of this process: false after a fork.
    pub(crate) fn is_here(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Lets the IO thread look at `link`.
    pub(crate) fn attend(&self, link: Arc<Shared>) {
        self.inbox.mail().links.push(link);
        self.inbox.waker.wake();
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.inbox.ended.store(true, Ordering::Release);
        self.inbox.waker.wake();
    }
}

impl Inbox {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a name lookup; the answer comes by mail.
    fn look_up(self: &Arc<Self>, link: Weak<Shared>, lookup: u64, host: String, port: u16) {
        static RESOLVER: Pools = Pools::new("ternmq-dns", LOOKUPS);
        let (inbox, asker) = (self.clone(), link.clone());
        let task = move || {
            use std::net::ToSocketAddrs;
            let addresses = (host.as_str(), port).to_socket_addrs();
            inbox.resolved(asker, lookup, addresses.map(Iterator::collect));
        };
        if RESOLVER.get().run(Box::new(task)).is_err() {
            let error = io::Error::other("no thread for the name lookup");
            self.resolved(link, lookup, Err(error));
        }
    }

    fn resolved(&self, link: Weak<Shared>, lookup: u64, addresses: io::Result<Vec<SocketAddr>>) {
        self.mail().resolved.push(Resolved {
            link,
            lookup,
            addresses,
        });
        self.waker.wake();
    }
}

/// Waits until the IO thread has ended, which it does by itself soon after the last client is gone.
/// False when that took longer than `timeout`, as it does while there are clients.
///
/// For tests, and for whoever unloads the library.
pub fn wait_for_end(timeout: Duration) -> bool {
    let waited = RUNNING
        .1
        .wait_timeout_while(running(), timeout, |count| *count > 0);
    let (count, _) = waited.unwrap_or_else(PoisonError::into_inner);
    *count == 0
}

fn running() -> MutexGuard<'static, usize> {
    RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts an IO thread until it ends, in whichever way.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        *running() -= 1;
        RUNNING.1.notify_all();
    }
}
