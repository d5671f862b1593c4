//! Exclusive subscriptions: `$exclusive/{filter}` is a subscription to the filter that one client at a
//! time may have, on whatever shard.

use super::arena::NONE;
use super::connection::Stage;
use super::held::Waiting;
use super::mount::Texts;
use super::out::Out;
use super::shard::Shard;
use super::subscribe::Subscribing;
use super::topics::Topics;
use crate::error::PeerError;
use crate::reason::ReasonCode;
use crate::time::Time;
use crate::topic::{SHARE_PREFIX, SharedFilter, TopicFilter};
use std::collections::{BTreeMap, BTreeSet};

/// What the filter of an exclusive subscription begins with.
pub const EXCLUSIVE_PREFIX: &str = "$exclusive/";

/// Who has which filter for itself: one table for all shards of a broker.
#[derive(Debug)]
pub struct Claims {
    owners: BTreeMap<Box<str>, Box<str>>,
    limit: usize,
}

/// An operation on [`Claims`].
#[derive(Debug)]
pub enum ClaimOp {
    /// Takes those filters that nobody else has, and is answered with
    /// [`Shard::handle_claims`](super::Shard::handle_claims).
    Take(ClaimTicket),
    /// Gives filters up, as far as this client has them.
    Free {
        /// Whose they are.
        client_id: Box<str>,
        /// Topic filters without the prefix.
        filters: Vec<Box<str>>,
    },
}

/// What is to be taken, for whom, and who waits for it.
#[derive(Debug)]
pub struct ClaimTicket {
    conn: u32,
    serial: u32,
    client_id: Box<str>,
    filters: Vec<Box<str>>,
}

impl Claims {
    /// An empty table of at most `limit` filters. One more is not granted.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            owners: BTreeMap::new(),
            limit,
        }
    }

    /// Filters that somebody has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether nobody has any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Carries an operation out. The answer, if there is one, says for each filter whether it is
    /// granted.
    pub fn apply(&mut self, op: ClaimOp) -> Option<(ClaimTicket, Vec<bool>)> {
        match op {
            ClaimOp::Take(ticket) => {
                let filters = ticket.filters.iter();
                let granted = filters.map(|f| self.take(f, &ticket.client_id)).collect();
                Some((ticket, granted))
            }
            ClaimOp::Free { client_id, filters } => {
                for filter in filters {
                    if self.owners.get(&filter) == Some(&client_id) {
                        self.owners.remove(&filter);
                    }
                }
                None
            }
        }
    }

    fn take(&mut self, filter: &str, client_id: &str) -> bool {
        if let Some(owner) = self.owners.get(filter) {
            return **owner == *client_id;
        }
        let room = self.owners.len() < self.limit;
        if room {
            self.owners.insert(filter.into(), client_id.into());
        }
        room
    }
}

impl Topics {
    fn split_exclusive<'a>(&self, filter: &'a str) -> (&'a str, bool) {
        let inner = self
            .exclusive
            .then(|| filter.strip_prefix(EXCLUSIVE_PREFIX));
        match inner.flatten() {
            Some(inner) => (inner, true),
            None => (filter, false),
        }
    }

    /// The filter that rules are about, and the name of the group, if there is one; `None`: no filter.
    pub(super) fn split_filter<'a>(
        &self,
        filter: &'a str,
        levels: usize,
    ) -> Option<(&'a str, Option<&'a str>)> {
        let (filter, _) = self.split_exclusive(filter);
        let filter = TopicFilter::parse(filter, levels).ok()?;
        Some(match SharedFilter::parse(filter).ok()? {
            Some(shared) => (shared.filter.as_str(), Some(shared.share_name)),
            None => (filter.as_str(), None),
        })
    }
}

impl Shard {
    /// The answer to a [`ClaimOp::Take`]: goes on with the SUBSCRIBE that waits for it, and with what
    /// the client has sent since. What was granted and is of no use any more is given up.
    pub fn handle_claims(
        &mut self,
        ticket: ClaimTicket,
        granted: &[bool],
        now: Time,
        out: &mut Out,
    ) {
        let ClaimTicket {
            conn: id,
            serial,
            client_id,
            filters,
        } = ticket;
        let granted = filters.into_iter().zip(granted);
        self.granted = granted.filter_map(|(f, yes)| yes.then_some(f)).collect();
        let conn = self.links.conns.get_mut(id);
        let same = conn.filter(|c| c.serial == serial && c.stage == Stage::Connected);
        let waiting = same.and_then(|conn| conn.held.as_mut()?.waiting.take());
        let done = match waiting {
            Some(Waiting::Claims(subscribing)) => {
                Some(self.subscribe_waited(id, &subscribing, out))
            }
            _ => None,
        };
        let session = self.find_session(&client_id);
        let kept = session.and_then(|slot| self.links.sessions[slot].exclusive.as_deref());
        let is_kept = |filter: &str| kept.is_some_and(|kept| kept.contains(filter));
        let mut left = std::mem::take(&mut self.granted);
        left.retain(|filter| !is_kept(filter));
        if !left.is_empty() {
            let filters = left.into_iter().collect();
            out.claims.push(ClaimOp::Free { client_id, filters });
        }
        match done {
            None => {}
            Some(Ok(())) => self.answered(id, now, out),
            Some(Err(error)) => self.fail(id, error, now, out),
        }
    }

