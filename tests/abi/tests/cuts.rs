//! Connections that break off at each byte, servers that go mad, and what is too large for MQTT: nothing
//! that was accepted is lost.
#![allow(missing_docs)]

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

/// Stands between the clients and the server, and cuts the second of every three connections; each time
/// one byte later.
struct Scissors {
    address: SocketAddr,
    connections: Arc<Mutex<usize>>,
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Scissors {
    fn start(server: SocketAddr, cut: Cut) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(Mutex::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let (counter, flag) = (connections.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if flag.load(Ordering::Acquire) {
                    return;
                }
                let mut count = counter.lock().expect("the counter");
                let number = *count;
                *count += 1;
                drop(count);
                let cut = (number % 3 == 1).then_some((cut, number / 3));
                relay(client, TcpStream::connect(server).expect("the server"), cut);
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
        *self.connections.lock().expect("the counter")
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
fn relay(client: TcpStream, server: TcpStream, cut: Option<(Cut, usize)>) {
    let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (to_client, to_server) = match cut {
        Some((Cut::ToClient, after)) => (Some((after, Vec::new())), None),
        Some((Cut::ToServer, after)) => (None, Some((after, Vec::new()))),
        // CONNACK ends with the byte before; before MQTT 5.0 it has four, and later ones come in its place.
        Some((Cut::Garbage, first)) => (Some((4, vec![first as u8, 2, 0xff, 0xff])), None),
        None => (None, None),
    };
    let (from, to) = (clone(&server), clone(&client));
    std::thread::spawn(move || pass(from, to, to_client));
    std::thread::spawn(move || pass(client, server, to_server));
}

/// One direction: `limit` is how many bytes pass, and what comes instead of the others.
fn pass(mut from: TcpStream, mut to: TcpStream, limit: Option<(usize, Vec<u8>)>) {
    let mut buffer = [0; 4096];
    let (mut left, last) = limit.unwrap_or((usize::MAX, Vec::new()));
    while left > 0 {
        let Ok(count @ 1..) = from.read(&mut buffer) else {
            break;
        };
        let passing = count.min(left);
        left -= passing;
        if to.write_all(&buffer[..passing]).is_err() {
            break;
        }
    }
    // Who is cut off notices by the end of the stream; nothing can be done where it has gone already.
    let _ = to.write_all(&last);
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
