//! The broker's machine: connections and sessions of one thread.

use super::access::Access;
use super::acks::Acks;
use super::arena::NONE;
use super::authenticate::Authentication;
use super::connection::{Connection, Stage};
use super::debts::Debts;
use super::delayed::Delayed;
use super::durable::{DurableConfig, StreamKey};
use super::events::Departure;
use super::exclusive::Exclusive;
use super::fanout::Chosen;
use super::group::{Groups, ShareStrategies};
use super::index::{Matches, SubscriptionIndex};
use super::journal::Journal;
use super::limits::Limits;
use super::links::Links;
use super::meter::{ListenerLimits, Way};
use super::observe::Observers;
use super::out::{ConnId, ListenerId, Out, Parked};
use super::record::Owner;
use super::slow::SlowLimits;
use super::source::Source;
use super::stats::Stats;
use super::topics::Topics;
use super::unstored::Then;
use crate::codec::{Frame, Packet, PacketType, QoS};
use crate::error::PeerError;
use crate::message::Message;
use crate::outbound::Outbound;
use crate::reason::ReasonCode;
use crate::time::Time;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

/// The packet type with which a connection begins.
const CONNECT: u8 = PacketType::Connect as u8;

/// What a shard is made from.
#[derive(Clone, Debug, Default)]
pub struct ShardConfig {
    /// Its number, different from that of each other shard of the broker.
    pub number: u16,
    /// A secret random number: it keys the hash tables and the client identifiers that are made up.
    /// The same in all shards or not.
    pub seed: u64,
    /// What it allows.
    pub limits: Limits,
    /// Rate limits by [`ListenerId`], the same values for all shards. Listeners beyond the last have
    /// none.
    pub listeners: Vec<Arc<ListenerLimits>>,
    /// The broker that it is a part of, as it stands in the records of its sessions.
    pub owner: Owner,
    /// What it offers and does with topics.
    pub topics: Topics,
    /// How shared subscriptions choose their members. The same in all shards.
    pub shares: ShareStrategies,
    /// Whether it lists the clients that get their messages late, and which they are.
    pub slow: Option<SlowLimits>,
    /// There is a store that keeps a log, and what is promised of it.
    pub durable: Option<DurableConfig>,
}

impl Shard {
    /// Takes other limits, as far as [`Limits::take_live`] does. What is there already stays, though it be
    /// more than is allowed from now on; `keep_alive`, `session_expiry` and `inflight` hold from the next
    /// CONNECT of a client on.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.links.limits.take_live(limits);
    }

    /// Takes other promises to publishers (`rules`), and other limits of what one session may have still to
    /// read in the log of a store (`backlog_messages`, `backlog_bytes`), which hold for what is read from now
    /// on. The rest of `config` stays.
    pub fn set_durable(&mut self, config: &DurableConfig) {
        let own = &mut self.links.journal.config;
        own.rules.clone_from(&config.rules);
        own.backlog_messages = config.backlog_messages;
        own.backlog_bytes = config.backlog_bytes;
    }

    /// Takes other limits of listeners, by their numbers. Connections that are open keep theirs.
    pub fn set_listeners(&mut self, listeners: Vec<Arc<ListenerLimits>>) {
        self.listeners = listeners;
    }

    /// Takes other rules for topics: `rewrite`, `auto_subscribe`, `response_information` and
    /// `check_payload_format`. Everything else of `topics` stays, because clients were told of it.
    /// Subscriptions stay as they were made.
    pub fn set_topic_rules(&mut self, topics: &Topics) {
        let Topics {
            rewrite,
            auto_subscribe,
            response_information,
            check_payload_format,
            ..
        } = topics.clone();
        self.topics = Topics {
            rewrite,
            auto_subscribe,
            response_information,
            check_payload_format,
            ..std::mem::take(&mut self.topics)
        };
    }
}

