//! What clients do, told to whoever wants to know.

use super::out::{ListenerId, Out};
use super::shard::Shard;
use crate::codec::QoS;
use crate::reason::ReasonCode;
use crate::version::ProtocolVersion;
use std::net::IpAddr;

/// Something that a client has done, or that was done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// It was let in: CONNACK is on its way.
    Connected {
        /// Its client identifier; one that was made up when it sent none.
        client_id: Box<str>,
        /// Who it has shown to be, else the user name of its CONNECT.
        user_name: Option<Box<str>>,
        /// Through which listener it came in.
        listener: ListenerId,
        /// Where it is; `None` for one without an IP address.
        peer: Option<IpAddr>,
        /// The version it speaks.
        version: ProtocolVersion,
        /// Whether it found a session from before.
        session_present: bool,
    },
    /// Its connection is over. Its session may stay.
    Disconnected {
        /// Its client identifier.
        client_id: Box<str>,
        /// How.
        departure: Departure,
    },
    /// It has subscribed.
    Subscribed {
        /// Its client identifier.
        client_id: Box<str>,
        /// The filter of its SUBSCRIBE, as it sent it.
        filter: Box<str>,
        /// The QoS that was granted.
        qos: QoS,
    },
    /// It has unsubscribed.
    Unsubscribed {
        /// Its client identifier.
        client_id: Box<str>,
        /// The filter of its UNSUBSCRIBE, as it sent it.
        filter: Box<str>,
    },
    /// Its session is over, with all it had.
    SessionEnded {
        /// Its client identifier.
        client_id: Box<str>,
    },
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The client sent DISCONNECT, with this reason code.
    Own(ReasonCode),
    /// The broker has ended it, for this reason.
    Ended(ReasonCode),
    /// The network connection was closed or lost without a DISCONNECT.
    Lost,
}

impl ClientEvent {
    /// The client identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        match self {
            Self::Connected { client_id, .. }
            | Self::Disconnected { client_id, .. }
            | Self::Subscribed { client_id, .. }
            | Self::Unsubscribed { client_id, .. }
            | Self::SessionEnded { client_id } => client_id,
        }
    }
}

impl Shard {
    /// Whether [`Out::told`] tells what clients do.
    pub fn set_telling(&mut self, tells: bool) {
        self.tells = tells;
    }

    #[cold]
    pub(super) fn tell_connected(&self, id: u32, session_present: bool, out: &mut Out) {
        let conn = &self.links.conns[id];
        out.told.push(ClientEvent::Connected {
            client_id: self.client_of(id),
            user_name: conn.user_name().map(Into::into),
            listener: conn.listener,
            peer: conn.peer,
            version: conn.version,
            session_present,
        });
    }

    #[cold]
    pub(super) fn tell_disconnected(&self, id: u32, departure: Departure, out: &mut Out) {
        let client_id = self.client_of(id);
        out.told.push(ClientEvent::Disconnected {
            client_id,
            departure,
        });
    }

    #[cold]
    pub(super) fn tell_subscribed(&self, id: u32, filter: &str, granted: u8, out: &mut Out) {
        out.told.push(ClientEvent::Subscribed {
            client_id: self.client_of(id),
            filter: filter.into(),
            qos: QoS::from_bits(granted).unwrap_or(QoS::AtMostOnce),
        });
    }

    #[cold]
    pub(super) fn tell_unsubscribed(&self, id: u32, filter: &str, out: &mut Out) {
        out.told.push(ClientEvent::Unsubscribed {
            client_id: self.client_of(id),
            filter: filter.into(),
        });
    }

    fn client_of(&self, id: u32) -> Box<str> {
        let session = self.links.sessions.get(self.links.conns[id].session);
        session
            .map(|session| session.client_id.clone())
            .unwrap_or_default()
    }
}
