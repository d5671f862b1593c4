//! The options structs, checked and copied into what the client understands: those of `MQTTClient.h`
//! here, with what they share with those of `MQTTAsync.h` in [`nonblocking`].
//!
//! The order of the checks is Paho's, since programs see which one fails first. Members that the
//! declared `struct_version` does not have are never read.

pub(crate) mod nonblocking;
mod reach;
mod tls;

use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

use ternmq_client::{ConnectOptions, Target};
use ternmq_protocol::ProtocolVersion;
use ternmq_protocol::client::{LostSession, Options, Will};
use ternmq_protocol::codec::{Place, PropertiesBuf, QoS, RetainHandling, SubscriptionOptions};
use ternmq_transport::Endpoint;

use crate::properties;
use crate::ptr::{self, member};
use crate::tls::TlsRequest;
use crate::types::client::*;
use crate::types::properties::MQTTProperties;
use crate::types::subscribe::MQTTSubscribe_options;

/// Messages in flight when `reliable` is 0 and `maxInflightMessages` does not say otherwise.
const INFLIGHT: u16 = 10;

/// In small letters only, as with Paho.
const SCHEMES: [&str; 9] = [
    "tcp", "mqtt", "ssl", "mqtts", "tls", "ws", "wss", "unix", "quic",
];

/// What an `MQTTClient_connectOptions` asks for.
pub(crate) struct ConnectRequest {
    pub(crate) options: ConnectOptions,
    /// Where a server is reached by TLS. The options lack it so far.
    pub(crate) tls: Option<TlsRequest>,
    /// Whether the struct has room for `returned`.
    pub(crate) has_returned: bool,
}

/// Who connects, and what goes with the options.
pub(crate) struct Connecting<'a> {
    pub(crate) client_id: &'a str,
    /// The server given at creation, used when the options name none.
    pub(crate) server: &'a Endpoint,
    pub(crate) is_v5: bool,
    pub(crate) properties: *const MQTTProperties,
    pub(crate) will_properties: *const MQTTProperties,
}

/// Reads the options of a connect.
///
/// # Errors
/// The `MQTTCLIENT_*` code that names what is wrong.
///
/// # Safety
/// The pointers are NULL or lead to what C programs put there, complete up to its version.
pub(crate) unsafe fn connect(
    p: *const MQTTClient_connectOptions,
    by: &Connecting<'_>,
) -> Result<ConnectRequest, c_int> {
    if p.is_null() {
        return Err(MQTTCLIENT_NULL_PARAMETER);
    }
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let version = ptr::struct_version(p, b"MQTC", 8).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        let reach = reach::reach!(p, version);
        reach.check_presence(by.server)?;
        let mut will = will(member!(p, will))?;
        reach.check_struct()?;
        let (user_name, password) = credentials(p, version)?;
        let wanted = if version >= 3 {
            member!(p, MQTTVersion)
        } else {
            MQTTVERSION_DEFAULT
        };
        let (protocol, version_fallback) = protocol(wanted)?;
        let clean_session = member!(p, cleansession) != 0;
        let clean_start = version >= 6 && member!(p, cleanstart) != 0;
        let has_properties = !by.properties.is_null() || !by.will_properties.is_null();
        let fits = match by.is_v5 {
            true => protocol.is_v5() && !clean_session,
            false => !protocol.is_v5() && !clean_start && !has_properties,
        };
        if !fits {
            return Err(MQTTCLIENT_BAD_MQTT_OPTION);
        }
        if let Some(will) = &mut will {
            will.properties = properties::to_wire(by.will_properties, Place::Will)?;
        }
        let clean = clean_session || clean_start;
        let mut session = Options {
            version: protocol,
            client_id: by.client_id.to_owned(),
            clean_start: clean,
            keep_alive: keep_alive(member!(p, keepAliveInterval))?,
            ping_timeout_ms: ping_timeout(member!(p, keepAliveInterval)),
            user_name,
            password,
            will,
            properties: properties::to_wire(by.properties, Place::Connect)?,
            max_inflight: max_inflight(p, version),
            ..Options::default()
        };
        leave_nothing_waiting(&mut session, clean);
        let mut options = ConnectOptions {
            session,
            connect_timeout: connect_timeout(member!(p, connectTimeout)),
            version_fallback,
            resubscribe: false,
            ..ConnectOptions::new(servers(p, version, by.server)?)
        };
        let tls = reach.complete(&mut options, MQTTCLIENT_SSL_NOT_SUPPORTED)?;
        Ok(ConnectRequest {
            options,
            tls,
            has_returned: version >= 4,
        })
    }
}

