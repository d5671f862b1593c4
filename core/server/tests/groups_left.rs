//! Shared subscriptions whose last member with a session that lasts goes while they are behind: who stays has what
//! was acknowledged to publishers, and what nobody had is counted, once.

mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use ternmq_test_broker_wire::{PATIENCE, RawPeer};

use crate::program::program;

const CONFIG: &str = "\
shards = 2
[[listener]]
address = '127.0.0.1:0'
[http]
address = '127.0.0.1:0'
[limits]
queue_messages = 10
log_sweep = 1
";

const COUNT: u32 = 200;

/// What the member has that goes last, if not all.
const HAD: u32 = 60;

/// Killed when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    http: String,
    folder: PathBuf,
}

impl Server {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("groups-left-{name}"));
        // Left over from an earlier run, or not there.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("data")).unwrap();
        std::fs::write(folder.join("ternmq.toml"), CONFIG).unwrap();
        Self::on(folder)
    }

    fn on(folder: PathBuf) -> Self {
        let mut child = Command::new(program())
            .args(["serve", "--config", "ternmq.toml", "--data", "data"])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("listening on mqtt://");
        let address = address.parse().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let http = loop {
            let line = log.next().expect("it says where").unwrap();
            if line.contains("metrics and health on ") {
                break line.trim().rsplit(' ').next().unwrap().to_owned();
            }
        };
        // So that it never waits for whoever reads its log.
        thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        Self {
            child,
            address,
            http,
            folder,
        }
    }

    fn kill(self) -> Self {
        let folder = self.folder.clone();
        drop(self);
        Self::on(folder)
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(status.unwrap().success());
    }

    fn metric(&self, series: &str) -> u64 {
        let url = format!(
            "{}/metrics",
            self.http.trim_end_matches('/').trim_end_matches("/metrics")
        );
        let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
        let page = page.unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        let value = value.unwrap_or_else(|| panic!("no {series} in {page}"));
        value.trim().parse().unwrap()
    }

    /// What was lost for want of a member.
    fn left(&self) -> u64 {
        self.metric("ternmq_messages_dropped_total{reason=\"no_member\"}")
    }

    /// Waits until sweeps have taken away what was there for nobody: something of a witness that it has had.
    /// What was handed in before is on the disk then too.
    fn sweep(&self) {
        let passed = || self.metric("ternmq_store_swept_total{reason=\"passed\"}");
        let connect = "CONNECT client_id=witness clean_start=0 session_expiry=1000";
        let mut witness = RawPeer::introduced(self.address, 5, connect).unwrap();
        witness.send("SUBSCRIBE id=1 filter=w options=1").unwrap();
        witness.expect("SUBACK").unwrap();
        for _ in 0..2 {
            let before = passed();
            witness
                .send("PUBLISH topic=w qos=1 id=2 payload=w")
                .unwrap();
            let mut acknowledged = false;
            let mut came = false;
            while !(acknowledged && came) {
                let packet = witness.next_packet().unwrap().expect("not closed");
                match packet.word(0) {
                    "PUBACK" => acknowledged = true,
                    _ => {
                        came = true;
                        let id = packet.number("id", 0);
                        witness.send(&format!("PUBACK id={id}")).unwrap();
                    }
                }
            }
            until(|| passed() > before);
        }
        witness.send("DISCONNECT").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again; an answer takes a while each time.
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < 2 * PATIENCE, "it does not come about");
    }
}

fn join(address: SocketAddr, connect: &str) -> RawPeer {
    let mut peer = RawPeer::introduced(address, 5, connect).unwrap();
    peer.send("SUBSCRIBE id=1 filter=$share/g/t/# options=1")
        .unwrap();
    peer.expect("SUBACK id=1").unwrap();
    peer
}

fn publish(address: SocketAddr) {
    let mut peer = RawPeer::introduced(address, 5, "CONNECT client_id=publisher").unwrap();
    for n in 0..COUNT {
        peer.send(&format!("PUBLISH topic=t/x qos=1 id=1 payload={n}"))
            .unwrap();
        peer.expect("PUBACK id=1 reason=0").unwrap();
    }
    peer.send("DISCONNECT").unwrap();
}

