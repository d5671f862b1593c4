use super::*;
use crate::seeded::Seeded;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Note(String, usize);

impl Weight for Note {
    fn weight(&self) -> usize {
        self.1
    }
}

const NO_LIMITS: RetainedLimits = RetainedLimits {
    messages: usize::MAX,
    bytes: usize::MAX,
};

fn name(text: &str) -> TopicName<'_> {
    TopicName::parse(text, usize::MAX).unwrap()
}

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::parse(text, usize::MAX).unwrap()
}

fn put(store: &mut Retained<Note>, topic: &str) {
    store
        .put(name(topic), Note(topic.to_owned(), 1), Time::NEVER)
        .unwrap();
}

fn found(store: &Retained<Note>, of: &str, max: usize) -> Vec<String> {
    let (mut topics, mut from) = (Vec::new(), Cursor::default());
    loop {
        match store.page(filter(of), &from, Time(0), max, |note| {
            topics.push(note.0.clone())
        }) {
            Some(next) => from = next,
            None => return topics,
        }
    }
}

// [MQTT-3.3.1-5] [MQTT-3.3.1-6]
#[test]
fn one_message_per_topic_until_removed() {
    let mut store = Retained::new(NO_LIMITS);
    assert_eq!(
        store.put(name("a/b"), Note("old".into(), 5), Time::NEVER),
        Ok(None)
    );
    let old = store.put(name("a/b"), Note("new".into(), 7), Time::NEVER);
    assert_eq!(old, Ok(Some(Note("old".into(), 5))));
    assert_eq!((store.len(), store.bytes()), (1, 3 + 7 + RETAINED_OVERHEAD));
    assert_eq!(store.get(name("a/b"), Time(0)).unwrap().0, "new");
    assert_eq!(store.remove(name("a/b")).unwrap().0, "new");
    assert_eq!(
        (store.remove(name("a/b")), store.bytes(), store.is_empty()),
        (None, 0, true)
    );
}

#[test]
fn limits_refuse_and_change_nothing() {
    let limits = RetainedLimits {
        messages: 2,
        bytes: 2 * (1 + 10 + RETAINED_OVERHEAD),
    };
    let mut store = Retained::new(limits);
    for topic in ["a", "b"] {
        assert!(
            store
                .put(name(topic), Note(topic.into(), 10), Time::NEVER)
                .is_ok()
        );
    }
    assert_eq!(
        store.put(name("b"), Note("big".into(), 11), Time(9)),
        Err(RetainedFull::Bytes)
    );
    assert_eq!(
        store.put(name("c"), Note("c".into(), 0), Time(9)),
        Err(RetainedFull::Bytes)
    );
    assert_eq!(store.get(name("b"), Time(0)).unwrap().0, "b");
    assert!(
        store
            .put(name("b"), Note("small".into(), 0), Time::NEVER)
            .is_ok()
    );
    let mut store = Retained::new(RetainedLimits {
        messages: 1,
        bytes: usize::MAX,
    });
    put(&mut store, "a");
    assert_eq!(
        store.put(name("c"), Note("c".into(), 0), Time(9)),
        Err(RetainedFull::Messages)
    );
    assert_eq!(
        store.put(name("c"), Note("c".into(), usize::MAX / 2), Time(9)),
        Err(RetainedFull::Messages)
    );
    assert!(
        !store.sweep(Time(10), 9, |_| ()),
        "a refused message leaves no trace"
    );
}

#[test]
fn finds_by_filter_in_topic_order() {
    let mut store = Retained::new(NO_LIMITS);
    for topic in [
        "a", "a/b", "a/b/c", "a-b", "a!/b", "a/", "/a", "$SYS/b", "$SYS", "b/b", "a/c/c",
    ] {
        put(&mut store, topic);
    }
    for max in [1, 2, 100] {
        assert_eq!(
            found(&store, "a/#", max),
            ["a", "a/", "a/b", "a/b/c", "a/c/c"]
        );
        assert_eq!(found(&store, "+/b", max), ["a/b", "a!/b", "b/b"]);
        assert_eq!(found(&store, "a/+/c", max), ["a/b/c", "a/c/c"]);
        assert_eq!(found(&store, "+", max), ["a", "a-b"]);
        assert_eq!(found(&store, "a/b", max), ["a/b"]);
        assert_eq!(found(&store, "a/x", max), [""; 0]);
        assert_eq!(found(&store, "/+", max), ["/a"]);
    }
}

