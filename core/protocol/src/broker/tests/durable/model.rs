//! Publishers, sessions and groups at random, on one to three shards, with cuts, slow and stuck clients, a
//! store that is late, refuses or loses power. Nothing that was acknowledged is lost, nothing with QoS 2
//! comes twice, what is in order stays in order, and no session is lost or comes back.

use super::hall::Hall;
use super::witness::{Fate, Published, Publisher, Subscriber};
use crate::broker::Priorities;
use crate::broker::durable::{Durability, DurabilityRule, DurableConfig, NotStored};
use crate::broker::tests::desk::*;
use crate::seeded::Seeded;

const PUBLISHERS: usize = 3;
const TOPICS: [&str; 4] = ["t/0", "t/1", "u/0", "u/1"];

/// What may go wrong.
#[derive(Clone, Copy)]
struct Perils {
    cuts: bool,
    crashes: bool,
    refusals: bool,
}

struct World {
    hall: Hall,
    seeded: Seeded,
    perils: Perils,
    /// The store has refused something, perhaps: that may have been said to a client that has not heard it,
    /// and what it published next was taken.
    refuses: bool,
    publishers: Vec<Publisher>,
    /// The last two are a group.
    subscribers: Vec<Subscriber>,
    published: Vec<Published>,
    /// A client whose session is discarded now and then.
    fickle: Fickle,
}

/// Says Clean Start; what its sessions subscribed to is no more once it has heard CONNACK.
#[derive(Default)]
struct Fickle {
    conn: Option<u32>,
    clean: bool,
    subscribed: bool,
    /// Messages from here on are not for it, unless it subscribes again.
    free_since: Option<usize>,
}

impl World {
    fn new(seed: u64, perils: Perils) -> Self {
        let mut seeded = Seeded::new(seed);
        let each = DurabilityRule {
            listener: None,
            filter: Some("+/1".into()),
            durability: Durability::Each,
        };
        let config = DurableConfig {
            rules: seeded.one_in(2).then_some(each).into_iter().collect(),
            page_messages: 1 + seeded.below(9),
            page_bytes: [200, 100_000][seeded.below(2)],
            ..DurableConfig::default()
        };
        let shards = 1 + seeded.below(3);
        let inflight = [2, 5, 100][seeded.below(3)];
        let first = seeded.one_in(3).then(|| ("+/1".into(), 7));
        // Of what waits for sessions and groups that is no limit: it waits in the log.
        let items = [3, 1_000][seeded.below(2)];
        let hall = Hall::with(shards, config, |limits| {
            limits.inflight = inflight;
            limits.queue.items = items;
            limits.outbound_bytes = 300;
            limits.priorities = Priorities {
                filters: first.into_iter().collect(),
                default: 0,
            };
        });
        let sub = |n: usize, base| {
            let version = [V5_0, V3_1_1][n % 2];
            Subscriber::new(format!("subscriber {n}"), version, base)
        };
        Self {
            hall,
            seeded,
            perils,
            refuses: perils.refusals,
            publishers: (0..PUBLISHERS).map(Publisher::new).collect(),
            subscribers: vec![
                sub(0, &[("t/#", Q2), ("+/0", Q1)]),
                sub(1, &[("#", Q1)]),
                sub(2, &[("t/0", Q2), ("t/+", Q2), ("u/#", Q0)]),
                sub(3, &[("$share/g/t/#", Q2)]),
                sub(4, &[("$share/g/t/#", Q2)]),
            ],
            published: Vec::new(),
            fickle: Fickle::default(),
        }
    }

    fn step(&mut self) {
        match self.seeded.below(100) {
            0..=24 => self.publish(),
            25..=44 => self.read(),
            45..=59 => self.answer(),
            60..=74 => self.carry(),
            75..=79 => self.commit(),
            80..=81 => self.hall.say(1 + self.seeded.below(9)),
            82..=85 => drop(self.hall.answer_read()),
            86..=87 => self.hall.wait(self.seeded.next() % 600),
            89..=91 => self.come(),
            88 | 92 => self.wander(),
            98 => {
                let at = self.seeded.below(self.subscribers.len());
                self.subscribers[at].ask_again(&mut self.hall);
            }
            93 => self.stick(),
            94..=95 if self.perils.cuts => self.cut(),
            96 if self.perils.cuts => self.change_mind(),
            97 if self.perils.crashes && self.seeded.one_in(2) => self.crash(),
            _ => {}
        }
    }

