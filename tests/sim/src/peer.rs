//! The clients: each a `ClientSession` with a mind of its own and a network that can't be trusted.

use std::collections::BTreeMap;

use ternmq_protocol::client::{ClientSession, Options, State, Will};
use ternmq_protocol::codec::{FrameBuffer, PropertiesBuf, PropertyId, QoS, Value, ValueType};
use ternmq_protocol::{ProtocolVersion, Time};

use crate::fault::Fault;
use crate::flow::Flow;
use crate::ledger::{Note, payload};
use crate::plan::Plan;
use crate::random::Random;
use crate::tap::read_packets;
use crate::world::{End, Link, World};

/// What a token stands for.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Publish(u32),
    /// Numbers of the requests in the ledger, with their QoS.
    Subscribe(Vec<(usize, QoS, String)>),
    Unsubscribe(Vec<String>),
}

/// A client.
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) session: ClientSession,
    pub(crate) link: Option<usize>,
    pub(crate) to_flush: bool,
    pub(crate) reconnect_at: Option<Time>,
    pub(crate) acts_at: Time,
    pub(crate) pending: BTreeMap<u16, Pending>,
    /// What it sends, by the wire.
    flow: Flow,
    tap_in: FrameBuffer,
    tap_out: FrameBuffer,
    /// The session that it was connected to last.
    pub(crate) epoch: u64,
    /// Its Maximum Packet Size, if it has one.
    pub(crate) max_packet: Option<u32>,
    /// It connects once, under the name of another client.
    pub(crate) rogue: bool,
    /// The messages that it got, for the audit.
    pub(crate) collected: Option<Vec<(String, u32)>>,
}

impl Peer {
    pub(crate) fn new(number: usize, random: &mut Random, plan: &Plan) -> Self {
        let version = random.pick(&[
            ProtocolVersion::V3_1,
            ProtocolVersion::V3_1_1,
            ProtocolVersion::V5_0,
            ProtocolVersion::V5_0,
        ]);
        let mut options = Options {
            version,
            client_id: format!("client {number}"),
            clean_start: random.one_in(3),
            keep_alive: random.between(2, 20) as u16,
            ping_timeout_ms: 3_000,
            connect_timeout_ms: 5_000,
            max_inflight: random.pick(&[1, 3, 20, 1024]),
            max_topic_aliases: random.pick(&[0, 2, 10]),
            ..Options::default()
        };
        if version.is_v5() {
            let properties = &mut options.properties;
            let expiry = random.pick(&[0, 1, 5, 3_600, u32::MAX]);
            push(properties, PropertyId::SessionExpiryInterval, expiry);
            if random.one_in(2) {
                let maximum = random.pick(&[1, 2, 5, 30]);
                push(properties, PropertyId::ReceiveMaximum, maximum);
            }
            if random.one_in(2) {
                let maximum = random.pick(&[1, 2, 30]);
                push(properties, PropertyId::TopicAliasMaximum, maximum);
            }
            if plan.small_packets && random.one_in(2) {
                let maximum = random.pick(&[70, 100, 5_000]);
                push(properties, PropertyId::MaximumPacketSize, maximum);
            }
        }
        Self::with(options)
    }

    pub(crate) fn with(options: Options) -> Self {
        let properties = options.properties.get();
        let max_packet = properties.number(PropertyId::MaximumPacketSize);
        Self {
            max_packet,
            id: options.client_id.clone(),
            session: ClientSession::new(options).expect("valid options"),
            link: None,
            to_flush: false,
            reconnect_at: Some(Time(0)),
            acts_at: Time(0),
            pending: BTreeMap::new(),
            flow: Flow::default(),
            tap_in: FrameBuffer::default(),
            tap_out: FrameBuffer::default(),
            epoch: 0,
            rogue: false,
            collected: None,
        }
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.session.options().version
    }

    /// Whether everything it began is done.
    pub(crate) fn is_idle(&self) -> bool {
        self.session.state() == State::Connected
            && self.pending.is_empty()
            && self.session.pending_count() == 0
            && self.session.queued() == (0, 0)
            && self.flow.is_idle()
            && !self.to_flush
    }
}

/// Adds a property with a number.
pub(crate) fn push(properties: &mut PropertiesBuf, id: PropertyId, number: u32) {
    let value = match id.value_type() {
        ValueType::Byte => Value::Byte(number as u8),
        ValueType::TwoByteInteger => Value::TwoByteInteger(number as u16),
        ValueType::VariableByteInteger => Value::VariableByteInteger(number),
        _ => Value::FourByteInteger(number),
    };
    let pushed = properties.push(id, value).map(drop);
    debug_assert!(pushed.is_ok(), "{id:?} is no number");
}

impl World {
    /// Opens a new connection.
    pub(crate) fn connect(&mut self, number: usize) -> Result<(), String> {
        self.peers[number].reconnect_at = None;
        if self.peers[number].link.is_some() {
            return Ok(());
        }
        let will = self.make_will(number);
        let arrives = self.later();
        let capacity = self.plan.pipe;
        let peer = &mut self.peers[number];
        peer.session.options_mut().will = will;
        peer.session.handle_open(self.now);
        let link = Link::new(number, peer.version(), self.now, arrives, capacity);
        (peer.tap_in, peer.tap_out) = (FrameBuffer::default(), FrameBuffer::default());
        let at = self.links.len();
        peer.link = Some(at);
        self.links.push(link);
        self.live.push(at);
        self.note(format_args!("client {number} connects by link {at}"));
        self.client_flush(number)
    }

