//! One way of a connection: its bytes cut into packets, and what waits of them.

use std::collections::VecDeque;

use ternmq_protocol::codec::{FixedHeader, MAX_PACKET_SIZE, Packet, PacketType, Split, split};
use ternmq_protocol::{ProtocolVersion, Time};

use super::rules::{Faults, Seen};
use super::{FaultId, Harm, Way};

/// Bytes that wait one way: beyond it a client is not read, and what is for it stays with the broker.
pub(super) const HELD_BYTES: usize = 1 << 20;

/// A CONNECT up to this size is looked at for the client's identifier. That of a larger one is known
/// when the client is let in.
const CONNECT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Lane {
    way: Way,
    /// Bytes of a fixed header, or of a CONNECT, that is not whole yet.
    head: Vec<u8>,
    /// How much of `head` has passed already, at a time when there were no faults.
    passed: usize,
    /// Bytes of the packet under way that are still to come.
    left: usize,
    /// What happens to them.
    fate: Fate,
    /// No packets come any more, only bytes: a length that can't be.
    lawless: bool,
    /// The first packet is over: a client has named itself, if it ever will.
    begun: bool,
    pieces: VecDeque<Piece>,
    /// Bytes in them.
    held: usize,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    dropped: bool,
    due: Due,
    /// The connection ends after it.
    cut: bool,
    /// Bytes until the one that is damaged, and how.
    corrupt: Option<(usize, u8)>,
}

/// When something goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Due {
    #[default]
    Now,
    At(FaultId, Time),
    /// When that fault is lifted.
    Lifted(FaultId),
}

#[derive(Debug, Default)]
struct Piece {
    due: Due,
    bytes: Vec<u8>,
    /// Of these, gone already.
    gone: usize,
    end: Option<End>,
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    Cut,
    Vanished,
}

