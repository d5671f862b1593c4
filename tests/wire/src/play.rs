//! One performance of a script.

use std::collections::BTreeMap;

use ternmq_test_broker_wire::line::Bindings;
use ternmq_test_broker_wire::{self as wire, Line, packet};
use ternmq_test_faces::telling::Version;

use crate::frames::Frames;
use crate::script::{Act, Action, Scram, Script, Step};
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// Where the connection of a section that may be cut anywhere is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many bytes that the client sends in it.
    pub at: usize,
    /// Not at once, but when it is about to send the next byte: after whatever answer it waits for.
    pub late: bool,
}

/// What was seen of the section that may be cut anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Performance {
    /// Bytes that the client has sent in it after each packet.
    pub boundaries: Vec<usize>,
}

impl Performance {
    /// Bytes that the client has sent in all.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.boundaries.last().copied().unwrap_or(0)
    }

    /// Every cut that there is; `bytes` chooses among those inside packets.
    pub fn cuts(&self, bytes: impl Fn(usize) -> bool) -> Vec<Cut> {
        let inside = (0..self.sent()).filter(|at| bytes(*at) && !self.boundaries.contains(at));
        let inside = inside.map(|at| Cut { at, late: false });
        let boundaries = self.boundaries.iter();
        let both = boundaries.flat_map(|at| [false, true].map(|late| Cut { at: *at, late }));
        inside.chain(both).collect()
    }
}

/// Plays a script; without a cut the connection of its section that may be cut anywhere lasts to the
/// end of the section. When all is done, nobody may have got anything that the script does not name.
///
/// # Errors
/// The step that did not go as the script says, and how.
pub fn perform(
    script: &Script,
    version: Version,
    stage: &mut dyn Stage,
    cut: Option<Cut>,
) -> Result<Performance, String> {
    let mut play = Play {
        version,
        stage,
        cut,
        clients: BTreeMap::new(),
        section: None,
        performance: Performance::default(),
    };
    let steps: Vec<&Step> = script.steps(version).collect();
    let mut at = 0;
    while let Some(step) = steps.get(at) {
        let gathered = steps[at..].iter().take_while(|next| {
            let next = &next.action;
            matches!(next.action, Action::Gathers(_)) && next.actor == step.action.actor
        });
        let gathered = gathered.count();
        let played = match gathered {
            0 => play.take(&step.action),
            n => play.gather(&steps[at..at + n]),
        };
        played.map_err(|e| format!("{}.wire:{}: `{}`: {e}", script.name, step.line, step.text))?;
        at += gathered.max(1);
    }
    play.finish()
        .map_err(|e| format!("{}.wire: at the end: {e}", script.name))?;
    Ok(play.performance)
}

struct Play<'a> {
    version: Version,
    stage: &'a mut dyn Stage,
    cut: Option<Cut>,
    clients: BTreeMap<String, Client>,
    section: Option<Section>,
    performance: Performance,
}

struct Client {
    conn: usize,
    level: u8,
    /// The exchange that it has begun.
    scram: Option<wire::Scram>,
    /// The connection lasts, as far as this side knows.
    open: bool,
    sends: bool,
    /// CONNACK has come.
    greeted: bool,
    frames: Frames,
    /// A packet that was looked at and left.
    next: Option<Line>,
    bindings: Bindings,
}

/// The section that may be cut anywhere.
struct Section {
    actor: String,
    sent: usize,
    /// The cut is made: what the client still wanted to do does not happen.
    over: bool,
}

/// What a client finds next.
enum Found {
    Packet(Line),
    End,
    Nothing,
}