    fn make_will(&mut self, number: usize) -> Option<Will> {
        let peer = &self.peers[number];
        if self.acts_left == 0 || peer.rogue || self.random.one_in(2) {
            return None;
        }
        let v5 = peer.version().is_v5();
        let mut properties = PropertiesBuf::default();
        if v5 && self.random.one_in(2) {
            let delay = self.random.pick(&[1, 3, 10]);
            push(&mut properties, PropertyId::WillDelayInterval, delay);
        }
        let qos = self
            .random
            .pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        let len = 8 + self.random.below(30);
        let note = Note {
            retain: self.random.one_in(3),
            ..Note::new(number, format!("will/{number}"), qos, len)
        };
        let will = Will {
            topic: note.topic.clone(),
            payload: payload(self.ledger.notes.len() as u32, note.len),
            qos: note.qos,
            retain: note.retain,
            properties,
        };
        self.ledger.notes.push(note);
        Some(will)
    }

    /// Sends what the network takes.
    pub(crate) fn client_flush(&mut self, number: usize) -> Result<(), String> {
        let Some(link) = self.peers[number].link else {
            return Ok(());
        };
        let room = self.links[link].up.room();
        let arrives = self.later();
        let peer = &mut self.peers[number];
        let mut bytes = vec![0; room.min(peer.session.outbound().len())];
        let read = peer.session.outbound().read(&mut bytes);
        bytes.truncate(read);
        peer.to_flush = !peer.session.outbound().is_empty();
        if !bytes.is_empty() {
            let mut frames = std::mem::take(&mut peer.tap_out);
            let (version, flow) = (peer.version(), &mut peer.flow);
            read_packets(&mut frames, &bytes, version, |packet, _| flow.sent(packet))
                .map_err(|error| format!("client {number}: {error}"))?;
            peer.tap_out = frames;
            self.note(format_args!("client {number}: sends {read} bytes"));
            self.send_up(link, arrives, &bytes);
        }
        let peer = &mut self.peers[number];
        if peer.session.wants_close() && !peer.to_flush {
            self.client_close(number)?;
        }
        Ok(())
    }

    /// Piece by piece, so that a fault finds whole packets.
    fn send_up(&mut self, link: usize, arrives: Time, bytes: &[u8]) {
        self.links[link].up.send(arrives, bytes);
        for (fault, first) in [(Fault::StealPubAck, 0x40), (Fault::StealPubRel, 0x62)] {
            let small = bytes.len() == 4 && bytes[0] == first;
            if small && self.faults.strikes(fault) {
                self.links[link].up.steal(|chunk| chunk == bytes);
            }
        }
    }

    /// Bytes or the end of the stream have arrived at a client.
    pub(crate) fn client_read(&mut self, link: usize) -> Result<(), String> {
        let number = self.links[link].peer;
        let most = match self.random.one_in(3) {
            true => 1 + self.random.below(16),
            false => 4_096,
        };
        let now = self.now;
        let input = self.links[link].down.read(now, most);
        if input.is_empty() {
            return match self.links[link].down.at_end(now) {
                true => self.client_close(number),
                false => Ok(()),
            };
        }
        self.note(format_args!("client {number}: {} bytes", input.len()));
        let peer = &mut self.peers[number];
        if peer.session.wants_close() {
            return Ok(()); // which ignores it
        }
        let mut frames = std::mem::take(&mut peer.tap_in);
        let (version, flow) = (peer.version(), &mut peer.flow);
        let resumable = version == ProtocolVersion::V3_1 && !peer.session.options().clean_start;
        read_packets(&mut frames, &input, version, |packet, _| {
            if let ternmq_protocol::codec::Packet::ConnAck(connack) = packet {
                let maximum = connack.properties.number(PropertyId::ReceiveMaximum);
                let resumed = connack.session_present || resumable;
                flow.connected(maximum.unwrap_or(u16::MAX.into()), resumed, false);
            }
            flow.received(packet);
            Ok(())
        })
        .map_err(|error| format!("client {number}: {error}"))?;
        peer.tap_in = frames;
        peer.session.handle_input(now, &input);
        self.after(number)
    }

    pub(crate) fn client_time(&mut self, number: usize) -> Result<(), String> {
        self.peers[number].session.handle_timeout(self.now);
        self.after(number)
    }

    /// Takes the events and sends what there is.
    pub(crate) fn after(&mut self, number: usize) -> Result<(), String> {
        self.take_events(number)?;
        self.client_flush(number)
    }

    /// The client's end of the connection is closed.
    pub(crate) fn client_close(&mut self, number: usize) -> Result<(), String> {
        let Some(link) = self.peers[number].link.take() else {
            return Ok(());
        };
        self.note(format_args!("client {number} closes link {link}"));
        let arrives = self.later();
        let found = &mut self.links[link];
        found.client_open = false;
        found.up.end(arrives);
        found.down.die(0);
        if matches!(found.server, End::Arriving(_)) {
            found.server = End::Closed;
        }
        let pause = self.random.pick(&[0, 50, 1_000, 4_000]);
        let peer = &mut self.peers[number];
        peer.session.handle_closed(self.now);
        peer.to_flush = false;
        if !peer.rogue {
            peer.reconnect_at = Some(self.now.after(pause));
        }
        self.take_events_of(number, Some(link))
    }
}

/// Properties of a message, those that travel and perhaps an expiry.
pub(crate) fn message_properties(random: &mut Random, number: u32) -> (PropertiesBuf, Option<u32>) {
    let mut properties = PropertiesBuf::default();
    if random.one_in(2) {
        let text = format!("text {number}");
        let pair = Value::Utf8StringPair("message", &text);
        let pushed = properties.push(PropertyId::UserProperty, pair).map(drop);
        debug_assert!(pushed.is_ok());
    }
    if random.one_in(4) {
        push(&mut properties, PropertyId::PayloadFormatIndicator, 0);
    }
    let expiry = random.one_in(8).then(|| random.pick(&[1, 5, 1_000]));
    (properties, expiry)
}
