//! Connecting, connecting again, disconnecting, and what becomes of it.

use std::ffi::{CStr, CString, c_int};
use std::sync::atomic::Ordering;
use std::time::Duration;

use ternmq_client::link::{State, Status};
use ternmq_client::{ConnectError, ConnectOptions};
use ternmq_protocol::client::{Cause, Connected};
use ternmq_protocol::codec::{PacketType, PropertiesBuf};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::inbound::Inbound;
use super::outcome::{Failure, Response, Success};
use super::{Callbacks, Client, Code};
use crate::callback::{Callback, with_list};
use crate::inbox::Report;
use crate::options::nonblocking::ConnectRequest;
use crate::reconnect::{Change, refusal};
use crate::signals;
use crate::tls::{self, TlsRequest};
use crate::types::async_::*;
use crate::types::client::{Bytes, MQTTClient_connectReturned};
use crate::{alloc, ptr};

/// How a connection is to end.
pub(crate) struct Farewell {
    /// How long what is in flight may take.
    pub(crate) patience: Duration,
    pub(crate) reason: ReasonCode,
    pub(crate) properties: PropertiesBuf,
    pub(crate) response: Response,
}

/// A connect that waits until the connection before it is closed.
pub(super) struct Next {
    options: Box<ConnectOptions>,
    pub(super) response: Response,
}

impl Client {
    /// Begins to connect.
    ///
    /// # Errors
    /// `MQTTASYNC_COMMAND_IGNORED` while an attempt goes on, or the wait before a disconnect;
    /// `MQTTASYNC_FAILURE` when the library's threads can't be started.
    pub(crate) fn connect(&self, mut request: ConnectRequest) -> Result<(), Code> {
        self.restore()?;
        // In a child made by fork, the first look at the link starts its network thread.
        let (status, is_closing) = signals::blocked(|| self.status());
        let response = std::mem::take(&mut request.response);
        let is_v5 = request.options.session.version.is_v5();
        if status != Status::Connecting
            && let Err(error) = self.prepare_layers(&mut request)
        {
            // As with Paho the call is right, and the connection fails.
            self.lock().unprepared.push((response, error));
            self.strand.schedule();
            return Ok(());
        }
        let mut state = self.lock();
        match status {
            Status::Connecting => return Err(MQTTASYNC_COMMAND_IGNORED),
            Status::Connected if is_closing => {
                self.is_v5.store(is_v5, Ordering::Relaxed);
                let options = state.note_connect(request, &self.server_name);
                let options = Box::new(options);
                let before = state.next.replace(Next { options, response });
                drop(state);
                if let Some(Next { response, .. }) = before {
                    response.fail_with(0, MQTTASYNC_OPERATION_INCOMPLETE);
                }
                return self.begin_next_if_closed();
            }
            Status::Connected if !state.disconnects.is_empty() => {
                return Err(MQTTASYNC_COMMAND_IGNORED);
            }
            Status::Connected => {
                // What is connected stays so; the options count for the next time.
                let options = state.note_connect(request, &self.server_name);
                state.already.push(response);
                drop(state);
                let options = self.completed(options);
                self.link.reconfigure(|current| *current = options);
                self.strand.schedule();
                return Ok(());
            }
            Status::Closed | Status::Waiting => {}
        }
        self.is_v5.store(is_v5, Ordering::Relaxed);
        let options = state.note_connect(request, &self.server_name);
        state.aliases.clear();
        drop(state);
        self.begin(options, Some(response))
    }

    /// What the link is doing, and whether its connection is about to be closed, at one moment.
    fn status(&self) -> (Status, bool) {
        let look = |link: &mut State<'_>| Some((link.status(), link.is_closing()));
        // It is looked at once, and seen at once.
        self.link
            .wait(None, look)
            .unwrap_or((Status::Closed, false))
    }

    /// Begins what waits for the end of a connection, where that end has come and been told of before
    /// anything waited for it.
    fn begin_next_if_closed(&self) -> Result<(), Code> {
        if self.link.status() != Status::Closed {
            return Ok(());
        }
        let next = self.lock().next.take();
        next.map_or(Ok(()), |next| {
            self.begin(*next.options, Some(next.response))
        })
    }

