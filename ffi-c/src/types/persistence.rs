//! `MQTTClientPersistence.h`.

use std::ffi::{c_char, c_int, c_void};

pub const MQTTCLIENT_PERSISTENCE_DEFAULT: c_int = 0;
pub const MQTTCLIENT_PERSISTENCE_NONE: c_int = 1;
pub const MQTTCLIENT_PERSISTENCE_USER: c_int = 2;
pub const MQTTCLIENT_PERSISTENCE_ERROR: c_int = -2;

pub type Persistence_open = Option<
    unsafe extern "C" fn(
        handle: *mut *mut c_void,
        clientID: *const c_char,
        serverURI: *const c_char,
        context: *mut c_void,
    ) -> c_int,
>;
pub type Persistence_close = Option<unsafe extern "C" fn(handle: *mut c_void) -> c_int>;
pub type Persistence_put = Option<
    unsafe extern "C" fn(
        handle: *mut c_void,
        key: *mut c_char,
        bufcount: c_int,
        buffers: *mut *mut c_char,
        buflens: *mut c_int,
    ) -> c_int,
>;
pub type Persistence_get = Option<
    unsafe extern "C" fn(
        handle: *mut c_void,
        key: *mut c_char,
        buffer: *mut *mut c_char,
        buflen: *mut c_int,
    ) -> c_int,
>;
pub type Persistence_remove =
    Option<unsafe extern "C" fn(handle: *mut c_void, key: *mut c_char) -> c_int>;
pub type Persistence_keys = Option<
    unsafe extern "C" fn(
        handle: *mut c_void,
        keys: *mut *mut *mut c_char,
        nkeys: *mut c_int,
    ) -> c_int,
>;
pub type Persistence_clear = Option<unsafe extern "C" fn(handle: *mut c_void) -> c_int>;
pub type Persistence_containskey =
    Option<unsafe extern "C" fn(handle: *mut c_void, key: *mut c_char) -> c_int>;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_persistence {
    pub context: *mut c_void,
    pub popen: Persistence_open,
    pub pclose: Persistence_close,
    pub pput: Persistence_put,
    pub pget: Persistence_get,
    pub premove: Persistence_remove,
    pub pkeys: Persistence_keys,
    pub pclear: Persistence_clear,
    pub pcontainskey: Persistence_containskey,
}

pub type MQTTPersistence_beforeWrite = unsafe extern "C" fn(
    context: *mut c_void,
    bufcount: c_int,
    buffers: *mut *mut c_char,
    buflens: *mut c_int,
) -> c_int;
pub type MQTTPersistence_afterRead = unsafe extern "C" fn(
    context: *mut c_void,
    buffer: *mut *mut c_char,
    buflen: *mut c_int,
) -> c_int;
