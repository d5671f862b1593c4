//! Reason Strings: what a failure was about, in words, for clients that did not decline them.

use super::connection::Connection;
use super::out::Out;
use super::shard::Shard;
use crate::codec::{Ack, Connect, Packet, PacketType, PropertiesBuf, PropertyId, Value};
use crate::error::PeerError;
use crate::reason::ReasonCode;

impl Connection {
    /// What CONNECT says about the answers that the client takes.
    pub(super) fn learn(&mut self, connect: &Connect<'_>) {
        let number = |id| connect.properties.number(id);
        self.version = connect.version;
        self.max_packet_size = number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX);
        self.explains = number(PropertyId::RequestProblemInformation) != Some(0);
    }

    /// A Reason String, if the client knows them and has not declined. Who has is spared them on
    /// CONNACK and DISCONNECT too, where the standard would let them stand.
    pub(super) fn explain(&self, what: &str) -> PropertiesBuf {
        let mut properties = PropertiesBuf::default();
        if self.explains && self.version.is_v5() && !what.is_empty() {
            // Ours, and short enough.
            let _ = properties.push(PropertyId::ReasonString, Value::Utf8String(what));
        }
        properties
    }
}

impl Shard {
    /// Writes the first of these packets that the client's Maximum Packet Size lets through: one
    /// with a Reason String, or the same without. An error when neither fits.
    pub(super) fn send_either(
        &mut self,
        id: u32,
        [explained, plain]: [Packet<'_>; 2],
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.send(id, &explained, out)
            .or_else(|_| self.send(id, &plain, out))
    }

    /// Writes an acknowledgement that reports a failure. Before MQTT 5.0 it reports nothing.
    pub(super) fn answer_failure(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        error: PeerError,
        out: &mut Out,
    ) {
        let conn = &mut self.links.conns[id];
        let properties = conn.explain(error.what);
        let ack = Ack {
            packet_id,
            reason: error.reason,
            properties: properties.get(),
        };
        let explained = match kind {
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        if properties.is_empty() || !conn.send(id, &explained, &mut self.links.pool, out) {
            conn.send_ack(id, kind, packet_id, error.reason, &mut self.links.pool, out);
        }
    }
}

/// What to say about a reason that comes without words of its own.
pub(super) fn words_for(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::SUCCESS => "",
        ReasonCode::SESSION_TAKEN_OVER => "another connection uses this client identifier",
        ReasonCode::KEEP_ALIVE_TIMEOUT => "nothing came in for one and a half times Keep Alive",
        ReasonCode::SERVER_SHUTTING_DOWN => "the server is stopping",
        ReasonCode::SERVER_BUSY => "the server holds as much as it may",
        ReasonCode::NOT_AUTHORIZED => "the server does not let this client do that",
        ReasonCode::ADMINISTRATIVE_ACTION => "the server's operator ended the connection",
        other => other.name(),
    }
}
