//! What both roles of a connection need, each part a small machine of its own.
//!
//! A server holds one of each per session, a million times over: an idle part is a few bytes of
//! struct and no memory behind it.

pub mod alias;
pub mod dedupe;
pub mod keepalive;
pub mod packet_id;
pub mod priority;
pub mod queue;
pub mod rate;
pub mod window;

pub(crate) mod id_table;
