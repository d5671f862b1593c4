//! C's listeners, as the broker's configuration.

use std::ffi::{c_char, c_int};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use ternmq_broker::quic::QuicOptions;
use ternmq_broker::tls::{ClientCertificates, Identity, Roots, TlsServerOptions};
use ternmq_broker::websocket::{Deflate, WebSocketServer};
use ternmq_broker::{CertificateUser, ListenerConfig, Network, Versions};

use super::options::{Wrong, text, wrong};
use crate::compression;
use crate::ptr;
use crate::sized;
use crate::types::broker::*;

/// The permissions of a Unix socket: this user and group.
pub(super) const UNIX_MODE: u32 = 0o660;

/// All versions that have a bit.
const ALL_VERSIONS: u32 = TERNMQ_VERSION_3_1 | TERNMQ_VERSION_3_1_1 | TERNMQ_VERSION_5_0;

/// Reads all listeners.
///
/// # Errors
/// The code, and which of them is wrong and how.
pub(super) fn all(options: &ternmq_broker_options) -> Result<Vec<ListenerConfig>, Wrong> {
    let Ok(count) = usize::try_from(options.listener_count) else {
        return Err(wrong("listener_count is negative".into()));
    };
    if count > 0 && options.listeners.is_null() {
        return Err(wrong("listener_count without listeners".into()));
    }
    let first = options.listeners.cast_mut();
    let mut listeners = Vec::new();
    let mut step = 0;
    for at in 0..count {
        let bad = || {
            (
                TERNMQ_BROKER_BAD_STRUCTURE,
                format!("listener {at}: struct_size"),
            )
        };
        // SAFETY: C says how many there are, and each how large it is; the first one says the step.
        let given = unsafe {
            let place = sized::element(first, at, step);
            let size = sized::size(place).ok_or_else(bad)?;
            if at > 0 && size != step {
                return Err(bad());
            }
            step = size;
            sized::read(place).ok_or_else(bad)?
        };
        let read = listener(&given);
        listeners.push(read.map_err(|(code, text)| (code, format!("listener {at}: {text}")))?);
    }
    Ok(listeners)
}

/// An IP address and a port.
pub(super) fn address(given: *const c_char, port: c_int) -> Result<SocketAddr, Wrong> {
    let ip = match text(given, "address")? {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text
            .parse()
            .map_err(|_| wrong(format!("address is no IP address: {text}")))?,
    };
    let known = u16::try_from(port);
    let port = known.map_err(|_| wrong(format!("port is not 0 to 65535: {port}")))?;
    Ok(SocketAddr::new(ip, port))
}

/// TLS by files, `None` where no certificate is named.
pub(super) fn tls(
    certificate: *const c_char,
    key: *const c_char,
    clients: *const c_char,
    optional: bool,
) -> Result<Option<TlsServerOptions>, Wrong> {
    let certificate = text(certificate, "certificate_file")?;
    let key = text(key, "key_file")?;
    let clients = text(clients, "client_ca_file")?;
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
        let roots = vec![Roots::File(file.into())];
        tls.clients = match optional {
            true => ClientCertificates::Optional(roots),
            false => ClientCertificates::Required(roots),
        };
    }
    Ok(Some(tls))
}

fn listener(given: &ternmq_broker_listener) -> Result<ListenerConfig, Wrong> {
    check(given)?;
    let bare = match (given.transport, text(given.path, "path")?) {
        (TERNMQ_LISTEN_UNIX, None) => return Err(wrong("a Unix socket without path".into())),
        (TERNMQ_LISTEN_UNIX, Some(path)) => {
            let mode = Some(given.unix_mode).filter(|mode| *mode != 0);
            ListenerConfig::unix(path, mode.unwrap_or(UNIX_MODE))
        }
        _ => ListenerConfig::anonymous(address(given.address, given.port)?),
    };
    let optional = given.client_certificate_optional != 0;
    let tls = tls(
        given.certificate_file,
        given.key_file,
        given.client_ca_file,
        optional,
    )?;
    if given.transport == TERNMQ_LISTEN_QUIC && tls.is_none() {
        return Err(wrong("QUIC without certificate_file".into()));
    }
    Ok(ListenerConfig {
        tls,
        websocket: websocket(given)?,
        quic: (given.transport == TERNMQ_LISTEN_QUIC).then(QuicOptions::default),
        certificate_user: certificate_user(given)?,
        anonymous: given.no_anonymous == 0,
        mount_point: match text(given.mount_point, "mount_point")? {
            None => None,
            Some(text) => Some(parsed(text, "mount_point")?),
        },
        proxies: proxies(given)?,
        versions: versions(given.versions)?,
        connections: match given.max_connections {
            0 => bare.connections,
            most => most as usize,
        },
        connection_rate: given.connection_rate,
        ..bare
    })
}

