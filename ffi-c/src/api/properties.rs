//! `MQTTProperties.h`.

use std::ffi::{c_char, c_int};

use ternmq_protocol::codec::primitive::write_variable_byte_integer;

use crate::boundary::guard;
use crate::properties::{self, Refused};
use crate::ptr;
use crate::types::properties::*;

#[unsafe(no_mangle)]
pub extern "C" fn MQTTPropertyName(value: MQTTPropertyCodes) -> *const c_char {
    guard(std::ptr::null(), || {
        properties::name_of(value).map_or(std::ptr::null(), |name| name.as_ptr())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTProperty_getType(value: MQTTPropertyCodes) -> c_int {
    guard(-1, || properties::type_of(value).unwrap_or(-1))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_len(props: *const MQTTProperties) -> c_int {
    guard(1, || {
        // SAFETY: C passes NULL or a list.
        unsafe { ptr::get(props) }.map_or(1, properties::packet_len)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_write(
    pptr: *mut *mut c_char,
    properties: *const MQTTProperties,
) -> c_int {
    guard(-1, || {
        // SAFETY: C passes the address of a pointer, and NULL or a list.
        let (Some(out), Ok(encoded)) =
            (unsafe { (ptr::get_mut(pptr), properties::encode(properties)) })
        else {
            return -1;
        };
        let bytes = encoded.get().as_bytes();
        let mut whole = Vec::with_capacity(4 + bytes.len());
        write_variable_byte_integer(bytes.len() as u32, &mut whole);
        whole.extend_from_slice(bytes);
        // SAFETY: C has made room for what MQTTProperties_len said.
        unsafe {
            out.cast::<u8>()
                .copy_from_nonoverlapping(whole.as_ptr(), whole.len());
            *out = out.add(whole.len());
        }
        whole.len() as c_int
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_read(
    properties: *mut MQTTProperties,
    pptr: *mut *mut c_char,
    enddata: *mut c_char,
) -> c_int {
    guard(0, || {
        // SAFETY: C passes the addresses of a list and of a pointer into a buffer, and where that ends.
        unsafe {
            let (Some(list), Some(at)) = (ptr::get_mut(properties), ptr::get_mut(pptr)) else {
                return 0;
            };
            let length = enddata.addr().saturating_sub(at.addr());
            let length = c_int::try_from(length).unwrap_or(c_int::MAX);
            let bytes = ptr::slice(at.cast_const().cast::<u8>(), length).unwrap_or(&[]);
            let Some((read, len)) = properties::decode(bytes) else {
                return 0;
            };
            *list = read;
            *at = at.add(len);
            1
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_add(
    props: *mut MQTTProperties,
    prop: *const MQTTProperty,
) -> c_int {
    guard(-1, || {
        // SAFETY: C passes NULL, or a list and a property with valid strings.
        let added = unsafe {
            let (Some(props), Some(prop)) = (ptr::get_mut(props), ptr::get(prop)) else {
                return -1;
            };
            properties::value(prop).and_then(|value| properties::add(props, prop.identifier, value))
        };
        match added {
            Ok(()) => 0,
            Err(Refused::UnknownIdentifier) => MQTT_INVALID_PROPERTY_ID,
            Err(Refused::BadValue | Refused::OutOfMemory) => -1,
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_free(properties: *mut MQTTProperties) {
    guard((), || {
        // SAFETY: C passes NULL or a list that it is done with.
        if let Some(list) = unsafe { ptr::get_mut(properties) } {
            // SAFETY: as above.
            unsafe { properties::free(list) };
        }
    });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_copy(props: *const MQTTProperties) -> MQTTProperties {
    guard(MQTTProperties::EMPTY, || {
        // SAFETY: C passes NULL or a list.
        unsafe { ptr::get(props).map_or(MQTTProperties::EMPTY, |list| properties::copy(list)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_hasProperty(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
) -> c_int {
    guard(0, || {
        // SAFETY: C passes NULL or a list.
        unsafe { occurrences(props, propid) }
            .next()
            .is_some()
            .into()
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_propertyCount(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
) -> c_int {
    // SAFETY: C passes NULL or a list.
    guard(0, || unsafe { occurrences(props, propid) }.count() as c_int)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_getNumericValue(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
) -> i64 {
    // SAFETY: as for the call with an index.
    unsafe { MQTTProperties_getNumericValueAt(props, propid, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_getNumericValueAt(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
    index: c_int,
) -> i64 {
    guard(properties::ABSENT, || {
        // SAFETY: C passes NULL or a list.
        unsafe { occurrence(props, propid, index) }
            // SAFETY: the property is part of that list.
            .map_or(properties::ABSENT, |property| unsafe {
                properties::number(property)
            })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_getProperty(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
) -> *mut MQTTProperty {
    // SAFETY: as for the call with an index.
    unsafe { MQTTProperties_getPropertyAt(props, propid, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTProperties_getPropertyAt(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
    index: c_int,
) -> *mut MQTTProperty {
    guard(std::ptr::null_mut(), || {
        // SAFETY: C passes NULL or a list.
        unsafe { occurrence(props, propid, index) }.map_or(std::ptr::null_mut(), |property| {
            std::ptr::from_ref(property).cast_mut()
        })
    })
}

/// All properties with the identifier.
///
/// # Safety
/// `props` is NULL or a list that stays as it is during `'a`.
unsafe fn occurrences<'a>(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
) -> impl Iterator<Item = &'a MQTTProperty> {
    // SAFETY: as the caller promises.
    let all = unsafe { ptr::get(props).map_or(&[][..], |list| properties::list(list)) };
    all.iter()
        .filter(move |property| property.identifier == propid)
}

/// # Safety
/// As [`occurrences`].
unsafe fn occurrence<'a>(
    props: *const MQTTProperties,
    propid: MQTTPropertyCodes,
    index: c_int,
) -> Option<&'a MQTTProperty> {
    let index = usize::try_from(index).ok()?;
    // SAFETY: as the caller promises.
    unsafe { occurrences(props, propid) }.nth(index)
}
