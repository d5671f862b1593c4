//! C's options, as the broker's configuration.

use std::ffi::{c_char, c_int};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ternmq_broker::auth::{Credentials, DEFAULT_ITERATIONS, Hash, User};
use ternmq_broker::tls::{ClientCertificates, Identity, Roots, TlsServerOptions};
use ternmq_broker::websocket::WebSocketServer;
use ternmq_broker::{Config, ListenerConfig};

use crate::ptr;
use crate::types::broker::*;

type Wrong = (c_int, String);

pub(super) fn config(options: &ternmq_broker_options) -> Result<Config, Wrong> {
    let listener = ListenerConfig {
        tls: tls(options)?,
        websocket: (options.websocket != 0).then(WebSocketServer::default),
        ..ListenerConfig::anonymous(address(options)?)
    };
    let mut listeners = vec![listener];
    if let Some(path) = text(options.unix_path, "unix_path")? {
        listeners.push(ListenerConfig::unix(path, 0o660));
    }
    for listener in &mut listeners {
        listener.anonymous = options.no_anonymous == 0;
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

fn address(options: &ternmq_broker_options) -> Result<SocketAddr, Wrong> {
    let ip = match text(options.address, "address")? {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text
            .parse()
            .map_err(|_| wrong(format!("address is no IP address: {text}")))?,
    };
    let port = u16::try_from(options.port);
    let port = port.map_err(|_| wrong(format!("port is not 0 to 65535: {}", options.port)))?;
    Ok(SocketAddr::new(ip, port))
}

fn tls(options: &ternmq_broker_options) -> Result<Option<TlsServerOptions>, Wrong> {
    let certificate = text(options.certificate_file, "certificate_file")?;
    let key = text(options.key_file, "key_file")?;
    let clients = text(options.client_ca_file, "client_ca_file")?;
    let Some(certificate) = certificate else {
        return match (key, clients) {
            (None, None) => Ok(None),
            _ => Err(wrong(
                "key_file or client_ca_file without certificate_file".into(),
            )),
        };
    };
    let mut tls = TlsServerOptions::new(Identity::files(certificate, key.unwrap_or(certificate)));
    if let Some(file) = clients {
        tls.clients = ClientCertificates::Required(vec![Roots::File(file.into())]);
    }
    Ok(Some(tls))
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

fn text<'a>(p: *const c_char, what: &str) -> Result<Option<&'a str>, Wrong> {
    // SAFETY: C passes NULL or a string, which lives while it calls.
    unsafe { ptr::text(p) }.map_err(|_| wrong(format!("{what} is not UTF-8")))
}

fn wrong(text: String) -> Wrong {
    (TERNMQ_BROKER_BAD_ARGUMENT, text)
}
