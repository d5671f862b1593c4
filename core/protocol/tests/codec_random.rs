//! Packets and bytes from a seeded generator: what is written is read back the same, and no bytes
//! do more than be refused.
#![forbid(unsafe_code)]

use ternmq_protocol::ProtocolVersion::{self, V3_1, V3_1_1, V5_0};
use ternmq_protocol::codec::{
    Ack, Auth, Codes, ConnAck, Connect, Disconnect, FrameBuffer, MAX_PACKET_SIZE, Packet,
    PacketType, Place, PropertiesBuf, PropertyId, Publish, QoS, Request, RetainHandling, Split,
    SubAck, Subscribe, SubscriptionOptions, Unsubscribe, Value, ValueType, Will, split,
};
use ternmq_protocol::{PeerError, ReasonCode};

/// SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| make(self))
    }

    /// Mostly short, now and then around the borders of the length fields.
    fn len(&mut self) -> usize {
        match self.below(30) {
            0 => 120 + self.below(16),
            1 => 16_370 + self.below(30),
            2 => 65_535 - self.below(3),
            _ => self.below(12),
        }
    }

    fn text(&mut self) -> String {
        let chars = ['a', '/', 'é', '\u{1}', '\u{FEFF}', '€', '😀', '$'];
        let len = self.len();
        let mut text = String::new();
        while text.len() < len {
            text.push(chars[self.below(chars.len())]);
        }
        while text.len() > 65_535 {
            text.pop();
        }
        text
    }

    fn topic(&mut self) -> String {
        let text = self.text();
        if text.is_empty() { "t".into() } else { text }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.len()).map(|_| self.next() as u8).collect()
    }

    fn qos(&mut self) -> QoS {
        QoS::from_bits(self.below(3) as u8).unwrap()
    }

    fn packet_id(&mut self) -> u16 {
        self.below(65_535) as u16 + 1
    }

    /// A code that `kind` may carry.
    fn reason(&mut self, kind: PacketType) -> ReasonCode {
        loop {
            let code = ReasonCode(self.next() as u8);
            if code.allowed_in(kind) {
                return code;
            }
        }
    }

    /// Properties that may stand at `place`, none before MQTT 5.0, in any order.
    fn properties(&mut self, version: ProtocolVersion, place: Place) -> PropertiesBuf {
        let mut buf = PropertiesBuf::default();
        if !version.is_v5() {
            return buf;
        }
        if place == Place::Auth {
            let method = self.text();
            let method = Value::Utf8String(&method);
            buf.push(PropertyId::AuthenticationMethod, method).unwrap();
        }
        for _ in 0..self.below(6) {
            let id = PropertyId::ALL[self.below(PropertyId::ALL.len())];
            let mut longer = buf.clone();
            self.push(&mut longer, id);
            let lonely = id == PropertyId::AuthenticationData
                && longer.get().get(PropertyId::AuthenticationMethod).is_none();
            if longer.check(place).is_ok() && !(lonely && place == Place::Connect) {
                buf = longer;
            }
        }
        buf
    }

    fn push(&mut self, buf: &mut PropertiesBuf, id: PropertyId) {
        let (text, other, bytes) = (self.topic(), self.text(), self.bytes());
        let number = self.next() as u32 >> self.below(32);
        let value = match id.value_type() {
            ValueType::Byte => Value::Byte(self.below(2) as u8),
            ValueType::TwoByteInteger => Value::TwoByteInteger(self.packet_id()),
            ValueType::FourByteInteger => Value::FourByteInteger(number.max(1)),
            ValueType::VariableByteInteger => {
                Value::VariableByteInteger((number % 268_435_455) + 1)
            }
            ValueType::BinaryData => Value::BinaryData(&bytes),
            ValueType::Utf8String => Value::Utf8String(&text),
            ValueType::Utf8StringPair => Value::Utf8StringPair(&other, &text),
        };
        buf.push(id, value).unwrap();
    }
}

/// Writes the packet, reads it back, and gives the bytes.
fn there_and_back(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    let len = packet
        .encode(version, &mut bytes)
        .unwrap_or_else(|e| panic!("{version} {packet:?}: {e}"));
    assert_eq!(len, bytes.len());
    let Ok(Split::Frame(frame)) = split(&bytes, MAX_PACKET_SIZE) else {
        panic!("{version} {packet:?} is no frame");
    };
    assert_eq!(frame.len, len);
    assert_eq!(Packet::decode(frame, version).as_ref(), Ok(packet));
    bytes
}

