//! Frames (RFC 6455 section 5): taken off in place, and their heads.

use super::error::WebSocketError;

/// What a control frame may carry.
const CONTROL: usize = 125;

/// The longest head: two bytes, eight of length, four of mask.
const HEAD: usize = 14;

/// A kind of frame that is neither data nor unknown.
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;
pub(super) const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;

/// Bits of the first byte of a head: whether the frame is the last of its message, and whether that is
/// compressed.
const LAST: u8 = 0x80;
const DEFLATED: u8 = 0x40;

/// What the peer wants besides its data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// To hear this again: the last of the pings, which is the one that has to be answered
    /// (section 5.5.3).
    pub(super) pong: Option<Vec<u8>>,
    /// To end; with its status, 1005 when it gave none.
    pub(super) close: Option<u16>,
}

/// What was taken off.
#[derive(Debug)]
pub(super) struct Taken {
    /// Bytes of the frame.
    pub(super) len: usize,
    /// Those that are data, if they are.
    pub(super) data: Option<Data>,
}

/// Data of one message.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) len: usize,
    /// It is compressed.
    pub(super) deflated: bool,
    /// The message ends with it.
    pub(super) last: bool,
}

/// Takes frames off a stream of bytes that comes in pieces of any size.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Whether payloads have to be masked: those of clients.
    masked: bool,
    /// Bytes of one frame.
    limit: u64,
    /// A head that has begun.
    head: [u8; HEAD],
    head_len: usize,
    /// Payload of the current frame that is still to come.
    left: u64,
    mask: [u8; 4],
    /// Which byte of the mask is next.
    mask_at: usize,
    /// A message has begun and goes on in the next data frame.
    fragmented: bool,
    /// Compression has been agreed on: a message may be compressed.
    may_deflate: bool,
    /// The message that comes in is.
    deflated: bool,
    /// The data frame that comes in, and its message, end with `left`.
    last: bool,
    /// The control frame whose payload is coming in.
    control: Option<(u8, Vec<u8>)>,
    pub(super) wishes: Wishes,
}

impl Decoder {
    pub(super) fn new(masked: bool, limit: u64) -> Self {
        Self {
            masked,
            limit,
            head: [0; HEAD],
            head_len: 0,
            left: 0,
            mask: [0; 4],
            mask_at: 0,
            fragmented: false,
            may_deflate: false,
            deflated: false,
            last: false,
            control: None,
            wishes: Wishes::default(),
        }
    }

    /// From now on messages may be compressed.
    pub(super) fn allow_deflate(&mut self) {
        self.may_deflate = true;
    }

