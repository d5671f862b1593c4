//! From the options of `pub` and `sub` to a connected client.

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use ternmq_client::blocking::Client;
use ternmq_client::tls::{Identity, PemSource, Roots, TlsOptions, Verify};
use ternmq_client::websocket::Deflate;
use ternmq_client::{ConnectOptions, Endpoint, Scheme, Target};
use ternmq_protocol::client::Will;
use ternmq_protocol::codec::{PropertiesBuf, PropertyId, QoS, Value};

use crate::cli::{Connection, Version};
use crate::properties::Said;

const DEFAULT_HOST: &str = "localhost";

/// What the command line says of the server and of the topic that stands behind it in the URL, as
/// mosquitto's clients have it.
pub(crate) fn url_and_topic(args: &Connection) -> (Option<&str>, Option<&str>) {
    let Some(url) = args.url.as_deref() else {
        return (None, None);
    };
    let host = ["mqtt://", "mqtts://", "quic://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    match host.and_then(|host| host.split_once('/')) {
        Some((_, topic)) if !topic.is_empty() => {
            let end = url.len() - topic.len() - 1;
            (url.get(..end), Some(topic))
        }
        _ => (Some(url), None),
    }
}

/// Connects, and arranges that Ctrl-C or SIGTERM disconnects: whatever waits on the client ends then.
pub(crate) fn connect(args: &Connection) -> Result<Client, String> {
    let client = Client::connect(options(args)?).map_err(|e| e.to_string())?;
    debug(args, &format_args!("connected as {:?}", client.status()));
    let stopping = client.clone();
    at_signal(move || stopping.disconnect())?;
    Ok(client)
}

/// Says what happens, to whoever wants to know.
pub(crate) fn debug(args: &Connection, what: &dyn std::fmt::Display) {
    if args.debug {
        anstream::eprintln!("{what}");
    }
}

/// Runs `end` when Ctrl-C or SIGTERM comes.
pub(crate) fn at_signal(end: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|e| format!("cannot wait for signals: {e}"))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            end();
        }
    });
    Ok(())
}

/// What the command line says of the connection.
pub(crate) fn options(args: &Connection) -> Result<ConnectOptions, String> {
    if args.quiet {
        crate::report::be_quiet();
    }
    let tls = tls(args)?;
    let mut options = match url_and_topic(args).0 {
        // Without the URL itself: a password may stand in it.
        Some(url) => ConnectOptions::from_uri(url).map_err(|e| format!("--url: {e}"))?,
        None => ConnectOptions::new(vec![Target::Server(server(args, tls.is_some()))]),
    };
    if let Some(tls) = tls {
        let secure = |t: &Target| matches!(t, Target::Server(e) if e.scheme.is_secure());
        if !options.endpoints.iter().all(secure) {
            return Err("the options for TLS need mqtts://, wss:// or quic://".to_owned());
        }
        options = options.tls(&tls).map_err(|e| e.to_string())?;
    }
    if let Some(proxy) = &args.proxy {
        options = options.proxy(proxy).map_err(|e| format!("--proxy: {e}"))?;
    }
    options.local_address = args.bind_address;
    options.websocket.deflate = args.deflate.then(Deflate::default);
    options
        .websocket
        .headers
        .extend(args.header.iter().cloned());
    let v5 = args.protocol_version == Version::V5_0;
    options = options
        .version(args.protocol_version.into())
        .client_id(client_id(args))
        .clean_start(!args.disable_clean_session)
        .keep_alive(Duration::from_secs(args.keepalive.into()))
        .connect_timeout(Duration::from_secs(args.connect_timeout));
    if let Some(user_name) = &args.username {
        options.session.user_name = Some(user_name.clone());
    }
    if let Some(password) = &args.password {
        options.session.password = Some(password.clone().into_bytes());
    }
    let said = Said::read(&args.property)?;
    if !v5 && (args.session_expiry_interval.is_some() || !args.property.is_empty()) {
        return Err("--session-expiry-interval and -D need MQTT 5.0".to_owned());
    }
    let for_ever = args.disable_clean_session.then_some(u32::MAX);
    let expiry = args.session_expiry_interval.or(for_ever);
    let properties = &mut options.session.properties;
    *properties = said.connect;
    if let Some(seconds) = expiry.filter(|_| v5) {
        // What is said by -D holds.
        if properties
            .get()
            .get(PropertyId::SessionExpiryInterval)
            .is_none()
        {
            let value = Value::FourByteInteger(seconds);
            let pushed = properties.push(PropertyId::SessionExpiryInterval, value);
            pushed.map_err(|e| e.to_string())?;
        }
    }
    with_will(options, args, said.will)
}

