//! The threads that read pages of the log for the sessions of all shards.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ternmq_store::Store;

use super::desk::Desk;
use crate::shared::{Parcel, Shared};

/// Before a page that could not be read is read again.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers questions until there are to be no more answers. A page that can't be read now is read
/// later: whoever waits for it has nothing else to do.
pub(super) fn read(shared: &Shared, desk: &Desk, store: &Store) {
    while let Some((shard, request)) = desk.question() {
        let counts = &desk.counts;
        let page = loop {
            match store.read(&request, shared.calendar()) {
                Ok(page) => break page,
                Err(_) => counts.reads_failed.fetch_add(1, Relaxed),
            };
            if desk.is_reading_over(PAUSE) {
                return;
            }
        };
        counts.pages.fetch_add(1, Relaxed);
        counts.read.fetch_add(page.messages.len() as u64, Relaxed);
        counts.unreadable.fetch_add(page.lost, Relaxed);
        let parcel = Parcel::LogPage(request.ticket, Box::new(page));
        // A shard that has ended has no sessions that wait.
        let _ = shared.mailboxes[shard].send(parcel);
    }
}
