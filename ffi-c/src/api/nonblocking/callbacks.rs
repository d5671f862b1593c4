//! `MQTTAsync.h`: what the application is told.

use std::ffi::{c_int, c_void};

use super::client;
use crate::api::client::code;
use crate::boundary::guard;
use crate::callback::Callback;
use crate::message::Arrived;
use crate::nonblocking::Callbacks;
use crate::persistence::Store;
use crate::types::async_::*;
use crate::types::persistence::{MQTTPersistence_afterRead, MQTTPersistence_beforeWrite};

/// Changes the callbacks of a client; `only_at_rest`: not while it connects.
fn set(handle: MQTTAsync, only_at_rest: bool, change: impl FnOnce(&mut Callbacks)) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        code(client(handle).and_then(|client| client.set_callbacks(only_at_rest, change)))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setCallbacks(
    handle: MQTTAsync,
    context: *mut c_void,
    cl: Option<MQTTAsync_connectionLost>,
    ma: Option<MQTTAsync_messageArrived>,
    dc: Option<MQTTAsync_deliveryComplete>,
) -> c_int {
    if ma.is_none() {
        return MQTTASYNC_FAILURE;
    }
    set(handle, true, |callbacks| {
        callbacks.lost = Callback::new(cl, context);
        callbacks.arrived = Callback::new(ma, context).map(Arrived::Copied);
        callbacks.delivered = Callback::new(dc, context);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setConnectionLostCallback(
    handle: MQTTAsync,
    context: *mut c_void,
    cl: Option<MQTTAsync_connectionLost>,
) -> c_int {
    set(handle, true, |callbacks| {
        callbacks.lost = Callback::new(cl, context);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setMessageArrivedCallback(
    handle: MQTTAsync,
    context: *mut c_void,
    ma: Option<MQTTAsync_messageArrived>,
) -> c_int {
    if ma.is_none() {
        return MQTTASYNC_FAILURE;
    }
    set(handle, true, |callbacks| {
        callbacks.arrived = Callback::new(ma, context).map(Arrived::Copied);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setDeliveryCompleteCallback(
    handle: MQTTAsync,
    context: *mut c_void,
    dc: Option<MQTTAsync_deliveryComplete>,
) -> c_int {
    set(handle, true, |callbacks| {
        callbacks.delivered = Callback::new(dc, context);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setConnected(
    handle: MQTTAsync,
    context: *mut c_void,
    co: Option<MQTTAsync_connected>,
) -> c_int {
    set(handle, false, |callbacks| {
        callbacks.connected = Callback::new(co, context);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setDisconnected(
    handle: MQTTAsync,
    context: *mut c_void,
    co: Option<MQTTAsync_disconnected>,
) -> c_int {
    set(handle, false, |callbacks| {
        callbacks.disconnected = Callback::new(co, context);
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setUpdateConnectOptions(
    handle: MQTTAsync,
    context: *mut c_void,
    co: Option<MQTTAsync_updateConnectOptions>,
) -> c_int {
    set(handle, false, |callbacks| {
        callbacks.update = Callback::new(co, context);
    })
}

/// The store of a client, if it has one.
fn with_store(handle: MQTTAsync, set: impl FnOnce(&Store)) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        code(client(handle).map(|client| {
            if let Some(store) = client.store() {
                set(store);
            }
        }))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setBeforePersistenceWrite(
    handle: MQTTAsync,
    context: *mut c_void,
    co: Option<MQTTPersistence_beforeWrite>,
) -> c_int {
    with_store(handle, |store| {
        store.set_before_write(Callback::new(co, context));
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_setAfterPersistenceRead(
    handle: MQTTAsync,
    context: *mut c_void,
    co: Option<MQTTPersistence_afterRead>,
) -> c_int {
    with_store(handle, |store| {
        store.set_after_read(Callback::new(co, context));
    })
}
