//! Counters, by name.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ternmq_client::OutboxStatus;
use ternmq_protocol::client::{DropReason, Stats};

/// What a session has counted, and what it has dropped by each reason.
pub(crate) fn counters<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in [
        ("messages_received", stats.messages_received),
        ("messages_sent", stats.messages_sent),
        ("messages_resent", stats.messages_resent),
        ("duplicates", stats.duplicates),
        ("publishes_refused", stats.publishes_refused),
        ("pings", stats.pings),
        ("unsent_bytes", stats.unsent_bytes),
    ] {
        dict.set_item(name, value)?;
    }
    for why in DropReason::ALL {
        let name = format!("dropped_{}", snake(&format!("{why:?}")));
        dict.set_item(name, stats.dropped(why))?;
    }
    Ok(dict)
}

/// Adds what an outbox in a file counts.
pub(crate) fn count_outbox(dict: &Bound<'_, PyDict>, outbox: &OutboxStatus) -> PyResult<()> {
    let damaged = outbox.damage().map_or(0, |damage| damage.places as u64);
    for (name, value) in [
        ("outbox_kept", outbox.kept()),
        ("outbox_refused", outbox.refusals()),
        ("outbox_failed_writes", outbox.failed_writes()),
        ("outbox_damaged", damaged),
    ] {
        dict.set_item(name, value)?;
    }
    Ok(())
}

/// `SessionLost` -> `session_lost`.
fn snake(camel: &str) -> String {
    let mut text = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}
