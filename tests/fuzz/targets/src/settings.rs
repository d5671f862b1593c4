use crate::choice;
use std::time::SystemTime;
use ternmq_broker::Network;
use ternmq_broker::auth::{Credentials, Users};

/// What an operator writes: by the first byte a configuration file, the `bans.json` of a data folder, a
/// network, or what is stored of a password. It is read or refused; what was read reads the same once it
/// is written; and no error shows what is stored of a password.
pub fn settings(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match kind % 4 {
        0 => configuration(text),
        1 => {
            for ban in ternmq_server::read_bans(text, SystemTime::UNIX_EPOCH).unwrap_or_default() {
                assert!(ban.until.is_none_or(|until| until > SystemTime::UNIX_EPOCH));
            }
        }
        2 => {
            if let Ok(network) = text.parse::<Network>() {
                assert_eq!(network.to_string().parse(), Ok(network), "{text}");
            }
        }
        _ => {
            if let Ok(credentials) = text.parse::<Credentials>() {
                assert_eq!(credentials.to_text().parse().as_ref(), Ok(&credentials));
                assert!(!format!("{credentials:?}").contains("4096"));
            }
        }
    }
}

fn configuration(text: &str) {
    match ternmq_server::read_text(text) {
        Ok(settings) => drop(Users::new(&settings.broker.users)),
        Err(error) => {
            let secrets = text
                .lines()
                .filter_map(|line| line.split_once("scram_sha_"));
            for secret in secrets.filter_map(|(_, rest)| rest.rsplit_once(':')) {
                let secret = secret.1.trim_end_matches(['"', '\'', ' ']);
                assert!(secret.len() < 12 || !error.contains(secret), "{error}");
            }
        }
    }
}
