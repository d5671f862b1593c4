//! The shard through its public face: bytes and a virtual clock in, bytes and wishes out.

mod basic;
mod desk;
