//! What is to go wrong, for tests: connections that are cut after a certain packet, packets that come late,
//! damaged or not at all, peers that can't be reached any more.
//!
//! With [`Config::faults`](crate::Config::faults) every connection gets a layer that cuts the stream of
//! bytes into packets, both ways, and asks for each of them what is to happen, while there are [`Fault`]s.
//! Without it there is no layer and nothing looks.

mod lane;
mod layer;
mod rules;

use std::fmt;
use std::time::Duration;

pub use ternmq_protocol::codec::PacketType;

use ternmq_protocol::ReasonCode;

use crate::broker::Broker;
use crate::shared::Parcel;

pub(crate) use layer::Faulty;
pub(crate) use rules::{Faults, Strike};

/// Faults at once, those included that have done all they should and were not lifted.
pub const MAX_FAULTS: usize = 1_000;

/// One thing that goes wrong, with the packets of one client or of all.
///
/// A packet that several faults are meant for is counted by each of them, and suffers from the first one,
/// in the order in which they were injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The client identifier of the client; `None`: of every client. An identifier that the broker
    /// assigns is known from CONNACK on.
    pub client_id: Option<Box<str>>,
    /// Which way the packets go; `None`: both.
    pub way: Option<Way>,
    /// Which packets.
    pub packets: Packets,
    /// So many of these packets pass before it begins.
    pub after: u64,
    /// It happens to so many packets; `None`: until it is lifted.
    pub times: Option<u64>,
    /// What happens.
    pub harm: Harm,
}

/// Types of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packets(u16);

impl Packets {
    /// Every type.
    pub const ALL: Self = Self(u16::MAX);

    /// None of them: a beginning for a list.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub const fn and(self, packet: PacketType) -> Self {
        Self(self.0 | 1 << packet as u8)
    }

    /// Whether this type is among them.
    #[must_use]
    pub const fn contain(self, packet: PacketType) -> bool {
        self.0 & 1 << packet as u8 != 0
    }
}

impl From<PacketType> for Packets {
    fn from(packet: PacketType) -> Self {
        Self::NONE.and(packet)
    }
}

impl FromIterator<PacketType> for Packets {
    fn from_iter<I: IntoIterator<Item = PacketType>>(packets: I) -> Self {
        packets.into_iter().fold(Self::NONE, Self::and)
    }
}

/// Which way a packet goes, as the broker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The connection ends before it: it does not arrive, nor does anything after it.
    CutBefore,
    /// The connection ends after it: it arrives, and nothing after it, its answer for example.
    CutAfter,
    /// It does not arrive. What follows it does.
    Drop,
    /// It arrives so much later, by the broker's clock, and what follows it not before it. A last word
    /// to a client that ends is given up after a second all the same.
    Delay(Duration),
    /// It waits until the fault is lifted, and what follows it too. The other side is read on and written
    /// to until 1 MiB waits.
    Hold,
    /// The bits of `mask` of its byte at this place are turned over; the last byte for a place beyond it.
    Corrupt {
        /// Counted from its first byte, 0.
        at: usize,
        /// Which bits.
        mask: u8,
    },
    /// Its first byte becomes 0, with which no packet begins: malformed, whatever it was.
    Malform,
    /// From this packet on nothing arrives any more, either way, though the connection stays: a peer
    /// behind a cable that was pulled. Not even the end of either side is seen by the other.
    Vanish,
    /// The client is not let in, for this reason: means CONNECT packets alone, whatever
    /// [`Fault::packets`] says. Before MQTT 5.0 the reason becomes the return code that is nearest.
    Refuse(ReasonCode),
}

/// Names a fault that was injected: a number that no other fault of the broker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultId(pub u64);

/// Why a fault was not injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// The broker was started without [`Config::faults`](crate::Config::faults).
    Off,
    /// There are [`MAX_FAULTS`] already.
    Full,
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("the broker was started without faults"),
            Self::Full => write!(f, "there are {MAX_FAULTS} faults already"),
        }
    }
}

impl std::error::Error for FaultError {}

impl Fault {
    /// A fault that happens to every packet of every client, until it is lifted.
    #[must_use]
    pub const fn of_all(harm: Harm) -> Self {
        Self {
            client_id: None,
            way: None,
            packets: Packets::ALL,
            after: 0,
            times: None,
            harm,
        }
    }
}

impl Broker {
    /// Lets something go wrong from now on: with packets that begin after this, on connections that are
    /// there and on those to come.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn inject(&self, fault: Fault) -> Result<FaultId, FaultError> {
        let faults = self.shared.faults.as_ref().ok_or(FaultError::Off)?;
        faults.inject(fault)
    }

    /// Ends a fault; what it held or delayed goes on at once. What has vanished stays so. False when
    /// there is none of that name.
    pub fn lift(&self, fault: FaultId) -> bool {
        let faults = self.shared.faults.as_ref();
        let lifted = faults.is_some_and(|faults| faults.lift(fault));
        if lifted {
            self.shared.release(false);
        }
        lifted
    }

    /// Ends all faults, and those connections too that the broker had given up and that have vanished.
    pub fn lift_all(&self) {
        if let Some(faults) = &self.shared.faults {
            faults.lift_all();
            self.shared.release(true);
        }
    }

    /// How often a fault has happened; `None` when it was lifted.
    pub fn hits(&self, fault: FaultId) -> Option<u64> {
        self.shared.faults.as_ref()?.hits(fault)
    }

    /// Waits until a fault has happened so often. False when it was lifted, or has not in that time.
    pub fn wait_for_hits(&self, fault: FaultId, hits: u64, timeout: Duration) -> bool {
        let faults = self.shared.faults.as_ref();
        faults.is_some_and(|faults| faults.wait(fault, hits, timeout))
    }

    /// Ends the connections of a client, or of all, without a DISCONNECT. Returns how many there were;
    /// their sessions have none any more then.
    ///
    /// # Errors
    /// [`FaultError::Off`].
    pub fn cut(&self, client_id: Option<&str>) -> Result<usize, FaultError> {
        self.strike(client_id, Strike::Cut)
    }

    /// As [`Harm::Vanish`], at once, for the connections that there are of a client, or of all. Returns
    /// how many.
    ///
    /// # Errors
    /// [`FaultError::Off`].
    pub fn vanish(&self, client_id: Option<&str>) -> Result<usize, FaultError> {
        self.strike(client_id, Strike::Vanish)
    }

    fn strike(&self, client_id: Option<&str>, strike: Strike) -> Result<usize, FaultError> {
        if self.shared.faults.is_none() {
            return Err(FaultError::Off);
        }
        let mailboxes = &self.shared.mailboxes;
        let (reply, replies) = std::sync::mpsc::sync_channel(mailboxes.len());
        for mailbox in mailboxes {
            let parcel = Parcel::Strike(client_id.map(Into::into), strike, reply.clone());
            // A shard that has ended has no connections.
            let _ = mailbox.send(parcel);
        }
        drop(reply);
        Ok(replies.into_iter().sum())
    }
}
