//! What `ternmq_set_reconnect` asks for, and what it tells, for clients of both kinds.

use std::ffi::{CString, c_int};
use std::time::Duration;

use ternmq_client::{Backoff, ConnectError, ConnectOptions};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, LostSession, Options, Timeout};

use crate::callback::Callback;
use crate::types::client::MQTTCLIENT_FAILURE;
use crate::types::lifecycle::*;

/// The function `changed` of the application.
pub(crate) type Listener = Callback<ternmq_connection_changed>;

/// How a lost connection is made again.
#[derive(Clone, Copy)]
pub(crate) struct Reconnect {
    pub(crate) backoff: Backoff,
    pub(crate) resubscribe: bool,
    pub(crate) outbox: Outbox,
    pub(crate) changed: Option<Listener>,
}

/// What may wait for a connection; of the blocking client only.
#[derive(Clone, Copy)]
pub(crate) struct Outbox {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) drop_oldest: bool,
}

/// What has happened to a connection that is made again by itself.
pub(crate) enum Change {
    Lost {
        cause: Cause,
        reason: ReasonCode,
        retry: Option<Duration>,
    },
    AttemptFailed {
        error: ConnectError,
        retry: Option<Duration>,
    },
    Back {
        session_present: bool,
    },
}

impl Reconnect {
    /// Has a link of the blocking client do so.
    pub(crate) fn apply(&self, options: &mut ConnectOptions) {
        options.reconnect = Some(self.backoff);
        options.resubscribe = self.resubscribe;
        let session = &mut options.session;
        session.publish_offline = self.outbox.messages > 0;
        session.max_queued_messages = self.outbox.messages;
        session.max_queued_bytes = self.outbox.bytes;
        session.drop_oldest = self.outbox.drop_oldest;
        // What was accepted is not dropped because the connection was lost, clean session or not.
        session.lost_session = LostSession::Republish;
    }

    /// Has a link of the non-blocking client do so, whose outbox is another matter. As with Paho the
    /// first connection is tried again, too.
    pub(crate) fn apply_nonblocking(&self, options: &mut ConnectOptions) {
        options.reconnect = Some(Backoff {
            first_connect: true,
            ..self.backoff
        });
        options.resubscribe = self.resubscribe;
    }
}

impl Outbox {
    /// The bytes that count where the application does not say.
    pub(crate) fn default_bytes() -> usize {
        Options::default().max_queued_bytes
    }
}

impl Change {
    /// Tells the application.
    pub(crate) fn tell(&self, listener: Listener, is_v5: bool) {
        let text = self
            .text()
            .map(|text| CString::new(text).unwrap_or_default());
        let change = ternmq_connection_change {
            struct_size: size_of::<ternmq_connection_change>(),
            change: match self {
                Self::Lost { .. } => TERNMQ_CONNECTION_LOST,
                Self::AttemptFailed { .. } => TERNMQ_CONNECTION_ATTEMPT_FAILED,
                Self::Back { .. } => TERNMQ_CONNECTION_BACK,
            },
            code: self.code(is_v5),
            session_present: matches!(
                self,
                Self::Back {
                    session_present: true
                }
            )
            .into(),
            retry_ms: self.retry_ms(),
            text: text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()),
        };
        // SAFETY: the application registered the function for this; what is pointed to is valid during
        // the call.
        unsafe { (listener.function)(listener.context, &raw const change) };
    }

    fn code(&self, is_v5: bool) -> c_int {
        match self {
            Self::Lost {
                cause: Cause::Server,
                reason,
                ..
            } => reason.0.into(),
            Self::AttemptFailed { error, .. } => refusal(error, is_v5),
            _ => 0,
        }
    }

    fn retry_ms(&self) -> c_int {
        match self {
            Self::Lost { retry, .. } | Self::AttemptFailed { retry, .. } => retry
                .map_or(-1, |wait| {
                    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
                }),
            Self::Back { .. } => 0,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Lost { cause, reason, .. } => Some(match cause {
                Cause::Server => format!("the server has ended the connection: {reason}"),
                Cause::Timeout(Timeout::KeepAlive) => "no answer to PINGREQ in time".to_owned(),
                Cause::Timeout(Timeout::Connect) => "no CONNACK in time".to_owned(),
                Cause::Error(error) => format!("the server broke the protocol: {error}"),
                Cause::Options(error) => format!("no CONNECT can carry the options: {error}"),
                Cause::Local => "no answer to a request in time".to_owned(),
                Cause::Lost => "the connection was closed".to_owned(),
            }),
            Self::AttemptFailed { error, .. } => Some(error.to_string()),
            Self::Back { .. } => None,
        }
    }
}

/// The code for an attempt that has failed: what CONNACK said, or the general one.
pub(crate) fn refusal(error: &ConnectError, is_v5: bool) -> c_int {
    match error {
        ConnectError::Refused { reason, .. } if is_v5 => reason.0.into(),
        ConnectError::Refused { reason, .. } => reason
            .to_connect_return_code()
            .map_or(MQTTCLIENT_FAILURE, |code| code as c_int),
        _ => MQTTCLIENT_FAILURE,
    }
}
