//! What commits and pages of a store cost on this machine:
//! `cargo run --release -p ternmq-store --example commit_cost FOLDER [COMMITS] [MESSAGES] [STREAMS]`.
//!
//! CPU is that of the process, from the kernel's books; the rest is the disk's.

use std::path::PathBuf;
use std::time::Instant;

use ternmq_protocol::Message;
use ternmq_protocol::broker::durable::{
    Append, Durability, ReadRequest, ReadTicket, StoreOp, StreamKey,
};
use ternmq_protocol::broker::record::NodeId;
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::time::{Clock, Time, UnixMs};
use ternmq_store::{Options, Store, Sync};

/// Microseconds of CPU that the process has used; the kernel counts in hundredths of a second.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (ticks(13).unwrap_or(0.0) + ticks(14).unwrap_or(0.0)) * 10_000.0
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or_default().replace([' ', '\t'], "")
}

fn main() {
    let mut words = std::env::args().skip(1);
    let folder = PathBuf::from(words.next().expect("a folder"));
    let mut number = |default| {
        words
            .next()
            .map_or(default, |word| word.parse().expect("a number"))
    };
    let (commits, messages, streams) = (number(500), number(500), number(100));
    let begun = Instant::now();
    let store = Store::open(&folder, &Options::default()).expect("a store");
    let file = store.file_bytes().expect("a disk");
    println!(
        "opened {} KiB in {:.3} s",
        file >> 10,
        begun.elapsed().as_secs_f64()
    );
    let owner = store.begin(NodeId(1)).expect("a disk");
    let clock = Clock::at(Time(1), UnixMs(1_800_000_000_000));
    let name = |n: u64| format!("device/{}", n % streams);
    let mut slowest = 0.0f64;
    let (mut cpu, mut wall) = (0.0, 0.0);
    for _ in 0..commits {
        let ops: Vec<StoreOp> = (0..messages)
            .map(|n| {
                let topic = name(n);
                let message = Message::new(
                    &topic,
                    &[b'x'; 64],
                    QoS::AtLeastOnce,
                    false,
                    Properties::EMPTY,
                    clock.now(),
                );
                StoreOp::Append(Append {
                    message: message.expect("a topic"),
                    streams: Box::new([StreamKey::of(&topic)]),
                    durability: Durability::Group,
                })
            })
            .collect();
        let (begun, used) = (Instant::now(), cpu_us());
        store.commit(owner, &ops, clock, Sync::Yes).expect("a disk");
        cpu += cpu_us() - used;
        wall += begun.elapsed().as_secs_f64();
        slowest = slowest.max(begun.elapsed().as_secs_f64());
    }
    let all = (commits * messages) as f64;
    println!(
        "{messages} messages of {streams} streams a commit: {:.0} messages/s, {:.2} us of CPU each, slowest commit {:.1} ms, {}",
        all / wall,
        cpu / all,
        slowest * 1e3,
        resident(),
    );
    read_all(&store, streams, clock);
}

/// The messages of one stream after the other.
fn read_all(store: &Store, streams: u64, clock: Clock) {
    let name = |n: u64| format!("device/{n}");
    let (begun, used) = (Instant::now(), cpu_us());
    let (mut read, mut pages) = (0, 0u64);
    for stream in 0..streams {
        let mut after = 0;
        while after < store.head() {
            let request = ReadRequest {
                ticket: ReadTicket {
                    session: 0,
                    group: false,
                    serial: 0,
                    turn: 0,
                },
                streams: Box::new([(StreamKey::of(&name(stream)), 0)]),
                after,
                undone: false,
                messages: 256,
                bytes: 1 << 20,
                count_to: 0,
            };
            let page = store.read(&request, clock).expect("a disk");
            after = page.reached;
            read += page.messages.len();
            pages += 1;
        }
    }
    println!(
        "{read} messages in {pages} pages: {:.0} messages/s, {:.2} us of CPU each, {}",
        read as f64 / begun.elapsed().as_secs_f64(),
        (cpu_us() - used) / read as f64,
        resident(),
    );
}
