//! Another configuration for a broker that runs.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use ternmq_protocol::broker::{Limits as SessionLimits, Topics};

use crate::auth::Users;
use crate::auth::passwords::Check;
use crate::broker::Broker;
use crate::config::{Config, Limits};
use crate::error::StartError;
use crate::hooks::check_passwords;
use crate::pool::Pool;
use crate::shared::Parcel;

/// What each shard is to go on with.
pub(crate) struct Live {
    pub(crate) session: SessionLimits,
    pub(crate) topics: Topics,
    /// What one session may have to read in the log, in messages and bytes.
    pub(crate) backlog: (u32, u64),
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
    kept: Kept,
    users: Users,
    live: Live,
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
    ///
    /// Bans have [`replace_bans`](Self::replace_bans), certificates
    /// [`reload_certificates`](Self::reload_certificates), rules [`set_rules`](Self::set_rules).
    ///
    /// # Errors
    /// [`StartError::Config`] and [`StartError::Users`], as when a broker is started, also where a value
    /// makes no sense together with one that can't change; [`StartError::System`]: no more threads.
    pub fn reconfigure(&self, config: &Config) -> Result<Reconfiguration<'_>, StartError> {
        let before = self.config.lock().unwrap_or_else(PoisonError::into_inner);
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
            ..Config::default()
        };
        checked.check()?;
        let users = Users::new(&config.users).map_err(StartError::Users)?;
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
        let backlog = kept.limits.log.backlog();
        let topics = config.topics.clone();
        Ok(Reconfiguration {
            broker: self,
            kept,
            users,
            live: Live {
                session,
                topics,
                backlog,
                passwords,
            },
            threads,
        })
    }
}

impl Reconfiguration<'_> {
    /// Goes on with it. When this returns every shard does; each packet meets one configuration or the
    /// other. Of two that were made at the same time the one holds that is applied last.
    pub fn apply(self) {
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
        let config = self.broker.config.lock();
        *config.unwrap_or_else(PoisonError::into_inner) = self.kept;
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
