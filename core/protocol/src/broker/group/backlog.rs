//! What a group that a store keeps has not had yet: it stays in the log, and the group remembers where it is.
//!
//! A group is *kept* while the session of one of its members is, with a QoS above 0. What comes out of the log
//! goes to a member that has room for it; when none has, because all are away or slow, the group falls *behind*:
//! that message and all later ones stay in the log, and are read page by page when a member has room again. So
//! what a group holds in memory is what its members hold, each within its own limits, and a place.
//!
//! What a member gives back when nobody else has room is forgotten too, but for its place, and read first.
//!
//! On disk there is the group's stream, and what of it is done. That is the group's cursor: a group that starts
//! again begins before the first message that is not done, and leaves out what sessions have on their way. When
//! a group begins to be kept, and when it ends, all that was there is over: it is nobody's who comes later.
//!
//! When the last member whose session lasts has gone, those who stay have what is in the log still; what comes
//! later is for them alone and not in it. So that it stays there, the group *holds* its stream from the time it
//! is kept until its last member leaves. Then, or after a crash, when nobody is a member, what of it is not
//! done is lost: the sweep that takes it out of the log counts it, for only it sees all of it.

use super::super::durable::{Counted, LogPage, ReadRequest, ReadTicket, StreamKey};
use super::super::journal::Journal;
use super::super::links::Links;
use super::super::out::Out;
use super::super::session::Parcel;
use super::super::shard::Shard;
use super::super::share::{Content, Keeps, Letter, Member, Share, Taken, Takes, To};
use super::super::source::Source;
use super::super::stats::Dropped;
use super::{Entry, Groups};
use crate::message::Message;
use crate::time::Time;
use crate::topic::SHARE_PREFIX;
use hashbrown::HashSet;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// Times between two members whose sessions last that a group remembers. Of a message of an older one that is
/// given back now nobody would know that the log does not have it.
const MOST_GAPS: usize = 1_024;

/// Where a group is in the log when a broker starts: for [`Shard::resume_group`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStart {
    /// Up to here everything is done.
    pub reached: u64,
    /// Behind here nothing is.
    pub done: u64,
    /// Places of messages that sessions have on their way.
    pub held: Vec<u64>,
}

/// The place of a kept group in the log.
#[derive(Debug)]
pub(super) struct Backlog {
    stream: StreamKey,
    /// Members for whose sake it is kept.
    keepers: HashSet<Member>,
    /// Messages up to here may not be in the stream, nor those behind `until`.
    since: u64,
    until: u64,
    /// Nor those behind the first and up to the second place: nobody's session lasted then. In rising order.
    gaps: Vec<(u64, u64)>,
    behind: bool,
    /// Up to here members have, or have had, everything but what is in `back`.
    reached: u64,
    /// Places of messages that members gave back.
    back: BTreeSet<u64>,
    /// Places behind `reached` of messages that members have all the same.
    held: BTreeSet<u64>,
    /// Behind here nothing is done, and the store need not look.
    done: u64,
    /// Behind which place a page has been asked for.
    asked: Option<u64>,
    /// Counts the pages, so that a late one is told apart.
    turn: u32,
    /// Tells the group from others that had or will have its slot.
    serial: u64,
    /// What has come by since it fell behind, as far as it is not read.
    unread: u64,
    unread_bytes: u64,
    /// Up to here a start has left it uncounted: the first page tells.
    uncounted: u64,
}

impl Backlog {
    fn new(group: &str, since: u64, serial: u64) -> Self {
        Self {
            stream: StreamKey::of(&format!("{SHARE_PREFIX}{group}")),
            keepers: HashSet::new(),
            since,
            until: u64::MAX,
            gaps: Vec::new(),
            behind: false,
            reached: since,
            back: BTreeSet::new(),
            held: BTreeSet::new(),
            done: 0,
            asked: None,
            turn: 0,
            serial,
            unread: 0,
            unread_bytes: 0,
            uncounted: 0,
        }
    }

    /// Whether a message can be found again in the group's stream.
    fn has(&self, seq: u64) -> bool {
        let in_gap = |(after, to): &(u64, u64)| seq > *after && seq <= *to;
        seq > self.since && seq <= self.until && !self.gaps.iter().any(in_gap)
    }

