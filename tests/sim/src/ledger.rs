//! What was published, who is due what, and what arrived: seen from the clients' side only.
//!
//! A subscription counts from its SUBACK to the call of unsubscribe; a message that is published in
//! between must arrive. From the call of subscribe to UNSUBACK it may arrive. All of it is kept for
//! each session of the server by itself, which an epoch names: what one session has got says nothing
//! about the next one of the same client.

use std::collections::{BTreeMap, BTreeSet};

use ternmq_protocol::broker::DELAYED_PREFIX;
use ternmq_protocol::client::Incoming;
use ternmq_protocol::codec::{QoS, RetainHandling, SubscriptionOptions};
use ternmq_protocol::topic::{TopicFilter, TopicName};

use crate::intake::bare;

/// A message, from the call of publish on.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Those that travel, encoded.
    pub(crate) properties: Vec<u8>,
    pub(crate) expiry: Option<u32>,
    pub(crate) len: usize,
    /// Step of the call of publish; of a will, of the moment it was due.
    pub(crate) published: Option<u64>,
    /// How often a shard took it for a new message: above 1 only where QoS allows it.
    pub(crate) accepted: u32,
    /// The session it was accepted from last.
    pub(crate) accepted_in: u64,
    /// The publisher's session was lost while this was under way, and it was published anew.
    pub(crate) republished: bool,
    /// Step at which it was retained no more.
    pub(crate) retained_until: Option<u64>,
    /// Seconds after which it is published.
    pub(crate) delay: Option<u32>,
    /// How often a shard took it to be published later, or would not because it had too many.
    pub(crate) delayed: u32,
    /// How often it had too many.
    pub(crate) declined: u32,
}

impl Note {
    /// A message that is not retained, lives for ever and is published at once.
    pub(crate) fn new(publisher: usize, topic: String, qos: QoS, len: usize) -> Self {
        Self {
            publisher,
            topic,
            qos,
            retain: false,
            properties: Vec::new(),
            expiry: None,
            len,
            published: None,
            accepted: 0,
            accepted_in: 0,
            republished: false,
            retained_until: None,
            delay: None,
            delayed: 0,
            declined: 0,
        }
    }

    /// The topic that its publisher names; `prefix` is for the server to take off.
    pub(crate) fn named(&self, prefix: &str) -> String {
        let topic = &self.topic;
        match self.delay {
            None => format!("{prefix}{topic}"),
            Some(seconds) => format!("{DELAYED_PREFIX}{seconds}/{prefix}{topic}"),
        }
    }
}

/// One subscription as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) filter: String,
    pub(crate) options: SubscriptionOptions,
    pub(crate) id: Option<u32>,
    from: u64,
    to: Option<u64>,
}

/// A session from its client's side.
#[derive(Clone, Debug)]
struct View {
    client: usize,
    v5: bool,
    records: Vec<Record>,
    /// Something may be due to it: it has not ended, nor is it [blurred](Ledger::blur).
    reliable: bool,
    /// Filters that are subscribed to for certain, with the requests one of which is in force.
    certain: BTreeMap<String, Vec<usize>>,
}

#[derive(Clone, Debug, Default)]
struct Arrivals {
    live: u32,
    all: u32,
}

/// What became of a message in a group of shared subscriptions.
#[derive(Clone, Debug)]
struct Share {
    /// It has to arrive at a member and has not.
    due: bool,
    /// Arrivals that can only be by this group, with QoS 0 or 2: those that nobody repeats.
    arrivals: u32,
}

/// Publisher's session, topic, QoS of the publish and of the delivery: within these, order holds.
type Lane = (u64, String, QoS, QoS);

/// The messages, the subscriptions and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) notes: Vec<Note>,
    views: BTreeMap<u64, View>,
    dues: BTreeSet<(u64, u32)>,
    arrivals: BTreeMap<(u64, u32), Arrivals>,
    lanes: BTreeMap<(u64, Lane), u32>,
    /// By group, messages that were published while it had a member, as long as it has had one all
    /// the while.
    shared: BTreeMap<String, BTreeMap<u32, Share>>,
    /// Deliveries checked.
    pub(crate) delivered: u64,
}

/// The payload of a message: its number, then bytes that follow from it.
pub(crate) fn payload(note: u32, len: usize) -> Vec<u8> {
    let mut payload = note.to_be_bytes().to_vec();
    payload.extend((!note).to_be_bytes());
    payload.extend((payload.len()..len).map(|at| (at as u32 ^ note) as u8));
    payload
}

/// The message that a payload belongs to, by its first bytes.
pub(crate) fn note_of(payload: &[u8]) -> Option<u32> {
    let number = u32::from_be_bytes(payload.get(..4)?.try_into().ok()?);
    let check = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
    (number == !check).then_some(number)
}

