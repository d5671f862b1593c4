//! What the shard threads of one broker share. Nothing here is touched once per message, except that
//! retained messages go through the store.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use ternmq_protocol::ReasonCode;
use ternmq_protocol::broker::access::Rules;
use ternmq_protocol::broker::durable::{LogPage, NotStored, ReadTicket};
use ternmq_protocol::broker::{
    Applied, Claims, ClientEvent, Homes, Letter, ListenerId, Parked, RetainedOp, SlowLimits, Ticket,
};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::time::Clock;
use ternmq_protocol::weight::Weight;
use ternmq_protocol::{Message, Time};
use ternmq_transport::Stream;

use crate::advance::{CatchUp, SteadyClock};
use crate::auth::Users;
use crate::auth::passwords::Checked;
use crate::bans::{Ban, BanChanges, BanError, Banned, Bans};
use crate::clients::Question;
use crate::config::Config;
use crate::connections::Connections;
use crate::drain::{Drain, Draining};
use crate::driver::Followed;
use crate::ending::Ending;
use crate::error::PublishError;
use crate::event::Event;
use crate::faults::{Faults, Strike};
use crate::hooks::{Access, Reply};
use crate::local::{Locals, Observe};
use crate::mailbox::{Batch, Mailbox, Offer};
use crate::placement::{Directory, Key, Load};
use crate::reconfigure::Live;
use crate::retained::{Store, is_own};
use crate::stats::Stats;
use crate::store::Desk;
use crate::trace::{Targets, Traces};

/// Mail that is not a message.
pub(crate) enum Parcel {
    /// A connection made in process.
    Open(Stream),
    /// A connection whose session lives here.
    Move(Box<Moved>),
    /// The password of a client here has been checked.
    Checked(Box<Checked>),
    /// The hooks have said something about a client here.
    Reply(Box<Reply>),
    /// A message of this process, for this shard's subscribers and for those who watch.
    Published(Message),
    /// A subscription of this process, and its end.
    Observe(Box<Observe>),
    StopObserving(u32),
    /// End the connection of a client, and tell whether it had one.
    Kick(Box<str>, ReasonCode, SyncSender<bool>),
    /// Go on with another configuration.
    Reconfigure(Arc<Live>, SyncSender<()>),
    /// Decide by these rules from now on.
    Rules(Arc<Rules>, SyncSender<()>),
    /// What another shard says about a shared subscription.
    Letter(Letter),
    /// Somebody wants to know the counters.
    Stats(SyncSender<Stats>),
    /// Somebody wants to know something else.
    Ask(Question),
    /// Somebody is banned from now on: end what connections they have.
    Expel(Banned),
    /// The list is another one: end the connections of all who are on it.
    ExpelBanned,
    /// What was handed to the store up to there is kept.
    Stored(Ticket),
    /// It can't be.
    NotStored(Ticket, NotStored),
    /// A page of the log that this shard asked for; not more than it asked for.
    LogPage(ReadTicket, Box<LogPage>),
    /// A message from this process that sessions may be due which outlive it.
    Publish(Message),
    /// All retained messages are there.
    RetainedLoaded,
    /// Let go of all clients.
    Drain,
    /// The first shard wants to know the counters, for `$SYS`.
    Report,
    /// The counters of another shard, which the first one asked for.
    Reported(Box<Stats>),
    /// There is a retained message that expires.
    Expiring,
    /// Somebody waits until this shard has caught up with its clock.
    CatchUp(CatchUp),
    /// A fault happens to the connections of a client, or to all; how many there are is wanted.
    Strike(Option<Box<str>>, Strike, SyncSender<usize>),
    /// Faults were lifted, some or all.
    Release(bool),
    /// These are all traces of clients from now on.
    Trace(Targets),
    /// End.
    Stop,
}

impl Weight for Parcel {
    fn weight(&self) -> usize {
        match self {
            Self::Letter(letter) => letter.weight(),
            Self::Published(message) => message.memory(),
            Self::Publish(message) => message.memory(),
            _ => 0,
        }
    }
}

/// A connection between two shards.
pub(crate) struct Moved {
    pub(crate) stream: Stream,
    pub(crate) listener: ListenerId,
    pub(crate) parked: Parked,
    pub(crate) user_name: Option<Box<str>>,
    pub(crate) key: Key,
    /// While it is traced.
    pub(crate) followed: Vec<Followed>,
}

