//! What the tests of the store share.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod disk;

use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::{
    Append, Durability, LogPage, ReadRequest, ReadTicket, StoreOp, StreamKey,
};
use ternmq_protocol::broker::record::{
    CopyRecord, InFlightRecord, Owner, Rev, SessKey, SessionRecord, SubscriptionRecord,
};
use ternmq_protocol::codec::subscribe::SubscriptionOptions;
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::time::{Clock, Time, UnixMs};
use ternmq_store::{Store, Sync};

pub(crate) const CLOCK: Clock = Clock::at(Time(5_000), UnixMs(1_800_000_000_000));

pub(crate) fn message(topic: &str, payload: &[u8]) -> Message {
    let none = Properties::EMPTY;
    Message::new(topic, payload, QoS::AtLeastOnce, false, none, CLOCK.now()).unwrap()
}

pub(crate) fn append(topic: &str, payload: &[u8], streams: &[&str]) -> StoreOp {
    StoreOp::Append(Append {
        message: message(topic, payload),
        streams: streams.iter().map(|filter| StreamKey::of(filter)).collect(),
        durability: Durability::Group,
    })
}

pub(crate) fn request(streams: &[&str], after: u64, messages: usize) -> ReadRequest {
    ReadRequest {
        ticket: ReadTicket {
            session: 0,
            group: false,
            serial: 0,
            turn: 0,
        },
        streams: streams
            .iter()
            .map(|filter| (StreamKey::of(filter), 0))
            .collect(),
        after,
        undone: false,
        messages,
        bytes: usize::MAX,
        count_to: 0,
    }
}

pub(crate) fn read(store: &Store, streams: &[&str], after: u64, messages: usize) -> LogPage {
    let page = store.read(&request(streams, after, messages), CLOCK);
    page.unwrap()
}

/// Places and payloads of a page.
pub(crate) fn payloads(page: &LogPage) -> Vec<(u64, String)> {
    let text = |message: &Message| String::from_utf8_lossy(message.payload()).into_owned();
    let messages = page.messages.iter();
    messages
        .map(|message| (message.log_seq(), text(message)))
        .collect()
}

/// SplitMix64: the same seed gives the same run on each machine.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// How many rounds a random test makes: `TERNMQ_ROUNDS` times those of every day.
pub(crate) fn rounds(every_day: u64) -> u64 {
    let times = std::env::var("TERNMQ_ROUNDS").ok();
    every_day * times.map_or(1, |times| times.parse().expect("a number"))
}

pub(crate) fn key(client: &str) -> SessKey {
    SessKey::new("", client)
}

/// A session that has read so far, and what it has in flight.
pub(crate) fn session(client: &str, rev: u64, cursor: u64, in_flight: &[&Message]) -> StoreOp {
    let mut record = SessionRecord::new(client, Owner::default(), Rev(rev));
    record.expiry = 1000;
    record.cursor = cursor;
    let flying = in_flight.iter().zip(1..);
    record.in_flight = flying
        .map(|(message, packet_id)| InFlightRecord {
            packet_id,
            copy: Some(copy(message)),
        })
        .collect();
    StoreOp::PutSession(Box::new(record))
}

pub(crate) fn copy(message: &Message) -> CopyRecord {
    CopyRecord {
        message: message.clone(),
        qos: QoS::AtLeastOnce,
        retain: false,
        ids: Vec::new(),
        shared: None,
        left: None,
    }
}

pub(crate) fn subscribe(client: &str, filter: &str, since: u64) -> StoreOp {
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        ..SubscriptionOptions::default()
    };
    let record = SubscriptionRecord {
        filter: filter.into(),
        options,
        identifier: None,
        replay: None,
        replay_until: None,
        since,
    };
    StoreOp::Subscribe(key(client), Box::new(record))
}

pub(crate) fn appended(op: &StoreOp) -> &Message {
    match op {
        StoreOp::Append(append) => &append.message,
        _ => panic!("not a message"),
    }
}

/// Commits and syncs.
pub(crate) fn commit(store: &Store, owner: Owner, ops: &[StoreOp]) -> u64 {
    store.commit(owner, ops, CLOCK, Sync::Yes).unwrap().head
}
