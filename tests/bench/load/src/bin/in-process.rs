//! Very many idle clients of one broker in one process, where no limit of files holds: what each costs, both
//! ends counted, and whether all are alive.  in-process CONNECTIONS
#![forbid(unsafe_code)]

use std::fs;
use std::io::{ErrorKind, IoSlice};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use ternmq_broker::{Broker, Config};
use ternmq_protocol::ProtocolVersion::V3_1_1;
use ternmq_protocol::codec::{Connect, Packet};
use ternmq_transport::Stream;

/// Those that are on their way in at a time.
const AT_ONCE: usize = 100;

/// A broker that says nothing for so many looks is dead.
const PATIENCE: usize = 100_000_000;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), String> {
    match stream.write_vectored(&[IoSlice::new(bytes)]) {
        Ok(count) if count == bytes.len() => Ok(()),
        Ok(count) => Err(format!("only {count} bytes were taken")),
        Err(error) => Err(error.to_string()),
    }
}

/// Waits for so many bytes, and looks at the first.
fn expect(stream: &mut Stream, first: u8, length: usize) -> Result<(), String> {
    let mut bytes = [0; 8];
    for _ in 0..PATIENCE {
        match stream.read(&mut bytes) {
            Ok(count) if count == length && bytes[0] == first => return Ok(()),
            Ok(count) => return Err(format!("{:02x?} instead of {first:#04x}", &bytes[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("no answer".to_owned())
}

fn run(count: usize) -> Result<(), String> {
    let mut config = Config {
        shards: 1,
        ..Config::default()
    };
    config.limits.connections = count + 1000;
    let broker = Broker::start(config).map_err(|error| error.to_string())?;
    let mut streams: Vec<Stream> = Vec::with_capacity(count);
    let (before, begun) = (resident(), Instant::now());
    while streams.len() < count {
        let from = streams.len();
        for number in from..count.min(from + AT_ONCE) {
            let mut connect = Connect::new(V3_1_1, "");
            let id = format!("device-{number:08}");
            connect.client_id = &id;
            connect.keep_alive = 600;
            let mut packet = Vec::new();
            Packet::Connect(connect)
                .encode(V3_1_1, &mut packet)
                .map_err(|error| error.to_string())?;
            let mut stream = broker.connect();
            send(&mut stream, &packet)?;
            streams.push(stream);
        }
        streams[from..]
            .iter_mut()
            .try_for_each(|stream| expect(stream, 0x20, 4))?;
    }
    let connected = begun.elapsed().as_secs_f64();
    let each = (resident() - before) as f64 / count as f64;
    let begun = Instant::now();
    for some in streams.chunks_mut(1000) {
        some.iter_mut()
            .try_for_each(|stream| send(stream, &[0xc0, 0]))?;
        some.iter_mut()
            .try_for_each(|stream| expect(stream, 0xd0, 2))?;
    }
    let report = json!({
        "connections": count,
        "bytes_per_connection": each,
        "connecting_s": connected,
        "pings_per_s": count as f64 / begun.elapsed().as_secs_f64(),
    });
    println!("{report}");
    Ok(())
}

fn main() -> ExitCode {
    let Some(count) = std::env::args().nth(1).and_then(|word| word.parse().ok()) else {
        eprintln!("in-process CONNECTIONS");
        return ExitCode::FAILURE;
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("in-process: {why}");
            ExitCode::FAILURE
        }
    }
}
