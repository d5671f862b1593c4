//! Saves what a running broker holds, again and again.
//!
//! A thread of its own asks the shards for a page after the other, each answered in one turn, and
//! writes it before it asks for the next. So a shard never waits for a disk, and what is on its way to
//! the store is a page. Every session is saved as of one moment, but not all as of the same one: after
//! a crash, a message may come again that one had got and its publisher's was saved before.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ternmq_protocol::broker::record::Owner;
use ternmq_protocol::broker::retained::Cursor;

use super::save::{Place, Saved, Saver};
use super::{Store, StoreError};
use crate::event::Event;
use crate::shared::{Parcel, Shared};

/// The thread.
#[derive(Debug)]
pub(crate) struct Periodic {
    /// Dropped to end it.
    goes_on: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Periodic {
    /// Saves `every` so often from now on.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        owner: Owner,
        shared: Arc<Shared>,
        every: Duration,
    ) -> io::Result<Self> {
        let (goes_on, ended) = sync_channel(0);
        let body = move || {
            let saving = SavingAll {
                store: &*store,
                owner,
                shared: &shared,
                ended: &ended,
            };
            saving.run(every);
        };
        let thread = Builder::new().name("ternmq-store".into()).spawn(body)?;
        Ok(Self { goes_on, thread })
    }

    /// Ends it, in the middle of a state too, which is then not saved.
    pub(crate) fn end(self) {
        drop(self.goes_on);
        // It has nothing to give, whatever became of it.
        let _ = self.thread.join();
    }
}

struct SavingAll<'a> {
    store: &'a dyn Store,
    owner: Owner,
    shared: &'a Shared,
    ended: &'a Receiver<()>,
}

impl SavingAll<'_> {
    fn run(&self, every: Duration) {
        while self.ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            let begun = Instant::now();
            match self.save() {
                Ok(None) => return,
                Ok(Some(saved)) => {
                    let took = begun.elapsed();
                    self.shared.saves.count(true);
                    self.shared.tell(Event::Saved { saved, took });
                }
                Err(error) => {
                    self.shared.saves.count(false);
                    self.shared.tell(Event::NotSaved(error));
                }
            }
        }
    }

    /// Saves everything once; `None` when the broker ends meanwhile.
    fn save(&self) -> Result<Option<Saved>, StoreError> {
        let mut saver = Saver::begin(self.store, self.owner, self.shared.calendar())?;
        for (number, mailbox) in self.shared.mailboxes.iter().enumerate() {
            let mut place = Some(Place::START);
            while let Some(from) = place {
                let (reply, pages) = sync_channel(1);
                let asked = mailbox.send(Parcel::Page(from, reply));
                // A shard that has ended gives nothing, and then the broker ends.
                let Some(page) = asked.ok().and_then(|()| pages.recv().ok()) else {
                    return Ok(None);
                };
                if self.is_over() {
                    return Ok(None);
                }
                place = page.next;
                saver.page(number as u16, page)?;
            }
        }
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            cursor = saver.retained_page(&self.shared.retained, &from)?;
            if self.is_over() {
                return Ok(None);
            }
        }
        saver.commit().map(Some)
    }

    fn is_over(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }
}
