//! The thread that writes the lines.

use std::io::{self, Stderr, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written. Beyond them, when nobody reads, new ones are lost and counted.
const WAITING: usize = 8_192;

/// How long the end of the process waits for whoever should read.
const FLUSH: Duration = Duration::from_secs(2);

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The way to it.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(out: Stderr) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        thread::Builder::new()
            .name("ternmq-log".into())
            .spawn(move || run(&waiting, &counter, out))?;
        Ok(Self { jobs, lost })
    }

    /// Waits until what was written so far is out, for a while.
    pub(super) fn flush(&self) {
        let (done, over) = sync_channel(1);
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            // Later than that nobody reads it.
            let _ = over.recv_timeout(FLUSH);
        }
    }
}

fn run(jobs: &Receiver<Job>, lost: &AtomicU64, mut out: Stderr) {
    for job in jobs {
        match job {
            // A closed standard error is no reason for a server to stop.
            Job::Line(line) => drop(out.write_all(&line)),
            Job::Flush(done) => {
                let _ = done.try_send(());
            }
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(out, "{lost} lines of the log were lost: nobody read it");
        }
    }
}

/// One line: handed over when it is whole.
pub(super) struct Line {
    writer: Writer,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.bytes);
        if !line.is_empty() && self.writer.jobs.try_send(Job::Line(line)).is_err() {
            self.writer.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            writer: self.clone(),
            bytes: Vec::new(),
        }
    }
}
