//! What `--listen` says: an address, or a URL, which says what is spoken there as well.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use super::Map;
use super::tree::{Node, Origin, Value};

/// The schemes of URLs, the types of listeners that they are, and whether these need a certificate.
const SCHEMES: [(&str, &str, bool); 5] = [
    ("mqtt", "tcp", false),
    ("mqtts", "tls", true),
    ("ws", "ws", false),
    ("wss", "wss", true),
    ("quic", "quic", true),
];

/// A listener of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// Of [`SCHEMES`].
    scheme: usize,
    address: SocketAddr,
    /// Of WebSockets, if it is said.
    path: Option<String>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self {
                scheme: 0,
                address: crate::cli::address(text)?,
                path: None,
            });
        };
        let scheme = SCHEMES.iter().position(|(name, _, _)| *name == scheme);
        let scheme = scheme.ok_or("a URL to listen on begins with mqtt, mqtts, ws, wss or quic")?;
        let (address, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
            None => (rest, None),
        };
        if path.is_some() && !SCHEMES[scheme].1.starts_with("ws") {
            return Err("only ws:// and wss:// have a path".to_owned());
        }
        Ok(Self {
            scheme,
            address: crate::cli::address(address)?,
            path,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or_default();
        write!(f, "{}://{}{path}", SCHEMES[self.scheme].0, self.address)
    }
}

impl Listen {
    pub(super) const fn is_secure(&self) -> bool {
        SCHEMES[self.scheme].2
    }

    /// As a table of the file.
    pub(super) fn table(&self, cert: Option<&Path>, key: Option<&Path>) -> Node {
        let origin = Origin::CommandLine("--listen");
        let text = |name: &str, text: String, origin: &Origin| {
            let value = Value::Text(text);
            let origin = origin.clone();
            (name.to_owned(), Node { origin, value })
        };
        let mut table = Map::from([text("address", self.address.to_string(), &origin)]);
        if self.scheme > 0 {
            table.extend([text("type", SCHEMES[self.scheme].1.to_owned(), &origin)]);
        }
        table.extend((self.path.clone()).map(|path| text("websocket_path", path, &origin)));
        for (name, option, file) in [("certificate", "--cert", cert), ("key", "--key", key)] {
            let file = file.filter(|_| self.is_secure());
            table.extend(file.map(|file| {
                text(
                    name,
                    file.display().to_string(),
                    &Origin::CommandLine(option),
                )
            }));
        }
        Node {
            origin,
            value: Value::Table(table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_or_a_url() {
        for (text, shown) in [
            ("127.0.0.1:0", "mqtt://127.0.0.1:0"),
            ("mqtt://[::1]:1883", "mqtt://[::1]:1883"),
            ("quic://0.0.0.0:14567", "quic://0.0.0.0:14567"),
            ("mqtts://127.0.0.1:8883", "mqtts://127.0.0.1:8883"),
            ("ws://127.0.0.1:80/a/b", "ws://127.0.0.1:80/a/b"),
            ("wss://127.0.0.1:443", "wss://127.0.0.1:443"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), shown);
            assert_eq!(shown.parse(), Ok(listen));
        }
        for wrong in [
            "localhost:1883",
            "http://127.0.0.1:80",
            "quic://localhost:1",
            "quic://127.0.0.1",
            "quic://127.0.0.1:1/x",
            "unix:///x",
            "://127.0.0.1:1",
            "",
        ] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
