//! Errors of the broker, split by whose fault they are.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::auth::UsersError;
use crate::bans::{BanError, Banned};
use crate::listener::Address;

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
    Listen(Address, io::Error),
    /// The files of a listener's TLS can't be used.
    #[cfg(feature = "tls")]
    Tls(Address, ternmq_transport::tls::TlsError),
    /// The environment's: no more threads or descriptors.
    System(io::Error),
    /// What is kept in the store can't be taken.
    Store(StoreError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => write!(f, "the configuration is not usable: {what}"),
            Self::Users(error) => write!(f, "the configuration is not usable: {error}"),
            Self::Ban(who, error) => write!(f, "cannot ban {who}: {error}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(address, error) => write!(f, "cannot speak TLS on {address}: {error}"),
            Self::System(error) => write!(f, "cannot start a shard: {error}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(_, error) => Some(error),
            Self::Users(error) => Some(error),
            Self::Ban(_, error) => Some(error),
            Self::Listen(_, error) | Self::System(error) => Some(error),
            Self::Store(error) => Some(error),
        }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ternmq_store::StoreError> for StartError {
    fn from(error: ternmq_store::StoreError) -> Self {
        Self::Store((&error).into())
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

/// Why a broker did not stop as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopError {
    /// It had ended by itself before. What had been handed to its store is in it.
    Failed(Failure),
    /// It stopped, and the last of what it held is not in its store.
    NotSaved(StoreError),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::NotSaved(error) => {
                write!(f, "not all sessions and messages are in the store: {error}")
            }
        }
    }
}

impl std::error::Error for StopError {}

/// Why a store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another process has this folder.
    InUse(PathBuf),
    /// Another broker has opened the store since.
    Fenced,
    /// The environment's or the store's own: what can't be done, and why.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(
                    f,
                    "the folder {} is in use by another server",
                    path.display()
                )
            }
            Self::Fenced => f.write_str("another broker has taken the store"),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

impl From<&ternmq_store::StoreError> for StoreError {
    fn from(error: &ternmq_store::StoreError) -> Self {
        match error {
            ternmq_store::StoreError::InUse(path) => Self::InUse(path.clone()),
            ternmq_store::StoreError::Fenced => Self::Fenced,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl std::error::Error for StoreError {}
