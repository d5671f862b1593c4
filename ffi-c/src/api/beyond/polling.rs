//! `ternmq.h`: a file descriptor to poll in place of callbacks.

use std::ffi::{c_int, c_void};
use std::mem::offset_of;

use libc::size_t;
use ternmq_protocol::{ReasonCode, Time};

use crate::api::client::code;
use crate::api::either::{Either, either};
use crate::boundary::guard;
use crate::inbox::{Limits, Report, Upcall};
use crate::types::beyond::*;
use crate::types::client::*;
use crate::{message, shared, sized};

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
            // SAFETY: C passes a struct that the library or the initializer has made, if its size is right.
            let place = unsafe { Place::new(event) }?;
            // SAFETY: as above.
            drop(unsafe { place.message.take() });
            let mut event = ternmq_event::NOTHING;
            let result = take_next(handle, &mut event);
            // SAFETY: as above.
            unsafe { place.fill(event) };
            result
        };
        code(next())
    })
}

/// Puts into an empty event what happened next, if there is anything.
fn take_next(handle: *mut c_void, event: &mut ternmq_event) -> Result<(), c_int> {
    let client = either(handle)?;
    let (upcall, now): (_, &dyn Fn() -> Time) = match &client {
        Either::Blocking(client) => (client.next()?, &|| client.now()),
        Either::NonBlocking(client) => (client.next()?, &|| client.now()),
    };
    if let Some(upcall) = upcall {
        event.tell(upcall, now);
    }
    Ok(())
}

/// A struct of C's of whatever version.
#[derive(Clone, Copy)]
struct Place {
    event: *mut ternmq_event,
    size: usize,
    message: shared::Place,
}

impl Place {
    /// The struct that C gives, checked.
    ///
    /// # Errors
    /// `MQTTCLIENT_BAD_STRUCTURE`.
    ///
    /// # Safety
    /// `event` leads to its size, and to a struct that the initializer or the library has made if that is
    /// right.
    unsafe fn new(event: *mut ternmq_event) -> Result<Self, c_int> {
        // SAFETY: as the caller promises. Every version has a message in this place.
        unsafe {
            let size = sized::size(event).ok_or(MQTTCLIENT_BAD_STRUCTURE)?;
            let message = shared::Place::new(&raw mut (*event).message)?;
            let room = size - offset_of!(ternmq_event, message);
            let place = Self {
                event,
                size,
                message,
            };
            (message.size() <= room)
                .then_some(place)
                .ok_or(MQTTCLIENT_BAD_STRUCTURE)
        }
    }

    /// Fills in the struct, whose sizes stay as they are.
    ///
    /// # Safety
    /// The struct is there, and its message is empty.
    unsafe fn fill(self, mut event: ternmq_event) {
        event.message.struct_size = self.message.size();
        // SAFETY: as the caller promises.
        unsafe { sized::fill(self.event, self.size, &event) };
    }
}

impl ternmq_event {
    const NOTHING: Self = Self {
        struct_size: size_of::<Self>(),
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
