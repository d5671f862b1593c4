//! Where callbacks of the application run: in order for one client, side by side for several.
//!
//! A face that calls the application gives its link a [`Strand`] to notify. The strand runs on a
//! thread of its own pool, never on the IO thread: a callback may take as long as it likes, wait,
//! and call any method of any client, its own included. It holds up its own client alone.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::fork;
use crate::link::Notify;
use crate::pool::{Kept, Pool, Pools};

/// Runs one function, never twice at the same time, as soon as it can after each
/// [`schedule`](Self::schedule). Schedules that come before it has run are one.
///
/// Clones are the same strand. A strand that runs ends by itself when all clones are gone.
///
/// ```
/// use std::sync::mpsc::sync_channel;
/// use ternmq_client::executor::Strand;
/// let (sender, receiver) = sync_channel(1);
/// let strand = Strand::new(move || sender.send("called back").unwrap())?;
/// strand.schedule();
/// assert_eq!(receiver.recv().unwrap(), "called back");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Strand(Arc<Shared>);

struct Shared {
    run: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
    /// So that there is always a thread, whatever the system's limits are by then.
    _thread: Kept,
}

#[derive(Default)]
struct State {
    /// A thread runs the function, or is about to.
    taken: bool,
    /// Which one, while it is in the function.
    runs_on: Option<ThreadId>,
    /// Run once more.
    again: bool,
    closed: bool,
    /// In which `taken` was set; a fork does not have the thread.
    generation: u32,
}

impl Strand {
    /// A strand for `run`, which processes all there is to process: the events of a link, say. A
    /// panic in it ends that run, no more.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(run: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            run: Box::new(run),
            state: Mutex::default(),
            changed: Condvar::new(),
            _thread: pool().keep_one()?,
        })))
    }

    /// Lets the function run, once, soon. Never blocks.
    pub fn schedule(&self) {
        let mut state = self.0.lock();
        if state.closed {
            return;
        }
        state.again = true;
        if std::mem::replace(&mut state.taken, true) {
            return;
        }
        drop(state);
        let shared = self.0.clone();
        // There is a thread that was kept, so this can't fail.
        let _ = pool().run(Box::new(move || shared.serve()));
    }

    /// Whether the calling thread is inside the function: in a callback of this client.
    pub fn is_current(&self) -> bool {
        self.0.lock().runs_on == Some(thread::current().id())
    }

    /// Ends the strand: the function is not begun again. Returns when it doesn't run any more; from
    /// inside the function at once, and then this run is the last.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        let me = Some(thread::current().id());
        while state.runs_on.is_some() && state.runs_on != me {
            let waited = self.0.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Notify for Strand {
    fn notify(&self) {
        self.schedule();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != fork::generation() {
            state.generation = fork::generation();
            (state.taken, state.runs_on) = (false, None);
        }
        state
    }

    fn serve(&self) {
        let mut state = self.lock();
        while std::mem::take(&mut state.again) && !state.closed {
            state.runs_on = Some(thread::current().id());
            drop(state);
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.run)()));
            state = self.lock();
            state.runs_on = None;
            if state.closed {
                self.changed.notify_all();
            }
        }
        state.taken = false;
    }
}

impl std::fmt::Debug for Strand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strand")
    }
}

/// As many threads as strands run at a time, so that one that blocks holds up no other.
fn pool() -> Pool {
    static POOL: Pools = Pools::new("ternmq-callback", usize::MAX);
    POOL.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    fn channel() -> (SyncSender<usize>, Receiver<usize>) {
        sync_channel(16)
    }

    #[test]
    fn a_strand_that_blocks_holds_up_no_other() {
        let (open, gate) = channel();
        let gate = Mutex::new(gate);
        let blocked = Strand::new(move || {
            gate.lock().unwrap().recv().unwrap();
        })
        .unwrap();
        blocked.schedule();
        let (sender, receiver) = channel();
        let other = Strand::new(move || sender.send(1).unwrap()).unwrap();
        other.schedule();
        assert_eq!(receiver.recv().unwrap(), 1);
        open.send(0).unwrap();
    }

    #[test]
    fn schedules_while_it_runs_are_one_more_run() {
        let (entered, enters) = channel();
        let (open, gate) = channel();
        let gate = Mutex::new(gate);
        let runs = AtomicUsize::new(0);
        let strand = Strand::new(move || {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            entered.send(run).unwrap();
            gate.lock().unwrap().recv().unwrap();
        })
        .unwrap();
        strand.schedule();
        assert_eq!(enters.recv().unwrap(), 0);
        strand.schedule();
        strand.schedule();
        open.send(0).unwrap();
        assert_eq!(enters.recv().unwrap(), 1);
        open.send(0).unwrap();
        strand.close();
        assert!(enters.try_recv().is_err());
    }

    #[test]
    fn it_can_close_itself_and_survives_a_panic() {
        let itself: Arc<OnceLock<Strand>> = Arc::default();
        let (sender, receiver) = channel();
        let (inside, count) = (itself.clone(), AtomicUsize::new(0));
        let strand = Strand::new(move || {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                inside.get().unwrap().schedule();
                panic!("expected here");
            }
            let strand = inside.get().unwrap();
            strand.close();
            sender.send(usize::from(strand.is_current())).unwrap();
        })
        .unwrap();
        itself.set(strand.clone()).unwrap();
        assert!(!strand.is_current());
        strand.schedule();
        assert_eq!(receiver.recv().unwrap(), 1);
        strand.close();
    }
}
