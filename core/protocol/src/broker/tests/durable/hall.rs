//! Shards, their mail, a store and clients, without threads: each step is taken when the test says so, and
//! what has not been committed is gone when it says crash.

use super::disk::Disk;
use crate::broker::durable::{
    DurableConfig, LogPage, NotStored, ReadRequest, ReadTicket, StoreOp, StreamKey,
};
use crate::broker::record::{Epoch, Owner, Restored, SessionRecord};
use crate::broker::retained::{Retained, RetainedLimits};
use crate::broker::tests::desk::*;
use crate::broker::tests::mount::{OPEN, listeners};
use crate::broker::{
    Admission, Applied, ConnId, Homes, Letter, Limits, ListenerId, Out, RetainedOp, Shard,
    ShardConfig, StoreCut, Ticket, To, Topics,
};
use crate::codec::{
    Ack, Connect, Packet, PacketType, Properties, PropertiesBuf, PropertyId, Publish, QoS,
    Subscribe, SubscriptionOptions, Unsubscribe,
};
use crate::message::Message;
use crate::reason::ReasonCode;
use crate::time::{Clock, Time, UnixMs};
use crate::topic::{SHARE_PREFIX, TopicName};
use crate::version::ProtocolVersion;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const START: u64 = 1_800_000_000_000;

const LIMITS: RetainedLimits = RetainedLimits {
    messages: 1000,
    bytes: 1 << 20,
};

pub(super) enum Mail {
    Letter(Letter),
    Publishes(Vec<Message>),
    Stored(Ticket),
    NotStored(Ticket, NotStored),
    Page(ReadTicket, LogPage),
}

/// What a shard has handed over at a time.
struct Batch {
    shard: usize,
    ops: Vec<StoreOp>,
    ticket: Option<Ticket>,
    turn: u64,
}

/// A connection: where it is, and what its client has got.
pub(super) struct Client {
    pub(super) shard: usize,
    pub(super) conn: ConnId,
    pub(super) line: Line,
}

pub(super) struct Hall {
    pub(super) shards: Vec<Shard>,
    outs: Vec<Out>,
    pub(super) mail: Vec<VecDeque<Mail>>,
    batches: VecDeque<Batch>,
    /// What the store has to say: it is on the disk already, and may be read there.
    unsaid: VecDeque<(usize, Mail)>,
    /// Shards with the turns of which the store refuses all, for it has refused something.
    refused: BTreeSet<(usize, u64)>,
    pub(super) reads: VecDeque<(usize, ReadRequest)>,
    pub(super) disk: Disk,
    retained: Retained<Message>,
    homes: Homes,
    /// Connections by a number of the test's.
    pub(super) clients: BTreeMap<u32, Client>,
    next: u32,
    pub(super) now: Time,
    started: Time,
    epoch: u64,
    limits: Limits,
    config: DurableConfig,
    topics: Topics,
    /// Through which one the next client comes.
    pub(super) listener: u16,
    /// Shared subscriptions that there have been.
    groups: BTreeSet<String>,
    /// How often each stream is held by a group.
    holds: BTreeMap<StreamKey, i32>,
    /// What sweeps have found not done of groups that were over.
    pub(super) left: u64,
}

impl Hall {
    pub(super) fn new(shards: usize) -> Self {
        Self::with(shards, DurableConfig::default(), |_| ())
    }

