//! Threads that tell the application what has happened.

use std::ffi::c_int;
use std::ptr::null;
use std::sync::mpsc::Receiver;

use ternmq_broker::{ClientEvent, Departure, LocalSubscription};

use super::hooks::{pointer, text};
use super::{address, inside};
use crate::callback::Callback;
use crate::types::broker::*;

/// Tells of what clients do, until the broker has ended.
pub(super) fn events(
    number: u64,
    callback: Callback<ternmq_broker_told>,
    events: &Receiver<ClientEvent>,
) {
    for event in events {
        let client_id = text(event.client_id());
        let (kind, code) = match &event {
            ClientEvent::Connected { .. } => (TERNMQ_CLIENT_CONNECTED, 0),
            ClientEvent::Disconnected { departure, .. } => {
                (TERNMQ_CLIENT_DISCONNECTED, code(*departure))
            }
            ClientEvent::Subscribed { qos, .. } => (TERNMQ_CLIENT_SUBSCRIBED, *qos as c_int),
            ClientEvent::Unsubscribed { .. } => (TERNMQ_CLIENT_UNSUBSCRIBED, 0),
            ClientEvent::SessionEnded { .. } => (TERNMQ_CLIENT_SESSION_ENDED, 0),
            _ => continue,
        };
        let user_name = match &event {
            ClientEvent::Connected { user_name, .. } => user_name.as_deref().and_then(text),
            _ => None,
        };
        let filter = match &event {
            ClientEvent::Subscribed { filter, .. } | ClientEvent::Unsubscribed { filter, .. } => {
                text(filter)
            }
            _ => None,
        };
        let present = matches!(
            event,
            ClientEvent::Connected {
                session_present: true,
                ..
            }
        );
        let told = ternmq_broker_event {
            struct_size: size_of::<ternmq_broker_event>(),
            event: kind,
            client_id: pointer(&client_id),
            user_name: pointer(&user_name),
            filter: pointer(&filter),
            code,
            session_present: present.into(),
        };
        let Callback { function, context } = callback;
        // SAFETY: the application has registered the function for this; what it is given lives until it
        // returns.
        inside(number, || unsafe { function(context, &raw const told) });
    }
}

/// Hands out messages, until the broker has ended.
pub(super) fn messages(
    number: u64,
    callback: Callback<ternmq_broker_arrived>,
    subscription: &LocalSubscription,
) {
    for received in subscription {
        let message = &received.message;
        let topic = text(message.topic());
        let payload = message.payload();
        let arrived = ternmq_broker_message {
            struct_size: size_of::<ternmq_broker_message>(),
            topic: pointer(&topic),
            payload: match payload.is_empty() {
                true => null(),
                false => address(payload),
            },
            payload_size: payload.len(),
            qos: message.qos() as c_int,
            retained: received.retained.into(),
        };
        let Callback { function, context } = callback;
        // SAFETY: as above.
        inside(number, || unsafe { function(context, &raw const arrived) });
    }
}

/// -1 for a connection that was lost, else a reason code.
fn code(departure: Departure) -> c_int {
    match departure {
        Departure::Lost => -1,
        Departure::Own(reason) | Departure::Ended(reason) => reason.0.into(),
    }
}
