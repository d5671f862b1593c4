//! The layer itself: frames off what is read, frames around what is written.

mod deflated;

use std::fmt;
use std::io::{self, IoSlice};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::coder::Coder;
use super::deflate::{Agreed, Deflate};
use super::error::WebSocketError;
use super::frame::{BINARY, CLOSE, Decoder, PONG, head, mask};
use super::handshake::{WebSocketOptions, WebSocketServer, answer, check_answer, refusal, request};
use crate::held::Held;
use crate::http::{Head, HeadError, send};
use crate::stream::Stream;

/// Bytes of one frame that a client masks, which takes a copy.
const CHUNK: usize = 64 * 1024;

/// The largest of several units in one write that is copied behind its head: cheaper than two more slices of
/// the `writev`.
const COPIED: usize = 4096;

/// Copied units that are gathered before they are written; so much a peer that doesn't read makes the layer
/// hold.
const GATHERED: usize = 16 * 1024;

/// Slices of one write below: those of a driver, a head, and what was copied.
const SLICES: usize = 66;

/// Reads that bring nothing but control frames before others have their turn.
const ROUNDS: usize = 16;

/// Masks made from one call to the system's randomness.
const MASKS: usize = 64;

/// One end of a WebSocket above another stream.
pub struct WebSocketStream {
    below: Stream,
    /// Until the WebSocket is open.
    opening: Option<Box<Opening>>,
    decoder: Decoder,
    /// Came behind the head of the opening.
    early: Held,
    /// Heads, control frames, and a client's masked payload, not written yet.
    out: Held,
    /// Payload that was announced to the peer and is to come from the next writes.
    announced: usize,
    /// To be answered between two frames.
    pong: Option<Vec<u8>>,
    /// A client's.
    masks: Option<Box<Masks>>,
    /// A server's whose frames hold one unit each.
    unit: Option<UnitLength>,
    /// Where both ends have agreed to compress.
    coder: Option<Box<Coder>>,
    drained: bool,
    peer_closed: bool,
    /// Nothing more is written.
    ended: bool,
    /// What comes after what has been read.
    failed: Option<io::Error>,
}

/// Tells how long the unit is that begins with these bytes; `None` where they don't say. The first slice of a
/// unit has to be enough for it.
pub type UnitLength = fn(&[u8]) -> Option<usize>;

struct Opening {
    role: Role,
    /// Of the other end.
    head: Head,
    limit: usize,
}

enum Role {
    /// The key of the question; whether the stream below is connected.
    Client {
        key: String,
        connected: bool,
        deflate: Option<Deflate>,
    },
    Server(WebSocketServer),
}

/// Numbers that a script in a browser can't foresee, so that it can't make a client write what looks
/// like something else to a proxy (RFC 6455 section 10.3).
struct Masks {
    bytes: [u8; 4 * MASKS],
    used: usize,
}

impl WebSocketOptions {
    /// Opens a WebSocket above a stream that is being connected; [`Stream::connected`] tells when it is
    /// open. `authority` is host and port, an IPv6 address in brackets; `secure` says whether there
    /// is TLS below.
    ///
    /// # Errors
    /// [`WebSocketError::Header`], [`WebSocketError::Randomness`], [`WebSocketError::WindowBits`].
    pub fn connect(
        &self,
        below: Stream,
        secure: bool,
        authority: &str,
        path: &str,
    ) -> io::Result<Stream> {
        if let Some(deflate) = self.deflate.filter(|deflate| !deflate.is_possible()) {
            return Err(WebSocketError::WindowBits(deflate.window_bits).into());
        }
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|_| WebSocketError::Randomness)?;
        let key = BASE64_STANDARD.encode(key);
        let request = request(self, secure, authority, path, &key)?;
        let opening = Opening {
            role: Role::Client {
                key,
                connected: false,
                deflate: self.deflate,
            },
            head: Head::default(),
            limit: self.head_bytes,
        };
        let mut stream =
            WebSocketStream::new(below, opening, Decoder::new(false, self.frame_bytes));
        stream.out.extend(&request);
        stream.masks = Some(Box::new(Masks {
            bytes: [0; 4 * MASKS],
            used: MASKS,
        }));
        Ok(Stream::WebSocket(Box::new(stream)))
    }
}

impl WebSocketServer {
    /// Expects the opening of a WebSocket from an accepted stream, while that is read. Each write becomes
    /// one frame.
    pub fn accept(&self, below: Stream) -> Stream {
        self.serve(below, None)
    }

