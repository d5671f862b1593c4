//! `ternmq.h`: what clients can do that Paho has no names for.

pub mod batch;
pub mod message;
pub mod polling;
