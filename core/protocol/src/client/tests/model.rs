//! A tiny server that keeps all the rules and checks that the client does, and a wire to it that
//! carries packet by packet and can be cut anywhere.

use super::*;
use std::collections::{BTreeSet, VecDeque};

/// A message on its way to the client.
struct Outgoing {
    id: u16,
    qos: QoS,
    topic: String,
    released: bool,
}

/// One client's server. Panics when the client breaks a rule.
pub(super) struct Server {
    version: ProtocolVersion,
    pub(super) receive_maximum: u16,
    /// What the client announced.
    client_receive_maximum: usize,
    // The session.
    present: bool,
    incoming: BTreeSet<u16>,
    outgoing: Vec<Outgoing>,
    waiting: VecDeque<(String, QoS)>,
    again: VecDeque<u16>,
    last_id: u16,
    // The connection.
    connected: bool,
    unanswered: BTreeSet<u16>,
    owed_to_us: VecDeque<(u16, QoS)>,
    quota: usize,
    /// Answers not given yet.
    pub(super) held: Vec<Vec<u8>>,
    pub(super) output: VecDeque<Vec<u8>>,
    /// Topics of all messages taken over, in order.
    pub(super) log: Vec<String>,
}

impl Server {
    pub(super) fn new(version: ProtocolVersion, client_receive_maximum: usize) -> Self {
        Self {
            version,
            receive_maximum: u16::MAX,
            client_receive_maximum,
            present: false,
            incoming: BTreeSet::new(),
            outgoing: Vec::new(),
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            last_id: 0,
            connected: false,
            unanswered: BTreeSet::new(),
            owed_to_us: VecDeque::new(),
            quota: 0,
            held: Vec::new(),
            output: VecDeque::new(),
            log: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, topic: String, qos: QoS) {
        self.waiting.push_back((topic, qos));
        self.pump();
    }

    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        self.unanswered.clear();
        self.owed_to_us.clear();
        self.held.clear();
        self.output.clear();
    }

    /// The session is lost, with what it holds.
    pub(super) fn forget(&mut self) {
        self.present = false;
        self.incoming.clear();
        self.outgoing.clear();
        self.again.clear();
    }

    /// Gives one of the answers it owes.
    pub(super) fn answer(&mut self, which: usize) {
        let packet = self.held.remove(which);
        if matches!(packet[0] >> 4, 4 | 7) {
            let id = u16::from_be_bytes([packet[2], packet[3]]);
            self.unanswered.remove(&id);
        }
        self.output.push_back(packet);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.waiting.is_empty() && self.incoming.is_empty()
    }

