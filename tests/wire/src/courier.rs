//! A small client that delivers and receives as the standard says, whatever happens to its
//! connection, and that can be cut off after any byte in either direction.
//!
//! It is the other half of the promise that nothing is lost: a broker can keep it only with a client
//! that keeps its own half. It shares nothing with the client under test.

use std::collections::{BTreeMap, BTreeSet};

use ternmq_test_broker_wire::{Line, packet};

use crate::frames::Frames;
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snip {
    /// After the client has sent so many bytes: at once, or when it is about to send the next one.
    Up {
        /// Bytes.
        at: usize,
        /// When it is about to send the next one.
        late: bool,
    },
    /// After the client has read so many bytes.
    Down {
        /// Bytes.
        at: usize,
    },
}

/// Why a courier stops.
#[derive(Debug, PartialEq, Eq)]
pub enum Halt {
    /// Its connection was cut where it should be.
    Cut,
    /// Something is wrong.
    Failed(String),
}

impl From<String> for Halt {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

/// A message that is to be delivered.
#[derive(Clone, Debug)]
struct Outgoing {
    id: u16,
    qos: u8,
    payload: String,
    sent: bool,
    released: bool,
}

/// A client with a session that outlives its connections.
pub struct Courier {
    name: &'static str,
    level: u8,
    outgoing: Vec<Outgoing>,
    last_id: u16,
    /// Messages under way at a time.
    window: usize,
    /// QoS 2 messages received and not released, by packet id.
    open: BTreeSet<u16>,
    /// What the broker owes after a cut: messages that came and were not answered, with their payload.
    unanswered: BTreeMap<u16, String>,
    /// PUBREC was sent whole and PUBCOMP was not.
    releases: BTreeSet<u16>,
    /// What the broker owes on this connection, by what was sent whole on the one before.
    owed: Owed,
    /// Payloads of the messages delivered to the application, in order.
    pub delivered: Vec<String>,
    conn: Option<usize>,
    frames: Frames,
    snip: Option<Snip>,
    /// Bytes sent on this connection after each packet.
    pub sent: Vec<usize>,
    /// Bytes received on this connection after each packet.
    pub received: Vec<usize>,
    taken: usize,
}

#[derive(Clone, Debug, Default)]
struct Owed {
    publishes: BTreeMap<u16, String>,
    releases: BTreeSet<u16>,
}

impl Courier {
    /// A client of this name in MQTT `level`.
    #[must_use]
    pub fn new(name: &'static str, level: u8) -> Self {
        Self {
            name,
            level,
            outgoing: Vec::new(),
            last_id: 0,
            window: 2,
            open: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            releases: BTreeSet::new(),
            owed: Owed::default(),
            delivered: Vec::new(),
            conn: None,
            frames: Frames::new(level),
            snip: None,
            sent: vec![0],
            received: vec![0],
            taken: 0,
        }
    }

    /// Connects to its session, by a connection that is to be cut there. `certain`: the broker has read
    /// all that was sent on the connection before, so that what it owes is known.
    ///
    /// # Errors
    /// The cut, or an answer that is wrong.
    pub fn connect(
        &mut self,
        stage: &mut dyn Stage,
        snip: Option<Snip>,
        certain: bool,
    ) -> Result<(), Halt> {
        self.conn = Some(stage.connect()?);
        self.frames = Frames::new(self.level);
        (self.snip, self.taken) = (snip, 0);
        (self.sent, self.received) = (vec![0], vec![0]);
        self.owed = match certain {
            true => Owed {
                publishes: self.unanswered.clone(),
                releases: self.releases.clone(),
            },
            false => Owed::default(),
        };
        self.put(
            stage,
            &format!(
                "CONNECT client_id={} clean_start=0 session_expiry=3600",
                self.name
            ),
        )?;
        let connack = self.next(stage)?;
        match connack.word(0) == "CONNACK" && connack.number("reason", 0) == 0 {
            true => Ok(()),
            false => Err(Halt::Failed(format!("{}: `{connack}`", self.name))),
        }
    }

