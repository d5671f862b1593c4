//! How the blocking client reaches its server, as Python says it.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ternmq_client::tls::{Identity, PemSource, Roots, TlsOptions, Verify};
use ternmq_client::websocket::{Deflate, WebSocketOptions};
use ternmq_client::{ConnectError, ConnectOptions, Endpoint, Proxies, Proxy, Scheme, Target};

use crate::bytes::Payload;
use crate::errors;
use crate::relay::Relay;

/// Made from an object with these attributes.
#[derive(FromPyObject)]
pub(crate) struct Reach<'py> {
    scheme: String,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
    compression: Option<Compression>,
    proxy: Option<String>,
    tls: Option<Tls<'py>>,
    /// Connections are Python's to make.
    relay: Option<Bound<'py, Relay>>,
}

/// What is said of TLS by paths.
#[derive(FromPyObject)]
pub(crate) struct Tls<'py> {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: Option<Payload<'py>>,
    verify: bool,
    check_hostname: bool,
    server_name: Option<String>,
    alpn: Vec<String>,
    crl: Vec<PathBuf>,
    keylog_filename: Option<PathBuf>,
}

/// What is said of compression.
#[derive(FromPyObject)]
pub(crate) struct Compression {
    window_bits: u8,
    context: bool,
    min_bytes: usize,
}

impl Compression {
    /// Python has looked at the numbers.
    pub(crate) fn deflate(&self) -> Deflate {
        Deflate {
            window_bits: self.window_bits,
            context: self.context,
            min_bytes: self.min_bytes,
            ..Deflate::default()
        }
    }
}

impl Reach<'_> {
    /// For packets of at most `largest` bytes.
    ///
    /// # Errors
    /// What can't be read or makes no sense.
    pub(crate) fn options(&self, largest: u32) -> PyResult<ConnectOptions> {
        let endpoint = Endpoint {
            scheme: self.scheme()?,
            path: self.path.clone(),
            ..Endpoint::new(&self.host, self.port)
        };
        let compression = self.compression.as_ref();
        let websocket = WebSocketOptions {
            headers: self.headers.clone(),
            deflate: compression.map(|c| c.deflate().for_packets(largest.into())),
            ..WebSocketOptions::default()
        };
        if let Some(relay) = &self.relay {
            let above = endpoint
                .scheme
                .is_websocket()
                .then_some((websocket, endpoint));
            return Ok(ConnectOptions::new(vec![relay.get().target(above)]));
        }
        let mut options = ConnectOptions::new(vec![Target::Server(endpoint)]);
        options.websocket = websocket;
        if let Some(proxy) = &self.proxy {
            let proxy: Proxy = proxy
                .parse()
                .map_err(|error| PyValueError::new_err(format!("proxy: {error}")))?;
            options.proxies = Proxies {
                plain: Some(proxy.clone()),
                secure: Some(proxy),
                ..Proxies::default()
            };
        }
        if let Some(tls) = &self.tls {
            let tls = tls.options().build().map_err(ConnectError::from);
            let failed = |error| Python::attach(|py| errors::connect_error(py, &error));
            options.tls = Some(tls.map_err(failed)?);
        }
        Ok(options)
    }

    fn scheme(&self) -> PyResult<Scheme> {
        let all = [
            Scheme::Tcp,
            Scheme::Tls,
            Scheme::WebSocket,
            Scheme::SecureWebSocket,
            Scheme::Unix,
            Scheme::Quic,
        ];
        let found = all.into_iter().find(|scheme| scheme.name() == self.scheme);
        found.ok_or_else(|| PyValueError::new_err("no such scheme"))
    }
}

impl Tls<'_> {
    pub(crate) fn options(&self) -> TlsOptions {
        let roots = match &self.ca {
            None => Roots::System,
            Some(path) if path.is_dir() => Roots::Folder(path.clone()),
            Some(path) => Roots::File(path.clone()),
        };
        let identity = self.cert.as_ref().map(|cert| {
            let key = self.key.as_ref().unwrap_or(cert);
            match &self.key_password {
                None => Identity::files(cert, key),
                Some(password) => Identity::protected(cert, key, password.as_slice()),
            }
        });
        TlsOptions {
            roots: vec![roots],
            identity,
            verify: match (self.verify, self.check_hostname) {
                (false, _) => Verify::Nothing,
                (true, false) => Verify::Chain,
                (true, true) => Verify::Full,
            },
            alpn: self.alpn.iter().map(|p| p.as_bytes().to_vec()).collect(),
            server_name: self.server_name.clone(),
            revoked: self.crl.iter().cloned().map(PemSource::File).collect(),
            key_log: self.keylog_filename.clone(),
            ..TlsOptions::default()
        }
    }
}
