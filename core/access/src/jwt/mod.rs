//! JSON Web Tokens (RFC 7519) as passwords.

mod claims;
mod keys;
pub mod remote;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use ternmq_broker::hooks::{Authenticate, Connecting, Decision};
use ternmq_protocol::ReasonCode;

pub(crate) use claims::{LAST_SECOND, rule, rules};
pub use keys::Keys;
pub use remote::Remote;

use crate::text::FileError;
use remote::Known;

/// Who may come in by a token, which is sent as the password.
///
/// As a hook it leaves whoever sends none, and who has shown already who they are, to others. Each token costs
/// one signature, some tens of microseconds on the threads of the hooks. A token lets its client stay
/// until its `exp`, and do what its claim about that allows.
#[derive(Debug)]
pub struct Jwt {
    source: Source,
    terms: Terms,
    /// Others may know a user that sends no token.
    others: AtomicBool,
}

/// Where the keys are from.
#[derive(Debug)]
enum Source {
    File(PathBuf, RwLock<Arc<Keys>>),
    Url(Arc<Remote>),
}

/// What a token has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// It has to be for this audience (`aud`); without one a token that names any is refused.
    pub audience: Option<String>,
    /// It has to be from this issuer (`iss`); `None`: from any.
    pub issuer: Option<String>,
    /// The claim with the user name. If the client sends one too it has to be the same.
    pub user_claim: String,
    /// The claim with the client identifier, which has to be the client's; `None`: it may have any.
    pub client_id_claim: Option<String>,
    /// The claim with the topics, such as `{"publish": ["a/%u/#"], "subscribe": ["b/+"], "all": ["c"]}`.
    /// Without it a client may do what the rules say.
    pub acl_claim: String,
    /// Seconds by which clocks may differ.
    pub leeway: u32,
}

/// Why a token is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError(pub(crate) &'static str);

/// Whether there is a key for it nobody can say now.
const NO_KEYS: TokenError = TokenError("its key is not known, and the keys can't be had now");

impl TokenError {
    /// It may be good: the keys under a URL can't be had.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        *self == NO_KEYS
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TokenError {}

impl Default for Terms {
    fn default() -> Self {
        Self {
            audience: None,
            issuer: None,
            user_claim: "sub".to_owned(),
            client_id_claim: None,
            acl_claim: "acl".to_owned(),
            leeway: 0,
        }
    }
}

impl Jwt {
    /// Reads a file of keys. With `others` whoever sends no token is left to those that are asked next, without
    /// it only who names nobody is.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn open(path: &Path, terms: Terms, others: bool) -> Result<Self, Vec<FileError>> {
        verify::install();
        Ok(Self {
            source: Source::File(path.to_owned(), RwLock::new(Arc::new(Keys::read(path)?))),
            terms,
            others: others.into(),
        })
    }

    /// By keys under a URL. A token whose key can't be looked for is refused with Server unavailable.
    #[must_use]
    pub fn of_remote(remote: Arc<Remote>, terms: Terms, others: bool) -> Self {
        verify::install();
        Self {
            source: Source::Url(remote),
            terms,
            others: others.into(),
        }
    }

    /// The keys, if they are under a URL.
    #[must_use]
    pub const fn remote(&self) -> Option<&Arc<Remote>> {
        match &self.source {
            Source::File(..) => None,
            Source::Url(remote) => Some(remote),
        }
    }

    /// Reads the file again, for [`Jwt::replace`]; `None`: there is none, but a URL.
    ///
    /// # Errors
    /// As [`Keys::read`].
    pub fn read_again(&self) -> Result<Option<Keys>, Vec<FileError>> {
        match &self.source {
            Source::File(path, _) => Keys::read(path).map(Some),
            Source::Url(_) => Ok(None),
        }
    }

