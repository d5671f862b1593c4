//! How a record is made of fields: a tag, a length, bytes. All a reader has to know of a field to
//! step over it is its length, so a newer writer may add some.

use super::RecordError;
use crate::codec::primitive::{read_variable_byte_integer, write_variable_byte_integer};

/// What a length of four bytes can't express.
const LONGEST: usize = 1 << 28;

/// Appends a field. One of 256 MiB or more, which nothing in MQTT can be, is left out.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[tag, 0]);
    write(out);
    let len = out.len() - at - 2;
    if len < 0x80 {
        out[at + 1] = len as u8;
        return;
    }
    if len >= LONGEST {
        return out.truncate(at);
    }
    let mut head = Vec::with_capacity(4);
    write_variable_byte_integer(len as u32, &mut head);
    out.splice(at + 1..at + 2, head);
}

/// A field with bytes, absent when there are none.
pub(super) fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put(out, tag, |out| out.extend_from_slice(bytes));
    }
}

/// A field with a number, absent when that is 0.
pub(super) fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number != 0 {
        put(out, tag, |out| write_number(out, number));
    }
}

/// A field with a number that may be 0 or absent.
pub(super) fn put_option(out: &mut Vec<u8>, tag: u8, number: Option<u64>) {
    if let Some(number) = number {
        put(out, tag, |out| write_number(out, number));
    }
}

/// Seven bits a byte, the lowest first.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads what was written as fields, and numbers one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(ENDS)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?[0])
    }

    /// The next field.
    pub(super) fn field(&mut self) -> Result<(u8, Reader<'a>), RecordError> {
        let tag = self.byte()?;
        let (len, used) = read_variable_byte_integer(self.0)
            .map_err(|error| RecordError::Damaged(error.what))?
            .ok_or(ENDS)?;
        self.take(used)?;
        Ok((tag, Reader(self.take(len as usize)?)))
    }

    pub(super) fn number(&mut self) -> Result<u64, RecordError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(RecordError::Damaged("a number beyond 64 bits"))
    }

    /// The number that is the whole field.
    pub(super) fn whole<N: TryFrom<u64>>(mut self) -> Result<N, RecordError> {
        let number = self.number()?;
        if !self.is_empty() {
            return Err(RecordError::Damaged("bytes behind a number"));
        }
        N::try_from(number).map_err(|_| RecordError::Damaged("a number beyond its range"))
    }

    /// The text that is the whole field.
    pub(super) fn text(self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.0).map_err(|_| RecordError::Damaged("text that is not UTF-8"))
    }
}

const ENDS: RecordError = RecordError::Damaged("it ends within a field");
