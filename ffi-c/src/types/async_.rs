//! `MQTTAsync.h`.
//!
//! Structs that are the same in both APIs are one struct here.

use std::ffi::{c_char, c_int, c_void};

use super::client::{
    Bytes, MQTTClient_SSLOptions, MQTTClient_connectReturned, MQTTClient_init_options,
    MQTTClient_message, MQTTClient_nameValue, MQTTClient_willOptions,
};
use super::properties::{MQTTProperties, MQTTReasonCodes};
use super::subscribe::MQTTSubscribe_options;

pub const MQTTASYNC_SUCCESS: c_int = 0;
pub const MQTTASYNC_FAILURE: c_int = -1;
pub const MQTTASYNC_PERSISTENCE_ERROR: c_int = -2;
pub const MQTTASYNC_DISCONNECTED: c_int = -3;
pub const MQTTASYNC_MAX_MESSAGES_INFLIGHT: c_int = -4;
pub const MQTTASYNC_BAD_UTF8_STRING: c_int = -5;
pub const MQTTASYNC_NULL_PARAMETER: c_int = -6;
pub const MQTTASYNC_TOPICNAME_TRUNCATED: c_int = -7;
pub const MQTTASYNC_BAD_STRUCTURE: c_int = -8;
pub const MQTTASYNC_BAD_QOS: c_int = -9;
pub const MQTTASYNC_NO_MORE_MSGIDS: c_int = -10;
pub const MQTTASYNC_OPERATION_INCOMPLETE: c_int = -11;
pub const MQTTASYNC_MAX_BUFFERED_MESSAGES: c_int = -12;
pub const MQTTASYNC_SSL_NOT_SUPPORTED: c_int = -13;
pub const MQTTASYNC_BAD_PROTOCOL: c_int = -14;
pub const MQTTASYNC_BAD_MQTT_OPTION: c_int = -15;
pub const MQTTASYNC_WRONG_MQTT_VERSION: c_int = -16;
pub const MQTTASYNC_0_LEN_WILL_TOPIC: c_int = -17;
pub const MQTTASYNC_COMMAND_IGNORED: c_int = -18;
pub const MQTTASYNC_MAX_BUFFERED: c_int = -19;

pub type MQTTAsync = *mut c_void;
pub type MQTTAsync_token = c_int;

/// `enum MQTTASYNC_TRACE_LEVELS`. Any number may come from C, so it is a number here.
pub type MQTTASYNC_TRACE_LEVELS = c_int;
pub type MQTTAsync_traceCallback =
    unsafe extern "C" fn(level: MQTTASYNC_TRACE_LEVELS, message: *mut c_char);

pub type MQTTAsync_init_options = MQTTClient_init_options;
pub type MQTTAsync_message = MQTTClient_message;
pub type MQTTAsync_willOptions = MQTTClient_willOptions;
pub type MQTTAsync_SSLOptions = MQTTClient_SSLOptions;
pub type MQTTAsync_nameValue = MQTTClient_nameValue;

pub type MQTTAsync_onSuccess =
    Option<unsafe extern "C" fn(context: *mut c_void, response: *mut MQTTAsync_successData)>;
pub type MQTTAsync_onSuccess5 =
    Option<unsafe extern "C" fn(context: *mut c_void, response: *mut MQTTAsync_successData5)>;
pub type MQTTAsync_onFailure =
    Option<unsafe extern "C" fn(context: *mut c_void, response: *mut MQTTAsync_failureData)>;
pub type MQTTAsync_onFailure5 =
    Option<unsafe extern "C" fn(context: *mut c_void, response: *mut MQTTAsync_failureData5)>;

pub type MQTTAsync_messageArrived = unsafe extern "C" fn(
    context: *mut c_void,
    topicName: *mut c_char,
    topicLen: c_int,
    message: *mut MQTTAsync_message,
) -> c_int;
pub type MQTTAsync_deliveryComplete =
    unsafe extern "C" fn(context: *mut c_void, token: MQTTAsync_token);
