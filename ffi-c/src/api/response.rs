//! `MQTTResponse`, what the MQTT 5.0 calls return.

use std::ffi::c_int;

use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::PropertiesBuf;

use crate::types::client::MQTTResponse;
use crate::types::properties::MQTTReasonCodes;
use crate::{alloc, properties};

/// A response that is a code and nothing else.
pub(super) const fn code(code: c_int) -> MQTTResponse {
    MQTTResponse {
        version: 1,
        reasonCode: code,
        reasonCodeCount: 0,
        reasonCodes: std::ptr::null_mut(),
        properties: std::ptr::null_mut(),
    }
}

/// A code with the properties of the packet it came in.
pub(super) fn with_properties(code: c_int, properties: &PropertiesBuf) -> MQTTResponse {
    let properties = match properties.is_empty() {
        true => std::ptr::null_mut(),
        // Without memory the application sees no properties.
        false => alloc::boxed(properties::from_wire(properties.get())),
    };
    MQTTResponse {
        properties,
        ..self::code(code)
    }
}

/// One code per topic: the first stands alone, all of them in a list if there are several.
pub(super) fn with_codes(codes: &[ReasonCode], properties: &PropertiesBuf) -> MQTTResponse {
    let first = codes.first().map_or(0, |code| code.0.into());
    let list = match codes.len() {
        0 | 1 => std::ptr::null_mut(),
        _ => {
            let codes: Vec<MQTTReasonCodes> = codes.iter().map(|code| code.0.into()).collect();
            alloc::slice(&codes)
        }
    };
    MQTTResponse {
        reasonCodeCount: codes.len() as c_int,
        reasonCodes: list,
        ..with_properties(first, properties)
    }
}
