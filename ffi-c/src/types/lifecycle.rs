//! `ternmq.h`: the life of a connection.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::sized::growing;

pub const TERNMQ_CONNECTION_LOST: c_int = 1;
pub const TERNMQ_CONNECTION_ATTEMPT_FAILED: c_int = 2;
pub const TERNMQ_CONNECTION_BACK: c_int = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_connection_change {
    pub struct_size: usize,
    pub change: c_int,
    pub code: c_int,
    pub session_present: c_int,
    pub retry_ms: c_int,
    pub text: *const c_char,
}

pub type ternmq_connection_changed =
    unsafe extern "C" fn(context: *mut c_void, change: *const ternmq_connection_change);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_reconnect_options {
    pub struct_size: usize,
    pub min_retry_ms: c_uint,
    pub max_retry_ms: c_uint,
    pub jitter_percent: c_uint,
    pub after_takeover: c_int,
    pub resubscribe: c_int,
    pub max_buffered_messages: c_uint,
    pub max_buffered_bytes: usize,
    pub delete_oldest_messages: c_int,
    pub context: *mut c_void,
    pub changed: Option<ternmq_connection_changed>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_tls_options {
    pub struct_size: usize,
    pub ca: *const c_void,
    pub ca_size: usize,
    pub certificate: *const c_void,
    pub certificate_size: usize,
    pub key: *const c_void,
    pub key_size: usize,
    pub key_password: *const c_void,
    pub key_password_size: usize,
    pub server_name: *const c_char,
    pub crl: *const c_void,
    pub crl_size: usize,
    pub key_log_file: *const c_char,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_compression_options {
    pub struct_size: usize,
    pub keep_context: c_int,
    pub window_bits: c_int,
    pub min_bytes: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ternmq_outbox_options {
    pub struct_size: usize,
    pub path: *const c_char,
    pub sync: c_int,
    pub max_messages: c_uint,
    pub max_bytes: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ternmq_statistics_data {
    pub struct_size: usize,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub messages_sent: u64,
    pub messages_resent: u64,
    pub messages_received: u64,
    pub duplicates_received: u64,
    pub publishes_refused: u64,
    pub queued_messages: u64,
    pub queued_bytes: u64,
    pub in_flight: u64,
    pub waiting_messages: u64,
    pub dropped_overflow: u64,
    pub dropped_expired: u64,
    pub dropped_session: u64,
    pub dropped_connection: u64,
    pub dropped_too_large: u64,
    pub dropped_not_supported: u64,
    pub bytes_unsent: u64,
    pub connects: u64,
    pub losses: u64,
    pub connect_failures: u64,
    pub subscriptions_lost: u64,
    pub records_not_written: u64,
    pub read_pauses: u64,
    pub pings: u64,
    pub ping_round_trip_ms: u64,
    pub outbox_messages: u64,
    pub outbox_refused: u64,
    pub outbox_not_written: u64,
    pub outbox_damaged: u64,
}

growing! {
    ternmq_compression_options: min_bytes, usize;
    ternmq_reconnect_options: changed, Option<ternmq_connection_changed>;
    ternmq_outbox_options: max_bytes, usize;
    ternmq_tls_options: server_name, *const c_char;
    ternmq_statistics_data: ping_round_trip_ms, u64;
}
