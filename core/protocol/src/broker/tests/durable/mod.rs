//! Shards with a store that keeps a log: what is acknowledged outlives a crash, whatever happens.

mod asleep;
mod deadlines;
mod disk;
mod gate;
mod groups;
mod hall;
mod leaving;
mod model;
mod mount;
mod pages;
mod plain;
mod replays;
mod witness;
