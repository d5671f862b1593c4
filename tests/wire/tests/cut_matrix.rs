//! QoS 1 and 2, both roles, the connection cut at every byte in both directions, or the server stopped
//! and started between packets, and the session resumed: nothing is lost, QoS 2 never comes twice, what
//! is owed comes again with its packet id.
#![allow(missing_docs)]

use ternmq_test_wire::courier::{Courier, Halt, Snip};
use ternmq_test_wire::{Config, Memory, Sockets, Stage};

/// Seeds for each cut in memory.
const SEEDS: u64 = 3;

/// Which client is cut.
#[derive(Clone, Copy, Debug)]
enum Role {
    Publisher,
    Subscriber,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Case {
    role: Role,
    level: u8,
    qos: u8,
    snip: Option<Snip>,
    between: Between,
}

/// What happens between the connection that is cut and the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    /// Nothing: the new connection may overtake what the old one has still to say.
    Nothing,
    /// The broker sees the end of the connection, and so all that it said.
    End,
    /// The broker restarts, and ends the connection by that.
    Restart,
    /// It sees the end, and then restarts.
    EndAndRestart,
}

impl Between {
    /// The broker has read all that was sent, so that it is known what it owes.
    fn is_certain(self) -> bool {
        matches!(self, Self::End | Self::EndAndRestart)
    }

    fn restarts(self) -> bool {
        matches!(self, Self::Restart | Self::EndAndRestart)
    }
}

/// Bytes of the connection that is cut, after each packet.
#[derive(Clone, Debug)]
struct Boundaries {
    up: Vec<usize>,
    down: Vec<usize>,
}

const MESSAGES: [&str; 3] = ["one", "two", "three"];
/// Published with the QoS of the others: one with QoS 1 may overtake those with QoS 2, which wait until
/// their Packet Identifiers are stored.
const LAST: &str = "last";

fn play(case: Case, stage: &mut dyn Stage) -> Result<Boundaries, String> {
    halted(match case.role {
        Role::Publisher => cut_the_publisher(case, stage),
        Role::Subscriber => cut_the_subscriber(case, stage),
    })
    .map_err(|e| format!("{case:?}: {e}"))
}

fn halted<T>(result: Result<T, Halt>) -> Result<T, String> {
    result.map_err(|halt| match halt {
        Halt::Failed(text) => text,
        Halt::Cut => "a cut where none was asked for".into(),
    })
}

fn cut_the_publisher(case: Case, stage: &mut dyn Stage) -> Result<Boundaries, Halt> {
    let mut subscriber = Courier::new("subscriber", case.level);
    subscriber.connect(stage, None, false)?;
    subscriber.subscribe(stage, "a")?;
    let mut publisher = Courier::new("publisher", case.level);
    for message in MESSAGES {
        publisher.hand_in(case.qos, message);
    }
    let boundaries = once_cut(case, stage, &mut publisher, |courier, stage| {
        courier.deliver(stage)
    })?;
    if case.between.restarts() {
        subscriber.cut(stage, false)?;
        subscriber.connect(stage, None, false)?;
    }
    publisher.hand_in(case.qos, LAST);
    publisher.deliver(stage)?;
    subscriber.receive_until(stage, LAST)?;
    check(case, &subscriber.delivered)?;
    Ok(boundaries)
}

fn cut_the_subscriber(case: Case, stage: &mut dyn Stage) -> Result<Boundaries, Halt> {
    let mut subscriber = Courier::new("subscriber", case.level);
    subscriber.connect(stage, None, false)?;
    subscriber.subscribe(stage, "a")?;
    subscriber.cut(stage, true)?;
    let mut publisher = Courier::new("publisher", case.level);
    publisher.connect(stage, None, false)?;
    for message in MESSAGES {
        publisher.hand_in(case.qos, message);
    }
    publisher.hand_in(case.qos, LAST);
    publisher.deliver(stage)?;
    let boundaries = once_cut(case, stage, &mut subscriber, |courier, stage| {
        courier.receive_until(stage, LAST)
    })?;
    check(case, &subscriber.delivered)?;
    Ok(boundaries)
}

