//! What happened, as tuples for Python: a kind and its fields, as `_ternmq.pyi` lists them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, Connected, DropReason, Event, Timeout};
use ternmq_protocol::codec::PropertiesBuf;

use crate::properties;

pub(crate) const READY: u8 = 0;
const PUBLISHED: u8 = 1;
const SUBSCRIBED: u8 = 2;
const UNSUBSCRIBED: u8 = 3;
const DROPPED: u8 = 4;
const CONNECTED: u8 = 5;
const REFUSED: u8 = 6;
const DISCONNECTED: u8 = 7;
pub(crate) const CROWDED: u8 = 8;
const AUTHENTICATE: u8 = 9;

/// The tuple of any event but a message.
pub(crate) fn to_tuple<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Published {
            token,
            reason,
            properties,
        } => (PUBLISHED, token.0, reason.0, dict(py, properties)?).into_pyobject(py),
        Event::Subscribed {
            token,
            codes,
            properties,
        } => (SUBSCRIBED, token.0, numbers(codes), dict(py, properties)?).into_pyobject(py),
        Event::Unsubscribed {
            token,
            codes,
            properties,
        } => (UNSUBSCRIBED, token.0, numbers(codes), dict(py, properties)?).into_pyobject(py),
        Event::Dropped { token, why } => (
            DROPPED,
            token.0,
            *why == DropReason::ConnectionLost,
            dropped(*why),
        )
            .into_pyobject(py),
        Event::Connected(Connected {
            session_present,
            keep_alive,
            assigned_client_id,
            properties,
        }) => {
            let client_id = assigned_client_id.as_deref();
            let properties = dict(py, properties)?;
            (
                CONNECTED,
                *session_present,
                *keep_alive,
                client_id,
                properties,
            )
                .into_pyobject(py)
        }
        Event::Refused { reason, properties } => {
            (REFUSED, reason.0, dict(py, properties)?).into_pyobject(py)
        }
        Event::Disconnected {
            cause,
            reason,
            properties,
        } => {
            let (who, what) = ended(cause);
            (DISCONNECTED, who, reason.0, dict(py, properties)?, what).into_pyobject(py)
        }
        Event::Authenticate { reason, properties } => {
            (AUTHENTICATE, reason.0, dict(py, properties)?).into_pyobject(py)
        }
        // Messages go to inboxes; the others are not asked for.
        Event::Message(_) | Event::Progress(_) | Event::Sent { .. } | Event::NotSent { .. } => {
            Ok(PyTuple::empty(py))
        }
    }
}

/// None for no properties, which is the usual case and costs nothing then.
fn dict<'py>(py: Python<'py>, properties: &PropertiesBuf) -> PyResult<Option<Bound<'py, PyDict>>> {
    match properties.is_empty() {
        true => Ok(None),
        false => properties::to_dict(py, properties.get()).map(Some),
    }
}

fn numbers(codes: &[ReasonCode]) -> Vec<u16> {
    // Not u8: a Vec of those becomes bytes.
    codes.iter().map(|code| code.0.into()).collect()
}

fn ended(cause: &Cause) -> (&'static str, String) {
    match cause {
        Cause::Local => ("local", String::new()),
        Cause::Server => ("server", "the server ended the connection".into()),
        Cause::Lost => ("lost", "the connection was lost".into()),
        Cause::Timeout(Timeout::Connect) => ("timeout", "the server did not answer".into()),
        Cause::Timeout(Timeout::KeepAlive) => {
            ("timeout", "the server was silent for too long".into())
        }
        Cause::Error(error) => ("error", error.to_string()),
        Cause::Options(error) => ("options", error.to_string()),
    }
}

const fn dropped(why: DropReason) -> &'static str {
    match why {
        DropReason::Expired => "it expired before it could be sent",
        DropReason::TooLarge => "it exceeds the server's maximum packet size",
        DropReason::NotSupported => "the server does not support its QoS or retained messages",
        DropReason::SessionLost => "the server lost the session",
        DropReason::ConnectionLost => "the connection ended before the answer came",
        DropReason::Forgotten => "the session was dropped",
        DropReason::Overflow => "the outbox was full and a newer message took its place",
    }
}
