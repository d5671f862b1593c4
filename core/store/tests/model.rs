//! Random operations against a plain model in memory, with the store closed and opened, copied, and
//! swept in between, and everything applied twice now and then.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{CLOCK, Seeded, append, appended, key, message, request, session, subscribe};
use ternmq_protocol::broker::durable::{DelayedKey, StoreOp, StreamKey};
use ternmq_protocol::broker::record::{DelayedRecord, NodeId, Owner};
use ternmq_protocol::time::UnixMs;
use ternmq_store::{Memory, Options, Store, SweepLimits, Sync};

const FILTERS: [&str; 6] = ["a", "b", "c", "#", "$share/g/a", "$share/h/b"];
const CLIENTS: [&str; 4] = ["anna", "bert", "cleo", "dora"];

#[derive(Default)]
struct Known {
    rev: u64,
    cursor: u64,
    in_flight: Vec<u64>,
    /// Filters with where they begin.
    filters: BTreeMap<&'static str, u64>,
}

#[derive(Default)]
struct Model {
    /// Payload and streams, the first one's number being 1.
    log: Vec<(String, Vec<&'static str>)>,
    sessions: BTreeMap<&'static str, Known>,
    retained: BTreeMap<String, String>,
    delayed: BTreeSet<u64>,
    done: BTreeMap<&'static str, BTreeSet<u64>>,
    /// When nobody subscribed to a group, what it had went.
    group_since: BTreeMap<&'static str, u64>,
    counter: u64,
}

struct Run {
    random: Seeded,
    model: Model,
    memory: Arc<Memory>,
    store: Option<Store>,
    owner: Owner,
}

fn open(memory: &Arc<Memory>) -> Store {
    let options = Options {
        cache_bytes: 1 << 20,
        verify: true,
    };
    Store::over(memory.clone(), &options).unwrap()
}

fn delayed(number: u64) -> DelayedKey {
    DelayedKey {
        shard: 1,
        epoch: 1,
        number,
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let memory = Arc::new(Memory::default());
        let store = open(&memory);
        let owner = store.begin(NodeId(1)).unwrap();
        Self {
            random: Seeded(seed),
            model: Model::default(),
            memory,
            store: Some(store),
            owner,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// A batch of operations, and what they mean.
    fn commit(&mut self) {
        let head = self.model.log.len() as u64;
        let ops: Vec<StoreOp> = (0..1 + self.random.below(12))
            .map(|_| self.op(head))
            .collect();
        let sync = match self.random.one_in(2) {
            true => Sync::Yes,
            false => Sync::No,
        };
        let done = self.store().commit(self.owner, &ops, CLOCK, sync).unwrap();
        assert_eq!(done.head, self.model.log.len() as u64);
        let seqs: Vec<u64> = ops
            .iter()
            .filter(|op| matches!(op, StoreOp::Append(_)))
            .map(|op| appended(op).log_seq())
            .collect();
        assert_eq!(seqs, (head + 1..=done.head).collect::<Vec<_>>());
        if self.random.one_in(4) {
            let again = self.store().commit(self.owner, &ops, CLOCK, sync).unwrap();
            assert_eq!((again.appended, again.head), (0, done.head));
        }
    }

    fn op(&mut self, head: u64) -> StoreOp {
        let model = &mut self.model;
        let client = CLIENTS[self.random.below(CLIENTS.len())];
        let filter = FILTERS[self.random.below(FILTERS.len())];
        model.counter += 1;
        match self.random.below(15) {
            0..=5 => {
                let mut streams: Vec<&'static str> = FILTERS.into();
                streams.retain(|_| self.random.one_in(3));
                if streams.is_empty() {
                    streams.push(filter);
                }
                let payload = format!("{}", model.counter).repeat(1 + self.random.below(40));
                let op = append("t", payload.as_bytes(), &streams);
                model.log.push((payload, streams));
                op
            }
            6 | 7 => self.put_session(client, head),
            8 => {
                model.sessions.remove(client);
                self.leave_groups(head);
                StoreOp::EndSession(key(client))
            }
            9 if model.sessions.contains_key(client) => {
                let known = model.sessions.get_mut(client).unwrap();
                known.filters.insert(filter, head);
                subscribe(client, filter, head)
            }
            10 => {
                if let Some(known) = model.sessions.get_mut(client) {
                    known.filters.remove(filter);
                }
                self.leave_groups(head);
                StoreOp::Unsubscribe(key(client), filter.into())
            }
            11 => self.put_retained(),
            12 => self.put_delayed(),
            13 => {
                let group = FILTERS[4 + self.random.below(2)];
                let seq = self.random.below(head as usize + 1) as u64;
                model.done.entry(group).or_default().extend(1..=seq);
                StoreOp::DoneUpTo(StreamKey::of(group), seq)
            }
            _ => {
                let group = FILTERS[4 + self.random.below(2)];
                let seq = 1 + self.random.below(head as usize + 1) as u64;
                model.done.entry(group).or_default().insert(seq);
                StoreOp::Done(StreamKey::of(group), seq)
            }
        }
    }

    fn put_session(&mut self, client: &'static str, head: u64) -> StoreOp {
        let known = self.model.sessions.entry(client).or_default();
        known.rev += 1;
        let ahead = (head - known.cursor) as usize;
        let before = known.cursor;
        known.cursor += self.random.below(ahead + 1) as u64;
        // Of what it has passed, the last ones may be in flight.
        let passed = before + 1..=known.cursor;
        known.in_flight.retain(|_| self.random.one_in(2));
        known
            .in_flight
            .extend(passed.rev().take(self.random.below(3)));
        let mut held = Vec::new();
        let store = self.store.as_ref().unwrap();
        known.in_flight.retain(|seq| {
            let found = store.messages_at(&[*seq], CLOCK).unwrap().remove(0);
            held.extend(found.clone());
            found.is_some()
        });
        let held: Vec<_> = held.iter().collect();
        session(client, known.rev, known.cursor, &held)
    }

    fn put_retained(&mut self) -> StoreOp {
        let topic = format!("r/{}", self.random.below(9));
        if self.random.one_in(3) {
            self.model.retained.remove(&topic);
            return StoreOp::RemoveRetained(topic.into());
        }
        let payload = self.model.counter.to_string();
        let op = StoreOp::PutRetained(message(&topic, payload.as_bytes()));
        self.model.retained.insert(topic, payload);
        op
    }

    fn put_delayed(&mut self) -> StoreOp {
        let number = self.random.below(9) as u64;
        if self.random.one_in(3) {
            self.model.delayed.remove(&number);
            return StoreOp::RemoveDelayed(delayed(number));
        }
        self.model.delayed.insert(number);
        let record = DelayedRecord {
            message: message("later", b"x"),
            due: UnixMs(number),
            home: 1,
        };
        StoreOp::PutDelayed(delayed(number), Box::new(record))
    }

    /// What a group without members had may go from now on.
    fn leave_groups(&mut self, head: u64) {
        for group in &FILTERS[4..] {
            let mut sessions = self.model.sessions.values();
            if !sessions.any(|known| known.filters.contains_key(group)) {
                let appended = self.model.log.len() as u64;
                self.model.group_since.insert(group, head.max(appended));
            }
        }
    }

    fn sweep(&mut self) {
        let settled = self.random.below(self.model.log.len() + 1) as u64;
        let limits = SweepLimits {
            settled,
            ..SweepLimits::default()
        };
        self.store().sweep(self.owner, &limits, CLOCK).unwrap();
        // Who subscribes from now on begins behind it, and a group's new members too.
        for group in &FILTERS[4..] {
            let mut sessions = self.model.sessions.values();
            if !sessions.any(|known| known.filters.contains_key(group)) {
                let since = self.model.group_since.entry(group).or_default();
                *since = settled.max(*since);
            }
        }
    }

    fn reopen(&mut self) {
        drop(self.store.take());
        match self.random.below(3) {
            0 => {}
            1 => {
                let store = open(&self.memory);
                let copy = Arc::new(Memory::default());
                store.backup_into(copy.clone()).unwrap();
                drop(store);
                self.memory = copy;
            }
            _ => {
                let store = open(&self.memory);
                store.compact().unwrap();
            }
        }
        let store = open(&self.memory);
        self.owner = store.begin(NodeId(1)).unwrap();
        self.store = Some(store);
    }

    fn check(&mut self) {
        let store = self.store.as_ref().unwrap();
        let page = store.sessions(None, usize::MAX, CLOCK).unwrap();
        let known: BTreeMap<String, (u64, u64)> = page
            .sessions
            .iter()
            .map(|one| (one.client_id.to_string(), (one.rev.0, one.cursor)))
            .collect();
        let wanted: BTreeMap<String, (u64, u64)> = self
            .model
            .sessions
            .iter()
            .map(|(name, one)| ((*name).to_owned(), (one.rev, one.cursor)))
            .collect();
        assert_eq!((known, page.damaged), (wanted, 0));
        for record in &page.sessions {
            let known = &self.model.sessions[&*record.client_id];
            let flying: Vec<u64> = record.messages().map(|one| one.log_seq()).collect();
            assert_eq!((&flying, record.lost), (&known.in_flight, 0));
            let filters: BTreeMap<&str, u64> = record
                .subscriptions
                .iter()
                .map(|one| (&*one.filter, one.since))
                .collect();
            assert!(
                filters
                    .into_iter()
                    .eq(known.filters.iter().map(|(a, b)| (*a, *b)))
            );
        }
        self.check_streams();
        self.check_groups();
        self.check_beside();
    }

    /// Pages of each session from its cursor.
    fn check_streams(&mut self) {
        let store = self.store.as_ref().unwrap();
        for known in self.model.sessions.values() {
            let filters: Vec<(&str, u64)> = known
                .filters
                .iter()
                .filter(|(filter, _)| !filter.starts_with('$'))
                .map(|(filter, since)| (*filter, *since))
                .collect();
            let wanted: Vec<(u64, &str)> = (1..)
                .zip(&self.model.log)
                .filter(|(seq, (_, streams))| {
                    let mut wants = filters.iter();
                    *seq > known.cursor
                        && wants.any(|(filter, since)| seq > since && streams.contains(filter))
                })
                .map(|(seq, (payload, _))| (seq, payload.as_str()))
                .collect();
            let (mut after, mut found) = (known.cursor, Vec::new());
            let head = store.head();
            while after < head {
                let mut request = request(&[], after, 1 + self.random.below(30));
                request.bytes = 1 + self.random.below(4_000);
                request.streams = filters
                    .iter()
                    .map(|(filter, since)| (StreamKey::of(filter), *since))
                    .collect();
                let page = store.read(&request, CLOCK).unwrap();
                assert!(page.reached > after && page.lost == 0);
                after = page.reached;
                found.extend(page.messages);
            }
            let found: Vec<(u64, &str)> = found
                .iter()
                .map(|one| (one.log_seq(), std::str::from_utf8(one.payload()).unwrap()))
                .collect();
            assert_eq!(found, wanted);
        }
    }

    fn check_groups(&self) {
        for group in &FILTERS[4..] {
            let since = self.model.group_since.get(group).copied().unwrap_or(0);
            let none = BTreeSet::new();
            let done = self.model.done.get(group).unwrap_or(&none);
            let wanted: Vec<u64> = (1..)
                .zip(&self.model.log)
                .filter(|(seq, (_, streams))| {
                    *seq > since && streams.contains(group) && !done.contains(seq)
                })
                .map(|(seq, _)| seq)
                .collect();
            let mut sessions = self.model.sessions.values();
            if !sessions.any(|known| known.filters.contains_key(group)) {
                continue;
            }
            let all = (usize::MAX, usize::MAX);
            let page = self
                .store()
                .undone(StreamKey::of(group), since, all, CLOCK)
                .unwrap();
            let found: Vec<u64> = page.messages.iter().map(|one| one.log_seq()).collect();
            assert_eq!((found, page.lost), (wanted, 0), "{group}");
        }
    }

    fn check_beside(&self) {
        let page = self.store().retained("", usize::MAX, CLOCK).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let retained: BTreeMap<String, String> = page
            .messages
            .iter()
            .map(|one| (one.topic().to_owned(), text(one.payload())))
            .collect();
        assert_eq!(retained, self.model.retained);
        let page = self.store().delayed(None, usize::MAX, CLOCK).unwrap();
        let numbers: BTreeSet<u64> = page.messages.iter().map(|(key, _)| key.number).collect();
        assert_eq!(numbers, self.model.delayed);
        let check = self.store().check(CLOCK).unwrap();
        assert!(check.is_whole(), "{check:?}");
    }
}

#[test]
fn the_store_does_what_a_plain_model_does() {
    for seed in 0..common::rounds(60) {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            match run.random.below(12) {
                0 => run.sweep(),
                1 => run.reopen(),
                2 | 3 => run.check(),
                _ => run.commit(),
            }
        }
        run.check();
    }
}
