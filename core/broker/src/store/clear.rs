//! Begins anew with a store.

use ternmq_protocol::broker::durable::StoreOp;
use ternmq_protocol::broker::record::SessKey;
use ternmq_protocol::time::{Clock, Time};
use ternmq_store::{Store, Sync};

use super::{NODE, StoreError, utc_now};

/// Records that are forgotten at a time.
const PAGE: usize = 1_024;

/// Forgets all that a store holds: sessions, retained and delayed messages. Whoever had it is fenced. The
/// messages of the log, which nobody is due any more, go with time.
///
/// # Errors
/// [`StoreError`]; some of it may be forgotten then.
pub fn clear(store: &Store) -> Result<(), StoreError> {
    forget_all(store).map_err(|error| (&error).into())
}

fn forget_all(store: &Store) -> Result<(), ternmq_store::StoreError> {
    let owner = store.begin(NODE)?;
    let clock = Clock::at(Time(0), utc_now());
    loop {
        let sessions = store.sessions(None, PAGE, clock)?.sessions;
        let retained = store.retained("", PAGE, clock)?.messages;
        let delayed = store.delayed(None, PAGE, clock)?.messages;
        let sessions = sessions
            .iter()
            .map(|session| StoreOp::EndSession(SessKey::new("", &session.client_id)));
        let retained = retained
            .iter()
            .map(|message| StoreOp::RemoveRetained(message.topic().into()));
        let delayed = delayed.iter().map(|(key, _)| StoreOp::RemoveDelayed(*key));
        let ops: Vec<StoreOp> = sessions.chain(retained).chain(delayed).collect();
        if ops.is_empty() {
            return Ok(());
        }
        store.commit(owner, &ops, clock, Sync::Yes)?;
    }
}
