use crate::choice;
use ternmq_protocol::topic::{MAX_TOPIC_BYTES, SharedFilter, TopicFilter, TopicName};

/// What parses as a topic name or filter keeps to the rules of 4.7 and reads back as it was, and
/// matching agrees with the rules written down a second time, level by level.
///
/// The first byte is the limit of levels; a line feed ends the name and begins the filter.
pub fn topic(data: &[u8]) {
    let Some((levels, data)) = choice(data) else {
        return;
    };
    let limit = if levels == 0 { usize::MAX } else { levels };
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (name, filter) = (&data[..at], data.get(at + 1..).unwrap_or(b""));
    let name = TopicName::parse_bytes(name, limit).ok().inspect(|n| {
        check_text(n.as_str(), name, limit);
        assert!(!n.as_str().contains(['+', '#']), "a wildcard in a name");
        assert_eq!(n.levels().collect::<Vec<_>>().join("/"), n.as_str());
    });
    let filter = TopicFilter::parse_bytes(filter, limit).ok().inspect(|f| {
        check_text(f.as_str(), filter, limit);
        check_wildcards(*f);
        check_sharing(*f);
    });
    if let (Some(name), Some(filter)) = (name, filter) {
        let pattern: Vec<&str> = filter.as_str().split('/').collect();
        let levels: Vec<&str> = name.as_str().split('/').collect();
        let hidden = levels[0].starts_with('$') && matches!(pattern[0], "+" | "#");
        let wanted = !hidden && matches(&pattern, &levels);
        assert_eq!(filter.matches(name), wanted, "{filter:?} {name:?}");
        if filter.is_exact() {
            assert_eq!(wanted, filter.as_str() == name.as_str());
        }
    }
}

fn check_text(text: &str, bytes: &[u8], limit: usize) {
    assert_eq!(text.as_bytes(), bytes, "the text was changed");
    assert!(!text.is_empty() && text.len() <= MAX_TOPIC_BYTES && !text.contains('\0'));
    assert!(
        text.split('/').count() <= limit,
        "more levels than the limit"
    );
}

fn check_wildcards(filter: TopicFilter<'_>) {
    let levels: Vec<&str> = filter.levels().collect();
    for (at, level) in levels.iter().enumerate() {
        let wild = level.contains(['+', '#']);
        assert!(
            !wild || matches!(*level, "+" | "#"),
            "a wildcard within a level"
        );
        assert!(*level != "#" || at + 1 == levels.len(), "# before the end");
    }
    assert_eq!(filter.is_exact(), !filter.as_str().contains(['+', '#']));
}

fn check_sharing(filter: TopicFilter<'_>) {
    match SharedFilter::parse(filter) {
        Ok(Some(shared)) => {
            let SharedFilter {
                share_name,
                filter: inner,
            } = shared;
            assert!(!share_name.is_empty() && !share_name.contains(['/', '+', '#']));
            let back = format!("$share/{share_name}/{}", inner.as_str());
            assert_eq!(back, filter.as_str());
            TopicFilter::parse(inner.as_str(), usize::MAX).expect("a filter of its own");
        }
        Ok(None) => assert!(!filter.as_str().starts_with("$share/")),
        Err(_) => assert!(filter.as_str().starts_with("$share/")),
    }
}

fn matches(pattern: &[&str], levels: &[&str]) -> bool {
    match (pattern, levels) {
        (["#"], _) => true,
        ([], []) => true,
        ([p, rest @ ..], [l, more @ ..]) => (*p == "+" || p == l) && matches(rest, more),
        _ => false,
    }
}
