//! A run: a server, its clients, and so many crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use ternmq_test_broker_wire::{Failure, RawPeer};

use crate::chance::Chance;
use crate::later::Later;
use crate::mortal::Mortal;
use crate::notes::{Fate, Notes, Promise, Stream};
use crate::publisher::Publisher;
use crate::server::Server;
use crate::subscriber::{Habits, Subscriber};
use crate::verdict::verdict;
use crate::wire::{Addresses, Stage};

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
    /// Publishers, each with a stream of QoS 1 and one of QoS 2, besides one that is a tenant behind a mount point.
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
    /// Wills and delayed messages that came.
    pub later: u64,
    /// Bans that were looked for after a start.
    pub bans: u32,
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
    let mut guests = Guests {
        mortal: Mortal::new(server.address().main)?,
        later: Later::default(),
        banned: None,
        bans: 0,
    };
    let mut failed = 0;
    let audience = audience(plan.publishers);
    stage.notes().due = due(&audience, plan.publishers);
    for shared in ["group", "leavers"] {
        stage.notes().shared.insert(shared.into());
    }
    let mut slowest_start = Duration::ZERO;
    let outcome = thread::scope(|scope| {
        // However this ends, the threads do.
        let _ending = Ending(&stage);
        enter(scope, &stage, &audience, &mut chance)?;
        let publishers: Vec<_> = (0..=plan.publishers)
            .map(|number| {
                let tenant = number == plan.publishers;
                let publisher = Publisher::new(&stage, number, tenant, chance.number());
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
                failed += spoil(&stage, &mut server, &mut guests.mortal, &mut chance);
            } else {
                guests.ask(&stage, &mut server, &mut chance)?;
            }
            let took = take_away(plan, &stage, &mut server, &mut guests)?;
            slowest_start = slowest_start.max(took);
        }
        stage.finish();
        for publisher in publishers {
            publisher.join().map_err(|_| "a publisher has panicked")?;
        }
        wait_for_the_rest(&stage);
        look_for_mortal(plan, &stage, &mut server, &mut guests)?;
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
        expired: guests.mortal.looked(),
        later: notes.came.values().map(|came| came.len() as u64).sum(),
        bans: guests.bans,
        slowest_start,
        wrong: verdict(&notes),
    })
}

/// Clients of the run itself, which are there now and then.
struct Guests {
    mortal: Mortal,
    later: Later,
    /// Who is banned.
    banned: Option<String>,
    /// How often that was looked for.
    bans: u32,
}

impl Guests {
    /// Has something happen later, and bans somebody now and then.
    fn ask(
        &mut self,
        stage: &Stage,
        server: &mut Server,
        chance: &mut Chance,
    ) -> Result<(), String> {
        for _ in 0..2 {
            self.later.ask(stage, server.address().main, chance)?;
        }
        if chance.one_in(4) {
            let client_id = format!("villain-{}", chance.below(1_000));
            self.banned = server.ban(&client_id)?.then_some(client_id);
        }
        Ok(())
    }

    /// Whoever was banned is after a start.
    fn look_for_ban(&mut self, stage: &Stage, at: Addresses) -> Result<(), String> {
        let Some(client_id) = &self.banned else {
            return Ok(());
        };
        let is_refused = || {
            let mut peer = RawPeer::connect(at.main, 5).map_err(|e| Failure(e.to_string()))?;
            peer.send(&format!("CONNECT client_id={client_id}"))?;
            let answer = peer.expect("CONNACK")?;
            Ok(answer.number("reason", 0) == 0x8A)
        };
        if !is_refused().map_err(|failure: Failure| failure.0)? {
            stage.complain(format!("{client_id} was banned and is let in"));
        }
        self.bans += 1;
        Ok(())
    }
}

