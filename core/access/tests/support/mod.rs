//! Keys and tokens made by OpenSSL and put together here: none of what checks them has a part in it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// An empty folder.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left over from an earlier run, or not there.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn openssl(folder: &Path, line: &str) -> Vec<u8> {
    let mut command = Command::new("openssl");
    let output = command
        .args(line.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{line}: {output:?}");
    output.stdout
}

/// A pair of keys in a folder, `NAME.key` and `NAME.pem`.
pub(crate) struct Pair {
    folder: PathBuf,
    name: &'static str,
    pub(crate) algorithm: &'static str,
}

impl Pair {
    pub(crate) fn new(folder: &Path, name: &'static str, algorithm: &'static str) -> Self {
        let kind = match algorithm {
            "RS256" | "PS256" => "RSA -pkeyopt rsa_keygen_bits:2048",
            "ES256" => "EC -pkeyopt ec_paramgen_curve:P-256",
            _ => "ED25519",
        };
        openssl(
            folder,
            &format!("genpkey -algorithm {kind} -out {name}.key"),
        );
        openssl(
            folder,
            &format!("pkey -in {name}.key -pubout -out {name}.pem"),
        );
        let folder = folder.to_owned();
        Self {
            folder,
            name,
            algorithm,
        }
    }

    pub(crate) fn pem(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        let Self { folder, name, .. } = self;
        std::fs::write(folder.join("signed"), text).expect("written");
        match self.algorithm {
            "RS256" => openssl(folder, &format!("dgst -sha256 -sign {name}.key signed")),
            "PS256" => openssl(
                folder,
                &format!(
                    "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -sign {name}.key \
                     signed"
                ),
            ),
            "ES256" => fixed(&openssl(
                folder,
                &format!("dgst -sha256 -sign {name}.key signed"),
            )),
            _ => openssl(
                folder,
                &format!("pkeyutl -sign -rawin -inkey {name}.key -in signed"),
            ),
        }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let text = unsigned(&header, claims);
        let signature = base64(self.sign(&text));
        format!("{text}.{signature}")
    }

    /// The public key as one of a JWKS.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let Self { folder, name, .. } = self;
        let der = openssl(folder, &format!("pkey -pubin -in {name}.pem -outform DER"));
        let last = |bytes: usize| &der[der.len() - bytes..];
        match self.algorithm {
            "ES256" => json!({ "kty": "EC", "crv": "P-256", "kid": kid,
                "x": base64(&last(64)[..32]), "y": base64(last(32)) }),
            "EdDSA" => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(last(32)) })
            }
            _ => {
                let text = openssl(
                    folder,
                    &format!("rsa -pubin -in {name}.pem -modulus -noout"),
                );
                let text = String::from_utf8(text).expect("a text");
                let hex = text.trim().strip_prefix("Modulus=").expect("hex");
                let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
                let modulus: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
                json!({ "kty": "RSA", "kid": kid, "n": base64(modulus), "e": "AQAB", "use": "sig" })
            }
        }
    }
}

/// A token by HMAC with SHA-256 and this secret.
pub(crate) fn keyed(folder: &Path, secret: &[u8], claims: &Value) -> String {
    let text = unsigned(&json!({ "alg": "HS256" }), claims);
    std::fs::write(folder.join("signed"), &text).expect("written");
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("dgst -sha256 -mac HMAC -macopt hexkey:{hex} -binary signed");
    let signature = base64(openssl(folder, &line));
    format!("{text}.{signature}")
}

/// The two parts that are signed.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        base64(header.to_string()),
        base64(claims.to_string())
    )
}

/// Two numbers in DER as 64 bytes, as tokens have them.
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let len = usize::from(rest[1]);
        let number = &rest[2..2 + len];
        let number = &number[number.len().saturating_sub(32)..];
        bytes.extend(std::iter::repeat_n(0, 32 - number.len()));
        bytes.extend_from_slice(number);
        rest = &rest[2 + len..];
    }
    bytes
}
