//! Shared subscriptions (4.8.2): what the shards tell each other about groups, and the members' side.
//!
//! A group is a share name with its filter. Its members may live on several shards; one of these, the
//! group's home, keeps the list, stands in its own subscription index for all of them, and picks the
//! member for each message. The other shards don't know of the group: they offer the home their
//! messages as they do to any shard with subscriptions. A member's session has no entry in an index,
//! only its options. So a message is picked for once, wherever it comes in, and the messages of one
//! publisher reach the home in order.
//!
//! Where home and member are one shard, which the driver sees to for the first member, nothing leaves
//! it. Otherwise they exchange [`Letter`]s, which keep their order between two shards.

use super::arena::NONE;
use super::index::filter_weight;
use super::links::{Copy, Links, Room};
use super::out::Out;
use super::reading::Done;
use super::record::SubscriptionRecord;
use super::session::{Parcel, Session};
use super::shard::Shard;
use super::source::Source;
use super::spill::Spilled;
use super::sums::{ALLOWANCE, free};
use crate::codec::QoS;
use crate::codec::subscribe::SubscriptionOptions;
use crate::error::PeerError;
use crate::message::Message;
use crate::session::window::SendWindow;
use crate::time::Time;
use crate::topic::{SHARE_PREFIX, SharedFilter};
use crate::weight::Weight;
use hashbrown::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Where a [`Letter`] goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// The home of this group, `SHARE_NAME/FILTER`, which [`Homes::find`](super::Homes::find) knows.
    Home(Arc<str>),
    /// The shard of this number.
    Shard(u16),
    /// Every other shard.
    All,
}

/// What one shard tells another, to be passed to [`Shard::handle_letter`] there. Letters between two
/// shards arrive in their order.
#[derive(Clone, Debug)]
pub struct Letter(pub(super) Content);

/// A member of a group: a session, wherever it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) shard: u16,
    /// Place among the session's memberships.
    pub(super) place: u16,
    pub(super) session: u32,
    /// Counts the memberships of its shard, so that a later one in the same place is another.
    pub(super) join: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// To the home: a member more.
    Join(Arc<str>, Member, Presence),
    /// To the home: a member less.
    Leave(Arc<str>, Member),
    /// To the home: a member's client has come or gone.
    Presence(Arc<str>, Member, Presence),
    /// To the home: messages that a member has not completed and another one may have.
    Return(Arc<str>, Vec<Message>),
    /// To the home: how many messages are under way to the member now, and what it can take.
    Load(Arc<str>, Member, Takes),
    /// To the home: whether a store keeps the member's session, which has messages of the group from there.
    Keeps(Arc<str>, Member, Keeps),
    /// To the member: a message.
    Share(Box<Share>),
    /// To the member: give back what you have, if your client is still away.
    Recall(Member),
    /// To the home: a member had no room for a message.
    Spill(Box<Spilled>),
    /// To the member: take it, if you have room.
    Offer(Member, Box<Spilled>),
    /// To all: a shard wants what matches this filter to be kept, or does not any more.
    Interest(Arc<str>, bool),
}

#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) group: Arc<str>,
    pub(super) member: Member,
    pub(super) message: Message,
    /// Nobody else is there: keep it, even if the client is away.
    pub(super) keep: bool,
    /// The home wants to know the member's load.
    pub(super) report: bool,
    /// Another member gave it back.
    pub(super) handed: bool,
}

/// Whether a store keeps a group for a member's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// From now on.
    Begins,
    /// As it did before this start.
    GoesOn,
    /// Not any more, or not at all.
    Not,
}

/// Whether a member's client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    Away,
}

/// What a member tells its home of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    /// Messages under way to it.
    pub(super) load: u32,
    /// All that has come to it for the group, and what that weighs. These may run over.
    pub(super) taken: u32,
    pub(super) taken_bytes: u64,
    /// Messages that it has room for, and their bytes.
    pub(super) items: u32,
    pub(super) bytes: u64,
    /// Nothing is under way to it, so that it can take one message however large.
    pub(super) idle: bool,
}

/// What became of a message picked for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// There is no such membership any more.
    Gone,
    /// The client is away, which the home did not know.
    Away,
}

impl Letter {
    /// Members that the group has more with this letter.
    #[must_use]
    pub fn members(&self) -> i32 {
        match self.0 {
            Content::Join(..) => 1,
            Content::Leave(..) => -1,
            _ => 0,
        }
    }

