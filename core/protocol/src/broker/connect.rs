//! CONNECT, admission, CONNACK, resuming and taking over (3.1, 3.2, 4.4).

use super::authenticate::check_data;
use super::connection::{Connection, Stage};
use super::events::Departure;
use super::explain::words_for;
use super::meter::Meter;
use super::mount::{Mount, Naming, Texts};
use super::out::{Admission, AdmitRequest, ConnId, Early, Out};
use super::session::{NEVER_EXPIRES, Session};
use super::shard::Shard;
use super::slow::Timing;
use super::sums::may_hold;
use super::unstored::Before;
use super::will::{StoredWill, will_weight};
use crate::codec::{
    ConnAck, Connect, Frame, MAX_PACKET_SIZE, Packet, PacketType, Properties, PropertiesBuf,
    PropertyId, Value,
};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::session::alias::AliasesOut;
use crate::time::Time;
use crate::version::ProtocolVersion;
use crate::weight::Weight;
use std::hash::{DefaultHasher, Hasher};

impl Shard {
    /// The first packet of a connection, a CONNECT by its header.
    pub(super) fn handle_first(
        &mut self,
        id: u32,
        frame: Frame<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mounted = self.mount_point(id).is_some();
        let conn = &mut self.links.conns[id];
        conn.version = Connect::answer_version(frame.body);
        let decoded = Packet::decode(frame, conn.version);
        let checked = decoded.and_then(|packet| match packet {
            Packet::Connect(connect) => {
                conn.learn(&connect);
                check(&connect, &self.links.limits)?;
                // Behind a mount point it becomes another one, once it is known who the client is.
                if !mounted {
                    self.topics.check_will(&connect)?;
                }
                Ok(connect)
            }
            _ => Err(PeerError::protocol("the first packet is not CONNECT")),
        });
        let connect = match checked {
            Ok(connect) => connect,
            Err(error) => {
                let over_limit = &mut self.links.stats.over_limit;
                over_limit.property_bytes += u64::from(error == PROPERTIES);
                self.links.conns[id].learn_of_broken(frame.body);
                self.refuse_broken(id, error, out);
                return Err(error);
            }
        };
        let assigned = connect.client_id.is_empty();
        let client_id: Box<str> = if assigned {
            self.make_client_id()
        } else {
            connect.client_id.into()
        };
        let conn = &mut self.links.conns[id];
        conn.stage = Stage::Admission;
        let properties = connect.properties;
        if properties.get(PropertyId::AuthenticationMethod).is_some() {
            self.begin_authentication(id, &connect, out);
        } else {
            let request = admit_request(id, conn, &connect, &client_id);
            out.admissions.push(request);
        }
        let conn = &mut self.links.conns[id];
        conn.early = Some(Box::new(Early {
            connect: frame.body.into(),
            input: Vec::new(),
            client_id,
            assigned,
        }));
        Ok(())
    }

    /// Lets a client in or not: the answer to its [`AdmitRequest`].
    ///
    /// An older connection of the same client is told and put into [`Out::closing`]. What came in
    /// behind the CONNECT is handled at once. Nothing happens when the connection is gone.
    pub fn admit(&mut self, conn: ConnId, now: Time, admission: Admission, out: &mut Out) {
        let Some(connection) = self.links.conns.get_mut(conn.0) else {
            return;
        };
        let authenticated = connection.auth.as_ref().is_none_or(|auth| auth.is_done());
        if connection.stage != Stage::Admission || !authenticated {
            return;
        }
        let Some(early) = connection.early.take() else {
            return;
        };
        match admission {
            Admission::Accept => {
                self.links.count_input(conn.0);
                self.accept(conn.0, *early, now, out);
            }
            Admission::Refuse(reason) => {
                // Who it is, for whoever is told.
                connection.early = Some(early);
                self.refuse_with(conn.0, reason, out);
            }
        }
    }

