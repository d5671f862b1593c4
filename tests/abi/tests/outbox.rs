//! `ternmq_set_outbox`: what it says, and publishers that are killed at any moment. A subscriber of another
//! make, `mosquitto_sub`, sees what arrives. `TERNMQ_KILLS` says how often.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::peer::{Manners, Peer};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};
use ternmq_test_wire::program as program_of_server;

#[test]
fn c_publishers_that_are_killed_lose_nothing() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "outbox_publisher", &ours, &[]);
    let program = folder.path("outbox_publisher");
    let library = ours.path("");
    // Handles of both kinds go on with the same file.
    Killing {
        program: &program,
        library: Some(&library),
        kinds: &["sync", "async"],
        kills: 50,
    }
    .run(&folder);
}

#[test]
fn rust_publishers_that_are_killed_lose_nothing() {
    let folder = Scratch::new();
    Killing {
        program: Path::new(env!("CARGO_BIN_EXE_outbox_publisher")),
        library: None,
        kinds: &["rust"],
        kills: 20,
    }
    .run(&folder);
}

/// Publishers and the server that they publish to die at one moment: what was accepted is in the outbox or
/// in the data folder, and not twice in both.
#[test]
fn publishers_and_servers_that_are_killed_together_lose_nothing() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "outbox_publisher", &ours, &[]);
    let (program, library) = (folder.path("outbox_publisher"), ours.path(""));
    let of_rust = Path::new(env!("CARGO_BIN_EXE_outbox_publisher"));
    let all: [(_, _, &[&str]); 2] = [
        (&*program, Some(&*library), &["sync", "async"]),
        (of_rust, None, &["rust"]),
    ];
    for (program, library, kinds) in all {
        let folder = Scratch::new();
        Killing {
            program,
            library,
            kinds,
            kills: 6,
        }
        .run_together(&folder);
    }
}

/// A process dies in the middle; the next one goes on with the same packet identifiers.
#[test]
fn what_was_left_goes_out_under_its_packet_identifiers() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "outbox", &ours, &[]);
    for kind in ["sync", "async"] {
        let file = folder.path(&format!("{kind}.outbox"));
        // No PUBACK, and PUBREC for `two` only.
        let peer = Peer::start(Manners {
            pubrec: Some(&["two"]),
            ..Manners::silent(false)
        });
        let mut first = program(&folder, &ours, &peer.uri(), &file, kind, "first");
        let mut first = Orders::start(&mut first);
        assert_eq!(first.next(), Some("published".to_owned()));
        first.kill();
        peer.behave(Manners {
            session_present: true,
            ..Manners::polite(false)
        });
        let before = peer.seen().len();
        output(&mut program(
            &folder,
            &ours,
            &peer.uri(),
            &file,
            kind,
            "second",
        ));
        let seen = peer.seen().split_off(before);
        for (begin, times) in [("3a", 2), ("3c", 0), ("3d", 0), ("62020002", 1)] {
            let count = seen.iter().filter(|packet| packet.starts_with(begin));
            assert_eq!(count.count(), times, "{kind}: {begin} {seen:?}");
        }
    }
}

#[test]
fn what_comes_out_of_order_is_noticed() {
    let arrived = |all: &[&str]| -> Vec<(String, String)> {
        let one = |payload: &&str| ("out/1".to_owned(), (*payload).to_owned());
        all.iter().map(one).collect()
    };
    assert!(out_of_order(&arrived(&["0.8", "0.10", "0.8", "1.0", "end"])).is_empty());
    for wrong in [["0.0", "0.4", "0.2"], ["0.0", "1.0", "0.2"]] {
        assert_eq!(out_of_order(&arrived(&wrong)).len(), 1);
    }
}

#[test]
fn an_outbox_is_refused_where_it_can_not_be() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "outbox", &ours, &["-g", "-fsanitize=address"]);
    let broker = broker();
    let uri = format!("tcp://{}", broker.local_addrs()[0]);
    for kind in ["sync", "async"] {
        let file = folder.path(&format!("{kind}.outbox"));
        let mut choices = program(&folder, &ours, &uri, &file, kind, "choices");
        output(choices.env("FOLDER", folder.path("")));
    }
    broker.stop().expect("the broker ends well");
}

