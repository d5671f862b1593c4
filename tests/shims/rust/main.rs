//! The shim of the Rust face, over the link that all Rust clients share.
//! `tests/shims/README.md` describes the lines.
#![forbid(unsafe_code)]

mod fields;

use fields::{options, properties, push_properties, requests};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ternmq_client::ConnectError;
use ternmq_client::link::{Event, Link, Silent};
use ternmq_protocol::client::{Connected, Event as SessionEvent, Incoming, Token};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode};
use ternmq_test_broker_wire::Line;

/// Shorter than the runner's patience, so that the shim can still say what did not come.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let mut shim = Shim::default();
    for line in io::stdin().lock().lines() {
        let request = Line::parse(&line?).map_err(io::Error::other)?;
        let answer = shim.act(&request).unwrap_or_else(|bad| bad);
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// An outcome; `Err` is one that is not `ok`.
type Outcome = Result<Line, Line>;

#[derive(Default)]
struct Shim {
    link: Option<Link>,
    version: Option<ProtocolVersion>,
    /// What the link has told and nobody has asked for yet.
    inbox: VecDeque<Incoming>,
    done: BTreeMap<Token, Vec<ReasonCode>>,
    connected: Option<Connected>,
    refused: Option<ConnectError>,
    lost: Option<ReasonCode>,
    sent: Vec<Token>,
}

impl Shim {
    fn act(&mut self, request: &Line) -> Outcome {
        match request.word(0) {
            "connects" => {
                let options = options(request)?;
                self.version = Some(options.session.version);
                let link = Link::open(options, Arc::new(Silent)).map_err(failed)?;
                self.link = Some(link);
                self.connect()
            }
            "reconnects" => self.connect(),
            "subscribes" => self.subscribe(request),
            "unsubscribes" => self.unsubscribe(request),
            "publishes" => {
                let token = self.publish(request)?;
                self.complete(token)
            }
            "sends" => {
                let token = self.publish(request)?;
                self.sent.push(token);
                Ok(ok())
            }
            "settles" => {
                for token in std::mem::take(&mut self.sent) {
                    self.complete(token)?;
                }
                Ok(ok())
            }
            "receives" => self.receive(),
            "loses" => {
                let reason = self.wait(|shim| shim.lost.take())?;
                Ok(ok().with("reason", reason.0.to_string()))
            }
            "disconnects" => self.disconnect(request),
            other => Err(failed(format!("unknown verb {other}"))),
        }
    }

    fn link(&self) -> Result<Link, Line> {
        self.link.clone().ok_or_else(|| failed("not connected"))
    }

    fn connect(&mut self) -> Outcome {
        (self.connected, self.refused, self.lost) = (None, None, None);
        self.link()?.connect().map_err(failed)?;
        let connected = self.wait(|shim| match (shim.connected.take(), shim.refused.take()) {
            (Some(connected), _) => Some(Ok(connected)),
            (None, Some(error)) => Some(Err(error)),
            (None, None) => None,
        })?;
        match connected {
            Ok(connected) => {
                let present = u8::from(connected.session_present);
                let answer = ok().with("session_present", present.to_string());
                Ok(push_properties(answer, connected.properties.get()))
            }
            Err(error) => Err(match error.reason() {
                Some(reason) => {
                    let reason = self.on_the_wire(reason);
                    Line::of(&["refused"]).with("reason", reason.to_string())
                }
                None => failed(error),
            }),
        }
    }

    /// The number that CONNACK had: the client gives the reason codes of MQTT 5 for all versions.
    fn on_the_wire(&self, reason: ReasonCode) -> u8 {
        match reason.0 {
            number if self.version == Some(ProtocolVersion::V5_0) => number,
            0x84 => 1,
            0x85 => 2,
            0x88 => 3,
            0x86 => 4,
            0x87 => 5,
            number => number,
        }
    }

    fn subscribe(&mut self, request: &Line) -> Outcome {
        let requests = requests(request);
        let properties = properties(request, "")?;
        let token = self
            .link()?
            .subscribe(&requests, properties.get())
            .map_err(failed)?;
        self.codes(token)
    }

    fn unsubscribe(&mut self, request: &Line) -> Outcome {
        let filters: Vec<String> = request
            .all("filter")
            .map(|f| String::from_utf8_lossy(f).into_owned())
            .collect();
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let properties = properties(request, "")?;
        let token = self
            .link()?
            .unsubscribe(&filters, properties.get())
            .map_err(failed)?;
        self.codes(token)
    }

    fn codes(&mut self, token: Token) -> Outcome {
        let codes = self.wait(|shim| shim.done.remove(&token))?;
        let add = |line: Line, code: &ReasonCode| line.with("code", code.0.to_string());
        Ok(codes.iter().fold(ok(), add))
    }

    fn publish(&mut self, request: &Line) -> Result<Token, Line> {
        let link = self.link()?;
        let qos = QoS::from_bits(request.number("qos", 0) as u8).ok_or_else(|| failed("qos"))?;
        let message = Message::new(
            &request.text("topic", ""),
            request.get("payload").unwrap_or(b""),
            qos,
            request.number("retain", 0) == 1,
            properties(request, "")?.get(),
            link.session(|now, _| now),
        );
        link.publish(message.map_err(failed)?).map_err(failed)
    }

    /// Waits until a publish is done.
    fn complete(&mut self, token: Token) -> Outcome {
        if token == Token::NONE {
            return Ok(ok());
        }
        let reason = self.wait(|shim| shim.done.remove(&token))?[0];
        let answer = ok().with("reason", reason.0.to_string());
        if reason.0 >= 0x80 {
            return Err(Line {
                words: vec!["refused".into()],
                ..answer
            });
        }
        Ok(answer)
    }

    fn receive(&mut self) -> Outcome {
        let incoming = self.wait(|shim| shim.inbox.pop_front())?;
        let message = &incoming.message;
        let mut answer = ok()
            .with("topic", message.topic())
            .with("payload", message.payload())
            .with("qos", (incoming.qos as u8).to_string())
            .with("retain", u8::from(incoming.retain).to_string())
            .with("dup", u8::from(incoming.dup).to_string());
        for id in incoming.subscription_ids.as_slice() {
            answer = answer.with("subscription_id", id.to_string());
        }
        Ok(push_properties(answer, message.properties()))
    }

    fn disconnect(&mut self, request: &Line) -> Outcome {
        let reason = ReasonCode(request.number("reason", 0) as u8);
        let properties = properties(request, "")?;
        let link = self.link()?;
        link.disconnect(reason, properties.get()).map_err(failed)?;
        self.wait(|shim| shim.lost.take())?;
        Ok(ok())
    }

    /// Takes what the link tells until `look` finds what it looks for.
    fn wait<R>(&mut self, mut look: impl FnMut(&mut Self) -> Option<R>) -> Result<R, Line> {
        let deadline = Instant::now() + PATIENCE;
        let link = self.link()?;
        let mut events = Vec::new();
        loop {
            link.take_events(&mut events);
            events.drain(..).for_each(|event| self.note(event));
            if let Some(found) = look(self) {
                return Ok(found);
            }
            let more = link.wait(Some(deadline), |state| state.has_events().then_some(()));
            more.ok_or_else(|| Line::of(&["nothing"]))?;
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::ConnectFailed { error, .. } => self.refused = Some(error),
            Event::Room | Event::RetryDue | Event::ConnectBegun | Event::RetryPlanned { .. } => {}
            Event::Session(event) => match event {
                SessionEvent::Connected(connected) => self.connected = Some(connected),
                SessionEvent::Message(incoming) => self.inbox.push_back(incoming),
                SessionEvent::Published { token, reason, .. } => {
                    self.done.insert(token, vec![reason]);
                }
                SessionEvent::Subscribed { token, codes, .. }
                | SessionEvent::Unsubscribed { token, codes, .. } => {
                    self.done.insert(token, codes);
                }
                SessionEvent::Dropped { token, .. } => {
                    self.done.insert(token, vec![ReasonCode::UNSPECIFIED_ERROR]);
                }
                SessionEvent::Disconnected { reason, .. } => self.lost = Some(reason),
                SessionEvent::Refused { .. }
                | SessionEvent::Authenticate { .. }
                | SessionEvent::Progress(_)
                | SessionEvent::Sent { .. }
                | SessionEvent::NotSent { .. } => {}
            },
        }
    }
}

fn ok() -> Line {
    Line::of(&["ok"])
}

fn failed(what: impl std::fmt::Display) -> Line {
    Line::of(&["failed"]).with("what", what.to_string())
}
