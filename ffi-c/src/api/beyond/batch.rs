//! `ternmq.h`: publishing several messages in one go.

use std::ffi::{c_int, c_void};

use libc::size_t;
use ternmq_protocol::Message;
use ternmq_protocol::client::Token;

use crate::api::either::{Either, either};
use crate::boundary::guard;
use crate::outgoing::{Given, Outgoing};
use crate::types::beyond::*;
use crate::types::client::*;
use crate::{ptr, sized};

/// Messages that go with one lock: so many that it costs nothing for each, and so few that neither the
/// copies of all nor the wait of others grow with what a program hands over.
const TOGETHER: usize = 1024;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_publish_batch(
    handle: *mut c_void,
    messages: *mut ternmq_publication,
    count: size_t,
    accepted: *mut size_t,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let mut done = 0;
        // SAFETY: C passes NULL or that many structs.
        let result = unsafe { publish(handle, messages, count, &mut done) };
        // SAFETY: C passes NULL or the address of a number.
        unsafe { ptr::put(accepted, done) };
        result.err().unwrap_or(MQTTCLIENT_SUCCESS)
    })
}

/// # Safety
/// `messages` is NULL or leads to `count` structs.
unsafe fn publish(
    handle: *mut c_void,
    messages: *mut ternmq_publication,
    count: usize,
    done: &mut usize,
) -> Result<(), c_int> {
    let client = either(handle)?;
    if count == 0 {
        return Ok(());
    }
    if messages.is_null() {
        return Err(MQTTCLIENT_NULL_PARAMETER);
    }
    // SAFETY: as the caller promises.
    let size = unsafe { sized::size(messages) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
    let (mut prepared, mut tokens, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    while *done < count {
        prepared.clear();
        tokens.clear();
        // SAFETY: as the caller promises; the structs are as large as the first one says, or the first
        // that is not ends it.
        unsafe {
            let first = sized::element(messages, *done, size);
            let wrong = (0..TOGETHER.min(count - *done)).try_for_each(|at| {
                let message = sized::element(first, at, size);
                prepared.push(prepare(&client, message, size, &mut scratch)?);
                Ok(())
            });
            let refused = publish_together(&client, &prepared, &mut tokens);
            for (at, token) in tokens.iter().enumerate() {
                let message = sized::element(first, at, size);
                ptr::put(&raw mut (*message).token, token.0.into());
            }
            *done += tokens.len();
            refused.and(wrong)?;
        }
    }
    Ok(())
}

fn publish_together(
    client: &Either,
    messages: &[Message],
    tokens: &mut Vec<Token>,
) -> Result<(), c_int> {
    match client {
        Either::Blocking(client) => client.publish_batch(messages, tokens),
        Either::NonBlocking(client) => client.send_batch(messages, tokens),
    }
}

/// # Safety
/// `p` leads to a size, and to a struct of `size` bytes if it is that.
unsafe fn prepare(
    client: &Either,
    p: *const ternmq_publication,
    size: usize,
    scratch: &mut Vec<u8>,
) -> Result<Message, c_int> {
    let is_v5 = match client {
        Either::Blocking(client) => client.is_v5,
        Either::NonBlocking(client) => client.is_v5(),
    };
    // SAFETY: as the caller promises.
    let outgoing: Outgoing<'_> = unsafe {
        let publication = sized::read(p)
            .filter(|publication| publication.struct_size == size)
            .ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
        let given = Given {
            topic: publication.topic,
            payloadlen: c_int::try_from(publication.payload_len).map_err(|_| MQTTCLIENT_FAILURE)?,
            payload: publication.payload,
            qos: publication.qos,
            retained: publication.retained,
            properties: publication.properties,
        };
        given.read(is_v5)?
    };
    match client {
        Either::Blocking(client) => client.prepare(&outgoing, scratch),
        Either::NonBlocking(client) => client.prepare(&outgoing, scratch),
    }
}
