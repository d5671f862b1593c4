//! The thread that gives back the room of what nobody waits for in the log.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ternmq_protocol::broker::record::Owner;
use ternmq_store::{Store, SweepLimits};

use super::Desk;
use crate::event::Event;
use crate::shared::Shared;

/// A sweep that takes long is followed by a pause that is so much longer.
const PAUSES: u32 = 10;

/// Sweeps every so often until the broker ends.
///
/// What sweeps must not touch is what somebody may have subscribed to who is not in the store yet. A
/// subscription begins behind what its shard has seen of the log; so a place that all shards have seen is
/// settled once all is in the store that had been handed in by then.
pub(super) fn sweep(shared: &Shared, desk: &Desk, store: &Store, owner: Owner) {
    let _sweeping = desk.sweeping();
    let mut wait = Duration::from_millis(desk.log().sweep_ms);
    let mut settling = None;
    let (mut told, mut full) = (false, Full::default());
    let mut swept_at = None;
    while let Some(limits) = desk.sweep(wait) {
        let every = Duration::from_millis(limits.sweep_ms);
        wait = every;
        let settled = match settling {
            Some((seen, handed)) if desk.kept() >= handed => seen,
            // The store does not work, or has much to do.
            Some(_) => continue,
            None => 0,
        };
        let handed = desk.intake.handed();
        settling = Some((desk.seen_by_all(), handed));
        // Nothing has changed, and nothing gets too old: whoever idles reads no records.
        let same = swept_at == Some((settled, handed, limits)) && limits.age_seconds == 0;
        if same && !desk.holds.is_ripening() {
            tell_of_damage(shared, desk, store);
            continue;
        }
        // Those that have nothing to do see how far the log is.
        shared.mailboxes.iter().for_each(|mailbox| mailbox.wake());
        let bounds = SweepLimits {
            settled,
            max_age_ms: some(limits.age_seconds.saturating_mul(1000)),
            max_bytes: some(limits.bytes),
            stream_messages: some(limits.session_messages.into()),
            stream_bytes: some(limits.session_bytes),
        };
        desk.holds.ripen();
        let whole = desk.kept() >= handed;
        let began = Instant::now();
        let held = |stream| desk.holds.is_held(stream);
        match store.sweep_but(owner, &bounds, &held, shared.calendar()) {
            Ok(swept) => {
                let counts = &desk.counts;
                counts.swept_passed.fetch_add(swept.passed, Relaxed);
                counts.swept_old.fetch_add(swept.aged, Relaxed);
                counts.swept_full.fetch_add(swept.over_limit, Relaxed);
                counts.swept_left.fetch_add(swept.left, Relaxed);
                let many = &counts.swept_session_messages;
                many.fetch_add(swept.over_messages, Relaxed);
                let large = &counts.swept_session_bytes;
                large.fetch_add(swept.over_bytes, Relaxed);
                swept_at = whole.then_some((settled, handed, limits));
                told = false;
                if let Some(event) = full.swept(swept.over_limit) {
                    shared.tell(event);
                }
            }
            // Once for as long as it lasts; commits fail then too, most of the time.
            Err(error) => {
                swept_at = None;
                if !std::mem::replace(&mut told, true) {
                    shared.tell(Event::NotSwept((&error).into()));
                }
            }
        }
        desk.counts.log_bytes.store(store.log_bytes(), Relaxed);
        tell_of_damage(shared, desk, store);
        wait = every.max(began.elapsed() * PAUSES);
    }
    tell_of_damage(shared, desk, store);
}

/// Whether the log was full the last time.
#[derive(Default)]
struct Full(bool);

impl Full {
    /// A sweep has dropped so many messages for want of room, which is told of once until one drops none.
    fn swept(&mut self, dropped: u64) -> Option<Event> {
        let was = std::mem::replace(&mut self.0, dropped > 0);
        (self.0 && !was).then_some(Event::LogFull(dropped))
    }
}

/// Damage is met by whoever reads, at any time: it is told of here, together.
fn tell_of_damage(shared: &Shared, desk: &Desk, store: &Store) {
    let damage = store.damage();
    if desk.counts.damaged.swap(damage.rows, Relaxed) < damage.rows {
        shared.tell(Event::Damaged(damage));
    }
}

fn some(limit: u64) -> Option<u64> {
    (limit > 0).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_the_log_is_full_is_told_once_each_time() {
        let mut full = Full::default();
        let told = [0, 3, 4, 5, 0, 0, 7, 8].map(|dropped| match full.swept(dropped) {
            Some(Event::LogFull(dropped)) => dropped,
            _ => 0,
        });
        assert_eq!(told, [0, 3, 0, 0, 0, 0, 7, 0]);
    }
}
