//! `MQTTAsync.h`: creating, connecting, and what needs neither.

pub mod callbacks;
pub mod request;

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use super::client::code;
use super::information;
use crate::boundary::guard;
use crate::handle::Handles;
use crate::nonblocking::Client;
use crate::options::nonblocking::Connecting;
use crate::options::{self, nonblocking};
use crate::trace::Traced;
use crate::types::async_::*;
use crate::types::persistence::{MQTTCLIENT_PERSISTENCE_ERROR, MQTTCLIENT_PERSISTENCE_NONE};
use crate::{process, ptr};

static CLIENTS: Handles<Client> = Handles::new();

/// The client of a handle.
fn client(handle: MQTTAsync) -> Result<Arc<Client>, c_int> {
    CLIENTS.get(handle).ok_or(MQTTASYNC_FAILURE)
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_global_init(_inits: *mut MQTTAsync_init_options) {}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_create(
    handle: *mut MQTTAsync,
    serverURI: *const c_char,
    clientId: *const c_char,
    persistence_type: c_int,
    persistence_context: *mut c_void,
) -> c_int {
    // SAFETY: as for the call with options.
    unsafe {
        MQTTAsync_createWithOptions(
            handle,
            serverURI,
            clientId,
            persistence_type,
            persistence_context,
            std::ptr::null_mut(),
        )
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_createWithOptions(
    handle: *mut MQTTAsync,
    serverURI: *const c_char,
    clientId: *const c_char,
    persistence_type: c_int,
    _persistence_context: *mut c_void,
    options: *mut MQTTAsync_createOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        if handle.is_null() || serverURI.is_null() || clientId.is_null() {
            return MQTTASYNC_NULL_PARAMETER;
        }
        // SAFETY: C passes strings, and NULL or options.
        let created = unsafe { create(serverURI, clientId, persistence_type, options) };
        match created.and_then(|client| CLIENTS.insert(client).ok_or(MQTTASYNC_FAILURE)) {
            Ok(new) => {
                // SAFETY: C passes the address of a handle.
                unsafe { ptr::put(handle, new) };
                MQTTASYNC_SUCCESS
            }
            Err(code) => code,
        }
    })
}

/// # Safety
/// The strings end with NUL, `options` is NULL or leads to options.
unsafe fn create(
    uri: *const c_char,
    client_id: *const c_char,
    persistence_type: c_int,
    options: *const MQTTAsync_createOptions,
) -> Result<Arc<Client>, c_int> {
    // SAFETY: as the caller promises.
    let (uri, client_id) = unsafe {
        let client_id = ptr::text(client_id).map_err(|_| MQTTASYNC_BAD_UTF8_STRING)?;
        if persistence_type != MQTTCLIENT_PERSISTENCE_NONE {
            // There is no store yet, and one that forgets would be a lie.
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let uri = ptr::text(uri).map_err(|_| MQTTASYNC_BAD_UTF8_STRING)?;
        (uri.unwrap_or_default(), client_id.unwrap_or_default())
    };
    let server = options::endpoint(uri)?;
    // SAFETY: as the caller promises.
    let creation = unsafe { nonblocking::create(options) }?;
    let client = Client::new(
        server,
        nonblocking::without_scheme(uri),
        client_id,
        creation,
        Traced::begin(information::ASYNC_PRODUCT),
    )?;
    process::prepare();
    Ok(client)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_destroy(handle: *mut MQTTAsync) {
    guard((), || {
        // SAFETY: C passes NULL or the address of a handle.
        let Some(handle) = (unsafe { ptr::get_mut(handle) }) else {
            return;
        };
        if let Some(client) = CLIENTS.remove(std::mem::replace(handle, std::ptr::null_mut())) {
            client.destroy();
        }
    });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_connect(
    handle: MQTTAsync,
    options: *const MQTTAsync_connectOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        if options.is_null() {
            return MQTTASYNC_NULL_PARAMETER;
        }
        let connect = || {
            let client = client(handle)?;
            let by = Connecting {
                client_id: &client.client_id,
                server: &client.server,
                creation: &client.creation,
            };
            // SAFETY: C passes options.
            let request = unsafe { nonblocking::connect(options, &by) }?;
            client.connect(request)
        };
        code(connect())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_reconnect(handle: MQTTAsync) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        code(client(handle).and_then(|client| client.reconnect()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTAsync_disconnect(
    handle: MQTTAsync,
    options: *const MQTTAsync_disconnectOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        let disconnect = || {
            let client = client(handle)?;
            if options.is_null() {
                return Err(MQTTASYNC_NULL_PARAMETER);
            }
            // SAFETY: C passes options.
            let farewell = unsafe { nonblocking::disconnect(options, client.is_v5()) }?;
            client.disconnect(farewell)
        };
        code(disconnect())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_isConnected(handle: MQTTAsync) -> c_int {
    guard(0, || {
        client(handle)
            .is_ok_and(|client| client.is_connected())
            .into()
    })
}
