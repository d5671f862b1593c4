//! A file that keeps what a client publishes with QoS 1 and 2 until the server has it.

mod disk;
mod record;
mod status;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use ternmq_protocol::broker::record::decode_message;
use ternmq_protocol::client::{Event, Progress, Stored, Token};
use ternmq_protocol::time::{Clock, UnixMs};
use ternmq_protocol::{Message, Time};

use crate::clock;
use crate::link::{Journal, Name};
use disk::{Disk, Storage};
use record::{DONE, MAGIC, RELEASED, SENT, STARTED, WAITS, message_record, step_record, walk};
pub use status::{Damage, OutboxStatus};

/// Records of what is done with are left in the file until it is larger than this, and more than twice
/// what it would be without them. Also the most bytes of steps that wait for a disk that takes nothing.
const SLACK: u64 = 1 << 20;

/// How an outbox keeps what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxOptions {
    /// A publish returns when its record is on stable storage, so that it survives a loss of power too,
    /// and PUBREL leaves when that is known of its PUBREC.
    ///
    /// Each of these waits for the disk, one after the other, under the lock of the client: with a slow
    /// disk that is most of the time of a publish, and the IO thread, which all clients of the process
    /// share, waits along.
    pub sync: bool,
}

/// An outbox in a file. One client uses it at a time; the file is locked.
///
/// What was taken is in the file before the publish returns, so it survives the end of the process, also
/// by `kill -9`. It is not synced unless the [options](OutboxOptions) say so: when the machine loses its
/// power, the last seconds may be lost. The messages come back with their Packet Identifiers, so with a
/// session that the server has kept QoS 2 stays exactly once.
///
/// How much it holds is limited by the session's [outbox](ternmq_protocol::client::Options) and window.
/// The file is at most 1 MiB larger than twice that: it is rewritten then.
///
/// A disk that is full, or fails, has publishes refused; what was taken before stays, and later ones are
/// taken again when the disk does. [`status`](Self::status) tells of it.
pub struct FileOutbox {
    disk: Box<dyn Storage>,
    path: PathBuf,
    sync: bool,
    len: u64,
    /// Bytes of the records of what is not done.
    live: u64,
    /// The file is rewritten when it gets larger than this.
    tidy_at: u64,
    /// The end of the file can't be relied on: it is rewritten before anything is added.
    torn: bool,
    /// Steps that could not be written. They go before what is written next.
    late: Vec<u8>,
    entries: HashMap<u16, Entry>,
    /// Counts what was sent or began to wait.
    order: u64,
    status: Arc<OutboxStatus>,
}

struct Entry {
    state: State,
    message: Message,
    order: u64,
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Released,
    Sent,
    Waits,
}

impl FileOutbox {
    /// Opens a file, or makes one, and returns what is in it, in the order in which
    /// [`ClientSession::restore`](ternmq_protocol::client::ClientSession::restore) wants it.
    ///
    /// A record that was cut off at the end of the file was not accepted, and goes. Records that are
    /// damaged are left out: the file is copied to its name with `.damaged` first, and
    /// [`OutboxStatus::damage`] tells of it. What was in them is lost, or comes twice.
    ///
    /// # Errors
    /// The file can't be read or written, is used by another client, or is none of an outbox.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Stored>)> {
        Self::open_with(path, OutboxOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, options: OutboxOptions) -> io::Result<(Self, Vec<Stored>)> {
        let disk = Disk::open(path, options.sync)?;
        Self::open_in(Box::new(disk), path, options)
    }

    /// What there is to know of the outbox, also while a client has it.
    pub fn status(&self) -> Arc<OutboxStatus> {
        self.status.clone()
    }

    /// Records that could not be written after their message had been taken, see
    /// [`OutboxStatus::failed_writes`].
    pub fn failed_writes(&self) -> u64 {
        self.status.failed_writes()
    }

    /// Messages that are kept.
    pub fn kept(&self) -> usize {
        self.entries.len()
    }

