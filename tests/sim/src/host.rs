//! The broker around the shards: placement, mail between shards, the retained store. It stands in
//! for the real driver, with chance where that one has threads.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use ternmq_protocol::broker::{
    self, Admission, AdmitRequest, Applied, ConnId, ListenerId, Out, Page, Parked, RetainedOp,
    RetainedTicket, Shard, ShardConfig, SlowLimits, To,
};
use ternmq_protocol::{Message, Time};

use crate::fault::Fault;
use crate::plan::Plan;
use crate::world::{End, World};

/// Most bytes of one read from a socket.
const SCRATCH: usize = 4096;

/// A shard and what its driver keeps for it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) shard: Shard,
    out: Out,
    /// Links by connection number.
    pub(crate) conns: BTreeMap<u32, usize>,
}

/// What one shard sends another, in order.
#[derive(Debug)]
pub(crate) enum Letter {
    Publishes(Vec<Message>),
    Share(broker::Letter),
    Move(Box<Parked>, usize),
}

/// Letters under way between two shards, with the time they arrive.
pub(crate) type Mail = VecDeque<(Time, Letter)>;

/// Where groups are at home.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// Shard, and members that have joined by a letter and not left by one.
    homes: BTreeMap<Arc<str>, (usize, i32)>,
    /// By shard: members on their way there, and when the last of them arrives.
    joining: BTreeMap<usize, (usize, Time)>,
}

impl Homes {
    pub(crate) fn len(&self) -> usize {
        self.homes.len()
    }

    /// Groups at home on a shard, or about to be.
    pub(crate) fn on(&self, shard: usize) -> u64 {
        self.homes.values().filter(|(at, _)| *at == shard).count() as u64
    }

    fn find(&mut self, group: &Arc<str>, members: i32, asks: usize) -> usize {
        match self.homes.get_mut(group) {
            Some((shard, count)) => {
                *count += members;
                *shard
            }
            None => {
                if members > 0 {
                    self.homes.insert(group.clone(), (asks, members));
                }
                asks
            }
        }
    }

    fn gone(&mut self, group: &str) {
        if self.homes.get(group).is_some_and(|(_, count)| *count <= 0) {
            self.homes.remove(group);
        }
    }
}

/// Where sessions live.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    sessions: u32,
    arriving: u32,
}

impl Directory {
    /// Clients with a session, or on their way to one.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(id) {
            change(entry);
            if entry.sessions == 0 && entry.arriving == 0 {
                self.entries.remove(id);
            }
        }
    }
}

impl Host {
    pub(crate) fn new(number: usize, seed: u64, plan: &Plan) -> Self {
        let number = number as u16;
        Self {
            shard: Shard::new(ShardConfig {
                number,
                seed,
                limits: plan.limits.clone(),
                shares: plan.shares.clone(),
                topics: plan.topics.clone(),
                // Every other world knows who is late, and is the same but for that.
                slow: seed.is_multiple_of(2).then(|| SlowLimits {
                    threshold_ms: 1,
                    entries: 2,
                    ..SlowLimits::default()
                }),
                ..ShardConfig::default()
            }),
            out: Out::default(),
            conns: BTreeMap::new(),
        }
    }
}

impl World {
    /// One call into a shard, with what must precede it, and all that follows from it.
    pub(crate) fn call<R>(
        &mut self,
        shard: usize,
        call: impl FnOnce(&mut Shard, Time, &mut Out) -> R,
    ) -> Result<R, String> {
        let result = self.call_unsettled(shard, call);
        self.settle(shard)?;
        Ok(result)
    }

    fn call_unsettled<R>(
        &mut self,
        shard: usize,
        call: impl FnOnce(&mut Shard, Time, &mut Out) -> R,
    ) -> R {
        let others = self.hosts.iter().enumerate();
        let interested = others
            .filter(|(other, _)| *other != shard)
            .any(|(other, host)| {
                let joining = self.homes.joining.get(&other);
                host.shard.subscriptions() > 0 || joining.is_some_and(|(count, _)| *count > 0)
            });
        let Host {
            shard: machine,
            out,
            ..
        } = &mut self.hosts[shard];
        machine.set_peers_interested(interested);
        call(machine, self.now, out)
    }

