//! What the user sends: publishes and their outbox, requests.

use super::{
    ClientSession, DropReason, Event, Progress, PublishRefused, RequestRefused, State, Token,
};
use crate::codec::{Ack, Packet, Properties, PropertyId, QoS, Request, Subscribe, Unsubscribe};
use crate::error::EncodeError;
use crate::message::{Delivery, Message, TopicAlias};
use crate::reason::ReasonCode;
use crate::session::alias::TopicForm;
use crate::session::queue::{OverflowPolicy, Pushed, QueueLimits};
use crate::session::window::Phase;
use crate::time::Time;
use crate::topic::{SharedFilter, TopicFilter};
use crate::weight::Weight;

/// What holds a Packet Identifier.
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    Message(Message),
    /// A QoS 2 message after PUBREC: only PUBREL is still to be known.
    Released,
    /// The same, whose PUBREL an earlier connection may have brought to the server.
    ReleasedAgain,
    /// With the number of topic filters that SUBACK must answer.
    Subscribe(usize),
    Unsubscribe(usize),
}

impl InFlight {
    pub(super) fn is_publish(&self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Released | Self::ReleasedAgain
        )
    }
}

/// A message in the outbox; one with QoS above 0 holds its Packet Identifier already.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) packet_id: u16,
    /// What a QoS 0 message was published with, 0 for nothing.
    pub(super) note: u32,
    pub(super) message: Message,
}

impl Weight for Queued {
    fn weight(&self) -> usize {
        self.message.memory()
    }
}

impl ClientSession {
    /// Publishes a message with its own QoS and RETAIN flag.
    ///
    /// QoS 0 gives [`Token::NONE`]; the others have their Packet Identifier from here on, also while
    /// they wait in the outbox for room in the send window or for a connection. Order is kept among
    /// messages of the same QoS. A message whose expiry passes in the outbox is dropped.
    ///
    /// # Errors
    /// The message was not taken; see [`PublishRefused`].
    pub fn publish(&mut self, now: Time, message: Message) -> Result<Token, PublishRefused> {
        self.publish_noted(now, message, 0)
    }

