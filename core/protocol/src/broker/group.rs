//! The home's side of shared subscriptions: who is in a group, and who gets the next message.

use super::homes::GroupGone;
use super::index::{FilterId, Subscription, SubscriptionIndex};
use super::journal::Journal;
use super::links::Links;
use super::out::Out;
use super::shard::Shard;
use super::share::{Content, Keeps, Letter, Member, Presence, Share, Taken, Takes, To};
use super::source::Source;
use super::stats::Dropped;
use crate::codec::subscribe::SubscriptionOptions;
use crate::message::{Message, Origin};
use crate::time::Time;
use crate::topic::TopicFilter;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::arena::{Arena, NONE};
use backlog::Backlog;

pub(super) mod backlog;

/// How a group chooses the member that gets a message. Members whose clients are away are chosen only
/// when nobody else is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ShareStrategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// By chance.
    Random,
    /// The same one as long as it is there.
    Sticky,
    /// By the publisher's client identifier: all its messages go to one member while the group stays
    /// as it is.
    HashClientId,
    /// By the topic: all its messages go to one member while the group stays as it is.
    HashTopic,
    /// The one with the fewest messages under way to it: sent and not acknowledged, and waiting. Of
    /// members on other shards that is known with the delay of the mail. In groups of more than
    /// 64 members the better one of two that chance picks.
    LeastInflight,
}

/// Which strategy a group has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShareStrategies {
    /// That of all groups that are not named.
    pub default: ShareStrategy,
    /// By share name. Different filters of one share name are different groups.
    pub by_name: Vec<(Box<str>, ShareStrategy)>,
}

impl ShareStrategies {
    fn of(&self, group: &str) -> ShareStrategy {
        let name = group.split('/').next().unwrap_or_default();
        let named = self.by_name.iter().find(|(known, _)| **known == *name);
        named.map_or(self.default, |(_, strategy)| *strategy)
    }
}

/// Members from which on not all are compared.
const COMPARED: usize = 64;

/// The groups whose home is here.
#[derive(Debug)]
pub(super) struct Groups {
    table: Arena<Group>,
    by_name: HashMap<Arc<str>, u32>,
    strategies: ShareStrategies,
    hasher: SeedableRandomState,
    /// State of the dice: a counter that is hashed.
    thrown: u64,
    /// Counts the groups that a store keeps.
    serial: u64,
}

#[derive(Debug)]
struct Group {
    name: Arc<str>,
    filter: FilterId,
    strategy: ShareStrategy,
    /// Those whose clients are there come first.
    members: Vec<Entry>,
    here: usize,
    places: HashMap<Member, usize>,
    /// Whose turn is next.
    next: usize,
    favourite: Option<Member>,
    /// Letters by which it has got and lost members.
    letters: u64,
    /// There if a store keeps it.
    log: Option<Box<Backlog>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) member: Member,
    /// Messages under way to a member elsewhere, as last told and sent since.
    load: u32,
    /// Its client is away and it may hold messages that others could have.
    backlog: bool,
    /// What a member elsewhere has told of itself last, and all that it was sent.
    takes: Takes,
    sent: u32,
    sent_bytes: u64,
}

impl Group {
    fn add(&mut self, member: Member) {
        let place = self.members.len();
        if self.places.insert(member, place).is_none() {
            self.members.push(Entry {
                member,
                load: 0,
                backlog: false,
                takes: Takes::default(),
                sent: 0,
                sent_bytes: 0,
            });
        }
    }

    /// Puts a member among those who are there, or are not. False for a member that is not known.
    fn set(&mut self, member: Member, presence: Presence) -> bool {
        let Some(place) = self.places.get(&member).copied() else {
            return false;
        };
        match presence {
            Presence::Here if place >= self.here => {
                self.swap(place, self.here);
                self.here += 1;
                self.members[self.here - 1].backlog = false;
            }
            Presence::Away if place < self.here => {
                self.here -= 1;
                self.swap(place, self.here);
                let takes = &mut self.members[self.here].takes;
                (takes.items, takes.idle) = (0, false);
            }
            _ => {}
        }
        true
    }

    fn remove(&mut self, member: Member) {
        if self.set(member, Presence::Away)
            && let Some(place) = self.places.remove(&member)
        {
            self.members.swap_remove(place);
            if let Some(moved) = self.members.get(place) {
                self.places.insert(moved.member, place);
            }
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.members.swap(a, b);
        for place in [a, b] {
            self.places.insert(self.members[place].member, place);
        }
    }

    /// How many there are to choose from: those in front.
    fn choices(&self) -> usize {
        match self.here {
            0 => self.members.len(),
            here => here,
        }
    }
}

impl Groups {
    pub(super) fn new(strategies: ShareStrategies, hasher: SeedableRandomState) -> Self {
        Self {
            table: Arena::new(),
            by_name: HashMap::new(),
            strategies,
            hasher,
            thrown: 0,
            serial: 0,
        }
    }

