//! Who a connection comes from when a proxy stands before the listener: the PROXY protocol, versions 1
//! (a line of text) and 2 (binary), as HAProxy's `proxy-protocol.txt` has them.
//!
//! [`read`] looks at what has come so far and says how much is still missing *at least*. Whoever reads no
//! more than that never takes a byte of what follows, so nothing of it has to be given back.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::stream::Stream;

/// The longest introduction of version 2 that is taken. Addresses need 232 bytes at most; what else
/// proxies tell (names, certificates) is passed over.
pub const INTRODUCTION_BYTES: usize = 4096;

/// The longest line of version 1, with its end.
const LINE_BYTES: usize = 107;

/// The shortest: `PROXY UNKNOWN` and its end. Version 2 has more.
const LEAST_BYTES: usize = 15;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const HEAD_BYTES: usize = 16;

/// The type of the value that is a checksum (CRC-32C).
const CHECKSUM: u8 = 0x03;

/// Who a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy itself, which looks whether we are there, or does not know: the socket's own peer counts.
    Proxy,
    /// A client of the proxy.
    Client(SocketAddr),
    /// A client of the proxy that came in through a Unix socket.
    Local,
}

/// How far an introduction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// So many bytes are missing at least; never 0.
    Missing(usize),
    /// It is whole, and has so many bytes.
    Whole(Origin, usize),
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntroductionError {
    /// It begins otherwise: the peer does not speak the PROXY protocol.
    None,
    /// The line of version 1 has no end where it must.
    LineTooLong,
    /// Something is wrong with the line of version 1.
    Line,
    /// Version 2 with another version, command or family than there is.
    Unknown,
    /// For datagrams.
    Datagrams,
    /// Version 2 is longer than [`INTRODUCTION_BYTES`].
    TooLong,
    /// Version 2 ends inside its addresses or one of its values.
    Cut,
    /// Its checksum is wrong.
    Checksum,
}

/// Reads an introduction from its first byte on.
///
/// # Errors
/// Why it is none; no byte that may follow makes it one.
pub fn read(bytes: &[u8]) -> Result<Introduction, IntroductionError> {
    let line = b"PROXY ";
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(line) && bytes.len() >= LEAST_BYTES {
        read_line(bytes)
    } else if begins(SIGNATURE) && bytes.len() >= HEAD_BYTES {
        read_binary(bytes)
    } else if begins(line) {
        Ok(Introduction::Missing(LEAST_BYTES - bytes.len()))
    } else if begins(SIGNATURE) {
        Ok(Introduction::Missing(HEAD_BYTES - bytes.len()))
    } else {
        Err(IntroductionError::None)
    }
}

fn read_line(bytes: &[u8]) -> Result<Introduction, IntroductionError> {
    let bytes = &bytes[..bytes.len().min(LINE_BYTES)];
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        // A carriage return is the last but one.
        let missing = 2 - usize::from(bytes.last() == Some(&b'\r'));
        return match bytes.len() + missing <= LINE_BYTES {
            true => Ok(Introduction::Missing(missing)),
            false => Err(IntroductionError::LineTooLong),
        };
    };
    let text = str::from_utf8(&bytes[..end]).map_err(|_| IntroductionError::Line)?;
    let text = text.strip_suffix('\r').ok_or(IntroductionError::Line)?;
    let origin = line_origin(text).ok_or(IntroductionError::Line)?;
    Ok(Introduction::Whole(origin, end + 1))
}

fn line_origin(text: &str) -> Option<Origin> {
    let mut words = text.strip_prefix("PROXY ")?.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        // Whatever follows means nothing.
        "UNKNOWN" => return Some(Origin::Proxy),
        "TCP4" => |word| Ipv4Addr::from_str(word).ok().map(IpAddr::V4),
        "TCP6" => |word| Ipv6Addr::from_str(word).ok().map(IpAddr::V6),
        _ => return None,
    };
    let (from, _) = (address(words.next()?)?, address(words.next()?)?);
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    match words.next() {
        None => Some(client(from, port)),
        Some(_) => None,
    }
}

fn port(word: &str) -> Option<u16> {
    let number = word.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| word.parse().ok()).flatten()
}

/// An IPv4 address is one, in whichever family it is written.
fn client(address: IpAddr, port: u16) -> Origin {
    Origin::Client(SocketAddr::new(address.to_canonical(), port))
}

