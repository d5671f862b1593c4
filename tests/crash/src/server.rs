//! A server that is taken away and comes back with what it has kept.

use std::path::Path;

use ternmq_broker::Durability;

use crate::power::Powered;
use crate::process::Process;
use crate::wire::Addresses;

/// One of the two ways to crash.
pub enum Server {
    /// A process that is killed: what it has written is there, synced or not.
    Process(Process),
    /// A broker in this process whose power goes: what it has not synced is there, or not, or half.
    Powered(Box<Powered>),
}

impl Server {
    /// `ternmq serve` in a folder that is there, with this configuration.
    ///
    /// # Errors
    /// It does not start.
    pub fn process(program: &Path, folder: &Path, config: &str) -> Result<Self, String> {
        Process::start(program, folder, config).map(Self::Process)
    }

    /// A broker with so many shards that promises as much, and a disk whose fate follows from `seed`.
    ///
    /// # Errors
    /// It does not start.
    pub fn powered(shards: usize, seed: u64, durability: Durability) -> Result<Self, String> {
        Powered::start(shards, seed, durability).map(|powered| Self::Powered(Box::new(powered)))
    }

    pub(crate) fn address(&self) -> Addresses {
        match self {
            Self::Process(process) => process.address(),
            Self::Powered(powered) => powered.address(),
        }
    }

    /// Takes it away: nothing of it runs any more when this returns.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.kill(),
            Self::Powered(powered) => powered.cut(),
        }
    }

    /// From now on something is wrong with its disk, if it has one of ours. Whether it has.
    pub(crate) fn spoil(&mut self) -> bool {
        match self {
            Self::Process(_) => false,
            Self::Powered(powered) => {
                powered.spoil();
                true
            }
        }
    }

    /// Its disk is well again. Returns how often something went wrong.
    pub(crate) fn mend(&mut self) -> u64 {
        match self {
            Self::Process(_) => 0,
            Self::Powered(powered) => powered.mend(),
        }
    }

    /// How often something went wrong so far.
    pub(crate) fn failed(&self) -> u64 {
        match self {
            Self::Process(_) => 0,
            Self::Powered(powered) => powered.failed(),
        }
    }

    /// Bans a client, if there is an operator's way to. Whether there is.
    pub(crate) fn ban(&mut self, client_id: &str) -> Result<bool, String> {
        match self {
            Self::Process(process) => process.ban(client_id).map(|()| true),
            Self::Powered(_) => Ok(false),
        }
    }

    /// Ends it as its operator does.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.stop(),
            Self::Powered(powered) => powered.stop(),
        }
    }

    /// Starts it again after either.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        match self {
            Self::Process(process) => process.start_again(),
            Self::Powered(powered) => powered.start_again(),
        }
    }
}
