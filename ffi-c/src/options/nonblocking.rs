//! The options structs of `MQTTAsync.h`.

use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

use ternmq_client::{Backoff, ConnectOptions, Target};
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Acknowledge, LostSession, Options};
use ternmq_protocol::codec::{Place, Request};
use ternmq_transport::Endpoint;

use super::reach::reach;
use super::{
    binary, connect_timeout, endpoint, keep_alive, ping_timeout, protocol, subscription, text, will,
};
use crate::nonblocking::{Farewell, Response};
use crate::properties;
use crate::ptr::{self, member};
use crate::tls::TlsRequest;
use crate::types::async_::*;
use crate::types::client::*;
use crate::types::properties::MQTTProperties;
use crate::types::subscribe::MQTTSubscribe_options;

/// Most bytes of messages that wait to be sent. Paho has no such limit, and ends with the memory.
const MAX_BUFFERED_BYTES: usize = 1 << 30;

/// What a client is created for.
#[derive(Clone, Copy)]
pub(crate) struct Creation {
    pub(crate) is_v5: bool,
    /// Messages wait for a connection.
    pub(crate) send_while_disconnected: bool,
    /// Also before the first one was asked for, and after the application has ended it.
    pub(crate) send_at_any_time: bool,
    max_buffered: usize,
    delete_oldest: bool,
    /// What an earlier process has left waiting is sent.
    pub(crate) restores: bool,
    /// Waiting messages of QoS 0 are stored.
    pub(crate) keeps_qos_0: bool,
}

impl Creation {
    /// What goes for all connections of the client.
    pub(crate) fn session(&self) -> Options {
        Options {
            publish_offline: self.send_while_disconnected,
            max_queued_messages: self.max_buffered,
            max_queued_bytes: MAX_BUFFERED_BYTES,
            drop_oldest: self.delete_oldest,
            // The callback comes first, as with Paho: a message is lost by no crash in it.
            acknowledge: Acknowledge::Manual,
            lost_session: LostSession::Drop,
            // PUBREL sets QoS 2 messages free before MQTT 5.0.
            report_progress: true,
            ..Options::default()
        }
    }
}

/// Reads the options of a creation.
///
/// # Errors
/// `MQTTASYNC_MAX_BUFFERED`, `MQTTASYNC_BAD_STRUCTURE`.
///
/// # Safety
/// `p` is NULL or leads to options, complete up to their version.
pub(crate) unsafe fn create(p: *const MQTTAsync_createOptions) -> Result<Creation, c_int> {
    if p.is_null() {
        return Ok(Creation {
            is_v5: false,
            send_while_disconnected: false,
            send_at_any_time: false,
            max_buffered: usize::MAX,
            delete_oldest: false,
            restores: true,
            keeps_qos_0: true,
        });
    }
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let max_buffered = usize::try_from(member!(p, maxBufferedMessages)).unwrap_or(0);
        if max_buffered == 0 {
            return Err(MQTTASYNC_MAX_BUFFERED);
        }
        let version = ptr::struct_version(p, b"MQCO", 3).ok_or(MQTTASYNC_BAD_STRUCTURE)?;
        Ok(Creation {
            is_v5: version >= 1 && member!(p, MQTTVersion) >= MQTTVERSION_5,
            send_while_disconnected: member!(p, sendWhileDisconnected) != 0,
            send_at_any_time: version >= 2 && member!(p, allowDisconnectedSendAtAnyTime) != 0,
            max_buffered,
            delete_oldest: version >= 2 && member!(p, deleteOldestMessages) != 0,
            restores: version < 2 || member!(p, restoreMessages) != 0,
            keeps_qos_0: version < 2 || member!(p, persistQoS0) != 0,
        })
    }
}

/// What an `MQTTAsync_connectOptions` asks for.
pub(crate) struct ConnectRequest {
    pub(crate) options: ConnectOptions,
    /// Where a server is reached by TLS. The options lack it so far.
    pub(crate) tls: Option<TlsRequest>,
    /// The servers as they are listed; empty where the one of the creation counts.
    pub(crate) names: Vec<CString>,
    pub(crate) response: Response,
}

