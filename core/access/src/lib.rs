//! Who may come into a broker, and who may do what: the files that say so.
//!
//! Nothing here has a thread or a socket. What is read becomes rules of the pure broker
//! ([`ternmq_broker::access`]) or hooks of the embeddable one ([`ternmq_broker::hooks`]).
#![forbid(unsafe_code)]

pub mod acl;
pub mod binding;
pub mod hash;
pub mod jwt;
pub mod passwords;

mod text;

pub use text::FileError;