    /// Publishes like [`publish`](Self::publish), and tells of a QoS 0 message too when it is written
    /// or dropped, if `note` is not 0: by [`Event::Sent`] or [`Event::NotSent`], which have the note.
    /// The driver says by [`outbound_taken`](Self::outbound_taken) when it was.
    /// With the other QoS it means nothing.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_noted(
        &mut self,
        now: Time,
        message: Message,
        note: u32,
    ) -> Result<Token, PublishRefused> {
        let taken = match self.state {
            State::Connected => self.publish_online(now, message, note),
            _ if self.options.publish_offline => self.enqueue(now, message, note),
            _ => Err(PublishRefused::NotConnected),
        };
        self.stats.publishes_refused += u64::from(taken.is_err());
        taken
    }

    /// The token that [`publish`](Self::publish) would give this message now: for a store that keeps a
    /// message before the session takes it.
    ///
    /// # Errors
    /// What `publish` would say; but it may take a message that is refused as
    /// [`Full`](PublishRefused::Full) here, because expired ones in the outbox make room.
    pub fn next_token(&self, message: &Message) -> Result<Token, PublishRefused> {
        let connected = self.state == State::Connected;
        if connected {
            self.fits(message)?;
            if self.outbound.len() > self.options.max_queued_bytes {
                return Err(PublishRefused::Full);
            }
        } else if !self.options.publish_offline {
            return Err(PublishRefused::NotConnected);
        }
        let at_most_once = message.qos() == QoS::AtMostOnce;
        let bytes = self.outbox.bytes() + message.memory();
        if self.would_wait(message.qos())
            && !self.options.drop_oldest
            && (self.outbox.len() >= self.options.max_queued_messages
                || bytes > self.options.max_queued_bytes)
        {
            return Err(PublishRefused::Full);
        }
        match at_most_once {
            true => Ok(Token::NONE),
            false => self
                .window
                .next_id()
                .map(Token)
                .ok_or(PublishRefused::NoPacketId),
        }
    }

    /// Whether a message of this QoS would wait in the outbox now.
    pub fn would_wait(&self, qos: QoS) -> bool {
        let goes_out = match qos {
            QoS::AtMostOnce => self.outbox_at_most_once == 0,
            _ => self.can_send(),
        };
        !goes_out || self.state != State::Connected
    }

    /// Asks for subscriptions; the answer is [`Event::Subscribed`].
    ///
    /// # Errors
    /// Nothing was sent: no connection, an invalid filter, properties that SUBSCRIBE may not carry,
    /// or something that the server has said it does not support.
    pub fn subscribe(
        &mut self,
        now: Time,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        self.check_connected()?;
        if !self.link.server.subscription_ids
            && properties.get(PropertyId::SubscriptionIdentifier).is_some()
        {
            return Err(RequestRefused::NotSupported("subscription identifiers"));
        }
        for (filter, options) in requests {
            let shared = self.check_filter(filter)?;
            if shared && options.no_local {
                // [MQTT-3.8.3-4]
                let what = "No Local on a shared subscription";
                return Err(EncodeError::Invalid(what).into());
            }
        }
        self.request(now, InFlight::Subscribe(requests.len()), |id| {
            Packet::Subscribe(Subscribe::new(id, properties, requests))
        })
    }

    /// Ends subscriptions; the answer is [`Event::Unsubscribed`].
    ///
    /// # Errors
    /// Nothing was sent: no connection, an invalid filter, or properties that UNSUBSCRIBE may not
    /// carry.
    pub fn unsubscribe(
        &mut self,
        now: Time,
        filters: &[&str],
        properties: Properties<'_>,
    ) -> Result<Token, RequestRefused> {
        self.check_connected()?;
        for filter in filters {
            parse_filter(filter)?;
        }
        self.request(now, InFlight::Unsubscribe(filters.len()), |id| {
            Packet::Unsubscribe(Unsubscribe::new(id, properties, filters))
        })
    }

    /// Sends what the quota allows: first again what an earlier connection left, then the outbox.
    pub(super) fn pump(&mut self, now: Time) {
        while let Some(resend) = self.window.next_resend() {
            let (id, phase) = (resend.id, resend.phase);
            let InFlight::Message(message) = &*resend.item else {
                *resend.item = InFlight::ReleasedAgain;
                let ack = Ack::new(id, ReasonCode::SUCCESS);
                self.write(now, &Packet::PubRel(ack));
                continue;
            };
            let message = message.clone();
            match self.fits(&message) {
                Ok(()) => {
                    let dup = self.link.resumed;
                    self.stats.messages_resent += 1;
                    self.write_publish(now, id, &message, dup);
                }
                Err(refused) => self.drop_sent(id, phase, refused.drop_reason()),
            }
        }
        while let Some(first) = self.outbox.front() {
            if first.packet_id != 0 && !self.window.can_start() {
                break;
            }
            self.send_queued(now);
        }
    }

    /// Writes a packet of ours that is small and valid by construction.
    pub(super) fn write(&mut self, now: Time, packet: &Packet<'_>) {
        let version = self.link.version;
        let written = self.outbound.append(|out| packet.encode(version, out));
        self.stats.packets_sent += 1;
        debug_assert!(written.is_ok(), "{packet:?}: {written:?}");
        self.link.keep_alive.sent(now);
    }

    /// Writes a packet that the user has shaped, if it is valid and not too large for the server.
    pub(super) fn write_request(
        &mut self,
        now: Time,
        packet: &Packet<'_>,
    ) -> Result<(), RequestRefused> {
        self.scratch.clear();
        let len = packet.encode(self.link.version, &mut self.scratch)?;
        if len > self.link.server.maximum_packet_size {
            return Err(EncodeError::PacketTooLarge.into());
        }
        let scratch = &self.scratch;
        self.outbound.append(|out| out.extend_from_slice(scratch));
        self.stats.packets_sent += 1;
        self.link.keep_alive.sent(now);
        Ok(())
    }

    fn publish_online(
        &mut self,
        now: Time,
        message: Message,
        note: u32,
    ) -> Result<Token, PublishRefused> {
        self.fits(&message)?;
        if self.outbound.len() > self.options.max_queued_bytes {
            return Err(PublishRefused::Full);
        }
        if message.qos() == QoS::AtMostOnce {
            if self.outbox_at_most_once > 0 {
                return self.enqueue(now, message, note);
            }
            self.write_publish(now, 0, &message, false);
            self.sent(note);
            return Ok(Token::NONE);
        }
        if !self.can_send() {
            return self.enqueue(now, message, note);
        }
        let item = InFlight::Message(message.clone());
        let id = self
            .window
            .push(awaited(message.qos()), item)
            .map_err(|_| PublishRefused::NoPacketId)?;
        self.write_publish(now, id, &message, false);
        self.sent(0);
        Ok(Token(id))
    }

    /// Puts a message into the outbox, or refuses.
    fn enqueue(&mut self, now: Time, message: Message, note: u32) -> Result<Token, PublishRefused> {
        let mut limits = QueueLimits {
            items: self.options.max_queued_messages,
            bytes: self.options.max_queued_bytes,
            policy: OverflowPolicy::Refuse,
        };
        let at_most_once = message.qos() == QoS::AtMostOnce;
        let note = if at_most_once { note } else { 0 };
        let packet_id = match at_most_once {
            true => 0,
            false => self
                .window
                .reserve(InFlight::Message(message.clone()))
                .map_err(|_| PublishRefused::NoPacketId)?,
        };
        let queued = Queued {
            packet_id,
            note,
            message,
        };
        let mut pushed = self.outbox.push(queued, &limits, |_, _| ());
        if let Pushed::Refused(queued, _) = pushed {
            self.drop_expired(now);
            if self.options.drop_oldest {
                limits.policy = OverflowPolicy::DropOldest;
            }
            let mut evicted = Vec::new();
            pushed = self.outbox.push(queued, &limits, |oldest, _| {
                evicted.push((oldest.packet_id, oldest.note));
            });
            if matches!(pushed, Pushed::Dropped) {
                evicted.clear(); // larger than the outbox: refused like any other
            }
            for (id, note) in evicted {
                self.drop_queued(id, note, DropReason::Overflow);
            }
        }
        if !matches!(pushed, Pushed::Queued) {
            self.window.release(packet_id);
            return Err(PublishRefused::Full);
        }
        self.outbox_at_most_once += usize::from(at_most_once);
        Ok(Token(packet_id))
    }

    /// Takes the first message of the outbox and sends it, if it still may be.
    fn send_queued(&mut self, now: Time) {
        let Some(Queued {
            packet_id,
            note,
            message,
        }) = self.outbox.pop()
        else {
            return;
        };
        let why = match self.fits(&message) {
            _ if message.is_expired(now) => DropReason::Expired,
            Err(refused) => refused.drop_reason(),
            Ok(()) => {
                if packet_id != 0 {
                    let started = self.window.start(packet_id, awaited(message.qos()));
                    debug_assert!(started, "{packet_id} could not start");
                    self.progress(Progress::Started(Token(packet_id)));
                }
                self.write_publish(now, packet_id, &message, false);
                self.outbox_at_most_once -= usize::from(packet_id == 0);
                self.sent(note);
                return;
            }
        };
        self.drop_queued(packet_id, note, why);
    }

    /// A message was written for the first time.
    fn sent(&mut self, note: u32) {
        self.stats.messages_sent += 1;
        if note != 0 {
            self.noted.push(note);
        }
    }

    /// A message has left the outbox unsent.
    pub(super) fn drop_queued(&mut self, packet_id: u16, note: u32, why: DropReason) {
        self.outbox_at_most_once -= usize::from(packet_id == 0);
        self.window.release(packet_id);
        self.drop_operation(Token(packet_id), why);
        if note != 0 {
            self.events.push_back(Event::NotSent { note, why });
        }
    }

    fn drop_expired(&mut self, now: Time) {
        let mut expired = Vec::new();
        self.outbox.remove_if(
            |queued| queued.message.is_expired(now),
            |queued| expired.push((queued.packet_id, queued.note)),
        );
        for (id, note) in expired {
            self.drop_queued(id, note, DropReason::Expired);
        }
    }

    /// Whether the server takes this message at all.
    fn fits(&self, message: &Message) -> Result<(), PublishRefused> {
        let server = &self.link.server;
        if message.qos() > server.maximum_qos {
            return Err(PublishRefused::QosNotSupported);
        }
        if message.retain() && !server.retain {
            return Err(PublishRefused::RetainNotSupported);
        }
        // Measured in its longest form, so that it can be sent again on another connection.
        let longest = Delivery {
            packet_id: u16::from(message.qos() != QoS::AtMostOnce),
            expiry: (message.expires() != Time::NEVER).then_some(0),
            ..Delivery::default()
        };
        if message.publish_len(self.link.version, &longest) > server.maximum_packet_size {
            return Err(PublishRefused::TooLarge);
        }
        Ok(())
    }

    fn write_publish(&mut self, now: Time, packet_id: u16, message: &Message, dup: bool) {
        let version = self.link.version;
        let mut delivery = Delivery {
            dup,
            qos: message.qos(),
            retain: message.retain(),
            packet_id,
            subscription_ids: &[],
            topic_alias: None,
            expiry: message.expiry_left(now),
            mount_len: 0,
        };
        if let Some(aliases) = &mut self.link.aliases_out {
            let topic = message.topic();
            delivery.topic_alias = match aliases.form(topic) {
                TopicForm::Full => None,
                TopicForm::FullWithAlias(number) => Some(TopicAlias {
                    number,
                    with_topic: true,
                }),
                TopicForm::AliasOnly(number) => Some(TopicAlias {
                    number,
                    with_topic: false,
                }),
            };
            let len = message.publish_len(version, &delivery);
            if len > self.link.server.maximum_packet_size {
                // It fits without: setting an alias costs three bytes.
                aliases.revoke(topic);
                delivery.topic_alias = None;
            }
        }
        self.outbound.publish(version, message, &delivery);
        self.stats.packets_sent += 1;
        self.link.keep_alive.sent(now);
    }

    fn check_connected(&self) -> Result<(), RequestRefused> {
        match self.state {
            State::Connected => Ok(()),
            _ => Err(RequestRefused::NotConnected),
        }
    }

    /// Checks a filter and what the server supports of it; tells whether it is a shared one.
    fn check_filter(&self, filter: &str) -> Result<bool, RequestRefused> {
        let filter = parse_filter(filter)?;
        if !filter.is_exact() && !self.link.server.wildcards {
            return Err(RequestRefused::NotSupported("wildcards in filters"));
        }
        let shared = self.link.version.is_v5()
            && SharedFilter::parse(filter)
                .map_err(|_| EncodeError::Invalid("not a valid shared subscription"))?
                .is_some();
        if shared && !self.link.server.shared_subscriptions {
            return Err(RequestRefused::NotSupported("shared subscriptions"));
        }
        Ok(shared)
    }

    /// A SUBSCRIBE or UNSUBSCRIBE is over: its Packet Identifier is free.
    pub(super) fn end_request(&mut self, id: u16) {
        let released = self.window.release(id);
        debug_assert!(released.is_some(), "{id} was no request");
        self.requests -= 1;
    }

    fn request<'p>(
        &mut self,
        now: Time,
        item: InFlight,
        packet: impl FnOnce(u16) -> Packet<'p>,
    ) -> Result<Token, RequestRefused> {
        let reserved = self.window.reserve(item);
        let id = reserved.map_err(|_| RequestRefused::NoPacketId)?;
        self.requests += 1;
        if let Err(error) = self.write_request(now, &packet(id)) {
            self.end_request(id);
            return Err(error);
        }
        Ok(Token(id))
    }
}

/// What a message of this QoS waits for, once it is sent.
pub(super) fn awaited(qos: QoS) -> Phase {
    match qos {
        QoS::ExactlyOnce => Phase::AwaitPubrec,
        _ => Phase::AwaitPuback,
    }
}

fn parse_filter(filter: &str) -> Result<TopicFilter<'_>, EncodeError> {
    TopicFilter::parse(filter, usize::MAX)
        .map_err(|_| EncodeError::Invalid("not a valid topic filter"))
}
