//! WebSockets (RFC 6455) above a stream, as MQTT uses them: subprotocol `mqtt`, binary frames,
//! of extensions only compression (RFC 7692). What the frames carry is one stream of bytes; where they begin and end means nothing.
//!
//! The framing is ours because nothing has to be kept for it: a payload is unmasked where it was
//! read, a frame is written from where its bytes lie, and a connection at rest owns no buffer.
//! Libraries for WebSockets gather messages, which a stream has no use for.

mod coder;
mod deflate;
mod error;
mod frame;
mod handshake;
mod layer;

pub use deflate::Deflate;
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
        let deflate = Some(super::Deflate::default());
        let server = super::WebSocketServer {
            deflate,
            ..super::WebSocketServer::default()
        };
        let _ = super::handshake::answer(bytes, &server);
        let _ = super::handshake::check_answer(bytes, "key", deflate.as_ref());
    }

    /// What a server makes of the frames of a client with which compression is agreed on, cut as before:
    /// never more than may come of one message.
    pub fn deflated(bytes: &[u8], cuts: &[u8], context: bool) {
        const LIMIT: usize = 4096;
        let options = super::Deflate {
            context,
            message_bytes: LIMIT as u64,
            ..super::Deflate::default()
        };
        let mut server = super::layer::fuzzing::Server::new(&options);
        let mut rest = bytes;
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
            let (now, later) = rest.split_at(cut.min(rest.len()));
            if !server.take(now) {
                return;
            }
            rest = later;
        }
    }
}
