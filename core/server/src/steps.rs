//! The tables `[[access.step]]`: the steps that clients which want in have to pass.

mod ldap;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ternmq_access::backends::http::{self, Http, Url};
use ternmq_access::backends::ldap::Ldap;
use ternmq_access::backends::redis::{self, Redis};
use ternmq_access::backends::sql::{self, Sql};
use ternmq_access::chain::{
    BackEnd, CacheLimits, Change, Crowd, Guard, Limits, Patience, Step, Teller, Template, WhenDown,
};
use ternmq_access::jwt::remote::KeyChange;
use ternmq_access::passwords::{PasswordFile, Passwords};

use crate::config::{Problem, Problems};
use crate::jwt::Tokens;

pub(crate) use ldap::GroupLine;

/// Milliseconds that a back end has for an answer.
const TIMEOUT_MS: u64 = 2000;

/// A step whose lines go together.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct StepLine {
    pub(crate) name: String,
    limits: Limits,
    pub(crate) what: What,
}

/// What a step is made from.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Certificate,
    Tokens(Box<Tokens>),
    Passwords(PathBuf),
    Http(Box<http::Options>),
    /// `None`: where it is is missing, which is a secret and not in what is shown.
    Sql(Option<Box<sql::Options>>),
    Redis(Option<Box<redis::Options>>),
    Ldap(Option<Box<ternmq_access::backends::ldap::Options>>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    kind: Kind,
    #[serde(default)]
    when_down: Down,
    timeout_ms: Option<u64>,
    failures: Option<u32>,
    pause: Option<u64>,
    concurrency: Option<usize>,
    waiting: Option<usize>,
    #[serde(default)]
    cache: Cache,
    file: Option<PathBuf>,
    keys: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca: Option<PathBuf>,
    jwks_refresh: Option<u64>,
    jwks_retry: Option<u64>,
    jwks_timeout_ms: Option<u64>,
    audience: Option<String>,
    issuer: Option<String>,
    user_claim: Option<String>,
    client_id_claim: Option<String>,
    acl_claim: Option<String>,
    leeway: Option<u32>,
    authenticate: Option<String>,
    authorise: Option<String>,
    method: Option<Method>,
    fields: Option<Vec<String>>,
    authorise_fields: Option<Vec<String>>,
    headers: Option<Vec<String>>,
    ca: Option<PathBuf>,
    url: Option<String>,
    password_query: Option<String>,
    acl_query: Option<String>,
    user_key: Option<String>,
    acl_key: Option<String>,
    start_tls: Option<bool>,
    bind_dn: Option<String>,
    bind_password: Option<String>,
    bind_password_file: Option<PathBuf>,
    dn: Option<String>,
    base: Option<String>,
    filter: Option<String>,
    user_attribute: Option<String>,
    group_attribute: Option<String>,
    group_base: Option<String>,
    group_filter: Option<String>,
    groups: Option<Vec<GroupLine>>,
    without_group: Option<ldap::WithoutGroup>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Certificate,
    Jwt,
    Passwords,
    Http,
    Sql,
    Redis,
    Ldap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Down {
    #[default]
    Deny,
    Ignore,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    PostJson,
    PostForm,
    Get,
}

/// What of a back end's answers is kept; time in seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    entries: Option<usize>,
    time: u64,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
            Self::Passwords => "passwords",
            Self::Http => "http",
            Self::Sql => "sql",
            Self::Redis => "redis",
            Self::Ldap => "ldap",
        }
    }

    const fn is_back_end(self) -> bool {
        matches!(self, Self::Http | Self::Sql | Self::Redis | Self::Ldap)
    }
}

impl TryFrom<Table> for StepLine {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        table.check()?;
        let patience = Patience::default();
        let limits = Limits {
            when_down: match table.when_down {
                Down::Deny => WhenDown::Deny,
                Down::Ignore => WhenDown::Ignore,
            },
            patience: Patience {
                failures: table.failures.unwrap_or(patience.failures),
                pause: table.pause.map_or(patience.pause, Duration::from_secs),
            },
            crowd: Crowd {
                asking: table.concurrency.unwrap_or(Crowd::default().asking),
                waiting: table.waiting.unwrap_or(Crowd::default().waiting),
                patience: table.timeout(),
            },
            cache: CacheLimits {
                entries: (table.cache.entries).unwrap_or(CacheLimits::default().entries),
                time: Duration::from_secs(table.cache.time),
            },
        };
        let what = match table.kind {
            Kind::Certificate => What::Certificate,
            Kind::Jwt => What::Tokens(Box::new(table.tokens()?)),
            Kind::Passwords => What::Passwords(needed(&table.file, "file")?),
            Kind::Http => What::Http(Box::new(table.http()?)),
            Kind::Sql => What::Sql(table.sql()?.map(Box::new)),
            Kind::Redis => What::Redis(table.redis()?.map(Box::new)),
            Kind::Ldap => What::Ldap(table.ldap()?.map(Box::new)),
        };
        Ok(Self {
            name: table.name,
            limits,
            what,
        })
    }
}

