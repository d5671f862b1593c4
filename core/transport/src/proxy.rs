//! Ways through proxies: HTTP's CONNECT (RFC 9110 section 9.3.6) with Basic authentication, and SOCKS5.

use std::fmt;
use std::io;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::endpoint::{Endpoint, EndpointError, host_and_port, user_and_password};
use crate::error::TransportError;
use crate::held::Held;
use crate::http::{HEADERS, Head, HeadError};
use crate::socks::{Next, Socks};
use crate::stream::Stream;

/// Bytes of a proxy's answer.
const REPLY_BYTES: usize = 8 * 1024;

/// A proxy: `http://[user[:password]@]host[:port]`, where `http://` may be left out, or `socks5://` (or
/// `socks5h://`: the proxy looks names up in any case). The port is 8080 by default, 1080 with SOCKS.
///
/// ```
/// use ternmq_transport::Proxy;
/// let proxy: Proxy = "http://user:p%40ss@proxy.example:3128".parse().unwrap();
/// assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// let proxy: Proxy = "socks5://proxy.example".parse().unwrap();
/// assert_eq!(proxy.to_string(), "socks5://proxy.example:1080");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name: for Basic authentication with HTTP.
    pub user_name: Option<String>,
    /// Password. Never shown.
    pub password: Option<Vec<u8>>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP, with CONNECT.
    #[default]
    Http,
    /// SOCKS5 (RFC 1928).
    Socks5,
}

/// Why there is no way through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// It wants to know who we are (with HTTP 407), or does not believe it.
    AuthenticationRequired,
    /// It refuses, with this status (with SOCKS from 1 to 255) and these words.
    Refused(u16, String),
    /// It closed the connection without an answer.
    Closed,
    /// It did not answer in time. Whoever drives the stream sees to the time.
    Timeout,
    /// Its answer is none of HTTP/1.1.
    NoHttp,
    /// Its answer is longer than 8 KiB, or has more than 64 lines.
    TooLarge,
    /// Its answer is none of SOCKS5.
    NoSocks,
    /// User name, password or host are longer than the 255 bytes that SOCKS has for each.
    NoRoom,
}

impl Proxy {
    /// Begins to open a way to a server through this proxy, to which `below` is being connected.
    /// [`Stream::connected`] tells when it is open.
    ///
    /// # Errors
    /// [`ProxyError::NoRoom`].
    pub fn connect(&self, below: Stream, server: &Endpoint) -> io::Result<Stream> {
        let (dialogue, first) = match self.kind {
            ProxyKind::Http => (
                Dialogue::Http(Head::default()),
                self.request(&server.authority()),
            ),
            ProxyKind::Socks5 => {
                let password = self.password.as_deref().unwrap_or_default();
                let user_name = self.user_name.as_deref();
                let (socks, greeting) =
                    Socks::begin(&server.host, server.port, user_name, password)?;
                (Dialogue::Socks(socks), greeting)
            }
        };
        let mut out = Held::default();
        out.extend(&first);
        Ok(Stream::Tunnel(Box::new(Tunnel {
            below,
            connected: false,
            out,
            dialogue,
        })))
    }

    fn request(&self, target: &str) -> Vec<u8> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(user_name) = &self.user_name {
            let mut login = format!("{user_name}:").into_bytes();
            login.extend_from_slice(self.password.as_deref().unwrap_or_default());
            request.extend_from_slice(b"Proxy-Authorization: Basic ");
            request.extend_from_slice(BASE64_STANDARD.encode(login).as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }
}

impl ProxyKind {
    /// The port of a proxy when its URI names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 8080,
            Self::Socks5 => 1080,
        }
    }

    fn parse(scheme: &str) -> Option<Self> {
        Some(match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "socks5" | "socks5h" => Self::Socks5,
            _ => return None,
        })
    }
}

impl FromStr for Proxy {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (kind, rest) = match text.split_once("://") {
            Some((scheme, rest)) => match ProxyKind::parse(scheme) {
                Some(kind) => (kind, rest),
                None => return Err(EndpointError::ProxyScheme(scheme.to_owned())),
            },
            None => (ProxyKind::Http, text),
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
            kind,
            host,
            port: port.unwrap_or(kind.default_port()),
            user_name,
            password,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
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
                f.write_str("the proxy wants a user name and password, or others (HTTP 407)")
            }
            Self::Refused(status, reason) => write!(f, "the proxy refused: {status} {reason}"),
            Self::Closed => f.write_str("the proxy closed the connection without an answer"),
            Self::Timeout => f.write_str("the proxy did not answer in time"),
            Self::NoHttp => f.write_str("the proxy's answer is no HTTP"),
            Self::TooLarge => f.write_str("the proxy's answer is too long"),
            Self::NoSocks => f.write_str("the proxy's answer is no SOCKS5"),
            Self::NoRoom => f.write_str("SOCKS has room for names and passwords of 255 bytes"),
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
    out: Held,
    dialogue: Dialogue,
}

#[derive(Debug)]
enum Dialogue {
    Http(Head),
    Socks(Socks),
}

impl Tunnel {
    /// The stream through the proxy, once the way is open.
    pub(crate) fn connected(&mut self) -> io::Result<Option<Stream>> {
        self.connected = self.connected || self.below.connected()?;
        loop {
            if !self.connected || !crate::http::send(&mut self.out, &mut self.below)? {
                return Ok(None);
            }
            match self.dialogue.next(&mut self.below)? {
                Next::Listen => return Ok(None),
                Next::Say(bytes) => self.out.extend(&bytes),
                Next::Open => break,
            }
        }
        // A pipe is only there to be left in the place of the real one.
        let (placeholder, _) = crate::pipe::pipe(1);
        Ok(Some(std::mem::replace(&mut self.below, placeholder)))
    }
}

impl Dialogue {
    fn next(&mut self, below: &mut Stream) -> io::Result<Next> {
        match self {
            Self::Http(head) => {
                let end = match head.read(below, REPLY_BYTES) {
                    Ok(end) => end,
                    Err(HeadError::TooLarge) => return Err(ProxyError::TooLarge.into()),
                    Err(HeadError::Closed) => return Err(ProxyError::Closed.into()),
                    Err(HeadError::Io(error)) => return nothing_yet(error),
                };
                accepts(&head.as_slice()[..end])?;
                // Nobody behind the proxy speaks first, in none of the protocols here.
                match head.as_slice().len() > end {
                    true => Err(ProxyError::NoHttp.into()),
                    false => Ok(Next::Open),
                }
            }
            Self::Socks(socks) => loop {
                let mut part = [0; 512];
                let room = socks.lacks().min(part.len());
                let read = match below.read(&mut part[..room]) {
                    Ok(0) => return Err(ProxyError::Closed.into()),
                    Ok(read) => read,
                    Err(error) => return nothing_yet(error),
                };
                match socks.hear(&part[..read])? {
                    Next::Listen => {}
                    next => return Ok(next),
                }
            },
        }
    }
}

fn nothing_yet(error: io::Error) -> io::Result<Next> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Next::Listen),
        _ => Err(error),
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
