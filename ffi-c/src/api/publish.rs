//! `MQTTClient.h`: publishing, and what became of it.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::sync::Arc;

use ternmq_protocol::client::Token;

use super::client::{client, code, deadline};
use super::response;
use crate::boundary::guard;
use crate::facade::Client;
use crate::outgoing::Given;
use crate::types::client::*;
use crate::types::properties::MQTTProperties;
use crate::{alloc, ptr};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_publish(
    handle: MQTTClient,
    topicName: *const c_char,
    payloadlen: c_int,
    payload: *const c_void,
    qos: c_int,
    retained: c_int,
    dt: *mut MQTTClient_deliveryToken,
) -> c_int {
    let message = Given {
        topic: topicName,
        payloadlen,
        payload,
        qos,
        retained,
        properties: std::ptr::null(),
    };
    // SAFETY: C passes a string, a payload of that length and NULL or the address of a token.
    guard(MQTTCLIENT_FAILURE, || unsafe {
        code(client(handle).and_then(|client| publish_old(&client, &message, dt)))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_publish5(
    handle: MQTTClient,
    topicName: *const c_char,
    payloadlen: c_int,
    payload: *const c_void,
    qos: c_int,
    retained: c_int,
    properties: *mut MQTTProperties,
    dt: *mut MQTTClient_deliveryToken,
) -> MQTTResponse {
    let message = Given {
        topic: topicName,
        payloadlen,
        payload,
        qos,
        retained,
        properties,
    };
    guard(response::code(MQTTCLIENT_FAILURE), || {
        // SAFETY: as above, and NULL or a list.
        let publish = |client: Arc<Client>| unsafe { publish(&client, &message, dt) };
        response::code(code(client(handle).and_then(publish)))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_publishMessage(
    handle: MQTTClient,
    topicName: *const c_char,
    msg: *mut MQTTClient_message,
    dt: *mut MQTTClient_deliveryToken,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: C passes a string, NULL or a message, and NULL or the address of a token.
        code(unsafe {
            Given::from_message(topicName, msg)
                .and_then(|message| publish_old(&*client(handle)?, &message, dt))
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_publishMessage5(
    handle: MQTTClient,
    topicName: *const c_char,
    msg: *mut MQTTClient_message,
    dt: *mut MQTTClient_deliveryToken,
) -> MQTTResponse {
    guard(response::code(MQTTCLIENT_FAILURE), || {
        // SAFETY: as above.
        response::code(code(unsafe {
            Given::from_message(topicName, msg)
                .and_then(|message| publish(&*client(handle)?, &message, dt))
        }))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_waitForCompletion(
    handle: MQTTClient,
    dt: MQTTClient_deliveryToken,
    timeout: c_ulong,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let wait = |client: Arc<Client>| {
            // No message has such a token, so none has to be waited for.
            let token = Token(u16::try_from(dt).unwrap_or(0));
            client.wait_for_completion(token, deadline(timeout))
        };
        code(client(handle).and_then(wait))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_getPendingDeliveryTokens(
    handle: MQTTClient,
    tokens: *mut *mut MQTTClient_deliveryToken,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: C passes NULL or the address of a pointer.
        let Some(out) = (unsafe { ptr::get_mut(tokens) }) else {
            return MQTTCLIENT_NULL_PARAMETER;
        };
        *out = std::ptr::null_mut();
        let pending = match client(handle) {
            Ok(client) => client.pending(),
            Err(code) => return code,
        };
        if pending.is_empty() {
            return MQTTCLIENT_SUCCESS;
        }
        let tokens = pending.iter().map(|token| token.0.into());
        let list: Vec<MQTTClient_deliveryToken> = tokens.chain([-1]).collect();
        *out = alloc::slice(&list);
        match out.is_null() {
            true => MQTTCLIENT_FAILURE,
            false => MQTTCLIENT_SUCCESS,
        }
    })
}

/// # Safety
/// The pointers lead to what C programs put there.
unsafe fn publish_old(
    client: &Client,
    message: &Given,
    token: *mut MQTTClient_deliveryToken,
) -> Result<(), c_int> {
    if client.is_v5 {
        return Err(MQTTCLIENT_WRONG_MQTT_VERSION);
    }
    // SAFETY: as the caller promises.
    unsafe { publish(client, message, token) }
}

/// # Safety
/// As [`publish_old`].
unsafe fn publish(
    client: &Client,
    message: &Given,
    token: *mut MQTTClient_deliveryToken,
) -> Result<(), c_int> {
    // SAFETY: as the caller promises.
    let outgoing = unsafe { message.read(client.is_v5) };
    // Without a connection that is what is wrong, whatever else is.
    let outgoing = outgoing.map_err(|code| match client.is_connected() {
        true => code,
        false => MQTTCLIENT_DISCONNECTED,
    })?;
    let published = client.publish(&outgoing)?;
    if published != Token::NONE {
        // SAFETY: as the caller promises.
        unsafe { ptr::put(token, published.0.into()) };
    }
    Ok(())
}
