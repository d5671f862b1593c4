//! Outboxes that sync, on a disk whose power fails and which fails itself.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ternmq_protocol::codec::{Properties, QoS};

use super::*;

/// A disk at any moment: what is read from it, and what is there without power.
#[derive(Clone, Default)]
struct Parts {
    cache: Vec<u8>,
    stored: Vec<u8>,
    /// What was done since then, in order.
    unsynced: Vec<Change>,
    /// What the name leads to without power, until it is synced.
    old: Option<Vec<u8>>,
    copies: usize,
    /// Calls until the power fails.
    calls_left: Option<u64>,
    /// How many of a thousand calls fail.
    failing: u64,
    random: u64,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Clone, Default)]
struct Fragile(Arc<Mutex<Parts>>);

impl Parts {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// Whether a call is carried out: not without power.
    fn call(&mut self) -> io::Result<()> {
        if self.calls_left == Some(0) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.calls_left = self.calls_left.map(|left| left - 1);
        Ok(())
    }

    fn fails(&mut self) -> bool {
        let failing = self.failing;
        self.random(1000) < failing
    }

    /// What is there when the power comes back: of what was not synced each change as a whole, a part of
    /// it, or nothing, whatever became of those before it.
    fn after_power_loss(&mut self) -> Vec<u8> {
        if let Some(old) = self.old.clone()
            && self.random(2) == 0
        {
            return old;
        }
        let mut bytes = self.stored.clone();
        for change in std::mem::take(&mut self.unsynced) {
            match (change, self.random(3)) {
                (_, 0) => {}
                (Change::Cut(len), _) => bytes.truncate(len),
                (Change::Write(at, written), kind) => {
                    let part = match kind {
                        1 => self.random(written.len() as u64) as usize,
                        _ => written.len(),
                    };
                    bytes.resize(bytes.len().max(at + written.len()), 0);
                    bytes[at..at + part].copy_from_slice(&written[..part]);
                }
            }
        }
        bytes
    }
}

