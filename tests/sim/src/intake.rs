//! What shards take in, entered into the truth, the ledger and the books when they have handled it.

use ternmq_protocol::broker::record::SessKey;
use ternmq_protocol::broker::{DELAYED_PREFIX, EXCLUSIVE_PREFIX, Page, RetainedTicket};
use ternmq_protocol::codec::{Packet, PropertyId, Publish, QoS};
use ternmq_protocol::topic::TopicName;
use ternmq_protocol::{Message, ReasonCode, Time};

use crate::books::{Traits, Weaknesses};
use crate::ledger::{is_shared, matches, note_of};
use crate::plan::REWRITTEN;
use crate::truth::{Delayed, News};
use crate::world::World;

impl World {
    /// Carries what has become of sessions over to the ledger.
    pub(crate) fn apply_news(&mut self) {
        for news in std::mem::take(&mut self.truth.news) {
            self.trace.line(self.now, format_args!("truth: {news:?}"));
            match news {
                News::Ended(id, session) => {
                    self.ledger.end(session.epoch);
                    match self.certain {
                        true => self.books.close(session.epoch),
                        false => self.ending.push((id, session)),
                    }
                }
                News::Will { note, epoch, shard } => {
                    self.ledger.publish(note, self.step);
                    self.accepted(note, epoch, Time::NEVER);
                    self.offer_note(shard, note);
                }
            }
        }
    }

    /// The connection of a link is over for the server.
    pub(crate) fn truth_closed(&mut self, link: usize) -> Result<(), String> {
        if self.scripted || !self.links[link].is_honest() {
            return Ok(());
        }
        let id = self.peers[self.links[link].peer].id.clone();
        let attached = self
            .truth
            .sessions
            .get(&id)
            .and_then(|session| session.link);
        if attached == Some(link) {
            self.truth.detach(&id, self.now);
            self.apply_news();
        }
        Ok(())
    }

