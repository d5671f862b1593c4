//! The native part of the Python package `ternmq`: messages, the client session without IO, the
//! embedded broker. What users see is Python (`py/python/ternmq`); nothing here is public to them
//! but the classes it re-exports.

mod argument;
mod blocking;
mod blocking_subscription;
mod broker;
mod bytes;
mod clock;
mod command;
mod cursor;
mod deliveries;
mod errors;
mod events;
mod gil;
mod inbox;
mod layer;
mod message;
mod options;
mod paho;
mod properties;
mod quic;
mod reach;
mod relay;
mod routes;
mod session;
mod stats;
mod wait;

/// `ternmq._ternmq`.
///
/// It does without the interpreter lock (`gil_used = false`). What makes that sound:
///
/// - A frozen class gives out shared references only, so the compiler asks that it is `Sync`: what
///   changes inside is behind a `Mutex`, a `RwLock` or an atomic. No such lock is held while Python
///   runs or while a thread waits for the interpreter, but for the one that tells a fork of such threads
///   (`gil.rs`).
/// - `Session`, and what else is not frozen, is borrowed by pyo3 for each call. A second thread that
///   comes meanwhile gets a RuntimeError; it is the caller who has to stay in the loop's thread.
/// - The `unsafe` blocks: the buffer of a message points into a payload that is never written again
///   and that the message keeps alive; the read buffer of a session, which is private to the package,
///   is written by the transport, which calls `feed` when it is done, and looked at while nothing calls
///   Python, under the session's borrow.
#[pyo3::pymodule(gil_used = false)]
mod _ternmq {
    #[pymodule_export]
    use super::blocking::{BlockingClient, BlockingNews, BlockingToken};
    #[pymodule_export]
    use super::blocking_subscription::BlockingSubscription;
    #[pymodule_export]
    use super::broker::{
        Authority, RunningBroker, Tap, check_broker, check_listener, check_rule, topic_matches,
    };
    #[pymodule_export]
    use super::command::run_command;
    #[pymodule_export]
    use super::cursor::Cursor;
    #[pymodule_export]
    use super::errors::{forked, reason_code_name};
    #[pymodule_export]
    use super::gil::{after_fork, before_fork};
    #[pymodule_export]
    use super::layer::{Tunnel, check_opening};
    #[pymodule_export]
    use super::message::{Message, Will};
    #[pymodule_export]
    use super::options::{check_options, parse_url};
    #[pymodule_export]
    use super::paho::{MessageInfo, PahoMessage, PahoSession};
    #[pymodule_export]
    use super::quic::QuicConnection;
    #[pymodule_export]
    use super::relay::Relay;
    #[pymodule_export]
    use super::session::Session;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        super::errors::watch_forks(module)
    }
}
