//! What a client knows of one connection, and forgets with it.

use super::authenticate::Authentication;
use super::{Acknowledge, Event, Options};
use crate::codec::{MAX_PACKET_SIZE, Properties, PropertyId, QoS};
use crate::session::alias::{AliasesIn, AliasesOut};
use crate::session::keepalive::ClientKeepAlive;
use crate::time::Time;
use crate::version::ProtocolVersion;

/// One connection, from `handle_open` to `handle_closed`.
pub(super) struct Link {
    pub(super) version: ProtocolVersion,
    pub(super) acknowledge: Acknowledge,
    pub(super) clean_start: bool,
    /// Whether CONNECT asked for a session that outlives the connection (MQTT 5.0).
    pub(super) session_expires_later: bool,
    /// Whether the session ends with this connection, as far as is known.
    pub(super) session_ends: bool,
    /// When the connect timeout or the flush timeout strikes.
    pub(super) deadline: Time,
    pub(super) keep_alive: ClientKeepAlive,
    /// When the PINGREQ was written whose answer is awaited.
    pub(super) ping_sent: Option<Time>,
    pub(super) authentication: Authentication,
    /// The driver reads from the transport.
    pub(super) reading: bool,
    /// What is sent again has DUP: the server has seen the session.
    pub(super) resumed: bool,
    pub(super) server: ServerLimits,
    pub(super) aliases_in: AliasesIn,
    /// `None` where none are to be set: then no topic is even looked at.
    pub(super) aliases_out: Option<AliasesOut>,
    /// What we announced to the server.
    pub(super) max_packet_size: u32,
    pub(super) receive_quota: ReceiveQuota,
    /// The event that `handle_closed` gives out, once it is known why the connection ends.
    pub(super) ending: Option<Event>,
}

impl Link {
    pub(super) fn new(options: &Options, now: Time) -> Self {
        let alias_maximum = options.announced(PropertyId::TopicAliasMaximum, 0) as u16;
        let receive_maximum = options.announced(PropertyId::ReceiveMaximum, u16::MAX.into()) as u16;
        let method = match options.version.is_v5() {
            true => options
                .properties
                .get()
                .text(PropertyId::AuthenticationMethod),
            false => None,
        };
        let session_expires_later = options.announced(PropertyId::SessionExpiryInterval, 0) > 0;
        Self {
            version: options.version,
            acknowledge: options.acknowledge,
            clean_start: options.clean_start,
            session_expires_later,
            session_ends: match options.version.is_v5() {
                true => !session_expires_later,
                false => options.clean_start,
            },
            deadline: match options.connect_timeout_ms {
                0 => Time::NEVER,
                ms => now.after(ms),
            },
            keep_alive: ClientKeepAlive::new(0, options.ping_timeout_ms, now),
            ping_sent: None,
            authentication: Authentication::new(method),
            reading: true,
            resumed: false,
            server: ServerLimits::default(),
            aliases_in: AliasesIn::new(alias_maximum),
            aliases_out: None,
            max_packet_size: options
                .announced(PropertyId::MaximumPacketSize, options.max_packet_size),
            receive_quota: ReceiveQuota::new(receive_maximum),
            ending: None,
        }
    }
}

/// What CONNACK says of the server (section 3.2.2.3).
pub(super) struct ServerLimits {
    pub(super) receive_maximum: u16,
    pub(super) maximum_qos: QoS,
    pub(super) maximum_packet_size: usize,
    pub(super) topic_alias_maximum: u16,
    pub(super) retain: bool,
    pub(super) wildcards: bool,
    pub(super) subscription_ids: bool,
    pub(super) shared_subscriptions: bool,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::from_connack(Properties::EMPTY)
    }
}

impl ServerLimits {
    pub(super) fn from_connack(properties: Properties<'_>) -> Self {
        let number = |id, absent: u32| properties.number(id).unwrap_or(absent);
        Self {
            receive_maximum: number(PropertyId::ReceiveMaximum, u16::MAX.into()) as u16,
            maximum_qos: QoS::from_bits(number(PropertyId::MaximumQoS, 2) as u8)
                .unwrap_or(QoS::ExactlyOnce),
            maximum_packet_size: number(PropertyId::MaximumPacketSize, MAX_PACKET_SIZE)
                .min(MAX_PACKET_SIZE) as usize,
            topic_alias_maximum: number(PropertyId::TopicAliasMaximum, 0) as u16,
            retain: number(PropertyId::RetainAvailable, 1) == 1,
            wildcards: number(PropertyId::WildcardSubscriptionAvailable, 1) == 1,
            subscription_ids: number(PropertyId::SubscriptionIdentifierAvailable, 1) == 1,
            shared_subscriptions: number(PropertyId::SharedSubscriptionAvailable, 1) == 1,
        }
    }
}

/// The server's send quota as it must count it itself (section 4.9): what it may still send before
/// it breaks our Receive Maximum. A resumed connection begins anew, and so does this.
pub(super) struct ReceiveQuota {
    /// Below 0 after a PUBCOMP for a message of an earlier connection: the server gains quota by
    /// it at a moment that we can't know, before or after the next PUBLISH that we see.
    open: i32,
    maximum: u16,
}

impl ReceiveQuota {
    const fn new(maximum: u16) -> Self {
        Self { open: 0, maximum }
    }

    /// A PUBLISH with QoS above 0 came in. False when it is one too many.
    pub(super) fn publish(&mut self) -> bool {
        let fits = self.open < self.maximum.into();
        self.open += i32::from(fits);
        fits
    }

    /// PUBACK, PUBCOMP or a refusing PUBREC was written.
    pub(super) fn complete(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}
