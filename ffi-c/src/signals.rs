//! Signals are the application's: the threads of the library take none.
//!
//! The kernel gives a signal of the process to any thread that does not block it. A program that
//! blocks one after it has created a client, to wait for it with `sigwait` say, would be ended by it
//! on the network thread. Callbacks are the application's code, and run with the mask of the thread
//! that has registered them, as what they start inherits it.

use std::cell::Cell;

use libc::sigset_t;

/// The signals that a thread blocks.
#[derive(Clone, Copy)]
pub(crate) struct Mask(sigset_t);

/// Runs what may start a thread of the library, which then takes no signals.
pub(crate) fn blocked<R>(start: impl FnOnce() -> R) -> R {
    struct Restore(Mask);
    impl Drop for Restore {
        fn drop(&mut self) {
            set(self.0);
        }
    }
    let _restore = Restore(set(all()));
    start()
}

/// The mask of the calling thread.
pub(crate) fn mask() -> Mask {
    let mut mask = empty();
    // SAFETY: with no new mask the call only writes the current one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask.0) };
    mask
}

/// Gives a thread of the library the application's mask, once.
pub(crate) fn adopt(mask: Mask) {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !DONE.replace(true) {
        set(mask);
    }
}

/// Sets the mask of the calling thread and returns the one before.
fn set(mask: Mask) -> Mask {
    let mut before = empty();
    // SAFETY: both are initialised sets of our own.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, &raw mut before.0) };
    before
}

fn empty() -> Mask {
    // SAFETY: a set is plain bits, for which zeros are valid; sigemptyset then makes it one.
    unsafe {
        let mut mask = Mask(std::mem::zeroed());
        libc::sigemptyset(&raw mut mask.0);
        mask
    }
}

/// All signals but those that a fault of the thread itself raises.
fn all() -> Mask {
    let mut mask = empty();
    // SAFETY: the set is initialised, and the signals exist.
    unsafe {
        libc::sigfillset(&raw mut mask.0);
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(&raw mut mask.0, fault);
        }
    }
    mask
}
