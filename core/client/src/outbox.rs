//! A file that keeps what a client publishes with QoS 1 and 2 until the server has it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ternmq_protocol::broker::record::{decode_message, encode_message};
use ternmq_protocol::client::{Event, Progress, Stored, Token};
use ternmq_protocol::time::{Clock, UnixMs};
use ternmq_protocol::{Message, Time};

use crate::clock;
use crate::link::{Journal, Name};

/// The first bytes of the file.
const MAGIC: &[u8; 8] = b"TernMQ\x01\n";

/// Bytes before a record's body: its length and checksum, the lowest byte first.
const HEAD: usize = 8;

/// Records of what is done with are left in the file until it is larger than this, and more than twice
/// what it would be without them.
const SLACK: u64 = 1 << 20;

/// What a record says of a Packet Identifier: the first byte of its body, before the identifier.
const WAITS: u8 = 1;
const SENT: u8 = 2;
const STARTED: u8 = 3;
const RELEASED: u8 = 4;
const DONE: u8 = 5;

/// An outbox in a file. One client uses it at a time; the file is locked.
///
/// What was taken is in the file before the publish returns, so it survives the end of the process, also
/// by `kill -9`. It is not synced: when the machine loses its power, the last seconds may be lost.
/// The messages come back with their Packet Identifiers, so with a session that the server has kept
/// QoS 2 stays exactly once.
///
/// How much it holds is limited by the session's [outbox](ternmq_protocol::client::Options) and window.
/// The file is at most 1 MiB larger than twice that: it is rewritten then.
pub struct FileOutbox {
    path: PathBuf,
    file: File,
    len: u64,
    /// Bytes of the records of what is not done.
    live: u64,
    entries: HashMap<u16, Entry>,
    /// Counts what was sent or began to wait.
    order: u64,
    failed_writes: u64,
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
    /// # Errors
    /// The file can't be read or written, is used by another client, or is damaged. A record that was
    /// cut off at the end of the file is no damage: it was not accepted.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Stored>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        lock(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut outbox = Self {
            path: path.to_owned(),
            file,
            len: 0,
            live: 0,
            entries: HashMap::new(),
            order: 0,
            failed_writes: 0,
        };
        let read = match bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            true => outbox.begin()?,
            false => outbox.read(&bytes)?,
        };
        outbox.len = read as u64;
        if read < bytes.len() {
            outbox.file.set_len(outbox.len)?;
        }
        outbox.file.seek(SeekFrom::Start(outbox.len))?;
        let stored = outbox.stored();
        Ok((outbox, stored))
    }

    /// Records that could not be written after their message had been taken. Each may make a message
    /// come twice after the next start.
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes
    }

    /// Messages that are kept.
    pub fn kept(&self) -> usize {
        self.entries.len()
    }

    fn begin(&mut self) -> io::Result<usize> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(MAGIC)?;
        Ok(MAGIC.len())
    }

    /// Takes over what the file says; how much of it is whole.
    fn read(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.starts_with(MAGIC) {
            return Err(damaged("this is no outbox"));
        }
        let clock = present();
        let mut at = MAGIC.len();
        while let Some(body) = record(&bytes[at..])? {
            self.apply(body, clock)?;
            at += HEAD + body.len();
        }
        Ok(at)
    }

    fn apply(&mut self, body: &[u8], clock: Clock) -> io::Result<()> {
        let [kind, high, low, rest @ ..] = body else {
            return Err(damaged("a record without a name"));
        };
        let id = u16::from_be_bytes([*high, *low]);
        let state = match *kind {
            WAITS => State::Waits,
            SENT => State::Sent,
            STARTED | RELEASED | DONE => {
                self.step(id, *kind);
                return Ok(());
            }
            _ => return Err(damaged("a record of an unknown kind")),
        };
        let message = decode_message(rest, clock)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.insert(id, state, message, (HEAD + body.len()) as u64);
        Ok(())
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

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(record) {
            // Half a record would be damage in front of the next one.
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            return Err(error);
        }
        self.len += record.len() as u64;
        Ok(())
    }

    fn note_step(&mut self, id: u16, kind: u8) {
        if !self.step(id, kind) {
            return;
        }
        let noted = self.append(&step_record(kind, id));
        let tidied = noted.and_then(|()| match self.len > SLACK + 2 * self.live {
            true => self.rewrite(),
            false => Ok(()),
        });
        self.failed_writes += u64::from(tidied.is_err());
    }

    /// Writes what is kept into a new file, which takes the place of this one at once or not at all.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
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
        let mut file = File::create(&name)?;
        lock(&file)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&name, &self.path)?;
        (self.file, self.len) = (file, bytes.len() as u64);
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
        if self.append(&record).is_err() {
            return false;
        }
        let bytes = record.len() as u64;
        self.insert(name.packet_id, state, message.clone(), bytes);
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

/// The body of the record at the beginning of `bytes`; `None` where it was cut off, or at the end.
fn record(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (len, wanted) = (word(0) as usize, word(4));
    let Some(body) = rest.get(..len) else {
        return Ok(None);
    };
    match crc32fast::hash(body) == wanted {
        true => Ok(Some(body)),
        // The system may have written the length of the last record, and not yet its bytes.
        false if rest.len() == len => Ok(None),
        false => Err(damaged("the checksum of a record is wrong")),
    }
}

