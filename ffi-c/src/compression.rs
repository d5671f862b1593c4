//! What C says of compression, for clients and for listeners.

use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

use ternmq_client::websocket::Deflate;

use crate::sized;
use crate::types::client::{MQTTCLIENT_BAD_MQTT_OPTION, MQTTCLIENT_BAD_STRUCTURE};
use crate::types::lifecycle::ternmq_compression_options;

/// What `ternmq_set_compression` has asked for, from the next connect on.
#[derive(Default)]
pub(crate) struct Compression(Mutex<Option<Deflate>>);

impl Compression {
    pub(crate) fn set(&self, deflate: Option<Deflate>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = deflate;
    }

    pub(crate) fn get(&self) -> Option<Deflate> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the options, `None` for NULL.
///
/// # Errors
/// `MQTTCLIENT_BAD_STRUCTURE`; `MQTTCLIENT_BAD_MQTT_OPTION` for a window that there is none of.
///
/// # Safety
/// `p` is NULL or leads to options that begin with their size.
pub(crate) unsafe fn read(p: *const ternmq_compression_options) -> Result<Option<Deflate>, c_int> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let options = unsafe { sized::read(p) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
    let mut deflate = Deflate {
        context: options.keep_context != 0,
        ..Deflate::default()
    };
    if options.window_bits != 0 {
        let bits = u8::try_from(options.window_bits);
        deflate.window_bits = bits.map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
    }
    if options.min_bytes != 0 {
        deflate.min_bytes = options.min_bytes;
    }
    match deflate.is_possible() {
        true => Ok(Some(deflate)),
        false => Err(MQTTCLIENT_BAD_MQTT_OPTION),
    }
}
