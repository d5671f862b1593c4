//! The native part of the Python package `ternmq`: messages, the client session without IO, the
//! embedded broker. What users see is Python (`py/python/ternmq`); nothing here is public to them
//! but the classes it re-exports.

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
mod properties;
mod reach;
mod relay;
mod routes;
mod session;
mod stats;
mod wait;

/// `ternmq._ternmq`.
#[pyo3::pymodule(gil_used = false)]
mod _ternmq {
    #[pymodule_export]
    use super::blocking::{BlockingClient, BlockingNews, BlockingToken};
    #[pymodule_export]
    use super::blocking_subscription::BlockingSubscription;
    #[pymodule_export]
    use super::broker::{RunningBroker, Tap, make_certificate, topic_matches};
    #[pymodule_export]
    use super::command::run_command;
    #[pymodule_export]
    use super::cursor::Cursor;
    #[pymodule_export]
    use super::errors::{forked, reason_code_name};
    #[pymodule_export]
    use super::layer::Tunnel;
    #[pymodule_export]
    use super::message::{Message, Will};
    #[pymodule_export]
    use super::options::parse_url;
    #[pymodule_export]
    use super::relay::Relay;
    #[pymodule_export]
    use super::session::Session;
}
