//! Rate limits: how fast one client, and all clients of a listener together, may send and receive.

use super::mount::MountPoint;
use crate::session::rate::{Bucket, Rate, SharedBucket};
use crate::time::Time;
use std::sync::Arc;

/// Milliseconds that a client waits at least when the others of its listener have used up what all may
/// have, so that a thousand who wait don't all ask again in each millisecond.
const SHARED_WAIT_MS: u64 = 10;

/// Rates in both directions, all unlimited by default.
///
/// Only PUBLISH packets count as messages and are held back on their way out; every byte that comes in
/// counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Messages from clients. Who is beyond is not read until there is credit again.
    pub messages_in: Rate,
    /// Bytes from clients, of all packets.
    pub bytes_in: Rate,
    /// Messages to clients. Beyond it they wait in the session's queue, QoS 0 too, with the limits of
    /// that.
    pub messages_out: Rate,
    /// Bytes to clients, of PUBLISH packets.
    pub bytes_out: Rate,
}

impl Rates {
    /// No limits.
    pub const UNLIMITED: Self = Self {
        messages_in: Rate::UNLIMITED,
        bytes_in: Rate::UNLIMITED,
        messages_out: Rate::UNLIMITED,
        bytes_out: Rate::UNLIMITED,
    };

    const fn of(&self, way: Way) -> [Rate; 2] {
        match way {
            Way::In => [self.messages_in, self.bytes_in],
            Way::Out => [self.messages_out, self.bytes_out],
        }
    }
}

/// The rate limits of a listener, and where its clients are in the tree of topics. One value for all shards:
/// they share its buckets.
#[derive(Debug, Default)]
pub struct ListenerLimits {
    client: Rates,
    all: Rates,
    /// Messages and bytes in, messages and bytes out.
    buckets: [[SharedBucket; 2]; 2],
    mount_point: Option<MountPoint>,
}

impl ListenerLimits {
    /// What each client may do, and what all of them together.
    #[must_use]
    pub fn new(client: Rates, all: Rates) -> Self {
        Self {
            client,
            all,
            buckets: Default::default(),
            mount_point: None,
        }
    }

    /// The same with another mount point, for clients that are let in from now on: who is there keeps its
    /// own. Sessions belong to no listener, and neither do their subscriptions: a client that comes back
    /// through another one is not sent what is outside of its new mount point
    /// ([`Dropped::outside_mount`](super::Dropped::outside_mount)).
    #[must_use]
    pub fn with_mount_point(self, mount_point: Option<MountPoint>) -> Self {
        Self {
            mount_point,
            ..self
        }
    }

    pub(super) fn mount_point(&self) -> Option<&MountPoint> {
        self.mount_point.as_ref()
    }

    fn is_unlimited(&self) -> bool {
        self.client == Rates::UNLIMITED && self.all == Rates::UNLIMITED
    }
}

/// A direction, seen from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// What one client has used of its rates: messages and bytes in, messages and bytes out.
pub(super) type Used = [[Bucket; 2]; 2];

/// What one connection has used of its rates. There only where there are limits.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Arc<ListenerLimits>,
    buckets: Used,
    /// In each direction: until when nothing passes.
    until: [Option<Time>; 2],
    /// A timer is set for the way out.
    waits: bool,
}

impl Meter {
    pub(super) fn new(limits: Option<&Arc<ListenerLimits>>) -> Option<Box<Self>> {
        let limits = limits.filter(|limits| !limits.is_unlimited())?;
        Some(Box::new(Self {
            limits: limits.clone(),
            buckets: Used::default(),
            until: [None; 2],
            waits: false,
        }))
    }

    /// What the client has used.
    pub(super) fn used(&self) -> Used {
        self.buckets
    }

    /// The client has used so much on an earlier connection; false if it has to wait for that.
    pub(super) fn go_on(&mut self, used: Used, now: Time) -> bool {
        self.buckets = used;
        self.is_open(Way::In, now)
    }

    /// When all that the client has used is paid for.
    pub(super) fn paid_at(&self) -> Time {
        let all = self.buckets.as_flattened().iter();
        all.map(|bucket| bucket.paid_at()).max().unwrap_or_default()
    }

    /// Something has passed. Unlimited rates cost a look.
    pub(super) fn charge(&mut self, way: Way, now: Time, messages: u64, bytes: u64) {
        let limits = &*self.limits;
        let (own, all) = (limits.client.of(way), limits.all.of(way));
        let shared = &limits.buckets[way as usize];
        for (n, units) in [messages, bytes].into_iter().enumerate() {
            self.buckets[way as usize][n].charge(own[n], now, units);
            shared[n].charge(all[n], now, units);
        }
    }

    /// Whether something may pass now; if not, [`until`](Self::until) says when.
    pub(super) fn is_open(&mut self, way: Way, now: Time) -> bool {
        let limits = &*self.limits;
        let own = self.buckets[way as usize].iter().zip(limits.client.of(way));
        let own = own
            .filter_map(|(bucket, rate)| bucket.wait(rate, now))
            .max();
        let all = limits.buckets[way as usize].iter().zip(limits.all.of(way));
        let all = all
            .filter_map(|(bucket, rate)| bucket.wait(rate, now))
            .max();
        let all = all.map(|at| at.max(now.after(SHARED_WAIT_MS)));
        self.until[way as usize] = own.max(all);
        self.waits &= way == Way::In || self.until[Way::Out as usize].is_some();
        self.until[way as usize].is_none()
    }

    /// True once each time that the way out has closed: a timer is to be set.
    pub(super) fn has_just_closed(&mut self) -> bool {
        self.until(Way::Out).is_some() && !std::mem::replace(&mut self.waits, true)
    }

    /// Until when nothing passes, as of the last look.
    pub(super) fn until(&self, way: Way) -> Option<Time> {
        self.until[way as usize]
    }
}