/// Who connects.
pub(crate) struct Connecting<'a> {
    pub(crate) client_id: &'a str,
    /// The server given at creation, used when the options name none.
    pub(crate) server: &'a Endpoint,
    pub(crate) creation: &'a Creation,
}

/// Reads the options of a connect.
///
/// # Errors
/// The `MQTTASYNC_*` code that names what is wrong.
///
/// # Safety
/// `p` is not NULL and leads to options, complete up to their version.
pub(crate) unsafe fn connect(
    p: *const MQTTAsync_connectOptions,
    by: &Connecting<'_>,
) -> Result<ConnectRequest, c_int> {
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let version = ptr::struct_version(p, b"MQTC", 8).ok_or(MQTTASYNC_BAD_STRUCTURE)?;
        let reach = reach!(p, version);
        reach.check_presence(by.server)?;
        let will = will(member!(p, will))?;
        reach.check_struct()?;
        let wanted = match version {
            3.. => member!(p, MQTTVersion),
            _ => MQTTVERSION_DEFAULT,
        };
        if wanted >= MQTTVERSION_5 && !by.creation.is_v5 {
            return Err(MQTTASYNC_WRONG_MQTT_VERSION);
        }
        let (user_name, password) = credentials(p, version)?;
        let (protocol, version_fallback) =
            protocol(wanted).map_err(|_| MQTTASYNC_BAD_MQTT_OPTION)?;
        check_mixture(p, version, protocol.is_v5())?;
        let session = Options {
            version: protocol,
            client_id: by.client_id.to_owned(),
            user_name,
            password,
            will,
            ..by.creation.session()
        };
        let (endpoints, names) = servers(p, version, by.server)?;
        let mut options = ConnectOptions {
            session: complete(session, p, version)?,
            connect_timeout: connect_timeout(member!(p, connectTimeout)),
            version_fallback,
            reconnect: backoff(p, version),
            resubscribe: false,
            ..ConnectOptions::new(endpoints)
        };
        let tls = reach.complete(&mut options, MQTTASYNC_SSL_NOT_SUPPORTED)?;
        Ok(ConnectRequest {
            options,
            tls,
            names,
            response: connect_response(p, version),
        })
    }
}

/// Reads the options of a disconnect.
///
/// # Errors
/// The `MQTTASYNC_*` code that names what is wrong.
///
/// # Safety
/// `p` is not NULL and leads to options, complete up to their version.
pub(crate) unsafe fn disconnect(
    p: *const MQTTAsync_disconnectOptions,
    is_v5: bool,
) -> Result<Farewell, c_int> {
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let version = ptr::struct_version(p, b"MQTD", 1).ok_or(MQTTASYNC_BAD_STRUCTURE)?;
        let milliseconds = u64::try_from(member!(p, timeout)).unwrap_or(0);
        let mut farewell = Farewell {
            patience: Duration::from_millis(milliseconds),
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties: Default::default(),
            response: Response {
                on_success: member!(p, onSuccess),
                on_failure: member!(p, onFailure),
                context: member!(p, context),
                ..Response::default()
            },
        };
        // Paho reads these whatever the version, and its C++ interface says 0 where it sets them. Who
        // speaks MQTT 5.0 was compiled with headers that have them.
        if version >= 1 || is_v5 {
            farewell.response.on_success5 = member!(p, onSuccess5);
            farewell.response.on_failure5 = member!(p, onFailure5);
        }
        if version >= 1 && is_v5 {
            let list = &raw const (*p).properties;
            farewell.properties = properties::to_wire(list, Place::Disconnect)?;
            let reason = u8::try_from(member!(p, reasonCode));
            farewell.reason = ReasonCode(reason.map_err(|_| MQTTASYNC_BAD_MQTT_OPTION)?);
        }
        Ok(farewell)
    }
}