    /// Somebody's session lasts again, or for the first time. What has come by meanwhile was not left in the log.
    fn go_on(&mut self, seen: u64) {
        if self.until < seen {
            if self.gaps.len() == MOST_GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((self.until, seen));
        }
        self.until = u64::MAX;
    }

    fn fall_behind(&mut self, reached: u64) {
        if !self.behind {
            self.behind = true;
            self.reached = self.reached.max(reached);
            (self.unread, self.unread_bytes) = (0, 0);
        }
    }

    fn leave(&mut self, bytes: usize, links: &mut Links) {
        self.unread = self.unread.saturating_add(1);
        self.unread_bytes = self.unread_bytes.saturating_add(bytes as u64);
        links.stats.matched += 1;
        links.stats.unread += 1;
    }

    /// What a start has left in the log for the group, but for what members have.
    fn note_counted(&mut self, after: u64, counted: Counted) {
        let range = after.saturating_add(1)..=self.uncounted.max(after.saturating_add(1));
        let held = (self.held.range(range).count() as u64).min(counted.messages);
        // Theirs are as heavy as the others, for all that is known.
        let each = counted.bytes / counted.messages.max(1);
        self.unread = self.unread.saturating_add(counted.messages - held);
        let bytes = counted.bytes.saturating_sub(each * held);
        self.unread_bytes = self.unread_bytes.saturating_add(bytes);
        self.uncounted = 0;
    }

    /// Behind which place the next page begins.
    fn next(&self) -> u64 {
        let back = self.back.first().map_or(u64::MAX, |first| first - 1);
        back.min(self.reached)
    }

    /// Whether a message of a page is for the group still.
    fn wants(&self, seq: u64) -> bool {
        self.back.contains(&seq) || seq > self.reached && self.has(seq) && !self.held.contains(&seq)
    }

    /// A message of a page has found a member, or is dropped.
    fn passed(&mut self, seq: u64) {
        if !self.back.remove(&seq) {
            self.reached = self.reached.max(seq);
        }
    }

    /// The store has nothing else up to a place.
    fn pass_page(&mut self, after: u64, reached: u64) {
        // What is not there any more was taken out of the log by its limits.
        self.back.retain(|seq| *seq <= after || *seq > reached);
        self.reached = self.reached.max(reached);
        self.held = self.held.split_off(&(self.reached + 1));
    }

    /// Why the group does not get a message that it has read, if so.
    fn drops(
        &mut self,
        message: &Message,
        links: &Links,
        now: Time,
    ) -> Option<fn(&mut Dropped) -> &mut u64> {
        let config = &links.journal.config;
        let over = (
            self.unread > config.backlog_messages.into(),
            self.unread_bytes > config.backlog_bytes,
        );
        if !self.back.contains(&message.log_seq()) {
            self.unread = self.unread.saturating_sub(1);
            let bytes = message.memory() as u64;
            self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
        }
        match over {
            _ if message.is_expired(now) => Some(|dropped| &mut dropped.expired),
            (true, _) => Some(|dropped| &mut dropped.queue_items),
            (_, true) => Some(|dropped| &mut dropped.queue_bytes),
            _ => None,
        }
    }
}

impl Entry {
    /// What has been sent to a member elsewhere that it has not told of yet.
    fn under_way(&self) -> (u32, u64) {
        (
            self.sent.wrapping_sub(self.takes.taken),
            self.sent_bytes.wrapping_sub(self.takes.taken_bytes),
        )
    }

    /// A message is sent to it, which it will tell of.
    pub(super) fn count_sent(&mut self, message: &Message) {
        self.sent = self.sent.wrapping_add(1);
        let weight = size_of::<Parcel>() + message.memory();
        self.sent_bytes = self.sent_bytes.wrapping_add(weight as u64);
    }

    /// How many messages it has room for, as far as is known here.
    fn room(&self, shard: u16, links: &Links) -> u32 {
        if self.member.shard == shard {
            let there = links.membership(self.member);
            let takes = there.map(|_| links.takes(self.member.session));
            return takes.map_or(0, |takes| takes.items.max(u32::from(takes.idle)));
        }
        let (items, _) = self.under_way();
        match items {
            0 => self.takes.items.max(u32::from(self.takes.idle)),
            _ => self.takes.items.saturating_sub(items),
        }
    }

