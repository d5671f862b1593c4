//! What stands before a back end: what it has said is kept, failures are counted, and one that fails is left
//! alone for a while.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ring::hmac;
use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Connecting, Decision, Opinion};
use ternmq_protocol::ReasonCode;

use super::breaker::{Breaker, Patience};
use super::cache::{Cache, CacheLimits, Key};
use super::places::{Crowd, Places};
use crate::jwt::remote::KeyChange;

/// Somebody else who knows clients. It is asked on the threads of the hooks, which it may block for no longer
/// than the time that it was given.
pub trait BackEnd: Send + Sync {
    /// What it says of a client that wants in; [`Decision::Ignore`]: it does not know it.
    ///
    /// # Errors
    /// It has not answered, or nothing that can be understood.
    fn authenticate(&self, client: &Connecting<'_>) -> Result<Decision, Failure>;

    /// What it says of what a client wants to do; `None`: nothing.
    ///
    /// # Errors
    /// As [`BackEnd::authenticate`].
    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Result<Option<Verdict>, Failure>;

    /// Whether it is asked who may come in.
    fn authenticates(&self) -> bool;

    /// Whether it is asked who may do what.
    fn authorises(&self) -> bool;
}

/// Why a back end has said nothing. No secret is in the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not in time.
    Late,
    /// It can't be reached, or says that it can't answer.
    Down(String),
    /// What it says can't be understood.
    Garbled(String),
    /// It has answered, and nothing of use about this client. [`WhenDown`] holds for this one, and the back end is
    /// asked about others as before: whoever has an odd name can't have it left alone.
    Useless(String),
    /// What it keeps of this client can't be used: it does not say who of several it is, or its hash or a rule is none.
    /// That client is refused whatever [`WhenDown`] says, and nothing is wrong with the back end.
    BadRecord(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it has not answered in time"),
            Self::Down(why) | Self::BadRecord(why) => f.write_str(why),
            Self::Garbled(why) | Self::Useless(why) => {
                write!(f, "its answer can't be understood: {why}")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// What becomes of a client about whom a back end says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// It is refused with Server unavailable (0x88), or with Server busy (0x89) if too many ask already, and what
    /// it wants to do with Not authorized; it is asked anew the next time.
    #[default]
    Deny,
    /// The next step is asked.
    Ignore,
}

/// How a back end is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What becomes of clients while it says nothing.
    pub when_down: WhenDown,
    /// When it is left alone.
    pub patience: Patience,
    /// How many ask it at a time.
    pub crowd: Crowd,
    /// What is kept of what it has said: as many answers again for what clients may do.
    pub cache: CacheLimits,
}

/// What has become of the questions to a back end; from 0 with the server on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Answers that allow.
    pub allowed: u64,
    /// Answers that deny.
    pub denied: u64,
    /// Answers without an opinion.
    pub ignored: u64,
    /// Answers of any kind that were kept from before, and are in the three above.
    pub cached: u64,
    /// Clients, or what they want to do, denied because of what it keeps of them ([`Failure::BadRecord`]); they are
    /// in `denied` too.
    pub bad_record: u64,
    /// No answer in time.
    pub late: u64,
    /// It could not be reached, or said so.
    pub down: u64,
    /// Answers that could not be understood, or were of no use.
    pub garbled: u64,
    /// Not put, because it is left alone.
    pub not_asked: u64,
    /// Not put, because too many wait for its answers already, or one has waited for too long.
    pub busy: u64,
    /// Questions that it is asked now.
    pub asking: usize,
    /// Questions that wait for that.
    pub waiting: usize,
    /// It is left alone now.
    pub open: bool,
}

/// What becomes of a back end: it is left alone from now on, or not any more, or has refused somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is left alone, because of this at last.
    LeftAlone(Failure),
    /// It answers again.
    Back,
    /// A client is refused because of this, which is for people to mend.
    Refused(Failure),
    /// What has become of the keys of a step of tokens.
    Keys(KeyChange),
}