fn connect(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let properties = seeded.properties(version, Place::Connect);
    let of_will = seeded.properties(version, Place::Will);
    let (client_id, topic, payload) = (seeded.text(), seeded.topic(), seeded.bytes());
    let (user_name, password) = (seeded.maybe(Seeded::text), seeded.maybe(Seeded::bytes));
    let packet = Packet::Connect(Connect {
        version,
        clean_start: seeded.yes(),
        keep_alive: seeded.next() as u16,
        client_id: &client_id,
        will: seeded.maybe(|seeded| Will {
            topic: &topic,
            payload: &payload,
            qos: seeded.qos(),
            retain: seeded.yes(),
            properties: of_will.get(),
        }),
        user_name: user_name.as_deref(),
        password: password
            .as_deref()
            .filter(|_| user_name.is_some() || version.is_v5()),
        properties: properties.get(),
    });
    there_and_back(&packet, version)
}

fn connack(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let properties = seeded.properties(version, Place::ConnAck);
    let mut reason = ReasonCode::SUCCESS;
    if seeded.yes() {
        reason = seeded.reason(PacketType::ConnAck);
    }
    if !version.is_v5() {
        let code = reason.to_connect_return_code();
        reason = code.map_or(ReasonCode::SUCCESS, |c| c.to_reason_code());
    }
    let present = seeded.yes() && version != V3_1;
    let packet = Packet::ConnAck(ConnAck {
        session_present: present && reason == ReasonCode::SUCCESS,
        reason,
        properties: properties.get(),
    });
    there_and_back(&packet, version)
}

fn publish(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let properties = seeded.properties(version, Place::Publish);
    let (mut topic, payload) = (seeded.topic(), seeded.bytes());
    if seeded.yes() && properties.get().get(PropertyId::TopicAlias).is_some() {
        topic.clear();
    }
    let mut publish = Publish::new(&topic, &payload);
    publish.qos = seeded.qos();
    publish.retain = seeded.yes();
    if publish.qos != QoS::AtMostOnce {
        publish.dup = seeded.yes();
        publish.packet_id = seeded.packet_id();
    }
    publish.properties = properties.get();
    there_and_back(&Packet::Publish(publish), version)
}

fn acknowledgement(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let properties = seeded.properties(version, Place::Ack);
    let (kind, make): (_, fn(Ack<'_>) -> Packet<'_>) = match seeded.below(4) {
        0 => (PacketType::PubAck, |a| Packet::PubAck(a)),
        1 => (PacketType::PubRec, |a| Packet::PubRec(a)),
        2 => (PacketType::PubRel, |a| Packet::PubRel(a)),
        _ => (PacketType::PubComp, |a| Packet::PubComp(a)),
    };
    let reason = match version {
        V5_0 => seeded.reason(kind),
        _ => ReasonCode::SUCCESS,
    };
    let ack = Ack {
        packet_id: seeded.packet_id(),
        reason,
        properties: properties.get(),
    };
    there_and_back(&make(ack), version)
}

fn subscribe(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let filters: Vec<String> = (0..=seeded.below(4)).map(|_| seeded.text()).collect();
    let handling = [
        RetainHandling::SendAtSubscribe,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ];
    let mut requests: Vec<Request<'_>> = Vec::new();
    for filter in &filters {
        let mut options = SubscriptionOptions {
            qos: seeded.qos(),
            ..Default::default()
        };
        if version.is_v5() {
            options.no_local = seeded.yes();
            options.retain_as_published = seeded.yes();
            options.retain_handling = handling[seeded.below(3)];
        }
        requests.push((filter, options));
    }
    let properties = seeded.properties(version, Place::Subscribe);
    let subscribe = Subscribe::new(seeded.packet_id(), properties.get(), &requests);
    there_and_back(&Packet::Subscribe(subscribe), version)
}

fn unsubscribe(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let filters: Vec<String> = (0..=seeded.below(4)).map(|_| seeded.text()).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let properties = seeded.properties(version, Place::Unsubscribe);
    let unsubscribe = Unsubscribe::new(seeded.packet_id(), properties.get(), &filters);
    there_and_back(&Packet::Unsubscribe(unsubscribe), version)
}

fn answer(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let kind = match seeded.yes() {
        true => PacketType::SubAck,
        false => PacketType::UnsubAck,
    };
    let count = match (kind, version) {
        (PacketType::UnsubAck, V3_1 | V3_1_1) => 0,
        _ => 1 + seeded.below(200),
    };
    let code = |seeded: &mut Seeded| match version {
        V5_0 => seeded.reason(kind).0,
        _ => [0, 1, 2, 0x80][seeded.below(4)],
    };
    let codes: Vec<u8> = (0..count).map(|_| code(seeded)).collect();
    let properties = seeded.properties(version, Place::SubAck);
    let answer = SubAck {
        packet_id: seeded.packet_id(),
        properties: properties.get(),
        codes: Codes(&codes),
    };
    let packet = match kind {
        PacketType::SubAck => Packet::SubAck(answer),
        _ => Packet::UnsubAck(answer),
    };
    there_and_back(&packet, version)
}

fn control(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let place = if seeded.yes() {
        Place::Disconnect
    } else {
        Place::Auth
    };
    let properties = seeded.properties(version, place);
    let packet = match (seeded.below(3), version, place) {
        (0, ..) => Packet::PingReq,
        (1, ..) => Packet::PingResp,
        (_, V5_0, Place::Auth) => Packet::Auth(Auth {
            reason: seeded.reason(PacketType::Auth),
            properties: properties.get(),
        }),
        (_, V5_0, _) => Packet::Disconnect(Disconnect {
            reason: seeded.reason(PacketType::Disconnect),
            properties: properties.get(),
        }),
        _ => Packet::Disconnect(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)),
    };
    there_and_back(&packet, version)
}