// [MQTT-4.7.2-1]
#[test]
fn leading_wildcards_find_no_reserved_topics() {
    let mut store = Retained::new(NO_LIMITS);
    for topic in ["!", "$", "$SYS/a", "$SYS/b", "%", "a"] {
        put(&mut store, topic);
    }
    assert_eq!(found(&store, "#", 1), ["!", "%", "a"]);
    assert_eq!(found(&store, "+/a", 1), [""; 0]);
    assert_eq!(found(&store, "$SYS/#", 1), ["$SYS/a", "$SYS/b"]);
    assert_eq!(found(&store, "$SYS/+", 9), ["$SYS/a", "$SYS/b"]);
}

#[test]
fn expired_messages_are_not_found_and_are_swept() {
    let mut store = Retained::new(NO_LIMITS);
    for n in 0..100u64 {
        let expires = if n % 2 == 0 { Time(n) } else { Time::NEVER };
        store
            .put(name(&format!("t/{n}")), Note(n.to_string(), 1), expires)
            .unwrap();
    }
    let mut live = 0;
    assert_eq!(
        store.page(filter("t/+"), &Cursor::default(), Time(50), 999, |_| {
            live += 1
        }),
        None
    );
    assert_eq!(live, 50 + 24);
    assert_eq!(store.get(name("t/50"), Time(50)), None);
    let mut gone = Vec::new();
    for _ in 0..20 {
        assert!(store.sweep(Time(50), 10, |note| {
            gone.push(note.0.parse::<u64>().unwrap())
        }));
    }
    gone.sort_unstable();
    assert!(gone.into_iter().eq((0..=50).step_by(2)));
    assert!(!store.sweep(Time(999), 999, |_| ()) || !store.sweep(Time(999), 999, |_| ()));
    assert_eq!(store.len(), 50);
}

#[test]
fn a_page_ends_after_so_many_topics_without_a_match() {
    let mut store = Retained::new(NO_LIMITS);
    for n in 0..3 * MAX_TOPICS_PER_PAGE {
        put(&mut store, &format!("{n:06}/x"));
    }
    put(&mut store, "zzz/y");
    let (mut pages, mut topics, mut from) = (0, Vec::new(), Cursor::default());
    while let Some(next) = store.page(filter("+/y"), &from, Time(0), 10, |note| {
        topics.push(note.0.clone())
    }) {
        from = next;
        pages += 1;
    }
    assert!((2..=6).contains(&pages), "{pages}");
    assert_eq!(topics, ["zzz/y"]);
}

#[test]
fn agrees_with_matching_each_topic() {
    let mut seeded = Seeded::new(8);
    for _ in 0..60 {
        let (mut store, mut model) = (Retained::new(NO_LIMITS), BTreeSet::new());
        for _ in 0..seeded.below(300) {
            let topic = seeded.topic(5);
            if seeded.one_in(4) {
                assert_eq!(store.remove(name(&topic)).is_some(), model.remove(&topic));
            } else {
                put(&mut store, &topic);
                model.insert(topic);
            }
        }
        for _ in 0..40 {
            let of = seeded.filter(5);
            let mut got = found(&store, &of, 1 + seeded.below(5));
            got.sort_unstable();
            let expected = model
                .iter()
                .filter(|topic| filter(&of).matches(name(topic)));
            assert!(got.iter().eq(expected), "{of}: {got:?}");
        }
    }
}

#[test]
fn what_stays_is_found_once_whatever_changes_between_pages() {
    let mut seeded = Seeded::new(9);
    for _ in 0..200 {
        let mut store = Retained::new(NO_LIMITS);
        for _ in 0..100 {
            put(&mut store, &seeded.topic(4));
        }
        let of = seeded.filter(3);
        let matching = |topic: &&str| filter(&of).matches(name(topic));
        let mut stays: BTreeSet<String> = store.iter().map(|note| note.0.clone()).collect();
        let (mut times, mut from) = (BTreeMap::<String, usize>::new(), Cursor::default());
        while let Some(next) =
            store.page(filter(&of), &from, Time(0), 1 + seeded.below(4), |note| {
                *times.entry(note.0.clone()).or_default() += 1;
            })
        {
            from = next;
            for _ in 0..3 {
                let topic = seeded.topic(4);
                if seeded.one_in(2) {
                    put(&mut store, &topic);
                } else {
                    store.remove(name(&topic));
                    stays.remove(&topic);
                }
            }
        }
        assert!(times.values().all(|times| *times == 1));
        // The last page came after the last change, so all that stayed has been passed.
        let missed: Vec<_> = stays
            .iter()
            .map(String::as_str)
            .filter(matching)
            .filter(|topic| !times.contains_key(*topic))
            .collect();
        assert!(missed.is_empty(), "{of}: {missed:?}");
    }
}