    /// Subscribes and waits for the answer.
    ///
    /// # Errors
    /// The cut, or an answer that is wrong.
    pub fn subscribe(&mut self, stage: &mut dyn Stage, filter: &str) -> Result<(), Halt> {
        self.put(stage, &format!("SUBSCRIBE id=9 filter={filter} options=2"))?;
        let suback = self.next(stage)?;
        match suback.to_string().starts_with("SUBACK id=9 code=2") {
            true => Ok(()),
            false => Err(Halt::Failed(format!("{}: `{suback}`", self.name))),
        }
    }

    /// Has one more message to deliver.
    pub fn hand_in(&mut self, qos: u8, payload: impl Into<String>) {
        self.last_id += 1;
        self.outgoing.push(Outgoing {
            id: self.last_id,
            qos,
            payload: payload.into(),
            sent: false,
            released: false,
        });
    }

    /// Delivers what it has to topic `a`; what was under way on an earlier connection first, again.
    ///
    /// # Errors
    /// The cut, or an answer that is wrong.
    pub fn deliver(&mut self, stage: &mut dyn Stage) -> Result<(), Halt> {
        for at in 0..self.outgoing.len() {
            if self.outgoing[at].released {
                let id = self.outgoing[at].id;
                self.put(stage, &format!("PUBREL id={id}"))?;
            } else if self.outgoing[at].sent {
                self.publish(stage, at)?;
            }
        }
        while !self.outgoing.is_empty() {
            let free = self.outgoing.iter().position(|message| !message.sent);
            if let Some(at) = free.filter(|at| *at < self.window) {
                self.publish(stage, at)?;
                continue;
            }
            let answer = self.next(stage)?;
            self.take_answer(stage, &answer)?;
        }
        Ok(())
    }

    /// Receives until `last` has come and everything is answered.
    ///
    /// # Errors
    /// The cut, or what the standard forbids.
    pub fn receive_until(&mut self, stage: &mut dyn Stage, last: &str) -> Result<(), Halt> {
        let done = |courier: &Self| {
            courier.delivered.iter().any(|payload| payload == last)
                && courier.open.is_empty()
                && courier.owed.publishes.is_empty()
                && courier.owed.releases.is_empty()
        };
        while !done(self) {
            let packet = self.next(stage)?;
            let id = packet.number("id", 0) as u16;
            match packet.word(0) {
                "PUBLISH" => self.take_publish(stage, id, &packet)?,
                "PUBREL" => {
                    self.owed.releases.remove(&id);
                    self.open.remove(&id);
                    self.put(stage, &format!("PUBCOMP id={id}"))?;
                    self.releases.remove(&id);
                }
                _ => return Err(Halt::Failed(format!("{}: `{packet}`", self.name))),
            }
        }
        Ok(())
    }

    /// Ends the connection; `wait`: and waits until the broker has seen it.
    ///
    /// # Errors
    /// It never does.
    pub fn cut(&mut self, stage: &mut dyn Stage, wait: bool) -> Result<(), String> {
        match (self.conn.take(), wait) {
            (None, _) => Ok(()),
            (Some(conn), true) => stage.cut_and_wait(conn),
            (Some(conn), false) => {
                stage.cut(conn);
                Ok(())
            }
        }
    }

    fn publish(&mut self, stage: &mut dyn Stage, at: usize) -> Result<(), Halt> {
        let message = &mut self.outgoing[at];
        let dup = u8::from(message.sent);
        message.sent = true;
        let Outgoing {
            id, qos, payload, ..
        } = message.clone();
        self.put(
            stage,
            &format!("PUBLISH topic=a dup={dup} qos={qos} id={id} payload={payload}"),
        )
    }

    fn take_answer(&mut self, stage: &mut dyn Stage, answer: &Line) -> Result<(), Halt> {
        let id = answer.number("id", 0) as u16;
        let at = self.outgoing.iter().position(|message| message.id == id);
        let at = at.ok_or_else(|| Halt::Failed(format!("{}: `{answer}`", self.name)))?;
        let message = &mut self.outgoing[at];
        match (answer.word(0), message.qos) {
            ("PUBACK", 1) | ("PUBCOMP", 2) => {
                self.outgoing.remove(at);
                Ok(())
            }
            ("PUBREC", 2) => {
                message.released = true;
                self.put(stage, &format!("PUBREL id={id}"))
            }
            _ => Err(Halt::Failed(format!("{}: `{answer}`", self.name))),
        }
    }