    /// Completes the options with what is set on the handle, and where servers are reached by TLS.
    fn prepare_layers(&self, request: &mut ConnectRequest) -> Result<(), ConnectError> {
        request.options.websocket.deflate = self.compression.get();
        let Some(TlsRequest { options, listener }) = request.tls.take() else {
            return Ok(());
        };
        self.lock().tls_listener = listener;
        let built = options.and_then(|asked| self.tls.client(asked));
        request.options.tls = Some(built?);
        Ok(())
    }

    /// Connects again as the last time, or ends the wait for an automatic reconnection. Only
    /// `connected` tells of it.
    ///
    /// # Errors
    /// `MQTTASYNC_FAILURE` when there was no connect, or the application has disconnected what
    /// reconnects by itself.
    pub(crate) fn reconnect(&self) -> Result<(), Code> {
        let state = self.lock();
        if state.automatic && !state.wanted {
            return Err(MQTTASYNC_FAILURE);
        }
        let options = state.last.clone().ok_or(MQTTASYNC_FAILURE)?;
        drop(state);
        match signals::blocked(|| self.link.status()) {
            Status::Connected | Status::Connecting => Ok(()),
            Status::Waiting => self.link.connect().map_err(|_| MQTTASYNC_FAILURE),
            Status::Closed => {
                self.lock().wanted = true;
                self.begin(*options, None)
            }
        }
    }

    /// Ends the connection, once what is in flight is complete or the patience is over. Ends automatic
    /// reconnection in any case.
    ///
    /// # Errors
    /// `MQTTASYNC_DISCONNECTED` without a connection, `MQTTASYNC_BAD_MQTT_OPTION` when the DISCONNECT
    /// can't be written so.
    pub(crate) fn disconnect(&self, farewell: Farewell) -> Result<(), Code> {
        let mut state = self.lock();
        state.wanted = false;
        let attempts = state.connects.len() + usize::from(state.next.is_some());
        drop(state);
        self.link.reconfigure(|options| options.reconnect = None);
        if !self.is_connected() {
            // An attempt that the application waits for goes on, and tells how it ends.
            if self.link.status() != Status::Connected && attempts == 0 {
                self.link.close();
            }
            return Err(MQTTASYNC_DISCONNECTED);
        }
        self.lock().disconnects.push(farewell.response);
        let properties = farewell.properties.get();
        let ended = self
            .link
            .disconnect_when_done(farewell.patience, farewell.reason, properties);
        let code = match ended {
            Ok(true) => return Ok(()),
            Ok(false) => MQTTASYNC_DISCONNECTED,
            Err(_) => MQTTASYNC_BAD_MQTT_OPTION,
        };
        // If the connection was lost meanwhile, that has been told as the end that was asked for.
        match self.lock().disconnects.pop() {
            Some(_) => Err(code),
            None => Ok(()),
        }
    }

    /// An attempt begins with these options, for somebody who waits for its end or nobody.
    fn begin(&self, options: ConnectOptions, response: Option<Response>) -> Result<(), Code> {
        if let Some(store) = &self.store {
            let tells_of_session = options.session.version != ProtocolVersion::V3_1;
            store.connecting(options.session.clean_start, tells_of_session);
        }
        let options = self.completed(options);
        self.link.reconfigure(|current| *current = options);
        let note = || self.lock().connects.extend(response);
        self.link.connect_noted(note).map_err(|error| match error {
            ConnectError::Busy => MQTTASYNC_COMMAND_IGNORED,
            _ => MQTTASYNC_FAILURE,
        })
    }

    /// Tells of a connection.
    pub(super) fn tell_connected(&self, inbound: &mut Inbound, connected: &Connected) {
        let mut state = self.lock();
        let callbacks = state.callbacks;
        let attempting = std::mem::take(&mut inbound.attempting);
        let by_itself = !attempting || state.connects.is_empty();
        let response = match by_itself {
            true => Response::default(),
            false => state.connects.remove(0),
        };
        drop(state);
        self.tell_established(&response, connected.session_present, &connected.properties);
        if let Some(Callback { function, context }) = callbacks.connected {
            let cause: &CStr = match response.wants_success() {
                true => c"connect onSuccess called",
                false => c"automatic reconnect",
            };
            // SAFETY: the application registered the function for this; it does not write the text,
            // whatever the type says.
            unsafe { function(context, cause.as_ptr().cast_mut()) };
        }
        if by_itself {
            let session_present = connected.session_present;
            self.tell_change(&Change::Back { session_present });
        }
        if self.has_ended() {
            return;
        }
        let session_present = connected.session_present;
        self.report(Report::Connected { session_present });
        if !session_present {
            self.session_lost(inbound);
        }
        self.use_leftover(inbound);
    }