    fn publish(&mut self) {
        let at = self.seeded.below(PUBLISHERS);
        let topic = TOPICS[self.seeded.below(TOPICS.len())];
        let qos = [Q1, Q2][self.seeded.below(2)];
        let Self {
            hall, published, ..
        } = self;
        self.publishers[at].publish(hall, published, topic, qos);
    }

    fn read(&mut self) {
        let at = self.seeded.below(PUBLISHERS + self.subscribers.len() + 1);
        self.read_of(at);
    }

    fn read_of(&mut self, at: usize) {
        let Self {
            hall, published, ..
        } = self;
        if let Some(publisher) = self.publishers.get_mut(at) {
            publisher.read(hall, published);
        } else if let Some(subscriber) = self.subscribers.get_mut(at - PUBLISHERS) {
            subscriber.read(hall, published);
            subscriber.ask(hall, published.len());
        } else {
            self.fickle.read(hall, published.len());
        }
    }

    fn answer(&mut self) {
        let at = self.seeded.below(self.subscribers.len());
        for _ in 0..self.seeded.below(4) {
            let which = if self.seeded.one_in(3) {
                self.seeded.below(100)
            } else {
                0
            };
            self.subscribers[at].answer(&mut self.hall, which);
        }
    }

    fn carry(&mut self) {
        let shard = self.seeded.below(self.hall.shards.len());
        for _ in 0..=self.seeded.below(4) {
            self.hall.deliver(shard);
        }
    }

    fn commit(&mut self) {
        let refused = self.perils.refusals && self.seeded.one_in(12);
        let why = refused.then_some(NotStored::Full);
        self.hall.keep(1 + self.seeded.below(6), why);
    }

    fn come(&mut self) {
        let at = self.seeded.below(PUBLISHERS + self.subscribers.len());
        let hall = &mut self.hall;
        if let Some(publisher) = self.publishers.get_mut(at) {
            if publisher.conn.is_none() {
                publisher.connect(hall);
            }
        } else if self.subscribers[at - PUBLISHERS].conn.is_none() {
            self.subscribers[at - PUBLISHERS].connect(hall);
        }
    }

    fn wander(&mut self) {
        let at = self.seeded.below(3);
        let stays = !self.seeded.one_in(4);
        let filter = ["u/1", "t/1", "+/1"][self.seeded.below(3)];
        let qos = [Q0, Q1, Q2][self.seeded.below(3)];
        let published = self.published.len();
        let subscriber = &mut self.subscribers[at];
        if stays && subscriber.has(filter) {
            return;
        }
        subscriber.wander(&mut self.hall, filter, qos, published);
    }

    fn stick(&mut self) {
        let at = self.seeded.below(self.subscribers.len());
        if let Some(conn) = self.subscribers[at].conn {
            let stuck = self.seeded.one_in(2);
            self.hall.stick(conn, stuck);
        }
    }

    fn cut(&mut self) {
        let at = self.seeded.below(PUBLISHERS + self.subscribers.len());
        // What has arrived is read first, or not.
        if self.seeded.one_in(2) {
            self.read_of(at);
        }
        if let Some(publisher) = self.publishers.get_mut(at) {
            if let Some(conn) = publisher.conn {
                self.hall.cut(conn);
                publisher.lose(&mut self.published, self.refuses);
            }
        } else if let Some(conn) = self.subscribers[at - PUBLISHERS].conn {
            self.hall.cut(conn);
            self.subscribers[at - PUBLISHERS].lose();
            // What it was being read for may come when it is there again.
            if self.seeded.one_in(3) {
                self.subscribers[at - PUBLISHERS].connect(&mut self.hall);
            }
        }
    }

