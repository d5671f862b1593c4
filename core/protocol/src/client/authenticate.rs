//! Enhanced authentication (section 4.12): the session carries it, the user knows the method.

use super::{ClientSession, Event, RequestRefused, State};
use crate::codec::{Auth, Packet, Properties, PropertiesBuf, PropertyId, Value};
use crate::error::{EncodeError, PeerError};
use crate::reason::ReasonCode;
use crate::time::Time;

/// How far authentication is on one connection.
#[derive(Debug, Default)]
pub(super) struct Authentication {
    /// The method that CONNECT named.
    method: Option<Box<str>>,
    /// An exchange is going on: before CONNACK, or after our request to authenticate anew.
    open: bool,
}

impl Authentication {
    pub(super) fn new(method: Option<&str>) -> Self {
        Self {
            open: method.is_some(),
            method: method.map(Box::from),
        }
    }

    /// CONNACK accepted the connection. [MQTT-4.12.0-5]: it names the same method.
    pub(super) fn accepted(&mut self, properties: Properties<'_>) -> Result<(), PeerError> {
        self.open = false;
        match self.method {
            None => Ok(()),
            Some(_) => self.check_method(properties),
        }
    }

    /// AUTH came in, which must be one that continues or ends an exchange.
    fn answered(&mut self, connected: bool, auth: Auth<'_>) -> Result<(), PeerError> {
        if self.method.is_none() {
            return Err(PeerError::protocol("AUTH without an authentication method"));
        }
        // Success without any property may be left out as a whole (section 3.15.2.1).
        let short = auth.reason == ReasonCode::SUCCESS && auth.properties.is_empty();
        if !short {
            self.check_method(auth.properties)?;
        }
        match auth.reason {
            _ if !self.open => Err(PeerError::protocol("AUTH that nobody asked for")),
            ReasonCode::CONTINUE_AUTHENTICATION => Ok(()),
            ReasonCode::SUCCESS if connected => {
                self.open = false;
                Ok(())
            }
            _ => Err(PeerError::protocol("AUTH with a reason code out of turn")),
        }
    }

    fn check_method(&self, properties: Properties<'_>) -> Result<(), PeerError> {
        match properties.text(PropertyId::AuthenticationMethod) == self.method.as_deref() {
            true => Ok(()),
            false => Err(PeerError::protocol("another authentication method")),
        }
    }
}

impl ClientSession {
    /// Sends AUTH: [`ReasonCode::CONTINUE_AUTHENTICATION`] to answer an
    /// [`Event::Authenticate`], [`ReasonCode::RE_AUTHENTICATE`] to begin
    /// anew on an accepted connection. The method of CONNECT is added where it is missing.
    ///
    /// # Errors
    /// Nothing was sent: no connection; CONNECT named no method [MQTT-4.12.0-7]; the reason code is
    /// not its turn; the properties name another method or are none of AUTH.
    pub fn authenticate(
        &mut self,
        now: Time,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), RequestRefused> {
        if !matches!(self.state, State::Connecting | State::Connected) {
            return Err(RequestRefused::NotConnected);
        }
        let invalid = |what| RequestRefused::Encode(EncodeError::Invalid(what));
        let connected = self.state == State::Connected;
        let authentication = &mut self.link.authentication;
        let Some(method) = authentication.method.as_deref() else {
            return Err(invalid("CONNECT named no authentication method"));
        };
        match reason {
            ReasonCode::CONTINUE_AUTHENTICATION if authentication.open => {}
            ReasonCode::RE_AUTHENTICATE if connected && !authentication.open => {}
            _ => return Err(invalid("AUTH with this reason code is out of turn")),
        }
        let mut all = PropertiesBuf::from(properties);
        match properties.text(PropertyId::AuthenticationMethod) {
            Some(named) if named != method => {
                return Err(invalid("another authentication method than in CONNECT"));
            }
            Some(_) => {}
            None => {
                all.push(PropertyId::AuthenticationMethod, Value::Utf8String(method))?;
            }
        }
        let properties = all.get();
        self.write_request(now, &Packet::Auth(Auth { reason, properties }))?;
        self.link.authentication.open = true;
        Ok(())
    }

    pub(super) fn auth(&mut self, auth: Auth<'_>) -> Result<(), PeerError> {
        let connected = self.state == State::Connected;
        self.link.authentication.answered(connected, auth)?;
        self.events.push_back(Event::Authenticate {
            reason: auth.reason,
            properties: auth.properties.into(),
        });
        Ok(())
    }
}
