//! Return codes in words.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};

use crate::types::async_ as a;
use crate::types::client as c;

/// The text of a code of `MQTTClient.h`.
pub(crate) fn client_text(code: c_int) -> *const c_char {
    match code {
        c::MQTTCLIENT_BAD_MQTT_VERSION => c"Unknown MQTT version".as_ptr(),
        c::MQTTCLIENT_SSL_NOT_SUPPORTED => TLS_MISSING.as_ptr(),
        _ => common_text(code),
    }
}

/// The text of a code of `MQTTAsync.h`.
pub(crate) fn async_text(code: c_int) -> *const c_char {
    let text = match code {
        a::MQTTASYNC_PERSISTENCE_ERROR => c"The message store failed",
        a::MQTTASYNC_NO_MORE_MSGIDS => c"All packet identifiers are in use",
        a::MQTTASYNC_OPERATION_INCOMPLETE => c"The operation was discarded before its end",
        a::MQTTASYNC_MAX_BUFFERED_MESSAGES => c"The buffer of unsent messages is full",
        a::MQTTASYNC_SSL_NOT_SUPPORTED => TLS_MISSING,
        a::MQTTASYNC_COMMAND_IGNORED => c"A connect or disconnect is under way already",
        a::MQTTASYNC_MAX_BUFFERED => c"maxBufferedMessages must be positive",
        _ => return common_text(code),
    };
    text.as_ptr()
}

const TLS_MISSING: &CStr = c"TLS with pre-shared keys is not supported";

/// The texts of the codes that mean the same in both headers.
fn common_text(code: c_int) -> *const c_char {
    let text = match code {
        c::MQTTCLIENT_SUCCESS => c"Success",
        c::MQTTCLIENT_FAILURE => c"Failure",
        c::MQTTCLIENT_DISCONNECTED => c"Disconnected",
        c::MQTTCLIENT_MAX_MESSAGES_INFLIGHT => c"Too many messages in flight",
        c::MQTTCLIENT_BAD_UTF8_STRING => c"A string is not valid UTF-8",
        c::MQTTCLIENT_NULL_PARAMETER => c"A parameter is NULL",
        c::MQTTCLIENT_TOPICNAME_TRUNCATED => c"The topic name holds a NUL character",
        c::MQTTCLIENT_BAD_STRUCTURE => {
            c"A struct has a wrong struct_id, struct_version or struct_size"
        }
        c::MQTTCLIENT_BAD_QOS => c"The QoS is not 0, 1 or 2",
        c::MQTTCLIENT_BAD_PROTOCOL => c"The scheme of the server URI is not supported",
        c::MQTTCLIENT_BAD_MQTT_OPTION => c"An option does not belong to this MQTT version",
        c::MQTTCLIENT_WRONG_MQTT_VERSION => c"The client was created for another MQTT version",
        c::MQTTCLIENT_0_LEN_WILL_TOPIC => c"The topic of the will message is empty",
        _ => return unknown_text(code),
    };
    text.as_ptr()
}

/// The number of an unknown code, in a buffer of the calling thread.
fn unknown_text(code: c_int) -> *const c_char {
    thread_local! {
        static LAST: RefCell<CString> = RefCell::default();
    }
    let text = CString::new(format!("Unknown error code {code}")).unwrap_or_default();
    LAST.with_borrow_mut(|last| {
        *last = text;
        last.as_ptr()
    })
}
