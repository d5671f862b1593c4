//! The engine under `ternmq.paho`: a client session for a socket that the Python class owns, with
//! messages, message infos and packet identifiers as programs for paho-mqtt know them.

mod held;
mod info;
mod inner;
mod message;
mod session;

pub(crate) use info::MessageInfo;
pub(crate) use message::PahoMessage;
pub(crate) use session::PahoSession;

/// Values of `MQTTErrorCode`.
mod rc {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const NOMEM: i32 = 1;
    pub(super) const NO_CONN: i32 = 4;
    pub(super) const CONN_LOST: i32 = 7;
    pub(super) const PAYLOAD_SIZE: i32 = 9;
    pub(super) const NOT_SUPPORTED: i32 = 10;
    pub(super) const UNKNOWN: i32 = 13;
    pub(super) const QUEUE_SIZE: i32 = 15;
}
