//! The server's side of SCRAM (RFC 5802) without channel binding: two messages in, two out.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::hash::Hash;
use super::users::{Found, Users};

/// One authentication after the client's first message.
pub struct Exchange {
    who: Found,
    /// The header that the client repeats, in base64, with its last message.
    header: Box<str>,
    /// Both sides' nonces.
    nonce: Box<str>,
    /// What both sides sign, as far as it has been said.
    said: Box<str>,
}

/// Why an authentication has failed. A client is told no more than that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramError {
    /// The message is none of SCRAM.
    Malformed(&'static str),
    /// The client wants something that is not there: channel binding, or an extension.
    Unsupported(&'static str),
    /// Nobody can have this name, or no user has credentials for the mechanism.
    NoUser,
    /// It wants to act for somebody else.
    OtherUser,
    /// It answers to something else than what was asked: another nonce, or another header.
    Mismatch,
    /// It does not know the password, or is nobody.
    WrongProof,
}

impl Exchange {
    /// Takes the client's first message; the answer is the server's first. `nonce` is this side's
    /// part of the nonce: printable, without a comma, and never the same again.
    ///
    /// Somebody unknown is answered like a user, and fails at the end.
    ///
    /// # Errors
    /// [`ScramError`].
    pub fn begin(
        users: &Users,
        hash: Hash,
        message: &[u8],
        nonce: &str,
    ) -> Result<(Self, Box<[u8]>), ScramError> {
        let first = ClientFirst::parse(message)?;
        let who = users.find(hash, &first.name).ok_or(ScramError::NoUser)?;
        if first.acts_for.is_some_and(|name| name != first.name) {
            return Err(ScramError::OtherUser);
        }
        let nonce: Box<str> = format!("{}{nonce}", first.nonce).into();
        let credentials = &who.credentials;
        let salt = BASE64_STANDARD.encode(&credentials.salt);
        let answer = format!("r={nonce},s={salt},i={}", credentials.iterations);
        let exchange = Self {
            header: BASE64_STANDARD.encode(first.header).into(),
            said: format!("{},{answer},", first.bare).into(),
            nonce,
            who,
        };
        Ok((exchange, answer.into_bytes().into()))
    }

    /// Takes the client's final message: who it is, and the server's final message, by which the
    /// client knows that this is a server that knows its password.
    ///
    /// # Errors
    /// [`ScramError`].
    pub fn finish(self, message: &[u8]) -> Result<(Box<str>, Box<[u8]>), ScramError> {
        let last = ClientFinal::parse(message)?;
        if last.header != &*self.header || last.nonce != &*self.nonce {
            return Err(ScramError::Mismatch);
        }
        let Found {
            name,
            credentials,
            known,
        } = self.who;
        let hash = credentials.hash;
        let said = [self.said.as_bytes(), last.without_proof.as_bytes()];
        let mut client_key = hash.hmac(&credentials.stored_key, &said);
        if last.proof.len() != client_key.len() {
            return Err(ScramError::WrongProof);
        }
        for (byte, proof) in client_key.iter_mut().zip(&last.proof) {
            *byte ^= proof;
        }
        if !credentials.is_client_key(&client_key) || !known {
            return Err(ScramError::WrongProof);
        }
        let signature = hash.hmac(&credentials.server_key, &said);
        let answer = format!("v={}", BASE64_STANDARD.encode(signature));
        Ok((name, answer.into_bytes().into()))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("user", &self.who.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not a SCRAM message: {what}"),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::NoUser => f.write_str("the name is none that a user can have"),
            Self::OtherUser => f.write_str("acting for another user is not supported"),
            Self::Mismatch => f.write_str("the answer is to another question"),
            Self::WrongProof => f.write_str("wrong user name or password"),
        }
    }
}

impl std::error::Error for ScramError {}

const NOT_TEXT: ScramError = ScramError::Malformed("not UTF-8");

/// `gs2-header client-first-message-bare`.
struct ClientFirst<'a> {
    header: &'a str,
    bare: &'a str,
    acts_for: Option<String>,
    name: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| NOT_TEXT)?;
        let (flag, rest) = cut(message)?;
        match flag {
            // A client that would bind the channel if this server could is let in: it is told by
            // the name of the mechanism, so that nobody in between can have taken it away.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::Unsupported("channel binding")),
            _ => return Err(ScramError::Malformed("no channel binding flag")),
        }
        let (acts_for, bare) = cut(rest)?;
        let acts_for = match acts_for {
            "" => None,
            name => Some(name_of(value(name, 'a')?)?),
        };
        if bare.starts_with("m=") {
            return Err(ScramError::Unsupported("an extension that is mandatory"));
        }
        let (name, rest) = cut(bare)?;
        let name = name_of(value(name, 'n')?)?;
        let mut attributes = rest.split(',');
        let nonce = nonce_of(attributes.next().unwrap_or_default())?;
        check_extensions(attributes)?;
        Ok(Self {
            header: &message[..message.len() - bare.len()],
            bare,
            acts_for,
            name,
            nonce,
        })
    }
}

