//! Acknowledgements as completions: what a shard owes its clients until the driver says that what it
//! promises is kept.
//!
//! PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK are never written in the turn of the packet they
//! answer. They wait here, in one line for the whole shard, and [`Out::owed`] names the last of them.
//! When the driver has carried out what stood in the same `Out` (the retained message is kept, the
//! other shards' mailboxes have the rest, a store has it on its disk), [`Shard::complete`] writes all up
//! to that one. So the order of the answers is that of the packets [MQTT-4.6.0-2], a full mailbox or
//! a slow disk holds acknowledgements back, and the machine does not know which of them it was.
//!
//! Where a store keeps a log there is a second line of the same kind, for what waits until the store has it
//! (`unstored.rs`). A connection that waits for anything there waits there for all that comes later.

use super::connection::{Stage, write_ack};
use super::links::Links;
use super::out::Out;
use super::shard::Shard;
use super::sums::{ALLOWANCE, free};
use super::unstored::{Then, Undo};
use crate::codec::{Packet, PacketType};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use std::collections::VecDeque;

/// All that a shard owed in one of its lines when this was given out. A later ticket covers every earlier
/// one of that line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Marks the tickets of what waits to be stored.
const STORED: u64 = 1 << 63;

impl Ticket {
    /// The same for the line of what waits to be stored.
    pub(super) const fn of_stored(self) -> Self {
        Self(self.0 | STORED)
    }

    /// What [`of_stored`](Self::of_stored) was made from.
    pub(super) const fn in_line(self) -> Self {
        Self(self.0 & !STORED)
    }
}

/// The line of acknowledgements that wait. Bounded by [`Limits::owed_acks`](super::Limits::owed_acks)
/// of each connection.
#[derive(Debug, Default)]
pub(super) struct Acks {
    waiting: VecDeque<Owed>,
    /// How many have left the line so far.
    completed: u64,
}

/// Entries for which an emptied line keeps its memory.
const KEPT: usize = 8192;

/// Delivered to who is there, and not kept for who comes later.
const NOT_RETAINED: PeerError = PeerError::new(
    ReasonCode::QUOTA_EXCEEDED,
    "delivered, but not retained: the server holds as many retained messages as it may",
);

#[derive(Debug)]
pub(super) struct Owed {
    pub(super) conn: u32,
    /// Tells the connection from a later one of the same number.
    pub(super) serial: u32,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// 4 bytes, and one more for a reason.
    Ack(PacketType, u16, ReasonCode, Waits),
    /// A whole packet. Boxed twice, so that the common case stays small.
    Packet(Box<Box<[u8]>>),
    /// A message with QoS 2 from the window.
    Publish(u16),
    /// All that has been written so far, CONNACK in front; and what becomes of the session without it.
    Gate(Box<Undo>),
    /// Something else than an answer.
    Then(Box<Then>),
}

/// What an acknowledgement waits for in the line of what is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// For its turn alone.
    Turn,
    /// For the message that it answers, of the session with this slot; it may be refused.
    Message(u32),
    /// For its session.
    Session,
}

impl Answer {
    /// What it counts as against [`Limits::owed_acks`](super::Limits::owed_acks).
    pub(super) fn weight(&self) -> u32 {
        match self {
            Self::Ack(..) | Self::Publish(_) | Self::Gate(_) | Self::Then(_) => 1,
            // No packet is that large.
            Self::Packet(bytes) => 1 + (bytes.len() / size_of::<Owed>()) as u32,
        }
    }

    pub(super) fn is_puback(&self) -> bool {
        matches!(self, Self::Ack(PacketType::PubAck, ..))
    }

    pub(super) fn write(self, with_reason: bool, bytes: &mut Vec<u8>) {
        match self {
            Self::Ack(kind, packet_id, reason, _) => {
                write_ack(kind, packet_id, reason, with_reason, bytes);
            }
            Self::Packet(packet) => bytes.extend_from_slice(&packet),
            Self::Publish(_) | Self::Gate(_) | Self::Then(_) => {}
        }
    }
}

/// Several answers to one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    weight: u32,
    pubacks: u32,
}

impl Acks {
    pub(super) fn push(&mut self, owed: Owed) -> Ticket {
        self.waiting.push_back(owed);
        Ticket(self.completed + self.waiting.len() as u64)
    }

