//! The broker's machines: a [`Shard`] per thread, and the store of retained messages they share.

pub mod access;
pub mod durable;
pub mod index;
pub mod record;
pub mod retained;

mod acks;
mod arena;
mod asleep;
mod authenticate;
mod authorise;
mod auto_subscribe;
mod clients;
mod connect;
mod connection;
mod debts;
mod delayed;
mod ending;
mod events;
mod exclusive;
mod explain;
mod fanout;
mod frames;
mod group;
mod held;
mod homes;
mod intake;
mod interest;
mod journal;
mod limits;
mod links;
mod meter;
mod mount;
mod observe;
mod out;
mod pool;
mod publish;
mod ranking;
mod reading;
mod refill;
mod replay;
mod rewrite;
mod session;
mod shard;
mod share;
mod slow;
mod source;
mod spill;
mod stats;
mod subscribe;
mod subscribers;
mod sums;
mod template;
mod timers;
mod topics;
mod trie;
mod unstored;
mod will;

pub use acks::Ticket;
pub use auto_subscribe::{AutoSubscription, AutoSubscriptionError};
pub use clients::{ClientConnection, ClientCounters, ClientInfo, ClientPage};
pub use delayed::{DELAYED_PREFIX, DelayedLimits, DelayedPlace};
pub use events::{ClientEvent, Departure};
pub use exclusive::{ClaimOp, ClaimTicket, Claims, EXCLUSIVE_PREFIX};
pub use group::backlog::GroupStart;
pub use group::{ShareStrategies, ShareStrategy};
pub use homes::{GroupGone, Homes};
pub use limits::Limits;
pub use meter::{ListenerLimits, Rates};
pub use mount::{MountPoint, MountPointError};
pub use out::{
    Admission, AdmitRequest, Applied, AuthAnswer, AuthRequest, ConnId, ListenerId, Observed, Out,
    Page, Parked, RetainedOp, RetainedTicket, StoreCut,
};
pub use ranking::Priorities;
pub use rewrite::{Rewrite, RewriteError, RewriteOn};
pub use shard::{Shard, ShardConfig};
pub use share::{Letter, To};
pub use slow::{Latency, MAX_SLOW_SUBSCRIBERS, SlowLimits, SlowSubscriber};
pub use stats::{Dropped, OverLimit, Refused, Stats};
pub use sums::SumLimits;
pub use template::{Template, TemplateError};
pub use topics::Topics;

#[cfg(test)]
mod tests;
