//! The stage in memory.

use ternmq_protocol::broker::Limits;
use ternmq_test_sim::Bench;

use crate::script::Setting;
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// Shards in virtual time.
pub struct Memory {
    bench: Bench,
}

impl Memory {
    /// A broker with these settings; the seed decides about all that is up to chance. `traced` keeps
    /// the last lines of what happens.
    ///
    /// # Errors
    /// A setting that it doesn't know.
    pub fn new(seed: u64, settings: &[Setting], traced: bool) -> Result<Self, String> {
        let mut limits = Limits {
            retained_page: 2,
            ..Limits::default()
        };
        for setting in settings {
            apply(setting, &mut limits)?;
        }
        Ok(Self {
            bench: Bench::new(seed, limits, traced),
        })
    }

    /// The last lines of what happened.
    #[must_use]
    pub fn trace(&self) -> String {
        self.bench.trace()
    }
}

/// The keys of `[limits]` in the server's configuration file that scripts use.
fn apply(setting: &Setting, limits: &mut Limits) -> Result<(), String> {
    let Setting { key, value } = setting;
    let small = u16::try_from(*value).unwrap_or(u16::MAX);
    let whole = u32::try_from(*value).unwrap_or(u32::MAX);
    let size = usize::try_from(*value).unwrap_or(usize::MAX);
    match key.as_str() {
        "sessions" => limits.sessions = size,
        "connect_timeout" => limits.connect_timeout_ms = value * 1_000,
        "keep_alive" => limits.keep_alive = small,
        "packet_size" => limits.packet_size = whole,
        "inflight" => limits.inflight = small,
        "queue_messages" => limits.queue.items = size,
        "queue_bytes" => limits.queue.bytes = size,
        "receive_maximum" => limits.receive_maximum = small,
        "session_expiry" => limits.session_expiry = whole,
        "subscriptions" => limits.subscriptions = size,
        _ => return Err(format!("the stage in memory knows no setting {key}")),
    }
    Ok(())
}

impl Stage for Memory {
    fn connect(&mut self) -> Result<usize, String> {
        Ok(self.bench.connect())
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), String> {
        self.bench.send(conn, bytes);
        Ok(())
    }

    fn receive(&mut self, conn: usize, most_ms: u64) -> Result<Arrival, String> {
        self.bench.receive(conn, most_ms)
    }

    fn cut(&mut self, conn: usize) {
        self.bench.cut(conn);
    }

    fn cut_and_wait(&mut self, conn: usize) -> Result<(), String> {
        self.bench.cut(conn);
        match self.bench.sees_end(conn, PATIENCE_MS)? {
            true => Ok(()),
            false => Err("the broker never closed the connection".into()),
        }
    }

    fn stop_sending(&mut self, conn: usize) {
        self.bench.stop_sending(conn);
    }

    fn pass(&mut self, ms: u64) -> Result<(), String> {
        self.bench.pass(ms)
    }

    fn now_ms(&self) -> u64 {
        self.bench.now_ms()
    }
}
