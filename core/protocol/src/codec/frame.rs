//! Frames: a fixed header and the bytes it announces (section 2.1), cut out of what a socket gave.

use super::PacketType;
use super::primitive::{MAX_VARIABLE_BYTE_INTEGER, read_any_form};
use crate::error::PeerError;
use crate::reason::ReasonCode;

/// The largest packet that MQTT can express: header byte, four length bytes and the remaining length.
pub const MAX_PACKET_SIZE: u32 = MAX_VARIABLE_BYTE_INTEGER + 5;

/// A complete packet, not decoded yet, borrowed from the input buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// High nibble of the first byte.
    pub packet_type: PacketType,
    /// Low nibble of the first byte.
    pub flags: u8,
    /// What follows the Remaining Length.
    pub body: &'a [u8],
    /// Length of the whole packet, header included.
    pub len: usize,
}

/// What the start of a buffer holds.
#[derive(Clone, Copy, Debug)]
pub enum Split<'a> {
    /// A whole packet.
    Frame(Frame<'a>),
    /// Only the beginning of one. It has at least this many bytes; the exact number is known
    /// once the fixed header is there.
    Partial(usize),
}

/// Looks at the first packet in `bytes`.
///
/// A type or length that can't be right is refused from the fixed header alone, before anything
/// of the announced length is waited for or stored.
///
/// # Errors
/// Malformed Packet for packet type 0 or a bad length; Packet Too Large (0x95) when the packet
/// would exceed `max_packet_size` bytes [MQTT-3.2.2-15].
pub fn split(bytes: &[u8], max_packet_size: u32) -> Result<Split<'_>, PeerError> {
    let Some(FixedHeader {
        packet_type,
        flags,
        header,
        len,
    }) = FixedHeader::read(bytes)?
    else {
        return Ok(Split::Partial((bytes.len() + 1).max(2)));
    };
    if len > max_packet_size as usize {
        return Err(PeerError::new(
            ReasonCode::PACKET_TOO_LARGE,
            "the packet exceeds the maximum packet size",
        ));
    }
    Ok(match bytes.get(header..len) {
        Some(body) => Split::Frame(Frame {
            packet_type,
            flags,
            body,
            len,
        }),
        None => Split::Partial(len),
    })
}

/// What the fixed header of a packet says (section 2.1), which is there before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// High nibble of the first byte.
    pub packet_type: PacketType,
    /// Low nibble of the first byte.
    pub flags: u8,
    /// Bytes of the fixed header itself.
    pub header: usize,
    /// Length of the whole packet, header included.
    pub len: usize,
}

impl FixedHeader {
    /// Reads the one at the start of `bytes`, `None` when it isn't whole yet.
    ///
    /// # Errors
    /// Malformed Packet for packet type 0 or a bad length.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, PeerError> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let Some(packet_type) = PacketType::from_nibble(first >> 4) else {
            return Err(PeerError::malformed("packet type 0 is reserved"));
        };
        let remaining = read_any_form(&bytes[1..])?;
        Ok(remaining.map(|(remaining, length_bytes)| {
            let header = 1 + length_bytes;
            Self {
                packet_type,
                flags: first & 0x0F,
                header,
                len: header + remaining as usize,
            }
        }))
    }
}

/// Keeps the beginning of a packet that has not arrived whole, and nothing else: without one it
/// owns no memory.
///
/// Cut packets out of a driver's read buffer like this; only what is left of the last one is copied:
///
/// ```
/// use ternmq_protocol::codec::{FrameBuffer, MAX_PACKET_SIZE};
/// let mut frames = FrameBuffer::default();
/// let mut seen = 0;
/// for part in [&[0xC0][..], &[0x00, 0xC0, 0x00]] {
///     let mut input = part;
///     while let Some(frame) = frames.next(&mut input, MAX_PACKET_SIZE).unwrap() {
///         seen += frame.len;
///     }
/// }
/// assert_eq!(seen, 4);
/// ```
#[derive(Debug, Default)]
pub struct FrameBuffer {
    partial: Vec<u8>,
    /// The packet in `partial` has been handed out and is to be forgotten.
    used: bool,
}