/// What a shared subscription's filter begins with.
const SHARE: &str = "$share/";

pub(crate) fn is_shared(filter: &str) -> bool {
    filter.starts_with(SHARE)
}

/// Whether members of the group of this filter may subscribe with QoS 0.
pub(crate) fn is_lossy(filter: &str) -> bool {
    filter.starts_with("$share/lossy/")
}

pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let filter = bare(filter);
    let shared = filter.strip_prefix(SHARE);
    let filter = shared
        .and_then(|rest| rest.split_once('/'))
        .map_or(filter, |(_, filter)| filter);
    TopicFilter::assume(filter).matches(TopicName::assume(topic))
}

impl Ledger {
    /// The message with this number.
    pub(crate) fn note(&self, number: u32) -> Result<&Note, String> {
        self.notes
            .get(number as usize)
            .ok_or_else(|| format!("message {number} was never made"))
    }

    /// A session begins.
    pub(crate) fn open(&mut self, epoch: u64, client: usize, v5: bool) {
        let view = View {
            client,
            v5,
            records: Vec::new(),
            reliable: true,
            certain: BTreeMap::new(),
        };
        self.views.insert(epoch, view);
    }

    /// A session has ended on the server: nothing is due to it any more.
    pub(crate) fn end(&mut self, epoch: u64) {
        self.dues.retain(|(whose, _)| *whose != epoch);
        if let Some(view) = self.views.get_mut(&epoch) {
            view.reliable = false;
        }
        self.lose_member(epoch);
    }

    /// The server began this session anew, but its CONNACK got lost, and the client takes it for the
    /// one before. By the standard it then drops QoS 2 messages whose packet identifiers it still
    /// holds from there; so nothing is certain.
    pub(crate) fn blur(&mut self, epoch: u64) {
        self.dues.retain(|(whose, _)| *whose != epoch);
        if let Some(view) = self.views.get_mut(&epoch) {
            view.reliable = false;
        }
        self.lose_member(epoch);
    }

    /// A message was published: notes who must get it.
    pub(crate) fn publish(&mut self, number: u32, step: u64) {
        let note = &mut self.notes[number as usize];
        // Some are published later, and again if their publisher's session was lost.
        note.published.get_or_insert(step);
        self.offer(number);
        let note = &self.notes[number as usize];
        if note.expiry.is_some() || note.len == 0 {
            return;
        }
        for (epoch, view) in &self.views {
            if view.is_due(note) {
                self.dues.insert((*epoch, number));
            }
        }
    }

    /// A publish was refused, or dropped for its expiry.
    pub(crate) fn withdraw(&mut self, number: u32) {
        self.dues.retain(|(_, which)| *which != number);
        for messages in self.shared.values_mut() {
            messages.remove(&number);
        }
    }

    /// SUBSCRIBE is about to go out; gives the numbers for [`Ledger::subscribed`].
    pub(crate) fn subscribe(&mut self, epoch: u64, record: Record) -> usize {
        let Some(view) = self.views.get_mut(&epoch) else {
            return 0;
        };
        let at = view.records.len();
        if let Some(possible) = view.certain.get_mut(&record.filter) {
            possible.push(at);
        }
        view.records.push(record);
        self.recheck(epoch);
        at
    }

    /// SUBACK has come.
    pub(crate) fn subscribed(&mut self, epoch: u64, at: usize, step: u64) {
        let Some(view) = self.views.get_mut(&epoch) else {
            return;
        };
        let filter = view.records[at].filter.clone();
        for (other, record) in view.records.iter_mut().enumerate() {
            if other != at && record.filter == filter {
                record.to.get_or_insert(step);
            }
        }
        view.certain.insert(filter, vec![at]);
    }

    /// SUBACK has come and says no.
    pub(crate) fn refused(&mut self, epoch: u64, at: usize, step: u64) {
        let Some(view) = self.views.get_mut(&epoch) else {
            return;
        };
        view.records[at].to.get_or_insert(step);
        for possible in view.certain.values_mut() {
            possible.retain(|other| *other != at);
        }
        view.certain.retain(|_, possible| !possible.is_empty());
    }

    /// UNSUBSCRIBE is about to go out.
    pub(crate) fn unsubscribe(&mut self, epoch: u64, filter: &str) {
        if let Some(view) = self.views.get_mut(&epoch) {
            view.certain.remove(filter);
        }
        self.recheck(epoch);
        self.forget_empty_groups();
    }

    /// UNSUBACK has come.
    pub(crate) fn unsubscribed(&mut self, epoch: u64, filter: &str, step: u64) {
        let Some(view) = self.views.get_mut(&epoch) else {
            return;
        };
        for record in view.records.iter_mut().filter(|r| r.filter == filter) {
            record.to.get_or_insert(step);
        }
    }

