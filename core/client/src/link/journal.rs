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
    /// A message with QoS 1 or 2, or one with a note that has to wait, is about to be taken. False when
    /// it can't be kept: then the publish is refused as
    /// [`NotKept`](ternmq_protocol::client::PublishRefused::NotKept).
    fn keep(&mut self, now: Time, name: Name, message: &Message) -> bool;

    /// A message that was kept was not taken after all.
    fn withdraw(&mut self, name: Name);

    /// The session has told something:
    /// - `Message`: acknowledged next, unless the application does that;
    /// - `Progress`: a message that waited has started, or a step of QoS 2;
    /// - `Published`, `Dropped`, `Sent`, `NotSent`: a message that was kept is done with;
    /// - `Connected`, `Disconnected`: the life of the connection.
    fn note(&mut self, now: Time, event: &Event);
}

/// What a message is known by that a [`Journal`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its Packet Identifier, 0 with QoS 0.
    pub packet_id: u16,
    /// With QoS 0, what it is published with.
    pub note: u32,
    /// It goes to the outbox: it is sent when `Progress::Started` or `Sent` tells so.
    pub waits: bool,
}
