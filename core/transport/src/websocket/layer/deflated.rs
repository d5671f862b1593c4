//! Reading and writing where compression has been agreed on. A connection without it takes none of this.

use std::io::{self, IoSlice};

use super::super::coder::Coder;
use super::super::error::WebSocketError;
use super::super::frame::{mask, part_head};
use super::{CHUNK, GATHERED, ROUNDS, SLICES, WebSocketStream, gather};
use crate::held::Held;

/// Bytes of one read below.
const PIECE: usize = 16 * 1024;

impl WebSocketStream {
    pub(super) fn read_deflated(&mut self, target: &mut [u8]) -> io::Result<usize> {
        for _ in 0..ROUNDS {
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            if let Some(coder) = self.coder.take() {
                let (coder, made) = self.take_in(coder, target);
                let more = self.peer_closed || self.failed.is_some() || !coder.raw.is_empty();
                self.drained = coder.drained && !more && !coder.is_inflating();
                self.coder = Some(coder);
                if made > 0 {
                    return Ok(made);
                }
                if self.failed.is_some() {
                    continue;
                }
            }
            if self.peer_closed {
                return Ok(0);
            }
            let mut bytes = [0; PIECE];
            let early = !self.early.is_empty();
            let read = match early {
                true => self.early.take(&mut bytes),
                false => self.below.read(&mut bytes)?,
            };
            if read == 0 {
                self.peer_closed = true;
                return Ok(0);
            }
            if let Some(coder) = &mut self.coder {
                coder.drained = !early && self.below.is_drained(read, PIECE);
                coder.raw.extend(&bytes[..read]);
            }
        }
        // Whoever sends so much of nothing is asked again when more comes.
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Takes frames off what is here, and makes bytes of them, as many as there is room for.
    fn take_in(&mut self, mut coder: Box<Coder>, target: &mut [u8]) -> (Box<Coder>, usize) {
        let mut made = 0;
        let end = self.fill(&mut coder, target, &mut made);
        self.respond();
        if let Err(error) = end {
            self.say_close(error.close_code());
            self.failed = Some(error.into());
            coder.raw = Held::default();
        }
        (coder, made)
    }

    fn fill(
        &mut self,
        coder: &mut Coder,
        target: &mut [u8],
        made: &mut usize,
    ) -> Result<(), WebSocketError> {
        loop {
            *made += coder.inflate(&mut target[*made..])?;
            let room = target.len() - *made;
            if room == 0 || coder.raw.is_empty() || self.decoder.wishes.close.is_some() {
                return Ok(());
            }
            // No more than there is room for, should it not be compressed.
            let mut bytes = [0; PIECE];
            let count = room.min(PIECE).min(coder.raw.len());
            bytes[..count].copy_from_slice(&coder.raw.as_slice()[..count]);
            let taken = self.decoder.take(&mut bytes[..count])?;
            coder.raw.advance(taken.len);
            match taken.data {
                Some(data) if data.deflated => coder.take(&bytes[..data.len], data.last),
                Some(data) => {
                    target[*made..*made + data.len].copy_from_slice(&bytes[..data.len]);
                    *made += data.len;
                }
                None => {}
            }
        }
    }

    /// Frames of which each holds a unit or a part of one, compressed where that is worth it.
    pub(super) fn write_deflated(&mut self, slices: &[IoSlice<'_>]) -> (usize, io::Result<()>) {
        let Some(mut coder) = self.coder.take() else {
            return (0, Err(io::ErrorKind::NotConnected.into()));
        };
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let (mut taken, mut end) = (0, Ok(()));
        while taken < total && end.is_ok() {
            if coder.message.left == 0 {
                let length = self.next_frame(slices, taken, total);
                // Units may be as long as they are; what has no bounds gets some.
                let length = self.unit.map_or(length.min(CHUNK), |_| length);
                coder.begin(length);
            }
            let most = coder.message.left.min(CHUNK);
            let mut parts = [IoSlice::new(&[]); SLICES];
            let length = gather(slices, taken, most, &mut parts);
            self.put_part(&mut coder, &parts, length);
            taken += length;
            if self.out.len() >= GATHERED {
                end = self.out.write_to(&mut self.below);
            }
        }
        self.coder = Some(coder);
        (taken, end.and_then(|()| self.flush()))
    }

    /// Puts a part of the message behind what is to be written.
    fn put_part(&mut self, coder: &mut Coder, parts: &[IoSlice<'_>], length: usize) {
        let message = &mut coder.message;
        let first = !std::mem::replace(&mut message.begun, true);
        message.left -= length;
        let (last, mut deflated) = (message.left == 0, message.deflated);
        let compressed = match deflated {
            true => coder.deflate(parts, first && last, last),
            false => None,
        };
        let mut payload = compressed.unwrap_or_else(|| {
            deflated = false;
            let mut plain = Vec::with_capacity(length);
            parts.iter().for_each(|part| plain.extend_from_slice(part));
            plain
        });
        let key = self.masks.as_mut().map(|masks| masks.next());
        let (head, head_len) = part_head((first, last, deflated), payload.len(), key);
        if let Some(key) = key {
            mask(&mut payload, key, 0);
        }
        self.out.extend(&head[..head_len]);
        self.out.extend(&payload);
    }
}