    /// A message has arrived in a session.
    pub(crate) fn arrive(&mut self, epoch: u64, incoming: &Incoming) -> Result<(), String> {
        self.delivered += 1;
        let message = &incoming.message;
        let Some(view) = self.views.get(&epoch) else {
            return Err(format!("a delivery in the unknown session {epoch}"));
        };
        let Some(number) = note_of(message.payload()) else {
            // The removal of a retained message has nothing to tell it by.
            let known = view
                .records
                .iter()
                .any(|r| matches(&r.filter, message.topic()));
            return match known && message.payload().is_empty() {
                true => Ok(()),
                false => Err(format!("a payload that nobody published: {message:?}")),
            };
        };
        let Some(note) = self.notes.get(number as usize) else {
            return Err(format!("message {number} was never made"));
        };
        view.check_content(number, note, incoming)?;
        let live = !incoming.retain && !note.retain;
        view.check_wanted(number, note, incoming)?;
        let replays = view.replays(note).count() as u32;
        let arrivals = self.arrivals.entry((epoch, number)).or_default();
        let groups = view.groups(note);
        let copies = note.accepted * (1 + groups.len() as u32);
        // What a member has not acknowledged may be given to another one, and come back to it.
        let again = !groups.is_empty() && incoming.qos == QoS::AtLeastOnce;
        let new = incoming.qos == QoS::ExactlyOnce || !incoming.dup;
        arrivals.all += u32::from(new && !again);
        if arrivals.all > copies + replays {
            return Err(format!(
                "message {number} arrived {} times in session {epoch}; it was accepted {} times \
                 and may have been replayed {replays} times",
                arrivals.all, note.accepted
            ));
        }
        arrivals.live += u32::from(live);
        self.dues.remove(&(epoch, number));
        let ordered = live
            && note.delay.is_none()
            && !note.topic.starts_with("will/")
            && arrivals.live == 1
            && note.accepted == 1
            && groups.is_empty();
        let only = view.only_by(note);
        for group in groups {
            let share = self.shared.get_mut(&group).and_then(|g| g.get_mut(&number));
            let Some(share) = share else { continue };
            share.due = false;
            share.arrivals += u32::from(only && incoming.qos != QoS::AtLeastOnce);
            if share.arrivals > note.accepted {
                return Err(format!(
                    "message {number} {note:?} arrived {} times at members of {group}",
                    share.arrivals
                ));
            }
        }
        if ordered {
            let lane = (note.accepted_in, note.topic.clone(), note.qos, incoming.qos);
            return self.check_lane(epoch, lane, number);
        }
        Ok(())
    }

    /// The first arrival of a message comes behind those of all that were published before it.
    fn check_lane(&mut self, epoch: u64, lane: Lane, number: u32) -> Result<(), String> {
        let last = self.lanes.entry((epoch, lane)).or_insert(number);
        if *last > number {
            return Err(format!(
                "message {number} arrived first after the later {last} in session {epoch}"
            ));
        }
        *last = number;
        Ok(())
    }

    /// Sessions and messages that should have arrived in them and have not.
    pub(crate) fn dues(&self) -> impl Iterator<Item = (u64, u32)> {
        self.dues.iter().copied()
    }

    /// Groups and messages that should have arrived at a member and have not.
    pub(crate) fn shared_dues(&self) -> impl Iterator<Item = (&str, u32)> {
        self.shared.iter().flat_map(|(group, messages)| {
            let due = messages.iter().filter(|(_, share)| share.due);
            due.map(move |(number, _)| (group.as_str(), *number))
        })
    }

    /// A message is published: enters it for each group that has a member for certain.
    fn offer(&mut self, number: u32) {
        let note = &self.notes[number as usize];
        let groups = self.views.values().filter(|view| view.reliable);
        for group in groups.flat_map(|view| view.certain.keys()) {
            if !is_shared(group) || !matches(group, &note.topic) {
                continue;
            }
            let certain = note.qos != QoS::AtMostOnce && note.expiry.is_none() && note.len > 0;
            let share = Share {
                due: certain && !is_lossy(group),
                arrivals: 0,
            };
            let messages = self.shared.entry(group.clone()).or_default();
            messages.entry(number).or_insert(share);
        }
    }

    /// A session is not what it was: QoS 2 messages that were sent to it are lost with it
    /// [MQTT-4.8.2-5].
    fn lose_member(&mut self, epoch: u64) {
        let Self {
            views,
            shared,
            notes,
            ..
        } = self;
        let Some(view) = views.get(&epoch) else {
            return;
        };
        for record in view.records.iter().filter(|r| is_shared(&r.filter)) {
            let member = view.certain.contains_key(&record.filter);
            for (number, share) in shared.get_mut(&record.filter).into_iter().flatten() {
                // What was sent to a member that left the group afterwards is its own as well.
                share.due &= member && notes[*number as usize].qos != QoS::ExactlyOnce;
            }
        }
        self.forget_empty_groups();
    }

