//! Who a client is: users, what is stored of their passwords, and SCRAM (RFC 5802, RFC 7677).
//!
//! Nothing here knows of connections. [`Users`] are looked up by the shards' drivers; an
//! [`Exchange`] is the server's side of one SCRAM authentication, a plain state machine that gets
//! its nonce from outside.

mod credentials;
mod hash;
pub(crate) mod passwords;
mod scram;
mod users;

pub use credentials::{Credentials, CredentialsError, DEFAULT_ITERATIONS, MIN_ITERATIONS};
pub use hash::Hash;
pub use scram::{Exchange, ScramError};
pub use users::{User, Users, UsersError};

/// A nonce for a SCRAM exchange: 144 bits of the system's randomness as 24 printable characters.
/// `None` when the system has none to give.
pub fn nonce() -> Option<String> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_STANDARD.encode(bytes))
}
