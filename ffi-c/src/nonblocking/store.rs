//! What outlives the process: read when it is first needed, so that the functions that change records
//! on their way can be set before, and kept up by the link's journal.

use ternmq_protocol::client::{Incoming, Stored};
use ternmq_protocol::codec::{QoS, Request as Filter, RetainHandling, SubscriptionOptions};
use ternmq_protocol::{Message, Time};

use super::inbound::Inbound;
use super::outcome::Response;
use super::requests::{Key, Kind, Request, key_of};
use super::{Client, Code};
use crate::options;
use crate::persistence::command::{Command, Subscription};
use crate::persistence::{Restored, Store};

/// What an earlier process has left that needs a connection.
#[derive(Default)]
pub(super) struct Leftover {
    /// Everything was read.
    is_read: bool,
    /// Messages that the application does not have.
    messages: Vec<Incoming>,
    /// Subscribing and unsubscribing that was accepted and not sent, by the numbers of the records.
    requests: Vec<(u32, Command)>,
}

impl Client {
    /// Reads what an earlier process has left, the first time.
    ///
    /// # Errors
    /// What the store said; then the next call tries again.
    pub(super) fn restore(&self) -> Result<(), Code> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let mut leftover = self.leftover();
        if leftover.is_read {
            return Ok(());
        }
        let now = self.link.session(|now, _| now);
        // All is read before anything is put back, so that a call after a failure finds all of it.
        let Restored { session, queue } = store.restore(now)?;
        let commands = store.commands()?;
        for stored in session {
            self.put_back(stored);
        }
        leftover.messages = queue;
        for (number, command) in commands {
            match publish(&command, now) {
                Some((token, message)) => self.wait_again(store, number, token, message),
                None => leftover.requests.push((number, command)),
            }
        }
        leftover.is_read = true;
        Ok(())
    }

    /// There is a connection: messages are delivered, requests are sent.
    pub(super) fn use_leftover(&self, inbound: &mut Inbound) {
        let Some(store) = &self.store else {
            return;
        };
        let mut leftover = self.leftover();
        let messages = std::mem::take(&mut leftover.messages);
        let requests = std::mem::take(&mut leftover.requests);
        drop(leftover);
        for incoming in messages {
            inbound.keep(incoming);
        }
        self.offer_again(inbound);
        for (number, command) in requests {
            self.send_again(&command);
            store.forget_command(number);
        }
        while let Some(incoming) = store.ownerless() {
            self.deliver(inbound, incoming);
        }
    }

    fn put_back(&self, stored: Stored) {
        let publish = match &stored {
            Stored::Publish {
                packet_id, message, ..
            } => Some((*packet_id, message.qos())),
            Stored::Pubrel { packet_id } => Some((*packet_id, QoS::ExactlyOnce)),
            Stored::Received { .. } => None,
        };
        let restored = self.link.session(|_, session| session.restore(stored));
        debug_assert!(restored, "each packet identifier is there once");
        if let Some((packet_id, qos)) = publish {
            self.note_restored(packet_id.into(), qos);
        }
    }

    /// A message waits again, under its old token if that is free.
    fn wait_again(&self, store: &Store, number: u32, token: u16, message: Message) {
        let qos = message.qos();
        let again = message.clone();
        let put_back = self.link.session(|_, session| {
            let (packet_id, sent) = (token, false);
            session.restore(Stored::Publish {
                packet_id,
                message: again,
                sent,
            })
        });
        let key = match put_back {
            true => Some(token.into()),
            false => self.enqueue(message.clone()),
        };
        if let Some(key) = key {
            self.note_restored(key, qos);
            store.waits_again(key, number, message);
        }
    }

    /// Puts a message into the outbox, whatever its limits: it was inside them before.
    fn enqueue(&self, message: Message) -> Option<Key> {
        let note = match message.qos() {
            QoS::AtMostOnce => self.lock().requests.next_note(),
            _ => 0,
        };
        self.link.session(|now, session| {
            let options = session.options_mut();
            let limits = (options.publish_offline, options.max_queued_messages);
            (options.publish_offline, options.max_queued_messages) = (true, usize::MAX);
            let published = session.publish_noted(now, message, note);
            let options = session.options_mut();
            (options.publish_offline, options.max_queued_messages) = limits;
            let token = published.ok()?;
            Some(if note == 0 { key_of(token) } else { note })
        })
    }

    /// Nobody of this process has asked for it, so nobody is told; but it is pending.
    pub(super) fn note_restored(&self, key: Key, qos: QoS) {
        let request = Request {
            response: Response::default(),
            kind: Kind::Publish(qos, None),
        };
        self.lock().requests.insert(key, request);
    }

    fn send_again(&self, command: &Command) {
        match command {
            Command::Subscribe {
                topics, properties, ..
            } => {
                let filters: Vec<Filter<'_>> = topics.iter().filter_map(filter).collect();
                // What this server does not take is told to nobody, as nobody asks.
                let _ = self.link.subscribe(&filters, properties.get());
            }
            Command::Unsubscribe {
                topics, properties, ..
            } => {
                let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
                let _ = self.link.unsubscribe(&filters, properties.get());
            }
            Command::Publish { .. } => {}
        }
    }

    fn leftover(&self) -> std::sync::MutexGuard<'_, Leftover> {
        self.leftover
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The message of a command with its token; `None` for another command, or a message that is none.
fn publish(command: &Command, now: Time) -> Option<(u16, Message)> {
    let Command::Publish {
        token,
        topic,
        payload,
        qos,
        retained,
        properties,
    } = command
    else {
        return None;
    };
    let qos = options::qos(*qos).ok()?;
    let message = Message::new(topic, payload, qos, *retained, properties.get(), now).ok()?;
    let token = match qos {
        QoS::AtMostOnce => 0,
        _ => u16::try_from(*token).unwrap_or(0),
    };
    Some((token, message))
}

fn filter(subscription: &Subscription) -> Option<Filter<'_>> {
    let [no_local, retain_as_published, handling] = subscription.options;
    let options = SubscriptionOptions {
        qos: options::qos(subscription.qos).ok()?,
        no_local: no_local != 0,
        retain_as_published: retain_as_published != 0,
        retain_handling: match handling {
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => RetainHandling::SendAtSubscribe,
        },
    };
    Some((&subscription.topic, options))
}
