//! The steps that a client which wants in has to pass, in an order for each listener.
//!
//! Each step allows, denies or has no opinion, and the first that has one decides. What is known to others
//! (back ends) is asked behind a [`Guard`], so that one which is down, slow or lying costs its own clients an
//! answer and nobody else more than a thread for a while.

mod breaker;
mod cache;
mod guard;
mod places;
pub(crate) mod template;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Authenticate, Authorise, Connecting, Decision, Opinion};
use ternmq_protocol::ReasonCode;

pub use breaker::Patience;
pub use cache::CacheLimits;
pub use guard::{BackEnd, Change, Failure, Guard, Limits, StepStats, Teller, WhenDown};
pub use places::Crowd;
pub use template::Template;

use crate::jwt::Jwt;
use crate::jwt::remote::KeyStats;
use crate::passwords::Passwords;

/// What a step is.
#[derive(Clone)]
pub enum Step {
    /// Lets whoever has shown by a certificate who it is in, and has no opinion of others.
    Certificate,
    /// JSON Web Tokens.
    Tokens(Arc<Jwt>),
    /// A file of passwords.
    Passwords(Arc<Passwords>),
    /// Somebody else knows.
    BackEnd(Arc<Guard>),
}

/// All steps of a server, and which of them each listener has.
///
/// Whoever names a user, or sends a password, and is known to no step of its listener is refused, unless there
/// are users of the broker's own. Whoever has shown already by SCRAM or a certificate who it is, is asked about
/// no password. A listener that is not known here lets nobody in: it is about to be.
pub struct Chain {
    steps: Vec<(Box<str>, Step)>,
    lists: RwLock<Arc<Lists>>,
}

/// Which steps there are for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The places of steps in the chain, in order, by the number of the listener.
    pub by_listener: HashMap<usize, Vec<usize>>,
    /// The broker has users of its own, which are looked at behind the steps.
    pub users: bool,
}

impl Chain {
    /// Steps with their names, before any listener has some.
    #[must_use]
    pub fn new(steps: Vec<(Box<str>, Step)>) -> Self {
        Self {
            steps,
            lists: RwLock::default(),
        }
    }

    /// Goes on with other lists. Who is connected stays.
    pub fn set_lists(&self, lists: Lists) {
        *self.lists.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lists);
    }

    /// The steps with their names.
    #[must_use]
    pub fn steps(&self) -> &[(Box<str>, Step)] {
        &self.steps
    }

    /// The place of a step.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|(known, _)| **known == *name)
    }

    /// What the back ends among the steps have counted.
    #[must_use]
    pub fn stats(&self) -> Vec<(&str, StepStats)> {
        let back_ends = self.steps.iter().filter_map(|(name, step)| match step {
            Step::BackEnd(guard) => Some((&**name, guard.stats())),
            _ => None,
        });
        back_ends.collect()
    }

    /// What has become of looks at the keys under URLs.
    #[must_use]
    pub fn key_stats(&self) -> Vec<(&str, KeyStats)> {
        let keys = self.steps.iter().filter_map(|(name, step)| match step {
            Step::Tokens(jwt) => Some((&**name, jwt.remote()?.stats())),
            _ => None,
        });
        keys.collect()
    }

    /// Whether any step has something to say of what clients do.
    #[must_use]
    pub fn authorises(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|(_, step)| matches!(step, Step::BackEnd(guard) if guard.authorises()))
    }

    fn lists(&self) -> Arc<Lists> {
        let lists = self.lists.read();
        lists.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Step {
    /// What it says of a client. `others`: whom it does not know somebody else may.
    fn authenticate(&self, client: &Connecting<'_>, others: bool) -> Decision {
        match self {
            Self::Certificate => match client.authenticated && client.certificate_subject.is_some()
            {
                true => Decision::Allow,
                false => Decision::Ignore,
            },
            Self::Tokens(jwt) => jwt.decide(client, others),
            Self::Passwords(passwords) => passwords.decide(client, others),
            Self::BackEnd(guard) => guard.authenticate(client),
        }
    }

    /// Whether it knows users by name.
    const fn knows_users(&self) -> bool {
        !matches!(self, Self::Certificate)
    }
}

impl Authenticate for Chain {
    fn authenticate(&self, client: &Connecting<'_>) -> Decision {
        let lists = self.lists();
        let Some(list) = lists.by_listener.get(&client.listener) else {
            return Decision::Deny(ReasonCode::SERVER_UNAVAILABLE);
        };
        let steps: Vec<&Step> = list.iter().map(|at| &self.steps[*at].1).collect();
        for (at, step) in steps.iter().enumerate() {
            let others = lists.users || at + 1 < steps.len();
            let said = step.authenticate(client, others);
            if said != Decision::Ignore {
                return said;
            }
        }
        let names = client.user_name.is_some() || client.password.is_some();
        let unknown = names && !client.authenticated && !lists.users;
        match unknown && steps.iter().any(|step| step.knows_users()) {
            true => Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            false => Decision::Ignore,
        }
    }
}

impl Authorise for Chain {
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
        match self.opinion(client, action) {
            Opinion::Verdict(verdict) => Some(verdict),
            Opinion::None => None,
            Opinion::Unknown => Some(Verdict::Deny),
        }
    }

    fn opinion(&self, client: &Acting<'_>, action: &Action) -> Opinion {
        let lists = self.lists();
        let Some(list) = lists.by_listener.get(&client.listener) else {
            return Opinion::Unknown;
        };
        for at in list {
            if let Step::BackEnd(guard) = &self.steps[*at].1 {
                match guard.authorise(client, action) {
                    Opinion::None => {}
                    said => return said,
                }
            }
        }
        Opinion::None
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.steps.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}