    fn take_publish(&mut self, stage: &mut dyn Stage, id: u16, packet: &Line) -> Result<(), Halt> {
        let payload = packet.text("payload", "");
        if self.owed.releases.contains(&id) {
            return Err(Halt::Failed(format!("`{packet}` instead of PUBREL {id}")));
        }
        if let Some(before) = self.owed.publishes.remove(&id)
            && (before != payload || packet.number("dup", 0) != 1)
        {
            return Err(Halt::Failed(format!("`{packet}` where {before} is owed")));
        }
        match packet.number("qos", 0) {
            1 => {
                self.delivered.push(payload.clone());
                self.unanswered.insert(id, payload);
                self.put(stage, &format!("PUBACK id={id}"))?;
            }
            2 => {
                if self.open.insert(id) {
                    self.delivered.push(payload.clone());
                }
                self.unanswered.insert(id, payload);
                self.put(stage, &format!("PUBREC id={id}"))?;
                self.releases.insert(id);
            }
            qos => return Err(Halt::Failed(format!("`{packet}` with QoS {qos}"))),
        }
        self.unanswered.remove(&id);
        Ok(())
    }

    /// Sends a packet; an error, and the connection cut, if the cut comes in it.
    fn put(&mut self, stage: &mut dyn Stage, text: &str) -> Result<(), Halt> {
        let bytes = packet::encode(self.level, &Line::parse(text)?);
        let before = self.sent.last().copied().unwrap_or(0);
        let after = before + bytes.len();
        let most = match self.snip {
            Some(Snip::Up { at, late: true }) if at == before => Some(0),
            Some(Snip::Up { at, late: false }) if at <= after => Some(at - before),
            _ => None,
        };
        let conn = self.conn.ok_or_else(|| "no connection".to_owned())?;
        match most {
            Some(most) => {
                stage.send(conn, &bytes[..most])?;
                // Whole after all: what follows from it is known.
                if most == bytes.len() {
                    self.note_sent(text);
                }
                Err(Halt::Cut)
            }
            None => {
                self.sent.push(after);
                Ok(stage.send(conn, &bytes)?)
            }
        }
    }

    /// A packet was sent whole, right before the cut.
    fn note_sent(&mut self, text: &str) {
        let line = Line::parse(text).unwrap_or_default();
        let id = line.number("id", 0) as u16;
        match line.word(0) {
            "PUBACK" => drop(self.unanswered.remove(&id)),
            "PUBREC" => {
                self.unanswered.remove(&id);
                self.releases.insert(id);
            }
            "PUBCOMP" => drop(self.releases.remove(&id)),
            _ => {}
        }
    }

    /// The next packet, or the cut if it comes before its end.
    fn next(&mut self, stage: &mut dyn Stage) -> Result<Line, Halt> {
        let conn = self.conn.ok_or_else(|| "no connection".to_owned())?;
        loop {
            let before = self.frames.left();
            if let Some(line) = self.frames.take()? {
                let length = before - self.frames.left();
                let end = self.received.last().copied().unwrap_or(0) + length;
                self.received.push(end);
                return Ok(line);
            }
            if let Some(Snip::Down { at }) = self.snip
                && self.taken >= at
            {
                return Err(Halt::Cut);
            }
            match stage.receive(conn, PATIENCE_MS)? {
                Arrival::Bytes(mut bytes) => {
                    if let Some(Snip::Down { at }) = self.snip {
                        bytes.truncate(at - self.taken);
                    }
                    self.taken += bytes.len();
                    self.frames.push(&bytes);
                }
                Arrival::End => {
                    return Err(Halt::Failed(format!("{} is closed", self.name)));
                }
                Arrival::Nothing => {
                    let (name, owed) = (self.name, &self.owed);
                    return Err(Halt::Failed(format!("{name} gets nothing, owed: {owed:?}")));
                }
            }
        }
    }
}
