//! Waiting for many streams at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::listener::Listener;
use crate::pipe::ReadyList;
use crate::stream::Stream;

/// Token of the waker, which no stream may have.
const WAKER: Token = Token(usize::MAX);

/// What happened to a stream since it was reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The token the stream was registered with.
    pub token: usize,
    /// There may be something to read (or to accept).
    pub readable: bool,
    /// There may be room to write; the connection attempt has ended.
    pub writable: bool,
    /// The peer has closed, or the stream has failed: read until 0 bytes or an error, even when a
    /// read gives less than asked, because nothing will be reported again.
    pub closed: bool,
}

/// Waits for streams. Belongs to one thread; [`Poller::waker`] gives the others a way to end its wait.
pub struct Poller {
    poll: Poll,
    events: Events,
    bell: Arc<Bell>,
    pipes: Arc<ReadyList>,
}

/// Ends the wait of a [`Poller`] from any thread.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

/// Has a [`Poller`] report listeners, from any thread.
#[derive(Debug)]
pub struct Registrar {
    registry: mio::Registry,
    /// For listeners that have no socket of this poller's.
    #[cfg(feature = "quic")]
    pipes: Arc<ReadyList>,
}

impl Registrar {
    /// Reports connections that arrive at `listener`, until it is dropped; what waits there already is
    /// reported first. Whoever waits may be told before this returns.
    ///
    /// # Errors
    /// As [`Poller::register`].
    pub fn register_listener(&self, listener: &mut Listener, token: usize) -> io::Result<()> {
        let (registry, token) = (&self.registry, stream_token(token)?);
        match listener {
            #[cfg(feature = "quic")]
            Listener::Quic(quic) => {
                quic.register(&self.pipes, token.0);
                Ok(())
            }
            Listener::Tcp(tcp) => registry.register(tcp, token, Interest::READABLE),
            Listener::Unix(unix) => registry.register(&mut unix.socket, token, Interest::READABLE),
        }
    }
}

/// Rung at most once per wait, and without a system call while the poller is awake anyway.
struct Bell {
    state: AtomicU8,
    waker: mio::Waker,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

impl Poller {
    /// A poller that takes up to `batch` events from the kernel at once.
    ///
    /// # Errors
    /// The process or the system is out of file descriptors.
    pub fn new(batch: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let bell = Arc::new(Bell {
            state: AtomicU8::new(AWAKE),
            waker,
        });
        Ok(Self {
            poll,
            events: Events::with_capacity(batch),
            pipes: Arc::new(ReadyList::new(Waker(bell.clone()))),
            bell,
        })
    }

    /// A handle that ends the wait.
    pub fn waker(&self) -> Waker {
        Waker(self.bell.clone())
    }

    /// Reports `stream` under `token` from now on; what it can do already is reported first.
    ///
    /// # Errors
    /// The kernel refuses, or `token` is `usize::MAX`.
    pub fn register(&self, stream: &mut Stream, token: usize) -> io::Result<()> {
        // Both directions always: in edge-triggered mode a direction that nobody waits for costs
        // nothing, and a full socket needs no further system call to be watched.
        let both = Interest::READABLE | Interest::WRITABLE;
        match stream {
            Stream::Tcp(tcp) => self
                .poll
                .registry()
                .register(tcp, stream_token(token)?, both),
            Stream::Unix(unix) => self
                .poll
                .registry()
                .register(unix, stream_token(token)?, both),
            Stream::Pipe(pipe) => {
                pipe.register(&self.pipes, token);
                Ok(())
            }
            layer => match layer.below_mut() {
                Some(below) => self.register(below, token),
                None => Ok(()),
            },
        }
    }

    /// Reports nothing of `stream` any more. What was taken from the kernel before may still come.
    ///
    /// # Errors
    /// The stream was not registered here.
    pub fn deregister(&self, stream: &mut Stream) -> io::Result<()> {
        match stream {
            Stream::Tcp(tcp) => self.poll.registry().deregister(tcp),
            Stream::Unix(unix) => self.poll.registry().deregister(unix),
            Stream::Pipe(pipe) => {
                pipe.deregister();
                Ok(())
            }
            layer => match layer.below_mut() {
                Some(below) => self.deregister(below),
                None => Ok(()),
            },
        }
    }

    /// As [`Poller::register`], for a socket of datagrams.
    #[cfg(feature = "quic")]
    pub(crate) fn register_datagrams(
        &self,
        socket: &mut mio::net::UdpSocket,
        token: usize,
    ) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(socket, stream_token(token)?, both)
    }

    /// A handle that has listeners reported.
    ///
    /// # Errors
    /// The process or the system is out of file descriptors.
    pub fn registrar(&self) -> io::Result<Registrar> {
        Ok(Registrar {
            registry: self.poll.registry().try_clone()?,
            #[cfg(feature = "quic")]
            pipes: self.pipes.clone(),
        })
    }

    /// Waits until a stream is ready, the waker is used or `timeout` has passed, and appends what
    /// is ready to `ready`. Returns whether the waker was used since the last wait.
    ///
    /// # Errors
    /// The kernel's; an interrupted wait is no error and returns early.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<bool> {
        let asleep = self
            .bell
            .state
            .compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        let timeout = if asleep {
            timeout
        } else {
            Some(Duration::ZERO)
        };
        let polled = self.poll.poll(&mut self.events, timeout);
        let rung = self.bell.state.swap(AWAKE, Ordering::SeqCst) == RUNG;
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        for event in &self.events {
            if event.token() != WAKER {
                ready.push(Ready {
                    token: event.token().0,
                    readable: event.is_readable(),
                    writable: event.is_writable(),
                    closed: event.is_read_closed() || event.is_write_closed() || event.is_error(),
                });
            }
        }
        self.pipes.take(ready);
        Ok(rung)
    }
}

impl Waker {
    /// Ends the wait; costs one system call when the poller sleeps and none when it doesn't.
    pub fn wake(&self) {
        if self.0.state.swap(RUNG, Ordering::SeqCst) == ASLEEP {
            // Fails only when the counter of the event descriptor overflows, which wakes too.
            let _ = self.0.waker.wake();
        }
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

fn stream_token(token: usize) -> io::Result<Token> {
    if Token(token) == WAKER {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this token belongs to the waker",
        ));
    }
    Ok(Token(token))
}
