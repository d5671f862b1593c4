//! `ternmq.h`: a broker in the program.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::sized::growing;
use crate::types::lifecycle::ternmq_compression_options;

pub const TERNMQ_BROKER_SUCCESS: c_int = 0;
pub const TERNMQ_BROKER_FAILURE: c_int = -1;
pub const TERNMQ_BROKER_BAD_HANDLE: c_int = -2;
pub const TERNMQ_BROKER_BAD_ARGUMENT: c_int = -3;
pub const TERNMQ_BROKER_BAD_STRUCTURE: c_int = -4;
pub const TERNMQ_BROKER_NOT_STARTED: c_int = -5;
pub const TERNMQ_BROKER_FULL: c_int = -6;
pub const TERNMQ_BROKER_IN_CALLBACK: c_int = -7;
pub const TERNMQ_BROKER_NOT_CONNECTED: c_int = -8;

pub const TERNMQ_IGNORE: c_int = 0;
pub const TERNMQ_ALLOW: c_int = 1;

pub const TERNMQ_CLIENT_CONNECTED: c_int = 1;
pub const TERNMQ_CLIENT_DISCONNECTED: c_int = 2;
pub const TERNMQ_CLIENT_SUBSCRIBED: c_int = 3;
pub const TERNMQ_CLIENT_UNSUBSCRIBED: c_int = 4;
pub const TERNMQ_CLIENT_SESSION_ENDED: c_int = 5;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_client {
    pub struct_size: usize,
    pub client_id: *const c_char,
    pub user_name: *const c_char,
    pub password: *const c_void,
    pub password_size: usize,
    pub address: *const c_char,
    pub certificate_subject: *const c_char,
    pub mqtt_version: c_int,
    pub clean_start: c_int,
    pub authenticated: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_action {
    pub struct_size: usize,
    pub subscribe: c_int,
    pub topic: *const c_char,
    pub qos: c_int,
    pub retain: c_int,
    pub will: c_int,
    pub share_name: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_event {
    pub struct_size: usize,
    pub event: c_int,
    pub client_id: *const c_char,
    pub user_name: *const c_char,
    pub filter: *const c_char,
    pub code: c_int,
    pub session_present: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_message {
    pub struct_size: usize,
    pub topic: *const c_char,
    pub payload: *const c_void,
    pub payload_size: usize,
    pub qos: c_int,
    pub retained: c_int,
}

pub type ternmq_broker_authenticate =
    unsafe extern "C" fn(context: *mut c_void, client: *const ternmq_broker_client) -> c_int;
pub type ternmq_broker_authorise = unsafe extern "C" fn(
    context: *mut c_void,
    client: *const ternmq_broker_client,
    action: *const ternmq_broker_action,
) -> c_int;
pub type ternmq_broker_told =
    unsafe extern "C" fn(context: *mut c_void, event: *const ternmq_broker_event);
pub type ternmq_broker_arrived =
    unsafe extern "C" fn(context: *mut c_void, message: *const ternmq_broker_message);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_user {
    pub name: *const c_char,
    pub password: *const c_char,
}

pub const TERNMQ_LISTEN_TCP: c_int = 0;
pub const TERNMQ_LISTEN_WEBSOCKET: c_int = 1;
pub const TERNMQ_LISTEN_UNIX: c_int = 2;
pub const TERNMQ_LISTEN_QUIC: c_int = 3;

pub const TERNMQ_VERSION_3_1: c_uint = 1;
pub const TERNMQ_VERSION_3_1_1: c_uint = 2;
pub const TERNMQ_VERSION_5_0: c_uint = 4;

pub const TERNMQ_USER_FROM_CONNECT: c_int = 0;
pub const TERNMQ_USER_COMMON_NAME: c_int = 1;
pub const TERNMQ_USER_SUBJECT: c_int = 2;
pub const TERNMQ_USER_DNS: c_int = 3;
pub const TERNMQ_USER_EMAIL: c_int = 4;
pub const TERNMQ_USER_URI: c_int = 5;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_listener {
    pub struct_size: usize,
    pub transport: c_int,
    pub port: c_int,
    pub address: *const c_char,
    pub path: *const c_char,
    pub unix_mode: c_uint,
    pub no_anonymous: c_int,
    pub certificate_file: *const c_char,
    pub key_file: *const c_char,
    pub client_ca_file: *const c_char,
    pub client_certificate_optional: c_int,
    pub certificate_user: c_int,
    pub mount_point: *const c_char,
    pub proxies: *const *const c_char,
    pub proxy_count: c_int,
    pub origin_count: c_int,
    pub origins: *const *const c_char,
    pub compression: *const ternmq_compression_options,
    pub versions: c_uint,
    pub max_connections: c_uint,
    pub connection_rate: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_broker_options {
    pub struct_size: usize,
    pub address: *const c_char,
    pub port: c_int,
    pub websocket: c_int,
    pub certificate_file: *const c_char,
    pub key_file: *const c_char,
    pub client_ca_file: *const c_char,
    pub unix_path: *const c_char,
    pub no_anonymous: c_int,
    pub users: *const ternmq_broker_user,
    pub user_count: c_int,
    pub max_connections: c_uint,
    pub max_packet_bytes: c_uint,
    pub max_retained: c_uint,
    pub context: *mut c_void,
    pub authenticate: Option<ternmq_broker_authenticate>,
    pub authorise: Option<ternmq_broker_authorise>,
    pub told: Option<ternmq_broker_told>,
    pub listeners: *const ternmq_broker_listener,
    pub listener_count: c_int,
}

growing! {
    ternmq_broker_listener: connection_rate, c_uint;
    ternmq_broker_options: told, Option<ternmq_broker_told>;
}
