//! Frames of WebSockets, compressed ones too, and heads of HTTP, as each end reads them.

use crate::choice;
use ternmq_transport::websocket::fuzzing;

/// The first byte chooses heads, or whose frames; the second how many cuts follow it, where a piece of
/// what comes in ends.
pub fn websocket(data: &[u8]) {
    let Some((which, rest)) = choice(data) else {
        return;
    };
    if which % 5 == 2 {
        return fuzzing::heads(rest);
    }
    let Some((cuts, rest)) = choice(rest) else {
        return;
    };
    let (cuts, bytes) = rest.split_at(rest.len().min(cuts % 8));
    match which % 5 {
        3 | 4 => fuzzing::deflated(bytes, cuts, which % 5 == 4),
        masked => fuzzing::frames(bytes, cuts, masked == 0),
    }
}
