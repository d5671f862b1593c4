//! The tables `[[listener]]` of the configuration file.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{
    CipherSuite, ClientCertificates, Identity, PemSource, Roots, TlsServerOptions, TlsVersion,
};
use ternmq_broker::websocket::{Deflate, WebSocketServer};
use ternmq_broker::{Address, CertificateUser, ListenerConfig, MountPoint, Network, Versions};

use crate::cli::Version;
use crate::config::Mode;

/// The permissions of a Unix socket: its owner and their group.
const SOCKET_MODE: u32 = 0o660;

/// A listener whose lines go together.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Listener {
    pub(crate) config: ListenerConfig,
    /// The steps that its clients have to pass, by their names; `None`: all.
    pub(crate) steps: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    r#type: Kind,
    /// IP address and port; port 0 takes a free one.
    address: Option<SocketAddrLine>,
    /// The file of a Unix socket, and its permissions.
    path: Option<PathBuf>,
    mode: Option<u32>,
    /// Let clients in that don't authenticate. Without this line: yes on a loopback address and on a
    /// Unix socket, no on any other.
    anonymous: Option<bool>,
    steps: Option<Vec<String>>,
    /// Each connection begins with what a proxy says of it; and which proxies.
    #[serde(default)]
    proxy_protocol: bool,
    proxy_from: Option<Vec<Text<Network>>>,
    /// Open connections.
    connections: Option<usize>,
    /// What stands before all topics of its clients.
    mount_point: Option<Text<MountPoint>>,
    /// New connections a second.
    #[serde(default)]
    connection_rate: u32,
    /// Of each client, and of all together.
    #[serde(default)]
    client_rates: crate::rates::Table,
    #[serde(default)]
    rates: crate::rates::Table,
    #[serde(default = "all_versions", deserialize_with = "versions")]
    versions: Versions,
    /// What is promised for the messages that come in here.
    durability: Option<Mode>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    /// For other hosts, and what becomes of clients that name none of all.
    certificates: Option<Vec<CertificateLine>>,
    unknown_name: Option<UnknownName>,
    key_log: Option<PathBuf>,
    /// A file or a folder.
    client_ca: Option<PathBuf>,
    client_certificates: Option<Clients>,
    client_crl: Option<Vec<PathBuf>>,
    identity: Option<Who>,
    min_tls: Option<Text<TlsVersionName>>,
    max_tls: Option<Text<TlsVersionName>>,
    cipher_suites: Option<Vec<Text<CipherSuite>>>,
    alpn: Option<Vec<String>>,
    tickets: Option<bool>,
    handshake_bytes: Option<usize>,
    websocket_path: Option<String>,
    origins: Option<Vec<String>>,
    frame_bytes: Option<u64>,
    head_bytes: Option<usize>,
    /// Compression of WebSockets.
    #[serde(default)]
    deflate: bool,
    deflate_context: Option<bool>,
    deflate_window_bits: Option<u8>,
    deflate_min_bytes: Option<usize>,
    quic_idle_timeout: Option<u64>,
    quic_window: Option<u32>,
    quic_handshakes: Option<usize>,
    quic_retry_from: Option<usize>,
}

/// What is spoken below MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Tcp,
    Tls,
    Ws,
    Wss,
    Quic,
    Unix,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Clients {
    Require,
    Optional,
}

/// What becomes of clients that name no host that there is a certificate for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownName {
    Default,
    Refuse,
}

/// A certificate beside the first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateLine {
    certificate: PathBuf,
    key: PathBuf,
}

/// What a certificate says about the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Cn,
    Dn,
    Dns,
    Email,
    Uri,
    None,
}

impl Kind {
    const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Quic)
    }

    const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