impl FrameBuffer {
    /// The next whole packet of what was kept before and `input`, which is advanced past it; or
    /// `None` when `input` is used up, its tail kept for the next call.
    ///
    /// # Errors
    /// As [`split`]. The stream can't be read on after an error.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
        max_packet_size: u32,
    ) -> Result<Option<Frame<'s>>, PeerError> {
        if self.used {
            self.partial = Vec::new();
            self.used = false;
        }
        if self.partial.is_empty() {
            return self.next_from_input(input, max_packet_size);
        }
        loop {
            let need = match split(&self.partial, max_packet_size)? {
                Split::Frame(_) => break,
                Split::Partial(need) => need - self.partial.len(),
            };
            if input.is_empty() {
                return Ok(None);
            }
            let (head, tail) = input.split_at(need.min(input.len()));
            self.keep(head, need);
            *input = tail;
        }
        self.used = true;
        match split(&self.partial, max_packet_size)? {
            Split::Frame(frame) => Ok(Some(frame)),
            Split::Partial(_) => Ok(None),
        }
    }

    /// Whether the beginning of a packet is waiting for its rest.
    pub fn is_partial(&self) -> bool {
        !self.used && !self.partial.is_empty()
    }

    /// Frees the packet that was handed out last, which the next call of [`next`](Self::next) would
    /// do: for who does not know when that will be.
    pub fn release(&mut self) {
        if self.used {
            *self = Self::default();
        }
    }

    /// Bytes of memory held for an unfinished packet.
    pub fn capacity(&self) -> usize {
        self.partial.capacity()
    }

    fn next_from_input<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
        max_packet_size: u32,
    ) -> Result<Option<Frame<'s>>, PeerError> {
        if input.is_empty() {
            return Ok(None);
        }
        let bytes = *input;
        match split(bytes, max_packet_size)? {
            Split::Frame(frame) => {
                *input = &bytes[frame.len..];
                Ok(Some(frame))
            }
            Split::Partial(need) => {
                self.keep(bytes, need);
                *input = &[];
                Ok(None)
            }
        }
    }

    /// Stores what came of a packet that needs `need` bytes more. The memory doubles as bytes come,
    /// so that each is moved once on average; it never goes to the announced length before half of
    /// that has come, and never past it.
    fn keep(&mut self, bytes: &[u8], need: usize) {
        let len = self.partial.len();
        if len + bytes.len() > self.partial.capacity() {
            let wanted = (2 * len).clamp(len + bytes.len(), len + need.max(bytes.len()));
            self.partial.reserve_exact(wanted - len);
        }
        self.partial.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(parts: &[&[u8]], max: u32) -> Result<Vec<(PacketType, Vec<u8>)>, PeerError> {
        let mut buffer = FrameBuffer::default();
        let mut seen = Vec::new();
        for part in parts {
            let mut input = *part;
            while let Some(frame) = buffer.next(&mut input, max)? {
                seen.push((frame.packet_type, frame.body.to_vec()));
            }
        }
        Ok(seen)
    }

    #[test]
    fn a_stream_gives_the_same_frames_wherever_it_is_cut() {
        let mut bytes = vec![0x30, 0x05, 0, 1, b'a', 1, 2, 0xC0, 0x00, 0x30, 0xC8, 0x01];
        bytes.extend([7; 200]);
        bytes.extend([0xD0, 0x00]);
        let whole = frames(&[&bytes], MAX_PACKET_SIZE).unwrap();
        assert_eq!(whole.len(), 4);
        for a in 0..bytes.len() {
            for b in [a, (a + 1).min(bytes.len()), (a + 3).min(bytes.len())] {
                let cut = [&bytes[..a], &bytes[a..b], &bytes[b..]];
                assert_eq!(frames(&cut, MAX_PACKET_SIZE).unwrap(), whole, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_packet_over_the_limit_is_refused_by_its_header_mqtt_3_2_2_15() {
        let error = frames(&[&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]], 1000).unwrap_err();
        assert_eq!(error.reason, ReasonCode::PACKET_TOO_LARGE);
        assert!(frames(&[&[0x30, 0x7F]], 128).is_err());
        assert!(frames(&[&[0x30, 0x7E]], 128).unwrap().is_empty());
    }

    #[test]
    fn an_idle_buffer_owns_nothing() {
        let mut buffer = FrameBuffer::default();
        let mut input = &[0xC0][..];
        assert!(buffer.next(&mut input, 100).unwrap().is_none());
        assert!(buffer.is_partial());
        input = &[0x00];
        assert!(buffer.next(&mut input, 100).unwrap().is_some());
        assert!(buffer.next(&mut input, 100).unwrap().is_none());
        assert_eq!(buffer.capacity(), 0);
    }
}
