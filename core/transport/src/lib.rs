//! Byte pipelines for MQTT in both roles, behind one poller: TCP and Unix sockets, in-process pipes,
//! QUIC, and above sockets TLS, WebSockets and ways through proxies (HTTP, SOCKS5).
//!
//! A [`Stream`] moves bytes without blocking and tells a [`Poller`] when it can move more. Nothing
//! here knows of MQTT, and whoever drives it never asks which kind of stream it has.
//!
//! Readiness is edge-triggered: a [`Ready`] comes once when something changes. The driver reads until
//! [`Stream::is_drained`] and writes until the stream takes less than asked (or would block), or
//! remembers that it hasn't.
#![forbid(unsafe_code)]

mod endpoint;
mod error;
mod held;
mod http;
pub mod introduction;
mod layer;
mod listener;
mod pipe;
mod poller;
mod proxy;
#[cfg(feature = "quic")]
pub mod quic;
mod socks;
mod stream;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use error::TransportError;
pub use layer::{Layer, Layered};
pub use listener::{Listener, UnixListener};
pub use pipe::{DEFAULT_PIPE_CAPACITY, pipe};
pub use poller::{Poller, Ready, Registrar, Waker};
pub use proxy::{Proxy, ProxyError, ProxyKind, Tunnel, bypasses_proxy};
pub use stream::Stream;
