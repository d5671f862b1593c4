//! What idle connections cost in memory, measured from the outside: the only test of its process.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use support::{ANY_PORT, start, until};
use ternmq_broker::{Broker, Config};
use ternmq_transport::Stream;

/// Bytes of user space per idle connection, session included.
const GATE: usize = 1_024;

/// Bytes of user space per idle connection in process, where both ends of the pipe are ours.
const GATE_IN_PROCESS: usize = 1_024;

/// Connections in process that are on their way in at the same time; divides their number.
const AT_ONCE: usize = 100;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<usize>().ok())
        .expect("RssAnon")
        * 1024
}

fn connect_packet(n: usize) -> Vec<u8> {
    let id = format!("device-{n:08}");
    let mut packet = vec![
        0x10,
        12 + id.len() as u8,
        0,
        4,
        b'M',
        b'Q',
        b'T',
        b'T',
        4,
        2,
        0,
        60,
    ];
    packet.extend([0, id.len() as u8]);
    packet.extend(id.bytes());
    packet
}

#[test]
fn idle_connections_are_cheap() {
    let per_socket = over_sockets(500, 5_000);
    let per_pipe = in_process(1_000, 50_000);
    println!("bytes per idle connection: {per_socket} over TCP, {per_pipe} in process");
    assert!(per_socket <= GATE, "{per_socket} bytes over TCP");
    assert!(per_pipe <= GATE_IN_PROCESS, "{per_pipe} bytes in process");
}

/// Bytes per connection of the `count` after the first `warm` ones.
fn over_sockets(warm: usize, count: usize) -> usize {
    let broker = start(Config::listen(ANY_PORT));
    let address = broker.local_addrs()[0];
    let mut sockets: Vec<TcpStream> = Vec::with_capacity(warm + count);
    let mut before = 0;
    for n in 0..warm + count {
        if n == warm {
            before = resident();
        }
        let mut socket = TcpStream::connect(address).expect("a connection");
        socket.write_all(&connect_packet(n)).expect("sent");
        socket.read_exact(&mut [0; 4]).expect("CONNACK");
        sockets.push(socket);
    }
    (resident() - before) / count
}

fn in_process(warm: usize, count: usize) -> usize {
    let broker = start(Config::default());
    let mut streams: Vec<Stream> = Vec::with_capacity(warm + count);
    let mut before = 0;
    for n in 0..warm + count {
        if n == warm {
            before = resident();
        }
        let mut stream = broker.connect();
        let packet = connect_packet(n);
        let written = stream.write_vectored(&[std::io::IoSlice::new(&packet)]);
        assert_eq!(written.expect("written"), packet.len());
        streams.push(stream);
        // A broker that lags would be measured with what it has yet to read.
        if (n + 1) % AT_ONCE == 0 {
            until(&broker, |stats| stats.mqtt.connects == n as u64 + 1);
            for stream in &mut streams[n + 1 - AT_ONCE..] {
                await_connack(&broker, stream);
            }
        }
    }
    (resident() - before) / count
}

/// A connect is counted a moment before its CONNACK is written.
fn await_connack(broker: &Broker, stream: &mut Stream) {
    let mut has_come = || match stream.read(&mut [0; 8]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        read => {
            assert_eq!(read.expect("CONNACK"), 4);
            true
        }
    };
    if !has_come() {
        until(broker, |_| has_come());
    }
}
