use crate::choice;
use std::collections::{BTreeSet, VecDeque};
use ternmq_protocol::broker::durable::{
    Durability, DurabilityRule, DurableConfig, LogPage, NotStored, ReadRequest, ReadTicket,
    StoreOp, StreamKey,
};
use ternmq_protocol::broker::record::{LogPos, SessionRecord};
use ternmq_protocol::broker::{Out, Shard, Ticket};
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::time::{Clock, UnixMs};
use ternmq_protocol::{Message, Time};

/// As [`shard`](crate::shard()), with a store whose answers are chosen by the input too: it keeps what it
/// is given or refuses it, and answers with pages of the log, late ones, and pages that it makes up.
/// Whatever it says, the shard does not panic, sends well-formed MQTT, accounts for every copy and holds
/// no more than it may; and every record of a session that it writes can be read.
///
/// Of the bytes of `shard` those whose low three bits are 4 are steps of the store, chosen by the upper
/// three bits.
pub fn durable(data: &[u8]) {
    crate::shard::play(data, Some(Log::default()));
}

/// The store: nothing of it is said before a step says so.
#[derive(Default)]
pub(crate) struct Log {
    /// The first message has the place 1.
    kept: Vec<(Message, Box<[StreamKey]>)>,
    batches: VecDeque<Batch>,
    /// The last turn of which something was refused.
    refused: Option<u64>,
    reads: VecDeque<ReadRequest>,
    /// For answers that come late or twice.
    last_read: Option<ReadTicket>,
    last_stored: Option<Ticket>,
}

struct Batch {
    turn: u64,
    ops: Vec<StoreOp>,
    ticket: Option<Ticket>,
}

const PAGE: usize = 5;

const TOPICS: [&str; 4] = ["a", "a/b", "a/c", "w"];

pub(crate) fn clock(now: Time) -> Clock {
    Clock::at(now, UnixMs(1_800_000_000_000 + now.0))
}

impl Log {
    pub(crate) fn config() -> DurableConfig {
        DurableConfig {
            page_messages: PAGE,
            page_bytes: 1_000,
            backlog_messages: 12,
            backlog_bytes: 3_000,
            rules: vec![DurabilityRule {
                listener: None,
                filter: Some("a/b".into()),
                durability: Durability::Each,
            }],
            ..DurableConfig::default()
        }
    }

    /// Messages that a page may bring beyond what waits already.
    pub(crate) fn most_read(&self) -> usize {
        PAGE
    }

    pub(crate) fn take(&mut self, turn: u64, ops: Vec<StoreOp>, ticket: Option<Ticket>, now: Time) {
        assert!(
            ops.is_empty() || ticket.is_some(),
            "{ops:?} without a ticket"
        );
        for op in &ops {
            self.check(op, now);
        }
        if ticket.is_some() {
            self.batches.push_back(Batch { turn, ops, ticket });
        }
    }

    pub(crate) fn ask(&mut self, reads: Vec<ReadRequest>) {
        self.reads.extend(reads);
    }

    /// What is written can be read, and is what a store may expect.
    fn check(&self, op: &StoreOp, now: Time) {
        match op {
            StoreOp::PutSession(record) => {
                let (clock, mut bytes) = (clock(now), Vec::new());
                record.encode_whole(clock, &mut bytes);
                let find =
                    |at: LogPos| Some(self.kept.get(at.seq.checked_sub(1)? as usize)?.0.clone());
                let read = SessionRecord::decode_whole(&bytes, clock, find);
                let read = read.unwrap_or_else(|error| panic!("{error:?} of {record:?}"));
                assert_eq!((&read.client_id, read.rev), (&record.client_id, record.rev));
            }
            StoreOp::Append(append) => {
                let unique: BTreeSet<_> = append.streams.iter().collect();
                assert!(!unique.is_empty() && unique.len() == append.streams.len());
                assert_eq!(append.message.log_seq(), 0, "it has a place");
            }
            _ => {}
        }
    }