impl TryFrom<Table> for Listener {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        table.check()?;
        let bare = match (&table.address, &table.path) {
            (Some(SocketAddrLine(address)), None) => listener(*address, table.anonymous),
            (None, Some(path)) => ListenerConfig {
                anonymous: table.anonymous.unwrap_or(true),
                ..ListenerConfig::unix(path, table.mode.unwrap_or(SOCKET_MODE))
            },
            _ => return Err("`address` is missing, or `path` for the type unix".to_owned()),
        };
        let steps = table.steps.clone();
        let config = ListenerConfig {
            proxies: table.proxies()?,
            connections: table.connections.unwrap_or(usize::MAX),
            mount_point: table.mount_point.as_ref().map(|text| text.0.clone()),
            connection_rate: table.connection_rate,
            client_rates: table.client_rates.into(),
            rates: table.rates.into(),
            versions: table.versions,
            durability: table.durability.map_or(bare.durability, Into::into),
            tls: table.tls()?,
            quic: table.quic(),
            websocket: table.websocket(),
            certificate_user: table.user(),
            handshake_bytes: table.handshake_bytes.unwrap_or(bare.handshake_bytes),
            ..bare
        };
        Ok(Self { config, steps })
    }
}

impl Table {
    /// Refuses lines that mean nothing where they stand: they would be believed to do something.
    fn check(&self) -> Result<(), String> {
        let unix = self.r#type == Kind::Unix;
        let secure = self.r#type.is_secure();
        let lines = [
            (
                "address",
                self.address.is_some(),
                !unix,
                "a socket that has an IP address",
            ),
            ("path", self.path.is_some(), unix, "the type unix"),
            ("mode", self.mode.is_some(), unix, "the type unix"),
            (
                "proxy_from",
                self.proxy_from.is_some(),
                self.proxy_protocol && !unix,
                "a listener with `proxy_protocol` that has an IP address",
            ),
            ("certificate", self.certificate.is_some(), secure, TLS),
            ("key", self.key.is_some(), secure, TLS),
            ("certificates", self.certificates.is_some(), secure, TLS),
            ("unknown_name", self.unknown_name.is_some(), secure, TLS),
            ("key_log", self.key_log.is_some(), secure, TLS),
            ("client_ca", self.client_ca.is_some(), secure, TLS),
            ("min_tls", self.min_tls.is_some(), secure, TLS),
            ("max_tls", self.max_tls.is_some(), secure, TLS),
            ("cipher_suites", self.cipher_suites.is_some(), secure, TLS),
            ("alpn", self.alpn.is_some(), secure, TLS),
            ("tickets", self.tickets.is_some(), secure, TLS),
            (
                "handshake_bytes",
                self.handshake_bytes.is_some(),
                secure,
                TLS,
            ),
            (
                "client_certificates",
                self.client_certificates.is_some(),
                self.client_ca.is_some(),
                "a listener with `client_ca`",
            ),
            (
                "client_crl",
                self.client_crl.is_some(),
                self.client_ca.is_some(),
                "a listener with `client_ca`",
            ),
            (
                "identity",
                self.identity.is_some(),
                self.client_ca.is_some(),
                "a listener with `client_ca`",
            ),
        ];
        let lines = lines.into_iter().chain(self.lines_of_websockets());
        for (key, there, right, place) in lines.chain(self.lines_of_quic()) {
            if there && !right {
                return Err(format!("`{key}` is for {place}"));
            }
        }
        Ok(())
    }

    /// The lines of WebSockets: whether each is there, and may be.
    fn lines_of_websockets(&self) -> [(&'static str, bool, bool, &'static str); 8] {
        let right = self.r#type.is_websocket();
        [
            ("websocket_path", self.websocket_path.is_some(), right, WS),
            ("origins", self.origins.is_some(), right, WS),
            ("frame_bytes", self.frame_bytes.is_some(), right, WS),
            ("head_bytes", self.head_bytes.is_some(), right, WS),
            ("deflate", self.deflate, right, WS),
            (
                "deflate_context",
                self.deflate_context.is_some(),
                self.deflate,
                DEFLATE,
            ),
            (
                "deflate_window_bits",
                self.deflate_window_bits.is_some(),
                self.deflate,
                DEFLATE,
            ),
            (
                "deflate_min_bytes",
                self.deflate_min_bytes.is_some(),
                self.deflate,
                DEFLATE,
            ),
        ]
    }

    /// The lines of QUIC, and one that has no place there: nobody speaks for others below UDP.
    fn lines_of_quic(&self) -> [(&'static str, bool, bool, &'static str); 5] {
        let right = self.r#type == Kind::Quic;
        [
            (
                "quic_idle_timeout",
                self.quic_idle_timeout.is_some(),
                right,
                QUIC,
            ),
            ("quic_window", self.quic_window.is_some(), right, QUIC),
            (
                "quic_handshakes",
                self.quic_handshakes.is_some(),
                right,
                QUIC,
            ),
            (
                "quic_retry_from",
                self.quic_retry_from.is_some(),
                right,
                QUIC,
            ),
            (
                "proxy_protocol",
                self.proxy_protocol,
                !right,
                "TCP and Unix sockets",
            ),
        ]
    }

