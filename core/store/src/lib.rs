//! What of a broker survives it: a log of messages with an index, and beside it sessions, their
//! subscriptions, retained messages, and messages that are to be published later.
//!
//! A [`Store`] is used by a broker from two sides. One thread [commits](Store::commit) what shards
//! hand over ([`StoreOp`]); others [read](Store::read) pages for sessions that come back. It has no
//! threads and no sockets.
//!
//! # The file
//! `store.redb` in the store's folder is one table of a [redb](https://docs.rs/redb) database, from
//! bytes to bytes. Keys begin with a letter:
//!
//! | | key | value |
//! |---|---|---|
//! | `B` | number of the first message | a [block](Block) of messages |
//! | `I` | stream, first message | the numbers of messages in the stream, as distances |
//! | `G` | stream, epoch, a count | the numbers of messages of a shared subscription's stream that are done |
//! | `P` | stream | the number up to which all messages of a shared subscription's stream are done |
//! | `W` | number of a block's first message | how many entries of the index lead to it, and how many did when it was written; absent as long as all do |
//! | `K` | the same | nothing: the block is there only for what is in flight |
//! | `S` | session | its revision, its record without most of its subscriptions |
//! | `U` | session, stream of the filter | a subscription's record |
//! | `R` | topic | a message's record |
//! | `Y` | epoch, shard, number | a delayed message's record |
//! | `M` | `format`, `epoch`, `log` | numbers |
//! | `X` | a key | what was damaged there |
//!
//! Numbers in keys are eight bytes, the highest first. All values but blocks begin with the version
//! of rows and a checksum of key and value; records are those of
//! [`ternmq_protocol::broker::record`]. Numbers in values have seven bits a byte, the lowest first.
//!
//! [`FORMAT`] counts up with whatever an older program would read wrongly, a kind of rows that it has to know
//! among that; then what is older is read as well, and a file in it is kept among the tests. All that stands
//! here is format 1, `P` too: no program was released that knows less.
//!
//! [`StoreOp`]: ternmq_protocol::broker::durable::StoreOp
#![forbid(unsafe_code)]

mod backend;
mod block;
mod check;
mod commit;
mod engine;
mod error;
mod folder;
mod index;
mod meta;
mod read;
mod restore;
mod row;
mod salvage;
mod store;
mod sweep;
mod transfer;
mod watch;

pub use backend::{Backend, Memory};
pub use block::{BLOCK_BYTES, BLOCK_VERSION, Block, BlockRecord, BlockWriter};
pub use check::{Check, Rows};
pub use error::StoreError;
pub use meta::FORMAT;
pub use read::{DelayedPage, RetainedPage, SessionPage};
pub use restore::Restored;
pub use salvage::Salvaged;
pub use store::{Committed, Compacted, Damage, Options, Store, Sync};
pub use sweep::{SweepLimits, Swept};
pub use transfer::{STREAMS, Transferred};
pub use watch::{Progress, Stage, Watch};
