//! Functions of the application, to be called back.

use std::ffi::c_void;

use ternmq_protocol::codec::PropertiesBuf;

use crate::properties;
use crate::types::properties::MQTTProperties;

/// A function of the application with the context it was given.
pub(crate) struct Callback<F> {
    pub(crate) function: F,
    pub(crate) context: *mut c_void,
}

impl<F> Callback<F> {
    /// `None` where C gives NULL for the function.
    pub(crate) fn new(function: Option<F>, context: *mut c_void) -> Option<Self> {
        function.map(|function| Self { function, context })
    }
}

impl<F: Copy> Clone for Callback<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Copy> Copy for Callback<F> {}

// SAFETY: the context is only handed back to the application, which registered it for calls from
// other threads.
unsafe impl<F: Send> Send for Callback<F> {}

/// Calls with the properties as C sees them, and releases them afterwards.
pub(crate) fn with_list<R>(
    properties: &PropertiesBuf,
    call: impl FnOnce(&mut MQTTProperties) -> R,
) -> R {
    let mut list = properties::from_wire(properties.get());
    let result = call(&mut list);
    // SAFETY: the list is ours; the application may have changed it by the rules of the API only.
    unsafe { properties::free(&mut list) };
    result
}
