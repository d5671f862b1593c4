//! How connections and sessions end, for whatever reason.

use super::arena::NONE;
use super::connection::Stage;
use super::events::{ClientEvent, Departure};
use super::explain::words_for;
use super::meter::Way;
use super::out::{ConnId, Out};
use super::session::NEVER_EXPIRES;
use super::shard::Shard;
use super::timers::Due;
use crate::codec::{Disconnect, Packet, PacketType, Properties, PropertyId};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::weight::Weight;

/// What a client is told that may no longer be here.
const EXPIRED: &str = "what let this client in has expired";

impl Shard {
    /// When to call [`handle_timeout`](Self::handle_timeout); it may be early. `None`: nothing is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.links.timers.next_deadline()
    }

    /// Ends what is overdue: silent connections, those that never sent CONNECT, sessions that
    /// expired; and publishes wills and delayed messages whose time has come.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Out) {
        while let Some(due) = self.links.timers.poll(now) {
            match due {
                Due::Connection(id) => self.connection_due(id, now, out),
                Due::Session(slot) => self.session_due(slot, now, out),
                Due::Delayed => self.delayed_due(now, out),
                Due::Journal => self.links.journal_due(now),
            }
        }
    }

    /// Ends the connection of a client with a reason code; false when it has none here. Its session
    /// stays as long as its expiry says.
    pub fn disconnect(
        &mut self,
        client_id: &str,
        reason: ReasonCode,
        now: Time,
        out: &mut Out,
    ) -> bool {
        let Some(slot) = self.find_session(client_id) else {
            return false;
        };
        let id = self.links.sessions[slot].conn;
        if id == NONE {
            return false;
        }
        self.end(id, reason, words_for(reason), now, out);
        true
    }

    /// Ends a connection with a reason code that DISCONNECT may carry: a client that has been let in
    /// and knows the packet is told. Its session stays as long as its expiry says, its will is
    /// published as after any end that is not the client's own wish [MQTT-3.1.2-8].
    pub fn end_connection(&mut self, conn: ConnId, reason: ReasonCode, now: Time, out: &mut Out) {
        if self.links.conns.get(conn.0).is_some() {
            self.end(conn.0, reason, words_for(reason), now, out);
        }
    }

    /// The client of this connection is known to be this user, whatever name it sent: it waits for its
    /// admission, and the driver knows by other means.
    pub fn set_user(&mut self, conn: ConnId, user: Box<str>) {
        if let Some(conn) = self.links.conns.get_mut(conn.0) {
            conn.user = Some(user);
        }
    }

    /// The client identifier of a connection that CONNACK has let in.
    #[must_use]
    pub fn connected_client(&self, conn: ConnId) -> Option<&str> {
        let session = self.links.conns.get(conn.0)?.session;
        Some(&self.links.sessions.get(session)?.client_id)
    }

    /// The server stops: every client is told [`ReasonCode::SERVER_SHUTTING_DOWN`] and put into
    /// [`Out::closing`].
    pub fn shutdown(&mut self, now: Time, out: &mut Out) {
        let all: Vec<u32> = self.links.conns.iter().map(|(id, _)| id).collect();
        // Wills first, while there is still somebody to get them.
        for id in &all {
            let session = self.links.conns[*id].session;
            let delayed = |will: &super::will::StoredWill| will.delay > 0;
            let known = self.links.sessions.get(session);
            if known.is_some_and(|session| {
                session.expiry == 0 || !session.will.as_deref().is_some_and(delayed)
            }) {
                self.publish_will(session, now, out);
            }
        }
        let reason = ReasonCode::SERVER_SHUTTING_DOWN;
        for id in all {
            self.end(id, reason, words_for(reason), now, out);
        }
    }

    pub(super) fn handle_disconnect(
        &mut self,
        id: u32,
        disconnect: &Disconnect<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let slot = self.links.conns[id].session;
        let session = &mut self.links.sessions[slot];
        let expiry = disconnect
            .properties
            .number(PropertyId::SessionExpiryInterval);
        if let Some(expiry) = expiry {
            if session.expiry == 0 && expiry != 0 {
                return Err(PeerError::protocol(
                    "Session Expiry Interval in DISCONNECT after 0 in CONNECT",
                ));
            }
            session.expiry = expiry.min(self.links.limits.session_expiry);
        }
        if disconnect.reason == ReasonCode::NORMAL_DISCONNECTION {
            self.links.set_will(slot, None); // [MQTT-3.14.4-3]
        }
        self.detach(id, Departure::Own(disconnect.reason), "", now, out);
        self.close(id, out);
        Ok(())
    }

    /// The peer broke the protocol: says so where the version has words for it, and closes.
    pub(super) fn fail(&mut self, id: u32, error: PeerError, now: Time, out: &mut Out) {
        self.end(id, error.reason, error.what, now, out);
    }

    /// Ends a connection from this side. `what` explains the reason to the client.
    pub(super) fn end(
        &mut self,
        id: u32,
        reason: ReasonCode,
        what: &str,
        now: Time,
        out: &mut Out,
    ) {
        match self.links.conns[id].stage {
            Stage::Closing => return,
            // [MQTT-3.14.0-1]: no DISCONNECT before CONNACK.
            Stage::Opened | Stage::Admission | Stage::Authenticating => {
                self.links.stats.count_ending(reason);
                if self.tells && reason != ReasonCode::SERVER_SHUTTING_DOWN {
                    self.tell_refused(id, None, reason, what, out);
                }
            }
            Stage::Connected => {
                self.say_goodbye(id, reason, what, out);
                self.detach(id, Departure::Ended(reason), what, now, out);
            }
        }
        self.close(id, out);
    }

    /// DISCONNECT with a reason, to clients that know of it.
    pub(super) fn say_goodbye(&mut self, id: u32, reason: ReasonCode, what: &str, out: &mut Out) {
        self.links.stats.count_ending(reason);
        // A second CONNECT of an unknown version is an error that only CONNACK has a word for.
        let reason = match reason.allowed_in(PacketType::Disconnect) {
            true => reason,
            false => ReasonCode::PROTOCOL_ERROR,
        };
        if self.links.conns[id].version.is_v5() {
            let [all, most] = self.last_words(id, reason, what);
            let words = [all.get(), most.get(), Properties::EMPTY];
            let packets =
                words.map(|properties| Packet::Disconnect(Disconnect { reason, properties }));
            // Too large for a client that takes less than 3 bytes: then without.
            let _ = self.send_first(id, packets, out);
        }
    }

    /// Reads and writes nothing more, and asks for the socket to be closed.
    pub(super) fn close(&mut self, id: u32, out: &mut Out) {
        let conn = &mut self.links.conns[id];
        if conn.stage != Stage::Closing {
            conn.stage = Stage::Closing;
            (conn.early, conn.auth, conn.held) = (None, None, None);
            conn.standing = None;
            self.links.stats.alias_bytes -= conn.alias_bytes() as u64;
            (conn.aliases, conn.naming) = (None, None);
            conn.frames = crate::codec::FrameBuffer::default();
            if std::mem::take(&mut conn.gated) {
                // It has not been let in, so there is nothing to say.
                let unsaid = conn.outbound.take();
                unsaid
                    .into_iter()
                    .for_each(|buffer| self.links.pool.give(buffer));
            }
            out.closing.push(ConnId(id));
            self.links.count_input(id);
        }
    }

    /// Parts a connection from its session; nothing is decided about either.
    pub(super) fn unlink(
        &mut self,
        id: u32,
        departure: Departure,
        what: &str,
        now: Time,
        out: &mut Out,
    ) -> Option<u32> {
        if self.tells {
            self.tell_disconnected(id, departure, what, out);
        }
        let conn = &mut self.links.conns[id];
        let slot = std::mem::replace(&mut conn.session, NONE);
        let names = conn.name_bytes();
        let session = self.links.sessions.get_mut(slot)?;
        session.conn = NONE;
        session.window.disconnected();
        let conn = &self.links.conns[id];
        if let Some(meter) = &conn.meter {
            let (who, most) = (
                (session.origin, conn.listener),
                self.links.limits.rate_debts,
            );
            self.debts
                .keep(who, meter, now, most, &mut self.links.stats);
        }
        self.links.stats.connected -= 1;
        self.links.stats.name_bytes -= names as u64;
        Some(slot)
    }

    /// The connection of a session is over: the will is published or waits for its delay, the session
    /// ends or waits for its expiry.
    pub(super) fn detach(
        &mut self,
        id: u32,
        departure: Departure,
        what: &str,
        now: Time,
        out: &mut Out,
    ) {
        let Some(slot) = self.unlink(id, departure, what, now, out) else {
            return;
        };
        let session = &mut self.links.sessions[slot];
        if session.expiry == 0 {
            self.remove_session(slot, true, now, out);
            return;
        }
        session.ends_at = match session.expiry {
            NEVER_EXPIRES => Time::NEVER,
            seconds => now.after_seconds(seconds.into()),
        };
        match session.will.as_deref_mut() {
            None => {}
            Some(will) if will.delay == 0 => self.publish_will(slot, now, out),
            Some(will) => will.due = now.after_seconds(will.delay.into()),
        }
        self.links.rest(slot);
        self.links.touch(slot);
        self.tell_presence(slot, out);
        self.arm_session(slot);
    }

    /// Ends a session with all it has. `for_good`: nobody takes its place at once, so the directory
    /// is told.
    pub(super) fn remove_session(&mut self, slot: u32, for_good: bool, now: Time, out: &mut Out) {
        if self.links.is_durable(slot) {
            self.release_all_filters(slot, out);
            let client_id = self.links.sessions[slot].client_id.clone();
            self.links.tell_ended(client_id, out);
        }
        let session = &mut self.links.sessions[slot];
        let filters = std::mem::take(&mut session.filters);
        let timer = session.timer.take();
        self.links.timers.cancel(timer);
        // Its own will is not for it: it has no subscriptions any more.
        for filter in &filters {
            self.index.remove(*filter, slot, None);
        }
        self.links.stats.subscriptions -= filters.len() as u64;
        self.leave_all(slot, out);
        self.free_all_claims(slot, out);
        // The will of a session goes out at its end at the latest [MQTT-3.1.2-8].
        self.publish_will(slot, now, out);
        let hash = self.hash(&self.links.sessions[slot].client_id);
        if let Ok(entry) = self.clients.find_entry(hash, |known| *known == slot) {
            entry.remove();
        }
        let Some(mut session) = self.links.sessions.remove(slot) else {
            return;
        };
        let stats = &mut self.links.stats;
        stats.sessions -= 1;
        stats.name_bytes -= session.client_id.len() as u64;
        stats.filter_bytes -= session.filter_bytes as u64;
        stats.inflight_bytes -= session.inflight_bytes as u64;
        for parcel in session.queue.take() {
            stats.queued -= 1;
            stats.queued_bytes -= parcel.weight() as u64;
            let counters = &mut session.counters;
            counters.count_dropped(stats, |dropped| &mut dropped.session_ended);
        }
        self.links.ended.add(&session.counters.get());
        if self.tells {
            let client_id = session.client_id.clone();
            if let Some(dropped) = session.counters.take_dropped() {
                let client_id = client_id.clone();
                out.told.push(ClientEvent::Dropped { client_id, dropped });
            }
            let expired = session.ends_at <= now;
            out.told
                .push(ClientEvent::SessionEnded { client_id, expired });
        }
        if for_good {
            out.ended.push(session.client_id);
        }
    }

    /// Ends a session whose end is nothing that happens: the store is not told, and its will is nobody's.
    pub(super) fn remove_untold(&mut self, slot: u32, for_good: bool, now: Time, out: &mut Out) {
        if self.links.is_durable(slot) {
            self.release_all_filters(slot, out);
        }
        if let Some(kept) = &mut self.links.sessions[slot].kept {
            kept.durable = false;
        }
        self.links.set_will(slot, None);
        self.remove_session(slot, for_good, now, out);
    }

    /// Forgets a connection whose socket is closed.
    pub(super) fn forget(&mut self, id: u32) {
        if let Some(conn) = self.links.conns.get_mut(id) {
            (conn.early, conn.held) = (None, None);
            conn.frames = crate::codec::FrameBuffer::default();
            self.links.count_input(id);
        }
        if let Some(mut conn) = self.links.conns.remove(id) {
            self.links.stats.alias_bytes -= conn.alias_bytes() as u64;
            self.links.timers.cancel(conn.timer.take());
            self.links.stats.connections -= 1;
            if let Some(buffer) = conn.outbound.take() {
                self.links.pool.give(buffer);
            }
        }
    }

    fn connection_due(&mut self, id: u32, now: Time, out: &mut Out) {
        let Some(conn) = self.links.conns.get_mut(id) else {
            return;
        };
        conn.timer = None;
        let over =
            conn.stage == Stage::Connected && conn.granted_until().is_some_and(|at| at <= now);
        if over {
            return self.end(id, ReasonCode::NOT_AUTHORIZED, EXPIRED, now, out);
        }
        self.rates_due(id, now, out);
        let Some(conn) = self.links.conns.get_mut(id) else {
            return;
        };
        match conn.deadline(&self.links.limits) {
            // [MQTT-3.1.2-22]
            Some(at) if at <= now => {
                let reason = ReasonCode::KEEP_ALIVE_TIMEOUT;
                self.end(id, reason, words_for(reason), now, out);
            }
            _ => self.arm(id),
        }
    }

    /// A rate may allow again what it held back.
    fn rates_due(&mut self, id: u32, now: Time, out: &mut Out) {
        let conn = &mut self.links.conns[id];
        let (session, stage) = (conn.session, conn.stage);
        let Some(meter) = conn
            .meter
            .as_deref_mut()
            .filter(|_| stage == Stage::Connected)
        else {
            return;
        };
        let mut opens =
            |way| meter.until(way).is_some_and(|at| at <= now) && meter.is_open(way, now);
        let (reads, writes) = (opens(Way::In), opens(Way::Out));
        if reads {
            conn.last_packet = now;
        }
        if writes {
            self.links.refill(session, now, out);
            self.ask_for_retained(session, out);
            self.report_load(session, out);
        }
        if reads {
            out.resumed.push(ConnId(id));
            self.resume(ConnId(id), now, out);
        }
    }

    /// The session of a client that comes at `now`. What is due of it is done first: a client may come with the
    /// mail of a late turn, before the timers of that turn.
    pub(super) fn find_alive(&mut self, client_id: &str, now: Time, out: &mut Out) -> Option<u32> {
        let slot = self.find_session(client_id)?;
        let session = &mut self.links.sessions[slot];
        if session.deadline().is_none_or(|at| at > now) {
            return Some(slot);
        }
        let timer = session.timer.take();
        self.links.timers.cancel(timer);
        self.session_due(slot, now, out);
        self.find_session(client_id)
    }

    fn session_due(&mut self, slot: u32, now: Time, out: &mut Out) {
        let Some(session) = self.links.sessions.get_mut(slot) else {
            return;
        };
        session.timer = None;
        if session.ends_at <= now {
            self.links.stats.sessions_expired += 1;
            self.remove_session(slot, true, now, out);
            return;
        }
        if session.will_at() <= now {
            self.publish_will(slot, now, out);
        }
        self.arm_session(slot);
    }
}
