//! Memory that crosses the border: messages, responses, and what `malloc` gave.

use std::ffi::c_void;

use crate::boundary::guard;
use crate::types::async_::MQTTAsync_message;
use crate::types::client::{MQTTClient_message, MQTTResponse};
use crate::{alloc, properties, ptr};

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_malloc(size: libc::size_t) -> *mut c_void {
    alloc::malloc(size)
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_malloc(size: libc::size_t) -> *mut c_void {
    alloc::malloc(size)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_free(ptr: *mut c_void) {
    // SAFETY: C passes NULL or memory from malloc.
    unsafe { alloc::free(ptr) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_free(ptr: *mut c_void) {
    // SAFETY: C passes NULL or memory from malloc.
    unsafe { alloc::free(ptr) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_freeMessage(msg: *mut *mut MQTTClient_message) {
    guard((), || {
        // SAFETY: C passes NULL or the address of a message pointer.
        let Some(slot) = (unsafe { ptr::get_mut(msg) }) else {
            return;
        };
        let message = std::mem::replace(slot, std::ptr::null_mut());
        // SAFETY: the pointer is NULL or a message of ours, that nobody has freed yet.
        unsafe {
            if let Some(parts) = ptr::get_mut(message) {
                properties::free(&mut parts.properties);
                alloc::free(parts.payload);
            }
            alloc::free(message);
        }
    });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_freeMessage(msg: *mut *mut MQTTAsync_message) {
    // SAFETY: the two kinds of message are one struct.
    unsafe { MQTTClient_freeMessage(msg) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTResponse_free(response: MQTTResponse) {
    guard((), || {
        // SAFETY: the members are NULL or came from this library, and C is done with them.
        unsafe {
            if let Some(list) = ptr::get_mut(response.properties) {
                properties::free(list);
            }
            alloc::free(response.properties);
            alloc::free(response.reasonCodes);
        }
    });
}
