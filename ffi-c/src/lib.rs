//! The C face of TernMQ: the functions of `include/`, under the names of the Paho C libraries.
//!
//! From the outside in:
//! - [`api`]: the exported functions. Each one is a line or a few over the rest.
//! - `boundary`: every exported function starts there, so that no panic crosses into C.
//! - `ptr`: the one place that reads what C points to.
//! - `handle`: the numbers that C holds for clients.
//! - `options`, `message`, `properties`: C's structs and the client's values, either way.
//! - `facade`: a client of `MQTTClient.h`, over the link of `ternmq-client`.
//! - `nonblocking`: a client of `MQTTAsync.h`, over the same.
//! - `reconnect`, `statistics`: what `ternmq.h` has for the clients of both.
//! - `broker`: a broker of `ternmq.h`, and its callbacks.
//! - `outgoing`: a message to publish, `callback`: a function of the application.
//! - `inbox`: what waits for the application, `readiness`: a descriptor to poll for it.
//! - `shared`: a message that came in, lent to C without a copy.
//! - `process`: what is done once in a process.
//! - `tls`: what stays of TLS from one connect to the next.
//! - `persistence`: what a client keeps outside of the process.
//! - `trace`: lines that say what happens, for both.
//! - `alloc`: memory that C will free comes from C's `malloc`.
//! - `signals`: the threads of the library take none.
//! - `errors`: the return codes and their texts.
//! - [`types`]: the structs, member by member.
//!
//! **Ownership.** What C passes in belongs to C and is copied before the call returns. What is handed
//! out belongs to C once the call (or the callback) has returned, and comes from `malloc`. Static
//! texts are never freed.
#![warn(unsafe_op_in_unsafe_fn)]

pub mod api;
pub mod types;

#[doc(hidden)]
pub use persistence::read_and_write;

mod alloc;
mod boundary;
#[cfg(feature = "broker")]
mod broker;
mod callback;
mod compression;
mod errors;
mod facade;
mod handle;
mod inbox;
mod message;
mod nonblocking;
mod options;
mod outbox;
mod outgoing;
mod persistence;
mod process;
mod properties;
mod ptr;
mod readiness;
mod reconnect;
mod shared;
mod signals;
mod sized;
mod statistics;
mod tls;
mod trace;
