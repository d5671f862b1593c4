//! The rates in a `[[listener]]` of the configuration file.

use serde::Deserialize;
use ternmq_broker::{Rate, Rates};

/// Units a second, 0 without limit, and how many may pass at once after a pause, 0 for one second's
/// worth.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    messages_in: u64,
    messages_in_burst: u64,
    bytes_in: u64,
    bytes_in_burst: u64,
    messages_out: u64,
    messages_out_burst: u64,
    bytes_out: u64,
    bytes_out_burst: u64,
}

impl From<Table> for Rates {
    fn from(table: Table) -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            messages_in: rate(table.messages_in, table.messages_in_burst),
            bytes_in: rate(table.bytes_in, table.bytes_in_burst),
            messages_out: rate(table.messages_out, table.messages_out_burst),
            bytes_out: rate(table.bytes_out, table.bytes_out_burst),
        }
    }
}