    pub(super) fn handle(&mut self, bytes: &[u8]) {
        let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
            panic!("not one packet: {bytes:?}");
        };
        match Packet::decode(frame, self.version).expect("a valid packet") {
            Packet::Connect(connect) => self.connect(connect.clean_start),
            Packet::Publish(publish) => self.publish(&publish),
            Packet::PubRel(ack) => {
                self.incoming.remove(&ack.packet_id);
                self.hold(Packet::PubComp(Ack::new(
                    ack.packet_id,
                    ReasonCode::SUCCESS,
                )));
            }
            Packet::PubAck(ack) => {
                self.in_turn(ack.packet_id, QoS::AtLeastOnce);
                self.finish(ack.packet_id);
            }
            Packet::PubRec(ack) => {
                self.in_turn(ack.packet_id, QoS::ExactlyOnce);
                let released = self.find(ack.packet_id);
                released.released = true;
                self.put(Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::SUCCESS)));
            }
            Packet::PubComp(ack) => self.finish(ack.packet_id),
            Packet::PingReq => self.put(Packet::PingResp),
            Packet::Disconnect(_) => {}
            other => panic!("not expected here: {other:?}"),
        }
    }

    fn connect(&mut self, clean_start: bool) {
        if clean_start {
            self.forget();
        }
        let session_present = std::mem::replace(&mut self.present, true);
        self.connected = true;
        self.quota = self.client_receive_maximum;
        let limits = numbers(&[(PropertyId::ReceiveMaximum, self.receive_maximum.into())]);
        let properties = if self.version.is_v5() {
            limits.get()
        } else {
            Properties::EMPTY
        };
        let reason = ReasonCode::SUCCESS;
        self.put(Packet::ConnAck(ConnAck {
            session_present,
            reason,
            properties,
        }));
        let (released, again): (Vec<_>, Vec<_>) =
            self.outgoing.iter().partition(|out| out.released);
        self.again = again.iter().map(|out| out.id).collect();
        let released: Vec<u16> = released.iter().map(|out| out.id).collect();
        for id in released {
            self.put(Packet::PubRel(Ack::new(id, ReasonCode::SUCCESS)));
        }
        self.pump();
    }

    fn publish(&mut self, publish: &Publish<'_>) {
        let (id, topic) = (publish.packet_id, publish.topic.to_owned());
        if publish.qos == QoS::AtMostOnce {
            return self.log.push(topic);
        }
        assert!(
            self.unanswered.insert(id),
            "#{id} sent twice on one connection"
        );
        let open = self.unanswered.len();
        assert!(
            open <= usize::from(self.receive_maximum),
            "{open} unacknowledged"
        );
        if publish.qos == QoS::AtLeastOnce {
            self.log.push(topic);
            return self.hold(Packet::PubAck(Ack::new(id, ReasonCode::SUCCESS)));
        }
        if self.incoming.insert(id) {
            self.log.push(topic);
        } else {
            assert!(publish.dup, "#{id} is in use");
        }
        self.hold(Packet::PubRec(Ack::new(id, ReasonCode::SUCCESS)));
    }

    fn pump(&mut self) {
        while self.connected && self.quota > 0 {
            if let Some(id) = self.again.pop_front() {
                let (qos, topic) = (self.find(id).qos, self.find(id).topic.clone());
                self.put_publish(id, qos, &topic, true);
                continue;
            }
            let Some((topic, qos)) = self.waiting.pop_front() else {
                return;
            };
            self.last_id = self.last_id % 1000 + 1;
            let id = self.last_id;
            self.put_publish(id, qos, &topic, false);
            self.outgoing.push(Outgoing {
                id,
                qos,
                topic,
                released: false,
            });
        }
    }

    fn put_publish(&mut self, id: u16, qos: QoS, topic: &str, dup: bool) {
        let mut publish = Publish::new(topic, b"x");
        (publish.qos, publish.packet_id, publish.dup) = (qos, id, dup);
        self.quota -= 1;
        self.owed_to_us.push_back((id, qos));
        self.put(Packet::Publish(publish));
    }

    /// [MQTT-4.6.0-2] [MQTT-4.6.0-3]
    fn in_turn(&mut self, id: u16, qos: QoS) {
        let place = self.owed_to_us.iter().position(|owed| owed.1 == qos);
        let next = place.and_then(|place| self.owed_to_us.remove(place));
        assert_eq!(next, Some((id, qos)), "acknowledged out of turn");
    }

    fn find(&mut self, id: u16) -> &mut Outgoing {
        let found = self.outgoing.iter_mut().find(|out| out.id == id);
        found.expect("an acknowledgement of what was sent")
    }

    fn finish(&mut self, id: u16) {
        self.find(id);
        self.outgoing.retain(|out| out.id != id);
        self.quota = (self.quota + 1).min(self.client_receive_maximum);
        self.pump();
    }

    fn hold(&mut self, packet: Packet<'_>) {
        self.held.push(self.encode(packet));
    }

    fn put(&mut self, packet: Packet<'_>) {
        let bytes = self.encode(packet);
        self.output.push_back(bytes);
    }

    fn encode(&self, packet: Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).expect("a packet");
        bytes
    }
}

