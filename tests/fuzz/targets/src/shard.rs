use crate::choice;
use crate::durable::{Log, clock};
use std::collections::BTreeMap;
use ternmq_protocol::broker::retained::{Retained, RetainedLimits};
use ternmq_protocol::broker::{
    Admission, Applied, AuthAnswer, AuthRequest, AutoSubscription, Claims, ConnId, DelayedLimits,
    Limits, ListenerId, Out, Rewrite, RewriteOn, Shard, ShardConfig, SlowLimits, StoreCut, To,
    Topics,
};
use ternmq_protocol::codec::subscribe::SubscriptionOptions;
use ternmq_protocol::codec::{MAX_PACKET_SIZE, Packet, Split, split};
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode, Time};

/// A shard whose clients send anything: what it sends is well-formed MQTT of the version of each
/// connection, begins with CONNACK, has nothing after DISCONNECT and nothing that only clients send.
/// Every copy of a message is accounted for, and a bystander is answered after each step.
///
/// Each byte is a step: its low three bits choose it, the next two one of four connections; an input
/// step has its length and its bytes behind it.
pub fn shard(data: &[u8]) {
    play(data, None);
}

/// The same with a store, or without.
pub(crate) fn play(mut data: &[u8], log: Option<Log>) {
    let mut desk = Desk::new(log);
    while let Some((step, rest)) = choice(data) {
        data = desk.step(step, rest);
        desk.settle();
        desk.ask_bystander();
    }
    desk.end();
}

/// A driver that does at once what the shard asks for.
struct Desk {
    shard: Shard,
    out: Out,
    store: Retained<Message>,
    claims: Claims,
    now: Time,
    /// The connections of the four slots a step can name; the bystander has the fifth.
    slots: [Option<ConnId>; 5],
    lines: BTreeMap<ConnId, Line>,
    log: Option<Log>,
}

/// Messages that may wait for one client.
const MOST_QUEUED: usize = 20;

/// All that a server may do with topics.
fn topics() -> Topics {
    let rewrite = Rewrite::new(RewriteOn::All, "old/#", Some("^old/(.*)$"), "new/$1");
    let subscription = AutoSubscription::new("in/${clientid}", SubscriptionOptions::default());
    Topics {
        exclusive: true,
        delayed: Some(DelayedLimits {
            messages: 5,
            bytes: 5_000,
            seconds: 100,
        }),
        rewrite: vec![rewrite.expect("a rule")],
        auto_subscribe: vec![subscription.expect("a subscription")],
        response_information: "response/${clientid}".parse().ok(),
        check_payload_format: true,
        ..Topics::default()
    }
}

/// What has been seen of one connection.
#[derive(Default)]
struct Line {
    /// What the shard speaks, known from its CONNACK: only MQTT 5's is longer than two bytes.
    version: Option<ProtocolVersion>,
    /// Packets that came back.
    packets: usize,
    pongs: usize,
    disconnect: bool,
}

const BYSTANDER: usize = 4;

