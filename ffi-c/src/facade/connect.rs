//! Connecting and disconnecting.

use std::ffi::{CString, c_char, c_int};
use std::time::{Duration, Instant};

use ternmq_client::link::Status;
use ternmq_client::{ConnectError, ConnectOptions, Scheme, Target};
use ternmq_protocol::client as session;
use ternmq_protocol::codec::{Properties, PropertiesBuf};
use ternmq_protocol::{ProtocolVersion, ReasonCode};

use super::{Client, Code};
use crate::reconnect::refusal;
use crate::signals;
use crate::tls::{self, TlsRequest};
use crate::types::client::*;

/// How long a connection may take to close after its DISCONNECT was written.
const CLOSING: Duration = Duration::from_secs(6);

/// How an attempt to connect has ended.
pub(super) enum Attempt {
    Connected(session::Connected),
    Failed(ConnectError),
}

/// A connection that was made.
pub(crate) struct Established {
    /// The server, without scheme. Valid until the next connect or the end of the client.
    pub(crate) server: *const c_char,
    pub(crate) version: c_int,
    pub(crate) session_present: bool,
    pub(crate) properties: PropertiesBuf,
}

/// Why there is no connection: a return code, or what CONNACK said.
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) properties: PropertiesBuf,
}

impl Client {
    /// Connects to the first server that accepts. An existing connection is ended first.
    ///
    /// # Errors
    /// What the last server said, or `MQTTCLIENT_FAILURE`.
    pub(crate) fn connect(
        &self,
        mut options: ConnectOptions,
        tls: Option<TlsRequest>,
    ) -> Result<Established, Refused> {
        let Ok(_connecting) = self.connecting.try_lock() else {
            return Err(MQTTCLIENT_FAILURE.into());
        };
        // In a child made by fork, the first look at the link starts its network thread.
        signals::blocked(|| self.link.is_connected());
        self.disconnect(Instant::now(), ReasonCode::SUCCESS, Properties::EMPTY)?;
        options.session.acknowledge = self.acknowledge_mode();
        let mut listener = None;
        if let Some(request) = tls {
            listener = request.listener;
            let built = request.options.and_then(|asked| self.tls.client(asked));
            options.tls = Some(built.map_err(|error| self.refused(listener, error.into()))?);
        }
        options.websocket.deflate = self.compression.get();
        self.prepare_reconnect(&mut options);
        if let Some(outbox) = self.outbox.get() {
            outbox.apply(&mut options.session);
        }
        self.await_answer(true);
        let result = self.try_servers(&options, listener);
        self.await_answer(false);
        result
    }

    /// Ends the connection, after waiting until the deadline for what is in flight. Does nothing
    /// without a connection.
    ///
    /// # Errors
    /// `MQTTCLIENT_BAD_MQTT_OPTION` when the DISCONNECT can't be written so.
    pub(crate) fn disconnect(
        &self,
        deadline: Instant,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), Code> {
        self.link.wait(Some(deadline), |link| {
            let done = !link.is_connected() || (link.pending() == 0 && link.is_flushed());
            done.then_some(())
        });
        self.link
            .disconnect(reason, properties)
            .map_err(|_| MQTTCLIENT_BAD_MQTT_OPTION)?;
        let is_closed = |link: &mut ternmq_client::link::State<'_>| {
            (link.status() == Status::Closed).then_some(())
        };
        if self
            .link
            .wait(Some(Instant::now() + CLOSING), is_closed)
            .is_none()
        {
            self.link.close();
            self.link.wait(None, is_closed);
        }
        Ok(())
    }

    fn try_servers(
        &self,
        options: &ConnectOptions,
        listener: Option<tls::Listener>,
    ) -> Result<Established, Refused> {
        let mut last = MQTTCLIENT_FAILURE.into();
        for target in &options.endpoints {
            match self.try_server(options, target) {
                Ok(connected) => {
                    if self.reconnects() {
                        // Made again by itself, it may be at any of them.
                        let all = options.endpoints.clone();
                        self.link.reconfigure(|current| current.endpoints = all);
                    }
                    return Ok(self.established(target, connected));
                }
                Err(error) => last = self.refused(listener, error),
            }
        }
        Err(last)
    }

    fn try_server(
        &self,
        options: &ConnectOptions,
        target: &Target,
    ) -> Result<session::Connected, ConnectError> {
        let session = &options.session;
        let version = session.version;
        if let Some(store) = &self.store {
            let tells_of_session = version != ProtocolVersion::V3_1;
            store.connecting(self.store_begins_anew(session), tells_of_session);
        }
        let mut state = self.lock();
        (state.attempting, state.attempt) = (false, None);
        state.aliases.clear();
        state.clean_start = session.clean_start;
        drop(state);
        self.link.reconfigure(|current| {
            *current = options.clone();
            current.endpoints = vec![target.clone()];
        });
        self.link.connect()?;
        let mut state = self.lock();
        loop {
            match state.attempt.take() {
                Some(Attempt::Connected(connected)) => return Ok(connected),
                Some(Attempt::Failed(error)) => return Err(error),
                // The link ends every attempt by itself, in the time that the options give.
                None => state = self.wait(state, None).0,
            }
        }
    }

    fn established(&self, target: &Target, connected: session::Connected) -> Established {
        let server = match target {
            Target::Server(endpoint) if endpoint.scheme == Scheme::Unix => endpoint.path.clone(),
            Target::Server(endpoint) => endpoint.authority(),
            Target::InProcess(_) => String::new(),
        };
        let version = self.link.session(|_, session| session.options().version);
        let mut state = self.lock();
        state.returned = CString::new(server).unwrap_or_default();
        Established {
            server: state.returned.as_ptr(),
            version: version.level().into(),
            session_present: connected.session_present,
            properties: connected.properties,
        }
    }

    fn refused(&self, listener: Option<tls::Listener>, error: ConnectError) -> Refused {
        tls::tell(listener, &error);
        let code = refusal(&error, self.is_v5);
        match error {
            ConnectError::Refused { properties, .. } => Refused { code, properties },
            _ => code.into(),
        }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self {
            code,
            properties: PropertiesBuf::default(),
        }
    }
}
