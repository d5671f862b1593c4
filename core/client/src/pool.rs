//! Threads kept for reuse: name lookups and callbacks, which may block as long as they like.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::fork;

/// How long a thread waits for the next task before it ends.
const LINGER: Duration = Duration::from_secs(2);

/// Stack of a thread, in address space: what the main thread of a program has on Linux. Callbacks
/// are written for that, and Rust's own 2 MiB would end the process where a pthread would not.
const STACK: usize = 8 << 20;

/// One thing to do on some thread.
type Task = Box<dyn FnOnce() + Send>;

/// Starts a thread when all are busy and fewer than `limit` run; beyond that tasks wait in order.
/// A thread without work ends after two seconds, so an idle process has none.
///
/// The queue has no limit of its own: each owner queues at most one task per client.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    limit: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    /// How many want the last thread to stay.
    kept: usize,
}

/// Keeps one thread of a pool from ending.
pub(crate) struct Kept {
    pool: Pool,
    generation: u32,
}

/// A pool per process. A fork begins with a new one: it has no thread of its parent's, and one of those
/// may have held the lock.
pub(crate) struct Pools {
    name: &'static str,
    limit: usize,
    current: Mutex<Option<(u32, Pool)>>,
}

impl Pools {
    pub(crate) const fn new(name: &'static str, limit: usize) -> Self {
        let current = Mutex::new(None);
        Self {
            name,
            limit,
            current,
        }
    }

    /// The pool of this process.
    pub(crate) fn get(&self) -> Pool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = fork::generation();
        match &*current {
            Some((begun, pool)) if *begun == generation => pool.clone(),
            _ => {
                let pool = Pool::new(self.name, self.limit);
                // The parent's stays as it is: dropping it could mean waiting for its lock.
                std::mem::forget(current.replace((generation, pool.clone())));
                pool
            }
        }
    }
}

impl Pool {
    /// A pool without threads yet.
    pub(crate) fn new(name: &'static str, limit: usize) -> Self {
        Self(Arc::new(Shared {
            name,
            limit,
            state: Mutex::default(),
            work: Condvar::new(),
        }))
    }

    /// Runs `task` as soon as a thread is free. Gives it back when no thread runs and none can be
    /// started.
    pub(crate) fn run(&self, task: Task) -> Result<(), Task> {
        let mut state = self.0.lock();
        state.tasks.push_back(task);
        if state.idle >= state.tasks.len() {
            drop(state);
            self.0.work.notify_one();
            return Ok(());
        }
        if state.threads >= self.0.limit {
            return Ok(());
        }
        match self.0.clone().start() {
            Ok(()) => state.threads += 1,
            // Another thread will come to it.
            Err(_) if state.threads > 0 => {}
            Err(_) => return state.tasks.pop_back().map_or(Ok(()), Err),
        }
        Ok(())
    }

    /// Makes sure that there is a thread as long as the result lives, whatever happens.
    pub(crate) fn keep_one(&self) -> io::Result<Kept> {
        let mut state = self.0.lock();
        if state.threads == 0 {
            self.0.clone().start()?;
            state.threads += 1;
        }
        state.kept += 1;
        Ok(Kept {
            pool: self.clone(),
            generation: fork::generation(),
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return; // the thread is the parent's
        }
        let mut state = self.pool.0.lock();
        state.kept -= 1;
        if state.kept == 0 {
            // The thread that stayed has no time limit.
            self.pool.0.work.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: Arc<Self>) -> io::Result<()> {
        let builder = thread::Builder::new()
            .name(self.name.into())
            .stack_size(STACK);
        builder.spawn(move || self.serve()).map(drop)
    }

    /// How long a thread waits for work; the one that is kept does not wake up for nothing.
    fn patience(&self, state: &State) -> Duration {
        if state.kept > 0 && state.threads == 1 {
            Duration::MAX
        } else {
            LINGER
        }
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                // A panic in foreign code ends its task, not the thread that others wait for.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let patience = self.patience(&state);
            let waited = self.work.wait_timeout(state, patience);
            let (woken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            let stays = state.kept > 0 && state.threads == 1;
            if waited.timed_out() && state.tasks.is_empty() && !stays {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_blocked_task_holds_up_no_other() {
        let pool = Pool::new("test", 64);
        let barrier = Arc::new(Barrier::new(9));
        for _ in 0..8 {
            let barrier = barrier.clone();
            let task = move || {
                barrier.wait();
            };
            assert!(pool.run(Box::new(task)).is_ok());
        }
        barrier.wait();
    }

    #[test]
    fn beyond_the_limit_tasks_wait_their_turn_and_a_panic_ends_only_its_own() {
        let pool = Pool::new("test", 1);
        let (sender, receiver) = sync_channel(8);
        assert!(pool.run(Box::new(|| panic!("expected here"))).is_ok());
        for n in 0..4 {
            let sender = sender.clone();
            let task = move || sender.send(n).unwrap();
            assert!(pool.run(Box::new(task)).is_ok());
        }
        let order: Vec<i32> = (0..4).map(|_| receiver.recv().unwrap()).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }
}
