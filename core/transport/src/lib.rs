//! Byte pipelines for MQTT in both roles: TCP sockets and in-process pipes, behind one poller.
//!
//! A [`Stream`] moves bytes without blocking and tells a [`Poller`] when it can move more. Nothing
//! here knows of MQTT, and whoever drives it never asks which kind of stream it has.
//!
//! Readiness is edge-triggered: a [`Ready`] comes once when something changes. The driver reads or
//! writes until the stream gives less than asked (or would block), or remembers that it hasn't.
#![forbid(unsafe_code)]

mod endpoint;
mod pipe;
mod poller;
mod stream;

pub use endpoint::{Endpoint, EndpointError};
pub use pipe::{DEFAULT_PIPE_CAPACITY, pipe};
pub use poller::{Poller, Ready, Waker};
pub use stream::{Listener, Stream};