impl Table {
    /// Refuses lines that mean nothing for this kind.
    fn check(&self) -> Result<(), String> {
        for (key, there, right) in self.lines() {
            if there && !right {
                return Err(format!(
                    "`{key}` is not for a step of kind {:?}",
                    self.kind.name()
                ));
            }
        }
        Ok(())
    }

    /// Of each line its key, whether it is there, and whether it is for this kind.
    fn lines(&self) -> [(&'static str, bool, bool); 45] {
        let kind = self.kind;
        let (jwt, http) = (kind == Kind::Jwt, kind == Kind::Http);
        let (sql, redis) = (kind == Kind::Sql, kind == Kind::Redis);
        let ldap = kind == Kind::Ldap;
        let back_end = kind.is_back_end();
        [
            ("file", self.file.is_some(), kind == Kind::Passwords),
            ("keys", self.keys.is_some(), jwt),
            ("jwks_url", self.jwks_url.is_some(), jwt),
            ("jwks_ca", self.jwks_ca.is_some(), jwt),
            ("jwks_refresh", self.jwks_refresh.is_some(), jwt),
            ("jwks_retry", self.jwks_retry.is_some(), jwt),
            ("jwks_timeout_ms", self.jwks_timeout_ms.is_some(), jwt),
            ("audience", self.audience.is_some(), jwt),
            ("issuer", self.issuer.is_some(), jwt),
            ("user_claim", self.user_claim.is_some(), jwt),
            ("client_id_claim", self.client_id_claim.is_some(), jwt),
            ("acl_claim", self.acl_claim.is_some(), jwt),
            ("leeway", self.leeway.is_some(), jwt),
            ("authenticate", self.authenticate.is_some(), http),
            ("authorise", self.authorise.is_some(), http),
            ("method", self.method.is_some(), http),
            ("fields", self.fields.is_some(), http),
            ("authorise_fields", self.authorise_fields.is_some(), http),
            ("headers", self.headers.is_some(), http),
            ("ca", self.ca.is_some(), http || sql || redis || ldap),
            ("url", self.url.is_some(), sql || redis || ldap),
            ("password_query", self.password_query.is_some(), sql),
            ("acl_query", self.acl_query.is_some(), sql),
            ("user_key", self.user_key.is_some(), redis),
            ("acl_key", self.acl_key.is_some(), redis),
            ("start_tls", self.start_tls.is_some(), ldap),
            ("bind_dn", self.bind_dn.is_some(), ldap),
            ("bind_password", self.bind_password.is_some(), ldap),
            (
                "bind_password_file",
                self.bind_password_file.is_some(),
                ldap,
            ),
            ("dn", self.dn.is_some(), ldap),
            ("base", self.base.is_some(), ldap),
            ("filter", self.filter.is_some(), ldap),
            ("user_attribute", self.user_attribute.is_some(), ldap),
            ("group_attribute", self.group_attribute.is_some(), ldap),
            ("group_base", self.group_base.is_some(), ldap),
            ("group_filter", self.group_filter.is_some(), ldap),
            ("groups", self.groups.is_some(), ldap),
            ("without_group", self.without_group.is_some(), ldap),
            ("when_down", self.when_down != Down::default(), back_end),
            ("timeout_ms", self.timeout_ms.is_some(), back_end),
            ("failures", self.failures.is_some(), back_end),
            ("pause", self.pause.is_some(), back_end),
            ("concurrency", self.concurrency.is_some(), back_end),
            ("waiting", self.waiting.is_some(), back_end),
            (
                "cache",
                self.cache.time > 0 || self.cache.entries.is_some(),
                back_end,
            ),
        ]
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.unwrap_or(TIMEOUT_MS))
    }

