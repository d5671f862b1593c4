//! The broker around the shards: placement, sockets, the retained store. It stands in for the real
//! driver, with chance where that one has threads.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use ternmq_protocol::Time;
use ternmq_protocol::broker::{
    Admission, AdmitRequest, Applied, ClaimOp, ConnId, ListenerId, Out, Page, RetainedOp,
    RetainedTicket, Shard, ShardConfig, Ticket,
};
use ternmq_protocol::outbound::Outbound;

use crate::fault::Fault;
use crate::mail::{Kept, Letter};
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
    /// By shard, what its mailbox has no room for.
    pub(crate) kept: BTreeMap<usize, Kept>,
    /// Acknowledgements for what is kept.
    pub(crate) owed: Option<Ticket>,
    /// Links whose SUBSCRIBE waits for an answer of the table of exclusive subscriptions.
    asking: VecDeque<Option<usize>>,
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
    pub(crate) fn new(config: ShardConfig) -> Self {
        Self {
            shard: Shard::new(config),
            out: Out::default(),
            conns: BTreeMap::new(),
            kept: BTreeMap::new(),
            owed: None,
            asking: VecDeque::new(),
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
        let result = self.call_unsettled(shard, None, call)?;
        self.settle(shard)?;
        Ok(result)
    }

    /// The same without what follows. Packets that the shard handles are of this link.
    pub(crate) fn call_unsettled<R>(
        &mut self,
        shard: usize,
        link: Option<usize>,
        call: impl FnOnce(&mut Shard, Time, &mut Out) -> R,
    ) -> Result<R, String> {
        let (result, packets, closing) = self.call_unnoticed(shard, call);
        self.learn(shard, link, packets, &closing)?;
        self.note_claims(shard, link);
        Ok(result)
    }

    /// A SUBSCRIBE of this link may wait for the table of exclusive subscriptions now.
    fn note_claims(&mut self, shard: usize, link: Option<usize>) {
        let Host { out, asking, .. } = &mut self.hosts[shard];
        let takes = out
            .claims
            .iter()
            .filter(|op| matches!(op, ClaimOp::Take(_)));
        asking.resize(takes.count(), link);
    }

    /// A call; how many packets were handled, and which connections are to be closed.
    fn call_unnoticed<R>(
        &mut self,
        shard: usize,
        call: impl FnOnce(&mut Shard, Time, &mut Out) -> R,
    ) -> (R, u64, Vec<ConnId>) {
        let others = self.hosts.iter().enumerate();
        let interested = others
            .filter(|(other, _)| *other != shard)
            .any(|(other, host)| {
                let joining = self.joining.get(&other);
                host.shard.subscriptions() > 0 || joining.is_some_and(|(count, _)| *count > 0)
            });
        let Host {
            shard: machine,
            out,
            ..
        } = &mut self.hosts[shard];
        machine.set_peers_interested(interested);
        let (packets, closing) = (machine.stats().packets_received, out.closing.len());
        let result = call(machine, self.now, out);
        let packets = machine.stats().packets_received - packets;
        (result, packets, out.closing[closing..].to_vec())
    }

    /// What is due in a shard comes before anything else that happens to it now.
    pub(crate) fn pass_time(&mut self, shard: usize) -> Result<(), String> {
        let due = self.hosts[shard].shard.poll_timeout();
        if due.is_some_and(|at| at <= self.now) && !self.faults.has_struck(Fault::SkipTimeouts) {
            let ahead = match self.faults.strikes(Fault::FastClock) {
                true => 1_500,
                false => 0,
            };
            let (_, packets, closing) = self.call_unnoticed(shard, |shard, now, out| {
                shard.handle_timeout(now.after(ahead), out);
            });
            // Of several things that were due at once nobody can say which came first.
            let due = self.truth.due(shard, self.now) + closing.len() + usize::from(packets > 0);
            self.certain = due <= 1;
            self.pass_truth(shard);
            let mut links = self.hosts[shard].conns.values().copied();
            let held = links
                .find(|link| self.is_held(*link))
                .filter(|_| packets > 0);
            self.learn(shard, held, packets, &closing)?;
            self.note_claims(shard, held);
            // Some may have been for now.
            self.certain = false;
            self.pass_truth_to(shard);
            self.be_certain();
            self.settle(shard)?;
        } else {
            self.pass_truth(shard);
        }
        self.check_overdue(shard)?;
        self.check_books(shard)
    }

    /// A new connection arrives at some shard.
    pub(crate) fn accept(&mut self, link: usize) -> Result<(), String> {
        let shard = self.random.below(self.hosts.len());
        self.pass_time(shard)?;
        let conn = self.call_unsettled(shard, None, |shard, now, _| {
            shard.open(now, ListenerId(0), None)
        })?;
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
        let input = self.read(link, shard);
        if input.is_empty() {
            if self.links[link].up.at_end(self.now) {
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
        self.tap_up(link, &input);
        let conn = self.neighbour(link, shard).unwrap_or(conn);
        self.call_unsettled(shard, Some(link), |shard, now, out| {
            shard.handle_input(conn, now, &input, out);
        })?;
        self.settle(shard)
    }

    /// The innocent connection that a fault takes a hostile one for.
    fn neighbour(&mut self, link: usize, shard: usize) -> Option<ConnId> {
        let mut conns = self.hosts[shard].conns.iter();
        let found = conns.find(|(_, other)| {
            let other = &self.links[**other];
            other.is_honest() && other.admitted
        });
        let conn = ConnId(*found.filter(|_| self.links[link].hostile)?.0);
        self.faults.strikes(Fault::BlameNeighbour).then_some(conn)
    }

    /// Bytes that a shard reads. Where rates hold packets back, at most one link of a shard has some
    /// held, so that it is known whose they are when they are handled.
    fn read(&mut self, link: usize, shard: usize) -> Vec<u8> {
        let mut most = match self.random.one_in(3) {
            true => 1 + self.random.below(16),
            false => SCRATCH,
        };
        let mut conns = self.hosts[shard].conns.values();
        let found = &self.links[link];
        if found.is_honest()
            && self.plan.rates.is_some()
            && (!found.admitted || conns.any(|other| self.is_held(*other)))
        {
            most = most.min(missing(&found.unhandled));
        }
        let now = self.now;
        self.links[link].up.read(now, most)
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

    /// Closes the server's end of a link, whatever is still to be said.
    fn server_close(&mut self, link: usize) -> Result<(), String> {
        let End::Open(shard, conn) = self.links[link].server else {
            return Ok(());
        };
        self.truth_closed(link)?;
        if self.faults.strikes(Fault::ForgetClose) {
            return Ok(());
        }
        let lost = self.hosts[shard].shard.outbound(conn).map(drain);
        self.tap_lost(link, shard, &lost.unwrap_or_default())?;
        let arrives = self.later();
        let link = &mut self.links[link];
        link.server = End::Closed;
        link.down.end(arrives);
        link.up.die(0);
        self.hosts[shard].conns.remove(&conn.0);
        self.call(shard, |shard, now, out| shard.handle_closed(conn, now, out))
    }

    pub(crate) fn attach(&mut self, link: usize, shard: usize, conn: ConnId) {
        self.note(format_args!(
            "link {link} is connection {} of {shard}",
            conn.0
        ));
        self.links[link].server = End::Open(shard, conn);
        self.hosts[shard].conns.insert(conn.0, link);
    }

    /// Carries out what a shard asks for, in the order of its manual.
    pub(crate) fn settle(&mut self, shard: usize) -> Result<(), String> {
        loop {
            let out = &mut self.hosts[shard].out;
            if out.is_empty() {
                break;
            }
            if !out.claims.is_empty() {
                self.settle_claims(shard)?;
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
            self.hand_out(shard, letters)?;
            for gone in gone {
                self.homes.gone(&gone);
            }
            self.post(shard, publishes);
            self.complete(shard, owed)?;
            for (filter, ticket, page) in pages {
                self.replay(shard, &filter, ticket, page)?;
            }
            for request in authentications {
                let answer = self.door.hear(shard, &request, &mut self.random);
                self.call_unsettled(shard, None, |shard, now, out| {
                    shard.authenticate(request.conn, now, answer, out);
                })?;
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
                let link = self.hosts[shard].conns.get(&conn.0).copied();
                self.call_unsettled(shard, link, |shard, now, out| shard.resume(conn, now, out))?;
            }
            self.close_all(shard, &closing)?;
            for conn in dirty {
                if let Some(link) = self.hosts[shard].conns.get(&conn.0) {
                    self.links[*link].to_flush = true;
                }
            }
        }
        self.meter_all()?;
        self.check_books(shard)
    }

    fn close_all(&mut self, shard: usize, closing: &[ConnId]) -> Result<(), String> {
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

    fn settle_claims(&mut self, shard: usize) -> Result<(), String> {
        let host = &mut self.hosts[shard];
        let mut asking = std::mem::take(&mut host.asking);
        for op in std::mem::take(&mut host.out.claims) {
            let Some((ticket, mut granted)) = self.claims.apply(op) else {
                continue;
            };
            if granted.contains(&false) && self.faults.strikes(Fault::GrantAll) {
                granted.fill(true);
            }
            let link = asking.pop_front().flatten();
            let (_, packets, closing) = self.call_unnoticed(shard, |shard, now, out| {
                shard.handle_claims(ticket, &granted, now, out);
            });
            if let Some(link) = link.filter(|_| !self.scripted) {
                self.take_claims(link, &granted)?;
            }
            self.learn(shard, link, packets, &closing)?;
            self.note_claims(shard, link);
        }
        Ok(())
    }

    /// The pages that were asked for, each with the filter it is for.
    fn keep_retained(&mut self, ops: Vec<RetainedOp>) -> Vec<(Box<str>, RetainedTicket, Page)> {
        let mut pages = Vec::new();
        for op in ops {
            let asked = match &op {
                RetainedOp::Page { filter, .. } => filter.clone(),
                _ => Box::default(),
            };
            if !matches!(op, RetainedOp::Page { .. }) && self.faults.strikes(Fault::LoseRetained) {
                continue;
            }
            match op.apply(&mut self.store, self.now) {
                Applied::Done => {}
                Applied::Full(full, _) => self.note(format_args!("retained store full: {full:?}")),
                Applied::Page(ticket, page) => pages.push((asked, ticket, page)),
            }
        }
        pages
    }

    /// Finds the shard of a client and brings it there.
    fn answer(&mut self, shard: usize, request: &AdmitRequest) -> Result<(), String> {
        if let Some(reason) = self.door.refuses(request) {
            let refusal = Admission::Refuse(reason);
            self.call_unsettled(shard, None, |shard, now, out| {
                shard.admit(request.conn, now, refusal, out);
            })?;
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
        let parked = self.call_unsettled(shard, None, |shard, _, _| shard.release(request.conn))?;
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

    pub(crate) fn admit(
        &mut self,
        link: usize,
        shard: usize,
        conn: ConnId,
        id: &str,
    ) -> Result<(), String> {
        let before = self.hosts[shard].shard.has_session(id);
        self.truth_admit(link, shard)?;
        let ended = self.hosts[shard].out.ended.len();
        let answer = self.door.admission();
        self.call_unsettled(shard, Some(link), |shard, now, out| {
            shard.admit(conn, now, answer, out);
        })?;
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
            let small = (3..128).contains(&bytes.len()) && bytes.len() == usize::from(bytes[1]) + 2;
            if small && bytes[0] >> 1 == 0x18 && self.faults.strikes(Fault::StealMessage) {
                continue;
            }
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

/// Takes all out that a connection had to send.
fn drain(outbound: &mut Outbound) -> Vec<u8> {
    let mut bytes = vec![0; outbound.len()];
    let read = outbound.read(&mut bytes);
    bytes.truncate(read);
    bytes
}

/// How many bytes to read at most so that no more than one packet is whole.
fn missing(bytes: &[u8]) -> usize {
    let mut len = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return (2 + at + len).saturating_sub(bytes.len()).max(1);
        }
    }
    1
}
