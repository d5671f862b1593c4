//! Subscriptions that the server makes for each new session.

use super::out::Out;
use super::shard::Shard;
use super::template::{Filling, Template, TemplateError};
use crate::codec::subscribe::SubscriptionOptions;
use crate::topic::{MAX_TOPIC_LEVELS, TopicError, TopicFilter};
use std::fmt;

/// A subscription for every client: made when its session begins, and one like any other from then
/// on, so that the client may end it.
#[derive(Clone, Debug)]
pub struct AutoSubscription {
    filter: Template,
    options: SubscriptionOptions,
}

/// Why there is no such subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AutoSubscriptionError {
    /// Not a template.
    Template(TemplateError),
    /// Not a topic filter when it is filled in.
    Filter(TopicError),
    /// Nothing is captured here.
    Capture(usize),
}

impl fmt::Display for AutoSubscriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => write!(f, "the filter: {error}"),
            Self::Filter(error) => write!(f, "the filter: {error}"),
            Self::Capture(number) => write!(f, "the filter: nothing is captured for ${number}"),
        }
    }
}

impl std::error::Error for AutoSubscriptionError {}

impl AutoSubscription {
    /// A subscription to a filter with places for client identifier, user name and address.
    ///
    /// # Errors
    /// [`AutoSubscriptionError`].
    pub fn new(filter: &str, options: SubscriptionOptions) -> Result<Self, AutoSubscriptionError> {
        use AutoSubscriptionError as Error;
        let filter: Template = filter.parse().map_err(Error::Template)?;
        if filter.captures() > 0 {
            return Err(Error::Capture(filter.captures()));
        }
        let sample = Filling {
            client_id: "c",
            user_name: Some("u"),
            host: Some([0; 4].into()),
            captures: &[],
        };
        let mut text = String::new();
        if filter.fill(&sample, &mut text).is_ok() {
            TopicFilter::parse(&text, MAX_TOPIC_LEVELS).map_err(Error::Filter)?;
        }
        Ok(Self { filter, options })
    }
}

impl Shard {
    /// Makes the subscriptions of a new session. One that this client can't have, because a value for
    /// a place is missing or would change the filter's meaning or a limit is reached, is counted and
    /// left out.
    pub(super) fn auto_subscribe(&mut self, id: u32, out: &mut Out) {
        let mut text = String::new();
        for at in 0..self.topics.auto_subscribe.len() {
            let wanted = &self.topics.auto_subscribe[at];
            let options = wanted.options;
            let filled = wanted.filter.fill(&self.filling(id), &mut text).is_ok();
            if filled && self.subscribe(id, &text, options, None, out).is_ok() {
                self.links.stats.auto_subscribed += 1;
            } else {
                self.links.stats.auto_subscribe_refused += 1;
            }
        }
    }
}
