//! Connections that break off at each byte, servers that fall silent or go mad, and what is too large for MQTT: nothing
//! that was accepted is lost.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ternmq_broker::{Broker, Config};
use ternmq_test_abi::{Scratch, compiler, installed_library, output, root};

/// How a connection is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// After so many bytes to the client.
    ToClient,
    /// After so many bytes to the server.
    ToServer,
    /// Behind CONNACK comes a packet that begins with this byte, and the end.
    Garbage,
    /// After so many bytes to the client the server falls silent.
    Stall,
    /// After so many bytes to the client they are others.
    Spoil,
}

impl Cut {
    /// The last argument of the program.
    fn manner(self) -> Option<&'static str> {
        match self {
            Self::Stall => Some("stall"),
            Self::Spoil => Some("spoil"),
            Self::ToClient | Self::ToServer | Self::Garbage => None,
        }
    }
}

#[test]
fn blocking_clients_survive_a_cut_at_each_byte_from_the_server() {
    // More than a connection has, so that the last ones are whole.
    survive("paho-mqtt3c", &[], Cut::ToClient, 90);
}

#[test]
fn blocking_clients_survive_a_cut_at_each_byte_to_the_server() {
    survive("paho-mqtt3c", &[], Cut::ToServer, 130);
}

#[test]
fn blocking_clients_survive_garbage_of_each_kind() {
    survive("paho-mqtt3c", &[], Cut::Garbage, 256);
}

#[test]
fn async_clients_survive_a_cut_at_each_byte_from_the_server() {
    survive("paho-mqtt3a", &["-DASYNC"], Cut::ToClient, 90);
}

#[test]
fn async_clients_survive_a_cut_at_each_byte_to_the_server() {
    survive("paho-mqtt3a", &["-DASYNC"], Cut::ToServer, 130);
}

#[test]
fn async_clients_survive_garbage_of_each_kind() {
    survive("paho-mqtt3a", &["-DASYNC"], Cut::Garbage, 256);
}

#[test]
fn blocking_clients_survive_a_server_that_falls_silent_at_each_byte() {
    survive("paho-mqtt3c", &[], Cut::Stall, 90);
}

#[test]
fn blocking_clients_survive_a_server_that_raves_from_each_byte_on() {
    survive("paho-mqtt3c", &[], Cut::Spoil, 90);
}

#[test]
fn async_clients_survive_a_server_that_falls_silent_at_each_byte() {
    survive("paho-mqtt3a", &["-DASYNC"], Cut::Stall, 90);
}

#[test]
fn async_clients_survive_a_server_that_raves_from_each_byte_on() {
    survive("paho-mqtt3a", &["-DASYNC"], Cut::Spoil, 90);
}

/// Both versions, with so many cuts each.
fn survive(name: &str, flags: &[&str], cut: Cut, cuts: usize) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, "cuts", &ours, name, flags);
    for version in ["4", "5"] {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let broker = Broker::start(Config::listen(address)).expect("a broker");
        let scissors = Scissors::start(broker.local_addrs()[0], cut);
        output(
            Command::new("timeout")
                .arg("120")
                .arg(&program)
                .arg(format!("tcp://{}", scissors.address))
                .args([version, &cuts.to_string()])
                .args(cut.manner())
                .env("LD_LIBRARY_PATH", ours.path("")),
        );
        assert_eq!(scissors.connections(), 3 * cuts, "connections");
        drop(scissors);
        broker.stop().expect("the broker ends well");
    }
}

#[test]
fn blocking_clients_refuse_what_is_too_large_and_go_on() {
    refuse("paho-mqtt3c", &[]);
}

#[test]
fn async_clients_refuse_what_is_too_large_and_go_on() {
    refuse("paho-mqtt3a", &["-DASYNC"]);
}

fn refuse(name: &str, flags: &[&str]) {
    let (ours, folder) = (installed_library(), Scratch::new());
    let program = build(&folder, "large", &ours, name, flags);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = Broker::start(Config::listen(address)).expect("a broker");
    output(
        Command::new("timeout")
            .arg("60")
            .arg(program)
            .arg(format!("tcp://{}", broker.local_addrs()[0]))
            .env("LD_LIBRARY_PATH", ours.path("")),
    );
    broker.stop().expect("the broker ends well");
}