    fn accept(&mut self, id: u32, early: Early, now: Time, out: &mut Out) {
        let Early {
            connect,
            input,
            client_id,
            assigned,
        } = early;
        // It was read once already, when it came in.
        let Ok(mut connect) = Connect::decode(&connect) else {
            let reason = ReasonCode::UNSPECIFIED_ERROR;
            self.refuse_client(id, Some(&client_id), reason, words_for(reason), out);
            return;
        };
        let conn = &mut self.links.conns[id];
        conn.learn(&connect);
        let mut texts = Texts::default();
        let known = self.find_alive(&client_id, now, out);
        let fits = self.mount(id, &client_id).and_then(|mount| {
            self.place_will(id, &client_id, mount.as_ref(), &mut connect, &mut texts)?;
            self.check_room(known, &client_id, mount.as_ref(), &connect)?;
            Ok(mount)
        });
        let mount = match fits {
            Ok(mount) => mount,
            Err(error) => {
                self.refuse_client(id, Some(&client_id), error.reason, error.what, out);
                return;
            }
        };
        let assigned_id = assigned.then(|| client_id.clone());
        let changes = out.store.len();
        let rev = known.and_then(|slot| self.links.sessions[slot].kept.as_ref().map(|k| k.rev));
        let (session, before) = self.open_session(client_id, known, &connect, now, out);
        let present = before.is_some();
        self.attach(id, session, mount, &connect, now);
        self.keep_session(session, rev.unwrap_or_default());
        let gated = self.links.is_durable(session) || out.store.len() > changes;
        if gated {
            // As if it stood in `Out::dirty` already: nobody looks for what it has to send.
            let conn = &mut self.links.conns[id];
            (conn.gated, conn.dirty) = (true, true);
            self.links.touch(session);
        }
        let properties = self.connack_properties(session, &connect, assigned_id.as_deref());
        let packet = Packet::ConnAck(ConnAck {
            session_present: present,
            reason: ReasonCode::SUCCESS,
            properties: properties.get(),
        });
        self.links.stats.connects += 1;
        if self.tells {
            self.tell_connected(id, present, out);
        }
        if self.send(id, &packet, out).is_err() {
            // A client that takes no CONNACK can't be told anything [MQTT-3.14.0-1].
            self.detach(id, Departure::Lost, "", now, out);
            self.close(id, out);
            return;
        }
        if gated {
            self.links.owe_gate(id, session, before, out);
        }
        self.begin(id, present, now, out);
        if !input.is_empty() {
            self.handle_input(ConnId(id), now, &input, out);
        }
    }

    /// A client is let in and told so: has it what it is due.
    fn begin(&mut self, id: u32, present: bool, now: Time, out: &mut Out) {
        let session = self.links.conns[id].session;
        self.arm(id);
        self.arm_session(session);
        if !present {
            self.auto_subscribe(id, out);
        }
        self.tell_presence(session, out);
        self.links.refill(session, now, out);
        self.ask_for_retained(session, out);
    }

