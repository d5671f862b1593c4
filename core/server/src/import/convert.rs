//! What each key of mosquitto becomes.

use std::collections::BTreeMap;

use super::Converted;
use super::lines::Line;
use super::listeners::{KEYS, Listener, SECURITY};
use crate::config::quoted;

const HEAD: &str = "\
# Made of a configuration of mosquitto by `ternmq import`. For `ternmq serve --config FILE`, and with
# `--data FOLDER` what is to outlive the server is kept there.
";

/// Keys of a bridge, besides those that begin with `bridge_`, `local_`, `remote_` or `notification`.
const BRIDGE: &[&str] = &[
    "address",
    "addresses",
    "cleansession",
    "clientid",
    "connection",
    "idle_timeout",
    "keepalive_interval",
    "password",
    "restart_timeout",
    "round_robin",
    "start_type",
    "threshold",
    "topic",
    "try_private",
    "username",
];

/// Keys for which there is nothing to do: it is always so, or there is no such thing to set.
const IDLE: &[&str] = &[
    "autosave_interval",
    "autosave_on_changes",
    "per_listener_settings",
    "persistence_file",
    "persistence_location",
    "set_tcp_nodelay",
];

/// What has been read, by whom it is about.
#[derive(Default)]
struct Read {
    globals: BTreeMap<String, Line>,
    /// The one without a `listener` line first, if there is one.
    listeners: Vec<Listener>,
}

pub(super) fn convert(lines: &[Line]) -> Result<Converted, String> {
    let mut converted = Converted::default();
    let read = sort(lines, &mut converted);
    let (password_file, has_users) = password_file(&read, &mut converted);
    let mut out = HEAD.to_owned();
    top(&read, &mut out, &mut converted);
    let refuses = !has_users || has_plugin(&read);
    let mut listeners = String::new();
    for listener in &read.listeners {
        let anonymous = anonymous(&read, listener) && !refuses;
        listeners.push_str(&listener.convert(anonymous, &mut converted));
    }
    if read.listeners.is_empty() && !lines.iter().any(|line| line.key == "listener") {
        let anonymous = read.globals.get("allow_anonymous").and_then(Line::truth);
        let anonymous = anonymous.unwrap_or(true) && !refuses;
        listeners.push_str(&format!(
            "\n[[listener]]\naddress = \"127.0.0.1:1883\"\nanonymous = {anonymous}\n"
        ));
    } else if listeners.is_empty() {
        let why = converted
            .left
            .iter()
            .map(|told| format!("\n{}", told.text()));
        let why: String = why.collect();
        return Err(format!("none of its listeners can be taken over{why}"));
    }
    limits(&read, &mut out, &mut converted);
    topics(&read, &mut out, &mut converted);
    access(&read, password_file, &mut out, &mut converted);
    converted.text = out + &listeners;
    Ok(converted)
}

/// Who each line is about.
fn sort(lines: &[Line], converted: &mut Converted) -> Read {
    let mut read = Read::default();
    let each = lines
        .iter()
        .rev()
        .find(|line| line.key == "per_listener_settings");
    let each = each.and_then(Line::truth) == Some(true);
    let (mut default, mut of_default): (Option<Listener>, Vec<&Line>) = (None, Vec::new());
    for line in lines {
        let key = &*line.key;
        let begun = read.listeners.last_mut();
        match key {
            "listener" => match place(&line.value) {
                Some((port, host)) => read.listeners.push(Listener::new(line, port, host)),
                None => converted.leave(line, "expected a port, and perhaps an address"),
            },
            "port" | "bind_address" => {
                let own = default.get_or_insert_with(|| Listener::new(line, 1883, None));
                match (key, line.value.parse()) {
                    ("port", Ok(port)) => own.port = port,
                    ("port", Err(_)) => converted.leave(line, "expected a port"),
                    _ => own.host = Some(line.value.clone()),
                }
            }
            _ if KEYS.contains(&key) || (each && SECURITY.contains(&key)) => {
                let own = match begun {
                    Some(own) => own,
                    // A line about who may come in is no reason for a listener to be.
                    None if SECURITY.contains(&key) => {
                        of_default.push(line);
                        continue;
                    }
                    None => default.get_or_insert_with(|| Listener::new(line, 1883, None)),
                };
                own.add(line);
            }
            _ if is_of_bridges(key) => converted.leave(line, "there are no bridges"),
            _ => {
                read.globals.insert(key.to_owned(), line.clone());
            }
        }
    }
    put_default(&mut read, default, of_default, converted);
    for line in read.globals.values() {
        if let Some(why) = without_counterpart(line) {
            converted.leave(line, why);
        }
    }
    read
}

