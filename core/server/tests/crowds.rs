//! Back ends that are slow: so many ask each at a time, so many wait, and the others have their threads.

mod program;
#[path = "program/server.rs"]
#[allow(dead_code, reason = "other tests need all of it")]
mod server;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use server::{Server, folder, ternmq};
use ternmq_test_broker_wire::RawPeer;

const KINDS: [&str; 3] = ["http", "sql", "redis"];

/// A server whose second listener has passwords only; three threads in all.
fn start(folder: &Path, kind: &str, address: SocketAddr, first: &str, policy: &str) -> Server {
    let made = ternmq(folder, &["passwd", "-c", "-b", "passwords", "ben", "pw"]).output();
    assert!(made.unwrap().status.success());
    let what = match kind {
        "http" => format!("authenticate = 'http://{address}/'"),
        "sql" => format!(
            "url = 'postgres://a:b@{address}/t'\npassword_query = 'SELECT h FROM u WHERE n = ${{username}}'"
        ),
        _ => format!("url = 'redis://{address}/0'\nuser_key = 'u:${{username}}'"),
    };
    let config = format!(
        "shards = 1\n[[listener]]\naddress = '127.0.0.1:0'\nsteps = [{first}]\n\
         [[listener]]\naddress = '127.0.0.1:0'\nsteps = ['passwords']\n[http]\naddress = '127.0.0.1:0'\n\
         [access]\npassword_file = 'passwords'\nthreads = 3\n\
         [[access.step]]\nname = 'slow'\nkind = '{kind}'\n{what}\ntimeout_ms = 60000\nfailures = 0\n\
         concurrency = 1\nwaiting = 1\nwhen_down = '{policy}'\n"
    );
    std::fs::write(folder.join("ternmq.toml"), config).unwrap();
    Server::start(folder)
}

fn sends(address: SocketAddr, level: u8, id: &str) -> RawPeer {
    let mut peer = RawPeer::connect(address, level).unwrap();
    peer.send(&format!("CONNECT client_id={id} username=ben password=pw"))
        .unwrap();
    peer
}

fn read(server: &Server, line: &str) -> u64 {
    let url = format!("{}/metrics", server.http["url"].as_str().unwrap());
    let page = ureq::get(&url).call().unwrap().body_mut().read_to_string();
    let page = page.unwrap();
    let start = format!("ternmq_access_step_{line} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Until so many do this: one that asks is not seen otherwise.
fn until(server: &Server, what: &str, number: u64) {
    let in_time = Instant::now() + Duration::from_secs(30);
    while read(server, &format!("{what}{{step=\"slow\"}}")) != number {
        assert!(Instant::now() < in_time, "{what}");
    }
}

#[test]
fn one_asks_one_waits_and_one_more_is_refused_while_others_have_their_threads() {
    for kind in KINDS {
        let folder = folder(&format!("crowds_{kind}"));
        // Accepts and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = start(
            &folder,
            kind,
            silent.local_addr().unwrap(),
            "'slow'",
            "deny",
        );
        let second: SocketAddr = server.event()["address"].as_str().unwrap().parse().unwrap();
        let mut asks = sends(server.address(), 5, "a");
        until(&server, "asking", 1);
        let mut waits = sends(server.address(), 5, "b");
        until(&server, "waiting", 1);
        for (level, reason) in [(5, "0x89"), (4, "3")] {
            let mut refused = sends(server.address(), level, "c");
            refused.expect(&format!("CONNACK reason={reason}")).unwrap();
        }
        assert_eq!(read(&server, "total{step=\"slow\",result=\"busy\"}"), 2);
        let mut other = sends(second, 5, "d");
        other.expect("CONNACK reason=0").unwrap();
        // SQL would connect anew until its time is over.
        if kind != "sql" {
            drop(silent);
            for peer in [&mut asks, &mut waits] {
                peer.expect("CONNACK reason=0x88").unwrap();
            }
            until(&server, "asking", 0);
            until(&server, "waiting", 0);
            assert_eq!(read(&server, "total{step=\"slow\",result=\"down\"}"), 2);
        }
    }
}

#[test]
fn with_ignore_the_next_step_is_asked_instead() {
    for kind in KINDS {
        let folder = folder(&format!("crowds_ignore_{kind}"));
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let server = start(&folder, kind, address, "'slow', 'passwords'", "ignore");
        let _asks = sends(server.address(), 5, "a");
        until(&server, "asking", 1);
        let _waits = sends(server.address(), 5, "b");
        until(&server, "waiting", 1);
        let mut third = sends(server.address(), 5, "c");
        third.expect("CONNACK reason=0").unwrap();
    }
}
