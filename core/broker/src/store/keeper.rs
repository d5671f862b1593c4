//! A running broker's store: read when it starts, written while it runs, closed when all is in it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ternmq_protocol::Time;
use ternmq_protocol::broker::record::Owner;
use ternmq_protocol::broker::{Out, Shard, To};

use super::committer::Committer;
use super::restore::{self, Restoration};
use super::{Desk, Store, StoreError, readers, sweeper};
use crate::config::Limits;
use crate::driver::Remains;
use crate::event::Event;
use crate::mailbox::Item;
use crate::shared::{Parcel, Shared};

/// Threads that read pages: while one waits for the disk, another finds its page in memory.
const READERS: usize = 2;

/// The store of a broker that has begun with it.
pub(crate) struct Keeper {
    desk: Arc<Desk>,
    restored: Arc<Restored>,
    committer: JoinHandle<Result<(), ternmq_store::StoreError>>,
    /// Those that read pages, and those that load retained messages and sweep.
    readers: Vec<JoinHandle<()>>,
}

/// What has come back, once all has.
#[derive(Default)]
struct Restored {
    done: Mutex<Option<Restoration>>,
    changed: Condvar,
}

impl Restored {
    /// All is there, or this much of it.
    fn tell(&self, ended: Result<(), ternmq_store::StoreError>, all: Restoration, shared: &Shared) {
        if let Err(error) = ended {
            shared.tell(Event::NotRestored((&error).into()));
        }
        shared.retained.end_loading();
        for mailbox in &shared.mailboxes {
            // A shard that has ended has nobody who waits.
            let _ = mailbox.send(Parcel::RetainedLoaded);
        }
        shared.tell(Event::Restored(all));
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(all);
        self.changed.notify_all();
    }
}

impl Keeper {
    /// Puts what the store holds into shards that have no thread yet, and begins to keep what they do.
    /// Retained messages follow while the broker runs.
    pub(crate) fn start(
        (store, owner): (Arc<Store>, Owner),
        desk: Arc<Desk>,
        shards: &mut [Shard],
        shared: &Arc<Shared>,
        limits: &Limits,
    ) -> Result<Self, crate::StartError> {
        if let Some(salvaged) = store.salvaged() {
            shared.tell(Event::Salvaged(salvaged.clone()));
        }
        let clock = shared.calendar();
        let (mut restoration, outs, groups) = restore::sessions(&store, shards, shared, clock)?;
        let mut mail = VecDeque::new();
        for (number, mut out) in outs.into_iter().enumerate() {
            hand_out(&mut out, number, &mut mail, shared);
            hand_in(&mut out, (number, shards[number].store_turn()), shared);
        }
        exchange(shards, mail, shared, clock.now());
        if let Some(desk) = &shared.desk {
            // Sweeps need not wait for the first message of this start.
            desk.set_posted(store.head());
        }
        restore::resume(&store, groups, shards, shared, |shards, home, mut out| {
            let mut mail = VecDeque::new();
            hand_out(&mut out, home, &mut mail, shared);
            hand_in(&mut out, (home, shards[home].store_turn()), shared);
            exchange(shards, mail, shared, clock.now());
        })?;
        for (number, shard) in shards.iter().enumerate() {
            // What other shards have to know before the first turn of this one.
            shared.subscriptions[number].store(shard.subscriptions(), Ordering::SeqCst);
            let bytes = shard.stats().queued_bytes + shard.stats().inflight_bytes;
            shared.queues.set(number, bytes as usize);
        }
        // All that is there has come by, or is for nobody: else nothing of it could go before something comes.
        desk.set_posted(store.head());
        let committer =
            Committer::new(shared.clone(), desk.clone(), (store.clone(), owner), limits);
        let mut keeper = Self {
            committer: thread("store", move || committer.run())?,
            desk: desk.clone(),
            restored: Arc::default(),
            readers: Vec::new(),
        };
        shared.retained.begin_loading();
        let restored = keeper.restored.clone();
        // The first page before the listeners open: of most brokers that is all.
        match restore::retained(&mut restoration, "", &store, shared) {
            Ok(Some(from)) => {
                let (all, store, until) = (shared.clone(), store.clone(), desk.clone());
                let load = move || load(restoration, from, &store, &all, &until, &restored);
                keeper.readers.push(thread("load", load)?);
            }
            ended => restored.tell(ended.map(drop), restoration, shared),
        }
        let (all, until, from) = (shared.clone(), desk.clone(), store.clone());
        let sweep = move || sweeper::sweep(&all, &until, &from, owner);
        keeper.readers.push(thread("sweep", sweep)?);
        for number in 0..READERS {
            let (desk, store, all) = (desk.clone(), store.clone(), shared.clone());
            let read = move || readers::read(&all, &desk, &store);
            keeper
                .readers
                .push(thread(&format!("read-{number}"), read)?);
        }
        Ok(keeper)
    }

    /// What came back, once all has.
    pub(crate) fn restoration(&self) -> Restoration {
        let waits = |done: &mut Option<Restoration>| done.is_none();
        let done = self.restored.done.lock();
        let done = done.unwrap_or_else(PoisonError::into_inner);
        let done = self.restored.changed.wait_while(done, waits);
        let done = done.unwrap_or_else(PoisonError::into_inner);
        done.unwrap_or_default()
    }

    /// Keeps what the threads of all shards have left, if all have left something, and ends when all
    /// that was handed in is kept.
    pub(crate) fn stop(
        self,
        remains: Option<Vec<Remains>>,
        shared: &Shared,
    ) -> Result<(), StoreError> {
        if let Some(remains) = remains {
            take_leave(remains, shared);
        }
        self.desk.intake.close();
        self.desk.end_reading();
        for reader in self.readers {
            // It has nothing to give.
            let _ = reader.join();
        }
        match self.committer.join() {
            Ok(kept) => kept.map_err(|error| (&error).into()),
            Err(_) => Err(StoreError::Failed("the store's thread has failed".into())),
        }
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(format!("ternmq-{name}")).spawn(body)
}

/// Loads retained messages from a topic on, a page at a time, and tells that all is there.
fn load(
    mut restoration: Restoration,
    mut from: Box<str>,
    store: &Store,
    shared: &Shared,
    desk: &Desk,
    restored: &Restored,
) {
    let mut ended = Ok(());
    while !desk.is_reading_over(Duration::ZERO) {
        match restore::retained(&mut restoration, &from, store, shared) {
            Ok(Some(next)) => from = next,
            last => {
                ended = last.map(drop);
                break;
            }
        }
    }
    restored.tell(ended, restoration, shared);
}

/// Lets shards without threads take the mail that they have left for each other, and hands in what they
/// have not so far.
fn take_leave(remains: Vec<Remains>, shared: &Shared) {
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
    let mut out = Out::default();
    for (number, shard) in shards.iter_mut().enumerate() {
        shard.collect(clock, &mut out);
        hand_in(&mut out, (number, shard.store_turn()), shared);
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
        hand_in(&mut out, (number, shard.store_turn()), shared);
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
            To::All => {
                for other in (0..shared.mailboxes.len()).filter(|other| *other != from) {
                    mail.push_back((other, Item::Parcel(Parcel::Letter(letter.clone()))));
                }
                continue;
            }
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
    drop(claims);
}

fn hand_in(out: &mut Out, from: (usize, u64), shared: &Shared) {
    if let Some(desk) = &shared.desk {
        desk.holds.tell(&mut out.holds);
        if out.is_for_store() {
            desk.intake.hand_in(from, out);
        }
    }
}