    /// What is due in a shard comes before anything else that happens to it now.
    pub(crate) fn pass_time(&mut self, shard: usize) -> Result<(), String> {
        self.truth.pass(shard, self.now);
        self.apply_news();
        let due = self.hosts[shard].shard.poll_timeout();
        if due.is_some_and(|at| at <= self.now) && !self.faults.has_struck(Fault::SkipTimeouts) {
            self.call(shard, |shard, now, out| shard.handle_timeout(now, out))?;
        }
        self.check_overdue(shard)?;
        self.check_books(shard)
    }

    /// A new connection arrives at some shard.
    pub(crate) fn accept(&mut self, link: usize) -> Result<(), String> {
        let shard = self.random.below(self.hosts.len());
        self.pass_time(shard)?;
        let conn = self.call_unsettled(shard, |shard, now, _| shard.open(now, ListenerId(0), None));
        let Some(conn) = conn else {
            return Err("a connection was refused though the limit is far".into());
        };
        self.links[link].accepted = self.now;
        self.attach(link, shard, conn);
        Ok(())
    }

    /// Bytes or the end of the stream have arrived at a shard.
    pub(crate) fn server_read(&mut self, link: usize) -> Result<(), String> {
        let End::Open(shard, conn) = self.links[link].server else {
            return Ok(());
        };
        self.pass_time(shard)?;
        let End::Open(shard, conn_now) = self.links[link].server else {
            return Ok(());
        };
        debug_assert_eq!(conn, conn_now);
        let most = match self.random.one_in(3) {
            true => 1 + self.random.below(16),
            false => SCRATCH,
        };
        let now = self.now;
        let input = self.links[link].up.read(now, most);
        if input.is_empty() {
            if self.links[link].up.at_end(now) {
                self.note(format_args!("server: end of link {link}"));
                self.let_members_in(shard)?;
                return self.server_close(link);
            }
            return Ok(());
        }
        self.note(format_args!("server: {} bytes on link {link}", input.len()));
        self.let_members_in(shard)?;
        let End::Open(shard, conn) = self.links[link].server else {
            return Ok(());
        };
        self.tap_up(link, &input)?;
        self.call(shard, |shard, now, out| {
            shard.handle_input(conn, now, &input, out);
        })
    }

    /// A shard takes its mail before it reads: whoever was told to be a member of a group is one.
    fn let_members_in(&mut self, shard: usize) -> Result<(), String> {
        for from in 0..self.hosts.len() {
            let joins = |letter: &Letter| matches!(letter, Letter::Share(l) if l.members() > 0);
            while self.mail[from][shard]
                .iter()
                .any(|(_, letter)| joins(letter))
            {
                self.deliver_mail(from, shard)?;
            }
        }
        Ok(())
    }

    /// A socket takes bytes again.
    pub(crate) fn server_flush(&mut self, link: usize) -> Result<(), String> {
        let End::Open(shard, conn) = self.links[link].server else {
            return Ok(());
        };
        self.write(link, shard, conn)?;
        let host = &mut self.hosts[shard];
        let empty = host.shard.outbound(conn).is_none_or(|out| out.is_empty());
        if empty {
            self.links[link].to_flush = false;
            if host.shard.flushed(conn) {
                self.call(shard, |shard, now, out| {
                    shard.handle_writable(conn, now, out);
                })?;
            }
        }
        Ok(())
    }

