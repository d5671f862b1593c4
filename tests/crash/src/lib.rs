//! Crashes the server under load and looks whether it keeps its word.
//!
//! Publishers note what was acknowledged, subscribers what came, and both go on over crash after
//! crash of `ternmq serve` (SIGKILL, at a random number of packets) with the sessions they have, or over
//! losses of power: then the broker runs in this process, on a disk in memory that forgets or tears
//! what was not synced. Beside them are clients whose wills and delayed messages are due while the server is
//! taken away, members of a group whose sessions end, a tenant behind a mount point, and somebody who is
//! banned (of a process). At the end everybody is let finish, and [`verdict`] compares the notes: it knows
//! nothing of how the server works. Clients speak by the raw peer, which shares no code with it either.
#![forbid(unsafe_code)]

mod chance;
mod faults;
mod later;
mod mortal;
mod notes;
mod power;
mod process;
mod publisher;
mod run;
mod server;
mod subscriber;
mod verdict;
mod wire;

pub use chance::Chance;
pub use notes::{Fate, Got, Notes, Promise, Stream};
pub use run::{Plan, Report, run};
pub use server::Server;
pub use verdict::verdict;
