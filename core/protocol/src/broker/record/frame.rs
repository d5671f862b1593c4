//! Frames: records one after the other in a file or a buffer, each with its name and a checksum.

use super::fields::{put, put_number, write_number};
use super::{
    Epoch, LogPos, NodeId, Owner, PARTITION_LEVELS, PARTITIONS, RECORD_VERSION, RecordError,
    SessKey, open, topic_partition,
};
use crate::time::UnixMs;

/// Begins each frame, so that a reader finds the next one behind damaged bytes.
pub const MARKER: [u8; 4] = [0xF7, b'T', b'M', 0x0A];

/// Bytes of a frame before its body: marker, kind, a zero, partition, name, length of the body,
/// checksum; numbers with the lowest byte first.
pub const FRAME_HEAD: usize = 32;

/// Largest body. What claims to be larger is damaged; what is, can't be written.
pub const MAX_BODY: usize = 512 << 20;

/// Where the checksum stands. It covers what is between the marker and itself, and the body.
const CHECKSUM_AT: usize = 28;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The first frame: a [`Start`].
    Start = 1,
    /// A message that sessions wait for, named by its [`LogPos`].
    Message = 2,
    /// A session, named by its [`SessKey`].
    Session = 3,
    /// The retained message of a topic.
    Retained = 4,
    /// A message that is to be published later.
    Delayed = 5,
    /// The last frame; its name holds how many came before it.
    End = 6,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Start,
            2 => Self::Message,
            3 => Self::Session,
            4 => Self::Retained,
            5 => Self::Delayed,
            6 => Self::End,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// The partition that it belongs to.
    pub partition: u16,
    /// What tells it from others of its kind.
    pub name: [u8; 16],
    /// A record.
    pub body: &'a [u8],
}

/// What [`Frame::split`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A frame, and how many bytes it takes.
    Whole(Frame<'a>, usize),
    /// The beginning of a frame that takes so many bytes, or more if that is [`FRAME_HEAD`].
    Needs(usize),
    /// No frame begins here; [`next_marker`] finds where the next one may.
    Damaged(&'static str),
}

impl<'a> Frame<'a> {
    /// The first frame.
    #[must_use]
    pub const fn start(body: &'a [u8]) -> Self {
        Self::unnamed(FrameKind::Start, 0, body)
    }

    /// The frame of a message.
    #[must_use]
    pub fn message(at: LogPos, body: &'a [u8]) -> Self {
        Self::unnamed(FrameKind::Message, at.partition, body).numbered(at.seq)
    }

    /// The frame of a session.
    #[must_use]
    pub const fn session(key: SessKey, body: &'a [u8]) -> Self {
        Self {
            kind: FrameKind::Session,
            partition: key.partition(),
            name: key.0,
            body,
        }
    }

    /// The frame of a topic's retained message.
    #[must_use]
    pub fn retained(topic: &str, body: &'a [u8]) -> Self {
        Self {
            kind: FrameKind::Retained,
            partition: topic_partition(topic),
            name: SessKey::new("", topic).0,
            body,
        }
    }

    /// The frame of a message that is to be published later, the `number`th of its broker.
    #[must_use]
    pub fn delayed(topic: &str, number: u64, body: &'a [u8]) -> Self {
        Self::unnamed(FrameKind::Delayed, topic_partition(topic), body).numbered(number)
    }

    /// The last frame, behind `count` others.
    #[must_use]
    pub fn end(count: u64) -> Frame<'static> {
        Frame::unnamed(FrameKind::End, 0, &[]).numbered(count)
    }

    /// Where the message of this frame stands, or how many frames came before the last.
    #[must_use]
    pub fn position(&self) -> LogPos {
        let mut seq = [0; 8];
        seq.copy_from_slice(&self.name[8..]);
        LogPos {
            partition: self.partition,
            seq: u64::from_be_bytes(seq),
        }
    }

    /// Appends the frame. False, and nothing appended, with a body beyond [`MAX_BODY`].
    #[must_use]
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        if self.body.len() > MAX_BODY {
            return false;
        }
        let len = self.body.len() as u32;
        let at = out.len();
        out.extend_from_slice(&MARKER);
        out.extend_from_slice(&[self.kind as u8, 0]);
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&len.to_le_bytes());
        let checksum = checksum(&out[at..], self.body);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(self.body);
        true
    }

    /// Looks at the beginning of `bytes`. Whoever reads from a file checks that a length in
    /// [`Found::Needs`] is not beyond its end before making room for it.
    #[must_use]
    pub fn split(bytes: &'a [u8]) -> Found<'a> {
        let present = bytes.len().min(MARKER.len());
        if bytes[..present] != MARKER[..present] {
            return Found::Damaged("no frame begins here");
        }
        let Some(head) = bytes.first_chunk::<FRAME_HEAD>() else {
            return Found::Needs(FRAME_HEAD);
        };
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, wanted) = (word(24) as usize, word(CHECKSUM_AT));
        if len > MAX_BODY {
            return Found::Damaged("a length beyond the limit");
        }
        let Some(body) = bytes[FRAME_HEAD..].get(..len) else {
            return Found::Needs(FRAME_HEAD.saturating_add(len));
        };
        if checksum(&head[..CHECKSUM_AT], body) != wanted {
            return Found::Damaged("the checksum is wrong");
        }
        let Some(kind) = FrameKind::from_byte(head[4]) else {
            return Found::Damaged("an unknown kind of record");
        };
        let mut name = [0; 16];
        name.copy_from_slice(&head[8..24]);
        let frame = Self {
            kind,
            partition: u16::from_le_bytes([head[6], head[7]]),
            name,
            body,
        };
        Found::Whole(frame, FRAME_HEAD + len)
    }

    const fn unnamed(kind: FrameKind, partition: u16, body: &'a [u8]) -> Self {
        Self {
            kind,
            partition,
            name: [0; 16],
            body,
        }
    }

    fn numbered(mut self, number: u64) -> Self {
        self.name[8..].copy_from_slice(&number.to_be_bytes());
        self
    }
}

