//! The sockets of a shard, by connection.

use ternmq_protocol::broker::{ConnId, ListenerId};
use ternmq_transport::Stream;

/// All that the driver keeps for a connection: 40 bytes, and nothing else while it is idle.
pub(crate) struct Slot {
    pub(crate) stream: Stream,
    /// Tells this connection from an earlier one of the same number.
    pub(crate) generation: u32,
    /// Through which it came in.
    pub(crate) listener: ListenerId,
    pub(crate) unread: Unread,
    /// The poller has said that no more will come: read to the end.
    pub(crate) hung_up: bool,
    /// A write has found no room; the poller will tell.
    pub(crate) blocked: bool,
    /// Has published: is not read while another shard's mailbox is full.
    pub(crate) publisher: bool,
    /// What is read is thrown away; what is to be sent is the last.
    pub(crate) closing: bool,
    /// Nobody takes what is sent any more, and what came in before is not handled yet.
    pub(crate) lost: bool,
    /// Something has been sent since closing began: let the peer read it before the socket goes.
    pub(crate) said_goodbye: bool,
}

/// Whether a connection may have something to read that the poller won't tell of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    No,
    /// It is in the list of those that are looked at in each turn.
    Listed,
    /// It is over its rate: nobody looks before the shard says that it isn't any more.
    Waits,
    /// It publishes, and another shard's mailbox is full: nobody looks before all have room.
    Stalled,
}

/// Slots that an emptied table keeps.
const KEPT: usize = 1024;

#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Slot>>,
    used: usize,
    generation: u32,
}

impl Slots {
    pub(crate) fn insert(
        &mut self,
        conn: ConnId,
        stream: Stream,
        listener: ListenerId,
    ) -> &mut Slot {
        let at = conn.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        self.used += usize::from(self.slots[at].is_none());
        self.generation = self.generation.wrapping_add(1);
        self.slots[at].insert(Slot {
            stream,
            generation: self.generation,
            listener,
            unread: Unread::No,
            hung_up: false,
            blocked: false,
            publisher: false,
            closing: false,
            lost: false,
            said_goodbye: false,
        })
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&Slot> {
        self.slots.get(conn.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Slot> {
        self.slots.get_mut(conn.0 as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Slot> {
        let slot = self.slots.get_mut(conn.0 as usize)?.take()?;
        self.used -= 1;
        if self.used == 0 && self.slots.len() > KEPT {
            self.slots = Vec::new();
        }
        Some(slot)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Slot)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, slot)| Some((ConnId(at as u32), slot.as_ref()?)))
    }

    /// Open sockets.
    pub(crate) fn len(&self) -> usize {
        self.used
    }
}

// The idle footprint stands or falls with this.
const _: () = assert!(cfg!(debug_assertions) || size_of::<Option<Slot>>() <= 40);
