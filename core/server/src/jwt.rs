//! The table `[jwt]`: tokens as passwords.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use ternmq_access::jwt::Terms;

use crate::config::{Problem, Problems};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) keys: Option<PathBuf>,
    pub(crate) audience: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) user_claim: Option<String>,
    pub(crate) client_id_claim: Option<String>,
    pub(crate) acl_claim: Option<String>,
    pub(crate) leeway: Option<u32>,
}

/// Where the keys stand, and what a token has to say.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    keys: Option<PathBuf>,
    pub(crate) terms: Terms,
}

impl Tokens {
    /// The file of the keys.
    ///
    /// # Errors
    /// None is named: without it tokens would be passwords that nobody looks at.
    pub(crate) fn keys(&self) -> Result<&Path, Problems> {
        let missing = || Problem::of_all("`jwt.keys` is missing: the file of the keys of tokens");
        Ok(self.keys.as_deref().ok_or_else(missing)?)
    }
}

impl From<Table> for Tokens {
    fn from(table: Table) -> Self {
        let usual = Terms::default();
        Self {
            keys: table.keys,
            terms: Terms {
                audience: table.audience,
                issuer: table.issuer,
                user_claim: table.user_claim.unwrap_or(usual.user_claim),
                client_id_claim: table.client_id_claim,
                acl_claim: table.acl_claim.unwrap_or(usual.acl_claim),
                leeway: table.leeway.unwrap_or(usual.leeway),
            },
        }
    }
}
