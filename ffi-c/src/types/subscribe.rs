//! `MQTTSubscribeOpts.h`.

use std::ffi::{c_char, c_int, c_uchar};

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTSubscribe_options {
    pub struct_id: [c_char; 4],
    pub struct_version: c_int,
    pub noLocal: c_uchar,
    pub retainAsPublished: c_uchar,
    pub retainHandling: c_uchar,
}
