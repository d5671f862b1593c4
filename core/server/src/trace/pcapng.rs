//! The blocks of pcapng (draft-ietf-opsawg-pcapng) that a trace needs, each a text of bytes of its own.

use std::time::{SystemTime, UNIX_EPOCH};

/// Packets begin with an IP header, version 4 or 6: LINKTYPE_RAW.
const RAW: u16 = 101;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// What a block is to whoever passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Packet,
    /// With the packets that are missing.
    Statistics(u64),
    Other,
}

/// Bytes in front of a block: what it is, and how long.
pub(super) const HEAD: usize = 8;

/// How long a block is, from its first bytes.
pub(super) fn length(head: [u8; HEAD]) -> usize {
    u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize
}

/// What a whole block is.
pub(super) fn kind(block: &[u8]) -> Kind {
    let number = |at: usize| {
        let bytes = block.get(at..at + 4).unwrap_or(&[0; 4]);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    match number(0) {
        PACKET => Kind::Packet,
        // The options stand behind the head, the interface and a time: two numbers of eight bytes.
        STATISTICS => Kind::Statistics(u64::from(number(36)) | u64::from(number(40)) << 32),
        _ => Kind::Other,
    }
}

/// The beginning of a file, which says what follows.
pub(super) fn section(comment: &str) -> Vec<u8> {
    let mut block = Block::new(SECTION);
    block
        .bytes
        .extend_from_slice(&0x1A2B_3C4D_u32.to_le_bytes());
    block.bytes.extend_from_slice(&[1, 0, 0, 0]);
    // How long the section is, is not known.
    block.bytes.extend_from_slice(&[0xFF; 8]);
    block.option(COMMENT, comment.as_bytes());
    let application = concat!("ternmq ", env!("CARGO_PKG_VERSION"));
    block.option(APPLICATION, application.as_bytes());
    block.end()
}

/// The interface that all packets come from.
pub(super) fn interface(name: &str, description: &str) -> Vec<u8> {
    let mut block = Block::new(INTERFACE);
    block.bytes.extend_from_slice(&RAW.to_le_bytes());
    block.bytes.extend_from_slice(&[0; 6]);
    block.option(NAME, name.as_bytes());
    block.option(DESCRIPTION, description.as_bytes());
    // Times count nanoseconds.
    block.option(RESOLUTION, &[9]);
    block.end()
}

/// A packet, and what is to be known of it.
pub(super) fn packet(at: SystemTime, packet: &[u8], comment: Option<&str>) -> Vec<u8> {
    let mut block = Block::new(PACKET);
    block.bytes.extend_from_slice(&[0; 4]);
    block.time(at);
    let len = (packet.len() as u32).to_le_bytes();
    block.bytes.extend_from_slice(&len);
    block.bytes.extend_from_slice(&len);
    block.bytes.extend_from_slice(packet);
    block.pad();
    if let Some(comment) = comment {
        block.option(COMMENT, comment.as_bytes());
    }
    block.end()
}

/// How many packets there were, and how many parts are missing.
pub(super) fn statistics(at: SystemTime, received: u64, dropped: u64) -> Vec<u8> {
    let mut block = Block::new(STATISTICS);
    block.bytes.extend_from_slice(&[0; 4]);
    block.time(at);
    block.option(RECEIVED, &received.to_le_bytes());
    block.option(DROPPED, &dropped.to_le_bytes());
    block.end()
}

struct Block {
    bytes: Vec<u8>,
    options: bool,
}

impl Block {
    fn new(kind: u32) -> Self {
        let mut bytes = kind.to_le_bytes().to_vec();
        // How long it is stands here in the end.
        bytes.extend_from_slice(&[0; 4]);
        Self {
            bytes,
            options: false,
        }
    }

    fn time(&mut self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Enough until the year 2554.
        let nanoseconds = since.as_nanos() as u64;
        let (high, low) = ((nanoseconds >> 32) as u32, nanoseconds as u32);
        self.bytes.extend_from_slice(&high.to_le_bytes());
        self.bytes.extend_from_slice(&low.to_le_bytes());
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.options = true;
        self.bytes.extend_from_slice(&code.to_le_bytes());
        self.bytes
            .extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        if self.options {
            self.bytes.extend_from_slice(&[0; 4]);
        }
        let len = (self.bytes.len() as u32 + 4).to_le_bytes();
        self.bytes[4..8].copy_from_slice(&len);
        self.bytes.extend_from_slice(&len);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_block_is_can_be_told_from_its_bytes() {
        let block = statistics(SystemTime::now(), 3, u64::MAX - 5);
        let head = block[..HEAD].try_into().unwrap();
        assert_eq!(length(head), block.len());
        assert_eq!(kind(&block), Kind::Statistics(u64::MAX - 5));
        assert_eq!(kind(&section("")), Kind::Other);
        assert_eq!(
            kind(&packet(SystemTime::now(), b"12345", Some("x"))),
            Kind::Packet
        );
    }
}
