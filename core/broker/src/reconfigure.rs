//! Another configuration for a broker that runs.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;

use ternmq_protocol::broker::durable::DurableConfig;
use ternmq_protocol::broker::{Limits as SessionLimits, ListenerId, ListenerLimits, Topics};
use ternmq_transport::Listener;

use crate::auth::Users;
use crate::auth::passwords::Check;
use crate::broker::{Broker, durable};
use crate::config::{Config, Limits};
use crate::connections::Doors;
use crate::error::StartError;
use crate::hooks::check_passwords;
use crate::pool::Pool;
use crate::relisten::{Listeners, Modes};
use crate::shared::Parcel;

/// Sockets that are new, and those that are to go.
pub(crate) type Sockets = (Vec<(ListenerId, Arc<Listener>)>, Vec<ListenerId>);

/// What each shard is to go on with.
pub(crate) struct Live {
    pub(crate) session: SessionLimits,
    pub(crate) topics: Topics,
    pub(crate) durable: DurableConfig,
    /// Of each listener, by its number.
    pub(crate) rates: Vec<Arc<ListenerLimits>>,
    /// For the shard that accepts.
    pub(crate) sockets: Mutex<Option<Sockets>>,
    /// Where passwords are checked, if nobody did so before.
    pub(crate) passwords: Option<Pool<Check>>,
}

/// What of a configuration is looked at again.
pub(crate) struct Kept {
    session: SessionLimits,
    limits: Limits,
    passwords: bool,
}

impl Kept {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            session: config.session.clone(),
            limits: config.limits.clone(),
            passwords: !config.users.is_empty(),
        }
    }
}

/// A configuration that a broker can go on with, and does from [`apply`](Self::apply) on.
#[must_use = "nothing changes before it is applied"]
pub struct Reconfiguration<'a> {
    broker: &'a Broker,
    /// As it was: nobody else changes it meanwhile.
    config: MutexGuard<'a, Kept>,
    kept: Kept,
    users: Users,
    live: Live,
    doors: Doors,
    modes: Modes,
    threads: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Makes ready to go on with what of `config` can change while the broker runs; the rest of it is not
    /// looked at: it holds for a broker that is started with it. These can:
    /// - [`Config::users`]. Who is connected stays.
    /// - [`Limits::connections`], [`Limits::queued_bytes`] and [`Limits::log`], by which the log is swept at
    ///   once.
    /// - [`Config::session`], as [`SessionLimits::take_live`] says. What is there already stays, though it
    ///   be more than is allowed from now on; `keep_alive`, `session_expiry` and `inflight` hold from the
    ///   next CONNECT of a client on.
    /// - `rewrite`, `auto_subscribe`, `response_information` and `check_payload_format` of
    ///   [`Config::topics`]. Subscriptions stay as they were made.
    /// - [`Config::listeners`]. New ones are bound here, and clients can connect once it is applied; also where
    ///   one that is to go has the port, so that 127.0.0.1:1883 can become 0.0.0.0:1883. One at an
    ///   address that is listened at already goes on (with port 0: at the port it has), and what is new of it
    ///   holds for who connects from then on. Those that are not there any more are closed. Whoever is
    ///   connected stays, whatever becomes of its listener.
    /// - [`Config::durability`].
    ///
    /// Bans have [`replace_bans`](Self::replace_bans), files of certificates
    /// [`reload_certificates`](Self::reload_certificates), rules [`set_rules`](Self::set_rules).
    ///
    /// # Errors
    /// [`StartError::Config`], [`StartError::Users`], [`StartError::Listen`] and [`StartError::Tls`], as when
    /// a broker is started, also where a value makes no sense together with one that can't change, and while
    /// another reconfiguration is neither applied nor dropped; [`StartError::System`]: no more threads.
    pub fn reconfigure(&self, config: &Config) -> Result<Reconfiguration<'_>, StartError> {
        let before = match self.config.try_lock() {
            Ok(before) => before,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let what = "another one is about to be taken over";
                return Err(StartError::Config(what));
            }
        };
        let mut session = before.session.clone();
        session.take_live(&config.session);
        let limits = Limits {
            connections: config.limits.connections,
            queued_bytes: config.limits.queued_bytes,
            log: config.limits.log,
            ..before.limits.clone()
        };
        let checked = Config {
            session: session.clone(),
            limits: limits.clone(),
            listeners: config.listeners.clone(),
            durability: config.durability.clone(),
            ..Config::default()
        };
        checked.check()?;
        let users = Users::new(&config.users).map_err(StartError::Users)?;
        let doors = self.shared.connections.doors();
        let listeners = Listeners::prepare(&doors, &config.listeners, &self.registrar)?;
        let mut threads = Vec::new();
        let passwords = match before.passwords || users.is_empty() {
            true => None,
            false => Some(check_passwords(&limits, &self.shared, &mut threads)?),
        };
        let kept = Kept {
            passwords: before.passwords || passwords.is_some(),
            session: session.clone(),
            limits,
        };
        Ok(Reconfiguration {
            broker: self,
            config: before,
            kept,
            users,
            live: Live {
                session,
                topics: config.topics.clone(),
                durable: durable(&checked, &listeners.doors),
                rates: listeners.doors.limits(),
                sockets: Mutex::new(Some((listeners.opened, listeners.closed))),
                passwords,
            },
            doors: listeners.doors,
            modes: listeners.modes,
            threads,
        })
    }
}

impl Reconfiguration<'_> {
    /// Goes on with it. When this returns every shard does; each packet meets one configuration or the
    /// other.
    pub fn apply(mut self) {
        let shared = &self.broker.shared;
        let checkers = self.broker.checkers.lock();
        checkers
            .unwrap_or_else(PoisonError::into_inner)
            .extend(self.threads);
        shared.connections.set_limit(self.kept.limits.connections);
        shared.queues.set_limit(self.kept.limits.queued_bytes);
        if let Some(desk) = &shared.desk {
            desk.set_log(self.kept.limits.log);
        }
        *self.config = self.kept;
        self.modes.keep();
        // Before there are sockets that are accepted from.
        shared.connections.set_doors(self.doors);
        let live = Arc::new(self.live);
        let (reply, replies) = sync_channel(shared.mailboxes.len());
        // Where passwords are checked is to be known before there is somebody to have one.
        for mailbox in &shared.mailboxes {
            // A shard that has ended has nobody to let in.
            let _ = mailbox.send(Parcel::Reconfigure(live.clone(), reply.clone()));
        }
        drop(reply);
        replies.into_iter().for_each(drop);
        shared.set_users(self.users);
    }
}

impl std::fmt::Debug for Reconfiguration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconfiguration").finish_non_exhaustive()
    }
}
