//! What was subscribed to, so that it can be subscribed to again.

use std::collections::{BTreeMap, HashMap};

use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::Token;
use ternmq_protocol::codec::{Properties, PropertiesBuf, Request, SubscriptionOptions};

/// The subscriptions that the server has acknowledged, and the requests that it hasn't yet.
#[derive(Default)]
pub(crate) struct Subscriptions {
    held: BTreeMap<String, Held>,
    open: HashMap<Token, Open>,
}

/// A subscription as it was asked for.
struct Held {
    options: SubscriptionOptions,
    properties: PropertiesBuf,
}

enum Open {
    Subscribe {
        filters: Vec<(String, SubscriptionOptions)>,
        properties: PropertiesBuf,
        /// Made by the link itself, which keeps the answer to itself.
        again: bool,
    },
    Unsubscribe(Vec<String>),
}

/// Subscriptions to be made again with one SUBSCRIBE: those with the same properties.
pub(crate) struct Batch {
    pub(crate) filters: Vec<(String, SubscriptionOptions)>,
    pub(crate) properties: PropertiesBuf,
}

/// Most filters in one SUBSCRIBE that the link makes itself: servers limit the size of packets.
const BATCH: usize = 64;

impl Subscriptions {
    /// Notes a SUBSCRIBE that was sent.
    pub(crate) fn asked(
        &mut self,
        token: Token,
        requests: &[Request<'_>],
        properties: Properties<'_>,
    ) {
        let filters = requests
            .iter()
            .map(|(filter, options)| ((*filter).to_owned(), *options))
            .collect();
        let open = Open::Subscribe {
            filters,
            properties: properties.into(),
            again: false,
        };
        self.open.insert(token, open);
    }

    /// Notes a SUBSCRIBE that the link made itself.
    pub(crate) fn asked_again(&mut self, token: Token, batch: Batch) {
        let open = Open::Subscribe {
            filters: batch.filters,
            properties: batch.properties,
            again: true,
        };
        self.open.insert(token, open);
    }

    /// Notes an UNSUBSCRIBE that was sent.
    pub(crate) fn asked_to_end(&mut self, token: Token, filters: &[&str]) {
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        self.open.insert(token, Open::Unsubscribe(filters));
    }

    /// Forgets a subscription that could not be ended on the server.
    pub(crate) fn forget(&mut self, filter: &str) {
        self.held.remove(filter);
    }

    /// A SUBACK or UNSUBACK. Returns how many subscriptions were lost when the link itself had
    /// asked, `None` when somebody else waits for the answer.
    pub(crate) fn answered(&mut self, token: Token, codes: &[ReasonCode]) -> Option<u64> {
        match self.open.remove(&token)? {
            Open::Subscribe {
                filters,
                properties,
                again,
            } => {
                let mut lost = 0;
                for ((filter, options), code) in filters.into_iter().zip(codes) {
                    if !code.is_error() {
                        let properties = properties.clone();
                        let held = Held {
                            options,
                            properties,
                        };
                        self.held.insert(filter, held);
                    } else if again {
                        self.held.remove(&filter);
                        lost += 1;
                    }
                }
                again.then_some(lost)
            }
            Open::Unsubscribe(filters) => {
                for (filter, code) in filters.iter().zip(codes) {
                    if !code.is_error() {
                        self.held.remove(filter);
                    }
                }
                None
            }
        }
    }

    /// A request that got no answer. Returns whether the link itself had asked.
    pub(crate) fn unanswered(&mut self, token: Token) -> bool {
        matches!(
            self.open.remove(&token),
            Some(Open::Subscribe { again: true, .. })
        )
    }

    /// Whether an answer is awaited.
    pub(crate) fn awaits_answer(&self) -> bool {
        !self.open.is_empty()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.open.clear();
    }

    /// Everything that is held, to be asked for again.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for (filter, held) in &self.held {
            let fits = |batch: &&mut Batch| {
                batch.properties == held.properties && batch.filters.len() < BATCH
            };
            let request = (filter.clone(), held.options);
            match batches.iter_mut().rev().find(fits) {
                Some(batch) => batch.filters.push(request),
                None => batches.push(Batch {
                    filters: vec![request],
                    properties: held.properties.clone(),
                }),
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(table: &mut Subscriptions, token: u16, filters: &[&str]) {
        let requests: Vec<Request<'_>> = filters
            .iter()
            .map(|f| (*f, SubscriptionOptions::default()))
            .collect();
        table.asked(Token(token), &requests, Properties::EMPTY);
    }

    fn held(table: &Subscriptions) -> Vec<String> {
        let batches = table.batches();
        batches
            .iter()
            .flat_map(|b| b.filters.iter().map(|f| f.0.clone()))
            .collect()
    }

    #[test]
    fn only_what_was_granted_is_held_until_it_is_unsubscribed() {
        let mut table = Subscriptions::default();
        ask(&mut table, 1, &["a", "b", "c"]);
        assert!(held(&table).is_empty());
        let granted = ReasonCode::GRANTED_QOS_1;
        let codes = [granted, ReasonCode::NOT_AUTHORIZED, granted];
        assert_eq!(table.answered(Token(1), &codes), None);
        assert_eq!(held(&table), ["a", "c"]);
        table.asked_to_end(Token(2), &["a", "x"]);
        table.answered(
            Token(2),
            &[ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED],
        );
        assert_eq!(held(&table), ["c"]);
    }

    #[test]
    fn what_the_server_refuses_to_make_again_is_counted_and_forgotten() {
        let mut table = Subscriptions::default();
        ask(&mut table, 1, &["a", "b"]);
        table.answered(Token(1), &[ReasonCode::SUCCESS, ReasonCode::SUCCESS]);
        let batch = table.batches().pop().unwrap();
        table.asked_again(Token(2), batch);
        let codes = [ReasonCode::SUCCESS, ReasonCode::QUOTA_EXCEEDED];
        assert_eq!(table.answered(Token(2), &codes), Some(1));
        assert_eq!(held(&table), ["a"]);
    }

    #[test]
    fn a_request_without_an_answer_changes_nothing() {
        let mut table = Subscriptions::default();
        ask(&mut table, 1, &["a"]);
        assert!(!table.unanswered(Token(1)));
        assert!(held(&table).is_empty());
        assert_eq!(table.answered(Token(1), &[ReasonCode::SUCCESS]), None);
    }
}