    /// A shard has handled a packet.
    pub(crate) fn server_received(
        &mut self,
        shard: usize,
        link: usize,
        packet: &Packet<'_>,
    ) -> Result<(), String> {
        let id = self.peers[self.links[link].peer].id.clone();
        let now = self.now;
        let Some(session) = self.truth.sessions.get_mut(&id) else {
            return Ok(());
        };
        if session.link != Some(link) {
            return Ok(());
        }
        self.links[link].last_in = now;
        session.flow.received(packet);
        let epoch = session.epoch;
        let meant = |filter: &str| meant(filter, self.plan.rewrites).to_owned();
        match packet {
            Packet::Publish(publish) => {
                let first =
                    publish.qos != QoS::ExactlyOnce || session.received.insert(publish.packet_id);
                self.take_publish(shard, link, epoch, first, publish)?;
            }
            Packet::PubRel(ack) => {
                session.received.remove(&ack.packet_id);
            }
            Packet::Subscribe(subscribe) => {
                let requests = subscribe.requests();
                let requests = requests
                    .map(|(filter, options)| (meant(filter), options))
                    .collect();
                self.links[link].asking = requests;
                let asking = &self.links[link].asking;
                if !asking.iter().any(|(filter, _)| is_exclusive(filter)) {
                    self.take_claims(link, &[])?;
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in unsubscribe.filters() {
                    session.filters.remove(bare(&meant(filter)));
                }
            }
            Packet::Disconnect(disconnect) => {
                self.links[link].ending = true;
                let expiry = disconnect
                    .properties
                    .number(PropertyId::SessionExpiryInterval);
                let keep_will = disconnect.reason != ReasonCode::NORMAL_DISCONNECTION;
                self.truth.disconnect(&id, expiry, keep_will, now);
                self.apply_news();
            }
            _ => {}
        }
        Ok(())
    }

    /// A shard makes the subscriptions of a SUBSCRIBE, as far as they are `granted`. Of an exclusive
    /// one there is never a second.
    pub(crate) fn take_claims(&mut self, link: usize, granted: &[bool]) -> Result<(), String> {
        let mut granted = granted.iter();
        let id = self.peers[self.links[link].peer].id.clone();
        for (filter, options) in std::mem::take(&mut self.links[link].asking) {
            let filter = match filter.strip_prefix(EXCLUSIVE_PREFIX) {
                None => filter,
                Some(filter) => {
                    let mut others = self
                        .truth
                        .sessions
                        .iter()
                        .filter(|(other, _)| **other != id);
                    let taken = others.any(|(_, session)| session.filters.contains_key(filter));
                    match granted.next() {
                        Some(true) if !taken => {}
                        Some(false) if taken => continue,
                        answer => {
                            return Err(format!(
                                "{id} asks to have {filter:?} for itself; taken is {taken}, the \
                                 answer {answer:?}"
                            ));
                        }
                    }
                    filter.to_owned()
                }
            };
            let session = self.truth.sessions.get_mut(&id);
            if let Some(session) = session.filter(|session| session.link == Some(link)) {
                if let Some(book) = self.books.open.get_mut(&session.epoch) {
                    book.shares |= is_shared(&filter);
                }
                session.filters.insert(filter, options);
            }
        }
        Ok(())
    }

    fn take_publish(
        &mut self,
        shard: usize,
        link: usize,
        epoch: u64,
        first: bool,
        publish: &Publish<'_>,
    ) -> Result<(), String> {
        let named = self.named(link, publish);
        if !first {
            return Ok(());
        }
        let (delay, topic) = match self.plan.delayed {
            Some(_) => split_delay(&named),
            None => (None, &*named),
        };
        let topic = meant(topic, self.plan.rewrites);
        let Some(number) = note_of(publish.payload) else {
            self.forget_retained(topic);
            let id = self.peers[self.links[link].peer].id.clone();
            self.offer(shard, None, topic, publish.qos, |client| client == id);
            return Ok(());
        };
        let note = self.ledger.note(number)?;
        let same = (
            note.topic == topic,
            note.delay == delay,
            note.qos == publish.qos,
        );
        if same != (true, true, true) || note.retain != publish.retain {
            return Err(format!("message {number} {note:?} came in as {publish:?}"));
        }
        // What is left of its life: it may have waited at the client.
        let expiry = publish.properties.number(PropertyId::MessageExpiryInterval);
        match delay {
            Some(seconds) => self.delay(shard, link, number, seconds, expiry, publish.packet_id),
            None => {
                let expires =
                    expiry.map_or(Time::NEVER, |left| self.now.after_seconds(left.into()));
                self.accepted(number, epoch, expires);
                self.offer_note(shard, number);
            }
        }
        let note = self.ledger.note(number)?;
        let taken = note.accepted.max(note.delayed - note.declined);
        match note.qos == QoS::ExactlyOnce && taken > 1 && !note.republished {
            true => Err(format!("message {number} {note:?} was accepted again")),
            false => Ok(()),
        }
    }

    /// The topic of a PUBLISH, which an alias may stand for.
    fn named(&mut self, link: usize, publish: &Publish<'_>) -> String {
        let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else {
            return publish.topic.to_owned();
        };
        let aliases = &mut self.links[link].aliases;
        if publish.topic.is_empty() {
            aliases.get(&(alias as u16)).cloned().unwrap_or_default()
        } else {
            aliases.insert(alias as u16, publish.topic.to_owned());
            publish.topic.to_owned()
        }
    }

    /// A shard takes a message to be published later, or has no room for it.
    fn delay(
        &mut self,
        shard: usize,
        link: usize,
        note: u32,
        seconds: u32,
        expiry: Option<u32>,
        packet_id: u16,
    ) {
        let found = &mut self.ledger.notes[note as usize];
        found.delayed += 1;
        let qos = found.qos;
        let delays = &mut self.truth.delays[shard];
        let epoch = self.links[link].epoch;
        if Some(delays.waiting.len()) < self.plan.delayed {
            delays.waiting.push(Delayed {
                due: self.now.after_seconds(seconds.into()),
                note,
                epoch,
                expiry,
            });
            return;
        }
        delays.refused += 1;
        found.declined += 1;
        // A PUBREC that refuses ends the exchange (4.3.3).
        let id = &self.peers[self.links[link].peer].id;
        if let Some(session) = self.truth.sessions.get_mut(id)
            && qos == QoS::ExactlyOnce
            && self.links[link].version.is_v5()
        {
            session.received.remove(&packet_id);
        }
    }

    /// Everything that the time has come for on a shard.
    pub(crate) fn pass_truth(&mut self, shard: usize) {
        while self.truth.pass(shard, self.now) {
            self.apply_news();
        }
        while let Some(delayed) = self.truth.take_delayed(shard, self.now) {
            let left = |seconds: u32| delayed.due.after_seconds(seconds.into());
            let expires = delayed.expiry.map_or(Time::NEVER, left);
            if expires <= self.now {
                self.truth.delays[shard].expired += 1;
                continue;
            }
            self.truth.delays[shard].published += 1;
            self.ledger.publish(delayed.note, self.step);
            self.accepted(delayed.note, delayed.epoch, expires);
            self.offer_note(shard, delayed.note);
        }
    }

    /// From here on it is known again in which order things happen.
    pub(crate) fn be_certain(&mut self) {
        self.certain = true;
        for (_, session) in self.ending.drain(..) {
            self.books.close(session.epoch);
        }
    }

    /// What the time has come for on a shard, as far as the shard has gone.
    pub(crate) fn pass_truth_to(&mut self, shard: usize) {
        let stats = self.hosts[shard].shard.stats();
        let delays = &self.truth.delays[shard];
        if stats.delayed_published + stats.delayed_expired > delays.published + delays.expired {
            self.pass_truth(shard);
        }
    }

    /// A shard publishes a message.
    fn accepted(&mut self, number: u32, epoch: u64, expires: Time) {
        let step = self.step;
        let note = &mut self.ledger.notes[number as usize];
        note.accepted += 1;
        note.accepted_in = epoch;
        if note.retain {
            note.retained_until = None;
            let topic = note.topic.clone();
            let old = self.truth.retained.insert(topic, (number, expires));
            if let Some((old, _)) = old.filter(|(old, _)| *old != number) {
                self.ledger.notes[old as usize].retained_until = Some(step);
            }
        }
    }

    fn forget_retained(&mut self, topic: &str) {
        debug_assert!(TopicName::parse(topic, usize::MAX).is_ok());
        if let Some((old, _)) = self.truth.retained.remove(topic) {
            self.ledger.notes[old as usize].retained_until = Some(self.step);
        }
    }

    /// A message is handed to the subscribers on a shard.
    fn offer_note(&mut self, shard: usize, number: u32) {
        let note = &self.ledger.notes[number as usize];
        let (topic, qos) = (note.topic.clone(), note.qos);
        let publisher = self.peers[note.publisher].id.clone();
        self.offer(shard, Some(number), &topic, qos, |client| {
            client == publisher
        });
    }

    /// Messages that came by mail are handed to the subscribers on a shard.
    pub(crate) fn offer_mail(&mut self, shard: usize, messages: &[Message]) {
        if self.scripted {
            return;
        }
        for message in messages {
            match note_of(message.payload()) {
                Some(number) => self.offer_note(shard, number),
                None => {
                    let origin = message.origin();
                    let is_own = |client: &str| SessKey::new("", client).origin() == origin;
                    self.offer(shard, None, message.topic(), message.qos(), is_own);
                }
            }
        }
    }

    fn offer(
        &mut self,
        shard: usize,
        note: Option<u32>,
        topic: &str,
        qos: QoS,
        is_own: impl Fn(&str) -> bool,
    ) {
        let has_priorities = !self.plan.limits.priorities.filters.is_empty();
        let traits = Traits {
            certain: self.certain,
            ..self.traits(note, topic)
        };
        let ending = self.ending.iter().map(|(id, session)| (id, session));
        for (id, session) in self.truth.sessions.iter().chain(ending) {
            if session.shard != shard {
                continue;
            }
            let wanted = session.filters.iter().filter(|(filter, options)| {
                !is_shared(filter) && matches(filter, topic) && !(options.no_local && is_own(id))
            });
            if let Some(most) = wanted.map(|(_, options)| options.qos).max() {
                let written = match traits.firm && has_priorities {
                    true => self.hosts[shard]
                        .shard
                        .client(id)
                        .map_or(0, |is| is.counters.sent),
                    false => 0,
                };
                self.books
                    .enter(session.epoch, most.min(qos), traits, written);
            }
        }
    }

    /// Retained messages for a new subscription: one of the sessions that have it gets them all.
    pub(crate) fn replay(
        &mut self,
        shard: usize,
        filter: &str,
        ticket: RetainedTicket,
        page: Page,
    ) -> Result<(), String> {
        let messages = page.messages.clone();
        let sessions = self.truth.sessions.iter();
        let askers: Vec<_> = sessions
            .filter(|(_, session)| session.shard == shard)
            .filter_map(|(id, session)| {
                let options = session.filters.get(filter)?;
                Some((id.clone(), session.epoch, *options, self.copies(shard, id)))
            })
            .collect();
        let retained = self.hosts[shard].shard.stats().retained;
        self.call_unsettled(shard, None, |shard, now, out| {
            shard.handle_retained(ticket, page, now, out);
        })?;
        let got = self.hosts[shard].shard.stats().retained - retained;
        let changed = |(id, _, _, before): &&(String, _, _, u64)| self.copies(shard, id) != *before;
        let mut found = askers.iter().filter(changed);
        let asker = match (found.next(), found.next()) {
            (Some(only), None) => only,
            // What came by a group may have made room and gone back to it, copy by copy.
            _ if got > 0 && askers.len() == 1 && self.plan.hostiles == 0 => &askers[0],
            _ => return Ok(()), // too late, or all of them its own
        };
        let (id, epoch, options, _) = asker;
        let mut due = 0;
        for message in &messages {
            let note = note_of(message.payload());
            let publisher = note.and_then(|number| self.ledger.notes.get(number as usize));
            let publisher = publisher.map(|note| &self.peers[note.publisher].id);
            if options.no_local && publisher == Some(id) {
                continue;
            }
            due += 1;
            let qos = options.qos.min(message.qos());
            let traits = self.traits(note, message.topic());
            self.books.enter(*epoch, qos, traits, u64::MAX);
        }
        match due == got {
            true => Ok(()),
            false => Err(format!(
                "{id} got {got} retained messages for {filter:?}, {due} are due: {messages:?}"
            )),
        }
    }

    fn traits(&self, note: Option<u32>, topic: &str) -> Traits {
        let found = note.and_then(|number| self.ledger.notes.get(number as usize));
        let plan = &self.plan;
        Traits {
            note,
            priority: plan.priority(topic),
            firm: found.is_some_and(|note| note.expiry.is_none())
                && !plan.has_small_queues()
                && !plan.small_packets,
            certain: true,
        }
    }

    /// Copies that were sent to a client, wait for it or were dropped.
    fn copies(&self, shard: usize, id: &str) -> u64 {
        let client = self.hosts[shard].shard.client(id);
        client.map_or(0, |is| {
            is.counters.sent + is.queued as u64 + is.counters.dropped.total()
        })
    }

    /// What may keep a message from a client.
    pub(crate) fn weaknesses(&self, number: u32, most: Option<u32>) -> Weaknesses {
        let Some(note) = self.ledger.notes.get(number as usize) else {
            return Weaknesses::default();
        };
        let bytes = note.topic.len() + note.properties.len() + note.len;
        Weaknesses {
            expires: note.expiry.is_some(),
            too_large: most.is_some_and(|most| bytes + MOST_ADDED > most as usize),
        }
    }
}

/// Most bytes of a PUBLISH that are not topic, payload or properties that travel.
const MOST_ADDED: usize = 200;

/// The topic or filter that a client means.
pub(crate) fn meant(name: &str, rewrites: bool) -> &str {
    match name.strip_prefix(REWRITTEN) {
        Some(rest) if rewrites => rest,
        _ => name,
    }
}

/// Whether one client at a time may have this subscription.
pub(crate) fn is_exclusive(filter: &str) -> bool {
    filter.starts_with(EXCLUSIVE_PREFIX)
}

/// A filter without the wish to have it alone.
pub(crate) fn bare(filter: &str) -> &str {
    filter.strip_prefix(EXCLUSIVE_PREFIX).unwrap_or(filter)
}

/// The delay that a topic asks for, and the topic itself.
fn split_delay(topic: &str) -> (Option<u32>, &str) {
    let split = topic
        .strip_prefix(DELAYED_PREFIX)
        .and_then(|rest| rest.split_once('/'));
    match split.map(|(seconds, topic)| (seconds.parse(), topic)) {
        Some((Ok(seconds), topic)) => (Some(seconds), topic),
        _ => (None, topic),
    }
}
