//! The structs and constants of the headers in `include/`, member by member.
//!
//! Their meaning is documented there, once. `tests/abi` compares every size and offset here with
//! the headers and with the recorded ABI.
#![allow(missing_docs, non_camel_case_types, non_snake_case)]

pub mod async_;
pub mod beyond;
pub mod broker;
pub mod client;
pub mod lifecycle;
pub mod persistence;
pub mod properties;
pub mod subscribe;
