//! The store's work in rows: blocks of messages, an index of them by stream in larger strokes, a
//! cursor of a session, and sweeps of what the cursor has passed.

use std::ops::ControlFlow;

use crate::engines::{Change, Engine, Outcome};

/// Bytes of a block before another is begun (`BLOCK_BYTES` of the store).
const BLOCK: usize = 16_200;
/// What a message has around its payload in a block: frame, number, stream, topic, times.
const AROUND: usize = 66;
/// Messages whose index is kept in memory before it goes into rows (`TAIL_ENTRIES`).
const TAIL: u64 = 16_384;
/// Streams that messages are spread over.
const STREAMS: u64 = 100;
/// Messages between two sweeps, and as many stay behind the last one.
const SWEPT: u64 = 65_536;
/// Rows that a sweep takes away in one transaction (`ROWS`).
const ROWS: usize = 256;
/// Bytes that may wait unsynced (`UNSYNCED_BYTES`).
const UNSYNCED: usize = 8 << 20;

/// A log in an engine.
pub(crate) struct Log {
    engine: Box<dyn Engine>,
    bytes: usize,
    next: u64,
    /// Where the index in rows ends.
    indexed: u64,
    /// Up to here all is swept.
    floor: u64,
    noise: u64,
    unsynced: usize,
}

impl Log {
    /// An empty one, of messages with payloads of so many bytes.
    pub(crate) fn new(engine: Box<dyn Engine>, bytes: usize) -> Self {
        Self {
            engine,
            bytes,
            next: 1,
            indexed: 0,
            floor: 0,
            noise: 0x9e37_79b9_7f4a_7c15,
            unsynced: 0,
        }
    }

    /// Rows of so many messages more, to be committed.
    pub(crate) fn messages(&mut self, count: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let (mut first, mut block) = (self.next, Vec::with_capacity(BLOCK));
        for _ in 0..count {
            if !block.is_empty() && block.len() + AROUND + self.bytes > BLOCK {
                changes.push(sealed(key(b'B', &[first]), std::mem::take(&mut block)));
                first = self.next;
            }
            block.extend_from_slice(&self.next.to_be_bytes());
            self.fill(&mut block);
            self.next += 1;
        }
        changes.push(sealed(key(b'B', &[first]), block));
        if self.next - self.indexed > TAIL {
            self.fold(&mut changes);
        }
        let mut log = vec![0; 40];
        log[..8].copy_from_slice(&self.next.to_be_bytes());
        changes.push(sealed(key(b'M', &[0]), log));
        changes
    }

    /// One transaction of the publishers; unsynced ones are synced as often as the store does.
    pub(crate) fn commit(&mut self, changes: &[Change], sync: bool) -> Outcome<()> {
        let sync = sync || self.unsynced > UNSYNCED;
        let size = |(key, value): &Change| key.len() + value.as_ref().map_or(0, Vec::len);
        self.engine.commit(changes, sync)?;
        self.unsynced = match sync {
            true => 0,
            false => self.unsynced + changes.iter().map(size).sum::<usize>(),
        };
        Ok(())
    }

    /// So many messages come, and the session has had them.
    pub(crate) fn cycle(&mut self, count: u64) -> Outcome<()> {
        let mut changes = self.messages(count);
        let mut session = vec![7; 120];
        session[..8].copy_from_slice(&self.next.to_be_bytes());
        changes.push(sealed(key(b'S', &[1]), session));
        self.commit(&changes, false)?;
        match self.next - self.floor > 2 * SWEPT {
            true => self.sweep(),
            false => Ok(()),
        }
    }

    /// How many messages there are, each block read and checked.
    pub(crate) fn count(&self) -> Outcome<u64> {
        let (mut count, mut damaged) = (0, 0);
        let of_message = AROUND + self.bytes;
        self.engine.scan(b"B", b"C", &mut |key, value| {
            damaged += u64::from(!is_whole(key, value));
            count += ((value.len() - HEAD) / of_message) as u64;
            ControlFlow::Continue(())
        })?;
        match damaged {
            0 => Ok(count),
            _ => Err(format!("{damaged} blocks are damaged").into()),
        }
    }

    /// The rest of a message: bytes that don't compress, as most that were compressed or encrypted.
    fn fill(&mut self, block: &mut Vec<u8>) {
        let end = block.len() + AROUND + self.bytes - 8;
        while block.len() < end {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            block.extend_from_slice(&self.noise.to_le_bytes());
        }
        block.truncate(end);
    }

    /// The index of the last messages goes into rows, one for each stream.
    fn fold(&mut self, changes: &mut Vec<Change>) {
        for stream in 0..STREAMS {
            let own = (self.indexed + 1..self.next).filter(|seq| seq % STREAMS == stream);
            // Rising numbers take one or two bytes each.
            let steps: Vec<u8> = own.flat_map(|_| [STREAMS as u8]).collect();
            let mut body = (self.next - 1).to_be_bytes().to_vec();
            body.extend_from_slice(&steps);
            changes.push(sealed(key(b'I', &[stream, self.indexed + 1]), body));
        }
        self.indexed = self.next - 1;
    }

    /// Takes away blocks and rows of the index that the cursor has passed.
    fn sweep(&mut self) -> Outcome<()> {
        let floor = self.next - SWEPT;
        let block_end = key(b'B', &[floor]);
        self.take(&key(b'B', &[self.floor]), &block_end, |_, value| {
            value.len() > HEAD
        })?;
        self.take(b"I", b"J", |_, value| {
            let last = value[HEAD..HEAD + 8].try_into().map(u64::from_be_bytes);
            last.is_ok_and(|last| last < floor)
        })?;
        self.floor = floor;
        self.unsynced = 0;
        self.engine.commit(
            &[sealed(key(b'M', &[1]), floor.to_be_bytes().to_vec())],
            true,
        )
    }

    fn take(&self, from: &[u8], to: &[u8], goes: impl Fn(&[u8], &[u8]) -> bool) -> Outcome<()> {
        let mut from = from.to_vec();
        loop {
            let (mut changes, mut seen, mut next) = (Vec::new(), 0, None);
            self.engine.scan(&from, to, &mut |key, value| {
                if seen == ROWS {
                    next = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                seen += 1;
                if is_whole(key, value) && goes(key, value) {
                    changes.push((key.to_vec(), None));
                }
                ControlFlow::Continue(())
            })?;
            if !changes.is_empty() {
                self.engine.commit(&changes, false)?;
            }
            match next {
                Some(key) => from = key,
                None => return Ok(()),
            }
        }
    }
}

/// Bytes of a value before its body.
const HEAD: usize = 5;

fn sealed(key: Vec<u8>, body: Vec<u8>) -> Change {
    let mut value = vec![1, 0, 0, 0, 0];
    value.extend_from_slice(&body);
    value[1..HEAD].copy_from_slice(&checksum(&key, &body).to_le_bytes());
    (key, Some(value))
}

fn is_whole(key: &[u8], value: &[u8]) -> bool {
    value.len() >= HEAD && value[1..HEAD] == checksum(key, &value[HEAD..]).to_le_bytes()
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

fn key(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = vec![kind];
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}