    /// Tells of connects that have ended before an attempt: what was connected already, what could not
    /// be tried.
    pub(super) fn tell_already(&self) {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.already);
        let unprepared = std::mem::take(&mut state.unprepared);
        let listener = state.tls_listener;
        drop(state);
        for (response, error) in unprepared {
            tls::tell(listener, &error);
            self.tell_failed(&response, &error);
        }
        for response in waiting {
            self.tell_established(&response, false, &PropertiesBuf::default());
        }
    }

    fn tell_established(&self, response: &Response, present: bool, properties: &PropertiesBuf) {
        if !response.wants_success() {
            return;
        }
        let endpoint = self.link.endpoint();
        let version = self.link.session(|_, session| session.options().version);
        let name = endpoint.and_then(|at| self.lock().names.get(at).cloned());
        let name = name.unwrap_or_default();
        let returned = MQTTClient_connectReturned {
            serverURI: name.as_ptr().cast_mut(),
            MQTTVersion: version.level().into(),
            sessionPresent: present.into(),
        };
        let success = Success::Connected(returned);
        response.succeed(0, ReasonCode::SUCCESS, properties, &success);
    }

    /// Tells of an attempt that has failed: of TLS in any case, of the end if the application waits for it.
    pub(super) fn tell_connect_failed(
        &self,
        inbound: &mut Inbound,
        error: ConnectError,
        retry: Option<Duration>,
    ) {
        let mut state = self.lock();
        let listener = state.tls_listener;
        // One that was given up before another was asked for is not the end of that.
        let attempting = std::mem::take(&mut inbound.attempting);
        let awaited = attempting && !state.connects.is_empty();
        let response = awaited.then(|| state.connects.remove(0));
        drop(state);
        tls::tell(listener, &error);
        let awaited = response.is_some();
        self.tell_failed(&response.unwrap_or_default(), &error);
        if !awaited && !matches!(error, ConnectError::Cancelled) {
            self.tell_change(&Change::AttemptFailed { error, retry });
        }
    }

    fn tell_failed(&self, response: &Response, error: &ConnectError) {
        let message = CString::new(error.to_string()).unwrap_or_default();
        let nothing = PropertiesBuf::default();
        let mut failure = Failure {
            token: 0,
            code: MQTTASYNC_FAILURE,
            reason: ReasonCode::SUCCESS,
            packet: None,
            properties: &nothing,
            message: Some(&message),
        };
        if let ConnectError::Refused { reason, properties } = error {
            failure.code = refusal(error, self.is_v5());
            failure.reason = *reason;
            failure.packet = Some(PacketType::ConnAck);
            failure.properties = properties;
        }
        response.fail(&failure);
        let (code, reason) = (failure.code, failure.reason);
        self.report(Report::ConnectFailed { code, reason });
    }

    /// Tells of the end of a connection.
    pub(super) fn tell_disconnected(
        &self,
        cause: Cause,
        reason: ReasonCode,
        properties: &PropertiesBuf,
        retry: Option<Duration>,
    ) {
        let mut state = self.lock();
        state.losses += 1;
        let callbacks = state.callbacks;
        let asked = std::mem::take(&mut state.disconnects);
        let next = state.next.take();
        drop(state);
        self.completed.notify_all();
        for response in &asked {
            let nothing = PropertiesBuf::default();
            response.succeed(0, ReasonCode::SUCCESS, &nothing, &Success::Nothing);
        }
        let own = cause == Cause::Local || !asked.is_empty();
        if own {
            self.report(Report::Closed);
        } else if !self.has_ended() {
            tell_loss(&callbacks, cause, reason, properties);
            self.tell_polled_loss(cause, reason, properties);
            self.tell_change(&Change::Lost {
                cause,
                reason,
                retry,
            });
        }
        let Some(Next { options, response }) = next else {
            return;
        };
        if self.has_ended() {
            response.fail_with(0, MQTTASYNC_OPERATION_INCOMPLETE);
        } else if self.begin(*options, Some(response)).is_err() {
            self.tell_failed(&response, &ConnectError::Busy);
        }
    }

    /// Asks the application for new credentials, and begins the attempt that is due.
    pub(super) fn tell_retry_due(&self) {
        let update = self.lock().callbacks.update;
        if let Some(Callback { function, context }) = update {
            let (user_name, password) = self.link.session(|_, session| {
                let options = session.options();
                (options.user_name.clone(), options.password.clone())
            });
            let user_name = user_name.and_then(|name| CString::new(name).ok());
            let mut data = MQTTAsync_connectData {
                struct_id: b"MQCD".map(|byte| byte as std::ffi::c_char),
                struct_version: 0,
                username: user_name.as_ref().map_or(std::ptr::null(), |n| n.as_ptr()),
                binarypwd: Bytes {
                    len: password.as_ref().map_or(0, |p| p.len() as c_int),
                    data: password
                        .as_ref()
                        .map_or(std::ptr::null(), |p| p.as_ptr().cast()),
                },
            };
            let given = data;
            // SAFETY: the application registered the function for this; the data is valid during the
            // call.
            let changed = unsafe { function(context, &raw mut data) } != 0;
            if changed {
                // SAFETY: what was put in place of ours came from MQTTAsync_malloc.
                let credentials = unsafe { Credentials::taken(&data, &given) };
                self.link.reconfigure(|options| credentials.set(options));
                if let Some(last) = &mut self.lock().last {
                    credentials.set(last);
                }
            }
        }
        // Somebody may have been faster, or have given up.
        if self.link.status() == Status::Waiting {
            let _ = self.link.connect();
        }
    }

    /// Waits until there is something to tell, or a while has passed.
    pub(super) fn wait_for_events(&self, patience: Duration) {
        let deadline = std::time::Instant::now() + patience;
        self.link.wait(Some(deadline), |link| {
            (link.has_events() || self.has_ended()).then_some(())
        });
    }
}

