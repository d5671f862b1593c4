//! What clients do, told to whoever wants to know.

use super::out::{ListenerId, Out};
use super::shard::Shard;
use super::stats::Dropped;
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
    /// A connection was ended before anybody was let in through it.
    Refused {
        /// The client identifier of its CONNECT; empty where there was none to be read.
        client_id: Box<str>,
        /// The user name of its CONNECT, or who it has shown to be.
        user_name: Option<Box<str>>,
        /// Through which listener it came in.
        listener: ListenerId,
        /// Where it is; `None` for one without an IP address.
        peer: Option<IpAddr>,
        /// Why, whether or not the client was told; `None` where that was before MQTT: its TLS failed, or
        /// there was no room for one more connection.
        reason: Option<ReasonCode>,
        /// The same in words; empty where the reason says it all.
        what: Box<str>,
    },
    /// Its connection is over. Its session may stay.
    Disconnected {
        /// Its client identifier.
        client_id: Box<str>,
        /// How.
        departure: Departure,
        /// What the broker has to say about it, such as the rule of the protocol that the client broke; empty
        /// where it is not the broker's doing.
        what: Box<str>,
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
        /// Whether that is because the client was away for longer than its Session Expiry Interval.
        expired: bool,
    },
    /// It does not get messages that it was due: told a second after the last time at the soonest, so that
    /// many cost no more than few.
    Dropped {
        /// Its client identifier.
        client_id: Box<str>,
        /// How many since this was told of it before, by reason.
        dropped: Dropped,
    },
    /// So many connections more were refused than [`Refused`](Self::Refused) has told of: strangers can make
    /// any number of them, and each shard tells of 20 in a second.
    RefusedMore(u64),
}

/// Sessions looked at for dropped messages at once.
const SLOTS_AT_ONCE: u32 = 4_096;

/// How far [`Shard::tell_drops`] has come.
#[derive(Debug, Default)]
pub(super) struct Drops {
    /// All of the shard when the look at its sessions began.
    seen: u64,
    /// Where that goes on.
    from: Option<u32>,
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
    /// The client identifier; it is empty in [`RefusedMore`](Self::RefusedMore), and may be in
    /// [`Refused`](Self::Refused).
    #[must_use]
    pub fn client_id(&self) -> &str {
        match self {
            Self::Connected { client_id, .. }
            | Self::Refused { client_id, .. }
            | Self::Disconnected { client_id, .. }
            | Self::Subscribed { client_id, .. }
            | Self::Unsubscribed { client_id, .. }
            | Self::SessionEnded { client_id, .. }
            | Self::Dropped { client_id, .. } => client_id,
            Self::RefusedMore(_) => "",
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

    /// `client_id`: `None` for the one of the CONNECT that waits here, if there is one.
    #[cold]
    pub(super) fn tell_refused(
        &self,
        id: u32,
        client_id: Option<&str>,
        reason: ReasonCode,
        what: &str,
        out: &mut Out,
    ) {
        let conn = &self.links.conns[id];
        let early = conn.early.as_ref();
        let client_id = client_id.or(early.map(|early| &*early.client_id));
        out.told.push(ClientEvent::Refused {
            client_id: client_id.unwrap_or_default().into(),
            user_name: conn.user_name().map(Into::into),
            listener: conn.listener,
            peer: conn.peer,
            reason: Some(reason),
            what: what.into(),
        });
    }

    #[cold]
    pub(super) fn tell_disconnected(
        &self,
        id: u32,
        departure: Departure,
        what: &str,
        out: &mut Out,
    ) {
        let client_id = self.client_of(id);
        out.told.push(ClientEvent::Disconnected {
            client_id,
            departure,
            what: what.into(),
        });
    }

    /// Whether messages of clients were dropped that [`tell_drops`](Self::tell_drops) has not told of, or may
    /// have been.
    #[must_use]
    pub fn has_untold_drops(&self) -> bool {
        self.tells
            && (self.drops.from.is_some() || self.drops.seen != self.links.stats.dropped.total())
    }

    /// Tells of messages that were dropped, of `most` clients at most: it looks at some of the sessions in
    /// each call. Whether there are sessions left to look at.
    pub fn tell_drops(&mut self, most: usize, out: &mut Out) -> bool {
        let total = self.links.stats.dropped.total();
        let drops = &mut self.drops;
        let from = drops.from.take().unwrap_or_else(|| {
            drops.seen = total;
            0
        });
        let enough = out.told.len() + most;
        let sessions = &mut self.links.sessions;
        for slot in from..sessions.slots() {
            if slot - from >= SLOTS_AT_ONCE || out.told.len() >= enough {
                drops.from = Some(slot);
                return true;
            }
            if let Some(session) = sessions.get_mut(slot)
                && let Some(dropped) = session.counters.take_dropped()
            {
                let client_id = session.client_id.clone();
                out.told.push(ClientEvent::Dropped { client_id, dropped });
            }
        }
        false
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