/// Adds the listener that needs no line of its own.
fn put_default(
    read: &mut Read,
    mut default: Option<Listener>,
    lines: Vec<&Line>,
    converted: &mut Converted,
) {
    let alone = default.is_none() && read.listeners.is_empty();
    for line in lines {
        match &mut default {
            Some(default) => default.add(line),
            None if alone => drop(read.globals.insert(line.key.clone(), line.clone())),
            None => converted.leave(line, "is of a listener that is not there"),
        }
    }
    if let Some(default) = default {
        read.listeners.insert(0, default);
    }
}

fn place(text: &str) -> Option<(u16, Option<String>)> {
    let (port, host) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let (port, host) = (port.parse().ok()?, host.trim());
    match (port, host.is_empty()) {
        (0, true) => None,
        (port, empty) => Some((port, (!empty).then(|| host.to_owned()))),
    }
}

fn is_of_bridges(key: &str) -> bool {
    let begins = ["bridge_", "local_", "remote_", "notification"];
    BRIDGE.contains(&key) || begins.iter().any(|begin| key.starts_with(begin))
}

/// Why a line for all is left, if nothing below takes it.
fn without_counterpart(line: &Line) -> Option<&'static str> {
    let taken = [
        "max_inflight_bytes",
        "max_inflight_messages",
        "max_keepalive",
        "max_packet_size",
        "max_queued_bytes",
        "max_queued_messages",
        "persistence",
        "persistent_client_expiration",
        "queue_qos0_messages",
        "retain_available",
        "sys_interval",
    ];
    let key = &*line.key;
    if taken.contains(&key) || IDLE.contains(&key) || SECURITY.contains(&key) {
        return None;
    }
    let truth = line.truth();
    Some(match key {
        "allow_zero_length_clientid" if truth == Some(true) => return None,
        "upgrade_outgoing_qos" | "allow_duplicate_messages" if truth == Some(false) => return None,
        "user" | "pid_file" => "is for whatever starts the server",
        "message_size_limit" => "limits.packet_size is of whole packets, not of payloads",
        "memory_limit" => "limits are of each kind of thing, see [limits]",
        "plugin" | "auth_plugin" => "there are no plugins: who names nobody is refused now",
        _ if key.starts_with("log_") || key == "connection_messages" => {
            "[log] says what the server writes to standard error"
        }
        _ if key.starts_with("plugin_opt_") || key.starts_with("auth_opt_") => "is of a plugin",
        _ => "has no counterpart, or is unknown",
    })
}

fn has_plugin(read: &Read) -> bool {
    let plugins = ["plugin", "auth_plugin"];
    plugins.iter().any(|key| read.globals.contains_key(*key))
}

fn anonymous(read: &Read, listener: &Listener) -> bool {
    let line = listener.lines.get("allow_anonymous");
    let line = line.or(read.globals.get("allow_anonymous"));
    line.and_then(Line::truth) == Some(true)
}

/// The one line that all listeners share; `Err` where they differ.
fn shared<'a>(read: &'a Read, key: &str) -> Result<Option<&'a Line>, Vec<&'a Line>> {
    let global = read.globals.get(key);
    let own: Vec<Option<&Line>> = (read.listeners.iter())
        .map(|listener| listener.lines.get(key).or(global))
        .collect();
    let value = |line: &Option<&Line>| line.map(|line| line.value.clone());
    match own.first() {
        None => Ok(global),
        Some(first) if own.iter().all(|other| value(other) == value(first)) => Ok(*first),
        Some(_) => Err(own.into_iter().flatten().collect()),
    }
}

/// The file of the users of all listeners, and whether the users can be taken over.
fn password_file<'a>(read: &'a Read, converted: &mut Converted) -> (Option<&'a Line>, bool) {
    match shared(read, "password_file") {
        Ok(line) => (line, true),
        Err(lines) => {
            for line in lines {
                let why = "users are those of all listeners: everybody is refused now";
                converted.leave(line, why);
            }
            (None, false)
        }
    }
}

fn top(read: &Read, out: &mut String, converted: &mut Converted) {
    if let Some(line) = read.globals.get("sys_interval") {
        match line.number() {
            Some(seconds @ 0..=0xFFFF_FFFF) => {
                out.push_str(&format!("sys_interval = {seconds}\n"));
            }
            _ => converted.leave(line, "no number of seconds"),
        }
    }
    if let Some(line) = read.globals.get("persistence")
        && line.truth() == Some(true)
    {
        let why = "start the server with --data FOLDER; what mosquitto has kept is not read";
        converted.note(line, why);
    }
}

