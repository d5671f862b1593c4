//! Where a client connects to: the URIs of MQTT clients.

use std::fmt;

/// The port of MQTT over TCP.
const DEFAULT_PORT: u16 = 1883;

/// A server's address as users write it: `mqtt://host`, `tcp://host:1883`, `host:1883`, `[::1]`.
///
/// ```
/// use ternmq_transport::Endpoint;
/// let endpoint: Endpoint = "mqtt://user:p%40ss@[::1]:1884".parse().unwrap();
/// assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 1884));
/// assert_eq!(endpoint.password.as_deref(), Some(&b"p@ss"[..]));
/// assert_eq!(endpoint.to_string(), "mqtt://[::1]:1884");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, when the URI carries one.
    pub user_name: Option<String>,
    /// Password, when the URI carries one. Never shown.
    pub password: Option<Vec<u8>>,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// No host.
    NoHost,
    /// The port is not a number from 1 to 65,535.
    Port(String),
    /// A `[` without `]`, or an IPv6 address without brackets.
    Brackets,
    /// A scheme that is not MQTT, or one this build has no transport for.
    Scheme(String),
    /// Something after the port: a path, a query or a fragment.
    Path(String),
    /// A `%` that isn't followed by two hexadecimal digits, or a user name that isn't UTF-8.
    Percent,
}

impl Endpoint {
    /// An endpoint without credentials.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            user_name: None,
            password: None,
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if is_tcp(scheme) => rest,
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
            None => text,
        };
        // Credentials first, whatever stands in them: an error must not quote half a password.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (address, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(EndpointError::Path(path.to_owned()));
        }
        let (host, port) = host_and_port(address)?;
        let mut endpoint = Self::new(host, port);
        if let Some(credentials) = credentials {
            let (user, password) = match credentials.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (credentials, None),
            };
            let user = String::from_utf8(percent_decode(user)?);
            endpoint.user_name = Some(user.map_err(|_| EndpointError::Percent)?);
            endpoint.password = password.map(percent_decode).transpose()?;
        }
        Ok(endpoint)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "mqtt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "mqtt://{}:{}", self.host, self.port)
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
            Self::Scheme(scheme) => {
                write!(f, "{scheme}:// is not supported; use mqtt:// or tcp://")
            }
            Self::Path(path) => write!(f, "{path:?} after the port has no meaning for MQTT"),
            Self::Percent => f.write_str("a % that does not encode a character"),
        }
    }
}

impl std::error::Error for EndpointError {}

fn is_tcp(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("mqtt") || scheme.eq_ignore_ascii_case("tcp")
}

fn host_and_port(address: &str) -> Result<(&str, u16), EndpointError> {
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
    if host.is_empty() {
        return Err(EndpointError::NoHost);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => match text.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(EndpointError::Port(text.to_owned())),
        },
    };
    Ok((host, port))
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
            ("mqtts://host", EndpointError::Scheme("mqtts".into())),
            ("mqtt://host/path", EndpointError::Path("/path".into())),
            ("mqtt://a%4@host", EndpointError::Percent),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(error), "{text}");
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
            "mqtts://u:secret@h",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