impl Storage for Fragile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().cache.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        let (at, full) = (disk.cache.len(), disk.fails());
        let written = match full {
            true => &bytes[..disk.random(bytes.len() as u64) as usize],
            false => bytes,
        };
        disk.cache.extend(written);
        disk.unsynced.push(Change::Write(at, written.to_vec()));
        match full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        if disk.fails() {
            return Err(io::ErrorKind::Other.into());
        }
        disk.cache.truncate(len as usize);
        disk.unsynced.push(Change::Cut(len as usize));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        if disk.fails() {
            // As Linux does: what could not be written is not tried again.
            disk.unsynced.clear();
            return Err(io::Error::other("EIO"));
        }
        disk.stored = disk.stored.clone();
        for change in std::mem::take(&mut disk.unsynced) {
            match change {
                Change::Cut(len) => disk.stored.truncate(len),
                Change::Write(at, bytes) => {
                    let len = disk.stored.len().max(at + bytes.len());
                    disk.stored.resize(len, 0);
                    disk.stored[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        if disk.fails() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if disk.old.is_none() {
            disk.old = Some(disk.after_power_loss());
        }
        (disk.cache, disk.stored) = (bytes.to_vec(), bytes.to_vec());
        disk.unsynced.clear();
        Ok(())
    }

    fn sync_name(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        if disk.fails() {
            return Err(io::Error::other("EIO"));
        }
        disk.old = None;
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<PathBuf> {
        self.0.lock().unwrap().copies += 1;
        Ok(PathBuf::from("copy"))
    }
}

/// An outbox on a disk with these bytes.
pub(super) fn open(bytes: &[u8]) -> (FileOutbox, Vec<Stored>) {
    let disk = Fragile::default();
    disk.0.lock().unwrap().cache = bytes.to_vec();
    let options = OutboxOptions::default();
    FileOutbox::open_in(Box::new(disk), Path::new("outbox"), options).unwrap()
}

/// What was accepted under an identifier, and how far it has come.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Accepted {
    payload: Vec<u8>,
    released: bool,
    done: bool,
}

/// One life of a client after the other, each ended by a loss of power.
struct Lives {
    disk: Fragile,
    sync: bool,
    accepted: BTreeMap<u16, Accepted>,
    number: u64,
    lost: u64,
    twice: u64,
    refused: u64,
}

impl Lives {
    fn random(&self, below: u64) -> u64 {
        self.disk.0.lock().unwrap().random(below)
    }

    fn open(&self) -> io::Result<(FileOutbox, Vec<Stored>)> {
        let options = OutboxOptions { sync: self.sync };
        FileOutbox::open_in(Box::new(self.disk.clone()), Path::new("outbox"), options)
    }

    /// Does things until the power fails in the middle of one, or of nothing.
    fn live(&mut self, outbox: &mut FileOutbox) {
        let calls = self.random(80);
        self.disk.0.lock().unwrap().calls_left = Some(calls);
        while self.disk.0.lock().unwrap().calls_left != Some(0) {
            let id = 1 + self.random(6) as u16;
            match self.accepted.get(&id).cloned() {
                Some(known) if !known.done => self.go_on(outbox, id, known),
                _ => self.publish(outbox, id),
            }
        }
    }

    fn publish(&mut self, outbox: &mut FileOutbox, id: u16) {
        self.number += 1;
        let payload = self.number.to_string().repeat(1 + self.random(40) as usize);
        let (qos, none) = (QoS::ExactlyOnce, Properties::EMPTY);
        let message = Message::new("a", payload.as_bytes(), qos, false, none, clock::now());
        let name = Name {
            packet_id: id,
            note: 0,
            waits: self.random(2) == 0,
        };
        if outbox.keep(clock::now(), name, &message.unwrap()) {
            let accepted = Accepted {
                payload: payload.into_bytes(),
                released: false,
                done: false,
            };
            self.accepted.insert(id, accepted);
        } else {
            self.refused += 1;
        }
    }

    fn go_on(&mut self, outbox: &mut FileOutbox, id: u16, known: Accepted) {
        let failed = outbox.failed_writes();
        // What was released has begun before.
        let first = if known.released { 1 } else { 0 };
        let kind = [STARTED, RELEASED, DONE][first + self.random(3 - first as u64) as usize];
        outbox.note_step(id, kind);
        let known = Accepted {
            // What could not be stored may be forgotten, and has been told of.
            released: known.released || (kind == RELEASED && outbox.failed_writes() == failed),
            done: known.done || kind == DONE,
            ..known
        };
        self.accepted.insert(id, known);
    }

    /// The power comes back: compares what is there with what was accepted.
    fn wake(&mut self) -> FileOutbox {
        let mut disk = self.disk.0.lock().unwrap();
        let bytes = disk.after_power_loss();
        let failing = std::mem::take(&mut disk.failing);
        let fresh = Parts {
            cache: bytes.clone(),
            stored: bytes,
            random: disk.random,
            ..Parts::default()
        };
        *disk = fresh;
        drop(disk);
        let (outbox, stored) = self.open().expect("a file that a disk has left");
        self.disk.0.lock().unwrap().failing = failing;
        let mut there = BTreeMap::new();
        for stored in &stored {
            match stored {
                Stored::Pubrel { packet_id } => _ = there.insert(*packet_id, None),
                Stored::Publish {
                    packet_id, message, ..
                } => {
                    there.insert(*packet_id, Some(message.payload().to_vec()));
                }
                Stored::Received { .. } => {}
            }
        }
        for (id, accepted) in &self.accepted {
            match there.get(id) {
                None => self.lost += u64::from(!accepted.done),
                Some(None) => {}
                Some(Some(payload)) if *payload == accepted.payload => {
                    self.twice += u64::from(accepted.released);
                }
                // Another that was not accepted, and has come this far: the one before it must be done.
                Some(Some(_)) => self.lost += u64::from(!accepted.done),
            }
        }
        self.accepted = there
            .into_iter()
            .map(|(id, payload)| {
                let accepted = Accepted {
                    released: payload.is_none(),
                    payload: payload.unwrap_or_default(),
                    done: false,
                };
                (id, accepted)
            })
            .collect();
        outbox
    }
}

/// Lost, sent as new after its PUBREC, refused; of a few thousand losses of power.
fn losses(sync: bool, failing: u64) -> (u64, u64, u64) {
    let mut sums = (0, 0, 0);
    for seed in 1..=400 {
        let disk = Fragile::default();
        disk.0.lock().unwrap().random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed);
        let mut lives = Lives {
            disk,
            sync,
            accepted: BTreeMap::new(),
            number: 0,
            lost: 0,
            twice: 0,
            refused: 0,
        };
        let (mut outbox, _) = lives.open().unwrap();
        lives.disk.0.lock().unwrap().failing = failing;
        for _ in 0..8 {
            lives.live(&mut outbox);
            outbox = lives.wake();
        }
        sums.0 += lives.lost;
        sums.1 += lives.twice;
        sums.2 += lives.refused;
    }
    sums
}

#[test]
fn what_was_synced_survives_each_loss_of_power() {
    let (lost, twice, _) = losses(true, 0);
    assert_eq!((lost, twice), (0, 0));
    let (lost, twice, _) = losses(false, 0);
    assert!(lost > 100 && twice > 10, "unsynced: {lost} {twice}");
}

#[test]
fn a_disk_that_fails_now_and_then_loses_nothing_that_was_taken() {
    let (lost, twice, refused) = losses(true, 60);
    assert_eq!((lost, twice), (0, 0));
    assert!(refused > 1000, "{refused}");
}

#[test]
fn a_full_disk_refuses_and_tells_and_takes_again() {
    let disk = Fragile::default();
    disk.0.lock().unwrap().random = 1;
    let options = OutboxOptions { sync: true };
    let open = || FileOutbox::open_in(Box::new(disk.clone()), Path::new("outbox"), options);
    let (mut outbox, _) = open().unwrap();
    let message = |payload: &str| {
        let (qos, none) = (QoS::AtLeastOnce, Properties::EMPTY);
        Message::new("a", payload.as_bytes(), qos, false, none, clock::now()).unwrap()
    };
    let keep = |outbox: &mut FileOutbox, packet_id: u16, payload: &str| {
        let (note, waits) = (0, false);
        let name = Name {
            packet_id,
            note,
            waits,
        };
        outbox.keep(clock::now(), name, &message(payload))
    };
    assert!(keep(&mut outbox, 1, "one") && keep(&mut outbox, 2, "two"));
    disk.0.lock().unwrap().failing = 1000;
    assert!(!keep(&mut outbox, 3, "three") && !keep(&mut outbox, 4, "four"));
    outbox.note_step(1, DONE);
    let status = outbox.status();
    let counted = (status.kept(), status.refusals(), status.failed_writes());
    assert_eq!(counted, (1, 2, 1));
    assert!(status.last_error().is_some());
    disk.0.lock().unwrap().failing = 0;
    assert!(keep(&mut outbox, 5, "five"));
    drop(outbox);
    let (outbox, stored) = open().unwrap();
    assert_eq!((outbox.kept(), stored.len()), (2, 2));
    assert!(outbox.status().damage().is_none());
}