/// The server side of MQTT 3.1, 3.1.1 and 5.0 for the connections of one thread: sessions,
/// subscriptions, queues, wills and acknowledgements, without a socket, a clock or a thread.
///
/// # How to drive it
/// Bytes and time go in, bytes and wishes come out. All calls take an [`Out`] that the driver owns.
/// 1. [`open`](Self::open) when a socket was accepted; its number stands for it from then on.
/// 2. [`handle_input`](Self::handle_input) with what was read, while
///    [`wants_input`](Self::wants_input); [`handle_closed`](Self::handle_closed) at the end or an
///    error of the socket; [`handle_timeout`](Self::handle_timeout) at
///    [`poll_timeout`](Self::poll_timeout).
/// 3. Then drain `Out` in the order of its fields: carry out the retained operations
///    ([`RetainedOp::apply`](super::RetainedOp::apply)), pass on publishes, then
///    [`complete`](Self::complete) what is owed for them, answer authentications
///    ([`authenticate`](Self::authenticate)), questions ([`authorise`](Self::authorise)) and admissions ([`admit`](Self::admit), or [`release`](Self::release) and [`adopt`](Self::adopt) elsewhere).
///    These may put more into `Out`.
/// 4. Flush each dirty connection once: [`outbound`](Self::outbound), gather, write, advance; when
///    it is empty, [`flushed`](Self::flushed), and [`handle_writable`](Self::handle_writable) when
///    that says there is more.
/// 5. Close what is in `closing`, call `handle_closed` for each.
///
/// With a store ([`ShardConfig::durable`]) `Out` is drained once [`collect`](Self::collect) was called, and
/// when other shards' mailboxes have taken the mail, `Out::store` goes to the store with its ticket and the
/// [turn](Self::store_turn). What the store has kept of messages goes to every shard with subscriptions, in
/// the log's order, by [`handle_publishes`](Self::handle_publishes), and only then is the shard that
/// handed something over told so ([`stored`](Self::stored), [`not_stored`](Self::not_stored)); shards that
/// are not given messages are told how far the log is ([`set_log_seen`](Self::set_log_seen)). Mail is
/// handled before input that came later: letters to [all](super::To::All) say what is to be kept. At the
/// start, `set_log_seen` first, then [`restore`](Self::restore) of every session, with its letters, then
/// [`resume_group`](Self::resume_group) and [`restore_delayed`](Self::restore_delayed), then clients.
///
/// A connection's number is free, and may be given out again, after its `handle_closed`.
#[derive(Debug)]
pub struct Shard {
    pub(super) links: Links,
    pub(super) index: SubscriptionIndex,
    pub(super) topics: Topics,
    pub(super) delayed: Delayed,
    /// Sessions by client identifier.
    pub(super) clients: HashTable<u32>,
    pub(super) hasher: SeedableRandomState,
    pub(super) acks: Acks,
    pub(super) listeners: Vec<Arc<ListenerLimits>>,
    pub(super) debts: Debts,
    pub(super) matches: Matches,
    /// What `matches` are for: this topic, and this version of the index.
    pub(super) matched_topic: String,
    pub(super) matched_version: u64,
    /// The streams that a message of that topic is to be kept for.
    pub(super) streams: Vec<StreamKey>,
    pub(super) chosen: Chosen,
    pub(super) scratch: Vec<u8>,
    /// The topic that the last alias stood for.
    pub(super) aliased: String,
    /// The topic of the last message from behind a mount point.
    pub(super) mounted: String,
    /// What a rule made of the topic of the last message.
    pub(super) rewritten: String,
    /// Exclusive subscriptions that the packet which is handled may make.
    pub(super) granted: Exclusive,
    pub(super) peers_interested: bool,
    /// `None`: everybody may do everything.
    pub(super) access: Option<Box<Access>>,
    /// Whoever listens in this process.
    pub(super) observers: Observers,
    /// What clients do is told.
    pub(super) tells: bool,
    pub(super) drops: super::events::Drops,
    pub(super) number: u16,
    pub(super) owner: Owner,
    pub(super) seed: u64,
    pub(super) server_reference: Option<Box<str>>,
    /// Sessions and made-up client identifiers given out so far.
    pub(super) last_session: u64,
    pub(super) last_assigned: u64,
    last_serial: u32,
    /// Memberships in groups given out so far.
    pub(super) last_join: u32,
    /// The groups whose home is here.
    pub(super) groups: Groups,
}

