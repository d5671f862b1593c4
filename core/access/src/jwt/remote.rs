//! Keys that somebody else keeps under a URL, and changes when they like.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use ureq::Agent;

use super::keys::Keys;
use crate::backends::http;
use crate::chain::Failure;

/// Where keys are, and how often they are looked at.
#[derive(Clone, Debug)]
pub struct Options {
    /// A set of JSON Web Keys is answered there. A redirection is not followed, and an answer without a key that
    /// tokens can be checked by is none.
    pub url: Url,
    /// The file of the certificates that https trusts; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// From one look to the next.
    pub refresh: Duration,
    /// From a look that failed to the next. A token whose `kid` is not known brings one about at the soonest so
    /// long after the last.
    pub retry: Duration,
    /// For everything from looking the name up to the end of the answer.
    pub timeout: Duration,
}

/// A URL of keys, of `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Box<str>);

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("${") {
            return Err("the keys are the same for all: there are no placeholders".to_owned());
        }
        text.parse::<http::Url>()?;
        Ok(Self(text.into()))
    }
}

/// What has become of keys under a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// There are others than before, so many.
    Changed(usize),
    /// They could not be had, for the first time since they could. Those that were there hold on.
    Failed(Failure),
    /// They can be had again.
    Back,
}

/// Is told of changes, on the threads of the hooks and on that of the keys.
pub type KeyTeller = Box<dyn Fn(&KeyChange) + Send + Sync>;

/// What has become of looks at keys; from 0 with the server on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyStats {
    /// Looks that brought keys, the same or others.
    pub fetched: u64,
    /// No answer in time.
    pub late: u64,
    /// Nobody could be reached, or said that it can't answer.
    pub down: u64,
    /// Answers that are no set of keys.
    pub garbled: u64,
    /// Tokens with a `kid` that is not known, when it was too soon to look for it.
    pub not_asked: u64,
    /// Keys that are there now.
    pub keys: usize,
    /// When they were last had.
    pub since: Option<SystemTime>,
}

/// Keys under a URL. A thread of its own looks at them from time to time; a token whose key is not known has
/// them looked at on the thread that asks, which is one of the hooks.
pub struct Remote {
    options: Options,
    agent: Agent,
    tell: KeyTeller,
    state: Mutex<State>,
    /// Has the thread look at once. With the last of this the thread ends.
    wake: Mutex<Option<SyncSender<()>>>,
    counters: Counters,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<Keys>>,
    /// What they were made of, so that what has not changed is no news.
    said: String,
    since: Option<SystemTime>,
    /// When a look began.
    tried: Option<Instant>,
    /// It is not over.
    trying: bool,
    /// The last one brought nothing.
    failed: bool,
}

#[derive(Default)]
struct Counters {
    fetched: AtomicU64,
    late: AtomicU64,
    down: AtomicU64,
    garbled: AtomicU64,
    not_asked: AtomicU64,
}

/// What a token is checked by.
pub(super) enum Known {
    /// These keys, among which its own may be.
    Keys(Arc<Keys>),
    /// Nobody can say now whether there is a key for it.
    NotNow,
}