    fn tokens(&self) -> Result<Tokens, String> {
        crate::jwt::Table {
            keys: self.keys.clone(),
            jwks_url: self.jwks_url.clone(),
            jwks_ca: self.jwks_ca.clone(),
            jwks_refresh: self.jwks_refresh,
            jwks_retry: self.jwks_retry,
            jwks_timeout_ms: self.jwks_timeout_ms,
            audience: self.audience.clone(),
            issuer: self.issuer.clone(),
            user_claim: self.user_claim.clone(),
            client_id_claim: self.client_id_claim.clone(),
            acl_claim: self.acl_claim.clone(),
            leeway: self.leeway,
        }
        .try_into()
    }

    fn sql(&self) -> Result<Option<sql::Options>, String> {
        if self.password_query.is_none() && self.acl_query.is_none() {
            return Err("`password_query` or `acl_query` is missing: what is asked".to_owned());
        }
        let Some(url) = read(&self.url)? else {
            return Ok(None);
        };
        let options = sql::Options {
            url,
            ca: self.ca.clone(),
            password_query: read(&self.password_query)?,
            acl_query: read(&self.acl_query)?,
            timeout: self.timeout(),
            connections: THREADS as u32,
        };
        options.check()?;
        Ok(Some(options))
    }

    fn redis(&self) -> Result<Option<redis::Options>, String> {
        if self.user_key.is_none() && self.acl_key.is_none() {
            return Err("`user_key` or `acl_key` is missing: what is asked".to_owned());
        }
        let Some(url) = read(&self.url)? else {
            return Ok(None);
        };
        let options = redis::Options {
            url,
            ca: self.ca.clone(),
            user_key: read(&self.user_key)?,
            acl_key: read(&self.acl_key)?,
            timeout: self.timeout(),
            connections: THREADS,
        };
        options.check()?;
        Ok(Some(options))
    }

    fn http(&self) -> Result<http::Options, String> {
        let url = |text: &Option<String>| text.as_deref().map(str::parse::<Url>).transpose();
        let (authenticate, authorise) = (url(&self.authenticate)?, url(&self.authorise)?);
        if authenticate.is_none() && authorise.is_none() {
            return Err("`authenticate` or `authorise` is missing: where it is asked".to_owned());
        }
        let lines = |own: &Option<Vec<String>>, usual: &[&str]| -> Result<_, String> {
            let usual = || usual.iter().map(|line| (*line).to_owned()).collect();
            let lines: Vec<String> = own.clone().unwrap_or_else(usual);
            lines.iter().map(|line| field(line)).collect()
        };
        let headers = self.headers.iter().flatten();
        Ok(http::Options {
            authenticate,
            authorise,
            method: match self.method {
                None | Some(Method::PostJson) => http::Method::PostJson,
                Some(Method::PostForm) => http::Method::PostForm,
                Some(Method::Get) => http::Method::Get,
            },
            fields: lines(&self.fields, AUTHENTICATE_FIELDS)?,
            authorise_fields: lines(&self.authorise_fields, AUTHORISE_FIELDS)?,
            headers: headers.map(|line| header(line)).collect::<Result<_, _>>()?,
            ca: self.ca.clone(),
            timeout: self.timeout(),
            connections: THREADS,
        })
    }
}

/// Of a text that may not be there.
fn read<T: FromStr<Err = String>>(text: &Option<String>) -> Result<Option<T>, String> {
    text.as_deref().map(str::parse).transpose()
}

/// What is asked unless something else is written.
const AUTHENTICATE_FIELDS: &[&str] = &[
    "clientid=${clientid}",
    "username=${username}",
    "password=${password}",
    "peerhost=${peerhost}",
    "cert_subject=${cert_subject}",
];
const AUTHORISE_FIELDS: &[&str] = &[
    "clientid=${clientid}",
    "username=${username}",
    "peerhost=${peerhost}",
    "action=${action}",
    "topic=${topic}",
    "qos=${qos}",
    "retain=${retain}",
];

/// Threads that ask back ends.
pub(crate) const THREADS: usize = 8;

fn needed<T: Clone>(value: &Option<T>, key: &str) -> Result<T, String> {
    value.clone().ok_or_else(|| format!("`{key}` is missing"))
}

/// `name=template`
pub(crate) fn field(line: &str) -> Result<(String, Template), String> {
    let (name, template) = line.split_once('=').ok_or("expected NAME=TEXT")?;
    match name.is_empty() {
        true => Err("a name is missing before `=`".to_owned()),
        false => Ok((name.to_owned(), template.parse()?)),
    }
}

