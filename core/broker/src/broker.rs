//! The handle of a running broker.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use ternmq_protocol::broker::durable::{DurabilityRule, DurableConfig};
use ternmq_protocol::broker::record::Owner;
use ternmq_protocol::broker::{ListenerId, Shard, ShardConfig};
use ternmq_protocol::{Message, Time};
use ternmq_transport::{Listener, Poller, Registrar, Stream, pipe};

use crate::auth::Users;
use crate::bans::{Ban, BanChanges, BanError, Banned};
use crate::config::Config;
use crate::connections::{Connections, Doors, IN_PROCESS};
use crate::drain::Drain;
use crate::driver::{Driver, EVENTS, Remains};
use crate::ending::Ending;
use crate::error::{Failure, PublishError, StartError, StopError, StoreError};
use crate::hooks::Pools;
use crate::mailbox::{MailLimits, Mailbox};
use crate::placement::Directory;
use crate::reconfigure::Kept;
use crate::relisten::Listeners;
use crate::shared::{Parcel, Shared};
use crate::stats::Stats;
use crate::store::{Keeper, NODE, Restoration};

/// A running MQTT broker. Dropping it stops it, as [`Broker::stop`] does.
///
/// The handle may be used from any thread, hooks included; nothing that it does runs the caller's code.
///
/// ```
/// use ternmq_broker::{Broker, Config};
/// let broker = Broker::start(Config::listen("127.0.0.1:0".parse().unwrap())).unwrap();
/// let client = std::net::TcpStream::connect(broker.local_addrs()[0]).unwrap();
/// drop(client);
/// broker.stop().unwrap();
/// ```
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
    /// Where listeners are watched that come later.
    pub(crate) registrar: Registrar,
    /// Each gives back what a store has to know of its shard, unless it has failed.
    threads: Vec<JoinHandle<Option<Remains>>>,
    /// Check passwords and run hooks; end when the shards have.
    pub(crate) checkers: Mutex<Vec<JoinHandle<()>>>,
    /// What it was started with, and what of that has changed since.
    pub(crate) config: Mutex<Kept>,
    pipe_bytes: usize,
    keeper: Option<Keeper>,
}

/// How long clients of QUIC may take to say that they have the last words of a broker that stops.
#[cfg(feature = "quic")]
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

