//! The life of a connection: opened, accepted or refused, kept alive, ended.

use super::event::{Connected, Timeout};
use super::link::{Link, ServerLimits};
use super::outbound::InFlight;
use super::{Cause, ClientSession, DropReason, Event, LostSession, RequestRefused, State, Token};
use crate::codec::{
    ConnAck, Disconnect, FrameBuffer, Packet, Properties, PropertiesBuf, PropertyId, Value,
};
use crate::error::{EncodeError, PeerError};
use crate::outbound::Outbound;
use crate::reason::ReasonCode;
use crate::session::alias::AliasesOut;
use crate::session::keepalive::{ClientKeepAlive, KeepAliveAction};
use crate::session::window::Phase;
use crate::time::Time;

/// How long the last bytes of a connection may take, a DISCONNECT usually, in milliseconds.
pub const FLUSH_TIMEOUT_MS: u64 = 5_000;

impl ClientSession {
    /// The transport is open: CONNECT goes into the outbound buffer.
    ///
    /// A transport that is still open counts as closed.
    pub fn handle_open(&mut self, now: Time) {
        if self.state != State::Closed {
            self.handle_closed(now);
        }
        self.link = Link::new(&self.options, now);
        let options = &self.options;
        match self.outbound.append(|out| options.write_connect(out)) {
            Ok(()) => {
                self.stats.packets_sent += 1;
                self.state = State::Connecting;
            }
            Err(error) => {
                self.outbound.clear();
                let cause = Cause::Options(error);
                self.end(now, cause, ReasonCode::UNSPECIFIED_ERROR, Properties::EMPTY);
            }
        }
    }