    /// Whether all that `ticket` covers has left the line.
    pub(super) fn is_done(&self, ticket: Ticket) -> bool {
        self.completed >= ticket.0
    }

    /// Covers all that waits.
    pub(super) fn last(&self) -> Ticket {
        Ticket(self.completed + self.waiting.len() as u64)
    }

    /// Takes out the next one, if `ticket` covers it.
    pub(super) fn pop(&mut self, ticket: Ticket) -> Option<Owed> {
        if self.completed >= ticket.0 {
            return None;
        }
        let owed = self.waiting.pop_front()?;
        self.completed += 1;
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        Some(owed)
    }

    /// What those that wait take, counted anew.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let weights = self
            .waiting
            .iter()
            .filter(|owed| owed.conn != super::arena::NONE)
            .map(|owed| owed.answer.weight() as usize);
        weights.sum::<usize>() * size_of::<Owed>()
    }

    /// The last of those that `ticket` covers, if it still waits.
    fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Owed> {
        let place = ticket.0.checked_sub(self.completed + 1)?;
        self.waiting.get_mut(place as usize)
    }

    /// Takes out the next ones, as far as they are for this connection and `ticket` covers them.
    fn take_for(
        &mut self,
        conn: u32,
        serial: u32,
        ticket: Ticket,
        mut take: impl FnMut(Answer),
    ) -> Sum {
        let mut sum = Sum::default();
        while self.next(ticket) == Some((conn, serial)) {
            let Some(owed) = self.waiting.pop_front() else {
                break;
            };
            self.completed += 1;
            sum.count += 1;
            sum.weight += owed.answer.weight();
            sum.pubacks += u32::from(owed.answer.is_puback());
            take(owed.answer);
        }
        sum
    }

    /// For whom the next of those is that `ticket` covers.
    fn next(&self, ticket: Ticket) -> Option<(u32, u32)> {
        let owed = self.waiting.front()?;
        (self.completed < ticket.0).then_some((owed.conn, owed.serial))
    }
}

impl Shard {
    /// What `ticket` covers is kept: writes the acknowledgements. Those of connections that have ended
    /// meanwhile go nowhere; their clients send again.
    pub fn complete(&mut self, ticket: Ticket, out: &mut Out) {
        let acks = &mut self.acks;
        let mut done = 0;
        // A read gives many packets of one client, so those it is owed stand together.
        while let Some((id, serial)) = acks.next(ticket) {
            let links = &mut self.links;
            let conn = links.conns.get_mut(id);
            let conn = conn.filter(|c| c.serial == serial && c.stage != Stage::Closing);
            let written = match conn {
                Some(conn) => {
                    let explains = conn.takes_reasons();
                    let writer = conn.writer(id, &mut links.pool, out);
                    let written = writer.append(|bytes| {
                        acks.take_for(id, serial, ticket, |answer| answer.write(explains, bytes))
                    });
                    conn.owed -= written.weight;
                    conn.owed_pubacks -= written.pubacks;
                    links.stats.control_sent += written.count;
                    written
                }
                None => acks.take_for(id, serial, ticket, drop),
            };
            done += written.weight as usize;
        }
        self.links.owed_bytes -= done * size_of::<Owed>();
        if acks.waiting.is_empty() && acks.waiting.capacity() > KEPT {
            acks.waiting = VecDeque::new();
        }
    }

    /// Acknowledgements that one connection may wait for by what all of them leave of
    /// [`SumLimits::outbound_bytes`](super::SumLimits::outbound_bytes), of which they will be a part.
    pub(super) fn most_owed(&self) -> u32 {
        let left = free(
            self.links.limits.sums.outbound_bytes,
            self.outbound_bytes() as u64,
        );
        u32::try_from(left.max(ALLOWANCE) / size_of::<Owed>()).unwrap_or(u32::MAX)
    }

