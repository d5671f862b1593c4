//! MQTT client: drivers over the pure client session.
#![forbid(unsafe_code)]

mod clock;
mod error;
pub mod executor;
pub mod io;
pub mod link;
mod options;
mod pool;

pub use error::{ConnectError, PublishError, SubscribeError};
pub use options::{Backoff, ConnectOptions, Limits, Target};
