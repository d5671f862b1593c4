//! The table `[jwt]`: tokens as passwords.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ternmq_access::jwt::remote::{KeyTeller, Options, Remote};
use ternmq_access::jwt::{Jwt, Terms};

use crate::config::{Problem, Problems};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) keys: Option<PathBuf>,
    pub(crate) jwks_url: Option<String>,
    pub(crate) jwks_ca: Option<PathBuf>,
    pub(crate) jwks_refresh: Option<u64>,
    pub(crate) jwks_retry: Option<u64>,
    pub(crate) jwks_timeout_ms: Option<u64>,
    pub(crate) audience: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) user_claim: Option<String>,
    pub(crate) client_id_claim: Option<String>,
    pub(crate) acl_claim: Option<String>,
    pub(crate) leeway: Option<u32>,
}

/// Where the keys stand, and what a token has to say.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Tokens {
    keys: Source,
    terms: Terms,
}

#[derive(Clone, Debug)]
enum Source {
    /// None, or two, and why: each line may be right by itself, as a variable of the environment is.
    Wrong(String),
    File(PathBuf),
    Url(Options),
}

/// Seconds from one look at keys under a URL to the next.
const REFRESH: u64 = 300;

/// The same after one that brought nothing, and between two that tokens bring about.
const RETRY: u64 = 10;

const TIMEOUT_MS: u64 = 2000;

impl Tokens {
    /// The step of tokens. Keys under a URL have not been looked at yet.
    ///
    /// # Errors
    /// There are no keys, or a file can't be used.
    pub(crate) fn open(&self, others: bool, tell: KeyTeller) -> Result<Jwt, Problems> {
        let terms = self.terms.clone();
        match &self.keys {
            Source::Wrong(why) => Err(Problem::of_all(why.clone()).into()),
            Source::File(path) => Jwt::open(path, terms, others).map_err(crate::access::problems),
            Source::Url(options) => {
                let remote = Remote::new(options.clone(), tell);
                let wrong = |error| Problem::of_all(format!("`jwks_ca`: {error}"));
                Ok(Jwt::of_remote(
                    Arc::new(remote.map_err(wrong)?),
                    terms,
                    others,
                ))
            }
        }
    }

    /// Whether the keys are somebody else's.
    pub(crate) const fn are_remote(&self) -> bool {
        matches!(self.keys, Source::Url(_))
    }
}

impl Table {
    fn source(&self) -> Result<Source, String> {
        let Some(url) = &self.jwks_url else {
            let own = [
                ("jwks_ca", self.jwks_ca.is_some()),
                ("jwks_refresh", self.jwks_refresh.is_some()),
                ("jwks_retry", self.jwks_retry.is_some()),
                ("jwks_timeout_ms", self.jwks_timeout_ms.is_some()),
            ];
            return match (own.iter().find(|(_, there)| *there), &self.keys) {
                (Some((key, _)), _) => {
                    Ok(Source::Wrong(format!("`jwt.{key}` is only for `jwks_url`")))
                }
                (None, Some(path)) => Ok(Source::File(path.clone())),
                // Without a key tokens would be passwords that nobody looks at.
                (None, None) => Ok(Source::Wrong(
                    "`jwt.keys` is missing: the file of the keys of tokens, or `jwks_url`"
                        .to_owned(),
                )),
            };
        };
        if self.keys.is_some() {
            let words = "`jwt.keys` and `jwks_url` can't both say where the keys are";
            return Ok(Source::Wrong(words.to_owned()));
        }
        Ok(Source::Url(Options {
            url: url.parse()?,
            ca: self.jwks_ca.clone(),
            refresh: Duration::from_secs(self.jwks_refresh.unwrap_or(REFRESH)),
            retry: Duration::from_secs(self.jwks_retry.unwrap_or(RETRY)),
            timeout: Duration::from_millis(self.jwks_timeout_ms.unwrap_or(TIMEOUT_MS)),
        }))
    }
}

impl TryFrom<Table> for Tokens {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let keys = table.source()?;
        let usual = Terms::default();
        Ok(Self {
            keys,
            terms: Terms {
                audience: table.audience,
                issuer: table.issuer,
                user_claim: table.user_claim.unwrap_or(usual.user_claim),
                client_id_claim: table.client_id_claim,
                acl_claim: table.acl_claim.unwrap_or(usual.acl_claim),
                leeway: table.leeway.unwrap_or(usual.leeway),
            },
        })
    }
}
