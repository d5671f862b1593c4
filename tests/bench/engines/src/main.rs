//! What the store's work costs with one engine or the other; `README.md` has the words.

#![forbid(unsafe_code)]

mod engines;
mod log;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};

use engines::Outcome;
use log::Log;

const USAGE: &str = "ternmq-bench-engines redb|fjall|fjall-blobs FOLDER, then one of
  commit BYTES [COMMITS [MESSAGES]]   synced commits into a new folder, 2000 of 500 messages each
  fill MESSAGES                       fills a new folder with messages of 64 bytes, and ends without closing it
  recover                             opens what `fill` left, and reads all of it
  cycle MESSAGES                      messages of 64 bytes come and go, by 500, 65,536 to 131,072 stay;
                                      commits are not synced, sweeps are; ten lines
Each prints JSON.";

/// Messages of a transaction.
const BATCH: u64 = 500;
/// Bytes of a message's payload where nothing else is said.
const BYTES: usize = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [engine, folder, command, numbers @ ..] = &words[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(engine, &PathBuf::from(folder), command, numbers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(engine: &str, folder: &Path, command: &str, numbers: &[&str]) -> Outcome<()> {
    let numbers = numbers.iter().map(|word| word.parse::<u64>());
    let numbers = numbers.collect::<Result<Vec<u64>, _>>()?;
    match (command, &numbers[..]) {
        ("recover", []) => recover(engine, folder),
        ("recover", _) => Err(USAGE.into()),
        _ if folder.exists() => Err(format!("{} is there already", folder.display()).into()),
        ("commit", [bytes, rest @ ..]) => {
            let commits = rest.first().copied().unwrap_or(2000);
            let messages = rest.get(1).copied().unwrap_or(BATCH);
            commit(engine, folder, usize::try_from(*bytes)?, commits, messages)
        }
        ("fill", [messages]) => fill(engine, folder, *messages),
        ("cycle", [messages]) => cycle(engine, folder, *messages),
        _ => Err(USAGE.into()),
    }
}

fn commit(engine: &str, folder: &Path, bytes: usize, commits: u64, messages: u64) -> Outcome<()> {
    let mut log = Log::new(engines::open(engine, folder)?, bytes);
    let cost = Cost::begin(folder);
    let mut slowest = 0.0f64;
    for _ in 0..commits {
        let changes = log.messages(messages);
        let begun = Instant::now();
        log.commit(&changes, true)?;
        slowest = slowest.max(begun.elapsed().as_secs_f64());
    }
    let mut told = cost.told(commits * messages);
    told["slowest_commit_ms"] = (slowest * 1e3).into();
    told["commits_per_second"] = (commits as f64 / cost.begun.elapsed().as_secs_f64()).into();
    tell(&told)
}

fn fill(engine: &str, folder: &Path, messages: u64) -> Outcome<()> {
    let mut log = Log::new(engines::open(engine, folder)?, BYTES);
    let cost = Cost::begin(folder);
    let mut left = messages;
    while left > 0 {
        let some = left.min(BATCH);
        let changes = log.messages(some);
        left -= some;
        log.commit(&changes, left == 0)?;
    }
    tell(&cost.told(messages))?;
    // Nothing is closed, as after SIGKILL.
    std::process::exit(0)
}

fn recover(engine: &str, folder: &Path) -> Outcome<()> {
    let cost = Cost::begin(folder);
    let engine = engines::open(engine, folder)?;
    let open_s = cost.begun.elapsed().as_secs_f64();
    let open_cpu_s = cpu_s() - cost.cpu_s;
    let messages = Log::new(engine, BYTES).count()?;
    let mut told = cost.told(messages);
    told["open_seconds"] = open_s.into();
    told["open_cpu_seconds"] = open_cpu_s.into();
    tell(&told)
}

fn cycle(engine: &str, folder: &Path, messages: u64) -> Outcome<()> {
    let mut log = Log::new(engines::open(engine, folder)?, BYTES);
    let cost = Cost::begin(folder);
    let mut done = 0;
    for tenth in 1..=10 {
        while done < messages / 10 * tenth {
            log.cycle(BATCH)?;
            done += BATCH;
        }
        tell(&cost.told(done))?;
    }
    Ok(())
}

/// What was used since.
struct Cost<'a> {
    folder: &'a Path,
    begun: Instant,
    cpu_s: f64,
    written: u64,
}

impl<'a> Cost<'a> {
    fn begin(folder: &'a Path) -> Self {
        Self {
            folder,
            begun: Instant::now(),
            cpu_s: cpu_s(),
            written: number_of("/proc/self/io", "write_bytes:"),
        }
    }

    /// For so many messages.
    fn told(&self, messages: u64) -> Value {
        let (wall, cpu) = (self.begun.elapsed().as_secs_f64(), cpu_s() - self.cpu_s);
        json!({
            "messages": messages,
            "seconds": wall,
            "messages_per_second": messages as f64 / wall,
            "cpu_us_per_message": cpu * 1e6 / messages as f64,
            "written_bytes": number_of("/proc/self/io", "write_bytes:") - self.written,
            "disk_bytes": disk_bytes(self.folder),
            "peak_rss_kib": number_of("/proc/self/status", "VmHWM:"),
        })
    }
}

fn tell(told: &Value) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{told}")?)
}

/// CPU of all threads of the process.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number behind a name in one of the kernel's lists; 0 where there is none.
fn number_of(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the files of a folder take on the disk.
fn disk_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // The engine has removed it meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}
