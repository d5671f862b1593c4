//! From records to sessions and messages.

use std::collections::{HashMap, HashSet};

use ternmq_protocol::broker::durable::StreamKey;
use ternmq_protocol::broker::record::{Restored, SessionRecord};
use ternmq_protocol::broker::{GroupStart, Out, Shard};
use ternmq_protocol::codec::QoS;
use ternmq_protocol::time::Clock;
use ternmq_protocol::topic::SHARE_PREFIX;
use ternmq_store::{Store, StoreError};

use crate::shared::Shared;

/// Records that are read at a time.
const PAGE: usize = 2_048;

/// What a broker found in its store when it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    /// Sessions that are there again; those whose time has passed meanwhile are among them.
    pub sessions: u64,
    /// Retained messages that are there again.
    pub retained: u64,
    /// Messages that are to be published later, and will be.
    pub delayed: u64,
    /// Sessions, retained and delayed messages beyond the limits of today: they stay in the store.
    pub over_limits: u64,
    /// Records that are damaged, and left out.
    pub damaged: u64,
    /// Copies of messages in flight or queued whose message was damaged: they are gone.
    pub copies_lost: u64,
}

/// Shared subscriptions whose messages outlive the broker.
#[derive(Default)]
pub(super) struct Groups {
    /// `NAME/FILTER`.
    names: HashSet<Box<str>>,
    /// Places of messages that sessions have on their way, by the stream they came from.
    held: HashMap<StreamKey, Vec<u64>>,
}

impl Groups {
    fn note(&mut self, record: &SessionRecord) {
        for (stream, seq) in record.in_flight_of_groups() {
            self.held.entry(stream).or_default().push(seq);
        }
        let wanted = record.subscriptions.iter();
        let wanted = wanted.filter(|one| one.options.qos > QoS::AtMostOnce);
        let names = wanted.filter_map(|one| one.filter.strip_prefix(SHARE_PREFIX));
        for name in names {
            if !self.names.contains(name) {
                self.names.insert(name.into());
            }
        }
    }
}

/// Puts sessions and delayed messages into shards. Returns what each shard asks for, and the groups that
/// are to [go on](resume).
pub(super) fn sessions(
    store: &Store,
    shards: &mut [Shard],
    shared: &Shared,
    clock: Clock,
) -> Result<(Restoration, Vec<Out>, Groups), StoreError> {
    let mut groups = Groups::default();
    let mut outs: Vec<Out> = shards.iter().map(|_| Out::default()).collect();
    let mut done = Restoration::default();
    let head = store.head();
    for shard in &mut *shards {
        shard.set_log_seen(head);
    }
    let mut from = None;
    loop {
        let page = store.sessions(from, PAGE, clock)?;
        done.damaged += page.damaged;
        for record in page.sessions {
            groups.note(&record);
            session(record, shards, &mut outs, shared, clock, &mut done);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let mut from = None;
    loop {
        let page = store.delayed(from, PAGE, clock)?;
        done.damaged += page.damaged;
        for (key, delayed) in page.messages {
            let shard = usize::from(delayed.home) % shards.len();
            let due = clock.time(Some(delayed.due));
            match shards[shard].restore_delayed(key, due, delayed.message) {
                true => done.delayed += 1,
                false => done.over_limits += 1,
            }
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    Ok((done, outs, groups))
}

fn session(
    record: SessionRecord,
    shards: &mut [Shard],
    outs: &mut [Out],
    shared: &Shared,
    clock: Clock,
    done: &mut Restoration,
) {
    done.copies_lost += record.lost as u64;
    let client_id = record.client_id.clone();
    let shard = shared.directory.place_restored(&client_id, record.home);
    match shards[shard].restore(record, clock, &mut outs[shard]) {
        Restored::Taken => {
            shared.directory.restored(&client_id, shard);
            done.sessions += 1;
        }
        Restored::NotNewer => {}
        Restored::Connected => done.damaged += 1,
        Restored::Full => done.over_limits += 1,
    }
}

/// Tells the home of each group where it was in the log. What that makes a shard ask for is passed on.
pub(super) fn resume(
    store: &Store,
    mut groups: Groups,
    shards: &mut [Shard],
    shared: &Shared,
    mut settle: impl FnMut(&mut [Shard], usize, Out),
) -> Result<(), StoreError> {
    for name in &groups.names {
        let Some(home) = shared.homes().home_of(name) else {
            continue;
        };
        let stream = StreamKey::of(&format!("{SHARE_PREFIX}{name}"));
        let (reached, done) = store.cursor(stream)?;
        let held = groups.held.remove(&stream).unwrap_or_default();
        let start = GroupStart {
            reached,
            done,
            held,
        };
        let mut out = Out::default();
        shards[home].resume_group(name, start, &mut out);
        settle(shards, home, out);
    }
    Ok(())
}

/// Loads a page of retained messages, those from a topic on. Tells where to go on, `None` at the end.
pub(super) fn retained(
    done: &mut Restoration,
    from: &str,
    store: &Store,
    shared: &Shared,
) -> Result<Option<Box<str>>, StoreError> {
    let clock = shared.calendar();
    let page = store.retained(from, PAGE, clock)?;
    done.damaged += page.damaged;
    let (there, beyond) = shared.retained.load(page.messages, clock.now());
    done.retained += there;
    done.over_limits += beyond;
    Ok(page.next)
}