fn read_binary(bytes: &[u8]) -> Result<Introduction, IntroductionError> {
    let (command, family) = (bytes[12], bytes[13]);
    let len = HEAD_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if command >> 4 != 2 || command & 0xF > 1 {
        return Err(IntroductionError::Unknown);
    }
    if len > INTRODUCTION_BYTES {
        return Err(IntroductionError::TooLong);
    }
    if bytes.len() < len {
        return Ok(Introduction::Missing(len - bytes.len()));
    }
    let whole = &bytes[..len];
    // What a proxy says of a connection of its own, or of nothing it knows, is to be thrown away.
    let addresses = match family {
        _ if command & 0xF == 0 => return Ok(Introduction::Whole(Origin::Proxy, len)),
        0x00 => return Ok(Introduction::Whole(Origin::Proxy, len)),
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        0x12 | 0x22 | 0x32 => return Err(IntroductionError::Datagrams),
        _ => return Err(IntroductionError::Unknown),
    };
    let body = &whole[HEAD_BYTES..];
    if body.len() < addresses {
        return Err(IntroductionError::Cut);
    }
    check_values(whole, HEAD_BYTES + addresses)?;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let origin = match addresses {
        12 => client(Ipv4Addr::from(array::<4>(body)).into(), port(8)),
        36 => client(Ipv6Addr::from(array::<16>(body)).into(), port(32)),
        _ => Origin::Local,
    };
    Ok(Introduction::Whole(origin, len))
}

/// The first bytes, of which there are enough.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&bytes[..N]);
    first
}

/// Passes over the values behind the addresses. A checksum has to be right: whoever adds one wants to
/// know of damage.
fn check_values(whole: &[u8], from: usize) -> Result<(), IntroductionError> {
    let mut at = from;
    let mut checksum = None;
    while at < whole.len() {
        let Some([kind, high, low]) = whole.get(at..at + 3) else {
            return Err(IntroductionError::Cut);
        };
        let start = at + 3;
        at = start + usize::from(u16::from_be_bytes([*high, *low]));
        if at > whole.len() {
            return Err(IntroductionError::Cut);
        }
        if *kind == CHECKSUM && (at - start != 4 || checksum.replace(start).is_some()) {
            return Err(IntroductionError::Checksum);
        }
    }
    let Some(start) = checksum else {
        return Ok(());
    };
    let told = u32::from_be_bytes(array(&whole[start..]));
    // It was computed with zeros in its place.
    let parts = [&whole[..start], &[0; 4], &whole[start + 4..]];
    match crc32c(parts.into_iter().flatten()) == told {
        true => Ok(()),
        false => Err(IntroductionError::Checksum),
    }
}

/// Castagnoli's CRC. Bit by bit: it is of 4 KiB at most, once for a connection.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}

impl fmt::Display for IntroductionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no PROXY protocol: it begins otherwise",
            Self::LineTooLong => "PROXY protocol: a line of more than 107 bytes",
            Self::Line => "PROXY protocol: a line with something wrong in it",
            Self::Unknown => "PROXY protocol: another version, command or family than there is",
            Self::Datagrams => "PROXY protocol: for datagrams",
            Self::TooLong => "PROXY protocol: more than 4096 bytes",
            Self::Cut => "PROXY protocol: its lengths don't fit",
            Self::Checksum => "PROXY protocol: a wrong checksum",
        })
    }
}

impl std::error::Error for IntroductionError {}

/// A stream whose peer is another one than the socket's. It costs its box, and nothing for each byte.
#[derive(Debug)]
pub struct Introduced {
    pub(crate) below: Stream,
    peer: Option<SocketAddr>,
}

impl Stream {
    /// Has this stream say that its peer is `peer`, `None` for one without an IP address; also through
    /// every layer above it.
    #[must_use]
    pub fn introduced(self, peer: Option<SocketAddr>) -> Self {
        Self::Introduced(Box::new(Introduced { below: self, peer }))
    }
}

