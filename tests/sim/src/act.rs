//! What clients do, and what is done to them.

use ternmq_protocol::broker::EXCLUSIVE_PREFIX;
use ternmq_protocol::client::{Options, State};
use ternmq_protocol::codec::{
    Properties, PropertiesBuf, PropertyId, QoS, Request, RetainHandling, SubscriptionOptions,
};
use ternmq_protocol::{Message, ProtocolVersion, ReasonCode, Time};

use crate::intake::is_exclusive;
use crate::ledger::{Note, Record, is_lossy, is_shared, payload};
use crate::peer::{Peer, Pending, message_properties, push};
use crate::plan::{LARGEST, REWRITTEN};
use crate::world::World;

/// Topics that clients want to have for themselves.
const ALONE: [&str; 2] = ["x/1", "x/2"];

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

impl World {
    /// A client does the next thing.
    pub(crate) fn act(&mut self, number: usize) -> Result<(), String> {
        self.acts_left -= 1;
        let pause = self.random.between(0, self.plan.pause_ms);
        self.peers[number].acts_at = self.now.after(pause);
        if self.peers[number].rogue {
            return self.leave(number);
        }
        match self.random.below(100) {
            0..=59 => self.publish(number)?,
            60..=73 => self.subscribe(number)?,
            74..=79 => self.unsubscribe(number)?,
            80..=83 => self.leave(number)?,
            84..=87 => self.stall(number),
            88..=96 => self.cut(number)?,
            97 => self.impersonate(number),
            _ => {
                // It notices nothing and comes back by another connection.
                if self.peers[number].link.is_some() {
                    self.cut_silently(number);
                    self.client_close(number)?;
                }
            }
        }
        self.after(number)
    }

    fn publish(&mut self, number: usize) -> Result<(), String> {
        let mut topic = self.any_topic();
        let mut qos = self.random.pick(&QOS);
        let burst = self.random.one_in(2);
        for _ in 0..1 + self.random.below(4) {
            if !burst {
                (topic, qos) = (self.any_topic(), self.random.pick(&QOS));
            }
            let note = self.ledger.notes.len() as u32;
            let v5 = self.peers[number].version().is_v5();
            let (properties, expiry) = match v5 {
                true => message_properties(&mut self.random, note),
                false => Default::default(),
            };
            let retain = self.random.one_in(5);
            let clears = retain && self.random.one_in(4);
            let len = match self.random.below(30) {
                _ if clears => 0,
                0 => self.random.between(4_000, LARGEST as u64) as usize,
                _ => 8 + self.random.below(60),
            };
            let delay = match self.plan.delayed {
                Some(_) if !clears && self.random.one_in(6) => {
                    Some(self.random.pick(&[0, 1, 3, 60]))
                }
                _ => None,
            };
            let made = Note {
                retain,
                properties: properties.get().as_bytes().to_vec(),
                expiry: expiry.filter(|_| !clears),
                delay,
                ..Note::new(number, topic.clone(), qos, len)
            };
            self.send(number, note, made, properties)?;
        }
        Ok(())
    }

    fn any_topic(&mut self) -> String {
        match self.plan.exclusive && self.random.one_in(6) {
            true => String::from(self.random.pick(&ALONE)),
            false => self.random.topic(),
        }
    }

    fn send(
        &mut self,
        number: usize,
        note: u32,
        made: Note,
        mut properties: PropertiesBuf,
    ) -> Result<(), String> {
        let bytes = match made.len {
            0 => Vec::new(),
            len => payload(note, len),
        };
        if let Some(expiry) = made.expiry {
            push(&mut properties, PropertyId::MessageExpiryInterval, expiry);
        }
        let properties = properties.get();
        let named = match self.plan.rewrites && self.random.one_in(4) {
            true => made.named(REWRITTEN),
            false => made.named(""),
        };
        let message = Message::new(&named, &bytes, made.qos, made.retain, properties, self.now)
            .map_err(|error| format!("{made:?}: {error:?}"))?;
        self.note(format_args!(
            "client {number}: publishes message {note} {made:?}"
        ));
        self.ledger.notes.push(made);
        match self.peers[number].session.publish(self.now, message) {
            Ok(token) => {
                if self.ledger.note(note)?.delay.is_none() {
                    self.ledger.publish(note, self.step);
                }
                if token.0 != 0 {
                    let old = self.peers[number]
                        .pending
                        .insert(token.0, Pending::Publish(note));
                    if let Some(old) = old {
                        return Err(format!("{token:?} given for {note} and for {old:?}"));
                    }
                }
                Ok(())
            }
            Err(refused) => Err(format!("client {number}: publish refused: {refused:?}")),
        }
    }