pub type MQTTAsync_connectionLost = unsafe extern "C" fn(context: *mut c_void, cause: *mut c_char);
pub type MQTTAsync_connected = unsafe extern "C" fn(context: *mut c_void, cause: *mut c_char);
pub type MQTTAsync_disconnected = unsafe extern "C" fn(
    context: *mut c_void,
    properties: *mut MQTTProperties,
    reasonCode: MQTTReasonCodes,
);
pub type MQTTAsync_updateConnectOptions =
    unsafe extern "C" fn(context: *mut c_void, data: *mut MQTTAsync_connectData) -> c_int;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_connectData {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub username: *const c_char,
    pub binarypwd: Bytes,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_failureData {
    pub token: MQTTAsync_token,
    pub code: c_int,
    pub message: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_failureData5 {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub token: MQTTAsync_token,
    pub reasonCode: MQTTReasonCodes,
    pub properties: MQTTProperties,
    pub code: c_int,
    pub message: *const c_char,
    pub packet_type: c_int,
}

/// Publish: `alt.pub` of both kinds of success data.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Published {
    pub message: MQTTAsync_message,
    pub destinationName: *mut c_char,
}

/// Subscribe and unsubscribe: `alt.sub` and `alt.unsub`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReasonCodeList {
    pub reasonCodeCount: c_int,
    pub reasonCodes: *mut MQTTReasonCodes,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union MQTTAsync_successAlt {
    pub qos: c_int,
    pub qosList: *mut c_int,
    pub r#pub: Published,
    pub connect: MQTTClient_connectReturned,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct MQTTAsync_successData {
    pub token: MQTTAsync_token,
    pub alt: MQTTAsync_successAlt,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union MQTTAsync_successAlt5 {
    pub sub: ReasonCodeList,
    pub r#pub: Published,
    pub connect: MQTTClient_connectReturned,
    pub unsub: ReasonCodeList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct MQTTAsync_successData5 {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub token: MQTTAsync_token,
    pub reasonCode: MQTTReasonCodes,
    pub properties: MQTTProperties,
    pub alt: MQTTAsync_successAlt5,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_responseOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub onSuccess: MQTTAsync_onSuccess,
    pub onFailure: MQTTAsync_onFailure,
    pub context: *mut c_void,
    pub token: MQTTAsync_token,
    pub onSuccess5: MQTTAsync_onSuccess5,
    pub onFailure5: MQTTAsync_onFailure5,
    pub properties: MQTTProperties,
    pub subscribeOptions: MQTTSubscribe_options,
    pub subscribeOptionsCount: c_int,
    pub subscribeOptionsList: *mut MQTTSubscribe_options,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_createOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub sendWhileDisconnected: c_int,
    pub maxBufferedMessages: c_int,
    pub MQTTVersion: c_int,
    pub allowDisconnectedSendAtAnyTime: c_int,
    pub deleteOldestMessages: c_int,
    pub restoreMessages: c_int,
    pub persistQoS0: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_connectOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub keepAliveInterval: c_int,
    pub cleansession: c_int,
    pub maxInflight: c_int,
    pub will: *mut MQTTAsync_willOptions,
    pub username: *const c_char,
    pub password: *const c_char,
    pub connectTimeout: c_int,
    pub retryInterval: c_int,
    pub ssl: *mut MQTTAsync_SSLOptions,
    pub onSuccess: MQTTAsync_onSuccess,
    pub onFailure: MQTTAsync_onFailure,
    pub context: *mut c_void,
    pub serverURIcount: c_int,
    pub serverURIs: *const *mut c_char,
    pub MQTTVersion: c_int,
    pub automaticReconnect: c_int,
    pub minRetryInterval: c_int,
    pub maxRetryInterval: c_int,
    pub binarypwd: Bytes,
    pub cleanstart: c_int,
    pub connectProperties: *mut MQTTProperties,
    pub willProperties: *mut MQTTProperties,
    pub onSuccess5: MQTTAsync_onSuccess5,
    pub onFailure5: MQTTAsync_onFailure5,
    pub httpHeaders: *const MQTTAsync_nameValue,
    pub httpProxy: *const c_char,
    pub httpsProxy: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTAsync_disconnectOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub timeout: c_int,
    pub onSuccess: MQTTAsync_onSuccess,
    pub onFailure: MQTTAsync_onFailure,
    pub context: *mut c_void,
    pub properties: MQTTProperties,
    pub reasonCode: MQTTReasonCodes,
    pub onSuccess5: MQTTAsync_onSuccess5,
    pub onFailure5: MQTTAsync_onFailure5,
}
