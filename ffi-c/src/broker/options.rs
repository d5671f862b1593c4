//! C's options, as the broker's configuration.

use std::ffi::{c_char, c_int};

use ternmq_broker::auth::{Credentials, DEFAULT_ITERATIONS, Hash, User};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Config, ListenerConfig};

use super::listener;
use crate::ptr;
use crate::types::broker::*;

pub(super) type Wrong = (c_int, String);

pub(super) fn config(options: &ternmq_broker_options) -> Result<Config, Wrong> {
    let mut listeners = match options.listener_count {
        0 if options.listeners.is_null() => of_members(options)?,
        _ => of_list(options)?,
    };
    for listener in &mut listeners {
        listener.anonymous &= options.no_anonymous == 0;
    }
    let mut config = Config {
        listeners,
        users: users(options)?,
        ..Config::default()
    };
    if options.max_connections > 0 {
        config.limits.connections = options.max_connections as usize;
    }
    if options.max_packet_bytes > 0 {
        let bytes = options.max_packet_bytes;
        config.session.packet_size = bytes;
        config.session.connect_size = config.session.connect_size.min(bytes);
    }
    if options.max_retained > 0 {
        config.limits.retained.messages = options.max_retained as usize;
    }
    Ok(config)
}

/// The one or two that the options themselves tell of.
fn of_members(options: &ternmq_broker_options) -> Result<Vec<ListenerConfig>, Wrong> {
    let address = listener::address(options.address, options.port)?;
    let mut listeners = vec![ListenerConfig {
        tls: listener::tls(
            options.certificate_file,
            options.key_file,
            options.client_ca_file,
            false,
        )?,
        websocket: (options.websocket != 0).then(WebSocketServer::default),
        ..ListenerConfig::anonymous(address)
    }];
    if let Some(path) = text(options.unix_path, "unix_path")? {
        listeners.push(ListenerConfig::unix(path, listener::UNIX_MODE));
    }
    Ok(listeners)
}

/// Those that stand in an array. What else says where to listen would be passed over.
fn of_list(options: &ternmq_broker_options) -> Result<Vec<ListenerConfig>, Wrong> {
    let members = [
        ("address", !options.address.is_null()),
        ("port", options.port != 0),
        ("websocket", options.websocket != 0),
        ("certificate_file", !options.certificate_file.is_null()),
        ("key_file", !options.key_file.is_null()),
        ("client_ca_file", !options.client_ca_file.is_null()),
        ("unix_path", !options.unix_path.is_null()),
    ];
    if let Some((name, _)) = members.iter().find(|(_, there)| *there) {
        return Err(wrong(format!("{name} beside listeners, which say that")));
    }
    let all = listener::all(options)?;
    match all.is_empty() {
        true => Err(wrong("listeners without listener_count".into())),
        false => Ok(all),
    }
}

fn users(options: &ternmq_broker_options) -> Result<Vec<User>, Wrong> {
    // SAFETY: C says how many there are.
    let given = unsafe { ptr::slice(options.users, options.user_count) };
    let given = given.ok_or_else(|| wrong("user_count without users".into()))?;
    let mut users = Vec::with_capacity(given.len());
    for user in given {
        let name = text(user.name, "the name of a user")?;
        let password = text(user.password, "the password of a user")?;
        let (Some(name), Some(password)) = (name, password) else {
            return Err(wrong("a user without name or password".into()));
        };
        let made = Credentials::new(Hash::Sha256, password, DEFAULT_ITERATIONS);
        let made = made.map_err(|error| wrong(format!("user {name}: {error}")))?;
        users.push(User {
            name: name.into(),
            credentials: vec![made],
        });
    }
    Ok(users)
}

pub(super) fn text<'a>(p: *const c_char, what: &str) -> Result<Option<&'a str>, Wrong> {
    // SAFETY: C passes NULL or a string, which lives while it calls.
    unsafe { ptr::text(p) }.map_err(|_| wrong(format!("{what} is not UTF-8")))
}

pub(super) fn wrong(text: String) -> Wrong {
    (TERNMQ_BROKER_BAD_ARGUMENT, text)
}
