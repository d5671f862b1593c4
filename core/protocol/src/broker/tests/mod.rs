//! The shard through its public face: bytes and a virtual clock in, bytes and wishes out.

mod aliases;
mod authenticate;
mod basic;
mod connect;
mod delayed;
mod desk;
mod durable;
mod errors;
mod exclusive;
mod explain;
mod flow;
mod model;
mod queues;
mod rates;
mod records;
mod retained;
mod rewrite;
mod sessions;
mod shared;
mod slow;
mod spill;
mod subscribe;
mod sums;
mod sums_model;
mod topics;
mod wills;
