//! The broker's machines.

pub mod index;
pub mod retained;

mod arena;
mod subscribers;
mod trie;
