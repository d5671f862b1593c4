//! `MQTTClient.h`: creating, connecting, callbacks, and what needs neither.

use std::ffi::{CString, c_char, c_int, c_ulong, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ternmq_protocol::ReasonCode;
use ternmq_protocol::codec::Place;

use super::{information, response};
use crate::boundary::guard;
use crate::callback::Callback;
use crate::facade::{Client, MIN_COMMAND_TIMEOUT};
use crate::handle::{Handles, Kind};
use crate::options::{self, ConnectRequest, Connecting};
use crate::persistence::{Opening, Store};
use crate::trace::Traced;
use crate::types::client::*;
use crate::types::persistence::{MQTTCLIENT_PERSISTENCE_DEFAULT, MQTTCLIENT_PERSISTENCE_ERROR};
use crate::types::properties::{MQTTProperties, MQTTReasonCodes};
use crate::{process, properties, ptr};

static CLIENTS: Handles<Client> = Handles::new(Kind::Blocking);

/// The client of a handle.
pub(super) fn client(handle: MQTTClient) -> Result<Arc<Client>, c_int> {
    CLIENTS.get(handle).ok_or(MQTTCLIENT_FAILURE)
}

/// The return code of a call.
pub(super) fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(MQTTCLIENT_SUCCESS)
}

/// A time in milliseconds from now. One that does not fit is for ever, which a year stands for.
pub(super) fn deadline(milliseconds: c_ulong) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + duration(milliseconds).min(YEAR)
}

