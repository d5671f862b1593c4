//! What the store knows of itself.

use std::io::{self, ErrorKind};

use ternmq_protocol::broker::record::{Epoch, NodeId, PARTITION_LEVELS, PARTITIONS};

use crate::engine::{Change, View};
use crate::error::StoreError;
use crate::row::{self, put_number, take_number};

/// The format that this program writes.
pub const FORMAT: u32 = 1;

const FORMAT_ROW: &str = "format";
const EPOCH_ROW: &str = "epoch";
const LOG_ROW: &str = "log";

/// Where the log is, as far as its blocks don't say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// No message from here on was there when this was written.
    pub(crate) next: u64,
    /// Up to here everything is in the rows of the index.
    pub(crate) indexed: u64,
    /// Up to here messages were dropped before their time.
    pub(crate) floor: u64,
    /// Bytes of the blocks up to `indexed`.
    pub(crate) bytes: u64,
}

/// The row that says which format the store has.
pub(crate) fn format_row() -> Change {
    let numbers = [FORMAT.into(), PARTITIONS.into(), PARTITION_LEVELS.into()];
    numbers_row(FORMAT_ROW, &numbers)
}

/// The format of a store; `None` when it does not say.
pub(crate) fn format(view: &View<'_>) -> Result<Option<u32>, StoreError> {
    let Some([format, partitions, levels]) = numbers(view, FORMAT_ROW)? else {
        return Ok(None);
    };
    let format = u32::try_from(format).unwrap_or(u32::MAX);
    if format > FORMAT {
        return Err(StoreError::Newer(format));
    }
    if (partitions, levels) != (PARTITIONS.into(), PARTITION_LEVELS.into()) {
        // Not damaged: what is done about damage would make it one with ours.
        let other = io::Error::new(ErrorKind::Unsupported, "a layout of other partitions");
        return Err(StoreError::Io("use the store".into(), other));
    }
    Ok(Some(format))
}

/// The row of who has begun last.
pub(crate) fn epoch_row(node: NodeId, epoch: Epoch) -> Change {
    numbers_row(EPOCH_ROW, &[node.0.into(), epoch.0])
}

/// The epoch of who has begun last, 0 if nobody has.
pub(crate) fn epoch(view: &View<'_>) -> Result<u64, StoreError> {
    Ok(numbers(view, EPOCH_ROW)?.map_or(0, |[_node, epoch]| epoch))
}

impl Log {
    pub(crate) fn row(self) -> Change {
        let numbers = [self.next, self.indexed, self.floor, self.bytes];
        numbers_row(LOG_ROW, &numbers)
    }

    pub(crate) fn read(view: &View<'_>) -> Result<Self, StoreError> {
        let found = numbers(view, LOG_ROW)?;
        Ok(
            found.map_or(Self::default(), |[next, indexed, floor, bytes]| Self {
                next,
                indexed,
                floor,
                bytes,
            }),
        )
    }
}

fn numbers_row(name: &str, numbers: &[u64]) -> Change {
    let key = row::meta(name);
    let value = row::seal(&key, |out| {
        numbers.iter().for_each(|number| put_number(out, *number));
    });
    (key, Some(value))
}

fn numbers<const N: usize>(view: &View<'_>, name: &str) -> Result<Option<[u64; N]>, StoreError> {
    let key = row::meta(name);
    let found = view.get(&key, |value| {
        let mut body = row::unseal(&key, value)?;
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number =
                take_number(&mut body).ok_or_else(|| StoreError::damaged("a number is missing"))?;
        }
        Ok(numbers)
    })?;
    found.transpose()
}
