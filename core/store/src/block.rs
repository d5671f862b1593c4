//! Blocks: messages that follow each other in the log, with the streams of each.
//!
//! All numbers but those in records have their lowest byte first.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version of blocks, 1 |
//! | 3 | zeros |
//! | 4 | how many messages |
//! | 8 | number of the first one |
//! | 8 | when the block was written, milliseconds since 1970 |
//! | | the messages |
//! | 8 each | the table: where each message begins; its number less that of the first |
//! | 4 | checksum of the first 24 bytes and of the table |
//!
//! A message is a checksum of all that follows of it, the length of that, its number, the number of
//! its streams (2 bytes), the streams (8 bytes each), and its record. So a damaged message costs no
//! other; with a damaged table the messages are found by their checksums.

use ternmq_protocol::broker::durable::StreamKey;

/// The version of blocks.
pub const BLOCK_VERSION: u8 = 1;

/// Bytes of a block before another is begun: together with what the engine puts around it, it fits
/// into 16 KiB, which is what has to be read for one message of it.
pub const BLOCK_BYTES: usize = 16_200;

/// Bytes before the messages.
const HEAD: usize = 24;

/// Bytes of a message before its streams.
const RECORD_HEAD: usize = 18;

/// Of them, the checksum and the length.
const FRAME: usize = 8;

/// A block that is being written.
#[derive(Clone, Debug)]
pub struct BlockWriter {
    bytes: Vec<u8>,
    table: Vec<u8>,
    first: u64,
    count: u32,
    refs: u64,
}

impl BlockWriter {
    /// An empty block whose first message is to have this number.
    #[must_use]
    pub fn new(first: u64, written: u64) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(&[BLOCK_VERSION, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&written.to_le_bytes());
        Self {
            bytes,
            table: Vec::new(),
            first,
            count: 0,
            refs: 0,
        }
    }

    /// Appends a message, whose number is higher than those before it; `write` appends its record.
    /// False, and nothing appended, when a block can't hold it.
    #[must_use]
    pub fn push(
        &mut self,
        seq: u64,
        streams: &[StreamKey],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let at = self.bytes.len();
        let distance = u32::try_from(seq.wrapping_sub(self.first));
        let (Ok(begins), Ok(distance), Ok(number)) =
            (u32::try_from(at), distance, u16::try_from(streams.len()))
        else {
            return false;
        };
        self.bytes.extend_from_slice(&[0; FRAME]);
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&number.to_le_bytes());
        for stream in streams {
            self.bytes.extend_from_slice(&stream.0.to_be_bytes());
        }
        write(&mut self.bytes);
        let Ok(len) = u32::try_from(self.bytes.len() - at - FRAME) else {
            self.bytes.truncate(at);
            return false;
        };
        self.bytes[at + 4..at + FRAME].copy_from_slice(&len.to_le_bytes());
        let checksum = crc32fast::hash(&self.bytes[at + 4..]);
        self.bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        self.table.extend_from_slice(&begins.to_le_bytes());
        self.table.extend_from_slice(&distance.to_le_bytes());
        self.count += 1;
        self.refs += u64::from(number);
        true
    }

    /// Bytes that it takes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.table.len() + 4
    }

    /// Whether it has no messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The number of its first message.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The block.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        let checksum = table_checksum(&self.bytes[..HEAD], &self.table);
        self.bytes.extend_from_slice(&self.table);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

/// A block as it was written, whole or damaged.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    bytes: &'a [u8],
    /// The table, if its checksum is right.
    table: Option<&'a [u8]>,
}

/// A message of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRecord<'a> {
    /// Its number.
    pub seq: u64,
    streams: &'a [u8],
    /// The message's record.
    pub body: &'a [u8],
}