impl Introduced {
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    const FOUR: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x1F, 0x90, 0x07, 0x5B];

    fn told(text: &str) -> Origin {
        Origin::Client(text.parse().unwrap())
    }

    fn samples() -> Vec<(Vec<u8>, Origin)> {
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six[33] = 9;
        let with = |values: &[u8]| binary(1, 0x11, &[&FOUR, values].concat());
        vec![
            (b"PROXY UNKNOWN\r\n".to_vec(), Origin::Proxy),
            (b"PROXY UNKNOWN ff:: x y z\r\n".to_vec(), Origin::Proxy),
            (
                b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 1883\r\n".to_vec(),
                told("192.0.2.7:8080"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 9 1\r\n".to_vec(),
                told("[2001:db8::7]:9"),
            ),
            (
                b"PROXY TCP6 ::ffff:192.0.2.7 ::1 9 1\r\n".to_vec(),
                told("192.0.2.7:9"),
            ),
            (binary(0, 0, &[]), Origin::Proxy),
            (binary(0, 0x11, &FOUR), Origin::Proxy),
            (binary(1, 0, &[1, 2, 3]), Origin::Proxy),
            (with(&[]), told("192.0.2.7:8080")),
            (with(&[4, 0, 0, 0xE0, 0, 1, 5]), told("192.0.2.7:8080")),
            (binary(1, 0x21, &six), told("[2001:db8::7]:9")),
            (binary(1, 0x31, &[b'x'; 216]), Origin::Local),
        ]
    }

    #[test]
    fn each_kind_is_read_at_whatever_pace_and_what_follows_is_left_alone() {
        for (bytes, origin) in samples() {
            let followed = [&bytes[..], b"\x10\r\nPROXY "].concat();
            let whole = Introduction::Whole(origin, bytes.len());
            assert_eq!(read(&followed), Ok(whole), "{bytes:?}");
            for cut in 0..bytes.len() {
                match read(&bytes[..cut]) {
                    Ok(Introduction::Missing(more)) => {
                        assert!(more > 0 && cut + more <= bytes.len(), "{cut} of {bytes:?}");
                    }
                    other => panic!("{other:?} at {cut} of {bytes:?}"),
                }
            }
        }
    }

    #[test]
    fn a_checksum_has_to_be_right() {
        assert_eq!(crc32c(b"123456789".iter()), 0xE306_9283);
        let mut bytes = binary(
            1,
            0x11,
            &[&FOUR[..], &[3, 0, 4, 0, 0, 0, 0, 4, 0, 1, 9]].concat(),
        );
        let sum = crc32c(bytes.iter()).to_be_bytes();
        bytes[31..35].copy_from_slice(&sum);
        let origin = told("192.0.2.7:8080");
        assert_eq!(read(&bytes), Ok(Introduction::Whole(origin, bytes.len())));
        for at in [16, 24, 31, 34, 38] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged), Err(IntroductionError::Checksum), "{at}");
        }
        let short = binary(1, 0x11, &[&FOUR[..], &[3, 0, 3, 0, 0, 0]].concat());
        assert_eq!(read(&short), Err(IntroductionError::Checksum));
    }

    #[test]
    fn everything_else_is_refused() {
        use IntroductionError as Error;
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat();
        let mut other_version = binary(1, 0x11, &FOUR);
        other_version[12] = 0x11;
        for (bytes, error) in [
            (&b"\x10\x0c\x00\x04MQTT"[..], Error::None),
            (b"PROXy TCP4 1.1.1.1", Error::None),
            (b"\r\n\r\n\0\r\nQUIX", Error::None),
            (&long, Error::LineTooLong),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", Error::Line),
            (b"PROXY TCP4 ::1 ::1 1 1\r\n", Error::Line),
            (b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", Error::Line),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", Error::Line),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", Error::Line),
            (b"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n", Error::Line),
            (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", Error::Line),
            (b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", Error::Line),
            (&other_version, Error::Unknown),
            (&binary(2, 0x11, &FOUR), Error::Unknown),
            (&binary(1, 0x41, &FOUR), Error::Unknown),
            (&binary(1, 0x12, &FOUR), Error::Datagrams),
            (&binary(1, 0x11, &FOUR[..11]), Error::Cut),
            (&binary(1, 0x21, &FOUR), Error::Cut),
            (&binary(1, 0x11, &[&FOUR[..], &[4, 0]].concat()), Error::Cut),
            (
                &binary(1, 0x11, &[&FOUR[..], &[4, 0, 1]].concat()),
                Error::Cut,
            ),
            (&binary(1, 0x11, &[0; 4081])[..16], Error::TooLong),
        ] {
            assert_eq!(read(bytes), Err(error), "{bytes:?}");
        }
    }
}
