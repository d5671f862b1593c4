//! What an operator's programs ask by HTTP: `/metrics`, `/health/live` and `/health/ready`.
//!
//! One request for each connection, GET and HEAD only, a thread for each of few connections, and one limit of
//! time for all that a connection may take: so nobody who can reach the port keeps a thread for long, and no
//! shard is ever waited for by more than that.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ternmq_broker::Tracer;

/// Bytes of a request: what a browser or a proxy sends is a tenth of it.
const HEAD_BYTES: usize = 8 * 1024;

/// Header lines of a request.
const HEADERS: usize = 64;

/// What whoever is refused may still send: closing at once would take the answer from it.
const LEFT_BYTES: usize = 64 * 1024;

/// Pause after a failed accept, which is for lack of descriptors: trying at once would spin.
const RETRY: Duration = Duration::from_millis(100);

/// `[http]`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    #[serde(deserialize_with = "address")]
    pub(crate) address: SocketAddr,
    connections: usize,
    timeout: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9234)),
            connections: 16,
            timeout: 5,
        }
    }
}

fn address<'de, D: serde::Deserializer<'de>>(source: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(source)?;
    crate::cli::address(&text).map_err(serde::de::Error::custom)
}

/// How far the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It does not listen yet.
    Starting,
    /// It listens; not all that it has kept is there again.
    Restoring,
    Ready,
    /// It lets its clients go.
    Draining,
    Stopping,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::Starting,
        Self::Restoring,
        Self::Ready,
        Self::Draining,
        Self::Stopping,
    ];

    /// Whether the thread that has the broker answers questions.
    pub(crate) const fn answers(self) -> bool {
        matches!(self, Self::Restoring | Self::Ready | Self::Draining)
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Restoring => "restoring",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// How far the server is, for all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// It never goes back.
    pub(crate) fn reach(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::SeqCst);
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.0.load(Ordering::SeqCst))]
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Whether it answers at all.
    Life,
    Metrics,
    /// How it is, as JSON.
    Status,
}

/// A question to the thread that has the broker.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) about: About,
    reply: SyncSender<String>,
}

impl Question {
    pub(crate) fn answer(self, page: String) {
        // Whoever asked may have lost patience.
        let _ = self.reply.try_send(page);
    }
}

/// Asks the thread that has the broker; false when that is not there any more, or too busy.
pub(crate) type Ask = Arc<dyn Fn(Question) -> bool + Send + Sync>;

/// How other threads learn how the server is.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) progress: Progress,
    pub(crate) ask: Ask,
    /// Once there is a broker.
    pub(crate) tracer: Arc<OnceLock<Tracer>>,
}

impl Asking {
    pub(crate) fn stage(&self) -> Stage {
        self.progress.stage()
    }

    /// `None` when there is no answer until then.
    pub(crate) fn ask(&self, about: About, until: Instant) -> Option<String> {
        let (reply, answer): (_, Receiver<String>) = sync_channel(1);
        let asked = (self.ask)(Question { about, reply });
        let left = until.saturating_duration_since(Instant::now());
        answer.recv_timeout(left).ok().filter(|_| asked)
    }
}

/// The listener, open until the process ends.
pub(crate) struct Http {
    listener: TcpListener,
    served: Arc<Served>,
}

struct Served {
    table: Table,
    asking: Asking,
    open: AtomicUsize,
}

impl Http {
    /// # Errors
    /// That it can't listen there, in words.
    pub(crate) fn bind(table: Table, asking: Asking) -> Result<Self, String> {
        let at = table.address;
        let listener = TcpListener::bind(at)
            .map_err(|error| format!("http: cannot listen on {at}: {error}"))?;
        let served = Served {
            table,
            asking,
            open: AtomicUsize::new(0),
        };
        Ok(Self {
            listener,
            served: Arc::new(served),
        })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        let at = self.listener.local_addr();
        format!("http://{}", at.unwrap_or(self.served.table.address))
    }

    /// Answers from now on, by threads of its own.
    pub(crate) fn serve(self) -> io::Result<()> {
        let Self { listener, served } = self;
        let accept = move || {
            loop {
                match listener.accept() {
                    Ok((socket, _)) => served.clone().take(socket),
                    Err(_) => thread::sleep(RETRY),
                }
            }
        };
        thread::Builder::new()
            .name("ternmq-http".into())
            .spawn(accept)
            .map(drop)
    }
}