/// What the command line says of the will.
fn with_will(
    options: ConnectOptions,
    args: &Connection,
    properties: PropertiesBuf,
) -> Result<ConnectOptions, String> {
    match &args.will_topic {
        Some(topic) => Ok(options.will(Will {
            topic: topic.clone(),
            payload: args.will_payload.clone().unwrap_or_default().into_bytes(),
            qos: args.will_qos.unwrap_or(QoS::AtMostOnce),
            retain: args.will_retain,
            properties,
        })),
        None if properties.is_empty() => Ok(options),
        None => Err("-D will needs --will-topic".to_owned()),
    }
}

fn warn_of_the_key_log(args: &Connection) {
    let file = args.tls.tls_keylog.as_ref().filter(|_| !args.quiet);
    if let Some(file) = file.map(|file| file.display()) {
        anstream::eprintln!("warning: whoever has {file} reads all that is sent and received");
    }
}

/// The server by its parts.
fn server(args: &Connection, secure: bool) -> Endpoint {
    if let Some(path) = &args.unix {
        return Endpoint::unix(path);
    }
    let scheme = if secure { Scheme::Tls } else { Scheme::Tcp };
    let port = args.port.unwrap_or(scheme.default_port());
    let host = args.host.as_deref().unwrap_or(DEFAULT_HOST);
    Endpoint {
        scheme,
        ..Endpoint::new(host, port)
    }
}

/// What the command line says of TLS; `None` when it says nothing.
fn tls(args: &Connection) -> Result<Option<TlsOptions>, String> {
    warn_of_the_key_log(args);
    let args = &args.tls;
    let mut tls = TlsOptions::default();
    let files = args.cafile.iter().map(|path| Roots::File(path.clone()));
    let folders = args.capath.iter().map(|path| Roots::Folder(path.clone()));
    let named: Vec<Roots> = files.chain(folders).collect();
    if !named.is_empty() {
        let system = args.tls_use_os_certs.then_some(Roots::System);
        tls.roots = named.into_iter().chain(system).collect();
    }
    if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
        tls.identity = Some(Identity::files(cert, key));
    }
    if args.insecure {
        tls.verify = Verify::Chain;
    }
    tls.revoked = args.crl.iter().cloned().map(PemSource::File).collect();
    tls.key_log.clone_from(&args.tls_keylog);
    tls.alpn = args
        .tls_alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect();
    if let Some(version) = args.tls_version {
        (tls.min_version, tls.max_version) = (version.0, version.0);
    }
    for name in args.ciphers.iter().flat_map(|names| names.split(':')) {
        tls.cipher_suites
            .push(name.parse().map_err(|e| format!("--ciphers: {e}"))?);
    }
    let said = tls != TlsOptions::default() || args.tls_use_os_certs;
    Ok(said.then_some(tls))
}

/// MQTT 3.1 knows no empty client identifier, so we make one up there as the server would.
fn client_id(args: &Connection) -> String {
    if let Some(prefix) = &args.id_prefix {
        return format!("{prefix}{}", std::process::id());
    }
    match (&args.id, args.protocol_version) {
        (Some(id), _) => id.clone(),
        (None, Version::V3_1) => format!("ternmq-{}", std::process::id()),
        (None, _) => String::new(),
    }
}