/// The server of a URI.
///
/// # Errors
/// `MQTTCLIENT_BAD_PROTOCOL` for a scheme that the library does not speak, `MQTTCLIENT_FAILURE` for
/// text that names no server.
pub(crate) fn endpoint(uri: &str) -> Result<Endpoint, c_int> {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    if let Some(scheme) = scheme
        && !SCHEMES.contains(&scheme)
    {
        return Err(MQTTCLIENT_BAD_PROTOCOL);
    }
    uri.parse().map_err(|_| MQTTCLIENT_FAILURE)
}

/// The server of a creation as programs and stores know it.
pub(crate) fn without_scheme(uri: &str) -> CString {
    let name = uri.split_once("://").map_or(uri, |(_, name)| name);
    CString::new(name).unwrap_or_default()
}

/// The `MQTTVersion` that a client is created for: whether it is MQTT 5.0.
///
/// # Errors
/// `MQTTCLIENT_BAD_STRUCTURE`.
///
/// # Safety
/// `p` is NULL or leads to the options.
pub(crate) unsafe fn create(p: *const MQTTClient_createOptions) -> Result<bool, c_int> {
    if p.is_null() {
        return Ok(false);
    }
    // SAFETY: as the caller promises.
    unsafe {
        ptr::struct_version(p, b"MQCO", 0).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        Ok(member!(p, MQTTVersion) >= MQTTVERSION_5)
    }
}

/// A subscription as the two APIs give it: the QoS apart, the rest in a struct or not at all.
///
/// # Errors
/// `MQTTCLIENT_BAD_QOS`, `MQTTCLIENT_BAD_STRUCTURE`, `MQTTCLIENT_BAD_MQTT_OPTION`.
pub(crate) fn subscription(
    qos: c_int,
    options: Option<&MQTTSubscribe_options>,
) -> Result<SubscriptionOptions, c_int> {
    let mut result = SubscriptionOptions {
        qos: self::qos(qos)?,
        ..SubscriptionOptions::default()
    };
    if let Some(options) = options {
        // SAFETY: a reference leads to a whole struct.
        unsafe { ptr::struct_version(options, b"MQSO", 0) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        result.no_local = options.noLocal != 0;
        result.retain_as_published = options.retainAsPublished != 0;
        result.retain_handling = match options.retainHandling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(MQTTCLIENT_BAD_MQTT_OPTION),
        };
    }
    Ok(result)
}

/// # Errors
/// `MQTTCLIENT_BAD_QOS`.
pub(crate) fn qos(qos: c_int) -> Result<QoS, c_int> {
    u8::try_from(qos)
        .ok()
        .and_then(QoS::from_bits)
        .ok_or(MQTTCLIENT_BAD_QOS)
}

/// # Safety
/// `p` is NULL or leads to the options, complete up to their version.
unsafe fn will(p: *const MQTTClient_willOptions) -> Result<Option<Will>, c_int> {
    if p.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let version = ptr::struct_version(p, b"MQTW", 1).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        let qos = qos(member!(p, qos))?;
        let topic = text(member!(p, topicName))?.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
        if topic.is_empty() {
            return Err(MQTTCLIENT_0_LEN_WILL_TOPIC);
        }
        let payload = match ptr::string(member!(p, message)) {
            Some(message) => Some(message.to_vec()),
            None if version >= 1 => binary(member!(p, payload.len), member!(p, payload.data))?,
            None => None,
        };
        Ok(Some(Will {
            topic: topic.to_owned(),
            payload: payload.unwrap_or_default(),
            qos,
            retain: member!(p, retained) != 0,
            properties: PropertiesBuf::default(),
        }))
    }
}