    /// The first letter from one shard to another arrives.
    pub(crate) fn deliver_mail(&mut self, from: usize, to: usize) -> Result<(), String> {
        self.pass_time(to)?;
        let Some((_, letter)) = self.mail[from][to].pop_front() else {
            return Ok(());
        };
        match letter {
            Letter::Publishes(messages) => {
                self.note(format_args!(
                    "mail {from} to {to}: {} messages",
                    messages.len()
                ));
                self.call(to, |shard, now, out| {
                    shard.handle_publishes(now, &messages, out);
                })
            }
            Letter::Share(letter) => {
                self.note(format_args!("mail {from} to {to}: {letter:?}"));
                if letter.members() > 0
                    && let Some((count, _)) = self.homes.joining.get_mut(&to)
                {
                    *count -= 1;
                }
                self.call(to, |shard, now, out| shard.handle_letter(letter, now, out))
            }
            Letter::Move(parked, link) => {
                self.note(format_args!("link {link} moves from {from} to {to}"));
                let id = parked.client_id().to_owned();
                let adopted = self.call_unsettled(to, |shard, now, _| shard.adopt(now, *parked));
                let Some(conn) = adopted else {
                    return Err("a connection was not adopted though the limit is far".into());
                };
                self.attach(link, to, conn);
                self.admit(link, to, conn, &id)
            }
        }
    }

    /// Closes the server's end of a link, whatever is still to be said.
    fn server_close(&mut self, link: usize) -> Result<(), String> {
        let End::Open(shard, conn) = self.links[link].server else {
            return Ok(());
        };
        self.truth_closed(link)?;
        if self.faults.strikes(Fault::ForgetClose) {
            return Ok(());
        }
        let arrives = self.later();
        let link = &mut self.links[link];
        link.server = End::Closed;
        link.down.end(arrives);
        link.up.die(0);
        self.hosts[shard].conns.remove(&conn.0);
        self.call(shard, |shard, now, out| shard.handle_closed(conn, now, out))
    }

    fn attach(&mut self, link: usize, shard: usize, conn: ConnId) {
        self.note(format_args!(
            "link {link} is connection {} of {shard}",
            conn.0
        ));
        self.links[link].server = End::Open(shard, conn);
        self.hosts[shard].conns.insert(conn.0, link);
    }

    /// Carries out what a shard asks for, in the order of its manual.
    fn settle(&mut self, shard: usize) -> Result<(), String> {
        loop {
            let out = &mut self.hosts[shard].out;
            if out.is_empty() {
                break;
            }
            if !out.claims.is_empty() {
                self.settle_claims(shard);
                continue;
            }
            let retained = std::mem::take(&mut out.retained);
            let publishes = std::mem::take(&mut out.publishes);
            let authentications = std::mem::take(&mut out.authentications);
            let admissions = std::mem::take(&mut out.admissions);
            let ended = std::mem::take(&mut out.ended);
            let closing = std::mem::take(&mut out.closing);
            let dirty = std::mem::take(&mut out.dirty);
            let unfinished = std::mem::take(&mut out.unfinished);
            // Whoever has something to read is asked in each step here.
            out.resumed.clear();
            let owed = out.owed.take();
            let letters = std::mem::take(&mut out.letters);
            let gone = std::mem::take(&mut out.groups_gone);
            let pages = self.keep_retained(retained);
            self.hand_out(shard, letters);
            for group in gone {
                self.homes.gone(&group);
            }
            self.post(shard, publishes);
            if let Some(ticket) = owed {
                self.call_unsettled(shard, |shard, _, out| shard.complete(ticket, out));
            }
            for (ticket, page) in pages {
                self.call_unsettled(shard, |shard, now, out| {
                    shard.handle_retained(ticket, page, now, out);
                });
            }
            for request in authentications {
                let answer = self.door.hear(shard, &request, &mut self.random);
                self.call_unsettled(shard, |shard, now, out| {
                    shard.authenticate(request.conn, now, answer, out);
                });
            }
            for request in admissions {
                self.answer(shard, &request)?;
            }
            for id in ended {
                self.directory.change(&id, |entry| {
                    entry.sessions = entry.sessions.saturating_sub(1);
                });
            }
            for conn in unfinished {
                self.call_unsettled(shard, |shard, now, out| shard.resume(conn, now, out));
            }
            self.close_all(shard, &closing)?;
            for conn in dirty {
                if let Some(link) = self.hosts[shard].conns.get(&conn.0) {
                    self.links[*link].to_flush = true;
                }
            }
        }
        self.check_books(shard)
    }