    fn has_room(&self, message: &Message, shard: u16, links: &Links) -> bool {
        if self.member.shard == shard {
            let idle = || {
                let there = links.membership(self.member);
                there.is_some() && links.takes(self.member.session).idle
            };
            return links.has_room(self.member, message) || idle();
        }
        let (items, bytes) = self.under_way();
        let weight = (size_of::<Parcel>() + message.memory()) as u64;
        self.takes.idle && items == 0
            || items < self.takes.items && bytes + weight <= self.takes.bytes
    }
}

impl Groups {
    /// A message comes by that a group is to have.
    pub(in super::super) fn come_by(
        &mut self,
        group: NonZeroU32,
        source: &mut Source<'_>,
        shard: u16,
        links: &mut Links,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let id = group.get() - 1;
        let seq = source.log_seq;
        let kept = self
            .table
            .get_mut(id)
            .and_then(|one| one.log.as_deref_mut());
        let Some(log) = kept.filter(|_| seq != 0) else {
            return self.dispatch(group, source, shard, links, now, out);
        };
        if !log.has(seq) {
            return self.dispatch(group, source, shard, links, now, out);
        }
        if seq <= log.reached || log.held.contains(&seq) {
            return false; // A page had it.
        }
        if !log.behind && self.give(id, source, shard, links, now, out) {
            return true;
        }
        if let Some(log) = self.log(id) {
            let news = !log.behind;
            log.fall_behind(seq - 1);
            log.leave(source.message().memory(), links);
            if news {
                self.ask_for_room(id, shard, links);
            }
        }
        true
    }

    /// Has the members that are here and at home tell of room, also those that were not given anything yet:
    /// what fills their queues may be for other subscriptions.
    fn ask_for_room(&self, id: u32, shard: u16, links: &mut Links) {
        let Some(group) = self.table.get(id) else {
            return;
        };
        for entry in &group.members[..group.here] {
            if entry.member.shard == shard && links.membership(entry.member).is_some() {
                links.ask_for_reports(entry.member);
            }
        }
    }

    fn log(&mut self, id: u32) -> Option<&mut Backlog> {
        self.table.get_mut(id)?.log.as_deref_mut()
    }