    /// The next message of a group goes to: a member, its place, and whether its client is there.
    fn pick(&mut self, id: u32, origin: Origin, topic: &str, links: &Links, shard: u16) -> usize {
        let mut throw = || {
            self.thrown = self.thrown.wrapping_add(1);
            self.hasher.hash_one(self.thrown) as usize
        };
        let group = &mut self.table[id];
        let count = group.choices();
        let turn = group.next % count;
        let load = |entry: &Entry| match entry.member.shard == shard {
            true => links
                .sessions
                .get(entry.member.session)
                .map_or(0, |session| session.load()),
            false => entry.load,
        };
        match group.strategy {
            ShareStrategy::RoundRobin => {
                group.next = turn + 1;
                turn
            }
            ShareStrategy::Random => throw() % count,
            ShareStrategy::Sticky => {
                let known = group.favourite.and_then(|m| group.places.get(&m).copied());
                let place = known.filter(|place| *place < count);
                let place = place.unwrap_or_else(|| throw() % count);
                group.favourite = Some(group.members[place].member);
                place
            }
            ShareStrategy::HashClientId => self.hasher.hash_one(origin) as usize % count,
            ShareStrategy::HashTopic => self.hasher.hash_one(topic) as usize % count,
            ShareStrategy::LeastInflight if count > COMPARED => {
                let (a, b) = (throw() % count, throw() % count);
                match load(&group.members[a]) <= load(&group.members[b]) {
                    true => a,
                    false => b,
                }
            }
            ShareStrategy::LeastInflight => {
                group.next = turn + 1;
                let order = (turn..count).chain(0..turn);
                order
                    .min_by_key(|at| load(&group.members[*at]))
                    .unwrap_or(turn)
            }
        }
    }

    /// Gives a message to one member of a group; false when there is none. Whom the group did not
    /// know to be gone or away is noted on the way.
    pub(super) fn dispatch(
        &mut self,
        group: NonZeroU32,
        source: &mut Source<'_>,
        shard: u16,
        links: &mut Links,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let id = group.get() - 1;
        loop {
            if self
                .table
                .get(id)
                .is_none_or(|group| group.members.is_empty())
            {
                return false;
            }
            let place = self.pick(id, source.origin, source.topic(), links, shard);
            let group = &mut self.table[id];
            let keep = place >= group.here;
            let report = group.strategy == ShareStrategy::LeastInflight;
            let entry = &mut group.members[place];
            let member = entry.member;
            entry.backlog |= keep;
            if member.shard != shard {
                entry.load += 1;
                entry.count_sent(source.message());
                let share = Share {
                    group: group.name.clone(),
                    member,
                    message: source.message().clone(),
                    keep,
                    report,
                    handed: source.handed,
                };
                let letter = Letter(Content::Share(Box::new(share)));
                out.letters.push((To::Shard(member.shard), letter));
                return true;
            }
            match links.share(member, keep, false, source, now, out) {
                Taken::Yes => return true,
                Taken::Gone => group.remove(member),
                Taken::Away => {
                    group.set(member, Presence::Away);
                }
            }
        }
    }

    pub(super) fn is_home_of(&self, group: &str) -> bool {
        self.by_name.contains_key(group)
    }

    /// The members of a group whose clients are there, and whose turn is next.
    pub(super) fn present(&self, name: &str) -> Option<(&[Entry], usize)> {
        let group = &self.table[*self.by_name.get(name)?];
        Some((&group.members[..group.here], group.next))
    }

    /// The group of this name, made if there is none.
    fn open(&mut self, name: Arc<str>, index: &mut SubscriptionIndex) -> u32 {
        if let Some(id) = self.by_name.get(&name) {
            return *id;
        }
        let strategy = self.strategies.of(&name);
        let (_, filter) = name.split_once('/').unwrap_or_default();
        let filter = TopicFilter::assume(filter);
        let id = self.table.insert(Group {
            name: name.clone(),
            filter: FilterId::NONE,
            strategy,
            members: Vec::new(),
            here: 0,
            places: HashMap::new(),
            next: 0,
            favourite: None,
            letters: 0,
            log: None,
        });
        let inserted = index.insert(
            filter,
            Subscription {
                session: NONE,
                group: NonZeroU32::new(id + 1),
                identifier: None,
                options: SubscriptionOptions::default(),
            },
        );
        self.table[id].filter = inserted.filter;
        self.by_name.insert(name, id);
        id
    }

