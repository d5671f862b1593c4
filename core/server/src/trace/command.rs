//! The command's side.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::pcapng::{self, HEAD, Kind};
use super::{MAX_BYTES, MAX_SECONDS, Wanted};
use crate::background::{NOT_RUNNING, Which};
use crate::control;
use crate::pid_file::{self, Found};

/// What somebody who traces wants to know.
const HELP: &str = "\
Wireshark takes port 1883 for MQTT; for another one it has to be told:
  wireshark -d tcp.port==8883,mqtt FILE
As it comes: ternmq trace -i ID -o - | wireshark -k -i -

Exit status:
  0  the trace is whole
  1  there is none, or its end is missing
  2  the command line is wrong
  3  there is no server that runs";

/// Options of `ternmq trace`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    which: Which,
    /// The client: connections that it has, and those that it makes meanwhile, refused ones among them
    #[arg(short = 'i', long, value_name = "ID")]
    client: String,
    /// Write pcapng there, readable by its owner alone; a file that is there already is left; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// For so long, or until Ctrl-C
    #[arg(long, default_value_t = 60, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    seconds: u64,
    /// The most that the file may hold
    #[arg(long, default_value_t = 16 << 20, value_name = "N",
        value_parser = clap::value_parser!(u64).range(4096..=MAX_BYTES))]
    bytes: u64,
}

/// What was written.
#[derive(Default)]
struct Sum {
    packets: u64,
    bytes: u64,
    /// `None` until the end has come.
    missing: Option<u64>,
}

/// Writes down what goes over the connections of a client.
pub(crate) fn run(args: &TraceArgs) -> Result<u8, String> {
    let path = args.which.pid_file();
    let Found::Running(_) = pid_file::look(&path)? else {
        anstream::eprintln!("not running");
        return Ok(NOT_RUNNING);
    };
    let wanted = Wanted {
        client_id: args.client.clone(),
        seconds: args.seconds,
        bytes: args.bytes,
    };
    let blocks = control::trace(&path, &wanted)?;
    let end = end_by_signals(blocks.get_ref());
    end.map_err(|error| format!("cannot wait for signals: {error}"))?;
    let sum = match args.output.as_os_str() == "-" {
        true => copy(blocks, &mut io::stdout().lock()),
        false => copy(blocks, &mut open(&args.output)?),
    };
    let sum = sum.map_err(|error| format!("cannot write {}: {error}", args.output.display()))?;
    let Some(missing) = sum.missing else {
        return Err(format!(
            "the server has ended meanwhile: {} packets are there",
            sum.packets
        ));
    };
    let missing = match missing {
        0 => String::new(),
        missing => {
            format!("; {missing} parts are missing, which came faster than they were written")
        }
    };
    anstream::eprintln!(
        "traced client {:?}: {} packets, {} bytes{missing}",
        args.client,
        sum.packets,
        sum.bytes
    );
    Ok(crate::SUCCESS)
}

/// Passes whole blocks on as they come, so that a file is never cut within one.
fn copy(mut blocks: impl Read, to: &mut impl Write) -> io::Result<Sum> {
    let mut sum = Sum::default();
    let mut block = Vec::new();
    loop {
        let mut head = [0; HEAD];
        if blocks.read_exact(&mut head).is_err() {
            return Ok(sum);
        }
        block.clear();
        block.extend_from_slice(&head);
        block.resize(pcapng::length(head).clamp(HEAD, MAX_BYTES as usize), 0);
        if blocks.read_exact(&mut block[HEAD..]).is_err() {
            return Ok(sum);
        }
        to.write_all(&block)?;
        to.flush()?;
        sum.bytes += block.len() as u64;
        match pcapng::kind(&block) {
            Kind::Packet => sum.packets += 1,
            Kind::Statistics(missing) => sum.missing = Some(missing),
            Kind::Other => {}
        }
    }
}

/// What clients say to each other is in it.
fn open(path: &Path) -> Result<std::fs::File, String> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The server is told that no more is wanted, and sends the end.
fn end_by_signals(stream: &UnixStream) -> io::Result<()> {
    let stream = stream.try_clone()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    Ok(())
}
