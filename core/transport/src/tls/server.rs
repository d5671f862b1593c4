//! TLS as servers set it up.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};

use super::certificates::Certificates;
use super::error::TlsError;
use super::key_log::KeyLogFile;
use super::layer::TlsStream;
use super::pem::{Identity, PemSource, Roots, trusted};
use super::session::Session;
use super::suites::{CipherSuite, TlsVersion, spoken};
use super::verify::lists;
use crate::stream::Stream;

/// How a server speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsServerOptions {
    /// The server's certificate and key; with others beside it, the one for clients that name no host
    /// (SNI) or one that no certificate is for.
    pub identity: Identity,
    /// Other certificates and keys, for clients that name one of their hosts, as the DNS names among their
    /// alternative names say it (RFC 6125: `*` for a first label). A certificate that is for the very
    /// name goes before one with a star, and of several the first with a key that the client can use.
    pub others: Vec<Identity>,
    /// Refuse clients that name no host that there is a certificate for: they hear `access denied`, and
    /// nobody learns by an address which hosts there are. Who connects by an address names none.
    pub known_names_only: bool,
    /// Whether clients show certificates, and who is trusted to sign them.
    pub clients: ClientCertificates,
    /// Lists of the certificates of clients that are revoked (CRLs, RFC 5280), as PEM with any number of
    /// them or one in DER. With some there has to be one of each authority that has signed a client's
    /// certificate or one above it but the root, and its time must not be over: otherwise nobody knows
    /// whether it is revoked, and the client is refused. Empty asks for none. Without client
    /// certificates there must be none.
    pub revoked: Vec<PemSource>,
    /// The protocols that are spoken (ALPN, RFC 7301). A client that offers some and none of these is
    /// refused, as the RFC wants it; one that offers none is welcome. Empty looks at none.
    pub alpn: Vec<Vec<u8>>,
    /// The lowest version.
    pub min_version: TlsVersion,
    /// The highest version.
    pub max_version: TlsVersion,
    /// The cipher suites, the preferred one first. A version of which none is named offers all of its.
    pub cipher_suites: Vec<CipherSuite>,
    /// Give out tickets, with which clients that come back are spared the expensive part of the
    /// handshake. The key that they are encrypted with is new every six hours and known to this
    /// process alone.
    pub tickets: bool,
    /// A file that the secrets of all connections are appended to, in the format of `SSLKEYLOGFILE`
    /// (RFC 9850), for Wireshark to read recorded traffic with: whoever has it reads everything, of all
    /// clients. It is made with permissions 0600, and one that others may read is refused. Without it
    /// nothing is written, whatever the environment says.
    pub key_log: Option<PathBuf>,
}

/// Whether clients show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nobody is asked.
    None,
    /// Who has one shows it. A wrong one is refused, none is not.
    Optional(Vec<Roots>),
    /// Who has none is refused.
    Required(Vec<Roots>),
}

/// TLS for servers, ready for use and for a change of its files.
pub struct TlsServer {
    options: TlsServerOptions,
    config: RwLock<Arc<ServerConfig>>,
}

impl TlsServerOptions {
    /// No client certificates, protocol `mqtt`, TLS 1.2 and 1.3, tickets.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            others: Vec::new(),
            known_names_only: false,
            clients: ClientCertificates::None,
            revoked: Vec::new(),
            alpn: vec![b"mqtt".to_vec()],
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
            tickets: true,
            key_log: None,
        }
    }

    /// Reads all files and checks that everything fits together.
    ///
    /// # Errors
    /// What can't be read, is missing or doesn't fit.
    pub fn build(self) -> Result<TlsServer, TlsError> {
        let config = RwLock::new(Arc::new(config(&self)?));
        Ok(TlsServer {
            options: self,
            config,
        })
    }
}

impl TlsServer {
    /// Reads the files again: connections from now on get what is in them, those that are there go on.
    /// Tickets given out before are of no use any more.
    ///
    /// # Errors
    /// As [`TlsServerOptions::build`]; then nothing has changed.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.take(self.again()?);
        Ok(())
    }

    /// The same, made of what is in its files now.
    ///
    /// # Errors
    /// As [`TlsServerOptions::build`].
    pub fn again(&self) -> Result<Self, TlsError> {
        self.options.clone().build()
    }

    /// Goes on as `new`, which was made by [`TlsServer::again`]: so several servers change together or not
    /// at all.
    pub fn take(&self, new: Self) {
        let new = new.config.into_inner();
        let new = new.unwrap_or_else(PoisonError::into_inner);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Puts TLS above an accepted stream. The handshake happens while it is read; it may take
    /// `handshake_bytes` of the client's, and then the stream fails.
    ///
    /// # Errors
    /// The configuration's.
    pub fn accept(&self, below: Stream, handshake_bytes: usize) -> io::Result<Stream> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let session = UnbufferedServerConnection::new(config.clone()).map_err(TlsError::from)?;
        let stream = TlsStream::new(below, Session::Server(session), Some(handshake_bytes));
        Ok(Stream::Tls(Box::new(stream)))
    }
}

#[cfg(feature = "quic")]
impl TlsServer {
    /// The same for QUIC, which wants TLS 1.3 and a protocol.
    ///
    /// # Errors
    /// [`TlsError::NothingToOffer`].
    pub(crate) fn for_quic(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let suites = &config.crypto_provider().cipher_suites;
        if !suites.iter().any(|suite| suite.tls13().is_some()) {
            return Err(TlsError::NothingToOffer(super::QUIC_IS_1_3));
        }
        if !config.alpn_protocols.is_empty() {
            return Ok(config.clone());
        }
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

fn config(options: &TlsServerOptions) -> Result<ServerConfig, TlsError> {
    let spoken = spoken(
        options.min_version,
        options.max_version,
        &options.cipher_suites,
    )?;
    let certificates = Certificates::read(
        &options.identity,
        &options.others,
        options.known_names_only,
        &spoken.provider,
    )?;
    let builder = ServerConfig::builder_with_provider(spoken.provider.clone())
        .with_protocol_versions(&spoken.versions)
        .map_err(|_| TlsError::NothingToOffer("no version of TLS is left"))?;
    let builder = match &options.clients {
        ClientCertificates::None if !options.revoked.is_empty() => {
            let why = "clients are asked for no certificates";
            return Err(TlsError::RevocationList("it".to_owned(), why.to_owned()));
        }
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional(roots) | ClientCertificates::Required(roots) => {
            let roots = Arc::new(trusted(roots)?.store);
            let lists = lists(&options.revoked, &roots, &spoken.provider)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, spoken.provider)
                .with_crls(lists)
                .enforce_revocation_expiration();
            let verifier = match options.clients {
                ClientCertificates::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let failed = |error| TlsError::verifier("one of the lists", error);
            let verifier = verifier.build().map_err(failed)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificates));
    if let Some(path) = &options.key_log {
        config.key_log = KeyLogFile::open(path)?;
    }
    config.alpn_protocols.clone_from(&options.alpn);
    // Tickets need no memory here, whoever gets one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if options.tickets {
        config.ticketer = Ticketer::new().map_err(TlsError::from)?;
        config.send_tls13_tickets = 1;
    }
    Ok(config)
}
