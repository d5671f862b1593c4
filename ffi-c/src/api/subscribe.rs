//! `MQTTClient.h`: subscribing and unsubscribing.

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use ternmq_protocol::codec::{Place, Request};

use super::client::{client, code};
use super::response;
use crate::boundary::guard;
use crate::facade::{Answer, Client};
use crate::types::client::*;
use crate::types::properties::MQTTProperties;
use crate::types::subscribe::MQTTSubscribe_options;
use crate::{options, properties, ptr};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_subscribe(
    handle: MQTTClient,
    topic: *const c_char,
    qos: c_int,
) -> c_int {
    let topics = [topic.cast_mut()];
    let mut qos = [qos];
    // SAFETY: the lists have one entry each.
    let result = unsafe { MQTTClient_subscribeMany(handle, 1, topics.as_ptr(), qos.as_mut_ptr()) };
    match result {
        MQTTCLIENT_SUCCESS if qos[0] == MQTT_BAD_SUBSCRIBE => MQTT_BAD_SUBSCRIBE,
        result => result,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_subscribeMany(
    handle: MQTTClient,
    count: c_int,
    topic: *const *mut c_char,
    qos: *mut c_int,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let client = match client(handle) {
            Ok(client) if client.is_v5 => return MQTTCLIENT_WRONG_MQTT_VERSION,
            Ok(client) => client,
            Err(code) => return code,
        };
        let (none, no_list) = (std::ptr::null(), std::ptr::null());
        // SAFETY: C passes lists of that many entries.
        let answer = unsafe { subscribe(&client, count, topic, qos, none, no_list) };
        match answer {
            Ok(answer) => {
                for (at, granted) in answer.codes.iter().take(count as usize).enumerate() {
                    // SAFETY: the list has that many entries.
                    unsafe { ptr::put(qos.add(at), granted.0.into()) };
                }
                MQTTCLIENT_SUCCESS
            }
            Err(code) => code,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_subscribe5(
    handle: MQTTClient,
    topic: *const c_char,
    qos: c_int,
    opts: *mut MQTTSubscribe_options,
    props: *mut MQTTProperties,
) -> MQTTResponse {
    let topics = [topic.cast_mut()];
    let mut qos = [qos];
    // SAFETY: the lists have one entry each.
    unsafe { MQTTClient_subscribeMany5(handle, 1, topics.as_ptr(), qos.as_mut_ptr(), opts, props) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_subscribeMany5(
    handle: MQTTClient,
    count: c_int,
    topic: *const *mut c_char,
    qos: *mut c_int,
    opts: *mut MQTTSubscribe_options,
    props: *mut MQTTProperties,
) -> MQTTResponse {
    guard(response::code(MQTTCLIENT_FAILURE), || {
        let subscribe = |client: Arc<Client>| {
            if !client.is_v5 && client.is_connected() {
                return Err(MQTTCLIENT_BAD_MQTT_OPTION);
            }
            // SAFETY: C passes lists of that many entries, and NULL or a list of properties.
            unsafe { subscribe(&client, count, topic, qos, opts, props) }
        };
        respond(client(handle).and_then(subscribe))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_unsubscribe(handle: MQTTClient, topic: *const c_char) -> c_int {
    let topics = [topic.cast_mut()];
    guard(MQTTCLIENT_FAILURE, || {
        // SAFETY: the list has one entry.
        let unsubscribe = |client: Arc<Client>| unsafe {
            unsubscribe(&client, 1, topics.as_ptr(), std::ptr::null())
        };
        match client(handle).and_then(unsubscribe) {
            Ok(answer) => answer.codes.first().map_or(0, |code| code.0.into()),
            Err(code) => code,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_unsubscribeMany(
    handle: MQTTClient,
    count: c_int,
    topic: *const *mut c_char,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let unsubscribe = |client: Arc<Client>| {
            if client.is_v5 {
                return Err(MQTTCLIENT_WRONG_MQTT_VERSION);
            }
            // SAFETY: C passes a list of that many entries.
            unsafe { unsubscribe(&client, count, topic, std::ptr::null()) }
        };
        code(client(handle).and_then(unsubscribe).map(drop))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_unsubscribe5(
    handle: MQTTClient,
    topic: *const c_char,
    props: *mut MQTTProperties,
) -> MQTTResponse {
    let topics = [topic.cast_mut()];
    // SAFETY: the list has one entry.
    unsafe { MQTTClient_unsubscribeMany5(handle, 1, topics.as_ptr(), props) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_unsubscribeMany5(
    handle: MQTTClient,
    count: c_int,
    topic: *const *mut c_char,
    props: *mut MQTTProperties,
) -> MQTTResponse {
    guard(response::code(MQTTCLIENT_FAILURE), || {
        // SAFETY: C passes a list of that many entries, and NULL or a list of properties.
        let unsubscribe =
            |client: Arc<Client>| unsafe { unsubscribe(&client, count, topic, props) };
        respond(client(handle).and_then(unsubscribe))
    })
}

/// # Safety
/// The lists have `count` entries each, `options` none or one per topic.
unsafe fn subscribe(
    client: &Client,
    count: c_int,
    topics: *const *mut c_char,
    qos: *const c_int,
    each: *const MQTTSubscribe_options,
    properties: *const MQTTProperties,
) -> Result<Answer, c_int> {
    if !client.is_connected() {
        return Err(MQTTCLIENT_DISCONNECTED);
    }
    // SAFETY: as the caller promises.
    let (topics, properties) = unsafe {
        let properties = properties::to_wire(properties, Place::Subscribe)?;
        (options::texts(topics, count)?, properties)
    };
    // SAFETY: as the caller promises.
    let qos = unsafe { ptr::slice(qos, count) }.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
    let requests = topics
        .iter()
        .zip(qos)
        .enumerate()
        .map(|(at, (topic, qos))| {
            // SAFETY: there is none, or one per topic.
            let each = unsafe { ptr::get(if each.is_null() { each } else { each.add(at) }) };
            Ok((*topic, options::subscription(*qos, each)?))
        })
        .collect::<Result<Vec<Request<'_>>, c_int>>()?;
    client.subscribe(&requests, properties.get())
}

/// # Safety
/// The list has `count` entries.
unsafe fn unsubscribe(
    client: &Client,
    count: c_int,
    topics: *const *mut c_char,
    properties: *const MQTTProperties,
) -> Result<Answer, c_int> {
    if !client.is_connected() {
        return Err(MQTTCLIENT_DISCONNECTED);
    }
    // SAFETY: as the caller promises.
    let (topics, properties) = unsafe {
        let properties = properties::to_wire(properties, Place::Unsubscribe)?;
        (options::texts(topics, count)?, properties)
    };
    client.unsubscribe(&topics, properties.get())
}

fn respond(answer: Result<Answer, c_int>) -> MQTTResponse {
    match answer {
        Ok(answer) => response::with_codes(&answer.codes, &answer.properties),
        Err(code) => response::code(code),
    }
}
