//! Reason Strings: what a failure was about, in words, for clients that did not decline them.

use super::connection::Connection;
use super::out::Out;
use super::shard::Shard;
use crate::codec::{
    Ack, Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Value,
};
use crate::error::PeerError;
use crate::reason::ReasonCode;

impl Connection {
    /// What CONNECT says about the answers that the client takes.
    pub(super) fn learn(&mut self, connect: &Connect<'_>) {
        self.version = connect.version;
        // Read once more at the admission: the driver may know better by then.
        if self.user.is_none() {
            self.user = connect.user_name.map(Into::into);
        }
        self.learn_of_answers(connect.properties);
    }

    /// The same of a CONNECT that can't be read as a whole. One that may have set a limit where it is
    /// broken gets no words [MQTT-3.2.2-19].
    pub(super) fn learn_of_broken(&mut self, body: &[u8]) {
        match Connect::leading_properties(body) {
            Some(properties) => self.learn_of_answers(properties),
            None => self.explains = false,
        }
    }

    fn learn_of_answers(&mut self, properties: Properties<'_>) {
        let number = |id| properties.number(id);
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

    /// An acknowledgement with a Reason String, encoded; `None` where the client gets none.
    pub(super) fn explained_ack(
        &self,
        kind: PacketType,
        packet_id: u16,
        error: PeerError,
    ) -> Option<Vec<u8>> {
        let properties = self.explain(error.what);
        if properties.is_empty() {
            return None;
        }
        let ack = Ack {
            packet_id,
            reason: error.reason,
            properties: properties.get(),
        };
        let packet = match kind {
            PacketType::PubAck => Packet::PubAck(ack),
            PacketType::PubRec => Packet::PubRec(ack),
            PacketType::PubRel => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        };
        self.encoded(&packet)
    }

    /// A packet, unless the client would not take one of its size.
    pub(super) fn encoded(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        // What the shard writes by itself can be written, so an error is a packet too large.
        let written = packet.encode(self.version, &mut bytes);
        written
            .is_ok_and(|len| len <= self.max_packet_size as usize)
            .then_some(bytes)
    }
}

impl Shard {
    /// Where clients are to go that are told Use another server or Server moved: the Server Reference
    /// of each such CONNACK and DISCONNECT from now on (4.11). `None`, or what is no MQTT string:
    /// they are told no place.
    pub fn set_server_reference(&mut self, place: Option<Box<str>>) {
        self.server_reference = place;
    }

    /// Writes the first of these packets that the client's Maximum Packet Size lets through, the one
    /// that says most in front. An error when not even the last one fits.
    pub(super) fn send_first<const N: usize>(
        &mut self,
        id: u32,
        packets: [Packet<'_>; N],
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mut sent = Ok(());
        for packet in &packets {
            sent = self.send(id, packet, out);
            if sent.is_ok() {
                break;
            }
        }
        sent
    }

    /// What a CONNACK or DISCONNECT that ends a connection may say besides its code, and what is
    /// worth most of it if that is too much: where to go instead, before words.
    pub(super) fn last_words(&self, id: u32, reason: ReasonCode, what: &str) -> [PropertiesBuf; 2] {
        let conn = &self.links.conns[id];
        let (mut all, mut most) = (conn.explain(what), PropertiesBuf::default());
        let redirects = matches!(
            reason,
            ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED
        );
        if let Some(place) = self.server_reference.as_deref()
            && redirects
            && conn.version.is_v5()
        {
            for properties in [&mut all, &mut most] {
                // What can't be sent is as if it were not there.
                let _ = properties.push(PropertyId::ServerReference, Value::Utf8String(place));
            }
        }
        [all, most]
    }

    /// Owes an acknowledgement that reports a failure. Before MQTT 5.0 it reports nothing.
    pub(super) fn answer_failure(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        error: PeerError,
        out: &mut Out,
    ) {
        match self.links.conns[id].explained_ack(kind, packet_id, error) {
            Some(packet) => self.answer_encoded(id, packet, out),
            None => self.answer(id, kind, packet_id, error.reason, out),
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
        ReasonCode::USE_ANOTHER_SERVER | ReasonCode::SERVER_MOVED => {
            "the server lets its clients go"
        }
        ReasonCode::BANNED => "the server's operator has banned this client",
        ReasonCode::SERVER_BUSY => "the server holds as much as it may",
        ReasonCode::NOT_AUTHORIZED => "the server does not let this client do that",
        ReasonCode::ADMINISTRATIVE_ACTION => "the server's operator ended the connection",
        other => other.name(),
    }
}