    /// Forgets a group that nobody is in any more, or has been for all that is known here.
    fn close_if_empty(
        &mut self,
        name: &Arc<str>,
        index: &mut SubscriptionIndex,
        journal: &mut Journal,
        out: &mut Out,
    ) {
        // The one that has just come.
        let mut letters = 1;
        if let Some(id) = self.by_name.get(name).copied() {
            if !self.table[id].members.is_empty() {
                self.table[id].letters += 1;
                return;
            }
            index.remove(self.table[id].filter, NONE, NonZeroU32::new(id + 1));
            if let Some(stream) = self.stream_of(id) {
                journal.group_ends(stream);
            }
            letters += self.table.remove(id).map_or(0, |group| group.letters);
            self.by_name.remove(name);
        }
        out.groups_gone.push(GroupGone {
            group: name.clone(),
            letters,
        });
    }

    /// Somebody is there again, and nobody was before: asks those who are away for what they hold.
    fn recall_backlogs(&mut self, id: u32, out: &mut Out) {
        let group = &mut self.table[id];
        let here = group.here;
        for entry in group.members[here..].iter_mut().filter(|e| e.backlog) {
            entry.backlog = false;
            recall(entry.member, out);
        }
    }
}

impl Links {
    /// A message was due to some member of a group, and none got it.
    pub(super) fn count_unpicked(&mut self, reason: fn(&mut Dropped) -> &mut u64) {
        self.stats.matched += 1;
        *reason(&mut self.stats.dropped) += 1;
        *reason(&mut self.ended.dropped) += 1;
    }
}

impl Shard {
    pub(super) fn join(
        &mut self,
        name: Arc<str>,
        member: Member,
        presence: Presence,
        out: &mut Out,
    ) {
        let id = self.groups.open(name, &mut self.index);
        self.groups.table[id].letters += 1;
        self.groups.table[id].add(member);
        self.set_presence(id, member, presence, out);
    }

    pub(super) fn leave(&mut self, name: &Arc<str>, member: Member, out: &mut Out) {
        if let Some(id) = self.groups.by_name.get(name) {
            self.groups.table[*id].remove(member);
        }
        self.note_keeper(name, member, Keeps::Not);
        let journal = &mut self.links.journal;
        self.groups
            .close_if_empty(name, &mut self.index, journal, out);
    }

    pub(super) fn note_presence(
        &mut self,
        name: &str,
        member: Member,
        presence: Presence,
        out: &mut Out,
    ) {
        if let Some(id) = self.groups.by_name.get(name).copied() {
            self.set_presence(id, member, presence, out);
        }
    }

    fn set_presence(&mut self, id: u32, member: Member, presence: Presence, out: &mut Out) {
        let group = &mut self.groups.table[id];
        let nobody = group.here == 0;
        if !group.set(member, presence) {
            return;
        }
        match presence {
            Presence::Here if nobody => self.groups.recall_backlogs(id, out),
            Presence::Here => {}
            Presence::Away if group.here > 0 => recall(member, out),
            Presence::Away => {
                if let Some(place) = group.places.get(&member) {
                    group.members[*place].backlog = true;
                }
            }
        }
        self.read_group(id, out);
    }

    /// A member gave messages back: somebody else gets them, or nobody is left to.
    pub(super) fn pick_again(
        &mut self,
        name: &str,
        messages: &[Message],
        now: Time,
        out: &mut Out,
    ) {
        let Self {
            groups,
            links,
            number,
            ..
        } = self;
        let group = groups
            .by_name
            .get(name)
            .and_then(|id| NonZeroU32::new(id + 1));
        for message in messages {
            if message.is_expired(now) {
                links.count_unpicked(|dropped| &mut dropped.expired);
                links.note_unpicked(name, message);
                continue;
            }
            let kept = group.is_some_and(|id| {
                let id = id.get() - 1;
                groups.take_back(id, message, *number, links, now, out)
            });
            if kept {
                continue;
            }
            links.frames.begin(false);
            let mut source = Source::handed(message);
            let picked =
                group.is_some_and(|id| groups.dispatch(id, &mut source, *number, links, now, out));
            if picked {
                links.stats.picked_again += 1;
            } else {
                links.count_unpicked(|dropped| &mut dropped.no_member);
                links.note_unpicked(name, message);
            }
        }
        self.read_group_of(name, out);
    }
}

fn recall(member: Member, out: &mut Out) {
    let letter = Letter(Content::Recall(member));
    out.letters.push((To::Shard(member.shard), letter));
}
