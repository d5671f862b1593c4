//! TLS 1.2 and 1.3 above a stream, by rustls.
//!
//! [`TlsOptions`] and [`TlsServerOptions`] say what is wanted and are built once; [`TlsClient`] and
//! [`TlsServer`] put a layer above each stream. A connection in rest owns the keys and no buffer:
//! records are read into a scratch that the connections of a thread share, and only what is left of
//! a begun record, or finds no room in the socket, is kept.

mod certificates;
mod client;
mod error;
mod key;
mod key_log;
mod layer;
mod names;
mod pem;
mod server;
mod session;
mod suites;
mod verify;

/// What QUIC asks of whoever chooses versions.
#[cfg(feature = "quic")]
const QUIC_IS_1_3: &str = "QUIC needs TLS 1.3, which is not among the versions";

pub use client::{TlsClient, TlsOptions};
#[cfg(feature = "quic")]
pub(crate) use error::alert;
pub use error::{CertificateProblem, TlsError};
pub use layer::{TlsInfo, TlsStream};
pub use names::CertificateNames;
pub use pem::{Identity, KeySource, PemSource, Roots};
pub use server::{ClientCertificates, TlsServer, TlsServerOptions};
pub use suites::{CipherSuite, TlsVersion};
pub use verify::Verify;
#[cfg(feature = "quic")]
pub(crate) use verify::take_refusal;