    /// The same, but what is written consists of units, and each of them gets a frame of its own: no
    /// standard demands it, but there are peers that look for one packet in a frame and no more. A write
    /// has to begin where a unit begins or where the last one stopped.
    pub fn accept_units(&self, below: Stream, length: UnitLength) -> Stream {
        self.serve(below, Some(length))
    }

    fn serve(&self, below: Stream, unit: Option<UnitLength>) -> Stream {
        let mut server = self.clone();
        // A window that there is not: nobody is given it.
        server.deflate = server.deflate.filter(Deflate::is_possible);
        let opening = Opening {
            role: Role::Server(server),
            head: Head::default(),
            limit: self.head_bytes,
        };
        let decoder = Decoder::new(true, self.frame_bytes);
        let mut stream = WebSocketStream::new(below, opening, decoder);
        stream.unit = unit;
        Stream::WebSocket(Box::new(stream))
    }
}

impl WebSocketStream {
    fn new(below: Stream, opening: Opening, decoder: Decoder) -> Self {
        Self {
            below,
            opening: Some(Box::new(opening)),
            decoder,
            early: Held::default(),
            out: Held::default(),
            announced: 0,
            pong: None,
            masks: None,
            unit: None,
            coder: None,
            drained: false,
            peer_closed: false,
            ended: false,
            failed: None,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.opening.is_none()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.drained
    }

    pub(crate) fn below(&self) -> &Stream {
        &self.below
    }

    pub(crate) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    pub(crate) fn connected(&mut self) -> io::Result<bool> {
        let Some(opening) = &mut self.opening else {
            return Ok(true);
        };
        if let Role::Client { connected, .. } = &mut opening.role {
            *connected = *connected || self.below.connected()?;
            if !*connected {
                return Ok(false);
            }
        }
        match self.open() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            opened => opened.map(|()| true),
        }
    }

    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.drained = false;
        if self.opening.is_some() {
            match self.open() {
                Err(_) if self.peer_closed => return Ok(0),
                opened => opened?,
            }
        }
        if self.coder.is_some() {
            return self.read_deflated(target);
        }
        for _ in 0..ROUNDS {
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            if self.peer_closed {
                return Ok(0);
            }
            let early = !self.early.is_empty();
            let read = match early {
                true => self.early.take(target),
                false => self.below.read(target)?,
            };
            if read == 0 {
                self.peer_closed = true;
                return Ok(0);
            }
            let (data, end) = self.decoder.decode(&mut target[..read]);
            self.respond();
            if let Err(error) = end {
                self.say_close(error.close_code());
                self.failed = Some(error.into());
            }
            if data > 0 {
                let more = early || self.peer_closed || self.failed.is_some();
                self.drained = !more && self.below.is_drained(read, target.len());
                return Ok(data);
            }
        }
        // Whoever sends so much of nothing is asked again when more comes.
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.opening.is_some() || self.ended {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.flush()?;
        let wrote = match (&self.coder, &self.masks) {
            (Some(_), _) => self.write_deflated(slices),
            (None, Some(_)) => self.write_masked(slices),
            (None, None) => self.write_plain(slices),
        };
        match wrote {
            (taken, Err(e)) if taken > 0 && e.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            (_, Err(e)) => Err(e),
            (taken, Ok(())) => Ok(taken),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.write_to(&mut self.below)?;
        if self.announced == 0
            && let Some(payload) = self.pong.take()
        {
            self.put(PONG, payload);
            self.out.write_to(&mut self.below)?;
        }
        self.below.flush()
    }

    /// Ends the WebSocket with a Close frame, not the stream below: the peer answers with its own, and
    /// then the connection is over (RFC 6455 section 7.1.1).
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        if self.opening.is_some() {
            self.ended = true;
            return self.below.shutdown_write();
        }
        self.say_close(1000);
        match self.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Goes on with the opening.
    fn open(&mut self) -> io::Result<()> {
        let Some(opening) = &mut self.opening else {
            return Ok(());
        };
        if !send(&mut self.out, &mut self.below)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let end = match opening.head.read(&mut self.below, opening.limit) {
            Ok(end) => end,
            Err(HeadError::Io(error)) => {
                let serves = matches!(opening.role, Role::Server(_));
                return Err(match serves && opening.head.is_no_request() {
                    true => self.refuse(WebSocketError::NoHttp),
                    false => error,
                });
            }
            Err(HeadError::Closed) => {
                self.peer_closed = true;
                return Err(WebSocketError::Closed.into());
            }
            Err(HeadError::TooLarge) => return Err(self.refuse(WebSocketError::HeadTooLarge)),
        };
        let head = &opening.head.as_slice()[..end];
        let agreed = match &opening.role {
            Role::Client { key, deflate, .. } => {
                (check_answer(head, key, deflate.as_ref())?).zip(*deflate)
            }
            Role::Server(server) => match answer(head, server) {
                (answer, Ok(agreed)) => {
                    self.out.extend(&answer);
                    agreed.zip(server.deflate)
                }
                (_, Err(error)) => return Err(self.refuse(error)),
            },
        };
        self.compress(agreed);
        if let Some(opening) = self.opening.take() {
            self.early.extend(&opening.head.into_rest(end));
        }
        match self.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// From now on with compression, if there is any.
    fn compress(&mut self, agreed: Option<(Agreed, Deflate)>) {
        if let Some((agreed, options)) = agreed {
            self.decoder.allow_deflate();
            self.coder = Some(Box::new(Coder::new(agreed, &options)));
        }
    }

    /// Tells a client what is wrong with its request, as far as there is room.
    fn refuse(&mut self, error: WebSocketError) -> io::Error {
        let serves =
            matches!(&self.opening, Some(opening) if matches!(opening.role, Role::Server(_)));
        if serves && !self.ended {
            self.out.extend(&refusal(&error));
            let _ = self.flush();
            let _ = self.below.shutdown_write();
            self.ended = true;
        }
        error.into()
    }

    /// Does what the peer's control frames ask for.
    fn respond(&mut self) {
        if let Some(code) = self.decoder.wishes.close.take() {
            // A status that only says that there was none is not for the wire.
            self.say_close(if code == 1005 { 1000 } else { code });
            self.peer_closed = true;
        }
        if let Some(payload) = self.decoder.wishes.pong.take() {
            self.pong = Some(payload);
            // What has no room goes with the next write or flush.
            let _ = self.flush();
        }
    }

    /// Says that nothing more will come; not in the middle of a frame, where there is no place for it.
    fn say_close(&mut self, code: u16) {
        if !std::mem::replace(&mut self.ended, true) && self.announced == 0 {
            self.pong = None;
            self.put(CLOSE, code.to_be_bytes().to_vec());
            let _ = self.flush();
        }
    }

    /// Puts a control frame behind what is to be written.
    fn put(&mut self, kind: u8, mut payload: Vec<u8>) {
        let key = self.masks.as_mut().map(|masks| masks.next());
        let (head, len) = head(kind, payload.len(), key);
        if let Some(key) = key {
            mask(&mut payload, key, 0);
        }
        self.out.extend(&head[..len]);
        self.out.extend(&payload);
    }

    /// A server's frames: from where their bytes lie, but for small units that are written together.
    fn write_plain(&mut self, slices: &[IoSlice<'_>]) -> (usize, io::Result<()>) {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = 0;
        while taken < total {
            let (mut frame, mut frame_len) = ([0; 14], 0);
            if self.announced == 0 {
                taken += self.copy_units(slices, taken, total - taken);
                self.announced = self.next_frame(slices, taken, total);
                if self.announced > 0 {
                    (frame, frame_len) = head(BINARY, self.announced, None);
                }
            }
            let copied = self.out.len();
            let mut parts = [IoSlice::new(&[]); SLICES];
            parts[0] = IoSlice::new(self.out.as_slice());
            parts[1] = IoSlice::new(&frame[..frame_len]);
            let gathered = gather(slices, taken, self.announced, &mut parts[2..]);
            let wrote = match self.below.write_vectored(&parts) {
                Ok(wrote) => wrote,
                Err(error) => {
                    self.out.extend(&frame[..frame_len]);
                    return (taken, Err(error));
                }
            };
            self.out.advance(wrote.min(copied));
            let of_frame = wrote.saturating_sub(copied);
            if of_frame < frame_len {
                self.out.extend(&frame[of_frame..frame_len]);
            }
            let payload = of_frame.saturating_sub(frame_len);
            taken += payload;
            self.announced -= payload;
            if wrote < copied + frame_len + gathered {
                return (taken, Err(io::ErrorKind::WouldBlock.into()));
            }
        }
        (taken, Ok(()))
    }

    /// Copies small units, each behind its head, where there is more than one; how many bytes of `slices`
    /// those are.
    fn copy_units(&mut self, slices: &[IoSlice<'_>], mut skip: usize, rest: usize) -> usize {
        let Some(unit_length) = self.unit else {
            return 0;
        };
        let mut taken = 0;
        for slice in slices {
            let from = skip.min(slice.len());
            skip -= from;
            let mut bytes = &slice[from..];
            while let Some(length) = unit_length(bytes)
                && (1..=COPIED).contains(&length)
                && let Some((unit, behind)) = bytes.split_at_checked(length)
                && length < rest
                && self.out.len() < GATHERED
            {
                if taken == 0 {
                    self.out.reserve(rest.min(GATHERED));
                }
                let (head, head_len) = head(BINARY, length, None);
                self.out.extend(&head[..head_len]);
                self.out.extend(unit);
                taken += length;
                bytes = behind;
            }
            if !bytes.is_empty() {
                break;
            }
        }
        taken
    }

    /// How much the next frame holds: one unit, or all that there is.
    fn next_frame(&self, slices: &[IoSlice<'_>], taken: usize, total: usize) -> usize {
        let mut parts = [IoSlice::new(&[]); 1];
        gather(slices, taken, total, &mut parts);
        match self.unit.and_then(|length| length(&parts[0])) {
            Some(length) if length > 0 => length,
            _ => total - taken,
        }
    }

    /// A client's frames, masked in a copy.
    fn write_masked(&mut self, slices: &[IoSlice<'_>]) -> (usize, io::Result<()>) {
        let mut rest: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = 0;
        while rest > 0 {
            let mut parts = [IoSlice::new(&[]); SLICES];
            let len = gather(slices, taken, CHUNK, &mut parts);
            let mut payload = Vec::with_capacity(len);
            parts
                .iter()
                .for_each(|part| payload.extend_from_slice(part));
            self.put(BINARY, payload);
            (taken, rest) = (taken + len, rest - len);
            if let Err(error) = self.flush() {
                return (taken, Err(error));
            }
        }
        (taken, Ok(()))
    }
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        if self.used == MASKS {
            self.used = 0;
            if getrandom::fill(&mut self.bytes).is_err() {
                // Masks protect badly built proxies from scripts in a browser, which this is not: the
                // ones from before will do.
                self.bytes.rotate_left(1);
            }
        }
        let at = self.used * 4;
        self.used += 1;
        [
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ]
    }
}

/// Slices of what comes behind the first `skip` bytes, up to `limit` bytes; how many those are.
fn gather<'a>(
    slices: &'a [IoSlice<'a>],
    mut skip: usize,
    limit: usize,
    parts: &mut [IoSlice<'a>],
) -> usize {
    let mut gathered = 0;
    let mut parts = parts.iter_mut();
    for slice in slices {
        let from = skip.min(slice.len());
        skip -= from;
        let slice = &slice[from..];
        let slice = &slice[..slice.len().min(limit - gathered)];
        if slice.is_empty() {
            continue;
        }
        let Some(part) = parts.next() else {
            break;
        };
        *part = IoSlice::new(slice);
        gathered += slice.len();
    }
    gathered
}

impl fmt::Debug for WebSocketStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocket").field(&self.below).finish()
    }
}

/// What a server with compression makes of bytes, without a connection.
pub(super) mod fuzzing {
    use std::io::IoSlice;

    use super::super::deflate::{Deflate, choose};
    use super::super::frame::Decoder;
    use super::{Head, Opening, Role, Stream, WebSocketServer, WebSocketStream};

    /// One, and the client's end of its pipe.
    pub(crate) struct Server {
        raw: Stream,
        server: WebSocketStream,
    }

    impl Server {
        pub(crate) fn new(options: &Deflate) -> Self {
            let (raw, below) = crate::pipe(1 << 20);
            let opening = Opening {
                role: Role::Server(WebSocketServer::default()),
                head: Head::default(),
                limit: 0,
            };
            let mut server = WebSocketStream::new(below, opening, Decoder::new(true, 1 << 20));
            server.opening = None;
            let offer = &b"permessage-deflate; client_max_window_bits"[..];
            let agreed = choose([offer].into_iter(), options);
            server.compress(agreed.map(|(agreed, _)| (agreed, *options)));
            Self { raw, server }
        }

        /// Takes bytes; false when the connection has ended.
        pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
            let _ = self.raw.write_vectored(&[IoSlice::new(bytes)]);
            let mut buffer = [0; 1000];
            loop {
                match self.server.read(&mut buffer) {
                    Ok(0) => return false,
                    Ok(len) => assert!(len <= buffer.len()),
                    Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        }
    }
}
