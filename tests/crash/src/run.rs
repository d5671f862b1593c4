//! A run: a server, its clients, and so many crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::RawPeer;

use crate::chance::Chance;
use crate::mortal::Mortal;
use crate::notes::{Notes, Stream};
use crate::publisher::Publisher;
use crate::server::Server;
use crate::subscriber::{Habits, Subscriber};
use crate::verdict::verdict;
use crate::wire::Stage;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides when the server is killed and what clients do.
    pub seed: u64,
    /// How often it is killed.
    pub crashes: u32,
    /// It is stopped properly instead: what goes wrong then has nothing to do with crashes.
    pub gently: bool,
    /// Before half of the crashes the disk goes wrong, if the server is one whose [power](Server::powered) is
    /// cut: there is no room, or nothing can be written or synced, or half of what is written.
    pub faults: bool,
    /// Publishers, each with a stream of QoS 1 and one of QoS 2.
    pub publishers: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// How often the server was killed.
    pub crashes: u32,
    /// Messages of QoS 1 and 2 that were published.
    pub published: u64,
    /// Messages that came to subscribers.
    pub delivered: u64,
    /// What could not be written or synced.
    pub failed: u64,
    /// How often a session was looked for that had expired over several starts.
    pub expired: u32,
    /// How long the slowest start took, to the first word of a listener.
    pub slowest_start: Duration,
    /// What was wrong; empty when nothing was.
    pub wrong: Vec<String>,
}

/// How long nothing may happen at the end before what is missing counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Packets between two crashes, at most.
const MOST_PACKETS: u64 = 700;

/// Carries out a plan on a server that has kept nothing so far.
///
/// # Errors
/// The server can't be started again, killed or stopped.
pub fn run(plan: &Plan, mut server: Server) -> Result<Report, String> {
    let stage = Stage::default();
    stage.set_address(Some(server.address()));
    let mut chance = Chance::new(plan.seed);
    let mut mortal = Mortal::new(server.address())?;
    let mut failed = 0;
    let audience = audience(plan.publishers);
    stage.notes().due = due(&audience, plan.publishers);
    stage.notes().shared.insert("group".into());
    let mut slowest_start = Duration::ZERO;
    let outcome = thread::scope(|scope| {
        // However this ends, the threads do.
        let _ending = Ending(&stage);
        let (ready, is_ready) = sync_channel(audience.len());
        for habits in &audience {
            let subscriber =
                Subscriber::new(&stage, habits.clone(), chance.number(), ready.clone());
            scope.spawn(|| subscriber.run());
        }
        for _ in &audience {
            let patience = Duration::from_secs(20);
            is_ready
                .recv_timeout(patience)
                .map_err(|e| format!("a subscriber: {e}"))?;
        }
        let publishers: Vec<_> = (0..plan.publishers)
            .map(|number| {
                let publisher = Publisher::new(&stage, number, chance.number());
                scope.spawn(|| publisher.run())
            })
            .collect();
        for _ in 0..plan.crashes {
            // Now and then before anybody has said a word.
            let packets = if chance.one_in(10) {
                0
            } else {
                chance.below(MOST_PACKETS)
            };
            stage.wait_for_packets(packets, Duration::from_secs(5));
            if plan.faults && chance.one_in(2) {
                failed += spoil(&stage, &mut server, &mut mortal, &mut chance);
            }
            let took = take_away(plan, &stage, &mut server, &mut mortal)?;
            slowest_start = slowest_start.max(took);
        }
        stage.finish();
        for publisher in publishers {
            publisher.join().map_err(|_| "a publisher has panicked")?;
        }
        wait_for_the_rest(&stage);
        look_for_mortal(plan, &stage, &mut server, &mut mortal)?;
        look_at_retained(&stage, server.address(), plan.publishers)
    });
    outcome?;
    server.stop()?;
    let notes = std::mem::take(&mut *stage.notes());
    Ok(Report {
        crashes: plan.crashes,
        published: notes.sent.values().sum(),
        delivered: notes.got.values().map(|got| got.len() as u64).sum(),
        failed,
        expired: mortal.looked(),
        slowest_start,
        wrong: verdict(&notes),
    })
}

/// Sends everybody home when dropped.
struct Ending<'a>(&'a Stage);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Who subscribes, and how.
fn audience(publishers: u32) -> Vec<Habits> {
    let habits = |name: &str, level, filters: &[(&str, u8)], stays| Habits {
        name: name.into(),
        notes_as: name.into(),
        level,
        filters: filters
            .iter()
            .map(|(filter, qos)| ((*filter).into(), *qos))
            .collect(),
        stays,
    };
    let mut all = vec![
        habits("listener", 5, &[("p/#", 2)], 10_000),
        habits("guest", 5, &[("p/+/2", 2), ("p/+/1", 1), ("p/0/#", 2)], 200),
        habits("sleeper", 4, &[("p/#", 2)], 20),
        habits("old", 4, &[("p/#", 1)], 300),
    ];
    let own = format!("p/{}/+", publishers - 1);
    all.push(habits("one", 5, &[(&own, 2)], 50));
    for member in ["member-1", "member-2"] {
        let mut member = habits(member, 5, &[("$share/g/p/#", 2)], 100);
        member.notes_as = "group".into();
        all.push(member);
    }
    all
}