    /// Whether every shard has to know it before it handles what comes in later: it may be taken before
    /// letters of other kinds.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        matches!(self.0, Content::Interest(..))
    }
}

impl Weight for Letter {
    fn weight(&self) -> usize {
        let messages = match &self.0 {
            Content::Return(_, messages) => messages.iter().map(Message::memory).sum(),
            Content::Share(share) => share.message.memory(),
            Content::Spill(spilled) | Content::Offer(_, spilled) => spilled.message.memory(),
            _ => 0,
        };
        size_of::<Self>() + messages
    }
}

/// The groups that a session is a member of. Boxed: most sessions are in none.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    places: HashMap<Arc<str>, u16>,
    list: Vec<Place>,
    free: Vec<u16>,
    /// Places of those whose home wants to know the load: only these cost anything with each input.
    reporting: BTreeSet<u16>,
}

/// A place among the memberships, by which a copy of a message knows the group that it came through.
#[derive(Debug)]
enum Place {
    Free,
    Member(Membership),
    /// Of a group that the session has left with messages of it sent and not acknowledged. These go
    /// back to the group if the session ends before they are; once they are, the place is free.
    Left(Arc<str>),
}

#[derive(Debug)]
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<NonZeroU32>,
    pub(super) join: u32,
    /// All that has come from a home elsewhere, for [`Takes`].
    taken: u32,
    taken_bytes: u64,
}

impl Memberships {
    /// Groups.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// All of them, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &Membership)> {
        let list = self.list.iter().enumerate();
        list.filter_map(|(place, found)| match found {
            Place::Member(membership) => Some((place as u16, membership)),
            _ => None,
        })
    }

    /// The groups that were left, with their places.
    fn left(&self) -> impl Iterator<Item = (u16, &Arc<str>)> {
        let list = self.list.iter().enumerate();
        list.filter_map(|(place, found)| match found {
            Place::Left(group) => Some((place as u16, group)),
            _ => None,
        })
    }

    /// The place of a group.
    pub(super) fn place(&self, shared: SharedFilter<'_>) -> Option<u16> {
        self.places.get(&*group_name(shared)).copied()
    }

    pub(super) fn get(&self, place: u16) -> Option<&Membership> {
        match self.list.get(usize::from(place))? {
            Place::Member(membership) => Some(membership),
            _ => None,
        }
    }

    fn get_mut(&mut self, place: u16) -> Option<&mut Membership> {
        match self.list.get_mut(usize::from(place))? {
            Place::Member(membership) => Some(membership),
            _ => None,
        }
    }

    /// The group of a place, whether it was left or not.
    pub(super) fn group(&self, place: u16) -> Option<&Arc<str>> {
        match self.list.get(usize::from(place))? {
            Place::Member(membership) => Some(&membership.group),
            Place::Left(group) => Some(group),
            Place::Free => None,
        }
    }

    /// The session had copies of this group when it was written down. Returns its place plus 1, 0 if there
    /// is none.
    pub(super) fn name_again(&mut self, group: &str) -> u16 {
        match self.places.get(group) {
            Some(place) => place + 1,
            None => self.leave_again(group),
        }
    }

    /// A group had been left when the session was written down. Returns its place plus 1, 0 if there
    /// is none.
    fn leave_again(&mut self, group: &str) -> u16 {
        let known = self.left().find(|(_, left)| ***left == *group);
        if let Some((place, _)) = known {
            return place + 1;
        }
        if self.list.len() >= MOST_GROUPS {
            return 0;
        }
        self.list.push(Place::Left(group.into()));
        self.list.len() as u16
    }

    /// Whether one more would have no place.
    fn is_full(&self) -> bool {
        self.free.is_empty() && self.list.len() >= MOST_GROUPS
    }

    fn insert(&mut self, membership: Membership) -> u16 {
        let group = membership.group.clone();
        let place = match self.free.pop() {
            Some(place) => {
                self.list[usize::from(place)] = Place::Member(membership);
                place
            }
            None => {
                self.list.push(Place::Member(membership));
                (self.list.len() - 1) as u16
            }
        };
        self.places.insert(group, place);
        place
    }

    /// Ends a membership. Its place is not free yet.
    fn remove(&mut self, group: &str) -> Option<(u16, Membership)> {
        let place = self.places.remove(group)?;
        self.reporting.remove(&place);
        let left = Place::Left(self.get(place)?.group.clone());
        match std::mem::replace(&mut self.list[usize::from(place)], left) {
            Place::Member(membership) => Some((place, membership)),
            _ => None,
        }
    }

    /// Frees a place of which nothing is sent.
    fn forget(&mut self, place: u16) {
        self.list[usize::from(place)] = Place::Free;
        self.free.push(place);
    }

    /// Frees the places of groups that were left and of which nothing is sent any more.
    fn forget_left(&mut self, window: &SendWindow<Parcel>) {
        let sent: HashSet<u16> = window.items().map(|parcel| parcel.share).collect();
        let done: Vec<u16> = self.left().map(|(place, _)| place).collect();
        for place in done.into_iter().filter(|p| !sent.contains(&(p + 1))) {
            self.forget(place);
        }
    }
}