/// A client, a server and what is on the wire between them.
pub(super) struct World {
    pub(super) peer: Peer,
    pub(super) server: Server,
    pub(super) up: VecDeque<Vec<u8>>,
    pub(super) sent: Vec<String>,
    pub(super) given: Vec<String>,
    pub(super) received: Vec<String>,
    pub(super) tokens: Vec<Token>,
    pub(super) completed: Vec<Token>,
    /// Messages the user has not acknowledged, in manual mode.
    pub(super) to_acknowledge: Vec<Delivery>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        let announced = options.announced(PropertyId::ReceiveMaximum, u16::MAX.into());
        Self {
            server: Server::new(options.version, announced as usize),
            peer: Peer::new(options),
            up: VecDeque::new(),
            sent: Vec::new(),
            given: Vec::new(),
            received: Vec::new(),
            tokens: Vec::new(),
            completed: Vec::new(),
            to_acknowledge: Vec::new(),
        }
    }

    /// The client publishes its next message, if it is taken.
    pub(super) fn publish(&mut self, qos: QoS) {
        let topic = format!("q{}/{}", qos as u8, self.sent.len());
        if let Ok(token) = self.peer.publish(&topic, qos) {
            self.sent.push(topic);
            if token != Token::NONE {
                self.tokens.push(token);
            }
        }
        self.collect();
    }

    /// The server sends its next message.
    pub(super) fn give(&mut self, qos: QoS) {
        let topic = format!("q{}/{}", qos as u8, self.given.len());
        self.server.send(topic.clone(), qos);
        self.given.push(topic);
    }

    pub(super) fn connect(&mut self) {
        self.peer.session.handle_open(self.peer.now);
        self.collect();
    }

    /// Everything on the wire is lost.
    pub(super) fn cut(&mut self) {
        self.up.clear();
        self.server.disconnected();
        self.peer.session.handle_closed(self.peer.now);
        self.collect();
    }

    /// Carries one packet to the server. False when there is none.
    pub(super) fn step_up(&mut self) -> bool {
        let packet = self.up.pop_front();
        if let Some(packet) = &packet {
            self.server.handle(packet);
        }
        packet.is_some()
    }

    /// Carries one packet to the client. False when there is none.
    pub(super) fn step_down(&mut self) -> bool {
        let packet = self.server.output.pop_front();
        if let Some(packet) = &packet {
            self.peer.session.handle_input(self.peer.now, packet);
            self.collect();
        }
        packet.is_some()
    }

    pub(super) fn acknowledge(&mut self, which: usize) {
        let delivery = self.to_acknowledge.remove(which);
        // False for a QoS 1 message of an earlier connection, which comes again.
        self.peer
            .session
            .acknowledge(self.peer.now, delivery, ReasonCode::SUCCESS);
        self.collect();
    }

    /// Carries everything and answers everything, until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = self.step_up() | self.step_down();
            if !self.server.held.is_empty() {
                self.server.answer(0);
                moved = true;
            }
            if !self.to_acknowledge.is_empty() {
                self.acknowledge(0);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// Takes the events, and puts what the client has to send on the wire.
    pub(super) fn collect(&mut self) {
        let session = &self.peer.session;
        assert_eq!(session.pending_count(), session.pending().count());
        while let Some(event) = self.peer.session.poll_event() {
            match event {
                Event::Message(incoming) => {
                    self.received.push(incoming.message.topic().to_owned());
                    let manual = self.peer.session.options().acknowledge == Acknowledge::Manual;
                    if manual && incoming.packet_id != 0 {
                        self.to_acknowledge.push(incoming.delivery);
                    }
                }
                Event::Published { token, reason, .. } => {
                    assert_eq!(reason, ReasonCode::SUCCESS);
                    self.completed.push(token);
                }
                Event::Disconnected { cause, .. } => assert_eq!(cause, Cause::Lost),
                Event::Connected(_) => {}
                other => panic!("not expected here: {other:?}"),
            }
        }
        let bytes = self.peer.sent_bytes();
        let mut rest = &bytes[..];
        while let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) {
            let (packet, others) = rest.split_at(frame.len);
            self.up.push_back(packet.to_vec());
            rest = others;
        }
    }

    /// Checks that nothing was lost, nothing with QoS 2 came twice, and order was kept.
    pub(super) fn check(&self) {
        delivered(&self.sent, &self.server.log);
        delivered(&self.given, &self.received);
        assert!(self.server.is_idle(), "the server still waits");
        assert_eq!(self.peer.session.pending().count(), 0);
        assert_eq!(self.peer.session.pending_count(), 0);
        assert_eq!(self.peer.session.stored().count(), 0);
        let (mut tokens, mut completed) = (self.tokens.clone(), self.completed.clone());
        tokens.sort_unstable();
        completed.sort_unstable();
        assert_eq!(tokens, completed, "each publish completes once");
    }
}

fn delivered(sent: &[String], got: &[String]) {
    for prefix in ["q0", "q1", "q2"] {
        let of = |list: &[String]| -> Vec<String> {
            list.iter()
                .filter(|topic| topic.starts_with(prefix))
                .cloned()
                .collect()
        };
        let (sent, mut got) = (of(sent), of(got));
        if prefix == "q2" {
            assert_eq!(got, sent);
            continue;
        }
        let mut seen = BTreeSet::new();
        got.retain(|topic| seen.insert(topic.clone()));
        if prefix == "q1" {
            assert_eq!(got, sent);
        } else {
            let mut rest = sent.iter();
            assert!(
                got.iter().all(|topic| rest.any(|sent| sent == topic)),
                "{got:?} of {sent:?}"
            );
        }
    }
}