    fn change_mind(&mut self) {
        let clean = self.seeded.one_in(2);
        self.fickle.connect(&mut self.hall, clean);
    }

    fn crash(&mut self) {
        let shards = 1 + self.seeded.below(3);
        self.hall.crash(shards, self.seeded.next() % 2_000);
        for publisher in &mut self.publishers {
            publisher.lose(&mut self.published, self.refuses);
        }
        for subscriber in &mut self.subscribers {
            subscriber.crashed();
        }
        self.fickle.conn = None;
    }

    /// Nothing goes wrong any more: everybody finishes.
    fn finish(&mut self) {
        self.perils = Perils {
            cuts: false,
            crashes: false,
            refusals: false,
        };
        self.fickle.connect(&mut self.hall, true);
        for _ in 0..400 {
            for at in 0..PUBLISHERS + self.subscribers.len() {
                self.read_of(at);
            }
            for publisher in self.publishers.iter_mut().filter(|p| p.conn.is_none()) {
                publisher.connect(&mut self.hall);
            }
            for subscriber in &mut self.subscribers {
                match subscriber.conn {
                    None => subscriber.connect(&mut self.hall),
                    Some(conn) => self.hall.stick(conn, false),
                }
                for _ in 0..10 {
                    subscriber.answer(&mut self.hall, 0);
                }
            }
            self.hall.quiet();
            let idle = self.subscribers.iter().all(Subscriber::is_idle);
            if idle && self.publishers.iter().all(Publisher::is_done) && self.all_arrived() {
                break;
            }
        }
        self.hall.wait(5_000);
        self.hall.quiet();
    }

    fn all_arrived(&self) -> bool {
        self.queued() == 0 && self.missing().is_empty()
    }

    fn queued(&self) -> u64 {
        self.hall.shards.iter().map(|s| s.stats().queued).sum()
    }

    /// Who has not got what, of what was acknowledged.
    fn missing(&self) -> Vec<(String, usize)> {
        let mut missing = Vec::new();
        let (alone, group) = self.subscribers.split_at(3);
        for (number, message) in self.published.iter().enumerate() {
            if message.fate != Fate::Acknowledged {
                continue;
            }
            for one in alone {
                if one.is_due(number, message) && !one.seen.contains_key(&number) {
                    missing.push((one.name.clone(), number));
                }
            }
            let due = group.iter().all(|one| one.is_due(number, message));
            if due && !group.iter().any(|one| one.seen.contains_key(&number)) {
                missing.push(("the group".into(), number));
            }
        }
        missing
    }

    fn check(&self, seed: u64) {
        let missing = self.missing();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        let group = &self.subscribers[3..];
        for (number, message) in self.published.iter().enumerate() {
            let twice: u32 = group
                .iter()
                .filter_map(|one| one.seen.get(&number))
                .map(|(_, exactly)| exactly)
                .sum();
            assert!(twice <= 1, "seed {seed}: {number} went to two members");
            if message.fate == Fate::Refused {
                let delivered = self
                    .subscribers
                    .iter()
                    .any(|s| s.seen.contains_key(&number));
                assert!(!delivered, "seed {seed}: {number} was refused");
            }
        }
        for subscriber in &self.subscribers {
            assert!(subscriber.is_idle(), "seed {seed}: {}", subscriber.name);
        }
        self.hall.check_books();
        assert_eq!(self.queued(), 0, "seed {seed}");
        for shard in &self.hall.shards {
            let dropped = &shard.stats().dropped;
            assert_eq!(dropped.total(), dropped.offline + dropped.session_ended);
        }
    }
}

