//! Bans in files: `[[ban]]` in the configuration, and `bans.json` in the data folder.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use ternmq_broker::{Ban, BanChanges, Banned, Broker, Event, Network};
use toml::value::Datetime;

/// What the data folder knows.
const FILE: &str = "bans.json";

/// Who has imposed the bans of the configuration.
const CONFIGURATION: &str = "configuration";

/// A `[[ban]]` that could be made, so that what is wrong with one has its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Line<Datetime>")]
pub(crate) struct Configured(pub(crate) Ban);

/// A ban as it is written, with its end in the words of the format.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    /// An address or a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<T>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

impl TryFrom<Line<Datetime>> for Configured {
    type Error = String;

    fn try_from(line: Line<Datetime>) -> Result<Self, String> {
        if !line.by.is_empty() {
            return Err("`by` is for bans of the data folder".to_owned());
        }
        let mut ban = ban(line)?;
        ban.by = CONFIGURATION.to_owned();
        Ok(Self(ban))
    }
}

fn ban<T: ToString>(line: Line<T>) -> Result<Ban, String> {
    let who = match (line.client_id, line.user_name, line.address) {
        (Some(id), None, None) => Banned::ClientId(id.into()),
        (None, Some(name), None) => Banned::UserName(name.into()),
        (None, None, Some(text)) => {
            let network: Network = text.parse().map_err(|e| format!("address: {e}"))?;
            Banned::Network(network)
        }
        _ => return Err("a ban names one of `client_id`, `user_name` and `address`".to_owned()),
    };
    let until = line
        .until
        .map(|until| time(&until.to_string()))
        .transpose()?;
    Ok(Ban {
        who,
        until,
        reason: line.reason,
        by: line.by,
    })
}

fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text).map_err(|_| {
        format!("until: expected a time in UTC, as in 2026-12-31T23:59:59Z, not {text}")
    })
}

/// Whether somebody else has imposed it.
pub(crate) fn is_not_configured(ban: &Ban) -> bool {
    ban.by != CONFIGURATION
}

