//! Where a broker listens, as Python says it: one dict for each listener.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{ClientCertificates, Identity, KeySource, PemSource, Roots};
use ternmq_broker::tls::{TlsServerOptions, TlsVersion};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{CertificateUser, ListenerConfig, MountPoint, Network, Versions};

use crate::reach::Compression;

/// One listener, with what holds for all where it says nothing itself. Every key must be there.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Listener {
    /// mqtt, mqtts, ws, wss, quic or unix.
    scheme: String,
    /// IP address and port.
    host: String,
    port: u16,
    /// Of a Unix socket: its file, and that one's permissions.
    file: Option<PathBuf>,
    mode: u32,
    anonymous: bool,
    mount_point: Option<String>,
    /// By the numbers of CONNECT.
    versions: Vec<u8>,
    max_connections: Option<usize>,
    connection_rate: u32,
    proxies: Option<Vec<String>>,
    /// Of a WebSocket; "*": any.
    path: String,
    origins: Option<Vec<String>>,
    compression: Option<Compression>,
    /// Whether a client has to show a certificate; None: it is asked for none.
    certificate_required: Option<bool>,
    certificate_user: Option<String>,
}

/// Certificate, key and, if there is one, who signs those of clients: all PEM.
pub(super) type Certificate = (Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Listener {
    /// # Errors
    /// ValueError for what makes no sense, and where TLS has no certificate.
    pub(super) fn config(&self, certificate: Option<&Certificate>) -> PyResult<ListenerConfig> {
        let mut config = self.bare()?;
        if matches!(self.scheme.as_str(), "mqtts" | "wss" | "quic") {
            config.tls = Some(self.tls(certificate)?);
        }
        Ok(config)
    }

    /// All but TLS.
    fn bare(&self) -> PyResult<ListenerConfig> {
        let at = match &self.file {
            Some(path) => ListenerConfig::unix(path, self.mode),
            None => ListenerConfig::anonymous(SocketAddr::new(self.host()?, self.port)),
        };
        Ok(ListenerConfig {
            anonymous: self.anonymous,
            mount_point: self.mount_point()?,
            versions: self.versions(),
            connections: self.max_connections.unwrap_or(usize::MAX),
            connection_rate: self.connection_rate,
            proxies: self.proxies()?,
            websocket: self.websocket(),
            quic: (self.scheme == "quic").then(QuicOptions::default),
            certificate_user: self.user(),
            ..at
        })
    }

    fn host(&self) -> PyResult<IpAddr> {
        let host = &self.host;
        let wrong = |_| PyValueError::new_err(format!("host must be an IP address, not {host:?}"));
        host.parse().map_err(wrong)
    }

    fn mount_point(&self) -> PyResult<Option<MountPoint>> {
        let parse = |text: &String| text.parse().map_err(|e| wrong("mount_point", text, &e));
        self.mount_point.as_ref().map(parse).transpose()
    }

    fn versions(&self) -> Versions {
        Versions {
            v3_1: self.versions.contains(&3),
            v3_1_1: self.versions.contains(&4),
            v5_0: self.versions.contains(&5),
        }
    }

    fn proxies(&self) -> PyResult<Option<Vec<Network>>> {
        let parse = |text: &String| text.parse().map_err(|e| wrong("proxies", text, &e));
        let all = |texts: &Vec<String>| texts.iter().map(parse).collect();
        self.proxies.as_ref().map(all).transpose()
    }

    fn websocket(&self) -> Option<WebSocketServer> {
        matches!(self.scheme.as_str(), "ws" | "wss").then(|| WebSocketServer {
            path: (self.path != "*").then(|| self.path.clone()),
            origins: self.origins.clone(),
            deflate: self.compression.as_ref().map(Compression::deflate),
            ..WebSocketServer::default()
        })
    }

    fn user(&self) -> CertificateUser {
        match self.certificate_user.as_deref() {
            Some("cn") => CertificateUser::CommonName,
            Some("dn") => CertificateUser::DistinguishedName,
            Some("dns") => CertificateUser::Dns,
            Some("email") => CertificateUser::Email,
            Some("uri") => CertificateUser::Uri,
            _ => CertificateUser::Nothing,
        }
    }

    fn tls(&self, certificate: Option<&Certificate>) -> PyResult<TlsServerOptions> {
        let (chain, key, clients) =
            certificate.ok_or_else(|| PyValueError::new_err("TLS needs a certificate"))?;
        let mut options = TlsServerOptions::new(Identity {
            chain: PemSource::Bytes(chain.clone()),
            key: KeySource::Pem(PemSource::Bytes(key.clone())),
        });
        options.min_version = TlsVersion::V1_2;
        if self.scheme != "quic" {
            // Whoever speaks HTTP for its WebSocket says so. QUIC has no peer without a protocol.
            options.alpn.clear();
        }
        if let (Some(roots), Some(required)) = (clients, self.certificate_required) {
            let roots = vec![Roots::Pem(roots.clone())];
            options.clients = match required {
                true => ClientCertificates::Required(roots),
                false => ClientCertificates::Optional(roots),
            };
        }
        Ok(options)
    }
}

/// ValueError for a listener that makes no sense: what would otherwise be told when the broker starts.
#[pyfunction]
pub(crate) fn check_listener(listener: Listener) -> PyResult<()> {
    listener.bare().map(drop)
}

fn wrong(name: &str, text: &str, error: &dyn Display) -> PyErr {
    PyValueError::new_err(format!("{name}: {text:?}: {error}"))
}