    fn close_all(&mut self, shard: usize, closing: &[ConnId]) -> Result<(), String> {
        // Several may end in one turn, and the shard has published the wills of all of them.
        for conn in closing {
            if let Some(link) = self.hosts[shard].conns.get(&conn.0) {
                self.truth_closed(*link)?;
            }
        }
        for conn in closing {
            let Some(link) = self.hosts[shard].conns.get(&conn.0).copied() else {
                return Err(format!("shard {shard} closes {conn:?}, which is not open"));
            };
            self.check_reason(link)?;
            self.write(link, shard, *conn)?;
            self.server_close(link)?;
        }
        Ok(())
    }

    fn settle_claims(&mut self, shard: usize) {
        for op in std::mem::take(&mut self.hosts[shard].out.claims) {
            if let Some((ticket, granted)) = self.claims.apply(op) {
                self.call_unsettled(shard, |shard, now, out| {
                    shard.handle_claims(ticket, &granted, now, out);
                });
            }
        }
    }

    fn keep_retained(&mut self, ops: Vec<RetainedOp>) -> Vec<(RetainedTicket, Page)> {
        let mut pages = Vec::new();
        for op in ops {
            if !matches!(op, RetainedOp::Page { .. }) && self.faults.strikes(Fault::LoseRetained) {
                continue;
            }
            match op.apply(&mut self.store, self.now) {
                Applied::Done => {}
                Applied::Full(full, _) => self.note(format_args!("retained store full: {full:?}")),
                Applied::Page(ticket, page) => pages.push((ticket, page)),
            }
        }
        pages
    }

    /// Brings letters on their way, those of the shard to itself at once.
    fn hand_out(&mut self, from: usize, letters: Vec<(To, broker::Letter)>) {
        for (to, letter) in letters {
            let to = match to {
                To::Shard(number) => usize::from(number),
                To::Home(group) => {
                    let home = self.homes.find(&group, letter.members(), from);
                    let astray = home != from && self.faults.strikes(Fault::MisplaceLetter);
                    if astray { from } else { home }
                }
            };
            if to == from {
                self.call_unsettled(from, |shard, now, out| {
                    shard.handle_letter(letter, now, out)
                });
                continue;
            }
            if self.faults.strikes(Fault::LoseLetter) {
                continue;
            }
            let joins = letter.members() > 0;
            self.send_letter(from, to, Letter::Share(letter));
            if joins {
                let arrives = self.mail[from][to].back().map_or(self.now, |(at, _)| *at);
                let (count, last) = self.homes.joining.entry(to).or_default();
                (*count, *last) = (*count + 1, arrives.max(*last));
            }
        }
    }

    /// Offers messages to the other shards that have subscriptions.
    fn post(&mut self, from: usize, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        for to in 0..self.hosts.len() {
            let joining = self
                .homes
                .joining
                .get(&to)
                .is_some_and(|(count, _)| *count > 0);
            if to == from || (self.hosts[to].shard.subscriptions() == 0 && !joining) {
                continue;
            }
            if self.faults.strikes(Fault::DropMail) {
                continue;
            }
            self.send_letter(from, to, Letter::Publishes(messages.clone()));
            if self.faults.strikes(Fault::DuplicateMail) {
                self.send_letter(from, to, Letter::Publishes(messages.clone()));
            }
            let mail = &mut self.mail[from][to];
            let last = mail.len() - 1;
            if last > 0 && self.faults.strikes(Fault::ReorderMail) {
                mail.swap(last - 1, last);
            }
        }
    }

    fn send_letter(&mut self, from: usize, to: usize, letter: Letter) {
        let mut arrives = self.later();
        if let (Letter::Publishes(_), Some((_, joined))) = (&letter, self.homes.joining.get(&to)) {
            // Who has joined before this was sent is a member when it arrives, whoever sent it: the
            // mailbox of a shard is one line.
            arrives = arrives.max(joined.after(1));
        }
        let mail = &mut self.mail[from][to];
        let last = mail.back().map_or(Time(0), |(at, _)| *at);
        mail.push_back((arrives.max(last), letter));
    }

