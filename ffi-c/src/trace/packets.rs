//! The packets of a client as lines.

use std::fmt::Write;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ternmq_client::link::Tap;
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::codec::{FrameBuffer, MAX_PACKET_SIZE, Packet, Publish, QoS};
use ternmq_protocol::outbound::Outbound;

use super::{PROTOCOL, trace, wants};

/// Bytes of a payload that are shown.
const SHOWN: usize = 20;

/// Sees the bytes of one client.
pub(crate) struct Packets {
    /// The number of the client, in the place where Paho has its socket.
    number: u64,
    client_id: String,
    state: Mutex<State>,
    /// What came in before belongs to what is kept of it.
    in_step: AtomicBool,
}

struct State {
    version: ProtocolVersion,
    incoming: FrameBuffer,
}

impl Packets {
    pub(crate) fn new(number: u64, client_id: &str, is_v5: bool) -> Self {
        Self {
            number,
            client_id: client_id.to_owned(),
            state: Mutex::new(State {
                version: match is_v5 {
                    true => ProtocolVersion::V5_0,
                    false => ProtocolVersion::V3_1_1,
                },
                incoming: FrameBuffer::default(),
            }),
            in_step: AtomicBool::new(false),
        }
    }

    fn tell(&self, arrow: &str, packet: &Packet<'_>) {
        let Self {
            number, client_id, ..
        } = self;
        let sent = arrow == "->";
        trace!(
            PROTOCOL,
            "{number} {client_id} {arrow} {}",
            text(packet, sent)
        );
    }

    /// Tells all packets in `bytes`.
    fn tell_all(&self, arrow: &str, state: &mut State, buffer: &mut FrameBuffer, mut bytes: &[u8]) {
        while let Ok(Some(frame)) = buffer.next(&mut bytes, MAX_PACKET_SIZE) {
            let Ok(packet) = Packet::decode(frame, state.version) else {
                continue;
            };
            if let Packet::Connect(connect) = &packet {
                state.version = connect.version;
            }
            self.tell(arrow, &packet);
        }
    }
}

impl Tap for Packets {
    fn sending(&self, packets: &Outbound) {
        if !wants(PROTOCOL) {
            return;
        }
        let mut slices = vec![IoSlice::new(&[]); packets.slices()];
        let count = packets.gather(&mut slices);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_all("->", &mut state, &mut FrameBuffer::default(), &bytes);
    }

    fn received(&self, bytes: &[u8], begins: bool) {
        if !wants(PROTOCOL) {
            self.in_step.store(false, Ordering::Relaxed);
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if begins {
            state.incoming = FrameBuffer::default();
            self.in_step.store(true, Ordering::Relaxed);
        }
        // The trace was switched on inside a packet: it begins with the next one that begins a read.
        if self.in_step.load(Ordering::Relaxed) {
            let mut incoming = std::mem::take(&mut state.incoming);
            self.tell_all("<-", &mut state, &mut incoming, bytes);
            state.incoming = incoming;
        }
    }
}

/// A packet in the words of Paho's trace, down to their spaces.
fn text(packet: &Packet<'_>, sent: bool) -> String {
    let done = if sent { " (0)" } else { "" };
    match packet {
        Packet::Connect(connect) => format!(
            "CONNECT version {} clean: {}{done}",
            connect.version.level(),
            u8::from(connect.clean_start)
        ),
        Packet::ConnAck(connack) => format!("CONNACK rc: {}", connack.reason.0),
        Packet::Publish(publish) => publish_text(publish, sent),
        Packet::PubAck(ack) => format!("PUBACK msgid: {}{done}", ack.packet_id),
        Packet::PubRec(ack) => format!("PUBREC msgid: {}{done}", ack.packet_id),
        Packet::PubRel(ack) if sent => format!("PUBREL msgid: {}{done}", ack.packet_id),
        Packet::PubRel(ack) => format!("PUBREL msgid {}", ack.packet_id),
        Packet::PubComp(ack) if sent => format!("PUBCOMP msgid {}{done}", ack.packet_id),
        Packet::PubComp(ack) => format!("PUBCOMP msgid:{}", ack.packet_id),
        Packet::Subscribe(subscribe) => format!("SUBSCRIBE msgid: {}{done}", subscribe.packet_id),
        Packet::SubAck(suback) => format!("SUBACK msgid: {}", suback.packet_id),
        Packet::Unsubscribe(request) => format!("UNSUBSCRIBE msgid: {}{done}", request.packet_id),
        Packet::UnsubAck(unsuback) => format!("UNSUBACK msgid: {}", unsuback.packet_id),
        Packet::PingReq => format!("PINGREQ{done}"),
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(_) if sent => format!("DISCONNECT{done}"),
        Packet::Disconnect(disconnect) => format!("DISCONNECT rc: {}", disconnect.reason.0),
        Packet::Auth(auth) => format!("AUTH rc: {}{done}", auth.reason.0),
    }
}

fn publish_text(publish: &Publish<'_>, sent: bool) -> String {
    let Publish {
        packet_id,
        qos,
        retain,
        payload,
        ..
    } = *publish;
    let mut text = String::from("PUBLISH");
    if !sent || qos != QoS::AtMostOnce {
        let _ = write!(text, " msgid: {packet_id}");
    }
    let _ = write!(text, " qos: {} retained: {}", qos as u8, u8::from(retain));
    match (sent, qos) {
        (false, _) => {}
        (true, QoS::AtMostOnce) => text.push_str(" rc: 0"),
        (true, _) => text.push_str(" rc 0"),
    }
    let shown = String::from_utf8_lossy(&payload[..payload.len().min(SHOWN)]);
    let _ = write!(text, " payload len({}): {shown}", payload.len());
    text
}