    /// Of a group that may be without a member nothing is promised, though it may come back.
    fn forget_empty_groups(&mut self) {
        let views = &self.views;
        self.shared.retain(|group, _| {
            let mut reliable = views.values().filter(|view| view.reliable);
            reliable.any(|view| view.certain.contains_key(group))
        });
    }

    fn recheck(&mut self, epoch: u64) {
        let Self {
            dues, views, notes, ..
        } = self;
        if let Some(view) = views.get(&epoch) {
            dues.retain(|(whose, number)| *whose != epoch || view.is_due(&notes[*number as usize]));
        }
    }
}

impl Record {
    /// A request that goes out in this step.
    pub(crate) fn new(
        filter: String,
        options: SubscriptionOptions,
        id: Option<u32>,
        step: u64,
    ) -> Self {
        Self {
            filter,
            options,
            id,
            from: step,
            to: None,
        }
    }
}

impl View {
    fn is_due(&self, note: &Note) -> bool {
        self.reliable
            && note.qos != QoS::AtMostOnce
            && self.certain.iter().any(|(filter, possible)| {
                !is_shared(filter)
                    && matches(filter, &note.topic)
                    && possible.iter().all(|at| {
                        let options = &self.records[*at].options;
                        options.qos != QoS::AtMostOnce
                            && !(options.no_local && note.publisher == self.client)
                    })
            })
    }

    /// Requests for which this message may have been sent as a retained one. What is still due when a
    /// subscription is replaced is for the new one.
    fn replays(&self, note: &Note) -> impl Iterator<Item = &Record> {
        let wanted = |record: &Record| record.options.retain_handling != RetainHandling::DoNotSend;
        self.records.iter().filter(move |record| {
            let mut same = self.records.iter().filter(|r| r.filter == record.filter);
            note.retain
                && !is_shared(&record.filter)
                && same.any(wanted)
                && note.retained_until.is_none_or(|until| until >= record.from)
                && matches(&record.filter, &note.topic)
        })
    }

    /// The groups that this session is or was in and that such a message is for.
    fn groups(&self, note: &Note) -> BTreeSet<String> {
        let shared = self.records.iter().filter(|r| is_shared(&r.filter));
        let matching = shared.filter(|r| matches(&r.filter, &note.topic));
        matching.map(|record| record.filter.clone()).collect()
    }

    /// Whether such a message can come here in one way only.
    fn only_by(&self, note: &Note) -> bool {
        let mut filters = self.records.iter().map(|record| &record.filter);
        let first = filters.clone().find(|f| matches(f, &note.topic));
        filters.all(|f| !matches(f, &note.topic) || Some(f) == first)
    }

    fn check_content(&self, number: u32, note: &Note, incoming: &Incoming) -> Result<(), String> {
        let message = &incoming.message;
        if message.topic() != note.topic || message.payload() != payload(number, note.len) {
            return Err(format!("message {number} {note:?} arrived as {message:?}"));
        }
        let expected: &[u8] = if self.v5 { &note.properties } else { &[] };
        if message.properties().as_bytes() != expected {
            return Err(format!(
                "message {number} {note:?} arrived with properties {:?}",
                message.properties()
            ));
        }
        if note.published.is_none() || note.accepted == 0 {
            return Err(format!("message {number} arrived before it was published"));
        }
        Ok(())
    }

    fn check_wanted(&self, number: u32, note: &Note, incoming: &Incoming) -> Result<(), String> {
        let published = note.published.unwrap_or(u64::MAX);
        let live = || {
            self.records.iter().filter(|record| {
                record.to.is_none_or(|to| to >= published)
                    && !(record.options.no_local && note.publisher == self.client)
                    && matches(&record.filter, &note.topic)
            })
        };
        let qos = |record: &Record| record.options.qos.min(note.qos) >= incoming.qos;
        let as_published = |record: &Record| record.options.retain_as_published;
        // Overlapping subscriptions make one delivery, with the highest QoS of all of them and
        // RETAIN if one of them keeps it.
        let wanted = match incoming.retain {
            true => {
                self.replays(note).any(qos)
                    || note.retain && live().any(as_published) && live().any(qos)
            }
            false => live().any(qos) && !(note.retain && live().all(as_published)),
        };
        let ids = incoming.subscription_ids.as_slice();
        let known = |id: &u32| {
            live()
                .chain(self.replays(note))
                .any(|record| record.id == Some(*id))
        };
        match wanted && ids.iter().all(known) {
            true => Ok(()),
            false => Err(format!(
                "client {} did not ask for message {number} {note:?} with QoS {:?}, retain {}, \
                 subscriptions {ids:?}; its requests: {:?}",
                self.client, incoming.qos, incoming.retain, self.records
            )),
        }
    }
}
