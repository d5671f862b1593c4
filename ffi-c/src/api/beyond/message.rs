//! `ternmq.h`: messages that are shared and not copied, and their acknowledgement.

use std::ffi::{c_int, c_void};

use libc::size_t;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Delivery;
use ternmq_protocol::codec::PacketType;

use crate::api::client::code;
use crate::api::either::{Either, either};
use crate::boundary::guard;
use crate::callback::Callback;
use crate::message::Arrived;
use crate::shared::Place;
use crate::types::beyond::*;
use crate::types::client::*;
use crate::types::properties::MQTTProperty;
use crate::{properties, ptr};

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_set_message_callback(
    handle: *mut c_void,
    context: *mut c_void,
    arrived: Option<ternmq_messageArrived>,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            let callback = Callback::new(arrived, context).ok_or(MQTTCLIENT_NULL_PARAMETER)?;
            match client {
                Either::Blocking(client) => client.set_shared_arrived(callback),
                Either::NonBlocking(client) => client.set_callbacks(true, |callbacks| {
                    callbacks.arrived = Some(Arrived::Shared(callback));
                }),
            }
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_message_retain(
    message: *const ternmq_message,
    copy: *mut ternmq_message,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: C passes NULL or structs that the library or the initializer has made.
        let retain = || unsafe {
            let from = Place::new(message.cast_mut())?;
            let copy = Place::new(copy)?;
            let held = from.share().ok_or(MQTTCLIENT_FAILURE)?;
            let before = copy.take();
            copy.fill(&held);
            drop(before);
            Ok(())
        };
        code(retain())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_message_release(message: *mut ternmq_message) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: C passes NULL or a struct that the library or the initializer has made.
        let release = || unsafe {
            let incoming = Place::new(message)?.take();
            incoming.map(drop).ok_or(MQTTCLIENT_FAILURE)
        };
        code(release())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_message_property(
    message: *const ternmq_message,
    position: *mut size_t,
    property: *mut MQTTProperty,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: C passes NULL or a struct that the library or the initializer has made, and NULL or
        // the addresses of its variables.
        let next = || unsafe {
            let message = Place::new(message.cast_mut())?;
            if position.is_null() || property.is_null() {
                return Err(MQTTCLIENT_NULL_PARAMETER);
            }
            let at = position.read();
            let (id, value, next) = message.property(at).ok_or(MQTTCLIENT_FAILURE)?;
            ptr::put(property, properties::borrowed(id, value));
            ptr::put(position, next);
            Ok(())
        };
        code(next())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_set_manual_acknowledge(handle: *mut c_void, manual: c_int) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        code(either(handle).and_then(|client| match client {
            Either::Blocking(client) => client.set_manual(manual != 0),
            Either::NonBlocking(client) => client.set_manual(manual != 0),
        }))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_acknowledge(handle: *mut c_void, delivery: u64, reason: c_int) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let acknowledge = || {
            let client = either(handle)?;
            let reason = u8::try_from(reason).map(ReasonCode);
            let reason = reason
                .ok()
                .filter(|reason| reason.allowed_in(PacketType::PubAck))
                .ok_or(MQTTCLIENT_BAD_MQTT_OPTION)?;
            match client {
                Either::Blocking(client) => client.acknowledge(Delivery(delivery), reason),
                Either::NonBlocking(client) => {
                    client.acknowledge_by_hand(Delivery(delivery), reason)
                }
            }
        };
        code(acknowledge())
    })
}
