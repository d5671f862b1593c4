//! `ternmq trace`: what goes over the connections of one client, as a file that Wireshark opens. The server makes the
//! file's blocks and sends them through its control socket; the command writes them down, so that the server
//! writes nowhere and a command that is gone ends its trace.

mod command;
mod packets;
mod pcapng;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use ternmq_broker::{Trace, Traced, Tracer};

pub(crate) use command::{TraceArgs, run};
use packets::Connections;

/// The longest that a trace may be, and the most that it may hold.
pub(crate) const MAX_SECONDS: u64 = 86_400;
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// How soon it is seen that whoever wanted a trace is gone.
const LOOK: Duration = Duration::from_millis(200);

/// What the file says of itself.
const COMMENT: &str = "MQTT of one client as its server read and wrote it, without TLS and WebSockets. \
    Passwords and authentication data are written over with asterisks. TCP and IP are made up around it: \
    addresses, ports and times are real, segments, retransmissions and window sizes are not.";

/// What is to be traced, until when, and how much of it.
pub(crate) struct Wanted {
    pub(crate) client_id: String,
    pub(crate) seconds: u64,
    pub(crate) bytes: u64,
}

impl Wanted {
    /// From a request to the server.
    fn read(request: &Value) -> Option<Self> {
        Some(Self {
            client_id: request["trace"].as_str()?.to_owned(),
            seconds: request["seconds"].as_u64()?.min(MAX_SECONDS),
            bytes: request["bytes"].as_u64()?.min(MAX_BYTES),
        })
    }

    pub(crate) fn request(&self) -> Value {
        json!({ "trace": self.client_id, "seconds": self.seconds, "bytes": self.bytes })
    }
}

/// Answers a request for a trace, on a thread of its own; false when it is about something else.
pub(crate) fn answer(request: &Value, tracer: Option<&Tracer>, stream: &UnixStream) -> bool {
    if request["trace"].is_null() {
        return false;
    }
    let begun = begin(request, tracer, stream);
    if let Err(error) = begun {
        // Whoever has gone needs no answer.
        let _ = writeln!(&mut &*stream, "{}", json!({ "error": error }));
    }
    true
}

fn begin(request: &Value, tracer: Option<&Tracer>, stream: &UnixStream) -> Result<(), String> {
    let wanted = Wanted::read(request).ok_or("not a request that this server knows")?;
    let tracer = tracer.ok_or("the server does not serve yet")?;
    let trace = tracer
        .trace(&wanted.client_id)
        .map_err(|error| error.to_string())?;
    let stream = stream.try_clone().map_err(|error| error.to_string())?;
    let send = move || {
        // Whoever has gone wants no more of it.
        let _ = Sending::begin(stream, wanted).and_then(|sending| sending.run(&trace));
    };
    let thread = std::thread::Builder::new().name("ternmq-trace".into());
    thread
        .spawn(send)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A file on its way to whoever wants it.
struct Sending {
    stream: UnixStream,
    wanted: Wanted,
    connections: Connections,
    bytes: u64,
    packets: u64,
}

impl Sending {
    fn begin(stream: UnixStream, wanted: Wanted) -> io::Result<Self> {
        let mut sending = Self {
            stream,
            wanted,
            connections: Connections::default(),
            bytes: 0,
            packets: 0,
        };
        writeln!(sending.stream, "{}", json!({ "tracing": true }))?;
        let description = format!("client {:?}", sending.wanted.client_id);
        sending.write(&pcapng::section(COMMENT))?;
        sending.write(&pcapng::interface("ternmq", &description))?;
        Ok(sending)
    }

    /// Until the time is over, the file is as long as it may be, or nobody wants it any more.
    fn run(mut self, trace: &Trace) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(self.wanted.seconds);
        loop {
            let look = Instant::now() + LOOK;
            match trace.next(until.min(look)) {
                Ok(part) => {
                    if !self.tell(&part)? {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => break,
            }
            if Instant::now() >= until || self.is_unwanted() {
                break;
            }
        }
        let end = pcapng::statistics(SystemTime::now(), self.packets, trace.lost());
        self.write(&end)
    }

    /// False when there is no room for it.
    fn tell(&mut self, part: &Traced) -> io::Result<bool> {
        let is_new = self.connections.is_new(part.connection);
        let mut comment = is_new.then(|| about(&self.wanted.client_id, part));
        for packet in self.connections.packets(part) {
            let block = pcapng::packet(part.at, &packet, comment.take().as_deref());
            if self.bytes + block.len() as u64 > self.wanted.bytes {
                return Ok(false);
            }
            self.write(&block)?;
            self.packets += 1;
        }
        Ok(true)
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        self.bytes += block.len() as u64;
        self.stream.write_all(block)
    }

    /// Whether the other end has nothing more to say, which is how it ends a trace.
    fn is_unwanted(&mut self) -> bool {
        let said = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.read(&mut [0]));
        let goes_on = self.stream.set_nonblocking(false).is_ok();
        let nothing_yet = said.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        !(nothing_yet && goes_on)
    }
}

fn about(client_id: &str, part: &Traced) -> String {
    let made_up = match part.peer {
        Some(_) => "",
        None => "; it has no address of IP, those here are made up",
    };
    let number = part.listener.0;
    format!("client {client_id:?}, through listener {number}{made_up}")
}