    fn open_in(
        disk: Box<dyn Storage>,
        path: &Path,
        options: OutboxOptions,
    ) -> io::Result<(Self, Vec<Stored>)> {
        let mut outbox = Self {
            disk,
            path: path.to_owned(),
            sync: options.sync,
            len: 0,
            live: 0,
            tidy_at: SLACK,
            torn: false,
            late: Vec::new(),
            entries: HashMap::new(),
            order: 0,
            status: Arc::default(),
        };
        outbox.take_over()?;
        outbox.status.keeps(outbox.entries.len());
        let stored = outbox.stored();
        Ok((outbox, stored))
    }

    /// Takes over what the file says, and leaves it with that and nothing else.
    fn take_over(&mut self) -> io::Result<()> {
        let bytes = self.disk.read()?;
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            self.disk.truncate(0)?;
            self.disk.append(MAGIC)?;
            self.len = MAGIC.len() as u64;
        } else {
            let begins_well = check_magic(&bytes)?;
            let clock = present();
            let mut walk = walk(&bytes, |kind, id, rest| self.apply(kind, id, rest, clock));
            self.len = walk.len as u64;
            walk.damaged += usize::from(!begins_well);
            if walk.damaged > 0 {
                let copy = self.disk.set_aside()?;
                self.rewrite()?;
                self.status.is_damaged(walk.damaged, copy);
            } else {
                self.disk.truncate(self.len)?;
            }
        }
        match self.sync {
            true => self.disk.sync(),
            false => Ok(()),
        }
    }

    /// Takes over a record; whether it can be understood.
    fn apply(&mut self, kind: u8, id: u16, rest: &[u8], clock: Clock) -> bool {
        let state = match kind {
            WAITS => State::Waits,
            SENT => State::Sent,
            _ => {
                self.step(id, kind);
                return true;
            }
        };
        let bytes = (record::MESSAGE_HEAD + rest.len()) as u64;
        let message = decode_message(rest, clock);
        let is_one = message.is_ok() && id != 0;
        if let (Ok(message), true) = (message, is_one) {
            self.insert(id, state, message, bytes);
        }
        is_one
    }

    fn insert(&mut self, id: u16, state: State, message: Message, bytes: u64) {
        self.remove(id);
        self.live += bytes;
        let entry = Entry {
            state,
            message,
            order: self.next(),
            bytes,
        };
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: u16) -> bool {
        let removed = self.entries.remove(&id);
        self.live -= removed.as_ref().map_or(0, |entry| entry.bytes);
        removed.is_some()
    }

    /// True when it concerns something that is kept.
    fn step(&mut self, id: u16, kind: u8) -> bool {
        if kind == DONE {
            return self.remove(id);
        }
        let order = self.next();
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        entry.state = match kind {
            STARTED => {
                entry.order = order;
                State::Sent
            }
            _ => State::Released,
        };
        true
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// What is kept: what was sent in the order of sending, then what waits.
    fn sorted(&self) -> Vec<(u16, &Entry)> {
        let mut all: Vec<_> = self.entries.iter().map(|(id, e)| (*id, e)).collect();
        all.sort_by_key(|(_, entry)| (entry.state == State::Waits, entry.order));
        all
    }

    fn stored(&self) -> Vec<Stored> {
        let entries = self.sorted().into_iter();
        entries
            .map(|(packet_id, entry)| match entry.state {
                State::Released => Stored::Pubrel { packet_id },
                state => Stored::Publish {
                    packet_id,
                    message: entry.message.clone(),
                    sent: state == State::Sent,
                },
            })
            .collect()
    }

    /// Writes a record, behind those that are late, and syncs if that is asked for. After an error it is
    /// not there.
    fn append(&mut self, record: &[u8], sync: bool) -> io::Result<()> {
        if self.torn {
            self.rewrite()?;
        }
        let joined = [&self.late[..], record].concat();
        if let Err(error) = self.disk.append(&joined) {
            // Half a record would be damage in front of the next one.
            self.torn = self.disk.truncate(self.len).is_err();
            return Err(error);
        }
        if sync && let Err(error) = self.disk.sync() {
            // What is in the file and what is on the disk may differ from here on.
            self.torn = true;
            let _ = self.disk.truncate(self.len);
            return Err(error);
        }
        self.len += joined.len() as u64;
        self.late.clear();
        Ok(())
    }

    fn note_step(&mut self, id: u16, kind: u8) {
        if !self.step(id, kind) {
            return;
        }
        self.status.keeps(self.entries.len());
        // Without the other steps a message is sent again, and the server knows it by its identifier.
        let sync = self.sync && kind == RELEASED;
        let record = step_record(kind, id);
        if let Err(error) = self.append(&record, sync) {
            self.status.failed_write(&error);
            self.late.extend(record);
            if self.late.len() as u64 > SLACK {
                // All of them are in what is kept.
                (self.torn, self.late) = (true, Vec::new());
            }
        } else if self.len > self.tidy_at.max(SLACK + 2 * self.live) {
            // In vain: it is as it was, and tried again when it has grown.
            self.tidy_at = match self.rewrite() {
                Ok(()) => SLACK,
                Err(_) => self.len + SLACK,
            };
        }
    }

    /// Writes what is kept into a new file, which takes the place of this one at once or not at all.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        let clock = present();
        for (id, entry) in self.sorted() {
            let kind = if entry.state == State::Waits {
                WAITS
            } else {
                SENT
            };
            bytes.extend(message_record(kind, id, &entry.message, clock));
            if entry.state == State::Released {
                bytes.extend(step_record(RELEASED, id));
            }
        }
        self.disk.replace(&bytes)?;
        self.len = bytes.len() as u64;
        self.late.clear();
        // Which of the two files is there after a loss of power is not known before this.
        self.torn = self.sync;
        if self.sync {
            self.disk.sync_name()?;
            self.torn = false;
        }
        Ok(())
    }
}