/// What each of them is due.
fn due(audience: &[Habits], publishers: u32) -> BTreeMap<String, Vec<(Stream, u8)>> {
    let streams = || (0..publishers).flat_map(Publisher::streams);
    audience
        .iter()
        .map(|habits| {
            let due = streams().filter_map(|stream| {
                let most = match habits.name.as_str() {
                    "one" if stream.publisher != publishers - 1 => return None,
                    "old" => 1,
                    "guest" if stream.qos == 1 && stream.publisher != 0 => 1,
                    _ => 2,
                };
                Some((stream, most))
            });
            (habits.notes_as.clone(), due.collect())
        })
        .collect()
}

/// Waits until everybody has everything, or nothing has come for long.
fn wait_for_the_rest(stage: &Stage) {
    while !is_complete(&stage.notes()) && stage.wait_for_packets(1, SILENCE) {}
}

/// Whether the last message of each stream has come to everybody who is due it, and in groups all.
fn is_complete(notes: &Notes) -> bool {
    notes.due.iter().all(|(subscriber, due)| {
        let got = notes.got.get(subscriber).map_or(&[][..], Vec::as_slice);
        due.iter().all(|(stream, _)| {
            let sent = notes.sent.get(stream).copied().unwrap_or(0);
            let came = got.iter().filter(|got| got.stream == *stream);
            if notes.shared.contains(subscriber) {
                let numbers: BTreeSet<u64> = came.map(|got| got.number).collect();
                return numbers.len() as u64 >= sent;
            }
            sent == 0 || came.rev().take(1_000).any(|got| got.number == sent)
        })
    })
}

/// Takes the server away, and waits until it is there again: how long that took.
fn take_away(
    plan: &Plan,
    stage: &Stage,
    server: &mut Server,
    mortal: &mut Mortal,
) -> Result<Duration, String> {
    mortal.server_ends();
    stage.set_address(None);
    match plan.gently {
        true => server.stop()?,
        false => server.crash()?,
    }
    let begun = Instant::now();
    server.start_again()?;
    let took = begun.elapsed();
    mortal.server_begins(stage, server.address(), begun)?;
    stage.set_address(Some(server.address()));
    Ok(took)
}

/// The disk goes wrong under the clients, and is well again before the power goes, or not. Returns how often
/// something could not be written.
fn spoil(stage: &Stage, server: &mut Server, mortal: &mut Mortal, chance: &mut Chance) -> u64 {
    mortal.server_ends();
    if !server.spoil() {
        return 0;
    }
    stage.wait_for_packets(chance.below(100), Duration::from_millis(300));
    if chance.one_in(2) {
        return server.failed();
    }
    let failed = server.mend();
    stage.wait_for_packets(chance.below(MOST_PACKETS), Duration::from_secs(5));
    failed
}

/// However often the server is started meanwhile, the time of a session runs on.
fn look_for_mortal(
    plan: &Plan,
    stage: &Stage,
    server: &mut Server,
    mortal: &mut Mortal,
) -> Result<(), String> {
    for _ in 0..20 {
        if mortal.looked() > 0 {
            return Ok(());
        }
        stage.wait_for_packets(u64::MAX / 2, Duration::from_millis(700));
        take_away(plan, stage, server, mortal)?;
    }
    Err("the server is too slow to be started twice before a session of 3 seconds ends".into())
}

/// Somebody new asks for the retained messages.
fn look_at_retained(stage: &Stage, address: SocketAddr, publishers: u32) -> Result<(), String> {
    let mut peer =
        RawPeer::introduced(address, 5, "CONNECT client_id=newcomer").map_err(|e| e.0)?;
    peer.send("SUBSCRIBE id=1 filter=s/# options=1 filter=end options=0")
        .map_err(|e| e.0)?;
    peer.expect("SUBACK").map_err(|e| e.0)?;
    let published: u32 = stage
        .notes()
        .retained
        .values()
        .map(|(_, last)| u32::from(*last > 0))
        .sum();
    for _ in 0..published.min(publishers) {
        // What does not come stays away from the notes.
        let Ok(packet) = peer.expect("PUBLISH retain=1") else {
            break;
        };
        let topic = packet.text("topic", "");
        let number = packet.text("payload", "").parse().ok();
        let publisher = topic
            .strip_prefix("s/")
            .and_then(|number| number.parse().ok());
        let publisher: u32 = publisher.ok_or_else(|| format!("strange `{packet}`"))?;
        stage.notes().retained.entry(publisher).or_default().0 = number;
    }
    peer.cut();
    Ok(())
}
