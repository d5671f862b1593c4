//! Errors of the broker, split by whose fault they are.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::auth::UsersError;
use crate::bans::{BanError, Banned};

/// Why a broker did not start. Nothing of it is left running.
#[derive(Debug)]
pub enum StartError {
    /// The caller's: a value of the configuration that makes no sense.
    Config(&'static str),
    /// The caller's: the users.
    Users(UsersError),
    /// The caller's: a ban of the configuration that the list does not take.
    Ban(Banned, BanError),
    /// The environment's: an address can't be listened on.
    Listen(SocketAddr, io::Error),
    /// The environment's: no more threads or descriptors.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => write!(f, "the configuration is not usable: {what}"),
            Self::Users(error) => write!(f, "the configuration is not usable: {error}"),
            Self::Ban(who, error) => write!(f, "cannot ban {who}: {error}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::System(error) => write!(f, "cannot start a shard: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Users(error) => Some(error),
            Self::Ban(_, error) => Some(error),
            Self::Listen(_, error) | Self::System(error) => Some(error),
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Why [`Broker::publish`](crate::Broker::publish) did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The message is a retained one and the store holds as many as it may: nobody has got it. Or a
    /// mailbox is full: the shards are busier than the publishers. Shards before it may have got
    /// the message, and get it once more when it is tried again later.
    Full,
    /// The broker is stopping, or has failed.
    Stopped,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the broker's mailboxes or its store of retained messages are full",
            Self::Stopped => "the broker is stopping",
        })
    }
}

impl std::error::Error for PublishError {}

/// A shard thread has ended by itself: a bug of ours or a poller that the kernel broke. The other
/// shards end too, so that no client talks to half a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which shard it was.
    pub shard: usize,
    /// What it said.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} has failed: {}", self.shard, self.message)
    }
}

impl std::error::Error for Failure {}