    /// Puts the topic that is meant by a will's in its place.
    fn place_will<'a>(
        &self,
        id: u32,
        client_id: &str,
        mount: Option<&Mount>,
        connect: &mut Connect<'a>,
        texts: &'a mut Texts,
    ) -> Result<(), PeerError> {
        let Some(will) = &mut connect.will else {
            return Ok(());
        };
        if self.topics.rewrite.is_empty() && mount.is_none() {
            return Ok(());
        }
        will.topic = self.meant_will(id, client_id, mount, will.topic, texts)?;
        self.topics.check_will(connect)
    }

    /// Whether there is room for a session, its names and its will.
    fn check_room(
        &mut self,
        known: Option<u32>,
        client_id: &str,
        mount: Option<&Mount>,
        connect: &Connect<'_>,
    ) -> Result<(), PeerError> {
        let quota = |what| Err(PeerError::new(ReasonCode::QUOTA_EXCEEDED, what));
        let stats = &mut self.links.stats;
        let limits = &self.links.limits;
        if known.is_none() && self.links.sessions.len() >= limits.sessions {
            stats.over_limit.sessions += 1;
            let what = "the server keeps as many sessions as it may";
            return Err(PeerError::new(ReasonCode::SERVER_BUSY, what));
        }
        let id = known.map_or(client_id.len(), |_| 0);
        let names = id + connect.user_name.map_or(0, user_weight) + mount.map_or(0, Mount::len);
        if !may_hold(limits.sums.name_bytes, stats.name_bytes, 0, names) {
            stats.over_limit.shard_name_bytes += 1;
            return quota("the names of all clients take as much as they may");
        }
        // The will that it had gives way to this one.
        let before = known.and_then(|slot| self.links.sessions[slot].will.as_ref());
        let others = stats.will_bytes - before.map_or(0, |will| will.weight() as u64);
        let will = connect.will.as_ref().map_or(0, will_weight);
        if !may_hold(limits.sums.will_bytes, others, 0, will) {
            stats.over_limit.shard_will_bytes += 1;
            return quota("the wills of all clients take as much as they may");
        }
        Ok(())
    }

    /// The session for a CONNECT, and what it was if it was there [MQTT-3.1.2-4] [MQTT-3.1.2-5]
    /// [MQTT-3.1.2-6].
    fn open_session(
        &mut self,
        client_id: Box<str>,
        known: Option<u32>,
        connect: &Connect<'_>,
        now: Time,
        out: &mut Out,
    ) -> (u32, Option<Before>) {
        let Some(slot) = known else {
            return (self.new_session(client_id), None);
        };
        let mut before = Before::of(&self.links.sessions[slot], now);
        let old = self.links.sessions[slot].conn;
        if old != super::arena::NONE {
            // [MQTT-3.1.4-3]
            let reason = ReasonCode::SESSION_TAKEN_OVER;
            self.say_goodbye(old, reason, words_for(reason), out);
            self.unlink(old, Departure::Ended(reason), words_for(reason), now, out);
            self.close(old, out);
        }
        if connect.clean_start {
            self.remove_session(slot, false, now, out);
            return (self.new_session(client_id), None);
        }
        let session = &mut self.links.sessions[slot];
        if session.expiry == 0 {
            // It was to end with its connection, and does, taken over or not.
            self.remove_session(slot, false, now, out);
            return (self.new_session(client_id), None);
        }
        // A will that waits for its delay is not sent [MQTT-3.1.3-9]; without a delay the end of
        // the old connection is enough.
        if session.will.as_ref().is_some_and(|will| will.delay > 0) {
            before.will = self.links.set_will(slot, None);
        }
        self.publish_will(slot, now, out);
        (slot, Some(before))
    }

    /// Ties connection and session together.
    fn attach(
        &mut self,
        id: u32,
        slot: u32,
        mount: Option<Mount>,
        connect: &Connect<'_>,
        now: Time,
    ) {
        self.wake(slot);
        let limits = &self.links.limits;
        let conn = &mut self.links.conns[id];
        let session = &mut self.links.sessions[slot];
        let number = |property| connect.properties.number(property);
        conn.stage = Stage::Connected;
        conn.session = slot;
        let (listener, origin) = (conn.listener, session.origin);
        let rates = self.listeners.get(usize::from(listener.0));
        conn.meter = Meter::new(rates);
        if let Some(meter) = &mut conn.meter
            && let Some(used) = self.debts.take(origin, listener)
            && !meter.go_on(used, now)
        {
            self.links.stats.rate_pauses += 1;
        }
        conn.last_packet = now;
        let slow = self.links.slow.as_deref();
        conn.timing = slow.map(|list| Timing::new(list.limits.latency, now));
        conn.keep_alive = match limits.keep_alive {
            0 => connect.keep_alive,
            _ if !connect.version.is_v5() => connect.keep_alive,
            most if connect.keep_alive == 0 => most,
            most => connect.keep_alive.min(most),
        };
        // [MQTT-3.1.2-26] [MQTT-3.1.2-27]
        let aliases = number(PropertyId::TopicAliasMaximum).unwrap_or(0);
        let aliases = limits.outgoing_aliases.min(aliases as u16);
        let aliases = (aliases > 0).then(|| AliasesOut::bounded(aliases, limits.alias_bytes));
        let names = aliases.is_some() || mount.is_some();
        conn.naming = names.then(|| Box::new(Naming { aliases, mount }));
        self.links.stats.name_bytes += conn.name_bytes() as u64;
        session.conn = id;
        self.links.stats.connected += 1;
        session.ends_at = Time::NEVER;
        session.expiry = if connect.version.is_v5() {
            number(PropertyId::SessionExpiryInterval).unwrap_or(0)
        } else if connect.clean_start {
            0
        } else {
            NEVER_EXPIRES
        }
        .min(limits.session_expiry);
        let receive_maximum = number(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX.into());
        session
            .window
            .connected(limits.inflight.min(receive_maximum as u16));
        let will = connect.will.as_ref();
        let will = will.map(|will| Box::new(StoredWill::new(will, self.topics.retain_available)));
        self.links.set_will(slot, will);
    }

    pub(super) fn new_session(&mut self, client_id: Box<str>) -> u32 {
        self.last_session += 1;
        self.links.stats.name_bytes += client_id.len() as u64;
        let hash = self.hash(&client_id);
        let slot = self
            .links
            .sessions
            .insert(Session::new(client_id, self.last_session));
        let Self {
            clients,
            links,
            hasher,
            ..
        } = self;
        clients.insert_unique(hash, slot, |slot| {
            std::hash::BuildHasher::hash_one(hasher, &*links.sessions[*slot].client_id)
        });
        self.links.stats.sessions += 1;
        slot
    }

    /// What the server has to say about itself (3.2.2.3).
    fn connack_properties(
        &mut self,
        session: u32,
        connect: &Connect<'_>,
        assigned_id: Option<&str>,
    ) -> PropertiesBuf {
        let mut properties = PropertiesBuf::default();
        if !connect.version.is_v5() {
            return properties;
        }
        let limits = &self.links.limits;
        let session = &self.links.sessions[session];
        let asked = connect.properties.number(PropertyId::SessionExpiryInterval);
        if session.expiry != asked.unwrap_or(0) {
            properties.push_number(PropertyId::SessionExpiryInterval, session.expiry);
        }
        if limits.receive_maximum != u16::MAX {
            properties.push_number(PropertyId::ReceiveMaximum, limits.receive_maximum.into());
        }
        if limits.packet_size < MAX_PACKET_SIZE {
            properties.push_number(PropertyId::MaximumPacketSize, limits.packet_size);
        }
        if let Some(id) = assigned_id {
            // Ours, and short enough.
            let _ = properties.push(PropertyId::AssignedClientIdentifier, Value::Utf8String(id));
        }
        if limits.topic_aliases > 0 {
            properties.push_number(PropertyId::TopicAliasMaximum, limits.topic_aliases.into());
        }
        let keep_alive = self.links.conns[session.conn].keep_alive;
        if keep_alive != connect.keep_alive {
            properties.push_number(PropertyId::ServerKeepAlive, keep_alive.into());
        }
        self.topics.announce(&mut properties);
        let filling = self.filling(session.conn);
        self.topics.respond(connect, &filling, &mut properties);
        let conn = session.conn;
        if let Some(auth) = &mut self.links.conns[conn].auth {
            auth.take_words(&mut properties);
        }
        properties
    }

    /// Answers a CONNECT with a failure from outside, which must be one of CONNACK [MQTT-3.2.2-8].
    pub(super) fn refuse_with(&mut self, id: u32, reason: ReasonCode, out: &mut Out) {
        let fits = reason.is_error() && reason.allowed_in(PacketType::ConnAck);
        let other = ReasonCode::UNSPECIFIED_ERROR;
        let reason = if fits { reason } else { other };
        self.refuse(id, reason, words_for(reason), out);
    }

    /// Answers the CONNECT that waits here with a failure and closes.
    pub(super) fn refuse(&mut self, id: u32, reason: ReasonCode, what: &str, out: &mut Out) {
        self.refuse_client(id, None, reason, what, out);
    }

    /// The same for a client that is told of by this name.
    fn refuse_client(
        &mut self,
        id: u32,
        client_id: Option<&str>,
        reason: ReasonCode,
        what: &str,
        out: &mut Out,
    ) {
        if self.tells {
            self.tell_refused(id, client_id, reason, what, out);
        }
        self.say_refused(id, reason, what, out);
    }

    /// CONNACK with a failure, and the end [MQTT-3.2.2-7].
    pub(super) fn say_refused(&mut self, id: u32, reason: ReasonCode, what: &str, out: &mut Out) {
        self.links.stats.connects_refused += 1;
        let [all, most] = self.last_words(id, reason, what);
        let packet = |properties| {
            Packet::ConnAck(ConnAck {
                session_present: false,
                reason,
                properties,
            })
        };
        let packets = [all.get(), most.get(), Properties::EMPTY].map(packet);
        // Closed either way.
        let _ = self.send_first(id, packets, out);
        self.close(id, out);
    }

    /// Answers a CONNECT that is broken, as far as its version has words for that: any reason in 5.0,
    /// only the version, the client identifier and a will that is not allowed before [MQTT-3.1.4-1].
    pub(super) fn refuse_broken(&mut self, id: u32, error: PeerError, out: &mut Out) {
        let v5 = self.links.conns[id].version.is_v5();
        if v5 && error.reason.allowed_in(PacketType::ConnAck)
            || matches!(
                error.reason,
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
                    | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
                    | ReasonCode::NOT_AUTHORIZED
            )
        {
            // Who speaks another version is told no more than the code.
            let unknown = error.reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
            let what = if unknown { "" } else { error.what };
            self.refuse(id, error.reason, what, out);
        }
    }

    /// A client identifier for a client without one: 22 letters and digits that nobody can guess
    /// without the seed, and not one in use [MQTT-3.1.3-6].
    fn make_client_id(&mut self) -> Box<str> {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        loop {
            self.last_assigned += 1;
            let mut id = String::with_capacity(22);
            for half in 0..2u8 {
                let mut hasher = DefaultHasher::new();
                hasher.write_u64(self.seed);
                hasher.write_u64(self.seed.rotate_left(29) ^ u64::from(half));
                hasher.write_u64(self.last_assigned);
                hasher.write_u16(self.number);
                let mut bits = hasher.finish();
                for _ in 0..11 {
                    id.push(DIGITS[(bits % 62) as usize] as char);
                    bits /= 62;
                }
            }
            if self.find_session(&id).is_none() {
                return id.into();
            }
        }
    }
}

