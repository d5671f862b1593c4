//! Looking at a server's certificate as strictly as the client wants it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;

use super::error::TlsError;
use super::names::common_name;
use super::pem::PemSource;

/// What is asked of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Signed by a trusted root, valid now, and for the server's name.
    #[default]
    Full,
    /// The same; and where a certificate has no alternative names at all, its common name counts.
    /// That was given up by the world's browsers in 2017 (RFC 2818 had it deprecated in 2000), and
    /// old certificates live on in closed networks.
    FullOrCommonName,
    /// Signed by a trusted root and valid now, for whatever name: whoever has a certificate of any of
    /// the roots can play the server.
    Chain,
    /// Anything. The connection is secret, and nobody knows with whom.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) verify: Verify,
    pub(super) roots: RootCertStore,
    /// Roots named one by one: a server's own certificate among them is trusted as it is, whether it
    /// calls itself an authority or not. So work the self-signed ones that people make.
    pub(super) named: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Who knows which certificates are revoked.
    pub(super) revocation: Option<Arc<WebPkiServerVerifier>>,
}

/// A verifier of rustls with lists of what is revoked; nobody, if there are none. It is asked besides:
/// it is as strict with names as nobody wants of it here.
pub(super) fn revocation(
    roots: &RootCertStore,
    revoked: &[PemSource],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, TlsError> {
    if revoked.is_empty() {
        return Ok(None);
    }
    let roots = Arc::new(roots.clone());
    let lists = lists(revoked, &roots, provider)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .with_crls(lists)
        .enforce_revocation_expiration();
    let built = verifier.build();
    built
        .map(Some)
        .map_err(|error| TlsError::verifier("one of the lists", error))
}

/// Reads lists of what is revoked, each by itself: all together rustls does not say which one is wrong.
pub(super) fn lists(
    sources: &[PemSource],
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut all = Vec::new();
    for source in sources {
        let lists = source.revocations()?;
        WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .with_crls(lists.clone())
            .build()
            .map_err(|error| TlsError::verifier(&source.place(), error))?;
        all.extend(lists);
    }
    Ok(all)
}

#[cfg(feature = "quic")]
thread_local! {
    /// Why the last certificate was refused on this thread. QUIC's machine keeps an alert and a text of
    /// what a verifier says; here is the rest.
    static REFUSAL: std::cell::Cell<Option<Error>> = const { std::cell::Cell::new(None) };
}

/// Takes the reason for which this thread has refused a certificate since it was asked last.
#[cfg(feature = "quic")]
pub(crate) fn take_refusal() -> Option<super::TlsError> {
    REFUSAL.take().map(Into::into)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verify(end_entity, intermediates, server_name, now);
        #[cfg(feature = "quic")]
        if let Err(error) = &verified {
            REFUSAL.set(Some(error.clone()));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.verify == Verify::Nothing {
            // Whoever it is has the key or not: any other key would do as well.
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.verify == Verify::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify == Verify::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let (roots, all) = (&self.roots, self.algorithms.all);
        if self.named.iter().any(|named| named == end_entity) {
            is_in_time(end_entity, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, all)?;
            self.is_not_revoked(end_entity, intermediates, server_name, now)?;
        }
        let named = match self.verify {
            Verify::Nothing | Verify::Chain => Ok(()),
            Verify::Full => verify_server_name(&parsed, server_name),
            Verify::FullOrCommonName => verify_server_name(&parsed, server_name).or_else(|error| {
                match has_common_name(end_entity, server_name) {
                    true => Ok(()),
                    false => Err(error),
                }
            }),
        };
        named.map(|()| ServerCertVerified::assertion())
    }

    /// rustls looks at names last, so that an error about them says that nothing is revoked.
    fn is_not_revoked(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let Some(verifier) = &self.revocation else {
            return Ok(());
        };
        match verifier.verify_server_cert(end_entity, intermediates, server_name, &[], now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            verified => verified.map(drop),
        }
    }
}

fn is_in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = Certificate::from_der(certificate).map_err(bad)?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    let validity = certificate.tbs_certificate().validity();
    if now < validity.not_before.to_system_time() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    match now > validity.not_after.to_system_time() {
        true => Err(Error::InvalidCertificate(CertificateError::Expired)),
        false => Ok(()),
    }
}

/// Whether a certificate without alternative names is for this host by its common name.
fn has_common_name(certificate: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else {
        return false;
    };
    let alternatives = certificate
        .tbs_certificate()
        .get_extension::<SubjectAltName>();
    let Ok(None) = alternatives else {
        return false;
    };
    let name = common_name(certificate.tbs_certificate().subject());
    name.is_some_and(|name| matches_host(&name, &server_name.to_str()))
}

/// Whether a name, perhaps with a `*` for its first label, is that of a host.
fn matches_host(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(rest), Some((first, parent))) = (name.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    !first.is_empty() && parent.contains('.') && rest.eq_ignore_ascii_case(parent)
}

#[cfg(test)]
mod tests {
    use super::matches_host;

    #[test]
    fn a_star_stands_for_one_label_of_a_name_with_more() {
        assert!(matches_host("A.example", "a.example"));
        assert!(matches_host("*.b.example", "a.b.example"));
        assert!(!matches_host("*.b.example", "b.example"));
        assert!(!matches_host("*.b.example", "x.a.b.example"));
        assert!(!matches_host("*.example", "a.example"));
        assert!(!matches_host("*", "localhost"));
        assert!(!matches_host("*.0.0.1", "127.0.0.2"));
    }
}
