//! Threads for what takes time or may block, so that no shard waits for it: a few, behind a bounded
//! queue.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The way to some threads that all do the same work. They end with the last of these.
pub(crate) struct Pool<T>(SyncSender<T>);

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Pool<T> {
    /// Starts the threads. `queue` tasks may wait for them. A panic in `work` ends its thread.
    ///
    /// # Errors
    /// No more threads.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        queue: usize,
        work: impl Fn(T) + Send + Sync + 'static,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, tasks) = sync_channel(queue);
        let (tasks, work) = (Arc::new(Mutex::new(tasks)), Arc::new(work));
        let start = |number| {
            let (tasks, work) = (tasks.clone(), work.clone());
            let name = format!("ternmq-{name}-{number}");
            Builder::new().name(name).spawn(move || {
                while let Some(task) = next(&tasks) {
                    work(task);
                }
            })
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok((Self(sender), threads))
    }

    /// Hands the task back when too many wait already.
    pub(crate) fn offer(&self, task: T) -> Result<(), T> {
        self.0.try_send(task).map_err(|error| match error {
            TrySendError::Full(task) | TrySendError::Disconnected(task) => task,
        })
    }
}

fn next<T>(tasks: &Mutex<Receiver<T>>) -> Option<T> {
    // Who waits for the lock waits for the next task as well.
    let tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    tasks.recv().ok()
}