/// Groups of one session: a place and one more must fit into 16 bits.
const MOST_GROUPS: usize = u16::MAX as usize - 1;

impl Shard {
    /// Another shard has something to say, or this one to itself.
    pub fn handle_letter(&mut self, letter: Letter, now: Time, out: &mut Out) {
        match letter.0 {
            Content::Join(group, member, presence) => self.join(group, member, presence, out),
            Content::Leave(group, member) => self.leave(&group, member, out),
            Content::Presence(group, member, presence) => {
                self.note_presence(&group, member, presence, out);
            }
            Content::Return(group, messages) => self.pick_again(&group, &messages, now, out),
            Content::Load(group, member, takes) => {
                self.groups.note_takes(&group, member, takes);
                self.read_group_of(&group, out);
            }
            Content::Keeps(group, member, keeps) => self.note_keeper(&group, member, keeps),
            Content::Share(share) => self.take_share(*share, now, out),
            Content::Recall(member) => self.give_back_if_away(member, out),
            Content::Spill(spilled) => self.find_room(spilled, now, out),
            Content::Offer(member, spilled) => self.take_if_room(member, spilled, now, out),
            Content::Interest(filter, wanted) => self.note_interest(&filter, wanted, out),
        }
    }

    /// Makes a session a member, or changes its options. The answer waits like any SUBACK, so that the
    /// home knows of the member before the client knows that it is one.
    pub(super) fn share(
        &mut self,
        session: u32,
        shared: SharedFilter<'_>,
        options: SubscriptionOptions,
        identifier: Option<NonZeroU32>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let group = group_name(shared);
        let most = self.links.limits.subscriptions.min(MOST_GROUPS);
        let slot = session;
        let session = &mut self.links.sessions[slot];
        let memberships = session.memberships.get_or_insert_default();
        if let Some(place) = memberships.places.get(&*group).copied() {
            if let Some(known) = memberships.get_mut(place) {
                let before = known.options.qos;
                (known.options, known.identifier) = (options, identifier);
                self.keep_membership(slot, &group, options, identifier, Some(before), out);
            }
            return Ok(());
        }
        if memberships.free.is_empty() && memberships.left().next().is_some() {
            self.links.stats.work += session.window.len() as u64;
            memberships.forget_left(&session.window);
        }
        let most = if memberships.is_full() { 0 } else { most };
        let weight = group_weight(shared);
        self.links.check_subscription(slot, weight, most)?;
        self.links.add_filter_bytes(slot, weight);
        let session = &mut self.links.sessions[slot];
        let memberships = session.memberships.get_or_insert_default();
        self.last_join = self.last_join.wrapping_add(1);
        let group: Arc<str> = group.into();
        let place = memberships.insert(Membership {
            group: group.clone(),
            options,
            identifier,
            join: self.last_join,
            taken: 0,
            taken_bytes: 0,
        });
        self.links.stats.subscriptions += 1;
        let member = Member {
            shard: self.number,
            place,
            session: slot,
            join: self.last_join,
        };
        let presence = presence(session.conn);
        let letter = Letter(Content::Join(group.clone(), member, presence));
        out.letters.push((To::Home(group.clone()), letter));
        self.keep_membership(slot, &group, options, identifier, None, out);
        if self.links.journal.on {
            self.tell_takes(slot, place, out);
        }
        Ok(())
    }

