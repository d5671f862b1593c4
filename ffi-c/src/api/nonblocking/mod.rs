//! `MQTTAsync.h`: creating, connecting, and what needs neither.

pub mod callbacks;
pub mod request;

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;

use super::client::code;
use super::information;
use crate::boundary::guard;
use crate::handle::{Handles, Kind};
use crate::nonblocking::Client;
use crate::options::nonblocking::{Connecting, Creation};
use crate::options::{self, nonblocking};
use crate::persistence::{Opening, Store};
use crate::trace::Traced;
use crate::types::async_::*;
use crate::types::persistence::{MQTTCLIENT_PERSISTENCE_DEFAULT, MQTTCLIENT_PERSISTENCE_ERROR};
use crate::{process, ptr};

static CLIENTS: Handles<Client> = Handles::new(Kind::NonBlocking);

/// The client of a handle.
pub(super) fn client(handle: MQTTAsync) -> Result<Arc<Client>, c_int> {
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
    persistence_context: *mut c_void,
    options: *mut MQTTAsync_createOptions,
) -> c_int {
    guard(MQTTASYNC_FAILURE, || {
        if handle.is_null() || serverURI.is_null() || clientId.is_null() {
            return MQTTASYNC_NULL_PARAMETER;
        }
        let persistence = (persistence_type, persistence_context);
        // SAFETY: C passes strings, NULL or options, and the context that the type asks for.
        let created = unsafe { create(serverURI, clientId, persistence, options) };
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
    (persistence_type, context): (c_int, *mut c_void),
    options: *const MQTTAsync_createOptions,
) -> Result<Arc<Client>, c_int> {
    // SAFETY: as the caller promises.
    let (uri, client_id) = unsafe {
        let client_id = ptr::text(client_id).map_err(|_| MQTTASYNC_BAD_UTF8_STRING)?;
        let client_id = client_id.unwrap_or_default();
        if client_id.is_empty() && persistence_type == MQTTCLIENT_PERSISTENCE_DEFAULT {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let uri = ptr::text(uri).map_err(|_| MQTTASYNC_BAD_UTF8_STRING)?;
        (uri.unwrap_or_default(), client_id)
    };
    let server = options::endpoint(uri)?;
    // SAFETY: as the caller promises.
    let creation = unsafe { nonblocking::create(options) }?;
    let server_name = options::without_scheme(uri);
    let opening = Opening {
        persistence_type,
        context,
        client_id: &CString::new(client_id).unwrap_or_default(),
        server: &server_name,
        is_v5: creation.is_v5,
    };
    // SAFETY: as the caller promises.
    let store = unsafe { open(&opening, &creation) }?;
    let traced = Traced::begin(information::ASYNC_PRODUCT);
    let client = Client::new(server, server_name, client_id, creation, store, traced)?;
    process::prepare();
    Ok(client)
}

/// Opens the store of a client, and looks whether it may be used.
///
/// # Safety
/// As [`Store::open`].
unsafe fn open(opening: &Opening<'_>, creation: &Creation) -> Result<Option<Arc<Store>>, c_int> {
    // SAFETY: as the caller promises.
    let Some(store) = (unsafe { Store::open(opening) })? else {
        return Ok(None);
    };
    store.serves_nonblocking(creation.keeps_qos_0);
    if store.has_newer_flights()? {
        return Err(MQTTCLIENT_PERSISTENCE_ERROR);
    }
    if !creation.restores {
        store.forget_waiting()?;
    }
    Ok(Some(store))
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