#[test]
fn a_disk_that_fails_refuses_and_damage_is_set_aside() {
    let (ours, folder) = (installed_library(), Scratch::new());
    build(&folder, "outbox", &ours, &[]);
    let shim = folder.path("shim.so");
    output(
        compiler()
            .args(["-shared", "-fPIC", "-o"])
            .arg(&shim)
            .arg(root().join("tests/abi/programs/shim_sync.c"))
            .arg("-ldl"),
    );
    let (syncs, broken) = (folder.path("syncs"), folder.path("broken"));
    for kind in ["sync", "async"] {
        let file = folder.path(&format!("{kind}.outbox"));
        let _ = std::fs::remove_file(&syncs);
        let uri = format!("tcp://{}", nobody());
        let mut disk = program(&folder, &ours, &uri, &file, kind, "disk");
        disk.env("LD_PRELOAD", &shim)
            .env("SYNCS", &syncs)
            .env("BROKEN", &broken);
        let mut disk = Orders::start(&mut disk);
        assert_eq!(disk.next().as_deref(), Some("published"));
        // One for the file, one for the message.
        assert_eq!(std::fs::read(&syncs).expect("syncs").len(), 2);
        disk.done();
        assert_eq!(disk.next().as_deref(), Some("break"));
        std::fs::write(&broken, "").unwrap();
        disk.done();
        assert_eq!(disk.next().as_deref(), Some("mend"));
        std::fs::remove_file(&broken).unwrap();
        disk.done();
        assert_eq!(disk.next(), None);
        assert!(disk.child.wait().expect("its end").success());
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(3).position(|w| w == b"one").expect("one");
        bytes[at] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        output(&mut program(&folder, &ours, &uri, &file, kind, "damaged"));
        let copy = folder.path(&format!("{kind}.outbox.damaged"));
        assert_eq!(std::fs::read(copy).expect("the copy"), bytes);
    }
}

/// What the example shows is true.
#[test]
fn the_example_sends_what_it_has_kept() {
    let (ours, folder) = (installed_library(), Scratch::new());
    compile(&folder.path("example"), "examples/c/outbox.c", &ours, &[]);
    let file = folder.path("readings");
    let run = |server: SocketAddr, reading: &str| {
        output(
            Command::new(folder.path("example"))
                .arg(format!("mqtt://{server}"))
                .arg(&file)
                .args(["meter", "out/meter", reading])
                .env("LD_LIBRARY_PATH", ours.path("")),
        )
    };
    assert_eq!(run(nobody(), "1"), "kept for later: 1\n");
    assert_eq!(run(nobody(), "2"), "kept for later: 2\n");
    let broker = broker();
    let server = broker.local_addrs()[0];
    let witness = Witness::start(server, "3");
    assert_eq!(run(server, "3"), "kept for later: 0\n");
    let arrived = witness.arrived().into_iter().map(|(_, payload)| payload);
    assert_eq!(arrived.collect::<Vec<_>>(), ["1", "2", "3"]);
    broker.stop().expect("the broker ends well");
}

/// A program that says what it has come to, and waits.
struct Orders {
    child: Child,
    answers: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Orders {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program");
        let answers = child.stdin.take().expect("its input");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self {
            child,
            answers,
            lines,
        }
    }

    fn next(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.expect("a line"))
    }

    fn done(&mut self) {
        writeln!(self.answers, "done").expect("the program listens");
    }

    fn kill(mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("its end");
    }
}

fn program(
    folder: &Scratch,
    ours: &Scratch,
    uri: &str,
    file: &Path,
    kind: &str,
    what: &str,
) -> Command {
    let mut command = Command::new(folder.path("outbox"));
    command
        .arg(uri)
        .arg(file)
        .args([kind, what])
        .env("LD_LIBRARY_PATH", ours.path(""));
    command
}

struct Killing<'a> {
    program: &'a Path,
    library: Option<&'a Path>,
    kinds: &'a [&'a str],
    kills: u64,
}

