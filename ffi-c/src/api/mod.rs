//! The exported functions. `include/` documents them; only what the boundary does not show stands
//! here.
#![allow(non_snake_case, missing_docs)]
// Each function's contract with C is in its header: pointers are NULL or valid as C programs know it.
#![allow(clippy::missing_safety_doc)]
// A handle looks like a pointer, but nothing is ever read through it.
#![allow(clippy::not_unsafe_ptr_arg_deref)]

pub mod beyond;
#[cfg(feature = "broker")]
pub mod broker;
pub mod client;
pub mod information;
pub mod lifecycle;
pub mod memory;
pub mod nonblocking;
pub mod properties;
pub mod publish;
pub mod receive;
pub mod subscribe;
pub mod threads;
pub mod trace;

mod either;
mod response;