impl<'a> BlockRecord<'a> {
    /// Its streams.
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> + use<'a> {
        let keys = self.streams.chunks_exact(8);
        keys.map(|key| StreamKey(u64::from_be_bytes(key.try_into().unwrap_or_default())))
    }

    /// Bytes that it takes in its block.
    #[must_use]
    pub fn len(&self) -> usize {
        RECORD_HEAD + self.streams.len() + self.body.len()
    }

    /// Whether it has no bytes, which can't be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl<'a> Block<'a> {
    /// Looks at a block. `Err` with a version that this program does not know, if the checksum says
    /// that it is one.
    ///
    /// # Errors
    /// The version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, u8> {
        let table = table(bytes);
        match (table, bytes.first()) {
            (Some(_), Some(version)) if *version != BLOCK_VERSION => Err(*version),
            _ => Ok(Self { bytes, table }),
        }
    }

    /// Whether the table and what stands before the messages is as it was written.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// The number of the first message that was written into it; `None` if that can't be read.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.table.map(|_| word(self.bytes, 8))
    }

    /// When it was written; 0 if that can't be read.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.table.map_or(0, |_| word(self.bytes, 16))
    }

    /// The message of this number, if it is there and undamaged.
    #[must_use]
    pub fn find(&self, seq: u64) -> Option<BlockRecord<'a>> {
        let Some(table) = self.table else {
            return self.scan().find(|record| record.seq == seq);
        };
        let entry = self.entry(table, seq)?;
        let record = self.record(half(entry, 0) as usize)?;
        (record.seq == seq).then_some(record)
    }

    /// Whether a message of this number was written into it, readable or not.
    #[must_use]
    pub fn holds(&self, seq: u64) -> bool {
        match self.table {
            Some(table) => self.entry(table, seq).is_some(),
            None => self.find(seq).is_some(),
        }
    }

    /// The messages that can be read, in their order.
    pub fn records(&self) -> impl Iterator<Item = BlockRecord<'a>> + use<'a> {
        let this = *self;
        let listed = self.table.into_iter().flat_map(move |table| {
            let starts = table.chunks_exact(8);
            starts.filter_map(move |entry| this.record(half(entry, 0) as usize))
        });
        let scanned = self.table.is_none().then(|| self.scan());
        listed.chain(scanned.into_iter().flatten())
    }

    /// How many messages were written into it; `None` if that can't be read.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.table.map(|table| table.len() / 8)
    }

    /// The place of a message in the table.
    fn entry(&self, table: &'a [u8], seq: u64) -> Option<&'a [u8]> {
        let distance = u32::try_from(seq.checked_sub(word(self.bytes, 8))?).ok()?;
        let (mut low, mut high) = (0, table.len() / 8);
        while low < high {
            let middle = low + (high - low) / 2;
            match half(table, middle * 8 + 4) < distance {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let entry = table.get(low * 8..low * 8 + 8)?;
        (half(entry, 4) == distance).then_some(entry)
    }

    /// Messages found by their checksums alone.
    fn scan(self) -> impl Iterator<Item = BlockRecord<'a>> + use<'a> {
        let mut at = HEAD;
        std::iter::from_fn(move || {
            while at + RECORD_HEAD <= self.bytes.len() {
                if let Some(record) = self.record(at) {
                    at += record.len();
                    return Some(record);
                }
                at += 1;
            }
            None
        })
    }

    /// The message that begins here.
    fn record(&self, at: usize) -> Option<BlockRecord<'a>> {
        let bytes = self.bytes.get(at..)?;
        let head = bytes.first_chunk::<RECORD_HEAD>()?;
        let len = half(head, 4) as usize;
        let framed = bytes.get(4..FRAME.checked_add(len)?)?;
        let number = usize::from(u16::from_le_bytes([head[16], head[17]]));
        let rest = framed.get(RECORD_HEAD - 4..)?;
        let (streams, body) = rest.split_at_checked(number * 8)?;
        (crc32fast::hash(framed) == half(head, 0)).then_some(BlockRecord {
            seq: word(head, 8),
            streams,
            body,
        })
    }
}

/// The table of a block, if its checksum is right.
fn table(bytes: &[u8]) -> Option<&[u8]> {
    let (rest, checksum) = bytes.split_last_chunk::<4>()?;
    let (head, rest) = rest.split_at_checked(HEAD)?;
    let len = (half(head, 4) as usize).checked_mul(8)?;
    let table = &rest[rest.len().checked_sub(len)?..];
    (table_checksum(head, table) == u32::from_le_bytes(*checksum)).then_some(table)
}

fn table_checksum(head: &[u8], table: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(head);
    hash.update(table);
    hash.finalize()
}

fn half(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once released it never changes: a new version gets a file of its own, and this one must still
    /// be read. `TERNMQ_WRITE_GOLDEN=1` writes one that is missing.
    const GOLDEN: &str = "src/golden/block-v1.bin";

    /// Numbers with a gap, as a block has them that was written again without some.
    const SEQS: [u64; 4] = [70_000, 70_001, 70_005, 70_006];

    fn streams(seq: u64) -> Vec<StreamKey> {
        (0..seq % 3 + 1).map(|n| StreamKey(seq << 8 | n)).collect()
    }

    fn body(seq: u64) -> Vec<u8> {
        vec![seq as u8; seq as usize % 7 * 5]
    }

    fn block() -> Vec<u8> {
        let mut block = BlockWriter::new(SEQS[0], 1_800_000_000_000);
        for seq in SEQS {
            let body = body(seq);
            assert!(block.push(seq, &streams(seq), |out| out.extend_from_slice(&body)));
        }
        let len = block.len();
        let block = block.finish();
        assert_eq!(block.len(), len);
        block
    }

    fn check(bytes: &[u8]) {
        let block = Block::new(bytes).unwrap();
        assert!(block.has_table());
        assert_eq!(block.count(), Some(4));
        assert_eq!(block.written(), 1_800_000_000_000);
        let seqs: Vec<u64> = block.records().map(|record| record.seq).collect();
        assert_eq!(seqs, SEQS);
        for seq in 69_990..70_020 {
            let Some(record) = block.find(seq) else {
                assert!(!SEQS.contains(&seq));
                continue;
            };
            assert_eq!(record.seq, seq);
            assert_eq!(record.body, body(seq));
            assert_eq!(record.streams().collect::<Vec<_>>(), streams(seq));
        }
    }

    #[test]
    fn blocks_are_what_they_were() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
        if !path.exists() && std::env::var_os("TERNMQ_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, block()).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        check(&golden);
        assert_eq!(block(), golden);
    }

    #[test]
    fn a_flipped_bit_costs_one_message_at_most() {
        let whole = block();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let block = Block::new(&bytes).unwrap();
            let listed = block.records().inspect(|record| {
                assert_eq!(record.body, body(record.seq));
                assert_eq!(record.streams().collect::<Vec<_>>(), streams(record.seq));
            });
            let found = SEQS.iter().filter(|seq| block.find(**seq).is_some());
            assert!(listed.count() >= 3, "bit {bit}");
            assert!(found.count() >= 3, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = block();
        bytes[0] = 2;
        assert!(!Block::new(&bytes).unwrap().has_table());
        let table = bytes.len() - 4 - SEQS.len() * 8;
        let checksum = table_checksum(&bytes[..HEAD], &bytes[table..bytes.len() - 4]);
        let end = bytes.len() - 4;
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Block::new(&bytes).unwrap_err(), 2);
    }
}
