//! `MQTTProperties.h` and `MQTTReasonCodes.h`.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ushort};

/// `enum MQTTPropertyCodes`. Any number may come from C, so it is a number here.
pub type MQTTPropertyCodes = c_int;

/// `enum MQTTReasonCodes`. C writes negative return codes into it, so it is a number here.
pub type MQTTReasonCodes = c_int;

pub const MQTT_INVALID_PROPERTY_ID: c_int = -2;

pub const MQTTPROPERTY_TYPE_BYTE: c_int = 0;
pub const MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER: c_int = 1;
pub const MQTTPROPERTY_TYPE_FOUR_BYTE_INTEGER: c_int = 2;
pub const MQTTPROPERTY_TYPE_VARIABLE_BYTE_INTEGER: c_int = 3;
pub const MQTTPROPERTY_TYPE_BINARY_DATA: c_int = 4;
pub const MQTTPROPERTY_TYPE_UTF_8_ENCODED_STRING: c_int = 5;
pub const MQTTPROPERTY_TYPE_UTF_8_STRING_PAIR: c_int = 6;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTLenString {
    pub len: c_int,
    pub data: *mut c_char,
}

/// The struct without a name inside `MQTTProperty.value`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTPropertyStrings {
    pub data: MQTTLenString,
    pub value: MQTTLenString,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union MQTTPropertyValue {
    pub byte: c_uchar,
    pub integer2: c_ushort,
    pub integer4: c_uint,
    pub strings: MQTTPropertyStrings,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct MQTTProperty {
    pub identifier: MQTTPropertyCodes,
    pub value: MQTTPropertyValue,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MQTTProperties {
    pub count: c_int,
    pub max_count: c_int,
    pub length: c_int,
    pub array: *mut MQTTProperty,
}

impl MQTTProperties {
    /// `MQTTProperties_initializer`.
    pub const EMPTY: Self = Self {
        count: 0,
        max_count: 0,
        length: 0,
        array: std::ptr::null_mut(),
    };
}
