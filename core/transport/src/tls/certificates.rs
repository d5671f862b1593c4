//! Which of several certificates a client is shown: the one for the host that it has named (SNI,
//! RFC 6066 section 3).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::error::TlsError;
use super::pem::Identity;

/// Certificates by the names of hosts that they are for.
pub(super) struct Certificates {
    first: Arc<CertifiedKey>,
    /// Names as they are, and `*.example` for what stands for one label more. Several certificates may be
    /// for one name, with keys of different kinds.
    names: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// Whoever names no host that there is a certificate for gets none.
    known_names_only: bool,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// What can't be read or doesn't go together; a further certificate that is for no host, for it would
    /// never be shown.
    pub(super) fn read(
        first: &Identity,
        further: &[Identity],
        known_names_only: bool,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let mut read = Self {
            first: certified(first, provider)?,
            names: HashMap::new(),
            known_names_only,
        };
        let names = names(&read.first);
        if names.is_empty() && known_names_only {
            return Err(nameless(first));
        }
        read.add(&read.first.clone(), names);
        for identity in further {
            let certified = certified(identity, provider)?;
            let names = self::names(&certified);
            if names.is_empty() {
                return Err(nameless(identity));
            }
            read.add(&certified, names);
        }
        Ok(read)
    }

    fn add(&mut self, certified: &Arc<CertifiedKey>, names: Vec<String>) {
        for name in names {
            let of_name = self.names.entry(name.into()).or_default();
            of_name.push(certified.clone());
        }
    }

    /// Those for a host, which rustls writes in small letters: by its own name, or by the one that stands
    /// for all beside it.
    fn of(&self, host: &str) -> Option<&[Arc<CertifiedKey>]> {
        if let Some(found) = self.names.get(host) {
            return Some(found);
        }
        let (_, parent) = host.split_once('.')?;
        self.names
            .get(format!("*.{parent}").as_str())
            .map(Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(of_name) = hello.server_name().and_then(|host| self.of(host)) else {
            return (!self.known_names_only).then(|| self.first.clone());
        };
        // Of an RSA key and one of elliptic curves the first that the client knows what to do with.
        let fits = |certified: &&Arc<CertifiedKey>| {
            let schemes = hello.signature_schemes();
            certified.key.choose_scheme(schemes).is_some()
        };
        let found = of_name.iter().find(fits).or(of_name.first());
        found.cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names.keys()).finish()
    }
}

fn certified(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = identity.read()?;
    let certified = CertifiedKey::from_der(chain, key, provider);
    let failed = |error| TlsError::Identity(format!("{identity}: {error}"));
    certified.map(Arc::new).map_err(failed)
}

fn nameless(identity: &Identity) -> TlsError {
    let why =
        format!("{identity}: the certificate is for no host, so that no client can ask for it");
    TlsError::Identity(why)
}

/// The hosts that a certificate is for, in small letters. A common name is none: clients don't look there.
fn names(certified: &CertifiedKey) -> Vec<String> {
    let der = certified.end_entity_cert().ok();
    let certificate = der.and_then(|der| Certificate::from_der(der).ok());
    let names = certificate.and_then(|certificate| {
        let body = certificate.tbs_certificate();
        body.get_extension::<SubjectAltName>().ok().flatten()
    });
    let names = names.map_or_else(Vec::new, |(_, names)| names.0);
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    hosts.filter(|name| !name.is_empty()).collect()
}
