//! Memory that crosses the border: messages, responses, and what `malloc` gave.

#[cfg(target_env = "gnu")]
use std::cell::UnsafeCell;
use std::ffi::c_void;

use crate::boundary::guard;
use crate::types::async_::MQTTAsync_message;
use crate::types::client::{MQTTClient_message, MQTTResponse};
use crate::{alloc, message, properties, ptr};

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
        // SAFETY: the pointer is NULL or a message of ours, that nobody has freed yet.
        unsafe { message::free(std::mem::replace(slot, std::ptr::null_mut())) };
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

/// What `Heap_get_info` leads to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct heap_info {
    pub current_size: libc::size_t,
    pub max_size: libc::size_t,
}

/// Paho counts an allocator of its own. Here all memory is the C library's, so that is asked.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
pub extern "C" fn Heap_get_info() -> *mut heap_info {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static MOST: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INFO: UnsafeCell<heap_info> = const {
            UnsafeCell::new(heap_info {
                current_size: 0,
                max_size: 0,
            })
        };
    }
    guard(std::ptr::null_mut(), || {
        // SAFETY: the call has no conditions.
        let info = unsafe { libc::mallinfo2() };
        let current_size = info.uordblks + info.hblkhd;
        let max_size = MOST
            .fetch_max(current_size, Ordering::Relaxed)
            .max(current_size);
        INFO.with(|place| {
            let latest = heap_info {
                current_size,
                max_size,
            };
            // SAFETY: the struct is this thread's, and no reference to it exists.
            unsafe { place.get().write(latest) };
            place.get()
        })
    })
}
