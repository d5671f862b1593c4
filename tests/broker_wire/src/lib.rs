//! A raw MQTT peer that says exactly what a script tells it to, right or wrong.
//!
//! Its packet writer and reader are its own and share nothing with the codec under test, so that an
//! error there cannot cancel itself out. Packets are written as lines, the same in Rust tests and
//! in scenario files: `PUBLISH topic=a/b qos=1 id=7 payload=hello`. Module [`line`](mod@line) has
//! the syntax, [`packet`] the names of the fields.
#![forbid(unsafe_code)]

pub mod line;
pub mod packet;
mod peer;
pub mod property;
mod scram;

pub use line::Line;
pub use peer::{Failure, Listener, PATIENCE, RawPeer, frame};
pub use scram::Scram;
