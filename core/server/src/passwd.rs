//! `ternmq passwd`: what the configuration file holds of a password.

use std::io::{IsTerminal, Read};

use ternmq_broker::auth::{Credentials, Hash};

use crate::cli::{Mechanism, Passwd};

/// Prints the `[[user]]` lines for a password that is typed twice, or read from standard input.
pub(crate) fn run(args: &Passwd) -> Result<u8, String> {
    let password = read()?;
    let hashes: &[Hash] = match args.hash {
        Mechanism::Sha256 => &[Hash::Sha256],
        Mechanism::Sha512 => &[Hash::Sha512],
        Mechanism::Both => &[Hash::Sha256, Hash::Sha512],
    };
    // Quoted as TOML wants it, which for a basic string is as JSON does.
    let name = serde_json::Value::from(args.name.as_str());
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
    Ok(crate::SUCCESS)
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
