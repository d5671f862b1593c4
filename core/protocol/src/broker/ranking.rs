//! Which messages matter more than others when they have to wait.

use crate::topic::{TopicFilter, TopicName};

/// Priorities of messages by topic, for what waits in sessions' queues: higher ones are sent first and
/// dropped last. Without filters there are none, and the order is that of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priorities {
    /// Topic filters with the priority of what they match; the first that matches counts. Those that
    /// are no valid topic filter match nothing.
    pub filters: Vec<(Box<str>, u8)>,
    /// The priority of all other topics.
    pub default: u8,
}

/// The priorities, and the answer that was given last: most questions in a row are the same.
#[derive(Debug)]
pub(super) struct Ranking {
    filters: Vec<(Box<str>, u8)>,
    default: u8,
    topic: String,
    priority: u8,
}

impl Ranking {
    pub(super) fn new(priorities: &Priorities) -> Self {
        let valid = |text: &str| TopicFilter::parse(text, usize::MAX).is_ok();
        let filters = priorities.filters.iter();
        Self {
            filters: filters.filter(|(text, _)| valid(text)).cloned().collect(),
            default: priorities.default,
            topic: String::new(),
            priority: 0,
        }
    }

    /// The priority of a topic; 0 at no cost when there are no filters.
    pub(super) fn of(&mut self, topic: &[u8]) -> u8 {
        if self.filters.is_empty() || self.topic.as_bytes() == topic {
            return self.priority;
        }
        let Ok(topic) = std::str::from_utf8(topic) else {
            return self.default;
        };
        let name = TopicName::assume(topic);
        let mut filters = self.filters.iter();
        let found = filters.find(|(filter, _)| TopicFilter::assume(filter).matches(name));
        self.priority = found.map_or(self.default, |(_, priority)| *priority);
        self.topic.clear();
        self.topic.push_str(topic);
        self.priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_filter_that_matches_counts() {
        let filter = |text: &str, priority| (text.into(), priority);
        let mut ranking = Ranking::new(&Priorities {
            filters: vec![
                filter("alarm/fire", 255),
                filter("alarm/+", 7),
                filter("#bad", 9),
                filter("alarm/#", 200),
                filter("log/#", 0),
            ],
            default: 3,
        });
        for (topic, priority) in [
            ("alarm/fire", 255),
            ("alarm/door", 7),
            ("alarm", 200),
            ("alarm/door", 7),
            ("log/x", 0),
            ("other", 3),
            ("other", 3),
        ] {
            assert_eq!(ranking.of(topic.as_bytes()), priority, "{topic}");
        }
    }

    #[test]
    fn without_filters_all_are_equal() {
        let mut ranking = Ranking::new(&Priorities {
            filters: vec![],
            default: 3,
        });
        assert_eq!(ranking.of(b"a"), 0);
    }
}
