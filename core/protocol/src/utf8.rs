//! The rules for UTF-8 Encoded Strings (1.5.4; 1.5.3 in MQTT 3.1.1), for all of the codec.

use std::fmt;

/// Why bytes are no MQTT string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utf8Error {
    /// Not well-formed UTF-8; code points U+D800..U+DFFF count as that [MQTT-1.5.4-1].
    Malformed,
    /// Holds U+0000 [MQTT-1.5.4-2].
    Null,
}

impl fmt::Display for Utf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not well-formed UTF-8",
            Self::Null => "contains U+0000",
        })
    }
}

impl std::error::Error for Utf8Error {}

/// Checks `bytes` against 1.5.4 and gives them back as text, unchanged.
///
/// Control characters and non-characters are let through: the standard leaves refusing them to the
/// receiver, and refusing would close connections that other brokers keep.
pub fn validate(bytes: &[u8]) -> Result<&str, Utf8Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Utf8Error::Malformed)?;
    if bytes.contains(&0) {
        Err(Utf8Error::Null)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [MQTT-1.5.4-1] in MQTT 3.1.1 [MQTT-1.5.3-1]
    #[test]
    fn refuses_ill_formed_and_surrogates() {
        for bytes in [
            &b"\xff"[..],
            b"a\xc3",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xed\xbf\xbf",
            b"\xf4\x90\x80\x80",
        ] {
            assert_eq!(validate(bytes), Err(Utf8Error::Malformed), "{bytes:x?}");
        }
        assert_eq!(validate("A\u{2A6D4}".as_bytes()), Ok("A\u{2A6D4}"));
    }

    // [MQTT-1.5.4-2] in MQTT 3.1.1 [MQTT-1.5.3-2]
    #[test]
    fn refuses_null_wherever_it_stands() {
        for at in 0..40 {
            let mut bytes = vec![b'x'; 40];
            bytes[at] = 0;
            assert_eq!(validate(&bytes), Err(Utf8Error::Null));
        }
        assert_eq!(
            validate(b"a\xc0\x80"),
            Err(Utf8Error::Malformed),
            "overlong null"
        );
    }

    // [MQTT-1.5.4-3] in MQTT 3.1.1 [MQTT-1.5.3-3]
    #[test]
    fn keeps_the_byte_order_mark() {
        assert_eq!(validate(b"\xef\xbb\xbfa"), Ok("\u{FEFF}a"));
    }

    #[test]
    fn lets_control_characters_through() {
        assert_eq!(
            validate("\u{1}\u{7f}\u{9f}\u{ffff}".as_bytes()),
            Ok("\u{1}\u{7f}\u{9f}\u{ffff}")
        );
    }
}
