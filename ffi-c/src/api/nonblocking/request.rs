//! `MQTTAsync.h`: publishing, subscribing, unsubscribing, and what became of it.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::sync::Arc;

use ternmq_protocol::client::Token;
use ternmq_protocol::codec::Place;

use super::client;
use crate::api::client::{code, deadline};
use crate::boundary::guard;
use crate::nonblocking::Client;
use crate::options::{self, nonblocking};
use crate::outgoing::Given;
use crate::types::async_::*;
use crate::{alloc, properties, ptr};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_send(
    handle: MQTTAsync,
    destinationName: *const c_char,
    payloadlen: c_int,
    payload: *const c_void,
    qos: c_int,
    retained: c_int,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        let send = |client: Arc<Client>| {
            let message = Given {
                topic: destinationName,
                payloadlen,
                payload,
                qos,
                retained,
                // SAFETY: C passes NULL or options.
                properties: unsafe { nonblocking::request_properties(response, client.is_v5()) },
            };
            // SAFETY: C passes a string, a payload of that length, and NULL or options.
            unsafe { send(&client, &message, response) }
        };
        code(client(handle).and_then(send))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_sendMessage(
    handle: MQTTAsync,
    destinationName: *const c_char,
    msg: *const MQTTAsync_message,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        // SAFETY: C passes a string, NULL or a message, and NULL or options.
        code(unsafe {
            Given::from_message(destinationName, msg)
                .and_then(|message| send(&*client(handle)?, &message, response))
        })
    })
}

/// # Safety
/// The pointers lead to what C programs put there.
unsafe fn send(
    client: &Client,
    message: &Given,
    p: *mut MQTTAsync_responseOptions,
) -> Result<(), c_int> {
    let is_v5 = client.is_v5();
    let read = || {
        // SAFETY: as the caller promises.
        unsafe {
            let outgoing = message.read(is_v5)?;
            Ok((outgoing, nonblocking::response(p, is_v5)?))
        }
    };
    // Without a connection or a buffer that is what is wrong, whatever else is.
    let (outgoing, response) =
        read().map_err(|code: c_int| client.may_send().err().unwrap_or(code))?;
    if !client.creation.send_at_any_time && client.creation.send_while_disconnected {
        client.may_send()?;
    }
    // SAFETY: as the caller promises.
    client.send(&outgoing, response, |token| unsafe { put_token(p, token) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_subscribe(
    handle: MQTTAsync,
    topic: *const c_char,
    qos: c_int,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    let topics = [topic.cast_mut()];
    // SAFETY: the lists have one entry each; C passes NULL or options.
    unsafe { subscribe(handle, 1, topics.as_ptr(), &raw const qos, false, response) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_subscribeMany(
    handle: MQTTAsync,
    count: c_int,
    topic: *const *mut c_char,
    qos: *const c_int,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    // SAFETY: C passes lists of that many entries, and NULL or options.
    unsafe { subscribe(handle, count, topic, qos, true, response) }
}

/// # Safety
/// The lists have that many entries, `p` is NULL or leads to options.
unsafe fn subscribe(
    handle: MQTTAsync,
    count: c_int,
    topics: *const *mut c_char,
    qos: *const c_int,
    many: bool,
    p: *mut MQTTAsync_responseOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        let subscribe = |client: Arc<Client>| {
            let is_v5 = client.is_v5();
            if !client.is_connected() {
                return Err(MQTTASYNC_DISCONNECTED);
            }
            // SAFETY: as the caller promises.
            unsafe {
                let topics = options::texts(topics, count)?;
                let qos = ptr::slice(qos, count).ok_or(MQTTASYNC_NULL_PARAMETER)?;
                qos.iter()
                    .try_for_each(|qos| options::qos(*qos).map(drop))?;
                let response = nonblocking::response(p, is_v5)?;
                let filters = nonblocking::subscriptions(p, &topics, qos, many, is_v5)?;
                let list = nonblocking::request_properties(p, is_v5);
                let list = properties::to_wire(list, Place::Subscribe)?;
                let tell_token = |token| put_token(p, token);
                client.subscribe(&filters, many, list.get(), response, tell_token)
            }
        };
        code(client(handle).and_then(subscribe))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_unsubscribe(
    handle: MQTTAsync,
    topic: *const c_char,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    let topics = [topic.cast_mut()];
    // SAFETY: the list has one entry; C passes NULL or options.
    unsafe { unsubscribe(handle, 1, topics.as_ptr(), response) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_unsubscribeMany(
    handle: MQTTAsync,
    count: c_int,
    topic: *const *mut c_char,
    response: *mut MQTTAsync_responseOptions,
) -> c_int {
    // SAFETY: C passes a list of that many entries, and NULL or options.
    unsafe { unsubscribe(handle, count, topic, response) }
}

/// # Safety
/// The list has that many entries, `p` is NULL or leads to options.
unsafe fn unsubscribe(
    handle: MQTTAsync,
    count: c_int,
    topics: *const *mut c_char,
    p: *mut MQTTAsync_responseOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        let unsubscribe = |client: Arc<Client>| {
            let is_v5 = client.is_v5();
            if !client.is_connected() {
                return Err(MQTTASYNC_DISCONNECTED);
            }
            // SAFETY: as the caller promises.
            unsafe {
                let topics = options::texts(topics, count)?;
                let response = nonblocking::response(p, is_v5)?;
                let list = nonblocking::request_properties(p, is_v5);
                let list = properties::to_wire(list, Place::Unsubscribe)?;
                let tell_token = |token| put_token(p, token);
                client.unsubscribe(&topics, list.get(), response, tell_token)
            }
        };
        code(client(handle).and_then(unsubscribe))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_isComplete(handle: MQTTAsync, token: MQTTAsync_token) -> c_int {
    guard(MQTTASYNC_FAILURE, || match client(handle) {
        Ok(client) => client.is_complete(token).into(),
        Err(code) => code,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_waitForCompletion(
    handle: MQTTAsync,
    token: MQTTAsync_token,
    timeout: c_ulong,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        let wait = |client: Arc<Client>| client.wait_for_completion(token, deadline(timeout));
        code(client(handle).and_then(wait))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_getPendingTokens(
    handle: MQTTAsync,
    tokens: *mut *mut MQTTAsync_token,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        // SAFETY: C passes NULL or the address of a pointer.
        let Some(out) = (unsafe { ptr::get_mut(tokens) }) else {
            return MQTTASYNC_NULL_PARAMETER;
        };
        *out = std::ptr::null_mut();
        let mut pending = match client(handle).and_then(|client| client.pending()) {
            Ok(pending) => pending,
            Err(code) => return code,
        };
        if pending.is_empty() {
            return MQTTASYNC_SUCCESS;
        }
        pending.push(-1);
        *out = alloc::slice(&pending);
        match out.is_null() {
            true => MQTTASYNC_FAILURE,
            false => MQTTASYNC_SUCCESS,
        }
    })
}

/// # Safety
/// `p` is NULL or leads to options.
unsafe fn put_token(p: *mut MQTTAsync_responseOptions, token: Token) {
    if !p.is_null() {
        // SAFETY: as the caller promises; every version has the member, and C lets it be written.
        unsafe { ptr::put(&raw mut (*p).token, token.0.into()) };
    }
}