/// Takes and acknowledges messages until so many different ones were had.
fn take(peer: &mut RawPeer, count: u32, got: &mut std::collections::BTreeSet<u32>) {
    while got.len() < count as usize {
        let packet = peer.expect("PUBLISH qos=1").unwrap();
        let number = packet.text("payload", "").parse().unwrap();
        assert!(got.insert(number), "{number} twice");
        let id = packet.number("id", 0);
        peer.send(&format!("PUBACK id={id}")).unwrap();
    }
}

/// It may get more on its way out.
fn leave(mut peer: RawPeer, goodbye: &str) {
    peer.send(goodbye).unwrap();
    while peer.next_packet().unwrap().is_some() {}
}

/// How the session ends of the member for whose sake the group is kept.
#[derive(Clone, Copy, Debug)]
enum Way {
    Disconnect,
    Expiry,
    CleanStart,
    Ban,
}

fn session_ends(server: &Server, mut lasting: RawPeer, way: Way) {
    match way {
        Way::Disconnect => {
            leave(lasting, "DISCONNECT session_expiry=0");
        }
        Way::Expiry => lasting.cut(),
        Way::CleanStart => {
            let connect = "CONNECT client_id=lasting clean_start=1";
            let mut other = RawPeer::introduced(server.address, 5, connect).unwrap();
            other.send("DISCONNECT").unwrap();
            other.expect_close().unwrap();
        }
        Way::Ban => {
            let bans = server.folder.join("data/bans.json");
            std::fs::write(bans, "[{\"client_id\": \"lasting\"}]").unwrap();
            server.hang_up();
            while lasting.next_packet().is_ok_and(|packet| packet.is_some()) {}
        }
    }
    until(|| server.metric("ternmq_sessions ") == 1);
}

/// A group that is behind, and of whose members only one is left, whose session does not last.
fn left_alone(server: &Server, way: Way) -> RawPeer {
    let guest = join(
        server.address,
        "CONNECT client_id=guest clean_start=1 receive_maximum=5",
    );
    let expiry = match way {
        Way::Expiry | Way::Ban => 1,
        _ => 1_000,
    };
    let lasting = join(
        server.address,
        &format!(
            "CONNECT client_id=lasting clean_start=0 session_expiry={expiry} receive_maximum=1"
        ),
    );
    publish(server.address);
    session_ends(server, lasting, way);
    guest
}

fn who_stays_has_all(way: Way) {
    let server = Server::new(&format!("stays-{way:?}"));
    let mut guest = left_alone(&server, way);
    server.sweep();
    let mut got = Default::default();
    take(&mut guest, HAD, &mut got);
    server.sweep();
    take(&mut guest, COUNT, &mut got);
    server.sweep();
    assert_eq!(server.left(), 0);
    until(|| server.metric("ternmq_store_log_bytes ") == 0);
    leave(guest, "DISCONNECT");
    server.sweep();
    assert_eq!(server.left(), 0, "it had all");
}

fn what_nobody_had_is_counted(way: Way, killed: bool) {
    let mut server = Server::new(&format!("goes-{way:?}-{killed}"));
    let mut guest = left_alone(&server, way);
    take(&mut guest, HAD, &mut Default::default());
    server.sweep();
    assert_eq!(server.left(), 0, "somebody is there still");
    if killed {
        server = server.kill();
    } else {
        leave(guest, "DISCONNECT");
    }
    // One begins that has nothing to do with it.
    let later = join(
        server.address,
        "CONNECT client_id=later session_expiry=1000",
    );
    let lost = u64::from(COUNT - HAD);
    until(|| server.left() >= lost);
    server.sweep();
    assert_eq!(server.left(), lost);
    // A start does not find them again.
    drop(later);
    let server = server.kill();
    server.sweep();
    assert_eq!(server.left(), 0);
}

fn all(way: Way) {
    thread::scope(|scope| {
        scope.spawn(|| who_stays_has_all(way));
        for killed in [false, true] {
            scope.spawn(move || what_nobody_had_is_counted(way, killed));
        }
    });
}

#[test]
fn a_member_leaves_for_good() {
    all(Way::Disconnect);
}

#[test]
fn a_member_s_session_expires() {
    all(Way::Expiry);
}

#[test]
fn a_member_begins_anew() {
    all(Way::CleanStart);
}

#[test]
fn a_member_is_banned() {
    all(Way::Ban);
}
