//! A back end that is asked by HTTP.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use ternmq_broker::access::{Action, Verdict};
use ternmq_broker::hooks::{Acting, Connecting, Decision};
use ternmq_protocol::ReasonCode;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::answer;
use crate::chain::template::{Facts, Template};
use crate::chain::{BackEnd, Failure};

/// Bytes of an answer; beyond it, it is none.
const MAX_BODY: u64 = 256 << 10;

/// How a back end is asked.
///
/// An answer of 200 to 299 allows if it has no body, else says in JSON what it means: `{"result": "allow"}`,
/// `"deny"` or `"ignore"`, and of a client that wants in also `expire_at`, the second since 1970 in which its
/// connection ends, `is_superuser`, whether it may do everything, and `acl`, what it may do: `[{"permission": "allow", "action": "publish", "topic":
/// "a/#"}]`, or as in tokens. One of these three that can't be used refuses the client, as a bad record of a data base
/// does. 400 to 499 denies, except 408 and 429. Everything else is no answer; a text that is not as above, and 500, are
/// none about this client alone. Redirections are not followed, and the proxies of the environment not used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is asked who may come in; `None`: it is not.
    pub authenticate: Option<Url>,
    /// Where it is asked who may do what; `None`: it is not.
    pub authorise: Option<Url>,
    /// How.
    pub method: Method,
    /// What is sent to ask who may come in, by names; as parameters of the URL with [`Method::Get`].
    pub fields: Vec<(String, Template)>,
    /// The same to ask who may do what.
    pub authorise_fields: Vec<(String, Template)>,
    /// Lines of the head, which may be secrets.
    pub headers: Vec<(String, String)>,
    /// The file of the certificates that are trusted; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// For everything from looking the name up to the end of the answer.
    pub timeout: Duration,
    /// Connections that are kept open.
    pub connections: usize,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// POST with an object of JSON.
    #[default]
    PostJson,
    /// POST as forms of web pages do.
    PostForm,
    /// GET with parameters, which others may write into their logs.
    Get,
}

/// A URL with placeholders behind the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Template);

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let template: Template = text.parse()?;
        let beginning = template.beginning();
        let behind = ["http://", "https://"]
            .iter()
            .find_map(|scheme| beginning.strip_prefix(scheme))
            .ok_or("a URL begins with http:// or https://")?;
        let host = behind.split(['/', '?']).next().unwrap_or_default();
        if host.is_empty() || (host.len() == behind.len() && beginning.len() != text.len()) {
            return Err("a host, without placeholders, is missing".to_owned());
        }
        if host.contains('@') {
            return Err("names and passwords belong into a line of the head".to_owned());
        }
        let plain = template.fill(&Facts::NOBODY, str::to_owned);
        match plain.parse::<ureq::http::Uri>() {
            Ok(_) => Ok(Self(template)),
            Err(error) => Err(format!("no URL: {error}")),
        }
    }
}