impl Lane {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way,
            head: Vec::new(),
            passed: 0,
            left: 0,
            fate: Fate::default(),
            lawless: false,
            begun: way == Way::Out,
            pieces: VecDeque::new(),
            held: 0,
        }
    }

    /// Whether bytes may go by without being looked at closely.
    pub(super) fn is_clear(&self) -> bool {
        self.begun
            && self.pieces.is_empty()
            && self.passed == self.head.len()
            && (self.left == 0 || self.fate.is_harmless())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes for which there is room.
    pub(super) fn room(&self) -> usize {
        HELD_BYTES.saturating_sub(self.held)
    }

    /// Notes bytes that have gone by.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lawless {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                continue;
            }
            self.fate = Fate::default();
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            match FixedHeader::read(&self.head) {
                Ok(None) => {}
                Ok(Some(header)) => {
                    self.left = header.len - header.header;
                    self.head.clear();
                }
                Err(_) => self.lawless = true,
            }
        }
        self.passed = self.head.len();
    }

    /// Takes bytes, and lets happen to each packet what is to happen to it. Sets `client_id` from a CONNECT.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        client_id: &mut Option<Box<str>>,
        faults: &Faults,
    ) {
        while !bytes.is_empty() {
            if self.lawless {
                self.fate = Fate::default();
                return self.put(bytes);
            }
            if self.left > 0 {
                let (these, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= these.len();
                bytes = rest;
                self.put(these);
                if self.left == 0 {
                    self.end_packet();
                }
                continue;
            }
            bytes = self.take_head(bytes, client_id, faults);
        }
    }

    /// Takes what belongs to the beginning of a packet, and returns the rest.
    fn take_head<'b>(
        &mut self,
        bytes: &'b [u8],
        client_id: &mut Option<Box<str>>,
        faults: &Faults,
    ) -> &'b [u8] {
        let wanted = match FixedHeader::read(&self.head) {
            // The header is there, so this is a CONNECT that is wanted whole.
            Ok(Some(header)) => header.len - self.head.len(),
            _ => 1,
        };
        let (these, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.head.extend_from_slice(these);
        let header = match FixedHeader::read(&self.head) {
            Ok(Some(header)) => header,
            Ok(None) => return rest,
            Err(_) => {
                self.lawless = true;
                self.fate = Fate::default();
                self.put_head();
                return rest;
            }
        };
        if !self.begun && header.packet_type == PacketType::Connect {
            if self.head.len() < header.len.min(CONNECT_BYTES) {
                return rest;
            }
            *client_id = client_id_of(&self.head).or(client_id.take());
        }
        self.begun = true;
        let seen = Seen {
            client_id: client_id.as_deref(),
            way: self.way,
            packet: header.packet_type,
        };
        // A packet of which something has passed is let go on.
        let harm = match self.passed {
            0 => faults.judge(seen),
            _ => None,
        };
        self.begin_packet(header.len, harm, faults);
        rest
    }

    fn begin_packet(&mut self, len: usize, harm: Option<(FaultId, Harm)>, faults: &Faults) {
        let mut fate = Fate::default();
        match harm {
            None | Some((_, Harm::Refuse(_))) => {}
            Some((_, Harm::CutBefore)) => self.end_before(&mut fate, End::Cut),
            Some((_, Harm::CutAfter)) => fate.cut = true,
            Some((_, Harm::Drop)) => fate.dropped = true,
            Some((_, Harm::Vanish)) => self.end_before(&mut fate, End::Vanished),
            Some((id, Harm::Hold)) => fate.due = Due::Lifted(id),
            Some((id, Harm::Delay(by))) => {
                let ms = by.as_millis().try_into().unwrap_or(u64::MAX);
                fate.due = Due::At(id, faults.now().after(ms));
            }
            Some((_, Harm::Malform)) => fate.corrupt = Some((0, self.head[0])),
            Some((_, Harm::Corrupt { at, mask })) => fate.corrupt = Some((at.min(len - 1), mask)),
        }
        self.fate = fate;
        self.left = len - self.head.len();
        self.put_head();
        if self.left == 0 {
            self.end_packet();
        }
    }

    /// What was kept back of the beginning of the packet under way.
    fn put_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        let passed = std::mem::take(&mut self.passed);
        self.put(&head[passed..]);
    }

    /// Bytes of the packet under way.
    fn put(&mut self, bytes: &[u8]) {
        if self.fate.dropped || bytes.is_empty() {
            return;
        }
        let piece = self.piece();
        let from = piece.bytes.len();
        piece.bytes.extend_from_slice(bytes);
        if let Some((until, mask)) = self.fate.corrupt {
            if let Some(piece) = self.pieces.back_mut().filter(|_| until < bytes.len()) {
                piece.bytes[from + until] ^= mask;
                self.fate.corrupt = None;
            } else {
                self.fate.corrupt = Some((until - bytes.len(), mask));
            }
        }
        self.held += bytes.len();
    }

    /// The connection ends with what came before the packet.
    fn end_before(&mut self, fate: &mut Fate, end: End) {
        fate.dropped = true;
        self.fate = Fate::default();
        self.piece().end = Some(end);
    }

    fn end_packet(&mut self) {
        if self.fate.cut {
            self.piece().end = Some(End::Cut);
        }
        self.fate = Fate::default();
    }

    /// Where the packet under way goes.
    fn piece(&mut self) -> &mut Piece {
        let due = self.fate.due;
        let same = |piece: &Piece| piece.due == due && piece.end.is_none();
        if !self.pieces.back().is_some_and(same) {
            self.pieces.push_back(Piece {
                due,
                ..Piece::default()
            });
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    /// When the first of what waits goes on by itself; `None` when nothing waits for that.
    pub(super) fn next_due(&self) -> Option<Time> {
        match self.pieces.front()?.due {
            Due::At(_, at) => Some(at),
            Due::Now | Due::Lifted(_) => None,
        }
    }

    /// What waits in front has waited long enough, if it has: it goes on as soon as it can.
    pub(super) fn ripen(&mut self, faults: &Faults) {
        self.front(faults);
    }

    /// What may go on now, and how the connection ends when that has gone.
    pub(super) fn front(&mut self, faults: &Faults) -> Option<(&[u8], Option<End>)> {
        let piece = self.pieces.front_mut()?;
        let goes = match piece.due {
            Due::Now => true,
            Due::At(id, at) => at <= faults.now() || faults.hits(id).is_none(),
            Due::Lifted(id) => faults.hits(id).is_none(),
        };
        if !goes {
            return None;
        }
        // It has waited long enough, also when only a part of it goes now.
        piece.due = Due::Now;
        Some((&piece.bytes[piece.gone..], piece.end))
    }

    /// So much of the [`front`](Self::front) has gone; true when it has all.
    pub(super) fn advance(&mut self, by: usize) -> bool {
        let Some(piece) = self.pieces.front_mut() else {
            return true;
        };
        piece.gone += by;
        self.held -= by;
        let all = piece.gone == piece.bytes.len();
        if all {
            self.pieces.pop_front();
        }
        all
    }
}

impl Fate {
    fn is_harmless(&self) -> bool {
        let waits = self.due != Due::Now;
        !(self.dropped || waits || self.cut || self.corrupt.is_some())
    }
}

/// The client identifier in a CONNECT, if it has one and is sound.
fn client_id_of(bytes: &[u8]) -> Option<Box<str>> {
    let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
        return None;
    };
    match Packet::decode(frame, ProtocolVersion::V5_0) {
        Ok(Packet::Connect(connect)) if !connect.client_id.is_empty() => {
            Some(connect.client_id.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::advance::SteadyClock;
    use crate::faults::Fault;

    /// A CONNECT, two PINGREQ around a PUBLISH, and a PUBLISH whose length takes two bytes.
    fn packets() -> [Vec<u8>; 5] {
        let mut long = vec![0x30, 0xC8, 0x01, 0, 1, b't'];
        long.resize(203, 7);
        [
            b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02me".to_vec(),
            b"\xc0\0".to_vec(),
            b"\x30\x05\0\x01txy".to_vec(),
            b"\xc0\0".to_vec(),
            long,
        ]
    }

    fn drain(lane: &mut Lane, faults: &Faults) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some((bytes, _)) = lane.front(faults) {
            all.extend_from_slice(bytes);
            let n = bytes.len();
            lane.advance(n);
        }
        assert!(lane.is_empty());
        assert_eq!(lane.held, 0);
        all
    }

    #[test]
    fn packets_suffer_the_same_wherever_the_stream_is_cut() {
        let faults = Faults::new(Arc::new(SteadyClock::start()));
        let drop = Fault {
            client_id: Some("me".into()),
            packets: PacketType::PingReq.into(),
            ..Fault::of_all(Harm::Drop)
        };
        faults.inject(drop).unwrap();
        let [connect, _, publish, _, long] = packets();
        let wanted = [connect, publish, long].concat();
        let bytes = packets().concat();
        for a in 0..bytes.len() {
            for b in [a, a + 1, a + 7].map(|b| b.min(bytes.len())) {
                let (mut lane, mut client_id) = (Lane::new(Way::In), None);
                for part in [&bytes[..a], &bytes[a..b], &bytes[b..]] {
                    lane.feed(part, &mut client_id, &faults);
                }
                assert_eq!(drain(&mut lane, &faults), wanted, "{a} {b}");
                assert_eq!(client_id.as_deref(), Some("me"));
                assert!(lane.is_clear());
            }
        }
    }

    #[test]
    fn a_fault_begins_with_the_next_packet_wherever_the_stream_stands() {
        let faults = Faults::new(Arc::new(SteadyClock::start()));
        faults.inject(Fault::of_all(Harm::Drop)).unwrap();
        let bytes = packets().concat();
        let mut ends = vec![0];
        for packet in packets() {
            ends.push(ends[ends.len() - 1] + packet.len());
        }
        for at in 0..bytes.len() {
            let mut lane = Lane::new(Way::Out);
            lane.pass(&bytes[..at]);
            lane.feed(&bytes[at..], &mut None, &faults);
            let end = ends.iter().find(|end| **end >= at).unwrap();
            assert_eq!(drain(&mut lane, &faults), bytes[at..*end], "{at}");
        }
    }

    #[test]
    fn what_is_no_stream_of_packets_passes_as_it_is() {
        let faults = Faults::new(Arc::new(SteadyClock::start()));
        faults.inject(Fault::of_all(Harm::Drop)).unwrap();
        let mut lane = Lane::new(Way::In);
        for _ in 0..3 {
            lane.feed(b"\x10\xff\xff\xff\xff\xff", &mut None, &faults);
        }
        let all = b"\x10\xff\xff\xff\xff\xff".repeat(3);
        assert_eq!(drain(&mut lane, &faults), all);
    }
}
