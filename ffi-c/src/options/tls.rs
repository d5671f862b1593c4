//! `MQTTClient_SSLOptions`, which is `MQTTAsync_SSLOptions` too: what OpenSSL is asked for there, in
//! terms of rustls.

mod ciphers;

use std::ffi::{OsStr, c_char, c_int};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ternmq_client::tls::{Identity, KeySource, PemSource, Roots, TlsError, TlsOptions, Verify};

use crate::callback::Callback;
use crate::ptr::{self, member};
use crate::tls::TlsRequest;
use crate::types::client::*;

/// The largest file of certificates or keys.
const FILE_BYTES: u64 = 16 << 20;

/// # Errors
/// `MQTTCLIENT_BAD_STRUCTURE`.
///
/// # Safety
/// `p` leads to options.
pub(super) unsafe fn version(p: *const MQTTClient_SSLOptions) -> Result<c_int, c_int> {
    // SAFETY: as the caller promises.
    unsafe { ptr::struct_version(p, b"MQTS", 5) }.ok_or(MQTTCLIENT_BAD_STRUCTURE)
}

/// Reads the options, and the files that they name.
///
/// # Errors
/// `MQTTCLIENT_BAD_STRUCTURE`; `no_psk` where a function for pre-shared keys is given.
///
/// # Safety
/// `p` leads to options, complete up to their version.
pub(super) unsafe fn read(
    p: *const MQTTClient_SSLOptions,
    resumption: bool,
    no_psk: c_int,
) -> Result<TlsRequest, c_int> {
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let version = version(p)?;
        if version >= 4 && member!(p, ssl_psk_cb).is_some() {
            return Err(no_psk);
        }
        let listener = match version {
            3.. => Callback::new(member!(p, ssl_error_cb), member!(p, ssl_error_context)),
            _ => None,
        };
        Ok(TlsRequest {
            options: options(p, version, resumption),
            listener,
        })
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn options(
    p: *const MQTTClient_SSLOptions,
    version: c_int,
    resumption: bool,
) -> Result<TlsOptions, TlsError> {
    // SAFETY: as the caller promises, and each member is read only from the version on that has it.
    unsafe {
        let verify = match member!(p, enableServerCertAuth) {
            0 => Verify::Nothing,
            _ if version >= 2 && member!(p, verify) != 0 => Verify::FullOrCommonName,
            _ => Verify::Chain,
        };
        let cipher_suites = match ptr::string(member!(p, enabledCipherSuites)) {
            Some(list) => ciphers::chosen(&String::from_utf8_lossy(list))?,
            None => Vec::new(),
        };
        let alpn = match version {
            5.. => alpn(member!(p, protos), member!(p, protos_len))?,
            _ => Vec::new(),
        };
        Ok(TlsOptions {
            roots: roots(p, version)?,
            identity: identity(p)?,
            verify,
            alpn,
            cipher_suites,
            resumption,
            ..TlsOptions::default()
        })
    }
}

/// # Safety
/// `p` leads to options of this version.
unsafe fn roots(p: *const MQTTClient_SSLOptions, version: c_int) -> Result<Vec<Roots>, TlsError> {
    let mut roots = Vec::new();
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(file) = path(member!(p, trustStore)) {
            roots.push(Roots::Pem(certificates(&file)?));
        }
        if version >= 2
            && let Some(folder) = path(member!(p, CApath))
        {
            roots.push(Roots::Folder(folder));
        }
        let defaults = version < 4 || member!(p, disableDefaultTrustStore) == 0;
        if roots.is_empty() && defaults {
            roots.push(Roots::System);
        }
    }
    Ok(roots)
}

/// A certificate makes an identity; a key alone is passed over.
///
/// # Safety
/// `p` leads to options.
unsafe fn identity(p: *const MQTTClient_SSLOptions) -> Result<Option<Identity>, TlsError> {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(chain) = path(member!(p, keyStore)) else {
            return Ok(None);
        };
        let key = path(member!(p, privateKey));
        let key = key.as_deref().unwrap_or(&chain);
        let password = ptr::string(member!(p, privateKeyPassword));
        Ok(Some(Identity {
            chain: PemSource::Bytes(certificates(&chain)?),
            key: KeySource::decrypted(file(key)?, password, &key.display().to_string())?,
        }))
    }
}

/// The names of protocols, each behind its length.
///
/// # Safety
/// `p` is NULL or leads to as many bytes.
unsafe fn alpn(p: *const u8, length: u32) -> Result<Vec<Vec<u8>>, TlsError> {
    const WRONG: TlsError = TlsError::NothingToOffer("protos is no list of protocols (ALPN)");
    let length = c_int::try_from(length).map_err(|_| WRONG)?;
    if p.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: as the caller promises.
    let mut rest = unsafe { ptr::slice(p, length) }.ok_or(WRONG)?;
    let mut protocols = Vec::new();
    while let Some((&length, behind)) = rest.split_first() {
        let split = behind.split_at_checked(length.into());
        let (name, behind) = split.filter(|(name, _)| !name.is_empty()).ok_or(WRONG)?;
        protocols.push(name.to_vec());
        rest = behind;
    }
    Ok(protocols)
}

/// # Safety
/// `p` is NULL or leads to a string.
unsafe fn path(p: *const c_char) -> Option<PathBuf> {
    // SAFETY: as the caller promises; the path is copied.
    let path = unsafe { ptr::string(p) }?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// A file with certificates.
fn certificates(path: &Path) -> Result<Vec<u8>, TlsError> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let pem = file(path)?;
    match pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        true => Ok(pem),
        false => Err(TlsError::NoCertificate(path.display().to_string())),
    }
}

fn file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |why: String| TlsError::File(path.to_owned(), why);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(failed(error.to_string())),
        Ok(read) if read as u64 > FILE_BYTES => Err(failed("it is too large".to_owned())),
        Ok(_) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_stand_behind_their_lengths() {
        let read = |bytes: &[u8]| {
            // SAFETY: as many bytes as are there.
            unsafe { alpn(bytes.as_ptr(), bytes.len() as u32) }
        };
        assert_eq!(read(b"\x04mqtt\x01x").unwrap(), [&b"mqtt"[..], b"x"]);
        assert_eq!(read(b"").unwrap(), Vec::<Vec<u8>>::new());
        for wrong in [&b"\x05mqtt"[..], b"\x00", b"\x04mqtt\x00"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
