//! A running broker's store: read once, written now and then and when all is over.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ternmq_protocol::Time;
use ternmq_protocol::broker::record::Owner;
use ternmq_protocol::broker::{Out, Shard, To};

use super::restore::restore;
use super::save::Saver;
use super::{Periodic, Restoration, Store, StoreError};
use crate::driver::Remains;
use crate::mailbox::Item;
use crate::shared::{Parcel, Shared};

/// The store of a broker that has opened it.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Arc<dyn Store>,
    owner: Owner,
    restoration: Restoration,
}

impl Keeper {
    /// Puts what the store holds into shards that have no thread yet.
    pub(crate) fn restore(
        store: Arc<dyn Store>,
        owner: Owner,
        shards: &mut [Shard],
        shared: &Shared,
    ) -> Result<Self, StoreError> {
        let clock = shared.calendar();
        let mut retained = shared.retained.lock();
        let (restoration, letters) =
            restore(&*store, shards, &shared.directory, &mut retained, clock)?;
        drop(retained);
        let mut mail = VecDeque::new();
        for (number, mut out) in letters.into_iter().enumerate() {
            hand_out(&mut out, number, &mut mail, shared);
        }
        exchange(shards, mail, shared, clock.now());
        for (number, shard) in shards.iter().enumerate() {
            // What other shards have to know before the first turn of this one.
            shared.subscriptions[number].store(shard.subscriptions(), Ordering::SeqCst);
            let bytes = shard.stats().queued_bytes + shard.stats().inflight_bytes;
            shared.queues.set(number, bytes as usize);
        }
        Ok(Self {
            store,
            owner,
            restoration,
        })
    }

    pub(crate) fn restoration(&self) -> &Restoration {
        &self.restoration
    }

    /// Begins to save what the shards hold, every so often.
    pub(crate) fn save_every(&self, every: Duration, shared: &Arc<Shared>) -> io::Result<Periodic> {
        Periodic::start(self.store.clone(), self.owner, shared.clone(), every)
    }

    /// Saves what the threads of all shards have left, and the retained messages.
    pub(crate) fn save(&self, remains: Vec<Remains>, shared: &Shared) -> Result<(), StoreError> {
        let clock = shared.calendar();
        let mut mail = VecDeque::new();
        let mut shards = Vec::with_capacity(remains.len());
        let mut kept = Vec::new();
        for (number, one) in remains.into_iter().enumerate() {
            mail.extend(one.mail.into_iter().map(|item| (number, item)));
            kept.extend(one.kept.into_iter().enumerate());
            shards.push(one.shard);
        }
        for (number, batch) in kept {
            let parcels = batch.parcels.into_iter().map(Item::Parcel);
            let messages = batch.messages.into_iter().map(Item::Message);
            mail.extend(parcels.chain(messages).map(|item| (number, item)));
        }
        exchange(&mut shards, mail, shared, clock.now());
        let mut saver = Saver::begin(&*self.store, self.owner, clock)?;
        for (number, shard) in shards.iter_mut().enumerate() {
            saver.shard(number as u16, shard)?;
        }
        saver.retained(&shared.retained)?;
        saver.commit().map(drop)
    }
}

/// Delivers mail between shards that have no threads, and what that makes them send, to the last
/// piece.
fn exchange(
    shards: &mut [Shard],
    mut mail: VecDeque<(usize, Item<Parcel>)>,
    shared: &Shared,
    now: Time,
) {
    // Everybody is away, so whatever else the shards ask for is about nobody.
    let mut out = Out::default();
    while let Some((number, item)) = mail.pop_front() {
        let shard = &mut shards[number];
        match item {
            Item::Message(message) => shard.handle_publishes(now, &[message], &mut out),
            Item::Parcel(Parcel::Letter(letter)) => shard.handle_letter(letter, now, &mut out),
            Item::Parcel(Parcel::Published(message)) => {
                shard.handle_published(now, &message, &mut out);
            }
            // A question or a connection: whoever sent it sees it go.
            Item::Parcel(_) => {}
        }
        hand_out(&mut out, number, &mut mail, shared);
    }
}

/// Puts the letters of a shard into the mail.
fn hand_out(
    out: &mut Out,
    from: usize,
    mail: &mut VecDeque<(usize, Item<Parcel>)>,
    shared: &Shared,
) {
    for (to, letter) in out.letters.drain(..) {
        let shard = match &to {
            To::Shard(number) => usize::from(*number),
            To::Home(group) => shared.homes().find(group, &letter, from),
            // About what a store with a log is to keep.
            To::All => continue,
        };
        mail.push_back((shard, Item::Parcel(Parcel::Letter(letter))));
    }
    for gone in out.groups_gone.drain(..) {
        shared.homes().gone(&gone);
    }
    let mut claims = shared.claims.lock().unwrap_or_else(PoisonError::into_inner);
    for op in out.claims.drain(..) {
        // Nobody else can have it yet, so the answer is known.
        let _ = claims.apply(op);
    }
}
