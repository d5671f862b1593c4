//! What the library says about itself, about return codes and about reason codes.

use std::ffi::{CStr, c_char, c_int};

use crate::boundary::guard;
use crate::errors;
use crate::types::async_::MQTTAsync_nameValue;
use crate::types::client::MQTTClient_nameValue;
use crate::types::properties::MQTTReasonCodes;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a version holds no NUL"),
    };

pub(super) const CLIENT_PRODUCT: &CStr = c"TernMQ blocking MQTT client library";
pub(super) const ASYNC_PRODUCT: &CStr = c"TernMQ non-blocking MQTT client library";

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_version() -> *const c_char {
    VERSION.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_getVersionInfo() -> *mut MQTTClient_nameValue {
    static INFO: VersionInfo = VersionInfo::new(CLIENT_PRODUCT);
    INFO.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_getVersionInfo() -> *mut MQTTAsync_nameValue {
    static INFO: VersionInfo = VersionInfo::new(ASYNC_PRODUCT);
    INFO.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTClient_strerror(code: c_int) -> *const c_char {
    guard(std::ptr::null(), || errors::client_text(code))
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTAsync_strerror(code: c_int) -> *const c_char {
    guard(std::ptr::null(), || errors::async_text(code))
}

#[unsafe(no_mangle)]
pub extern "C" fn MQTTReasonCode_toString(value: MQTTReasonCodes) -> *const c_char {
    guard(std::ptr::null(), || {
        REASONS
            .binary_search_by_key(&value, |row| row.0)
            .map_or(std::ptr::null(), |i| REASONS[i].1.as_ptr())
    })
}

/// What one finds in a binary with `strings`, to tell what it was linked with.
#[used]
static EYECATCHERS: [&str; 2] = [
    concat!("MQTTClientV3_Version ", env!("CARGO_PKG_VERSION")),
    concat!("MQTTAsyncV3_Version ", env!("CARGO_PKG_VERSION")),
];

/// The list that `getVersionInfo` gives out. C sees it as writable, but has no business writing it.
struct VersionInfo([MQTTClient_nameValue; 4]);

// SAFETY: the pointers lead to static texts, which every thread may read.
unsafe impl Sync for VersionInfo {}

impl VersionInfo {
    const fn new(product: &'static CStr) -> Self {
        const fn pair(name: *const c_char, value: *const c_char) -> MQTTClient_nameValue {
            MQTTClient_nameValue { name, value }
        }
        Self([
            pair(c"Product name".as_ptr(), product.as_ptr()),
            pair(c"Version".as_ptr(), VERSION.as_ptr()),
            pair(c"Build level".as_ptr(), VERSION.as_ptr()),
            pair(std::ptr::null(), std::ptr::null()),
        ])
    }

    fn as_ptr(&'static self) -> *mut MQTTClient_nameValue {
        self.0.as_ptr().cast_mut()
    }
}

/// The texts that C programs see, which are those of section 2.4 but for a few capitals. 0 has three
/// meanings and one text.
const REASONS: &[(MQTTReasonCodes, &CStr)] = &[
    (0x00, c"SUCCESS"),
    (0x01, c"Granted QoS 1"),
    (0x02, c"Granted QoS 2"),
    (0x04, c"Disconnect with Will Message"),
    (0x10, c"No matching subscribers"),
    (0x11, c"No subscription found"),
    (0x18, c"Continue authentication"),
    (0x19, c"Re-authenticate"),
    (0x80, c"Unspecified error"),
    (0x81, c"Malformed Packet"),
    (0x82, c"Protocol error"),
    (0x83, c"Implementation specific error"),
    (0x84, c"Unsupported Protocol Version"),
    (0x85, c"Client Identifier not valid"),
    (0x86, c"Bad User Name or Password"),
    (0x87, c"Not authorized"),
    (0x88, c"Server unavailable"),
    (0x89, c"Server busy"),
    (0x8A, c"Banned"),
    (0x8B, c"Server shutting down"),
    (0x8C, c"Bad authentication method"),
    (0x8D, c"Keep Alive timeout"),
    (0x8E, c"Session taken over"),
    (0x8F, c"Topic filter invalid"),
    (0x90, c"Topic name invalid"),
    (0x91, c"Packet Identifier in use"),
    (0x92, c"Packet Identifier not found"),
    (0x93, c"Receive Maximum exceeded"),
    (0x94, c"Topic Alias invalid"),
    (0x95, c"Packet too large"),
    (0x96, c"Message rate too high"),
    (0x97, c"Quota exceeded"),
    (0x98, c"Administrative action"),
    (0x99, c"Payload format invalid"),
    (0x9A, c"Retain not supported"),
    (0x9B, c"QoS not supported"),
    (0x9C, c"Use another server"),
    (0x9D, c"Server moved"),
    (0x9E, c"Shared subscriptions not supported"),
    (0x9F, c"Connection rate exceeded"),
    (0xA0, c"Maximum connect time"),
    (0xA1, c"Subscription Identifiers not supported"),
    (0xA2, c"Wildcard Subscriptions not supported"),
];