    pub(super) fn with(
        shards: usize,
        config: DurableConfig,
        change: impl FnOnce(&mut Limits),
    ) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let mut hall = Self {
            shards: Vec::new(),
            outs: Vec::new(),
            mail: Vec::new(),
            batches: VecDeque::new(),
            unsaid: VecDeque::new(),
            refused: BTreeSet::new(),
            reads: VecDeque::new(),
            disk: Disk::default(),
            retained: Retained::new(LIMITS),
            homes: Homes::default(),
            clients: BTreeMap::new(),
            next: 0,
            now: Time(1_000_000),
            started: Time(1_000_000),
            epoch: 0,
            limits,
            config,
            topics: Topics {
                delayed: Some(crate::broker::DelayedLimits::default()),
                ..Topics::default()
            },
            listener: OPEN,
            groups: BTreeSet::new(),
            holds: BTreeMap::new(),
            left: 0,
        };
        hall.start(shards);
        hall
    }

    pub(super) fn clock(&self) -> Clock {
        Clock::at(self.now, UnixMs(START + self.now.since(self.started)))
    }

    fn start(&mut self, shards: usize) {
        self.epoch += 1;
        let owner = Owner {
            epoch: Epoch(self.epoch),
            ..Owner::default()
        };
        self.shards = (0..shards)
            .map(|number| {
                Shard::new(ShardConfig {
                    number: number as u16,
                    seed: self.epoch,
                    limits: self.limits.clone(),
                    owner,
                    topics: self.topics.clone(),
                    listeners: listeners(),
                    durable: Some(self.config.clone()),
                    ..ShardConfig::default()
                })
            })
            .collect();
        self.outs = (0..shards).map(|_| Out::default()).collect();
        self.mail = (0..shards).map(|_| VecDeque::new()).collect();
        self.homes = Homes::default();
        let tail = self.disk.tail();
        for number in 0..shards {
            self.shards[number].set_peers_interested(shards > 1);
            self.shards[number].set_log_seen(tail);
            let clock = self.clock();
            self.shards[number].collect(clock, &mut self.outs[number]);
        }
        self.restore();
    }

    fn restore(&mut self) {
        let clock = self.clock();
        let records = self.disk.restore(clock);
        let kept = records.clone();
        for record in records {
            let shard = self.home_of(&record.client_id);
            let out = &mut self.outs[shard];
            let restored = self.shards[shard].restore(record, clock, out);
            assert_eq!(restored, Restored::Taken);
            self.settle(shard);
        }
        for (key, record) in self.disk.delayed(clock) {
            let (due, shard) = (clock.time(Some(record.due)), usize::from(record.home));
            let shard = shard % self.shards.len();
            assert!(self.shards[shard].restore_delayed(key, due, record.message));
        }
        self.deliver_all();
        for group in self.groups.clone() {
            self.resume(&group, &kept);
        }
        for shard in 0..self.shards.len() {
            let (now, out) = (self.now, &mut self.outs[shard]);
            self.shards[shard].handle_timeout(now, out);
            self.settle(shard);
        }
        self.deliver_all();
    }

    fn resume(&mut self, group: &str, records: &[SessionRecord]) {
        let start = self.disk.group_start(StreamKey::of(group), records);
        let name = group.strip_prefix(SHARE_PREFIX).unwrap();
        if let Some(shard) = self.homes.home_of(name) {
            let out = &mut self.outs[shard];
            self.shards[shard].resume_group(name, start, out);
            self.settle(shard);
        }
    }

    /// Power fails, `away` ms pass, and another broker starts with what was committed.
    pub(super) fn crash(&mut self, shards: usize, away: u64) {
        self.clients.clear();
        self.batches.clear();
        self.unsaid.clear();
        self.refused.clear();
        self.reads.clear();
        self.holds.clear();
        self.now = self.now.after(away);
        self.retained = Retained::new(LIMITS);
        for message in self.disk.retained(self.clock()) {
            let (topic, expires) = (message.clone(), message.expires());
            let put = self
                .retained
                .put(TopicName::assume(topic.topic()), message, expires);
            assert!(put.is_ok());
        }
        self.start(shards);
    }

    /// The shard of a client's session.
    pub(super) fn home_of(&self, client_id: &str) -> usize {
        let sum: usize = client_id.bytes().map(usize::from).sum();
        sum % self.shards.len()
    }

    /// Does what a shard asks for until it asks for nothing more.
    pub(super) fn settle(&mut self, shard: usize) {
        loop {
            let mut out = std::mem::take(&mut self.outs[shard]);
            let clock = self.clock();
            self.shards[shard].collect(clock, &mut out);
            if out.is_empty() {
                return;
            }
            let mut pages = Vec::new();
            for op in out.retained.drain(..) {
                let change = match &op {
                    RetainedOp::Put { message, .. } => Some(StoreOp::PutRetained(message.clone())),
                    RetainedOp::Remove(topic) => Some(StoreOp::RemoveRetained(topic.clone())),
                    RetainedOp::Page { .. } => None,
                };
                match op.apply(&mut self.retained, self.now) {
                    Applied::Page(ticket, page) => pages.push((ticket, page)),
                    Applied::Done => self.batches.extend(change.map(|op| Batch {
                        shard,
                        ops: vec![op],
                        ticket: None,
                        turn: 0,
                    })),
                    Applied::Full(..) => {}
                }
            }
            self.post(shard, &mut out);
            for (stream, held) in out.holds.drain(..) {
                *self.holds.entry(stream).or_default() += if held { 1 } else { -1 };
            }
            self.hand_in(shard, &mut out);
            let (now, answers) = (self.now, &mut self.outs[shard]);
            if let Some(ticket) = out.owed.take() {
                self.shards[shard].complete(ticket, answers);
            }
            let reads = out.reads.drain(..).map(|read| (shard, read));
            self.reads.extend(reads);
            for (ticket, page) in pages {
                self.shards[shard].handle_retained(ticket, page, now, answers);
            }
            for request in out.admissions.drain(..) {
                self.shards[shard].admit(request.conn, now, Admission::Accept, answers);
            }
            for conn in out.unfinished.drain(..) {
                self.shards[shard].resume(conn, now, answers);
            }
            for conn in out.dirty.drain(..) {
                self.flush(shard, conn);
            }
            for conn in out.closing.drain(..) {
                self.flush(shard, conn);
                if let Some(client) = self.client_of(shard, conn) {
                    client.line.open = false;
                }
                let (now, out) = (self.now, &mut self.outs[shard]);
                self.shards[shard].handle_closed(conn, now, out);
            }
        }
    }

    fn hand_in(&mut self, shard: usize, out: &mut Out) {
        let turn = self.shards[shard].store_turn();
        let cuts = out.take_cuts();
        let mut begin = 0;
        for StoreCut { end, ticket } in cuts {
            let ops: Vec<_> = out.store.drain(..end - begin).collect();
            begin = end;
            assert!(ticket.is_some());
            self.batches.push_back(Batch {
                shard,
                ops,
                ticket,
                turn,
            });
        }
    }

    fn post(&mut self, shard: usize, out: &mut Out) {
        let others = |number: &usize| *number != shard;
        if !out.publishes.is_empty() {
            for number in (0..self.shards.len()).filter(others) {
                self.mail[number].push_back(Mail::Publishes(out.publishes.clone()));
            }
            out.publishes.clear();
        }
        for (to, letter) in out.letters.drain(..) {
            let to = match &to {
                To::Shard(number) => usize::from(*number),
                To::Home(group) => {
                    self.groups.insert(format!("{SHARE_PREFIX}{group}"));
                    self.homes.find(group, &letter, shard)
                }
                To::All => {
                    for number in (0..self.shards.len()).filter(others) {
                        self.mail[number].push_back(Mail::Letter(letter.clone()));
                    }
                    continue;
                }
            };
            if to == shard {
                let (now, out) = (self.now, &mut self.outs[shard]);
                self.shards[shard].handle_letter(letter, now, out);
            } else {
                self.mail[to].push_back(Mail::Letter(letter));
            }
        }
        for gone in out.groups_gone.drain(..) {
            self.homes.gone(&gone);
        }
        out.claims.clear();
        out.ended.clear();
    }

    fn client_of(&mut self, shard: usize, conn: ConnId) -> Option<&mut Client> {
        let mut clients = self.clients.values_mut();
        clients.find(|client| client.line.open && (client.shard, client.conn) == (shard, conn))
    }

    fn flush(&mut self, shard: usize, conn: ConnId) {
        let mut bytes = Vec::new();
        let stuck = self
            .client_of(shard, conn)
            .is_some_and(|client| client.line.stuck);
        let outbound = self.shards[shard].outbound(conn);
        if stuck {
            return;
        }
        if let Some(outbound) = outbound {
            outbound.drain_into(&mut bytes);
        }
        if let Some(client) = self.client_of(shard, conn) {
            client.line.read(&bytes);
        }
        if self.shards[shard].flushed(conn) {
            let (now, out) = (self.now, &mut self.outs[shard]);
            self.shards[shard].handle_writable(conn, now, out);
        }
    }

    /// A shard gets the next piece of its mail; false when there is none.
    pub(super) fn deliver(&mut self, shard: usize) -> bool {
        let Some(mail) = self.mail[shard].pop_front() else {
            return false;
        };
        let (now, out) = (self.now, &mut self.outs[shard]);
        let to = &mut self.shards[shard];
        match mail {
            Mail::Letter(letter) => to.handle_letter(letter, now, out),
            Mail::Publishes(messages) => to.handle_publishes(now, &messages, out),
            Mail::Stored(ticket) => to.stored(ticket, now, out),
            Mail::NotStored(ticket, why) => to.not_stored(ticket, why, now, out),
            Mail::Page(ticket, page) => to.handle_log_page(ticket, page, now, out),
        }
        self.settle(shard);
        true
    }

    pub(super) fn deliver_all(&mut self) {
        while (0..self.shards.len()).any(|shard| self.deliver(shard)) {}
    }

    /// The store commits the first batches that it was given, or refuses them, and says so.
    pub(super) fn commit(&mut self, batches: usize, refused: Option<NotStored>) {
        self.keep(batches, refused);
        self.say(usize::MAX);
    }

    /// It says the next things that it has to say.
    pub(super) fn say(&mut self, count: usize) {
        let count = count.min(self.unsaid.len());
        for (shard, mail) in self.unsaid.drain(..count) {
            self.mail[shard].push_back(mail);
        }
    }

    /// It commits, and has to say so.
    pub(super) fn keep(&mut self, batches: usize, refused: Option<NotStored>) {
        let count = batches.min(self.batches.len());
        let mut taken: Vec<Batch> = self.batches.drain(..count).collect();
        while has_placeless(&taken)
            && let Some(more) = self.batches.pop_front()
        {
            taken.push(more);
        }
        let clock = self.clock();
        let mut tickets = Vec::new();
        let mut messages = Vec::new();
        for batch in taken {
            let turn = (batch.shard, batch.turn);
            let mut why = refused;
            if self.refused.contains(&turn) {
                why = why.or(Some(NotStored::Failed));
            }
            if let (None, [op]) = (batch.ticket, &*batch.ops) {
                // Of a retained message nothing is refused: it is tried again.
                self.disk.apply(op.clone(), clock);
            } else if why.is_some() {
                batch.ops.iter().for_each(StoreOp::refuse);
                self.refused.insert(turn);
            } else {
                let kept = batch.ops.into_iter();
                messages.extend(kept.filter_map(|op| self.disk.apply(op, clock)));
            }
            tickets.extend(batch.ticket.map(|ticket| (batch.shard, ticket, why)));
        }
        if !messages.is_empty() {
            let all = 0..self.mail.len();
            self.unsaid
                .extend(all.map(|shard| (shard, Mail::Publishes(messages.clone()))));
        }
        for (shard, ticket, why) in tickets {
            let mail = match why {
                None => Mail::Stored(ticket),
                Some(why) => Mail::NotStored(ticket, why),
            };
            self.unsaid.push_back((shard, mail));
        }
    }

    pub(super) fn waits(&self) -> usize {
        self.batches.len()
    }

    /// Records of sessions that wait for the store.
    pub(super) fn sessions_that_wait(&self) -> usize {
        let ops = self.batches.iter().flat_map(|batch| &batch.ops);
        ops.filter(|op| matches!(op, StoreOp::PutSession(_)))
            .count()
    }

    /// The log answers the first question.
    pub(super) fn answer_read(&mut self) -> bool {
        let Some((shard, request)) = self.reads.pop_front() else {
            return false;
        };
        let page = self.disk.read(&request, self.clock());
        self.mail[shard].push_back(Mail::Page(request.ticket, page));
        true
    }

    /// The log is swept, of what all shards have seen of it.
    pub(super) fn sweep(&mut self) {
        let seen = self.shards.iter().map(|shard| shard.links.journal.seen);
        let holds = &self.holds;
        let held = |stream| holds.get(&stream).is_some_and(|count| *count > 0);
        self.left += self.disk.sweep(seen.min().unwrap_or_default(), held);
    }

    /// Everything that is under way arrives.
    pub(super) fn quiet(&mut self) {
        loop {
            self.say(usize::MAX);
            self.deliver_all();
            if self.waits() > 0 {
                self.commit(usize::MAX, None);
            } else if !self.answer_read() {
                return;
            }
        }
    }

    /// Time passes.
    pub(super) fn wait(&mut self, ms: u64) {
        self.now = self.now.after(ms);
        for shard in 0..self.shards.len() {
            let (now, out) = (self.now, &mut self.outs[shard]);
            self.shards[shard].handle_timeout(now, out);
            self.settle(shard);
        }
    }

    /// This process publishes through the first shard.
    pub(super) fn keep_published(&mut self, message: &Message) -> bool {
        let kept = self.shards[0].keep_published(message, &mut self.outs[0]);
        self.settle(0);
        kept
    }

    pub(super) fn open(&mut self, shard: usize, version: ProtocolVersion) -> u32 {
        let conn = self.shards[shard].open(self.now, ListenerId(self.listener), None);
        self.next += 1;
        let client = Client {
            shard,
            conn: conn.unwrap(),
            line: Line::new(version),
        };
        self.clients.insert(self.next, client);
        self.next
    }

    pub(super) fn send(&mut self, client: u32, packet: Packet<'_>) {
        let Some(known) = self.clients.get(&client).filter(|known| known.line.open) else {
            return;
        };
        let (shard, conn) = (known.shard, known.conn);
        let mut bytes = Vec::new();
        packet.encode(known.line.version(), &mut bytes).unwrap();
        // Mail that is there is read before the sockets.
        while self.deliver(shard) {}
        if !self.clients[&client].line.open {
            return;
        }
        let (now, out) = (self.now, &mut self.outs[shard]);
        self.shards[shard].handle_input(conn, now, &bytes, out);
        self.settle(shard);
    }

    /// A client connects; CONNACK may take a while. `expiry` of 0 is a clean session.
    pub(super) fn connect(
        &mut self,
        version: ProtocolVersion,
        client_id: &str,
        clean: bool,
        expiry: u32,
    ) -> u32 {
        let mut properties = PropertiesBuf::default();
        if version.is_v5() && expiry > 0 {
            properties.push_number(PropertyId::SessionExpiryInterval, expiry);
        }
        let mut connect = Connect::new(version, client_id);
        connect.clean_start = clean;
        connect.properties = properties.get();
        let client = self.open(self.home_of(client_id), version);
        self.send(client, Packet::Connect(connect));
        client
    }

    /// A client with a session that is kept is connected, CONNACK read; whether there was one.
    pub(super) fn durable(&mut self, version: ProtocolVersion, client_id: &str) -> (u32, bool) {
        let client = self.connect(version, client_id, false, 10_000);
        self.quiet();
        (client, self.connack(client))
    }

    pub(super) fn connack(&mut self, client: u32) -> bool {
        match self.take(client) {
            Some(Got::ConnAck {
                present, reason, ..
            }) => {
                assert_eq!(reason, ReasonCode::SUCCESS);
                present
            }
            other => panic!("not a CONNACK: {other:?}"),
        }
    }

    pub(super) fn take(&mut self, client: u32) -> Option<Got> {
        let got = &mut self.clients.get_mut(&client)?.line.got;
        (!got.is_empty()).then(|| got.remove(0))
    }

    pub(super) fn take_all(&mut self, client: u32) -> Vec<Got> {
        let client = self.clients.get_mut(&client);
        client.map_or(Vec::new(), |client| std::mem::take(&mut client.line.got))
    }

    pub(super) fn texts(&mut self, client: u32) -> Vec<String> {
        let all = self.take_all(client).into_iter();
        all.map(|got| match got {
            Got::Publish(message) => message.text().to_owned(),
            other => panic!("not a PUBLISH: {other:?}"),
        })
        .collect()
    }

    pub(super) fn is_open(&self, client: u32) -> bool {
        let client = self.clients.get(&client);
        client.is_some_and(|client| client.line.open)
    }

    pub(super) fn stick(&mut self, client: u32, stuck: bool) {
        let Some(known) = self.clients.get_mut(&client) else {
            return;
        };
        known.line.stuck = stuck;
        if !stuck && known.line.open {
            let (shard, conn) = (known.shard, known.conn);
            self.flush(shard, conn);
            self.settle(shard);
        }
    }

    pub(super) fn cut(&mut self, client: u32) {
        if let Some(client) = self.clients.remove(&client).filter(|one| one.line.open) {
            let (now, out) = (self.now, &mut self.outs[client.shard]);
            self.shards[client.shard].handle_closed(client.conn, now, out);
            self.settle(client.shard);
        }
    }

    pub(super) fn publish(&mut self, client: u32, topic: &str, text: &str, qos: QoS, id: u16) {
        let mut publish = Publish::new(topic, text.as_bytes());
        (publish.qos, publish.packet_id) = (qos, id);
        self.send(client, Packet::Publish(publish));
    }

    pub(super) fn ack(&mut self, client: u32, kind: PacketType, id: u16) {
        let ack = Ack::new(id, ReasonCode::SUCCESS);
        self.send(
            client,
            match kind {
                PacketType::PubAck => Packet::PubAck(ack),
                PacketType::PubRec => Packet::PubRec(ack),
                PacketType::PubRel => Packet::PubRel(ack),
                _ => Packet::PubComp(ack),
            },
        );
    }

    pub(super) fn subscribe(&mut self, client: u32, filter: &str, qos: QoS) {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        let requests = [(filter, options)];
        let packet = Subscribe::new(9, Properties::EMPTY, &requests);
        self.send(client, Packet::Subscribe(packet));
    }

    pub(super) fn unsubscribe(&mut self, client: u32, filter: &str) {
        let filters = [filter];
        let packet = Unsubscribe::new(11, Properties::EMPTY, &filters);
        self.send(client, Packet::Unsubscribe(packet));
    }

    /// Every copy due is sent, waiting, or dropped for a reason, in all shards together.
    pub(super) fn check_books(&self) {
        let mut stats = crate::broker::Stats::default();
        for shard in &self.shards {
            stats.add(shard.stats());
            crate::broker::tests::sums::check_sums(shard);
        }
        let accounted = stats.sent() + stats.queued + stats.dropped.total();
        assert_eq!(stats.copies(), accounted, "{stats:?}");
    }
}

/// Whether there is a retained message that is for the log as well, and not with it.
fn has_placeless(batches: &[Batch]) -> bool {
    let ops = || batches.iter().flat_map(|batch| &batch.ops);
    let logged = |id: usize| {
        ops().any(|op| matches!(op, StoreOp::Append(append) if append.message.identity() == id))
    };
    ops().any(|op| match op {
        StoreOp::PutRetained(message) => message.is_for_the_log() && !logged(message.identity()),
        _ => false,
    })
}

/// Reads and acknowledges, so many times.
pub(super) fn read_all(hall: &mut Hall, client: u32, times: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..times {
        hall.quiet();
        for got in hall.take_all(client) {
            if let Got::Publish(message) = got {
                all.push(message.text().to_owned());
                hall.ack(client, PacketType::PubAck, message.id);
            }
        }
    }
    all
}
