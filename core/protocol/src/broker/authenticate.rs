//! Enhanced authentication (3.15, 4.12): the shard carries the exchange, the driver knows the method.
//!
//! The exchange comes before everything else: only a client that is through with it asks for
//! admission, so that it is over before its connection moves to another shard, and its last words
//! move along.

use super::connect::admit_request;
use super::connection::Stage;
use super::explain::words_for;
use super::out::{AuthAnswer, AuthRequest, ConnId, Out};
use super::shard::Shard;
use crate::codec::{Auth, Connect, Frame, Packet, PropertiesBuf, PropertyId, Value};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::time::Time;

/// How far one connection is, from a CONNECT with an Authentication Method to its end.
pub(super) struct Authentication {
    /// What CONNECT named; the same in every AUTH [MQTT-4.12.0-5].
    method: Box<str>,
    turn: Turn,
    /// Who it is: what the last exchange has shown.
    user: Option<Box<str>>,
    /// The last words of an exchange that CONNACK still has to say.
    data: Box<[u8]>,
}

/// Who has the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The driver has what the client said last.
    Driver,
    /// The client has been asked.
    Client,
    /// No exchange is going on.
    Nobody,
}

impl Authentication {
    /// Whether the client has shown who it is, and nothing is open.
    pub(super) fn is_done(&self) -> bool {
        self.turn == Turn::Nobody
    }