    /// The message that this acknowledgement is for was published, but the retained store is full: an
    /// MQTT 5.0 client is told Quota exceeded (0x97), and its exchange is over. Others are acknowledged
    /// as ever. To be called before [`complete`](Self::complete) of the same ticket.
    pub fn handle_not_retained(&mut self, ticket: Ticket) {
        let line = match ticket.0 & STORED {
            0 => &mut self.acks,
            _ => &mut self.links.journal.line,
        };
        let Some(owed) = line.get_mut(ticket.in_line()) else {
            return;
        };
        let Answer::Ack(kind, packet_id, reason, _) = &mut owed.answer else {
            return;
        };
        let (kind, packet_id) = (*kind, *packet_id);
        let conn = self.links.conns.get_mut(owed.conn);
        let Some(conn) = conn.filter(|c| c.serial == owed.serial && c.version.is_v5()) else {
            return;
        };
        *reason = NOT_RETAINED.reason;
        let slot = conn.session;
        if kind == PacketType::PubRec
            && let Some(session) = self.links.sessions.get_mut(slot)
        {
            // A PUBREC that refuses ends the exchange: the identifier is free (4.3.3).
            session.received.pubrel(packet_id);
        }
        if let Some(packet) = conn.explained_ack(kind, packet_id, NOT_RETAINED) {
            conn.owed_pubacks -= u32::from(kind == PacketType::PubAck);
            let (before, answer) = (
                owed.answer.weight(),
                Answer::Packet(Box::new(packet.into())),
            );
            let more = answer.weight() - before;
            owed.answer = answer;
            conn.owed += more;
            self.links.owed_bytes += more as usize * size_of::<Owed>();
        }
        self.links.touch(slot);
    }

    /// Owes an acknowledgement without properties.
    pub(super) fn answer(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        reason: ReasonCode,
        out: &mut Out,
    ) {
        let waits = self.links.waits(id, kind);
        self.answer_after(id, kind, packet_id, reason, waits, out);
    }

    /// The same, and what for it waits.
    pub(super) fn answer_after(
        &mut self,
        id: u32,
        kind: PacketType,
        packet_id: u16,
        reason: ReasonCode,
        waits: Waits,
        out: &mut Out,
    ) -> Ticket {
        self.links.conns[id].owed_pubacks += u32::from(kind == PacketType::PubAck);
        let answer = Answer::Ack(kind, packet_id, reason, waits);
        self.owe(id, answer, waits, out)
    }

    /// Owes the first of these packets that the client's Maximum Packet Size lets through, the one
    /// that says most in front. An error when not even the last one fits.
    pub(super) fn answer_first<const N: usize>(
        &mut self,
        id: u32,
        packets: [Packet<'_>; N],
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let mut owed = Ok(());
        for packet in &packets {
            owed = self.answer_with(id, packet, out);
            if owed.is_ok() {
                break;
            }
        }
        owed
    }

    /// Owes a packet; an error when it is larger than the client takes.
    pub(super) fn answer_with(
        &mut self,
        id: u32,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        match self.links.conns[id].encoded(packet) {
            Some(bytes) => {
                self.answer_encoded(id, bytes, out);
                Ok(())
            }
            None => Err(PeerError::new(
                ReasonCode::PACKET_TOO_LARGE,
                "the answer exceeds the client's Maximum Packet Size",
            )),
        }
    }

    /// Owes a packet that is encoded.
    pub(super) fn answer_encoded(&mut self, id: u32, packet: Vec<u8>, out: &mut Out) {
        let answer = Answer::Packet(Box::new(packet.into()));
        let waits = self.links.waits(id, PacketType::SubAck);
        self.owe(id, answer, waits, out);
    }

    #[inline]
    fn owe(&mut self, id: u32, answer: Answer, waits: Waits, out: &mut Out) -> Ticket {
        if waits != Waits::Turn || self.links.journal.is_waited_for(id) {
            return self.links.owe_stored(id, answer, out);
        }
        let serial = self.links.count_owed(id, &answer);
        let conn = id;
        let ticket = self.acks.push(Owed {
            conn,
            serial,
            answer,
        });
        out.owed = Some(ticket);
        ticket
    }
}

impl Links {
    /// Counts what a connection is owed more. Returns its serial.
    #[inline]
    pub(super) fn count_owed(&mut self, id: u32, answer: &Answer) -> u32 {
        let weight = answer.weight();
        let conn = &mut self.conns[id];
        conn.owed += weight;
        self.owed_bytes += weight as usize * size_of::<Owed>();
        conn.serial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_in_line_takes_24_bytes() {
        assert_eq!(size_of::<Owed>(), 24);
    }
}