/// `client-final-message`.
struct ClientFinal<'a> {
    header: &'a str,
    nonce: &'a str,
    without_proof: &'a str,
    proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| NOT_TEXT)?;
        let no_proof = ScramError::Malformed("no proof");
        let (without_proof, proof) = message.rsplit_once(',').ok_or(no_proof)?;
        let proof = BASE64_STANDARD
            .decode(value(proof, 'p')?)
            .map_err(|_| ScramError::Malformed("a proof that is not base64"))?;
        let mut attributes = without_proof.split(',');
        let header = value(attributes.next().unwrap_or_default(), 'c')?;
        let nonce = nonce_of(attributes.next().unwrap_or_default())?;
        check_extensions(attributes)?;
        Ok(Self {
            header,
            nonce,
            without_proof,
            proof,
        })
    }
}

fn cut(text: &str) -> Result<(&str, &str), ScramError> {
    let short = ScramError::Malformed("it ends too early");
    text.split_once(',').ok_or(short)
}

fn value(attribute: &str, name: char) -> Result<&str, ScramError> {
    let rest = attribute.strip_prefix(name);
    let other = ScramError::Malformed("another attribute has its place here");
    rest.and_then(|rest| rest.strip_prefix('=')).ok_or(other)
}

/// A name, in which `=2C` stands for a comma and `=3D` for an equals sign.
fn name_of(text: &str) -> Result<String, ScramError> {
    let mut parts = text.split('=');
    let mut name = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let (sign, rest) = match part.as_bytes() {
            [b'2', b'C', ..] => (',', &part[2..]),
            [b'3', b'D', ..] => ('=', &part[2..]),
            _ => return Err(ScramError::Malformed("an equals sign in a name")),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') {
        return Err(ScramError::Malformed("an empty name, or NUL in it"));
    }
    Ok(name)
}

fn nonce_of(attribute: &str) -> Result<&str, ScramError> {
    let nonce = value(attribute, 'r')?;
    // No comma: it has been cut at commas.
    if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ScramError::Malformed("a nonce is printable and not empty"));
    }
    Ok(nonce)
}

