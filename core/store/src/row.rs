//! Keys and values of the store's table.
//!
//! A key is a letter for its kind, then what tells it from others, numbers with the highest byte
//! first, so that keys stand in the order of the numbers. A value has a head of five bytes: the
//! version of rows, and a checksum of key and body, lowest byte first; then the body.

use ternmq_protocol::broker::durable::{DelayedKey, StreamKey};
use ternmq_protocol::broker::record::SessKey;

use crate::error::StoreError;

/// The version of rows.
const ROW: u8 = 1;

/// Bytes before the body.
pub(crate) const ROW_HEAD: usize = 5;

/// Kinds of rows.
pub(crate) mod kind {
    pub(crate) const BLOCK: u8 = b'B';
    /// Whether a block is there only for what is in flight.
    pub(crate) const KEPT: u8 = b'K';
    /// How much of a block somebody still waits for.
    pub(crate) const WAITING: u8 = b'W';
    pub(crate) const DONE: u8 = b'G';
    pub(crate) const INDEX: u8 = b'I';
    pub(crate) const META: u8 = b'M';
    /// Up to where all of a stream is done.
    pub(crate) const PASSED: u8 = b'P';
    pub(crate) const RETAINED: u8 = b'R';
    pub(crate) const SESSION: u8 = b'S';
    pub(crate) const SUBSCRIPTION: u8 = b'U';
    pub(crate) const DAMAGED: u8 = b'X';
    pub(crate) const DELAYED: u8 = b'Y';
}

/// All kinds, blocks before what refers to them.
pub(crate) const KINDS: [(u8, &str); 12] = [
    (kind::BLOCK, "blocks"),
    (kind::DONE, "done"),
    (kind::INDEX, "index"),
    (kind::KEPT, "kept"),
    (kind::META, "meta"),
    (kind::PASSED, "passed"),
    (kind::RETAINED, "retained"),
    (kind::SESSION, "sessions"),
    (kind::SUBSCRIPTION, "subscriptions"),
    (kind::WAITING, "waiting"),
    (kind::DAMAGED, "damaged"),
    (kind::DELAYED, "delayed"),
];

/// A key of this kind.
pub(crate) fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(kind);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub(crate) fn block(first: u64) -> Vec<u8> {
    key(kind::BLOCK, &[&first.to_be_bytes()])
}

pub(crate) fn waiting(first: u64) -> Vec<u8> {
    key(kind::WAITING, &[&first.to_be_bytes()])
}

pub(crate) fn kept(first: u64) -> Vec<u8> {
    key(kind::KEPT, &[&first.to_be_bytes()])
}

pub(crate) fn index(stream: StreamKey, first: u64) -> Vec<u8> {
    key(
        kind::INDEX,
        &[&stream.0.to_be_bytes(), &first.to_be_bytes()],
    )
}

pub(crate) fn done(stream: StreamKey, epoch: u64, number: u64) -> Vec<u8> {
    let parts = [stream.0, epoch, number].map(u64::to_be_bytes);
    key(kind::DONE, &[&parts[0], &parts[1], &parts[2]])
}

pub(crate) fn passed(stream: StreamKey) -> Vec<u8> {
    key(kind::PASSED, &[&stream.0.to_be_bytes()])
}

pub(crate) fn session(of: SessKey) -> Vec<u8> {
    key(kind::SESSION, &[&of.0])
}

pub(crate) fn subscription(of: SessKey, filter: &str) -> Vec<u8> {
    let stream = StreamKey::of(filter).0.to_be_bytes();
    key(kind::SUBSCRIPTION, &[&of.0, &stream])
}

pub(crate) fn subscriptions(of: SessKey) -> Vec<u8> {
    key(kind::SUBSCRIPTION, &[&of.0])
}

pub(crate) fn retained(topic: &str) -> Vec<u8> {
    key(kind::RETAINED, &[topic.as_bytes()])
}

pub(crate) fn delayed(of: DelayedKey) -> Vec<u8> {
    let (epoch, shard, number) = (of.epoch, of.shard, of.number);
    key(
        kind::DELAYED,
        &[
            &epoch.to_be_bytes(),
            &shard.to_be_bytes(),
            &number.to_be_bytes(),
        ],
    )
}

pub(crate) fn delayed_key(key: &[u8]) -> Option<DelayedKey> {
    let (epoch, rest) = key.get(1..)?.split_first_chunk()?;
    let (shard, number) = rest.split_first_chunk()?;
    Some(DelayedKey {
        shard: u16::from_be_bytes(*shard),
        epoch: u64::from_be_bytes(*epoch),
        number: u64::from_be_bytes(number.try_into().ok()?),
    })
}

pub(crate) fn meta(name: &str) -> Vec<u8> {
    key(kind::META, &[name.as_bytes()])
}

/// The first key behind all that begin with `prefix`, whose last byte is not 0xFF.
pub(crate) fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The key behind this one.
pub(crate) fn behind(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The number of eight bytes at `at`.
pub(crate) fn number(key: &[u8], at: usize) -> Option<u64> {
    let bytes = key.get(at..)?.first_chunk()?;
    Some(u64::from_be_bytes(*bytes))
}

/// A value, its body written by `write`.
pub(crate) fn seal(key: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = vec![0; ROW_HEAD];
    write(&mut value);
    let checksum = checksum(key, &value[ROW_HEAD..]);
    value[0] = ROW;
    value[1..ROW_HEAD].copy_from_slice(&checksum.to_le_bytes());
    value
}

/// The body of a value.
pub(crate) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((head, body)) = value.split_first_chunk::<ROW_HEAD>() else {
        return Err(StoreError::damaged("a row without a head"));
    };
    let wanted = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    if checksum(key, body) != wanted {
        return Err(StoreError::damaged("the checksum of a row is wrong"));
    }
    match head[0] {
        ROW => Ok(body),
        newer => Err(StoreError::Newer(newer.into())),
    }
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(key);
    hash.update(body);
    hash.finalize()
}

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Appends rising numbers as their distances.
pub(crate) fn put_rising(out: &mut Vec<u8>, numbers: &[u64]) {
    let mut last = 0;
    for number in numbers {
        put_number(out, number - last);
        last = *number;
    }
}

/// Passes rising numbers on until `f` says to stop. False if they are not that.
pub(crate) fn rising(mut bytes: &[u8], mut f: impl FnMut(u64) -> bool) -> bool {
    let mut last = 0u64;
    while !bytes.is_empty() {
        let distance = take_number(&mut bytes).filter(|distance| *distance > 0);
        let Some(number) = distance.and_then(|distance| last.checked_add(distance)) else {
            return false;
        };
        last = number;
        if !f(number) {
            break;
        }
    }
    true
}