    /// A membership is new or has changed: a store that keeps its session is told.
    fn keep_membership(
        &mut self,
        slot: u32,
        group: &str,
        options: SubscriptionOptions,
        identifier: Option<NonZeroU32>,
        before: Option<QoS>,
        out: &mut Out,
    ) {
        if self.links.is_durable(slot) {
            let filter = format!("{SHARE_PREFIX}{group}");
            let record = SubscriptionRecord {
                filter: filter.into(),
                options,
                identifier,
                replay: None,
                replay_until: None,
                since: 0,
            };
            self.keep_subscription(slot, record, before, out);
            let kept = |qos| qos > QoS::AtMostOnce;
            if before.is_some_and(kept) != kept(options.qos) {
                self.tell_keeper(slot, group, kept(options.qos), out);
            }
        }
    }

    /// Tells a group's home whether it is kept for this session's sake.
    fn tell_keeper(&self, slot: u32, group: &str, keeps: bool, out: &mut Out) {
        let Some(memberships) = &self.links.sessions[slot].memberships else {
            return;
        };
        let place = memberships.places.get(group).copied();
        if let Some((place, membership)) = place.and_then(|at| Some((at, memberships.get(at)?))) {
            let member = self.member(slot, place, membership.join);
            let group = membership.group.clone();
            let keeps = match (keeps, self.links.sessions[slot].conn) {
                (false, _) => Keeps::Not,
                // Only what is restored subscribes without a connection.
                (true, NONE) => Keeps::GoesOn,
                (true, _) => Keeps::Begins,
            };
            let letter = Letter(Content::Keeps(group.clone(), member, keeps));
            out.letters.push((To::Home(group), letter));
        }
    }

    /// Tells a group's home what this member of it can take, and again later if that is nothing.
    fn tell_takes(&mut self, slot: u32, place: u16, out: &mut Out) {
        let memberships = self.links.sessions[slot].memberships.as_ref();
        if let Some(membership) = memberships.and_then(|all| all.get(place)) {
            let member = self.member(slot, place, membership.join);
            let takes = Takes {
                taken: membership.taken,
                taken_bytes: membership.taken_bytes,
                ..self.links.takes(slot)
            };
            let group = membership.group.clone();
            let letter = Letter(Content::Load(group.clone(), member, takes));
            out.letters.push((To::Home(group), letter));
            if takes.items == 0 && !takes.idle {
                self.links.ask_for_reports(member);
            }
        }
    }

    /// Ends a membership; false when there is none. What waits for the client goes to another member;
    /// what was sent to it is its own as long as its session lasts.
    pub(super) fn unshare(&mut self, slot: u32, shared: SharedFilter<'_>, out: &mut Out) -> bool {
        let group = group_name(shared);
        let session = &mut self.links.sessions[slot];
        let removed = session
            .memberships
            .as_mut()
            .and_then(|memberships| memberships.remove(&group));
        if self.links.is_durable(slot) {
            let before = removed.as_ref().map(|(_, one)| one.options.qos);
            self.drop_subscription(slot, &format!("{SHARE_PREFIX}{group}"), before, out);
        }
        let Some((place, membership)) = removed else {
            return false;
        };
        self.links.stats.subscriptions -= 1;
        self.links.remove_filter_bytes(slot, group_weight(shared));
        let member = self.member(slot, place, membership.join);
        let group = membership.group;
        let letter = Letter(Content::Leave(group.clone(), member));
        out.letters.push((To::Home(group.clone()), letter));
        self.give_back(slot, place, &group, false, out);
        let Session { window, .. } = &mut self.links.sessions[slot];
        let (mut sent, mut done) = (false, Vec::new());
        for parcel in window.items_mut().filter(|p| p.share == place + 1) {
            // QoS 2 messages stay with the session in any case [MQTT-4.8.2-5].
            match parcel.qos {
                QoS::AtLeastOnce => sent = true,
                _ => {
                    done.extend(Done::of(parcel));
                    parcel.share = 0;
                }
            }
        }
        let durable = self.links.journal.on && !done.is_empty();
        for one in done.into_iter().filter(|_| durable) {
            self.links.note_done(slot, one);
        }
        let Session { memberships, .. } = &mut self.links.sessions[slot];
        if let Some(memberships) = memberships.as_mut().filter(|_| !sent) {
            memberships.forget(place);
        }
        true
    }

    /// A session's client has come or gone.
    pub(super) fn tell_presence(&mut self, slot: u32, out: &mut Out) {
        let session = &self.links.sessions[slot];
        let Some(memberships) = &session.memberships else {
            return;
        };
        let mut places = Vec::new();
        for (place, membership) in memberships.iter() {
            let group = &membership.group;
            let member = self.member(slot, place, membership.join);
            let content = Content::Presence(group.clone(), member, presence(session.conn));
            let to = To::Home(group.clone());
            out.letters.push((to, Letter(content)));
            places.push(place);
        }
        places.retain(|_| self.links.journal.on);
        for place in places {
            self.tell_takes(slot, place, out);
        }
    }

