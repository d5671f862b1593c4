//! One performance of a story: a face, a version, and the real broker or a raw peer in its role.

use crate::face::Face;
use crate::shim::Shim;
use crate::story::{Action, Step, Story, Version};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use ternmq_test_broker_wire::line::Bindings;
use ternmq_test_broker_wire::{Line, Listener, RawPeer};

/// Where the clients of a story go in.
#[derive(Clone, Debug)]
pub struct Door {
    /// The broker.
    pub address: SocketAddr,
    /// Fields of `connects` that say how: `scheme`, and `cafile` for TLS. None for plain TCP.
    pub fields: Vec<(&'static str, String)>,
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            fields: Vec::new(),
        }
    }
}

/// Performs `story`; the clients connect to `broker` unless the story has a raw peer.
///
/// # Errors
/// The step that did not go as the story says, and how.
pub fn perform(
    story: &Story,
    version: Version,
    face: &Face,
    broker: Option<Door>,
) -> Result<(), String> {
    let listener = match story.has_peer() {
        true => Some(Listener::bind().map_err(|e| e.to_string())?),
        false => None,
    };
    let door = match &listener {
        Some(listener) => listener.address().map_err(|e| e.to_string())?.into(),
        None => broker.ok_or("the story needs a broker")?,
    };
    let mut stage = Stage {
        face,
        version,
        door,
        listener,
        peer: None,
        actors: BTreeMap::new(),
        bindings: Bindings::new(),
    };
    for step in story.steps(version) {
        stage
            .act(step)
            .map_err(|e| format!("{}.story:{}: `{}`: {e}", story.name, step.line, step.text))?;
    }
    stage.finish()
}

struct Stage<'a> {
    face: &'a Face,
    version: Version,
    door: Door,
    listener: Option<Listener>,
    peer: Option<RawPeer>,
    actors: BTreeMap<String, Actor>,
    bindings: Bindings,
}

struct Actor {
    shim: Shim,
    /// Beside a raw peer a step of the face goes on while the peer plays its part; its outcome is
    /// looked at before the actor's next step, or at the end.
    unanswered: Option<Unanswered>,
}

struct Unanswered {
    step: String,
    wanted: Option<Line>,
}

impl Stage<'_> {
    fn act(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Face {
                actor,
                request,
                wanted,
            } => self.ask(actor, request, wanted.as_ref(), &step.text),
            Action::Dies { actor } => {
                let gone = self.actors.remove(actor);
                gone.map(drop)
                    .ok_or_else(|| format!("{actor} is not there"))
            }
            Action::PeerExpects(packet) => {
                self.meet_peer()?.expect_line(packet).map_err(|e| e.0)?;
                Ok(())
            }
            Action::PeerSends(packet) => self.meet_peer()?.send_line(packet).map_err(|e| e.0),
            Action::PeerSendsBytes(bytes) => self.meet_peer()?.send_bytes(bytes).map_err(|e| e.0),
            Action::PeerCuts => {
                self.peer.take().ok_or("the peer has no connection")?.cut();
                Ok(())
            }
            Action::PeerSeesClose => {
                let mut peer = self.peer.take().ok_or("the peer has no connection")?;
                peer.expect_close().map_err(|e| e.0)
            }
        }
    }

    /// The connection of the raw peer; it takes the next one that comes when it has none.
    fn meet_peer(&mut self) -> Result<&mut RawPeer, String> {
        if self.peer.is_none() {
            let listener = self.listener.as_ref().expect("a story with a peer has one");
            let level = self.version.level();
            self.peer = Some(listener.accept(level).map_err(|e| e.0)?);
        }
        Ok(self.peer.as_mut().expect("set above"))
    }

    fn ask(
        &mut self,
        name: &str,
        request: &Line,
        wanted: Option<&Line>,
        step: &str,
    ) -> Result<(), String> {
        let mut request = request.bound(&self.bindings)?;
        if request.word(0) == "connects" {
            request = self.complete_connect(request, name);
        }
        if !self.actors.contains_key(name) {
            let actor = Actor {
                shim: Shim::start(self.face.command())?,
                unanswered: None,
            };
            self.actors.insert(name.to_string(), actor);
        }
        let actor = self.actors.get_mut(name).expect("inserted above");
        actor.settle(&mut self.bindings)?;
        actor.shim.ask(&request)?;
        actor.unanswered = Some(Unanswered {
            step: step.to_string(),
            wanted: wanted.cloned(),
        });
        if self.listener.is_none() {
            actor.settle(&mut self.bindings)?;
        }
        Ok(())
    }

    /// Adds where to connect and in which version, and the actor's name as client id.
    fn complete_connect(&self, request: Line, name: &str) -> Line {
        let mut request = request
            .with("host", self.door.address.ip().to_string())
            .with("port", self.door.address.port().to_string())
            .with("version", self.version.level().to_string());
        for (field, value) in &self.door.fields {
            request = request.with(field, value);
        }
        match request.get("client_id") {
            Some(_) => request,
            None => request.with("client_id", name),
        }
    }

    fn finish(mut self) -> Result<(), String> {
        for (name, mut actor) in std::mem::take(&mut self.actors) {
            let in_doubt = actor
                .unanswered
                .as_ref()
                .is_some_and(|u| u.wanted.is_none());
            if in_doubt {
                continue; // killed: the story does not care for the outcome
            }
            actor.settle(&mut self.bindings)?;
            actor
                .shim
                .finish()
                .map_err(|e| format!("at the end, {name}: {e}"))?;
        }
        Ok(())
    }
}

impl Actor {
    fn settle(&mut self, bindings: &mut Bindings) -> Result<(), String> {
        let Some(Unanswered { step, wanted }) = self.unanswered.take() else {
            return Ok(());
        };
        let blame = |e: String| format!("the outcome of `{step}`: {e}");
        let answer = self.shim.answer().map_err(blame)?;
        match wanted {
            Some(wanted) => wanted.matches(&answer, bindings).map_err(blame),
            None => Ok(()),
        }
    }
}
