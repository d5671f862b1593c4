//! Certificates for tests, made on the spot: none lies in the repository, so none expires.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};

/// Who signs certificates.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

/// The authority of all tests that need no other.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("the authority"))
}

/// A certificate that has signed itself, for this host.
pub fn self_signed(name: &str) -> Issued {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    Issued {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// From 2001 to 2002.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

/// From 2201 to 2202.
pub fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2201, 1, 1);
    params.not_after = date_time_ymd(2202, 1, 1);
}

impl Authority {
    /// A new one, with this common name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these hosts.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with("a name", names, |_| {})
    }

    /// A list of revoked certificates by their numbers, as PEM, which counts until the end of `until`.
    pub fn revoke(&self, numbers: &[u64], until: i32) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*number),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(until, 12, 31),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        list.pem().expect("a list")
    }

    /// A client's certificate.
    pub fn client(&self, common_name: &str) -> Issued {
        self.issue_with(common_name, &[], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// One with two alternative names of each kind: `t.example`, `t@example`, `spiffe://example/t` first.
    pub fn many_names(&self, common_name: &str) -> Issued {
        let text = |text: &str| text.try_into().expect("ASCII");
        self.issue_with(common_name, &[], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.subject_alt_names = vec![
                SanType::Rfc822Name(text("t@example")),
                SanType::URI(text("spiffe://example/t")),
                SanType::DnsName(text("t.example")),
                SanType::DnsName(text("second.example")),
                SanType::URI(text("spiffe://example/second")),
                SanType::Rfc822Name(text("second@example")),
            ];
        })
    }

    /// A certificate with this common name, for these hosts, and what else `change` makes of it.
    pub fn issue_with(
        &self,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Example");
        subject.push(DnType::CommonName, common_name);
        params.distinguished_name = subject;
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        Issued {
            chain: certificate.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A number that a certificate is revoked by, for [`Authority::issue_with`].
pub fn numbered(number: u64) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        params.serial_number = Some(SerialNumber::from(number));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
}

impl Issued {
    /// Writes both into files of this folder: `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        std::fs::write(&chain, &self.chain).expect("a file");
        std::fs::write(&key, &self.key).expect("a file");
        (chain, key)
    }
}
