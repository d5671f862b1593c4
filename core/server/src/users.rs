//! `[[user]]` in the configuration file.

use serde::{Deserialize, Deserializer, de::Error};
use ternmq_broker::auth::{Credentials, Hash, User};

/// A user, by what `ternmq passwd` prints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    name: String,
    #[serde(default, deserialize_with = "sha_256")]
    scram_sha_256: Option<Credentials>,
    #[serde(default, deserialize_with = "sha_512")]
    scram_sha_512: Option<Credentials>,
}

impl From<Line> for User {
    fn from(line: Line) -> Self {
        let both = [line.scram_sha_256, line.scram_sha_512];
        Self {
            name: line.name,
            credentials: both.into_iter().flatten().collect(),
        }
    }
}

/// What the file's parser says of an error, without the line it quotes where that may hold what is
/// stored of a password.
pub(crate) fn without_secrets(error: &toml::de::Error, text: &str) -> String {
    let shown = error.to_string();
    let quotes = shown
        .lines()
        .any(|line| line.contains("scram_sha") || line.contains("SCRAM-"));
    match error.span().filter(|_| quotes) {
        Some(span) => {
            let before = &text.as_bytes()[..span.start.min(text.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("TOML parse error at line {line}: {}", error.message())
        }
        None => shown,
    }
}

fn sha_256<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Credentials>, D::Error> {
    credentials(Hash::Sha256, source)
}

fn sha_512<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Credentials>, D::Error> {
    credentials(Hash::Sha512, source)
}

fn credentials<'de, D: Deserializer<'de>>(
    hash: Hash,
    source: D,
) -> Result<Option<Credentials>, D::Error> {
    let credentials: Credentials = String::deserialize(source)?
        .parse()
        .map_err(D::Error::custom)?;
    if credentials.hash() == hash {
        return Ok(Some(credentials));
    }
    Err(D::Error::custom("credentials of the other mechanism"))
}
