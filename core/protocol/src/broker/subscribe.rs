//! SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11).

use super::authorise::refused;
use super::held::Waiting;
use super::index::{Subscription, filter_weight};
use super::links::Links;
use super::mount::Texts;
use super::out::Out;
use super::record::SubscriptionRecord;
use super::shard::Shard;
use super::sums::may_hold;
use crate::codec::subscribe::{Request, RetainHandling, SubscriptionOptions};
use crate::codec::{Codes, Packet, Properties, PropertyId, SubAck, Subscribe, Unsubscribe};
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::topic::{SharedFilter, TopicFilter};
use std::num::NonZeroU32;

/// A SUBSCRIBE that may have to wait.
#[derive(Debug)]
pub(super) struct Subscribing {
    packet_id: u16,
    identifier: Option<NonZeroU32>,
    pub(super) wanted: Vec<Wanted>,
}

/// One filter of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) filter: Box<str>,
    pub(super) options: SubscriptionOptions,
    /// The client may not.
    pub(super) refusal: Option<ReasonCode>,
    /// The fingerprint of what the driver was asked.
    pub(super) open: Option<u64>,
}

impl Subscribing {
    fn new(subscribe: &Subscribe<'_>) -> Self {
        let wanted = |(filter, options): Request<'_>| Wanted {
            filter: filter.into(),
            options,
            refusal: None,
            open: None,
        };
        Self {
            packet_id: subscribe.packet_id,
            identifier: identifier(subscribe),
            wanted: subscribe.requests().map(wanted).collect(),
        }
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        let each = |wanted: &Wanted| size_of::<Wanted>() + wanted.filter.len();
        self.wanted.iter().map(each).sum()
    }
}

const NOT_A_FILTER: &str = "not a topic filter, or one with too many levels";

impl Shard {
    pub(super) fn handle_subscribe(
        &mut self,
        id: u32,
        subscribe: &Subscribe<'_>,
        now: Time,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.check_packet(subscribe.requests().count())?;
        if self.access.is_none() && !self.topics.exclusive {
            let requests = subscribe.requests().map(|request| (request, None));
            let (packet_id, identifier) = (subscribe.packet_id, identifier(subscribe));
            return self.subscribe_all(id, packet_id, identifier, requests, out);
        }
        let mut subscribing = Subscribing::new(subscribe);
        if self.access.is_some() && !self.may_subscribe(id, &mut subscribing, now, out) {
            self.ask(id, Waiting::Subscribe(subscribing));
            return Ok(());
        }
        self.claim_and_subscribe(id, subscribing, out)
    }

    /// Goes on with a SUBSCRIBE of which is known what the client may do.
    pub(super) fn claim_and_subscribe(
        &mut self,
        id: u32,
        subscribing: Subscribing,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        if !self.topics.exclusive {
            return self.subscribe_waited(id, &subscribing, out);
        }
        match self.ask_for_claims(id, subscribing, out) {
            Ok(()) => Ok(()),
            Err(subscribing) => self.subscribe_waited(id, &subscribing, out),
        }
    }

    /// Subscribes with what has waited for answers.
    pub(super) fn subscribe_waited(
        &mut self,
        id: u32,
        subscribing: &Subscribing,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let wanted = subscribing.wanted.iter();
        let requests = wanted.map(|wanted| ((&*wanted.filter, wanted.options), wanted.refusal));
        let (packet_id, identifier) = (subscribing.packet_id, subscribing.identifier);
        self.subscribe_all(id, packet_id, identifier, requests, out)
    }

    /// Subscribes, where nothing speaks against it, and answers.
    fn subscribe_all<'a>(
        &mut self,
        id: u32,
        packet_id: u16,
        identifier: Option<NonZeroU32>,
        requests: impl Iterator<Item = (Request<'a>, Option<ReasonCode>)>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        let v5 = self.links.conns[id].version.is_v5();
        let mut codes = std::mem::take(&mut self.scratch);
        codes.clear();
        let (mut broken, mut what) = (None, "");
        for ((filter, options), refusal) in requests {
            let subscribed = match refusal {
                None => self.subscribe(id, filter, options, identifier, out),
                Some(reason) => {
                    self.links.stats.subscriptions_denied += 1;
                    Err(refused(reason))
                }
            };
            if let (Ok(code), true) = (&subscribed, self.tells) {
                self.tell_subscribed(id, filter, code.0, out);
            }
            let code = subscribed.unwrap_or_else(|error| {
                if ends_the_connection(error.reason, v5) {
                    broken = broken.or(Some(error));
                } else if what.is_empty() {
                    what = error.what;
                }
                error.reason
            });
            codes.push(if v5 || !code.is_error() {
                code.0
            } else {
                // 3.1.1 has one code for failure; 3.1 has none, but answering says more than not.
                ReasonCode::UNSPECIFIED_ERROR.0
            });
        }
        if let Some(error) = broken {
            self.scratch = codes;
            return Err(error);
        }
        // One Reason String for all filters: about the first that failed.
        let explained = self.links.conns[id].explain(what);
        let [explained, plain] = [explained.get(), Properties::EMPTY].map(|properties| {
            Packet::SubAck(SubAck {
                packet_id,
                properties,
                codes: Codes(&codes),
            })
        });
        let sent = self.answer_first(id, [explained, plain], out);
        self.scratch = codes;
        sent
    }