impl Broker {
    /// Starts a broker. When this returns, its listeners are bound and clients can connect; the shard
    /// threads may still be starting.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let pollers = (0..config.shard_count())
            .map(|_| Poller::new(EVENTS))
            .collect::<Result<Vec<_>, _>>()?;
        // Connections come in at the first shard, which is the one that is packed first.
        let registrar = pollers[0].registrar()?;
        let listeners = Listeners::prepare(&Doors::default(), &config.listeners, &registrar)?;
        let (doors, mut sockets) = (listeners.doors, listeners.opened);
        let users = Users::new(&config.users).map_err(StartError::Users)?;
        let connections = Connections::new(config.limits.connections, doors.clone());
        let shared = Arc::new(share(&config, &pollers, users, connections));
        for ban in &config.bans {
            let failed = |error| StartError::Ban(ban.who.clone(), error);
            shared.bans.insert(ban.clone()).map_err(failed)?;
        }
        let owner = match &config.store {
            Some(store) => store.begin(NODE)?,
            None => Owner::default(),
        };
        let numbers = 0..pollers.len() as u16;
        let new = |number| new_shard(number, owner, &doors, &config);
        let mut shards: Vec<Shard> = numbers.map(new).collect();
        let keeper = match (&config.store, &shared.desk) {
            (Some(store), Some(desk)) => {
                let (store, limits) = ((store.clone(), owner), &config.limits);
                Some(Keeper::start(
                    store,
                    desk.clone(),
                    &mut shards,
                    &shared,
                    limits,
                )?)
            }
            _ => None,
        };
        let mut broker = Self {
            shared,
            registrar,
            threads: Vec::with_capacity(pollers.len()),
            checkers: Mutex::default(),
            config: Mutex::new(Kept::new(&config)),
            pipe_bytes: config.limits.pipe_bytes,
            keeper,
        };
        let checkers = broker.checkers.get_mut();
        let checkers = checkers.unwrap_or_else(PoisonError::into_inner);
        let pools = Pools::start(&config, &broker.shared, checkers)?;
        for (shard, poller) in shards.into_iter().zip(pollers) {
            let sockets = std::mem::take(&mut sockets);
            let thread = broker.spawn(shard, poller, &config, sockets, pools.clone())?;
            broker.threads.push(thread);
        }
        broker.shared.tell_where_it_listens(&doors.order);
        Ok(broker)
    }

    /// The addresses of the listeners that have one, in the order of [`Config::listeners`] as they are now;
    /// Unix sockets have none.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let doors = self.shared.connections.doors();
        doors.open().filter_map(|door| door.address).collect()
    }

    /// The numbers of the listeners, in the order of [`Config::listeners`] as they are now: those that hooks
    /// and lists of clients name them by. At the start they count up from 0. A listener keeps its number; one
    /// that comes later takes one of which nobody is connected any more, or the next.
    pub fn listener_numbers(&self) -> Vec<u16> {
        let doors = self.shared.connections.doors();
        doors.order.into_iter().map(|id| id.0).collect()
    }

    /// Connects in process: no socket, no descriptor, and never refused for being anonymous. The
    /// stream is at its end when the broker is stopping or has as many connections as it allows.
    pub fn connect(&self) -> Stream {
        let (client, server) = pipe(self.pipe_bytes);
        let connections = &self.shared.connections;
        let entered = connections.enter(IN_PROCESS, self.now());
        if entered && self.shared.mailboxes[0].send(Parcel::Open(server)).is_err() {
            connections.leave(IN_PROCESS);
        }
        client
    }

    /// Publishes a message from this process: every matching subscription gets it, and it is kept
    /// as the retained message of its topic if it has the RETAIN flag. Never blocks on a client.
    ///
    /// # Errors
    /// [`PublishError`]; some shards may have got the message when it is [`PublishError::Full`].
    pub fn publish(&self, message: &Message) -> Result<(), PublishError> {
        self.shared.publish(message)
    }

    /// The counters of all shards, as of now. Waits for each shard's current turn.
    pub fn stats(&self) -> Stats {
        let shards = self.shared.mailboxes.len();
        let (reply, replies) = sync_channel(shards);
        for mailbox in &self.shared.mailboxes {
            // The counters of a shard that has ended are gone with it.
            let _ = mailbox.send(Parcel::Stats(reply.clone()));
        }
        drop(reply);
        let mut stats = Stats::default();
        for shard in replies {
            stats.add(&shard);
        }
        self.shared.count(&mut stats);
        stats.routed = self.shared.directory.len() as u64;
        stats
    }

    /// Bans somebody: from now on they are refused (addresses by closing the connection, the others
    /// with Banned, 0x8A; return code 5 before MQTT 5.0), and what connections they have end
    /// (Administrative action, 0x98). Sessions stay as long as their expiry says. Takes the place of
    /// an older ban of the same client, user or network.
    ///
    /// # Errors
    /// [`BanError`]: then nothing has changed.
    pub fn ban(&self, ban: Ban) -> Result<(), BanError> {
        self.shared.ban(ban)
    }

    /// Lifts a ban; false when there is none.
    pub fn unban(&self, who: &Banned) -> bool {
        self.shared.unban(who)
    }

    /// Makes `bans` the list, at once, and ends the connections of who is on it. Of those who are banned
    /// now and not named in `bans`, the ones that `keep` wants stay; it must not ask the broker anything.
    /// Of two bans of the same the later one counts, and those that are over are left out. No
    /// [`Event`](crate::Event) tells of the changes.
    ///
    /// # Errors
    /// [`BanError::Full`]: then nothing has changed.
    pub fn replace_bans(
        &self,
        bans: Vec<Ban>,
        keep: impl Fn(&Ban) -> bool,
    ) -> Result<BanChanges, BanError> {
        self.shared.replace_bans(bans, keep)
    }

    /// The bans that hold now, in no particular order.
    pub fn bans(&self) -> Vec<Ban> {
        self.shared.bans.list()
    }

    /// Lets no client in any more and lets go of those that are here, at the rate that `drain` says,
    /// with the place where they are to go. Sessions stay as long as their expiry says; wills are
    /// published. [`Event::Drained`](crate::Event::Drained) tells when the last one is gone; then
    /// [`Broker::stop`]. False, and nothing happens, when that has begun before.
    ///
    /// With a [`Drain::server_reference`] listeners go on accepting, and answer CONNECT with it (return
    /// code 3 before MQTT 5.0). Without one they are closed at once.
    pub fn drain(&self, drain: Drain) -> bool {
        self.shared.drain(drain)
    }

    /// Whether every client is gone after [`Broker::drain`].
    pub fn is_drained(&self) -> bool {
        let draining = self.shared.drain.get();
        draining.is_some_and(|draining| draining.is_done())
    }

    /// Reads the files of every listener's certificates and keys again. Connections from now on get
    /// what is in them; those that are there go on.
    ///
    /// # Errors
    /// What is wrong with the files of the first listener that can't be changed, by its place in
    /// [`Config::listeners`]. Then all go on with what they had.
    #[cfg(feature = "tls")]
    pub fn reload_certificates(&self) -> Result<(), (usize, ternmq_transport::tls::TlsError)> {
        self.shared.connections.reload_certificates()
    }

    /// The time by which this broker counts when messages expire: what
    /// [`Message::new`] needs for one that is to be published here.
    pub fn now(&self) -> Time {
        self.shared.time(Instant::now())
    }

    /// What came back from the store when the broker started; `None` without a store. Waits until all has:
    /// clients may come in before their retained messages are there.
    pub fn restoration(&self) -> Option<Restoration> {
        self.keeper.as_ref().map(Keeper::restoration)
    }

    /// Why the broker has ended by itself, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.ending.failure()
    }

    /// Tells how the broker ends, also after it has ended.
    pub fn ending(&self) -> Ending {
        self.shared.ending.clone()
    }

    /// Stops: listens no more, tells clients (MQTT 5.0: DISCONNECT with Server shutting down, 0x8B),
    /// gives them [`Config::stop_grace`] to take what is being sent, and returns when every thread
    /// has ended and every descriptor is closed. It waits for hooks that are running; none is asked any more.
    ///
    /// With a [`Config::store`], all that it has been handed is in it then. Whoever drops the broker instead is
    /// not told when that fails.
    ///
    /// # Errors
    /// [`StopError`].
    pub fn stop(mut self) -> Result<(), StopError> {
        let saved = self.end();
        match self.failure() {
            Some(failure) => Err(StopError::Failed(failure)),
            None => saved.map_err(StopError::NotSaved),
        }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.shared.stop();
        // A panic has been caught and noted: that thread has nothing to give.
        let ends = self.threads.drain(..).map(|thread| thread.join().ok()?);
        let ends: Vec<Option<Remains>> = ends.collect();
        let this = std::thread::current().id();
        // A hook that lets go of the last handle of its broker can't wait for itself.
        let checkers = self.checkers.get_mut();
        let checkers = checkers.unwrap_or_else(PoisonError::into_inner);
        for checker in checkers.drain(..).filter(|c| c.thread().id() != this) {
            // It holds nothing that anybody waits for.
            let _ = checker.join();
        }
        self.shared.traces.end();
        let remains: Option<Vec<Remains>> = ends.into_iter().collect();
        let saved = match self.keeper.take() {
            Some(keeper) => keeper.stop(remains, &self.shared),
            None => Ok(()),
        };
        // Some of what was said is still on its way, and a process that ended now would cut that off.
        #[cfg(feature = "quic")]
        for door in &self.shared.connections.doors().all {
            door.wait_for_end(LAST_WORDS);
        }
        self.shared.ending.stopped();
        saved
    }

    fn spawn(
        &self,
        shard: Shard,
        poller: Poller,
        config: &Config,
        sockets: Vec<(ListenerId, Arc<Listener>)>,
        pools: Pools,
    ) -> Result<JoinHandle<Option<Remains>>, StartError> {
        let shared = self.shared.clone();
        let number = self.threads.len();
        let mut driver = Driver::new(number, shared.clone(), shard, poller, config, pools);
        driver.listen(sockets);
        if number == 0 && self.shared.retained.lock().has_expiring() {
            driver.sweep_from_now_on();
        }
        let name = format!("ternmq-shard-{number}");
        let body = move || {
            let failed = shared.watch(number, || driver.run());
            (!failed).then(|| driver.into_remains())
        };
        Ok(Builder::new().name(name).spawn(body)?)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = self.end();
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("local_addrs", &self.local_addrs())
            .field("shards", &self.shared.mailboxes.len())
            .finish_non_exhaustive()
    }
}

