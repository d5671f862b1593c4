//! Checking passwords, on threads of their own: it is slow on purpose, and a shard has others to
//! serve meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};

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

impl Check {
    /// Takes its time, and tells the shard.
    pub(crate) fn carry_out(self, shared: &Shared) {
        let Self {
            shard,
            generation,
            request,
        } = self;
        let mailbox = &shared.mailboxes[shard];
        if mailbox.is_closed() {
            return; // the broker stops: nobody waits for the answer
        }
        let name = request.user_name.as_deref().unwrap_or_default();
        let password = request.password.as_deref().unwrap_or_default();
        // A panic is told by its hook, refuses this one client and leaves the thread to the others.
        let check = AssertUnwindSafe(|| shared.users().is_password(name, password));
        let checked = Checked {
            generation,
            right: catch_unwind(check).unwrap_or(false),
            request,
        };
        // The shard may have ended meanwhile.
        let _ = mailbox.send(Parcel::Checked(Box::new(checked)));
    }
}