    /// A session ends: leaves its groups, and gives back what it has not completed, also of groups that
    /// it has left before. QoS 2 messages that were sent stay with it and end with it [MQTT-4.8.2-5].
    pub(super) fn leave_all(&mut self, slot: u32, out: &mut Out) {
        if self.links.journal.on {
            let sent = self.links.sessions[slot].window.items();
            let sent = sent.filter(|parcel| parcel.qos == QoS::ExactlyOnce);
            for done in sent.filter_map(Done::of).collect::<Vec<_>>() {
                self.links.note_done(slot, done);
            }
        }
        let Some(memberships) = self.links.sessions[slot].memberships.take() else {
            return;
        };
        self.links.stats.subscriptions -= memberships.len() as u64;
        for (place, membership) in memberships.iter() {
            let group = &membership.group;
            let member = self.member(slot, place, membership.join);
            let letter = Letter(Content::Leave(group.clone(), member));
            out.letters.push((To::Home(group.clone()), letter));
            self.give_back(slot, place, group, true, out);
        }
        for (place, group) in memberships.left() {
            self.give_back(slot, place, group, true, out);
        }
    }

    /// Tells the homes that asked how many messages are under way to this session, and what it has room for.
    /// Where that is this shard itself, a group goes on that waits for room.
    pub(super) fn report_load(&mut self, slot: u32, out: &mut Out) {
        let session = self.links.sessions.get(slot);
        let Some(memberships) = session.and_then(|session| session.memberships.as_ref()) else {
            return;
        };
        if memberships.reporting.is_empty() {
            return;
        }
        let reporting = memberships.reporting.iter();
        let reporting = reporting.filter_map(|place| Some((*place, memberships.get(*place)?)));
        let reporting = reporting.map(|(place, membership)| (place, membership.group.clone()));
        let reporting: Vec<_> = reporting.collect();
        self.links.stats.work += reporting.len() as u64;
        for (place, group) in reporting {
            match self.groups.is_home_of(&group) {
                true => self.read_group_of(&group, out),
                false => self.tell_takes(slot, place, out),
            }
        }
    }

    fn member(&self, session: u32, place: u16, join: u32) -> Member {
        Member {
            shard: self.number,
            place,
            session,
            join,
        }
    }

    fn take_share(&mut self, share: Share, now: Time, out: &mut Out) {
        let Share {
            group,
            member,
            message,
            keep,
            report,
            handed,
        } = share;
        let mut source = match handed {
            true => Source::handed(&message),
            false => Source::made(&message),
        };
        self.links.frames.begin(false);
        self.links.count_taken(member, &message);
        let taken = self
            .links
            .share(member, keep, report, &mut source, now, out);
        if taken != Taken::Yes {
            let back = Letter(Content::Return(group.clone(), vec![message]));
            out.letters.push((To::Home(group), back));
        }
        let load = |session: &Session| session.load();
        if self.links.journal.on && self.links.sessions.get(member.session).map(load) == Some(0) {
            // Nothing that it answers tells the home that it has room for more.
            self.tell_takes(member.session, member.place, out);
        }
    }

    fn give_back_if_away(&mut self, member: Member, out: &mut Out) {
        let Some((session, membership)) = self.links.membership(member) else {
            return;
        };
        if session.conn == NONE {
            let group = membership.group.clone();
            self.give_back(member.session, member.place, &group, true, out);
        }
    }

    /// Takes out what waits for one membership, and with `sent` also the QoS 1 messages that were sent
    /// and not acknowledged, and gives it to the group, oldest first.
    fn give_back(&mut self, slot: u32, place: u16, group: &Arc<str>, sent: bool, out: &mut Out) {
        let Links {
            sessions, stats, ..
        } = &mut self.links;
        let session = &mut sessions[slot];
        let share = place + 1;
        let mut messages = Vec::new();
        let mut landed = 0;
        if sent {
            let unacknowledged = session.window.take_unacknowledged(|p| p.share == share);
            messages.extend(unacknowledged.filter_map(|parcel| {
                landed += parcel.weight();
                parcel.message
            }));
            session.landed(landed, stats);
        }
        let queued_qos0 = &mut session.queued_qos0;
        session.queue.remove_if(
            |parcel| parcel.share == share,
            |parcel: Parcel| {
                stats.queued -= 1;
                stats.queued_bytes -= parcel.weight() as u64;
                stats.given_back += 1;
                *queued_qos0 -= u32::from(parcel.qos == QoS::AtMostOnce);
                messages.extend(parcel.message);
            },
        );
        if landed > 0 {
            // Its record names them, and after a start they would be sent by both.
            self.links.touch(slot);
        }
        if !messages.is_empty() {
            let letter = Letter(Content::Return(group.clone(), messages));
            out.letters.push((To::Home(group.clone()), letter));
        }
    }
}

