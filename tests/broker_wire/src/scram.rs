//! The client's side of SCRAM (RFC 5802), for peers that authenticate. Like the packets it shares
//! nothing with the code under test.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

/// One client's side of one exchange.
#[derive(Clone, Debug)]
pub struct Scram {
    /// The Authentication Method.
    pub method: &'static str,
    sha_512: bool,
    password: String,
    header: String,
    bare: String,
}

impl Scram {
    /// With SCRAM-SHA-256. The nonce is the client's part of it.
    pub fn sha_256(user: &str, password: &str, nonce: &str) -> Self {
        Self {
            method: "SCRAM-SHA-256",
            sha_512: false,
            password: password.into(),
            header: "n,,".into(),
            bare: format!("n={user},r={nonce}"),
        }
    }

    /// The same with SCRAM-SHA-512.
    pub fn sha_512(user: &str, password: &str, nonce: &str) -> Self {
        Self {
            method: "SCRAM-SHA-512",
            sha_512: true,
            ..Self::sha_256(user, password, nonce)
        }
    }

    /// With another header than that of a client without channel binding.
    #[must_use]
    pub fn header(mut self, header: &str) -> Self {
        self.header = header.into();
        self
    }

    /// The client's first message.
    pub fn first(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// The client's final message in answer to the server's first, and the server's final message
    /// that it must be answered with.
    ///
    /// # Panics
    /// When the server's message is none.
    pub fn last(&self, server_first: &[u8]) -> (String, String) {
        let asked = std::str::from_utf8(server_first).expect("text");
        let mut attributes = asked.split(',');
        let mut value = |name: &str| {
            let attribute = attributes.next().expect("an attribute");
            attribute.strip_prefix(name).expect(name).to_owned()
        };
        let (nonce, salt, iterations) = (value("r="), value("s="), value("i="));
        let salt = BASE64_STANDARD.decode(salt).expect("base64");
        let iterations = iterations.parse().expect("a number");
        let header = BASE64_STANDARD.encode(&self.header);
        let without_proof = format!("c={header},r={nonce}");
        let said = format!("{},{asked},{without_proof}", self.bare);
        let password = self.password.as_bytes();
        let (proof, signature) = if self.sha_512 {
            let mut salted = [0; 64];
            pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut salted);
            sign::<Hmac<Sha512>, Sha512>(&salted, said.as_bytes())
        } else {
            let mut salted = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut salted);
            sign::<Hmac<Sha256>, Sha256>(&salted, said.as_bytes())
        };
        (
            format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)),
            format!("v={}", BASE64_STANDARD.encode(signature)),
        )
    }
}

fn sign<M: Mac + KeyInit, D: Digest>(salted: &[u8], said: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("a key");
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }
    let client_key = mac::<M>(salted, b"Client Key");
    let signature = mac::<M>(&D::digest(&client_key), said);
    let proof = client_key.iter().zip(&signature).map(|(a, b)| a ^ b);
    let server_key = mac::<M>(salted, b"Server Key");
    (proof.collect(), mac::<M>(&server_key, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let scram = Scram::sha_256("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let asked = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let (last, answer) = scram.last(asked.as_bytes());
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last, format!("c=biws,r={nonce},p={proof}"));
        assert_eq!(answer, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