    /// Goes on with these keys, and with this answer to whether others may know a user. Keys under a URL are
    /// looked at soon. Who is connected stays.
    pub fn replace(&self, keys: Option<Keys>, others: bool) {
        self.others.store(others, Ordering::Relaxed);
        match (&self.source, keys) {
            (Source::File(_, own), Some(keys)) => {
                *own.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            (Source::File(..), None) => {}
            (Source::Url(remote), _) => remote.look_soon(),
        }
    }

    /// Looks at a token, and says what its client may do.
    ///
    /// # Errors
    /// Why it is none for this client now.
    pub fn look_at(&self, token: &[u8], client: &Connecting<'_>) -> Result<Decision, TokenError> {
        let claims = self.claims(token)?;
        claims::decide(&claims, &self.terms, client).map(Decision::AllowWith)
    }

    /// What a token says that one of the keys has signed for this server.
    fn claims(&self, token: &[u8]) -> Result<Map<String, Value>, TokenError> {
        let header = decode_header(token)
            .map_err(|_| TokenError("its header names no algorithm that is known here"))?;
        let keys = self.keys(header.kid.as_deref(), header.alg)?;
        let mut wrong = TokenError("there is no key for its `kid` and `alg`");
        for key in keys.fitting(header.kid.as_deref(), header.alg) {
            let mut validation = Validation::new(header.alg);
            // By the broker's clock, and not by the system's.
            (validation.validate_exp, validation.validate_nbf) = (false, false);
            let mut required = vec!["exp"];
            if let Some(audience) = &self.terms.audience {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            if let Some(issuer) = &self.terms.issuer {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            validation.set_required_spec_claims(&required);
            match decode(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => wrong = in_words(error.kind()),
            }
        }
        Err(wrong)
    }

    /// Those that a token with this header may be signed with are among them, if there are any.
    fn keys(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Keys>, TokenError> {
        match &self.source {
            Source::File(_, keys) => {
                let keys = keys.read();
                Ok(keys.unwrap_or_else(PoisonError::into_inner).clone())
            }
            Source::Url(remote) => {
                let fits = |keys: &Keys| keys.fitting(kid, algorithm).next().is_some();
                match remote.keys(fits) {
                    Known::Keys(keys) => Ok(keys),
                    Known::NotNow => Err(NO_KEYS),
                }
            }
        }
    }
}

impl Jwt {
    /// As the hook does, with this answer to whether others may know a user.
    #[must_use]
    pub fn decide(&self, connecting: &Connecting<'_>, others: bool) -> Decision {
        let wrong = Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        if connecting.authenticated {
            return Decision::Ignore;
        }
        match connecting.password {
            Some(token) if is_token(token) => match self.look_at(token, connecting) {
                Ok(decision) => decision,
                Err(error) if error.is_for_now() => Decision::Deny(ReasonCode::SERVER_UNAVAILABLE),
                Err(_) => wrong,
            },
            None if connecting.user_name.is_none() => Decision::Ignore,
            _ if others => Decision::Ignore,
            _ => wrong,
        }
    }
}

impl Authenticate for Jwt {
    fn authenticate(&self, connecting: &Connecting<'_>) -> Decision {
        self.decide(connecting, self.others.load(Ordering::Relaxed))
    }
}

/// Whether this has the form of a token: what is none may be a password for others.
#[must_use]
pub fn is_token(password: &[u8]) -> bool {
    let mut parts = password.split(|byte| *byte == b'.');
    let (Some(header), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let header = header.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
    header.is_some_and(|header| header.contains_key("alg"))
}

fn in_words(error: &ErrorKind) -> TokenError {
    TokenError(match error {
        ErrorKind::InvalidSignature => "none of the keys has signed it",
        ErrorKind::InvalidAudience => "it is for another audience (`aud`)",
        ErrorKind::InvalidIssuer => "it is from another issuer (`iss`)",
        ErrorKind::MissingRequiredClaim(claim) => match &**claim {
            "exp" => "it never expires: `exp` is missing",
            "aud" => "it names no audience: `aud` is missing",
            _ => "it names no issuer: `iss` is missing",
        },
        _ => "it is broken",
    })
}
