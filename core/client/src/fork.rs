//! Forks: a child process has the memory of its parent and none of its threads.
//!
//! Whatever depends on a thread notes the generation it began in. One that is of an older generation
//! begins anew: links find their connection lost, and the first one starts an IO thread.

use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Says that this process has just been forked. To be called in the child before it uses any client;
/// `pthread_atfork` does so for the C library. Safe in a signal handler.
///
/// The child's links are not connected, whatever they were before: the connections remain the
/// parent's. They may be connected again.
pub fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
