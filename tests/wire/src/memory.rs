//! The stage in memory.

use ternmq_broker::Drain;
use ternmq_test_sim::Bench;

use crate::script::Config;
use crate::stage::{Arrival, PATIENCE_MS, Stage};

/// Shards in virtual time.
pub struct Memory {
    bench: Bench,
    drain: Drain,
}

impl Memory {
    /// A broker with this configuration; the seed decides about all that is up to chance. `traced` keeps
    /// the last lines of what happens.
    ///
    /// # Errors
    /// What of it needs more than shards.
    pub fn new(seed: u64, config: &Config, traced: bool) -> Result<Self, String> {
        let mut broker = config.read.broker.clone();
        broker.session.retained_page = 2;
        Ok(Self {
            bench: Bench::new(seed, &broker, traced)?,
            drain: config.read.drain.clone(),
        })
    }

    /// The last lines of what happened.
    #[must_use]
    pub fn trace(&self) -> String {
        self.bench.trace()
    }
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

    fn drain(&mut self) -> Result<(), String> {
        self.bench.drain(&self.drain)
    }

    fn restart(&mut self) -> Result<(), String> {
        Err("the broker in memory has no disk".into())
    }

    fn now_ms(&self) -> u64 {
        self.bench.now_ms()
    }
}
