//! `ternmq passwd`: what a file of passwords, or the configuration file, holds of a password.

use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ternmq_access::hash::PasswordHash;
use ternmq_broker::auth::{Credentials, Hash};

use crate::cli::{FileHash, Mechanism, Passwd};

/// Does to a file what its flags say, or prints the `[[user]]` lines where only a name is given.
pub(crate) fn run(args: &Passwd) -> Result<u8, String> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match (&words[..], args.upgrade, args.delete, args.batch) {
        ([file], true, false, false) if !args.create => upgrade(Path::new(file), args)?,
        ([file, name], false, true, false) if !args.create => {
            let file = Path::new(file);
            let lines = lines(file)?;
            let rest: Vec<String> = (lines.iter())
                .filter(|line| !is_of(line, name))
                .cloned()
                .collect();
            if rest.len() == lines.len() {
                return Err(format!("{} has no user {name:?}", file.display()));
            }
            write(file, &rest)?;
        }
        ([file, name, password], false, false, true) => {
            set(Path::new(file), name, password, args)?;
        }
        ([file, name], false, false, false) => set(Path::new(file), name, &read()?, args)?,
        ([name], false, false, false) if !args.create => print(name, args)?,
        _ => {
            return Err(
                "expected NAME, FILE NAME, -c FILE NAME, -b FILE NAME PASSWORD, -D FILE NAME or \
                        -U FILE"
                    .to_owned(),
            );
        }
    }
    Ok(crate::SUCCESS)
}

/// Prints the lines of the configuration.
fn print(name: &str, args: &Passwd) -> Result<(), String> {
    let password = read()?;
    let hashes: &[Hash] = match args.hash {
        Mechanism::Sha256 => &[Hash::Sha256],
        Mechanism::Sha512 => &[Hash::Sha512],
        Mechanism::Both => &[Hash::Sha256, Hash::Sha512],
    };
    // Quoted as TOML wants it, which for a basic string is as JSON does.
    let name = serde_json::Value::from(name);
    let mut lines = format!("[[user]]\nname = {name}");
    for hash in hashes {
        let made = Credentials::new(*hash, &password, args.iterations);
        let made = made.map_err(|error| error.to_string())?;
        let key = match hash {
            Hash::Sha256 => "scram_sha_256",
            Hash::Sha512 => "scram_sha_512",
        };
        lines += &format!("\n{key} = \"{}\"", made.to_text());
    }
    crate::report::line(&lines);
    Ok(())
}

/// Gives a user a password, in the place of the one that is there.
fn set(file: &Path, name: &str, password: &str, args: &Passwd) -> Result<(), String> {
    if name.is_empty() || name.contains([':', '\n', '\r']) || name.starts_with('#') {
        return Err(
            "a user name has a character, no `:` and no line's end, and no `#` in front".into(),
        );
    }
    let line = format!("{name}:{}", hash(password, args)?);
    let mut lines = match args.create {
        true => Vec::new(),
        false => lines(file)?,
    };
    match lines.iter_mut().find(|line| is_of(line, name)) {
        Some(own) => *own = line,
        None => lines.push(line),
    }
    write(file, &lines)
}

/// Makes hashes of what are passwords still.
fn upgrade(file: &Path, args: &Passwd) -> Result<(), String> {
    let mut lines = lines(file)?;
    for (line, number) in lines.iter_mut().zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("{}:{number}: {what}", file.display());
        let (name, rest) = line
            .split_once(':')
            .ok_or_else(|| wrong("expected NAME:PASSWORD"))?;
        match rest.parse::<PasswordHash>() {
            Ok(_) => {}
            // A hash with a letter too few would become somebody's password.
            Err(error) if rest.starts_with('$') => return Err(wrong(&error.to_string())),
            Err(_) => *line = format!("{name}:{}", hash(rest, args).map_err(|e| wrong(&e))?),
        }
    }
    write(file, &lines)
}

fn hash(password: &str, args: &Passwd) -> Result<PasswordHash, String> {
    let made = match args.file_hash {
        FileHash::Argon2id => PasswordHash::argon2id(password),
        FileHash::Sha512Pbkdf2 => PasswordHash::mosquitto(password, args.iterations),
    };
    made.map_err(|error| error.to_string())
}

fn is_of(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(own, _)| own == name)
}

fn lines(file: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect())
}

/// All of it or nothing, so that a server that reads it meanwhile sees a whole file. A new file is for its
/// owner only; an old one keeps its permissions.
fn write(file: &Path, lines: &[String]) -> Result<(), String> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let mode = fs::metadata(file).map_or(0o600, |old| old.permissions().mode() & 0o7777);
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new: PathBuf = file.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut out| {
            out.write_all(text.as_bytes())?;
            out.set_permissions(fs::Permissions::from_mode(mode))?;
            out.sync_all()
        })
        .and_then(|()| fs::rename(&new, file));
    written.map_err(|error| {
        // It may not be there at all.
        let _ = fs::remove_file(&new);
        format!("cannot write {}: {error}", file.display())
    })
}

fn read() -> Result<String, String> {
    let unreadable = |error| format!("cannot read the password: {error}");
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = rpassword::prompt_password("Password: ").map_err(unreadable)?;
    let again = rpassword::prompt_password("Once more: ").map_err(unreadable)?;
    match first == again {
        true => Ok(first),
        false => Err("the two passwords are not the same".into()),
    }
}