    /// Who it is, once that has been shown.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What CONNACK says of it [MQTT-4.12.0-5].
    pub(super) fn take_words(&mut self, properties: &mut PropertiesBuf) {
        push(properties, &self.method, &std::mem::take(&mut self.data));
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The data may be a secret.
        f.debug_struct("Authentication")
            .field("method", &self.method)
            .field("turn", &self.turn)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Goes on with an exchange: the answer to an [`AuthRequest`].
    ///
    /// Before CONNACK a success asks for admission ([`Out::admissions`]), afterwards it is told by
    /// AUTH; what the client sent on meanwhile is handled at once. Nothing happens when the
    /// connection is gone or nobody asked.
    pub fn authenticate(&mut self, conn: ConnId, now: Time, answer: AuthAnswer, out: &mut Out) {
        let id = conn.0;
        let Some(connection) = self.links.conns.get_mut(id) else {
            return;
        };
        let stage = connection.stage;
        let Some(auth) = &mut connection.auth else {
            return;
        };
        if auth.turn != Turn::Driver {
            return;
        }
        match answer {
            AuthAnswer::Continue(data) => {
                auth.turn = Turn::Client;
                self.send_auth(id, ReasonCode::CONTINUE_AUTHENTICATION, &data, now, out);
                self.hear_early(id, now, out);
            }
            AuthAnswer::Success { user, data } => {
                auth.turn = Turn::Nobody;
                auth.user = Some(user);
                self.links.stats.authentications += 1;
                if stage == Stage::Connected {
                    self.send_auth(id, ReasonCode::SUCCESS, &data, now, out);
                } else {
                    auth.data = data;
                    self.ask_for_admission(id, out);
                }
            }
            AuthAnswer::Failure(reason) => {
                self.links.stats.authentications_failed += 1;
                match stage {
                    // [MQTT-4.12.1-2]
                    Stage::Connected => {
                        let reason = failure(reason);
                        self.end(id, reason, words_for(reason), now, out);
                    }
                    // [MQTT-4.12.0-4]
                    _ => self.refuse_with(id, reason, out),
                }
            }
        }
    }

    /// A CONNECT names a method: the driver has to know it.
    pub(super) fn begin_authentication(&mut self, id: u32, connect: &Connect<'_>, out: &mut Out) {
        let method = connect.properties.text(PropertyId::AuthenticationMethod);
        let conn = &mut self.links.conns[id];
        conn.auth = Some(Box::new(Authentication {
            method: method.unwrap_or_default().into(),
            turn: Turn::Driver,
            user: None,
            data: Box::default(),
        }));
        let data = connect.properties.binary(PropertyId::AuthenticationData);
        self.ask_driver(id, true, data, out);
    }

    /// A packet between CONNECT and CONNACK, when it is the client's turn [MQTT-3.1.2-30].
    pub(super) fn handle_unadmitted(
        &mut self,
        id: u32,
        frame: Frame<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let version = self.links.conns[id].version;
        let handled = match Packet::decode(frame, version) {
            Ok(Packet::Auth(auth)) => self.handle_auth(id, &auth, out),
            Ok(Packet::Disconnect(_)) => {
                self.close(id, out);
                return Ok(());
            }
            Ok(_) => Err(PeerError::protocol(
                "neither AUTH nor DISCONNECT before CONNACK",
            )),
            Err(error) => Err(error),
        };
        match handled {
            // What follows waits for the answer.
            Ok(()) => self.links.conns[id].stage = Stage::Admission,
            Err(error) => self.refuse_broken(id, error, out),
        }
        handled
    }

    /// AUTH: the next step of an exchange, or the first one of a new one on an accepted connection.
    pub(super) fn handle_auth(
        &mut self,
        id: u32,
        auth: &Auth<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let most = self.links.limits.auth_data;
        let conn = &mut self.links.conns[id];
        let Some(state) = &mut conn.auth else {
            // [MQTT-4.12.0-7]
            return Err(PeerError::protocol("AUTH without an authentication method"));
        };
        let method = auth.properties.text(PropertyId::AuthenticationMethod);
        if method != Some(&*state.method) {
            return Err(PeerError::protocol("another authentication method"));
        }
        let begins = match (auth.reason, state.turn) {
            (ReasonCode::CONTINUE_AUTHENTICATION, Turn::Client) => false,
            (ReasonCode::RE_AUTHENTICATE, Turn::Nobody) => true,
            _ => return Err(PeerError::protocol("AUTH with a reason code out of turn")),
        };
        let data = auth.properties.binary(PropertyId::AuthenticationData);
        check_data(data, most)?;
        state.turn = Turn::Driver;
        self.ask_driver(id, begins, data, out);
        Ok(())
    }

    fn ask_driver(&mut self, id: u32, begins: bool, data: Option<&[u8]>, out: &mut Out) {
        let conn = &self.links.conns[id];
        let Some(auth) = &conn.auth else {
            return;
        };
        out.authentications.push(AuthRequest {
            conn: ConnId(id),
            listener: conn.listener,
            begins,
            user: auth.user.clone(),
            method: auth.method.clone(),
            data: data.unwrap_or_default().into(),
        });
    }

    fn ask_for_admission(&mut self, id: u32, out: &mut Out) {
        let conn = &self.links.conns[id];
        let (Some(early), Some(auth)) = (&conn.early, &conn.auth) else {
            return;
        };
        // It was read once already, when it came in.
        let Ok(connect) = Connect::decode(&early.connect) else {
            return self.refuse_with(id, ReasonCode::UNSPECIFIED_ERROR, out);
        };
        let mut request = admit_request(id, conn, &connect, &early.client_id);
        request.authenticated = true;
        request.user_name.clone_from(&auth.user);
        request.password = None;
        out.admissions.push(request);
    }

    /// AUTH of the server [MQTT-4.12.0-2]. A client that does not take one of its size can't go on.
    fn send_auth(&mut self, id: u32, reason: ReasonCode, data: &[u8], now: Time, out: &mut Out) {
        let conn = &self.links.conns[id];
        let Some(auth) = &conn.auth else {
            return;
        };
        let mut properties = PropertiesBuf::default();
        push(&mut properties, &auth.method, data);
        let packet = Packet::Auth(Auth {
            reason,
            properties: properties.get(),
        });
        let connected = conn.stage == Stage::Connected;
        match self.send(id, &packet, out) {
            Ok(()) => {}
            Err(error) if connected => self.end(id, error.reason, error.what, now, out),
            Err(error) => self.refuse(id, ReasonCode::UNSPECIFIED_ERROR, error.what, out),
        }
    }

    /// It is the client's turn before CONNACK: what it has sent on already is its answer.
    fn hear_early(&mut self, id: u32, now: Time, out: &mut Out) {
        let conn = &mut self.links.conns[id];
        if conn.stage != Stage::Admission {
            return;
        }
        conn.stage = Stage::Authenticating;
        let early = conn.early.as_mut().map(|early| &mut early.input);
        let input = early.map(std::mem::take).unwrap_or_default();
        self.links.count_input(id);
        if !input.is_empty() {
            self.handle_input(ConnId(id), now, &input, out);
        }
    }
}

/// Whether Authentication Data is within its limit.
pub(super) fn check_data(data: Option<&[u8]>, most: usize) -> Result<(), PeerError> {
    if data.is_some_and(|data| data.len() > most) {
        return Err(PeerError::new(
            ReasonCode::QUOTA_EXCEEDED,
            "Authentication Data exceeds its limit",
        ));
    }
    Ok(())
}

/// A reason for which DISCONNECT may end a connection.
fn failure(reason: ReasonCode) -> ReasonCode {
    let fits = reason.is_error() && reason.allowed_in(crate::codec::PacketType::Disconnect);
    if fits {
        reason
    } else {
        ReasonCode::NOT_AUTHORIZED
    }
}

fn push(properties: &mut PropertiesBuf, method: &str, data: &[u8]) {
    // It came in as this property.
    let _ = properties.push(PropertyId::AuthenticationMethod, Value::Utf8String(method));
    if !data.is_empty() {
        // More than 64 KiB can't be said: the client sees its data missing.
        let _ = properties.push(PropertyId::AuthenticationData, Value::BinaryData(data));
    }
}