impl Journal for FileOutbox {
    fn keep(&mut self, _: Time, name: Name, message: &Message) -> bool {
        if name.packet_id == 0 {
            return true; // QoS 0 is not kept, and nobody relies on it
        }
        let (kind, state) = match name.waits {
            true => (WAITS, State::Waits),
            false => (SENT, State::Sent),
        };
        let record = message_record(kind, name.packet_id, message, present());
        if let Err(error) = self.append(&record, self.sync) {
            self.status.refused(&error);
            return false;
        }
        let bytes = record.len() as u64;
        self.insert(name.packet_id, state, message.clone(), bytes);
        self.status.keeps(self.entries.len());
        true
    }

    fn withdraw(&mut self, name: Name) {
        self.note_step(name.packet_id, DONE);
    }

    fn note(&mut self, _: Time, event: &Event) {
        match event {
            Event::Progress(Progress::Started(Token(id))) => self.note_step(*id, STARTED),
            Event::Progress(Progress::Released(Token(id))) => self.note_step(*id, RELEASED),
            Event::Published { token, .. } | Event::Dropped { token, .. } => {
                self.note_step(token.0, DONE);
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for FileOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FileOutbox").field(&self.path).finish()
    }
}

/// Whether a file begins as it should; not when its beginning was not stored and what is behind it was.
fn check_magic(bytes: &[u8]) -> io::Result<bool> {
    const VERSION: usize = MAGIC.len() - 2;
    let error = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    let Some((first, _)) = bytes.split_first_chunk() else {
        return error("this is no outbox");
    };
    let (mut written, last) = (first.iter().zip(MAGIC), VERSION + 1);
    if first == MAGIC {
        Ok(true)
    } else if written.all(|(is, should_be)| is == should_be || *is == 0) {
        Ok(false)
    } else if first[..VERSION] == MAGIC[..VERSION] && first[last] == MAGIC[last] {
        error("a newer version has written this outbox")
    } else {
        error("this is no outbox")
    }
}

fn present() -> Clock {
    let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let utc = utc.map_or(0, |since| since.as_millis() as u64);
    Clock::at(clock::now(), UnixMs(utc))
}

#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