    pub(super) fn handle_unsubscribe(
        &mut self,
        id: u32,
        unsubscribe: &Unsubscribe<'_>,
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.check_packet(unsubscribe.filters().count())?;
        let v5 = self.links.conns[id].version.is_v5();
        let mut codes = std::mem::take(&mut self.scratch);
        codes.clear();
        let mut what = "";
        for filter in unsubscribe.filters() {
            let code = self.unsubscribe(id, filter, out);
            if self.tells && code == ReasonCode::SUCCESS {
                self.tell_unsubscribed(id, filter, out);
            }
            if v5 {
                codes.push(code.0);
            }
            if code.is_error() {
                what = NOT_A_FILTER;
            }
        }
        let explained = self.links.conns[id].explain(what);
        let [explained, plain] = [explained.get(), Properties::EMPTY].map(|properties| {
            Packet::UnsubAck(SubAck {
                packet_id: unsubscribe.packet_id,
                properties,
                codes: Codes(&codes),
            })
        });
        let sent = self.answer_first(id, [explained, plain], out);
        self.scratch = codes;
        sent
    }

    pub(super) fn subscribe(
        &mut self,
        id: u32,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<NonZeroU32>,
        out: &mut Out,
    ) -> Result<ReasonCode, PeerError> {
        let invalid = |_| PeerError::new(ReasonCode::TOPIC_FILTER_INVALID, NOT_A_FILTER);
        self.links.stats.work += 1;
        let mut texts = Texts::default();
        let filter = self.filter_of(id, filter, &mut texts)?;
        let (filter, exclusive) = self.split_exclusive(filter);
        if exclusive {
            self.check_claim(filter)?;
        }
        let limits = &self.links.limits;
        let filter = TopicFilter::parse(filter, limits.topic_levels).map_err(invalid)?;
        let shared = SharedFilter::parse(filter).map_err(invalid)?;
        self.topics
            .check_filter(filter, identifier.is_some(), shared.is_some())?;
        let options = SubscriptionOptions {
            qos: options.qos.min(self.topics.maximum_qos), // [MQTT-3.2.2-10]
            ..options
        };
        let session = self.links.conns[id].session;
        if let Some(shared) = shared {
            // [MQTT-3.8.3-4]
            if options.no_local {
                return Err(PeerError::protocol("No Local on a shared subscription"));
            }
            self.share(session, shared, options, identifier, out)?;
        } else {
            let with = (options, identifier);
            self.enter(session, filter, exclusive, with, out)?;
        }
        Ok(ReasonCode(options.qos as u8))
    }