    /// Nobody is believed what they say of others without being named.
    fn proxies(&self) -> Result<Option<Vec<Network>>, String> {
        let from = self.proxy_from.iter().flatten();
        let from: Vec<Network> = from.map(|network| network.0).collect();
        match (self.proxy_protocol, self.r#type) {
            (false, _) => Ok(None),
            (true, Kind::Unix) => Ok(Some(from)),
            (true, _) if from.is_empty() => Err(
                "`proxy_protocol` needs `proxy_from`, the networks of the proxies: anybody else could \
                 claim any address"
                    .to_owned(),
            ),
            (true, _) => Ok(Some(from)),
        }
    }

    fn tls(&self) -> Result<Option<TlsServerOptions>, String> {
        if !self.r#type.is_secure() {
            return Ok(None);
        }
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Err("TLS needs `certificate` and `key`".to_owned());
        };
        let mut tls = TlsServerOptions::new(Identity::files(certificate, key));
        let others = self.certificates.iter().flatten();
        let others = others.map(|line| Identity::files(&line.certificate, &line.key));
        tls.others = others.collect();
        tls.known_names_only = self.unknown_name == Some(UnknownName::Refuse);
        tls.key_log.clone_from(&self.key_log);
        if self.r#type == Kind::Wss {
            // What browsers offer for a WebSocket.
            tls.alpn = vec![b"http/1.1".to_vec()];
        }
        if let Some(alpn) = &self.alpn {
            tls.alpn = alpn.iter().map(|name| name.clone().into_bytes()).collect();
        }
        if let Some(path) = &self.client_ca {
            let roots = vec![roots(path)];
            tls.clients = match self.client_certificates {
                Some(Clients::Optional) => ClientCertificates::Optional(roots),
                _ => ClientCertificates::Required(roots),
            };
        }
        let revoked = self.client_crl.iter().flatten();
        tls.revoked = revoked.cloned().map(PemSource::File).collect();
        let version = |line: &Option<Text<TlsVersionName>>, otherwise| {
            line.as_ref().map_or(otherwise, |line| line.0.0)
        };
        tls.min_version = version(&self.min_tls, tls.min_version);
        tls.max_version = version(&self.max_tls, tls.max_version);
        let suites = self.cipher_suites.iter().flatten();
        tls.cipher_suites = suites.map(|suite| suite.0).collect();
        tls.tickets = self.tickets.unwrap_or(tls.tickets);
        Ok(Some(tls))
    }

    fn websocket(&self) -> Option<WebSocketServer> {
        let defaults = self.r#type.is_websocket().then(WebSocketServer::default)?;
        Some(WebSocketServer {
            path: match self.websocket_path.as_deref() {
                None => defaults.path,
                Some("*") => None,
                Some(path) => Some(path.to_owned()),
            },
            origins: self.origins.clone(),
            frame_bytes: self.frame_bytes.unwrap_or(defaults.frame_bytes),
            head_bytes: self.head_bytes.unwrap_or(defaults.head_bytes),
            deflate: self.deflate.then(|| self.compression()),
        })
    }

    fn compression(&self) -> Deflate {
        let defaults = Deflate::default();
        Deflate {
            context: self.deflate_context.unwrap_or(defaults.context),
            window_bits: self.deflate_window_bits.unwrap_or(defaults.window_bits),
            min_bytes: self.deflate_min_bytes.unwrap_or(defaults.min_bytes),
            ..defaults
        }
    }

    fn quic(&self) -> Option<QuicOptions> {
        let defaults = (self.r#type == Kind::Quic).then(QuicOptions::default)?;
        Some(QuicOptions {
            idle_timeout: self
                .quic_idle_timeout
                .map_or(defaults.idle_timeout, Duration::from_secs),
            window_bytes: self.quic_window.unwrap_or(defaults.window_bytes),
            handshakes: self.quic_handshakes.unwrap_or(defaults.handshakes),
            retry_from: self.quic_retry_from.unwrap_or(defaults.retry_from),
        })
    }

    /// Whoever looks at certificates wants to know by them, if nothing else is said.
    fn user(&self) -> CertificateUser {
        match (self.identity, &self.client_ca) {
            (Some(Who::None), _) | (None, None) => CertificateUser::Nothing,
            (Some(Who::Dn), _) => CertificateUser::DistinguishedName,
            (Some(Who::Dns), _) => CertificateUser::Dns,
            (Some(Who::Email), _) => CertificateUser::Email,
            (Some(Who::Uri), _) => CertificateUser::Uri,
            (Some(Who::Cn) | None, _) => CertificateUser::CommonName,
        }
    }
}

