//! Questions on their way to the threads of the hooks, and the answers on their way back.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use ternmq_protocol::ReasonCode;
use ternmq_protocol::broker::AdmitRequest;
use ternmq_protocol::broker::access::{AccessRequest, AccessTicket, Action, Ruling, Verdict};

use super::{Access, Acting, Connecting, Decision, Opinion, place};
use crate::auth::passwords::Check;
use crate::config::{Config, Limits};
use crate::pool::Pool;
use crate::shared::{Parcel, Shared};

/// The ways to all threads that work for the shards; none where there is nothing to do.
#[derive(Clone, Default)]
pub(crate) struct Pools {
    pub(crate) passwords: Option<Pool<Check>>,
    pub(crate) authenticate: Option<Pool<Introduction>>,
    pub(crate) authorise: Option<Pool<Inquiry>>,
}

/// A client that wants in.
pub(crate) struct Introduction {
    pub(crate) shard: usize,
    /// Tells its connection from a later one of the same number.
    pub(crate) generation: u32,
    pub(crate) request: AdmitRequest,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) certificate_subject: Option<Box<str>>,
}

/// A question about what a client may do.
pub(crate) enum Inquiry {
    /// Of a shard.
    Packet(usize, AccessRequest),
    /// About the will of a client that wants in and has shown who it is.
    Will {
        shard: usize,
        generation: u32,
        request: AdmitRequest,
        action: Action,
        /// Rules of its own allow it.
        granted: bool,
    },
}

/// What the hooks have said.
pub(crate) enum Reply {
    Introduced {
        generation: u32,
        request: AdmitRequest,
        decision: Decision,
    },
    Ruled(AccessTicket, Vec<Ruling>),
    Will {
        generation: u32,
        request: AdmitRequest,
        ruling: Ruling,
    },
}

impl Pools {
    /// Starts all threads that this configuration needs.
    ///
    /// # Errors
    /// No more threads.
    pub(crate) fn start(
        config: &Config,
        shared: &Arc<Shared>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> io::Result<Self> {
        let mut pools = Self::default();
        let (limits, access) = (&config.limits, Arc::new(config.access.clone()));
        if !shared.users().is_empty() {
            pools.passwords = Some(check_passwords(limits, shared, threads)?);
        }
        let (count, queue) = (access.threads, access.queue);
        if !access.authenticate.is_empty() {
            let (shared, access) = (shared.clone(), access.clone());
            let work = move |introduction: Introduction| introduction.carry_out(&access, &shared);
            let (pool, started) = Pool::start("hooks-in", count, queue, work)?;
            threads.extend(started);
            pools.authenticate = Some(pool);
        }
        if !access.authorise.is_empty() {
            let (shared, access) = (shared.clone(), access.clone());
            let work = move |inquiry: Inquiry| inquiry.carry_out(&access, &shared);
            let (pool, started) = Pool::start("hooks-do", count, queue, work)?;
            threads.extend(started);
            pools.authorise = Some(pool);
        }
        Ok(pools)
    }
}

/// Starts the threads that check passwords.
///
/// # Errors
/// No more threads.
pub(crate) fn check_passwords(
    limits: &Limits,
    shared: &Arc<Shared>,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<Pool<Check>> {
    let shared = shared.clone();
    let work = move |check: Check| check.carry_out(&shared);
    let (count, queue) = (limits.password_threads, limits.password_queue);
    let (pool, started) = Pool::start("passwords", count, queue, work)?;
    threads.extend(started);
    Ok(pool)
}

impl Introduction {
    fn carry_out(self, access: &Access, shared: &Shared) {
        if shared.mailboxes[self.shard].is_closed() {
            return; // the broker stops: nobody waits for the answer
        }
        let request = &self.request;
        let connecting = Connecting {
            client_id: &request.client_id,
            user_name: request.user_name.as_deref(),
            password: request.password.as_deref(),
            authenticated: request.authenticated,
            version: request.version,
            clean_start: request.clean_start,
            peer: self.peer,
            listener: place(request.listener),
            certificate_subject: self.certificate_subject.as_deref(),
            now: shared.wall_clock(),
            properties: request.properties.get(),
        };
        let hooks = access.authenticate.iter();
        let mut said = hooks.map(|hook| hook.authenticate(&connecting));
        let ask = AssertUnwindSafe(|| said.find(|decision| *decision != Decision::Ignore));
        // A panic is told by its hook, and refuses this one client.
        let decision = match catch_unwind(ask) {
            Ok(decision) => decision.unwrap_or(Decision::Ignore),
            Err(_) => Decision::Deny(ReasonCode::UNSPECIFIED_ERROR),
        };
        let (shard, generation) = (self.shard, self.generation);
        let reply = Reply::Introduced {
            generation,
            request: self.request,
            decision,
        };
        answer(shared, shard, reply);
    }
}

impl Inquiry {
    fn carry_out(self, access: &Access, shared: &Shared) {
        let (Self::Packet(shard, _) | Self::Will { shard, .. }) = &self;
        let shard = *shard;
        if shared.mailboxes[shard].is_closed() {
            return;
        }
        let rule = |client: &Acting<'_>, action: &Action, granted: bool| {
            let mut said = access
                .authorise
                .iter()
                .map(|hook| hook.opinion(client, action));
            let ask = AssertUnwindSafe(|| said.find(|opinion| *opinion != Opinion::None));
            match catch_unwind(ask).map(|said| said.unwrap_or(Opinion::None)) {
                Ok(Opinion::Verdict(Verdict::Allow)) => Ruling::Allow,
                Ok(Opinion::Verdict(Verdict::Deny)) => Ruling::Deny,
                // What its token allows nobody has spoken against.
                Ok(Opinion::None) if granted => Ruling::Allow,
                Ok(Opinion::None) => match shared.rules().otherwise() {
                    Verdict::Allow => Ruling::Allow,
                    Verdict::Deny => Ruling::Deny,
                },
                Ok(Opinion::Unknown) | Err(_) => Ruling::Undecided(ReasonCode::NOT_AUTHORIZED),
            }
        };
        let reply = match self {
            Self::Packet(_, request) => {
                let client = Acting {
                    client_id: &request.client_id,
                    user_name: request.user_name.as_deref(),
                    peer: request.peer,
                    listener: place(request.listener),
                    version: request.version,
                };
                let actions = request.actions.iter();
                let granted = request.granted;
                let rulings = actions.map(|action| rule(&client, action, granted));
                let rulings = rulings.collect();
                Reply::Ruled(request.ticket, rulings)
            }
            Self::Will {
                generation,
                request,
                action,
                granted,
                ..
            } => {
                let client = Acting {
                    client_id: &request.client_id,
                    user_name: request.user_name.as_deref(),
                    peer: request.peer,
                    listener: place(request.listener),
                    version: request.version,
                };
                let ruling = rule(&client, &action, granted);
                Reply::Will {
                    generation,
                    request,
                    ruling,
                }
            }
        };
        answer(shared, shard, reply);
    }
}

fn answer(shared: &Shared, shard: usize, reply: Reply) {
    // The shard may have ended meanwhile.
    let _ = shared.mailboxes[shard].send(Parcel::Reply(Box::new(reply)));
}