/// A time as it stands in the file.
pub(crate) fn time_text(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn line(ban: &Ban) -> Line<String> {
    let mut line = Line {
        client_id: None,
        user_name: None,
        address: None,
        until: ban.until.map(time_text),
        reason: ban.reason.clone(),
        by: ban.by.clone(),
    };
    match &ban.who {
        Banned::ClientId(id) => line.client_id = Some(id.to_string()),
        Banned::UserName(name) => line.user_name = Some(name.to_string()),
        Banned::Network(network) => line.address = Some(network.to_string()),
    }
    line
}

/// The file of a data folder that the bans are kept in, which the operator may change too.
pub(crate) struct BanFile {
    folder: PathBuf,
    /// What it held when it was last read or written here.
    known: Option<String>,
}

impl BanFile {
    /// Reads the file, and adds what it says to the bans of the configuration.
    pub(crate) fn open(
        folder: &Path,
        configured: &mut Vec<Ban>,
        now: SystemTime,
    ) -> Result<Self, String> {
        let (known, kept) = read(folder, now)?;
        let file = Self {
            folder: folder.to_owned(),
            known,
        };
        join(configured, kept);
        Ok(file)
    }

    /// Writes the bans that hold. A file that somebody else has changed is left as it is until it is read
    /// again: that is an error.
    pub(crate) fn save(&mut self, bans: Vec<Ban>) -> Result<(), String> {
        if text(&self.folder)? != self.known {
            let path = self.folder.join(FILE);
            return Err(format!(
                "{} was changed by somebody and not read again, which SIGHUP does",
                path.display()
            ));
        }
        self.known = Some(write(&self.folder, bans)?);
        Ok(())
    }

    /// Has the bans of the file hold, besides those of the configuration, `configured`. Of what holds now only what
    /// the broker has imposed on others since the file was last written or read stays.
    pub(crate) fn reload(
        &mut self,
        broker: &Broker,
        configured: Vec<Ban>,
    ) -> Result<BanChanges, String> {
        let (text, kept) = read(&self.folder, SystemTime::now())?;
        let mut bans = configured;
        join(&mut bans, kept);
        let known = self.known.as_deref().unwrap_or("[]");
        let known = read_text(known, SystemTime::UNIX_EPOCH)?;
        let known: HashSet<Banned> = known.into_iter().map(|ban| ban.who).collect();
        let is_new = |ban: &Ban| is_not_configured(ban) && !known.contains(&ban.who);
        let changes = broker
            .replace_bans(bans, is_new)
            .map_err(|error| format!("{}: {error}", self.folder.join(FILE).display()))?;
        self.known = text;
        Ok(changes)
    }
}

/// The text of the file and its bans that are not over, none if it has no file. A file that is no list of bans
/// is an error: whoever wrote it would not be kept out otherwise, and saving would destroy it.
fn read(folder: &Path, now: SystemTime) -> Result<(Option<String>, Vec<Ban>), String> {
    let Some(text) = text(folder)? else {
        return Ok((None, Vec::new()));
    };
    let bans = read_text(&text, now)
        .map_err(|error| format!("{}: {error}", folder.join(FILE).display()))?;
    Ok((Some(text), bans))
}

/// The bans of a folder that hold, each with its line, and their file. The file is only read, and the folder may be a
/// running server's, which puts a whole new file in its place.
///
/// # Errors
/// There is no such folder, or what is wrong with the file.
pub(crate) fn look(folder: &Path, now: SystemTime) -> Result<(PathBuf, Vec<(Ban, usize)>), String> {
    fs::metadata(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let path = folder.join(FILE);
    let Some(text) = text(folder)? else {
        return Ok((path, Vec::new()));
    };
    let all = read_text(&text, SystemTime::UNIX_EPOCH)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bans: Vec<(Ban, usize)> = all.into_iter().zip(lines_of(&text)).collect();
    bans.retain(|(ban, _)| ban.until.is_none_or(|until| until > now));
    Ok((path, bans))
}

/// The lines on which the objects of a list begin, in a text that is one.
fn lines_of(text: &str) -> Vec<usize> {
    let (mut lines, mut line) = (Vec::new(), 1);
    let (mut quoted, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            '\n' => line += 1,
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '{' if !quoted => lines.push(line),
            _ => {}
        }
    }
    lines
}

fn text(folder: &Path) -> Result<Option<String>, String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// The bans of the text of such a file that are not over.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read_text(text: &str, now: SystemTime) -> Result<Vec<Ban>, String> {
    let lines: Vec<Line<String>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut bans = Vec::with_capacity(lines.len());
    for (at, line) in lines.into_iter().enumerate() {
        let ban = ban(line).map_err(|e| format!("ban {}: {e}", at + 1))?;
        if ban.until.is_none_or(|until| until > now) {
            bans.push(ban);
        }
    }
    Ok(bans)
}

/// Writes the bans that are not those of the configuration. Whoever reads the file, also after a crash,
/// finds the old list or the new one. Its owner alone can read it: it names clients and users.
fn write(folder: &Path, mut bans: Vec<Ban>) -> Result<String, String> {
    bans.retain(|ban| ban.by != CONFIGURATION);
    bans.sort_by(|a, b| a.who.cmp(&b.who));
    let lines: Vec<Line<String>> = bans.iter().map(line).collect();
    let write = || -> io::Result<String> {
        let text = serde_json::to_string_pretty(&lines)? + "\n";
        let new = folder.join("bans.json.new");
        // One that a crash has left may be open to others.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, folder.join(FILE))?;
        // The name is kept only with the folder.
        File::open(folder)?.sync_all()?;
        Ok(text)
    };
    write().map_err(|e| format!("cannot write {}: {e}", folder.join(FILE).display()))
}

/// Does to a list what a broker has done to its own; whether that changes it.
pub(crate) fn follow(bans: &mut Vec<Ban>, event: Event) -> bool {
    match event {
        Event::Banned(ban) => {
            let known = bans.iter().position(|known| known.who == ban.who);
            match known {
                Some(at) if bans[at] == ban => return false,
                Some(at) => bans[at] = ban,
                None => bans.push(ban),
            }
            true
        }
        Event::Unbanned(who) => {
            let before = bans.len();
            bans.retain(|ban| ban.who != who);
            bans.len() != before
        }
        _ => false,
    }
}