/// Reads the callbacks of a request. Its `struct_id` is not looked at: Paho does not, and programs
/// clear the struct instead of initialising it.
///
/// # Errors
/// `MQTTASYNC_BAD_MQTT_OPTION` for callbacks of the other MQTT version.
///
/// # Safety
/// `p` is NULL or leads to options, complete up to their version.
pub(crate) unsafe fn response(
    p: *const MQTTAsync_responseOptions,
    is_v5: bool,
) -> Result<Response, c_int> {
    if p.is_null() {
        return Ok(Response::default());
    }
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let has_new = member!(p, struct_version) >= 1;
        let mut response = Response {
            on_success: member!(p, onSuccess),
            on_failure: member!(p, onFailure),
            context: member!(p, context),
            ..Response::default()
        };
        if has_new {
            response.on_success5 = member!(p, onSuccess5);
            response.on_failure5 = member!(p, onFailure5);
        }
        let old = response.on_success.is_some() || response.on_failure.is_some();
        let new = response.on_success5.is_some() || response.on_failure5.is_some();
        match is_v5 {
            true if old || !has_new => Err(MQTTASYNC_BAD_MQTT_OPTION),
            false if new => Err(MQTTASYNC_BAD_MQTT_OPTION),
            _ => Ok(response),
        }
    }
}

/// The properties of a request, NULL where there are none.
///
/// # Safety
/// As [`response`].
pub(crate) unsafe fn request_properties(
    p: *const MQTTAsync_responseOptions,
    is_v5: bool,
) -> *const MQTTProperties {
    // SAFETY: as the caller promises.
    unsafe {
        match is_v5 && !p.is_null() && member!(p, struct_version) >= 1 {
            true => &raw const (*p).properties,
            false => std::ptr::null(),
        }
    }
}

/// The subscriptions of a request: topics and QoS with what the response options say of each.
///
/// # Errors
/// `MQTTASYNC_BAD_MQTT_OPTION` when there are options for some topics only, and what
/// [`subscription`] says.
///
/// # Safety
/// As [`response`]; there is a QoS for each topic.
pub(crate) unsafe fn subscriptions<'a>(
    p: *const MQTTAsync_responseOptions,
    topics: &[&'a str],
    qos: &[c_int],
    many: bool,
    is_v5: bool,
) -> Result<Vec<Request<'a>>, c_int> {
    let mut each: Option<&[MQTTSubscribe_options]> = None;
    let mut one = None;
    // SAFETY: as the caller promises.
    unsafe {
        if is_v5 && !p.is_null() && member!(p, struct_version) >= 1 {
            if many {
                let count = member!(p, subscribeOptionsCount);
                if count != 0 && usize::try_from(count) != Ok(topics.len()) {
                    return Err(MQTTASYNC_BAD_MQTT_OPTION);
                }
                let list = ptr::slice(member!(p, subscribeOptionsList), count);
                each = list.filter(|list| !list.is_empty());
            } else {
                one = ptr::get(&raw const (*p).subscribeOptions);
            }
        }
    }
    let requests = topics.iter().zip(qos).enumerate();
    requests
        .map(|(at, (topic, qos))| {
            let options = each.map_or(one, |list| list.get(at));
            Ok((*topic, subscription(*qos, options)?))
        })
        .collect()
}

/// User name and password.
///
/// # Safety
/// `p` leads to options of this version.
unsafe fn credentials(
    p: *const MQTTAsync_connectOptions,
    version: c_int,
) -> Result<(Option<String>, Option<Vec<u8>>), c_int> {
    // SAFETY: as the caller promises.
    unsafe {
        let user_name = text(member!(p, username))?.map(str::to_owned);
        let password = match text(member!(p, password))? {
            Some(password) => Some(password.as_bytes().to_vec()),
            None if version >= 5 => binary(member!(p, binarypwd.len), member!(p, binarypwd.data))?,
            None => None,
        };
        Ok((user_name, password))
    }
}

