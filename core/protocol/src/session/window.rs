//! The outgoing QoS 1 and 2 messages on their way, by Packet Identifier.

use super::id_table::{IdTable, Identified};
use super::packet_id::PacketIds;

/// What a Packet Identifier in use waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing of ours: taken for a SUBSCRIBE, an UNSUBSCRIBE or a PUBLISH not sent yet.
    Reserved,
    /// QoS 1: PUBLISH sent.
    AwaitPuback,
    /// QoS 2: PUBLISH sent.
    AwaitPubrec,
    /// QoS 2: PUBREL sent.
    AwaitPubcomp,
}

/// Why an acknowledgement did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// No message with this Packet Identifier: 0x92 in MQTT 5.0, to be ignored before.
    Unknown,
    /// The message waits for something else, say PUBACK for QoS 2: a protocol error.
    WrongPhase(Phase),
}

/// What a PUBREC did.
#[derive(Debug, PartialEq, Eq)]
pub enum Pubrec<'a, T> {
    /// It was the awaited one. The item stays until PUBCOMP; its payload is no longer needed.
    First(&'a mut T),
    /// PUBREL went out before: send it again.
    Again,
}

/// A packet to send again after a reconnection.
#[derive(Debug, PartialEq, Eq)]
pub struct Resend<'a, T> {
    /// Its Packet Identifier, as it was.
    pub id: u16,
    /// [`Phase::AwaitPubcomp`]: send PUBREL. Else: send PUBLISH with DUP 1.
    pub phase: Phase,
    /// What was given to [`SendWindow::push`].
    pub item: &'a mut T,
}

/// Messages sent with QoS 1 or 2 and not acknowledged in full, with their Packet Identifiers.
///
/// It also keeps the send quota of the connection (4.9) and the order for sending again (4.4,
/// 4.6). Acknowledgements may come in any order, each takes constant time. An idle window is
/// 32 bytes and holds no memory after [`release_spare`](Self::release_spare).
///
/// Call order: [`connected`](Self::connected), then [`next_resend`](Self::next_resend) until
/// `None`, and again whenever an acknowledgement came in; [`push`](Self::push) while
/// [`can_push`](Self::can_push). After [`disconnected`](Self::disconnected) nothing can be pushed.
#[derive(Clone, Debug)]
pub struct SendWindow<T> {
    flights: IdTable<Flight<T>>,
    resends: Option<Box<Resends>>,
    sequence: u32,
    ids: PacketIds,
    quota: u16,
}