/// Where the next frame may begin behind the first byte; the length of `bytes` without the beginning
/// of a marker at their end, if none is there.
#[must_use]
pub fn next_marker(bytes: &[u8]) -> usize {
    let candidates = (1..bytes.len()).filter(|at| bytes[*at] == MARKER[0]);
    candidates
        .map(|at| (at, &bytes[at..bytes.len().min(at + MARKER.len())]))
        .find(|(_, found)| MARKER.starts_with(found))
        .map_or(bytes.len(), |(at, _)| at)
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[MARKER.len()..]);
    hasher.update(body);
    hasher.finalize()
}

/// What the first frame says of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Who wrote them.
    pub owner: Owner,
    /// When.
    pub written: UnixMs,
}

const OWNER: u8 = 1;
const WRITTEN: u8 = 2;
const LAYOUT: u8 = 3;

impl Start {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(RECORD_VERSION);
        put(out, OWNER, |out| {
            write_number(out, self.owner.node.0.into());
            write_number(out, self.owner.epoch.0);
        });
        put_number(out, WRITTEN, self.written.0);
        put(out, LAYOUT, |out| {
            write_number(out, PARTITIONS.into());
            write_number(out, PARTITION_LEVELS.into());
        });
    }

    /// Reads the record.
    ///
    /// # Errors
    /// [`RecordError`], also for another number of partitions or of levels that decide them.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut fields = open(bytes)?;
        let (mut owner, mut written, mut layout) = (None, 0, None);
        while !fields.is_empty() {
            match fields.field()? {
                (OWNER, mut field) => {
                    let node = field.number()?.try_into();
                    let node = node.map_err(|_| RecordError::Damaged("no such node"))?;
                    owner = Some(Owner {
                        node: NodeId(node),
                        epoch: Epoch(field.whole()?),
                    });
                }
                (WRITTEN, field) => written = field.whole()?,
                (LAYOUT, mut field) => layout = Some((field.number()?, field.whole()?)),
                _ => {}
            }
        }
        if layout != Some((PARTITIONS.into(), u64::from(PARTITION_LEVELS))) {
            return Err(RecordError::Damaged("a layout of other partitions"));
        }
        Ok(Self {
            owner: owner.ok_or(RecordError::Damaged("nobody has written it"))?,
            written: UnixMs(written),
        })
    }
}
