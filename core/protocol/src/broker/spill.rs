//! Messages of groups for which a member has no room: other members get them, as far as they have.
//!
//! A member's queue overflows where the member lives. What falls off goes to the group's home in a
//! letter, which offers it to the members that are there, one after the other; each takes it only if
//! nothing else has to go for it, so that a message can't wander for ever.

use super::arena::NONE;
use super::group::Groups;
use super::links::Links;
use super::out::Out;
use super::session::Parcel;
use super::shard::Shard;
use super::share::{Content, Letter, Member, Taken, To};
use super::source::Source;
use super::stats::Dropped;
use crate::message::Message;
use crate::session::queue::Overflow;
use crate::time::Time;
use std::sync::Arc;

/// Members that a message is offered to at most: where all are full, looking for room must not cost
/// more than the messages themselves.
const MOST_OFFERS: u16 = 16;

/// A message that looks for room.
#[derive(Clone, Debug)]
pub(super) struct Spilled {
    pub(super) group: Arc<str>,
    pub(super) message: Message,
    /// Who had none.
    from: Member,
    /// What it ran into there.
    overflow: Overflow,
    /// Members that it was offered to, and the place of the next one.
    offers: u16,
    next: usize,
}

impl Links {
    /// What fell off a member's queue goes to the home of its group. False: it did not come through
    /// one.
    pub(super) fn spill(
        &mut self,
        slot: u32,
        parcel: &Parcel,
        overflow: Overflow,
        out: &mut Out,
    ) -> bool {
        let Some(place) = parcel.share.checked_sub(1) else {
            return false;
        };
        let memberships = self.sessions[slot].memberships.as_ref();
        let membership = memberships.and_then(|all| all.get(place));
        let (Some(membership), Some(message)) = (membership, &parcel.message) else {
            return false;
        };
        let from = Member {
            shard: self.number,
            place,
            session: slot,
            join: membership.join,
        };
        let spilled = Spilled {
            group: membership.group.clone(),
            message: message.clone(),
            from,
            overflow,
            offers: 0,
            next: 0,
        };
        let to = To::Home(spilled.group.clone());
        out.letters
            .push((to, Letter(Content::Spill(Box::new(spilled)))));
        self.stats.given_back += 1;
        true
    }

    /// Whether a member's client is there and nothing has to go for one message more.
    pub(super) fn has_room(&self, member: Member, message: &Message) -> bool {
        let Some((session, _)) = self.membership(member) else {
            return false;
        };
        let (queue, limits) = (&session.queue, &self.limits.queue);
        let weight = size_of::<Parcel>() + message.memory();
        session.conn != NONE
            && queue.len() < limits.items
            && queue.bytes() + weight <= limits.bytes
            && session.has_share(weight, self.message_room())
    }

    fn take_spilled(
        &mut self,
        member: Member,
        spilled: &Spilled,
        now: Time,
        out: &mut Out,
    ) -> bool {
        self.stats.work += 1;
        if !self.has_room(member, &spilled.message) {
            return false;
        }
        self.frames.begin(false);
        let mut source = Source::handed(&spilled.message);
        let taken = self.share(member, false, false, &mut source, now, out) == Taken::Yes;
        self.stats.picked_again += u64::from(taken);
        taken
    }
}

impl Shard {
    /// At the home: offers a message to one member after the other.
    pub(super) fn find_room(&mut self, mut spilled: Box<Spilled>, now: Time, out: &mut Out) {
        if spilled.message.is_expired(now) {
            self.links.count_unpicked(|dropped| &mut dropped.expired);
            return self.links.note_unpicked(&spilled.group, &spilled.message);
        }
        let (name, from) = (&spilled.group, spilled.from);
        let message = &spilled.message;
        if self
            .groups
            .keep_spilled(name, message, from, &mut self.links)
        {
            return self.read_group_of(name, out);
        }
        while let Some(member) = self.groups.next_offer(&mut spilled) {
            if member.shard != self.number {
                let letter = Letter(Content::Offer(member, spilled));
                return out.letters.push((To::Shard(member.shard), letter));
            }
            if self.links.take_spilled(member, &spilled, now, out) {
                return;
            }
        }
        self.links
            .count_unpicked(Dropped::overflow(spilled.overflow));
        self.links.note_unpicked(&spilled.group, &spilled.message);
    }

    /// At a member: takes a message, or lets the home go on.
    pub(super) fn take_if_room(
        &mut self,
        member: Member,
        spilled: Box<Spilled>,
        now: Time,
        out: &mut Out,
    ) {
        if !self.links.take_spilled(member, &spilled, now, out) {
            let to = To::Home(spilled.group.clone());
            out.letters.push((to, Letter(Content::Spill(spilled))));
        }
    }
}

impl Groups {
    /// The next member that a message may be offered to, of those that are there.
    fn next_offer(&mut self, spilled: &mut Spilled) -> Option<Member> {
        let (here, first) = self.present(&spilled.group)?;
        if spilled.offers == 0 {
            spilled.next = first;
        }
        while usize::from(spilled.offers) < here.len().min(usize::from(MOST_OFFERS)) {
            let entry = &here[spilled.next % here.len()];
            spilled.offers += 1;
            spilled.next = spilled.next.wrapping_add(1);
            if entry.member != spilled.from {
                return Some(entry.member);
            }
        }
        None
    }
}