#[allow(clippy::unnecessary_cast)] // `c_ulong` has 32 bits elsewhere
fn duration(milliseconds: c_ulong) -> Duration {
    Duration::from_millis(milliseconds as u64)
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_global_init(_inits: *mut MQTTClient_init_options) {}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_create(
    handle: *mut MQTTClient,
    serverURI: *const c_char,
    clientId: *const c_char,
    persistence_type: c_int,
    persistence_context: *mut c_void,
) -> c_int {
    // SAFETY: as for the call with options.
    unsafe {
        MQTTClient_createWithOptions(
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
pub unsafe extern "C" fn MQTTClient_createWithOptions(
    handle: *mut MQTTClient,
    serverURI: *const c_char,
    clientId: *const c_char,
    persistence_type: c_int,
    persistence_context: *mut c_void,
    options: *mut MQTTClient_createOptions,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        if handle.is_null() || serverURI.is_null() || clientId.is_null() {
            return MQTTCLIENT_NULL_PARAMETER;
        }
        let persistence = (persistence_type, persistence_context);
        // SAFETY: C passes strings, NULL or options, and the context that the type asks for.
        let created = unsafe { create(serverURI, clientId, persistence, options) };
        match created.and_then(|client| CLIENTS.insert(client).ok_or(MQTTCLIENT_FAILURE)) {
            Ok(new) => {
                // SAFETY: C passes the address of a handle.
                unsafe { ptr::put(handle, new) };
                MQTTCLIENT_SUCCESS
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
    options: *const MQTTClient_createOptions,
) -> Result<Arc<Client>, c_int> {
    // SAFETY: as the caller promises.
    let client = unsafe {
        let id = ptr::text(client_id).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING)?;
        let id = id.unwrap_or_default();
        let is_v5 = options::create(options)?;
        if id.is_empty() && persistence_type == MQTTCLIENT_PERSISTENCE_DEFAULT {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let uri = ptr::text(uri).map_err(|_| MQTTCLIENT_BAD_UTF8_STRING)?;
        let uri = uri.unwrap_or_default();
        let server = options::endpoint(uri)?;
        let traced = Traced::begin(information::CLIENT_PRODUCT);
        let store = Store::open(&Opening {
            persistence_type,
            context,
            client_id: &CString::new(id).unwrap_or_default(),
            server: &options::without_scheme(uri),
            is_v5,
        })?;
        Client::new(server, id, is_v5, store, traced)?
    };
    process::prepare();
    Ok(client)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_destroy(handle: *mut MQTTClient) {
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
pub unsafe extern "C" fn MQTTClient_connect(
    handle: MQTTClient,
    options: *mut MQTTClient_connectOptions,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        match client(handle) {
            // As Paho has it, a missing argument is reported before a missing client.
            Err(_) if options.is_null() => MQTTCLIENT_NULL_PARAMETER,
            Err(code) => code,
            Ok(client) if client.is_v5 => MQTTCLIENT_WRONG_MQTT_VERSION,
            // SAFETY: C passes NULL or options.
            Ok(client) => unsafe {
                connect(&client, options, std::ptr::null(), std::ptr::null()).reasonCode
            },
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_connect5(
    handle: MQTTClient,
    options: *mut MQTTClient_connectOptions,
    connectProperties: *mut MQTTProperties,
    willProperties: *mut MQTTProperties,
) -> MQTTResponse {
    guard(response::code(MQTTCLIENT_FAILURE), || {
        match client(handle) {
            Err(_) if options.is_null() => response::code(MQTTCLIENT_NULL_PARAMETER),
            Err(code) => response::code(code),
            Ok(client) if !client.is_v5 => response::code(MQTTCLIENT_WRONG_MQTT_VERSION),
            // SAFETY: C passes NULL or options and lists.
            Ok(client) => unsafe { connect(&client, options, connectProperties, willProperties) },
        }
    })
}

/// # Safety
/// The pointers are NULL or lead to what C programs put there.
unsafe fn connect(
    client: &Client,
    p: *mut MQTTClient_connectOptions,
    properties: *const MQTTProperties,
    will_properties: *const MQTTProperties,
) -> MQTTResponse {
    let connecting = Connecting {
        client_id: &client.client_id,
        server: &client.server,
        is_v5: client.is_v5,
        properties,
        will_properties,
    };
    // SAFETY: as the caller promises.
    let request = unsafe { options::connect(p, &connecting) };
    let ConnectRequest {
        options,
        tls,
        has_returned,
    } = match request {
        Ok(request) => request,
        Err(code) => return response::code(code),
    };
    match client.connect(options, tls) {
        Ok(established) => {
            if has_returned {
                let returned = MQTTClient_connectReturned {
                    serverURI: established.server,
                    MQTTVersion: established.version,
                    sessionPresent: established.session_present.into(),
                };
                // SAFETY: the options have this member, and C lets it be written.
                unsafe { ptr::put(&raw mut (*p).returned, returned) };
            }
            response::with_properties(MQTTCLIENT_SUCCESS, &established.properties)
        }
        Err(refused) => response::with_properties(refused.code, &refused.properties),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_disconnect(handle: MQTTClient, timeout: c_int) -> c_int {
    // SAFETY: there is no list.
    unsafe { disconnect(handle, timeout, 0, std::ptr::null()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn MQTTClient_disconnect5(
    handle: MQTTClient,
    timeout: c_int,
    reason: MQTTReasonCodes,
    props: *mut MQTTProperties,
) -> c_int {
    // SAFETY: C passes NULL or a list.
    unsafe { disconnect(handle, timeout, reason, props) }
}

/// # Safety
/// `properties` is NULL or leads to a list.
unsafe fn disconnect(
    handle: MQTTClient,
    timeout: c_int,
    reason: MQTTReasonCodes,
    properties: *const MQTTProperties,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let disconnect = || {
            let client = client(handle)?;
            // SAFETY: as the caller promises.
            let list = unsafe { properties::to_wire(properties, Place::Disconnect)? };
            let reason = u8::try_from(reason).map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
            let patience = c_ulong::try_from(timeout).unwrap_or(0);
            client.disconnect(deadline(patience), ReasonCode(reason), list.get())
        };
        code(disconnect())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_isConnected(handle: MQTTClient) -> c_int {
    guard(0, || {
        client(handle)
            .is_ok_and(|client| client.is_connected())
            .into()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setCallbacks(
    handle: MQTTClient,
    context: *mut c_void,
    cl: Option<MQTTClient_connectionLost>,
    ma: Option<MQTTClient_messageArrived>,
    dc: Option<MQTTClient_deliveryComplete>,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let function = ma.ok_or(MQTTCLIENT_FAILURE)?;
            let arrived = Callback { function, context };
            client(handle)?.set_callbacks(
                Callback::new(cl, context),
                arrived,
                Callback::new(dc, context),
            )
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setDisconnected(
    handle: MQTTClient,
    context: *mut c_void,
    co: Option<MQTTClient_disconnected>,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        code(client(handle).map(|client| client.set_disconnected(Callback::new(co, context))))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setPublished(
    handle: MQTTClient,
    context: *mut c_void,
    co: Option<MQTTClient_published>,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        code(client(handle).map(|client| client.set_published(Callback::new(co, context))))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_setCommandTimeout(handle: MQTTClient, milliSeconds: c_ulong) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let timeout = duration(milliSeconds);
        if timeout < MIN_COMMAND_TIMEOUT {
            return MQTTCLIENT_FAILURE;
        }
        code(client(handle).map(|client| client.set_command_timeout(timeout)))
    })
}
