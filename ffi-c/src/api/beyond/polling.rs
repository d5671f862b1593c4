//! `ternmq.h`: a file descriptor to poll in place of callbacks.

use std::ffi::{c_int, c_void};

use libc::size_t;
use ternmq_protocol::{ReasonCode, Time};

use crate::api::client::code;
use crate::api::either::{Either, either};
use crate::boundary::guard;
use crate::inbox::{Limits, Report, Upcall};
use crate::types::beyond::*;
use crate::types::client::*;
use crate::{message, ptr};

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_fd(handle: *mut c_void) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let fd = either(handle).and_then(|client| match client {
            Either::Blocking(client) => client.poll(),
            Either::NonBlocking(client) => client.poll(),
        });
        fd.unwrap_or_else(|code| code)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn ternmq_set_event_limits(
    handle: *mut c_void,
    events: size_t,
    bytes: size_t,
) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let set = || {
            let client = either(handle)?;
            if events == 0 || bytes == 0 {
                return Err(MQTTCLIENT_BAD_MQTT_OPTION);
            }
            let limits = Limits {
                items: events,
                bytes,
            };
            match client {
                Either::Blocking(client) => client.set_limits(limits),
                Either::NonBlocking(client) => client.set_limits(limits),
            }
        };
        code(set())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ternmq_next(handle: *mut c_void, event: *mut ternmq_event) -> c_int {
    guard(MQTTCLIENT_FAILURE, || {
        let next = || {
            if event.is_null() {
                return Err(MQTTCLIENT_NULL_PARAMETER);
            }
            // SAFETY: C passes a struct that the library or the initializer has made, if its identifier
            // and version say so.
            let event = unsafe {
                ptr::struct_version(event, b"TQEV", 0).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
                &mut *event
            };
            // SAFETY: as above.
            drop(unsafe { event.message.take() });
            *event = ternmq_event {
                struct_id: event.struct_id,
                ..ternmq_event::NOTHING
            };
            let client = either(handle)?;
            let (upcall, now): (_, &dyn Fn() -> Time) = match &client {
                Either::Blocking(client) => (client.next()?, &|| client.now()),
                Either::NonBlocking(client) => (client.next()?, &|| client.now()),
            };
            if let Some(upcall) = upcall {
                event.tell(upcall, now);
            }
            Ok(())
        };
        code(next())
    })
}

impl ternmq_event {
    const NOTHING: Self = Self {
        struct_id: [0; 4],
        struct_version: 0,
        r#type: TERNMQ_NOTHING,
        token: 0,
        reason: 0,
        code: 0,
        session_present: 0,
        message: ternmq_message::EMPTY,
    };

    /// Puts into an empty event what happened.
    fn tell(&mut self, upcall: Upcall, now: impl FnOnce() -> Time) {
        let of = |reason: ReasonCode| c_int::from(reason.0);
        match upcall {
            Upcall::Message(incoming) => {
                self.r#type = TERNMQ_MESSAGE;
                self.message = message::share(incoming, now);
            }
            Upcall::Published { token, reason, .. } => {
                self.r#type = TERNMQ_DELIVERED;
                (self.token, self.reason) = (token.0.into(), of(reason));
            }
            Upcall::Lost => self.r#type = TERNMQ_LOST,
            Upcall::Disconnected { reason, .. } => {
                (self.r#type, self.reason) = (TERNMQ_DISCONNECTED, of(reason));
            }
            // From before the application began to poll.
            Upcall::Changed(_) => {}
            Upcall::Polled(report) => self.report(report),
        }
    }

    fn report(&mut self, report: Report) {
        let of = |reason: ReasonCode| c_int::from(reason.0);
        match report {
            Report::Connected { session_present } => {
                self.r#type = TERNMQ_CONNECTED;
                self.session_present = session_present.into();
            }
            Report::ConnectFailed { code, reason } => {
                self.r#type = TERNMQ_CONNECT_FAILED;
                (self.code, self.reason) = (code, of(reason));
            }
            Report::Closed => self.r#type = TERNMQ_CLOSED,
            Report::Dropped { token, code } => {
                self.r#type = TERNMQ_DROPPED;
                (self.token, self.code) = (token.0.into(), code);
            }
            Report::Subscribed { token, reason } => {
                self.r#type = TERNMQ_SUBSCRIBED;
                (self.token, self.reason) = (token.0.into(), of(reason));
            }
            Report::Unsubscribed { token, reason } => {
                self.r#type = TERNMQ_UNSUBSCRIBED;
                (self.token, self.reason) = (token.0.into(), of(reason));
            }
        }
    }
}