impl Killing<'_> {
    /// Kills publishers one after the other, and compares what they had accepted with what arrives.
    fn run(&self, folder: &Scratch) {
        let asked = std::env::var("TERNMQ_KILLS").ok();
        let kills = asked.map_or(self.kills, |kills| kills.parse().expect("a number"));
        let seed = RandomState::new().hash_one(kills) | 1;
        let mut chance = Chance(seed);
        let broker = broker();
        let server = broker.local_addrs()[0];
        let witness = Witness::start(server, "end");
        let mut accepted = Vec::new();
        for life in 0..kills {
            let kind = self.kinds[life as usize % self.kinds.len()];
            // Some have no server, some sync.
            let server = match chance.below(3) {
                0 => nobody(),
                _ => server,
            };
            let what = ["publish", "publish", "synced"][chance.below(3) as usize];
            let publisher = self.command(folder, server, life, kind, what);
            accepted.extend(killed(publisher, &mut chance));
        }
        output(&mut self.command(folder, server, kills, self.kinds[0], "drain"));
        let arrived = witness.arrived();
        check(&accepted, &arrived, seed);
        broker.stop().expect("the broker ends well");
    }

    /// The same with a server that is killed with each of them, and starts again from its data folder.
    fn run_together(&self, folder: &Scratch) {
        let asked = std::env::var("TERNMQ_KILLS").ok();
        let kills = asked.map_or(self.kills, |kills| kills.parse().expect("a number"));
        let seed = RandomState::new().hash_one(kills) | 1;
        let mut chance = Chance(seed);
        let mut server = Serving::start(folder);
        // It has a session, and is away until the end.
        output(witness(server.address).arg("-E"));
        let mut accepted = Vec::new();
        for life in 0..kills {
            let kind = self.kinds[life as usize % self.kinds.len()];
            let what = ["publish", "publish", "synced"][chance.below(3) as usize];
            let publisher = self.command(folder, server.address, life, kind, what);
            let first = chance.below(2) == 0;
            accepted.extend(killed_with(publisher, &mut chance, |publisher| {
                if first {
                    server.kill();
                }
                publisher.kill().expect("it is there");
                if !first {
                    server.kill();
                }
            }));
            server = Serving::start(folder);
        }
        output(&mut self.command(folder, server.address, kills, self.kinds[0], "drain"));
        let mut child = witness(server.address)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let arrived = until(&mut lines, "end");
        child.kill().expect("it is there");
        child.wait().expect("its end");
        check(&accepted, &arrived, seed);
        server.kill();
    }

    fn command(
        &self,
        folder: &Scratch,
        server: SocketAddr,
        life: u64,
        kind: &str,
        what: &str,
    ) -> Command {
        let mut command = Command::new(self.program);
        command
            .arg(format!("mqtt://{server}"))
            .arg(folder.path("outbox"))
            .args([&life.to_string(), kind, what]);
        if let Some(library) = self.library {
            command.env("LD_LIBRARY_PATH", library);
        }
        command
    }
}

fn check(accepted: &[String], arrived: &[(String, String)], seed: u64) {
    let mut times = BTreeMap::<&str, u32>::new();
    for (_, payload) in arrived {
        *times.entry(payload).or_default() += 1;
    }
    let lost: Vec<_> = accepted
        .iter()
        .filter(|payload| !times.contains_key(payload.as_str()))
        .collect();
    assert!(lost.is_empty(), "seed {seed}: lost {lost:?}");
    let twice: BTreeSet<_> = arrived
        .iter()
        .filter(|(topic, payload)| topic == "out/2" && times[payload.as_str()] > 1)
        .collect();
    assert!(twice.is_empty(), "seed {seed}: QoS 2 twice {twice:?}");
    let late = out_of_order(arrived);
    assert!(late.is_empty(), "seed {seed}: out of order {late:?}");
    assert!(accepted.len() > 100, "{} accepted", accepted.len());
}

/// What came for the first time behind something that was published later on its topic.
fn out_of_order(arrived: &[(String, String)]) -> Vec<&(String, String)> {
    let mut seen = BTreeMap::<&str, BTreeSet<(u64, u64)>>::new();
    let mut late = Vec::new();
    for one in arrived {
        // All others are said once: `ready` and `end`.
        let Some((life, number)) = one.1.split_once('.') else {
            continue;
        };
        let place = (
            life.parse().expect("a life"),
            number.parse().expect("a number"),
        );
        let seen = seen.entry(&one.0).or_default();
        let last = seen.last().copied();
        if seen.insert(place) && last > Some(place) {
            late.push(one);
        }
    }
    late
}

