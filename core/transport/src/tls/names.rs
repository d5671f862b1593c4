//! Whose certificate it is.

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// `id-at-commonName` of X.520.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Names in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames {
    /// The common name of its subject, the last one when there are several.
    pub common_name: Option<String>,
    /// The whole name of its subject as RFC 4514 writes it: `CN=thermometer,O=Example`.
    pub distinguished_name: String,
    /// The first DNS name among its alternative names (RFC 5280, section 4.2.1.6).
    pub dns: Option<String>,
    /// The first mail address among them.
    pub email: Option<String>,
    /// The first URI among them, such as `spiffe://example.org/thermometer`.
    pub uri: Option<String>,
}

impl CertificateNames {
    /// Reads the names of an X.509 certificate; `None` when it can't be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let body = certificate.tbs_certificate();
        let other: Option<(bool, SubjectAltName)> = body.get_extension().ok()?;
        let other = other.map_or_else(Vec::new, |(_, names)| names.0);
        let first = |of: fn(&GeneralName) -> Option<&str>| {
            let text = other.iter().find_map(of)?;
            is_plain(text).then(|| text.to_owned())
        };
        Some(Self {
            common_name: common_name(body.subject()),
            distinguished_name: body.subject().to_string(),
            dns: first(|name| match name {
                GeneralName::DnsName(name) => Some(name.as_str()),
                _ => None,
            }),
            email: first(|name| match name {
                GeneralName::Rfc822Name(name) => Some(name.as_str()),
                _ => None,
            }),
            uri: first(|name| match name {
                GeneralName::UniformResourceIdentifier(name) => Some(name.as_str()),
                _ => None,
            }),
        })
    }
}

pub(super) fn common_name(subject: &Name) -> Option<String> {
    let named = subject.iter().filter(|part| part.oid == COMMON_NAME);
    let value = named.last()?.value.clone();
    // Its contents without the tag: UTF-8 or a part of ASCII in all kinds that are in use.
    let text = String::from_utf8(value.value().to_vec()).ok()?;
    let readable = is_plain(&text) && value.to_der().is_ok();
    readable.then_some(text)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}