    /// Takes the frames off `bytes`: moves the data in them to the front, unmasked, and returns how much
    /// it is. With an error it is the data before it.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> (usize, Result<(), WebSocketError>) {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && self.wishes.close.is_none() {
            let taken = match self.take(&mut bytes[from..]) {
                Ok(taken) => taken,
                Err(error) => return (to, Err(error)),
            };
            if let Some(data) = taken.data {
                bytes.copy_within(from..from + data.len, to);
                to += data.len;
            }
            from += taken.len;
        }
        (to, Ok(()))
    }

    /// Takes a head, as far as it is there, or payload, as much as is there of one frame: of data it is at
    /// the beginning of `bytes`, unmasked.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, WebSocketError> {
        let (len, mut data) = match self.left {
            0 => {
                let len = self.take_head(bytes);
                // A frame that is empty is data too: it may be the last of a message.
                let empty = self.begin()? && self.left == 0 && self.control.is_none();
                (len, empty.then_some(0))
            }
            left => {
                let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let payload = &mut bytes[..len];
                if self.masked {
                    self.mask_at = mask(payload, self.mask, self.mask_at);
                }
                self.left -= len as u64;
                match &mut self.control {
                    Some((_, gathered)) => {
                        gathered.extend_from_slice(payload);
                        (len, None)
                    }
                    None => (len, Some(len)),
                }
            }
        };
        if self.left == 0
            && let Some((kind, payload)) = self.control.take()
        {
            self.hear(kind, payload)?;
            data = None;
        }
        let data = data.map(|len| Data {
            len,
            deflated: self.deflated,
            last: self.last && self.left == 0,
        });
        Ok(Taken { len, data })
    }

    /// Takes bytes for the head of a frame, as many as it lacks.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.head_len < self.head_needs() && taken < bytes.len() {
            self.head[self.head_len] = bytes[taken];
            self.head_len += 1;
            taken += 1;
        }
        taken
    }

    /// How long the head is, as far as that is known.
    fn head_needs(&self) -> usize {
        if self.head_len < 2 {
            return 2;
        }
        let length = match self.head[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.head[1] & 0x80 != 0 { 4 } else { 0 }
    }

    /// Begins the frame whose head is complete; false while it isn't.
    fn begin(&mut self) -> Result<bool, WebSocketError> {
        let needs = self.head_needs();
        if self.head_len < needs {
            return Ok(false);
        }
        let head = self.head;
        self.head_len = 0;
        let (last, kind, masked) = (head[0] & 0x80 != 0, head[0] & 0x0F, head[1] & 0x80 != 0);
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6).
        let deflated = head[0] & DEFLATED != 0;
        if head[0] & 0x30 != 0 || deflated && !(self.may_deflate && matches!(kind, BINARY | TEXT)) {
            return Err(WebSocketError::Protocol(
                "a bit of an extension that nobody offered",
            ));
        }
        if masked != self.masked {
            return Err(WebSocketError::Protocol(match masked {
                true => "a server's frame with a mask",
                false => "a client's frame without a mask",
            }));
        }
        let length = match head[1] & 0x7F {
            126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
            127 => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&head[2..10]);
                u64::from_be_bytes(bytes)
            }
            short => u64::from(short),
        };
        if masked {
            self.mask.copy_from_slice(&head[needs - 4..needs]);
        }
        self.mask_at = 0;
        self.left = self.accept(kind, last, length)?;
        if kind == BINARY {
            self.deflated = deflated;
        }
        if self.control.is_none() {
            self.last = last;
        }
        Ok(true)
    }

    /// Whether a frame of this kind may come now; its length.
    fn accept(&mut self, kind: u8, last: bool, length: u64) -> Result<u64, WebSocketError> {
        match kind {
            CLOSE | PING | PONG => {
                if !last || length > CONTROL as u64 {
                    return Err(WebSocketError::Protocol(
                        "a control frame that is long or in parts",
                    ));
                }
                self.control = Some((kind, Vec::new()));
            }
            TEXT => return Err(WebSocketError::NotBinary),
            BINARY if self.fragmented => {
                return Err(WebSocketError::Protocol("a message inside of another one"));
            }
            CONTINUATION if !self.fragmented => {
                return Err(WebSocketError::Protocol(
                    "the rest of a message that has not begun",
                ));
            }
            BINARY | CONTINUATION => {
                if length > self.limit {
                    return Err(WebSocketError::FrameTooLarge(length));
                }
                self.fragmented = !last;
            }
            _ => return Err(WebSocketError::Protocol("a frame of an unknown kind")),
        }
        Ok(length)
    }

    fn hear(&mut self, kind: u8, payload: Vec<u8>) -> Result<(), WebSocketError> {
        match kind {
            PING => self.wishes.pong = Some(payload),
            CLOSE => {
                self.wishes.close = Some(match payload[..] {
                    [] => 1005,
                    [_] => return Err(WebSocketError::Protocol("half a status of a close")),
                    [high, low, ..] => u16::from_be_bytes([high, low]),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Masks or unmasks bytes, beginning with byte `at` of the mask; which one is next.
pub(super) fn mask(bytes: &mut [u8], mask: [u8; 4], at: usize) -> usize {
    let turned: [u8; 4] = std::array::from_fn(|n| mask[(at + n) % 4]);
    // In a form that compiles to wide operations.
    let mut chunks = bytes.chunks_exact_mut(4);
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(turned) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(turned) {
        *byte ^= mask;
    }
    (at + bytes.len()) % 4
}

/// The head of a part of a message: the first, the last, both or none, compressed or not.
pub(super) fn part_head(
    (first, last, deflated): (bool, bool, bool),
    length: usize,
    mask: Option<[u8; 4]>,
) -> ([u8; HEAD], usize) {
    let (mut head, len) = head(if first { BINARY } else { CONTINUATION }, length, mask);
    if !last {
        head[0] &= !LAST;
    }
    if first && deflated {
        head[0] |= DEFLATED;
    }
    (head, len)
}

/// The head of a frame that is a whole message, with its mask if it gets one; and its length.
pub(super) fn head(kind: u8, length: usize, mask: Option<[u8; 4]>) -> ([u8; HEAD], usize) {
    let mut head = [0; HEAD];
    head[0] = LAST | kind;
    let mut len = match length {
        0..=125 => {
            head[1] = length as u8;
            2
        }
        126..=0xFFFF => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    if let Some(mask) = mask {
        head[1] |= 0x80;
        head[len..len + 4].copy_from_slice(&mask);
        len += 4;
    }
    (head, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        let (head, len) = head(kind, payload.len(), key);
        let mut frame = head[..len].to_vec();
        let mut payload = payload.to_vec();
        if let Some(key) = key {
            mask(&mut payload, key, 0);
        }
        frame.extend(payload);
        frame
    }

    /// Decodes in pieces of this size.
    fn decode(
        decoder: &mut Decoder,
        bytes: &[u8],
        size: usize,
    ) -> (Vec<u8>, Option<WebSocketError>) {
        let mut data = Vec::new();
        for piece in bytes.chunks(size) {
            let mut piece = piece.to_vec();
            let (len, end) = decoder.decode(&mut piece);
            data.extend_from_slice(&piece[..len]);
            if let Err(error) = end {
                return (data, Some(error));
            }
        }
        (data, None)
    }

    #[test]
    fn frames_come_apart_wherever_they_are_cut() {
        let key = Some([1, 2, 3, 4]);
        let long: Vec<u8> = (0..70_000u32).map(|n| n as u8).collect();
        let mut bytes = frame(BINARY, b"first", key);
        bytes.extend(frame(PING, b"?", key));
        bytes.extend(frame(BINARY, b"", key));
        bytes.extend(frame(BINARY, &long[..200], key));
        bytes.extend(frame(BINARY, &long, key));
        bytes.extend(frame(PONG, b"unasked", key));
        // In two parts, with a ping between.
        let mut begun = frame(BINARY, b"be", key);
        begun[0] &= 0x7F;
        bytes.extend(begun);
        bytes.extend(frame(PING, b"!", key));
        bytes.extend(frame(CONTINUATION, b"gun", key));
        let expected = [b"first", &long[..200], &long, b"begun"].concat();
        for size in [1, 2, 3, 5, 7, 64, 1000, usize::MAX] {
            let mut decoder = Decoder::new(true, 1 << 20);
            let (data, error) = decode(&mut decoder, &bytes, size);
            assert!(data == expected && error.is_none(), "{size}: {error:?}");
            assert_eq!(decoder.wishes.pong.as_deref(), Some(&b"!"[..]));
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_refused_behind_what_was_right() {
        let protocol = |error| matches!(error, Some(WebSocketError::Protocol(_)));
        for wrong in [
            frame(BINARY, b"masked", Some([0; 4])),
            frame(CONTINUATION, b"", None),
            frame(0x3, b"", None),
            frame(0xB, b"", None),
            frame(PING, &[0; 126], None),
            frame(CLOSE, &[3], None),
            vec![0x09, 0],
            vec![0xC2, 0],
            vec![0x02, 0, 0x82, 0],
        ] {
            let mut bytes = frame(BINARY, b"right", None);
            bytes.extend(&wrong);
            let (data, error) = decode(&mut Decoder::new(false, 100), &bytes, usize::MAX);
            assert!(data == b"right" && protocol(error), "{wrong:?}");
        }
        let decode = |bytes: &[u8]| decode(&mut Decoder::new(false, 100), bytes, 3).1;
        assert_eq!(
            decode(&frame(TEXT, b"{}", None)),
            Some(WebSocketError::NotBinary)
        );
        let large = decode(&frame(BINARY, &[0; 101], None));
        assert_eq!(large, Some(WebSocketError::FrameTooLarge(101)));
        let endless = [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(
            decode(&endless),
            Some(WebSocketError::FrameTooLarge(u64::MAX))
        );
    }

    #[test]
    fn nothing_counts_behind_a_close() {
        let mut bytes = frame(CLOSE, &[0x03, 0xE9, b'b'], None);
        bytes.extend(frame(TEXT, b"x", None));
        let mut decoder = Decoder::new(false, 100);
        assert_eq!(decoder.decode(&mut bytes), (0, Ok(())));
        assert_eq!(decoder.wishes.close, Some(1001));
    }
}
