//! Messages of the non-blocking client that were accepted and wait to be sent: `c-K`, until each is
//! sent and becomes an `s-N`, or is given up.

use ternmq_client::link::Name;
use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::{PropertiesBuf, PropertyId, QoS, Value};
use ternmq_protocol::{Message, Time};

use super::command::Command;
use super::keys::{self, Kind};
use super::{Failed, Inner, Store};

/// How the non-blocking client uses its store.
#[derive(Clone, Copy, Default)]
pub(super) struct NonBlocking {
    /// Messages of QoS 0 that wait are kept too.
    keeps_qos_0: bool,
}

/// A message that waits, with the number of its record.
pub(super) struct Waiting {
    number: u32,
    message: Message,
}

impl Store {
    /// The store is one of the non-blocking client: queued commands outlive sessions, and a message of
    /// QoS 0 or 1 is kept only once the application has refused it, as it is not acknowledged before.
    pub(crate) fn serves_nonblocking(&self, keeps_qos_0: bool) {
        self.lock().nonblocking = Some(NonBlocking { keeps_qos_0 });
    }

    /// Whether there is something in flight of MQTT 5.0, which an older client must not touch.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn has_newer_flights(&self) -> Result<bool, Failed> {
        let mut inner = self.lock();
        let is_old = !inner.is_v5;
        let mut known = inner.records.keys()?.into_iter();
        Ok(is_old
            && known.any(|key| {
                let kind = Kind::of(&key);
                matches!(kind, Some((kind, true, _)) if kind.is_flight())
            }))
    }

    /// Forgets what an earlier process has left waiting, on the way out and on the way in.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn forget_waiting(&self) -> Result<(), Failed> {
        let mut inner = self.lock();
        for key in inner.records.keys()? {
            if let Some((Kind::Command | Kind::Queued, ..)) = Kind::of(&key) {
                inner.records.remove(&key)?;
            }
        }
        Ok(())
    }

    /// A message that an earlier process has left waits again, under a token or note.
    pub(crate) fn waits_again(&self, key: u32, number: u32, message: Message) {
        let waiting = Waiting { number, message };
        self.lock().waiting.insert(key, waiting);
    }

    /// The application has refused a message, which is acknowledged now.
    pub(crate) fn refused(&self, now: Time, incoming: &Incoming) {
        let mut inner = self.lock();
        if !inner.queued.contains_key(&incoming.delivery.0) {
            inner.enqueue(now, incoming);
        }
    }
}

impl Inner {
    /// A message of the non-blocking client is kept until it is sent.
    pub(super) fn keep_waiting(
        &mut self,
        now: Time,
        name: Name,
        message: &Message,
    ) -> Result<(), Failed> {
        let keeps_qos_0 = self.nonblocking.is_none_or(|n| n.keeps_qos_0);
        if message.qos() == QoS::AtMostOnce && !keeps_qos_0 {
            return Ok(());
        }
        let command = Command::Publish {
            token: name.packet_id.into(),
            topic: message.topic().to_owned(),
            payload: message.payload().to_vec(),
            qos: message.qos() as i32,
            retained: message.retain(),
            properties: all_properties(message, now),
        };
        let number = self.keep_command(&command)?;
        let waiting = Waiting {
            number,
            message: message.clone(),
        };
        self.waiting.insert(key(name), waiting);
        Ok(())
    }

    /// Keeps a command; gives the number of its record.
    pub(super) fn keep_command(&mut self, command: &Command) -> Result<u32, Failed> {
        self.last_command = keys::next(self.last_command);
        let (number, is_v5) = (self.last_command, self.is_v5);
        self.put(Kind::Command, number, command.encode(is_v5))?;
        Ok(number)
    }

    /// A message that waited is sent now.
    pub(super) fn started(&mut self, now: Time, packet_id: u16) {
        if let Some(Waiting { number, message }) = self.waiting.remove(&packet_id.into()) {
            // It was accepted long ago; what can't be kept now is at least sent.
            let _ = self.keep_sent(now, packet_id, &message);
            self.forget(Kind::Command, number);
        }
    }

    /// A message does not wait any more.
    pub(super) fn waits_no_more(&mut self, key: u32) {
        if let Some(Waiting { number, .. }) = self.waiting.remove(&key) {
            self.forget(Kind::Command, number);
        }
    }
}

/// What a message that waits is found by: its Packet Identifier, or its note, which is larger.
pub(super) fn key(name: Name) -> u32 {
    match name.packet_id {
        0 => name.note,
        id => id.into(),
    }
}

/// The properties that the PUBLISH will have.
fn all_properties(message: &Message, now: Time) -> PropertiesBuf {
    let mut all = PropertiesBuf::default();
    // They were valid when the message was made.
    if let Some(seconds) = message.expiry_left(now) {
        let _ = all.push(
            PropertyId::MessageExpiryInterval,
            Value::FourByteInteger(seconds),
        );
    }
    for property in message.properties().iter() {
        let _ = all.push(property.id, property.value);
    }
    all
}
