//! Frames of WebSockets and heads of HTTP, as each end reads them.

use crate::choice;
use ternmq_transport::websocket::fuzzing;

/// The first byte chooses heads, or whose frames; the second how many cuts follow it, where a piece of
/// what comes in ends.
pub fn websocket(data: &[u8]) {
    let Some((which, rest)) = choice(data) else {
        return;
    };
    if which % 3 == 2 {
        return fuzzing::heads(rest);
    }
    let Some((cuts, rest)) = choice(rest) else {
        return;
    };
    let (cuts, bytes) = rest.split_at(rest.len().min(cuts % 8));
    fuzzing::frames(bytes, cuts, which % 3 == 0);
}