impl Desk {
    fn new(log: Option<Log>) -> Self {
        let mut limits = Limits {
            packet_size: 5000,
            inflight: 4,
            receive_maximum: 4,
            subscriptions: 10,
            retained_page: 2,
            turn_work: 3,
            ..Limits::default()
        };
        limits.queue.items = MOST_QUEUED;
        let config = ShardConfig {
            number: 0,
            seed: 7,
            limits,
            topics: topics(),
            slow: Some(SlowLimits {
                threshold_ms: 1,
                entries: 2,
                ..SlowLimits::default()
            }),
            durable: log.is_some().then(Log::config),
            ..ShardConfig::default()
        };
        let limits = RetainedLimits {
            messages: 10,
            bytes: 10_000,
        };
        let mut desk = Self {
            shard: Shard::new(config),
            out: Out::default(),
            store: Retained::new(limits),
            claims: Claims::new(3),
            now: Time(1000),
            slots: [None; 5],
            lines: BTreeMap::new(),
            log,
        };
        // MQTT 3.1.1, client id `by`, no keep alive.
        desk.input(BYSTANDER, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02by");
        desk.settle();
        desk
    }

    fn step<'a>(&mut self, step: usize, rest: &'a [u8]) -> &'a [u8] {
        let slot = step >> 3 & 3;
        let more = step >> 5;
        match step & 7 {
            4 if self.log.is_some() => return self.step_of_store(more, rest),
            5 => self.wait(1 << (2 * more)),
            6 => self.close(slot),
            7 => {
                if let Some(conn) = self.slots[slot] {
                    self.shard.handle_writable(conn, self.now, &mut self.out);
                }
            }
            _ => {
                let Some((length, rest)) = choice(rest) else {
                    return rest;
                };
                let (input, rest) = rest.split_at(length.min(rest.len()));
                self.input(slot, input);
                return rest;
            }
        }
        rest
    }

    fn step_of_store<'a>(&mut self, which: usize, rest: &'a [u8]) -> &'a [u8] {
        let Some(log) = &mut self.log else {
            return rest;
        };
        log.step(which, rest, &mut self.shard, self.now, &mut self.out)
    }

    fn input(&mut self, slot: usize, input: &[u8]) {
        let conn = match self.slots[slot] {
            Some(conn) => conn,
            None => {
                let conn = self
                    .shard
                    .open(self.now, ListenerId(0), None)
                    .expect("room");
                let fresh = self.lines.insert(conn, Line::default()).is_none();
                assert!(fresh, "{conn:?} was given twice");
                self.slots[slot] = Some(conn);
                conn
            }
        };
        if !self.shard.wants_input(conn) {
            return;
        }
        self.shard
            .handle_input(conn, self.now, input, &mut self.out);
    }

    /// Time passes, with every timeout at its moment.
    fn wait(&mut self, seconds: u64) {
        let end = self.now.after(seconds * 1000);
        let mut turns = 0;
        while let Some(at) = self.shard.poll_timeout().filter(|at| *at <= end) {
            turns += 1;
            assert!(turns < 10_000, "a timeout that is always due");
            self.now = self.now.max(at);
            self.shard.handle_timeout(self.now, &mut self.out);
            self.settle();
        }
        self.now = end;
    }

    fn close(&mut self, slot: usize) {
        if let Some(conn) = self.slots[slot].take() {
            self.lines.remove(&conn);
            self.shard.handle_closed(conn, self.now, &mut self.out);
        }
    }

    /// Does what the shard asks for until it asks for nothing more.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < 100_000, "it asks without an end");
            if self.log.is_some() {
                self.shard.collect(clock(self.now), &mut self.out);
            }
            if self.out.is_empty() {
                return;
            }
            for op in std::mem::take(&mut self.out.claims) {
                if let Some((ticket, granted)) = self.claims.apply(op) {
                    let (shard, out) = (&mut self.shard, &mut self.out);
                    shard.handle_claims(ticket, &granted, self.now, out);
                }
            }
            self.keep_retained();
            assert!(self.out.publishes.is_empty(), "there are no other shards");
            for (to, letter) in std::mem::take(&mut self.out.letters) {
                if !matches!(to, To::All) {
                    self.shard.handle_letter(letter, self.now, &mut self.out);
                }
            }
            self.out.groups_gone.clear();
            self.out.holds.clear();
            if let Some(ticket) = self.out.owed.take() {
                self.shard.complete(ticket, &mut self.out);
            }
            self.hand_over();
            self.out.ended.clear();
            for request in std::mem::take(&mut self.out.authentications) {
                let (answer, out) = (answer(&request), &mut self.out);
                self.shard.authenticate(request.conn, self.now, answer, out);
            }
            for request in std::mem::take(&mut self.out.admissions) {
                let (conn, out) = (request.conn, &mut self.out);
                self.shard.admit(conn, self.now, Admission::Accept, out);
            }
            for conn in std::mem::take(&mut self.out.unfinished) {
                self.shard.resume(conn, self.now, &mut self.out);
            }
            self.out.resumed.clear();
            for conn in std::mem::take(&mut self.out.dirty) {
                self.flush(conn);
            }
            for conn in std::mem::take(&mut self.out.closing) {
                self.flush(conn);
                let slot = self.slots.iter().position(|s| *s == Some(conn));
                let slot = slot.expect("closes what is open");
                assert_ne!(slot, BYSTANDER, "the bystander was closed");
                self.close(slot);
            }
        }
    }

    fn keep_retained(&mut self) {
        for operation in std::mem::take(&mut self.out.retained) {
            let (shard, out) = (&mut self.shard, &mut self.out);
            match operation.apply(&mut self.store, self.now) {
                Applied::Page(ticket, page) => shard.handle_retained(ticket, page, self.now, out),
                Applied::Full(_, Some(ticket)) => shard.handle_not_retained(ticket),
                Applied::Full(_, None) | Applied::Done => {}
            }
        }
    }

    /// Gives the store what is for it.
    fn hand_over(&mut self) {
        let cuts = self.out.take_cuts();
        let reads = std::mem::take(&mut self.out.reads);
        let Some(log) = &mut self.log else {
            return assert!(cuts.is_empty() && reads.is_empty());
        };
        let turn = self.shard.store_turn();
        let mut begin = 0;
        for StoreCut { end, ticket } in cuts {
            let ops = self.out.store.drain(..end - begin).collect();
            log.take(turn, ops, ticket, self.now);
            begin = end;
        }
        log.ask(reads);
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(outbound) = self.shard.outbound(conn) else {
            return;
        };
        let mut bytes = Vec::new();
        outbound.drain_into(&mut bytes);
        if self.shard.flushed(conn) {
            self.shard.handle_writable(conn, self.now, &mut self.out);
        }
        let line = self.lines.get_mut(&conn).expect("a line");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) else {
                panic!("the shard sent {rest:02x?}");
            };
            let version = *line.version.get_or_insert(match frame.body.len() {
                2 => ProtocolVersion::V3_1_1,
                _ => ProtocolVersion::V5_0,
            });
            let packet = Packet::decode(frame, version)
                .unwrap_or_else(|e| panic!("the shard sent {rest:02x?} in {version}: {e}"));
            line.check(&packet);
            rest = &rest[frame.len..];
        }
    }

    fn ask_bystander(&mut self) {
        self.input(BYSTANDER, b"\xc0\x00");
        self.settle();
        let line = &mut self
            .lines
            .get_mut(&self.slots[BYSTANDER].expect("open"))
            .expect("a line");
        assert_eq!(
            std::mem::take(&mut line.pongs),
            1,
            "the bystander has no answer"
        );
        let stats = self.shard.stats();
        let accounted = stats.sent() + stats.queued + stats.dropped.total();
        assert_eq!(stats.copies(), accounted, "{stats:?}");
        let most = MOST_QUEUED + self.log.as_ref().map_or(0, Log::most_read);
        for client in self.shard.clients(0, usize::MAX).clients {
            assert!(client.queued <= most, "{client:?}");
        }
    }

    fn end(mut self) {
        for slot in 0..BYSTANDER {
            self.close(slot);
            self.settle();
        }
        self.ask_bystander();
        assert_eq!(self.shard.stats().connections, 1);
    }
}

/// The client chooses how its authentication goes.
fn answer(request: &AuthRequest) -> AuthAnswer {
    match request.data.first() {
        Some(b'c') => AuthAnswer::Continue(request.data.clone()),
        Some(b's') => AuthAnswer::Success {
            user: request.method.clone(),
            data: request.data.clone(),
        },
        _ => AuthAnswer::Failure(ReasonCode::NOT_AUTHORIZED),
    }
}

impl Line {
    fn check(&mut self, packet: &Packet<'_>) {
        if self.packets == 0 && matches!(packet, Packet::Auth(_)) {
            return; // an exchange comes before CONNACK
        }
        let first = matches!(packet, Packet::ConnAck(_));
        assert_eq!(
            first,
            self.packets == 0,
            "{packet:?} as number {}",
            self.packets
        );
        assert!(!self.disconnect, "{packet:?} after DISCONNECT");
        self.packets += 1;
        match packet {
            Packet::Disconnect(_) => self.disconnect = true,
            Packet::PingResp => self.pongs += 1,
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::PingReq => panic!("a shard sent {packet:?}"),
            _ => {}
        }
    }
}