pub(crate) struct Shared {
    pub(crate) clock: Arc<SteadyClock>,
    /// What is to go wrong; `None` when nothing ever is.
    pub(crate) faults: Option<Arc<Faults>>,
    pub(crate) mailboxes: Vec<Mailbox<Parcel>>,
    pub(crate) directory: Directory,
    pub(crate) loads: Vec<Load>,
    /// Subscriptions of each shard: who has none is offered nothing.
    pub(crate) subscriptions: Vec<AtomicUsize>,
    /// Members of shared subscriptions on their way to their home, which counts as subscribed from the
    /// moment they are sent.
    pub(crate) joining: Vec<AtomicUsize>,
    /// Counts what was told to all shards and is in their mailboxes.
    pub(crate) interests: AtomicU64,
    homes: Mutex<Homes>,
    /// Who has which exclusive subscription. Touched by those who ask for one or give it up.
    pub(crate) claims: Mutex<Claims>,
    pub(crate) connections: Connections,
    pub(crate) queues: Queues,
    users: RwLock<Arc<Users>>,
    pub(crate) retained: Store,
    pub(crate) bans: Bans,
    /// Set once clients are being let go.
    pub(crate) drain: OnceLock<Draining>,
    /// Whether clients that get their messages late are listed.
    pub(crate) slow: Option<SlowLimits>,
    /// As configured, and the rules that hold now.
    access: Access,
    rules: RwLock<Arc<Rules>>,
    pub(crate) locals: Locals,
    events: Option<SyncSender<Event>>,
    client_events: Option<SyncSender<ClientEvent>>,
    client_events_lost: AtomicU64,
    /// Bans that the list had no room for, and events that nobody took in time.
    bans_refused: AtomicU64,
    events_lost: AtomicU64,
    /// Where things go that outlive the broker; `None`: nowhere.
    pub(crate) desk: Option<Arc<Desk>>,
    pub(crate) ending: Ending,
    pub(crate) traces: Traces,
}

/// What is kept of messages for all sessions.
pub(crate) struct Queues {
    bytes: Vec<AtomicUsize>,
    limit: AtomicUsize,
}

impl Queues {
    /// The bytes that one shard keeps. Costs a load where nothing has changed.
    pub(crate) fn set(&self, shard: usize, bytes: usize) {
        if self.bytes[shard].load(Ordering::Relaxed) != bytes {
            self.bytes[shard].store(bytes, Ordering::Relaxed);
        }
    }

    /// What the other shards leave for this one.
    pub(crate) fn room(&self, shard: usize) -> usize {
        let others = (self.bytes.iter().enumerate()).filter(|(number, _)| *number != shard);
        let others = others.map(|(_, bytes)| bytes.load(Ordering::Relaxed));
        let limit = self.limit.load(Ordering::Relaxed);
        limit.saturating_sub(others.sum())
    }