impl Served {
    fn take(self: Arc<Self>, socket: TcpStream) {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.table.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            // Too many to wait for this one: what fits into its socket, or nothing.
            let _ = socket.set_nonblocking(true);
            let _ = (&socket).write_all(Answer::busy("too many connections").head().as_bytes());
            return;
        }
        let serving = self.clone();
        let one = move || {
            let mut connection = Connection {
                until: Instant::now() + Duration::from_secs(serving.table.timeout),
                socket,
            };
            // Whom the answer does not reach needs none.
            let _ = connection.serve(&serving);
            serving.open.fetch_sub(1, Ordering::Relaxed);
        };
        let spawned = thread::Builder::new().name("ternmq-http".into()).spawn(one);
        if spawned.is_err() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn answer(&self, path: &str, until: Instant) -> Answer {
        let stage = self.asking.stage();
        match path {
            "/health/ready" if stage == Stage::Ready => Answer::text(200, "ready\n".into()),
            "/health/ready" => Answer::busy(stage.words()),
            // While it starts and stops, the thread that would answer does that.
            "/health/live" if stage != Stage::Ready => {
                Answer::text(200, format!("{}\n", stage.words()))
            }
            "/health/live" => match self.asking.ask(About::Life, until) {
                Some(page) => Answer::text(200, page),
                None => Answer::busy("the server does not answer"),
            },
            "/metrics" => match self.asking.ask(About::Metrics, until) {
                Some(page) => Answer {
                    kind: "text/plain; version=0.0.4; charset=utf-8",
                    ..Answer::text(200, page)
                },
                None => Answer::busy("the server does not answer"),
            },
            _ => Answer::text(404, "/metrics, /health/live, /health/ready\n".into()),
        }
    }
}

struct Connection {
    socket: TcpStream,
    until: Instant,
}

impl Connection {
    fn serve(&mut self, served: &Served) -> io::Result<()> {
        let answer = match self.request()? {
            Request::Get { path, head_only } => {
                // Some time is left for the answer's way.
                let until = self.until - Duration::from_secs(served.table.timeout) / 5;
                Answer {
                    head_only,
                    ..served.answer(&path, until)
                }
            }
            Request::Wrong(answer) => answer,
        };
        self.write(answer.head().as_bytes())?;
        if !answer.head_only {
            self.write(answer.page.as_bytes())?;
        }
        self.socket.shutdown(Shutdown::Write)?;
        let (mut left, mut scratch) = (LEFT_BYTES, [0; 1024]);
        while left > 0 {
            match self.read(&mut scratch)? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }

    fn request(&mut self) -> io::Result<Request> {
        let mut head = Vec::new();
        let mut scratch = [0; 1024];
        loop {
            let read = match self.read(&mut scratch) {
                Ok(read) => read,
                Err(error) if is_timeout(&error) => {
                    // It gets its answer in a moment that is not its own any more. From now on: this
                    // thread may have been woken late.
                    self.until = Instant::now() + Duration::from_millis(100);
                    return Ok(Request::wrong(408, "too slow\n"));
                }
                Err(error) => return Err(error),
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.extend_from_slice(&scratch[..read]);
            if let Some(request) = parse(&head) {
                return Ok(request);
            }
            if head.len() >= HEAD_BYTES {
                return Ok(Request::wrong(431, "the request is too large\n"));
            }
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(into)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.set_write_timeout(Some(self.left()?))?;
            match self.socket.write(bytes)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

enum Request {
    Get { path: String, head_only: bool },
    Wrong(Answer),
}

impl Request {
    fn wrong(status: u16, text: &str) -> Self {
        Self::Wrong(Answer::text(status, text.to_owned()))
    }
}

/// `None`: the head is not complete.
fn parse(head: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Some(Request::wrong(431, "too many header lines\n"));
        }
        Err(error) => return Some(Request::wrong(400, &format!("{error}\n"))),
    }
    let method = request.method.unwrap_or_default();
    if !matches!(method, "GET" | "HEAD") {
        return Some(Request::wrong(405, "GET and HEAD only\n"));
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(Request::Get {
        path: path.to_owned(),
        head_only: method == "HEAD",
    })
}

struct Answer {
    status: u16,
    kind: &'static str,
    page: String,
    head_only: bool,
}

impl Answer {
    fn text(status: u16, page: String) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            page,
            head_only: false,
        }
    }

    fn busy(why: &str) -> Self {
        Self::text(503, format!("{why}\n"))
    }

    fn head(&self) -> String {
        let words = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let allow = if self.status == 405 {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        format!(
            "HTTP/1.1 {} {words}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.kind,
            self.page.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_slow_is_told_however_late_it_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut connection = Connection {
            socket: listener.accept().unwrap().0,
            until: Instant::now() - Duration::from_secs(1),
        };
        let told = connection.request().unwrap();
        assert!(matches!(told, Request::Wrong(answer) if answer.status == 408));
        connection.write(b"HTTP/1.1 408 ").unwrap();
    }
}
