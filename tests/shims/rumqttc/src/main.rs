//! The shim of rumqttc, a client of another make; tests/shims/README.md describes the lines.
#![allow(missing_docs)]
#![forbid(unsafe_code)]

mod v4;
mod v5;

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use ternmq_test_broker_wire::Line;

/// Shorter than the runner's patience, so that the shim can still say what did not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events of the client that wait for the shim.
const EVENTS: usize = 1000;
/// Requests that wait for the client.
const REQUESTS: usize = 100;

/// What the thread that runs a client has seen.
enum Seen {
    Connected(Line),
    Message(Line),
    Subscribed(Vec<u8>),
    Unsubscribed(Vec<u8>),
    /// A publish is done, with the reason code if this version has one.
    Published(Option<u8>),
    /// The connection ended, by DISCONNECT with this reason.
    Lost(u8),
    Failed(String),
}

/// What both versions' clients take.
trait Requests {
    fn subscribe(&self, line: &Line) -> Result<(), String>;
    fn unsubscribe(&self, filter: String) -> Result<(), String>;
    fn publish(&self, line: &Line) -> Result<(), String>;
    fn disconnect(&self) -> Result<(), String>;
}

/// Runs a connection on a thread of its own until its first error: to go on would be to connect again.
fn watch<E: 'static, F: 'static>(
    mut next: impl FnMut() -> Option<Result<E, F>> + Send + 'static,
    see: fn(E) -> Option<Seen>,
    end_of: fn(F) -> Seen,
) -> Receiver<Seen> {
    let (tell, seen) = sync_channel(EVENTS);
    std::thread::spawn(move || {
        while let Some(event) = next() {
            let end = event.is_err();
            let seen = event.map_or_else(|error| Some(end_of(error)), see);
            if seen.is_some_and(|seen| tell.send(seen).is_err()) || end {
                return;
            }
        }
    });
    seen
}

/// What both versions tell of a message.
fn delivered(topic: &[u8], payload: &[u8], qos: u8, retain: bool, dup: bool) -> Line {
    ok().with("topic", topic)
        .with("payload", payload)
        .with("qos", qos.to_string())
        .with("retain", u8::from(retain).to_string())
        .with("dup", u8::from(dup).to_string())
}

/// The QoS of a field.
fn level<T: Copy>(line: &Line, name: &str, levels: [T; 3]) -> T {
    levels[line.number(name, 0).min(2) as usize]
}

struct Client {
    requests: Box<dyn Requests>,
    seen: Receiver<Seen>,
    inbox: VecDeque<Line>,
    sent: usize,
}

/// The line of an outcome that is not `ok`.
type Outcome = Result<Line, Line>;

impl Client {
    fn connect(line: &Line) -> Result<(Self, Line), Line> {
        let (requests, seen) = match line.number("version", 4) {
            5 => v5::start(line),
            4 => v4::start(line),
            other => return Err(failed(format!("rumqttc has no version {other}"))),
        };
        let mut client = Self {
            requests,
            seen,
            inbox: VecDeque::new(),
            sent: 0,
        };
        let connack = client.wait(|seen| match seen {
            Seen::Connected(line) => Some(line),
            _ => None,
        })?;
        Ok((client, connack))
    }

    /// The first event that `wanted` takes; messages that come before it are kept.
    fn wait<T>(&mut self, wanted: impl Fn(Seen) -> Option<T>) -> Result<T, Line> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok(Seen::Message(line)) => self.inbox.push_back(line),
                Ok(Seen::Failed(what)) => return Err(failed(what)),
                Ok(seen) => {
                    if let Some(found) = wanted(seen) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(Line::of(&["nothing"])),
                Err(RecvTimeoutError::Disconnected) => return Err(failed("it has ended")),
            }
        }
    }

    fn act(&mut self, line: &Line) -> Outcome {
        match line.word(0) {
            "subscribes" => {
                self.requests.subscribe(line).map_err(failed)?;
                let codes = self.wait(|seen| match seen {
                    Seen::Subscribed(codes) => Some(codes),
                    _ => None,
                })?;
                Ok(with_codes(&codes))
            }
            "unsubscribes" => {
                let filter = line.text("filter", "");
                self.requests.unsubscribe(filter).map_err(failed)?;
                let codes = self.wait(|seen| match seen {
                    Seen::Unsubscribed(codes) => Some(codes),
                    _ => None,
                })?;
                Ok(with_codes(&codes))
            }
            "publishes" => {
                self.requests.publish(line).map_err(failed)?;
                let reason = self.published()?;
                Ok(reason.map_or_else(ok, |code| ok().with("reason", code.to_string())))
            }
            "sends" => {
                self.requests.publish(line).map_err(failed)?;
                self.sent += 1;
                Ok(ok())
            }
            "settles" => {
                for _ in 0..std::mem::take(&mut self.sent) {
                    self.published()?;
                }
                Ok(ok())
            }
            "receives" => self.receive(),
            "loses" => {
                let reason = self.lost()?;
                Ok(ok().with("reason", reason.to_string()))
            }
            "disconnects" => {
                self.requests.disconnect().map_err(failed)?;
                self.lost().map(|_| ok())
            }
            other => Err(failed(format!("unknown verb {other}"))),
        }
    }

    fn receive(&mut self) -> Outcome {
        if let Some(line) = self.inbox.pop_front() {
            return Ok(line);
        }
        match self.seen.recv_timeout(PATIENCE) {
            Ok(Seen::Message(line)) => Ok(line),
            Ok(Seen::Failed(what)) => Err(failed(what)),
            Ok(_) => Err(failed("something else came than a message")),
            Err(RecvTimeoutError::Timeout) => Err(Line::of(&["nothing"])),
            Err(RecvTimeoutError::Disconnected) => Err(failed("it has ended")),
        }
    }

    fn published(&mut self) -> Result<Option<u8>, Line> {
        self.wait(|seen| match seen {
            Seen::Published(reason) => Some(reason),
            _ => None,
        })
    }

    fn lost(&mut self) -> Result<u8, Line> {
        self.wait(|seen| match seen {
            Seen::Lost(reason) => Some(reason),
            _ => None,
        })
    }
}

fn ok() -> Line {
    Line::of(&["ok"])
}

fn with_codes(codes: &[u8]) -> Line {
    codes
        .iter()
        .fold(ok(), |line, code| line.with("code", code.to_string()))
}

fn failed(what: impl Into<String>) -> Line {
    Line::of(&["failed"]).with("what", what.into())
}

fn main() {
    let mut client: Option<Client> = None;
    for text in std::io::stdin().lock().lines().map_while(Result::ok) {
        let line = Line::parse(&text).unwrap_or_else(|what| panic!("{what}"));
        let outcome = match &mut client {
            _ if line.word(0) == "connects" => {
                Client::connect(&line).map(|(connected, connack)| {
                    client = Some(connected);
                    connack
                })
            }
            Some(client) => client.act(&line),
            None => Err(failed("not connected yet")),
        };
        let answer = outcome.unwrap_or_else(|line| line);
        let mut out = std::io::stdout().lock();
        // Nobody reads: the runner is gone.
        if writeln!(out, "{answer}")
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}
