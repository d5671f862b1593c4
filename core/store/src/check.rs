//! Looking at a store: whether it is whole, and what is in it.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use ternmq_protocol::broker::durable::StreamKey;
use ternmq_protocol::broker::record::{DelayedRecord, SubscriptionRecord, decode_message};
use ternmq_protocol::time::Clock;

use crate::block::Block;
use crate::engine::{Flow, View};
use crate::error::StoreError;
use crate::read;
use crate::row::{self, KINDS, kind};
use crate::store::Store;
use crate::watch::Stage;

/// Rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// How many.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Of them, those that can't be read.
    pub damaged: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Rows by their kind.
    pub kinds: BTreeMap<&'static str, Rows>,
    /// Messages in the log.
    pub messages: u64,
    /// Messages that can't be read.
    pub damaged_messages: u64,
    /// Entries of the index that lead to no message: those that went by a limit, or are lost.
    pub dangling: u64,
    /// Copies of sessions whose message is not there.
    pub lost_copies: u64,
}

impl Check {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged_messages == 0
            && self.lost_copies == 0
            && self.kinds.values().all(|rows| rows.damaged == 0)
    }
}

impl Store {
    /// Reads everything. What is damaged is set aside with the next commit, as when somebody had
    /// come upon it.
    ///
    /// # Errors
    /// [`StoreError`], if the store can't be read at all.
    pub fn check(&self, clock: Clock) -> Result<Check, StoreError> {
        let view = self.engine.view()?;
        let mut check = Check::default();
        let mut pass = self.watch.begin(Stage::Reading, view.rows()?);
        let (mut damaged, mut seqs) = (Vec::new(), HashSet::new());
        for (letter, name) in KINDS {
            let mut rows = Rows::default();
            let mut sessions = Vec::new();
            view.scan(&[letter], &row::end(&[letter]), |key, value| {
                pass.step(1);
                rows.rows += 1;
                rows.bytes += (key.len() + value.len()) as u64;
                let whole = match letter {
                    kind::BLOCK => check.block(key, value, clock, &mut seqs),
                    kind::INDEX => check.index(key, value, &seqs),
                    kind::SESSION => {
                        sessions.push((key.to_vec(), value.to_vec()));
                        true
                    }
                    _ => describe(key, value, clock).is_some(),
                };
                if !whole {
                    rows.damaged += 1;
                    damaged.push(key.to_vec());
                }
                Flow::Continue(())
            })?;
            for (key, value) in sessions {
                match read::read_session(&view, &key, &value, clock)? {
                    Some(record) => check.lost_copies += record.lost as u64,
                    None => {
                        rows.damaged += 1;
                        damaged.push(key);
                    }
                }
            }
            check.kinds.insert(name, rows);
        }
        self.damaged(damaged);
        Ok(check)
    }

    /// Writes a line for each row: its kind, its key, and what it says, in words and numbers. What
    /// clients have said is shown by its length alone.
    ///
    /// # Errors
    /// [`StoreError`], also that of `out`.
    pub fn dump(&self, clock: Clock, out: &mut dyn Write) -> Result<(), StoreError> {
        let view = self.engine.view()?;
        let mut failed: Option<io::Error> = None;
        let mut pass = self.watch.begin(Stage::Reading, view.rows()?);
        for (letter, name) in KINDS {
            view.scan(&[letter], &row::end(&[letter]), |key, value| {
                pass.step(1);
                let line = match letter {
                    kind::SESSION => describe_session(&view, key, value, clock),
                    _ => describe(key, value, clock),
                };
                let line = line.unwrap_or_else(|| {
                    format!("{} damaged: {} bytes", show(&key[1..]), value.len())
                });
                match writeln!(out, "{name} {line}") {
                    Ok(()) => Flow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        Flow::Break(())
                    }
                }
            })?;
        }
        match failed {
            Some(error) => Err(StoreError::Io("write the lines".into(), error)),
            None => Ok(()),
        }
    }
}

impl Check {
    fn block(&mut self, key: &[u8], value: &[u8], clock: Clock, seqs: &mut HashSet<u64>) -> bool {
        let Ok(block) = Block::new(value) else {
            return false;
        };
        let mut read = 0;
        for record in block.records() {
            if decode_message(record.body, clock).is_ok() {
                read += 1;
                seqs.insert(record.seq);
            }
        }
        let lost = block.count().map_or(1, |count| count.saturating_sub(read));
        self.messages += read as u64;
        self.damaged_messages += lost as u64;
        lost == 0 && block.first() == row::number(key, 1)
    }

    fn index(&mut self, key: &[u8], value: &[u8], seqs: &HashSet<u64>) -> bool {
        row::unseal(key, value).is_ok_and(|body| {
            row::rising(body, |seq| {
                self.dangling += u64::from(!seqs.contains(&seq));
                true
            })
        })
    }
}

fn show(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row in words; `None` if it is damaged.
fn describe(key: &[u8], value: &[u8], clock: Clock) -> Option<String> {
    let numbers = |body: &[u8]| {
        let mut all = Vec::new();
        row::rising(body, |seq| {
            all.push(seq);
            true
        })
        .then_some(all)
    };
    let body = || row::unseal(key, value).ok();
    let name = show(&key[1..]);
    Some(match key[0] {
        kind::BLOCK => {
            let block = Block::new(value).ok()?;
            let records = block.records().count();
            let (first, written) = (row::number(key, 1)?, block.written());
            format!(
                "{first}: {records} messages, {} bytes, written {written}",
                value.len()
            )
        }
        kind::INDEX | kind::DONE => {
            let seqs = numbers(body()?)?;
            let (first, last) = (seqs.first()?, seqs.last()?);
            format!("{name}: {} messages, {first} to {last}", seqs.len())
        }
        kind::PASSED => format!("{name}: up to {}", row::take_number(&mut body()?)?),
        kind::META => format!(
            "{}: {} bytes",
            String::from_utf8_lossy(&key[1..]),
            body()?.len()
        ),
        kind::RETAINED => {
            let message = decode_message(body()?, clock).ok()?;
            format!("{:?}: {} bytes", message.topic(), message.payload().len())
        }
        kind::SUBSCRIPTION => {
            let one = SubscriptionRecord::read(body()?).ok()?;
            let stream = StreamKey::of(&one.filter).0;
            let (filter, qos, since) = (&one.filter, one.options.qos as u8, one.since);
            format!("{name}: {filter:?} QoS {qos} stream {stream:016x} since {since}")
        }
        kind::DELAYED => {
            let one = DelayedRecord::decode(body()?, clock).ok()?;
            let (topic, due) = (one.message.topic(), one.due.0);
            format!(
                "{name}: {topic:?} due {due}, {} bytes",
                one.message.payload().len()
            )
        }
        kind::DAMAGED => format!("{name}: {} bytes", value.len()),
        _ => format!("{name}: {} bytes", body()?.len()),
    })
}

fn describe_session(view: &View<'_>, key: &[u8], value: &[u8], clock: Clock) -> Option<String> {
    let one = read::read_session(view, key, value, clock).ok()??;
    Some(format!(
        "{}: {:?} revision {} cursor {} in flight {} queued {} received {}",
        show(&key[1..]),
        one.client_id,
        one.rev.0,
        one.cursor,
        one.in_flight.len(),
        one.queue.len(),
        one.received.len(),
    ))
}
