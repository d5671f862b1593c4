//! What is in the rows of the index.

use ternmq_protocol::broker::durable::StreamKey;

use crate::engine::{Flow, View};
use crate::error::StoreError;
use crate::row::{self, kind};

/// Whether a message is in a row of the index.
pub(super) fn is_indexed(
    view: &View<'_>,
    (seq, stream): (u64, StreamKey),
) -> Result<bool, StoreError> {
    let (from, last) = (row::index(stream, 0), row::index(stream, seq));
    let mut found = false;
    view.last(&from, &last, |key, value| {
        if let Ok(seqs) = row::unseal(key, value) {
            row::rising(seqs, |other| {
                found = other == seq;
                other < seq
            });
        }
    })?;
    Ok(found)
}

/// All messages in the rows of a stream.
pub(super) fn read_index(
    view: &View<'_>,
    stream: StreamKey,
    begin: &[u8],
    mut f: impl FnMut(u64),
) -> Result<(), StoreError> {
    let end = row::end(&row::key(kind::INDEX, &[&stream.0.to_be_bytes()]));
    view.scan(begin, &end, |key, value| {
        if let Ok(seqs) = row::unseal(key, value) {
            row::rising(seqs, |seq| {
                f(seq);
                true
            });
        }
        Flow::Continue(())
    })
}