/// A client of HTTP for back ends, of one timeout.
///
/// # Errors
/// The file of certificates can't be used.
pub(crate) fn agent(
    ca: Option<&Path>,
    timeout: Duration,
    connections: usize,
    secure: bool,
) -> Result<Agent, String> {
    let roots = match (ca, secure) {
        (Some(path), _) => of_file(path)?,
        (None, true) => {
            let system = rustls_native_certs::load_native_certs().certs;
            system
                .iter()
                .map(|c| Certificate::from_der(c).to_owned())
                .collect()
        }
        (None, false) => Vec::new(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .max_idle_connections(connections)
        .max_idle_connections_per_host(connections)
        .user_agent("ternmq")
        .tls_config(tls)
        .build();
    Ok(config.new_agent())
}

pub(super) fn of_file(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = items.collect();
    match found.is_empty() {
        true => Err(format!("{}: there is no certificate in it", path.display())),
        false => Ok(found),
    }
}

/// A back end that is asked by HTTP.
pub struct Http {
    options: Options,
    agent: Agent,
}

impl Http {
    /// Nobody is asked yet.
    ///
    /// # Errors
    /// The file of certificates can't be used.
    pub fn new(options: Options) -> Result<Self, String> {
        let urls = options.authenticate.iter().chain(&options.authorise);
        let secure = { urls }.any(|url| url.0.beginning().starts_with("https:"));
        let agent = agent(
            options.ca.as_deref(),
            options.timeout,
            options.connections,
            secure,
        )?;
        Ok(Self { options, agent })
    }

    /// Asks. `None`: a name that can't stand in this URL, which nobody can have.
    fn ask(
        &self,
        url: &Url,
        fields: &[(String, Template)],
        facts: &Facts<'_>,
    ) -> Result<Option<(u16, String)>, Failure> {
        let get = self.options.method == Method::Get;
        let filled = fields.iter().map(|(name, template)| {
            let value = template.fill(facts, str::to_owned);
            (name.as_str(), value)
        });
        let Some(mut url) = url.fill(facts) else {
            return Ok(None);
        };
        let sent = match self.options.method {
            Method::Get => {
                let query = form(filled);
                if !query.is_empty() {
                    url.push(if url.contains('?') { '&' } else { '?' });
                    url.push_str(&query);
                }
                String::new()
            }
            Method::PostForm => form(filled),
            Method::PostJson => {
                let object: Map<String, Value> = filled
                    .map(|(name, value)| (name.to_owned(), value.into()))
                    .collect();
                Value::Object(object).to_string()
            }
        };
        let response = if get {
            let mut request = self.agent.get(&url);
            for (name, value) in &self.options.headers {
                request = request.header(name, value);
            }
            request.call()
        } else {
            let mut request = self.agent.post(&url);
            for (name, value) in &self.options.headers {
                request = request.header(name, value);
            }
            let kind = match self.options.method {
                Method::PostForm => "application/x-www-form-urlencoded",
                _ => "application/json",
            };
            request.content_type(kind).send(sent)
        };
        read(response.map_err(|error| failure(&error))?).map(Some)
    }
}

impl Url {
    /// With what it is filled in escaped. A segment of a path that is `.` or `..` would mean another path.
    fn fill(&self, facts: &Facts<'_>) -> Option<String> {
        let filled = self.0.fill(facts, escaped);
        let path = filled.split('?').next().unwrap_or_default();
        let strange = path.split('/').any(|part| matches!(part, "." | ".."));
        (!strange).then_some(filled)
    }
}

impl BackEnd for Http {
    fn authenticate(&self, client: &Connecting<'_>) -> Result<Decision, Failure> {
        let (Some(url), Some(facts)) = (&self.options.authenticate, Facts::of_client(client))
        else {
            return Ok(Decision::Ignore);
        };
        let denied = Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        match self.ask(url, &self.options.fields, &facts)? {
            Some((200..=299, body)) => answer::decision(&body, &facts),
            None | Some((400..=499, _)) => Ok(denied),
            Some((status, _)) => Err(of_status(status)),
        }
    }

    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Result<Option<Verdict>, Failure> {
        let Some(url) = &self.options.authorise else {
            return Ok(None);
        };
        let facts = Facts::of_action(client, action);
        match self.ask(url, &self.options.authorise_fields, &facts)? {
            Some((200..=299, body)) => answer::verdict(&body),
            None | Some((400..=499, _)) => Ok(Some(Verdict::Deny)),
            Some((status, _)) => Err(of_status(status)),
        }
    }

    fn authenticates(&self) -> bool {
        self.options.authenticate.is_some()
    }

    fn authorises(&self) -> bool {
        self.options.authorise.is_some()
    }
}

/// Status and body of an answer.
pub(crate) fn read(mut response: Response<ureq::Body>) -> Result<(u16, String), Failure> {
    let status = response.status().as_u16();
    if matches!(status, 408 | 429) {
        return Err(of_status(status));
    }
    let body = response.body_mut().with_config().limit(MAX_BODY);
    let body = body.read_to_string().map_err(|error| failure(&error))?;
    Ok((status, body))
}

/// What a status says that is no answer. 500 is what programs say that one question is too much for, and not of themselves.
pub(crate) fn of_status(status: u16) -> Failure {
    let words = format!("it answers with status {status}");
    match status {
        500 => Failure::Useless(words),
        _ => Failure::Down(words),
    }
}

pub(crate) fn failure(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Late,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Failure::Late,
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => Failure::Garbled("no HTTP".to_owned()),
        ureq::Error::BodyExceedsLimit(_) => Failure::Useless("it is too long".to_owned()),
        // The URL may have a name in it.
        ureq::Error::BadUri(_) => Failure::Down("no URL".to_owned()),
        other => Failure::Down(other.to_string()),
    }
}

fn form<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&escaped(name));
        text.push('=');
        text.push_str(&escaped(&value));
    }
    text
}

/// All but what RFC 3986 calls unreserved.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            // A string has room for anything.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_placeholder_and_no_name_leaves_its_place() {
        for wrong in [
            "ftp://a/",
            "http://",
            "http://${username}/",
            "http://a${username}/x",
            "http://a:b@host/",
            "a",
            "http://a b/",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
        let fill = |text: &str, id| {
            let url: Url = text.parse().unwrap();
            url.fill(&Facts {
                client_id: id,
                ..Facts::NOBODY
            })
        };
        let filled = fill("http://a/${clientid}?x=${clientid}", "b/../c?d&e=#").unwrap();
        assert_eq!(
            filled,
            "http://a/b%2F..%2Fc%3Fd%26e%3D%23?x=b%2F..%2Fc%3Fd%26e%3D%23"
        );
        assert_eq!(fill("http://a/${clientid}/x", ".."), None);
        assert_eq!(
            fill("http://a?x=${clientid}", "..").as_deref(),
            Some("http://a?x=..")
        );
    }
}
