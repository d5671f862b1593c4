//! Whose certificate it is.

use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
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
}

impl CertificateNames {
    /// Reads the names of an X.509 certificate; `None` when it can't be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let subject = certificate.tbs_certificate().subject();
        Some(Self {
            common_name: common_name(subject),
            distinguished_name: subject.to_string(),
        })
    }
}

pub(super) fn common_name(subject: &Name) -> Option<String> {
    let named = subject.iter().filter(|part| part.oid == COMMON_NAME);
    let value = named.last()?.value.clone();
    // Its contents without the tag: UTF-8 or a part of ASCII in all kinds that are in use.
    let text = String::from_utf8(value.value().to_vec()).ok()?;
    let plain = !text.is_empty() && !text.contains(char::is_control);
    let readable = plain && value.to_der().is_ok();
    readable.then_some(text)
}