/// Refuses members that mean nothing where they stand: they would be believed to do something.
fn check(given: &ternmq_broker_listener) -> Result<(), Wrong> {
    if !(TERNMQ_LISTEN_TCP..=TERNMQ_LISTEN_QUIC).contains(&given.transport) {
        return Err(wrong(format!("no such transport: {}", given.transport)));
    }
    let unix = given.transport == TERNMQ_LISTEN_UNIX;
    let web = given.transport == TERNMQ_LISTEN_WEBSOCKET;
    let secure = !given.certificate_file.is_null();
    let asked = !given.client_ca_file.is_null();
    let members = [
        ("address", !given.address.is_null(), !unix),
        ("port", given.port != 0, !unix),
        ("path", !given.path.is_null(), unix || web),
        ("unix_mode", given.unix_mode != 0, unix),
        ("certificate_file", secure, !unix),
        (
            "client_certificate_optional",
            given.client_certificate_optional != 0,
            asked,
        ),
        ("certificate_user", given.certificate_user != 0, asked),
        (
            "proxies",
            !given.proxies.is_null(),
            given.transport != TERNMQ_LISTEN_QUIC,
        ),
        ("origins", !given.origins.is_null(), web),
        ("compression", !given.compression.is_null(), web),
    ];
    match members.iter().find(|(_, there, fits)| *there && !fits) {
        Some((name, ..)) => Err(wrong(format!("{name} means nothing there"))),
        None => Ok(()),
    }
}

fn websocket(given: &ternmq_broker_listener) -> Result<Option<WebSocketServer>, Wrong> {
    if given.transport != TERNMQ_LISTEN_WEBSOCKET {
        return Ok(None);
    }
    let mut server = WebSocketServer {
        origins: texts(given.origins, given.origin_count, "origins")?,
        deflate: deflate(given)?,
        ..WebSocketServer::default()
    };
    match text(given.path, "path")? {
        None => {}
        Some("*") => server.path = None,
        Some(path) if path.starts_with('/') => server.path = Some(path.to_owned()),
        Some(path) => return Err(wrong(format!("path does not begin with /: {path}"))),
    }
    Ok(Some(server))
}

fn deflate(given: &ternmq_broker_listener) -> Result<Option<Deflate>, Wrong> {
    // SAFETY: C passes NULL or options that begin with their size.
    let read = unsafe { compression::read(given.compression) };
    read.map_err(|_| wrong("compression: a wrong struct_size, or window_bits not 9 to 15".into()))
}

fn certificate_user(given: &ternmq_broker_listener) -> Result<CertificateUser, Wrong> {
    Ok(match given.certificate_user {
        TERNMQ_USER_FROM_CONNECT => CertificateUser::Nothing,
        TERNMQ_USER_COMMON_NAME => CertificateUser::CommonName,
        TERNMQ_USER_SUBJECT => CertificateUser::DistinguishedName,
        TERNMQ_USER_DNS => CertificateUser::Dns,
        TERNMQ_USER_EMAIL => CertificateUser::Email,
        TERNMQ_USER_URI => CertificateUser::Uri,
        other => return Err(wrong(format!("no such certificate_user: {other}"))),
    })
}

/// Nobody is believed what they say of others without being named; the file of a Unix socket says who may.
fn proxies(given: &ternmq_broker_listener) -> Result<Option<Vec<Network>>, Wrong> {
    let Some(texts) = texts(given.proxies, given.proxy_count, "proxies")? else {
        return Ok(None);
    };
    if texts.is_empty() && given.transport != TERNMQ_LISTEN_UNIX {
        return Err(wrong("proxies has none, so nobody could connect".into()));
    }
    let networks: Result<_, _> = texts.iter().map(|text| parsed(text, "proxies")).collect();
    networks.map(Some)
}

fn versions(bits: u32) -> Result<Versions, Wrong> {
    if bits & !ALL_VERSIONS != 0 {
        return Err(wrong(format!("no such versions: {bits:#x}")));
    }
    let has = |version| bits == 0 || bits & version != 0;
    Ok(Versions {
        v3_1: has(TERNMQ_VERSION_3_1),
        v3_1_1: has(TERNMQ_VERSION_3_1_1),
        v5_0: has(TERNMQ_VERSION_5_0),
    })
}

/// `None` for NULL.
fn texts(p: *const *const c_char, count: c_int, what: &str) -> Result<Option<Vec<String>>, Wrong> {
    // SAFETY: C says how many there are.
    let given = unsafe { ptr::slice(p, count) };
    let given = given.ok_or_else(|| wrong(format!("{what}: a count without texts")))?;
    if p.is_null() {
        return Ok(None);
    }
    let one = |p: &*const c_char| match text(*p, what)? {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(format!("{what} has a NULL in it"))),
    };
    given.iter().map(one).collect::<Result<_, _>>().map(Some)
}

fn parsed<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, Wrong> {
    let wrong = |error| wrong(format!("{what}: {text:?}: {error}"));
    text.parse().map_err(wrong)
}