/// Extensions that are not mandatory mean nothing here, but have their form.
fn check_extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for attribute in attributes {
        match attribute.as_bytes() {
            [b'm', b'=', ..] => {
                return Err(ScramError::Unsupported("an extension that is mandatory"));
            }
            [name, b'=', _, ..] if name.is_ascii_alphabetic() && !attribute.contains('\0') => {}
            _ => return Err(ScramError::Malformed("an extension without a value")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Credentials;
    use super::super::users::User;
    use super::*;

    fn users(hash: Hash, name: &str, password: &str, salt: &str, iterations: u32) -> Users {
        let salt = BASE64_STANDARD.decode(salt).unwrap();
        Users::new(&[User {
            name: name.into(),
            credentials: vec![Credentials::derive(hash, password, &salt, iterations).unwrap()],
        }])
        .unwrap()
    }

    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT: &str = "rOprNGfwEbeRWgbNEkqO";

    /// The user of RFC 7677.
    fn known() -> Users {
        let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
        users(Hash::Sha256, "user", "pencil", salt, 4096)
    }

    fn begin(first: &str) -> Result<(Exchange, Box<[u8]>), ScramError> {
        Exchange::begin(&known(), Hash::Sha256, first.as_bytes(), NONCE)
    }

    fn first() -> String {
        format!("n,,n=user,r={CLIENT}")
    }

    fn last() -> String {
        format!("c=biws,r={CLIENT}{NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let (exchange, answer) = begin(&first()).unwrap();
        let wanted = format!("r={CLIENT}{NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(&*answer, wanted.as_bytes());
        let (user, answer) = exchange.finish(last().as_bytes()).unwrap();
        assert_eq!(&*user, "user");
        let wanted = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(&*answer, wanted);
    }

    /// The same exchange with SHA-512; the proof and the signature were computed with Python's
    /// `hashlib` and `hmac`.
    #[test]
    fn an_example_with_sha_512_comes_out() {
        let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
        let users = users(Hash::Sha512, "user", "pencil", salt, 4096);
        let message = first();
        let begun = Exchange::begin(&users, Hash::Sha512, message.as_bytes(), NONCE);
        let (exchange, _) = begun.unwrap();
        let last = format!("c=biws,r={CLIENT}{NONCE},p={PROOF_512}");
        let (_, answer) = exchange.finish(last.as_bytes()).unwrap();
        assert_eq!(&*answer, format!("v={SIGNATURE_512}").as_bytes());
    }

    const PROOF_512: &str =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    const SIGNATURE_512: &str =
        "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

    #[test]
    fn only_the_right_proof_of_this_exchange_is_taken() {
        let good = last();
        let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let zeros = BASE64_STANDARD.encode([0; 32]);
        let cases = [
            (good.replace("p=d", "p=e"), ScramError::WrongProof),
            (good.replace(proof, &zeros), ScramError::WrongProof),
            (good.replace(proof, "AAAA"), ScramError::WrongProof),
            (good.replace(proof, ""), ScramError::WrongProof),
            (good.replace("c=biws", "c=eSws"), ScramError::Mismatch),
            (good.replace("r=rOpr", "r=rOps"), ScramError::Mismatch),
            (good.replace("$k0,", "$k1,"), ScramError::Mismatch),
            (good.replace(NONCE, ""), ScramError::Mismatch),
            (good.replace("$k0,", "$k0,x=y,"), ScramError::WrongProof),
        ];
        for (message, error) in cases {
            let (exchange, _) = begin(&first()).unwrap();
            assert_eq!(
                exchange.finish(message.as_bytes()).unwrap_err(),
                error,
                "{message}"
            );
        }
        // What was right once is wrong with the next nonce: it can't be replayed.
        let (exchange, _) =
            Exchange::begin(&known(), Hash::Sha256, first().as_bytes(), "other").unwrap();
        let replayed = exchange.finish(good.as_bytes()).unwrap_err();
        assert_eq!(replayed, ScramError::Mismatch);
    }

    #[test]
    fn a_user_and_nobody_are_told_apart_by_the_proof_alone() {
        for name in ["user", "nobody"] {
            let (exchange, answer) = begin(&format!("n,,n={name},r=x")).unwrap();
            let answer = String::from_utf8(answer.into()).unwrap();
            let salt = answer.split(',').nth(1).unwrap();
            assert!(answer.ends_with(",i=4096") && salt.len() == 26, "{answer}");
            let message = format!("c=biws,r=x{NONCE},p={}", BASE64_STANDARD.encode([1; 32]));
            let error = exchange.finish(message.as_bytes()).unwrap_err();
            assert_eq!(error, ScramError::WrongProof);
        }
    }

    #[test]
    fn channel_binding_is_for_others() {
        assert!(begin("y,,n=user,r=x").is_ok());
        let plus = ScramError::Unsupported("channel binding");
        let bound = begin("p=tls-exporter,,n=user,r=x");
        assert_eq!(bound.unwrap_err(), plus);
        assert!(Hash::from_method("SCRAM-SHA-256-PLUS").is_none());
        // The flag is part of what is signed.
        let (exchange, _) = begin(&format!("y,,n=user,r={CLIENT}")).unwrap();
        let error = exchange.finish(last().as_bytes()).unwrap_err();
        assert_eq!(error, ScramError::Mismatch);
    }

    #[test]
    fn names_are_unescaped_and_prepared() {
        let salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
        let users = users(Hash::Sha256, "a,b=c", "p", salt, 4096);
        let begin = |first: &str| Exchange::begin(&users, Hash::Sha256, first.as_bytes(), "n");
        let (exchange, _) = begin("n,,n=a=2Cb=3D\u{AD}c,r=x").unwrap();
        assert!(exchange.who.known);
        assert!(begin("n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x").is_ok());
        let other = begin("n,a=root,n=a=2Cb=3Dc,r=x").unwrap_err();
        assert_eq!(other, ScramError::OtherUser);
        let never = begin("n,,n=a\u{7},r=x").unwrap_err();
        assert_eq!(never, ScramError::NoUser);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let firsts = [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=,r=x",
            "n,,n=user,r=",
            "n,,r=x,n=user",
            "n,,n=user,r=a b",
            "n,,n=user,r=\u{e4}",
            "n,,n=a=2c,r=x",
            "n,,n=a=,r=x",
            "n,,n=us\0er,r=x",
            "x,,n=user,r=x",
            "n,user,n=user,r=x",
            "n,,n=user,r=x,",
            "n,a=,n=user,r=x",
            "n,,n=user,r=x,y",
            "n,,n=user,r=x,y=",
            "n,,n=user,r=x,7=y",
            ",,n=user,r=x",
        ];
        for first in firsts {
            let error = begin(first).unwrap_err();
            assert!(
                matches!(error, ScramError::Malformed(_)),
                "{first:?} {error}"
            );
        }
        assert!(begin("n,,n=user,r=x,y=z,Q=ab=c").is_ok());
        for mandatory in ["n,,m=x,n=user,r=x", "n,,n=user,r=x,m=y"] {
            let error = begin(mandatory).unwrap_err();
            assert!(matches!(error, ScramError::Unsupported(_)), "{mandatory}");
        }
        let lasts = [
            "",
            "c=biws",
            "c=biws,r=x",
            "p=AAAA",
            "c=biws,p=AAAA",
            "r=x,c=biws,p=AAAA",
            "c=biws,r=x,p=A",
            "c=biws,r=x,p=!!!!",
            "c=biws,r=x,AAAA",
            "c=biws,r=x,p=AAAA,",
            "c=biws,r=x,y,p=AAAA",
        ];
        for last in lasts {
            let (exchange, _) = begin(&first()).unwrap();
            let error = exchange.finish(last.as_bytes()).unwrap_err();
            assert!(
                matches!(error, ScramError::Malformed(_)),
                "{last:?} {error}"
            );
        }
        let (exchange, _) = begin(&first()).unwrap();
        assert_eq!(exchange.finish(b"\xff").unwrap_err(), NOT_TEXT);
    }
}
