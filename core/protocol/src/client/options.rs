//! What a client wants of its connections.

use crate::codec::{
    Connect, MAX_PACKET_SIZE, PropertiesBuf, PropertyId, QoS, Value, connect::Will as WireWill,
};
use crate::error::EncodeError;
use crate::version::ProtocolVersion;

/// Everything that decides how a [`ClientSession`](super::ClientSession) connects and queues.
///
/// What belongs to a connection is read when it opens and holds until it closes; changes through
/// [`options_mut`](super::ClientSession::options_mut) count from the next one on. The limits of the
/// outbox count at once.
#[derive(Clone)]
pub struct Options {
    /// The version to speak. To fall back, set an older one after a refusal and open again.
    pub version: ProtocolVersion,
    /// May be empty where the version allows it: the server then assigns one, which MQTT 5.0 tells;
    /// it is stored here for the next connection.
    pub client_id: String,
    /// Clean Start of MQTT 5.0, Clean Session before: begin without the state of earlier connections.
    pub clean_start: bool,
    /// Seconds, 0 for none. The server may impose another (section 3.2.2.3.14).
    pub keep_alive: u16,
    /// How long the server may stay silent after a PINGREQ, in milliseconds.
    pub ping_timeout_ms: u64,
    /// The user name.
    pub user_name: Option<String>,
    /// The password. Never shown by `Debug`.
    pub password: Option<Vec<u8>>,
    /// What the server publishes when the connection ends without a DISCONNECT.
    pub will: Option<Will>,
    /// CONNECT properties of MQTT 5.0, ignored before: Session Expiry Interval, Receive Maximum,
    /// Topic Alias Maximum and so on. What is announced here is enforced on the server.
    pub properties: PropertiesBuf,
    /// PUBLISH packets with QoS above 0 that may wait for an acknowledgement at a time; the
    /// server's Receive Maximum holds if it is lower. 0 counts as 1.
    pub max_inflight: u16,
    /// Most messages in the outbox, which holds what was published while the window was full or
    /// there was no connection.
    pub max_queued_messages: usize,
    /// Most bytes of messages in the outbox, and most bytes that may stand in the outbound buffer
    /// for a PUBLISH to be taken.
    pub max_queued_bytes: usize,
    /// Most bytes of one packet that comes in; MQTT 5.0 tells it to the server. A Maximum Packet Size
    /// among the properties counts in its place.
    pub max_packet_size: u32,
    /// What gives way when the outbox is full: its oldest messages, which end with
    /// [`DropReason::Overflow`](super::DropReason::Overflow), or the new one, which is refused.
    pub drop_oldest: bool,
    /// Topic aliases to set on outgoing messages, at most the server's Topic Alias Maximum; 0 for
    /// none. Pays when few long topics are published to often.
    pub max_topic_aliases: u16,
    /// Who acknowledges incoming messages.
    pub acknowledge: Acknowledge,
    /// Milliseconds from CONNECT to CONNACK; 0 waits for ever.
    pub connect_timeout_ms: u64,
    /// Whether a publish without a connection goes to the outbox or is refused.
    pub publish_offline: bool,
    /// What happens to unacknowledged messages when the server has lost the session.
    pub lost_session: LostSession,
    /// Whether [`Event::Progress`](super::Event::Progress) is given out, which only a store needs.
    pub report_progress: bool,
}

/// Who acknowledges incoming messages of QoS 1 and 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// The session, as soon as the message is in the event queue.
    #[default]
    Automatic,
    /// The user, by [`acknowledge`](super::ClientSession::acknowledge).
    Manual,
}

/// What happens to QoS 1 and 2 messages that were sent and not acknowledged when the next
/// connection finds no session on the server: Session Present 0, or our own Clean Start.
///
/// The session state is discarded in both cases [MQTT-3.2.2-5].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostSession {
    /// They are published anew, with DUP 0. Nothing is lost; what the server had passed on before
    /// it lost the session arrives twice, with QoS 2 too.
    #[default]
    Republish,
    /// They are dropped, each with an event: nothing arrives twice. Where the session ends with its
    /// connection, as it does with Clean Session and with a Session Expiry Interval of 0, that is as
    /// soon as the connection has ended, and packet identifiers begin with 1 again.
    Drop,
}

/// A will message (section 3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// A valid topic name.
    pub topic: String,
    /// The application message, at most 65,535 bytes.
    pub payload: Vec<u8>,
    /// How it is published.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Will properties of MQTT 5.0, Will Delay Interval among them; ignored before.
    pub properties: PropertiesBuf,
}

impl Default for Options {
    /// MQTT 5.0, Clean Start, an assigned client identifier, Keep Alive 60 s.
    fn default() -> Self {
        Self {
            version: ProtocolVersion::V5_0,
            client_id: String::new(),
            clean_start: true,
            keep_alive: 60,
            ping_timeout_ms: 20_000,
            user_name: None,
            password: None,
            will: None,
            properties: PropertiesBuf::default(),
            max_inflight: 1024,
            max_queued_messages: 10_000,
            max_queued_bytes: 64 << 20,
            drop_oldest: false,
            max_packet_size: MAX_PACKET_SIZE,
            max_topic_aliases: 0,
            acknowledge: Acknowledge::Automatic,
            connect_timeout_ms: 30_000,
            publish_offline: true,
            lost_session: LostSession::Republish,
            report_progress: false,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("will", &self.will.as_ref().map(|will| &will.topic))
            .field("properties", &self.properties)
            .field("acknowledge", &self.acknowledge)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Whether the session is to outlive the connection.
    pub fn keeps_session(&self) -> bool {
        match self.version.is_v5() {
            true => self.announced(PropertyId::SessionExpiryInterval, 0) > 0,
            false => !self.clean_start,
        }
    }

    /// Appends the CONNECT to `out`.
    pub(super) fn write_connect(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut properties = self.properties.clone();
        let announced = properties.get().number(PropertyId::MaximumPacketSize);
        if announced.is_none() && self.max_packet_size < MAX_PACKET_SIZE {
            let maximum = Value::FourByteInteger(self.max_packet_size);
            properties.push(PropertyId::MaximumPacketSize, maximum)?;
        }
        self.check()?;
        let connect = Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(Will::as_wire),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: properties.get(),
        };
        connect.encode_to(out).map(drop)
    }

    /// A number that the CONNECT properties announce, or what the standard says of its absence.
    pub(super) fn announced(&self, id: PropertyId, absent: u32) -> u32 {
        match self.version.is_v5() {
            true => self.properties.get().number(id).unwrap_or(absent),
            false => absent,
        }
    }

    /// What the codec does not look at.
    fn check(&self) -> Result<(), EncodeError> {
        if self.client_id.is_empty()
            && (self.version == ProtocolVersion::V3_1
                || (self.version == ProtocolVersion::V3_1_1 && !self.clean_start))
        {
            // 3.1.1 [MQTT-3.1.3-7]
            return Err(EncodeError::NotInThisVersion(EMPTY_CLIENT_ID));
        }
        Ok(())
    }
}

impl Will {
    /// A will of QoS 0, not retained, without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PropertiesBuf::default(),
        }
    }

    fn as_wire(&self) -> WireWill<'_> {
        WireWill {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.get(),
        }
    }
}

const EMPTY_CLIENT_ID: &str = "an empty client identifier, or one without Clean Session";
