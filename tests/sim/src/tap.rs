//! The wire at the server: every packet that goes by is read, held against the truth and entered
//! into it.

use ternmq_protocol::broker::ConnId;
use ternmq_protocol::codec::{Connect, FrameBuffer, MAX_PACKET_SIZE, Packet, PropertyId, Publish};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use crate::ledger::note_of;
use crate::world::{End, World};

/// Reads whole packets out of `bytes` and what `frames` has kept.
pub(crate) fn read_packets(
    frames: &mut FrameBuffer,
    mut bytes: &[u8],
    mut version: ProtocolVersion,
    mut each: impl FnMut(&Packet<'_>, usize) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        let frame = match frames.next(&mut bytes, MAX_PACKET_SIZE) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("not a packet: {error:?}")),
        };
        let len = frame.len as usize;
        let packet = Packet::decode(frame, version)
            .map_err(|error| format!("not a packet: {error:?} in {frame:?}"))?;
        if let Packet::Connect(connect) = &packet {
            version = connect.version;
        }
        each(&packet, len)?;
    }
}

/// Whether there is a whole packet in front.
pub(crate) fn is_whole(mut bytes: &[u8]) -> bool {
    let mut frames = FrameBuffer::default();
    !bytes.is_empty() && matches!(frames.next(&mut bytes, MAX_PACKET_SIZE), Ok(Some(_)))
}

impl World {
    /// Bytes that a shard is about to read: entered when it handles them, which may be later.
    pub(crate) fn tap_up(&mut self, link: usize, bytes: &[u8]) {
        if !self.scripted && self.links[link].is_honest() {
            self.links[link].unhandled.extend_from_slice(bytes);
        }
    }