impl Remote {
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// The file of certificates can't be used.
    pub fn new(options: Options, tell: KeyTeller) -> Result<Self, String> {
        let secure = options.url.0.starts_with("https:");
        // One looks at a time.
        let agent = http::agent(options.ca.as_deref(), options.timeout, 1, secure)?;
        Ok(Self {
            options,
            agent,
            tell,
            state: Mutex::default(),
            wake: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// Has the keys, or finds that they can't be had, and looks at them from now on. Takes no longer than one
    /// look. The thread ends when nobody has these keys any more.
    ///
    /// # Errors
    /// No more threads.
    pub fn start(self: &Arc<Self>) -> Result<(), String> {
        self.look();
        let (wake, woken) = sync_channel(1);
        let own = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("ternmq-keys".to_owned())
            .spawn(move || keep_looking(&own, &woken))
            .map_err(|error| format!("no thread: {error}"))?;
        *lock(&self.wake) = Some(wake);
        Ok(())
    }

    /// Has the thread look now, unless it is about to.
    pub fn look_soon(&self) {
        if let Some(wake) = &*lock(&self.wake) {
            // Full: somebody has just said the same.
            let _ = wake.try_send(());
        }
    }

    /// Looks at the keys, unless somebody does so now.
    pub fn look(&self) {
        if self.begins() {
            self.end(self.fetch());
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> KeyStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = lock(&self.state);
        KeyStats {
            fetched: read(&self.counters.fetched),
            late: read(&self.counters.late),
            down: read(&self.counters.down),
            garbled: read(&self.counters.garbled),
            not_asked: read(&self.counters.not_asked),
            keys: state.keys.as_ref().map_or(0, |keys| keys.len()),
            since: state.since,
        }
    }

    /// The keys that a token is checked by, after a look if none of those that are there `fits` and it is not
    /// too soon for one. One thread waits for a look; a token that comes meanwhile gets no answer.
    pub(super) fn keys(&self, fits: impl Fn(&Keys) -> bool) -> Known {
        if let Some(keys) = self.kept()
            && fits(&keys)
        {
            return Known::Keys(keys);
        }
        if self.begins_for_a_token() {
            self.end(self.fetch());
        }
        let state = lock(&self.state);
        match &state.keys {
            Some(keys) if fits(keys) || !(state.trying || state.failed) => {
                Known::Keys(keys.clone())
            }
            _ => Known::NotNow,
        }
    }

    fn kept(&self) -> Option<Arc<Keys>> {
        lock(&self.state).keys.clone()
    }

    fn begins(&self) -> bool {
        let mut state = lock(&self.state);
        let begins = !state.trying;
        if begins {
            (state.trying, state.tried) = (true, Some(Instant::now()));
        }
        begins
    }

    fn begins_for_a_token(&self) -> bool {
        let tried = lock(&self.state).tried;
        let soon = tried.is_some_and(|tried| tried.elapsed() < self.options.retry);
        let begins = !soon && self.begins();
        if !begins {
            self.counters.not_asked.fetch_add(1, Ordering::Relaxed);
        }
        begins
    }

    /// What is answered there, and the keys in it.
    fn fetch(&self) -> Result<(String, Keys), Failure> {
        let answer = self.agent.get(&*self.options.url.0);
        let answer = answer.header("Accept", "application/jwk-set+json, application/json");
        let answer = answer.call().map_err(|error| http::failure(&error))?;
        match http::read(answer)? {
            (200..=299, body) => {
                let keys = Keys::of_set(&body).map_err(Failure::Garbled)?;
                Ok((body, keys))
            }
            (status, _) => Err(http::of_status(status)),
        }
    }

    /// Goes on with what a look has brought.
    fn end(&self, brought: Result<(String, Keys), Failure>) {
        let mut changes = Vec::new();
        let mut state = lock(&self.state);
        state.trying = false;
        match brought {
            Ok((said, keys)) => {
                self.counters.fetched.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut state.failed) {
                    changes.push(KeyChange::Back);
                }
                state.since = Some(SystemTime::now());
                if state.said != said {
                    // The first are no news.
                    if state.keys.is_some() {
                        changes.push(KeyChange::Changed(keys.len()));
                    }
                    (state.said, state.keys) = (said, Some(Arc::new(keys)));
                }
            }
            Err(failure) => {
                let counter = match failure {
                    Failure::Late => &self.counters.late,
                    Failure::Down(_) => &self.counters.down,
                    _ => &self.counters.garbled,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut state.failed, true) {
                    changes.push(KeyChange::Failed(failure));
                }
            }
        }
        drop(state);
        for change in &changes {
            (self.tell)(change);
        }
    }

    /// From now to the next look of the thread.
    fn rest(&self) -> Duration {
        let state = lock(&self.state);
        let whole = match state.failed {
            true => self.options.retry.min(self.options.refresh),
            false => self.options.refresh,
        };
        whole.saturating_sub(state.tried.map_or(whole, |tried| tried.elapsed()))
    }
}

/// Looks until nobody has the keys any more.
fn keep_looking(remote: &Weak<Remote>, woken: &Receiver<()>) {
    loop {
        let Some(rest) = remote.upgrade().map(|remote| remote.rest()) else {
            return;
        };
        let woken = woken.recv_timeout(rest);
        let Some(remote) = remote.upgrade() else {
            return;
        };
        match woken {
            Ok(()) => remote.look(),
            // A token may have had them looked at meanwhile.
            Err(RecvTimeoutError::Timeout) if remote.rest().is_zero() => remote.look(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.options.url).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_keys_is_the_same_for_all() {
        assert!("https://a/keys?x=1".parse::<Url>().is_ok());
        for wrong in ["https://a/${username}", "ftp://a/", "https://", "a"] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }
}
