//! Subscribing and unsubscribing: a request and the wait for its answer.

use std::sync::MutexGuard;
use std::time::Instant;

use ternmq_protocol::client::{RequestRefused, Token};
use ternmq_protocol::codec::{Properties, Request};

use super::{Answer, Client, Code, State};
use crate::inbox::Upcall;
use crate::types::client::*;

impl Client {
    /// Subscribes and waits for the answer.
    ///
    /// # Errors
    /// `MQTTCLIENT_DISCONNECTED` without a connection, `MQTTCLIENT_FAILURE` when the request can't be
    /// sent or no answer comes within the command timeout.
    pub(crate) fn subscribe(
        &self,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) -> Result<Answer, Code> {
        self.request(|client| client.link.subscribe(requests, properties))
    }

    /// Unsubscribes and waits for the answer.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub(crate) fn unsubscribe(
        &self,
        filters: &[&str],
        properties: Properties<'_>,
    ) -> Result<Answer, Code> {
        self.request(|client| client.link.unsubscribe(filters, properties))
    }

    fn request(
        &self,
        send: impl FnOnce(&Self) -> Result<Token, RequestRefused>,
    ) -> Result<Answer, Code> {
        let deadline = Instant::now() + self.lock().command_timeout;
        self.await_answer(true);
        let answer = match send(self) {
            Ok(token) => self.answer(token, deadline),
            Err(RequestRefused::NotConnected) => Err(MQTTCLIENT_DISCONNECTED),
            Err(RequestRefused::NoPacketId) => Err(MQTTCLIENT_MAX_MESSAGES_INFLIGHT),
            Err(_) => Err(MQTTCLIENT_FAILURE),
        };
        self.await_answer(false);
        answer
    }

    /// A server that does not answer is left, as with Paho: the application is told that the connection is
    /// lost.
    fn give_up_connection(&self, mut state: MutexGuard<'_, State>) {
        if state.connected && state.wants_lost() {
            state.inbox.push(Upcall::Lost);
        }
        drop(state);
        self.link.renew();
        self.schedule_callbacks();
    }

    fn answer(&self, token: Token, deadline: Instant) -> Result<Answer, Code> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = state.requests.take(token) {
                return answer.ok_or(MQTTCLIENT_FAILURE);
            }
            let in_time;
            (state, in_time) = self.wait(state, Some(deadline));
            if !in_time {
                state.requests.abandon(token);
                self.give_up_connection(state);
                return Err(MQTTCLIENT_FAILURE);
            }
        }
    }
}