    fn log_of(&mut self, name: &str) -> Option<(u32, &mut Backlog)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.log(id)?))
    }

    /// Gives a message to a member that is there and has room for it, the one whose turn it is or the next one;
    /// false when there is none.
    fn give(
        &mut self,
        id: u32,
        source: &mut Source<'_>,
        shard: u16,
        links: &mut Links,
        now: Time,
        out: &mut Out,
    ) -> bool {
        loop {
            let here = self.table.get(id).map_or(0, |group| group.here);
            if here == 0 {
                return false;
            }
            let first = self.pick(id, source.origin, source.topic(), links, shard);
            let group = &mut self.table[id];
            let found = (first..here).chain(0..first).find(|place| {
                links.stats.work += 1;
                group.members[*place].has_room(source.message(), shard, links)
            });
            let Some(place) = found else {
                return false;
            };
            if place != first {
                group.next = place + 1;
            }
            let entry = &mut group.members[place];
            let member = entry.member;
            if member.shard != shard {
                entry.load += 1;
                entry.count_sent(source.message());
                let share = Share {
                    group: group.name.clone(),
                    member,
                    message: source.message().clone(),
                    keep: false,
                    report: true,
                    handed: source.handed,
                };
                let letter = Letter(Content::Share(Box::new(share)));
                out.letters.push((To::Shard(member.shard), letter));
                return true;
            }
            match links.share(member, false, true, source, now, out) {
                Taken::Yes => return true,
                Taken::Gone => group.remove(member),
                Taken::Away => {
                    group.set(member, super::Presence::Away);
                }
            }
        }
    }

    /// A message that a member gave back, if its group is kept: somebody who has room gets it, or its place is
    /// remembered. False for any other.
    pub(super) fn take_back(
        &mut self,
        id: u32,
        message: &Message,
        shard: u16,
        links: &mut Links,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let seq = message.log_seq();
        let seen = links.journal.seen;
        let Some(log) = self.log(id).filter(|log| seq != 0 && log.has(seq)) else {
            return false;
        };
        // Behind others that were given back and wait.
        if log.back.is_empty() {
            let mut source = Source::handed(message);
            links.frames.begin(false);
            if self.give(id, &mut source, shard, links, now, out) {
                links.stats.picked_again += 1;
                return true;
            }
        }
        if let Some(log) = self.log(id) {
            log.fall_behind(seen);
            log.held.remove(&seq);
            if seq <= log.reached {
                log.back.insert(seq);
            }
            links.stats.matched += 1;
            links.stats.unread += 1;
        }
        true
    }

    /// A member had no room for a message of its group, though it was thought to: as if it had given it back.
    /// False if the group is not kept.
    pub(in super::super) fn keep_spilled(
        &mut self,
        name: &str,
        message: &Message,
        from: Member,
        links: &mut Links,
    ) -> bool {
        let (seq, seen) = (message.log_seq(), links.journal.seen);
        let Some((id, log)) = self.log_of(name).filter(|(_, l)| seq != 0 && l.has(seq)) else {
            return false;
        };
        log.fall_behind(seen);
        log.held.remove(&seq);
        if seq <= log.reached {
            log.back.insert(seq);
        }
        links.stats.matched += 1;
        links.stats.unread += 1;
        let group = &mut self.table[id];
        if let Some(place) = group.places.get(&from).copied() {
            // Until it tells of more.
            let takes = &mut group.members[place].takes;
            (takes.items, takes.idle) = (0, false);
        }
        true
    }

    /// What a member elsewhere can take.
    pub(in super::super) fn note_takes(&mut self, group: &str, member: Member, takes: Takes) {
        if let Some(id) = self.by_name.get(group)
            && let Some(place) = self.table[*id].places.get(&member).copied()
        {
            let entry = &mut self.table[*id].members[place];
            (entry.load, entry.takes) = (takes.load, takes);
        }
    }

    /// A group is kept for a member's sake, or not any more. Returns its stream if it begins to be kept.
    fn set_keeper(
        &mut self,
        id: u32,
        member: Member,
        keeps: Keeps,
        seen: u64,
    ) -> Option<StreamKey> {
        self.serial += 1;
        let serial = self.serial;
        let group = &mut self.table[id];
        if keeps == Keeps::Not || !group.places.contains_key(&member) {
            if let Some(log) = group.log.as_deref_mut()
                && log.keepers.remove(&member)
                && log.keepers.is_empty()
            {
                log.until = seen;
            }
            return None;
        }
        let begins = group.log.is_none();
        let new = || Box::new(Backlog::new(&group.name, seen, serial));
        let log = group.log.get_or_insert_with(new);
        log.keepers.insert(member);
        log.go_on(seen);
        begins.then_some(log.stream)
    }

    /// The stream that a group holds, whose last member has left.
    pub(super) fn stream_of(&self, id: u32) -> Option<StreamKey> {
        Some(self.table.get(id)?.log.as_deref()?.stream)
    }
}

impl Journal {
    /// A group begins to be kept: it holds its stream, and nothing up to here is due to it, unless it goes on
    /// from before a start. Its row says in any case that the stream is a group's.
    fn group_begins(&mut self, stream: StreamKey, keeps: Keeps) {
        self.holds.push((stream, true));
        let seen = match keeps {
            Keeps::Begins => self.seen,
            _ => 0,
        };
        self.passed.push((stream, seen));
    }

    /// A group has lost its last member: nothing up to here is due to a later one of its name.
    pub(super) fn group_ends(&mut self, stream: StreamKey) {
        self.passed.push((stream, self.seen));
        self.holds.push((stream, false));
    }
}

impl Shard {
    /// A member's session is kept by a store, or is not to have messages of it any more.
    pub(in super::super) fn note_keeper(&mut self, name: &str, member: Member, keeps: Keeps) {
        if let Some(id) = self.groups.by_name.get(name).copied() {
            let seen = self.links.journal.seen;
            if let Some(stream) = self.groups.set_keeper(id, member, keeps, seen) {
                self.links.journal.group_begins(stream, keeps);
            }
        }
    }

    /// Where a shared subscription was in the log when the broker stopped: for the home of the group,
    /// `SHARE_NAME/FILTER`, once its members are restored. What is left for it is read as its members come.
    pub fn resume_group(&mut self, group: &str, start: GroupStart, out: &mut Out) {
        let seen = self.links.journal.seen;
        if let Some((id, log)) = self.groups.log_of(group) {
            log.behind = start.reached < seen;
            log.since = start.reached;
            log.uncounted = seen;
            (log.reached, log.done) = (start.reached, start.done);
            log.held.extend(start.held);
            self.read_group(id, out);
        }
    }

