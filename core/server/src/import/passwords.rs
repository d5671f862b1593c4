//! The lines of a password_file as users.

use std::fs;

use ternmq_broker::auth::Credentials;

use super::Converted;
use super::lines::Line;
use crate::config::quoted;

/// The users of a file; what is wrong with some of them is told.
///
/// # Errors
/// It can't be read: a server without its users would look at no names.
pub(super) fn users(line: &Line, converted: &mut Converted) -> Result<String, String> {
    let failed = |error| format!("cannot read the password_file {}: {error}", line.value);
    let text = fs::read_to_string(&line.value).map_err(failed)?;
    let file = std::sync::Arc::new(line.value.clone().into());
    let mut users = String::new();
    for (at, text) in text.lines().enumerate() {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, stored) = text.split_once(':').unwrap_or((text, ""));
        let own = Line {
            file: std::sync::Arc::clone(&file),
            number: at + 1,
            key: name.to_owned(),
            value: String::new(),
        };
        match stored.trim_end().parse::<Credentials>() {
            Ok(read) if read.hash().is_none() => users.push_str(&format!(
                "\n[[user]]\nname = {}\nmosquitto = {}\n",
                quoted(name),
                quoted(&read.to_text())
            )),
            Ok(_) => converted.leave(&own, "is of no form that mosquitto_passwd writes"),
            Err(error) => converted.leave(&own, format!("this user can't log in: {error}")),
        }
    }
    Ok(users)
}