/// The bans to start with: those of the configuration, and those of the folder that say something
/// about others.
fn join(configured: &mut Vec<Ban>, kept: Vec<Ban>) {
    let known: HashSet<Banned> = configured.iter().map(|ban| ban.who.clone()).collect();
    configured.extend(kept.into_iter().filter(|ban| !known.contains(&ban.who)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ternmq-bans-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn kept(folder: &Path, now: SystemTime) -> Result<Vec<Ban>, String> {
        read(folder, now).map(|(_, bans)| bans)
    }

    fn bans(now: SystemTime) -> Vec<Ban> {
        let ban = |who, until, by: &str| Ban {
            who,
            until,
            reason: "\"why\"\n".into(),
            by: by.into(),
        };
        let later = now + Duration::from_secs(1000);
        vec![
            ban(Banned::ClientId("ä\0".into()), None, "flapping"),
            ban(Banned::UserName("u".into()), Some(later), ""),
            ban(Banned::Network("10.0.0.0/8".parse().unwrap()), None, "me"),
            ban(Banned::Network("::1".parse().unwrap()), Some(later), "me"),
        ]
    }

    #[test]
    fn what_is_written_is_read_again_until_it_is_over() {
        let folder = folder("again");
        // Milliseconds are what is written.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
        assert_eq!(kept(&folder, now), Ok(Vec::new()));
        let mut written = bans(now);
        let configured = Ban {
            by: CONFIGURATION.into(),
            ..written[0].clone()
        };
        write(&folder, [&written[..], &[configured]].concat()).unwrap();
        assert_eq!(kept(&folder, now).unwrap(), written);
        let later = now + Duration::from_secs(2000);
        written.retain(|ban| ban.until.is_none());
        assert_eq!(kept(&folder, later).unwrap(), written);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_ban_is_found_with_its_line_whatever_stands_in_it() {
        let folder = folder("lines");
        let (now, over) = (SystemTime::now(), "2001-01-01T00:00:00Z");
        fs::write(
            folder.join(FILE),
            format!(
                "[{{\"client_id\": \"{{\\\"{{\", \"until\": \"{over}\"}},\n\n {{\"user_name\":\n\"\\\\{{\"}},\n\
                 {{\"client_id\": \"}}\"}}]"
            ),
        )
        .unwrap();
        let (path, bans) = look(&folder, now).unwrap();
        assert_eq!(path, folder.join(FILE));
        let found: Vec<(String, usize)> =
            (bans.iter().map(|(ban, line)| (ban.who.to_string(), *line))).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].1, found[1].1), (3, 5), "{found:?}");
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&folder, now).unwrap().1.len(), 0);
        assert!(look(&folder.join("none"), now).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn its_owner_alone_can_read_the_file() {
        let folder = folder("private");
        for name in [FILE, "bans.json.new"] {
            // As an older server and a crash may have left them.
            fs::write(folder.join(name), "[]").unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        write(&folder, bans(SystemTime::now())).unwrap();
        let mode = fs::metadata(folder.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_is_no_list_of_bans_is_named_with_its_place() {
        let folder = folder("broken");
        for (text, words) in [
            ("", "line 1"),
            ("[\n{\"client_id\": 5}]", "line 2"),
            ("[{\"client_id\": \"a\"}, {}]", "ban 2: a ban names one of"),
            ("[{\"address\": \"10.0.0.1/8\"}]", "ban 1: address: "),
            ("[{\"client_id\": \"a\", \"until\": \"soon\"}]", "not soon"),
            ("[{\"client\": \"a\"}]", "unknown field `client`"),
        ] {
            fs::write(folder.join(FILE), text).unwrap();
            let error = kept(&folder, SystemTime::now()).unwrap_err();
            assert!(error.contains(FILE) && error.contains(words), "{error}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_configuration_says_more_about_somebody_than_the_folder() {
        let mut all = bans(SystemTime::now());
        let kept = all.split_off(1);
        let configured = all.clone();
        join(&mut all, [configured.clone(), kept.clone()].concat());
        assert_eq!(all, [configured, kept].concat());
    }
}
