//! The part of BER that LDAP is written in (RFC 4511, 5.1): definite lengths, and tags of one byte. What is
//! read is looked at one level at a time, so that nothing nests deeper than who reads it wants.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Bytes of a length behind its first one.
pub(super) const MAX_LENGTH: usize = 4;

/// No BER, or none that can stand there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Adds an element with these contents.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    let length = contents.len();
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let bytes = &bytes[length.leading_zeros() as usize / 8..];
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(contents);
}

/// Adds an element whose contents are elements.
pub(super) fn put_all(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut contents = Vec::new();
    fill(&mut contents);
    put(out, tag, &contents);
}

/// Adds a number that is not negative.
pub(super) fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let bytes = u64::from(number).to_be_bytes();
    // One bit in front says that it is not negative.
    let unused = (u64::from(number).leading_zeros() as usize - 1) / 8;
    put(out, tag, &bytes[unused.min(7)..]);
}

/// What has been read, element by element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tag and contents of the next one.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let [tag, first, rest @ ..] = self.0 else {
            return Err(Malformed);
        };
        let (bytes, rest) = rest
            .split_at_checked(length_bytes(*first)?)
            .ok_or(Malformed)?;
        let length = length(*first, bytes);
        let (contents, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok((*tag, contents))
    }

    /// The contents of the next one, which has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, contents) if found == tag => Ok(contents),
            _ => Err(Malformed),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.expect(OCTETS)?).map_err(|_| Malformed)
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let bytes = self.expect(tag)?;
        match bytes {
            [] | [0x80..=0xff, ..] => Err(Malformed),
            _ if bytes.len() > 5 => Err(Malformed),
            _ => {
                let number = bytes
                    .iter()
                    .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                u32::try_from(number).map_err(|_| Malformed)
            }
        }
    }
}

/// How many bytes of a length come behind its first one.
pub(super) fn length_bytes(first: u8) -> Result<usize, Malformed> {
    match usize::from(first & 0x7f) {
        _ if first < 0x80 => Ok(0),
        more @ 1..=MAX_LENGTH => Ok(more),
        // Without an end that is known, or beyond anything.
        _ => Err(Malformed),
    }
}

/// A length of this first byte and the others.
pub(super) fn length(first: u8, more: &[u8]) -> usize {
    match more {
        [] => usize::from(first),
        more => more
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_written_as_they_are_read() {
        for number in [
            0,
            1,
            127,
            128,
            255,
            256,
            32_767,
            32_768,
            0x7fff_ffff,
            u32::MAX,
        ] {
            let mut out = Vec::new();
            put_number(&mut out, INTEGER, number);
            assert_eq!(
                Elements::new(&out).number(INTEGER),
                Ok(number),
                "{number} {out:?}"
            );
        }
        let mut out = Vec::new();
        put_number(&mut out, INTEGER, 128);
        assert_eq!(out, [2, 2, 0, 128]);
        for length in [0, 1, 127, 128, 255, 256, 65_536] {
            let mut out = Vec::new();
            put(&mut out, OCTETS, &vec![b'x'; length]);
            let mut read = Elements::new(&out);
            assert_eq!(read.text().map(str::len), Ok(length));
            assert!(read.is_empty());
        }
    }

    #[test]
    fn what_is_no_element_is_refused() {
        for wrong in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81],
            &[4, 0x82, 1],
            &[4, 0x85, 0, 0, 0, 0, 1, 0],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 0],
        ] {
            assert_eq!(Elements::new(wrong).next(), Err(Malformed), "{wrong:?}");
        }
        for wrong in [
            &[2, 0][..],
            &[2, 1, 0xff],
            &[2, 6, 0, 0, 0, 0, 0, 1],
            &[2, 5, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(
                Elements::new(wrong).number(INTEGER),
                Err(Malformed),
                "{wrong:?}"
            );
        }
        // Longer than it need be, as Active Directory writes them.
        assert_eq!(Elements::new(&[4, 0x84, 0, 0, 0, 1, b'a']).text(), Ok("a"));
    }
}
