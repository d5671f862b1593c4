//! Checking passwords, on threads of their own: it is slow on purpose, and a shard has others to
//! serve meanwhile.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use ternmq_protocol::broker::AdmitRequest;

use crate::shared::{Parcel, Shared};

/// A client that wants in by user name and password, on its way to a thread that checks them.
pub(crate) struct Check {
    /// The shard that asks and gets the answer by mail.
    pub(crate) shard: usize,
    /// Tells its connection from a later one of the same number.
    pub(crate) generation: u32,
    pub(crate) request: AdmitRequest,
}

/// The answer to a [`Check`].
pub(crate) struct Checked {
    pub(crate) generation: u32,
    pub(crate) request: AdmitRequest,
    /// Whether user name and password belong together.
    pub(crate) right: bool,
}

/// The way to the threads that check passwords. They end with the last of these.
#[derive(Clone)]
pub(crate) struct Passwords(SyncSender<Check>);

impl Passwords {
    /// Starts the threads. `queue` clients may wait for them.
    ///
    /// # Errors
    /// No more threads.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        threads: usize,
        queue: usize,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, checks) = sync_channel(queue);
        let checks = Arc::new(Mutex::new(checks));
        let start = |number| {
            let (shared, checks) = (shared.clone(), checks.clone());
            let name = format!("ternmq-passwords-{number}");
            Builder::new()
                .name(name)
                .spawn(move || check_all(&shared, &checks))
        };
        let threads = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok((Self(sender), threads))
    }

    /// Has a password checked; hands the client back when too many wait already.
    pub(crate) fn check(&self, check: Check) -> Result<(), AdmitRequest> {
        self.0.try_send(check).map_err(|error| match error {
            TrySendError::Full(check) | TrySendError::Disconnected(check) => check.request,
        })
    }
}

fn check_all(shared: &Shared, checks: &Mutex<Receiver<Check>>) {
    loop {
        // Who waits for the lock waits for the next check as well.
        let next = checks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(check) = next else {
            return;
        };
        let Check {
            shard,
            generation,
            request,
        } = check;
        let mailbox = &shared.mailboxes[shard];
        if mailbox.is_closed() {
            continue; // the broker stops: nobody waits for the answer
        }
        let name = request.user_name.as_deref().unwrap_or_default();
        let password = request.password.as_deref().unwrap_or_default();
        // A panic is told by its hook, refuses this one client and leaves the thread to the others.
        let check = AssertUnwindSafe(|| shared.users.is_password(name, password));
        let checked = Checked {
            generation,
            right: catch_unwind(check).unwrap_or(false),
            request,
        };
        // The shard may have ended meanwhile.
        let _ = mailbox.send(Parcel::Checked(Box::new(checked)));
    }
}