impl Play<'_> {
    fn take(&mut self, act: &Act) -> Result<(), String> {
        let actor = act.actor.as_str();
        if let Some(section) = &self.section {
            if section.actor != actor {
                return Err(format!("only {} acts while it may be cut", section.actor));
            }
            if section.over && !matches!(act.action, Action::CutEnds) {
                return Ok(());
            }
        }
        match &act.action {
            Action::Opens(version) => self.open(actor, *version),
            Action::Connects(version, connect, wanted) => {
                self.open(actor, *version)?;
                self.send(actor, connect)?;
                self.expect(actor, wanted, PATIENCE_MS)?;
                if let Some(client) = self.clients.get_mut(actor) {
                    client.greeted = true;
                }
                Ok(())
            }
            Action::Sends(line) => self.send(actor, line),
            Action::SendsBytes(bytes) => self.put(actor, bytes),
            Action::Expects(line) => self.expect(actor, line, PATIENCE_MS),
            Action::Awaits(first, last, line) => {
                let begun = self.stage.now_ms();
                self.expect(actor, line, last + PATIENCE_MS)?;
                let took = self.stage.now_ms() - begun;
                // A loaded machine may be late, never early.
                match took < *first {
                    true => Err(format!("it came after {took} ms")),
                    false => Ok(()),
                }
            }
            Action::MayGet(line, answer) => self.may_get(actor, line, answer.as_ref()),
            Action::Gathers(_) => Ok(()),
            Action::Cuts => self.cut(actor),
            Action::StopsSending => {
                let client = self.client(actor)?;
                client.sends = false;
                let conn = client.conn;
                self.stage.stop_sending(conn);
                Ok(())
            }
            Action::SeesClose => self.see_close(actor),
            Action::Computes(message) => self.compute(actor, message),
            Action::Passes(ms) => self.stage.pass(*ms),
            Action::Drains => self.stage.drain(),
            Action::Restarts => {
                self.stage.restart()?;
                for client in self.clients.values_mut() {
                    client.open = false;
                }
                Ok(())
            }
            Action::CutsAnywhere => {
                self.section = Some(Section {
                    actor: actor.to_owned(),
                    sent: 0,
                    over: false,
                });
                self.performance.boundaries.push(0);
                Ok(())
            }
            Action::CutEnds => self.end_section(),
        }
    }

    fn cut(&mut self, actor: &str) -> Result<(), String> {
        let client = self.client(actor)?;
        client.open = false;
        let conn = client.conn;
        self.stage.cut(conn);
        Ok(())
    }

    fn see_close(&mut self, actor: &str) -> Result<(), String> {
        match self.find(actor, PATIENCE_MS)? {
            Found::End => {
                self.client(actor)?.open = false;
                Ok(())
            }
            Found::Packet(packet) => Err(format!("`{packet}` instead of a close")),
            Found::Nothing => Err("the connection is not closed".into()),
        }
    }

    fn client(&mut self, actor: &str) -> Result<&mut Client, String> {
        let client = self.clients.get_mut(actor).filter(|client| client.open);
        client.ok_or_else(|| format!("{actor} has no connection"))
    }

    fn open(&mut self, actor: &str, version: Option<Version>) -> Result<(), String> {
        let level = version.unwrap_or(self.version).level();
        let conn = self.stage.connect()?;
        let before = self.clients.remove(actor);
        if let Some(before) = before.as_ref().filter(|before| before.open) {
            self.stage.cut(before.conn);
        }
        let client = Client {
            conn,
            level,
            scram: None,
            open: true,
            sends: true,
            greeted: false,
            frames: Frames::new(level),
            next: None,
            bindings: before.map(|before| before.bindings).unwrap_or_default(),
        };
        self.clients.insert(actor.to_owned(), client);
        Ok(())
    }

    fn send(&mut self, actor: &str, line: &Line) -> Result<(), String> {
        let client = match &self.section {
            Some(section) if section.over => return Ok(()),
            _ => self.client(actor)?,
        };
        let bytes = packet::encode(client.level, &line.bound(&client.bindings)?);
        self.put(actor, &bytes)
    }

    /// Sends, up to the cut if it comes here.
    fn put(&mut self, actor: &str, bytes: &[u8]) -> Result<(), String> {
        let conn = self.client(actor)?.conn;
        let Some(section) = &mut self.section else {
            return self.stage.send(conn, bytes);
        };
        let (before, after) = (section.sent, section.sent + bytes.len());
        let here = self.cut.filter(|cut| match cut.late {
            true => cut.at == before,
            false => (before..=after).contains(&cut.at),
        });
        if let Some(cut) = here {
            section.over = true;
            self.stage.send(conn, &bytes[..cut.at - before])?;
            let client = self.client(actor)?;
            client.open = false;
            if client.greeted {
                self.stage.cut(conn);
                return Ok(());
            }
            // A CONNECT on its way might else take over from the next one.
            return self.stage.cut_and_wait(conn);
        }
        section.sent = after;
        self.performance.boundaries.push(after);
        self.stage.send(conn, bytes)
    }

    /// The connection is over at the end of its section in any case.
    fn end_section(&mut self) -> Result<(), String> {
        let Some(section) = self.section.take() else {
            return Err("there is no section to end".into());
        };
        match section.over {
            true => Ok(()),
            false => self.cut(&section.actor),
        }
    }

    fn expect(&mut self, actor: &str, wanted: &Line, most_ms: u64) -> Result<(), String> {
        if self.section.as_ref().is_some_and(|section| section.over) {
            return Ok(());
        }
        match self.find(actor, most_ms)? {
            Found::Packet(packet) => wanted.matches(&packet, &mut self.client(actor)?.bindings),
            Found::End => Err("the broker has closed the connection".into()),
            Found::Nothing => Err("nothing comes".into()),
        }
    }

    fn compute(&mut self, actor: &str, message: &Scram) -> Result<(), String> {
        let client = self.client(actor)?;
        match message {
            Scram::First {
                sha_512,
                user,
                password,
            } => {
                let scram = match sha_512 {
                    true => wire::Scram::sha_512(user, password, actor),
                    false => wire::Scram::sha_256(user, password, actor),
                };
                let first = scram.first().into_bytes();
                client.bindings.insert("first".to_owned(), first);
                client.scram = Some(scram);
            }
            Scram::Last => {
                let challenge = client.bindings.remove("challenge");
                let challenge = challenge.ok_or("nothing is bound to <challenge>")?;
                let scram = client.scram.take().ok_or("there is no first message")?;
                let (last, signature) = scram.last(&challenge);
                for (name, value) in [("last", last), ("signature", signature)] {
                    client.bindings.insert(name.to_owned(), value.into_bytes());
                }
            }
        }
        Ok(())
    }

    fn may_get(&mut self, actor: &str, wanted: &Line, answer: Option<&Line>) -> Result<(), String> {
        let Found::Packet(packet) = self.find(actor, PATIENCE_MS)? else {
            return Ok(());
        };
        let client = self.client(actor)?;
        let mut bindings = client.bindings.clone();
        if wanted.matches(&packet, &mut bindings).is_err() {
            client.next = Some(packet);
            return Ok(());
        }
        client.bindings = bindings;
        answer.map_or(Ok(()), |answer| self.send(actor, answer))
    }

    fn gather(&mut self, steps: &[&Step]) -> Result<(), String> {
        let mut wanted: Vec<&Line> = Vec::new();
        for step in steps {
            if let Action::Gathers(line) = &step.action.action {
                wanted.push(line);
            }
        }
        let actor = steps[0].action.actor.as_str();
        while !wanted.is_empty() {
            let Found::Packet(packet) = self.find(actor, PATIENCE_MS)? else {
                return Err(format!("`{}` does not come", wanted[0]));
            };
            let client = self.client(actor)?;
            let fits = wanted.iter().position(|line| {
                let mut bindings = client.bindings.clone();
                let fits = line.matches(&packet, &mut bindings).is_ok();
                if fits {
                    client.bindings = bindings;
                }
                fits
            });
            let at = fits.ok_or_else(|| format!("nobody asked for `{packet}`"))?;
            wanted.remove(at);
        }
        Ok(())
    }

    fn find(&mut self, actor: &str, most_ms: u64) -> Result<Found, String> {
        let deadline = self.stage.now_ms() + most_ms;
        loop {
            let now = self.stage.now_ms();
            let client = self.client(actor)?;
            if let Some(packet) = client.next.take() {
                return Ok(Found::Packet(packet));
            }
            if let Some(packet) = client.frames.take()? {
                return Ok(Found::Packet(packet));
            }
            if now >= deadline {
                return Ok(Found::Nothing);
            }
            let conn = client.conn;
            match self.stage.receive(conn, deadline - now)? {
                Arrival::Bytes(bytes) => self.client(actor)?.frames.push(&bytes),
                Arrival::End => {
                    return match self.client(actor)?.frames.left() {
                        0 => Ok(Found::End),
                        n => Err(format!("closed after {n} bytes of a packet")),
                    };
                }
                Arrival::Nothing => {}
            }
        }
    }

    /// Whoever is still connected must have got all that there is.
    fn finish(&mut self) -> Result<(), String> {
        let open: Vec<String> = self
            .clients
            .iter()
            .filter(|(_, client)| client.open && client.sends)
            .map(|(actor, _)| actor.clone())
            .collect();
        for actor in open {
            self.send(&actor, &Line::of(&["PINGREQ"]))?;
            self.expect(&actor, &Line::of(&["PINGRESP"]), PATIENCE_MS)
                .map_err(|e| format!("{actor}: {e}"))?;
        }
        Ok(())
    }
}
