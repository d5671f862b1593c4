//! Records behind the eight functions of the application.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};

use super::{Failed, Opening, Records, inside};
use crate::types::persistence::*;
use crate::{alloc, ptr};

/// The functions, copied, so that the struct may go once the client is made.
///
/// Why calling them is sound: the application has given them for this, they are called by one thread at
/// a time, and get what their types promise.
pub(super) struct User {
    functions: MQTTClient_persistence,
    handle: *mut c_void,
}

// SAFETY: handle and context are only handed back to the application, which must expect to be called
// by threads of the library, as with Paho.
unsafe impl Send for User {}

impl User {
    /// Opens the store of the application.
    ///
    /// # Safety
    /// The context is NULL or leads to an `MQTTClient_persistence` whose functions are NULL or what their
    /// types say.
    pub(super) unsafe fn open(opening: &Opening<'_>) -> Result<Self, Failed> {
        // SAFETY: as the caller promises.
        let functions = unsafe { ptr::get(opening.context.cast::<MQTTClient_persistence>()) };
        let functions = *functions.ok_or(MQTTCLIENT_PERSISTENCE_ERROR)?;
        let all_there = !functions.context.is_null()
            && functions.pclose.is_some()
            && functions.pput.is_some()
            && functions.pget.is_some()
            && functions.premove.is_some()
            && functions.pkeys.is_some()
            && functions.pclear.is_some()
            && functions.pcontainskey.is_some();
        let open = functions.popen.filter(|_| all_there);
        let open = open.ok_or(MQTTCLIENT_PERSISTENCE_ERROR)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: see `User`.
        let code = inside(|| unsafe {
            open(
                &raw mut handle,
                opening.client_id.as_ptr(),
                opening.server.as_ptr(),
                functions.context,
            )
        });
        done(code)?;
        Ok(Self { functions, handle })
    }
}

impl Records for User {
    fn put(&mut self, key: &CStr, parts: &[Cow<'_, [u8]>]) -> Result<(), Failed> {
        let Some(put) = self.functions.pput else {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        };
        let mut buffers: Vec<*mut c_char> = parts
            .iter()
            .map(|part| part.as_ptr().cast_mut().cast())
            .collect();
        let mut lengths: Vec<c_int> = parts.iter().map(|part| part.len() as c_int).collect();
        // SAFETY: see `User`; the buffers are read only, which C has no word for here.
        done(inside(|| unsafe {
            put(
                self.handle,
                key.as_ptr().cast_mut(),
                parts.len() as c_int,
                buffers.as_mut_ptr(),
                lengths.as_mut_ptr(),
            )
        }))
    }

    fn get(&mut self, key: &CStr) -> Result<Vec<u8>, Failed> {
        let Some(get) = self.functions.pget else {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        };
        let (mut buffer, mut length) = (std::ptr::null_mut(), 0);
        let key = key.as_ptr().cast_mut();
        // SAFETY: see `User`.
        done(inside(|| unsafe {
            get(self.handle, key, &raw mut buffer, &raw mut length)
        }))?;
        // SAFETY: on success the buffer has that many bytes and is ours, from `malloc`.
        unsafe {
            let record = ptr::slice(buffer.cast::<u8>(), length).map(<[u8]>::to_vec);
            alloc::free(buffer);
            record.ok_or(MQTTCLIENT_PERSISTENCE_ERROR)
        }
    }

    fn remove(&mut self, key: &CStr) -> Result<(), Failed> {
        let remove = self.functions.premove;
        // SAFETY: see `User`.
        remove.map_or(Ok(()), |remove| unsafe {
            done(inside(|| remove(self.handle, key.as_ptr().cast_mut())))
        })
    }

    fn keys(&mut self) -> Result<Vec<CString>, Failed> {
        let Some(keys) = self.functions.pkeys else {
            return Ok(Vec::new());
        };
        let (mut list, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: see `User`.
        done(inside(|| unsafe {
            keys(self.handle, &raw mut list, &raw mut count)
        }))?;
        // SAFETY: on success the list has that many strings, and all of it is ours, from `malloc`.
        unsafe {
            let strings = ptr::slice(list, count).unwrap_or(&[]);
            let mut keys = Vec::with_capacity(strings.len());
            for string in strings {
                keys.extend(ptr::string(*string).map(CString::new).and_then(Result::ok));
                alloc::free(*string);
            }
            alloc::free(list);
            Ok(keys)
        }
    }

    fn contains(&mut self, key: &CStr) -> bool {
        // SAFETY: see `User`.
        self.functions.pcontainskey.is_some_and(|contains| unsafe {
            inside(|| contains(self.handle, key.as_ptr().cast_mut())) == 0
        })
    }

    fn clear(&mut self) -> Result<(), Failed> {
        let clear = self.functions.pclear;
        // SAFETY: see `User`.
        clear.map_or(Ok(()), |clear| unsafe {
            done(inside(|| clear(self.handle)))
        })
    }

    fn close(&mut self) {
        if let Some(close) = self.functions.pclose {
            // SAFETY: see `User`. What it returns changes nothing any more.
            inside(|| unsafe { close(self.handle) });
        }
    }
}

fn done(code: c_int) -> Result<(), Failed> {
    match code {
        0 => Ok(()),
        failed => Err(failed),
    }
}
