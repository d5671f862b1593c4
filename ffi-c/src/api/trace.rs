//! The trace, under the names of both headers.

use std::ffi::c_int;

use crate::boundary::guard;
use crate::trace;
use crate::types::async_::{MQTTASYNC_TRACE_LEVELS, MQTTAsync_traceCallback};
use crate::types::client::{MQTTCLIENT_TRACE_LEVELS, MQTTClient_traceCallback};

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setTraceLevel(level: MQTTCLIENT_TRACE_LEVELS) {
    set_level(level);
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setTraceCallback(callback: Option<MQTTClient_traceCallback>) {
    guard((), || trace::set_listener(callback));
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setTraceLevel(level: MQTTASYNC_TRACE_LEVELS) {
    set_level(level);
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setTraceCallback(callback: Option<MQTTAsync_traceCallback>) {
    guard((), || trace::set_listener(callback));
}

fn set_level(level: c_int) {
    guard((), || trace::set_level(level));
}