    pub(crate) fn are_full(&self) -> bool {
        let bytes = self.bytes.iter().map(|b| b.load(Ordering::Relaxed));
        bytes.sum::<usize>() >= self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(
        mailboxes: Vec<Mailbox<Parcel>>,
        directory: Directory,
        users: Users,
        connections: Connections,
        config: &Config,
    ) -> Self {
        let limits = &config.limits;
        let shards = mailboxes.len();
        let clock = Arc::new(SteadyClock::start());
        Self {
            faults: config.faults.then(|| Arc::new(Faults::new(clock.clone()))),
            clock,
            mailboxes,
            directory,
            loads: (0..shards).map(|_| Load::default()).collect(),
            subscriptions: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            joining: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            interests: AtomicU64::new(0),
            homes: Mutex::default(),
            claims: Mutex::new(Claims::new(limits.exclusive)),
            connections,
            queues: Queues {
                bytes: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
                limit: AtomicUsize::new(limits.queued_bytes),
            },
            users: RwLock::new(Arc::new(users)),
            retained: Store::new(limits.retained),
            bans: Bans::new(limits.bans),
            drain: OnceLock::new(),
            slow: config.slow,
            access: config.access.clone(),
            rules: RwLock::new(config.access.rules.clone()),
            locals: Locals::default(),
            events: config.events.clone(),
            client_events: config.client_events.clone(),
            client_events_lost: AtomicU64::new(0),
            bans_refused: AtomicU64::new(0),
            events_lost: AtomicU64::new(0),
            desk: (config.store.as_ref())
                .map(|_| Arc::new(Desk::new(shards, limits.store_bytes, limits.log))),
            ending: Ending::default(),
            traces: Traces::default(),
        }
    }

    /// Milliseconds, counted steadily since the broker started: the same clock on every shard.
    pub(crate) fn time(&self, at: Instant) -> Time {
        self.clock.time(at, self.clock.ahead())
    }

    /// The time now.
    pub(crate) fn now(&self) -> Time {
        self.time(Instant::now())
    }

    /// The wall clock, moved ahead as far as ours: what people have written is told by it.
    pub(crate) fn wall_clock(&self) -> SystemTime {
        SystemTime::now() + Duration::from_millis(self.clock.ahead())
    }

    /// What the wall clock makes of that time now.
    pub(crate) fn calendar(&self) -> Clock {
        self.clock.calendar()
    }

    /// Whether a shard other than `number` has subscriptions.
    pub(crate) fn others_subscribe(&self, number: usize) -> bool {
        (0..self.subscriptions.len()).any(|shard| shard != number && self.subscribes(shard))
    }

    /// Whether a shard has subscriptions, or is about to.
    pub(crate) fn subscribes(&self, shard: usize) -> bool {
        // In this order: who leaves the second count has entered the first.
        self.joining[shard].load(Ordering::SeqCst) > 0
            || self.subscriptions[shard].load(Ordering::SeqCst) > 0
    }

    /// A message from outside of the shards.
    pub(crate) fn publish(&self, message: &Message) -> Result<(), PublishError> {
        // It comes in now, whenever it was made: who gets it is not late because of that.
        let arriving = self.slow.and_then(|_| {
            let now = self.time(Instant::now());
            (message.age(now) > 0).then(|| message.arriving(now))
        });
        let message = arriving.as_ref().unwrap_or(message);
        if message.retain() {
            let now = self.time(Instant::now());
            let op = if message.payload().is_empty() {
                RetainedOp::Remove(message.topic().into())
            } else {
                RetainedOp::Put {
                    message: message.clone(),
                    owed: None,
                }
            };
            let mut retained = self.retained.lock();
            if let Applied::Full(..) = self.change_retained(op, &mut retained, now) {
                return Err(PublishError::Full);
            }
            drop(retained);
            if message.expires() != Time::NEVER {
                // Without the shard nobody is there to keep it for either.
                let _ = self.mailboxes[0].send(Parcel::Expiring);
            }
        }
        if self.desk.is_some() && message.qos() != QoS::AtMostOnce && !is_own(message.topic()) {
            // Whether it is due to sessions that outlive the broker a shard knows.
            let parcel = Parcel::Publish(message.clone());
            let mut batch = Batch::default();
            batch.parcels.push(parcel);
            return offer(&self.mailboxes[0], batch);
        }
        for (shard, mailbox) in self.mailboxes.iter().enumerate() {
            let mut batch = Batch::default();
            match shard {
                // Who watches sees on this one what the process publishes.
                0 if self.locals.watch() => batch.parcels.push(Parcel::Published(message.clone())),
                _ if self.subscribes(shard) => batch.messages.push(message.clone()),
                _ => continue,
            }
            offer(mailbox, batch)?;
        }
        Ok(())
    }

    /// Bans somebody: first on the list, then whoever is there already.
    pub(crate) fn ban(&self, ban: Ban) -> Result<(), BanError> {
        if let Err(error) = self.bans.insert(ban.clone()) {
            if error == BanError::Full {
                self.bans_refused.fetch_add(1, Ordering::Relaxed);
            }
            return Err(error);
        }
        for mailbox in &self.mailboxes {
            // A shard that has ended has no connections.
            let _ = mailbox.send(Parcel::Expel(ban.who.clone()));
        }
        self.tell(Event::Banned(ban));
        Ok(())
    }

    /// Makes another list, all or nothing: first the list, then whoever is there already.
    pub(crate) fn replace_bans(
        &self,
        bans: Vec<Ban>,
        keep: impl Fn(&Ban) -> bool,
    ) -> Result<BanChanges, BanError> {
        let changes = self.bans.replace(bans, keep).inspect_err(|_| {
            self.bans_refused.fetch_add(1, Ordering::Relaxed);
        })?;
        for mailbox in self.mailboxes.iter().filter(|_| changes.banned > 0) {
            // A shard that has ended has no connections.
            let _ = mailbox.send(Parcel::ExpelBanned);
        }
        Ok(changes)
    }

    /// Lifts a ban.
    pub(crate) fn unban(&self, who: &Banned) -> bool {
        let was = self.bans.remove(who);
        if was {
            self.tell(Event::Unbanned(who.clone()));
        }
        was
    }

    /// Begins to let go of all clients; false when that has begun before.
    pub(crate) fn drain(&self, drain: Drain) -> bool {
        let now = self.time(Instant::now());
        let draining = Draining::new(drain, now, self.mailboxes.len());
        let begins = self.drain.set(draining).is_ok();
        for mailbox in self.mailboxes.iter().filter(|_| begins) {
            // A shard that has ended has ended the broker.
            let _ = mailbox.send(Parcel::Drain);
        }
        begins
    }

    /// Tells where connections are accepted from now on.
    pub(crate) fn tell_where_it_listens(&self, listeners: &[ListenerId]) {
        for listener in listeners {
            if let Some(door) = self.connections.door(*listener) {
                self.tell(Event::Listening(*listener, door.place()));
            }
        }
    }

    /// Tells whoever listens, and waits for nobody.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(events) = &self.events
            && events.try_send(event).is_err()
        {
            self.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same of a client.
    pub(crate) fn tell_of_client(&self, event: ClientEvent) {
        if let Some(events) = &self.client_events
            && events.try_send(event).is_err()
        {
            self.client_events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Who may log in now.
    pub(crate) fn users(&self) -> Arc<Users> {
        self.users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_users(&self, users: Users) {
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
    }

    /// The rules that hold now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_rules(&self, rules: Arc<Rules>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// What a shard is to decide by.
    pub(crate) fn access(
        &self,
        rules: Arc<Rules>,
    ) -> Option<ternmq_protocol::broker::access::Access> {
        self.access.of_shards(rules)
    }

    /// Where groups are at home.
    pub(crate) fn homes(&self) -> MutexGuard<'_, Homes> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is counted here.
    pub(crate) fn count(&self, stats: &mut Stats) {
        self.connections.count(stats);
        stats.groups = self.homes().len() as u64;
        stats.local_subscriptions = self.locals.len() as u64;
        stats.client_events_lost += self.client_events_lost.load(Ordering::Relaxed);
        stats.bans_refused += self.bans_refused.load(Ordering::Relaxed);
        stats.events_lost += self.events_lost.load(Ordering::Relaxed);
        if let Some(desk) = &self.desk {
            desk.count(&mut stats.store);
            // Shards can't count these: when they go, their group is over.
            let left = desk.counts.swept_left.load(Ordering::Relaxed);
            stats.mqtt.matched += left;
            stats.mqtt.dropped.no_member += left;
        }
    }

    /// Runs the thread of a shard; when it fails, the other shards end too. Whether it did.
    pub(crate) fn watch(&self, shard: usize, run: impl FnOnce() -> io::Result<()>) -> bool {
        let failed = self.ending.watch(shard, run);
        if failed {
            self.stop();
        }
        failed
    }

    /// Tells every shard to end.
    pub(crate) fn stop(&self) {
        for mailbox in &self.mailboxes {
            // Who has ended already needs no telling.
            let _ = mailbox.send(Parcel::Stop);
        }
    }
}

/// Offers what comes from outside of the shards.
fn offer(mailbox: &Mailbox<Parcel>, mut batch: Batch<Parcel>) -> Result<(), PublishError> {
    match mailbox.offer(None, &mut batch) {
        Offer::Taken | Offer::High => Ok(()),
        Offer::Full => Err(PublishError::Full),
        Offer::Closed => Err(PublishError::Stopped),
    }
}
