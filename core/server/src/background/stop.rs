//! `ternmq stop`.

use std::io::{self, IsTerminal, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::Which;
use crate::control::{self, Stop as How};
use crate::pid_file::{self, Found};

/// How often it is told who is still there.
const PROGRESS: Duration = Duration::from_secs(1);

/// What a script wants to know.
const STATUSES: &str = "\
Exit status:
  0  it has ended, or did not run
  1  it runs still, or can't be reached
  2  the command line is wrong";

/// Options of `ternmq stop`.
#[derive(Args, Debug)]
#[command(after_help = STATUSES)]
pub(crate) struct Stop {
    #[command(flatten)]
    which: Which,
    /// Let go of all clients first, at the `drain_rate` and with the `server_reference` of the configuration
    #[arg(long)]
    drain: bool,
    /// Seconds to wait for its end
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u32,
}

/// Stops a server, and waits until its process has ended.
pub(crate) fn run(args: &Stop) -> Result<u8, String> {
    let path = args.which.pid_file();
    let Found::Running(pid) = pid_file::look(&path)? else {
        anstream::eprintln!("not running");
        return Ok(crate::SUCCESS);
    };
    let how = match args.drain {
        true => How::Drain,
        false => How::Now,
    };
    let until = Instant::now() + Duration::from_secs(args.timeout.into());
    let ending = match control::stop(&path, how) {
        Ok(ending) => ending,
        Err(_) if pid_file::look(&path)? != Found::Running(pid) => return Ok(ended(pid)),
        Err(error) => {
            return Err(format!(
                "pid {pid}: {error}; `kill {pid}` is a way to end it"
            ));
        }
    };
    let told = io::stderr().is_terminal();
    while !has_ended(&ending, until).map_err(|error| error.to_string())? {
        if Instant::now() >= until {
            let seconds = args.timeout;
            return Err(format!(
                "pid {pid} runs still after {seconds} s{}; `kill -9 {pid}` ends it at once",
                left(&path)
            ));
        }
        if told {
            anstream::eprintln!("stopping: pid {pid}{}", left(&path));
        }
    }
    Ok(ended(pid))
}

fn ended(pid: u32) -> u8 {
    anstream::eprintln!("stopped: pid {pid}");
    crate::SUCCESS
}

/// Waits for a moment for the end of the process, which is that of its socket.
fn has_ended(mut ending: &UnixStream, until: Instant) -> io::Result<bool> {
    let left = until.saturating_duration_since(Instant::now());
    ending.set_read_timeout(Some(left.clamp(Duration::from_millis(1), PROGRESS)))?;
    match ending.read(&mut [0]) {
        Ok(read) => Ok(read == 0),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(false)
            }
            io::ErrorKind::ConnectionReset => Ok(true),
            _ => Err(error),
        },
    }
}

/// Who is still there, if it says.
fn left(pid_file: &Path) -> String {
    match control::status(pid_file) {
        Ok(status) => match status["clients"].as_u64() {
            Some(clients) => format!(", {clients} clients left"),
            None => String::new(),
        },
        Err(_) => String::new(),
    }
}