impl Shard {
    /// A shard without connections.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        let ShardConfig {
            number,
            seed,
            limits,
            listeners,
            owner,
            topics,
            shares,
            slow,
            durable,
        } = config;
        let mut links = Links::new(number, limits, slow);
        links.journal = Journal::new(durable, owner.epoch);
        Self {
            links,
            listeners,
            debts: Debts::default(),
            index: SubscriptionIndex::new(seed),
            topics,
            delayed: Delayed::default(),
            clients: HashTable::new(),
            hasher: SeedableRandomState::with_seed(
                seed.rotate_left(17),
                SharedSeed::global_fixed(),
            ),
            acks: Acks::default(),
            matches: Matches::default(),
            matched_topic: String::new(),
            matched_version: u64::MAX,
            streams: Vec::new(),
            chosen: Chosen::default(),
            scratch: Vec::new(),
            aliased: String::new(),
            mounted: String::new(),
            rewritten: String::new(),
            granted: Exclusive::new(),
            peers_interested: false,
            access: None,
            observers: Observers::default(),
            tells: false,
            drops: super::events::Drops::default(),
            number,
            owner,
            seed,
            server_reference: None,
            last_session: 0,
            last_assigned: 0,
            last_serial: 0,
            last_join: 0,
            groups: Groups::new(
                shares,
                SeedableRandomState::with_seed(seed.rotate_left(41), SharedSeed::global_fixed()),
            ),
        }
    }

    /// A connection was accepted, from an address if it has one. `None`, counted, when there are as
    /// many as the limit allows: close it.
    pub fn open(
        &mut self,
        now: Time,
        listener: ListenerId,
        peer: Option<IpAddr>,
    ) -> Option<ConnId> {
        self.insert(Connection::new(now, listener, peer))
    }

    /// Bytes came in. Handles every whole packet in them and keeps the beginning of one that is not
    /// whole. Whatever is wrong with them ends this connection and nothing else.
    ///
    /// What is kept of all connections' input may exceed its limit then, which ends one or more of them.
    pub fn handle_input(&mut self, conn: ConnId, now: Time, input: &[u8], out: &mut Out) {
        let packets = self.links.stats.packets_received;
        self.take_input(conn.0, now, input, out);
        let anew = self.links.stats.packets_received != packets;
        self.bound_input(conn.0, anew, now, out);
    }

    fn take_input(&mut self, id: u32, now: Time, mut input: &[u8], out: &mut Out) {
        let enough = self.links.stats.work + self.links.limits.turn_work.max(1);
        while !input.is_empty() {
            let Some(connection) = self.links.conns.get_mut(id) else {
                return;
            };
            match connection.stage {
                Stage::Closing => return,
                Stage::Admission => {
                    if let Some(early) = &mut connection.early {
                        early.input.extend_from_slice(input);
                    }
                    return;
                }
                Stage::Opened | Stage::Authenticating | Stage::Connected => {}
            }
            let waits = connection.held.is_some() || connection.is_paused();
            if waits || self.links.stats.work >= enough {
                self.hold(id, input, out);
                break;
            }
            let most = match connection.stage {
                // Whoever speaks another protocol is not waited for [MQTT-3.1.0-1].
                Stage::Opened if !connection.frames.is_partial() && input[0] >> 4 != CONNECT => {
                    let error = PeerError::protocol("the first packet is not CONNECT");
                    return self.fail(id, error, now, out);
                }
                Stage::Opened | Stage::Authenticating => self.links.limits.connect_size,
                _ => self.links.limits.packet_size,
            };
            let mut frames = std::mem::take(&mut connection.frames);
            let handled = loop {
                match frames.next(&mut input, most) {
                    Ok(None) => break Ok(()),
                    Ok(Some(frame)) => {
                        let was = self.links.conns[id].stage;
                        if let Err(error) = self.handle_frame(id, frame, now, out) {
                            break Err(error);
                        }
                        // What follows a CONNECT, or an AUTH before CONNACK, waits for its answer;
                        // what follows much work, for the others' turn.
                        let conn = &self.links.conns[id];
                        let waits = conn.held.is_some() || conn.is_paused();
                        if conn.stage != was || waits || self.links.stats.work >= enough {
                            break Ok(());
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            if let Err(error) = handled {
                self.fail(id, error, now, out);
                return;
            }
            frames.release();
            let connection = &mut self.links.conns[id];
            connection.frames = frames;
        }
        if self.links.conns.get(id).is_some_and(Connection::is_paused) {
            self.links.arm(id);
        }
        self.refill_after_input(id, now, out);
    }

    /// The outbound buffer has room again: fills it from what waits.
    pub fn handle_writable(&mut self, conn: ConnId, now: Time, out: &mut Out) {
        if let Some(connection) = self.links.conns.get(conn.0) {
            let session = connection.session;
            self.links.refill(session, now, out);
            self.ask_for_retained(session, out);
            self.report_load(session, out);
        }
    }

    /// The socket is closed, by whomever. Its number is free afterwards, and input that waited its turn
    /// is lost ([`holds_input`](Self::holds_input)).
    pub fn handle_closed(&mut self, conn: ConnId, now: Time, out: &mut Out) {
        let Some(connection) = self.links.conns.get(conn.0) else {
            return;
        };
        if connection.stage == Stage::Connected {
            self.detach(conn.0, Departure::Lost, "", now, out);
        }
        self.forget(conn.0);
    }

    /// Messages that other shards offer, or that the log has got, in its order: delivered here, and passed
    /// on to nobody.
    pub fn handle_publishes(&mut self, now: Time, messages: &[Message], out: &mut Out) {
        for message in messages {
            let seq = message.log_seq();
            if seq == 0 {
                self.links.stats.received_from_peers += 1;
            } else {
                self.set_log_seen(seq);
            }
            if self.match_topic(message.topic()) {
                self.fan_out(&mut Source::made(message).of_log(seq), now, out);
            }
        }
    }

    /// A message of this process, which offers it to the other shards itself.
    pub fn handle_published(&mut self, now: Time, message: &Message, out: &mut Out) {
        self.links.stats.received_from_peers += 1;
        if self.match_topic(message.topic()) {
            let mut source = Source::made(message);
            if self.observers.is_watched() {
                self.show(&mut source, None, out);
            }
            self.fan_out(&mut source, now, out);
        }
    }

    /// A message of this process, given to the store if sessions that it keeps want it: then it comes to all
    /// shards from there and is to be offered to none. False, and nothing done, if not. To be asked of one
    /// shard, before any gets the message.
    pub fn keep_published(&mut self, message: &Message, out: &mut Out) -> bool {
        self.match_topic(message.topic());
        if self.streams.is_empty() || message.qos() == QoS::AtMostOnce {
            return false;
        }
        let mut source = Source::made(message);
        if self.observers.is_watched() {
            self.show(&mut source, None, out);
        }
        self.links.journal.listener = None;
        self.append(&mut source, out);
        self.links.after_stored(Then::Published, out);
        true
    }

    /// Whether any other shard has subscriptions: if not, [`Out::publishes`] stays empty.
    pub fn set_peers_interested(&mut self, interested: bool) {
        self.peers_interested = interested;
    }

    /// What a connection has to send. Asking ends its being in [`Out::dirty`]: flush it now, or when
    /// its socket is writable again.
    pub fn outbound(&mut self, conn: ConnId) -> Option<&mut Outbound> {
        let connection = self.links.conns.get_mut(conn.0)?;
        if connection.gated {
            return None;
        }
        connection.dirty = false;
        connection.outbound.as_deref_mut()
    }

    /// Call after a flush: takes the buffer back if it is empty. True when more waits and the buffer
    /// has room: call [`handle_writable`](Self::handle_writable).
    pub fn flushed(&mut self, conn: ConnId) -> bool {
        let Some(connection) = self.links.conns.get_mut(conn.0) else {
            return false;
        };
        if let Some(buffer) = connection.outbound.take_if(|outbound| outbound.is_empty()) {
            self.links.pool.give(buffer);
        }
        let (waits, session) = (connection.outbound_len(), connection.session);
        waits < self.links.outbound_room()
            && (self.links.has_backlog(session)
                || self.links.wants_retained(session)
                || self.links.wants_page(session))
    }

    /// False: don't read this socket now, ask again after a flush or an admission.
    #[must_use]
    pub fn wants_input(&self, conn: ConnId) -> bool {
        let (limits, room) = (&self.links.limits, self.links.outbound_room());
        self.links.conns.get(conn.0).is_some_and(|connection| {
            let early = connection
                .early
                .as_ref()
                .map_or(0, |early| early.input.len());
            connection.stage != Stage::Closing
                && connection.held.is_none()
                && !connection.is_paused()
                && early < limits.early_input
                && connection.outbound_len() < 2 * room
                && connection.owed < limits.owed_acks.min(self.most_owed())
        })
    }

    /// Whether a connection has sent more than its rate: it need not be asked whether it
    /// [wants input](Self::wants_input) before it stands in [`Out::resumed`].
    #[must_use]
    pub fn is_paused(&self, conn: ConnId) -> bool {
        let connection = self.links.conns.get(conn.0);
        connection.is_some_and(Connection::is_paused)
    }

    /// Takes a connection that waits for its admission out, to be adopted by another shard. `None`
    /// when it is gone or does not wait. Its number is free afterwards.
    pub fn release(&mut self, conn: ConnId) -> Option<Parked> {
        let connection = self.links.conns.get_mut(conn.0)?;
        let open = |auth: &Authentication| !auth.is_done();
        if connection.auth.as_deref().is_some_and(open) {
            return None;
        }
        let early = connection.early.take()?;
        let parked = Parked {
            early: *early,
            auth: connection.auth.take(),
            standing: connection.standing.take(),
            listener: connection.listener,
            peer: connection.peer,
            opened: connection.last_packet,
            version: connection.version,
        };
        self.forget(conn.0);
        Some(parked)
    }

    /// Takes a connection over that another shard released; [`admit`](Self::admit) it next. `None`,
    /// counted, when there are as many as the limit allows: close it.
    pub fn adopt(&mut self, _now: Time, parked: Parked) -> Option<ConnId> {
        let mut connection = Connection::new(parked.opened, parked.listener, parked.peer);
        connection.stage = Stage::Admission;
        connection.version = parked.version;
        connection.early = Some(Box::new(parked.early));
        connection.auth = parked.auth;
        connection.standing = parked.standing;
        self.insert(connection)
    }

    /// Subscriptions of all sessions, and observers.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.index.len() + self.observers.len()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.links.stats
    }

    /// Bytes that wait in outbound buffers now, and those of acknowledgements that are owed.
    #[must_use]
    pub fn outbound_bytes(&self) -> usize {
        self.links.outbound_bytes()
    }

    /// Whether this client has a session here, connected or not.
    #[must_use]
    pub fn has_session(&self, client_id: &str) -> bool {
        self.find_session(client_id).is_some()
    }

    pub(super) fn find_session(&self, client_id: &str) -> Option<u32> {
        let sessions = &self.links.sessions;
        self.clients
            .find(self.hash(client_id), |slot| {
                *sessions[*slot].client_id == *client_id
            })
            .copied()
    }

    pub(super) fn hash(&self, client_id: &str) -> u64 {
        self.hasher.hash_one(client_id)
    }

    /// Writes a packet; an error when it is larger than the client takes.
    pub(super) fn send(
        &mut self,
        id: u32,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let conn = &mut self.links.conns[id];
        if conn.send(id, packet, &mut self.links.pool, out) {
            self.links.stats.control_sent += 1;
            Ok(())
        } else {
            Err(PeerError::new(
                ReasonCode::PACKET_TOO_LARGE,
                "the answer exceeds the client's Maximum Packet Size",
            ))
        }
    }

    fn insert(&mut self, connection: Connection) -> Option<ConnId> {
        if self.links.conns.len() >= self.links.limits.connections {
            self.links.stats.connections_refused += 1;
            return None;
        }
        self.links.stats.connections += 1;
        self.last_serial = self.last_serial.wrapping_add(1);
        let connection = Connection {
            serial: self.last_serial,
            ..connection
        };
        let id = self.links.conns.insert(connection);
        self.links.count_input(id);
        self.arm(id);
        Some(ConnId(id))
    }

    fn handle_frame(
        &mut self,
        id: u32,
        frame: Frame<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.links.stats.packets_received += 1;
        let conn = &mut self.links.conns[id];
        if conn.stage == Stage::Opened {
            return self.handle_first(id, frame, out);
        }
        if conn.stage == Stage::Authenticating {
            return self.handle_unadmitted(id, frame, out);
        }
        conn.last_packet = now;
        if let Some(meter) = &mut conn.meter {
            let messages = u64::from(frame.packet_type == PacketType::Publish);
            meter.charge(Way::In, now, messages, frame.len as u64);
            if !meter.is_open(Way::In, now) {
                self.links.stats.rate_pauses += 1;
            }
        }
        // Looked at where it was made: taking it out of the result would copy as much as the largest
        // packet has.
        match &Packet::decode(frame, conn.version) {
            Ok(Packet::Publish(publish)) => self.handle_publish(id, publish, now, out),
            Ok(Packet::PubAck(ack)) => self.handle_puback(id, ack, now),
            Ok(Packet::PubRec(ack)) => self.handle_pubrec(id, ack, now, out),
            Ok(Packet::PubRel(ack)) => {
                self.handle_pubrel(id, ack, out);
                Ok(())
            }
            Ok(Packet::PubComp(ack)) => self.handle_pubcomp(id, ack, now),
            Ok(Packet::PingReq) => self.send(id, &Packet::PingResp, out),
            Ok(Packet::Subscribe(subscribe)) => self.handle_subscribe(id, subscribe, now, out),
            Ok(Packet::Unsubscribe(unsubscribe)) => self.handle_unsubscribe(id, unsubscribe, out),
            Ok(Packet::Disconnect(disconnect)) => self.handle_disconnect(id, disconnect, now, out),
            // [MQTT-3.1.0-2]
            Ok(Packet::Connect(_)) => Err(PeerError::protocol("a second CONNECT")),
            Ok(Packet::Auth(auth)) => self.handle_auth(id, auth, out),
            Ok(Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp) => {
                Err(PeerError::protocol("a packet that only a server sends"))
            }
            Err(error) => Err(*error),
        }
    }

    /// Acknowledgements may have made room for what waits: looked at once per input, not per packet.
    fn refill_after_input(&mut self, id: u32, now: Time, out: &mut Out) {
        let Some(connection) = self.links.conns.get(id) else {
            return;
        };
        let session = connection.session;
        if session != NONE && self.links.has_backlog(session) {
            self.links.refill(session, now, out);
        }
        if session != NONE {
            self.ask_for_retained(session, out);
            self.report_load(session, out);
        }
    }
}
