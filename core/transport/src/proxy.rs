//! Ways through HTTP proxies: CONNECT (RFC 9110 section 9.3.6), with Basic authentication.

use std::fmt;
use std::io;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::endpoint::{EndpointError, host_and_port, user_and_password};
use crate::error::TransportError;
use crate::held::Held;
use crate::http::{HEADERS, Head, HeadError};
use crate::stream::Stream;

/// The port of a proxy when its URI names none.
const DEFAULT_PORT: u16 = 8080;

/// Bytes of a proxy's answer.
const REPLY_BYTES: usize = 8 * 1024;

/// An HTTP proxy: `http://[user[:password]@]host[:port]`, where `http://` may be left out. The port
/// is 8080 by default.
///
/// ```
/// use ternmq_transport::Proxy;
/// let proxy: Proxy = "http://user:p%40ss@proxy.example:3128".parse().unwrap();
/// assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name for Basic authentication.
    pub user_name: Option<String>,
    /// Password for Basic authentication. Never shown.
    pub password: Option<Vec<u8>>,
}

/// Why there is no way through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// It wants to know who we are (407), or does not believe it.
    AuthenticationRequired,
    /// It refuses, with this status and these words.
    Refused(u16, String),
    /// It closed the connection without an answer.
    Closed,
    /// It did not answer in time. Whoever drives the stream sees to the time.
    Timeout,
    /// Its answer is none of HTTP/1.1.
    NoHttp,
    /// Its answer is longer than 8 KiB, or has more than 64 lines.
    TooLarge,
}

impl Proxy {
    /// Begins to open a way to `target` (`host:port`, an IPv6 address in brackets) through this proxy,
    /// to which `below` is being connected. [`Stream::connected`] tells when it is open.
    pub fn connect(&self, below: Stream, target: &str) -> Stream {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(user_name) = &self.user_name {
            let mut login = format!("{user_name}:").into_bytes();
            login.extend_from_slice(self.password.as_deref().unwrap_or_default());
            request.extend_from_slice(b"Proxy-Authorization: Basic ");
            request.extend_from_slice(BASE64_STANDARD.encode(login).as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let mut held = Held::default();
        held.extend(&request);
        Stream::Tunnel(Box::new(Tunnel {
            below,
            connected: false,
            request: held,
            head: Head::default(),
        }))
    }
}

impl FromStr for Proxy {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
            None => text,
        };
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let (address, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        if !matches!(path, "" | "/") {
            return Err(EndpointError::Path(path.to_owned()));
        }
        let (host, port) = host_and_port(address)?;
        let (user_name, password) = match credentials.map(user_and_password).transpose()? {
            Some((user_name, password)) => (Some(user_name), password),
            None => (None, None),
        };
        Ok(Self {
            host,
            port: port.unwrap_or(DEFAULT_PORT),
            user_name,
            password,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}", self.host, self.port),
            false => write!(f, "http://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthenticationRequired => {
                f.write_str("the proxy wants a user name and password, or others (407)")
            }
            Self::Refused(status, reason) => write!(f, "the proxy refused: {status} {reason}"),
            Self::Closed => f.write_str("the proxy closed the connection without an answer"),
            Self::Timeout => f.write_str("the proxy did not answer in time"),
            Self::NoHttp => f.write_str("the proxy's answer is no HTTP"),
            Self::TooLarge => f.write_str("the proxy's answer is too long"),
        }
    }
}

impl std::error::Error for ProxyError {}

impl From<ProxyError> for io::Error {
    fn from(error: ProxyError) -> Self {
        TransportError::Proxy(error).into()
    }
}

/// Whether a host is to be reached without a proxy, by a list as the environment variable `no_proxy`
/// has it: names separated by commas or spaces, each of which stands for itself and, by its labels, for
/// everything below it (`example.com` and `.example.com` alike for `a.example.com`), perhaps with
/// a port for which alone it holds; `*` stands for every host.
///
/// ```
/// use ternmq_transport::bypasses_proxy;
/// assert!(bypasses_proxy("localhost, .example.com:1883", "mqtt.example.com", 1883));
/// assert!(!bypasses_proxy("localhost, .example.com:1883", "mqtt.example.com", 8883));
/// assert!(!bypasses_proxy("ample.com", "example.com", 1883));
/// assert!(bypasses_proxy("*", "example.com", 1883));
/// assert!(bypasses_proxy("[::1]:1883", "::1", 1883));
/// ```
pub fn bypasses_proxy(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let mut entries = no_proxy
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty());
    entries.any(|entry| {
        if entry == "*" {
            return true;
        }
        let (name, only) = match entry.rsplit_once(':') {
            // An IPv6 address has colons of its own, and with a port it has brackets.
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
                match digits.parse::<u16>() {
                    Ok(only) => (name, Some(only)),
                    Err(_) => return false,
                }
            }
            _ => (entry, None),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = name
            .trim_start_matches("*.")
            .trim_matches('.')
            .to_ascii_lowercase();
        let parent = host
            .strip_suffix(&name)
            .is_some_and(|rest| rest.ends_with('.'));
        only.is_none_or(|only| only == port) && !name.is_empty() && (host == name || parent)
    })
}

