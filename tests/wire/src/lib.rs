//! Scripts of raw clients against the broker, and two stages to play them on.
//!
//! A script, `tests/wire/scripts/NAME.wire`, says which packets named clients send and which they must
//! get; `tests/wire/README.md` has the syntax. It knows nothing of where it is played: against
//! `ternmq serve` over [`Sockets`], or against one to four shards in [`Memory`], where a seed decides
//! about shards, delays and pieces, and time is virtual.
#![forbid(unsafe_code)]

pub mod courier;
mod frames;
mod memory;
mod play;
mod script;
mod sockets;
mod stage;

pub use frames::Frames;
pub use memory::Memory;
pub use play::{Cut, Performance, perform};
pub use script::{Act, Action, Config, Scram, Script, Step};
pub use sockets::{Sockets, program};
pub use stage::{Arrival, PATIENCE_MS, Stage};

use std::path::PathBuf;

/// Where the scripts are.
pub fn scripts() -> PathBuf {
    ternmq_test_faces::workspace_root().join("tests/wire/scripts")
}
