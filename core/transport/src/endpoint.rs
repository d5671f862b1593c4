//! Where a client connects to: the URIs of MQTT clients.

use std::fmt;

/// The path of a WebSocket when the URI has none.
const DEFAULT_PATH: &str = "/mqtt";

/// A server's address as users write it: `mqtt://host`, `mqtts://host:8883`, `ws://host/mqtt`,
/// `quic://host`, `unix:///run/mqtt.sock`, `host:1883`, `[::1]`.
///
/// ```
/// use ternmq_transport::{Endpoint, Scheme};
/// let endpoint: Endpoint = "mqtts://user:p%40ss@[::1]:1884".parse().unwrap();
/// assert_eq!((endpoint.scheme, endpoint.host.as_str(), endpoint.port), (Scheme::Tls, "::1", 1884));
/// assert_eq!(endpoint.password.as_deref(), Some(&b"p@ss"[..]));
/// assert_eq!(endpoint.to_string(), "mqtts://[::1]:1884");
/// let endpoint: Endpoint = "wss://broker.example".parse().unwrap();
/// assert_eq!((endpoint.port, endpoint.path.as_str()), (443, "/mqtt"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// How the bytes travel.
    pub scheme: Scheme,
    /// Host name or IP address, without brackets; empty for a Unix socket.
    pub host: String,
    /// TCP port, of QUIC UDP port; 0 for a Unix socket.
    pub port: u16,
    /// What a WebSocket asks for, with its query; the file of a Unix socket; otherwise empty.
    pub path: String,
    /// User name, when the URI carries one.
    pub user_name: Option<String>,
    /// Password, when the URI carries one. Never shown.
    pub password: Option<Vec<u8>>,
}

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `mqtt`, `tcp`: TCP, port 1883.
    Tcp,
    /// `mqtts`, `ssl`, `tls`: TLS over TCP, port 8883.
    Tls,
    /// `ws`: a WebSocket, port 80.
    WebSocket,
    /// `wss`: a WebSocket over TLS, port 443.
    SecureWebSocket,
    /// `unix`: a socket of this machine that has a file name.
    Unix,
    /// `quic`, `mqtt+quic`, `mqtt-quic`: one stream of QUIC over UDP, which is TLS 1.3 always, port
    /// 14567 (as EMQX has it; nobody has been assigned one).
    Quic,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// No host, or no file of a Unix socket.
    NoHost,
    /// The port is not a number from 1 to 65,535.
    Port(String),
    /// A `[` without `]`, or an IPv6 address without brackets.
    Brackets,
    /// A scheme that is not MQTT.
    Scheme(String),
    /// A scheme that is no proxy's.
    ProxyScheme(String),
    /// Something after the port that has no meaning there: a path where there is no WebSocket, or a
    /// fragment.
    Path(String),
    /// A `%` that isn't followed by two hexadecimal digits, or a user name that isn't UTF-8.
    Percent,
}

impl Scheme {
    /// The port when the URI names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::WebSocket => 80,
            Self::SecureWebSocket => 443,
            Self::Unix => 0,
            Self::Quic => 14_567,
        }
    }

    /// Whether TLS is spoken.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket | Self::Quic)
    }

    /// Whether a WebSocket is spoken.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }

    /// Its name in a URI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Unix => "unix",
            Self::Quic => "quic",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => Self::Tcp,
            "mqtts" | "ssl" | "tls" => Self::Tls,
            "ws" => Self::WebSocket,
            "wss" => Self::SecureWebSocket,
            "unix" => Self::Unix,
            "quic" | "mqtt+quic" | "mqtt-quic" => Self::Quic,
            _ => return None,
        })
    }
}

impl Endpoint {
    /// A TCP endpoint without credentials.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            scheme: Scheme::Tcp,
            host: host.into(),
            port,
            path: String::new(),
            user_name: None,
            password: None,
        }
    }

    /// The endpoint of a Unix socket's file.
    pub fn unix(path: impl Into<String>) -> Self {
        Self {
            scheme: Scheme::Unix,
            path: path.into(),
            ..Self::new("", 0)
        }
    }

    /// The host with brackets where it needs them, and the port: what stands in a `Host` line.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) => {
                let known = Scheme::parse(name);
                (
                    known.ok_or_else(|| EndpointError::Scheme(name.to_owned()))?,
                    rest,
                )
            }
            None => (Scheme::Tcp, text),
        };
        // Credentials first, whatever stands in them: an error must not quote half a password.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let mut endpoint = match scheme {
            Scheme::Unix if rest.is_empty() => return Err(EndpointError::NoHost),
            Scheme::Unix => Self::unix(rest),
            _ => of_host(scheme, rest)?,
        };
        if let Some(credentials) = credentials {
            let (user, password) = user_and_password(credentials)?;
            endpoint.user_name = Some(user);
            endpoint.password = password;
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.scheme.name();
        match self.scheme {
            Scheme::Unix => write!(f, "{name}://{}", self.path),
            _ => write!(f, "{name}://{}{}", self.authority(), self.path),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("the address has no host"),
            Self::Port(port) => write!(f, "{port:?} is not a port number"),
            Self::Brackets => f.write_str("an IPv6 address needs brackets: [::1]:1883"),
            Self::Scheme(scheme) => write!(
                f,
                "{scheme}:// is not supported; use mqtt://, mqtts://, ws://, wss://, quic:// or unix://"
            ),
            Self::ProxyScheme(scheme) => write!(
                f,
                "{scheme}:// is no proxy that is supported; use http:// or socks5://"
            ),
            Self::Path(path) => write!(f, "{path:?} after the port has no meaning for MQTT"),
            Self::Percent => f.write_str("a % that does not encode a character"),
        }
    }
}

