//! What TLS is spoken with: versions and cipher suites.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::error::TlsError;

/// A version of TLS. There are no older ones here: they are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// A cipher suite, known by its name in the IANA registry and by OpenSSL's.
///
/// ```
/// use ternmq_transport::tls::CipherSuite;
/// let suite: CipherSuite = "ECDHE-RSA-AES128-GCM-SHA256".parse().unwrap();
/// assert_eq!(suite.to_string(), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
/// assert_eq!(CipherSuite::all().len(), 9);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct CipherSuite(SupportedCipherSuite);

impl Eq for CipherSuite {}

impl CipherSuite {
    /// All there are, the preferred ones first.
    pub fn all() -> Vec<Self> {
        ring::ALL_CIPHER_SUITES.iter().copied().map(Self).collect()
    }

    /// The version that it belongs to.
    pub fn version(self) -> TlsVersion {
        match self.0 {
            SupportedCipherSuite::Tls13(_) => TlsVersion::V1_3,
            SupportedCipherSuite::Tls12(_) => TlsVersion::V1_2,
        }
    }

    /// Its name in the IANA registry.
    pub fn name(self) -> String {
        name_of(self.0)
    }

    /// Its name in OpenSSL's lists.
    pub fn openssl_name(self) -> String {
        let name = self.name();
        match name
            .strip_prefix("TLS_")
            .filter(|_| self.version() == TlsVersion::V1_2)
        {
            None => name,
            Some(rest) => rest
                .replace("_WITH_", "_")
                .replace("AES_", "AES")
                .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
                .replace('_', "-"),
        }
    }
}

impl FromStr for CipherSuite {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, TlsError> {
        let is_it = |suite: &Self| {
            suite.name().eq_ignore_ascii_case(text)
                || suite.openssl_name().eq_ignore_ascii_case(text)
        };
        let found = Self::all().into_iter().find(is_it);
        found.ok_or_else(|| TlsError::UnknownCipherSuite(text.to_owned()))
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The name in the IANA registry; rustls marks those of TLS 1.3 otherwise.
pub(super) fn name_of(suite: SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

/// What is spoken: the cryptography with the chosen suites, and the versions.
pub(super) struct Spoken {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

/// Suites of a version for which none is chosen stay as they are: OpenSSL's lists are about TLS 1.2
/// alone, and a choice for one version must not switch off the other.
pub(super) fn spoken(
    min: TlsVersion,
    max: TlsVersion,
    chosen: &[CipherSuite],
) -> Result<Spoken, TlsError> {
    let mut provider = ring::default_provider();
    let chosen_for = |version| chosen.iter().any(|suite| suite.version() == version);
    provider.cipher_suites.retain(|suite| {
        let suite = CipherSuite(*suite);
        let version = suite.version();
        (min..=max).contains(&version) && (!chosen_for(version) || chosen.contains(&suite))
    });
    // In the order in which they were chosen.
    let place = |suite: &SupportedCipherSuite| chosen.iter().position(|c| c.0 == *suite);
    provider.cipher_suites.sort_by_key(place);
    let mut versions = vec![&TLS13, &TLS12];
    versions.retain(|version| {
        let suites = &provider.cipher_suites;
        suites
            .iter()
            .any(|suite| suite.version().version == version.version)
    });
    if versions.is_empty() {
        return Err(TlsError::NothingToOffer("no version of TLS is left"));
    }
    Ok(Spoken {
        provider: Arc::new(provider),
        versions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_openssl() {
        let names: Vec<String> = CipherSuite::all()
            .iter()
            .map(|s| s.openssl_name())
            .collect();
        assert_eq!(
            names,
            [
                "TLS_AES_256_GCM_SHA384",
                "TLS_AES_128_GCM_SHA256",
                "TLS_CHACHA20_POLY1305_SHA256",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-RSA-CHACHA20-POLY1305",
            ]
        );
        assert!("RC4-MD5".parse::<CipherSuite>().is_err());
    }

    #[test]
    fn a_choice_for_one_version_leaves_the_other() {
        let chosen = ["ECDHE-RSA-AES128-GCM-SHA256".parse().unwrap()];
        let both = spoken(TlsVersion::V1_2, TlsVersion::V1_3, &chosen).unwrap();
        assert_eq!(
            (both.provider.cipher_suites.len(), both.versions.len()),
            (4, 2)
        );
        let one = spoken(TlsVersion::V1_2, TlsVersion::V1_2, &chosen).unwrap();
        assert_eq!(
            (one.provider.cipher_suites.len(), one.versions.len()),
            (1, 1)
        );
        assert!(spoken(TlsVersion::V1_3, TlsVersion::V1_2, &[]).is_err());
    }
}
