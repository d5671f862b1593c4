//! What clients are told, held against what they may expect.

use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{Cause, DropReason, Event, Token};

use crate::intake::is_exclusive;
use crate::peer::Pending;
use crate::world::World;

impl World {
    /// All events of a client.
    pub(crate) fn take_events(&mut self, number: usize) -> Result<(), String> {
        let link = self.peers[number].link;
        self.take_events_of(number, link)
    }

    /// All events of a client whose connection is, or was, this link.
    pub(crate) fn take_events_of(
        &mut self,
        number: usize,
        link: Option<usize>,
    ) -> Result<(), String> {
        let epoch = link.map_or(0, |link| self.links[link].epoch);
        while let Some(event) = self.peers[number].session.poll_event() {
            self.take_event(number, epoch, link, event)
                .map_err(|error| format!("client {number}: {error}"))?;
        }
        Ok(())
    }

    fn take_event(
        &mut self,
        number: usize,
        epoch: u64,
        link: Option<usize>,
        event: Event,
    ) -> Result<(), String> {
        self.trace
            .line(self.now, format_args!("client {number}: {event:?}"));
        let step = self.step;
        match event {
            Event::Connected(connected) => {
                let fresh = link.is_some_and(|link| !self.links[link].present);
                if connected.session_present && fresh {
                    return Err("Session Present where there was none".into());
                }
                if !fresh && self.peers[number].epoch != epoch {
                    self.ledger.blur(epoch);
                }
                self.peers[number].epoch = epoch;
                Ok(())
            }
            Event::Message(incoming) => {
                if let Some(collected) = &mut self.peers[number].collected
                    && incoming.retain
                {
                    let note = crate::ledger::note_of(incoming.message.payload());
                    let topic = incoming.message.topic().to_owned();
                    collected.push((topic, note.unwrap_or(u32::MAX)));
                }
                self.ledger.arrive(epoch, &incoming)
            }
            Event::Published { token, reason, .. } => self.answered(number, token, reason),
            Event::Subscribed { token, codes, .. } => self.granted(number, epoch, token, &codes),
            Event::Unsubscribed { token, .. } => {
                let Some(Pending::Unsubscribe(filters)) =
                    self.peers[number].pending.remove(&token.0)
                else {
                    return Err(format!("UNSUBACK for {token:?}"));
                };
                for filter in filters {
                    self.ledger.unsubscribed(epoch, &filter, step);
                }
                Ok(())
            }
            Event::Dropped { token, why } => self.dropped(number, token.0, why),
            Event::Disconnected { cause, reason, .. } => check_ending(cause, reason),
            Event::Refused { reason, .. } => Err(format!("refused: {reason:?}")),
            Event::Authenticate { .. }
            | Event::Progress(_)
            | Event::Sent { .. }
            | Event::NotSent { .. } => Err("an event out of place".into()),
        }
    }

    /// A server has answered a PUBLISH for the last time.
    fn answered(&mut self, number: usize, token: Token, reason: ReasonCode) -> Result<(), String> {
        match self.peers[number].pending.remove(&token.0) {
            // The answer to a PUBREL that is sent again: the first PUBCOMP was lost.
            Some(Pending::Publish(note))
                if !reason.is_error() || reason == ReasonCode::PACKET_IDENTIFIER_NOT_FOUND =>
            {
                self.completed(note)
            }
            // More were to be published later than the server takes.
            Some(Pending::Publish(note))
                if reason == ReasonCode::QUOTA_EXCEEDED
                    && self.ledger.note(note)?.delay.is_some() =>
            {
                Ok(())
            }
            other => Err(format!("{token:?} {reason:?} for {other:?}")),
        }
    }

    fn granted(
        &mut self,
        number: usize,
        epoch: u64,
        token: Token,
        codes: &[ReasonCode],
    ) -> Result<(), String> {
        let pending = self.peers[number].pending.remove(&token.0);
        let Some(Pending::Subscribe(records)) = pending else {
            return Err(format!("SUBACK for {token:?}, {pending:?}"));
        };
        for ((at, qos, filter), code) in records.into_iter().zip(codes) {
            if is_exclusive(&filter) && code.is_error() {
                self.ledger.refused(epoch, at, self.step);
                continue;
            }
            if code.0 != qos as u8 {
                return Err(format!("{code:?} granted for {qos:?}"));
            }
            self.ledger.subscribed(epoch, at, self.step);
        }
        Ok(())
    }

    fn completed(&mut self, note: u32) -> Result<(), String> {
        let note = self.ledger.note(note)?;
        match note.accepted.max(note.delayed) == 0 && note.len > 0 {
            true => Err(format!("{note:?} is complete and was never accepted")),
            false => Ok(()),
        }
    }

    fn dropped(&mut self, number: usize, token: u16, why: DropReason) -> Result<(), String> {
        match (self.peers[number].pending.remove(&token), why) {
            (Some(Pending::Publish(note)), DropReason::Expired)
                if self.ledger.note(note)?.expiry.is_some() =>
            {
                self.ledger.withdraw(note);
                Ok(())
            }
            (Some(Pending::Subscribe(_) | Pending::Unsubscribe(_)), DropReason::ConnectionLost) => {
                Ok(())
            }
            (other, why) => Err(format!("{other:?} dropped: {why:?}")),
        }
    }

    /// The server has lost the session: what was under way may have arrived, and comes again.
    pub(crate) fn lose_session(&mut self, number: usize) {
        for pending in self.peers[number].pending.values() {
            if let Pending::Publish(note) = pending {
                self.ledger.notes[*note as usize].republished = true;
            }
        }
    }
}

/// Neither side may ever find the other one breaking a rule.
fn check_ending(cause: Cause, reason: ReasonCode) -> Result<(), String> {
    match cause {
        Cause::Local | Cause::Lost | Cause::Timeout(_) => Ok(()),
        Cause::Server
            if matches!(
                reason,
                ReasonCode::SESSION_TAKEN_OVER | ReasonCode::KEEP_ALIVE_TIMEOUT
            ) =>
        {
            Ok(())
        }
        cause => Err(format!("ended by {cause:?}, {reason:?}")),
    }
}
