//! Functions of the application that see records on their way, to encrypt them say.

use std::borrow::Cow;
use std::ffi::{c_char, c_int};

use super::{Failed, Parts, Store, inside};
use crate::callback::Callback;
use crate::types::persistence::*;
use crate::{alloc, ptr};

/// Sees the pieces of a record, and may change them or point to others.
pub(crate) type BeforeWrite = Callback<MQTTPersistence_beforeWrite>;
/// Sees a record, and may change it or put another one in its place.
pub(crate) type AfterRead = Callback<MQTTPersistence_afterRead>;

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) before_write: Option<BeforeWrite>,
    pub(super) after_read: Option<AfterRead>,
}

impl Store {
    /// Sets the function that sees records before they are written; `None` for none.
    pub(crate) fn set_before_write(&self, function: Option<BeforeWrite>) {
        self.lock().hooks.before_write = function;
    }

    /// Sets the function that sees records after they were read; `None` for none.
    pub(crate) fn set_after_read(&self, function: Option<AfterRead>) {
        self.lock().hooks.after_read = function;
    }
}

impl Hooks {
    pub(super) fn before_write<'a>(&self, parts: Parts<'a>) -> Result<Parts<'a>, Failed> {
        let Some(hook) = self.before_write else {
            return Ok(parts);
        };
        let mut own: Vec<Vec<u8>> = parts.into_iter().map(Cow::into_owned).collect();
        let mut buffers: Vec<*mut c_char> = own
            .iter_mut()
            .map(|part| part.as_mut_ptr().cast())
            .collect();
        let mut lengths: Vec<c_int> = own.iter().map(|part| part.len() as c_int).collect();
        // SAFETY: the application gave the function for this; it may write the buffers, and point to
        // others, which stay its own.
        let code = inside(|| unsafe {
            (hook.function)(
                hook.context,
                own.len() as c_int,
                buffers.as_mut_ptr(),
                lengths.as_mut_ptr(),
            )
        });
        if code != 0 {
            return Err(code);
        }
        let changed = buffers.iter().zip(&lengths);
        changed
            .map(|(buffer, length)| {
                // SAFETY: each buffer has as many bytes as the function has left in its length.
                let bytes = unsafe { ptr::slice(buffer.cast_const().cast::<u8>(), *length) };
                bytes.map(|bytes| Cow::Owned(bytes.to_vec()))
            })
            .collect::<Option<_>>()
            .ok_or(MQTTCLIENT_PERSISTENCE_ERROR)
    }

    pub(super) fn after_read(&self, record: Vec<u8>) -> Result<Vec<u8>, Failed> {
        let Some(hook) = self.after_read else {
            return Ok(record);
        };
        let mut buffer = alloc::string(&record);
        let mut length = record.len() as c_int;
        if buffer.is_null() {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        // SAFETY: the application gave the function for this; it may free the buffer and put another
        // one in its place, which is ours then.
        unsafe {
            let code = inside(|| (hook.function)(hook.context, &raw mut buffer, &raw mut length));
            let record = ptr::slice(buffer.cast::<u8>(), length).map(<[u8]>::to_vec);
            alloc::free(buffer);
            match code {
                0 => record.ok_or(MQTTCLIENT_PERSISTENCE_ERROR),
                failed => Err(failed),
            }
        }
    }
}