impl<T> Default for SendWindow<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SendWindow<T> {
    /// An empty window without a connection: quota 0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            flights: IdTable::new(),
            resends: None,
            sequence: 0,
            ids: PacketIds::new(),
            quota: 0,
        }
    }

    /// Starts a connection: `receive_maximum` is the peer's, or this side's own limit if lower.
    ///
    /// All that was sent and not acknowledged is to be sent again, see
    /// [`next_resend`](Self::next_resend). On a clean start call [`clear`](Self::clear) first.
    pub fn connected(&mut self, receive_maximum: u16) {
        self.quota = receive_maximum;
        let sequence = self.sequence;
        let mut order = Vec::new();
        for flight in self
            .flights
            .iter_mut()
            .filter(|flight| flight.phase != Phase::Reserved)
        {
            flight.standing = Standing::Resend;
            let age = sequence.wrapping_sub(flight.sequence);
            order.push((flight.phase == Phase::AwaitPubcomp, age, flight.id));
        }
        // Taken from the end: PUBREL first, for they need no quota, then the oldest.
        order.sort_unstable();
        self.resends = (!order.is_empty())
            .then(|| Box::new(Resends(order.into_iter().map(|(_, _, id)| id).collect())));
    }

    /// Ends a connection: the quota is 0 until the next one.
    pub fn disconnected(&mut self) {
        self.quota = 0;
        self.resends = None;
    }

    /// PUBLISH packets with QoS above 0 that may be sent before an acknowledgement comes in.
    #[must_use]
    pub fn quota(&self) -> u16 {
        self.quota
    }

    /// True when a new message may be sent: quota left, an id free, and nothing to send again
    /// that is older.
    #[must_use]
    pub fn can_push(&self) -> bool {
        self.can_start() && self.len() < super::packet_id::MAX_IDS_IN_USE
    }

    /// True when a reserved message may be sent: as [`can_push`](Self::can_push), but its id is
    /// taken already.
    #[must_use]
    pub fn can_start(&self) -> bool {
        self.quota > 0 && self.resends.is_none()
    }

    /// Takes a message that is sent now, waiting in `phase`, and gives its Packet Identifier.
    ///
    /// Hands the item back where [`can_push`](Self::can_push) is false.
    #[inline]
    pub fn push(&mut self, phase: Phase, item: T) -> Result<u16, T> {
        debug_assert!(matches!(phase, Phase::AwaitPuback | Phase::AwaitPubrec));
        if !self.can_push() {
            return Err(item);
        }
        let id = self.add(phase, Standing::Counted, item)?;
        self.quota -= 1;
        Ok(id)
    }

    /// Takes a Packet Identifier for something that needs no quota, or not yet.
    ///
    /// For SUBSCRIBE and UNSUBSCRIBE until [`release`](Self::release), and for a message that
    /// waits for its turn until [`start`](Self::start). Hands the item back when ids ran out.
    pub fn reserve(&mut self, item: T) -> Result<u16, T> {
        self.add(Phase::Reserved, Standing::Uncounted, item)
    }

    /// The Packet Identifier that [`push`](Self::push) or [`reserve`](Self::reserve) would give;
    /// `None` when ids ran out.
    #[must_use]
    pub fn next_id(&self) -> Option<u16> {
        let in_use = |id| self.flights.contains(id);
        self.ids.peek(self.flights.len(), in_use)
    }

    /// Turns a reserved message into one that is sent now. False, and no change, when
    /// [`can_start`](Self::can_start) is false or `id` is not a reserved one.
    pub fn start(&mut self, id: u16, phase: Phase) -> bool {
        debug_assert!(matches!(phase, Phase::AwaitPuback | Phase::AwaitPubrec));
        let sequence = self.sequence;
        let ready = self.can_start();
        match self.flights.get_mut(id) {
            Some(flight) if ready && flight.phase == Phase::Reserved => {
                flight.phase = phase;
                flight.sequence = sequence;
                flight.standing = Standing::Counted;
                self.sequence = sequence.wrapping_add(1);
                self.quota -= 1;
                true
            }
            _ => false,
        }
    }

    /// Puts a message back as a store kept it, in the order of sending. False, and no change, when
    /// the id is 0 or in use.
    pub fn restore(&mut self, id: u16, phase: Phase, item: T) -> bool {
        if id == 0 || self.flights.contains(id) {
            return false;
        }
        self.insert(id, phase, Standing::Uncounted, item);
        self.ids.skip_to(id);
        true
    }

    /// The Packet Identifier given out last, 0 before the first: the next one comes behind it.
    #[must_use]
    pub fn last_id(&self) -> u16 {
        self.ids.last()
    }

    /// Goes on behind `id`, after [`restore`](Self::restore) has put everything back.
    pub fn skip_to(&mut self, id: u16) {
        self.ids.skip_to(id);
    }

    /// PUBACK, of whatever reason code: the QoS 1 message is done [MQTT-4.4.0-2].
    pub fn puback(&mut self, id: u16) -> Result<T, AckError> {
        self.finish(id, Phase::AwaitPuback)
    }

    /// PUBREC with a reason code below 0x80: the peer has the message, PUBREL is due.
    pub fn pubrec(&mut self, id: u16) -> Result<Pubrec<'_, T>, AckError> {
        let flight = self.flights.get_mut(id).ok_or(AckError::Unknown)?;
        match flight.phase {
            Phase::AwaitPubrec => {
                flight.phase = Phase::AwaitPubcomp;
                if flight.standing == Standing::Resend {
                    flight.standing = Standing::Uncounted;
                }
                // PUBREL goes out in the order of the PUBRECs [MQTT-4.6.0-4].
                flight.sequence = self.sequence;
                self.sequence = self.sequence.wrapping_add(1);
                Ok(Pubrec::First(&mut flight.item))
            }
            Phase::AwaitPubcomp => Ok(Pubrec::Again),
            Phase::Reserved => Err(AckError::Unknown),
            Phase::AwaitPuback => Err(AckError::WrongPhase(Phase::AwaitPuback)),
        }
    }

    /// PUBREC with a reason code of 0x80 or more: the QoS 2 message is done, without PUBREL
    /// [MQTT-4.4.0-2].
    pub fn pubrec_refused(&mut self, id: u16) -> Result<T, AckError> {
        self.finish(id, Phase::AwaitPubrec)
    }

    /// PUBCOMP, of whatever reason code: the QoS 2 message is done.
    pub fn pubcomp(&mut self, id: u16) -> Result<T, AckError> {
        self.finish(id, Phase::AwaitPubcomp)
    }

    /// Frees a reserved id: SUBACK, UNSUBACK, or a message given up before it was sent.
    ///
    /// What was sent leaves by its acknowledgement alone: the peer counts it until then.
    pub fn release(&mut self, id: u16) -> Option<T> {
        match self.flights.get(id)?.phase {
            Phase::Reserved => self.flights.remove(id).map(|flight| flight.item),
            _ => None,
        }
    }

    /// True while there is something to send again on this connection.
    #[must_use]
    pub fn has_resend(&self) -> bool {
        self.resends.is_some()
    }

    /// The next packet to send again on this connection, oldest first, PUBRELs before PUBLISHes.
    ///
    /// `None` when there is none or the quota is used up; ask again after an acknowledgement.
    pub fn next_resend(&mut self) -> Option<Resend<'_, T>> {
        let id = loop {
            let id = self.resends.as_ref()?.0.last().copied();
            let Some(id) = id else {
                self.resends = None;
                return None;
            };
            match self.flights.get(id) {
                Some(flight) if flight.standing == Standing::Resend => {
                    if flight.phase != Phase::AwaitPubcomp && self.quota == 0 {
                        return None;
                    }
                    break id;
                }
                _ => self.settle_resend(), // acknowledged meanwhile
            }
        };
        self.settle_resend();
        let flight = self.flights.get_mut(id)?;
        if flight.phase == Phase::AwaitPubcomp {
            flight.standing = Standing::Uncounted;
        } else {
            flight.standing = Standing::Counted;
            self.quota -= 1;
        }
        Some(Resend {
            id,
            phase: flight.phase,
            item: &mut flight.item,
        })
    }

    /// The phase and the item behind an id in use.
    pub fn get(&mut self, id: u16) -> Option<(Phase, &mut T)> {
        self.flights
            .get_mut(id)
            .map(|flight| (flight.phase, &mut flight.item))
    }

    /// All items, in no order.
    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.flights.iter_mut().map(|flight| &mut flight.item)
    }

    /// The items, in any order.
    pub fn items(&self) -> impl Iterator<Item = &T> {
        self.flights.iter().map(|flight| &flight.item)
    }

    /// Takes out the QoS 1 messages for which `leaves` is true, in the order of sending, as if they had
    /// been acknowledged: for what somebody else gets, while this peer has no connection.
    pub fn take_unacknowledged(&mut self, leaves: impl Fn(&T) -> bool) -> impl Iterator<Item = T> {
        debug_assert!(self.quota == 0, "not while there is a connection");
        let sent = self.in_order();
        let ids: Vec<u16> = sent
            .filter(|(_, phase, item)| *phase == Phase::AwaitPuback && leaves(item))
            .map(|(id, ..)| id)
            .collect();
        ids.into_iter()
            .filter_map(|id| self.flights.remove(id).map(|flight| flight.item))
    }

    /// True when the id is in use.
    #[must_use]
    pub fn contains(&self, id: u16) -> bool {
        self.flights.contains(id)
    }

    /// Packet Identifiers in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// True when no Packet Identifier is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that is in use in the order of sending, as a store would keep it. Costs a sort.
    pub fn in_order(&self) -> impl Iterator<Item = (u16, Phase, &T)> {
        let mut flights: Vec<_> = self.flights.iter().collect();
        flights.sort_unstable_by_key(|flight| {
            std::cmp::Reverse(self.sequence.wrapping_sub(flight.sequence))
        });
        flights
            .into_iter()
            .map(|flight| (flight.id, flight.phase, &flight.item))
    }

    /// Empties the window and gives out what was in it, in no order. The session is over.
    pub fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.resends = None;
        self.flights.take().map(|flight| flight.item)
    }

    /// Gives the memory back that an empty window kept for the next message.
    pub fn release_spare(&mut self) {
        self.flights.release_spare();
    }

    #[inline]
    fn add(&mut self, phase: Phase, standing: Standing, item: T) -> Result<u16, T> {
        let Self { ids, flights, .. } = self;
        match ids.next(flights.len(), |id| flights.contains(id)) {
            Some(id) => {
                self.insert(id, phase, standing, item);
                Ok(id)
            }
            None => Err(item),
        }
    }

    #[inline]
    fn insert(&mut self, id: u16, phase: Phase, standing: Standing, item: T) {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.flights.insert(Flight {
            sequence,
            id,
            phase,
            standing,
            item,
        });
    }

    #[inline]
    fn finish(&mut self, id: u16, phase: Phase) -> Result<T, AckError> {
        let unfit = |flight: &Flight<T>| match flight.phase {
            found if found == phase => None,
            Phase::Reserved => Some(AckError::Unknown),
            found => Some(AckError::WrongPhase(found)),
        };
        let removed = self.flights.remove_unless(id, unfit);
        let flight = removed.unwrap_or(Err(AckError::Unknown))?;
        self.quota = self
            .quota
            .saturating_add(u16::from(flight.standing == Standing::Counted));
        Ok(flight.item)
    }

    fn settle_resend(&mut self) {
        if let Some(resends) = &mut self.resends {
            resends.0.pop();
            if resends.0.is_empty() {
                self.resends = None;
            }
        }
    }
}

/// One Packet Identifier in use.
#[derive(Clone, Debug)]
struct Flight<T> {
    /// Place in the order of sending; compared by distance, as it wraps.
    sequence: u32,
    id: u16,
    phase: Phase,
    standing: Standing,
    item: T,
}

/// What a flight means to the connection there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its acknowledgement gives no quota: it took none, as a PUBREL sent again.
    Uncounted,
    /// Its PUBLISH went out on this connection and took one of the quota.
    Counted,
    /// Sent on an earlier connection and not yet on this one.
    Resend,
}

impl<T> Identified for Flight<T> {
    fn id(&self) -> u16 {
        self.id
    }
}

/// Ids to send again, the next one last. Boxed: most connections have none.
#[derive(Clone, Debug)]
struct Resends(Vec<u16>);

#[cfg(test)]
mod tests;