impl Links {
    /// Delivers a message to the member it was picked for, as far as that one is still there.
    pub(super) fn share(
        &mut self,
        member: Member,
        keep: bool,
        report: bool,
        source: &mut Source<'_>,
        now: Time,
        out: &mut Out,
    ) -> Taken {
        let Some((session, membership)) = self.membership(member) else {
            return Taken::Gone;
        };
        if session.conn == NONE && !keep {
            return Taken::Away;
        }
        let (options, group) = (membership.options, membership.group.clone());
        let id = membership.identifier.map(|id| [id.get()]);
        if report {
            self.ask_for_reports(member);
        }
        let copy = Copy {
            session: member.session,
            qos: options.qos.min(source.qos),
            retain: options.retain_as_published && source.retain,
            ids: id.as_ref().map_or(&[], |id| &id[..]),
            share: member.place + 1,
        };
        self.stats.matched += 1;
        if copy.qos == QoS::AtMostOnce {
            // Nothing tells later that the client has it.
            self.note_unpicked(&group, source.message());
        }
        self.deliver(copy, source, now, out);
        Taken::Yes
    }

    /// A message has come for a member from a home elsewhere.
    fn count_taken(&mut self, member: Member, message: &Message) {
        let Some(session) = self.sessions.get_mut(member.session) else {
            return;
        };
        let memberships = session.memberships.as_mut();
        let membership = memberships.and_then(|all| all.get_mut(member.place));
        if let Some(membership) = membership.filter(|one| one.join == member.join) {
            let weight = size_of::<Parcel>() + message.memory();
            membership.taken = membership.taken.wrapping_add(1);
            membership.taken_bytes = membership.taken_bytes.wrapping_add(weight as u64);
        }
    }

    /// What a session's client can take now, if it is there.
    pub(super) fn takes(&self, slot: u32) -> Takes {
        let Some(session) = self.sessions.get(slot) else {
            return Takes::default();
        };
        let mut takes = Takes {
            load: session.load(),
            ..Takes::default()
        };
        let Some(conn) = self.conns.get(session.conn) else {
            return takes;
        };
        let (queue, limits) = (&session.queue, &self.limits.queue);
        let Room { limit, total } = self.message_room();
        let left = free(limit, total).max(ALLOWANCE);
        let left = left.saturating_sub(session.message_bytes());
        let bytes = limits.bytes.saturating_sub(queue.bytes()).min(left);
        if bytes > 0 {
            let items = limits.items.saturating_sub(queue.len());
            takes.items = u32::try_from(items).unwrap_or(u32::MAX);
        }
        takes.bytes = bytes as u64;
        takes.idle = takes.load == 0 && conn.outbound_len() < self.outbound_room();
        takes
    }

    pub(super) fn membership(&self, member: Member) -> Option<(&Session, &Membership)> {
        let session = self.sessions.get(member.session)?;
        let membership = session.memberships.as_ref()?.get(member.place)?;
        (membership.join == member.join).then_some((session, membership))
    }

    pub(super) fn ask_for_reports(&mut self, member: Member) {
        if let Some(memberships) = &mut self.sessions[member.session].memberships {
            memberships.reporting.insert(member.place);
        }
    }
}

fn group_name(shared: SharedFilter<'_>) -> String {
    format!("{}/{}", shared.share_name, shared.filter.as_str())
}

/// What a membership weighs: the name of the group twice, what stands for the filter at its home, and as
/// much of lists and tables of members as a group of one needs.
pub(super) fn group_weight(shared: SharedFilter<'_>) -> usize {
    const GROUP: usize = 384;
    GROUP
        + 2 * shared.share_name.len()
        + shared.filter.as_str().len()
        + filter_weight(shared.filter)
}

fn presence(conn: u32) -> Presence {
    match conn {
        NONE => Presence::Away,
        _ => Presence::Here,
    }
}