/// Works over a connection that is cut, and then over another one to the end.
fn once_cut(
    case: Case,
    stage: &mut dyn Stage,
    courier: &mut Courier,
    work: impl Fn(&mut Courier, &mut dyn Stage) -> Result<(), Halt>,
) -> Result<Boundaries, Halt> {
    let connected = courier.connect(stage, case.snip, false);
    match connected.and_then(|()| work(courier, stage)) {
        Ok(()) | Err(Halt::Cut) => {}
        failed => failed?,
    }
    let boundaries = Boundaries {
        up: courier.sent.clone(),
        down: courier.received.clone(),
    };
    // A CONNECT that may still be on its way would take over from the next one.
    let unanswered = courier.received.len() == 1;
    let certain = case.between.is_certain();
    if case.between.restarts() {
        if certain {
            courier.cut(stage, true)?;
        }
        stage.restart()?;
    }
    courier.cut(stage, certain || unanswered)?;
    courier.connect(stage, None, certain)?;
    work(courier, stage)?;
    Ok(boundaries)
}

/// [MQTT-4.3.2-1] [MQTT-4.3.3-1]: what arrived, in order.
fn check(case: Case, delivered: &[String]) -> Result<(), Halt> {
    let mut first: Vec<&str> = Vec::new();
    for payload in delivered {
        if !first.contains(&payload.as_str()) {
            first.push(payload);
        }
    }
    let all: Vec<&str> = MESSAGES.into_iter().chain([LAST]).collect();
    let once = |message: &&str| delivered.iter().filter(|p| p == message).count() == 1;
    let good = first == all && (case.qos == 1 || MESSAGES.iter().all(once));
    match good {
        true => Ok(()),
        false => Err(Halt::Failed(format!("{delivered:?} arrived"))),
    }
}

/// Every cell without its cut.
fn rows(betweens: &[Between]) -> Vec<Case> {
    let mut rows = Vec::new();
    for role in [Role::Publisher, Role::Subscriber] {
        for level in [4, 5] {
            for qos in [1, 2] {
                for &between in betweens {
                    let snip = None;
                    rows.push(Case {
                        role,
                        level,
                        qos,
                        snip,
                        between,
                    });
                }
            }
        }
    }
    rows
}

fn snips_at_packets(boundaries: &Boundaries) -> Vec<Snip> {
    let late = [false, true];
    let up = boundaries.up.iter();
    let up = up.flat_map(|at| late.map(|late| Snip::Up { at: *at, late }));
    up.chain(boundaries.down.iter().map(|at| Snip::Down { at: *at }))
        .collect()
}

fn in_memory(case: Case, seed: u64) -> Result<Boundaries, String> {
    let mut stage = Memory::new(seed, &Config::default(), false)?;
    play(case, &mut stage).map_err(|failure| {
        let mut again = Memory::new(seed, &Config::default(), true).expect("the same stage");
        drop(play(case, &mut again));
        format!("{}\nseed {seed}: {failure}", again.trace())
    })
}

// [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-10] [MQTT-4.6.0-1]
// In MQTT 3.1.1 [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.6.0-1]
#[test]
fn a_cut_at_any_byte_loses_nothing_and_doubles_no_qos_2() {
    let mut played = 0;
    for row in rows(&[Between::Nothing, Between::End]) {
        let whole = in_memory(row, 0).unwrap_or_else(|e| panic!("{e}"));
        let mut snips = snips_at_packets(&whole);
        let (up, down) = (whole.up.last(), whole.down.last());
        snips.extend((0..*up.expect("bytes")).map(|at| Snip::Up { at, late: false }));
        snips.extend((0..*down.expect("bytes")).map(|at| Snip::Down { at }));
        for (at, snip) in snips.into_iter().enumerate() {
            let case = Case {
                snip: Some(snip),
                ..row
            };
            for seed in 0..SEEDS {
                let seed = at as u64 * SEEDS + seed;
                in_memory(case, seed).unwrap_or_else(|e| panic!("{e}"));
                played += 1;
            }
        }
    }
    assert!(played > 5_000, "{played} performances");
}

// [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-10] [MQTT-4.6.0-1]
// In MQTT 3.1.1 [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.6.0-1]
#[test]
fn a_cut_between_packets_of_a_real_connection_loses_nothing() {
    over_sockets(&[Between::End]);
}

// [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.3.3-10]
// In MQTT 3.1.1 [MQTT-4.4.0-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
#[test]
fn a_server_that_restarts_between_packets_loses_nothing() {
    over_sockets(&[Between::Restart, Between::EndAndRestart]);
}

fn over_sockets(betweens: &[Between]) {
    for row in rows(betweens) {
        let once = |case: Case| {
            let mut stage = Sockets::start(&Config::default()).expect("a server");
            play(case, &mut stage).unwrap_or_else(|e| panic!("{e}"))
        };
        let snips = snips_at_packets(&once(row));
        assert!(snips.len() > 8, "{row:?}: {snips:?}");
        for snip in snips {
            once(Case {
                snip: Some(snip),
                ..row
            });
        }
    }
}