/// Builds one of the programs that are for both APIs.
fn build(folder: &Scratch, program: &str, ours: &Scratch, name: &str, flags: &[&str]) -> PathBuf {
    let binary = folder.path(program);
    output(
        compiler()
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags)
            .arg(root().join(format!("tests/abi/programs/{program}.c")))
            .arg("-L")
            .arg(ours.path(""))
            .arg(format!("-l{name}"))
            .arg("-o")
            .arg(&binary),
    );
    binary
}

/// Stands between the clients and the server, and cuts the second of the three connections of each client,
/// as many bytes later as its name says.
struct Scissors {
    address: SocketAddr,
    connections: Arc<Mutex<BTreeMap<usize, usize>>>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scissors {
    fn start(server: SocketAddr, cut: Cut) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(Mutex::new(BTreeMap::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (counters, flag) = (connections.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::Acquire) {
                    return;
                }
                let counters = counters.clone();
                std::thread::spawn(move || relay(client, server, &counters, cut));
            }
        });
        Self {
            address,
            connections,
            ended,
            thread: Some(thread),
        }
    }

    fn connections(&self) -> usize {
        self.connections
            .lock()
            .expect("the counters")
            .values()
            .sum()
    }
}

impl Drop for Scissors {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the thread; without a connection it has ended already.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Passes bytes on both ways until one side ends, or the cut comes.
fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    counters: &Mutex<BTreeMap<usize, usize>>,
    cut: Cut,
) {
    // CONNECT comes in one piece, and has the name.
    let mut connect = [0; 4096];
    let length = client.peek(&mut connect).expect("a CONNECT");
    let connect = String::from_utf8_lossy(&connect[..length]).into_owned();
    let (_, name) = connect.split_once("cut").expect("a client's name");
    let digits = name.find(|c: char| !c.is_ascii_digit());
    let number: usize = name[..digits.unwrap_or(name.len())]
        .parse()
        .expect("a number");
    let mut counters = counters.lock().expect("the counters");
    let count = counters.entry(number).or_default();
    *count += 1;
    let cut = (*count == 2).then_some((cut, number));
    drop(counters);
    let mut server = TcpStream::connect(server).expect("the server");
    let whole = || Limit(usize::MAX, End::Close(Vec::new()));
    let close = |last| End::Close(last);
    let (to_client, to_server) = match cut {
        Some((Cut::ToClient, after)) => (Limit(after, close(Vec::new())), whole()),
        Some((Cut::ToServer, after)) => (whole(), Limit(after, close(Vec::new()))),
        // CONNACK ends with the byte before; before MQTT 5.0 it has four, and later ones come in its place.
        Some((Cut::Garbage, first)) => (Limit(4, close(vec![first as u8, 2, 0xff, 0xff])), whole()),
        Some((Cut::Stall, after)) => (Limit(after, End::Silence), whole()),
        Some((Cut::Spoil, after)) => (Limit(after, End::Rave), whole()),
        None => (whole(), whole()),
    };
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (mut from, mut to) = (clone(&server), clone(&client));
    let other = std::thread::spawn(move || pass(&mut from, &mut to, to_client));
    pass(&mut client, &mut server, to_server);
    other.join().expect("it does not panic");
}

/// How many bytes pass, and what comes then.
struct Limit(usize, End);

enum End {
    /// These bytes, and the end.
    Close(Vec<u8>),
    /// Nothing, while the connection stays open.
    Silence,
    /// The same number of other bytes.
    Rave,
}

/// One direction.
fn pass(from: &mut TcpStream, to: &mut TcpStream, Limit(mut left, end): Limit) {
    let mut buffer = [0; 4096];
    while left > 0 || !matches!(end, End::Close(_)) {
        let Ok(count @ 1..) = from.read(&mut buffer) else {
            break;
        };
        let passing = count.min(left);
        left -= passing;
        buffer[passing..count].fill(0xff);
        let passing = if matches!(end, End::Rave) {
            count
        } else {
            passing
        };
        if to.write_all(&buffer[..passing]).is_err() {
            break;
        }
    }
    // Who is cut off notices by the end of the stream; nothing can be done where it has gone already.
    if let End::Close(last) = end {
        let _ = to.write_all(&last);
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