fn message_record(kind: u8, id: u16, message: &Message, clock: Clock) -> Vec<u8> {
    framed(|body| {
        body.push(kind);
        body.extend(id.to_be_bytes());
        encode_message(message, clock, body);
    })
}

fn step_record(kind: u8, id: u16) -> Vec<u8> {
    framed(|body| {
        body.push(kind);
        body.extend(id.to_be_bytes());
    })
}

fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut record = vec![0; HEAD];
    write(&mut record);
    let (head, body) = record.split_at_mut(HEAD);
    // A packet of MQTT is shorter than 2^28 bytes.
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    record
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another client uses this outbox",
        ),
        TryLockError::Error(error) => error,
    })
}

fn present() -> Clock {
    let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let utc = utc.map_or(0, |since| since.as_millis() as u64);
    Clock::at(clock::now(), UnixMs(utc))
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ternmq_protocol::codec::{Properties, QoS};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("ternmq-outbox-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self) -> PathBuf {
            self.0.join("outbox")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn keep(outbox: &mut FileOutbox, packet_id: u16, payload: &[u8], waits: bool) {
        let qos = QoS::ExactlyOnce;
        let none = Properties::EMPTY;
        let message = Message::new("a/b", payload, qos, false, none, clock::now()).unwrap();
        let name = Name {
            packet_id,
            note: 0,
            waits,
        };
        assert!(outbox.keep(clock::now(), name, &message));
    }

    /// What was kept under an identifier: whether it was sent, and the payload; or only a PUBREL.
    type Kept<'a> = (u16, Option<(bool, &'a [u8])>);

    fn summary(stored: &[Stored]) -> Vec<Kept<'_>> {
        let each = stored.iter().map(|stored| match stored {
            Stored::Publish {
                packet_id,
                message,
                sent,
            } => (*packet_id, Some((*sent, message.payload()))),
            Stored::Pubrel { packet_id } => (*packet_id, None),
            Stored::Received { .. } => panic!("nothing that came in is kept"),
        });
        each.collect()
    }

    #[test]
    fn what_is_not_done_comes_back_in_its_order() {
        let folder = Folder::new("order");
        let (mut outbox, stored) = FileOutbox::open(&folder.file()).unwrap();
        assert!(stored.is_empty());
        keep(&mut outbox, 1, b"one", false);
        keep(&mut outbox, 2, b"two", false);
        keep(&mut outbox, 3, b"three", true);
        keep(&mut outbox, 4, b"four", true);
        outbox.note_step(4, STARTED);
        outbox.note_step(2, RELEASED);
        outbox.note_step(1, DONE);
        assert!(FileOutbox::open(&folder.file()).is_err(), "it is in use");
        drop(outbox);
        let (_, stored) = FileOutbox::open(&folder.file()).unwrap();
        let expected = [
            (2, None),
            (4, Some((true, &b"four"[..]))),
            (3, Some((false, &b"three"[..]))),
        ];
        assert_eq!(summary(&stored), expected);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_gives_what_is_whole() {
        let folder = Folder::new("cut");
        let (mut outbox, _) = FileOutbox::open(&folder.file()).unwrap();
        keep(&mut outbox, 1, b"one", false);
        let whole = outbox.len as usize;
        keep(&mut outbox, 2, b"two", false);
        drop(outbox);
        let bytes = std::fs::read(folder.file()).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(folder.file(), &bytes[..cut]).unwrap();
            let (mut outbox, stored) = FileOutbox::open(&folder.file()).unwrap();
            assert_eq!(stored.len(), usize::from(cut >= whole), "{cut}");
            keep(&mut outbox, 3, b"three", false);
            drop(outbox);
            let (_, again) = FileOutbox::open(&folder.file()).unwrap();
            assert_eq!(again.len(), stored.len() + 1, "{cut}");
        }
        let mut wrong = bytes.clone();
        wrong[MAGIC.len() + HEAD] ^= 1;
        std::fs::write(folder.file(), &wrong).unwrap();
        let error = FileOutbox::open(&folder.file()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        std::fs::write(folder.file(), b"something else").unwrap();
        assert!(FileOutbox::open(&folder.file()).is_err());
    }

    #[test]
    fn a_file_stays_small_however_much_goes_through_it() {
        let folder = Folder::new("small");
        let (mut outbox, _) = FileOutbox::open(&folder.file()).unwrap();
        keep(&mut outbox, 1, b"stays", false);
        outbox.note_step(1, RELEASED);
        let payload = [7; 1000];
        for _ in 0..5000 {
            keep(&mut outbox, 2, &payload, true);
            outbox.note_step(2, STARTED);
            outbox.note_step(2, DONE);
        }
        assert!(outbox.len < 2 * SLACK, "{}", outbox.len);
        assert_eq!((outbox.kept(), outbox.failed_writes()), (1, 0));
        assert!(FileOutbox::open(&folder.file()).is_err(), "it is in use");
        drop(outbox);
        let (_, stored) = FileOutbox::open(&folder.file()).unwrap();
        assert_eq!(summary(&stored), [(1, None)]);
    }
}
