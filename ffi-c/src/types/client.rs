//! `MQTTClient.h`.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};

use super::properties::{MQTTProperties, MQTTReasonCodes};

pub const MQTTCLIENT_SUCCESS: c_int = 0;
pub const MQTTCLIENT_FAILURE: c_int = -1;
pub const MQTTCLIENT_DISCONNECTED: c_int = -3;
pub const MQTTCLIENT_MAX_MESSAGES_INFLIGHT: c_int = -4;
pub const MQTTCLIENT_BAD_UTF8_STRING: c_int = -5;
pub const MQTTCLIENT_NULL_PARAMETER: c_int = -6;
pub const MQTTCLIENT_TOPICNAME_TRUNCATED: c_int = -7;
pub const MQTTCLIENT_BAD_STRUCTURE: c_int = -8;
pub const MQTTCLIENT_BAD_QOS: c_int = -9;
pub const MQTTCLIENT_SSL_NOT_SUPPORTED: c_int = -10;
pub const MQTTCLIENT_BAD_MQTT_VERSION: c_int = -11;
pub const MQTTCLIENT_BAD_PROTOCOL: c_int = -14;
pub const MQTTCLIENT_BAD_MQTT_OPTION: c_int = -15;
pub const MQTTCLIENT_WRONG_MQTT_VERSION: c_int = -16;
pub const MQTTCLIENT_0_LEN_WILL_TOPIC: c_int = -17;

pub const MQTTVERSION_DEFAULT: c_int = 0;
pub const MQTTVERSION_3_1: c_int = 3;
pub const MQTTVERSION_3_1_1: c_int = 4;
pub const MQTTVERSION_5: c_int = 5;

pub const MQTT_BAD_SUBSCRIBE: c_int = 0x80;

pub type MQTTClient = *mut c_void;
pub type MQTTClient_deliveryToken = c_int;
pub type MQTTClient_token = c_int;

pub type MQTTClient_messageArrived = unsafe extern "C" fn(
    context: *mut c_void,
    topicName: *mut c_char,
    topicLen: c_int,
    message: *mut MQTTClient_message,
) -> c_int;
pub type MQTTClient_deliveryComplete =
    unsafe extern "C" fn(context: *mut c_void, dt: MQTTClient_deliveryToken);
pub type MQTTClient_connectionLost = unsafe extern "C" fn(context: *mut c_void, cause: *mut c_char);
pub type MQTTClient_disconnected = unsafe extern "C" fn(
    context: *mut c_void,
    properties: *mut MQTTProperties,
    reasonCode: MQTTReasonCodes,
);
pub type MQTTClient_published = unsafe extern "C" fn(
    context: *mut c_void,
    dt: c_int,
    packet_type: c_int,
    properties: *mut MQTTProperties,
    reasonCode: MQTTReasonCodes,
);

/// `enum MQTTCLIENT_TRACE_LEVELS`. Any number may come from C, so it is a number here.
pub type MQTTCLIENT_TRACE_LEVELS = c_int;
pub type MQTTClient_traceCallback =
    unsafe extern "C" fn(level: MQTTCLIENT_TRACE_LEVELS, message: *mut c_char);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_init_options {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub do_openssl_init: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_message {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub payloadlen: c_int,
    pub payload: *mut c_void,
    pub qos: c_int,
    pub retained: c_int,
    pub dup: c_int,
    pub msgid: c_int,
    pub properties: MQTTProperties,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_createOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub MQTTVersion: c_int,
}

/// A length with bytes, as a will's payload and a binary password have it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    pub len: c_int,
    pub data: *const c_void,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_willOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub topicName: *const c_char,
    pub message: *const c_char,
    pub retained: c_int,
    pub qos: c_int,
    pub payload: Bytes,
}

pub type SSL_error_cb = Option<
    unsafe extern "C" fn(message: *const c_char, len: libc::size_t, context: *mut c_void) -> c_int,
>;
pub type SSL_psk_cb = Option<
    unsafe extern "C" fn(
        hint: *const c_char,
        identity: *mut c_char,
        max_identity_len: c_uint,
        psk: *mut c_uchar,
        max_psk_len: c_uint,
        context: *mut c_void,
    ) -> c_uint,
>;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_SSLOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub trustStore: *const c_char,
    pub keyStore: *const c_char,
    pub privateKey: *const c_char,
    pub privateKeyPassword: *const c_char,
    pub enabledCipherSuites: *const c_char,
    pub enableServerCertAuth: c_int,
    pub sslVersion: c_int,
    pub verify: c_int,
    pub CApath: *const c_char,
    pub ssl_error_cb: SSL_error_cb,
    pub ssl_error_context: *mut c_void,
    pub ssl_psk_cb: SSL_psk_cb,
    pub ssl_psk_context: *mut c_void,
    pub disableDefaultTrustStore: c_int,
    pub protos: *const c_uchar,
    pub protos_len: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_nameValue {
    pub name: *const c_char,
    pub value: *const c_char,
}

/// What a successful connect tells in `MQTTClient_connectOptions.returned`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_connectReturned {
    pub serverURI: *const c_char,
    pub MQTTVersion: c_int,
    pub sessionPresent: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTClient_connectOptions {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub keepAliveInterval: c_int,
    pub cleansession: c_int,
    pub reliable: c_int,
    pub will: *mut MQTTClient_willOptions,
    pub username: *const c_char,
    pub password: *const c_char,
    pub connectTimeout: c_int,
    pub retryInterval: c_int,
    pub ssl: *mut MQTTClient_SSLOptions,
    pub serverURIcount: c_int,
    pub serverURIs: *const *mut c_char,
    pub MQTTVersion: c_int,
    pub returned: MQTTClient_connectReturned,
    pub binarypwd: Bytes,
    pub maxInflightMessages: c_int,
    pub cleanstart: c_int,
    pub httpHeaders: *const MQTTClient_nameValue,
    pub httpProxy: *const c_char,
    pub httpsProxy: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTResponse {
    pub version: c_int,
    pub reasonCode: MQTTReasonCodes,
    pub reasonCodeCount: c_int,
    pub reasonCodes: *mut MQTTReasonCodes,
    pub properties: *mut MQTTProperties,
}
