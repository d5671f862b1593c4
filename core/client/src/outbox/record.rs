//! What the file of an outbox is made of: [`MAGIC`], then records, each with its length and a checksum.

use ternmq_protocol::Message;
use ternmq_protocol::broker::record::encode_message;
use ternmq_protocol::time::Clock;

/// The first bytes of the file. The byte before the last is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"TernMQ\x01\n";

/// Bytes before a record's body: its length and checksum, the lowest byte first.
pub(super) const HEAD: usize = 8;

/// The bytes of a body that every record has: what it says, and the Packet Identifier.
const NAME: usize = 3;

/// The bytes of a record that are none of the message.
pub(super) const MESSAGE_HEAD: usize = HEAD + NAME;

/// What a record says of a Packet Identifier: the first byte of its body, before the identifier.
pub(super) const WAITS: u8 = 1;
pub(super) const SENT: u8 = 2;
pub(super) const STARTED: u8 = 3;
pub(super) const RELEASED: u8 = 4;
pub(super) const DONE: u8 = 5;

/// What a walk through the records has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where the last whole record ends.
    pub(super) len: usize,
    /// Places where one or more records are damaged.
    pub(super) damaged: usize,
}

/// Gives each whole record after [`MAGIC`] to a function, which says whether it can be understood.
///
/// What is cut off at the end, or zeros there, is no damage: it was not accepted. Behind damage the walk
/// goes on where the next whole record begins. A flipped bit in the length of the very last record can't be
/// told from a cut.
pub(super) fn walk(bytes: &[u8], mut each: impl FnMut(u8, u16, &[u8]) -> bool) -> Walk {
    let (mut at, mut walk) = (
        MAGIC.len(),
        Walk {
            len: MAGIC.len(),
            damaged: 0,
        },
    );
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(body) = whole(rest) {
            let id = u16::from_be_bytes([body[1], body[2]]);
            walk.damaged += usize::from(!each(body[0], id, &body[NAME..]));
            at += HEAD + body.len();
            walk.len = at;
        } else if let Some(skipped) = next(rest) {
            walk.damaged += 1;
            at += skipped;
        } else {
            walk.damaged += usize::from(!is_cut(rest));
            break;
        }
    }
    walk
}

pub(super) fn message_record(kind: u8, id: u16, message: &Message, clock: Clock) -> Vec<u8> {
    framed(|body| {
        body.push(kind);
        body.extend(id.to_be_bytes());
        encode_message(message, clock, body);
    })
}

pub(super) fn step_record(kind: u8, id: u16) -> Vec<u8> {
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

/// The length of a body and its checksum, as the head of a record has them.
fn head(bytes: &[u8]) -> Option<(usize, u32)> {
    let (head, _) = bytes.split_first_chunk::<HEAD>()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    Some((word(0) as usize, word(4)))
}

/// The body of the record at the beginning of `bytes`, if that is whole.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (len, checksum) = head(bytes)?;
    let body = bytes[HEAD..].get(..len)?;
    // Looked at first, because the checksum of what is none may be one of a large part of the file.
    let is_one = match body.first()? {
        &WAITS | &SENT => len > NAME,
        &STARTED | &RELEASED | &DONE => len == NAME,
        _ => false,
    };
    (is_one && crc32fast::hash(body) == checksum).then_some(body)
}

/// How many bytes to skip to the next whole record. By the length of this one, if one begins there: so
/// what is inside of a damaged message is not looked at unless its length is what is damaged.
fn next(bytes: &[u8]) -> Option<usize> {
    let begins = |at: &usize| bytes.get(*at..).and_then(whole).is_some();
    let stated = head(bytes).and_then(|(len, _)| len.checked_add(HEAD));
    stated
        .filter(begins)
        .or_else(|| (1..bytes.len()).find(begins))
}

/// Whether this is the beginning of a record, or what a file is filled with whose length was stored and
/// not its bytes.
fn is_cut(bytes: &[u8]) -> bool {
    let is_short = head(bytes).is_none_or(|(len, _)| len > bytes.len() - HEAD);
    is_short || bytes.iter().all(|byte| *byte == 0)
}
