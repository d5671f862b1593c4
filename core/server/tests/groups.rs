//! Shared subscriptions whose members are away or slow: what was acknowledged is in the log, and comes.

mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use serde_json::Value;
use ternmq_test_broker_wire::{PATIENCE, RawPeer};

use crate::program::program;

const CONFIG: &str = "\
shards = 2
[[listener]]
address = '127.0.0.1:0'
[limits]
queue_messages = 10
";

/// Killed when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// One that keeps what it is given, in an empty folder.
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("groups-{name}"));
        // Left over from an earlier run, or not there.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ternmq.toml"), CONFIG).unwrap();
        Self::on(folder)
    }

    /// On what another one left.
    fn on(folder: PathBuf) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--json", "--config", "ternmq.toml"])
            .args(["--data", "data"])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let address = told["address"].as_str().unwrap().parse().unwrap();
        Self {
            child,
            address,
            folder,
        }
    }

    /// Kills it and starts another one.
    fn kill(self) -> Self {
        let folder = self.folder.clone();
        drop(self);
        Self::on(folder)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FILTER: &str = "$share/g/t/#";

/// A member of the group, that is one already from the second time on.
fn member(address: SocketAddr, name: &str, more: &str) -> RawPeer {
    let connect = format!("CONNECT client_id={name} clean_start=0 session_expiry=1000 {more}");
    let mut peer = RawPeer::introduced(address, 5, &connect).unwrap();
    peer.send("SUBSCRIBE id=65535 filter=end options=0")
        .unwrap();
    peer
}

fn join(address: SocketAddr, name: &str, qos: u8) {
    let mut peer = member(address, name, "");
    peer.send(&format!("SUBSCRIBE id=1 filter={FILTER} options={qos}"))
        .unwrap();
    peer.expect("SUBACK id=65535").unwrap();
    peer.expect("SUBACK id=1").unwrap();
    peer.send("DISCONNECT").unwrap();
    peer.expect_close().unwrap();
}

/// Publishes numbers with QoS 1, all of which are acknowledged.
fn publish(address: SocketAddr, numbers: std::ops::Range<u32>, qos: u8) {
    let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=publisher").unwrap();
    let numbers: Vec<u32> = numbers.collect();
    for some in numbers.chunks(100) {
        for (n, id) in some.iter().zip(1..) {
            peer.send(&format!("PUBLISH topic=t/x qos={qos} id={id} payload={n}"))
                .unwrap();
        }
        for id in 1..=some.len() {
            let answer = if qos == 1 { "PUBACK" } else { "PUBREC" };
            peer.expect(&format!("{answer} id={id} reason=0")).unwrap();
        }
        for id in (1..=some.len()).filter(|_| qos == 2) {
            peer.send(&format!("PUBREL id={id}")).unwrap();
            peer.expect(&format!("PUBCOMP id={id}")).unwrap();
        }
    }
    peer.send("DISCONNECT").unwrap();
}

/// Takes and acknowledges all that comes until the end is told.
fn take(mut peer: RawPeer, which: usize, got: &SyncSender<(usize, u32)>) {
    loop {
        let packet = peer.next_packet().unwrap().expect("not closed");
        match packet.word(0) {
            "PUBLISH" if packet.text("topic", "") == "end" => return,
            "PUBLISH" => {
                let n = packet.text("payload", "").parse().unwrap();
                let id = packet.number("id", 0);
                peer.send(&format!("PUBACK id={id}")).unwrap();
                got.send((which, n)).unwrap();
            }
            "SUBACK" => {}
            _ => panic!("{packet}"),
        }
    }
}

/// What members get, each in its order, until so many different numbers have come.
fn drain(address: SocketAddr, peers: Vec<RawPeer>, count: usize) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new(); peers.len()];
    thread::scope(|scope| {
        let (got, gets) = sync_channel(1_024);
        for (which, peer) in peers.into_iter().enumerate() {
            let got = got.clone();
            scope.spawn(move || take(peer, which, &got));
        }
        let mut numbers = BTreeSet::new();
        while numbers.len() < count {
            let wait = gets.recv_timeout(PATIENCE);
            let (which, n) = wait.unwrap_or_else(|_| panic!("{} of {count}", numbers.len()));
            numbers.insert(n);
            all[which].push(n);
        }
        let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=ends").unwrap();
        peer.send("PUBLISH topic=end qos=0 payload=x").unwrap();
        drop(got);
        // What came beside it.
        for (which, n) in gets {
            all[which].push(n);
        }
        peer.send("DISCONNECT").unwrap();
    });
    all
}

