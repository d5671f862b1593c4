//! This shard's part in traces of clients.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use ternmq_protocol::broker::{ConnId, ListenerId};
use ternmq_transport::Stream;

use super::Driver;
use crate::trace::{Cut, Target, Targets, Traced, TracedPart};

/// Connections of a shard that are followed until their CONNECT says whose they are. One more is not, and
/// counted as lost.
const STRANGERS: usize = 4_096;

/// While there are traces.
pub(crate) struct Tracing {
    targets: Targets,
    conns: HashMap<ConnId, Vec<Followed>>,
}

/// A connection, for one trace.
pub(crate) struct Followed {
    target: Arc<Target>,
    /// Its number in the trace; `None` until it is known that it belongs there.
    number: Option<u64>,
    opened: SystemTime,
    listener: ListenerId,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    received: Way,
    sent: Way,
}

#[derive(Default)]
struct Way {
    cut: Cut,
    /// Nothing is told before a packet begins.
    begun: bool,
    told: u64,
}

impl Way {
    /// What can be told of these bytes, and behind how many.
    fn tell(&mut self, bytes: &[u8]) -> (u64, Vec<u8>, Option<Box<str>>) {
        let mut out = Vec::with_capacity(bytes.len());
        let said = self.cut.feed(bytes, &mut out);
        let before = self.told;
        self.told += out.len() as u64;
        (before, out, said.map(|said| said.0))
    }
}

impl Followed {
    fn new(target: Arc<Target>, stream: &Stream, listener: ListenerId) -> Self {
        Self {
            target,
            number: None,
            opened: SystemTime::now(),
            listener,
            local: stream.local_addr(),
            peer: stream.peer_addr(),
            received: Way::default(),
            sent: Way::default(),
        }
    }

    /// Tells of bytes that were read; false when this connection is somebody else's.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        let (before, out, client_id) = self.received.tell(bytes);
        if self.number.is_none() {
            match client_id {
                Some(client_id) if self.target.is_about(&client_id) => {
                    self.number = Some(self.target.next_connection());
                    self.tell(self.opened, TracedPart::Opened);
                }
                // The CONNECT is not whole yet.
                None if out.is_empty() => return true,
                _ => return false,
            }
        }
        if !out.is_empty() {
            self.tell(SystemTime::now(), TracedPart::Received(before, out.into()));
        }
        !self.target.is_over()
    }

    fn send(&mut self, bytes: &[u8]) {
        let (before, out, _) = self.sent.tell(bytes);
        if self.number.is_some() && !out.is_empty() {
            self.tell(SystemTime::now(), TracedPart::Sent(before, out.into()));
        }
    }

    fn tell(&self, at: SystemTime, what: TracedPart) {
        if let Some(connection) = self.number {
            self.target.tell(Traced {
                at,
                connection,
                listener: self.listener,
                local: self.local,
                peer: self.peer,
                what,
            });
        }
    }
}

impl Tracing {
    /// Tells of bytes that were written.
    pub(super) fn sent(&mut self, conn: ConnId, slices: &[IoSlice<'_>], written: usize) {
        let Some(followed) = self.conns.get_mut(&conn) else {
            return;
        };
        let mut bytes = Vec::with_capacity(written);
        for slice in slices {
            let left = written - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(left)]);
        }
        for followed in followed.iter_mut().filter(|followed| followed.sent.begun) {
            followed.send(&bytes);
        }
    }

    /// All was written: what comes next is the beginning of a packet.
    pub(super) fn has_sent_all(&mut self, conn: ConnId) {
        for followed in self.conns.get_mut(&conn).into_iter().flatten() {
            followed.sent.begun = true;
        }
    }

    fn received(&mut self, conn: ConnId, bytes: &[u8], begins: bool) {
        let Some(followed) = self.conns.get_mut(&conn) else {
            return;
        };
        followed.retain_mut(|followed| {
            followed.received.begun |= begins;
            !followed.received.begun || followed.receive(bytes)
        });
        if followed.is_empty() {
            self.conns.remove(&conn);
        }
    }
}

impl Driver {
    /// These are all traces from now on.
    pub(super) fn set_traces(&mut self, targets: Targets) {
        let mut tracing = self.tracing.take().unwrap_or_else(|| {
            Box::new(Tracing {
                targets: Targets::default(),
                conns: HashMap::new(),
            })
        });
        tracing.conns.retain(|_, followed| {
            followed.retain(|followed| !followed.target.is_over());
            !followed.is_empty()
        });
        let is_new = |target: &&Arc<Target>| {
            let mut known = tracing.targets.iter();
            !known.any(|known| Arc::ptr_eq(known, target))
        };
        let new: Vec<Arc<Target>> = targets.iter().filter(is_new).cloned().collect();
        for (conn, slot) in self.slots.iter().filter(|_| !new.is_empty()) {
            let Some(client_id) = self.shard.connected_client(conn) else {
                continue;
            };
            for target in new.iter().filter(|target| target.is_about(client_id)) {
                let mut followed = Followed::new(target.clone(), &slot.stream, slot.listener);
                followed.number = Some(target.next_connection());
                followed.sent.begun = !slot.blocked;
                tracing.conns.entry(conn).or_default().push(followed);
            }
        }
        tracing.targets = targets;
        self.tracing = (!tracing.targets.is_empty()).then_some(tracing);
    }

    /// A connection is new: its CONNECT says whether it is to be traced.
    pub(super) fn follow(&mut self, conn: ConnId) {
        let Some(tracing) = &mut self.tracing else {
            return;
        };
        let Some(slot) = self.slots.get(conn) else {
            return;
        };
        if tracing.conns.len() >= STRANGERS {
            tracing.targets.iter().for_each(|target| target.lose());
            return;
        }
        let followed = tracing.targets.iter().map(|target| {
            let mut followed = Followed::new(target.clone(), &slot.stream, slot.listener);
            (followed.received.begun, followed.sent.begun) = (true, true);
            followed
        });
        tracing.conns.insert(conn, followed.collect());
    }

    /// So many bytes were read of a connection, and are not handled yet.
    pub(super) fn trace_received(&mut self, conn: ConnId, len: usize) {
        if let Some(tracing) = &mut self.tracing {
            let begins = self.shard.is_between_packets(conn);
            tracing.received(conn, &self.scratch[..len], begins);
        }
    }

    /// A connection has ended.
    pub(super) fn trace_closed(&mut self, conn: ConnId) {
        for followed in self.trace_moves(conn) {
            followed.tell(SystemTime::now(), TracedPart::Closed);
        }
    }

    /// A connection goes to another shard, and what is known of it with it.
    pub(super) fn trace_moves(&mut self, conn: ConnId) -> Vec<Followed> {
        let tracing = self.tracing.as_mut();
        let followed = tracing.and_then(|tracing| tracing.conns.remove(&conn));
        followed.unwrap_or_default()
    }

    /// A connection came from another shard, which may know of traces that this one has not heard of yet.
    pub(super) fn trace_arrives(&mut self, conn: ConnId, mut followed: Vec<Followed>) {
        followed.retain(|followed| !followed.target.is_over());
        if followed.is_empty() {
            return;
        }
        let tracing = self.tracing.get_or_insert_with(|| {
            Box::new(Tracing {
                targets: Targets::default(),
                conns: HashMap::new(),
            })
        });
        tracing.conns.insert(conn, followed);
    }
}