const TLS: &str = "the types tls, wss and quic";
const QUIC: &str = "the type quic";
const WS: &str = "the types ws and wss";
const DEFLATE: &str = "a listener with `deflate`";

/// A TCP listener with nothing said about it.
pub(crate) fn listener(address: SocketAddr, anonymous: Option<bool>) -> ListenerConfig {
    ListenerConfig {
        anonymous: anonymous.unwrap_or(address.ip().is_loopback()),
        ..ListenerConfig::anonymous(address)
    }
}

/// Roots in a folder or in a file, as it turns out to be.
pub(crate) fn roots(path: &Path) -> Roots {
    match path.is_dir() {
        true => Roots::Folder(path.to_owned()),
        false => Roots::File(path.to_owned()),
    }
}

/// The URLs of listeners, which have got these addresses.
pub(crate) fn urls(listeners: &[ListenerConfig], addresses: &[SocketAddr]) -> Vec<String> {
    let mut addresses = addresses.iter();
    let url = |listener: &ListenerConfig| {
        let scheme = listener.scheme().name();
        let path = listener
            .websocket
            .as_ref()
            .map(|websocket| websocket.path.as_deref());
        let path = path.map_or("", |path| path.unwrap_or("/"));
        match &listener.address {
            Address::Ip(address) => {
                format!("{scheme}://{}{path}", addresses.next().unwrap_or(address))
            }
            unix @ Address::Unix { .. } => unix.to_string(),
        }
    };
    listeners.iter().map(url).collect()
}

/// An address as a line of the file has it.
#[derive(Debug)]
struct SocketAddrLine(SocketAddr);

impl<'de> Deserialize<'de> for SocketAddrLine {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        crate::cli::address(&text)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// Something that is written as a text.
#[derive(Debug)]
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A version of TLS by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsVersionName(pub(crate) TlsVersion);

impl FromStr for TlsVersionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("tlsv").unwrap_or(text) {
            "1.2" => Ok(Self(TlsVersion::V1_2)),
            "1.3" => Ok(Self(TlsVersion::V1_3)),
            _ => Err(format!(
                "{text:?} is none of the versions 1.2 and 1.3 of TLS"
            )),
        }
    }
}

const fn all_versions() -> Versions {
    Versions::ALL
}

