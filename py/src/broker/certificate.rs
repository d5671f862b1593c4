//! Throw-away certificates, for brokers that are started by tests, and for their clients.

use std::fmt::Display;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer};
use rcgen::{Error, KeyPair};

/// Signs certificates. Its key is gone with it.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

#[pymethods]
impl Authority {
    #[new]
    fn new() -> PyResult<Self> {
        let make = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let name = &mut params.distinguished_name;
            name.push(DnType::CommonName, "TernMQ throw-away authority");
            let key = KeyPair::generate()?;
            let pem = params.self_signed(&key)?.pem();
            let issuer = Issuer::new(params, key);
            Ok(Self { pem, issuer })
        };
        make().map_err(|error: Error| failed(&error))
    }

    /// Its own certificate, as PEM.
    #[getter]
    fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server with these names and addresses, and its key: both PEM.
    fn server(&self, hosts: Vec<String>) -> PyResult<(String, String)> {
        let params = CertificateParams::new(hosts).map_err(|error| failed(&error))?;
        self.sign(params, "TernMQ throw-away broker")
    }

    /// A certificate for a client with this common name, and its key: both PEM.
    fn client(&self, name: &str) -> PyResult<(String, String)> {
        let mut params = CertificateParams::default();
        let usages = &mut params.extended_key_usages;
        usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(params, name)
    }
}

impl Authority {
    fn sign(&self, mut params: CertificateParams, name: &str) -> PyResult<(String, String)> {
        params.distinguished_name.push(DnType::CommonName, name);
        let make = || {
            let key = KeyPair::generate()?;
            let signed = params.signed_by(&key, &self.issuer)?;
            Ok((signed.pem(), key.serialize_pem()))
        };
        make().map_err(|error: Error| failed(&error))
    }
}

fn failed(error: &dyn Display) -> PyErr {
    PyRuntimeError::new_err(format!("no certificate can be made: {error}"))
}