impl World {
    /// A session is away while the broker crashes and crashes again: it is there as long as it was to be, and
    /// not longer.
    fn expire(&mut self, seed: u64) {
        const EXPIRY_MS: u64 = 10_000;
        let come = |hall: &mut Hall| {
            let conn = hall.connect(V5_0, "mayfly", false, EXPIRY_MS as u32 / 1000);
            hall.quiet();
            (conn, hall.connack(conn))
        };
        let (conn, present) = come(&mut self.hall);
        assert!(!present);
        self.hall.cut(conn);
        self.hall.quiet();
        let mut away = 0;
        for _ in 0..2 {
            let (waits, off) = (self.seeded.next() % 3_500, self.seeded.next() % 3_500);
            self.hall.wait(waits);
            self.hall.quiet();
            self.hall.crash(1 + self.seeded.below(3), off);
            self.hall.quiet();
            away += waits + off;
        }
        let (_, present) = come(&mut self.hall);
        assert_eq!(present, away < EXPIRY_MS, "seed {seed}: after {away} ms");
    }
}

impl Fickle {
    fn connect(&mut self, hall: &mut Hall, clean: bool) {
        if let Some(conn) = self.conn.take() {
            hall.cut(conn);
        }
        (self.clean, self.subscribed) = (clean, false);
        self.conn = Some(hall.connect(V5_0, "fickle", clean, 1_000));
    }

    fn read(&mut self, hall: &mut Hall, published: usize) {
        let Some(conn) = self.conn else {
            return;
        };
        for got in hall.take_all(conn) {
            match got {
                Got::ConnAck {
                    reason, present, ..
                } if reason.0 == 0 => {
                    assert!(!(present && self.clean));
                    if self.clean {
                        self.free_since = Some(0);
                    }
                    if !self.clean && published.is_multiple_of(2) {
                        hall.subscribe(conn, "#", Q2);
                        (self.subscribed, self.free_since) = (true, None);
                    }
                }
                Got::Publish(_) => {
                    let free = self.free_since.is_some();
                    assert!(!free || self.subscribed, "its old session is back");
                }
                _ => {}
            }
        }
        if !hall.is_open(conn) {
            hall.cut(conn);
            self.conn = None;
        }
    }
}

/// Plays some seeds, or as many as the environment variable `TERNMQ_MODEL_SEEDS` says.
fn run(mut seeds: std::ops::Range<u64>, perils: Perils, steps: usize) {
    if let Ok(count) = std::env::var("TERNMQ_MODEL_SEEDS") {
        seeds.end = seeds.start + count.parse::<u64>().expect("a number of seeds");
    }
    let (mut acknowledged, mut exactly, mut unread) = (0, 0, 0);
    for seed in seeds {
        let mut world = World::new(seed, perils);
        for _ in 0..steps {
            world.step();
        }
        world.finish();
        world.check(seed);
        let fates = world.published.iter();
        acknowledged += fates.filter(|m| m.fate == Fate::Acknowledged).count();
        let subscribers = world.subscribers.iter();
        exactly += subscribers
            .flat_map(|s| s.seen.values())
            .filter(|s| s.1 > 0)
            .count();
        unread += world
            .hall
            .shards
            .iter()
            .map(|s| s.stats().unread)
            .sum::<u64>();
        if perils.crashes {
            world.expire(seed);
        }
    }
    // It would prove nothing if nothing had happened.
    assert!(acknowledged > 100 && exactly > 100 && unread > 50);
}

const NONE: Perils = Perils {
    cuts: false,
    crashes: false,
    refusals: false,
};

#[test]
fn without_perils_everything_arrives_once() {
    run(0..30, NONE, 1_500);
}

// [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
fn cuts_lose_nothing() {
    let cuts = true;
    run(100..160, Perils { cuts, ..NONE }, 1_500);
}

// [MQTT-4.3.2-4] [MQTT-4.3.3-13]
#[test]
fn crashes_lose_nothing_that_was_acknowledged_and_double_nothing_with_qos_2() {
    let (cuts, crashes) = (true, true);
    let perils = Perils {
        cuts,
        crashes,
        ..NONE
    };
    run(200..320, perils, 1_500);
}

#[test]
fn a_store_that_refuses_now_and_then_loses_nothing_that_was_acknowledged() {
    let perils = Perils {
        cuts: true,
        crashes: true,
        refusals: true,
    };
    run(400..520, perils, 1_500);
}