/// What a publisher says that takes no more.
const FULL: &str = "full";

/// Runs a publisher, kills it at some moment, and gives what it had accepted.
fn killed(publisher: Command, chance: &mut Chance) -> Vec<String> {
    killed_with(publisher, chance, |publisher| {
        publisher.kill().expect("it is there");
    })
}

fn killed_with(
    mut publisher: Command,
    chance: &mut Chance,
    kill: impl FnOnce(&mut Child),
) -> Vec<String> {
    let mut child = publisher
        .stdout(Stdio::piped())
        .spawn()
        .expect("a publisher");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut accepted = Vec::new();
    // Some before they have begun, others while they open the file, or connect.
    let wanted = match chance.below(4) {
        0 => 0,
        _ => chance.below(120),
    };
    for _ in 0..wanted {
        match lines.next() {
            Some(Ok(line)) if line != FULL => accepted.push(line),
            _ => break,
        }
    }
    let moment = Instant::now() + Duration::from_micros(chance.below(8000));
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    let ended = child.try_wait().expect("its state");
    assert!(ended.is_none(), "the publisher has ended: {ended:?}");
    kill(&mut child);
    child.wait().expect("its end");
    let rest = lines.map(|line| line.expect("a line"));
    accepted.extend(rest.filter(|line| line != FULL));
    accepted
}

/// Numbers that are different each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// `ternmq serve` with a data folder.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(folder: &Scratch) -> Self {
        let mut command = Command::new(program_of_server().expect("the server"));
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path("data"))
            .env("TERNMQ_LOG__LEVEL", "warn")
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("ternmq");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let address = lines
            .map(|line| line.expect("a line"))
            .find(|line| line.contains("\"listening\""))
            .and_then(|line| Some(line.split_once("127.0.0.1:")?.1.to_owned()))
            .and_then(|rest| {
                rest.split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse()
                    .ok()
            })
            .map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
        let address = address.expect("where it listens");
        Self { child, address }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("its end");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Gone already, unless the test has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `mosquitto_sub` with a session that lasts.
fn witness(server: SocketAddr) -> Command {
    let mut command = Command::new("mosquitto_sub");
    command
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(["-q", "2", "-V", "mqttv5", "-v", "-t", "out/#"])
        .args(["-i", "witness", "-c", "-x", "3600"]);
    command
}

/// A subscriber of another make, whose session lasts.
struct Witness {
    child: Child,
    /// Reads all the time: a program that can't write does not answer its server either.
    arrived: JoinHandle<Vec<(String, String)>>,
}

impl Witness {
    /// One that listens up to a payload.
    fn start(server: SocketAddr, last: &'static str) -> Self {
        let mosquitto = |name| {
            let mut command = Command::new(name);
            command
                .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
                .args(["-q", "2", "-V", "mqttv5"]);
            command
        };
        output(mosquitto("mosquitto_pub").args(["-r", "-t", "out/ready", "-m", "ready"]));
        let mut child = witness(server)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        until(&mut lines, "ready");
        let arrived = std::thread::spawn(move || until(&mut lines, last));
        Self { child, arrived }
    }

    /// Topics and payloads.
    fn arrived(mut self) -> Vec<(String, String)> {
        let arrived = self.arrived.join();
        self.child.kill().expect("it is there");
        self.child.wait().expect("its end");
        arrived.expect("all of it")
    }
}

fn until(lines: &mut Lines<BufReader<ChildStdout>>, last: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        let line = lines.next().expect("more").expect("a line");
        let (topic, payload) = line.split_once(' ').expect("a topic and a payload");
        all.push((topic.to_owned(), payload.to_owned()));
        if payload == last {
            return all;
        }
    }
}

/// Where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address")
}

fn broker() -> Broker {
    Broker::start(Config::listen(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a broker")
}

fn build(folder: &Scratch, program: &str, ours: &Scratch, flags: &[&str]) {
    let source = format!("tests/abi/programs/{program}.c");
    compile(&folder.path(program), &source, ours, flags);
}

fn compile(binary: &Path, source: &str, ours: &Scratch, flags: &[&str]) {
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(root().join(source))
            .arg("-L")
            .arg(ours.path(""))
            .args(["-l:libternmq.so.0", "-o"])
            .arg(binary),
    );
}
