//! `ternmq.h`: the life of a connection.

use std::ffi::{OsStr, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use ternmq_client::Backoff;
use ternmq_client::tls::{Identity, KeySource, PemSource, TlsError};
use ternmq_protocol::client::Options;

use super::client::code;
use super::either::{Either, either};
use crate::boundary::guard;
use crate::callback::Callback;
use crate::outbox::Asked;
use crate::reconnect::{Outbox, Reconnect};
use crate::sized::Growing;
use crate::tls::Given;
use crate::trace::{ERROR, trace};
use crate::types::client::*;
use crate::types::lifecycle::*;
use crate::{compression, ptr, sized};

/// The largest certificates or key.
const CREDENTIAL_BYTES: usize = 16 << 20;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_set_reconnect(
    handle: *mut c_void,
    options: *const ternmq_reconnect_options,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            // SAFETY: C passes NULL or options.
            let reconnect = unsafe { reconnect(options) }?;
            match client {
                Either::Blocking(client) => client.set_reconnect(reconnect)?,
                Either::NonBlocking(client) => client.set_reconnect(reconnect),
            }
            Ok(())
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_set_tls(
    handle: *mut c_void,
    options: *const ternmq_tls_options,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            // SAFETY: C passes NULL or options.
            let given = unsafe { given(options) }?;
            match client {
                Either::Blocking(client) => client.tls.give(given),
                Either::NonBlocking(client) => client.tls.give(given),
            }
            Ok(())
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_set_compression(
    handle: *mut c_void,
    options: *const ternmq_compression_options,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            // SAFETY: C passes NULL or options.
            let asked = unsafe { compression::read(options) }?;
            match client {
                Either::Blocking(client) => client.compression.set(asked),
                Either::NonBlocking(client) => client.compression.set(asked),
            }
            Ok(())
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_set_outbox(
    handle: *mut c_void,
    options: *const ternmq_outbox_options,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            // SAFETY: C passes NULL or options.
            let asked = unsafe { outbox(options) }?;
            match client {
                Either::Blocking(client) => client.set_outbox(&asked),
                Either::NonBlocking(client) => client.set_outbox(&asked),
            }
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_statistics(
    handle: *mut c_void,
    data: *mut ternmq_statistics_data,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let read = || {
            let client = either(handle)?;
            if data.is_null() {
                return Err(MQTTCLIENT_NULL_PARAMETER);
            }
            // SAFETY: C passes statistics that begin with their size.
            let size = unsafe { sized::size(data) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
            let statistics = match client {
                Either::Blocking(client) => client.statistics(),
                Either::NonBlocking(client) => client.statistics(),
            };
            // SAFETY: C has `size` bytes there.
            unsafe { sized::fill(data, size, &statistics) };
            Ok(())
        };
        code(read())
    })
}

/// Reads the options, if there are any.
///
/// # Safety
/// `p` is NULL or leads to options that begin with their size.
unsafe fn reconnect(p: *const ternmq_reconnect_options) -> Result<Option<Reconnect>, c_int> {
    // SAFETY: as the caller promises.
    let Some(options) = (unsafe { whole(p) })? else {
        return Ok(None);
    };
    let wrong = options.min_retry_ms == 0
        || options.min_retry_ms > options.max_retry_ms
        || options.jitter_percent > 100;
    if wrong {
        return Err(MQTTCLIENT_BAD_MQTT_OPTION);
    }
    let milliseconds = |n: c_uint| Duration::from_millis(n.into());
    Ok(Some(Reconnect {
        backoff: Backoff {
            min: milliseconds(options.min_retry_ms),
            max: milliseconds(options.max_retry_ms),
            jitter: f64::from(options.jitter_percent) / 100.0,
            first_connect: false,
            after_takeover: options.after_takeover != 0,
        },
        resubscribe: options.resubscribe != 0,
        outbox: Outbox {
            messages: options.max_buffered_messages as usize,
            bytes: match options.max_buffered_bytes {
                0 => Outbox::default_bytes(),
                bytes => bytes,
            },
            drop_oldest: options.delete_oldest_messages != 0,
        },
        changed: Callback::new(options.changed, options.context),
    }))
}

/// Reads the options.
///
/// # Safety
/// `p` is NULL or leads to options that begin with their size; the path is NULL or a string.
unsafe fn outbox(p: *const ternmq_outbox_options) -> Result<Asked, c_int> {
    // SAFETY: as the caller promises.
    let (options, path) = unsafe {
        let options = whole(p)?.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
        (options, ptr::string(options.path))
    };
    let path = path.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
    let defaults = Options::default();
    Ok(Asked {
        path: OsStr::from_bytes(path).into(),
        sync: options.sync != 0,
        messages: match options.max_messages {
            0 => defaults.max_queued_messages,
            messages => messages as usize,
        },
        bytes: match options.max_bytes {
            0 => defaults.max_queued_bytes,
            bytes => bytes,
        },
    })
}

/// Reads the options and looks whether TLS can be spoken with them.
///
/// # Safety
/// `p` is NULL or leads to options that begin with their size, and whose pointers are NULL or lead to
/// as many bytes as they say, or to a string.
unsafe fn given(p: *const ternmq_tls_options) -> Result<Given, c_int> {
    // SAFETY: as the caller promises.
    let Some(options) = (unsafe { whole(p) })? else {
        return Ok(Given::default());
    };
    // SAFETY: as the caller promises.
    let (roots, certificate, key, password, name, revoked, key_log) = unsafe {
        (
            bytes(options.ca, options.ca_size)?,
            bytes(options.certificate, options.certificate_size)?,
            bytes(options.key, options.key_size)?,
            bytes(options.key_password, options.key_password_size)?,
            ptr::text(options.server_name).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING)?,
            bytes(options.crl, options.crl_size)?,
            ptr::text(options.key_log_file).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING)?,
        )
    };
    let given = || {
        let given = Given {
            roots: roots.map(<[u8]>::to_vec),
            identity: identity(certificate, key, password)?,
            server_name: name.map(str::to_owned),
            revoked: revoked.map(<[u8]>::to_vec),
            key_log: key_log.map(Into::into),
        };
        given.check().map(|()| given)
    };
    given().map_err(|error| {
        trace!(ERROR, "ternmq_set_tls: {error}");
        MQTTCLIENT_BAD_MQTT_OPTION
    })
}

fn identity(
    certificate: Option<&[u8]>,
    key: Option<&[u8]>,
    password: Option<&[u8]>,
) -> Result<Option<Identity>, TlsError> {
    let Some(certificate) = certificate else {
        return match key {
            Some(_) => Err(TlsError::NoCertificate("what was given".to_owned())),
            None => Ok(None),
        };
    };
    let key = key.unwrap_or(certificate);
    Ok(Some(Identity {
        chain: PemSource::Bytes(certificate.to_vec()),
        key: KeySource::decrypted(key.to_vec(), password, "what was given")?,
    }))
}

/// Options, `None` for NULL.
///
/// # Errors
/// `MQTTCLIENT_BAD_STRUCTURE` for a size of no version.
///
/// # Safety
/// `p` is NULL or leads to a size, and to as many bytes.
unsafe fn whole<T: Growing>(p: *const T) -> Result<Option<T>, c_int> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let options = unsafe { sized::read(p) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
    Ok(Some(options))
}

/// What stands in memory; `None` for NULL.
///
/// # Errors
/// `MQTTCLIENT_NULL_PARAMETER` for a size without bytes, `MQTTCLIENT_BAD_MQTT_OPTION` for too many.
///
/// # Safety
/// `p` is NULL or leads to `size` bytes.
unsafe fn bytes<'a>(p: *const c_void, size: usize) -> Result<Option<&'a [u8]>, c_int> {
    match (p.is_null(), size) {
        (true, 0) => Ok(None),
        (true, _) => Err(MQTTCLIENT_NULL_PARAMETER),
        (false, size) if size > CREDENTIAL_BYTES => Err(MQTTCLIENT_BAD_MQTT_OPTION),
        // SAFETY: as the caller promises.
        (false, size) => Ok(Some(unsafe { std::slice::from_raw_parts(p.cast(), size) })),
    }
}