/// The session with what depends on the MQTT version.
///
/// # Safety
/// `p` leads to options of this version.
unsafe fn complete(
    mut session: Options,
    p: *const MQTTAsync_connectOptions,
    version: c_int,
) -> Result<Options, c_int> {
    // SAFETY: as the caller promises.
    unsafe {
        session.keep_alive = keep_alive(member!(p, keepAliveInterval))?;
        session.ping_timeout_ms = ping_timeout(member!(p, keepAliveInterval));
        session.max_inflight = u16::try_from(member!(p, maxInflight).max(1)).unwrap_or(u16::MAX);
        if !session.version.is_v5() {
            session.clean_start = member!(p, cleansession) != 0;
            return Ok(session);
        }
        session.clean_start = version >= 6 && member!(p, cleanstart) != 0;
        if version >= 6 {
            let list = member!(p, connectProperties);
            session.properties = properties::to_wire(list, Place::Connect)?;
            if let Some(will) = &mut session.will {
                will.properties = properties::to_wire(member!(p, willProperties), Place::Will)?;
            }
        }
        Ok(session)
    }
}

/// Options of one MQTT version in a connect of the other.
///
/// # Safety
/// `p` leads to options of this version.
unsafe fn check_mixture(
    p: *const MQTTAsync_connectOptions,
    version: c_int,
    is_v5: bool,
) -> Result<(), c_int> {
    // SAFETY: as the caller promises.
    let mixed = unsafe {
        match is_v5 {
            true => member!(p, cleansession) != 0,
            false => {
                version >= 6
                    && (member!(p, cleanstart) != 0
                        || member!(p, onSuccess5).is_some()
                        || member!(p, onFailure5).is_some()
                        || !member!(p, connectProperties).is_null()
                        || !member!(p, willProperties).is_null())
            }
        }
    };
    match mixed {
        true => Err(MQTTASYNC_BAD_MQTT_OPTION),
        false => Ok(()),
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn connect_response(p: *const MQTTAsync_connectOptions, version: c_int) -> Response {
    // SAFETY: as the caller promises.
    unsafe {
        let mut response = Response {
            on_success: member!(p, onSuccess),
            on_failure: member!(p, onFailure),
            context: member!(p, context),
            ..Response::default()
        };
        if version >= 6 {
            response.on_success5 = member!(p, onSuccess5);
            response.on_failure5 = member!(p, onFailure5);
        }
        response
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn backoff(p: *const MQTTAsync_connectOptions, version: c_int) -> Option<Backoff> {
    let seconds = |n: c_int| Duration::from_secs(u64::try_from(n.max(1)).unwrap_or(1));
    // SAFETY: as the caller promises.
    unsafe {
        (version >= 4 && member!(p, automaticReconnect) != 0).then(|| Backoff {
            min: seconds(member!(p, minRetryInterval)),
            max: seconds(member!(p, maxRetryInterval)),
            jitter: 0.2,
            first_connect: true,
            after_takeover: true,
        })
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn servers(
    p: *const MQTTAsync_connectOptions,
    version: c_int,
    created_with: &Endpoint,
) -> Result<(Vec<Target>, Vec<CString>), c_int> {
    let count = match version {
        // SAFETY: as the caller promises.
        2.. => unsafe { member!(p, serverURIcount) },
        _ => 0,
    };
    if count == 0 {
        return Ok((vec![Target::Server(created_with.clone())], Vec::new()));
    }
    let (mut targets, mut names) = (Vec::new(), Vec::new());
    // SAFETY: as the caller promises: the list holds that many strings.
    let uris: &[*mut c_char] =
        unsafe { ptr::slice(member!(p, serverURIs), count) }.ok_or(MQTTASYNC_NULL_PARAMETER)?;
    for &uri in uris {
        // SAFETY: as above.
        let uri = unsafe { text(uri) }?.ok_or(MQTTASYNC_NULL_PARAMETER)?;
        targets.push(Target::Server(endpoint(uri)?));
        names.push(CString::new(uri).unwrap_or_default());
    }
    Ok((targets, names))
}
