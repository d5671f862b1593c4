//! The signatures of tokens, by the cryptography that TLS brings along.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::{hmac, signature as ring_signature};
use signature::Verifier;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| {
        // A public key is no secret that everybody knows.
        if algorithm.family() != key.family() {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Ok(Box::new(Check {
            algorithm: *algorithm,
            key: key.clone(),
        }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has all tokens of the process be checked here.
pub(super) fn install() {
    // Whoever embeds this may have chosen another: then that checks them.
    let _ = PROVIDER.install_default();
}

struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let wrong = |_| signature::Error::new();
        if self.key.family() == AlgorithmFamily::Hmac {
            let key = self
                .key
                .try_get_as_bytes()
                .map_err(|_: Error| signature::Error::new())?;
            let key = hmac::Key::new(keyed(self.algorithm)?, key);
            return hmac::verify(&key, message, signature).map_err(wrong);
        }
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => {
                let parameters = public(self.algorithm)?;
                let key = ring_signature::UnparsedPublicKey::new(parameters, bytes);
                key.verify(message, signature).map_err(wrong)
            }
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = ring_signature::RsaPublicKeyComponents { n, e };
                let parameters = rsa(self.algorithm)?;
                key.verify(parameters, message, signature).map_err(wrong)
            }
        }
    }
}

fn keyed(algorithm: Algorithm) -> Result<hmac::Algorithm, signature::Error> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac::HMAC_SHA256),
        Algorithm::HS384 => Ok(hmac::HMAC_SHA384),
        Algorithm::HS512 => Ok(hmac::HMAC_SHA512),
        _ => Err(signature::Error::new()),
    }
}

fn public(
    algorithm: Algorithm,
) -> Result<&'static dyn ring_signature::VerificationAlgorithm, signature::Error> {
    Ok(match algorithm {
        Algorithm::ES256 => &ring_signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ring_signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &ring_signature::ED25519,
        _ => rsa(algorithm)?,
    })
}

/// Keys of 2048 to 8192 bits.
fn rsa(algorithm: Algorithm) -> Result<&'static ring_signature::RsaParameters, signature::Error> {
    Ok(match algorithm {
        Algorithm::RS256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &ring_signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &ring_signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &ring_signature::RSA_PSS_2048_8192_SHA512,
        _ => return Err(signature::Error::new()),
    })
}
