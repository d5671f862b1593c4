//! What can be wrong with TLS: the files it is made from, the peer's certificate, the conversation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::server::VerifierBuilderError;
use rustls::{CertificateError, Error};

use crate::error::TransportError;

/// Why TLS can't be set up or has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// A file or folder can't be read.
    File(PathBuf, String),
    /// There is no certificate where some should be; in a file, or in what the system has.
    NoCertificate(String),
    /// There is no private key where one should be.
    NoKey(String),
    /// The private key is encrypted, and there is no password: see
    /// [`KeySource::Encrypted`](super::KeySource::Encrypted).
    EncryptedKey(String),
    /// A list of revoked certificates can't be used: where it is, and why.
    RevocationList(String, String),
    /// The file that secrets are to be written to can't be used: which one, and why.
    KeyLog(PathBuf, String),
    /// Certificate and private key don't go together, or are of no use for TLS.
    Identity(String),
    /// No cipher suite or no version is left of what was chosen.
    NothingToOffer(&'static str),
    /// Not the name of a cipher suite that there is.
    UnknownCipherSuite(String),
    /// Neither a host name nor an IP address.
    ServerName(String),
    /// The peer's certificate was not accepted.
    Certificate(CertificateProblem),
    /// The peer has ended the conversation; what it says of the reason. `certificate required`,
    /// `bad certificate` and the like are about ours.
    Alert(String),
    /// The peer broke the protocol, or has nothing in common with us.
    Protocol(String),
    /// The connection was closed in the middle of the handshake, or later without the end that TLS
    /// has: somebody may have cut off what came last.
    Truncated,
    /// The peer sent more than a handshake may take.
    HandshakeTooLarge,
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Not signed by any of the trusted roots.
    UnknownIssuer,
    /// Its time is over, or that of the certificate that signed it.
    Expired,
    /// Its time has not begun.
    NotYetValid,
    /// It is for other names than the server's.
    WrongName {
        /// The name that was looked for.
        expected: String,
        /// The names it is for.
        presented: Vec<String>,
    },
    /// A signature is wrong.
    BadSignature,
    /// Its authority has revoked it, or that of the one which signed it.
    Revoked,
    /// There are lists of revoked certificates, and none of its authority.
    UnknownRevocation,
    /// The list of revoked certificates of its authority should have been replaced by now.
    ExpiredRevocation,
    /// It is not made for this purpose (server or client).
    WrongPurpose,
    /// Something else.
    Other(String),
}

impl TlsError {
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File(path.to_owned(), error.to_string())
    }

    /// Why nobody can be made who looks at certificates.
    pub(super) fn verifier(list: &str, error: VerifierBuilderError) -> Self {
        match error {
            VerifierBuilderError::InvalidCrl(why) => {
                let why = Error::InvalidCertRevocationList(why).to_string();
                Self::RevocationList(list.to_owned(), why)
            }
            other => Self::Identity(other.to_string()),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NoCertificate(place) => write!(f, "no certificate in {place}"),
            Self::NoKey(place) => write!(f, "no private key in {place}"),
            Self::EncryptedKey(place) => write!(
                f,
                "the private key in {place} is encrypted, and there is no password"
            ),
            Self::RevocationList(place, why) => {
                write!(
                    f,
                    "no list of revoked certificates can be made of {place}: {why}"
                )
            }
            Self::KeyLog(path, why) => {
                write!(f, "no secrets are written to {}: {why}", path.display())
            }
            Self::Identity(why) => write!(f, "certificate and private key can't be used: {why}"),
            Self::NothingToOffer(what) => write!(f, "{what}"),
            Self::UnknownCipherSuite(name) => {
                write!(f, "{name:?} is no cipher suite of this build")
            }
            Self::ServerName(name) => write!(f, "{name:?} is neither a host name nor an address"),
            Self::Certificate(problem) => write!(f, "the peer's certificate: {problem}"),
            Self::Alert(what) => write!(f, "the peer refused TLS: {what}"),
            Self::Protocol(what) => write!(f, "TLS failed: {what}"),
            Self::Truncated => f.write_str("the connection was cut off inside TLS"),
            Self::HandshakeTooLarge => f.write_str("the TLS handshake is too large"),
        }
    }
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIssuer => f.write_str("unknown issuer: no trusted root has signed it"),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYetValid => f.write_str("it is not valid yet"),
            Self::WrongName {
                expected,
                presented,
            } => {
                write!(f, "it is not for {expected}")?;
                match presented.is_empty() {
                    true => f.write_str(" (nor for any other name)"),
                    false => write!(f, " but for {}", presented.join(", ")),
                }
            }
            Self::BadSignature => f.write_str("its signature is wrong"),
            Self::Revoked => f.write_str("it is revoked"),
            Self::UnknownRevocation => {
                f.write_str("no list of revoked certificates is its authority's")
            }
            Self::ExpiredRevocation => {
                f.write_str("the list of revoked certificates of its authority has expired")
            }
            Self::WrongPurpose => f.write_str("it is made for another purpose"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        TransportError::Tls(error).into()
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::Certificate(error.into()),
            Error::AlertReceived(alert) => Self::Alert(words(&format!("{alert:?}"))),
            Error::NoCertificatesPresented => {
                Self::Protocol("the peer has shown no certificate".to_owned())
            }
            Error::NoApplicationProtocol => {
                Self::Protocol("no application protocol (ALPN) in common".to_owned())
            }
            Error::PeerIncompatible(why) => {
                Self::Protocol(format!("nothing in common: {}", words(&format!("{why:?}"))))
            }
            Error::PeerMisbehaved(why) => {
                Self::Protocol(format!("protocol error: {}", words(&format!("{why:?}"))))
            }
            Error::InvalidMessage(why) => {
                Self::Protocol(format!("no TLS: {}", words(&format!("{why:?}"))))
            }
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<CertificateError> for CertificateProblem {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::WrongName {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| bare(name)).collect(),
            },
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::UnknownRevocationStatus => Self::UnknownRevocation,
            CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::ExpiredRevocation,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            other => Self::Other(other.to_string()),
        }
    }
}

/// `DnsName("a.example")`, as rustls writes names of certificates, as `a.example`.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest);
    inner.trim_end_matches(')').trim_matches('"').to_owned()
}

/// What the peer has said by the number of an alert.
#[cfg(feature = "quic")]
pub(crate) fn alert(number: u8) -> TlsError {
    let alert = rustls::AlertDescription::from(number);
    TlsError::Alert(words(&format!("{alert:?}")))
}

/// `UnknownCa` as `unknown ca`: the names of rustls are the standard's in another spelling.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let mut before = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && before {
            text.push(' ');
        }
        before = c.is_ascii_lowercase() || c.is_ascii_digit();
        text.push(c.to_ascii_lowercase());
    }
    text
}
