//! Bytes that arrive in pieces, and the packets in them.

use ternmq_test_broker_wire::{Line, frame, packet};

/// What one connection has received and nobody has looked at.
#[derive(Debug)]
pub struct Frames {
    level: u8,
    unread: Vec<u8>,
}

impl Frames {
    /// Of a connection in MQTT `level`.
    #[must_use]
    pub fn new(level: u8) -> Self {
        Self {
            level,
            unread: Vec::new(),
        }
    }

    /// More bytes have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next packet, once it is whole.
    ///
    /// # Errors
    /// It breaks the standard.
    pub fn take(&mut self) -> Result<Option<Line>, String> {
        let Some((first, start, end)) = frame(&self.unread).map_err(|e| e.to_string())? else {
            return Ok(None);
        };
        let line = packet::decode(self.level, first, &self.unread[start..end]);
        self.unread.drain(..end);
        line.map(Some)
            .map_err(|e| format!("a malformed packet: {e}"))
    }

    /// Bytes of a packet that is not whole.
    #[must_use]
    pub fn left(&self) -> usize {
        self.unread.len()
    }
}
