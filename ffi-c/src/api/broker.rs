//! `ternmq.h`: a broker in the program.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use ternmq_broker::PublishError;
use ternmq_protocol::codec::{Properties, QoS};
use ternmq_protocol::topic::{MAX_TOPIC_LEVELS, TopicName};
use ternmq_protocol::{Message, ReasonCode};

use crate::boundary::guard;
use crate::broker::Embedded;
use crate::callback::Callback;
use crate::handle::{Handles, Kind};
use crate::types::broker::*;
use crate::{process, ptr, sized};

static BROKERS: Handles<Embedded> = Handles::new(Kind::Broker);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_broker_start(
    options: *const ternmq_broker_options,
    broker: *mut *mut c_void,
    error: *mut c_char,
    error_size: usize,
) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        process::prepare();
        // SAFETY: C passes NULL or options that begin with their size, and places for the results.
        let started = unsafe { start(options, broker) };
        let (code, text) = match started {
            Ok(()) => (TERNMQ_BROKER_SUCCESS, String::new()),
            Err(wrong) => wrong,
        };
        // SAFETY: C passes NULL or memory of that size.
        unsafe { write(&text, error, error_size) };
        code
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_broker_port(broker: *mut c_void) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        BROKERS
            .get(broker)
            .map_or(TERNMQ_BROKER_BAD_HANDLE, |b| b.port())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_broker_listener_port(broker: *mut c_void, listener: c_int) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        let Some(broker) = BROKERS.get(broker) else {
            return TERNMQ_BROKER_BAD_HANDLE;
        };
        broker.port_of(listener).unwrap_or_else(|code| code)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_broker_stop(broker: *mut c_void) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        let Some(embedded) = BROKERS.get(broker) else {
            return TERNMQ_BROKER_BAD_HANDLE;
        };
        if embedded.is_inside() {
            return TERNMQ_BROKER_IN_CALLBACK;
        }
        BROKERS.remove(broker);
        embedded.stop()
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_broker_publish(
    broker: *mut c_void,
    topic: *const c_char,
    payload: *const c_void,
    payload_size: usize,
    qos: c_int,
    retain: c_int,
) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        let publish = || {
            let broker = running(broker)?;
            // SAFETY: C passes NULL or a string.
            let topic = unsafe { text(topic) }?;
            let name = TopicName::parse(topic, MAX_TOPIC_LEVELS);
            let qos = u8::try_from(qos).ok().and_then(QoS::from_bits);
            let (Ok(_), Some(qos)) = (name, qos) else {
                return Err(TERNMQ_BROKER_BAD_ARGUMENT);
            };
            let bytes = c_int::try_from(payload_size).map_err(|_| TERNMQ_BROKER_BAD_ARGUMENT)?;
            // SAFETY: C passes so many bytes.
            let payload = unsafe { ptr::slice(payload.cast::<u8>(), bytes) };
            let payload = payload.ok_or(TERNMQ_BROKER_BAD_ARGUMENT)?;
            let (retain, now) = (retain != 0, broker.now());
            let message = Message::new(topic, payload, qos, retain, Properties::EMPTY, now);
            let message = message.map_err(|_| TERNMQ_BROKER_BAD_ARGUMENT)?;
            broker.publish(&message).map_err(|error| match error {
                PublishError::Full => TERNMQ_BROKER_FULL,
                PublishError::Stopped => TERNMQ_BROKER_BAD_HANDLE,
            })
        };
        code(publish())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_broker_subscribe(
    broker: *mut c_void,
    filter: *const c_char,
    retained: c_int,
    arrived: Option<ternmq_broker_arrived>,
    context: *mut c_void,
) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        let subscribe = || {
            let embedded = BROKERS.get(broker).ok_or(TERNMQ_BROKER_BAD_HANDLE)?;
            // SAFETY: C passes NULL or a string.
            let filter = unsafe { text(filter) }?;
            let arrived = Callback::new(arrived, context).ok_or(TERNMQ_BROKER_BAD_ARGUMENT)?;
            embedded.subscribe(filter, retained != 0, arrived)
        };
        code(subscribe())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_broker_kick(
    broker: *mut c_void,
    client_id: *const c_char,
    reason_code: c_int,
) -> c_int {
    guard(TERNMQ_BROKER_FAILURE, || {
        let kick = || {
            let broker = running(broker)?;
            // SAFETY: C passes NULL or a string.
            let client_id = unsafe { text(client_id) }?;
            let reason = match u8::try_from(reason_code) {
                Ok(0) => ReasonCode::ADMINISTRATIVE_ACTION,
                Ok(reason) if reason >= 0x80 => ReasonCode(reason),
                _ => return Err(TERNMQ_BROKER_BAD_ARGUMENT),
            };
            match broker.kick(client_id, reason) {
                true => Ok(()),
                false => Err(TERNMQ_BROKER_NOT_CONNECTED),
            }
        };
        code(kick())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_broker_strerror(code: c_int) -> *const c_char {
    guard(std::ptr::null(), || {
        let text = match code {
            TERNMQ_BROKER_SUCCESS => c"success",
            TERNMQ_BROKER_FAILURE => c"failure inside the library",
            TERNMQ_BROKER_BAD_HANDLE => c"no broker, or one that has been stopped",
            TERNMQ_BROKER_BAD_ARGUMENT => c"an argument that makes no sense",
            TERNMQ_BROKER_BAD_STRUCTURE => c"a struct_size that no version of the struct has",
            TERNMQ_BROKER_NOT_STARTED => c"the broker can't be started",
            TERNMQ_BROKER_FULL => c"a limit of the broker is reached",
            TERNMQ_BROKER_IN_CALLBACK => c"a callback of a broker can't stop it",
            TERNMQ_BROKER_NOT_CONNECTED => c"no such client is connected",
            _ => return std::ptr::null(),
        };
        text.as_ptr()
    })
}

/// # Safety
/// `options` is NULL or leads to options that begin with their size, `broker` is NULL or a place for a
/// handle.
unsafe fn start(
    options: *const ternmq_broker_options,
    broker: *mut *mut c_void,
) -> Result<(), (c_int, String)> {
    let wrong = |text: &str| (TERNMQ_BROKER_BAD_ARGUMENT, text.to_owned());
    if options.is_null() || broker.is_null() {
        return Err(wrong("no options, or no place for the broker"));
    }
    // SAFETY: as the caller promises.
    let options = unsafe {
        sized::read(options).ok_or_else(|| {
            let text = format!("struct_size is {}", ptr::member!(options, struct_size));
            (TERNMQ_BROKER_BAD_STRUCTURE, text)
        })?
    };
    let embedded = Arc::new(Embedded::start(&options)?);
    let Some(handle) = BROKERS.insert(embedded.clone()) else {
        embedded.stop();
        return Err((TERNMQ_BROKER_FULL, "too many brokers".into()));
    };
    // SAFETY: as the caller promises.
    unsafe { ptr::put(broker, handle) };
    Ok(())
}

fn running(broker: *mut c_void) -> Result<Arc<ternmq_broker::Broker>, c_int> {
    BROKERS
        .get(broker)
        .ok_or(TERNMQ_BROKER_BAD_HANDLE)?
        .broker()
}

/// # Safety
/// As [`ptr::text`].
unsafe fn text<'a>(p: *const c_char) -> Result<&'a str, c_int> {
    // SAFETY: as the caller promises.
    let text = unsafe { ptr::text(p) }.ok().flatten();
    text.ok_or(TERNMQ_BROKER_BAD_ARGUMENT)
}

fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(TERNMQ_BROKER_SUCCESS)
}

/// Writes a text with its NUL, as much of it as there is room for.
///
/// # Safety
/// `to` is NULL or leads to `size` bytes.
unsafe fn write(text: &str, to: *mut c_char, size: usize) {
    if to.is_null() || size == 0 {
        return;
    }
    let mut len = text.len().min(size - 1);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    // SAFETY: as the caller promises; `len` and one more are within.
    unsafe {
        to.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), len);
        to.add(len).write(0);
    }
}
