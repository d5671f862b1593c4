//! TLS as clients set it up.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;

use super::error::TlsError;
use super::key_log::KeyLogFile;
use super::layer::TlsStream;
use super::pem::{Identity, PemSource, Roots, trusted};
use super::session::Session;
use super::suites::{CipherSuite, TlsVersion, spoken};
use super::verify::{Verifier, Verify, revocation};
use crate::stream::Stream;

/// How a client speaks TLS. The default trusts the system's roots and wants a certificate for the
/// server's name.
///
/// ```no_run
/// use ternmq_transport::tls::{Identity, Roots, TlsOptions};
/// let tls = TlsOptions {
///     roots: vec![Roots::File("ca.pem".into())],
///     identity: Some(Identity::files("client.pem", "client.key")),
///     ..TlsOptions::default()
/// };
/// let tls = tls.build()?;
/// # Ok::<(), ternmq_transport::tls::TlsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Who is trusted to sign the server's certificate. Empty trusts nobody.
    pub roots: Vec<Roots>,
    /// Our certificate, for servers that want to see one.
    pub identity: Option<Identity>,
    /// What is asked of the server's certificate.
    pub verify: Verify,
    /// Lists of the certificates of servers that are revoked (CRLs, RFC 5280), as PEM with any number of
    /// them or one in DER. With some there has to be one of each authority that has signed the server's
    /// certificate or one above it but the root, and its time must not be over: otherwise nobody knows
    /// whether it is revoked, and it is refused. A certificate that is itself among the roots is not
    /// looked for. They are read when this is built, and a server that is come back to by a ticket is
    /// not asked again. Empty asks for none; with [`Verify::Nothing`] there must be none.
    pub revoked: Vec<PemSource>,
    /// The protocols to offer (ALPN, RFC 7301), the preferred one first; none by default.
    pub alpn: Vec<Vec<u8>>,
    /// The name that the certificate is to be for and that is sent as SNI; by default the host that
    /// is connected to. SNI carries no IP addresses (RFC 6066).
    pub server_name: Option<String>,
    /// The lowest version; TLS 1.2 by default.
    pub min_version: TlsVersion,
    /// The highest version; TLS 1.3 by default.
    pub max_version: TlsVersion,
    /// The cipher suites, the preferred one first. A version of which none is named offers all of its.
    pub cipher_suites: Vec<CipherSuite>,
    /// Connect again with a ticket of an earlier connection, which saves both sides the expensive part
    /// of the handshake; on by default. Tickets are kept in memory, of the last 256 servers.
    pub resumption: bool,
    /// A file that the secrets of all connections are appended to, in the format of `SSLKEYLOGFILE`
    /// (RFC 9850), for Wireshark to read recorded traffic with: whoever has it reads everything. It is
    /// made with permissions 0600, and one that others may read is refused. Without it nothing is
    /// written, whatever the environment says.
    pub key_log: Option<PathBuf>,
}

/// TLS for clients, ready for use. Clones share one memory of tickets.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<Arc<str>>,
}

impl TlsOptions {
    /// Reads all files and checks that everything fits together. Blocks as long as the file system does.
    ///
    /// # Errors
    /// What can't be read, is missing or doesn't fit.
    pub fn build(&self) -> Result<TlsClient, TlsError> {
        let spoken = spoken(self.min_version, self.max_version, &self.cipher_suites)?;
        // Whoever accepts anything needs no roots, and the system may have none.
        let roots = match self.verify {
            Verify::Nothing => &[][..],
            _ => &self.roots,
        };
        let trusted = trusted(roots)?;
        let revocation = match self.verify {
            Verify::Nothing if !self.revoked.is_empty() => {
                let why = "certificates of servers are not looked at";
                return Err(TlsError::RevocationList("it".to_owned(), why.to_owned()));
            }
            _ => revocation(&trusted.store, &self.revoked, &spoken.provider)?,
        };
        let verifier = Verifier {
            verify: self.verify,
            roots: trusted.store,
            named: trusted.named,
            algorithms: spoken.provider.signature_verification_algorithms,
            revocation,
        };
        let builder = ClientConfig::builder_with_provider(spoken.provider)
            .with_protocol_versions(&spoken.versions)
            .map_err(|_| TlsError::NothingToOffer("no version of TLS is left"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.read()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsError::Identity(error.to_string()))?
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        if !self.resumption {
            config.resumption = Resumption::disabled();
        }
        if let Some(path) = &self.key_log {
            config.key_log = KeyLogFile::open(path)?;
        }
        if let Some(name) = &self.server_name {
            server_name(name)?;
        }
        Ok(TlsClient {
            config: Arc::new(config),
            server_name: self.server_name.as_deref().map(Into::into),
        })
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            roots: vec![Roots::System],
            identity: None,
            verify: Verify::Full,
            revoked: Vec::new(),
            alpn: Vec::new(),
            server_name: None,
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
            resumption: true,
            key_log: None,
        }
    }
}

impl TlsClient {
    /// The defaults of [`TlsOptions`], built once for the process.
    ///
    /// # Errors
    /// The system has no roots.
    pub fn system() -> Result<Self, TlsError> {
        static SYSTEM: OnceLock<TlsClient> = OnceLock::new();
        if let Some(built) = SYSTEM.get() {
            return Ok(built.clone());
        }
        let built = TlsOptions::default().build()?;
        Ok(SYSTEM.get_or_init(|| built).clone())
    }

    /// Puts TLS above a stream to `host`. The handshake begins with the first call of
    /// [`Stream::connected`]; `below` may still be connecting.
    ///
    /// # Errors
    /// [`TlsError::ServerName`].
    pub fn connect(&self, below: Stream, host: &str) -> io::Result<Stream> {
        let name = server_name(self.server_name.as_deref().unwrap_or(host))?;
        let session = UnbufferedClientConnection::new(self.config.clone(), name);
        let session = Session::Client(session.map_err(TlsError::from)?);
        Ok(Stream::Tls(Box::new(TlsStream::new(below, session, None))))
    }
}

#[cfg(feature = "quic")]
impl TlsClient {
    /// The same for QUIC, which wants TLS 1.3 and a protocol, with the name that the certificate is to be
    /// for.
    ///
    /// # Errors
    /// [`TlsError::ServerName`], [`TlsError::NothingToOffer`].
    pub(crate) fn for_quic(&self, host: &str) -> Result<(Arc<ClientConfig>, String), TlsError> {
        let name = server_name(self.server_name.as_deref().unwrap_or(host))?;
        let suites = &self.config.crypto_provider().cipher_suites;
        if !suites.iter().any(|suite| suite.tls13().is_some()) {
            return Err(TlsError::NothingToOffer(super::QUIC_IS_1_3));
        }
        let mut config = ClientConfig::clone(&self.config);
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = vec![b"mqtt".to_vec()];
        }
        Ok((Arc::new(config), name.to_str().into_owned()))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// The zone of an IPv6 address is of no concern to the peer.
fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = match host.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => host,
    };
    let failed = |_| TlsError::ServerName(host.to_owned());
    ServerName::try_from(bare.to_owned()).map_err(failed)
}
