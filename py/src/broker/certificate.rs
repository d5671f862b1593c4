//! Throw-away certificates, for brokers that are started by tests.

use std::fmt::Display;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate for these hosts that an authority made for it has signed, and that authority's: the
/// authority, the chain, the private key, each as PEM. The authority's key is gone when this returns.
#[pyfunction]
pub(crate) fn make_certificate(hosts: Vec<String>) -> PyResult<(String, String, String)> {
    let failed = |error: &dyn Display| {
        PyRuntimeError::new_err(format!("no certificate can be made: {error}"))
    };
    let make = || {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut authority.distinguished_name;
        name.push(DnType::CommonName, "TernMQ throw-away authority");
        let its_key = KeyPair::generate()?;
        let root = authority.self_signed(&its_key)?.pem();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts)?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "TernMQ throw-away broker");
        let chain = params.signed_by(&key, &Issuer::new(authority, its_key))?;
        Ok((root, chain.pem(), key.serialize_pem()))
    };
    make().map_err(|error: rcgen::Error| failed(&error))
}