    /// Finds the shard of a client and brings it there.
    fn answer(&mut self, shard: usize, request: &AdmitRequest) -> Result<(), String> {
        if let Some(reason) = self.door.refuses(request) {
            let refusal = Admission::Refuse(reason);
            self.call_unsettled(shard, |shard, now, out| {
                shard.admit(request.conn, now, refusal, out);
            });
            return Ok(());
        }
        let id = String::from(&*request.client_id);
        let place = self.place(&id);
        let lost = self.faults.strikes(Fault::MisplaceSession);
        let entry = self.directory.entries.entry(id.clone()).or_insert(Entry {
            shard: place,
            sessions: 0,
            arriving: 0,
        });
        entry.arriving += 1;
        let home = if lost { place } else { entry.shard };
        let Some(link) = self.hosts[shard].conns.get(&request.conn.0).copied() else {
            return Err(format!("{request:?} of a connection that is not open"));
        };
        if home == shard {
            return self.admit(link, shard, request.conn, &id);
        }
        let parked = self.call_unsettled(shard, |shard, _, _| shard.release(request.conn));
        let Some(parked) = parked else {
            return Err(format!("{request:?} could not be released"));
        };
        self.hosts[shard].conns.remove(&request.conn.0);
        self.links[link].server = End::Moving;
        self.links[link].to_flush = false;
        self.send_letter(shard, home, Letter::Move(Box::new(parked), link));
        Ok(())
    }

    fn place(&mut self, id: &str) -> usize {
        match id.strip_prefix("auditor ").and_then(|n| n.parse().ok()) {
            Some(shard) => shard,
            None => self.random.below(self.hosts.len()),
        }
    }

    fn admit(&mut self, link: usize, shard: usize, conn: ConnId, id: &str) -> Result<(), String> {
        let before = self.hosts[shard].shard.has_session(id);
        self.truth_admit(link, shard)?;
        let ended = self.hosts[shard].out.ended.len();
        let answer = self.door.admission();
        self.call_unsettled(shard, |shard, now, out| {
            shard.admit(conn, now, answer, out);
        });
        // A session that gave way to a new one of the same client counts as the same.
        self.hosts[shard].out.ended.truncate(ended);
        let after = self.hosts[shard].shard.has_session(id);
        self.directory.change(id, |entry| {
            entry.arriving -= 1;
            entry.sessions += u32::from(!before && after);
            entry.sessions -= u32::from(before && !after);
        });
        self.settle(shard)
    }

    /// Moves bytes from a shard's buffer into the pipe, as far as it takes them.
    fn write(&mut self, link: usize, shard: usize, conn: ConnId) -> Result<(), String> {
        loop {
            let room = self.links[link].down.room();
            let room = match self.random.one_in(4) {
                true => room.min(1 + self.random.below(100)),
                false => room,
            };
            let Some(outbound) = self.hosts[shard].shard.outbound(conn) else {
                return Ok(());
            };
            let most = self.plan.most_outbound();
            if outbound.len() > most {
                return Err(format!(
                    "{} bytes wait on link {link}, over {most}",
                    outbound.len()
                ));
            }
            if outbound.is_empty() || room == 0 {
                return Ok(());
            }
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = outbound.gather(&mut slices);
            let mut bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            bytes.truncate(room);
            outbound.advance(bytes.len());
            self.note(format_args!(
                "server: sends {} bytes on link {link}",
                bytes.len()
            ));
            self.tap_down(link, &bytes)?;
            if self.faults.strikes(Fault::DamageByte)
                && let Some(byte) = bytes.last_mut()
            {
                *byte ^= 1;
            }
            let arrives = self.later();
            self.links[link].down.send(arrives, &bytes);
        }
    }
}