    /// Filters that no request of this client is under way for.
    fn free_filters(&mut self, number: usize, most: usize) -> Vec<String> {
        let mut filters: Vec<String> = Vec::new();
        for _ in 0..1 + self.random.below(most) {
            let filter = match self.plan.shares.is_some() && self.random.one_in(2) {
                true => self.random.shared_filter(),
                false if self.plan.exclusive && self.random.one_in(4) => {
                    format!("{EXCLUSIVE_PREFIX}{}", self.random.pick(&ALONE))
                }
                false => self.random.filter(),
            };
            let busy = self.peers[number].pending.values().any(|p| match p {
                Pending::Publish(_) => false,
                Pending::Subscribe(list) => list.iter().any(|(_, _, other)| *other == filter),
                Pending::Unsubscribe(list) => list.contains(&filter),
            });
            if !busy && !filters.contains(&filter) {
                filters.push(filter);
            }
        }
        filters
    }

    fn subscribe(&mut self, number: usize) -> Result<(), String> {
        let filters = self.free_filters(number, 3);
        let peer = &self.peers[number];
        let Some(link) = peer
            .link
            .filter(|_| peer.session.state() == State::Connected)
        else {
            return Ok(());
        };
        let v5 = peer.version().is_v5();
        let epoch = self.links[link].epoch;
        let id = (v5 && self.random.one_in(2)).then(|| 1 + self.random.below(300) as u32);
        let mut properties = PropertiesBuf::default();
        if let Some(id) = id {
            push(&mut properties, PropertyId::SubscriptionIdentifier, id);
        }
        let named: Vec<String> = filters.iter().map(|filter| self.written(filter)).collect();
        let requests: Vec<Request<'_>> = filters
            .iter()
            .zip(&named)
            .map(|(filter, named)| (named.as_str(), self.options_for(filter, v5)))
            .collect();
        if requests.is_empty() {
            return Ok(());
        }
        let peer = &mut self.peers[number];
        let sent = peer
            .session
            .subscribe(self.now, &requests, properties.get());
        let token = sent.map_err(|error| format!("client {number}: {error}"))?;
        let mut records = Vec::new();
        for (filter, (_, options)) in filters.iter().zip(requests) {
            self.note(format_args!(
                "client {number}: subscribes to {filter:?} {options:?}"
            ));
            let record = Record::new(filter.clone(), options, id, self.step);
            let at = self.ledger.subscribe(epoch, record);
            records.push((at, options.qos, filter.clone()));
        }
        let pending = Pending::Subscribe(records);
        self.peers[number].pending.insert(token.0, pending);
        Ok(())
    }

    /// What a filter is called when the server is to rewrite it, now and then.
    fn written(&mut self, filter: &str) -> String {
        let plain = !is_shared(filter) && !is_exclusive(filter);
        match plain && self.plan.rewrites && self.random.one_in(4) {
            true => format!("{REWRITTEN}{filter}"),
            false => filter.to_owned(),
        }
    }

    fn options_for(&mut self, filter: &str, v5: bool) -> SubscriptionOptions {
        let options = self.options(v5);
        match is_shared(filter) {
            // Both would be an error with a shared subscription, or lose what nobody may lose.
            true if options.qos == QoS::AtMostOnce && !is_lossy(filter) => SubscriptionOptions {
                qos: QoS::AtLeastOnce,
                no_local: false,
                ..options
            },
            true => SubscriptionOptions {
                no_local: false,
                ..options
            },
            false => options,
        }
    }

    fn options(&mut self, v5: bool) -> SubscriptionOptions {
        let qos = self.random.pick(&[
            QoS::AtMostOnce,
            QoS::AtLeastOnce,
            QoS::ExactlyOnce,
            QoS::ExactlyOnce,
        ]);
        let plain = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        if !v5 {
            return plain;
        }
        SubscriptionOptions {
            no_local: self.random.one_in(4),
            retain_as_published: self.random.one_in(3),
            retain_handling: self.random.pick(&[
                RetainHandling::SendAtSubscribe,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ]),
            ..plain
        }
    }

