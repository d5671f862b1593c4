//! What faults ask of a driver: to go on with what has waited, and to keep what its peer must not see
//! the end of.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use ternmq_protocol::Time;
use ternmq_protocol::broker::ConnId;
use ternmq_transport::Stream;

use super::Driver;
use crate::faults::{Faulty, Strike};
use crate::shared::{Parcel, Shared};
use crate::slots::Slots;

/// Milliseconds that the socket of a cut connection is kept: if it went with input unread, the peer might
/// lose what was sent before the cut.
const CUT_MS: u64 = 1_000;

/// Connections that have vanished and that the broker has given up. One more closes the first.
const VANISHED: usize = 1_024;

/// What a shard keeps because of faults.
#[derive(Default)]
pub(super) struct Struck {
    /// Connections on which something waits.
    waiting: Vec<ConnId>,
    cut: VecDeque<(Time, Stream)>,
    vanished: VecDeque<Stream>,
}

impl Struck {
    /// When something is to be done.
    pub(super) fn next(&self, slots: &Slots) -> Option<Time> {
        let cut = self.cut.front().map(|(until, _)| *until);
        self.next_wait(slots).into_iter().chain(cut).min()
    }

    /// When something that waits goes on.
    pub(super) fn next_wait(&self, slots: &Slots) -> Option<Time> {
        let due = self.waiting.iter().filter_map(|conn| {
            let layer = slots.get(*conn)?.stream.layer::<Faulty>()?;
            layer.next_due()
        });
        due.min()
    }

    pub(super) fn postpone(&mut self, ms: u64) {
        for (until, _) in &mut self.cut {
            *until = until.after(ms);
        }
    }
}

impl Shared {
    /// Faults were lifted: what has waited for that goes on.
    pub(crate) fn release(&self, all: bool) {
        for mailbox in &self.mailboxes {
            // A shard that has ended has no connections.
            let _ = mailbox.send(Parcel::Release(all));
        }
    }

    /// Puts above a new connection what faults need.
    pub(crate) fn expose(&self, stream: Stream) -> Stream {
        match &self.faults {
            Some(faults) => Faulty::above(stream, Arc::clone(faults)),
            None => stream,
        }
    }
}

impl Driver {
    /// A client has been let in.
    pub(super) fn name_to_faults(&mut self, conn: ConnId, client_id: &str) {
        if self.struck.is_some()
            && let Some(slot) = self.slots.get_mut(conn)
            && let Some(layer) = slot.stream.layer_mut::<Faulty>()
        {
            layer.set_client(client_id);
        }
    }

    /// After reading or writing: something may wait now, or the connection is cut. Whether it is.
    pub(super) fn suffers(&mut self, conn: ConnId) -> bool {
        let Some(struck) = &mut self.struck else {
            return false;
        };
        let Some(slot) = self.slots.get(conn) else {
            return false;
        };
        let Some(layer) = slot.stream.layer::<Faulty>() else {
            return false;
        };
        if layer.waits() && !struck.waiting.contains(&conn) {
            struck.waiting.push(conn);
        }
        layer.is_cut()
    }

    /// When something that faults have to do with is to be done.
    pub(super) fn next_fault(&self) -> Option<Time> {
        let struck = self.struck.as_ref();
        struck.and_then(|struck| struck.next(&self.slots))
    }

    /// Lets go on what has waited long enough.
    pub(super) fn end_waits(&mut self) {
        let Some(struck) = &mut self.struck else {
            return;
        };
        while struck.cut.front().is_some_and(|(at, _)| *at <= self.now) {
            struck.cut.pop_front();
        }
        for conn in std::mem::take(&mut struck.waiting) {
            self.go_on(conn);
        }
    }

    /// Faults were lifted: what waits for that goes on. When it was all of them, what has vanished and was
    /// given up goes.
    pub(super) fn release(&mut self, all: bool) {
        if all {
            let given_up = self.slots.iter().filter(|(_, slot)| {
                let layer = slot.stream.layer::<Faulty>();
                slot.closing && layer.is_some_and(Faulty::has_vanished)
            });
            let given_up: Vec<ConnId> = given_up.map(|(conn, _)| conn).collect();
            for conn in given_up {
                self.close(conn);
            }
            if let Some(struck) = &mut self.struck {
                struck.vanished.clear();
            }
        }
        self.end_waits();
    }

    /// Tries to read and to write where something has waited.
    fn go_on(&mut self, conn: ConnId) {
        let Some(slot) = self.slots.get_mut(conn) else {
            return;
        };
        if let Some(layer) = slot.stream.layer_mut::<Faulty>() {
            layer.ripen();
        }
        if std::mem::take(&mut slot.blocked) {
            self.flush(conn);
        } else {
            self.flush_layers(conn);
        }
        self.remember_unread(conn);
        self.suffers(conn);
    }

    /// What happens to all connections of a client, or to all.
    pub(super) fn strike(&mut self, who: Option<&str>, strike: Strike, reply: &SyncSender<usize>) {
        let of_client = |stream: &Stream| {
            let layer = stream.layer::<Faulty>();
            layer.is_some_and(|layer| layer.is_of(who))
        };
        let conns = self.slots.iter();
        let conns: Vec<ConnId> = conns
            .filter(|(_, slot)| of_client(&slot.stream))
            .map(|(conn, _)| conn)
            .collect();
        for conn in &conns {
            if let Some(slot) = self.slots.get_mut(*conn)
                && let Some(layer) = slot.stream.layer_mut::<Faulty>()
            {
                layer.strike(strike);
            }
            if strike == Strike::Cut {
                self.close(*conn);
            }
        }
        // Whoever asked may have gone.
        let _ = reply.try_send(conns.len());
    }

    /// Keeps the socket of a connection that is over, if its peer must not see that, or not at once.
    pub(super) fn bury(&mut self, mut stream: Stream) {
        let (Some(struck), None) = (&mut self.struck, self.stops_at) else {
            return;
        };
        let Some(layer) = stream.layer::<Faulty>() else {
            return;
        };
        let (cut, vanished) = (layer.is_cut(), layer.has_vanished());
        if !(cut || vanished) || self.poller.deregister(&mut stream).is_err() {
            return;
        }
        if cut {
            stream.cut();
            struck.cut.push_back((self.now.after(CUT_MS), stream));
            return;
        }
        struck.vanished.push_back(stream);
        if struck.vanished.len() > VANISHED {
            struck.vanished.pop_front();
        }
    }
}
