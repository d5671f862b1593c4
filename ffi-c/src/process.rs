//! What the library does once in a process, when its first client is created.

use std::sync::Once;

/// To be called for each client that is created.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ignore_broken_pipes();
        notice_forks();
    });
}

/// Writing to a connection that the server has closed raises SIGPIPE, which would end a process that
/// has made no choice about it. Rust's own `main` makes that choice; a C program gets it here, at the
/// first client, as with Paho.
fn ignore_broken_pipes() {
    // SAFETY: the calls get valid arguments, and ignoring a signal runs no code. A program that
    // changes its handler for SIGPIPE at this very moment on another thread is not one that has
    // made no choice.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        let known = libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut current) == 0;
        if known && current.sa_sigaction == libc::SIG_DFL {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
    }
}

/// Programs fork after they have created clients: daemons do, and servers with worker processes. The
/// child has no thread but the one that forked, so the client's must be started again.
fn notice_forks() {
    extern "C" fn forked() {
        ternmq_client::forked();
    }
    // SAFETY: the function stays in memory as the library does, and only adds to a number. The
    // call fails without memory, and then a child's clients hang, as without it.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) };
}
