//! Who may come into a broker, and who may do what: the files that say so.
//!
//! What is read becomes rules of the pure broker ([`ternmq_broker::access`]) or hooks of the embeddable one
//! ([`ternmq_broker::hooks`]). So do the back ends of others, in a [`chain`] of steps: they are asked on the
//! threads of the hooks.
#![forbid(unsafe_code)]

pub mod acl;
pub mod backends;
pub mod binding;
pub mod chain;
pub mod hash;
pub mod jwt;
pub mod passwords;

mod text;

pub use text::FileError;
