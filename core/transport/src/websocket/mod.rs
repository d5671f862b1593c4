//! WebSockets (RFC 6455) above a stream, as MQTT uses them: subprotocol `mqtt`, binary frames, no
//! extensions. What the frames carry is one stream of bytes; where they begin and end means nothing.
//!
//! The framing is ours because nothing has to be kept for it: a payload is unmasked where it was
//! read, a frame is written from where its bytes lie, and a connection at rest owns no buffer.
//! Libraries for WebSockets gather messages, which a stream has no use for.

mod error;
mod frame;
mod handshake;
mod layer;

pub use error::WebSocketError;
pub use handshake::{WebSocketOptions, WebSocketServer};
pub use layer::{UnitLength, WebSocketStream};

/// What parsers of foreign bytes make of some, for fuzzing: no panic, and nothing beyond its bounds.
#[doc(hidden)]
pub mod fuzzing {
    /// Frames, as a server and as a client read them, cut after the bytes that `cuts` says.
    pub fn frames(bytes: &[u8], cuts: &[u8], masked: bool) {
        let mut decoder = super::frame::Decoder::new(masked, 1 << 20);
        let mut rest = bytes;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
            let (now, later) = rest.split_at(cut.min(rest.len()));
            let mut part = now.to_vec();
            let (payload, end) = decoder.decode(&mut part);
            assert!(payload <= part.len());
            if end.is_err() {
                return;
            }
            rest = later;
        }
    }

    /// Heads of requests and answers.
    pub fn heads(bytes: &[u8]) {
        let server = super::WebSocketServer::default();
        let _ = super::handshake::answer(bytes, &server);
        let _ = super::handshake::check_answer(bytes, "key");
    }
}