    pub(crate) fn step<'a>(
        &mut self,
        which: usize,
        rest: &'a [u8],
        shard: &mut Shard,
        now: Time,
        out: &mut Out,
    ) -> &'a [u8] {
        match which {
            0 => self.commit(usize::MAX, None, shard, now, out),
            1 => self.commit(1, None, shard, now, out),
            2 => self.commit(1, Some(NotStored::Full), shard, now, out),
            3 => self.commit(usize::MAX, Some(NotStored::Failed), shard, now, out),
            4 => {
                if let Some(request) = self.next_read() {
                    let page = self.read(&request);
                    shard.handle_log_page(request.ticket, page, now, out);
                }
            }
            5 => {
                let (page, rest) = made_up(rest, now);
                if let Some(request) = self.next_read() {
                    shard.handle_log_page(request.ticket, page, now, out);
                }
                return rest;
            }
            6 => {
                if let Some(request) = self.next_read() {
                    shard.handle_log_unread(request.ticket);
                }
            }
            _ => {
                let (page, rest) = made_up(rest, now);
                if let Some(ticket) = self.last_read {
                    shard.handle_log_page(ticket, page, now, out);
                }
                if let Some(ticket) = self.last_stored {
                    shard.stored(ticket, now, out);
                    shard.not_stored(ticket, NotStored::Failed, now, out);
                }
                return rest;
            }
        }
        rest
    }

    fn next_read(&mut self) -> Option<ReadRequest> {
        let request = self.reads.pop_front()?;
        self.last_read = Some(request.ticket);
        Some(request)
    }

    fn commit(
        &mut self,
        batches: usize,
        why: Option<NotStored>,
        shard: &mut Shard,
        now: Time,
        out: &mut Out,
    ) {
        let count = batches.min(self.batches.len());
        for batch in self.batches.drain(..count).collect::<Vec<_>>() {
            let Some(ticket) = batch.ticket else { continue };
            let refused = (self.refused == Some(batch.turn)).then_some(NotStored::Failed);
            if let Some(why) = why.or(refused) {
                self.refused = Some(batch.turn);
                shard.not_stored(ticket, why, now, out);
                continue;
            }
            let mut messages = Vec::new();
            for op in batch.ops {
                if let StoreOp::Append(append) = op {
                    self.kept.push((append.message.clone(), append.streams));
                    append.message.set_log_seq(self.kept.len() as u64);
                    messages.push(append.message);
                }
            }
            shard.handle_publishes(now, &messages, out);
            shard.stored(ticket, now, out);
            self.last_stored = Some(ticket);
        }
    }

    fn read(&self, request: &ReadRequest) -> LogPage {
        let mut page = LogPage {
            reached: (self.kept.len() as u64).max(request.after),
            ..LogPage::default()
        };
        assert!((1..=PAGE).contains(&request.messages), "{request:?}");
        for (message, streams) in self.kept.iter().skip(request.after as usize) {
            let seq = message.log_seq();
            let is_due =
                |(stream, since): &(StreamKey, u64)| seq > *since && streams.contains(stream);
            if !request.streams.iter().any(is_due) {
                continue;
            }
            if page.messages.len() == request.messages {
                page.reached = seq - 1;
                break;
            }
            page.messages.push(message.clone());
        }
        page
    }
}

/// A page whose messages nobody has published, at places that need not be in order.
fn made_up(data: &[u8], now: Time) -> (LogPage, &[u8]) {
    let mut page = LogPage::default();
    let Some((head, mut rest)) = choice(data) else {
        return (page, data);
    };
    page.lost = head as u64 >> 5;
    for _ in 0..(head & 7).min(PAGE) {
        let (Some((what, more)), Some(seq)) = (choice(rest), rest.get(1)) else {
            break;
        };
        rest = &more[1..];
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][(what >> 2 & 7) % 3];
        let topic = TOPICS[what & 3];
        let message = Message::new(
            topic,
            b"made up",
            qos,
            what & 64 != 0,
            Properties::EMPTY,
            now,
        );
        let message = message.expect("a message");
        message.set_log_seq(u64::from(*seq));
        page.messages.push(message);
    }
    if let Some((reached, more)) = choice(rest) {
        page.reached = reached as u64;
        rest = more;
    }
    (page, rest)
}