    /// A member may have room: its group goes on where it is at home, if that is here.
    pub(in super::super) fn read_group_of(&mut self, name: &str, out: &mut Out) {
        if let Some(id) = self.groups.by_name.get(name).copied() {
            self.read_group(id, out);
        }
    }

    /// Asks for the next page of the log for a group that is behind, if a member has room for any of it, or finds
    /// that it is not behind.
    pub(super) fn read_group(&mut self, id: u32, out: &mut Out) {
        let Self {
            groups,
            links,
            number,
            ..
        } = self;
        let Some(group) = groups.table.get_mut(id) else {
            return;
        };
        let Some(log) = group.log.as_deref_mut() else {
            return;
        };
        if !log.behind || log.asked.is_some() {
            return;
        }
        if log.back.is_empty() && log.reached >= links.journal.seen.min(log.until) {
            log.behind = false;
            return;
        }
        let mut room: usize = 0;
        let most = links.journal.config.page_messages;
        for entry in &group.members[..group.here] {
            links.stats.work += 1;
            room += entry.room(*number, links) as usize;
            if room >= most {
                break;
            }
        }
        if room == 0 {
            return groups.ask_for_room(id, *number, links);
        }
        let counts = links.journal.config.limits_backlog();
        let after = log.next();
        log.asked = Some(after);
        out.reads.push(ReadRequest {
            ticket: ReadTicket {
                session: id,
                group: true,
                serial: log.serial,
                turn: log.turn,
            },
            streams: Box::new([(log.stream, 0)]),
            after,
            undone: after < log.done,
            messages: most.min(room),
            bytes: links.journal.config.page_bytes,
            count_to: match counts && after == log.reached && after < log.uncounted {
                true => log.uncounted,
                false => 0,
            },
        });
    }

    /// The page that a ticket is for, if it is waited for: what it begins behind.
    fn group_asked(&mut self, ticket: ReadTicket) -> Option<u64> {
        let log = self.groups.log(ticket.session)?;
        if log.serial != ticket.serial || log.turn != ticket.turn {
            return None;
        }
        log.turn = log.turn.wrapping_add(1);
        log.asked.take()
    }

    /// A page for a group.
    pub(in super::super) fn take_group_page(
        &mut self,
        ticket: ReadTicket,
        page: &LogPage,
        now: Time,
        out: &mut Out,
    ) {
        let Some(after) = self.group_asked(ticket) else {
            return;
        };
        let id = ticket.session;
        if let (Some(counted), Some(log)) = (page.counted, self.groups.log(id)) {
            log.note_counted(after, counted);
        }
        for message in &page.messages {
            if !self.give_from_page(id, message, now, out) {
                // Whoever has room again asks.
                return;
            }
        }
        let last = page.messages.last().map_or(0, Message::log_seq);
        if let Some(log) = self.groups.log(id) {
            log.pass_page(after, page.reached.max(last));
        }
        for _ in 0..page.lost.min(page.reached.saturating_sub(after)) {
            self.links.count_unpicked(|dropped| &mut dropped.unreadable);
        }
        self.read_group(id, out);
    }

    fn give_from_page(&mut self, id: u32, message: &Message, now: Time, out: &mut Out) -> bool {
        let Self {
            groups,
            links,
            number,
            ..
        } = self;
        let seq = message.log_seq();
        let Some(log) = groups.log(id).filter(|log| log.wants(seq)) else {
            return true;
        };
        let handed = log.back.contains(&seq);
        if let Some(reason) = log.drops(message, links, now) {
            log.passed(seq);
            links.count_unpicked(reason);
            let name = groups.table[id].name.clone();
            links.note_unpicked(&name, message);
            return true;
        }
        let mut source = match handed {
            true => Source::handed(message),
            false => Source::made(message),
        };
        links.frames.begin(false);
        if !groups.give(id, &mut source, *number, links, now, out) {
            // It is read again.
            if let Some(log) = groups.log(id).filter(|_| !handed) {
                log.unread += 1;
                log.unread_bytes += message.memory() as u64;
            }
            return false;
        }
        links.stats.picked_again += u64::from(handed);
        if let Some(log) = groups.log(id) {
            log.passed(seq);
        }
        true
    }

    /// A page for a group could not be read: it asks again with the next thing that a member does.
    pub(in super::super) fn group_page_unread(&mut self, ticket: ReadTicket) {
        self.group_asked(ticket);
    }
}