impl std::error::Error for EndpointError {}

/// What stands between the scheme and the end of a URI that names a host.
fn of_host(scheme: Scheme, rest: &str) -> Result<Endpoint, EndpointError> {
    let (address, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = host_and_port(address)?;
    let path = match path {
        "" | "/" if !scheme.is_websocket() => String::new(),
        "" => DEFAULT_PATH.to_owned(),
        // It goes into a line of HTTP.
        path if scheme.is_websocket()
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') =>
        {
            match path.strip_prefix('?') {
                Some(query) => format!("/?{query}"),
                None => path.to_owned(),
            }
        }
        path => return Err(EndpointError::Path(path.to_owned())),
    };
    Ok(Endpoint {
        scheme,
        path,
        ..Endpoint::new(host, port.unwrap_or(scheme.default_port()))
    })
}

/// What stands before an `@`, decoded.
pub(crate) fn user_and_password(
    credentials: &str,
) -> Result<(String, Option<Vec<u8>>), EndpointError> {
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    let user = String::from_utf8(percent_decode(user)?).map_err(|_| EndpointError::Percent)?;
    Ok((user, password.map(percent_decode).transpose()?))
}

/// A host without its brackets, and its port if there is one.
pub(crate) fn host_and_port(address: &str) -> Result<(String, Option<u16>), EndpointError> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(EndpointError::Brackets)?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(EndpointError::Brackets),
        }
    } else {
        match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(EndpointError::Brackets),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    if host.is_empty() || host.contains(|c: char| c.is_control() || c == ' ') {
        return Err(EndpointError::NoHost);
    }
    let port = match port {
        None => None,
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => Some(port),
            _ => return Err(EndpointError::Port(text.to_owned())),
        },
    };
    // A zone comes as it is, or with its % encoded (RFC 6874).
    Ok((host.replace("%25", "%"), port))
}

fn percent_decode(text: &str) -> Result<Vec<u8>, EndpointError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(EndpointError::Percent),
                }
            }
            other => other,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_is_understood() {
        for (text, host, port) in [
            ("mqtt://broker.example", "broker.example", 1883),
            ("tcp://localhost:1884", "localhost", 1884),
            ("TCP://localhost:1884/", "localhost", 1884),
            ("localhost", "localhost", 1883),
            ("127.0.0.1:99", "127.0.0.1", 99),
            ("[fe80::1%eth0]:99", "fe80::1%eth0", 99),
            ("mqtt://[::1]", "::1", 1883),
            ("mqtts://[fe80::1%25eth0]", "fe80::1%eth0", 8883),
            ("ssl://h", "h", 8883),
            ("tls://h:1", "h", 1),
            ("ws://h", "h", 80),
            ("WSS://h/", "h", 443),
            ("quic://h", "h", 14_567),
            ("mqtt+quic://[::1]:1", "::1", 1),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (endpoint.host.as_str(), endpoint.port),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for (text, error) in [
            ("", EndpointError::NoHost),
            ("mqtt://:1883", EndpointError::NoHost),
            ("host:0", EndpointError::Port("0".into())),
            ("host:70000", EndpointError::Port("70000".into())),
            ("::1", EndpointError::Brackets),
            ("[::1", EndpointError::Brackets),
            ("[::1]99", EndpointError::Brackets),
            ("http://host", EndpointError::Scheme("http".into())),
            ("unix://", EndpointError::NoHost),
            ("ws://host/a b", EndpointError::Path("/a b".into())),
            ("ws://host/a\r\nb", EndpointError::Path("/a\r\nb".into())),
            ("ws://host/a#b", EndpointError::Path("/a#b".into())),
            ("mqtt://a b", EndpointError::NoHost),
            ("mqtt://host/path", EndpointError::Path("/path".into())),
            ("mqtt://a%4@host", EndpointError::Percent),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_websocket_has_a_path_and_a_unix_socket_is_one() {
        for (text, path, shown) in [
            ("ws://h", "/mqtt", "ws://h:80/mqtt"),
            ("wss://h/", "/", "wss://h:443/"),
            ("ws://h:1/a/b?c=d", "/a/b?c=d", "ws://h:1/a/b?c=d"),
            ("ws://h?c", "/?c", "ws://h:80/?c"),
            (
                "unix:///run/mqtt.sock",
                "/run/mqtt.sock",
                "unix:///run/mqtt.sock",
            ),
            ("unix://u:p@relative", "relative", "unix://relative"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(
                (endpoint.path.as_str(), endpoint.to_string().as_str()),
                (path, shown)
            );
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let endpoint: Endpoint = "mqtt://u:secret@h".parse().unwrap();
        assert!(!format!("{endpoint} {endpoint:?}").contains("secret"));
        for text in [
            "mqtt://u:secret/1@h:x",
            "mqtt://u:secret#1@h/x",
            "mqtt://u:secret?%@h",
            "http://u:secret@h",
            "ws://u:secret@h/ x",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