    /// The transport is gone, or could not be opened. Gives out the connection's last event.
    pub fn handle_closed(&mut self, _now: Time) {
        let requests: Vec<u16> = self
            .window
            .in_order()
            .filter(|(_, _, item)| !item.is_publish())
            .map(|(id, _, _)| id)
            .collect();
        for id in requests {
            self.end_request(id);
            self.drop_operation(Token(id), DropReason::ConnectionLost);
        }
        if self.link.session_ends && self.options.lost_session == LostSession::Drop {
            self.session_lost();
        }
        for note in std::mem::take(&mut self.noted) {
            let why = DropReason::ConnectionLost;
            self.events.push_back(Event::NotSent { note, why });
        }
        self.window.disconnected();
        self.unacknowledged.disconnected();
        self.stats.unsent_bytes += self.outbound.len() as u64;
        self.outbound = Outbound::default();
        self.frames = FrameBuffer::default();
        self.state = State::Closed;
        let lost = || Event::Disconnected {
            cause: Cause::Lost,
            reason: ReasonCode::UNSPECIFIED_ERROR,
            properties: PropertiesBuf::default(),
        };
        let ending = self.link.ending.take().unwrap_or_else(lost);
        self.events.push_back(ending);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None` when nothing waits for time.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Closed => None,
            State::Connecting | State::Closing => {
                Some(self.link.deadline).filter(|at| *at != Time::NEVER)
            }
            State::Connected => self.link.keep_alive.deadline(),
        }
    }

    /// Time has passed: connect timeout, Keep Alive, the end of a flush.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.state {
            State::Closed => {}
            State::Connecting if now >= self.link.deadline => {
                self.give_up(
                    now,
                    Cause::Timeout(Timeout::Connect),
                    ReasonCode::UNSPECIFIED_ERROR,
                );
            }
            State::Closing if now >= self.link.deadline => {
                self.discard_outbound();
                self.link.deadline = Time::NEVER;
            }
            State::Connecting | State::Closing => {}
            State::Connected => self.check_keep_alive(now),
        }
    }

    /// Says whether the driver reads from the transport; at first it does.
    ///
    /// While it does not, the server's silence is no sign of death: PINGREQ goes on, the wait for
    /// its answer does not count.
    pub fn set_reading(&mut self, now: Time, reading: bool) {
        self.link.reading = reading;
        self.link.keep_alive.received(now);
    }

    /// Ends the connection with a DISCONNECT. Messages in the outbox stay there for the next one.
    ///
    /// Before MQTT 5.0 reason and properties are only for the event. To leave the will to the
    /// server there, close the transport instead.
    ///
    /// # Errors
    /// The reason is none that a DISCONNECT may carry, or the properties are not, or they exceed
    /// the server's Maximum Packet Size; nothing has changed then. A plain
    /// [`ReasonCode::NORMAL_DISCONNECTION`] never fails, and does nothing without a connection.
    pub fn disconnect(
        &mut self,
        now: Time,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), RequestRefused> {
        self.check_disconnect(reason, properties)?;
        if matches!(self.state, State::Connecting | State::Connected) {
            self.write_request(now, &Packet::Disconnect(Disconnect { reason, properties }))?;
            if let Some(seconds) = properties.number(PropertyId::SessionExpiryInterval) {
                self.link.session_ends = seconds == 0;
            }
            self.end(now, Cause::Local, reason, Properties::EMPTY);
        }
        Ok(())
    }

    /// What [`disconnect`](Self::disconnect) would say of these arguments, but for the size of the
    /// packet.
    ///
    /// # Errors
    /// As there.
    pub fn check_disconnect(
        &self,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), RequestRefused> {
        let invalid = |what| RequestRefused::Encode(EncodeError::Invalid(what));
        if !client_may_send(reason) {
            return Err(invalid("not a reason code of a client's DISCONNECT"));
        }
        if !self.link.session_expires_later
            && properties.number(PropertyId::SessionExpiryInterval) > Some(0)
        {
            return Err(invalid(
                "a session that ends with the connection can't be prolonged",
            ));
        }
        Ok(())
    }

    /// CONNACK came in.
    pub(super) fn connack(&mut self, now: Time, connack: ConnAck<'_>) -> Result<(), PeerError> {
        if self.state != State::Connecting {
            return Err(PeerError::protocol("a second CONNACK"));
        }
        let ConnAck {
            session_present,
            reason,
            properties,
        } = connack;
        if reason.is_error() {
            self.refused(now, reason, properties);
            return Ok(());
        }
        if session_present && self.link.clean_start {
            // [MQTT-3.2.2-4]
            return Err(PeerError::protocol("Session Present after Clean Start"));
        }
        self.link.authentication.accepted(properties)?;
        self.accept(now, session_present, properties);
        Ok(())
    }

    /// The server does not take the connection.
    pub(super) fn refused(&mut self, now: Time, reason: ReasonCode, properties: Properties<'_>) {
        let properties = properties.into();
        self.close_with(now, Event::Refused { reason, properties });
        self.discard_outbound();
    }

    /// The server broke a rule: DISCONNECT with the reason in MQTT 5.0, a plain close before.
    pub(super) fn fail(&mut self, now: Time, error: PeerError) {
        let reason = match client_may_send(error.reason) {
            true => error.reason,
            false => ReasonCode::PROTOCOL_ERROR,
        };
        if self.link.version.is_v5() {
            let mut why = PropertiesBuf::default();
            let _ = why.push(PropertyId::ReasonString, Value::Utf8String(error.what));
            let properties = why.get();
            let explained = Packet::Disconnect(Disconnect { reason, properties });
            // Without the text where that makes it too large [MQTT-3.14.2-3].
            if self.write_request(now, &explained).is_err() {
                let _ = self.write_request(now, &Packet::Disconnect(Disconnect::new(reason)));
            }
        }
        self.end(now, Cause::Error(error), reason, Properties::EMPTY);
    }

    /// The server said goodbye: there is nobody left to send to.
    pub(super) fn disconnected_by_server(&mut self, now: Time, disconnect: Disconnect<'_>) {
        let Disconnect { reason, properties } = disconnect;
        self.end(now, Cause::Server, reason, properties);
        self.discard_outbound();
    }

    fn accept(&mut self, now: Time, session_present: bool, properties: Properties<'_>) {
        let keep_alive = properties
            .number(PropertyId::ServerKeepAlive)
            .map_or(self.options.keep_alive, |seconds| seconds as u16);
        let assigned = properties
            .text(PropertyId::AssignedClientIdentifier)
            .map(str::to_owned);
        if let Some(client_id) = &assigned {
            self.options.client_id.clone_from(client_id);
        }
        let server = ServerLimits::from_connack(properties);
        let aliases = server
            .topic_alias_maximum
            .min(self.options.max_topic_aliases);
        let quota = server.receive_maximum.min(self.options.max_inflight.max(1));
        if let Some(seconds) = properties.number(PropertyId::SessionExpiryInterval) {
            self.link.session_ends = seconds == 0;
        }
        self.link.keep_alive = ClientKeepAlive::new(keep_alive, self.options.ping_timeout_ms, now);
        self.link.server = server;
        self.link.aliases_out = (aliases > 0).then(|| AliasesOut::new(aliases));
        // MQTT 3.1 has no Session Present: a session that was asked for is taken for present.
        self.link.resumed =
            session_present || (self.link.version.level() == 3 && !self.link.clean_start);
        self.state = State::Connected;
        self.events.push_back(Event::Connected(Connected {
            session_present,
            keep_alive,
            assigned_client_id: assigned,
            properties: properties.into(),
        }));
        if !self.link.resumed {
            self.session_lost();
        }
        self.window.connected(quota);
        self.pump(now);
    }

    /// The server has no session: ours is discarded [MQTT-3.2.2-5], but for messages that are to be
    /// published anew.
    fn session_lost(&mut self) {
        self.received.clear();
        self.unacknowledged.clear();
        if self.options.lost_session == LostSession::Drop {
            self.window.skip_to(0);
        }
        let sent: Vec<(u16, Phase)> = self
            .window
            .in_order()
            .filter(|(_, phase, _)| *phase != Phase::Reserved)
            .map(|(id, phase, _)| (id, phase))
            .collect();
        for (id, phase) in sent {
            if phase == Phase::AwaitPubcomp {
                // The server took the message over with its PUBREC (section 4.3.3).
                let _ = self.window.pubcomp(id);
                self.published(id, ReasonCode::SUCCESS, Properties::EMPTY);
            } else if self.options.lost_session == LostSession::Drop {
                self.drop_sent(id, phase, DropReason::SessionLost);
            }
        }
    }

    fn check_keep_alive(&mut self, now: Time) {
        if !self.link.reading {
            self.link.keep_alive.received(now);
        }
        match self.link.keep_alive.poll(now) {
            KeepAliveAction::Wait => {}
            KeepAliveAction::Ping => {
                self.stats.pings += 1;
                // Without an answer to the one before, the answers can't be told apart: the first counts.
                self.link.ping_sent.get_or_insert(now);
                self.write(now, &Packet::PingReq);
            }
            KeepAliveAction::Dead => {
                self.give_up(
                    now,
                    Cause::Timeout(Timeout::KeepAlive),
                    ReasonCode::KEEP_ALIVE_TIMEOUT,
                );
            }
        }
    }

    /// Ends a connection whose other side does not answer: sending to it is no use.
    fn give_up(&mut self, now: Time, cause: Cause, reason: ReasonCode) {
        self.end(now, cause, reason, Properties::EMPTY);
        self.discard_outbound();
    }

    fn end(&mut self, now: Time, cause: Cause, reason: ReasonCode, properties: Properties<'_>) {
        let properties = properties.into();
        let ending = Event::Disconnected {
            cause,
            reason,
            properties,
        };
        self.close_with(now, ending);
    }

    fn close_with(&mut self, now: Time, ending: Event) {
        self.link.ending = Some(ending);
        self.link.deadline = now.after(FLUSH_TIMEOUT_MS);
        self.state = State::Closing;
    }

    fn discard_outbound(&mut self) {
        self.stats.unsent_bytes += self.outbound.len() as u64;
        self.outbound.clear();
    }

    /// Removes a message whose PUBLISH was sent.
    pub(super) fn drop_sent(&mut self, id: u16, phase: Phase, why: DropReason) {
        let removed: Result<InFlight, _> = match phase {
            Phase::AwaitPuback => self.window.puback(id),
            _ => self.window.pubrec_refused(id),
        };
        debug_assert!(removed.is_ok(), "{id} was not in {phase:?}");
        self.drop_operation(Token(id), why);
    }
}

/// The reason codes that section 3.14.2.1 gives to clients.
fn client_may_send(reason: ReasonCode) -> bool {
    matches!(reason.0, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
}
