//! Memory that C frees: it comes from C's own `malloc`, so that `free`, `MQTTClient_free` and the
//! application's habits of either kind all fit.

use std::ffi::{c_char, c_void};

/// `size` bytes, or NULL when memory is exhausted. Zero bytes still give a pointer of its own.
pub(crate) fn malloc(size: usize) -> *mut c_void {
    // SAFETY: malloc takes any size.
    unsafe { libc::malloc(size.max(1)) }
}

/// Gives memory back. NULL is ignored.
///
/// # Safety
/// `p` is NULL or came from `malloc` and was not freed yet.
pub(crate) unsafe fn free<T>(p: *mut T) {
    // SAFETY: as the caller promises.
    unsafe { libc::free(p.cast()) }
}

/// A value in memory of its own, or NULL when memory is exhausted.
pub(crate) fn boxed<T: Copy>(value: T) -> *mut T {
    slice(&[value])
}

/// A copy of some values, or NULL when memory is exhausted.
pub(crate) fn slice<T: Copy>(values: &[T]) -> *mut T {
    let p: *mut T = malloc(size_of_val(values)).cast();
    if !p.is_null() {
        // SAFETY: `p` is fresh memory of that size, aligned for every type.
        unsafe { p.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }
    p
}

/// A copy of some bytes with a NUL behind them, or NULL when memory is exhausted.
pub(crate) fn string(bytes: &[u8]) -> *mut c_char {
    let p: *mut u8 = malloc(bytes.len() + 1).cast();
    if !p.is_null() {
        // SAFETY: `p` is fresh memory of one byte more than `bytes` has.
        unsafe {
            p.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            p.add(bytes.len()).write(0);
        }
    }
    p.cast()
}
