//! The wire at the server: every packet that goes by is read, held against the truth and entered
//! into it.

use ternmq_protocol::codec::{
    Connect, FrameBuffer, MAX_PACKET_SIZE, Packet, PropertyId, Publish, QoS,
};
use ternmq_protocol::topic::TopicName;
use ternmq_protocol::{ProtocolVersion, ReasonCode, Time};

use crate::ledger::note_of;
use crate::truth::News;
use crate::world::{End, World};

/// Reads whole packets out of `bytes` and what `frames` has kept.
pub(crate) fn read_packets(
    frames: &mut FrameBuffer,
    mut bytes: &[u8],
    mut version: ProtocolVersion,
    mut each: impl FnMut(&Packet<'_>) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        let frame = match frames.next(&mut bytes, MAX_PACKET_SIZE) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) => return Err(format!("not a packet: {error:?}")),
        };
        let packet = Packet::decode(frame, version)
            .map_err(|error| format!("not a packet: {error:?} in {frame:?}"))?;
        if let Packet::Connect(connect) = &packet {
            version = connect.version;
        }
        each(&packet)?;
    }
}

impl World {
    /// Bytes that a shard is about to read.
    pub(crate) fn tap_up(&mut self, link: usize, bytes: &[u8]) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        if !self.links[link].admitted {
            self.links[link].held.extend_from_slice(bytes);
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.links[link].tap_up);
        let version = self.links[link].version;
        let read = read_packets(&mut frames, bytes, version, |packet| {
            self.server_received(link, packet)
        });
        self.links[link].tap_up = frames;
        read
    }

    /// Bytes that a shard has written.
    pub(crate) fn tap_down(&mut self, link: usize, bytes: &[u8]) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        let mut frames = std::mem::take(&mut self.links[link].tap_down);
        let version = self.links[link].version;
        let read = read_packets(&mut frames, bytes, version, |packet| {
            self.server_sent(link, packet)
        });
        self.links[link].tap_down = frames;
        read
    }

    /// A shard is about to let a client in: enters its CONNECT and what came behind it.
    pub(crate) fn truth_admit(&mut self, link: usize, shard: usize) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        let held = std::mem::take(&mut self.links[link].held);
        let mut frames = std::mem::take(&mut self.links[link].tap_up);
        let version = self.links[link].version;
        let read = read_packets(&mut frames, &held, version, |packet| match packet {
            Packet::Connect(connect) => {
                self.enter(connect, link, shard);
                Ok(())
            }
            packet => self.server_received(link, packet),
        });
        self.links[link].tap_up = frames;
        read
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
        let peer = found.peer;
        if !present {
            self.lose_session(peer);
            self.ledger.open(epoch, peer, connect.version.is_v5());
        }
        self.note(format_args!(
            "{} let in on shard {shard}, session {epoch}, present {present}",
            connect.client_id
        ));
        self.apply_news();
    }

    /// Carries what has become of sessions over to the ledger.
    pub(crate) fn apply_news(&mut self) {
        for news in std::mem::take(&mut self.truth.news) {
            self.trace.line(self.now, format_args!("truth: {news:?}"));
            match news {
                News::Ended(epoch) => self.ledger.end(epoch),
                News::Will { note, epoch } => {
                    self.ledger.publish(note, self.step);
                    self.accepted(note, epoch, None);
                }
            }
        }
    }

    /// The connection of a link is over for the server.
    pub(crate) fn truth_closed(&mut self, link: usize) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        let id = self.peers[self.links[link].peer].id.clone();
        let attached = self
            .truth
            .sessions
            .get(&id)
            .and_then(|session| session.link);
        if attached == Some(link) {
            self.truth.detach(&id, self.now);
            self.apply_news();
        }
        Ok(())
    }

    /// A shard wants a connection closed: has it a reason?
    pub(crate) fn check_reason(&self, link: usize) -> Result<(), String> {
        if self.scripted {
            return Ok(());
        }
        let found = &self.links[link];
        let silent_for = self.now.since(found.last_in);
        let too_silent = found.admitted
            && found.keep_alive > 0
            && silent_for >= u64::from(found.keep_alive) * 1_500;
        let too_slow = !found.admitted
            && self.now.since(found.accepted) >= self.plan.limits.connect_timeout_ms;
        match found.ending || too_silent || too_slow {
            true => Ok(()),
            false => Err(format!(
                "the shard closes link {link} for no reason: {found:?}"
            )),
        }
    }

    /// Has a shard closed everything that was silent for too long? [MQTT-3.1.2-22]
    pub(crate) fn check_overdue(&self, shard: usize) -> Result<(), String> {
        for link in self.hosts[shard].conns.values() {
            let found = &self.links[*link];
            let limit = u64::from(found.keep_alive) * 1_500;
            let silent_for = self.now.since(found.last_in);
            if found.admitted && limit > 0 && silent_for >= limit {
                return Err(format!(
                    "link {link} was silent for {silent_for} ms and is open"
                ));
            }
        }
        Ok(())
    }

    /// A shard's numbers against the truth and against each other.
    pub(crate) fn check_books(&self, shard: usize) -> Result<(), String> {
        let host = &self.hosts[shard];
        let stats = host.shard.stats();
        let copies = stats.sent() + stats.queued + stats.dropped.total();
        if self.scripted {
            return match stats.copies() == copies {
                true => Ok(()),
                false => Err(format!(
                    "the books of shard {shard} don't balance: {stats:?}"
                )),
            };
        }
        let (sessions, filters, shared) = self.truth.count(shard);
        // A group counts where it is at home, for all its members, from when the first has arrived.
        let own = filters - shared;
        let indexed = host.shard.subscriptions() as u64;
        if indexed < own || indexed > own + self.homes.on(shard) {
            return Err(format!(
                "{indexed} subscriptions in the index of shard {shard}, {own} are not shared"
            ));
        }
        let equal = [
            ("copies", stats.copies(), copies),
            ("connections", stats.connections, host.conns.len() as u64),
            ("sessions", stats.sessions, sessions),
            ("subscriptions", stats.subscriptions, filters),
            ("wills", stats.wills, self.truth.wills[shard]),
            ("peer errors", stats.peer_errors, 0),
            (
                "refusals",
                stats.connects_refused + stats.connections_refused,
                0,
            ),
            (
                "lost of full queues",
                stats.dropped.queue_items + stats.dropped.queue_bytes,
                0,
            ),
            ("too large", stats.dropped.too_large, 0),
        ];
        let mut counters = host.shard.ended_clients().clone();
        for client in &host.shard.clients(0, usize::MAX).clients {
            counters.add(&client.counters);
        }
        let equal = equal.into_iter().chain([
            (
                "received by clients",
                counters.received,
                stats.received.iter().sum(),
            ),
            ("sent to clients", counters.sent, stats.sent()),
            (
                "dropped by client",
                counters.dropped.total(),
                stats.dropped.total(),
            ),
        ]);
        for (what, is, should) in equal {
            if is != should {
                return Err(format!(
                    "{what} of shard {shard}: {is}, should be {should}; {stats:?}"
                ));
            }
        }
        Ok(())
    }

    fn server_received(&mut self, link: usize, packet: &Packet<'_>) -> Result<(), String> {
        let id = self.peers[self.links[link].peer].id.clone();
        let now = self.now;
        let Some(session) = self.truth.sessions.get_mut(&id) else {
            return Ok(());
        };
        if session.link != Some(link) {
            return Ok(());
        }
        self.links[link].last_in = now;
        session.flow.received(packet);
        let epoch = session.epoch;
        match packet {
            Packet::Publish(publish) => {
                let first =
                    publish.qos != QoS::ExactlyOnce || session.received.insert(publish.packet_id);
                self.take_publish(link, epoch, first, publish)?;
            }
            Packet::PubRel(ack) => {
                session.received.remove(&ack.packet_id);
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.requests().map(|(filter, _)| filter.to_owned());
                session.filters.extend(filters);
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in unsubscribe.filters() {
                    session.filters.remove(filter);
                }
            }
            Packet::Disconnect(disconnect) => {
                self.links[link].ending = true;
                let expiry = disconnect
                    .properties
                    .number(PropertyId::SessionExpiryInterval);
                let keep_will = disconnect.reason != ReasonCode::NORMAL_DISCONNECTION;
                self.truth.disconnect(&id, expiry, keep_will, now);
                self.apply_news();
            }
            _ => {}
        }
        Ok(())
    }

    fn take_publish(
        &mut self,
        link: usize,
        epoch: u64,
        first: bool,
        publish: &Publish<'_>,
    ) -> Result<(), String> {
        let mut topic = publish.topic.to_owned();
        if let Some(alias) = publish.properties.number(PropertyId::TopicAlias) {
            let aliases = &mut self.links[link].aliases;
            if topic.is_empty() {
                topic = aliases.get(&(alias as u16)).cloned().unwrap_or_default();
            } else {
                aliases.insert(alias as u16, topic.clone());
            }
        }
        if !first {
            return Ok(());
        }
        let Some(number) = note_of(publish.payload) else {
            self.forget_retained(&topic);
            return Ok(());
        };
        let note = self.ledger.note(number)?;
        if note.topic != topic || note.qos != publish.qos || note.retain != publish.retain {
            return Err(format!("message {number} {note:?} came in as {publish:?}"));
        }
        // What is left of its life: it may have waited at the client.
        let expiry = publish.properties.number(PropertyId::MessageExpiryInterval);
        self.accepted(number, epoch, expiry);
        let note = self.ledger.note(number)?;
        match note.qos == QoS::ExactlyOnce && note.accepted > 1 && !note.republished {
            true => Err(format!("message {number} {note:?} was accepted again")),
            false => Ok(()),
        }
    }

    /// A shard publishes a message.
    fn accepted(&mut self, number: u32, epoch: u64, expiry: Option<u32>) {
        let step = self.step;
        let note = &mut self.ledger.notes[number as usize];
        note.accepted += 1;
        note.accepted_in = epoch;
        if note.retain {
            note.retained_until = None;
            let expires = match expiry {
                Some(seconds) => self.now.after_seconds(seconds.into()),
                None => Time::NEVER,
            };
            let topic = note.topic.clone();
            let old = self.truth.retained.insert(topic, (number, expires));
            if let Some((old, _)) = old.filter(|(old, _)| *old != number) {
                self.ledger.notes[old as usize].retained_until = Some(step);
            }
        }
    }

    fn forget_retained(&mut self, topic: &str) {
        debug_assert!(TopicName::parse(topic, usize::MAX).is_ok());
        if let Some((old, _)) = self.truth.retained.remove(topic) {
            self.ledger.notes[old as usize].retained_until = Some(self.step);
        }
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
            Packet::Publish(publish) => self.check_expiry(link, publish)?,
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