/// What the user name of a client weighs: the driver keeps it too.
pub(super) const fn user_weight(user_name: &str) -> usize {
    2 * user_name.len()
}

/// More properties than [`Limits::property_bytes`](super::limits::Limits::property_bytes).
pub(super) const PROPERTIES: PeerError = PeerError::new(
    ReasonCode::QUOTA_EXCEEDED,
    "the properties take more bytes than they may",
);

/// What the driver has to know of a client that wants in.
pub(super) fn admit_request(
    id: u32,
    conn: &Connection,
    connect: &Connect<'_>,
    client_id: &str,
) -> AdmitRequest {
    AdmitRequest {
        conn: ConnId(id),
        client_id: client_id.into(),
        listener: conn.listener,
        peer: conn.peer,
        version: connect.version,
        clean_start: connect.clean_start,
        authenticated: false,
        user_name: connect.user_name.map(Into::into),
        password: connect.password.map(Into::into),
        properties: connect.properties.into(),
    }
}

/// What can be refused without knowing the client.
fn check(connect: &Connect<'_>, limits: &super::limits::Limits) -> Result<(), PeerError> {
    if connect.client_id.is_empty() {
        // 3.1 wants 1 to 23 characters; 3.1.1 allows none with Clean Session [MQTT-3.1.3-8].
        let allowed = match connect.version {
            ProtocolVersion::V3_1 => false,
            ProtocolVersion::V3_1_1 => connect.clean_start,
            ProtocolVersion::V5_0 => true,
        };
        if !allowed {
            return Err(PeerError::new(
                ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
                "an empty client identifier",
            ));
        }
    }
    let of_will = connect.will.map(|will| will.properties);
    for properties in of_will.iter().chain([&connect.properties]) {
        if properties.as_bytes().len() > limits.property_bytes {
            return Err(PROPERTIES);
        }
    }
    let data = connect.properties.binary(PropertyId::AuthenticationData);
    check_data(data, limits.auth_data)?;
    let levels = connect.will.map_or(0, |will| will.topic.split('/').count());
    if levels > limits.topic_levels {
        return Err(PeerError::new(
            ReasonCode::TOPIC_NAME_INVALID,
            "the will topic has too many levels",
        ));
    }
    Ok(())
}