fn sorted(all: &[Vec<u32>]) -> Vec<u32> {
    let mut all = all.concat();
    all.sort_unstable();
    all
}

fn is_rising(numbers: &[u32]) -> bool {
    numbers.windows(2).all(|two| two[0] < two[1])
}

#[test]
fn a_group_whose_members_are_away_loses_nothing_and_neither_does_a_kill() {
    const COUNT: u32 = 10_000;
    for killed in [false, true] {
        let mut server = Server::new(&format!("away-{killed}"));
        for name in ["one", "two"] {
            join(server.address, name, 1);
        }
        publish(server.address, 0..COUNT, 1);
        if killed {
            server = server.kill();
        }
        let address = server.address;
        let peers = ["one", "two"].map(|name| member(address, name, ""));
        let all = drain(address, peers.into(), COUNT as usize);
        assert_eq!(sorted(&all), (0..COUNT).collect::<Vec<_>>(), "each once");
        for one in &all {
            assert!(is_rising(one));
            assert!(one.len() > COUNT as usize / 10, "both have their part");
        }
    }
}

#[test]
fn one_member_gets_all_in_order_while_more_comes_in() {
    const COUNT: u32 = 3_000;
    let server = Server::new("one");
    let address = server.address;
    join(address, "one", 1);
    publish(address, 0..COUNT / 2, 1);
    let all = thread::scope(|scope| {
        scope.spawn(|| publish(address, COUNT / 2..COUNT, 1));
        drain(address, vec![member(address, "one", "")], COUNT as usize)
    });
    assert_eq!(all[0], (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn what_a_slow_member_does_not_take_the_others_get() {
    const COUNT: u32 = 2_000;
    let server = Server::new("slow");
    let address = server.address;
    for name in ["quick", "slow"] {
        join(address, name, 1);
    }
    // It has one on its way and acknowledges none; ten more may wait for it.
    let mut slow = member(address, "slow", "receive_maximum=1");
    slow.expect("SUBACK").unwrap();
    publish(address, 0..COUNT, 1);
    slow.expect("PUBLISH").unwrap();
    let quick = vec![member(address, "quick", "")];
    let first = drain(address, quick, COUNT as usize - 11);
    assert!(is_rising(&first[0]));
    slow.cut();
    let quick = vec![member(address, "quick", "")];
    let second = drain(address, quick, COUNT as usize - first[0].len());
    let all = sorted(&[first, second].concat());
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>());
}

/// The numbers that a client has, as a client knows them that gets QoS 2.
#[derive(Default)]
struct Exact {
    open: BTreeMap<u32, u32>,
    got: Vec<u32>,
}

impl Exact {
    fn take(&mut self, peer: &mut RawPeer, until: usize) {
        while self.got.len() < until {
            let packet = peer.next_packet().unwrap().expect("not closed");
            let id = packet.number("id", 0);
            match packet.word(0) {
                "PUBLISH" => {
                    let n = packet.text("payload", "").parse().unwrap();
                    if self.open.insert(id, n).is_none() {
                        self.got.push(n);
                    }
                    peer.send(&format!("PUBREC id={id}")).unwrap();
                }
                "PUBREL" => {
                    self.open.remove(&id);
                    peer.send(&format!("PUBCOMP id={id}")).unwrap();
                }
                "SUBACK" => {}
                _ => panic!("{packet}"),
            }
        }
    }
}

#[test]
fn with_qos_2_nothing_comes_twice_however_often_the_server_is_killed() {
    const COUNT: u32 = 600;
    let mut server = Server::new("exact");
    join(server.address, "one", 2);
    publish(server.address, 0..COUNT, 2);
    let mut exact = Exact::default();
    for until in [70, 71, 250, 400, COUNT as usize] {
        server = server.kill();
        let mut peer = member(server.address, "one", "receive_maximum=20");
        exact.take(&mut peer, until);
    }
    assert_eq!(exact.got, (0..COUNT).collect::<Vec<_>>());
}
