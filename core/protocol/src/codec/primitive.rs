//! The data representations of section 1.5: integers, strings, binary data.

use crate::error::{EncodeError, PeerError};
use crate::utf8::{self, Utf8Error};

/// The largest Variable Byte Integer, and so the largest Remaining Length (section 1.5.5).
pub const MAX_VARIABLE_BYTE_INTEGER: u32 = 268_435_455;

/// Reads from a borrowed body, front to back.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], PeerError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(TRUNCATED)?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, PeerError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, PeerError> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, PeerError> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn packet_id(&mut self) -> Result<u16, PeerError> {
        match self.u16()? {
            0 => Err(PeerError::protocol("packet identifier 0")),
            id => Ok(id),
        }
    }

    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, PeerError> {
        match read_variable_byte_integer(self.rest)? {
            Some((value, len)) => {
                self.rest = &self.rest[len..];
                Ok(value)
            }
            None => Err(TRUNCATED),
        }
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], PeerError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    pub(crate) fn utf8(&mut self) -> Result<&'a str, PeerError> {
        utf8_string(self.binary()?)
    }
}

const TRUNCATED: PeerError = PeerError::malformed("the packet ends in the middle of a field");

/// Reads a Variable Byte Integer (section 1.5.5) at the start of `bytes`: its value and how many
/// bytes it took, or `None` when more bytes are needed.
///
/// # Errors
/// Malformed Packet when it takes more than four bytes or more than it needs [MQTT-1.5.5-1].
pub fn read_variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, PeerError> {
    let read = read_any_form(bytes)?;
    match read {
        Some((value, len)) if len != variable_byte_integer_len(value) => Err(PeerError::malformed(
            "a variable byte integer in a longer form than needed",
        )),
        _ => Ok(read),
    }
}

/// The same with leading zero groups let through, which a Remaining Length may have before MQTT 5.0.
pub(crate) fn read_any_form(bytes: &[u8]) -> Result<Option<(u32, usize)>, PeerError> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    Err(PeerError::malformed(
        "a variable byte integer of more than four bytes",
    ))
}

/// Appends `value`, which must not exceed [`MAX_VARIABLE_BYTE_INTEGER`].
pub fn write_variable_byte_integer(mut value: u32, out: &mut Vec<u8>) {
    debug_assert!(value <= MAX_VARIABLE_BYTE_INTEGER);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`write_variable_byte_integer`] takes.
pub const fn variable_byte_integer_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// A UTF-8 Encoded String (section 1.5.4), by the rules of [`utf8::validate`].
///
/// # Errors
/// Malformed Packet.
pub fn utf8_string(bytes: &[u8]) -> Result<&str, PeerError> {
    utf8::validate(bytes).map_err(|error| {
        PeerError::malformed(match error {
            Utf8Error::Malformed => "a string that is not UTF-8",
            Utf8Error::Null => "U+0000 in a string",
        })
    })
}

/// Length of a two-byte length and `bytes`, checked to fit.
pub(crate) fn binary_len(bytes: &[u8]) -> Result<usize, EncodeError> {
    if bytes.len() > usize::from(u16::MAX) {
        Err(EncodeError::FieldTooLong)
    } else {
        Ok(2 + bytes.len())
    }
}

/// The same for a string, which also must not contain U+0000.
pub(crate) fn utf8_len(text: &str) -> Result<usize, EncodeError> {
    if text.as_bytes().contains(&0) {
        return Err(EncodeError::Invalid("U+0000 in a string"));
    }
    binary_len(text.as_bytes())
}

/// Appends a two-byte length and `bytes`, whose length [`binary_len`] has checked.
pub(crate) fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_at_their_borders_mqtt_1_5_5() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = Vec::new();
            write_variable_byte_integer(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(variable_byte_integer_len(value), bytes.len());
            assert_eq!(
                read_variable_byte_integer(bytes),
                Ok(Some((value, bytes.len())))
            );
            assert_eq!(
                read_variable_byte_integer(&bytes[..bytes.len() - 1]),
                Ok(None)
            );
        }
    }

    // [MQTT-1.5.5-1]
    #[test]
    fn a_variable_byte_integer_must_be_short() {
        assert!(read_variable_byte_integer(&[0x80, 0x00]).is_err());
        assert!(read_variable_byte_integer(&[0xFF, 0xFF, 0xFF, 0xFF]).is_err());
        assert!(read_variable_byte_integer(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01]).is_err());
    }
}