/// A way through a proxy that is being opened. Once it is, the stream below takes its place.
#[derive(Debug)]
pub struct Tunnel {
    pub(crate) below: Stream,
    /// To the proxy.
    connected: bool,
    request: Held,
    head: Head,
}

impl Tunnel {
    /// The stream through the proxy, once the way is open.
    pub(crate) fn connected(&mut self) -> io::Result<Option<Stream>> {
        self.connected = self.connected || self.below.connected()?;
        if !self.connected || !crate::http::send(&mut self.request, &mut self.below)? {
            return Ok(None);
        }
        let end = match self.head.read(&mut self.below, REPLY_BYTES) {
            Ok(end) => end,
            Err(HeadError::TooLarge) => return Err(ProxyError::TooLarge.into()),
            Err(HeadError::Closed) => return Err(ProxyError::Closed.into()),
            Err(HeadError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(HeadError::Io(e)) => return Err(e),
        };
        accepts(&self.head.as_slice()[..end])?;
        // Nobody behind the proxy speaks first, in none of the protocols here.
        if self.head.as_slice().len() > end {
            return Err(ProxyError::NoHttp.into());
        }
        // A pipe is only there to be left in the place of the real one.
        let (placeholder, _) = crate::pipe::pipe(1);
        Ok(Some(std::mem::replace(&mut self.below, placeholder)))
    }
}

/// Whether an answer opens the way.
fn accepts(head: &[u8]) -> Result<(), ProxyError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(ProxyError::NoHttp),
        Err(httparse::Error::TooManyHeaders) => return Err(ProxyError::TooLarge),
        Err(_) => return Err(ProxyError::NoHttp),
    }
    match response.code.unwrap_or(0) {
        200..=299 => Ok(()),
        407 => Err(ProxyError::AuthenticationRequired),
        status => Err(ProxyError::Refused(
            status,
            response.reason.unwrap_or_default().to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_uri_whose_password_is_not_shown() {
        let proxy: Proxy = "http://u:s%3Acret@[::1]".parse().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 8080));
        assert_eq!(proxy.password.as_deref(), Some(&b"s:cret"[..]));
        assert_eq!(format!("{proxy:?}"), "Proxy(http://[::1]:8080)");
        let bare: Proxy = "proxy:1/".parse().unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("proxy", 1));
        for text in [
            "https://u:secret@h",
            "http://u:secret@h/x",
            "http://u:secret@",
        ] {
            let error = text.parse::<Proxy>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn names_are_compared_by_their_labels() {
        let bypassed = |list, host| bypasses_proxy(list, host, 1883);
        assert!(bypassed("EXAMPLE.com", "a.b.example.COM."));
        assert!(bypassed("*.example.com", "example.com"));
        assert!(!bypassed("example.com:x", "example.com"));
        assert!(!bypassed(", ,", "example.com"));
        assert!(bypassed("10.0.0.1", "10.0.0.1") && !bypassed("0.0.1", "10.0.0.1x"));
        assert!(bypassed("::1", "::1") && bypassed("[::1]", "::1"));
    }

    #[test]
    fn only_success_opens_the_way() {
        assert_eq!(accepts(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        assert_eq!(accepts(b"HTTP/1.0 299 x\r\nA: b\r\n\r\n"), Ok(()));
        for (head, error) in [
            (
                &b"HTTP/1.1 407 x\r\n\r\n"[..],
                ProxyError::AuthenticationRequired,
            ),
            (
                b"HTTP/1.1 403 No way\r\n\r\n",
                ProxyError::Refused(403, "No way".to_owned()),
            ),
            (b"SSH-2.0\r\n\r\n", ProxyError::NoHttp),
        ] {
            assert_eq!(accepts(head), Err(error));
        }
    }
}