/// Is told of changes, with the name of the step, on the threads of the hooks and on those of keys.
pub type Teller = Box<dyn Fn(&str, &Change) + Send + Sync>;

/// Guards a back end.
pub struct Guard {
    name: Box<str>,
    limits: Limits,
    back_end: Box<dyn BackEnd>,
    tell: Teller,
    breaker: Mutex<Breaker>,
    places: Places,
    entries: Mutex<Cache<Decision>>,
    verdicts: Mutex<Cache<Option<Verdict>>>,
    /// Of the fingerprints.
    key: hmac::Key,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    allowed: AtomicU64,
    denied: AtomicU64,
    ignored: AtomicU64,
    cached: AtomicU64,
    bad_record: AtomicU64,
    late: AtomicU64,
    down: AtomicU64,
    garbled: AtomicU64,
    not_asked: AtomicU64,
    busy: AtomicU64,
}

/// Why there is no answer.
enum Silent {
    /// Too many ask.
    Busy,
    /// Anything else.
    Down,
}

impl Guard {
    /// Before a back end that nobody has asked yet.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(
        name: &str,
        back_end: Box<dyn BackEnd>,
        limits: Limits,
        tell: Teller,
    ) -> Result<Self, &'static str> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| "the system has no randomness")?;
        Ok(Self {
            name: name.into(),
            limits,
            back_end,
            tell,
            breaker: Mutex::default(),
            places: Places::default(),
            entries: Mutex::new(Cache::new(limits.cache)),
            verdicts: Mutex::new(Cache::new(limits.cache)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            counters: Counters::default(),
        })
    }

    /// Whether it is asked who may do what.
    #[must_use]
    pub fn authorises(&self) -> bool {
        self.back_end.authorises()
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> StepStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own = &self.counters;
        let taken = *self.places.taken();
        StepStats {
            allowed: read(&own.allowed),
            denied: read(&own.denied),
            ignored: read(&own.ignored),
            cached: read(&own.cached),
            bad_record: read(&own.bad_record),
            late: read(&own.late),
            down: read(&own.down),
            garbled: read(&own.garbled),
            not_asked: read(&own.not_asked),
            busy: read(&own.busy),
            asking: taken.asking,
            waiting: taken.waiting,
            open: lock(&self.breaker).is_open(),
        }
    }

    pub(super) fn authenticate(&self, client: &Connecting<'_>) -> Decision {
        // Who has shown who it is has no password that could be asked about.
        if client.authenticated || !self.back_end.authenticates() {
            return Decision::Ignore;
        }
        let key = || self.of_client(client);
        let refused = Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        let asked = self.ask(&self.entries, key, || {
            self.or_refused(self.back_end.authenticate(client), refused)
        });
        match asked {
            Ok(decision) => {
                // What has ended meanwhile is not let in once more.
                let over = matches!(&decision, Decision::AllowWith(grant) if
                    grant.until.is_some_and(|until| until <= client.now));
                let decision = match over {
                    true => Decision::Deny(ReasonCode::NOT_AUTHORIZED),
                    false => decision,
                };
                count(match &decision {
                    Decision::Deny(_) => &self.counters.denied,
                    Decision::Ignore => &self.counters.ignored,
                    _ => &self.counters.allowed,
                });
                decision
            }
            Err(silent) => match (self.limits.when_down, silent) {
                (WhenDown::Deny, Silent::Busy) => Decision::Deny(ReasonCode::SERVER_BUSY),
                (WhenDown::Deny, Silent::Down) => Decision::Deny(ReasonCode::SERVER_UNAVAILABLE),
                (WhenDown::Ignore, _) => Decision::Ignore,
            },
        }
    }

    pub(super) fn authorise(&self, client: &Acting<'_>, action: &Action) -> Opinion {
        if !self.back_end.authorises() {
            return Opinion::None;
        }
        let key = || self.of_action(client, action);
        let asked = self.ask(&self.verdicts, key, || {
            self.or_refused(self.back_end.authorise(client, action), Some(Verdict::Deny))
        });
        match asked {
            Ok(Some(verdict)) => {
                count(match verdict {
                    Verdict::Allow => &self.counters.allowed,
                    Verdict::Deny => &self.counters.denied,
                });
                Opinion::Verdict(verdict)
            }
            Ok(None) => {
                count(&self.counters.ignored);
                Opinion::None
            }
            Err(_) => match self.limits.when_down {
                WhenDown::Deny => Opinion::Unknown,
                WhenDown::Ignore => Opinion::None,
            },
        }
    }

    /// A record that can't be used is an answer, and costs nobody else the back end.
    fn or_refused<T>(&self, said: Result<T, Failure>, refused: T) -> Result<T, Failure> {
        match said {
            Err(failure @ Failure::BadRecord(_)) => {
                count(&self.counters.bad_record);
                (self.tell)(&self.name, &Change::Refused(failure));
                Ok(refused)
            }
            said => said,
        }
    }

    /// What is kept, or what the back end says now.
    ///
    /// # Errors
    /// Nothing, which is counted.
    fn ask<T: Clone>(
        &self,
        cache: &Mutex<Cache<T>>,
        key: impl Fn() -> Key,
        question: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Silent> {
        let key = lock(cache).is_on().then(key);
        if let Some(key) = &key
            && let Some(kept) = lock(cache).get(key, Instant::now())
        {
            count(&self.counters.cached);
            return Ok(kept);
        }
        let patience = self.limits.patience;
        let not_asked = || {
            count(&self.counters.not_asked);
            Err(Silent::Down)
        };
        // Nobody waits for one that is left alone.
        if lock(&self.breaker).is_shut(patience, Instant::now()) {
            return not_asked();
        }
        let Some(_place) = self.places.take(self.limits.crowd) else {
            count(&self.counters.busy);
            return Err(Silent::Busy);
        };
        if !lock(&self.breaker).lets_through(patience, Instant::now()) {
            return not_asked();
        }
        // No lock is held while it is asked.
        match question() {
            Ok(answer) => {
                self.back();
                if let Some(key) = key {
                    lock(cache).put(key, answer.clone(), Instant::now());
                }
                Ok(answer)
            }
            Err(failure) => {
                count(match failure {
                    Failure::Late => &self.counters.late,
                    Failure::Down(_) => &self.counters.down,
                    _ => &self.counters.garbled,
                });
                if matches!(failure, Failure::Useless(_)) {
                    self.back();
                } else if lock(&self.breaker).failed(patience, Instant::now()) {
                    (self.tell)(&self.name, &Change::LeftAlone(failure));
                }
                Err(Silent::Down)
            }
        }
    }

    /// It has answered.
    fn back(&self) {
        let was_left_alone = lock(&self.breaker).answered();
        if was_left_alone {
            (self.tell)(&self.name, &Change::Back);
        }
    }

    fn of_client(&self, client: &Connecting<'_>) -> Key {
        let peer = client.peer.map(|peer| peer.ip().to_string());
        self.fingerprint(&[
            Some(client.client_id.as_bytes()),
            client.user_name.map(str::as_bytes),
            client.password,
            peer.as_deref().map(str::as_bytes),
            client.certificate_subject.map(str::as_bytes),
            Some(&client.listener.to_be_bytes()),
        ])
    }

    fn of_action(&self, client: &Acting<'_>, action: &Action) -> Key {
        let peer = client.peer.map(|peer| peer.to_string());
        let action = format!("{action:?}");
        self.fingerprint(&[
            Some(client.client_id.as_bytes()),
            client.user_name.map(str::as_bytes),
            peer.as_deref().map(str::as_bytes),
            Some(&client.listener.to_be_bytes()),
            Some(action.as_bytes()),
        ])
    }

    /// Each part with its length, so that none runs into the next.
    fn fingerprint(&self, parts: &[Option<&[u8]>]) -> Key {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.unwrap_or_default());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
