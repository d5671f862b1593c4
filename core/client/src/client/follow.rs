//! The life of a client's connections, for whoever wants to hear of each change.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use ternmq_protocol::client::Connected;

use super::hub::{Challenge, Ended, Hub};
use crate::error::ConnectError;

/// A change.
#[derive(Clone, Debug)]
pub enum News {
    /// The server has accepted a connection.
    Connected(Connected),
    /// A connection was lost, and will be made again.
    Lost(Ended),
    /// An attempt to connect has failed, and there will be another.
    AttemptFailed(ConnectError),
    /// The next attempt waits for [`Client::retry`](super::Client::retry).
    RetryDue,
    /// The server has sent AUTH; to be answered with
    /// [`Client::authenticate`](super::Client::authenticate).
    Challenge(Challenge),
    /// The client has ended. The last of the news.
    Ended(Ended),
}

/// Hears of each change, in order. Of those that nobody asked for, the last 256 are kept.
pub struct Follower {
    hub: Arc<Hub>,
}

impl Follower {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        hub.lock().news = Some(VecDeque::new());
        Self { hub }
    }

    /// What ends the waiting.
    pub fn ending(&self) -> FollowerEnd {
        FollowerEnd(self.hub.clone())
    }

    /// The next change; `None` behind the last one. Dropped earlier, nothing is lost.
    pub async fn next(&mut self) -> Option<News> {
        let mut look = |state: &super::hub::State| {
            let waits = state.news.as_ref().is_none_or(|news| !news.is_empty());
            (waits || state.ended.is_some()).then_some(())
        };
        poll_fn(|context| self.hub.poll_watch(context, &mut look)).await;
        self.hub.lock().news.as_mut()?.pop_front()
    }
}

/// Ends the waiting of a [`Follower`], from another thread.
#[derive(Clone)]
pub struct FollowerEnd(Arc<Hub>);

impl FollowerEnd {
    /// The follower hears of nothing more.
    pub fn end(&self) {
        for waker in self.0.silence() {
            waker.wake();
        }
    }
}

impl fmt::Debug for FollowerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FollowerEnd")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.ending().end();
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follower")
    }
}