/// The audience comes, and has subscribed.
fn enter<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    stage: &'env Stage,
    audience: &[Habits],
    chance: &mut Chance,
) -> Result<(), String> {
    let (ready, is_ready) = sync_channel(audience.len());
    for habits in audience {
        let subscriber = Subscriber::new(stage, habits.clone(), chance.number(), ready.clone());
        scope.spawn(|| subscriber.run());
    }
    for _ in audience {
        let patience = Duration::from_secs(20);
        is_ready
            .recv_timeout(patience)
            .map_err(|e| format!("a subscriber: {e}"))?;
    }
    Ok(())
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
        tenant: false,
        prefix: "",
        fleeting: false,
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
    for member in ["stays", "goes-1", "goes-2"] {
        let mut member = habits(member, 5, &[("$share/h/p/#", 1)], 100);
        member.notes_as = "leavers".into();
        member.fleeting = member.name != "stays";
        all.push(member);
    }
    let mut tenant = habits("tenant", 5, &[("p/#", 2)], 200);
    tenant.tenant = true;
    let mut landlord = habits("landlord", 5, &[("m/p/#", 2)], 300);
    landlord.prefix = "m/";
    let heir = habits("heir", 5, &[(crate::later::TOPIC, 2)], 20);
    all.extend([tenant, landlord, heir]);
    all
}

/// What each of them is due.
fn due(audience: &[Habits], publishers: u32) -> BTreeMap<String, Vec<(Stream, u8)>> {
    let streams = || (0..=publishers).flat_map(Publisher::streams);
    audience
        .iter()
        .map(|habits| {
            let due = streams().filter_map(|stream| {
                let tenant = stream.publisher == publishers;
                let most = match habits.name.as_str() {
                    "heir" => return None,
                    "tenant" | "landlord" if tenant => 2,
                    "tenant" | "landlord" => return None,
                    _ if tenant => return None,
                    "one" if stream.publisher != publishers - 1 => return None,
                    "old" | "stays" | "goes-1" | "goes-2" => 1,
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
    let has_come = |(name, promise): (&String, &Promise)| {
        promise.fate != Fate::Comes || notes.came.contains_key(name)
    };
    notes.promised.iter().all(has_come)
        && notes.due.iter().all(|(subscriber, due)| {
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
    guests: &mut Guests,
) -> Result<Duration, String> {
    guests.mortal.server_ends();
    guests.later.server_ends(stage);
    stage.set_address(None);
    match plan.gently {
        true => server.stop()?,
        false => server.crash()?,
    }
    guests.later.server_is_gone();
    let begun = Instant::now();
    server.start_again()?;
    let took = begun.elapsed();
    let mortal = &mut guests.mortal;
    mortal.server_begins(stage, server.address().main, begun)?;
    guests.look_for_ban(stage, server.address())?;
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
    guests: &mut Guests,
) -> Result<(), String> {
    for _ in 0..20 {
        if guests.mortal.looked() > 0 {
            return Ok(());
        }
        stage.wait_for_packets(u64::MAX / 2, Duration::from_millis(700));
        take_away(plan, stage, server, guests)?;
    }
    Err("the server is too slow to be started twice before a session of 3 seconds ends".into())
}

/// Somebody new asks for the retained messages, and a tenant for its own.
fn look_at_retained(stage: &Stage, at: Addresses, publishers: u32) -> Result<(), String> {
    let all = stage.notes().retained.clone();
    for (address, tenant) in [(at.main, false), (at.tenant, true)] {
        let published = all
            .iter()
            .filter(|(publisher, (_, last))| (**publisher == publishers) == tenant && *last > 0);
        look_at_topics(stage, address, published.count()).map_err(|failure| failure.0)?;
    }
    Ok(())
}

fn look_at_topics(
    stage: &Stage,
    address: std::net::SocketAddr,
    published: usize,
) -> Result<(), Failure> {
    let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=newcomer")?;
    peer.send("SUBSCRIBE id=1 filter=s/# options=1 filter=end options=0")?;
    peer.expect("SUBACK")?;
    for _ in 0..published {
        // What does not come stays away from the notes.
        let Ok(packet) = peer.expect("PUBLISH retain=1") else {
            break;
        };
        let topic = packet.text("topic", "");
        let number = packet.text("payload", "").parse().ok();
        let publisher = topic
            .strip_prefix("s/")
            .and_then(|number| number.parse().ok());
        let publisher: u32 = publisher.ok_or_else(|| Failure(format!("strange `{packet}`")))?;
        stage.notes().retained.entry(publisher).or_default().0 = number;
    }
    peer.cut();
    Ok(())
}
