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