    fn unsubscribe(&mut self, number: usize) -> Result<(), String> {
        let filters = self.free_filters(number, 4);
        let peer = &mut self.peers[number];
        let Some(link) = peer
            .link
            .filter(|_| peer.session.state() == State::Connected)
        else {
            return Ok(());
        };
        if filters.is_empty() {
            return Ok(());
        }
        let epoch = self.links[link].epoch;
        let named: Vec<String> = filters.iter().map(|filter| self.written(filter)).collect();
        let refs: Vec<&str> = named.iter().map(String::as_str).collect();
        let peer = &mut self.peers[number];
        let sent = peer.session.unsubscribe(self.now, &refs, Properties::EMPTY);
        let token = sent.map_err(|error| format!("client {number}: {error}"))?;
        self.note(format_args!(
            "client {number}: unsubscribes from {filters:?}"
        ));
        for filter in &filters {
            self.ledger.unsubscribe(epoch, filter);
        }
        let pending = Pending::Unsubscribe(filters);
        self.peers[number].pending.insert(token.0, pending);
        Ok(())
    }

    /// Says goodbye, sometimes so that the will is published all the same.
    pub(crate) fn leave(&mut self, number: usize) -> Result<(), String> {
        let v5 = self.peers[number].version().is_v5();
        let reason = match v5 && self.acts_left > 0 && self.random.one_in(3) {
            true => ReasonCode::DISCONNECT_WITH_WILL,
            false => ReasonCode::NORMAL_DISCONNECTION,
        };
        self.note(format_args!("client {number}: disconnects, {reason:?}"));
        let session = &mut self.peers[number].session;
        session
            .disconnect(self.now, reason, Properties::EMPTY)
            .map_err(|error| format!("client {number}: {error}"))?;
        self.after(number)
    }

    /// One side does not read for a while.
    fn stall(&mut self, number: usize) {
        let until = self.now.after(self.random.between(10, 8_000));
        let up = self.random.one_in(2);
        if let Some(link) = self.peers[number].link {
            self.note(format_args!(
                "link {link} stalls until {}, up {up}",
                until.0
            ));
            let link = &mut self.links[link];
            match up {
                true => link.up.stalled_until = until,
                false => link.down.stalled_until = until,
            }
        }
    }

    /// The line breaks, somewhere in what is on its way.
    fn cut(&mut self, number: usize) -> Result<(), String> {
        let Some(at) = self.peers[number].link else {
            return Ok(());
        };
        if self.random.one_in(3) {
            self.cut_silently(number);
            return Ok(());
        }
        self.note(format_args!("link {at} is cut"));
        let arrives = (self.later(), self.later());
        let link = &mut self.links[at];
        let keep = self.random.below(link.up.len() + 1);
        link.up.cut(keep, arrives.0);
        let keep = self.random.below(link.down.len() + 1);
        link.down.cut(keep, arrives.1);
        Ok(())
    }

    /// The line breaks, in one direction or both, and nobody is told.
    fn cut_silently(&mut self, number: usize) {
        let Some(at) = self.peers[number].link else {
            return;
        };
        let which = self.random.below(4);
        self.note(format_args!("link {at} goes silent, {which}"));
        let link = &mut self.links[at];
        if which != 1 {
            let keep = self.random.below(link.up.len() + 1);
            link.up.die(keep);
        }
        if which != 2 {
            let keep = self.random.below(link.down.len() + 1);
            link.down.die(keep);
        }
    }

    /// Somebody else connects under the name of this client, and begins anew.
    fn impersonate(&mut self, number: usize) {
        let victim = &self.peers[number];
        // A client before 3.1.1 can't be told that its session is gone, and would take messages of
        // the new one for those of the old.
        if victim.version() == ProtocolVersion::V3_1 || self.peers.len() > 12 {
            return;
        }
        let options = Options {
            version: self
                .random
                .pick(&[ProtocolVersion::V3_1_1, ProtocolVersion::V5_0]),
            client_id: victim.id.clone(),
            clean_start: true,
            keep_alive: 5,
            ping_timeout_ms: 3_000,
            connect_timeout_ms: 5_000,
            ..Options::default()
        };
        let mut rogue = Peer::with(options);
        rogue.rogue = true;
        rogue.reconnect_at = Some(self.now);
        rogue.acts_at = Time(self.now.0 + self.random.between(0, 3_000));
        self.note(format_args!("somebody takes the name of client {number}"));
        self.peers.push(rogue);
    }
}