/// Tells of the end of a connection that the application has not asked for: by `disconnected` where the
/// server has said so and somebody listens, else as a loss.
fn tell_loss(callbacks: &Callbacks, cause: Cause, reason: ReasonCode, properties: &PropertiesBuf) {
    if let (Cause::Server, Some(told)) = (cause, callbacks.disconnected) {
        with_list(properties, |list| {
            // SAFETY: the application registered the function for this; the list is valid during the
            // call.
            unsafe { (told.function)(told.context, list, reason.0.into()) };
        });
    } else if let Some(lost) = callbacks.lost {
        // SAFETY: the application registered the function for this.
        unsafe { (lost.function)(lost.context, std::ptr::null_mut()) };
    }
}

/// What the application has put into `MQTTAsync_connectData`; `None` for what it left alone.
struct Credentials {
    user_name: Option<Option<String>>,
    password: Option<Option<Vec<u8>>>,
}

impl Credentials {
    /// Copies and releases what is new.
    ///
    /// # Safety
    /// What differs between the two came from `malloc`, and is as the struct says.
    unsafe fn taken(data: &MQTTAsync_connectData, given: &MQTTAsync_connectData) -> Self {
        let mut result = Self {
            user_name: None,
            password: None,
        };
        // SAFETY: as the caller promises.
        unsafe {
            if data.username != given.username {
                let text = ptr::string(data.username);
                result.user_name = Some(text.map(|t| String::from_utf8_lossy(t).into_owned()));
                alloc::free(data.username.cast_mut());
            }
            if data.binarypwd.data != given.binarypwd.data {
                let bytes = ptr::slice(data.binarypwd.data.cast::<u8>(), data.binarypwd.len);
                let is_set = !data.binarypwd.data.is_null();
                result.password = Some(bytes.filter(|_| is_set).map(<[u8]>::to_vec));
                alloc::free(data.binarypwd.data.cast_mut());
            }
        }
        result
    }

    fn set(&self, options: &mut ConnectOptions) {
        if let Some(user_name) = &self.user_name {
            options.session.user_name.clone_from(user_name);
        }
        if let Some(password) = &self.password {
            options.session.password.clone_from(password);
        }
    }
}