    /// A shard has handled so many more packets of a link, and has decided to close connections.
    pub(crate) fn learn(
        &mut self,
        shard: usize,
        link: Option<usize>,
        packets: u64,
        closing: &[ConnId],
    ) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        if let Some(link) = link.filter(|link| self.links[*link].admitted) {
            for _ in 0..packets {
                self.handled(shard, link)?;
            }
        }
        for conn in closing {
            if let Some(link) = self.hosts[shard].conns.get(&conn.0) {
                self.truth_closed(*link)?;
            }
        }
        Ok(())
    }

    /// The next packet of a link.
    fn handled(&mut self, shard: usize, link: usize) -> Result<(), String> {
        let version = self.links[link].version;
        let unhandled = std::mem::take(&mut self.links[link].unhandled);
        let mut rest = &unhandled[..];
        let mut frames = FrameBuffer::default();
        match frames.next(&mut rest, MAX_PACKET_SIZE) {
            Ok(Some(frame)) => {
                let packet = Packet::decode(frame, version)
                    .map_err(|error| format!("not a packet: {error:?} in {frame:?}"))?;
                self.meter_in(link, &packet, frame.len as u64)?;
                self.server_received(shard, link, &packet)?;
            }
            none => return Err(format!("a packet of link {link} that never came: {none:?}")),
        }
        self.links[link].unhandled = rest.to_vec();
        Ok(())
    }

    /// Whether a whole packet of a link waits to be handled.
    pub(crate) fn is_held(&self, link: usize) -> bool {
        let link = &self.links[link];
        link.admitted && is_whole(&link.unhandled)
    }

    /// Bytes that a shard has written.
    pub(crate) fn tap_down(&mut self, link: usize, bytes: &[u8]) -> Result<(), String> {
        if self.scripted || !self.links[link].is_honest() {
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.links[link].tap_down);
        let version = self.links[link].version;
        let read = read_packets(&mut frames, bytes, version, |packet, len| {
            self.check_size(link, len)?;
            self.server_sent(link, packet)
        });
        self.links[link].tap_down = frames;
        read
    }

    /// Bytes that a shard has written and the network never took.
    pub(crate) fn tap_lost(
        &mut self,
        link: usize,
        shard: usize,
        bytes: &[u8],
    ) -> Result<(), String> {
        if self.scripted || !self.links[link].is_honest() {
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.links[link].tap_down);
        let version = self.links[link].version;
        read_packets(&mut frames, bytes, version, |packet, _| match packet {
            Packet::Publish(publish) => self.enter_sent(link, shard, publish),
            _ => Ok(()),
        })
    }

    /// A shard is about to let a client in: enters its CONNECT.
    pub(crate) fn truth_admit(&mut self, link: usize, shard: usize) -> Result<(), String> {
        if self.scripted || !self.links[link].is_honest() {
            return Ok(());
        }
        let unhandled = std::mem::take(&mut self.links[link].unhandled);
        let mut rest = &unhandled[..];
        let version = self.links[link].version;
        match FrameBuffer::default().next(&mut rest, MAX_PACKET_SIZE) {
            Ok(Some(frame)) => match Packet::decode(frame, version) {
                Ok(Packet::Connect(connect)) => self.enter(&connect, link, shard),
                packet => return Err(format!("let in by {packet:?}")),
            },
            none => return Err(format!("let in by {none:?}")),
        }
        self.links[link].unhandled = rest.to_vec();
        Ok(())
    }

    fn enter(&mut self, connect: &Connect<'_>, link: usize, shard: usize) {
        let inflight = self.plan.limits.inflight;
        let (epoch, present, old) = self.truth.admit(connect, shard, link, self.now, inflight);
        if let Some(old) = old {
            self.links[old].ending = true;
        }
        let found = &mut self.links[link];
        (found.admitted, found.epoch, found.present) = (true, epoch, present);
        (found.keep_alive, found.last_in) = (connect.keep_alive, self.now);
        let aliases = connect.properties.number(PropertyId::TopicAliasMaximum);
        found.most_aliases = aliases.unwrap_or(0) as u16;
        let peer = found.peer;
        if !present {
            self.lose_session(peer);
            self.ledger.open(epoch, peer, connect.version.is_v5());
            self.books.open(epoch, connect.client_id, shard);
        }
        self.note(format_args!(
            "{} let in on shard {shard}, session {epoch}, present {present}",
            connect.client_id
        ));
        self.apply_news();
    }

    fn server_sent(&mut self, link: usize, packet: &Packet<'_>) -> Result<(), String> {
        let found = &self.links[link];
        match packet {
            // MQTT 3.1 has no such flag.
            Packet::ConnAck(connack) => {
                let present = found.present && found.version != ProtocolVersion::V3_1;
                if connack.session_present != present || connack.reason != ReasonCode::SUCCESS {
                    return Err(format!("{connack:?}, should say present: {present}"));
                }
            }
            Packet::Publish(publish) => {
                self.check_expiry(link, publish)?;
                self.check_alias(link, publish)?;
                if let End::Open(shard, _) = found.server {
                    self.enter_sent(link, shard, publish)?;
                }
            }
            _ => {}
        }
        let found = &self.links[link];
        let id = &self.peers[found.peer].id;
        match self.truth.sessions.get_mut(id) {
            Some(session) if session.epoch == found.epoch && session.link == Some(link) => session
                .flow
                .sent(packet)
                .map_err(|error| format!("the server, session {}: {error}", session.epoch)),
            _ => Ok(()),
        }
    }

    /// A PUBLISH goes out, or would have if the connection had lasted.
    fn enter_sent(
        &mut self,
        link: usize,
        shard: usize,
        publish: &Publish<'_>,
    ) -> Result<(), String> {
        if publish.dup {
            return Ok(());
        }
        let note = note_of(publish.payload);
        let priority = match note {
            Some(number) => self.plan.priority(&self.ledger.note(number)?.topic),
            None => 0,
        };
        let epoch = self.links[link].epoch;
        self.books
            .goes_out(shard, epoch, note, publish.qos, priority)
    }

    /// [MQTT-3.3.2-6]: what is left of a message's life is never more than it had.
    fn check_expiry(&self, link: usize, publish: &Publish<'_>) -> Result<(), String> {
        let Some(number) = note_of(publish.payload) else {
            return Ok(());
        };
        let note = self.ledger.note(number)?;
        let left = publish.properties.number(PropertyId::MessageExpiryInterval);
        let v5 = self.links[link].version.is_v5();
        let fits = match (note.expiry, left) {
            (Some(whole), Some(left)) => left <= whole,
            (None, None) => true,
            (Some(_), None) => !v5,
            (None, Some(_)) => false,
        };
        match fits {
            true => Ok(()),
            false => Err(format!(
                "message {number} {note:?} goes out with expiry {left:?}"
            )),
        }
    }

    /// [MQTT-3.1.2-24]: no packet is larger than its client takes.
    fn check_size(&self, link: usize, len: usize) -> Result<(), String> {
        match self.peers[self.links[link].peer].max_packet {
            Some(most) if len > most as usize => Err(format!(
                "a packet of {len} bytes goes out on link {link}, which takes {most}"
            )),
            _ => Ok(()),
        }
    }

    /// [MQTT-3.1.2-26] [MQTT-3.1.2-27]: no alias beyond what either side allows.
    fn check_alias(&self, link: usize, publish: &Publish<'_>) -> Result<(), String> {
        let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else {
            return Ok(());
        };
        let most = self.links[link]
            .most_aliases
            .min(self.plan.limits.outgoing_aliases);
        match (1..=u32::from(most)).contains(&alias) {
            true => Ok(()),
            false => Err(format!("alias {alias} on link {link}, over {most}")),
        }
    }
    /// Whether a link is over at both ends, and nothing is on its way.
    pub(crate) fn is_quiet(&self, link: usize) -> bool {
        let link = &self.links[link];
        matches!(link.server, End::Open(..))
            && link.client_open
            && link.admitted
            && !link.to_flush
            && link.up.is_empty()
            && link.down.is_empty()
    }
}
