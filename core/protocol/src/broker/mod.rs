//! The broker's machines.

pub mod index;

mod arena;
mod subscribers;
mod trie;
