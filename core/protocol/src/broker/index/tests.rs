use super::*;
use crate::codec::QoS;
use crate::codec::subscribe::SubscriptionOptions;
use crate::seeded::Seeded;
use std::collections::BTreeMap;

fn plain(session: u32) -> Subscription {
    Subscription {
        session,
        group: None,
        identifier: None,
        options: SubscriptionOptions::default(),
    }
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::parse(text, usize::MAX).unwrap()
}

/// Sessions with the filters they get `topic` by, sorted.
fn matching(index: &SubscriptionIndex, topic: &str) -> Vec<(u32, Option<NonZeroU32>, String)> {
    let mut matches = Matches::default();
    index.matching(TopicName::parse(topic, usize::MAX).unwrap(), &mut matches);
    let mut found = Vec::new();
    for id in matches.filters() {
        for one in index.subscribers(*id) {
            found.push((one.session, one.group, index.text(*id).to_owned()));
        }
    }
    found.sort_unstable();
    found
}

fn sessions(index: &SubscriptionIndex, topic: &str) -> Vec<u32> {
    matching(index, topic)
        .into_iter()
        .map(|(session, ..)| session)
        .collect()
}

// [MQTT-3.8.4-3]
#[test]
fn the_same_filter_again_replaces() {
    let mut index = SubscriptionIndex::new(1);
    for text in ["a/b", "a/+"] {
        let one = index.insert(filter(text), plain(7));
        assert_eq!((one.previous, one.first), (None, true));
        let options = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            ..Default::default()
        };
        let again = index.insert(
            filter(text),
            Subscription {
                options,
                ..plain(7)
            },
        );
        assert_eq!((again.previous, again.first), (Some(plain(7)), false));
        assert_eq!(again.filter, one.filter);
        assert_eq!(
            index.subscribers(one.filter)[0].options.qos,
            QoS::ExactlyOnce
        );
    }
    assert_eq!((index.len(), index.filter_count()), (2, 2));
}

// [MQTT-3.3.4-3]
#[test]
fn overlapping_filters_are_all_reported() {
    let mut index = SubscriptionIndex::new(1);
    for text in ["a/b", "a/+", "a/#", "#", "+/b", "+/+/#", "a/b/#", "b/#"] {
        index.insert(filter(text), plain(1));
    }
    let found: Vec<String> = matching(&index, "a/b")
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    assert_eq!(found, ["#", "+/+/#", "+/b", "a/#", "a/+", "a/b", "a/b/#"]);
}

// [MQTT-4.7.2-1]
#[test]
fn reserved_names_need_their_first_level_spelled_out() {
    let mut index = SubscriptionIndex::new(1);
    for (session, text) in ["#", "+/b", "$SYS/#", "$SYS/+", "$SYS/b", "+/#"]
        .iter()
        .enumerate()
    {
        index.insert(filter(text), plain(session as u32));
    }
    assert_eq!(sessions(&index, "$SYS/b"), [2, 3, 4]);
    assert_eq!(sessions(&index, "$SYS"), [2]);
    assert_eq!(sessions(&index, "x/b"), [0, 1, 5]);
}

#[test]
fn a_group_and_its_member_are_apart() {
    let mut index = SubscriptionIndex::new(1);
    let group = NonZeroU32::new(9);
    let id = index.insert(filter("a"), plain(1)).filter;
    assert_eq!(
        index
            .insert(filter("a"), Subscription { group, ..plain(1) })
            .previous,
        None
    );
    assert_eq!(index.subscription(id, 1, group).unwrap().group, group);
    let removed = index.remove(id, 1, None).unwrap();
    assert_eq!((removed.subscription.group, removed.last), (None, false));
    assert_eq!(index.remove(id, 1, None), None);
    assert!(index.remove(id, 1, group).unwrap().last);
    assert_eq!(
        (index.len(), index.subscribers(id), index.text(id)),
        (0, &[][..], "")
    );
}

#[test]
fn agrees_with_matching_each_filter() {
    for seed in 0..12 {
        agrees_from(seed);
    }
}

fn agrees_from(seed: u64) {
    let mut seeded = Seeded::new(seed);
    let mut index = SubscriptionIndex::new(seed);
    let mut model: BTreeMap<(String, u32, Option<NonZeroU32>), Subscription> = BTreeMap::new();
    for step in 0..3_000u32 {
        let text = seeded.filter(4);
        let (session, group) = (
            seeded.below(50) as u32,
            NonZeroU32::new(seeded.below(2) as u32),
        );
        let key = (text.clone(), session, group);
        let known = model.keys().any(|(other, ..)| *other == text);
        if seeded.one_in(2) == (step % 1_000 < 600) {
            let id = index.find(filter(&text));
            assert_eq!(id.is_some(), known);
            let removed = id.and_then(|id| index.remove(id, session, group));
            assert_eq!(
                removed.map(|removed| removed.subscription),
                model.remove(&key)
            );
            if let Some(removed) = removed {
                assert_eq!(
                    removed.last,
                    !model.keys().any(|(other, ..)| *other == text)
                );
            }
        } else {
            let new = Subscription {
                group,
                identifier: NonZeroU32::new(step),
                ..plain(session)
            };
            let inserted = index.insert(filter(&text), new);
            assert_eq!(
                (inserted.previous, inserted.first),
                (model.insert(key, new), !known)
            );
            assert_eq!(index.text(inserted.filter), text);
        }
        assert_eq!(index.len(), model.len());
        if step % 10 == 0 {
            let topic = seeded.topic(4);
            let name = TopicName::parse(&topic, 9).unwrap();
            let mut expected: Vec<_> = model
                .keys()
                .filter(|(text, ..)| filter(text).matches(name))
                .map(|(text, session, group)| (*session, *group, text.clone()))
                .collect();
            expected.sort_unstable();
            assert_eq!(matching(&index, &topic), expected, "{topic}");
        }
    }
    let listed: usize = index.filters().map(|(.., all)| all.len()).sum();
    assert_eq!(listed, model.len());
    for (text, session, group) in model.into_keys() {
        let id = index.find(filter(&text)).unwrap();
        assert!(index.remove(id, session, group).is_some());
    }
    assert_eq!(
        (index.filter_count(), index.trie.len(), index.exact.len()),
        (0, 0, 0)
    );
}

#[test]
fn a_hundred_thousand_leave_one_filter_one_by_one() {
    // A walk per removal would be five billion steps.
    let mut index = SubscriptionIndex::new(1);
    let id = index.insert(filter("all"), plain(0)).filter;
    for session in 1..100_000 {
        assert_eq!(index.insert(filter("all"), plain(session)).filter, id);
    }
    for session in (0..100_000).step_by(2).chain((1..100_000).step_by(2)) {
        assert!(index.remove(id, session, None).is_some());
    }
    assert_eq!((index.len(), index.filter_count()), (0, 0));
}

#[test]
fn records_are_small() {
    assert!(size_of::<Filter>() <= 56, "{}", size_of::<Filter>());
    assert_eq!(size_of::<Key>(), 8);
}