    /// Asks for the filters of a SUBSCRIBE that nobody else may have: it waits for the answer. Hands it back
    /// when there are none.
    pub(super) fn ask_for_claims(
        &mut self,
        id: u32,
        subscribing: Subscribing,
        out: &mut Out,
    ) -> Result<(), Subscribing> {
        let mut texts = Texts::default();
        let mut filters = Vec::new();
        for wanted in subscribing
            .wanted
            .iter()
            .filter(|wanted| wanted.refusal.is_none())
        {
            // What can't be rewritten is refused when it is subscribed to.
            let filter = self.filter_of(id, &wanted.filter, &mut texts);
            if let Ok(filter) = filter
                && let Some(filter) = filter.strip_prefix(EXCLUSIVE_PREFIX)
                && self.check_exclusive(filter).is_ok()
            {
                filters.push(filter.into());
            }
        }
        if filters.is_empty() {
            return Err(subscribing);
        }
        self.ask(id, Waiting::Claims(subscribing));
        let conn = &self.links.conns[id];
        out.claims.push(ClaimOp::Take(ClaimTicket {
            conn: id,
            serial: conn.serial,
            client_id: self.links.sessions[conn.session].client_id.clone(),
            filters,
        }));
        Ok(())
    }

    /// The filter that is meant, and whether this client alone is to have it.
    pub(super) fn split_exclusive<'a>(&self, filter: &'a str) -> (&'a str, bool) {
        self.topics.split_exclusive(filter)
    }

    /// Whether this session may have the filter for itself, as far as that was asked for.
    pub(super) fn check_claim(&mut self, filter: &str) -> Result<(), PeerError> {
        self.check_exclusive(filter)?;
        if self.granted.contains(filter) {
            return Ok(());
        }
        self.links.stats.exclusive_refused += 1;
        Err(PeerError::new(
            ReasonCode::QUOTA_EXCEEDED,
            "another client has this exclusive subscription",
        ))
    }

    /// The session has subscribed to what was granted.
    pub(super) fn keep_claim(&mut self, slot: u32, filter: &str) {
        if let Some(filter) = self.granted.take(filter) {
            self.add_claim(slot, filter);
        }
    }

    fn add_claim(&mut self, slot: u32, filter: Box<str>) {
        let session = &mut self.links.sessions[slot];
        let weight = claim_weight(&filter, &session.client_id);
        let kept = session.exclusive.get_or_insert_default();
        if kept.insert(filter) {
            self.links.stats.exclusive += 1;
            self.links.add_filter_bytes(slot, weight);
        }
    }

    /// A session that was restored has the filter for itself: nobody else could have taken it before.
    pub(super) fn claim_again(&mut self, slot: u32, filter: &str, out: &mut Out) {
        self.add_claim(slot, filter.into());
        let session = &self.links.sessions[slot];
        out.claims.push(ClaimOp::Take(ClaimTicket {
            conn: NONE,
            serial: 0,
            client_id: session.client_id.clone(),
            filters: vec![filter.into()],
        }));
    }

    /// The session has unsubscribed.
    pub(super) fn free_claim(&mut self, slot: u32, filter: &str, out: &mut Out) {
        let session = &mut self.links.sessions[slot];
        let Some(kept) = &mut session.exclusive else {
            return;
        };
        if let Some(filter) = kept.take(filter) {
            if kept.is_empty() {
                session.exclusive = None;
            }
            let client_id = session.client_id.clone();
            self.links.stats.exclusive -= 1;
            let weight = claim_weight(&filter, &client_id);
            self.links.remove_filter_bytes(slot, weight);
            let filters = vec![filter];
            out.claims.push(ClaimOp::Free { client_id, filters });
        }
    }

    /// The session ends.
    pub(super) fn free_all_claims(&mut self, slot: u32, out: &mut Out) {
        let session = &mut self.links.sessions[slot];
        if let Some(kept) = session.exclusive.take() {
            self.links.stats.exclusive -= kept.len() as u64;
            out.claims.push(ClaimOp::Free {
                client_id: session.client_id.clone(),
                filters: kept.into_iter().collect(),
            });
        }
    }

    fn check_exclusive(&self, filter: &str) -> Result<(), PeerError> {
        let valid = TopicFilter::parse(filter, self.links.limits.topic_levels).is_ok();
        if valid && !filter.starts_with(SHARE_PREFIX) {
            return Ok(());
        }
        Err(PeerError::new(
            ReasonCode::TOPIC_FILTER_INVALID,
            "not $exclusive/{filter}",
        ))
    }
}

/// What an exclusive subscription weighs besides the subscription: it stands in the session and in the
/// table of all.
pub(super) fn claim_weight(filter: &str, client_id: &str) -> usize {
    128 + 2 * filter.len() + client_id.len()
}

/// What a session has for itself.
pub(super) type Exclusive = BTreeSet<Box<str>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(claims: &mut Claims, client_id: &str, filters: &[&str]) -> Vec<bool> {
        let ticket = ClaimTicket {
            conn: 0,
            serial: 0,
            client_id: client_id.into(),
            filters: filters.iter().map(|f| Box::from(*f)).collect(),
        };
        claims.apply(ClaimOp::Take(ticket)).unwrap().1
    }

    #[test]
    fn a_filter_has_one_owner_until_he_gives_it_up() {
        let mut claims = Claims::new(2);
        assert_eq!(take(&mut claims, "a", &["x", "x"]), [true, true]);
        assert_eq!(
            take(&mut claims, "b", &["x", "y", "z"]),
            [false, true, false]
        );
        let free = |client_id: &str, filters: &[&str]| ClaimOp::Free {
            client_id: client_id.into(),
            filters: filters.iter().map(|f| Box::from(*f)).collect(),
        };
        assert!(claims.apply(free("b", &["x", "q"])).is_none());
        assert_eq!((claims.len(), claims.is_empty()), (2, false));
        claims.apply(free("a", &["x", "y"]));
        assert_eq!(take(&mut claims, "b", &["x", "y"]), [true, true]);
    }
}
