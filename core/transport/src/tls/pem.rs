//! Certificates and keys: where they come from, and reading them.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::TlsError;
use super::key::is_sequence;

/// The largest file of certificates or keys: all roots of a system are a fortieth of that.
const FILE_BYTES: u64 = 16 << 20;

/// Files of one folder of roots.
const FOLDER_FILES: usize = 65_536;

/// Where roots come from: certificates that are trusted to sign those of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those of the operating system; `SSL_CERT_FILE` and `SSL_CERT_DIR` say where, if set.
    System,
    /// A PEM file with any number of them, or one in DER.
    File(PathBuf),
    /// Every PEM file in a folder, under whatever name. Files without a certificate are passed over.
    Folder(PathBuf),
    /// The contents of such a file.
    Pem(Vec<u8>),
}

/// A file with PEM, or its contents. One certificate may also be DER.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// A file. It is read when the configuration is built.
    File(PathBuf),
    /// Its contents.
    Bytes(Vec<u8>),
}

/// Where a private key comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// PEM: PKCS#8, PKCS#1 (RSA) or SEC1 (EC), not encrypted.
    Pem(PemSource),
    /// The same as DER.
    Der(Vec<u8>),
    /// PEM or DER that is encrypted, or may be: PKCS#8 with PBES2, or `DEK-Info` lines of OpenSSL with
    /// AES or DES in CBC mode. Decrypting takes as long as whoever encrypted it wanted, up to a second.
    Encrypted {
        /// The key.
        key: PemSource,
        /// Its password. Never shown.
        password: Vec<u8>,
    },
}

/// Who we are: a certificate and its private key. Never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, followed by those that signed it up to a root that the peer has.
    pub chain: PemSource,
    /// The private key of the first one.
    pub key: KeySource,
}

impl Identity {
    /// An identity from two PEM files, which may be the same one.
    pub fn files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            chain: PemSource::File(chain.into()),
            key: KeySource::Pem(PemSource::File(key.into())),
        }
    }

    /// An identity from the contents of two PEM files.
    pub fn pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            chain: PemSource::Bytes(chain.into()),
            key: KeySource::Pem(PemSource::Bytes(key.into())),
        }
    }

    /// An identity from two PEM files, which may be the same one, with a key that a password protects.
    pub fn protected(
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        password: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            chain: PemSource::File(chain.into()),
            key: KeySource::Encrypted {
                key: PemSource::File(key.into()),
                password: password.into(),
            },
        }
    }

    pub(super) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.chain.read()?);
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.chain.place()));
        }
        Ok((chain, self.key.read()?))
    }
}

/// Where it is from, for errors.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.place())?;
        match &self.key {
            KeySource::Pem(key) | KeySource::Encrypted { key, .. } if *key != self.chain => {
                write!(f, " and {}", key.place())
            }
            _ => Ok(()),
        }
    }
}

impl PemSource {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::File(path) => file(path),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    /// The lists of revoked certificates in it. None is an error, or half a list: everything behind it
    /// would count as not revoked.
    pub(super) fn revocations(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let bytes = self.read()?;
        if is_sequence(&bytes) {
            return Ok(vec![CertificateRevocationListDer::from(bytes)]);
        }
        let failed = |why| TlsError::RevocationList(self.place(), why);
        let lists = CertificateRevocationListDer::pem_slice_iter(&bytes);
        let lists: Vec<_> = lists
            .collect::<Result<_, _>>()
            .map_err(|error| failed(error.to_string()))?;
        match lists.is_empty() {
            true => Err(failed("there is none in it".to_owned())),
            false => Ok(lists),
        }
    }

    pub(super) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => "what was given".to_owned(),
        }
    }
}

impl KeySource {
    fn read(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match self {
            Self::Der(der) => PrivateKeyDer::try_from(der.clone())
                .map_err(|what| TlsError::Identity(what.to_owned())),
            Self::Encrypted { key, password } => {
                Self::decrypted(key.read()?, Some(password), &key.place())?.read()
            }
            Self::Pem(source) => {
                let pem = source.read()?;
                let encrypted = |pem: &[u8]| {
                    let text = String::from_utf8_lossy(pem);
                    text.contains("BEGIN ENCRYPTED PRIVATE KEY")
                        || text.contains("Proc-Type: 4,ENC")
                };
                if encrypted(&pem) {
                    return Err(TlsError::EncryptedKey(source.place()));
                }
                PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
                    PemError::NoItemsFound => TlsError::NoKey(source.place()),
                    other => TlsError::Identity(format!("{}: {other}", source.place())),
                })
            }
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(source) => source.fmt(f),
            Self::Der(_) => f.write_str("Der(..)"),
            Self::Encrypted { key, .. } => key.fmt(f),
        }
    }
}

/// The roots of all sources; and, apart, those that were named by whoever configured this.
pub(super) struct Trusted {
    pub(super) store: RootCertStore,
    pub(super) named: Vec<CertificateDer<'static>>,
}

/// Reads roots. A source that has none is an error: it would be found out at the first connection,
/// by a message that says less.
pub(super) fn trusted(sources: &[Roots]) -> Result<Trusted, TlsError> {
    let mut trusted = Trusted {
        store: RootCertStore::empty(),
        named: Vec::new(),
    };
    for source in sources {
        let certificates = match source {
            Roots::System => {
                let system = rustls_native_certs::load_native_certs();
                let (added, _) = trusted.store.add_parsable_certificates(system.certs);
                if added == 0 {
                    let why = system.errors.iter().map(ToString::to_string);
                    let why = std::iter::once("the system's store".to_owned()).chain(why);
                    return Err(TlsError::NoCertificate(why.collect::<Vec<_>>().join(": ")));
                }
                continue;
            }
            Roots::File(path) => certificates(&file(path)?),
            Roots::Folder(path) => folder(path)?,
            Roots::Pem(pem) => certificates(pem),
        };
        let (added, _) = trusted
            .store
            .add_parsable_certificates(certificates.clone());
        if added == 0 {
            return Err(TlsError::NoCertificate(match source {
                Roots::File(path) | Roots::Folder(path) => path.display().to_string(),
                _ => "what was given".to_owned(),
            }));
        }
        trusted.named.extend(certificates);
    }
    Ok(trusted)
}

/// The certificates in a PEM text, where what else is in it is passed over; or the one that is DER.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    if is_sequence(pem) {
        return vec![CertificateDer::from(pem.to_vec())];
    }
    CertificateDer::pem_slice_iter(pem).flatten().collect()
}

fn folder(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::file(path, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)?.take(FOLDER_FILES) {
        let entry = entry.map_err(failed)?.path();
        // A link that leads nowhere is common in such folders.
        if entry.is_file()
            && let Ok(pem) = file(&entry)
        {
            found.extend(certificates(&pem));
        }
    }
    // Each is there twice where the folder has links for its hashes.
    found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    Ok(found)
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::file(path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES + 1).read_to_end(&mut bytes);
    match read.map_err(failed)? as u64 > FILE_BYTES {
        true => Err(TlsError::File(
            path.to_owned(),
            "it is too large".to_owned(),
        )),
        false => Ok(bytes),
    }
}