/// `Name: value`; the line may be a secret and is not told.
pub(crate) fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or("expected NAME: VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty()
        && name.bytes().all(token)
        && value.bytes().all(|b| (32..127).contains(&b))
    {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err("expected NAME: VALUE, in ASCII".to_owned()),
    }
}

impl StepLine {
    /// One of the short forms.
    pub(crate) fn short(name: &str, what: What) -> Self {
        Self {
            name: name.to_owned(),
            limits: Limits::default(),
            what,
        }
    }

    /// The step.
    ///
    /// # Errors
    /// What is wrong with the files that it names.
    pub(crate) fn open(&self, tell: Teller) -> Result<Step, Problems> {
        Ok(match &self.what {
            What::Certificate => Step::Certificate,
            What::Tokens(tokens) => {
                let name = self.name.clone();
                let tell = move |change: &KeyChange| tell(&name, &Change::Keys(change.clone()));
                Step::Tokens(Arc::new(tokens.open(true, Box::new(tell))?))
            }
            What::Passwords(path) => {
                let opened = Passwords::open(path, true).map_err(crate::access::problems)?;
                Step::Passwords(Arc::new(opened))
            }
            _ => {
                let back_end = self.back_end()?;
                let back_end = back_end.ok_or_else(|| self.wrong("nobody is asked"))?;
                self.guard(back_end, tell)?
            }
        })
    }

    /// Who is asked, with nothing in between; `None`: nobody.
    ///
    /// # Errors
    /// What is wrong with the files that it names.
    pub(crate) fn back_end(&self) -> Result<Option<Box<dyn BackEnd>>, Problems> {
        let wrong = |error: String| self.wrong(&error);
        Ok(Some(match &self.what {
            What::Certificate | What::Tokens(_) | What::Passwords(_) => return Ok(None),
            What::Sql(None) | What::Redis(None) | What::Ldap(None) => {
                return Err(self.wrong("`url` is missing"));
            }
            What::Http(options) => Box::new(Http::new((**options).clone()).map_err(wrong)?),
            What::Sql(Some(options)) => Box::new(Sql::new(options).map_err(wrong)?),
            What::Redis(Some(options)) => Box::new(Redis::new((**options).clone()).map_err(wrong)?),
            What::Ldap(Some(options)) => Box::new(Ldap::new((**options).clone()).map_err(wrong)?),
        }))
    }

    /// What becomes of a client about whom it says nothing.
    pub(crate) const fn when_down(&self) -> WhenDown {
        self.limits.when_down
    }

    fn guard(&self, back_end: Box<dyn BackEnd>, tell: Teller) -> Result<Step, Problems> {
        let guard = Guard::new(&self.name, back_end, self.limits, tell);
        Ok(Step::BackEnd(Arc::new(
            guard.map_err(|error| self.wrong(error))?,
        )))
    }

    fn wrong(&self, error: &str) -> Problems {
        Problem::of_all(format!("step {:?} of [access]: {error}", self.name)).into()
    }

    /// What is wrong with the files that it names, and what stands in one of passwords.
    ///
    /// # Errors
    /// All of it.
    pub(crate) fn read(&self) -> Result<Option<PasswordFile>, Problems> {
        match &self.what {
            What::Passwords(path) => {
                let read = PasswordFile::read(path).map_err(crate::access::problems)?;
                Ok(Some(read))
            }
            _ => self.open(Box::new(|_, _| {})).map(|_| None),
        }
    }

    /// Whether it has a say in what clients do.
    pub(crate) fn authorises(&self) -> bool {
        match &self.what {
            What::Http(options) => options.authorise.is_some(),
            What::Sql(Some(options)) => options.acl_query.is_some(),
            What::Redis(Some(options)) => options.acl_key.is_some(),
            _ => false,
        }
    }

    /// Whether it has a say in who may come in.
    pub(crate) fn authenticates(&self) -> bool {
        match &self.what {
            What::Http(options) => options.authenticate.is_some(),
            What::Sql(Some(options)) => options.password_query.is_some(),
            What::Redis(Some(options)) => options.user_key.is_some(),
            _ => true,
        }
    }

    /// Whether somebody else may be waited for.
    pub(crate) fn is_back_end(&self) -> bool {
        match &self.what {
            What::Http(_) | What::Sql(_) | What::Redis(_) | What::Ldap(_) => true,
            What::Tokens(tokens) => tokens.are_remote(),
            What::Certificate | What::Passwords(_) => false,
        }
    }
}
