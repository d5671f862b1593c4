//! What keeps the session of a link outside of the process.

use ternmq_protocol::client::Event;
use ternmq_protocol::{Message, Time};

/// A store that follows a session as things happen; given to
/// [`Link::open_observed`](super::Link::open_observed).
///
/// Its methods run under the lock of the link, before anything that depends on them is written to the
/// socket: a PUBLISH leaves once it is kept, PUBACK, PUBREC and PUBREL once the event that they follow
/// was noted. So they take the time of whoever publishes or, in [`note`](Self::note), of all clients of
/// the process, and must not call the link.
pub trait Journal: Send {
    /// A message with QoS 1 or 2 is about to be taken under this Packet Identifier. False when it can't
    /// be kept: then the publish is refused as
    /// [`NotKept`](ternmq_protocol::client::PublishRefused::NotKept).
    fn keep(&mut self, now: Time, packet_id: u16, message: &Message) -> bool;

    /// A message that was kept was not taken after all.
    fn withdraw(&mut self, packet_id: u16);

    /// The session has told something:
    /// - `Message`: acknowledged next, unless the application does that;
    /// - `Progress`: a step of QoS 2;
    /// - `Published`, `Dropped`: a message that was kept is done with;
    /// - `Connected`, `Disconnected`: the life of the connection.
    fn note(&mut self, now: Time, event: &Event);
}
