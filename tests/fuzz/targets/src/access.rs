use crate::choice;
use std::path::Path;
use ternmq_access::FileError;
use ternmq_access::acl::{Acl, Format};
use ternmq_access::passwords::PasswordFile;
use ternmq_broker::access::Verdict;

/// Things that are told of one file at most.
const MAX_TOLD: usize = 20;

/// By the first byte a file of rules, one of mosquitto's, or a file of passwords. It is read or refused;
/// what is refused is told with places that are there; what was read makes rules, each with its place; and
/// of a password nothing is told.
pub fn access(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match kind % 3 {
        0 => rules(text, Format::Own),
        1 => rules(text, Format::Mosquitto),
        _ => passwords(text),
    }
}

fn rules(text: &str, format: Format) {
    let mut acl = Acl::default();
    match acl.add_text(text, Path::new("acl"), format) {
        Ok(()) => {
            drop(acl.rules(Verdict::Deny));
            for at in 0..acl.len() {
                let line = acl.place(at).expect("a place").line;
                assert!((1..=text.lines().count()).contains(&line), "{line}");
            }
            assert!(acl.place(acl.len()).is_none());
        }
        Err(errors) => {
            told(&errors, text);
            assert!(acl.is_empty(), "half a file was taken");
        }
    }
}

fn passwords(text: &str) {
    match PasswordFile::parse(text, Path::new("passwords")) {
        Ok(users) => {
            for name in text.lines().filter_map(|line| line.split_once(':')) {
                let commented = name.0.starts_with('#');
                assert!(commented || users.line(name.0).is_some(), "{name:?}");
            }
        }
        Err(errors) => {
            told(&errors, text);
            let hashes = text.lines().filter_map(|line| line.split_once(':'));
            for hash in hashes.map(|(_, hash)| hash).filter(|hash| hash.len() >= 12) {
                let shown = |error: &FileError| error.what.contains(hash);
                assert!(!errors.iter().any(shown), "{errors:?}");
            }
        }
    }
}

fn told(errors: &[FileError], text: &str) {
    assert!((1..=MAX_TOLD).contains(&errors.len()), "{errors:?}");
    for error in errors {
        let Some((line, column)) = error.at else {
            continue;
        };
        let chars = |line: &str| line.chars().count();
        let length = text.lines().nth(line - 1).map(chars);
        assert!(
            length.is_some_and(|length| (1..=length + 1).contains(&column)),
            "{error}"
        );
    }
}
