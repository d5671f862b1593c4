//! The state of compression: what a message that comes in is inflated with, and one that goes out deflated.

use std::cell::RefCell;
use std::fmt;
use std::io::IoSlice;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::deflate::{Agreed, Deflate, MIN_BITS};
use super::error::WebSocketError;
use crate::held::Held;

/// What ends each piece that is flushed, and is left out at the end of a message (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Fast: it holds up the other clients of a shard.
const LEVEL: u32 = 2;

/// What deflate may add to what it can't make smaller, head and tail of a flush included.
const MORE: usize = 128;

thread_local! {
    /// For messages that know nothing of each other.
    static INFLATER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
    static DEFLATER: RefCell<Option<(u8, Compress)>> = const { RefCell::new(None) };
}

/// Both ways of one WebSocket.
pub(super) struct Coder {
    agreed: Agreed,
    min_bytes: usize,
    message_bytes: u64,
    /// Kept between messages, or of one that has come in half.
    inflater: Option<Decompress>,
    deflater: Option<Compress>,
    /// Compressed bytes for which there was no room yet.
    payload: Held,
    /// How much of the tail is still to come, once the message has ended.
    tail: Option<usize>,
    /// There was no room for all that is inflated.
    pending: bool,
    /// Inflated bytes of the message.
    inflated: u64,
    /// Came below, and is no frame yet.
    pub(super) raw: Held,
    /// Nothing more was to be read below.
    pub(super) drained: bool,
    /// Of the message that goes out.
    pub(super) message: Outgoing,
}

/// A message of which a part has gone out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Bytes to come, before they are compressed; 0 between messages.
    pub(super) left: usize,
    pub(super) deflated: bool,
    pub(super) begun: bool,
}

impl Coder {
    pub(super) fn new(agreed: Agreed, options: &Deflate) -> Self {
        Self {
            agreed,
            min_bytes: options.min_bytes,
            message_bytes: options.message_bytes,
            inflater: None,
            deflater: None,
            payload: Held::default(),
            tail: None,
            pending: false,
            inflated: 0,
            raw: Held::default(),
            drained: false,
            message: Outgoing::default(),
        }
    }

    /// Begins a message of this length to go out.
    pub(super) fn begin(&mut self, length: usize) {
        self.message = Outgoing {
            left: length,
            deflated: length >= self.min_bytes && self.agreed.out_bits >= MIN_BITS,
            begun: false,
        };
    }

    /// Takes compressed bytes of a message, and whether they are its last.
    pub(super) fn take(&mut self, bytes: &[u8], last: bool) {
        self.payload.extend(bytes);
        if last {
            self.tail = Some(TAIL.len());
        }
    }

    /// Whether something is to be inflated before the next frame.
    pub(super) fn is_inflating(&self) -> bool {
        self.pending || self.tail.is_some() || !self.payload.is_empty()
    }

    /// Inflates as much as there is room for.
    ///
    /// # Errors
    /// What came is no deflate data, or too much.
    pub(super) fn inflate(&mut self, target: &mut [u8]) -> Result<usize, WebSocketError> {
        let mut made = 0;
        while made < target.len() && self.is_inflating() {
            let room = &mut target[made..];
            let of_payload = !self.payload.is_empty();
            let input = match of_payload {
                true => self.payload.as_slice(),
                false => &TAIL[TAIL.len() - self.tail.unwrap_or(0)..],
            };
            let agreed = &self.agreed;
            let inflater = self.inflater.get_or_insert_with(|| inflater(agreed));
            let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
            let status = inflater.decompress(input, room, FlushDecompress::None);
            let used = (inflater.total_in() - before_in) as usize;
            let output = (inflater.total_out() - before_out) as usize;
            let stuck = used == 0 && output == 0 && !input.is_empty();
            self.pending = output == room.len();
            match status {
                // Its last block: what follows begins anew, and knows nothing of what was before.
                Ok(Status::StreamEnd) => {
                    inflater.reset(false);
                    self.pending = false;
                }
                Ok(_) if !stuck => {}
                Ok(_) | Err(_) => return Err(WebSocketError::Inflate),
            }
            self.inflated += output as u64;
            if self.inflated > self.message_bytes {
                return Err(WebSocketError::MessageTooLarge(self.message_bytes));
            }
            made += output;
            if of_payload {
                self.payload.advance(used);
            } else if let Some(left) = &mut self.tail {
                *left -= used;
                if *left == 0 && !self.pending {
                    self.end();
                }
            }
        }
        Ok(made)
    }

    /// Compresses a piece of a message, the last one or not. `None`: it is better sent as it is, which
    /// only a whole message can be.
    pub(super) fn deflate(
        &mut self,
        piece: &[IoSlice<'_>],
        whole: bool,
        last: bool,
    ) -> Option<Vec<u8>> {
        let bits = self.agreed.out_bits;
        let length: usize = piece.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(length + length / 64 + MORE);
        if self.agreed.out_context {
            let deflater = self.deflater.get_or_insert_with(|| deflater(bits));
            compress(deflater, piece, &mut out);
        } else {
            // Pieces know as little of each other as messages, so that nothing is kept between two writes.
            let kept = DEFLATER.take().filter(|(kept, _)| *kept == bits);
            let mut deflater = kept.map_or_else(|| deflater(bits), |(_, kept)| kept);
            compress(&mut deflater, piece, &mut out);
            deflater.reset();
            DEFLATER.set(Some((bits, deflater)));
            if whole && out.len() >= length + TAIL.len() {
                return None;
            }
        }
        if last && out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        Some(out)
    }

    /// The message has ended.
    fn end(&mut self) {
        (self.tail, self.inflated) = (None, 0);
        if !self.agreed.in_context
            && let Some(mut inflater) = self.inflater.take()
        {
            inflater.reset(false);
            INFLATER.set(Some(inflater));
        }
    }
}

impl fmt::Debug for Coder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coder").field(&self.agreed).finish()
    }
}

fn inflater(agreed: &Agreed) -> Decompress {
    match agreed.in_context {
        true => Decompress::new_with_window_bits(false, agreed.in_bits.max(MIN_BITS)),
        // The largest window does for all.
        false => INFLATER.take().unwrap_or_else(|| Decompress::new(false)),
    }
}

fn deflater(bits: u8) -> Compress {
    Compress::new_with_window_bits(Compression::new(LEVEL), false, bits)
}

/// Puts parts through, and flushes what is inside.
fn compress(deflater: &mut Compress, parts: &[IoSlice<'_>], out: &mut Vec<u8>) {
    for part in parts {
        run(deflater, part, FlushCompress::None, out);
    }
    run(deflater, &[], FlushCompress::Sync, out);
}

fn run(deflater: &mut Compress, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    loop {
        if out.capacity() - out.len() < MORE {
            out.reserve(4096);
        }
        let before = deflater.total_in();
        // An error would be one of how it is called; BufError only says that there was nothing to do.
        let done = deflater.compress_vec(input, out, flush);
        let used = (deflater.total_in() - before) as usize;
        input = &input[used..];
        if done.is_err() || (input.is_empty() && out.len() < out.capacity()) {
            return;
        }
    }
}