/// User name and password.
///
/// # Safety
/// `p` leads to options of this version.
unsafe fn credentials(
    p: *const MQTTClient_connectOptions,
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

/// # Safety
/// `p` leads to options of this version.
unsafe fn servers(
    p: *const MQTTClient_connectOptions,
    version: c_int,
    created_with: &Endpoint,
) -> Result<Vec<Target>, c_int> {
    let count = match version {
        // SAFETY: as the caller promises.
        2.. => unsafe { member!(p, serverURIcount) },
        _ => 0,
    };
    if count == 0 {
        return Ok(vec![Target::Server(created_with.clone())]);
    }
    // SAFETY: as the caller promises: the list holds that many strings.
    unsafe {
        let uris = ptr::slice(member!(p, serverURIs), count).ok_or(MQTTCLIENT_NULL_PARAMETER)?;
        uris.iter()
            .map(|&uri| {
                let uri = text(uri)?.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
                Ok(Target::Server(endpoint(uri)?))
            })
            .collect()
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn max_inflight(p: *const MQTTClient_connectOptions, version: c_int) -> u16 {
    // SAFETY: as the caller promises.
    unsafe {
        let asked = if version >= 6 {
            member!(p, maxInflightMessages)
        } else {
            -1
        };
        match asked {
            1.. => u16::try_from(asked).unwrap_or(u16::MAX),
            _ if member!(p, reliable) != 0 => 1,
            _ => INFLIGHT,
        }
    }
}

/// The version to begin with, and whether to fall back to 3.1.
fn protocol(wanted: c_int) -> Result<(ProtocolVersion, bool), c_int> {
    match wanted {
        MQTTVERSION_DEFAULT => Ok((ProtocolVersion::V3_1_1, true)),
        MQTTVERSION_3_1 => Ok((ProtocolVersion::V3_1, false)),
        MQTTVERSION_3_1_1 => Ok((ProtocolVersion::V3_1_1, false)),
        MQTTVERSION_5 => Ok((ProtocolVersion::V5_0, false)),
        _ => Err(MQTTCLIENT_BAD_MQTT_VERSION),
    }
}

/// As with Paho a publish waits for its place among the messages in flight: what it has accepted is on
/// its way, and a disconnect with a timeout leaves few behind. A session that is cleaned drops what was
/// in flight; one that the server lost does not.
pub(crate) fn leave_nothing_waiting(session: &mut Options, clean: bool) {
    session.publish_offline = false;
    session.max_queued_messages = 0;
    session.max_queued_bytes = Options::default().max_queued_bytes;
    session.drop_oldest = false;
    session.lost_session = match clean {
        true => LostSession::Drop,
        false => LostSession::Republish,
    };
}

fn keep_alive(seconds: c_int) -> Result<u16, c_int> {
    u16::try_from(seconds).map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)
}

/// How long PINGRESP may take, in milliseconds: half as long again as the Keep Alive.
fn ping_timeout(keep_alive: c_int) -> u64 {
    u64::try_from(keep_alive).unwrap_or(0) * 1_500
}

/// No time at all would mean for ever to the client, so it becomes the shortest.
fn connect_timeout(seconds: c_int) -> Duration {
    match u64::try_from(seconds) {
        Ok(seconds @ 1..) => Duration::from_secs(seconds),
        _ => Duration::from_millis(1),
    }
}

/// # Safety
/// As [`ptr::text`].
unsafe fn text<'a>(p: *const c_char) -> Result<Option<&'a str>, c_int> {
    // SAFETY: as the caller promises.
    unsafe { ptr::text(p) }.map_err(|ptr::BadUtf8| MQTTCLIENT_BAD_UTF8_STRING)
}

/// The strings of a list.
///
/// # Errors
/// `MQTTCLIENT_NULL_PARAMETER`, `MQTTCLIENT_BAD_UTF8_STRING`.
///
/// # Safety
/// The list has `count` entries, which are NULL or end with NUL.
pub(crate) unsafe fn texts<'a>(
    list: *const *mut c_char,
    count: c_int,
) -> Result<Vec<&'a str>, c_int> {
    // SAFETY: as the caller promises.
    let list = unsafe { ptr::slice(list, count) }.ok_or(MQTTCLIENT_NULL_PARAMETER)?;
    list.iter()
        // SAFETY: as the caller promises.
        .map(|&entry| unsafe { text(entry) }?.ok_or(MQTTCLIENT_NULL_PARAMETER))
        .collect()
}

/// A copy of bytes with a length; `None` for NULL.
///
/// # Safety
/// As [`ptr::slice`].
unsafe fn binary(len: c_int, data: *const std::ffi::c_void) -> Result<Option<Vec<u8>>, c_int> {
    if data.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    let bytes = unsafe { ptr::slice(data.cast::<u8>(), len) };
    bytes
        .map(|bytes| Some(bytes.to_vec()))
        .ok_or(MQTTCLIENT_BAD_MQTT_OPTION)
}