fn any(seeded: &mut Seeded, version: ProtocolVersion) -> Vec<u8> {
    let makers = [
        connect,
        connack,
        publish,
        acknowledgement,
        subscribe,
        unsubscribe,
        answer,
        control,
    ];
    makers[seeded.below(makers.len())](seeded, version)
}

#[test]
fn random_packets_survive_the_way_there_and_back() {
    for seed in 0..4000 {
        let mut seeded = Seeded(seed);
        for version in [V3_1, V3_1_1, V5_0] {
            any(&mut seeded, version);
        }
    }
}

#[test]
fn random_streams_are_the_same_in_random_pieces() {
    for seed in 0..300 {
        let mut seeded = Seeded(1 << 32 | seed);
        let version = [V3_1, V3_1_1, V5_0][seeded.below(3)];
        let packets: Vec<_> = (0..6).map(|_| any(&mut seeded, version)).collect();
        let stream = packets.concat();
        let (mut frames, mut rest, mut count) = (FrameBuffer::default(), &stream[..], 0);
        while !rest.is_empty() {
            let most = 2 << seeded.below(14);
            let size = 1 + seeded.below(most);
            let (mut piece, tail) = rest.split_at(size.min(rest.len()));
            rest = tail;
            while let Some(frame) = frames.next(&mut piece, MAX_PACKET_SIZE).unwrap() {
                let expected = &packets[count];
                assert_eq!(frame.len, expected.len(), "seed {seed}");
                assert!(expected.ends_with(frame.body), "seed {seed}");
                count += 1;
            }
        }
        assert_eq!((count, frames.is_partial()), (packets.len(), false));
    }
}

/// Reads bytes that may be anything; what is accepted must be writable and mean the same again.
fn read_anything(bytes: &[u8], version: ProtocolVersion) -> Result<(), PeerError> {
    let Split::Frame(frame) = split(bytes, MAX_PACKET_SIZE)? else {
        return Ok(());
    };
    let packet = Packet::decode(frame, version)?;
    there_and_back(&packet, version);
    Ok(())
}

#[test]
fn damaged_packets_are_refused_or_mean_something() {
    let known = [
        ReasonCode::MALFORMED_PACKET,
        ReasonCode::PROTOCOL_ERROR,
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        ReasonCode::TOPIC_ALIAS_INVALID,
    ];
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..4000 {
        let mut seeded = Seeded(2 << 32 | seed);
        let version = [V3_1, V3_1_1, V5_0][seeded.below(3)];
        let good = any(&mut seeded, version);
        for _ in 0..4 {
            let mut bytes = good.clone();
            for _ in 0..=seeded.below(3) {
                let at = seeded.below(bytes.len().min(64));
                bytes[at] = match seeded.below(3) {
                    0 => bytes[at] ^ 1 << seeded.below(8),
                    1 => 0,
                    _ => seeded.next() as u8,
                };
            }
            match read_anything(&bytes, version) {
                Ok(()) => accepted += 1,
                Err(error) => {
                    assert!(known.contains(&error.reason), "seed {seed}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}