    /// Makes a subscription of this session alone, and sees to the retained messages that are due
    /// for it.
    fn enter(
        &mut self,
        session_slot: u32,
        filter: TopicFilter<'_>,
        exclusive: bool,
        (options, identifier): (SubscriptionOptions, Option<NonZeroU32>),
        out: &mut Out,
    ) -> Result<(), PeerError> {
        self.wake(session_slot);
        let session = &self.links.sessions[session_slot];
        let known = self.index.find(filter);
        let weight = filter_weight(filter);
        if !known.is_some_and(|known| session.filters.contains(&known)) {
            let most = self.links.limits.subscriptions;
            self.links.check_subscription(session_slot, weight, most)?;
        }
        let inserted = self.index.insert(
            filter,
            Subscription {
                session: session_slot,
                group: None,
                identifier,
                options,
            },
        );
        let session = &mut self.links.sessions[session_slot];
        if session.filters.insert(inserted.filter) {
            self.links.stats.subscriptions += 1;
            self.links.add_filter_bytes(session_slot, weight);
        }
        if exclusive {
            self.keep_claim(session_slot, filter.as_str());
        }
        let before = inserted.previous.map(|previous| previous.options.qos);
        if self.links.is_durable(session_slot) {
            let text = filter.as_str();
            let record = SubscriptionRecord {
                filter: text.into(),
                options,
                identifier,
                replay: None,
                replay_until: None,
                since: self.note_since(session_slot, inserted.filter, before),
            };
            self.keep_subscription(session_slot, record, before, out);
        }
        let wanted = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true, // [MQTT-3.3.1-9]
            RetainHandling::SendIfNew => before.is_none(), // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,      // [MQTT-3.3.1-11]
        };
        let (filter, qos, no_local) = (inserted.filter, options.qos, options.no_local);
        if wanted {
            self.add_replay(session_slot, filter, (identifier, before), qos, no_local);
        } else {
            self.change_replay(session_slot, filter, identifier, qos, no_local);
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: u32, filter: &str, out: &mut Out) -> ReasonCode {
        self.links.stats.work += 1;
        let mut texts = Texts::default();
        let filter = match self.filter_of(id, filter, &mut texts) {
            Ok(filter) => filter,
            Err(error) => return error.reason,
        };
        let (filter, _) = self.split_exclusive(filter);
        let Ok(filter) = TopicFilter::parse(filter, self.links.limits.topic_levels) else {
            return ReasonCode::TOPIC_FILTER_INVALID;
        };
        let session_slot = self.links.conns[id].session;
        if let Ok(Some(shared)) = SharedFilter::parse(filter) {
            return match self.unshare(session_slot, shared, out) {
                true => ReasonCode::SUCCESS,
                false => ReasonCode::NO_SUBSCRIPTION_EXISTED,
            };
        }
        let durable = self.links.is_durable(session_slot);
        let session = &mut self.links.sessions[session_slot];
        let found = self.index.find(filter);
        let Some(known) = found.filter(|known| session.filters.remove(known)) else {
            if durable {
                // The store may have it, from a time when it refused what came later.
                self.drop_subscription(session_slot, filter.as_str(), None, out);
            }
            return ReasonCode::NO_SUBSCRIPTION_EXISTED;
        };
        let removed = self.index.remove(known, session_slot, None);
        if let Some(kept) = self.links.sessions[session_slot].log() {
            kept.sinces.remove(&known);
        }
        if durable {
            let before = removed.map(|removed| removed.subscription.options.qos);
            self.drop_subscription(session_slot, filter.as_str(), before, out);
        }
        self.links.stats.subscriptions -= 1;
        let weight = filter_weight(filter);
        self.links.remove_filter_bytes(session_slot, weight);
        self.cancel_replay(session_slot, known);
        self.free_claim(session_slot, filter.as_str(), out);
        ReasonCode::SUCCESS
    }
}

impl Shard {
    /// Whether a SUBSCRIBE or UNSUBSCRIBE names no more filters than it may.
    fn check_packet(&mut self, filters: usize) -> Result<(), PeerError> {
        if filters <= self.links.limits.packet_filters {
            return Ok(());
        }
        self.links.stats.over_limit.packet_filters += 1;
        let what = "too many topic filters in one packet";
        Err(PeerError::new(ReasonCode::QUOTA_EXCEEDED, what))
    }
}

impl Links {
    /// Whether a session, which may have `most` subscriptions, may have one more of this weight.
    pub(super) fn check_subscription(
        &mut self,
        session: u32,
        weight: usize,
        most: usize,
    ) -> Result<(), PeerError> {
        let session = &self.sessions[session];
        let (limits, total) = (&self.limits, self.stats.filter_bytes);
        let own = session.filter_bytes as usize;
        let most_bytes = limits.filter_bytes.min(u32::MAX as usize);
        let over_limit = &mut self.stats.over_limit;
        let (counter, what) = if session.subscriptions() >= most {
            (&mut over_limit.subscriptions, "too many subscriptions")
        } else if own.saturating_add(weight) > most_bytes {
            let what = "the topic filters take more bytes than they may";
            (&mut over_limit.filter_bytes, what)
        } else if !may_hold(limits.sums.filter_bytes, total, own, weight) {
            let what = "the topic filters of all clients take as much as they may";
            (&mut over_limit.shard_filter_bytes, what)
        } else {
            return Ok(());
        };
        *counter += 1;
        Err(PeerError::new(ReasonCode::QUOTA_EXCEEDED, what))
    }

    /// A session has something more of what [`Limits::filter_bytes`](super::limits::Limits) counts.
    pub(super) fn add_filter_bytes(&mut self, session: u32, bytes: usize) {
        // Less than 4 GiB: see `check_subscription`.
        self.sessions[session].filter_bytes += bytes as u32;
        self.stats.filter_bytes += bytes as u64;
    }

    /// A session has something less of it.
    pub(super) fn remove_filter_bytes(&mut self, session: u32, bytes: usize) {
        self.sessions[session].filter_bytes -= bytes as u32;
        self.stats.filter_bytes -= bytes as u64;
    }
}

/// What is wrong with more than one filter: the client asks for what it was told there is not
/// (3.2.2.3.11, 3.2.2.3.12). Before MQTT 5.0 it was not told.
fn ends_the_connection(reason: ReasonCode, v5: bool) -> bool {
    reason == ReasonCode::PROTOCOL_ERROR
        || v5
            && matches!(
                reason,
                ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
                    | ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
                    | ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
            )
}

/// The Subscription Identifier of a SUBSCRIBE.
fn identifier(subscribe: &Subscribe<'_>) -> Option<NonZeroU32> {
    let number = subscribe
        .properties
        .number(PropertyId::SubscriptionIdentifier);
    number.and_then(NonZeroU32::new)
}
