//! `MQTTClient.h`: fetching messages without callbacks.

use std::ffi::{c_char, c_int, c_ulong};
use std::time::Duration;

use super::client::{client, deadline};
use crate::boundary::guard;
use crate::facade::Received;
use crate::ptr;
use crate::types::client::*;

/// What a yield without any work to do takes, so that a loop of yields does not spin.
const YIELD: Duration = Duration::from_millis(100);

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_yield() {
    guard((), || std::thread::sleep(YIELD));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_receive(
    handle: MQTTClient,
    topicName: *mut *mut c_char,
    topicLen: *mut c_int,
    message: *mut *mut MQTTClient_message,
    timeout: c_ulong,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        if topicName.is_null() || topicLen.is_null() || message.is_null() {
            return MQTTCLIENT_NULL_PARAMETER;
        }
        let client = match client(handle) {
            Ok(client) => client,
            Err(code) => return code,
        };
        match client.receive(deadline(timeout)) {
            Received::Failed(code) => code,
            Received::Nothing => {
                // SAFETY: C passes the addresses of its variables.
                unsafe {
                    ptr::put(topicName, std::ptr::null_mut());
                    ptr::put(message, std::ptr::null_mut());
                }
                MQTTCLIENT_SUCCESS
            }
            Received::Message(received) => {
                let length = received.topic_len;
                let (topic, copy) = received.release();
                // SAFETY: as above.
                unsafe {
                    ptr::put(topicName, topic);
                    ptr::put(topicLen, length);
                    ptr::put(message, copy);
                }
                MQTTCLIENT_SUCCESS
            }
        }
    })
}
