//! Threads and mutexes under the names of Paho's own, which no installed header declares and some
//! programs import all the same: `Thread_*` from the older libraries, `Paho_thread_*` from the newer.

use std::ffi::{c_int, c_void};

use libc::{pthread_mutex_t, pthread_t};

use crate::boundary::guard;
use crate::{alloc, ptr};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Paho_thread_start(
    fn_: Option<extern "C" fn(*mut c_void) -> *mut c_void>,
    parameter: *mut c_void,
) -> pthread_t {
    guard(0, || {
        let Some(function) = fn_ else {
            return 0;
        };
        let mut thread = 0;
        // SAFETY: all arguments are valid, and the parameter goes to the function as it is. A thread
        // that was started may be detached once.
        unsafe {
            let code = libc::pthread_create(&raw mut thread, std::ptr::null(), function, parameter);
            if code != 0 {
                return 0;
            }
            libc::pthread_detach(thread);
        }
        thread
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn Paho_thread_getid() -> pthread_t {
    // SAFETY: the call has no conditions.
    unsafe { libc::pthread_self() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Paho_thread_create_mutex(rc: *mut c_int) -> *mut pthread_mutex_t {
    guard(std::ptr::null_mut(), || {
        let mutex: *mut pthread_mutex_t = alloc::malloc(size_of::<pthread_mutex_t>()).cast();
        let code = match mutex.is_null() {
            true => libc::ENOMEM,
            // SAFETY: the memory is fresh and large enough.
            false => unsafe { libc::pthread_mutex_init(mutex, std::ptr::null()) },
        };
        // SAFETY: C passes NULL or the address of a number.
        unsafe { ptr::put(rc, code) };
        mutex
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Paho_thread_lock_mutex(mutex: *mut pthread_mutex_t) -> c_int {
    match mutex.is_null() {
        true => libc::EINVAL,
        // SAFETY: C passes a mutex that was created here.
        false => unsafe { libc::pthread_mutex_lock(mutex) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Paho_thread_unlock_mutex(mutex: *mut pthread_mutex_t) -> c_int {
    match mutex.is_null() {
        true => libc::EINVAL,
        // SAFETY: C passes a mutex that was created here.
        false => unsafe { libc::pthread_mutex_unlock(mutex) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Thread_start(
    fn_: Option<extern "C" fn(*mut c_void) -> *mut c_void>,
    parameter: *mut c_void,
) -> pthread_t {
    // SAFETY: as the caller's.
    unsafe { Paho_thread_start(fn_, parameter) }
}

#[unsafe(no_mangle)]
pub extern "C" fn Thread_getid() -> pthread_t {
    Paho_thread_getid()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Thread_create_mutex(rc: *mut c_int) -> *mut pthread_mutex_t {
    // SAFETY: as the caller's.
    unsafe { Paho_thread_create_mutex(rc) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Thread_lock_mutex(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: as the caller's.
    unsafe { Paho_thread_lock_mutex(mutex) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn Thread_unlock_mutex(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: as the caller's.
    unsafe { Paho_thread_unlock_mutex(mutex) }
}
