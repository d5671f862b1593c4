//! The structs of `ternmq.h`.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;

use libc::size_t;

use super::properties::MQTTProperties;
use crate::sized::growing;

pub const TERNMQ_NOTHING: c_int = 0;
pub const TERNMQ_MESSAGE: c_int = 1;
pub const TERNMQ_DELIVERED: c_int = 2;
pub const TERNMQ_DROPPED: c_int = 3;
pub const TERNMQ_CONNECTED: c_int = 4;
pub const TERNMQ_CONNECT_FAILED: c_int = 5;
pub const TERNMQ_LOST: c_int = 6;
pub const TERNMQ_DISCONNECTED: c_int = 7;
pub const TERNMQ_CLOSED: c_int = 8;
pub const TERNMQ_SUBSCRIBED: c_int = 9;
pub const TERNMQ_UNSUBSCRIBED: c_int = 10;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ternmq_publication {
    pub struct_size: size_t,
    pub topic: *const c_char,
    pub payload: *const c_void,
    pub payload_len: size_t,
    pub qos: c_int,
    pub retained: c_int,
    pub properties: *const MQTTProperties,
    pub token: c_int,
}

/// Words of memory in which a message keeps what it holds.
pub const TERNMQ_HELD: usize = 8;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ternmq_message {
    pub struct_size: size_t,
    pub topic: *const c_char,
    pub topic_len: size_t,
    pub payload: *const c_void,
    pub payload_len: size_t,
    pub qos: c_int,
    pub retained: c_int,
    pub dup: c_int,
    pub packet_id: c_int,
    pub delivery: u64,
    pub expires_in: i64,
    /// Not only numbers: what is moved here has bytes without a value.
    pub held: [MaybeUninit<u64>; TERNMQ_HELD],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ternmq_event {
    pub struct_size: size_t,
    pub r#type: c_int,
    pub token: c_int,
    pub reason: c_int,
    pub code: c_int,
    pub session_present: c_int,
    pub message: ternmq_message,
}

growing! {
    ternmq_publication: token, c_int;
    ternmq_message: held, [u64; TERNMQ_HELD];
    ternmq_event: message, ternmq_message;
}

pub type ternmq_messageArrived =
    unsafe extern "C" fn(context: *mut c_void, message: *mut ternmq_message) -> c_int;
