//! The codec against bytes written down by hand from the standards, in both directions, for each
//! packet, version and direction; and against all the ways to get a packet wrong.
//!
//! A tag `[MQTT-x.y.z-n]` names a statement of MQTT 5.0 unless `3.1.1` stands before it.
#![forbid(unsafe_code)]

mod acks;
mod connack;
mod connect;
mod connect_flags;
mod control;
mod cuts;
mod header;
mod place;
mod properties;
mod publish;
mod reasons;
mod samples;
mod strings;
mod subscribe;
mod wire;
