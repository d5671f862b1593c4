//! Functions of `ternmq.h` that take a handle of either kind.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::{client, nonblocking};
use crate::{facade, nonblocking as nonblocking_client};

/// The client of a handle, whichever kind it is.
pub(super) enum Either {
    Blocking(Arc<facade::Client>),
    NonBlocking(Arc<nonblocking_client::Client>),
}

/// The client of a handle. The failure of both kinds is -1.
pub(super) fn either(handle: *mut c_void) -> Result<Either, c_int> {
    client::client(handle)
        .map(Either::Blocking)
        .or_else(|_| nonblocking::client(handle).map(Either::NonBlocking))
}