pub(crate) fn new_shard(number: u16, owner: Owner, doors: &Doors, config: &Config) -> Shard {
    let mut shard = Shard::new(ShardConfig {
        number,
        // Each `RandomState` is keyed by the system's randomness.
        seed: RandomState::new().hash_one(number),
        limits: config.session.clone(),
        listeners: doors.limits(),
        topics: config.topics.clone(),
        shares: config.shares.clone(),
        owner,
        slow: config.slow,
        durable: config.store.is_some().then(|| durable(config, doors)),
    });
    shard.set_access(config.access.of_shards(config.access.rules.clone()));
    shard.set_telling(config.client_events.is_some());
    shard
}

/// What is promised: by topic first, then by listener.
pub(crate) fn durable(config: &Config, doors: &Doors) -> DurableConfig {
    let by_topic = config.durability.iter();
    let by_topic = by_topic.map(|(filter, durability)| DurabilityRule {
        listener: None,
        filter: Some(filter.clone()),
        durability: *durability,
    });
    let (backlog_messages, backlog_bytes) = config.limits.log.backlog();
    DurableConfig {
        rules: by_topic.chain(doors.promises()).collect(),
        backlog_messages,
        backlog_bytes,
        ..DurableConfig::default()
    }
}

pub(crate) fn share(
    config: &Config,
    pollers: &[Poller],
    users: Users,
    connections: Connections,
) -> Shared {
    let limits = MailLimits {
        messages: config.limits.mailbox_messages,
        bytes: config.limits.mailbox_bytes,
    };
    let mailboxes = pollers
        .iter()
        .map(|poller| Mailbox::new(poller.waker(), limits))
        .collect();
    let directory = Directory::new(config.placement, pollers.len());
    Shared::new(mailboxes, directory, users, connections, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_panics_ends_the_broker_and_says_so() {
        let config = Config {
            shards: 2,
            ..Config::default()
        };
        let mut broker = Broker::start(config).unwrap();
        let ending = broker.ending();
        assert_eq!(ending.failure(), None);
        broker.shared.watch(1, || panic!("on purpose"));
        let failure = Failure {
            shard: 1,
            message: "on purpose".into(),
        };
        for thread in broker.threads.drain(..) {
            thread.join().unwrap();
        }
        assert_eq!(ending.wait(), Some(failure.clone()));
        let none = ternmq_protocol::codec::Properties::EMPTY;
        let qos = ternmq_protocol::codec::QoS::AtMostOnce;
        let message = Message::new("t", b"", qos, false, none, broker.now()).unwrap();
        // Nobody subscribes, so nobody would have got it.
        assert_eq!(broker.publish(&message), Ok(()));
        assert_eq!(broker.stats().mqtt.connections, 0);
        assert_eq!(broker.stop(), Err(StopError::Failed(failure)));
    }
}