fn limits(read: &Read, out: &mut String, converted: &mut Converted) {
    let mut table = String::new();
    let mut add = |key: &str, value: String| table.push_str(&format!("{key} = {value}\n"));
    let unlimited = |number: i64, most: i64| match number {
        0 => most,
        number => number.min(most),
    };
    for (theirs, ours, most) in [
        ("max_inflight_messages", "inflight", 65_535),
        ("max_inflight_messages", "receive_maximum", 65_535),
        ("max_inflight_bytes", "inflight_bytes", i64::MAX),
        ("max_queued_messages", "queue_messages", i64::MAX),
        ("max_queued_bytes", "queue_bytes", i64::MAX),
    ] {
        if let Some(line) = read.globals.get(theirs) {
            match line.number() {
                Some(number @ 0..) => add(ours, unlimited(number, most).to_string()),
                _ => converted.leave(line, "no number"),
            }
        }
    }
    if let Some(line) = read.globals.get("max_keepalive") {
        match line.number() {
            Some(seconds @ 0..=65_535) => add("keep_alive", seconds.to_string()),
            _ => converted.leave(line, "no number of seconds"),
        }
    }
    if let Some(line) = read.globals.get("max_packet_size") {
        match line.number() {
            Some(0) => {}
            Some(size @ 1024..=0xFFFF_FFFF) => {
                add("packet_size", size.to_string());
                add("connect_size", size.min(1 << 20).to_string());
            }
            _ => converted.leave(line, "a packet may have 1024 bytes at least"),
        }
    }
    if let Some(line) = read.globals.get("persistent_client_expiration") {
        match seconds(&line.value) {
            Some(seconds) => add("session_expiry", seconds.to_string()),
            None => converted.leave(line, "expected a number and one of h, d, w, m and y"),
        }
    }
    if let Some(line) = read.globals.get("queue_qos0_messages") {
        match line.truth() {
            Some(truth) => add("queue_qos0_offline", truth.to_string()),
            None => converted.leave(line, "neither true nor false"),
        }
    }
    match shared(read, "max_topic_alias") {
        Ok(None) => {}
        Ok(Some(line)) => match line.number() {
            Some(aliases @ 0..=65_535) => add("topic_aliases", aliases.to_string()),
            _ => converted.leave(line, "no number of aliases"),
        },
        Err(lines) => {
            for line in lines {
                converted.leave(line, "is the same for all listeners");
            }
        }
    }
    if !table.is_empty() {
        out.push_str(&format!("\n[limits]\n{table}"));
    }
}

fn topics(read: &Read, out: &mut String, converted: &mut Converted) {
    let mut table = String::new();
    if let Some(line) = read.globals.get("retain_available") {
        match line.truth() {
            Some(truth) => table.push_str(&format!("retain = {truth}\n")),
            None => converted.leave(line, "neither true nor false"),
        }
    }
    match shared(read, "max_qos") {
        Ok(None) => {}
        Ok(Some(line)) => match line.number() {
            Some(qos @ 0..=2) => table.push_str(&format!("maximum_qos = {qos}\n")),
            _ => converted.leave(line, "QoS is 0, 1 or 2"),
        },
        Err(lines) => {
            for line in lines {
                converted.leave(line, "is the same for all listeners");
            }
        }
    }
    if !table.is_empty() {
        out.push_str(&format!("\n[topics]\n{table}"));
    }
}

fn access(read: &Read, password_file: Option<&Line>, out: &mut String, converted: &mut Converted) {
    let mut table = String::new();
    if let Some(line) = password_file {
        table.push_str(&format!("password_file = {}\n", quoted(&line.value)));
    }
    match shared(read, "acl_file") {
        Ok(None) => {}
        Ok(Some(line)) => {
            table.push_str(&format!("mosquitto_acl_file = {}\n", quoted(&line.value)));
        }
        Err(lines) => {
            for line in lines {
                let why = "rules are those of all listeners: nothing is allowed now";
                converted.leave(line, why);
            }
            table.push_str("default = \"deny\"\n");
        }
    }
    if !table.is_empty() {
        out.push_str(&format!("\n[access]\n{table}"));
    }
}

/// A time as in 14d. A month has 30 days, a year 365.
fn seconds(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 24 * 7,
        'm' => 24 * 30,
        'y' => 24 * 365,
        _ => return None,
    };
    let number: i64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
    let seconds = number.checked_mul(hours)?.checked_mul(3600)?;
    (seconds > 0).then_some(seconds.min(i64::from(u32::MAX) - 1))
}