fn versions<'de, D: Deserializer<'de>>(source: D) -> Result<Versions, D::Error> {
    use clap::ValueEnum;
    let mut versions = Versions::NONE;
    for text in Vec::<String>::deserialize(source)? {
        let version = Version::from_str(&text, false).map_err(|_| {
            D::Error::custom(format!("{text:?} is none of \"3.1\", \"3.1.1\", \"5\""))
        })?;
        match version {
            Version::V3_1 => versions.v3_1 = true,
            Version::V3_1_1 => versions.v3_1_1 = true,
            Version::V5_0 => versions.v5_0 = true,
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ListenerConfig, String> {
        let read: Result<Listener, _> = toml::from_str(text);
        read.map(|listener| listener.config)
            .map_err(|e| e.to_string())
    }

    const TLS_LINES: &str = "type = 'tls'\naddress = '127.0.0.1:0'\ncertificate = 'c'\nkey = 'k'\n";

    #[test]
    fn lines_of_tls_reach_the_broker() {
        let plain = read(TLS_LINES).unwrap();
        let tls = plain.tls.clone().unwrap();
        assert_eq!(tls, TlsServerOptions::new(Identity::files("c", "k")));
        assert_eq!(plain.certificate_user, CertificateUser::Nothing);
        let text = format!(
            "{TLS_LINES}key_log = 'l'\nunknown_name = 'refuse'\n[[certificates]]\ncertificate = 'd'\nkey = 'e'"
        );
        let tls = read(&text).unwrap().tls.unwrap();
        assert_eq!(tls.others, [Identity::files("d", "e")]);
        assert!(tls.known_names_only && tls.key_log == Some("l".into()));
        let text = format!(
            "{TLS_LINES}client_ca = 'ca'\nclient_crl = ['crl']\nmin_tls = '1.3'\nalpn = ['x']\ntickets = false\n\
             handshake_bytes = 9\ncipher_suites = ['TLS_AES_128_GCM_SHA256']"
        );
        let listener = read(&text).unwrap();
        let tls = listener.tls.unwrap();
        let roots = vec![Roots::File("ca".into())];
        assert_eq!(tls.clients, ClientCertificates::Required(roots.clone()));
        assert_eq!(tls.revoked, [PemSource::File("crl".into())]);
        assert_eq!((tls.min_version, tls.tickets), (TlsVersion::V1_3, false));
        assert_eq!(
            (tls.alpn, tls.cipher_suites.len()),
            (vec![b"x".to_vec()], 1)
        );
        assert_eq!(listener.handshake_bytes, 9);
        assert_eq!(listener.certificate_user, CertificateUser::CommonName);
        let text = format!(
            "{TLS_LINES}client_ca = 'ca'\nclient_certificates = 'optional'\nidentity = 'dn'"
        );
        let listener = read(&text).unwrap();
        let clients = listener.tls.unwrap().clients;
        assert_eq!(clients, ClientCertificates::Optional(roots));
        let named = CertificateUser::DistinguishedName;
        assert_eq!(listener.certificate_user, named);
        for (identity, named) in [
            ("dns", CertificateUser::Dns),
            ("email", CertificateUser::Email),
            ("uri", CertificateUser::Uri),
            ("none", CertificateUser::Nothing),
        ] {
            let text = format!("{TLS_LINES}client_ca = 'ca'\nidentity = '{identity}'");
            assert_eq!(read(&text).unwrap().certificate_user, named);
        }
    }

    #[test]
    fn lines_of_websockets_and_unix_sockets_reach_the_broker() {
        let text = "type = 'ws'\naddress = '127.0.0.1:0'\nwebsocket_path = '/x'\n\
                    origins = ['https://a']\nframe_bytes = 7\nhead_bytes = 8";
        let websocket = WebSocketServer {
            path: Some("/x".into()),
            origins: Some(vec!["https://a".into()]),
            frame_bytes: 7,
            head_bytes: 8,
            deflate: None,
        };
        assert_eq!(read(text).unwrap().websocket, Some(websocket));
        let compressed = "type = 'ws'\naddress = '127.0.0.1:0'\ndeflate = true";
        let websocket = read(compressed).unwrap().websocket.unwrap();
        assert_eq!(websocket.deflate, Some(Deflate::default()));
        let text = format!(
            "{compressed}\ndeflate_context = true\ndeflate_window_bits = 9\ndeflate_min_bytes = 7"
        );
        let deflate = Deflate {
            context: true,
            window_bits: 9,
            min_bytes: 7,
            ..Deflate::default()
        };
        assert_eq!(
            read(&text).unwrap().websocket.unwrap().deflate,
            Some(deflate)
        );
        let any = "type = 'ws'\naddress = '127.0.0.1:0'\nwebsocket_path = '*'";
        assert_eq!(read(any).unwrap().websocket.unwrap().path, None);
        let wss = read(&TLS_LINES.replace("'tls'", "'wss'")).unwrap();
        assert_eq!(wss.tls.clone().unwrap().alpn, [b"http/1.1"]);
        let unix = read("type = 'unix'\npath = '/run/x'\nmode = 0o600").unwrap();
        assert_eq!(unix, ListenerConfig::unix("/run/x", 0o600));
        let addresses = ["127.0.0.1:1".parse().unwrap()];
        let shown = urls(&[unix, wss], &addresses);
        assert_eq!(shown, ["unix:///run/x", "wss://127.0.0.1:1/mqtt"]);
    }

    const QUIC_LINES: &str =
        "type = 'quic'\naddress = '127.0.0.1:0'\ncertificate = 'c'\nkey = 'k'\n";

    #[test]
    fn lines_of_quic_reach_the_broker() {
        let plain = read(QUIC_LINES).unwrap();
        assert_eq!(plain.quic, Some(QuicOptions::default()));
        assert_eq!(plain.tls.clone().unwrap().alpn, [b"mqtt"]);
        let addresses = ["127.0.0.1:1".parse().unwrap()];
        assert_eq!(urls(&[plain], &addresses), ["quic://127.0.0.1:1"]);
        let text = format!(
            "{QUIC_LINES}quic_idle_timeout = 9\nquic_window = 8192\nquic_handshakes = 7\nquic_retry_from = 0"
        );
        let chosen = QuicOptions {
            idle_timeout: Duration::from_secs(9),
            window_bytes: 8192,
            handshakes: 7,
            retry_from: 0,
        };
        assert_eq!(read(&text).unwrap().quic, Some(chosen));
    }

    #[test]
    fn lines_of_proxies_reach_the_broker() {
        let text =
            "address = '127.0.0.1:0'\nproxy_protocol = true\nproxy_from = ['10.0.0.0/8', '::1']";
        let networks = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
        assert_eq!(read(text).unwrap().proxies, Some(networks.to_vec()));
        let unix = read("type = 'unix'\npath = '/run/x'\nproxy_protocol = true").unwrap();
        assert_eq!(unix.proxies, Some(Vec::new()));
        let none = read("address = '127.0.0.1:0'\nproxy_protocol = false").unwrap();
        assert_eq!(none.proxies, None);
    }

    #[test]
    fn lines_that_mean_nothing_are_refused() {
        for (text, words) in [
            (
                "address = '127.0.0.1:1'\nproxy_protocol = true",
                "needs `proxy_from`",
            ),
            (
                "address = '127.0.0.1:1'\nproxy_from = ['::1']",
                "`proxy_from` is for a listener with `proxy_protocol`",
            ),
            (
                "type = 'unix'\npath = 'x'\nproxy_protocol = true\nproxy_from = ['::1']",
                "that has an IP address",
            ),
            (
                "address = '127.0.0.1:1'\nproxy_protocol = true\nproxy_from = ['10.0.0.1/8']",
                "10.0.0.1/8",
            ),
            ("", "`address` is missing"),
            ("type = 'unix'", "`path` for the type unix"),
            ("type = 'unix'\naddress = '127.0.0.1:1'", "`address` is for"),
            (
                "address = '127.0.0.1:1'\npath = 'x'",
                "`path` is for the type unix",
            ),
            (
                "address = '127.0.0.1:1'\nkey = 'x'",
                "`key` is for the types tls, wss and quic",
            ),
            (
                "address = '127.0.0.1:1'\norigins = []",
                "`origins` is for the types ws",
            ),
            (
                "address = '127.0.0.1:1'\ndeflate = true",
                "`deflate` is for the types ws",
            ),
            (
                "type = 'ws'\naddress = '127.0.0.1:1'\ndeflate_context = true",
                "`deflate_context` is for a listener with `deflate`",
            ),
            (
                "type = 'tls'\naddress = '127.0.0.1:1'",
                "`certificate` and `key`",
            ),
            (
                "type = 'http'\naddress = '127.0.0.1:1'",
                "unknown variant `http`",
            ),
            (&format!("{TLS_LINES}identity = 'cn'"), "with `client_ca`"),
            (&format!("{TLS_LINES}min_tls = '1.1'"), "1.2 and 1.3"),
            (
                &format!("{TLS_LINES}[[certificates]]\ncertificate = 'd'"),
                "missing field `key`",
            ),
            (
                "address = '127.0.0.1:1'\nkey_log = 'x'",
                "`key_log` is for the types tls, wss and quic",
            ),
            (
                &format!("{TLS_LINES}cipher_suites = ['RC4']"),
                "no cipher suite",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn lines_that_mean_nothing_with_quic_are_refused() {
        for (text, words) in [
            (
                "type = 'quic'\naddress = '127.0.0.1:1'",
                "`certificate` and `key`",
            ),
            (
                &format!("{TLS_LINES}quic_window = 1"),
                "`quic_window` is for the type quic",
            ),
            (
                &format!("{QUIC_LINES}proxy_protocol = true\nproxy_from = ['::1']"),
                "`proxy_protocol` is for TCP and Unix sockets",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
